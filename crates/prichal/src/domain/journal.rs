//! The journal of this process: the durable work in progress, which the next process finds if this one dies.
//!
//! It is a file in the data directory with a slot for each item. It is written without a flush, which outlives the
//! process; a loss of power is no item's fault. Before any durable work begins, the items that a dead process has
//! left are counted in the store ([`prichal_store::quarantine`]). A counted item is a suspect. Suspects run one at a
//! time, in turns of their workspaces. A suspect with one death left starts alone, while no other durable work runs,
//! and its slot is marked as long as that is so. An item is quarantined only if the process died while it ran alone.
//! So an innocent item is not.
//!
//! Other work is paused for a suspect for [`MAX_EXCLUSIVE_TIME`] at most; then both run. If the process dies after
//! that, the time doubles with every further death, so that the culprit is found in the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prichal_core::{id::WorkspaceId, time::Timestamp};
use prichal_store::{
    Engine, Tx,
    quarantine::{self, Item, Left, MAX_DEATHS, Suspect},
};
use tokio::sync::{Notify, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, SetOnce};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    domain::Domain,
    error::{Error, Result},
    platform::{
        security::{self, Event},
        share::{FairShare, Permit},
    },
};

pub mod held;
pub mod slots;

use slots::{Legacy, Slots};

/// The wait of suspects after the start, so that an operator can reach the server before it may die again.
const SUSPECT_START_DELAY: Duration = Duration::from_secs(1);
/// The time for which the gate is shut at the start for suspects with one death left, so that they need not wait for
/// other work to end.
const RESERVED_START: Duration = Duration::from_secs(3);
/// The longest pause of other work for a suspect, including the wait for that work to end.
const MAX_EXCLUSIVE_TIME: Duration = Duration::from_secs(5);
/// The most doublings of that time, one for each death past the third.
const MAX_DOUBLINGS: u32 = 4;
/// The interval between reads of the store if other nodes write to it.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The wait after an error of the store.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The items that are counted in one transaction.
const COUNT_BATCH: usize = 500;

pub struct Journal {
    legacy: Legacy,
    /// The slots of this process, set once the items of the previous one are counted. No item begins before.
    slots: SetOnce<Mutex<Slots>>,
    known: Mutex<SuspectState>,
    /// True if this node knows of suspects or held items.
    has_suspects: AtomicBool,
    /// True while the server stops: items that end now may have been interrupted.
    is_stopping: AtomicBool,
    /// The turns of suspects.
    turns: FairShare,
    /// The gate: shared by all items in progress, and locked by an item that has to be alone.
    gate: Arc<RwLock<()>>,
    /// Wakes the task that records the suspects that have survived.
    cleared: Notify,
}

#[derive(Default)]
struct SuspectState {
    suspects: BTreeMap<Item, i64>,
    held: BTreeSet<Item>,
    survived: Vec<Item>,
    /// The time from which suspects may begin.
    quiet_until: Timestamp,
    /// The gate, shut at the start for the first suspects.
    reserved: Option<OwnedRwLockWriteGuard<()>>,
    reserved_until: Timestamp,
}

/// An item in progress, until this is dropped.
pub struct Flight {
    journal: Arc<Journal>,
    item: Item,
    slot: Option<usize>,
    mode: Mode,
}

/// The mode in which an item is in progress.
enum Mode {
    /// Beside others.
    Beside { _gate: OwnedRwLockReadGuard<()> },
    /// As a suspect. Its turn ends some time after this is cancelled.
    Suspect(CancellationToken),
}

/// The turn of a suspect.
struct Turn {
    permit: Permit,
    gate: Gate,
    since: Timestamp,
    /// The longest pause of other work.
    exclusive_time: Duration,
}

enum Gate {
    Open(OwnedRwLockReadGuard<()>),
    /// No other item is in progress.
    Shut(OwnedRwLockWriteGuard<()>),
}

impl std::fmt::Debug for Flight {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.item.fmt(to)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let is_doubtful = std::thread::panicking();
        if let Some(mut slots) = self.journal.slots() {
            // Cancelled under the lock of the slots, as the end of the turn reads both.
            if let Mode::Suspect(ended) = &self.mode {
                ended.cancel();
            }
            match self.slot {
                // The panic may still end the process.
                Some(slot) if is_doubtful => slots.leave(slot, self.item),
                Some(slot) => slots.clear(slot),
                None => {}
            }
        }
        let is_suspect = matches!(self.mode, Mode::Suspect(_));
        let is_cut_off = self.journal.is_stopping.load(Ordering::Acquire);
        if is_suspect && !is_doubtful && !is_cut_off {
            let mut known = self.journal.suspects();
            known.suspects.remove(&self.item);
            known.survived.push(self.item);
            drop(known);
            self.journal.cleared.notify_one();
        }
    }
}

impl Journal {
    pub fn new(legacy: Legacy) -> Self {
        Self {
            legacy,
            slots: SetOnce::new(),
            known: Mutex::default(),
            has_suspects: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            turns: FairShare::new(1, 1),
            gate: Arc::default(),
            cleared: Notify::new(),
        }
    }

    /// True if this node knows that an item is in quarantine. Claims leave such items out in their statements; this
    /// is for work that no statement claims.
    pub fn is_held(&self, item: &Item) -> bool {
        self.has_suspects.load(Ordering::Acquire) && self.suspects().held.contains(item)
    }

    fn deaths(&self, item: &Item) -> i64 {
        if !self.has_suspects.load(Ordering::Acquire) {
            return 0;
        }
        self.suspects().suspects.get(item).copied().unwrap_or(0)
    }

    /// Replaces the known suspects and held items by those of the store.
    fn learn(&self, all: Vec<Suspect>) {
        let mut known = self.suspects();
        known.suspects.clear();
        known.held.clear();
        for suspect in all {
            if suspect.held_at.is_some() {
                known.held.insert(suspect.item);
            } else {
                known.suspects.insert(suspect.item, suspect.deaths);
            }
        }
        let has_suspects = !(known.suspects.is_empty() && known.held.is_empty());
        self.has_suspects.store(has_suspects, Ordering::Release);
    }

    /// Forgets a quarantined item after its release.
    pub fn released(&self, item: &Item) {
        self.suspects().held.remove(item);
    }

    /// Notes that the server is about to stop.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    /// Closes the file at an orderly stop: items that are interrupted now do not count as deaths.
    pub fn close(&self) {
        if let Some(mut slots) = self.slots() {
            slots.close();
        }
    }

    /// Marks the item of a slot as no longer alone, unless it has ended.
    fn join(&self, item: &Item, slot: Option<usize>, ended: &CancellationToken) {
        if let (Some(mut slots), Some(slot)) = (self.slots(), slot)
            && (!ended.is_cancelled() || slots.is_doubtful(item, slot))
        {
            slots.join(slot);
        }
    }

    /// Opens the gate after an item that was alone since `since`. Other work then runs for as long before the gate is
    /// shut again. At the start, the next suspects follow at once.
    fn reopen(&self, gate: OwnedRwLockWriteGuard<()>, since: Timestamp, now: Timestamp) {
        let mut known = self.suspects();
        if now < known.reserved_until {
            known.reserved = Some(gate);
        } else {
            known.quiet_until = known.quiet_until.max(now + now.since(since));
        }
    }

    /// The slots. `None` before the journal is open.
    fn slots(&self) -> Option<MutexGuard<'_, Slots>> {
        self.slots.get().map(lock)
    }

    fn suspects(&self) -> MutexGuard<'_, SuspectState> {
        lock(&self.known)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins an item, once the journal is open: at once, unless the item is a suspect or a suspect has to be alone.
/// `None` if the server stops before.
pub async fn begin(app: &Domain, item: Item) -> Option<Flight> {
    let journal = &app.journal;
    let slots = if let Some(slots) = journal.slots.get() {
        slots
    } else {
        let open = journal.slots.wait();
        app.stopping.run_until_cancelled(open).await?
    };
    let deaths = journal.deaths(&item);
    if deaths > 0 {
        let turn = take_turn(app, &item, deaths);
        let turn = app.stopping.run_until_cancelled(turn).await?;
        return Some(begin_suspect(app, item, turn, slots));
    }
    let gate = journal.gate.clone().read_owned().await;
    let slot = lock(slots).note(&Left {
        item,
        was_alone: false,
    });
    Some(Flight {
        journal: journal.clone(),
        item,
        slot,
        mode: Mode::Beside { _gate: gate },
    })
}

fn begin_suspect(app: &Domain, item: Item, turn: Turn, slots: &Mutex<Slots>) -> Flight {
    let was_alone = matches!(turn.gate, Gate::Shut(_));
    let slot = lock(slots).note(&Left { item, was_alone });
    let ended = CancellationToken::new();
    let turn = end_turn(app.clone(), turn, item, slot, ended.clone());
    app.background.spawn(turn);
    Flight {
        journal: app.journal.clone(),
        item,
        slot,
        mode: Mode::Suspect(ended),
    }
}

/// The longest pause of other work for an item with so many deaths.
fn exclusive_time(deaths: i64) -> Duration {
    let past = u32::try_from(deaths + 1 - MAX_DEATHS).unwrap_or(0);
    MAX_EXCLUSIVE_TIME * 2_u32.pow(past.min(MAX_DOUBLINGS))
}

/// Waits for the turn of a suspect.
async fn take_turn(app: &Domain, item: &Item, deaths: i64) -> Turn {
    let journal = &app.journal;
    let permit = journal.turns.take(item.workspace, 1).await;
    let quiet_until = journal.suspects().quiet_until;
    app.clock.sleep_until(quiet_until).await;
    let (since, exclusive_time) = (app.clock.now(), exclusive_time(deaths));
    let reserved = journal.suspects().reserved.take();
    let shut = match reserved {
        Some(gate) => Some(gate),
        None if deaths + 1 < MAX_DEATHS => None,
        None => tokio::select! {
            gate = journal.gate.clone().write_owned() => Some(gate),
            () = app.clock.sleep(exclusive_time) => None,
        },
    };
    let gate = match shut {
        Some(gate) => Gate::Shut(gate),
        None => Gate::Open(journal.gate.clone().read_owned().await),
    };
    Turn {
        permit,
        gate,
        since,
        exclusive_time,
    }
}

/// Opens the gate again as soon as the suspect ends or its time is over.
async fn end_turn(
    app: Domain,
    turn: Turn,
    item: Item,
    slot: Option<usize>,
    ended: CancellationToken,
) {
    let late = async {
        tokio::select! {
            () = app.clock.sleep_until(turn.since + turn.exclusive_time) => {}
            () = app.stopping.cancelled() => {}
        }
    };
    ended.run_until_cancelled(late).await;
    let journal = &app.journal;
    journal.join(&item, slot, &ended);
    let beside = match turn.gate {
        Gate::Open(gate) => gate,
        Gate::Shut(gate) if ended.is_cancelled() => {
            return journal.reopen(gate, turn.since, app.clock.now());
        }
        Gate::Shut(gate) => {
            let mut known = journal.suspects();
            let now = app.clock.now();
            known.quiet_until = known.quiet_until.max(now + now.since(turn.since));
            gate.downgrade()
        }
    };
    drop(turn.permit);
    tokio::select! {
        () = ended.cancelled() => {}
        () = app.stopping.cancelled() => {}
    }
    drop(beside);
}

/// Counts the items that the previous process has left, and reads the suspects. No durable work begins before.
pub async fn open(app: &Domain) {
    loop {
        match count(app).await {
            Ok(()) => return,
            Err(error) => {
                log(
                    &error,
                    "cannot count the work that was in progress when the server died",
                );
                app.clock.sleep(RETRY_DELAY).await;
            }
        }
    }
}

async fn count(app: &Domain) -> Result<()> {
    let (now, journal) = (app.clock.now(), &app.journal);
    let Legacy { process, left, .. } = &journal.legacy;
    let process = *process;
    let mut is_last_chance = false;
    for batch in left.chunks(COUNT_BATCH) {
        let batch = batch.to_vec();
        let write = move |tx: &mut Tx<'_>| {
            let mut counted = Vec::new();
            for left in &batch {
                let suspect = quarantine::count_death(tx, *left, process, now)?;
                if let Some(suspect) = suspect.as_ref().filter(|one| one.is_held_now()) {
                    held::show(tx, &suspect.item, now)?;
                }
                counted.extend(suspect);
            }
            Ok::<_, Error>(counted)
        };
        let counted = app.db.write(NOBODY, write).await?;
        counted.iter().for_each(log_suspect);
    }
    learn(app).await?;
    for left in left {
        is_last_chance |= journal.deaths(&left.item) + 1 >= MAX_DEATHS;
    }
    let slots = journal.legacy.replace().map_err(Error::internal)?;
    let until = now + SUSPECT_START_DELAY + RESERVED_START;
    {
        let mut known = journal.suspects();
        known.quiet_until = now + SUSPECT_START_DELAY;
        if is_last_chance {
            // No item is in progress yet, so the gate is free.
            known.reserved = journal.gate.clone().try_write_owned().ok();
            known.reserved_until = until;
        }
    }
    if is_last_chance {
        let at = app.clone();
        app.background.spawn(async move {
            let over = at.clock.sleep_until(until);
            at.stopping.run_until_cancelled(over).await;
            drop(at.journal.suspects().reserved.take());
        });
    }
    // The journal is opened only once.
    let _ = journal.slots.set(Mutex::new(slots));
    Ok(())
}

/// The workspace whose writer writes rows that belong to none.
const NOBODY: WorkspaceId = WorkspaceId(Uuid::nil());

fn log_suspect(suspect: &Suspect) {
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
        tracing::error!(quarantine.id = %suspect.id, kind, %workspace, item.id = %id, seq, deaths = suspect.deaths, "the server died each time that {kind} {id} was in progress; the item is in quarantine and not tried any more");
    } else {
        tracing::warn!(kind, %workspace, item.id = %id, seq, deaths = suspect.deaths, "{kind} {id} was in progress when the server died");
    }
}

async fn learn(app: &Domain) -> Result<()> {
    let all = app.db.read(quarantine::all).await?;
    app.journal.learn(all);
    Ok(())
}

/// Records the suspects that have survived, and reads those that other nodes have counted, until `stop`.
pub async fn run(app: Domain, stop: CancellationToken) -> anyhow::Result<()> {
    let is_shared = app.db.engine() == Engine::Postgres;
    while !stop.is_cancelled() {
        tokio::select! {
            () = app.journal.cleared.notified() => {}
            () = app.clock.sleep(POLL_INTERVAL), if is_shared => {}
            () = stop.cancelled() => {}
        }
        let survived = std::mem::take(&mut app.journal.suspects().survived);
        if let Err(error) = settle(&app, &survived, is_shared).await {
            log(&error, "cannot record the suspects that have survived");
            app.journal.suspects().survived.extend(survived);
            stop.run_until_cancelled(app.clock.sleep(RETRY_DELAY)).await;
            app.journal.cleared.notify_one();
        }
    }
    Ok(())
}

async fn settle(app: &Domain, survived: &[Item], is_shared: bool) -> Result<()> {
    for batch in survived.chunks(COUNT_BATCH) {
        let items = batch.to_vec();
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
