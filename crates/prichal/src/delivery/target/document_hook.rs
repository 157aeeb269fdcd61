//! Companies' document hooks (`docs/contracts/idocs.md §3`): calls in the vendor's format with the vendor's
//! signature, strictly in order for each document.
//!
//! The runner never makes two calls at once for the same document, and holds back the next one until the result of
//! the last is written. Before each call the store is asked for an earlier event of the document that is deferred,
//! and the event waits with it. So a company receives a document's statuses in order, each after the one before was
//! delivered or has used up its retries.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use prichal_core::{
    event::Origin,
    id::WorkspaceId,
    retry::{Reply, Schedule, Verdict},
    schema::{Field, Type},
    time::Timestamp,
};
use prichal_dialect::idocs::{self, event::StatusChange};
pub(super) use prichal_store::document_hook::INTEGRATION;
use prichal_store::{
    Conn, LoggedEvent, Tx,
    delivery::Lane,
    document,
    document_hook::{self, DocumentHook, Turn},
    webhook::{self, Key},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Attempt, AttemptResult, HealthChange, HealthState, Recipient, own_tls,
    webhook::{REPLAY, REPLAY_FIELD, start, static_headers},
    with_tls,
};
use crate::{
    config::Config,
    delivery::{Delivery, Hook, RETRY_DELAY, commit::Batch},
    domain::{self, document_hook::Secrets},
    error::Result,
    platform::{
        outgoing::{
            Answer,
            own_tls::OwnTls,
            post::{JSON, USER_AGENT, bad_url, post},
            signature::sign_document_event,
            target::Target,
        },
        vault::Vault,
    },
};

/// The headers of a call, beside those of HTTP.
pub const HEADERS: &[Field] = &[
    Field::new(idocs::header::EVENT_ID, Type::Text)
        .required()
        .doc("The id of the event. All attempts have the same."),
    Field::new(idocs::header::TIMESTAMP, Type::Text)
        .required()
        .doc("The time of the attempt in seconds since 1970.")
        .example("1767225600"),
    Field::new(idocs::header::SIGNATURE, Type::Text)
        .doc("`v1=` and the hexadecimal HMAC-SHA256 with the secret of the subscription over timestamp and body, with a dot between them. Several are separated by commas."),
    REPLAY_FIELD,
];

const EVENT_ID: HeaderName = HeaderName::from_static(idocs::header::EVENT_ID);
const TIMESTAMP: HeaderName = HeaderName::from_static(idocs::header::TIMESTAMP);
const SIGNATURE: HeaderName = HeaderName::from_static(idocs::header::SIGNATURE);

/// The document hooks of companies.
pub(super) struct DocumentHooks;

impl super::Target for DocumentHooks {
    fn resolve<'a>(
        &'a self,
        app: &'a Delivery,
        hook: &'a Hook,
    ) -> BoxFuture<'a, Result<Option<Arc<dyn Recipient>>>> {
        // The address is read before each call, because a change of it is no event in the log.
        Box::pin(async {
            let settings = &hook.definition().settings;
            let mut company = Company {
                headers: HeaderMap::new(),
                timeout: settings.timeout.unwrap_or(app.config.delivery_timeout),
                tls: Ok(None),
            };
            if !settings.is_default() {
                let (settings, _) = domain::webhook::opened(app, hook.key(), settings).await?;
                company.headers = static_headers(&settings);
                company.tls = own_tls(app, &settings);
            }
            Ok(Some(Arc::new(company) as Arc<dyn Recipient>))
        })
    }

    fn schedule<'a>(&self, config: &'a Config) -> &'a Schedule {
        &config.document_retry_schedule
    }

    fn is_strictly_ordered(&self) -> bool {
        true
    }

    fn count(&self, state: &mut HealthState, batch: &mut Batch, verdict: Verdict, now: Timestamp) {
        let streak = &mut state.streak;
        if verdict == Verdict::Delivered {
            if streak.on_success() {
                batch.streak = Some(*streak);
                batch.health = None;
            }
            return;
        }
        streak.on_failure(now, verdict == Verdict::Exhausted);
        batch.streak = Some(*streak);
        if streak.should_pause(now) {
            batch.health = Some(HealthChange::Paused);
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

    fn body(&self, event: &LoggedEvent, number: u32) -> Option<String> {
        let change = StatusChange::read(&event.body)?;
        Some(json!(change.body(event.workspace, event.seq, Some(number))).to_string())
    }

    fn signature(&self) -> (&'static str, &'static [&'static str]) {
        (idocs::header::SIGNATURE, &[idocs::header::TIMESTAMP])
    }

    fn write_health(
        &self,
        vault: &Vault,
        tx: &mut Tx<'_>,
        key: Key,
        change: HealthChange,
        origin: &Origin,
    ) -> Result<()> {
        if change == HealthChange::Paused {
            webhook::pause(tx, key)?;
            document_hook::set_paused(tx, key, origin.at)?;
            domain::alert::paused(vault, tx, key, origin.at)?;
        }
        Ok(())
    }
}

/// A company that receives its documents' statuses.
struct Company {
    /// The headers of the hook's settings.
    headers: HeaderMap,
    timeout: Duration,
    /// The TLS of the hook's settings, or the reason why the company is not called.
    tls: Result<Option<OwnTls>, String>,
}

impl Recipient for Company {
    fn deliver<'a>(
        &'a self,
        app: &'a Delivery,
        attempt: Attempt<'a>,
    ) -> BoxFuture<'a, AttemptResult> {
        Box::pin(self.call(app, attempt))
    }
}

impl Company {
    /// Delivers an event of a company's log, if it is the event's turn.
    async fn call(&self, app: &Delivery, attempt: Attempt<'_>) -> AttemptResult {
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
            tracing::warn!(workspace = %event.workspace, event.id = %event.id, "event {} is skipped: it has no status of a document", event.id);
            return AttemptResult::Skipped;
        };
        let (seq, document) = (event.seq, *document);
        let turn = app
            .db
            .read(move |conn| document_hook::turn(conn, &lease, lane, seq, document));
        let hook = match turn.await {
            Ok(Turn::Call(hook)) => hook,
            Ok(Turn::Wait(until)) => return AttemptResult::Postponed(until),
            Ok(Turn::Lost) => return AttemptResult::Lost,
            Err(error) => {
                let Key { workspace, id, .. } = lease.key;
                tracing::error!(error = &error as &dyn std::error::Error, %workspace, webhook.id = %id, "webhook {id}: cannot read the address of the document hook; trying again");
                return AttemptResult::Postponed(app.clock.now() + RETRY_DELAY);
            }
        };
        let body = change.body(event.workspace, seq, Some(number));
        let body = Bytes::from(json!(body).to_string());
        let now = app.clock.now();
        let target = match self.target(&hook.url) {
            Ok(target) => target,
            Err(error) => return AttemptResult::Called(Box::new(bad_url(now, error))),
        };
        let headers = self.headers(app, &hook, event.id.0, lane, &body, now);
        let read = |answer: &Answer| Reply::AnsweredPlainly {
            status: answer.status,
        };
        let called = post(app, connections, &target, self.timeout, headers, body, read);
        AttemptResult::Called(Box::new(called.await))
    }

    /// The target of a call, or the reason why it is not made.
    fn target(&self, url: &str) -> Result<Target, String> {
        let target = Target::parse(url).map_err(|error| error.to_string())?;
        with_tls(target, self.tls.clone()?)
    }

    fn headers(
        &self,
        app: &Delivery,
        hook: &DocumentHook,
        event: Uuid,
        lane: Lane,
        body: &[u8],
        now: Timestamp,
    ) -> HeaderMap {
        let mut headers = start(&self.headers);
        let mut put = |name: HeaderName, value: String| {
            // Every value is ASCII that the server made, so none is left out.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        put(EVENT_ID, event.to_string());
        put(TIMESTAMP, now.secs().to_string());
        match Secrets::open(&app.vault, hook.workspace, &hook.secrets) {
            Ok(secrets) => put(
                SIGNATURE,
                sign_document_event(secrets.valid_at(now), now.secs(), body),
            ),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, workspace = %hook.workspace, webhook.id = %hook.id, "webhook {}: its call is not signed, because its secrets cannot be opened", hook.id);
            }
        }
        headers.insert(header::CONTENT_TYPE, JSON);
        headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
        if lane == Lane::Replay {
            headers.insert(REPLAY, HeaderValue::from_static("true"));
        }
        headers
    }
}
