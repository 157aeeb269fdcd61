//! Bulk calls: each element is queued and processed later; the companion call reads the progress
//! (`docs/contracts/idocs.md §1.6, §1.2` rows 24 to 42).

use std::collections::HashMap;

use futures_util::future::BoxFuture;
use prichal_core::id::generate;
use prichal_store::{
    Conn, Tx,
    bulk::{self as store, Element},
};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use uuid::Uuid;

use super::{
    answer::{page, wrapped},
    caller::{Company, Requester},
    error_response::{described, is_server_fault},
    language::Localized,
    operation::Operation,
    read::Fields,
};
use crate::{
    app::App,
    domain::document::bulk::{BulkHandler, CREATED, NOT_FOUND, Work},
    error::{Error, Result},
    http::{
        body::{Json, Raw},
        idempotency::{IdempotencyKey, JsonAnswer, write_once},
    },
    platform::{access, quota, reading::parse_json, security::Actor},
};

/// The maximum number of elements of a call.
const MAX_ELEMENTS: usize = 1000;

/// The calls, by the name under which the store holds their elements.
const CALLS: [(&str, Operation); 9] = [
    ("outbox/document/create", Operation::Create),
    ("outbox/route/create", Operation::Route),
    ("outbox/quick-route/create", Operation::QuickRoute),
    ("outbox/content-to-sign/generate", Operation::OutboxContent),
    ("outbox/quick-sign/save", Operation::OutboxSign),
    ("inbox/route/create", Operation::InboxRoute),
    ("inbox/content-to-sign/generate", Operation::InboxContent),
    ("inbox/quick-sign/save", Operation::InboxSign),
    ("download", Operation::Download),
];

fn name(operation: Operation) -> &'static str {
    let known = CALLS.iter().find(|(_, one)| *one == operation);
    known.map_or("", |(name, _)| name)
}

/// The permission that a call and its companion need.
fn permission_for(operation: Operation) -> Result<&'static str> {
    let permission = operation.permission();
    permission.ok_or_else(|| Error::internal("a bulk call that needs no permission"))
}

/// Queues the elements of a call, and answers their ids at once. The employee of an element is checked when it is
/// processed.
async fn start(
    company: Company,
    once: IdempotencyKey,
    body: axum::body::Bytes,
    operation: Operation,
) -> Result<JsonAnswer> {
    company.may(permission_for(operation)?).await?;
    quota::admit(&company.app, company.id(), operation.adds_to(), 0).await?;
    let parsed = parse_json(&body)?;
    let elements = elements(&company, &parsed)?;
    let caller = serde_json::to_string(&company.requester).map_err(Error::internal)?;
    let queued: Vec<Element> = elements
        .iter()
        .map(|element| Element {
            workspace: company.id(),
            id: generate(company.now),
            path: name(operation).to_owned(),
            caller: caller.clone(),
            data: data(element),
            status: CREATED.to_owned(),
            result: None,
            errors: None,
            tries: 0,
            created_on: company.now.secs(),
            completed_on: None,
        })
        .collect();
    let operations = queued.iter().map(OperationModel::of).collect();
    let answer = Operations { operations }.text()?;
    let app = company.app.clone();
    let answer = write_once(&company, once, &body, move |tx: &mut Tx<'_>| {
        queued.iter().for_each(|element| store::insert(tx, element));
        Ok(answer.clone())
    })
    .await?;
    app.bulk.notify_one();
    Ok(answer)
}

fn elements<'a>(company: &Company, body: &'a Value) -> Result<&'a [Value]> {
    let fields = Fields::of(body, company.language())?;
    if fields.get("operations").is_none() {
        return Err(fields.fault("operations", &REQUIRED, &[]));
    }
    let elements = fields.list("operations")?;
    if elements.len() > MAX_ELEMENTS {
        return Err(fields.fault("operations", &TOO_MANY, &[&MAX_ELEMENTS.to_string()]));
    }
    Ok(elements)
}

/// The member `data` of an element. A malformed one is refused when the element is processed.
fn data(element: &Value) -> String {
    let members = element.as_object();
    let data = members.and_then(|members| {
        let mut all = members.iter();
        all.find(|(name, _)| name.eq_ignore_ascii_case("data"))
    });
    data.map_or_else(|| "null".to_owned(), |(_, data)| data.to_string())
}

/// The vendor's model of an element.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OperationModel<'a> {
    operation_id: Uuid,
    created_on: Option<i64>,
    completed_on: Option<i64>,
    operation_status: &'a str,
    data: OperationData<'a>,
    operation_errors: Option<&'a RawValue>,
}

/// The result of an element, which the store holds as JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum OperationData<'a> {
    Value(&'a RawValue),
    Empty {},
}

impl<'a> OperationModel<'a> {
    fn of(element: &'a Element) -> Self {
        let raw = |text: &'a Option<String>| {
            let text = text.as_deref()?;
            serde_json::from_str::<&RawValue>(text).ok()
        };
        Self {
            operation_id: element.id,
            created_on: Some(element.created_on),
            completed_on: element.completed_on,
            operation_status: &element.status,
            data: raw(&element.result).map_or(OperationData::Empty {}, OperationData::Value),
            operation_errors: raw(&element.errors),
        }
    }

    /// The model of an unknown element.
    fn unknown(id: Uuid) -> Self {
        Self {
            operation_id: id,
            created_on: None,
            completed_on: None,
            operation_status: NOT_FOUND,
            data: OperationData::Empty {},
            operation_errors: None,
        }
    }
}

/// The vendor's model of a list of elements.
#[derive(Serialize)]
struct Operations<'a> {
    operations: Vec<OperationModel<'a>>,
}

impl Operations<'_> {
    fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(Error::internal)
    }
}

/// Answers the state of elements, in the order of the request.
async fn status(company: Company, body: &Value, operation: Operation) -> Result<JsonAnswer> {
    company.may(permission_for(operation)?).await?;
    let mut ids = Vec::new();
    for (n, element) in elements(&company, body)?.iter().enumerate() {
        let path = format!("operations[{n}].operationId");
        let fields = Fields::of(element, company.language());
        let id = fields.and_then(|fields| fields.need_id("operationId"));
        ids.push(id.map_err(|_| {
            Error::invalid(path.as_str(), BAD_ID.text(company.language(), &[&path]))
        })?);
    }
    let wanted = ids.clone();
    let id = company.id();
    let found = company
        .app
        .db
        .read(move |conn| store::find(conn, id, &wanted))
        .await?;
    let of_call = found.iter().filter(|one| one.path == name(operation));
    let known: HashMap<Uuid, &Element> = of_call.map(|one| (one.id, one)).collect();
    let shown = |id: &Uuid| match known.get(id) {
        Some(element) => OperationModel::of(element),
        None => OperationModel::unknown(*id),
    };
    let operations = ids.iter().map(shown).collect();
    Ok(JsonAnswer::ok(Operations { operations }.text()?))
}

/// List the company's bulk elements, newest first.
#[utoipa::path(post, path = "/api/v3/sync/bulk/operations", tag = "documents",
    request_body = Value, responses((status = 200, body = Value)))]
pub(super) async fn list_operations(company: Company, Json(body): Json) -> Result<JsonAnswer> {
    company.may("DOCUMENT_VIEW").await?;
    let (skip, top) = Fields::of(&body, company.language())?.page()?;
    let viewer = company.id();
    let look = move |conn: &mut Conn| store::list(conn, viewer, skip, top);
    let (total, found) = company.app.db.read(look).await?;
    let items: Vec<Value> = found
        .iter()
        .map(|element| {
            let shown = OperationModel {
                data: OperationData::Empty {},
                ..OperationModel::of(element)
            };
            json!(shown)
        })
        .collect();
    Ok(wrapped(&page(&items, skip, top, total)))
}

macro_rules! calls {
    ($($operation:ident $path:literal $start:ident $status:ident;)*) => {$(
        #[doc = concat!("Queue many operations. Read their progress at `", $path, "/status`.")]
        #[utoipa::path(post, path = $path, tag = "documents", request_body = Value, responses((status = 200, body = Value)))]
        pub(super) async fn $start(company: Company, once: IdempotencyKey, Raw(body): Raw) -> Result<JsonAnswer> {
            start(company, once, body, Operation::$operation).await
        }

        #[doc = concat!("Read the progress of the elements of `", $path, "`.")]
        #[utoipa::path(post, path = concat!($path, "/status"), tag = "documents", request_body = Value, responses((status = 200, body = Value)))]
        pub(super) async fn $status(company: Company, Json(body): Json) -> Result<JsonAnswer> {
            status(company, &body, Operation::$operation).await
        }
    )*};
}

calls! {
    Create "/api/v3/async/bulk/external/outbox/document/create" start_create create_status;
    Route "/api/v3/async/bulk/external/outbox/route/create" start_route route_status;
    QuickRoute "/api/v3/async/bulk/external/outbox/route/quick-route/create" start_quick_route quick_route_status;
    OutboxContent "/api/v3/async/bulk/external/outbox/signature/content-to-sign/generate" start_outbox_content outbox_content_status;
    OutboxSign "/api/v3/async/bulk/external/outbox/signature/quick-sign/save" start_outbox_sign outbox_sign_status;
    InboxRoute "/api/v3/async/bulk/external/inbox/route/create" start_inbox_route inbox_route_status;
    InboxContent "/api/v3/async/bulk/external/inbox/signature/content-to-sign/generate" start_inbox_content inbox_content_status;
    InboxSign "/api/v3/async/bulk/external/inbox/signature/quick-sign/save" start_inbox_sign inbox_sign_status;
    Download "/api/v3/async/documents/download/bulk-download" start_download download_status;
}

/// The handler of bulk elements, for the worker in the domain.
#[derive(Clone)]
pub struct Elements(pub App);

impl BulkHandler for Elements {
    fn prepare(&self, element: Element) -> BoxFuture<'static, Result<Work>> {
        let app = self.0.clone();
        Box::pin(async move {
            let requester: Requester =
                serde_json::from_str(&element.caller).map_err(Error::internal)?;
            let data: Value = serde_json::from_str(&element.data).map_err(Error::internal)?;
            let language = requester.language;
            let operation = CALLS.iter().find(|(name, _)| *name == element.path);
            let (_, operation) =
                operation.ok_or_else(|| Error::internal("a bulk call of an unknown kind"))?;
            // The requester may have lost the right since the call.
            let company = Company::restore(&app, element.workspace, requester).await?;
            operation.permit(&company, Some(&data)).await?;
            if !data.is_object() {
                let text = NO_OBJECT.text(language, &["data"]);
                return Err(Error::invalid("data", text));
            }
            let prepared = operation.prepare(&company, &data).await?;
            Ok(prepared.into_work())
        })
    }

    fn actor(&self, element: &Element) -> Option<Actor> {
        let requester: Requester = serde_json::from_str(&element.caller).ok()?;
        let name = access::token_identity(requester.token);
        Some(Actor::new(name, requester.user, Some(element.workspace)))
    }

    fn describe(&self, element: &Element, error: &Error) -> (Value, bool) {
        let requester: Option<Requester> = serde_json::from_str(&element.caller).ok();
        let language = requester.as_ref().map(|requester| requester.language);
        let language = language.unwrap_or_default();
        (described(error, language), is_server_fault(error))
    }
}

const REQUIRED: Localized = Localized::new(
    "Поле {} обязательно.",
    "{} өрісі міндетті.",
    "The field {} is required.",
);
const NO_OBJECT: Localized = Localized::new(
    "Поле {} должно быть объектом.",
    "{} өрісі объект болуы керек.",
    "The field {} must be an object.",
);
const TOO_MANY: Localized = Localized::new(
    "Поле {} содержит больше {} элементов.",
    "{} өрісінде {} элементтен көп.",
    "The field {} has more than {} elements.",
);
const BAD_ID: Localized = Localized::new(
    "Поле {} должно быть UUID.",
    "{} өрісі UUID болуы керек.",
    "The field {} must be a UUID.",
);
