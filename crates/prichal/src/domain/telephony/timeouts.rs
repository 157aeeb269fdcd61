//! Calls without an end are given up after a time (`docs/contracts/kontur.md §6.6`).
//!
//! The time is stored in the call's row, so it survives restarts, and every node reads it. It is checked again under
//! the row's lock, so that each call is given up once.

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

/// The maximum number of calls of a read.
const BATCH: i64 = 100;
/// The interval between reads of the store if other nodes write to it.
const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// The wait after an error of the store.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The due time of the next call that this node knows of.
pub struct Deadline {
    /// In microseconds since 1970.
    at: AtomicI64,
    changed: Notify,
}

impl Default for Deadline {
    fn default() -> Self {
        Self {
            at: AtomicI64::new(i64::MAX),
            changed: Notify::new(),
        }
    }
}

impl Deadline {
    /// Notes the due time of a stored call.
    pub fn set(&self, due: Timestamp) {
        if due.micros() < self.at.fetch_min(due.micros(), AcqRel) {
            self.changed.notify_one();
        }
    }
}

/// Gives up due calls until `stop`.
pub async fn run(app: Domain, stop: CancellationToken) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        // Writes that are committed after this line set the deadline themselves.
        app.telephony.deadline.at.store(i64::MAX, Release);
        let next = match give_up(&app).await {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot read the calls that are due to be given up"
                );
                Some(app.clock.now() + RETRY_DELAY)
            }
        };
        if let Some(next) = next {
            app.telephony.deadline.set(next);
        }
        loop {
            let at = Timestamp::from_micros(app.telephony.deadline.at.load(Acquire));
            tokio::select! {
                () = app.telephony.deadline.changed.notified() => {}
                () = app.clock.sleep_until(at) => break,
                () = stop.cancelled() => break,
            }
        }
    }
    Ok(())
}

/// Gives up due calls, and returns the time of the next read.
async fn give_up(app: &Domain) -> Result<Option<Timestamp>> {
    let now = app.clock.now();
    let (due, next) = app
        .db
        .read(move |conn| communication::list_due(conn, now, BATCH))
        .await?;
    let is_full = i64::try_from(due.len()).is_ok_and(|due| due == BATCH);
    let (suspects, due): (Vec<_>, Vec<_>) = due
        .into_iter()
        .partition(|one| app.journal.is_suspect(&item(one)));
    let has_suspect = !suspects.is_empty();
    for one in suspects {
        let (at, item) = (app.clone(), item(&one));
        let work = async move {
            give_one_up(&at, one, now).await;
        };
        journal::spawn(app, item, work);
    }
    // A slow write for one call must not delay the others.
    let done = due.into_iter().map(|one| give_one_up(app, one, now));
    // A suspect stays due while it waits for its turn.
    if join_all(done).await.contains(&false) || has_suspect {
        return Ok(Some(now + RETRY_DELAY));
    }
    if is_full {
        return Ok(Some(now));
    }
    let look = (app.db.engine() == Engine::Postgres).then(|| now + POLL_INTERVAL);
    Ok(next.into_iter().chain(look).min())
}

/// The journal's item of a call.
fn item((workspace, id): &(WorkspaceId, EntityId)) -> Item {
    Item {
        kind: Kind::Call,
        workspace: *workspace,
        parent: Uuid::nil(),
        id: id.0,
        seq: 0,
    }
}

/// Gives a call up. False if that has failed.
async fn give_one_up(app: &Domain, one: (WorkspaceId, EntityId), now: Timestamp) -> bool {
    let (workspace, id) = one;
    let Some(_guard) = journal::begin(app, item(&one)).await else {
        return true;
    };
    let at = app.clone();
    let write = app.db.write(workspace, move |tx| {
        record::time_out(&at, tx, workspace, id, now)
    });
    match write.await {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, %workspace, communication.id = %id, "cannot give up call {id}");
            false
        }
    }
}
