//! Operations that the vendor lacks: acting on an internal route, recall, rejection (`docs/contracts/idocs.md §1.10`).

use prichal_core::document::{Action, Direction, Operation as Step, limits::MAX_REASON};
use utoipa::openapi::{RefOr, Schema};
use uuid::Uuid;

use super::{
    answer::EmptyResponse,
    caller::Company,
    documents::BlobRef,
    language::Localized,
    member::{Content, Deferred, Text, bodies, one_of},
    prepared::{Prepared, lock_document, performer, refused},
    read::Fields,
    signing::{SubmittedSignature, check_signature},
};
use crate::{
    domain::document::record,
    error::{Error, Result},
};

bodies! {
    /// The end of a document.
    pub(super) struct Ending as EndDocumentVM {
        /// The document.
        document: Uuid = "documentId";
        /// The employee who ends it.
        employee: Uuid = "employeeId";
        /// The reason, which the other companies see.
        reason: Option<Text<MAX_REASON>> = "reason", "The amount is wrong";
    }

    /// The action of an employee on a route.
    pub(super) struct NodeAction as RouteActionVM {
        /// The document.
        document: Uuid = "documentId";
        /// The employee who acts.
        employee: Uuid = "employeeId";
        /// The action: that of the node, or `REJECT`.
        action: TakenAction = "action", "APPROVE";
        /// The reason of a refusal.
        reason: Option<Text<MAX_REASON>> = "reason";
        /// The uploaded signature, for `SIGN`.
        signature: Deferred<BlobRef> = "signature";
        /// The ticket of the content that was signed. Without one, the only valid ticket counts.
        ticket: Deferred<Option<Uuid>> = "idempotencyTicket";
    }
}

/// An action that an employee takes.
pub(super) struct TakenAction {
    action: Action,
    permission: &'static str,
}

impl Content for TakenAction {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        let Some(action) = fields.word::<Action>(name)? else {
            return Ok(None);
        };
        let permission = action.permission();
        let permission = permission.ok_or_else(|| fields.fault(name, &NOTHING_TO_DO, &[]))?;
        Ok(Some(Self { action, permission }))
    }

    fn schema() -> RefOr<Schema> {
        let all = Action::ALL.iter();
        let taken = all.filter(|action| action.permission().is_some());
        one_of(taken.map(|action| action.name())).into()
    }
}

pub(super) fn recall(company: &Company, ending: Ending) -> Prepared<EmptyResponse> {
    end(company, ending, |reason| Step::Recall { reason })
}

pub(super) fn reject(company: &Company, ending: Ending) -> Prepared<EmptyResponse> {
    end(company, ending, |reason| Step::Reject { reason })
}

pub(super) fn decline(company: &Company, ending: Ending) -> Prepared<EmptyResponse> {
    end(company, ending, |reason| Step::Decline { reason })
}

fn reason<const MAX: usize>(reason: Option<Text<MAX>>) -> Option<String> {
    let Text(reason) = reason?;
    (!reason.trim().is_empty()).then_some(reason)
}

fn end(
    company: &Company,
    ending: Ending,
    step: fn(Option<String>) -> Step,
) -> Prepared<EmptyResponse> {
    let step = step(reason(ending.reason));
    let (document, employee) = (ending.document, ending.employee);
    apply(
        company,
        document,
        (employee, "DOCUMENT_REJECT"),
        step,
        false,
    )
}

/// Prepares a step of an employee with the permission for it.
fn apply(
    company: &Company,
    id: Uuid,
    (employee, permission): (Uuid, &'static str),
    step: Step,
    inside: bool,
) -> Prepared<EmptyResponse> {
    let company = company.clone();
    Prepared::new(move |tx| {
        let employee = company.employee(tx.conn()?, employee, permission)?;
        let mut document = lock_document(tx, &company, id)?;
        let before = document.clone();
        let changes = document
            .apply(company.actor(&employee), step.clone(), company.now.secs())
            .map_err(|refusal| refused(&company, id, refusal))?;
        let performer = performer(&company, &employee);
        record::update(tx, &document, &changes, &performer)?;
        if inside {
            record::tell_route(tx, &document, Some(&before), &performer);
        }
        Ok(EmptyResponse {})
    })
}

/// The permission that an employee needs to act on a route, if the body says which action it is.
pub(super) fn permission(fields: &Fields<'_>) -> Option<&'static str> {
    fields.word::<Action>("action").ok()??.permission()
}

pub(super) async fn act(company: &Company, act: NodeAction) -> Result<Prepared<EmptyResponse>> {
    let TakenAction { action, permission } = act.action;
    let step = Step::Act {
        action,
        reason: reason(act.reason),
    };
    if action != Action::Sign {
        let employee = (act.employee, permission);
        return Ok(apply(company, act.document, employee, step, true));
    }
    let submitted = SubmittedSignature {
        document: act.document,
        signer: act.employee,
        blob: act.signature.0?,
        ticket: act.ticket.0?,
    };
    sign(company, submitted, step).await
}

/// Prepares the signing of a node of an internal route.
async fn sign(
    company: &Company,
    submitted: SubmittedSignature,
    step: Step,
) -> Result<Prepared<EmptyResponse>> {
    let (asked, id) = (company.clone(), submitted.document);
    let side = company
        .app
        .db
        .read(move |conn| {
            let found = prichal_store::document::find(conn, asked.id(), id)?;
            let side = found.and_then(|document| document.direction(asked.id()));
            Ok::<_, Error>(side.unwrap_or(Direction::Outbox))
        })
        .await?;
    let Some(mut checked) = check_signature(company, submitted, side).await? else {
        return Ok(Prepared::new(|_| Ok(EmptyResponse {})));
    };
    let company = company.clone();
    Ok(Prepared::new(move |tx| {
        checked.write(tx, &company, &step)?;
        Ok(EmptyResponse {})
    }))
}

const NOTHING_TO_DO: Localized = Localized::new(
    "Поле {}: для INFORM ничего делать не нужно.",
    "{} өрісі: INFORM үшін ештеңе істеу қажет емес.",
    "The field {}: INFORM asks for nothing to be done.",
);
