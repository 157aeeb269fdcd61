//! Bulk calls: each element is queued and done later; a companion tells how far it is
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
    caller::{Asker, Company},
    error_response::{described, is_fault},
    language::Said,
    operation::Operation,
    read::Fields,
    references::page,
    routes::wrapped,
};
use crate::{
    app::App,
    domain::document::bulk::{BulkHandler, CREATED, NOT_FOUND, Work},
    error::{Error, Result},
    http::{
        body::{Json, Raw},
        idempotency::{IdempotencyKey, JsonAnswer, write_once},
    },
    platform::{quota, reading::parse_json, security::Actor},
};

/// How many elements a call may have.
const MOST: usize = 1000;

/// The calls, by what their elements are remembered under.
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

/// The permission for a call and for its companion, which tells what came of it.
fn needed(operation: Operation) -> Result<&'static str> {
    let permission = operation.permission();
    permission.ok_or_else(|| Error::internal("a bulk call that needs no permission"))
}

/// Queues the elements of a call, and says their ids at once. Whom an element names is looked at when it is
/// its turn.
async fn start(
    company: Company,
    once: IdempotencyKey,
    body: axum::body::Bytes,
    operation: Operation,
) -> Result<JsonAnswer> {
    let permission = needed(operation)?;
    let asked = company.clone();
    let look = move |conn: &mut Conn| asked.require_of(conn, None, permission);
    company.app.db.read(look).await?;
    quota::admit(&company.app, company.id(), operation.adds_to(), 0).await?;
    let parsed = parse_json(&body)?;
    let elements = elements(&company, &parsed)?;
    let caller = serde_json::to_string(&company.asker).map_err(Error::internal)?;
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
    let operations = queued.iter().map(Shown::of).collect();
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
    if elements.len() > MOST {
        return Err(fields.fault("operations", &TOO_MANY, &[&MOST.to_string()]));
    }
    Ok(elements)
}

/// What an element asks for. One that is malformed is refused by itself, when it is its turn.
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
struct Shown<'a> {
    operation_id: Uuid,
    created_on: Option<i64>,
    completed_on: Option<i64>,
    operation_status: &'a str,
    data: Told<'a>,
    operation_errors: Option<&'a RawValue>,
}

/// What an element's caller is told, as it is kept: JSON already.
#[derive(Serialize)]
#[serde(untagged)]
enum Told<'a> {
    Something(&'a RawValue),
    Nothing {},
}

impl<'a> Shown<'a> {
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
            data: raw(&element.result).map_or(Told::Nothing {}, Told::Something),
            operation_errors: raw(&element.errors),
        }
    }

    /// One that there is not.
    fn unknown(id: Uuid) -> Self {
        Self {
            operation_id: id,
            created_on: None,
            completed_on: None,
            operation_status: NOT_FOUND,
            data: Told::Nothing {},
            operation_errors: None,
        }
    }
}

/// The vendor's model of several.
#[derive(Serialize)]
struct Operations<'a> {
    operations: Vec<Shown<'a>>,
}

impl Operations<'_> {
    fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(Error::internal)
    }
}

/// Tells how far elements are, in the order in which they are asked for.
async fn status(company: Company, body: &Value, operation: Operation) -> Result<JsonAnswer> {
    company.may(needed(operation)?).await?;
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
    let asked = found.iter().filter(|one| one.path == name(operation));
    let known: HashMap<Uuid, &Element> = asked.map(|one| (one.id, one)).collect();
    let shown = |id: &Uuid| match known.get(id) {
        Some(element) => Shown::of(element),
        None => Shown::unknown(*id),
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
            let shown = Shown {
                data: Told::Nothing {},
                ..Shown::of(element)
            };
            json!(shown)
        })
        .collect();
    Ok(wrapped(&page(&items, skip, top, total)))
}

macro_rules! calls {
    ($($operation:ident $path:literal $start:ident $status:ident;)*) => {$(
        #[doc = concat!("Queue many calls at once. Their companion is `", $path, "/status`.")]
        #[utoipa::path(post, path = $path, tag = "documents", request_body = Value, responses((status = 200, body = Value)))]
        pub(super) async fn $start(company: Company, once: IdempotencyKey, Raw(body): Raw) -> Result<JsonAnswer> {
            start(company, once, body, Operation::$operation).await
        }

        #[doc = concat!("Ask how far the elements of `", $path, "` are.")]
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

/// The work of bulk elements, for the worker of bulk calls.
#[derive(Clone)]
pub struct Elements(pub App);

impl BulkHandler for Elements {
    fn prepare(&self, element: Element) -> BoxFuture<'static, Result<Work>> {
        let app = self.0.clone();
        Box::pin(async move {
            let asker: Asker = serde_json::from_str(&element.caller).map_err(Error::internal)?;
            let data: Value = serde_json::from_str(&element.data).map_err(Error::internal)?;
            let language = asker.language;
            let operation = CALLS.iter().find(|(name, _)| *name == element.path);
            let (_, operation) =
                operation.ok_or_else(|| Error::internal("a bulk call of an unknown kind"))?;
            // Whoever has asked may have lost the right meanwhile.
            let company = Company::again(&app, element.workspace, asker).await?;
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
        let asker: Asker = serde_json::from_str(&element.caller).ok()?;
        Some(Actor::with_token(
            asker.token,
            asker.user,
            element.workspace,
        ))
    }

    fn describe(&self, element: &Element, error: &Error) -> (Value, bool) {
        let asker: Option<Asker> = serde_json::from_str(&element.caller).ok();
        let language = asker.as_ref().map(|asker| asker.language);
        let language = language.unwrap_or_default();
        (described(error, language), is_fault(error))
    }
}

const REQUIRED: Said = Said::new(
    "Поле {} обязательно.",
    "{} өрісі міндетті.",
    "The field {} is required.",
);
const NO_OBJECT: Said = Said::new(
    "Поле {} должно быть объектом.",
    "{} өрісі объект болуы керек.",
    "The field {} must be an object.",
);
const TOO_MANY: Said = Said::new(
    "Поле {} содержит больше {} элементов.",
    "{} өрісінде {} элементтен көп.",
    "The field {} has more than {} elements.",
);
const BAD_ID: Said = Said::new(
    "Поле {} должно быть UUID.",
    "{} өрісі UUID болуы керек.",
    "The field {} must be a UUID.",
);
