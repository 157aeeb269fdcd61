//! Targets: the kinds of receivers that events are delivered to.
//!
//! The runner knows the order of events, retries and cursors; a target knows its receiver, the call and the
//! meaning of its results. A further kind is one file here and one line in [`TARGETS`].

mod document_hook;
pub mod webhook;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use prichal_core::{
    event::Origin,
    health::{Effect, Streak},
    id::WorkspaceId,
    retry::{Schedule, Verdict},
    time::Timestamp,
};
use prichal_store::{
    Conn, LoggedEvent, Tx,
    delivery::Lane,
    webhook::{Key, Lease},
};

use super::{Hook, commit::Batch};
use crate::{
    config::Config,
    delivery::Delivery,
    error::Result,
    platform::{
        outgoing::{connections::Connections, post::Outcome},
        vault::Vault,
    },
};

/// Every kind of target. A hook belongs to the first that owns it.
static TARGETS: [&dyn Target; 2] = [&document_hook::DocumentHooks, &webhook::Webhooks];

/// The target of a hook.
pub(super) fn of(key: Key) -> &'static dyn Target {
    let owner = TARGETS.into_iter().find(|target| target.owns(key));
    owner.unwrap_or(&webhook::Webhooks)
}

/// A kind of receiver.
pub(super) trait Target: Sync {
    /// True of the hooks of this kind.
    fn owns(&self, key: Key) -> bool;

    /// Looks up the receiver of a hook. `None` if it no longer exists.
    fn find<'a>(
        &'a self,
        app: &'a Delivery,
        hook: &'a Hook,
    ) -> BoxFuture<'a, Result<Option<Arc<dyn Recipient>>>>;

    /// The waits between the attempts for one event.
    fn schedule<'a>(&self, config: &'a Config) -> &'a Schedule;

    /// True if the next event of an entity waits until the result of the one before is written.
    fn is_strict(&self) -> bool;

    /// Notes in the batch how the result of an attempt changes the standing of a hook.
    fn note(&self, standing: &mut Standing, batch: &mut Batch, verdict: Verdict, now: Timestamp);

    /// The events after `cursor` that a replay may contain, at most `limit` of them.
    fn replayable(
        &self,
        conn: &mut Conn,
        workspace: WorkspaceId,
        cursor: i64,
        limit: i64,
    ) -> Result<Vec<LoggedEvent>>;

    /// Writes a change of health.
    fn write_health(
        &self,
        vault: &Vault,
        tx: &mut Tx<'_>,
        key: Key,
        health: Health,
        origin: &Origin,
    ) -> Result<()>;
}

/// A receiver that was looked up, good until its hook changes.
pub(super) trait Recipient: Send + Sync {
    /// Delivers an event.
    fn deliver<'a>(&'a self, app: &'a Delivery, delivery: Attempt<'a>) -> BoxFuture<'a, Ended>;
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

/// The end of an attempt.
pub(super) enum Ended {
    /// The receiver was called.
    Called(Outcome),
    /// It was not the event's turn: it is tried again then.
    Postponed(Timestamp),
    /// The event has nothing to tell.
    Skipped,
    /// The lease of the hook is lost.
    Lost,
}

/// The failures of a hook as its runner counts them.
#[derive(Default)]
pub(super) struct Standing {
    pub(super) streak: Streak,
    /// True once the store knows that attempts succeed. A new runner begins with false: a webhook that was
    /// switched off and on again has no streak, and its first success makes the instance active.
    pub(super) is_well: bool,
}

/// A change of a hook's health, to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Well,
    Ill(Effect),
    Paused,
}
