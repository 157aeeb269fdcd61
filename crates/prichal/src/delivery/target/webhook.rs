//! Integrations' webhooks: the call, and the meaning of its answer.

mod transform;

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use prichal_core::{
    alert::{Source, SourceKind, is_alert},
    delivery_settings::{DeliverySettings, SignatureVersion, Success},
    event::{EntityKind, Origin},
    health::{self, Effect},
    integration::{Trigger, Webhook as Definition, target_url},
    retry::{Reply, Verdict},
    schema::{Field, Type},
    time::Timestamp,
};
use prichal_dialect::kontur;
use prichal_store::{
    LoggedEvent, Tx,
    delivery::Lane,
    integration::{self, Instance},
    webhook::Key,
};
use uuid::Uuid;

use self::transform::Scripted;
use super::{Attempt, AttemptResult, HealthChange, HealthState, Recipient, own_tls, with_tls};
use crate::{
    delivery::{Delivery, Hook, commit::Batch},
    domain::{self, instance},
    error::Result,
    platform::{
        outgoing::{
            Answer,
            connections::Connections,
            names::Requester,
            post::{
                ID_FIELD, JSON, Outcome, TIMESTAMP_FIELD, USER_AGENT, WEBHOOK_ID,
                WEBHOOK_TIMESTAMP, bad_url, post,
            },
            signature::{KeyPair, SigningKey, sign},
            target::Target,
        },
        vault::{AccessKey, Vault, fill_random, hex},
    },
};
pub use transform::{Message, preview};

const ACCESS_KEY: HeaderName = HeaderName::from_static(kontur::header::ACCESS_KEY);
const ECHO: HeaderName = HeaderName::from_static(kontur::header::ECHO);
pub const REPLAY: HeaderName = HeaderName::from_static(REPLAY_FIELD.name);
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static(SIGNATURE_FIELD.name);

/// The mark of an event that is sent again on request.
pub(super) const REPLAY_FIELD: Field =
    Field::new("x-prichal-replay", Type::Text).doc("`true` for an event of a replay.");
const SIGNATURE_FIELD: Field = Field::new("webhook-signature", Type::Text)
    .doc("`v1,` and the base64 of HMAC-SHA256 with the signing secret over id, timestamp and body, with a dot between them. `v1a,` begins an Ed25519 signature of the same text. Several are separated by blanks.")
    .example("v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=");

/// The headers of a call, beside those of HTTP.
pub const HEADERS: &[Field] = &[
    Field::new(kontur::header::ACCESS_KEY, Type::Text)
        .doc("An access key for calls back, good for 20 minutes. Absent from calls that others on the network could read."),
    ECHO_FIELD,
    SIGNATURE_FIELD,
    TIMESTAMP_FIELD,
    ID_FIELD,
    REPLAY_FIELD,
];
/// The header by which a receiver acknowledges a call.
pub const ECHO_FIELD: Field = Field::new(kontur::header::ECHO, Type::Text)
    .required()
    .doc("A random text. The receiver acknowledges the call with 200 and the same header.");

/// True for a call that a request or a tick waits for: the wait of its script for a permit is part of its time.
pub const IS_AWAITED: bool = true;

/// The webhooks of integrations.
pub(super) struct Webhooks;

impl super::Target for Webhooks {
    fn resolve<'a>(
        &'a self,
        app: &'a Delivery,
        hook: &'a Hook,
    ) -> BoxFuture<'a, Result<Option<Arc<dyn Recipient>>>> {
        Box::pin(async {
            let (key, definition) = (hook.key(), hook.definition());
            let receiver = Receiver::load(app, key, &definition).await?;
            Ok(receiver.map(|receiver| {
                if gets_alerts(&definition) {
                    Arc::new(AlertReceiver { receiver, key }) as Arc<dyn Recipient>
                } else {
                    Arc::new(receiver)
                }
            }))
        })
    }

    fn count(&self, state: &mut HealthState, batch: &mut Batch, verdict: Verdict, now: Timestamp) {
        if verdict == Verdict::Delivered {
            if state.streak.on_success() {
                batch.streak = Some(state.streak);
                state.is_healthy = false;
            }
            if !state.is_healthy {
                state.is_healthy = true;
                batch.health = Some(HealthChange::Recovered);
            }
            return;
        }
        if verdict == Verdict::Gone {
            state.streak.on_failure(now, true);
            batch.streak = Some(state.streak);
            batch.health = Some(HealthChange::Failing(Effect::SwitchOff));
            return;
        }
        let is_exhausted = verdict == Verdict::Exhausted;
        let effect = state.streak.on_failure(now, is_exhausted);
        batch.streak = Some(state.streak);
        // Switching off is final, whatever later calls of the batch result in.
        if batch.health != Some(HealthChange::Failing(Effect::SwitchOff))
            && let Some(effect) = effect
        {
            batch.health = Some(HealthChange::Failing(effect));
        }
    }

    fn signature(&self) -> (&'static str, &'static [&'static str]) {
        (SIGNATURE_FIELD.name, &[ID_FIELD.name, TIMESTAMP_FIELD.name])
    }

    fn write_health(
        &self,
        vault: &Vault,
        tx: &mut Tx<'_>,
        key: Key,
        change: HealthChange,
        origin: &Origin,
    ) -> Result<()> {
        let effect = match change {
            HealthChange::Recovered => None,
            HealthChange::Failing(Effect::SwitchOff) => {
                return instance::switch_off(vault, tx, key, origin);
            }
            HealthChange::Failing(effect) => Some(effect),
            // Webhooks are switched off instead.
            HealthChange::Paused => return Ok(()),
        };
        let status = |status| match effect {
            None => health::after_success(status),
            Some(effect) => health::after_failure(status, effect),
        };
        instance::set_status(vault, tx, key.workspace, key.integration, status, origin)
    }
}

impl Recipient for Receiver {
    fn deliver<'a>(
        &'a self,
        app: &'a Delivery,
        attempt: Attempt<'a>,
    ) -> BoxFuture<'a, AttemptResult> {
        Box::pin(async move {
            let payload = Payload::of(attempt.event.clone(), attempt.lane == Lane::Replay);
            deliver(app, self, attempt.connections, payload, !IS_AWAITED).await
        })
    }
}

/// True if alerts may be among the events of a webhook.
fn gets_alerts(hook: &Definition) -> bool {
    matches!(&hook.trigger, Trigger::EntityEvent(filter) if filter.may_want(EntityKind::Custom))
}

/// The receiver of a webhook that may get alerts. It gets none about itself, which would wait behind the failures that
/// they report.
struct AlertReceiver {
    receiver: Receiver,
    key: Key,
}

impl Recipient for AlertReceiver {
    fn deliver<'a>(
        &'a self,
        app: &'a Delivery,
        attempt: Attempt<'a>,
    ) -> BoxFuture<'a, AttemptResult> {
        if is_alert(&attempt.event.head) && self.is_source(&attempt.event.body) {
            return Box::pin(std::future::ready(AttemptResult::Skipped));
        }
        self.receiver.deliver(app, attempt)
    }
}

impl AlertReceiver {
    /// True if the alert in the text of an event is about this webhook.
    fn is_source(&self, body: &str) -> bool {
        let event: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let source = Source::from_model(&event["data"]["source"]);
        source.is_some_and(|source| {
            source.kind == SourceKind::Webhook
                && source.id == Some(self.key.id.0)
                && source.integration == Some(self.key.integration.0)
        })
    }
}

/// The receiver of a webhook: its URL, its signing keys and the content of its access keys. Built again when the
/// webhook or its instance changes.
pub struct Receiver {
    target: Result<Target, String>,
    keys: Vec<SigningKey>,
    /// The access key of a call, without its time of expiry.
    access: AccessKey,
    /// True if calls carry an access key: those that others on the network cannot read.
    gets_key: bool,
    script: Option<Box<Scripted>>,
    /// The key pair, if calls are signed with it.
    pair: Option<KeyPair>,
    /// The headers of the webhook's settings.
    headers: HeaderMap,
    timeout: Duration,
    success: Success,
}

impl Receiver {
    /// Loads the receiver of a webhook. `None` if the instance is not installed.
    pub async fn load(app: &Delivery, key: Key, hook: &Definition) -> Result<Option<Self>> {
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
        let mut receiver = Self::of(app, found, &hook.relative_url);
        if !hook.settings.is_default() {
            receiver.set_up(app, key, &hook.settings).await?;
        }
        Ok(Some(receiver))
    }

    /// Applies the settings of a webhook.
    async fn set_up(
        &mut self,
        app: &Delivery,
        key: Key,
        settings: &DeliverySettings,
    ) -> Result<()> {
        let (settings, secrets) = domain::webhook::opened(app, key, settings).await?;
        if let Ok(target) = &self.target {
            self.target = own_tls(app, &settings).and_then(|tls| with_tls(target.clone(), tls));
        }
        self.headers = static_headers(&settings);
        self.timeout = settings.timeout.unwrap_or(self.timeout);
        self.success = settings.success();
        if !settings.signs(SignatureVersion::V1) {
            self.keys.clear();
        }
        if settings.signs(SignatureVersion::V1a) {
            self.pair = secrets.key_pair();
        }
        self.script = Scripted::of(key, self, &settings).map(Box::new);
        Ok(())
    }

    pub fn of(app: &Delivery, instance: Instance, relative_url: &str) -> Self {
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
            script: None,
            pair: None,
            headers: HeaderMap::new(),
            timeout: config.delivery_timeout,
            success: Success::Echo,
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

    /// The meaning of an answer to a call with this echo.
    fn judge(&self, answer: &Answer, echo: &str) -> Reply {
        match self.success {
            Success::Echo => Reply::Answered {
                status: answer.status,
                echo_matches: answer
                    .headers
                    .get(&ECHO)
                    .is_some_and(|value| value.as_bytes() == echo.as_bytes()),
            },
            Success::Any2xx => Reply::AnsweredWithoutEcho {
                status: answer.status,
            },
        }
    }

    /// A pool of connections for this number of concurrent calls.
    pub fn connections(&self, max_calls: usize) -> Connections {
        Connections::new(max_calls, Requester::Workspace(self.access.workspace))
    }
}

/// The message of a call.
pub struct Payload {
    /// The id of the message, which is the event's.
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

/// The event's text, shared with the log's tail instead of copied.
struct Body(Arc<LoggedEvent>);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self.0.body.as_bytes()
    }
}

/// Delivers a message by one call, as the webhook's script says if it has one.
pub async fn deliver(
    app: &Delivery,
    receiver: &Receiver,
    connections: &Connections,
    payload: Payload,
    is_awaited: bool,
) -> AttemptResult {
    match &receiver.script {
        None => AttemptResult::Called(Box::new(call(app, receiver, connections, payload).await)),
        // Boxed, so that calls without a script take no memory for it.
        Some(script) => {
            Box::pin(script.call(app, receiver, connections, payload, is_awaited)).await
        }
    }
}

/// A new text for the echo of a call.
fn new_echo() -> String {
    let mut random = [0; 16];
    fill_random(&mut random);
    hex(&random)
}

/// Calls the receiver once.
pub async fn call(
    app: &Delivery,
    receiver: &Receiver,
    connections: &Connections,
    payload: Payload,
) -> Outcome {
    let started_at = app.clock.now();
    let echo = new_echo();
    let target = match &receiver.target {
        Ok(target) => target,
        Err(error) => return bad_url(started_at, error.clone()),
    };
    let headers = headers(app, receiver, &payload, &echo, started_at);
    let read = |answer: &Answer| receiver.judge(answer, &echo);
    let timeout = receiver.timeout;
    post(
        app,
        connections,
        target,
        timeout,
        headers,
        payload.body,
        read,
    )
    .await
}

/// The headers of a webhook's settings, of which secret ones are marked.
pub(super) fn static_headers(settings: &DeliverySettings) -> HeaderMap {
    let pairs = settings.headers.iter().filter_map(|header| {
        let name = HeaderName::try_from(&header.name).ok()?;
        let mut value = HeaderValue::try_from(&header.value).ok()?;
        value.set_sensitive(header.is_secret);
        Some((name, value))
    });
    pairs.collect()
}

/// The headers of a call, beginning with those of the settings.
pub(super) fn start(settings: &HeaderMap) -> HeaderMap {
    if settings.is_empty() {
        return HeaderMap::with_capacity(10);
    }
    settings.clone()
}

fn headers(
    app: &Delivery,
    receiver: &Receiver,
    payload: &Payload,
    echo: &str,
    now: Timestamp,
) -> HeaderMap {
    let ttl = i64::try_from(app.config.access_key_ttl.as_secs()).unwrap_or(i64::MAX);
    let id = payload.id.to_string();
    let timestamp = now.secs();
    let mut headers = start(&receiver.headers);
    // Every value is ASCII that the server made, so none is left out.
    if receiver.gets_key {
        let access = AccessKey {
            expires: now.secs().saturating_add(ttl),
            ..receiver.access.clone()
        };
        if let Ok(mut key) = HeaderValue::try_from(app.vault.issue(&access)) {
            key.set_sensitive(true);
            headers.insert(ACCESS_KEY, key);
        }
    }
    let mut put = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    put(ECHO, echo.to_owned());
    if !receiver.keys.is_empty() || receiver.pair.is_some() {
        let mut signatures = sign(&receiver.keys, &id, timestamp, &payload.body);
        if let Some(pair) = &receiver.pair {
            if !signatures.is_empty() {
                signatures.push(' ');
            }
            signatures.push_str(&pair.sign(&id, timestamp, &payload.body));
        }
        put(WEBHOOK_SIGNATURE, signatures);
    }
    put(WEBHOOK_TIMESTAMP, timestamp.to_string());
    put(WEBHOOK_ID, id);
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
    if payload.replay {
        headers.insert(REPLAY, HeaderValue::from_static("true"));
    }
    headers
}
