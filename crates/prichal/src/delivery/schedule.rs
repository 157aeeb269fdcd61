//! The clock of schedule hooks (`docs/contracts/kontur.md §9`): each is called once per period.
//!
//! Every node watches the clock. The node that moves a tick forward in the store makes its call. While the call
//! runs, the next tick is set behind the call's deadline, so that no two run at once; a crash costs that one
//! tick. There are no retries, because the next tick is one, and missed ticks do not pile up.

use std::time::Duration;

use bytes::Bytes;
use prichal_core::{
    delivery_stats::Tally,
    event::{Author, Origin},
    health::Streak,
    id::generate,
    integration::{Trigger, Webhook as Definition},
    time::Timestamp,
};
use prichal_store::{
    Engine, Tx, delivery_stats,
    quarantine::{Item, Kind},
    tenant,
    webhook::{self, Key, Webhook},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    RETRY_DELAY, definition_of,
    target::{
        self, AttemptResult, HealthChange,
        webhook::{IS_AWAITED, Payload, Receiver, deliver},
    },
};
use crate::{
    delivery::Delivery,
    domain::journal::{self, ItemGuard},
    error::{Error, Result},
    platform::{share::FairShare, vault::Vault},
};

/// The maximum number of calls that run at once.
const MAX_CONCURRENT_CALLS: usize = 64;
/// The maximum number of calls of one workspace among them.
const MAX_CALLS_PER_WORKSPACE: usize = 16;
/// The interval at which the next tick is read from a store that other nodes share.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Calls the hooks that are due until `stop`, and finishes the calls in flight then.
pub async fn run(app: Delivery, stop: CancellationToken) -> anyhow::Result<()> {
    let mut calls = JoinSet::new();
    let permits = FairShare::new(MAX_CONCURRENT_CALLS, MAX_CALLS_PER_WORKSPACE);
    while !stop.is_cancelled() {
        let until = match start_due(&app, &permits, &mut calls).await {
            Ok(until) => until,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot read the next ticks of schedules; trying again"
                );
                Some(app.clock.now() + RETRY_DELAY)
            }
        };
        let full = permits.free() == 0;
        tokio::select! {
            () = sleep_until(&app, until), if !full => {}
            () = app.dispatch.ticks.notified(), if !full => {}
            Some(_) = calls.join_next() => {}
            () = stop.cancelled() => {}
        }
        while calls.try_join_next().is_some() {}
    }
    while calls.join_next().await.is_some() {}
    Ok(())
}

async fn sleep_until(app: &Delivery, until: Option<Timestamp>) {
    match until {
        Some(until) => app.clock.sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Starts the calls that are due, as far as the bounds allow. Returns the time of the next look-up.
async fn start_due(
    app: &Delivery,
    permits: &FairShare,
    calls: &mut JoinSet<()>,
) -> Result<Option<Timestamp>> {
    let now = app.clock.now();
    let room = i64::try_from(permits.free()).unwrap_or(0);
    let full = permits.full();
    let due = app
        .db
        .read(move |conn| webhook::list_ticking(conn, now, room, &full))
        .await?;
    for hook in due {
        let workspace = hook.key.workspace;
        // A suspect takes no room from others while it waits for its turn.
        let permit = permits.try_take(workspace, 1);
        let is_suspect = app.journal.is_suspect(&item(hook.key));
        if permit.is_none() && !is_suspect {
            continue;
        }
        let permit = permit.filter(|_| !is_suspect);
        if let Some(mut tick) = claim_tick(app, hook, now).await? {
            let app = app.clone();
            let work = async move {
                if let Err(error) = tick.run(&app).await {
                    let id = tick.key.id;
                    tracing::error!(error = &error as &dyn std::error::Error, %workspace, webhook.id = %id, "webhook {id}: the server failed to make a scheduled call");
                }
                drop(permit);
            };
            calls.spawn(tenant::scope(Some(workspace), work));
        }
    }
    // The hooks of a workspace with its share in use are looked at when one of its calls has ended.
    let full = permits.full();
    let read = move |conn: &mut prichal_store::Conn| webhook::next_tick_except(conn, &full);
    let next = app.db.read(read).await?;
    let poll = (app.db.engine() == Engine::Postgres).then(|| now + POLL_INTERVAL);
    Ok(next.into_iter().chain(poll).min())
}

/// A tick that this node has claimed.
struct Tick {
    key: Key,
    due: Timestamp,
    period: Duration,
    /// The time of the next tick while the call runs.
    reserved: Timestamp,
    definition: Definition,
}

/// Claims a tick. `None` if another node was first.
async fn claim_tick(app: &Delivery, hook: Webhook, now: Timestamp) -> Result<Option<Tick>> {
    let Some(due) = hook.next_tick else {
        return Ok(None);
    };
    let key = hook.key;
    let definition = definition_of(&hook);
    let timeout = definition.as_ref().and_then(|hook| hook.settings.timeout);
    let timeout = timeout.unwrap_or(app.config.delivery_timeout);
    let reserved = reservation(timeout, now);
    if !app
        .db
        .write(key.workspace, move |tx| {
            Ok::<_, Error>(webhook::claim_tick(tx, key, due, reserved)?)
        })
        .await?
    {
        return Ok(None);
    }
    Ok(definition.and_then(|definition| match definition.trigger {
        Trigger::Schedule(period) => Some(Tick {
            key,
            due,
            period,
            reserved,
            definition,
        }),
        Trigger::EntityEvent(_) => None,
    }))
}

/// The journal's item of a tick.
fn item(key: Key) -> Item {
    Item {
        kind: Kind::Tick,
        workspace: key.workspace,
        parent: key.integration.0,
        id: key.id.0,
        seq: 0,
    }
}

/// The time of the next tick while a call runs. The call has ended by then, so no two run at once even if this node
/// dies.
fn reservation(timeout: Duration, now: Timestamp) -> Timestamp {
    now + timeout * 2 + RETRY_DELAY
}

impl Tick {
    /// Begins the call, once it is its turn. `None` if the claim was lost or the server stops.
    async fn begin(&mut self, app: &Delivery) -> Result<Option<ItemGuard>> {
        let item = item(self.key);
        if !app.journal.is_suspect(&item) {
            return Ok(journal::begin(app, item).await);
        }
        let mut flight = std::pin::pin!(journal::begin(app, item));
        loop {
            let renew_at = app.clock.now() + self.timeout(app);
            let flight = tokio::select! {
                flight = &mut flight => Some(flight),
                () = app.clock.sleep_until(renew_at) => None,
            };
            if !self.renew(app).await? {
                return Ok(None);
            }
            if let Some(flight) = flight {
                return Ok(flight);
            }
        }
    }

    /// The time for the call.
    fn timeout(&self, app: &Delivery) -> Duration {
        let timeout = self.definition.settings.timeout;
        timeout.unwrap_or(app.config.delivery_timeout)
    }

    /// Renews the claim. False if it was lost.
    async fn renew(&mut self, app: &Delivery) -> Result<bool> {
        let (key, due) = (self.key, self.reserved);
        let reserved = reservation(self.timeout(app), app.clock.now());
        let claim = move |tx: &mut Tx<'_>| webhook::claim_tick(tx, key, due, reserved);
        self.reserved = reserved;
        app.db
            .write(key.workspace, claim)
            .await
            .map_err(Error::from)
    }

    async fn run(&mut self, app: &Delivery) -> Result<()> {
        let Some(_guard) = self.begin(app).await? else {
            return Ok(());
        };
        let called = match Receiver::load(app, self.key, &self.definition).await? {
            Some(receiver) => {
                let payload = Payload {
                    id: generate(app.clock.now()),
                    body: Bytes::from_static(b"{}"),
                    replay: false,
                };
                let connections = receiver.connections(1);
                let result = deliver(app, &receiver, &connections, payload, IS_AWAITED).await;
                let mut called = Tally::default();
                let is_success = match result {
                    AttemptResult::Called(outcome) => {
                        let is_success = outcome.reply.is_success();
                        let failure = (!is_success).then(|| {
                            let error = outcome.error.clone().unwrap_or_default();
                            (error, outcome.http_status.map(i64::from))
                        });
                        called.count(app.clock.now(), outcome.duration, failure);
                        is_success
                    }
                    AttemptResult::Skipped => true,
                    // The hook is called at the time that the claim has set.
                    AttemptResult::Postponed(_) | AttemptResult::Lost => return Ok(()),
                };
                metrics::counter!("prichal_schedule_calls_total", "success" => if is_success { "yes" } else { "no" }).increment(1);
                called
            }
            None => return Ok(()),
        };
        let now = app.clock.now();
        let (key, reserved) = (self.key, self.reserved);
        let next = next_after(self.due, self.period, now);
        let vault_of = app.clone();
        let write =
            move |tx: &mut Tx<'_>| finish(&vault_of.vault, tx, key, reserved, next, &called, now);
        app.db.write(key.workspace, write).await
    }
}

/// The first tick after `now`, counted from `due` in whole periods.
fn next_after(due: Timestamp, period: Duration, now: Timestamp) -> Timestamp {
    let period = i64::try_from(period.as_micros()).unwrap_or(i64::MAX).max(1);
    let passed = (now.micros() - due.micros()).max(0) / period;
    Timestamp::from_micros(
        due.micros()
            .saturating_add(period.saturating_mul(passed + 1)),
    )
}

/// Sets the next tick and writes the change of the hook's health.
fn finish(
    vault: &Vault,
    tx: &mut Tx<'_>,
    key: Key,
    reserved: Timestamp,
    next: Timestamp,
    called: &Tally,
    now: Timestamp,
) -> Result<()> {
    delivery_stats::add(tx, key, called)?;
    let success = !called.ends_with_failure();
    // A tick that was moved meanwhile stays: the hook has a new definition or manifest.
    webhook::claim_tick(tx, key, reserved, next)?;
    let Some(row) = webhook::find_for_update(tx, key)?.filter(|row| row.live) else {
        return Ok(());
    };
    let origin = Origin {
        workspace: key.workspace,
        author: Author::system(),
        at: now,
    };
    let mut streak: Streak = row.streak;
    let effect = if success {
        if !streak.on_success() {
            return Ok(());
        }
        None
    } else {
        streak.on_failure(now, false)
    };
    webhook::set_streak(tx, key, streak)?;
    let health = match effect {
        None if success => Some(HealthChange::Recovered),
        effect => effect.map(HealthChange::Failing),
    };
    if let Some(health) = health {
        target::of(key).write_health(vault, tx, key, health, &origin)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_ticks_do_not_pile_up() {
        let at = Timestamp::from_micros;
        let period = Duration::from_micros(10);
        for (due, now, next) in [
            (100, 100, 110),
            (100, 109, 110),
            (100, 110, 120),
            (100, 135, 140),
            (100, 90, 110),
        ] {
            let found = next_after(at(due), period, at(now));
            assert_eq!(found, at(next), "{due} at {now}");
        }
    }
}
