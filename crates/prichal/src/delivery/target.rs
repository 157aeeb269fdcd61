//! Targets: the kinds of receivers that events are delivered to.
//!
//! Leases, cursors, the order of events, retries, replays and the attempt log are the same for every kind. A
//! target knows its receivers, the call and the meaning of its results.
//!
//! A hook, the subscription of one receiver, is a row of the table `webhook`. Its definition is the JSON of a
//! webhook, and its filter selects the events. To add a kind of target, say subjects of a NATS server:
//!
//! 1. Choose an integration id that marks its hooks, as `document_hook::INTEGRATION` of the store does.
//! 2. Write one file here: a type that implements [`Target`], and a [`Recipient`] that makes the call. The
//!    subject may be the `relativeUrl` of the definition. More data needs a table of its own, with a migration.
//! 3. Declare the file below, and add id and type to [`TARGETS`].
//!
//! The resource that adds, changes and deletes hooks belongs to a dialect. It writes them by `prichal_store::webhook`
//! and calls [`Dispatch::hook_changed`](super::Dispatch::hook_changed) after the commit.

pub mod document_hook;
pub mod webhook;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use prichal_core::{
    delivery_settings::{ClientCertificate, DeliverySettings, refuse_prefixes},
    event::Origin,
    health::{Effect, Streak},
    id::{IntegrationId, WorkspaceId},
    retry::{Schedule, Verdict},
    schema::Fault,
    time::Timestamp,
};
use prichal_dialect::{idocs, kontur};
use prichal_store::{
    Conn, LoggedEvent, Tx,
    delivery::Lane,
    event,
    webhook::{Key, Lease},
};

use super::{Hook, commit::Batch};
use crate::{
    config::Config,
    delivery::Delivery,
    error::Result,
    platform::{
        outgoing::{
            connections::Connections,
            own_tls::{ClientIdentity, IdentityFault, OwnTls},
            post::Outcome,
            target::Target as CallTarget,
        },
        vault::Vault,
    },
};

/// The kinds of targets, with the integration id that marks the hooks of each. All other hooks are those of
/// integrations, [`webhook::Webhooks`].
static TARGETS: &[(IntegrationId, &dyn Target)] =
    &[(document_hook::INTEGRATION, &document_hook::DocumentHooks)];

/// The target of a hook.
pub(super) fn of(key: Key) -> &'static dyn Target {
    for (id, target) in TARGETS {
        if *id == key.integration {
            return *target;
        }
    }
    &webhook::Webhooks
}

/// The request of an attempt that was made.
#[derive(Default)]
pub struct SentText {
    pub body: Option<String>,
    /// The text that the signature covers. `None` if the attempt was not signed.
    pub signed: Option<String>,
}

/// The texts of an attempt to deliver an event to a hook. `header` finds the value of a header that was sent.
pub fn sent(
    key: Key,
    event: &LoggedEvent,
    number: u32,
    header: impl Fn(&str) -> Option<String>,
) -> SentText {
    let target = of(key);
    let body = target.body(event, number);
    let (signature, before) = target.signature();
    let signed = header(signature).and(body.as_ref()).and_then(|body| {
        let parts = before.iter().map(|name| header(name));
        let mut parts = parts.collect::<Option<Vec<String>>>()?;
        parts.push(body.clone());
        Some(parts.join("."))
    });
    SentText { body, signed }
}

/// The body of an attempt, given its number, to deliver an event to a hook. `None` if it cannot be made any more.
pub fn body(key: Key, event: &LoggedEvent, number: i64) -> Option<String> {
    of(key).body(event, u32::try_from(number).unwrap_or(u32::MAX))
}

/// The integration ids that mark hooks of targets, and the attempts at them.
pub fn integrations() -> Vec<IntegrationId> {
    TARGETS.iter().map(|(id, _)| *id).collect()
}

/// The beginnings of headers that a target sets, in addition to those that no static header may have.
const RESERVED_HEADERS: [&str; 2] = [kontur::header::PREFIX, idocs::header::PREFIX];

/// Refuses static headers with the names of headers that targets set, and client certificates that cannot be shown.
pub fn check_settings(settings: &DeliverySettings) -> Result<(), Fault> {
    refuse_prefixes(&settings.headers, &RESERVED_HEADERS)?;
    identity(settings).map(drop).map_err(|fault| {
        let why = format!("The clientCertificate cannot be used: {fault}.");
        Fault::rule("clientCertificate", why)
    })
}

/// The client certificate in the settings, if there is one.
fn identity(settings: &DeliverySettings) -> Result<Option<ClientIdentity>, IdentityFault> {
    let client = settings.client_certificate.as_ref();
    let read = |client: &ClientCertificate| ClientIdentity::read(&client.certificate, &client.key);
    client.map(read).transpose()
}

/// The TLS of the calls with these settings, if they say something about it. The error is the reason why no call is made.
fn own_tls(app: &Delivery, settings: &DeliverySettings) -> Result<Option<OwnTls>, String> {
    let pinned = settings.server_fingerprint;
    if pinned.is_none() && settings.client_certificate.is_none() {
        return Ok(None);
    }
    let client = identity(settings).map_err(|fault| fault.to_string())?;
    Ok(Some(app.outgoing.own_tls(client, pinned)))
}

/// The target with the TLS of the settings, or the reason why it is not called.
fn with_tls(target: CallTarget, tls: Option<OwnTls>) -> Result<CallTarget, String> {
    match tls {
        None => Ok(target),
        Some(tls) if target.is_tls() => Ok(target.with_tls(tls)),
        Some(_) => {
            Err("a client certificate or a fingerprint is set, but the URL is not https".to_owned())
        }
    }
}

/// A kind of receiver.
pub(super) trait Target: Sync {
    /// Looks up the receiver of a hook. `None` if it no longer exists. Called before the first attempt, and again
    /// after each change of the hook.
    fn resolve<'a>(
        &'a self,
        app: &'a Delivery,
        hook: &'a Hook,
    ) -> BoxFuture<'a, Result<Option<Arc<dyn Recipient>>>>;

    /// The waits between the attempts for one event.
    fn schedule<'a>(&self, config: &'a Config) -> &'a Schedule {
        &config.retry_schedule
    }

    /// True if the next event of an entity waits until the result of the one before is written.
    fn is_strictly_ordered(&self) -> bool {
        false
    }

    /// Counts the result of an attempt in `state`. Puts a streak that changed, and the change of health that
    /// follows, into the batch.
    fn count(&self, state: &mut HealthState, batch: &mut Batch, verdict: Verdict, now: Timestamp);

    /// The events after `cursor` that a replay may contain, at most `limit` of them.
    fn replayable(
        &self,
        conn: &mut Conn,
        workspace: WorkspaceId,
        cursor: i64,
        limit: i64,
    ) -> Result<Vec<LoggedEvent>> {
        Ok(event::list(conn, workspace, cursor, limit)?)
    }

    /// The body of an attempt to deliver an event. `None` if it cannot be made any more.
    fn body(&self, event: &LoggedEvent, _number: u32) -> Option<String> {
        Some(event.body.clone())
    }

    /// The header with the signature, and those whose values precede the body in the signed text.
    fn signature(&self) -> (&'static str, &'static [&'static str]);

    /// Writes a change of health, in the transaction that writes the batch.
    fn write_health(
        &self,
        vault: &Vault,
        tx: &mut Tx<'_>,
        key: Key,
        change: HealthChange,
        origin: &Origin,
    ) -> Result<()>;
}

/// A receiver that was looked up, valid until its hook changes.
pub(super) trait Recipient: Send + Sync {
    /// Delivers an event: one call, with the deadline of the settings or of `delivery_timeout`.
    fn deliver<'a>(
        &'a self,
        app: &'a Delivery,
        delivery: Attempt<'a>,
    ) -> BoxFuture<'a, AttemptResult>;
}

/// One attempt to deliver an event.
pub(super) struct Attempt<'a> {
    pub(super) lease: Lease,
    pub(super) connections: &'a Connections,
    pub(super) event: &'a Arc<LoggedEvent>,
    pub(super) lane: Lane,
    /// The number of the attempt for this event, from 1.
    pub(super) number: u32,
}

/// The result of an attempt.
pub enum AttemptResult {
    /// The receiver was called, or could not be reached. The outcome gets a row in the attempt log. A protocol without
    /// HTTP statuses reports `Reply::AnsweredPlainly` with status 200 for a success, `Reply::Failed` for a failure,
    /// and no `http_status`.
    Called(Box<Outcome>),
    /// The event has to wait for another one until this time.
    Postponed(Timestamp),
    /// The event does not concern the receiver.
    Skipped,
    /// The lease of the hook is lost.
    Lost,
}

/// The health of a hook, as its runner counts it.
#[derive(Default)]
pub(super) struct HealthState {
    pub(super) streak: Streak,
    /// True once the store has [`HealthChange::Recovered`]. A new runner begins with false: a webhook that was
    /// switched off and on again has no streak, but its first success makes the instance active.
    pub(super) is_healthy: bool,
}

/// A change of a hook's health that is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HealthChange {
    /// Attempts succeed.
    Recovered,
    /// Attempts fail, with this effect on the instance.
    Failing(Effect),
    /// Deliveries are paused until somebody resumes them.
    Paused,
}
