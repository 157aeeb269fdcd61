//! Operations that the vendor lacks: acting on an internal route, recall, rejection (`docs/contracts/idocs.md §1.10`).

use prichal_core::document::{Action, Direction, Operation as Step, limits::MAX_REASON};
use serde_json::{Value, json};

use super::{
    caller::Company,
    language::Localized,
    prepared::{Prepared, lock_document, performer, refused},
    read::Fields,
    signing::{SubmittedSignature, check_signature},
};
use crate::{
    domain::document::record,
    error::{Error, Result},
};

pub(super) fn recall(company: &Company, data: &Value) -> Result<Prepared> {
    end(company, data, |reason| Step::Recall { reason })
}

pub(super) fn reject(company: &Company, data: &Value) -> Result<Prepared> {
    end(company, data, |reason| Step::Reject { reason })
}

pub(super) fn decline(company: &Company, data: &Value) -> Result<Prepared> {
    end(company, data, |reason| Step::Decline { reason })
}

fn reason(fields: &Fields<'_>) -> Result<Option<String>> {
    let reason = fields.text_up_to("reason", MAX_REASON)?;
    Ok(reason
        .filter(|reason| !reason.trim().is_empty())
        .map(str::to_owned))
}

fn end(company: &Company, data: &Value, step: fn(Option<String>) -> Step) -> Result<Prepared> {
    let fields = Fields::of(data, company.language())?;
    let step = step(reason(&fields)?);
    apply(company, &fields, "DOCUMENT_REJECT", step, false)
}

/// Prepares a step of the employee whom the body names.
fn apply(
    company: &Company,
    fields: &Fields<'_>,
    permission: &'static str,
    step: Step,
    inside: bool,
) -> Result<Prepared> {
    let id = fields.need_id("documentId")?;
    let employee = fields.need_id("employeeId")?;
    let company = company.clone();
    Ok(Prepared::new(move |tx| {
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
        Ok(json!({}))
    }))
}

/// The permission that an employee needs to act on a route, if the body says which action it is.
pub(super) fn permission(fields: &Fields<'_>) -> Option<&'static str> {
    fields.need_word::<Action>("action").ok()?.permission()
}

pub(super) async fn act(company: &Company, data: &Value) -> Result<Prepared> {
    let fields = Fields::of(data, company.language())?;
    let action: Action = fields.need_word("action")?;
    let step = Step::Act {
        action,
        reason: reason(&fields)?,
    };
    match action.permission() {
        None => Err(fields.fault("action", &NOTHING_TO_DO, &[])),
        Some(_) if action == Action::Sign => sign(company, &fields, step).await,
        Some(permission) => apply(company, &fields, permission, step, true),
    }
}

/// Prepares the signing of a node of an internal route.
async fn sign(company: &Company, fields: &Fields<'_>, step: Step) -> Result<Prepared> {
    let signature = fields.need_object("signature")?;
    let submitted = SubmittedSignature {
        document: fields.need_id("documentId")?,
        signer: fields.need_id("employeeId")?,
        blob: signature.need_id("blobId")?,
        ticket: fields.id("idempotencyTicket")?,
    };
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
        return Ok(Prepared::new(|_| Ok(json!({}))));
    };
    let company = company.clone();
    Ok(Prepared::new(move |tx| {
        checked.write(tx, &company, &step)?;
        Ok(json!({}))
    }))
}

const NOTHING_TO_DO: Localized = Localized::new(
    "Поле {}: для INFORM ничего делать не нужно.",
    "{} өрісі: INFORM үшін ештеңе істеу қажет емес.",
    "The field {}: INFORM asks for nothing to be done.",
);
