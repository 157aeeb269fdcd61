//! The part of `/api/v1` in the OpenAPI description.

use utoipa::openapi::{
    Content, Object, ObjectBuilder, OneOfBuilder, OpenApi, Ref, Schema,
    path::HttpMethod,
    schema::{ArrayBuilder, Type},
    security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme},
};

use crate::dialect::openapi::refusals::{
    add, add_bearer, add_schema, add_tags, operations, schema, text,
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
        "telephony",
        "Calls: reports of exchanges, calls that users ask for, statistics.",
    ),
    ("webhooks", "The outcomes of webhook calls, and replays."),
    ("files", "Uploads and downloads."),
    ("settings", "Settings of a workspace."),
    ("ui settings", "Settings of a user's interface."),
];

pub(super) fn describe(api: &mut OpenApi) {
    add_tags(api, TAGS);
    add_schema(api, "ErrorInfo", error_info());
    add_schema(api, "PatchRefusal", patch_refusal());
    add_schema(api, "BadRequest", bad_request());
    add_bearer(api, "token", "A token of the workspace");
    let key = ApiKeyValue::with_description(
        "X-XCOM-AccessKey",
        "An integration's access key, good for 20 minutes",
    );
    let components = api.components.get_or_insert_default();
    components.add_security_scheme("accessKey", SecurityScheme::ApiKey(ApiKey::Header(key)));
    let credentials = ["token", "accessKey"].map(|name| SecurityRequirement::new(name, [""; 0]));
    for (path, method, operation) in operations(api) {
        let is_open = path.starts_with("/api/v1/authorization/");
        let security = if is_open { &[][..] } else { &credentials };
        operation.security = Some(security.to_vec());
        let refused = match method {
            HttpMethod::Patch => patch_refused(),
            _ => schema("ErrorInfo"),
        };
        for (status, description, content) in [
            ("400", "Malformed, or of a wrong type", schema("BadRequest")),
            ("401", "No credentials, or wrong ones", unauthorized()),
            ("409", "Refused by a rule, or not found", refused),
            (
                "default",
                "Any other refusal or failure",
                schema("ErrorInfo"),
            ),
        ] {
            add(operation, status, description, "application/json", content);
        }
    }
}

fn unauthorized() -> Content {
    let text = Object::builder()
        .schema_type(Type::String)
        .enum_values(Some(["Unauthorized"]));
    Content::new(Some(Schema::from(text)))
}

fn patch_refused() -> Content {
    let either = OneOfBuilder::new()
        .item(Ref::from_schema_name("PatchRefusal"))
        .item(Ref::from_schema_name("ErrorInfo"));
    Content::new(Some(Schema::from(either)))
}

fn error_info() -> Schema {
    // The operations that are wrong, as they were sent.
    let operations = || ArrayBuilder::new().items(Object::with_type(Type::Object));
    ObjectBuilder::new()
        .property("status", text())
        .required("status")
        .property("message", text())
        .required("message")
        .property("invalidPaths", operations())
        .property("invalidValueTypes", operations())
        .property("invalidDatas", operations())
        .property(
            "invalidConstraints",
            ObjectBuilder::new()
                .schema_type(Type::Object)
                .additional_properties(Some(Schema::from(text()))),
        )
        .into()
}

fn patch_refusal() -> Schema {
    ObjectBuilder::new()
        .property("errorInfo", Ref::from_schema_name("ErrorInfo"))
        .required("errorInfo")
        .property("isSuccessful", Object::with_type(Type::Boolean))
        .property("responseCode", text())
        .into()
}

fn bad_request() -> Schema {
    let texts = ArrayBuilder::new().items(text());
    ObjectBuilder::new()
        .property(
            "errors",
            ObjectBuilder::new()
                .description(Some("Field to what is wrong with it"))
                .additional_properties(Some(Schema::from(texts))),
        )
        .required("errors")
        .property("title", text())
        .property("type", text())
        .property("status", Object::with_type(Type::Integer))
        .property(
            "detail",
            ObjectBuilder::new()
                .schema_type(Type::String)
                .description(Some("The values that cannot be read, and those that could")),
        )
        .property("traceId", text())
        .into()
}
