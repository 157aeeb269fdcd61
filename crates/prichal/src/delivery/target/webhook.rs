//! Integrations' webhooks: the call, and the meaning of its answer.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use prichal_core::{
    event::Origin,
    health::{self, Effect},
    id::WorkspaceId,
    integration::target_url,
    retry::{Reply, Schedule, Verdict},
    time::Timestamp,
};
use prichal_dialect::kontur;
use prichal_store::{
    Conn, LoggedEvent, Tx,
    delivery::Lane,
    event,
    integration::{self, Instance},
    webhook::Key,
};
use uuid::Uuid;

use super::{Attempt, Ended, Health, Recipient, Standing};
use crate::{
    config::Config,
    delivery::{Delivery, Hook, commit::Batch},
    domain::instance,
    error::Result,
    platform::{
        outgoing::{
            Answer,
            connections::Connections,
            names::Requester,
            post::{JSON, Outcome, USER_AGENT, WEBHOOK_ID, WEBHOOK_TIMESTAMP, bad_url, post},
            signature::{SigningKey, sign},
            target::Target,
        },
        vault::{AccessKey, Vault, fill_random, hex},
    },
};

const ACCESS_KEY: HeaderName = HeaderName::from_static(kontur::header::ACCESS_KEY);
const ECHO: HeaderName = HeaderName::from_static(kontur::header::ECHO);
pub const REPLAY: HeaderName = HeaderName::from_static("x-prichal-replay");

const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The webhooks of integrations.
pub(super) struct Webhooks;

impl super::Target for Webhooks {
    fn owns(&self, _: Key) -> bool {
        true
    }

    fn find<'a>(
        &'a self,
        app: &'a Delivery,
        hook: &'a Hook,
    ) -> BoxFuture<'a, Result<Option<Arc<dyn Recipient>>>> {
        Box::pin(async {
            let url = hook.definition().relative_url.clone();
            let receiver = Receiver::load(app, hook.key(), &url).await?;
            Ok(receiver.map(|receiver| Arc::new(receiver) as Arc<dyn Recipient>))
        })
    }

    fn schedule<'a>(&self, config: &'a Config) -> &'a Schedule {
        &config.retry_schedule
    }

    fn is_strict(&self) -> bool {
        false
    }

    fn note(&self, standing: &mut Standing, batch: &mut Batch, verdict: Verdict, now: Timestamp) {
        if verdict == Verdict::Delivered {
            if standing.streak.on_success() {
                batch.streak = Some(standing.streak);
                standing.is_well = false;
            }
            if !standing.is_well {
                standing.is_well = true;
                batch.health = Some(Health::Well);
            }
            return;
        }
        let is_exhausted = verdict == Verdict::Exhausted;
        let effect = standing.streak.on_failure(now, is_exhausted);
        batch.streak = Some(standing.streak);
        // Switching off is final: no later result makes less of it.
        if batch.health != Some(Health::Ill(Effect::SwitchOff))
            && let Some(effect) = effect
        {
            batch.health = Some(Health::Ill(effect));
        }
    }

    fn replayable(
        &self,
        conn: &mut Conn,
        workspace: WorkspaceId,
        cursor: i64,
        limit: i64,
    ) -> Result<Vec<LoggedEvent>> {
        Ok(event::list(conn, workspace, cursor, limit)?)
    }

    fn write_health(
        &self,
        vault: &Vault,
        tx: &mut Tx<'_>,
        key: Key,
        health: Health,
        origin: &Origin,
    ) -> Result<()> {
        write_health(vault, tx, key, health, origin)
    }
}

/// Writes what the results of calls mean for the status of the instance.
pub(in crate::delivery) fn write_health(
    vault: &Vault,
    tx: &mut Tx<'_>,
    key: Key,
    health: Health,
    origin: &Origin,
) -> Result<()> {
    let effect = match health {
        Health::Well => None,
        Health::Ill(Effect::SwitchOff) => return instance::switch_off(vault, tx, key, origin),
        Health::Ill(effect) => Some(effect),
        // Webhooks are switched off instead.
        Health::Paused => return Ok(()),
    };
    let change = |status| match effect {
        None => health::after_success(status),
        Some(effect) => health::after_failure(status, effect),
    };
    instance::set_status(vault, tx, key.workspace, key.integration, change, origin)
}

impl Recipient for Receiver {
    fn deliver<'a>(&'a self, app: &'a Delivery, attempt: Attempt<'a>) -> BoxFuture<'a, Ended> {
        Box::pin(async move {
            let payload = Payload::of(attempt.event.clone(), attempt.lane == Lane::Replay);
            Ended::Called(call(app, self, attempt.connections, payload).await)
        })
    }
}

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
    pub async fn load(app: &Delivery, key: Key, relative_url: &str) -> Result<Option<Self>> {
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
        Connections::new(most, Requester::Workspace(self.access.workspace))
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

/// Calls the receiver once.
pub async fn call(
    app: &Delivery,
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
