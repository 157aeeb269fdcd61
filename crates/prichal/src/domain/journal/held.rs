//! The tenant's view of work in quarantine: it has failed, with the reason, and does not wait.

use prichal_core::{
    event::EventHead,
    id::{EventId, IntegrationId, RunId, WebhookId, generate},
    time::Timestamp,
};
use prichal_store::{
    Tx, bulk,
    delivery::{self, Attempt, Exchange},
    event,
    quarantine::{HELD, Item, Kind},
    run, signature,
    webhook::Key,
};
use serde_json::{Value, json};

use crate::{
    domain::document::bulk::{CREATED, FAILED},
    error::{Error, Result},
};

/// The member of a signature's report with the reason why the signature is not checked again.
pub const MEMBER: &str = "held";

/// Shows an item to its tenant as failed because it is held.
pub fn show(tx: &mut Tx<'_>, item: &Item, now: Timestamp) -> Result<()> {
    match item.kind {
        Kind::Run => show_run(tx, item, now),
        Kind::Delivery => show_delivery(tx, item, now),
        Kind::Bulk => {
            let errors = errors(HELD);
            Ok(bulk::show(
                tx,
                item.workspace,
                item.id,
                FAILED,
                Some(&errors),
            )?)
        }
        Kind::Recheck => set_reason(tx, item, Some(HELD)),
        // Tenants do not see scheduled calls and steps of retention. A telephone call stays active until it is given
        // up.
        Kind::Tick | Kind::Call | Kind::Retention => Ok(()),
    }
}

/// Shows an item to its tenant as waiting again, after its release.
pub fn clear(tx: &mut Tx<'_>, item: &Item) -> Result<()> {
    match item.kind {
        Kind::Run => {
            run::show(tx, item.workspace, RunId(item.id), None)?;
            Ok(())
        }
        Kind::Bulk => Ok(bulk::show(tx, item.workspace, item.id, CREATED, None)?),
        Kind::Recheck => set_reason(tx, item, None),
        Kind::Delivery | Kind::Tick | Kind::Call | Kind::Retention => Ok(()),
    }
}

/// The errors of a quarantined element of a bulk call.
pub fn errors(why: &str) -> String {
    let error = json!({
        "errorCode": "INTERNAL_SERVER_ERROR",
        "errorDescription": why,
        "errorDocumentationLink": null,
    });
    json!([error]).to_string()
}

/// Marks a run as failed. The run that sends a message also gets an attempt, because the sender sees its attempts.
fn show_run(tx: &mut Tx<'_>, item: &Item, now: Timestamp) -> Result<()> {
    let run = run::show(tx, item.workspace, RunId(item.id), Some(HELD))?;
    if let Some(run) = run.filter(|run| run.kind == run::Kind::Send) {
        let channel = run.lane.id.0;
        let of = (EventId(run.id.0), 0);
        let attempt = attempt(WebhookId(channel), of, None, run.state.attempts + 1, now);
        let channel = IntegrationId(channel);
        delivery::log::insert(tx, item.workspace, channel, &[attempt]);
    }
    Ok(())
}

fn show_delivery(tx: &mut Tx<'_>, item: &Item, now: Timestamp) -> Result<()> {
    let key = Key {
        workspace: item.workspace,
        integration: IntegrationId(item.parent),
        id: WebhookId(item.id),
    };
    let conn = tx.conn()?;
    let Some(event) = event::find(conn, key.workspace, item.seq)? else {
        return Ok(());
    };
    let number = delivery::calls_made(conn, key, item.seq)? + 1;
    let of = (event.id, item.seq);
    let attempt = attempt(key.id, of, Some(event.head), number, now);
    delivery::log::insert(tx, key.workspace, key.integration, &[attempt]);
    Ok(())
}

fn attempt(
    webhook: WebhookId,
    (event, seq): (EventId, i64),
    about: Option<EventHead>,
    number: i64,
    now: Timestamp,
) -> Attempt {
    Attempt {
        id: generate(now),
        webhook,
        event,
        seq,
        about,
        is_replay: false,
        exchange: Exchange::default(),
        attempt: number,
        status: "exhausted",
        http_status: None,
        duration_ms: 0,
        error: Some(HELD.to_owned()),
        answer: None,
        started_at: now,
    }
}

/// Sets the reason in a signature's report, or removes it.
fn set_reason(tx: &mut Tx<'_>, item: &Item, why: Option<&str>) -> Result<()> {
    let found = signature::find_due(tx.conn()?, item.workspace, item.id)?;
    let Some(signature) = found else {
        return Ok(());
    };
    let mut report: Value =
        serde_json::from_str(&signature.check.report).map_err(Error::internal)?;
    if let Some(members) = report.as_object_mut() {
        match why {
            Some(why) => members.insert(MEMBER.to_owned(), why.into()),
            None => members.shift_remove(MEMBER),
        };
    }
    Ok(signature::set_report(tx, &signature, &report.to_string())?)
}
