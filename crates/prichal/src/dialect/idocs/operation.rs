//! The operations on documents. A single call executes one at once, a bulk call queues one for each element. Both
//! prepare it from the same body, and write it in one transaction.

use bytes::Bytes;
use prichal_core::document::{Direction, Kind};
use prichal_dialect::idocs::document::DocumentBase;
use prichal_store::usage;
use serde_json::Value;
use uuid::Uuid;

use super::{
    actions::{self, Ending, NodeAction},
    answer::EmptyResponse,
    caller::Company,
    document_routes::{self, NewInboxRoute, NewInternalRoute, NewQuickRoute, NewRoute},
    documents::{self, NewDocument},
    downloads::{self, ArchiveLink, DownloadRequest},
    prepared::Prepared,
    read::Fields,
    signing::{self, ContentRequest, SignContent, SubmittedSignature},
};
use crate::{
    domain::document::bulk::Work,
    error::Result,
    http::idempotency::{IdempotencyKey, JsonAnswer, first_answer, write_once},
    platform::{quota, reading::parse_json},
};

/// Defines the operations: each has a body, an answer, and a preparation, which does all that cannot be done in a
/// transaction. The modules `body` and `answer` have the types under the names of the operations.
macro_rules! operations {
    ($($name:ident($company:ident, $data:ident: $body:ident) -> $answer:ident { $prepare:expr })+) => {
        /// An operation on a document.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Operation {$(
            $name,
        )+}

        pub(super) mod body {
            $(pub(in super::super) type $name = super::$body;)+
        }

        pub(super) mod answer {
            $(pub(in super::super) type $name = super::$answer;)+
        }

        impl Operation {
            /// Reads the body, and prepares the operation.
            pub(super) async fn prepare(self, company: &Company, data: &Value) -> Result<Work> {
                quota::admit(&company.app, company.id(), self.adds_to(), 0).await?;
                match self {$(
                    Self::$name => {
                        let ($company, $data) = (company, company.read::<body::$name>(data)?);
                        let prepared: Prepared<answer::$name> = $prepare;
                        Ok(prepared.into_work())
                    }
                )+}
            }
        }
    };
}

operations! {
    Create(company, data: NewDocument) -> DocumentBase {
        documents::create(company, data, Kind::External)
    }
    CreateInternal(company, data: NewDocument) -> DocumentBase {
        documents::create(company, data, Kind::Internal)
    }
    Route(company, data: NewRoute) -> EmptyResponse {
        document_routes::outbox(company, data)?
    }
    QuickRoute(company, data: NewQuickRoute) -> Nothing {
        document_routes::quick(company, data)?
    }
    InternalRoute(company, data: NewInternalRoute) -> EmptyResponse {
        document_routes::internal(company, data)
    }
    InboxRoute(company, data: NewInboxRoute) -> EmptyResponse {
        document_routes::inbox(company, data)
    }
    OutboxContent(company, data: ContentRequest) -> SignContent {
        signing::content(company, &data, Direction::Outbox).await?
    }
    OutboxSign(company, data: SubmittedSignature) -> Nothing {
        signing::save(company, data, Direction::Outbox).await?
    }
    InboxContent(company, data: ContentRequest) -> SignContent {
        signing::content(company, &data, Direction::Inbox).await?
    }
    InboxSign(company, data: SubmittedSignature) -> Nothing {
        signing::save(company, data, Direction::Inbox).await?
    }
    Act(company, data: NodeAction) -> EmptyResponse {
        actions::act(company, data).await?
    }
    Recall(company, data: Ending) -> EmptyResponse {
        actions::recall(company, data)
    }
    Reject(company, data: Ending) -> EmptyResponse {
        actions::reject(company, data)
    }
    Decline(company, data: Ending) -> EmptyResponse {
        actions::decline(company, data)
    }
    Download(company, data: DownloadRequest) -> ArchiveLink {
        downloads::archive(company, data).await?
    }
}

/// The answer without a body.
type Nothing = ();

impl Operation {
    /// The name of the single call that changes what an element of a bulk call does. None if it reads.
    pub(super) const fn single(self) -> Option<&'static str> {
        match self {
            Self::Create => Some("create_outbox"),
            Self::CreateInternal => Some("create_internal"),
            Self::Route => Some("create_route"),
            Self::QuickRoute => Some("create_quick_route"),
            Self::InternalRoute => Some("create_internal_route"),
            Self::InboxRoute => Some("create_inbox_route"),
            Self::OutboxSign => Some("outbox_sign"),
            Self::InboxSign => Some("inbox_sign"),
            Self::Act => Some("act_on_route"),
            Self::Recall => Some("recall_document"),
            Self::Reject => Some("reject_document"),
            Self::Decline => Some("decline_document"),
            Self::OutboxContent | Self::InboxContent | Self::Download => None,
        }
    }

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
        let fields = data.and_then(|data| Fields::of(data, company.reading()).ok());
        let act = || actions::permission(fields.as_ref()?);
        let Some(permission) = self.permission().or_else(act) else {
            return Ok(());
        };
        let named = fields.as_ref().and_then(|fields| self.named(fields));
        company.may_for(named, permission).await
    }

    /// The kinds of records whose quotas apply. An operation that ends a document is never refused by a quota.
    pub(super) fn adds_to(self) -> &'static [usage::Kind] {
        match self {
            Self::Recall | Self::Reject | Self::Decline => &[],
            Self::OutboxContent | Self::InboxContent | Self::Download => &[
                usage::Kind::Events,
                usage::Kind::Records,
                usage::Kind::Files,
            ],
            _ => &[usage::Kind::Events, usage::Kind::Records],
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
    let mut work = operation.prepare(&company, &data).await?;
    write_once(&company, once, &body, move |tx| {
        Ok(work(tx)?.unwrap_or_default())
    })
    .await
}
