//! The journal of this process: a file that names its durable work in progress. If the process dies, the next one finds
//! the work there.
//!
//! The file is in the data directory and has a slot for each item. Writes are not flushed: they outlive the process,
//! and a loss of power is not caused by an item. Before durable work begins, the items of the dead process are counted
//! in the store ([`prichal_store::quarantine`]). A counted item is a suspect. Each workspace runs one of its suspects at
//! a time, beside all other work. A suspect that has one death left starts alone, while no other durable work runs, and
//! its slot is marked as alone for that time; workspaces take turns with these. An item is quarantined only if the
//! process died while the item was alone, so work that only ran beside the culprit is never quarantined.
//!
//! A suspect that waits for its turn takes no place from other work: its worker leaves it to a task of its own, and
//! it counts towards no bound on calls.
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
    audit::Object,
    quarantine::{self, Interrupted, Item, MAX_DEATHS, Suspect},
};
use tokio::sync::{Notify, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, SetOnce};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    domain::Domain,
    error::{Error, Result},
    platform::{
        audit,
        security::{self, Event},
        share::{FairShare, Permit},
    },
};

pub mod held;
pub mod slots;

use slots::{PreviousJournal, Slots};

/// The delay of suspects after the start. It lets an operator reach the server before it may die again.
const SUSPECT_START_DELAY: Duration = Duration::from_secs(1);
/// The time for which the gate stays shut at the start if a suspect has one death left, so that the suspect need not
/// wait for the end of other work.
const RESERVED_START: Duration = Duration::from_secs(3);
/// The longest pause of other work for a suspect, including the wait for that work to end.
const MAX_EXCLUSIVE_TIME: Duration = Duration::from_secs(5);
/// The maximum number of doublings of [`MAX_EXCLUSIVE_TIME`], one for each death after the third.
const MAX_DOUBLINGS: u32 = 4;
/// The interval of reading suspects from the store if other nodes share it.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The wait after an error of the store.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The number of items that are counted in one transaction.
const COUNT_BATCH: usize = 500;

pub struct Journal {
    previous: PreviousJournal,
    /// The slots of this process. They are set once the items of the previous process are counted, and no item begins
    /// before that.
    slots: SetOnce<Mutex<Slots>>,
    suspect_state: Mutex<SuspectState>,
    /// True if this node knows of suspects or held items.
    has_suspects: AtomicBool,
    /// True while the server stops. An item that ends then may have been interrupted, so it does not count as survived.
    is_stopping: AtomicBool,
    /// The turns of suspects, one at a time in each workspace.
    turns: FairShare,
    /// The turns of suspects with one death left, one at a time.
    last_turns: FairShare,
    /// The gate: a read lock held by each item in progress, and a write lock held by a suspect that has to be alone.
    gate: Arc<RwLock<()>>,
    /// Wakes the task that records the suspects that have survived.
    cleared: Notify,
}

#[derive(Default)]
struct SuspectState {
    /// The suspects with their numbers of deaths.
    suspects: BTreeMap<Item, i64>,
    held: BTreeSet<Item>,
    /// The suspects that have ended without a death, to be recorded in the store.
    survived: Vec<Item>,
    /// Suspects with a task of their own.
    spawned: BTreeSet<Item>,
    /// The earliest time at which suspects may begin.
    begin_at: Timestamp,
    /// The earliest time at which the next suspect may be alone.
    quiet_until: Timestamp,
    /// The gate, shut at the start for suspects with one death left.
    reserved: Option<OwnedRwLockWriteGuard<()>>,
    reserved_until: Timestamp,
}

/// A guard of an item in progress. The item ends when the guard is dropped.
pub struct ItemGuard {
    journal: Arc<Journal>,
    item: Item,
    slot: Option<usize>,
    mode: Mode,
}

/// The mode in which an item is in progress.
enum Mode {
    /// Beside other items.
    Beside {
        _gate: Arc<OwnedRwLockReadGuard<()>>,
    },
    /// As a suspect. The token is cancelled when the item ends, and ends its turn.
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

impl std::fmt::Debug for ItemGuard {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.item.fmt(to)
    }
}

impl Drop for ItemGuard {
    fn drop(&mut self) {
        let has_panicked = std::thread::panicking();
        if let Some(mut slots) = self.journal.slots() {
            // The end of the turn reads the token and the slot, so both change under the lock of the slots.
            if let Mode::Suspect(ended) = &self.mode {
                ended.cancel();
            }
            match self.slot {
                // The panic may still end the process.
                Some(slot) if has_panicked => slots.keep_after_panic(slot, self.item),
                Some(slot) => slots.clear(vec![slot]),
                None => {}
            }
        }
        let is_suspect = matches!(self.mode, Mode::Suspect(_));
        let may_be_interrupted = self.journal.is_stopping.load(Ordering::Acquire);
        if is_suspect && !has_panicked && !may_be_interrupted {
            let mut state = self.journal.suspect_state();
            state.suspects.remove(&self.item);
            state.survived.push(self.item);
            drop(state);
            self.journal.cleared.notify_one();
        }
    }
}

impl Journal {
    pub fn new(previous: PreviousJournal) -> Self {
        Self {
            previous,
            slots: SetOnce::new(),
            suspect_state: Mutex::default(),
            has_suspects: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            turns: FairShare::new(usize::MAX, 1),
            last_turns: FairShare::new(1, 1),
            gate: Arc::default(),
            cleared: Notify::new(),
        }
    }

    /// True if this node knows that an item is in quarantine. Statements that claim work exclude such items themselves;
    /// this function is for work that no statement claims.
    pub fn is_held(&self, item: &Item) -> bool {
        self.has_suspects.load(Ordering::Acquire) && self.suspect_state().held.contains(item)
    }

    /// True if an item has to wait for its turn.
    pub fn is_suspect(&self, item: &Item) -> bool {
        self.deaths(item) > 0
    }

    /// The number of deaths that are counted for an item; zero if it is no suspect.
    fn deaths(&self, item: &Item) -> i64 {
        if !self.has_suspects.load(Ordering::Acquire) {
            return 0;
        }
        self.suspect_state()
            .suspects
            .get(item)
            .copied()
            .unwrap_or(0)
    }

    /// Replaces the known suspects and held items by those of the store.
    fn set_suspects(&self, all: Vec<Suspect>) {
        let mut state = self.suspect_state();
        state.suspects.clear();
        state.held.clear();
        for suspect in all {
            if suspect.held_at.is_some() {
                state.held.insert(suspect.item);
            } else {
                state.suspects.insert(suspect.item, suspect.deaths);
            }
        }
        let has_suspects = !(state.suspects.is_empty() && state.held.is_empty());
        self.has_suspects.store(has_suspects, Ordering::Release);
    }

    /// Forgets a quarantined item after its release.
    pub fn forget_held(&self, item: &Item) {
        self.suspect_state().held.remove(item);
    }

    /// Notes that the server is about to stop.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    /// Removes the file at an orderly stop, so that the next process counts no deaths.
    pub fn close(&self) {
        if let Some(mut slots) = self.slots() {
            slots.close();
        }
    }

    /// Marks the item of a slot as no longer alone, unless it has ended.
    fn clear_alone(&self, item: &Item, slot: Option<usize>, ended: &CancellationToken) {
        if let (Some(mut slots), Some(slot)) = (self.slots(), slot)
            && (!ended.is_cancelled() || slots.has_panicked(item, slot))
        {
            slots.clear_alone(slot);
        }
    }

    /// Opens the gate after the end of an item that was alone since `since`. Other work then runs for the same time
    /// before the gate is shut again. During the reserved time at the start, the gate stays shut for the next suspect
    /// instead.
    fn reopen(&self, gate: OwnedRwLockWriteGuard<()>, since: Timestamp, now: Timestamp) {
        let mut state = self.suspect_state();
        if now < state.reserved_until {
            state.reserved = Some(gate);
        } else {
            state.quiet_until = state.quiet_until.max(now + now.since(since));
        }
    }

    /// Locks the slots. `None` before the journal is open.
    fn slots(&self) -> Option<MutexGuard<'_, Slots>> {
        self.slots.get().map(lock)
    }

    fn suspect_state(&self) -> MutexGuard<'_, SuspectState> {
        lock(&self.suspect_state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins an item as soon as the journal is open. A suspect waits for its turn, and any item waits while a suspect is
/// alone. Returns `None` if the server stops before the item begins.
pub async fn begin(app: &Domain, item: Item) -> Option<ItemGuard> {
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
    begin_beside(journal, &[item], slots, gate).pop()
}

/// Begins items together, if they can begin now. `None` if the journal is not open yet, or if a suspect is alone or
/// about to be, or if an item is a suspect; each then begins by itself ([`begin`]).
pub fn begin_now(app: &Domain, items: &[Item]) -> Option<Vec<ItemGuard>> {
    let journal = &app.journal;
    let slots = journal.slots.get()?;
    if items.iter().any(|item| journal.is_suspect(item)) {
        return None;
    }
    let gate = journal.gate.clone().try_read_owned().ok()?;
    Some(begin_beside(journal, items, slots, gate))
}

fn begin_beside(
    journal: &Arc<Journal>,
    items: &[Item],
    slots: &Mutex<Slots>,
    gate: OwnedRwLockReadGuard<()>,
) -> Vec<ItemGuard> {
    let entry = |item: &Item| Interrupted {
        item: *item,
        was_alone: false,
    };
    let entries: Vec<Interrupted> = items.iter().map(entry).collect();
    let (noted, gate) = (lock(slots).note_all(&entries), Arc::new(gate));
    let guard = |(item, slot): (&Item, Option<usize>)| ItemGuard {
        journal: journal.clone(),
        item: *item,
        slot,
        mode: Mode::Beside {
            _gate: gate.clone(),
        },
    };
    items.iter().zip(noted).map(guard).collect()
}

/// Ends items together.
pub fn end_all(mut guards: Vec<ItemGuard>) {
    let Some(journal) = guards.first().map(|guard| guard.journal.clone()) else {
        return;
    };
    let is_beside = |guard: &&mut ItemGuard| matches!(guard.mode, Mode::Beside { .. });
    let ended = guards.iter_mut().filter(is_beside);
    let ended: Vec<usize> = ended.filter_map(|guard| guard.slot.take()).collect();
    if let Some(mut slots) = journal.slots() {
        slots.clear(ended);
    }
}

fn begin_suspect(app: &Domain, item: Item, turn: Turn, slots: &Mutex<Slots>) -> ItemGuard {
    let was_alone = matches!(turn.gate, Gate::Shut(_));
    let slot = lock(slots).note(&Interrupted { item, was_alone });
    let ended = CancellationToken::new();
    let turn = end_turn(app.clone(), turn, item, slot, ended.clone());
    app.background.spawn(turn);
    ItemGuard {
        journal: app.journal.clone(),
        item,
        slot,
        mode: Mode::Suspect(ended),
    }
}

/// The longest pause of other work for a suspect with this number of deaths.
fn exclusive_time(deaths: i64) -> Duration {
    let doublings = u32::try_from(deaths + 1 - MAX_DEATHS).unwrap_or(0);
    MAX_EXCLUSIVE_TIME * 2_u32.pow(doublings.min(MAX_DOUBLINGS))
}

/// Waits for the turn of a suspect. A suspect with one death left shuts the gate, if that is possible in its time.
async fn take_turn(app: &Domain, item: &Item, deaths: i64) -> Turn {
    if deaths + 1 >= MAX_DEATHS {
        return take_last_turn(app, item, deaths).await;
    }
    let journal = &app.journal;
    let permit = journal.turns.take(item.workspace, 1).await;
    let begin_at = journal.suspect_state().begin_at;
    app.clock.sleep_until(begin_at).await;
    let gate = Gate::Open(journal.gate.clone().read_owned().await);
    Turn {
        permit,
        gate,
        since: app.clock.now(),
        exclusive_time: MAX_EXCLUSIVE_TIME,
    }
}

/// Waits for the turn of a suspect with one death left, and for the end of all other work.
async fn take_last_turn(app: &Domain, item: &Item, deaths: i64) -> Turn {
    let journal = &app.journal;
    let permit = journal.last_turns.take(item.workspace, 1).await;
    let quiet_until = {
        let state = journal.suspect_state();
        state.quiet_until.max(state.begin_at)
    };
    app.clock.sleep_until(quiet_until).await;
    let (since, exclusive_time) = (app.clock.now(), exclusive_time(deaths));
    let reserved = journal.suspect_state().reserved.take();
    let shut = if reserved.is_some() {
        reserved
    } else {
        tokio::select! {
            gate = journal.gate.clone().write_owned() => Some(gate),
            () = app.clock.sleep(exclusive_time) => None,
        }
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

/// Starts the work on a suspect in a task of its own, so that the caller need not wait for its turn. An item that has
/// such a task is not started again.
pub fn spawn(app: &Domain, item: Item, work: impl Future<Output = ()> + Send + 'static) {
    if !app.journal.suspect_state().spawned.insert(item) {
        return;
    }
    let task = Spawned {
        journal: app.journal.clone(),
        item,
    };
    app.background.spawn(async move {
        work.await;
        drop(task);
    });
}

/// The task of a suspect.
struct Spawned {
    journal: Arc<Journal>,
    item: Item,
}

impl Drop for Spawned {
    fn drop(&mut self) {
        self.journal.suspect_state().spawned.remove(&self.item);
    }
}

/// Opens the gate again when the suspect ends or its time is over, then waits for the end of the suspect.
async fn end_turn(
    app: Domain,
    turn: Turn,
    item: Item,
    slot: Option<usize>,
    ended: CancellationToken,
) {
    let time_is_over = async {
        tokio::select! {
            () = app.clock.sleep_until(turn.since + turn.exclusive_time) => {}
            () = app.stopping.cancelled() => {}
        }
    };
    ended.run_until_cancelled(time_is_over).await;
    let journal = &app.journal;
    journal.clear_alone(&item, slot, &ended);
    let beside = match turn.gate {
        Gate::Open(gate) => gate,
        Gate::Shut(gate) if ended.is_cancelled() => {
            return journal.reopen(gate, turn.since, app.clock.now());
        }
        Gate::Shut(gate) => {
            let mut state = journal.suspect_state();
            let now = app.clock.now();
            state.quiet_until = state.quiet_until.max(now + now.since(turn.since));
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

/// Counts the items in the journal of the previous process, reads the suspects, and opens the journal of this process.
/// No durable work begins before that. Errors are logged and tried again.
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
    let PreviousJournal {
        process,
        interrupted,
        ..
    } = &journal.previous;
    let process = *process;
    let mut is_last_chance = false;
    for batch in interrupted.chunks(COUNT_BATCH) {
        let batch = batch.to_vec();
        let write = move |tx: &mut Tx<'_>| {
            let mut counted = Vec::new();
            for one in &batch {
                let suspect = quarantine::count_death(tx, *one, process, now)?;
                if let Some(suspect) = suspect.as_ref().filter(|one| one.is_held_now()) {
                    held::show(tx, &suspect.item, now)?;
                }
                counted.extend(suspect);
            }
            Ok::<_, Error>(counted)
        };
        let counted = app.db.write(NO_WORKSPACE, write).await?;
        for suspect in &counted {
            log_suspect(app, suspect);
        }
    }
    read_suspects(app).await?;
    for one in interrupted {
        is_last_chance |= journal.deaths(&one.item) + 1 >= MAX_DEATHS;
    }
    let slots = journal.previous.replace().unwrap_or_else(|error| {
        let error = Error::internal(error);
        log(
            &error,
            "cannot write the journal; work that kills the server will not be found until the next start",
        );
        Slots::none()
    });
    let until = now + SUSPECT_START_DELAY + RESERVED_START;
    {
        let mut state = journal.suspect_state();
        state.begin_at = now + SUSPECT_START_DELAY;
        if is_last_chance {
            // No item is in progress yet, so the gate is free.
            state.reserved = journal.gate.clone().try_write_owned().ok();
            state.reserved_until = until;
        }
    }
    if is_last_chance {
        let at = app.clone();
        app.background.spawn(async move {
            let over = at.clock.sleep_until(until);
            at.stopping.run_until_cancelled(over).await;
            drop(at.journal.suspect_state().reserved.take());
        });
    }
    // The journal is opened only once.
    let _ = journal.slots.set(Mutex::new(slots));
    Ok(())
}

/// The workspace whose writer writes rows that belong to no workspace.
const NO_WORKSPACE: WorkspaceId = WorkspaceId(Uuid::nil());

fn log_suspect(app: &Domain, suspect: &Suspect) {
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
        let object = Object {
            kind: kind.to_owned(),
            id: Some(id.to_string()),
        };
        let of = Some(workspace).filter(|workspace| !workspace.0.is_nil());
        audit::note(app, "server.quarantine", of, Some(object));
        tracing::error!(quarantine.id = %suspect.id, kind, %workspace, item.id = %id, seq, deaths = suspect.deaths, "the server died each time that {kind} {id} was in progress; the item is in quarantine and will not be tried again");
    } else {
        tracing::warn!(kind, %workspace, item.id = %id, seq, deaths = suspect.deaths, "{kind} {id} was in progress when the server died");
    }
}

async fn read_suspects(app: &Domain) -> Result<()> {
    let all = app.db.read(quarantine::all).await?;
    app.journal.set_suspects(all);
    Ok(())
}

/// Removes suspects that have ended without a death from the store, and reads those that other nodes have counted,
/// until `stop`.
pub async fn run(app: Domain, stop: CancellationToken) -> anyhow::Result<()> {
    let is_shared = app.db.engine() == Engine::Postgres;
    while !stop.is_cancelled() {
        tokio::select! {
            () = app.journal.cleared.notified() => {}
            () = app.clock.sleep(POLL_INTERVAL), if is_shared => {}
            () = stop.cancelled() => {}
        }
        let survived = std::mem::take(&mut app.journal.suspect_state().survived);
        if let Err(error) = record_survivors(&app, &survived, is_shared).await {
            log(&error, "cannot record the suspects that have survived");
            app.journal.suspect_state().survived.extend(survived);
            stop.run_until_cancelled(app.clock.sleep(RETRY_DELAY)).await;
            app.journal.cleared.notify_one();
        }
    }
    Ok(())
}

async fn record_survivors(app: &Domain, survived: &[Item], is_shared: bool) -> Result<()> {
    for batch in survived.chunks(COUNT_BATCH) {
        let items = batch.to_vec();
        let write = move |tx: &mut Tx<'_>| {
            items
                .iter()
                .try_for_each(|item| quarantine::clear(tx, *item))
        };
        app.db.write_deferred(NO_WORKSPACE, write).await?;
    }
    if is_shared {
        read_suspects(app).await
    } else {
        Ok(())
    }
}

fn log(error: &Error, what: &'static str) {
    tracing::error!(error = error as &dyn std::error::Error, "{what}");
}
