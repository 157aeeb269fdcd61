//! The part of `/api/v1` in the OpenAPI description.

use prichal_core::{patch::ENVELOPE, schema::Field, update_info::UPDATE_INFO};
use utoipa::{
    ToSchema,
    openapi::{
        Content, ObjectBuilder, OneOfBuilder, OpenApi, Ref, RefOr, Schema,
        path::{HttpMethod, Parameter},
        schema::{ArrayBuilder, Type},
        security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme},
    },
};

use super::{
    entities,
    error_response::{BadRequest, ErrorInfo, PatchRefusal},
};
use crate::dialect::openapi::{
    parts::{Part, name_parts},
    refusals::{add, add_bearer, add_header, add_tags, operations, schema, text},
    schema::{add as add_type, body, described, example, model, of, one_of, uuid},
};

/// The groups of operations, in the order of a first integration.
const TAGS: &[(&str, &str)] = &[
    (
        "integrations",
        "The integrations that can be installed in a workspace, and those that are.",
    ),
    (
        "authorization",
        "The exchange of an API key for an access key.",
    ),
    (
        "entities",
        "Records of a workspace and the links between them.",
    ),
    ("feed", "Every change of a workspace, in order."),
    (
        "events",
        "Events of the workspace's own types, which its services publish.",
    ),
    (
        "telephony",
        "Calls: reports of exchanges, calls that users ask for, statistics.",
    ),
    ("webhooks", "The outcomes of webhook calls, and replays."),
    (
        "stream",
        "What happens in a workspace, as server-sent events.",
    ),
    (
        "alerts",
        "What somebody has to know, when it begins and when it is over, and the mails about it.",
    ),
    ("audit", "Who has done what."),
    ("files", "Uploads and downloads."),
    ("settings", "Settings of a workspace."),
    (
        "sessions",
        "Who is signed in at the console, and links to sign in.",
    ),
    ("ui settings", "Settings of a user's interface."),
];

described! {
    /// The answer to commands.
    pub(super) Done = one_of(&["OK"]);
    /// Times and authors of the creation and of the last change.
    pub(super) UpdateInfoModel as "UpdateInfo" = model(UPDATE_INFO);
    /// Operations on a record. All are applied, or none.
    pub(super) PatchEnvelope = body(ENVELOPE).examples(example(include_str!("examples/webhook-patch.json")));
    /// The refusal of a request without credentials, or with wrong ones.
    Unauthorized = one_of(&["Unauthorized"]);
}

/// A stored record: its members between `updateInfo` and `id`.
pub(super) fn record(fields: &[Field]) -> ObjectBuilder {
    model(fields)
        .property("updateInfo", of::<UpdateInfoModel>())
        .required("updateInfo")
        .property("id", uuid().description(Some("The id of the record.")))
        .required("id")
}

/// A page of a list.
pub(super) fn page(item: Ref, count: &str) -> ObjectBuilder {
    let number = ObjectBuilder::new().schema_type(Type::Integer);
    let items = ArrayBuilder::new().items(item);
    ObjectBuilder::new()
        .property("count", number.description(Some(count)))
        .required("count")
        .property("items", items.description(Some("The page.")))
        .required("items")
}

pub(super) fn page_of<T: ToSchema>(count: &str) -> ObjectBuilder {
    page(of::<T>(), count)
}

/// Refusals that every call may get.
const REFUSALS: &[(&str, &str)] = &[
    ("403", "The credentials do not allow this"),
    (
        "429",
        "Too many requests: `Retry-After` says when to try again",
    ),
    (
        "503",
        "The server is busy: `Retry-After` says when to try again",
    ),
    ("default", "Any other failure"),
];
/// Refusals of calls with a body.
const BODY_REFUSALS: &[(&str, &str)] = &[
    ("408", "The body did not arrive in time"),
    ("415", "The `Content-Encoding` of the body is unknown"),
];

const EFFECT: &str = "`created`, `updated` or `unchanged`";
const NOTE: &str = "`external-id-reused` if the exchange has given the id to an earlier call";
const RETRY_AFTER: &str = "The number of seconds after which to try again";

/// The objects that several schemas have.
const PARTS: &[Part] = &[
    Part {
        name: "AccessRight",
        path: "Role.accessRights",
        description: "A right, and how far it reaches.",
    },
    Part {
        name: "CallParty",
        path: "Communication.data.call.items.to",
        description: "A party of a call.",
    },
    Part {
        name: "ReportedParty",
        path: "CallEvent.to",
        description: "A party of a call, as an exchange reports it.",
    },
    Part {
        name: "ContactPoint",
        path: "Company.phones",
        description: "A phone number, an e-mail address or a name in a messenger.",
    },
    Part {
        name: "NewContactPoint",
        path: "NewCompany.phones",
        description: "A phone number, an e-mail address or a name in a messenger, as a client sends it.",
    },
    Part {
        name: "CustomFieldOption",
        path: "Settings.customFields.company.options",
        description: "One of the values of a custom field.",
    },
    Part {
        name: "CustomField",
        path: "Settings.customFields.company",
        description: "The declaration of a custom field.",
    },
    Part {
        name: "NotificationChannels",
        path: "User.settings.notifications.channels",
        description: "The ways in which notifications reach a user.",
    },
    Part {
        name: "NotificationSchedule",
        path: "User.settings.notifications.types.schedule",
        description: "The times at which notifications reach a user.",
    },
];

pub(super) fn describe(api: &mut OpenApi) {
    add_tags(api, TAGS);
    add_bearer(api, "token", "A token of the workspace");
    entities::openapi::describe(api);
    let key = ApiKeyValue::with_description(
        "X-XCOM-AccessKey",
        "An integration's access key, good for 20 minutes",
    );
    let components = api.components.get_or_insert_default();
    components.add_security_scheme("accessKey", SecurityScheme::ApiKey(ApiKey::Header(key)));
    let mut schemas = Vec::new();
    add_type::<ErrorInfo>(&mut schemas);
    add_type::<PatchRefusal>(&mut schemas);
    add_type::<BadRequest>(&mut schemas);
    add_type::<Unauthorized>(&mut schemas);
    components.schemas.extend(schemas);
    name_parts(api, PARTS);
    let any = ["token", "accessKey"].map(|name| SecurityRequirement::new(name, [""; 0]));
    for (path, method, operation) in operations(api) {
        // Handlers that take `Path` get its parameters a second time, without a description.
        if let Some(parameters) = &mut operation.parameters {
            let is_told = |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(parameter) if parameter.description.is_some());
            parameters.retain(is_told);
        }
        if path.contains("/callbacks/") && method == HttpMethod::Post {
            add_header(operation, "200", "X-Prichal-Effect", text(), EFFECT);
            add_header(operation, "200", "X-Prichal-Note", text(), NOTE);
        }
        let is_open = path.starts_with("/api/v1/authorization/");
        let credentials = if is_open { &[][..] } else { &any };
        // A handler for callers of one kind names the kind.
        operation
            .security
            .get_or_insert_with(|| credentials.to_vec());
        let refused = match method {
            HttpMethod::Patch => patch_refused(),
            _ => schema("ErrorInfo"),
        };
        let mut refusals = vec![
            (
                "400",
                "The request is malformed, or a value has a wrong type",
                schema("BadRequest"),
            ),
            (
                "401",
                "The credentials are absent or wrong",
                schema("Unauthorized"),
            ),
            (
                "409",
                "A rule refuses this, or the record does not exist",
                refused,
            ),
        ];
        let of_body = match operation.request_body {
            Some(_) => BODY_REFUSALS,
            None => &[],
        };
        let common = REFUSALS.iter().chain(of_body);
        refusals.extend(common.map(|(status, text)| (*status, *text, schema("ErrorInfo"))));
        for (status, description, content) in refusals {
            add(operation, status, description, "application/json", content);
        }
        for status in ["429", "503"] {
            add_header(operation, status, "Retry-After", text(), RETRY_AFTER);
        }
    }
}

fn patch_refused() -> Content {
    let either = OneOfBuilder::new()
        .item(Ref::from_schema_name("PatchRefusal"))
        .item(Ref::from_schema_name("ErrorInfo"));
    Content::new(Some(Schema::from(either)))
}
