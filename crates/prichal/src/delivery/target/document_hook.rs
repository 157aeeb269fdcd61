//! Calls of companies' document hooks (`docs/contracts/idocs.md §3`): in the vendor's words and with his
//! signature, and strictly in order for each document.
//!
//! The runner never makes two calls at once for the same document, and it holds the next one back until
//! what came of the last is written. What is left is an event that waits for another try: before each
//! call the store is asked whether an earlier one of the document does, and then this one waits with it.
//! So a company hears of a document's statuses in their order, each after the one before was taken or,
//! when all its tries were used up, given up.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use prichal_core::{
    event::Origin,
    id::WorkspaceId,
    retry::{Reply, Schedule, Verdict},
    time::Timestamp,
};
use prichal_dialect::idocs::{self, event::StatusChange};
use prichal_store::{
    Conn, LoggedEvent, Tx,
    delivery::Lane,
    document,
    document_hook::{self, DocumentHook, Turn},
    webhook::{self, Key},
};
use uuid::Uuid;

use super::{Attempt, Ended, Health, Recipient, Standing, webhook::REPLAY};
use crate::{
    config::Config,
    delivery::{Delivery, Hook, commit::Batch, runner::PAUSE},
    domain::document_hook::Secrets,
    error::Result,
    platform::{
        outgoing::{
            Answer,
            post::{JSON, USER_AGENT, bad_url, post},
            signature::sign_document_event,
            target::Target,
        },
        vault::Vault,
    },
};

const EVENT_ID: HeaderName = HeaderName::from_static(idocs::header::EVENT_ID);
const TIMESTAMP: HeaderName = HeaderName::from_static(idocs::header::TIMESTAMP);
const SIGNATURE: HeaderName = HeaderName::from_static(idocs::header::SIGNATURE);

/// The document hooks of companies.
pub(super) struct DocumentHooks;

impl super::Target for DocumentHooks {
    fn owns(&self, key: Key) -> bool {
        key.integration == document_hook::INTEGRATION
    }

    fn find<'a>(
        &'a self,
        _: &'a Delivery,
        _: &'a Hook,
    ) -> BoxFuture<'a, Result<Option<Arc<dyn Recipient>>>> {
        // The address is looked up before each call.
        let company: Arc<dyn Recipient> = Arc::new(Company);
        Box::pin(std::future::ready(Ok(Some(company))))
    }

    fn schedule<'a>(&self, config: &'a Config) -> &'a Schedule {
        &config.document_retry_schedule
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn note(&self, standing: &mut Standing, batch: &mut Batch, verdict: Verdict, now: Timestamp) {
        let streak = &mut standing.streak;
        if verdict == Verdict::Delivered {
            if streak.on_success() {
                batch.streak = Some(*streak);
                batch.health = None;
            }
            return;
        }
        streak.on_failure(now, verdict == Verdict::Exhausted);
        batch.streak = Some(*streak);
        if streak.pauses(now) {
            batch.health = Some(Health::Paused);
        }
    }

    fn replayable(
        &self,
        conn: &mut Conn,
        workspace: WorkspaceId,
        cursor: i64,
        limit: i64,
    ) -> Result<Vec<LoggedEvent>> {
        Ok(document::events_after(conn, workspace, cursor, limit)?)
    }

    fn write_health(
        &self,
        _: &Vault,
        tx: &mut Tx<'_>,
        key: Key,
        health: Health,
        origin: &Origin,
    ) -> Result<()> {
        if health == Health::Paused {
            webhook::pause(tx, key)?;
            document_hook::set_paused(tx, key, origin.at)?;
        }
        Ok(())
    }
}

/// A company that hears of its documents.
struct Company;

impl Recipient for Company {
    fn deliver<'a>(&'a self, app: &'a Delivery, attempt: Attempt<'a>) -> BoxFuture<'a, Ended> {
        Box::pin(tell(app, attempt))
    }
}

/// Tells a company of an event of its log, if it is the event's turn.
async fn tell(app: &Delivery, attempt: Attempt<'_>) -> Ended {
    let Attempt {
        lease,
        connections,
        event,
        lane,
        number,
    } = attempt;
    let (Some(change), Some((_, document))) =
        (StatusChange::read(&event.body), event.entities().first())
    else {
        tracing::warn!(workspace = %event.workspace, event.id = %event.id, "an event of a document says nothing of its status");
        return Ended::Skipped;
    };
    let (seq, document) = (event.seq, *document);
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
    let body = change.body(event.workspace, seq, Some(number));
    let body = Bytes::from(body.to_string());
    let now = app.clock.now();
    let target = match Target::parse(&hook.url) {
        Ok(target) => target,
        Err(error) => return Ended::Called(bad_url(now, error.to_string())),
    };
    let headers = headers(app, &hook, event.id.0, lane, &body, now);
    let read = |answer: &Answer| Reply::AnsweredPlainly {
        status: answer.status,
    };
    Ended::Called(post(app, connections, &target, headers, body, read).await)
}

fn headers(
    app: &Delivery,
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
