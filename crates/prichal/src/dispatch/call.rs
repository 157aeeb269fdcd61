//! One call of an integration's webhook: what is sent, and what the answer means.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use bytes::Bytes;
use prichal_core::{
    integration::target_url,
    retry::{Failure, Reply},
    time::Timestamp,
};
use prichal_dialect::kontur;
use prichal_store::{
    LoggedEvent,
    integration::{self, Instance},
    webhook::Key,
};
use uuid::Uuid;

use crate::{
    app::App,
    error::Result,
    instance,
    outgoing::{
        Answer, CallError, KEEP, Outgoing,
        connections::Connections,
        names::Asker,
        signature::{SigningKey, sign},
        target::Target,
    },
    vault::{AccessKey, fill_random, hex},
};

const ACCESS_KEY: HeaderName = HeaderName::from_static(kontur::header::ACCESS_KEY);
const ECHO: HeaderName = HeaderName::from_static(kontur::header::ECHO);
pub(super) const REPLAY: HeaderName = HeaderName::from_static("x-prichal-replay");
pub const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
pub const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// How this server introduces itself.
pub const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("Prichal/", env!("CARGO_PKG_VERSION")));
pub const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// Who is called: the URL taken apart, the keys to sign with, what access keys say. Made anew when
/// the webhook or its instance changes.
pub struct Receiver {
    target: Result<Target, String>,
    keys: Vec<SigningKey>,
    /// The access key of a call but for its end.
    access: AccessKey,
    /// True where calls carry one. Over a network that others can read along it would be theirs.
    gets_key: bool,
}

impl Receiver {
    /// Nothing when the instance is gone.
    pub async fn load(app: &App, key: Key, relative_url: &str) -> Result<Option<Self>> {
        let Key {
            workspace,
            integration,
            ..
        } = key;
        let found = app
            .db
            .read(move |conn| integration::find_instance(conn, workspace, integration))
            .await?;
        let Some(found) = found.filter(|instance| instance.installed) else {
            return Ok(None);
        };
        Ok(Some(Self::of(app, found, relative_url)))
    }

    pub fn of(app: &App, instance: Instance, relative_url: &str) -> Self {
        let base = Some(instance.integration.base_url.as_str()).filter(|base| !base.is_empty());
        let target =
            target_url(base, relative_url).ok_or_else(|| "the URL is not complete".to_owned());
        let target = target.and_then(|url| Target::parse(&url).map_err(|error| error.to_string()));
        let config = &app.config;
        let gets_key = target.as_ref().is_ok_and(|target| {
            target.is_tls()
                || config.access_key_over_http
                || (config.allow_private_targets && target.is_local())
        });
        Self {
            target,
            gets_key,
            keys: instance::signing_keys(app, &instance),
            access: AccessKey {
                workspace: instance.workspace,
                integration: instance.integration.id,
                round: instance.round,
                expires: 0,
                name: instance.integration.name,
            },
        }
    }
}

impl Receiver {
    /// Room for the connections of so many calls.
    pub fn connections(&self, most: usize) -> Connections {
        Connections::new(most, Asker::Workspace(self.access.workspace))
    }
}

/// What is sent.
pub struct Payload {
    /// The message's id: the event's.
    pub id: Uuid,
    pub body: Bytes,
    pub replay: bool,
}

impl Payload {
    pub fn of(event: Arc<LoggedEvent>, replay: bool) -> Self {
        Self {
            id: event.id.0,
            body: Bytes::from_owner(Body(event)),
            replay,
        }
    }
}

/// Lends the event's own text to the calls that send it.
struct Body(Arc<LoggedEvent>);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self.0.body.as_bytes()
    }
}

/// What came of a call.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub reply: Reply,
    pub started_at: Timestamp,
    pub duration: Duration,
    pub http_status: Option<u16>,
    /// Why it is no success, for people.
    pub error: Option<String>,
    /// The first KiB of the answer.
    pub answer: Option<String>,
}

/// Calls the receiver once.
pub async fn call(
    app: &App,
    receiver: &Receiver,
    connections: &Connections,
    payload: Payload,
) -> Outcome {
    let started_at = app.clock.now();
    let echo = {
        let mut random = [0; 16];
        fill_random(&mut random);
        hex(&random)
    };
    let target = match &receiver.target {
        Ok(target) => target,
        Err(error) => return bad_url(started_at, error.clone()),
    };
    let headers = headers(app, receiver, &payload, &echo, started_at);
    let read = |answer: &Answer| Reply::Answered {
        status: answer.status,
        echo_matches: answer
            .headers
            .get(&ECHO)
            .is_some_and(|value| value.as_bytes() == echo.as_bytes()),
    };
    post(app, connections, target, headers, payload.body, read).await
}

/// What comes of a call whose URL is none.
pub(super) fn bad_url(started_at: Timestamp, error: String) -> Outcome {
    Outcome {
        reply: Reply::Failed(Failure::BadUrl),
        started_at,
        duration: Duration::ZERO,
        http_status: None,
        error: Some(error),
        answer: None,
    }
}

/// Posts a body once. `read` says what an answer means.
pub(super) async fn post(
    app: &App,
    connections: &Connections,
    target: &Target,
    headers: HeaderMap,
    body: Bytes,
    read: impl FnOnce(&Answer) -> Reply,
) -> Outcome {
    let started_at = app.clock.now();
    let request = Outgoing {
        method: Method::POST,
        headers,
        body,
        keep: KEEP,
    };
    let deadline = app.clock.sleep(app.config.delivery_timeout);
    let called = app.outgoing.call(connections, target, request, deadline);
    let called = called.await;
    let duration = app.clock.now().since(started_at);
    match called {
        Err(error) => Outcome {
            reply: Reply::Failed(failure(&error)),
            started_at,
            duration,
            http_status: None,
            error: Some(error.to_string()),
            answer: None,
        },
        Ok(answer) => {
            let reply = read(&answer);
            Outcome {
                reply,
                started_at,
                duration,
                http_status: Some(answer.status),
                error: reply.error().map(|fault| answer.explained(fault, target)),
                answer: (!answer.body.is_empty()).then(|| text(&answer.body)),
            }
        }
    }
}

fn headers(
    app: &App,
    receiver: &Receiver,
    payload: &Payload,
    echo: &str,
    now: Timestamp,
) -> HeaderMap {
    let ttl = i64::try_from(app.config.access_key_ttl.as_secs()).unwrap_or(i64::MAX);
    let id = payload.id.to_string();
    let timestamp = now.secs();
    let mut headers = HeaderMap::with_capacity(10);
    let mut put = |name: HeaderName, value: String| {
        // All of these are ASCII that we made.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    if receiver.gets_key {
        let access = AccessKey {
            expires: now.secs().saturating_add(ttl),
            ..receiver.access.clone()
        };
        put(ACCESS_KEY, app.vault.issue(&access));
    }
    put(ECHO, echo.to_owned());
    if !receiver.keys.is_empty() {
        put(
            WEBHOOK_SIGNATURE,
            sign(&receiver.keys, &id, timestamp, &payload.body),
        );
    }
    put(WEBHOOK_TIMESTAMP, timestamp.to_string());
    put(WEBHOOK_ID, id);
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::USER_AGENT, USER_AGENT);
    if payload.replay {
        headers.insert(REPLAY, HeaderValue::from_static("true"));
    }
    headers
}

/// What an error of a call means for a delivery.
pub fn failure(error: &CallError) -> Failure {
    match error {
        CallError::Timeout { .. } => Failure::Timeout,
        CallError::Refused(_) => Failure::Forbidden,
        CallError::Dns => Failure::Unresolved,
        CallError::Connect { .. } | CallError::Tls { .. } => Failure::Connect,
        CallError::Closed { .. } | CallError::BadAnswer { .. } | CallError::TooLargeHead => {
            Failure::Broken
        }
    }
}

/// Bytes as text that both engines can keep: PostgreSQL refuses NUL.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")
}
