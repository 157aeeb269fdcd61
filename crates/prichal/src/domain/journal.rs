//! The journal of this process: the durable work that is under way, for the next process to find when this one dies.
//!
//! It is a file in the data directory, a slot for each item, written without a flush: that outlives the process, and
//! a machine that loses power is no item's fault. What a dead process has left there is counted in the store before
//! any durable work begins ([`prichal_store::quarantine`]): an item begins in a slot of the file, and there is none
//! before. An item that was counted is a suspect. Suspects go on one at a time, by turns of their workspaces; one that
//! has one death left begins alone, without any other durable work beside it, and its slot says so as long as that is
//! true. An item is held back only when its process has died in that time, and an innocent one is told apart.
//!
//! Others stand still for a suspect for [`PATIENCE`] at most; then it goes on beside them. For one whose process has
//! died all the same, that time is twice as long with every further death, so that it is found at last.

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

/// How long suspects wait after the start: whoever operates the server gets to see it before.
const QUIET: Duration = Duration::from_secs(1);
/// How long the gate is shut at the start for suspects with one death left, so that they need not wait for others to end.
const RESERVED: Duration = Duration::from_secs(3);
/// How long others stand still for a suspect, what they need to come to their end included.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many times that is doubled at the most, a time for each death past the third.
const DOUBLINGS: u32 = 4;
/// How often the store is looked at where other nodes write to it.
const LOOK: Duration = Duration::from_secs(1);
/// How long to wait after the store failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How many items are counted in one transaction.
const BITE: usize = 500;

pub struct Journal {
    legacy: Legacy,
    /// Those of this process, once what the one before has left is counted. No item begins without them.
    slots: SetOnce<Mutex<Slots>>,
    known: Mutex<Known>,
    /// Whether there are suspects or held items, as far as this node knows.
    is_wary: AtomicBool,
    /// Whether the server stops: what ends now may have been cut off.
    is_stopping: AtomicBool,
    /// The turns of suspects.
    turns: FairShare,
    /// Shared by all that is under way, and shut by what has to be alone.
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
    quiet_until: Timestamp,
    /// The gate, shut at the start for the first suspects.
    reserved: Option<OwnedRwLockWriteGuard<()>>,
    reserved_until: Timestamp,
}

/// An item that is under way, until this is dropped.
pub struct Flight {
    journal: Arc<Journal>,
    item: Item,
    slot: Option<usize>,
    course: Course,
}

/// The way in which an item is under way.
enum Course {
    /// Beside others.
    Beside { _gate: OwnedRwLockReadGuard<()> },
    /// As a suspect; its turn is over some time after this is cancelled.
    Suspect(CancellationToken),
}

/// The turn of a suspect.
struct Turn {
    permit: Permit,
    gate: Gate,
    since: Timestamp,
    /// How long others wait for it.
    patience: Duration,
}

enum Gate {
    Open(OwnedRwLockReadGuard<()>),
    /// No other item is under way.
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
            // Together with what becomes of the slot: the turn's end looks at both.
            if let Course::Suspect(ended) = &self.course {
                ended.cancel();
            }
            match self.slot {
                // The panic may be about to end the process.
                Some(slot) if is_doubtful => slots.leave(slot, self.item),
                Some(slot) => slots.clear(slot),
                None => {}
            }
        }
        let is_suspect = matches!(self.course, Course::Suspect(_));
        let is_cut_off = self.journal.is_stopping.load(Ordering::Acquire);
        if is_suspect && !is_doubtful && !is_cut_off {
            let mut known = self.journal.known();
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
            is_wary: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            turns: FairShare::new(1, 1),
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
        if let Some(mut slots) = self.slots() {
            slots.close();
        }
    }

    /// Others may begin beside the item of a slot, unless that has come to its end.
    fn join(&self, item: &Item, slot: Option<usize>, ended: &CancellationToken) {
        if let (Some(mut slots), Some(slot)) = (self.slots(), slot)
            && (!ended.is_cancelled() || slots.is_doubtful(item, slot))
        {
            slots.join(slot);
        }
    }

    /// The gate is not shut any more for one that was alone since then: others go on for as long before the next is.
    /// At the start, the next ones come at once.
    fn reopen(&self, gate: OwnedRwLockWriteGuard<()>, since: Timestamp, now: Timestamp) {
        let mut known = self.known();
        if now < known.reserved_until {
            known.reserved = Some(gate);
        } else {
            known.quiet_until = known.quiet_until.max(now + now.since(since));
        }
    }

    /// The slots, unless the journal is yet to be opened.
    fn slots(&self) -> Option<MutexGuard<'_, Slots>> {
        self.slots.get().map(lock)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins an item, when the journal is open and its turn comes: at once, unless it is suspected or a suspect has to be
/// alone. Nothing when the server stops before.
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
        let turn = suspect(app, &item, deaths);
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
        course: Course::Beside { _gate: gate },
    })
}

fn begin_suspect(app: &Domain, item: Item, turn: Turn, slots: &Mutex<Slots>) -> Flight {
    let was_alone = matches!(turn.gate, Gate::Shut(_));
    let slot = lock(slots).note(&Left { item, was_alone });
    let ended = CancellationToken::new();
    let turn = see_through(app.clone(), turn, item, slot, ended.clone());
    app.background.spawn(turn);
    Flight {
        journal: app.journal.clone(),
        item,
        slot,
        course: Course::Suspect(ended),
    }
}

/// How long others stand still for an item that has so many deaths.
fn patience(deaths: i64) -> Duration {
    let past = u32::try_from(deaths + 1 - MAX_DEATHS).unwrap_or(0);
    PATIENCE * 2_u32.pow(past.min(DOUBLINGS))
}

/// Waits for the turn of a suspect.
async fn suspect(app: &Domain, item: &Item, deaths: i64) -> Turn {
    let journal = &app.journal;
    let permit = journal.turns.take(item.workspace, 1).await;
    let quiet_until = journal.known().quiet_until;
    app.clock.sleep_until(quiet_until).await;
    let (since, patience) = (app.clock.now(), patience(deaths));
    let reserved = journal.known().reserved.take();
    let shut = match reserved {
        Some(gate) => Some(gate),
        None if deaths + 1 < MAX_DEATHS => None,
        None => tokio::select! {
            gate = journal.gate.clone().write_owned() => Some(gate),
            () = app.clock.sleep(patience) => None,
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
        patience,
    }
}

/// Sees to it that others stand still no longer than they have to.
async fn see_through(
    app: Domain,
    turn: Turn,
    item: Item,
    slot: Option<usize>,
    ended: CancellationToken,
) {
    let late = async {
        tokio::select! {
            () = app.clock.sleep_until(turn.since + turn.patience) => {}
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
            let mut known = journal.known();
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

/// Counts what the process before has left, and learns what is suspected. Before this, no durable work begins.
pub async fn open(app: &Domain) {
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

async fn count(app: &Domain) -> Result<()> {
    let (now, journal) = (app.clock.now(), &app.journal);
    let Legacy { process, left, .. } = &journal.legacy;
    let process = *process;
    let mut is_last_chance = false;
    for bite in left.chunks(BITE) {
        let bite = bite.to_vec();
        let write = move |tx: &mut Tx<'_>| {
            let mut counted = Vec::new();
            for left in &bite {
                let suspect = quarantine::count_death(tx, *left, process, now)?;
                if let Some(suspect) = suspect.as_ref().filter(|one| one.is_held_now()) {
                    held::show(tx, &suspect.item, now)?;
                }
                counted.extend(suspect);
            }
            Ok::<_, Error>(counted)
        };
        let counted = app.db.write(NOBODY, write).await?;
        counted.iter().for_each(tell);
    }
    learn(app).await?;
    for left in left {
        is_last_chance |= journal.deaths(&left.item) + 1 >= MAX_DEATHS;
    }
    let slots = journal.legacy.replace().map_err(Error::internal)?;
    let until = now + QUIET + RESERVED;
    {
        let mut known = journal.known();
        known.quiet_until = now + QUIET;
        if is_last_chance {
            // Nothing is under way yet.
            known.reserved = journal.gate.clone().try_write_owned().ok();
            known.reserved_until = until;
        }
    }
    if is_last_chance {
        let at = app.clone();
        app.background.spawn(async move {
            let over = at.clock.sleep_until(until);
            at.stopping.run_until_cancelled(over).await;
            drop(at.journal.known().reserved.take());
        });
    }
    // It is opened once.
    let _ = journal.slots.set(Mutex::new(slots));
    Ok(())
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

async fn learn(app: &Domain) -> Result<()> {
    let all = app.db.read(quarantine::all).await?;
    app.journal.learn(all);
    Ok(())
}

/// Writes down which suspects have survived, and learns what other nodes have counted, until `stop`.
pub async fn run(app: Domain, stop: CancellationToken) -> anyhow::Result<()> {
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

async fn settle(app: &Domain, survived: &[Item], is_shared: bool) -> Result<()> {
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
