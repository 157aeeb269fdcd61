//! What the vendor leaves out: acting on an internal route, taking back, refusing (`docs/contracts/idocs.md §1.10`).

use prichal_core::document::{Action, Direction, Operation as Step};
use serde_json::{Value, json};

use super::{
    caller::Company,
    language::Said,
    operation::{Prepared, hold, performer, refused},
    read::Fields,
    signing::{Given, take},
};
use crate::{
    domain::document::record,
    error::{Error, Result},
};

/// The longest reason.
const REASON: usize = 1000;

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
    let reason = fields.text_up_to("reason", REASON)?;
    Ok(reason
        .filter(|reason| !reason.trim().is_empty())
        .map(str::to_owned))
}

fn end(company: &Company, data: &Value, step: fn(Option<String>) -> Step) -> Result<Prepared> {
    let fields = Fields::of(data, company.language())?;
    let step = step(reason(&fields)?);
    apply(company, &fields, "DOCUMENT_REJECT", step, false)
}

/// Does one step of an employee who is named in the body.
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
        let mut document = hold(tx, &company, id)?;
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

fn needs(action: Action) -> Option<&'static str> {
    match action {
        Action::Approve => Some("DOCUMENT_APPROVE"),
        Action::Reject => Some("DOCUMENT_REJECT"),
        Action::Sign => Some("DOCUMENT_SIGN"),
        Action::Inform => None,
    }
}

/// The permission that an employee needs to act on a route, if the body says which action it is.
pub(super) fn permission(fields: &Fields<'_>) -> Option<&'static str> {
    needs(fields.need_word("action").ok()?)
}

pub(super) async fn act(company: &Company, data: &Value) -> Result<Prepared> {
    let fields = Fields::of(data, company.language())?;
    let action: Action = fields.need_word("action")?;
    let step = Step::Act {
        action,
        reason: reason(&fields)?,
    };
    match needs(action) {
        None => Err(fields.fault("action", &NOTHING_TO_DO, &[])),
        Some(_) if action == Action::Sign => sign(company, &fields, step).await,
        Some(permission) => apply(company, &fields, permission, step, true),
    }
}

/// A node that has to sign does so with a signature, as everybody else.
async fn sign(company: &Company, fields: &Fields<'_>, step: Step) -> Result<Prepared> {
    let signature = fields.need_object("signature")?;
    let given = Given {
        document: fields.need_id("documentId")?,
        signer: fields.need_id("employeeId")?,
        blob: signature.need_id("blobId")?,
        ticket: fields.id("idempotencyTicket")?,
    };
    let (asked, id) = (company.clone(), given.document);
    let side = company
        .app
        .db
        .read(move |conn| {
            let found = prichal_store::document::find(conn, asked.id(), id)?;
            let side = found.and_then(|document| document.direction(asked.id()));
            Ok::<_, Error>(side.unwrap_or(Direction::Outbox))
        })
        .await?;
    let Some(mut taken) = take(company, given, side).await? else {
        return Ok(Prepared::new(|_| Ok(json!({}))));
    };
    let company = company.clone();
    Ok(Prepared::new(move |tx| {
        taken.write(tx, &company, &step)?;
        Ok(json!({}))
    }))
}

const NOTHING_TO_DO: Said = Said::new(
    "Поле {}: для INFORM ничего делать не нужно.",
    "{} өрісі: INFORM үшін ештеңе істеу қажет емес.",
    "The field {}: INFORM asks for nothing to be done.",
);
