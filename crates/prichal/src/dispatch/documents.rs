//! Calls of companies' document hooks (`docs/contracts/idocs.md §3`): in the vendor's words and with his
//! signature, and strictly in order for each document.
//!
//! The runner never makes two calls at once for the same document, and it holds the next one back until
//! what came of the last is written. What is left is an event that waits for another try: before each
//! call the store is asked whether an earlier one of the document does, and then this one waits with it.
//! So a company hears of a document's statuses in their order, each after the one before was taken or,
//! when all its tries were used up, given up.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::Bytes;
use prichal_core::{retry::Reply, time::Timestamp};
use prichal_dialect::idocs::{self, event::StatusChange};
use prichal_store::{
    LoggedEvent,
    delivery::Lane,
    document_hook::{self, DocumentHook, Turn},
    webhook::Lease,
};
use uuid::Uuid;

use super::{
    call::{JSON, REPLAY, USER_AGENT, bad_url, post},
    runner::{Ended, PAUSE},
};
use crate::{
    app::App,
    document_hook::Secrets,
    outgoing::{connections::Connections, signature::sign_document_event, target::Target},
};

const EVENT_ID: HeaderName = HeaderName::from_static(idocs::header::EVENT_ID);
const TIMESTAMP: HeaderName = HeaderName::from_static(idocs::header::TIMESTAMP);
const SIGNATURE: HeaderName = HeaderName::from_static(idocs::header::SIGNATURE);

/// Tells a company of an event of its log, if it is the event's turn. `attempt` is the number of the call
/// for this event.
pub(super) async fn tell(
    app: &App,
    lease: &Lease,
    connections: &Connections,
    event: &LoggedEvent,
    lane: Lane,
    attempt: u32,
) -> Ended {
    let (Some(change), Some((_, document))) =
        (StatusChange::read(&event.body), event.entities().first())
    else {
        tracing::warn!(workspace = %event.workspace, event.id = %event.id, "an event of a document says nothing of its status");
        return Ended::Skipped;
    };
    let (lease, seq, document) = (*lease, event.seq, *document);
    let turn = app
        .db
        .read(move |conn| document_hook::turn(conn, &lease, lane, seq, document));
    let hook = match turn.await {
        Ok(Turn::Call(hook)) => hook,
        Ok(Turn::Wait(until)) => return Ended::Postponed(until),
        Ok(Turn::Lost) => return Ended::Lost,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, webhook.id = %lease.key.id, "cannot read whom to call");
            return Ended::Postponed(app.clock.now() + PAUSE);
        }
    };
    let body = change.body(event.workspace, seq, Some(attempt));
    let body = Bytes::from(body.to_string());
    let now = app.clock.now();
    let target = match Target::parse(&hook.url) {
        Ok(target) => target,
        Err(error) => return Ended::Called(bad_url(now, error.to_string())),
    };
    let headers = headers(app, &hook, event.id.0, lane, &body, now);
    let read = |answer: &crate::outgoing::Answer| Reply::AnsweredPlainly {
        status: answer.status,
    };
    Ended::Called(post(app, connections, &target, headers, body, read).await)
}

fn headers(
    app: &App,
    hook: &DocumentHook,
    event: Uuid,
    lane: Lane,
    body: &[u8],
    now: Timestamp,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    let mut put = |name: HeaderName, value: String| {
        // All of these are ASCII that we made.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    put(EVENT_ID, event.to_string());
    put(TIMESTAMP, now.secs().to_string());
    match Secrets::open(&app.vault, hook.workspace, &hook.secrets) {
        Ok(secrets) => put(
            SIGNATURE,
            sign_document_event(secrets.good_at(now), now.secs(), body),
        ),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, workspace = %hook.workspace, "calls go out without a signature");
        }
    }
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::USER_AGENT, USER_AGENT);
    if lane == Lane::Replay {
        headers.insert(REPLAY, HeaderValue::from_static("true"));
    }
    headers
}
