//! The supervisor of a node's webhooks. It holds their leases, starts their runners, fetches the events of other nodes,
//! and wakes webhooks with deferred events that are due.
//!
//! On SQLite this node is the only one. It owns every webhook from start to stop and does not poll the store. On
//! PostgreSQL it polls the store once a second: it renews its lease, takes over webhooks without an owner, and reads
//! which logs have new events. The store is the truth; the bus only shortens the wait.

use std::{
    collections::{BTreeMap, HashSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use prichal_core::{
    id::{IntegrationId, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{
    Conn, Engine, Tx, delivery, delivery_stats,
    event::{self, removal},
    tenant,
    webhook::{self, Key, Lease, Webhook},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    MAX_FLUSHED_CURSORS, RETRY_DELAY, definition_of, lease_of,
    runner::{Exit, Runner},
    state,
};
use crate::{
    delivery::Delivery,
    domain::rotation,
    error::{Error, Result},
    platform::{access, bus::News},
};

/// The interval at which a node polls a store that it shares.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The time for which a node's leases are valid after it renewed them.
const LEASE_DURATION: Duration = Duration::from_secs(5);
/// The maximum difference between the clocks of two nodes. A node stops using its leases this much before they expire.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(1);
/// The overlap of two reads of changes. Clocks differ and transactions take time, so a change may become visible late.
const CHANGE_OVERLAP: Duration = Duration::from_secs(10);
/// The maximum number of webhooks that are claimed in one transaction.
const MAX_CLAIMED_HOOKS: i64 = 256;
/// The maximum number of events that are fetched at once for a log that is behind.
const MAX_FETCHED_EVENTS: i64 = 256;
/// The maximum number of webhooks that are woken at once for deferred events that are due.
const MAX_WOKEN_HOOKS: i64 = 1024;
/// The minimum time between two look-ups of due events.
const MIN_DUE_INTERVAL: Duration = Duration::from_millis(200);
/// The interval at which the cursors of idle webhooks are written.
const FLUSH_INTERVAL: Duration = Duration::from_mins(1);
/// The maximum number of events that the stored cursor of an idle webhook may be behind.
const MIN_FLUSHED_LAG: i64 = 5_000;

/// Runs the webhooks of this node until `stop`, then finishes the calls in flight and gives up the leases.
pub async fn run(app: Delivery, stop: CancellationToken) -> anyhow::Result<()> {
    let mut supervisor = Supervisor::new(app, stop);
    supervisor.take_over().await;
    while !supervisor.stop.is_cancelled() {
        supervisor.run_once().await;
        supervisor.wait().await;
    }
    supervisor.shut_down().await?;
    Ok(())
}

struct Supervisor {
    app: Delivery,
    stop: CancellationToken,
    runners: JoinSet<(Lease, Exit)>,
    /// Leases to give up, because the runner panicked or the log could not be opened. The webhooks are claimed again.
    given_up: Vec<Lease>,
    /// True if other nodes may share the store.
    is_shared: bool,
    /// The time of the next poll of a shared store.
    next_poll: Timestamp,
    next_flush: Timestamp,
    /// The time of the last poll of a shared store.
    polled_at: Timestamp,
    /// True if there may be webhooks without an owner.
    has_unowned: bool,
}

impl Supervisor {
    fn new(app: Delivery, stop: CancellationToken) -> Self {
        let now = app.clock.now();
        Self {
            is_shared: app.db.engine() == Engine::Postgres,
            next_poll: now,
            next_flush: now + FLUSH_INTERVAL,
            polled_at: now,
            has_unowned: true,
            runners: JoinSet::new(),
            given_up: Vec::new(),
            app,
            stop,
        }
    }

    /// Frees the webhooks that this node owned before it was killed. It need not wait for the lease to expire,
    /// because the lock on the data directory shows that no other process is this node.
    async fn take_over(&mut self) {
        let (node, alone) = (self.app.node, !self.is_shared);
        while let Err(error) = self
            .write(move |tx| Ok(webhook::release(tx, node, alone)?))
            .await
        {
            log_error(&error, "cannot take over webhooks");
            if self.pause().await {
                return;
            }
        }
        if self.is_shared {
            // No lease is valid before the first poll.
            self.app
                .dispatch
                .hold_until(Timestamp::default(), Timestamp::default());
        }
    }

    /// Does all work that is due.
    async fn run_once(&mut self) {
        let now = self.app.clock.now();
        if self.is_shared && now >= self.next_poll {
            self.next_poll = now + POLL_INTERVAL;
            self.has_unowned = true;
            self.poll(now).await;
        }
        self.reload_changed().await;
        self.give_up().await;
        if self.has_unowned {
            self.has_unowned = false;
            if let Err(error) = self.claim().await {
                log_error(&error, "cannot claim webhooks");
                self.has_unowned = true;
            }
        }
        self.catch_up().await;
        self.wake_due(now).await;
        if now >= self.next_flush {
            self.next_flush = now + FLUSH_INTERVAL;
            self.app.dispatch.lock().forget_idle();
            self.flush(MIN_FLUSHED_LAG).await;
            self.save_stats(false).await;
        }
        self.start_runners();
    }

    /// Waits until there may be work.
    async fn wait(&mut self) {
        let mut until = self.next_flush;
        if self.is_shared {
            until = until.min(self.next_poll);
        }
        {
            let state = self.app.dispatch.lock();
            if let Some(due) = state.due {
                until = until.min(due);
            }
        }
        if self.has_unowned {
            until = until.min(self.app.clock.now() + RETRY_DELAY);
        }
        tokio::select! {
            () = self.app.dispatch.wake.notified() => {}
            () = self.app.clock.sleep_until(until) => {}
            () = self.stop.cancelled() => {}
            Some(ended) = self.runners.join_next() => self.runner_ended(ended),
        }
        while let Some(ended) = self.runners.try_join_next() {
            self.runner_ended(ended);
        }
    }

    fn runner_ended(&mut self, ended: Result<(Lease, Exit), tokio::task::JoinError>) {
        match ended {
            Ok((lease, Exit::LeaseLost)) => {
                self.app.dispatch.lock().drop_hook(&lease);
                self.has_unowned = true;
            }
            Ok((_, Exit::Idle | Exit::Stopped)) => {}
            Ok((lease, Exit::Panicked)) => self.given_up.push(lease),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "the runner of a webhook was cancelled"
            ),
        }
    }

    /// Polls a shared store: renews this node's lease and reads the changes of the other nodes.
    async fn poll(&mut self, now: Timestamp) {
        let (node, keys) = (self.app.node, rotation::announced(&self.app));
        let until = now + LEASE_DURATION;
        let program = (env!("CARGO_PKG_VERSION"), self.app.started_at);
        let kept = self
            .write(move |tx| Ok(webhook::renew_node(tx, node, until, &keys, program)?))
            .await;
        match kept {
            Ok(kept) => {
                if !kept {
                    // Other nodes have taken over this node's webhooks, because its lease expired.
                    self.app.dispatch.lock().drop_all();
                }
                self.app
                    .dispatch
                    .hold_until(now + LEASE_DURATION - MAX_CLOCK_SKEW, now);
                // Another node may have deferred events or started replays of this node's webhooks.
                self.app.dispatch.lock().due = Some(now);
            }
            Err(error) => {
                log_error(&error, "cannot renew the lease of this node");
                return;
            }
        }
        let since = self.polled_at - CHANGE_OVERLAP;
        let changed: Result<_> = self
            .app
            .db
            .read(move |conn| Ok(event::changed_logs(conn, since)?))
            .await;
        match changed {
            Ok(logs) => {
                self.polled_at = now;
                logs.into_iter().for_each(|(workspace, last)| {
                    self.app.dispatch.on_news(News { workspace, last });
                    self.app.telephony.call_streams.wake(workspace);
                    self.app.channels.sockets.workspace_changed(workspace);
                    self.app.streams.wake(workspace, last);
                });
            }
            Err(error) => log_error(&error, "cannot read which logs have new events"),
        }
        if let Err(error) = access::learn_revocations(&self.app, since).await {
            log_error(&error, "cannot read which access keys were revoked");
        }
    }

    /// Claims webhooks without an owner.
    async fn claim(&mut self) -> Result<()> {
        let (node, now) = (self.app.node, self.app.clock.now());
        if self.is_shared && !self.app.dispatch.holds(now) {
            return Ok(());
        }
        loop {
            let claimed = self
                .write(move |tx| {
                    let claimed = webhook::claim(tx, node, now, MAX_CLAIMED_HOOKS)?;
                    for hook in &claimed {
                        delivery::requeue_in_flight(tx, hook.key, now)?;
                    }
                    Ok(claimed)
                })
                .await?;
            let more =
                i64::try_from(claimed.len()).is_ok_and(|claimed| claimed == MAX_CLAIMED_HOOKS);
            self.attach(claimed).await;
            if !more {
                return Ok(());
            }
        }
    }

    /// Adds claimed webhooks to their logs.
    async fn attach(&mut self, claimed: Vec<Webhook>) {
        let mut logs: BTreeMap<WorkspaceId, Vec<Webhook>> = BTreeMap::new();
        for hook in claimed {
            logs.entry(hook.key.workspace).or_default().push(hook);
        }
        for (workspace, hooks) in logs {
            // The entry is created before the read, so that the log notes commits between the read and its opening.
            self.app.dispatch.lock().logs.entry(workspace).or_default();
            let read = move |conn: &mut Conn| {
                let last = event::last(conn, workspace)?;
                Ok::<_, Error>((removal::removed(conn, workspace)?, last))
            };
            match self.app.db.read(read).await {
                Ok(log) => self.app.dispatch.lock().attach(workspace, log, hooks),
                Err(error) => {
                    log_workspace_error(workspace, &error, "cannot open the log");
                    self.given_up.extend(hooks.iter().filter_map(lease_of));
                    self.has_unowned = true;
                }
            }
        }
    }

    /// Reloads the webhooks of changed instances.
    async fn reload_changed(&mut self) {
        let mut changed = self.app.dispatch.begin_reload().into_iter();
        while let Some((workspace, integration)) = changed.next() {
            if let Err(error) = self.reload(workspace, integration).await {
                let what = format!("cannot read the webhooks of integration {integration}");
                log_workspace_error(workspace, &error, &what);
                let left = std::iter::once((workspace, integration)).chain(changed);
                self.app.dispatch.end_reload(left);
                self.has_unowned = true;
                return;
            }
        }
        self.app.dispatch.end_reload([]);
    }

    async fn reload(&mut self, workspace: WorkspaceId, integration: IntegrationId) -> Result<()> {
        let rows = self
            .app
            .db
            .read(move |conn| webhook::list(conn, workspace, integration))
            .await?;
        state::tell_rows(&self.app, &rows);
        self.has_unowned |= rows.iter().any(|row| row.live && row.owner.is_none());
        let mut state = self.app.dispatch.lock();
        if let Some(log) = state.logs.get_mut(&workspace) {
            let mut kept = HashSet::new();
            for row in rows
                .iter()
                .filter(|row| row.live && row.owner == Some(self.app.node))
            {
                if log.fence(row.key) == Some(row.fence)
                    && let Some(definition) = definition_of(row)
                {
                    log.redefine(row.key, definition);
                    kept.insert(row.key);
                }
            }
            log.retain(|key| key.integration != integration || kept.contains(&key));
            log.index();
        }
        state.prune(workspace);
        Ok(())
    }

    /// Fetches the events that other nodes committed.
    async fn catch_up(&mut self) {
        let behind = std::mem::take(&mut self.app.dispatch.lock().behind);
        for (workspace, last) in behind {
            if let Err(error) = self.fetch_log(workspace, last).await {
                log_workspace_error(workspace, &error, "cannot read the log");
                self.app.dispatch.lock().note_news(News { workspace, last });
                self.has_unowned = true;
            }
        }
    }

    async fn fetch_log(&mut self, workspace: WorkspaceId, last: i64) -> Result<()> {
        loop {
            let known = {
                let state = self.app.dispatch.lock();
                match state.logs.get(&workspace).and_then(super::log::Log::known) {
                    Some(known) if known < last => known,
                    _ => return Ok(()),
                }
            };
            let events = self
                .app
                .db
                .read(move |conn| event::list(conn, workspace, known, MAX_FETCHED_EVENTS))
                .await?;
            if events.is_empty() {
                return Ok(());
            }
            let mut state = self.app.dispatch.lock();
            for event in events {
                state.feed(Arc::new(event));
            }
            if !state.changed.is_empty() {
                // Their instances are reloaded in the next turn.
                self.app.dispatch.wake.notify_one();
            }
            drop(state);
            // Runners for these events start at once.
            self.start_runners();
        }
    }

    /// Wakes the webhooks with deferred events that are due, or with replays.
    async fn wake_due(&self, now: Timestamp) {
        {
            let mut state = self.app.dispatch.lock();
            if state.due.is_none_or(|due| due > now) {
                return;
            }
            // It is cleared before the read, so that an event that is deferred meanwhile sets it again.
            state.due = None;
        }
        let node = self.app.node;
        let found = self.app.db.read(move |conn| {
            let (mut keys, next) = delivery::due_hooks(conn, node, now, MAX_WOKEN_HOOKS)?;
            keys.extend(delivery::replaying(conn, node, MAX_WOKEN_HOOKS)?);
            Ok::<_, Error>((keys, next))
        });
        match found.await {
            Ok((keys, next)) => {
                let mut state = self.app.dispatch.lock();
                state.due_by(next.map(|next| next.max(now + MIN_DUE_INTERVAL)));
                keys.into_iter().for_each(|key| state.wake_side_queue(key));
            }
            Err(error) => {
                log_error(&error, "cannot read which deferred events are due");
                self.app.dispatch.lock().due_by(Some(now + RETRY_DELAY));
            }
        }
    }

    fn start_runners(&mut self) {
        let mut state = self.app.dispatch.lock();
        for hook in std::mem::take(&mut state.starting) {
            let position = state
                .logs
                .get(&hook.key().workspace)
                .and_then(|log| log.start_position(&hook));
            let Some(position) = position else { continue };
            let (lease, app) = (hook.lease, self.app.clone());
            let runner = Runner::new(app.clone(), hook, position, self.stop.clone());
            let work = async move {
                let end = AssertUnwindSafe(runner.run()).catch_unwind().await;
                let Ok(end) = end else {
                    let Key { workspace, id, .. } = lease.key;
                    tracing::error!(%workspace, webhook.id = %id, "the runner of webhook {id} panicked; starting it again");
                    app.clock.sleep(RETRY_DELAY).await;
                    return (lease, Exit::Panicked);
                };
                (lease, end)
            };
            let workspace = Some(lease.key.workspace);
            self.runners.spawn(tenant::scope(workspace, work));
        }
    }

    async fn give_up(&mut self) {
        for lease in std::mem::take(&mut self.given_up) {
            match self
                .write(move |tx| Ok(webhook::give_up(tx, &lease)?))
                .await
            {
                Ok(()) => {
                    self.app.dispatch.lock().drop_hook(&lease);
                    self.has_unowned = true;
                }
                Err(error) => {
                    let Key { workspace, id, .. } = lease.key;
                    log_workspace_error(workspace, &error, &format!("cannot give up webhook {id}"));
                    self.given_up.push(lease);
                    self.has_unowned = true;
                    return;
                }
            }
        }
    }

    /// Writes the cursors of idle webhooks that are more than `from` events behind.
    async fn flush(&self, from: i64) {
        let idle = self.app.dispatch.lock().lagging(from);
        for chunk in idle.chunks(MAX_FLUSHED_CURSORS) {
            let cursors = chunk.to_vec();
            let done = self.write(move |tx| {
                for (lease, cursor) in &cursors {
                    webhook::move_cursor(tx, lease, *cursor)?;
                }
                Ok(())
            });
            match done.await {
                Ok(()) => self.app.dispatch.lock().saved(chunk),
                Err(error) => {
                    return log_error(&error, "cannot write the cursors of idle webhooks");
                }
            }
        }
    }

    /// Writes the figures of the webhooks that no runner works for; of all after the end of the runners. Figures that
    /// cannot be written are lost.
    async fn save_stats(&self, is_stopped: bool) {
        let unsaved: Vec<_> = {
            let state = self.app.dispatch.lock();
            let hooks = state.logs.values().flat_map(|log| log.resting(is_stopped));
            let calls = hooks.map(|hook| (hook.key(), hook.unsaved.take()));
            calls.filter(|(_, calls)| !calls.is_empty()).collect()
        };
        for chunk in unsaved.chunks(MAX_FLUSHED_CURSORS) {
            let calls = chunk.to_vec();
            let done = self.write(move |tx| {
                for (key, calls) in &calls {
                    delivery_stats::add(tx, *key, calls)?;
                }
                Ok(())
            });
            if let Err(error) = done.await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot write figures about deliveries"
                );
            }
        }
    }

    /// Waits for the runners to end, writes every cursor and gives up the leases.
    async fn shut_down(&mut self) -> Result<()> {
        while let Some(ended) = self.runners.join_next().await {
            self.runner_ended(ended);
        }
        self.flush(0).await;
        self.save_stats(true).await;
        let (node, alone) = (self.app.node, !self.is_shared);
        self.app.dispatch.lock().drop_all();
        self.write(move |tx| Ok(webhook::release(tx, node, alone)?))
            .await
    }

    /// Waits after a failure. Returns true if the server stops.
    async fn pause(&self) -> bool {
        tokio::select! {
            () = self.app.clock.sleep(RETRY_DELAY) => false,
            () = self.stop.cancelled() => true,
        }
    }

    /// Runs a write that belongs to no workspace.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.app.db.write(WorkspaceId(Uuid::nil()), work).await
    }
}

/// Logs an error of work that is tried again.
fn log_error(error: &Error, what: &str) {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "{what}; trying again"
    );
}

fn log_workspace_error(workspace: WorkspaceId, error: &Error, what: &str) {
    tracing::error!(error = error as &dyn std::error::Error, %workspace, "workspace {workspace}: {what}; trying again");
}
