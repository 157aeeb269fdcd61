//! The calls that execute one operation at once (`docs/contracts/idocs.md §1.2, §1.10`).

use super::{
    caller::Company,
    operation::{Operation, answer, body, perform},
};
use crate::{
    error::Result,
    http::{
        body::Raw,
        idempotency::{IdempotencyKey, JsonAnswer},
    },
};

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident $path:literal $operation:ident;)*) => {$(
        $(#[$doc])*
        #[utoipa::path(post, path = $path, tag = "documents", request_body = body::$operation,
            responses((status = 200, body = answer::$operation)))]
        pub(super) async fn $name(company: Company, once: IdempotencyKey, Raw(sent): Raw) -> Result<JsonAnswer> {
            perform(company, once, sent, Operation::$operation).await
        }
    )*};
}

calls! {
    /// Create an outgoing document: a draft.
    create_outbox "/api/v3/sync/external/outbox/document/create" Create;
    /// Create an internal document: a draft.
    create_internal "/api/v3/sync/internal/document/create" CreateInternal;
    /// Give an outgoing document its full route, which starts at once.
    create_route "/api/v3/sync/external/outbox/route/create" Route;
    /// Give an outgoing document a quick route: it is sent when the sender signs it.
    create_quick_route "/api/v3/sync/external/outbox/route/quick-route/create" QuickRoute;
    /// Give an incoming document an internal route of employees.
    create_inbox_route "/api/v3/sync/external/inbox/route/create" InboxRoute;
    /// Give an internal document its route.
    create_internal_route "/api/v3/sync/internal/route/create" InternalRoute;
    /// Get the content of an outgoing or internal document to sign.
    outbox_content "/api/v3/sync/external/outbox/signature/content-to-sign/generate" OutboxContent;
    /// Get the content of an incoming document to sign.
    inbox_content "/api/v3/sync/external/inbox/signature/content-to-sign/generate" InboxContent;
    /// Sign an outgoing document, which is sent, or an internal one.
    outbox_sign "/api/v3/sync/external/outbox/signature/quick-sign/save" OutboxSign;
    /// Sign an incoming document, which completes the company's part.
    inbox_sign "/api/v3/sync/external/inbox/signature/quick-sign/save" InboxSign;
    /// Take the action of a node of an internal route, or refuse.
    act_on_route "/api/v3/sync/internal/route/action" Act;
    /// Recall a sent document, as long as no recipient has signed.
    recall_document "/api/v3/sync/external/outbox/document/recall" Recall;
    /// Refuse an incoming document.
    reject_document "/api/v3/sync/external/inbox/document/reject" Reject;
    /// Refuse the sender's last signature.
    decline_document "/api/v3/sync/external/outbox/document/reject" Decline;
}
