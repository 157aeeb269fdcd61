//! The journal of this process: the durable work that is under way, for the next process to find when this one dies.
//!
//! It is a file in the data directory, a slot for each item, written without a flush: that outlives the process, and
//! a machine that loses power is no item's fault. What a dead process has left there is counted in the store before
//! any durable work begins ([`prichal_store::quarantine`]). An item that was counted is a suspect. Suspects go on one
//! at a time; one that has one death left goes on alone, without any other durable work beside it. So an item is
//! held back only when its process has died while nothing else was under way, and an innocent one is told apart.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prichal_core::id::WorkspaceId;
use prichal_store::{
    Engine, Tx,
    quarantine::{self, Item, MAX_DEATHS, Suspect},
};
use tokio::sync::{Notify, OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::App,
    error::{Error, Result},
    security::{self, Event},
};

pub mod slots;

use slots::Slots;

/// How long suspects wait after the start: whoever operates the server gets to see it before.
const QUIET: Duration = Duration::from_secs(1);
/// How long a suspect with one death left waits for what is under way to end.
const DRAIN: Duration = Duration::from_secs(30);
/// How often the store is looked at where other nodes write to it.
const LOOK: Duration = Duration::from_secs(1);
/// How long to wait after the store failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How many items are counted in one transaction.
const BITE: usize = 500;

pub struct Journal {
    slots: Mutex<Slots>,
    known: Mutex<Known>,
    /// Whether there are suspects or held items, as far as this node knows.
    is_wary: AtomicBool,
    /// Whether the server stops: what ends now may have been cut off.
    is_stopping: AtomicBool,
    /// Held by the suspect that is under way.
    alone: Arc<tokio::sync::Mutex<()>>,
    /// Shared by all that is under way, and held by what has to be alone.
    gate: Arc<RwLock<()>>,
    /// Wakes whoever writes down which suspects have survived.
    cleared: Notify,
}

#[derive(Default)]
struct Known {
    suspects: BTreeMap<Item, i64>,
    held: BTreeSet<Item>,
    survived: Vec<Item>,
    /// When suspects may go on.
    quiet_until: prichal_core::time::Timestamp,
}

/// An item that is under way, until this is dropped.
pub struct Flight {
    journal: Arc<Journal>,
    item: Item,
    slot: Option<usize>,
    is_suspect: bool,
    _turn: Turn,
}

/// What an item keeps from others meanwhile.
#[expect(dead_code, reason = "held, not read")]
enum Turn {
    Beside(OwnedRwLockReadGuard<()>),
    OneSuspect(OwnedMutexGuard<()>, OwnedRwLockReadGuard<()>),
    Alone(OwnedMutexGuard<()>, OwnedRwLockWriteGuard<()>),
}

impl std::fmt::Debug for Flight {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.item.fmt(to)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let is_doubtful = std::thread::panicking();
        if let Some(slot) = self.slot {
            let mut slots = self.journal.slots();
            if is_doubtful {
                // The panic may be about to end the process.
                slots.leave(slot, self.item);
            } else {
                slots.clear(slot);
            }
        }
        let is_cut_off = self.journal.is_stopping.load(Ordering::Acquire);
        if self.is_suspect && !is_doubtful && !is_cut_off {
            let mut known = self.journal.known();
            known.suspects.remove(&self.item);
            known.survived.push(self.item);
            drop(known);
            self.journal.cleared.notify_one();
        }
    }
}

impl Journal {
    pub fn new(slots: Slots) -> Self {
        Self {
            slots: Mutex::new(slots),
            known: Mutex::default(),
            is_wary: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            alone: Arc::default(),
            gate: Arc::default(),
            cleared: Notify::new(),
        }
    }

    /// Whether an item is in quarantine, as far as this node knows. Claims ask the store; this is for work that no
    /// statement looks for.
    pub fn is_held(&self, item: &Item) -> bool {
        self.is_wary.load(Ordering::Acquire) && self.known().held.contains(item)
    }

    fn deaths(&self, item: &Item) -> i64 {
        if !self.is_wary.load(Ordering::Acquire) {
            return 0;
        }
        self.known().suspects.get(item).copied().unwrap_or(0)
    }

    /// Takes in what the store knows.
    fn learn(&self, all: Vec<Suspect>) {
        let mut known = self.known();
        known.suspects.clear();
        known.held.clear();
        for suspect in all {
            if suspect.held_at.is_some() {
                known.held.insert(suspect.item);
            } else {
                known.suspects.insert(suspect.item, suspect.deaths);
            }
        }
        let is_wary = !(known.suspects.is_empty() && known.held.is_empty());
        self.is_wary.store(is_wary, Ordering::Release);
    }

    /// An item is no longer in quarantine.
    pub fn released(&self, item: &Item) {
        self.known().held.remove(item);
    }

    /// The server is about to stop.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    /// The server stops in good order: what is cut off now is no death.
    pub fn close(&self) {
        self.slots().close();
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins an item, when its turn comes: at once, unless it is suspected or a suspect has to be alone. Nothing when the
/// server stops before.
pub async fn begin(app: &App, item: Item) -> Option<Flight> {
    let journal = &app.journal;
    let deaths = journal.deaths(&item);
    let turn = if deaths == 0 {
        Turn::Beside(journal.gate.clone().read_owned().await)
    } else {
        let turn = suspect(app, deaths);
        app.stopping.run_until_cancelled(turn).await?
    };
    let slot = journal.slots().note(&item);
    Some(Flight {
        journal: journal.clone(),
        item,
        slot,
        is_suspect: deaths > 0,
        _turn: turn,
    })
}

async fn suspect(app: &App, deaths: i64) -> Turn {
    let journal = &app.journal;
    let quiet_until = journal.known().quiet_until;
    app.clock.sleep_until(quiet_until).await;
    let one = journal.alone.clone().lock_owned().await;
    if deaths + 1 >= MAX_DEATHS {
        let alone = journal.gate.clone().write_owned();
        if let Ok(alone) = tokio::time::timeout(DRAIN, alone).await {
            return Turn::Alone(one, alone);
        }
    }
    Turn::OneSuspect(one, journal.gate.clone().read_owned().await)
}

/// Counts what the process before has left, and learns what is suspected. Before this, no durable work begins.
pub async fn open(app: &App) {
    loop {
        match count(app).await {
            Ok(()) => return,
            Err(error) => {
                log(
                    &error,
                    "cannot count what was under way when the server died",
                );
                app.clock.sleep(PAUSE).await;
            }
        }
    }
}

async fn count(app: &App) -> Result<()> {
    let now = app.clock.now();
    app.journal.known().quiet_until = now + QUIET;
    let (process, left) = app.journal.slots().left();
    for bite in left.chunks(BITE) {
        let items = bite.to_vec();
        let write = move |tx: &mut Tx<'_>| {
            let counted = items
                .iter()
                .map(|item| quarantine::count_death(tx, *item, process, now));
            counted.collect::<prichal_store::Result<Vec<_>>>()
        };
        let counted = app.db.write(NOBODY, write).await?;
        counted.iter().flatten().for_each(tell);
    }
    app.journal.slots().begin().map_err(Error::internal)?;
    learn(app).await
}

/// What belongs to no one workspace is written by the writer of this one.
const NOBODY: WorkspaceId = WorkspaceId(Uuid::nil());

fn tell(suspect: &Suspect) {
    let Item {
        kind,
        workspace,
        id,
        seq,
        ..
    } = suspect.item;
    let kind = kind.name();
    if suspect.held_at.is_some() {
        metrics::counter!("prichal_quarantined_total", "kind" => kind).increment(1);
        let object = format!("{kind}:{id}");
        security::record(Event::Quarantined, Some(workspace), &object);
        tracing::error!(quarantine.id = %suspect.id, kind, %workspace, item = %id, seq, deaths = suspect.deaths, "the server died each time that this was under way; it is in quarantine and not tried any more");
    } else {
        tracing::warn!(kind, %workspace, item = %id, seq, deaths = suspect.deaths, "this was under way when the server died");
    }
}

async fn learn(app: &App) -> Result<()> {
    let all = app.db.read(quarantine::all).await?;
    app.journal.learn(all);
    Ok(())
}

/// Writes down which suspects have survived, and learns what other nodes have counted, until `stop`.
pub async fn run(app: App, stop: CancellationToken) -> anyhow::Result<()> {
    let is_shared = app.db.engine() == Engine::Postgres;
    while !stop.is_cancelled() {
        tokio::select! {
            () = app.journal.cleared.notified() => {}
            () = app.clock.sleep(LOOK), if is_shared => {}
            () = stop.cancelled() => {}
        }
        let survived = std::mem::take(&mut app.journal.known().survived);
        if let Err(error) = settle(&app, &survived, is_shared).await {
            log(&error, "cannot write which suspects have survived");
            app.journal.known().survived.extend(survived);
            stop.run_until_cancelled(app.clock.sleep(PAUSE)).await;
            app.journal.cleared.notify_one();
        }
    }
    Ok(())
}

async fn settle(app: &App, survived: &[Item], is_shared: bool) -> Result<()> {
    for bite in survived.chunks(BITE) {
        let items = bite.to_vec();
        let write = move |tx: &mut Tx<'_>| {
            items
                .iter()
                .try_for_each(|item| quarantine::clear(tx, *item))
        };
        app.db.write_deferred(NOBODY, write).await?;
    }
    if is_shared { learn(app).await } else { Ok(()) }
}

fn log(error: &Error, what: &'static str) {
    tracing::error!(error = error as &dyn std::error::Error, "{what}");
}
