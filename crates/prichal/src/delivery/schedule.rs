//! The clock of schedule hooks (`docs/contracts/kontur.md §9`): each is called once per period.
//!
//! Every node watches the clock, and who moves a tick on in the store makes its call. While the call
//! runs the next tick stands behind its end, so that no two run at once; a crash costs that one tick.
//! There are no retries, since the next tick is one, and ticks that were missed do not pile up.

use std::time::Duration;

use bytes::Bytes;
use prichal_core::{
    event::{Author, Origin},
    health::Streak,
    id::generate,
    integration::Trigger,
    time::Timestamp,
};
use prichal_store::{
    Engine, Tx,
    quarantine::{Item, Kind},
    tenant,
    webhook::{self, Key, Webhook},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    definition_of,
    target::{
        Health,
        webhook::{Payload, Receiver, call, write_health},
    },
};
use crate::{
    delivery::Delivery,
    domain::journal,
    error::{Error, Result},
    platform::{share::FairShare, vault::Vault},
};

/// How many calls may run at once.
const CALLS: usize = 64;
/// How many of them may be of one workspace.
const SHARE: usize = 16;
/// How often the clock is read again where other nodes may have set it.
const LOOK: Duration = Duration::from_secs(5);
/// How long to wait after the store failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Calls what is due until `stop`; calls that are in flight then are finished.
pub async fn run(app: Delivery, stop: CancellationToken) -> anyhow::Result<()> {
    let mut calls = JoinSet::new();
    let places = FairShare::new(CALLS, SHARE);
    while !stop.is_cancelled() {
        let until = match start_due(&app, &places, &mut calls).await {
            Ok(until) => until,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot read the clock of schedules"
                );
                Some(app.clock.now() + PAUSE)
            }
        };
        let full = calls.len() >= CALLS;
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

/// Starts the calls that are due, as far as there is room, and says when to look again.
async fn start_due(
    app: &Delivery,
    places: &FairShare,
    calls: &mut JoinSet<()>,
) -> Result<Option<Timestamp>> {
    let now = app.clock.now();
    let room = i64::try_from(CALLS.saturating_sub(calls.len())).unwrap_or(0);
    let full = places.full();
    let due = app
        .db
        .read(move |conn| webhook::list_ticking(conn, now, room, &full))
        .await?;
    for hook in due {
        let Some(place) = places.try_take(hook.key.workspace, 1) else {
            continue;
        };
        let workspace = hook.key.workspace;
        if let Some(tick) = take(app, hook, now).await? {
            let app = app.clone();
            let work = async move {
                if let Err(error) = tick.run(&app).await {
                    tracing::error!(error = &error as &dyn std::error::Error, webhook.id = %tick.key.id, "a schedule call failed on our side");
                }
                drop(place);
            };
            calls.spawn(tenant::scope(Some(workspace), work));
        }
    }
    // Those that have their share look again when one of their calls has ended.
    let full = places.full();
    let read = move |conn: &mut prichal_store::Conn| webhook::next_tick_except(conn, &full);
    let next = app.db.read(read).await?;
    let look = (app.db.engine() == Engine::Postgres).then(|| now + LOOK);
    Ok(next.into_iter().chain(look).min())
}

/// A tick that is this node's to call.
struct Tick {
    key: Key,
    due: Timestamp,
    period: Duration,
    /// Where the next tick stands while the call runs.
    parked: Timestamp,
    relative_url: String,
}

/// Takes a tick. Nothing when another node was first.
async fn take(app: &Delivery, hook: Webhook, now: Timestamp) -> Result<Option<Tick>> {
    let Some(due) = hook.next_tick else {
        return Ok(None);
    };
    let key = hook.key;
    // The call has to be over before somebody may think that its node has died.
    let parked = now + app.config.delivery_timeout * 2 + PAUSE;
    if !app
        .db
        .write(key.workspace, move |tx| {
            Ok::<_, Error>(webhook::take_tick(tx, key, due, parked)?)
        })
        .await?
    {
        return Ok(None);
    }
    let definition = definition_of(&hook);
    Ok(definition.and_then(|definition| match definition.trigger {
        Trigger::Schedule(period) => Some(Tick {
            key,
            due,
            period,
            parked,
            relative_url: definition.relative_url,
        }),
        Trigger::EntityEvent(_) => None,
    }))
}

impl Tick {
    async fn run(&self, app: &Delivery) -> Result<()> {
        let item = Item {
            kind: Kind::Tick,
            workspace: self.key.workspace,
            parent: self.key.integration.0,
            id: self.key.id.0,
            seq: 0,
        };
        let Some(_flight) = journal::begin(app, item).await else {
            return Ok(());
        };
        let success = match Receiver::load(app, self.key, &self.relative_url).await? {
            Some(receiver) => {
                let payload = Payload {
                    id: generate(app.clock.now()),
                    body: Bytes::from_static(b"{}"),
                    replay: false,
                };
                let outcome = call(app, &receiver, &receiver.connections(1), payload).await;
                metrics::counter!("prichal_schedule_calls_total", "success" => if outcome.reply.is_success() { "yes" } else { "no" }).increment(1);
                outcome.reply.is_success()
            }
            None => return Ok(()),
        };
        let now = app.clock.now();
        let (key, parked, next) = (self.key, self.parked, after(self.due, self.period, now));
        let vault_of = app.clone();
        let write =
            move |tx: &mut Tx<'_>| finish(&vault_of.vault, tx, key, parked, next, success, now);
        app.db.write(key.workspace, write).await
    }
}

/// The first tick after `now`, counted from `due` in whole periods.
fn after(due: Timestamp, period: Duration, now: Timestamp) -> Timestamp {
    let period = i64::try_from(period.as_micros()).unwrap_or(i64::MAX).max(1);
    let passed = (now.micros() - due.micros()).max(0) / period;
    Timestamp::from_micros(
        due.micros()
            .saturating_add(period.saturating_mul(passed + 1)),
    )
}

/// Sets the next tick and writes what the call means for the instance's status.
fn finish(
    vault: &Vault,
    tx: &mut Tx<'_>,
    key: Key,
    parked: Timestamp,
    next: Timestamp,
    success: bool,
    now: Timestamp,
) -> Result<()> {
    // Whoever has moved the tick meanwhile had a reason: a new definition, a manifest to upgrade to.
    webhook::take_tick(tx, key, parked, next)?;
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
        None if success => Some(Health::Well),
        effect => effect.map(Health::Ill),
    };
    if let Some(health) = health {
        write_health(vault, tx, key, health, &origin)?;
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
            assert_eq!(after(at(due), period, at(now)), at(next), "{due} at {now}");
        }
    }
}
