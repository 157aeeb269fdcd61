//! Calls that nobody ends are given up in time (`docs/contracts/kontur.md §6.6`).
//!
//! When that is stands in the call's row, so it survives restarts, and every node looks. Who gives a
//! call up checks again under the row's lock, so that it happens once.

use std::{
    sync::atomic::{
        AtomicI64,
        Ordering::{AcqRel, Acquire, Release},
    },
    time::Duration,
};

use futures_util::future::join_all;
use prichal_core::{
    id::{EntityId, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{
    Engine, communication,
    quarantine::{Item, Kind},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::record;
use crate::{
    domain::{Domain, journal},
    error::Result,
};

/// How many calls are given up before the next look.
const BATCH: i64 = 100;
/// How often the store is looked at where other nodes write to it.
const LOOK: Duration = Duration::from_secs(10);
/// How long to wait after the store failed.
const PAUSE: Duration = Duration::from_secs(1);

/// When the next call is due, as far as this node knows.
pub struct Alarm {
    /// In microseconds since 1970.
    at: AtomicI64,
    changed: Notify,
}

impl Default for Alarm {
    fn default() -> Self {
        Self {
            at: AtomicI64::new(i64::MAX),
            changed: Notify::new(),
        }
    }
}

impl Alarm {
    /// A call is due at this time.
    pub fn set(&self, due: Option<Timestamp>) {
        let Some(due) = due else { return };
        if due.micros() < self.at.fetch_min(due.micros(), AcqRel) {
            self.changed.notify_one();
        }
    }
}

/// Gives up what is due until `stop`.
pub async fn run(app: Domain, stop: CancellationToken) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        // What is written from here on sets the alarm itself.
        app.telephony.watch.at.store(i64::MAX, Release);
        let next = match give_up(&app).await {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot look for calls that nobody ends"
                );
                Some(app.clock.now() + PAUSE)
            }
        };
        app.telephony.watch.set(next);
        loop {
            let at = Timestamp::from_micros(app.telephony.watch.at.load(Acquire));
            tokio::select! {
                () = app.telephony.watch.changed.notified() => {}
                () = app.clock.sleep_until(at) => break,
                () = stop.cancelled() => break,
            }
        }
    }
    Ok(())
}

/// Gives up what is due, and says when to look again.
async fn give_up(app: &Domain) -> Result<Option<Timestamp>> {
    let now = app.clock.now();
    let (due, next) = app
        .db
        .read(move |conn| communication::list_due(conn, now, BATCH))
        .await?;
    let is_full = i64::try_from(due.len()).is_ok_and(|due| due == BATCH);
    // One that is long in coming must not keep the others.
    let done = due.into_iter().map(|one| give_one_up(app, one, now));
    if join_all(done).await.contains(&false) {
        return Ok(Some(now + PAUSE));
    }
    if is_full {
        return Ok(Some(now));
    }
    let look = (app.db.engine() == Engine::Postgres).then(|| now + LOOK);
    Ok(next.into_iter().chain(look).min())
}

/// Gives a call up. False when that has failed.
async fn give_one_up(
    app: &Domain,
    (workspace, id): (WorkspaceId, EntityId),
    now: Timestamp,
) -> bool {
    let item = Item {
        kind: Kind::Call,
        workspace,
        parent: Uuid::nil(),
        id: id.0,
        seq: 0,
    };
    let Some(_flight) = journal::begin(app, item).await else {
        return true;
    };
    let at = app.clone();
    let write = app.db.write(workspace, move |tx| {
        record::time_out(&at, tx, workspace, id, now)
    });
    match write.await {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, communication = %id, "cannot give a call up");
            false
        }
    }
}
