//! The operations on documents. A single call does one at once, a bulk call has each of its elements done
//! later: both prepare it from the same body and write it in one transaction.

use bytes::Bytes;
use prichal_core::document::{self as core, Document, Refusal};
use prichal_store::{Conn, Tx, document as store, usage::Kind};
use serde_json::Value;
use uuid::Uuid;

use super::{
    actions, blobs,
    caller::{Company, Employee},
    document_routes, documents, downloads,
    error_response::VALIDATION_ERROR,
    language::Said,
    read::Fields,
    signing,
};
use crate::{
    domain::document::{bulk::Work, record::Performer},
    error::{Error, Result},
    http::idempotency::{IdempotencyKey, JsonAnswer, first_answer, write_once},
    platform::{quota, reading::parse_json},
};

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    CreateInternal,
    Route,
    QuickRoute,
    InternalRoute,
    InboxRoute,
    OutboxContent,
    OutboxSign,
    InboxContent,
    InboxSign,
    Act,
    Recall,
    Reject,
    Decline,
    Download,
}

/// An operation that only has to be written. Null stands for nothing to say.
pub(super) struct Prepared(Work);

impl Prepared {
    pub(super) fn new(write: impl FnMut(&mut Tx<'_>) -> Result<Value> + Send + 'static) -> Self {
        Self(Box::new(write))
    }

    pub(super) fn write(&mut self, tx: &mut Tx<'_>) -> Result<Value> {
        (self.0)(tx)
    }

    /// The same for the worker of bulk calls.
    pub(super) fn into_work(self) -> Work {
        self.0
    }
}

impl Operation {
    /// The permission that an employee needs for it. An act on a route needs that of its action.
    pub(super) fn permission(self) -> Option<&'static str> {
        match self {
            Self::Create | Self::CreateInternal => Some("DOCUMENT_CREATE"),
            Self::Route | Self::QuickRoute | Self::InternalRoute | Self::InboxRoute => {
                Some("ROUTE_CREATE")
            }
            Self::OutboxContent | Self::OutboxSign | Self::InboxContent | Self::InboxSign => {
                Some("DOCUMENT_SIGN")
            }
            Self::Recall | Self::Reject | Self::Decline => Some("DOCUMENT_REJECT"),
            Self::Download => Some("DOCUMENT_DOWNLOAD"),
            Self::Act => None,
        }
    }

    /// The employee that a body names, if it can be read.
    fn named(self, fields: &Fields<'_>) -> Option<Uuid> {
        let named = match self {
            Self::Create | Self::CreateInternal => {
                let metadata = fields.object("documentMetadata").ok()??;
                metadata.id("documentAuthorEmployeeId")
            }
            Self::OutboxContent | Self::OutboxSign | Self::InboxContent | Self::InboxSign => {
                fields.id("signedByEmployeeId")
            }
            _ => fields.id("employeeId"),
        };
        named.ok()?
    }

    /// Refuses whoever may not do it, before his body is found fault with or a first answer is given again.
    pub(super) async fn permit(self, company: &Company, data: Option<&Value>) -> Result<()> {
        let fields = data.and_then(|data| Fields::of(data, company.language()).ok());
        let act = || actions::permission(fields.as_ref()?);
        let Some(permission) = self.permission().or_else(act) else {
            return Ok(());
        };
        let named = fields.as_ref().and_then(|fields| self.named(fields));
        let asked = company.clone();
        let look = move |conn: &mut Conn| asked.require_of(conn, named, permission);
        company.app.db.read(look).await
    }

    /// The kinds of bytes that it adds to. Whatever ends a document is never refused by a quota.
    pub(super) fn adds_to(self) -> &'static [Kind] {
        match self {
            Self::Recall | Self::Reject | Self::Decline => &[],
            Self::OutboxContent | Self::InboxContent | Self::Download => {
                &[Kind::Events, Kind::Records, Kind::Files]
            }
            _ => &[Kind::Events, Kind::Records],
        }
    }

    /// Reads what is asked for, and does all that cannot be done within a transaction.
    pub(super) async fn prepare(self, company: &Company, data: &Value) -> Result<Prepared> {
        quota::admit(&company.app, company.id(), self.adds_to(), 0).await?;
        match self {
            Self::Create => documents::create(company, data, core::Kind::External),
            Self::CreateInternal => documents::create(company, data, core::Kind::Internal),
            Self::Route => document_routes::outbox(company, data, false),
            Self::QuickRoute => document_routes::outbox(company, data, true),
            Self::InternalRoute => document_routes::internal(company, data),
            Self::InboxRoute => document_routes::inbox(company, data),
            Self::OutboxContent => signing::content(company, data, core::Direction::Outbox).await,
            Self::InboxContent => signing::content(company, data, core::Direction::Inbox).await,
            Self::OutboxSign => signing::save(company, data, core::Direction::Outbox).await,
            Self::InboxSign => signing::save(company, data, core::Direction::Inbox).await,
            Self::Act => actions::act(company, data).await,
            Self::Recall => actions::recall(company, data),
            Self::Reject => actions::reject(company, data),
            Self::Decline => actions::decline(company, data),
            Self::Download => downloads::archive(company, data).await,
        }
    }
}

/// Does an operation at once.
pub(super) async fn perform(
    company: Company,
    once: IdempotencyKey,
    body: Bytes,
    operation: Operation,
) -> Result<JsonAnswer> {
    let data = parse_json(&body);
    operation.permit(&company, data.as_ref().ok()).await?;
    let data = data?;
    if once.is_given()
        && let Some(first) = first_answer(&company, &once, &body).await?
    {
        return Ok(first);
    }
    let mut prepared = operation.prepare(&company, &data).await?;
    write_once(&company, once, &body, move |tx| {
        Ok(match prepared.write(tx)? {
            Value::Null => String::new(),
            answer => answer.to_string(),
        })
    })
    .await
}

/// A document that the company sees, held until the end of the transaction.
pub(super) fn hold(tx: &mut Tx<'_>, company: &Company, id: Uuid) -> Result<Document> {
    store::find_for_update(tx, company.id(), id)?.ok_or_else(|| missing(company, id))
}

pub(super) fn missing(company: &Company, id: Uuid) -> Error {
    Error::NotFound(DOCUMENT.text(company.language(), &[&id.to_string()]))
}

/// Who does it.
pub(super) fn performer(company: &Company, employee: &Employee) -> Performer {
    Performer {
        company: company.id(),
        employee: employee.id,
        by: company.by(employee),
        at: company.now,
    }
}

/// Why the model says no.
pub(super) fn refused(company: &Company, id: Uuid, refusal: Refusal) -> Error {
    match refusal {
        Refusal::NotVisible => missing(company, id),
        Refusal::WrongKind => company.refuse(&WRONG_KIND, &[]),
        Refusal::WrongStatus(status) => company.refuse(&WRONG_STATUS, &[status.name()]),
        Refusal::NotYourTurn => company.refuse(&NOT_YOUR_TURN, &[]),
        Refusal::WrongAction(action) => company.refuse(&WRONG_ACTION, &[action.name()]),
        Refusal::InternalFirst => company.refuse(&INTERNAL_FIRST, &[]),
    }
}

/// Refuses with a text that was put together already.
pub(super) fn invalid(text: impl Into<String>) -> Error {
    Error::refused(VALIDATION_ERROR, text)
}

/// Names a blob that is not there.
pub(super) fn no_blob(company: &Company, id: Uuid) -> Error {
    Error::NotFound(blobs::BLOB.text(company.language(), &[&id.to_string()]))
}

const DOCUMENT: Said = Said::new("документ {}", "{} құжаты", "document {}");
const WRONG_KIND: Said = Said::new(
    "Действие не подходит для этого вида документа.",
    "Бұл әрекет құжаттың осы түріне сай емес.",
    "This cannot be done with this kind of document.",
);
const WRONG_STATUS: Said = Said::new(
    "Действие недоступно для документа в статусе {}.",
    "{} мәртебесіндегі құжатпен бұл әрекетті орындауға болмайды.",
    "This cannot be done with a document in the status {}.",
);
const NOT_YOUR_TURN: Said = Said::new(
    "Маршрут сейчас не ждёт действия этого сотрудника.",
    "Бағыт қазір бұл қызметкердің әрекетін күтпейді.",
    "The route does not wait for this employee now.",
);
const WRONG_ACTION: Said = Said::new(
    "Узел маршрута ждёт действия {}.",
    "Бағыт түйіні {} әрекетін күтеді.",
    "The node of the route waits for the action {}.",
);
const INTERNAL_FIRST: Said = Said::new(
    "Сначала должен завершиться внутренний маршрут.",
    "Алдымен ішкі бағыт аяқталуы керек.",
    "The internal route has to be completed first.",
);
