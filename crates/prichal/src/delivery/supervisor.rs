//! The supervisor of a node's webhooks: leases, runners, what was committed elsewhere, what is due.
//!
//! On SQLite this node is the only one: it owns every webhook from start to stop, and nothing has to
//! be asked for regularly. On PostgreSQL it looks at the store once a second: renews its lease, takes
//! over webhooks that nobody owns, and reads which logs have moved. That is the truth; the bus only
//! shortens the wait.

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
    Engine, Tx, delivery, event, tenant,
    webhook::{self, Lease, Webhook},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    definition_of, lease_of,
    runner::{End, Runner},
};
use crate::{
    delivery::Delivery,
    domain::rotation,
    error::Result,
    platform::{access, bus::News},
};

/// How often a node looks at a store that it shares.
const TICK: Duration = Duration::from_secs(1);
/// How long a node counts as alive after it last said so.
const LEASE: Duration = Duration::from_secs(5);
/// How much earlier than the others a node believes that its lease has run out: their clocks may be
/// ahead of its own by this much.
const SKEW: Duration = Duration::from_secs(1);
/// How far back changes are asked for again: clocks differ, and transactions take their time.
const OVERLAP: Duration = Duration::from_secs(10);
/// How many webhooks are claimed in one transaction.
const CLAIM: i64 = 256;
/// How many events a log that is behind fetches at once.
const FETCH: i64 = 256;
/// How many webhooks are woken at once because something is due.
const DUE: i64 = 1024;
/// The least time between two looks at what is due.
const DUE_PAUSE: Duration = Duration::from_millis(200);
/// How often the cursors of webhooks that want nothing of what passes are written.
const FLUSH: Duration = Duration::from_mins(1);
/// How many events such a cursor may lag behind before it is worth a write.
const FLUSH_FROM: i64 = 5_000;
/// How long to wait after the store failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs the webhooks of this node until `stop`; then finishes what is in flight and gives them up.
pub async fn run(app: Delivery, stop: CancellationToken) -> anyhow::Result<()> {
    let mut supervisor = Supervisor::new(app, stop);
    supervisor.begin().await;
    while !supervisor.stop.is_cancelled() {
        supervisor.turn().await;
        supervisor.rest().await;
    }
    supervisor.end().await?;
    Ok(())
}

struct Supervisor {
    app: Delivery,
    stop: CancellationToken,
    runners: JoinSet<(Lease, End)>,
    /// Webhooks whose runner has died: given up, and claimed again from their cursors.
    given_up: Vec<Lease>,
    /// Whether other nodes may share the store.
    shared: bool,
    /// When the store has to be looked at again.
    next_tick: Timestamp,
    next_flush: Timestamp,
    /// Since when the store has been looked at.
    looked_at: Timestamp,
    /// Whether there may be webhooks without an owner.
    unowned: bool,
}

impl Supervisor {
    fn new(app: Delivery, stop: CancellationToken) -> Self {
        let now = app.clock.now();
        Self {
            shared: app.db.engine() == Engine::Postgres,
            next_tick: now,
            next_flush: now + FLUSH,
            looked_at: now,
            unowned: true,
            runners: JoinSet::new(),
            given_up: Vec::new(),
            app,
            stop,
        }
    }

    /// Takes back what this node owned before it was killed: nobody needs to wait for the lease to run
    /// out, since the data directory is locked by this process alone.
    async fn begin(&mut self) {
        let (node, alone) = (self.app.node, !self.shared);
        while let Err(error) = self
            .write(move |tx| Ok(webhook::release(tx, node, alone)?))
            .await
        {
            log(&error, "cannot take webhooks over");
            if self.pause().await {
                return;
            }
        }
        if self.shared {
            // Until the first look.
            self.app
                .dispatch
                .hold_until(Timestamp::default(), Timestamp::default());
        }
    }

    /// Does everything that is to be done now.
    async fn turn(&mut self) {
        let now = self.app.clock.now();
        if self.shared && now >= self.next_tick {
            self.next_tick = now + TICK;
            self.unowned = true;
            self.look(now).await;
        }
        self.reload_changed().await;
        self.give_up().await;
        if self.unowned {
            self.unowned = false;
            if let Err(error) = self.claim().await {
                log(&error, "cannot claim webhooks");
                self.unowned = true;
            }
        }
        self.catch_up().await;
        self.wake_due(now).await;
        if now >= self.next_flush {
            self.next_flush = now + FLUSH;
            self.app.dispatch.lock().forget_idle();
            self.flush(FLUSH_FROM).await;
        }
        self.start_runners();
    }

    /// Waits for a reason for the next turn.
    async fn rest(&mut self) {
        let mut until = self.next_flush;
        if self.shared {
            until = until.min(self.next_tick);
        }
        {
            let state = self.app.dispatch.lock();
            if let Some(due) = state.due {
                until = until.min(due);
            }
        }
        if self.unowned {
            until = until.min(self.app.clock.now() + PAUSE);
        }
        tokio::select! {
            () = self.app.dispatch.wake.notified() => {}
            () = self.app.clock.sleep_until(until) => {}
            () = self.stop.cancelled() => {}
            Some(ended) = self.runners.join_next() => self.ended(ended),
        }
        while let Some(ended) = self.runners.try_join_next() {
            self.ended(ended);
        }
    }

    fn ended(&mut self, ended: Result<(Lease, End), tokio::task::JoinError>) {
        match ended {
            Ok((lease, End::LeaseLost)) => {
                self.app.dispatch.lock().drop_hook(&lease);
                self.unowned = true;
            }
            Ok((_, End::Idle | End::Stopped)) => {}
            Ok((lease, End::Died)) => self.given_up.push(lease),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "a webhook's runner was cancelled"
            ),
        }
    }

    /// Looks at a store that other nodes share: says that this one is alive and learns what they did.
    async fn look(&mut self, now: Timestamp) {
        let (node, keys) = (self.app.node, rotation::announced(&self.app));
        let until = now + LEASE;
        let kept = self
            .write(move |tx| Ok(webhook::renew_node(tx, node, until, &keys)?))
            .await;
        match kept {
            Ok(kept) => {
                if !kept {
                    // Others believed this node dead and have taken its webhooks over.
                    self.app.dispatch.lock().drop_all();
                }
                self.app.dispatch.hold_until(now + LEASE - SKEW, now);
                // What was deferred or set going on another node is seen here in time, too.
                self.app.dispatch.lock().due = Some(now);
            }
            Err(error) => {
                log(&error, "cannot renew the lease");
                return;
            }
        }
        let since = self.looked_at - OVERLAP;
        let changed: Result<_> = self
            .app
            .db
            .read(move |conn| Ok(event::changed_logs(conn, since)?))
            .await;
        match changed {
            Ok(logs) => {
                self.looked_at = now;
                logs.into_iter().for_each(|(workspace, last)| {
                    self.app.dispatch.heard(News { workspace, last });
                    self.app.telephony.call_streams.heard(workspace);
                    self.app.channels.sockets.heard(workspace);
                });
            }
            Err(error) => log(&error, "cannot read which logs have moved"),
        }
        if let Err(error) = access::learn_revocations(&self.app, since).await {
            log(&error, "cannot read which access keys were revoked");
        }
    }

    /// Claims webhooks that nobody owns.
    async fn claim(&mut self) -> Result<()> {
        let (node, now) = (self.app.node, self.app.clock.now());
        if self.shared && !self.app.dispatch.holds(now) {
            return Ok(());
        }
        loop {
            let claimed = self
                .write(move |tx| {
                    let claimed = webhook::claim(tx, node, now, CLAIM)?;
                    for hook in &claimed {
                        delivery::requeue_in_flight(tx, hook.key, now)?;
                    }
                    Ok(claimed)
                })
                .await?;
            let more = i64::try_from(claimed.len()).is_ok_and(|claimed| claimed == CLAIM);
            self.attach(claimed).await;
            if !more {
                return Ok(());
            }
        }
    }

    /// Puts claimed webhooks to their logs.
    async fn attach(&mut self, claimed: Vec<Webhook>) {
        let mut logs: BTreeMap<WorkspaceId, Vec<Webhook>> = BTreeMap::new();
        for hook in claimed {
            logs.entry(hook.key.workspace).or_default().push(hook);
        }
        for (workspace, hooks) in logs {
            // From here on the log hears of what is committed, also between the read and the opening.
            self.app.dispatch.lock().logs.entry(workspace).or_default();
            let last: Result<i64> = self
                .app
                .db
                .read(move |conn| Ok(event::last(conn, workspace)?))
                .await;
            match last {
                Ok(last) => self.app.dispatch.lock().attach(workspace, last, hooks),
                Err(error) => {
                    log(&error, "cannot open a log");
                    self.given_up.extend(hooks.iter().filter_map(lease_of));
                    self.unowned = true;
                }
            }
        }
    }

    /// Reads again what the webhooks of changed instances are.
    async fn reload_changed(&mut self) {
        let changed = std::mem::take(&mut self.app.dispatch.lock().changed);
        for (workspace, integration) in changed {
            if let Err(error) = self.reload(workspace, integration).await {
                log(&error, "cannot read the webhooks of an instance");
                self.app
                    .dispatch
                    .lock()
                    .changed
                    .insert((workspace, integration));
                self.unowned = true;
                return;
            }
        }
    }

    async fn reload(&mut self, workspace: WorkspaceId, integration: IntegrationId) -> Result<()> {
        let rows = self
            .app
            .db
            .read(move |conn| webhook::list(conn, workspace, integration))
            .await?;
        self.unowned |= rows.iter().any(|row| row.live && row.owner.is_none());
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

    /// Fetches what this node has not seen being committed.
    async fn catch_up(&mut self) {
        let behind = std::mem::take(&mut self.app.dispatch.lock().behind);
        for (workspace, last) in behind {
            if let Err(error) = self.catch_up_with(workspace, last).await {
                log(&error, "cannot read a log");
                self.app.dispatch.lock().is_behind(News { workspace, last });
                self.unowned = true;
            }
        }
    }

    async fn catch_up_with(&mut self, workspace: WorkspaceId, last: i64) -> Result<()> {
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
                .read(move |conn| event::list(conn, workspace, known, FETCH))
                .await?;
            if events.is_empty() {
                return Ok(());
            }
            let mut state = self.app.dispatch.lock();
            for event in events {
                state.feed(Arc::new(event));
            }
            drop(state);
            // Webhooks that were waiting for these go on at once.
            self.start_runners();
        }
    }

    /// Wakes the webhooks that have deferred events due, or something to replay.
    async fn wake_due(&self, now: Timestamp) {
        {
            let mut state = self.app.dispatch.lock();
            if state.due.is_none_or(|due| due > now) {
                return;
            }
            // What is deferred from here on says so itself.
            state.due = None;
        }
        let node = self.app.node;
        let found = self.app.db.read(move |conn| {
            let (mut keys, next) = delivery::due_hooks(conn, node, now, DUE)?;
            keys.extend(delivery::replaying(conn, node, DUE)?);
            Ok::<_, crate::error::Error>((keys, next))
        });
        match found.await {
            Ok((keys, next)) => {
                let mut state = self.app.dispatch.lock();
                state.due_by(next.map(|next| next.max(now + DUE_PAUSE)));
                keys.into_iter().for_each(|key| state.nudge(key));
            }
            Err(error) => {
                log(&error, "cannot read what is due");
                self.app.dispatch.lock().due_by(Some(now + PAUSE));
            }
        }
    }

    fn start_runners(&mut self) {
        let mut state = self.app.dispatch.lock();
        for hook in std::mem::take(&mut state.starting) {
            let position = state
                .logs
                .get(&hook.key().workspace)
                .and_then(|log| log.position(&hook));
            let Some(position) = position else { continue };
            let (lease, app) = (hook.lease, self.app.clone());
            let runner = Runner::new(app.clone(), hook, position, self.stop.clone());
            let work = async move {
                let end = AssertUnwindSafe(runner.run()).catch_unwind().await;
                let Ok(end) = end else {
                    tracing::error!(webhook.id = %lease.key.id, "a webhook's runner has died");
                    app.clock.sleep(PAUSE).await;
                    return (lease, End::Died);
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
                    self.unowned = true;
                }
                Err(error) => {
                    log(&error, "cannot give a webhook up");
                    self.given_up.push(lease);
                    self.unowned = true;
                    return;
                }
            }
        }
    }

    /// Writes the cursors of webhooks that are idle and more than `from` events behind.
    async fn flush(&self, from: i64) {
        let idle = self.app.dispatch.lock().lagging(from);
        for chunk in idle.chunks(CHUNK) {
            let cursors = chunk.to_vec();
            let done = self.write(move |tx| {
                for (lease, cursor) in &cursors {
                    webhook::move_cursor(tx, lease, *cursor)?;
                }
                Ok(())
            });
            match done.await {
                Ok(()) => self.app.dispatch.lock().saved(chunk),
                Err(error) => return log(&error, "cannot write cursors"),
            }
        }
    }

    /// Lets the runners finish, writes every cursor, and gives the webhooks up.
    async fn end(&mut self) -> Result<()> {
        while let Some(ended) = self.runners.join_next().await {
            self.ended(ended);
        }
        self.flush(0).await;
        let (node, alone) = (self.app.node, !self.shared);
        self.app.dispatch.lock().drop_all();
        self.write(move |tx| Ok(webhook::release(tx, node, alone)?))
            .await
    }

    /// Waits after a failure. True when the server stops.
    async fn pause(&self) -> bool {
        tokio::select! {
            () = self.app.clock.sleep(PAUSE) => false,
            () = self.stop.cancelled() => true,
        }
    }

    /// A write that belongs to no workspace.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.app.db.write(WorkspaceId(Uuid::nil()), work).await
    }
}

/// How many cursors are written in one transaction.
const CHUNK: usize = 500;

fn log(error: &crate::error::Error, what: &'static str) {
    tracing::error!(error = error as &dyn std::error::Error, "{what}");
}
