//! The operations on documents. A single call executes one at once, a bulk call queues one for each element. Both
//! prepare it from the same body, and write it in one transaction.

use bytes::Bytes;
use prichal_core::document as core;
use prichal_store::usage::Kind;
use serde_json::Value;
use uuid::Uuid;

use super::{
    actions, caller::Company, document_routes, documents, downloads, prepared::Prepared,
    read::Fields, signing,
};
use crate::{
    error::Result,
    http::idempotency::{IdempotencyKey, JsonAnswer, first_answer, write_once},
    platform::{quota, reading::parse_json},
};

/// An operation on a document.
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

impl Operation {
    /// The permission for the operation; `None` for an act on a route, which needs the permission of its action.
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

    /// The employee that the body names, if the member is valid.
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

    /// Refuses a caller without the permission. This precedes the check of the body and the repetition of a first answer.
    pub(super) async fn permit(self, company: &Company, data: Option<&Value>) -> Result<()> {
        let fields = data.and_then(|data| Fields::of(data, company.language()).ok());
        let act = || actions::permission(fields.as_ref()?);
        let Some(permission) = self.permission().or_else(act) else {
            return Ok(());
        };
        let named = fields.as_ref().and_then(|fields| self.named(fields));
        company.may_for(named, permission).await
    }

    /// The kinds of records whose quotas apply. An operation that ends a document is never refused by a quota.
    pub(super) fn adds_to(self) -> &'static [Kind] {
        match self {
            Self::Recall | Self::Reject | Self::Decline => &[],
            Self::OutboxContent | Self::InboxContent | Self::Download => {
                &[Kind::Events, Kind::Records, Kind::Files]
            }
            _ => &[Kind::Events, Kind::Records],
        }
    }

    /// Reads the body, and does all that cannot be done in a transaction.
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

/// Executes an operation, at most once for each `Idempotency-Key`.
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
