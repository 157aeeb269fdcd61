//! The pulse of a workspace: how often each topic has changed, for consoles that read again what they show.
//!
//! A workspace has one set of counters on a node, whatever the number of its consoles. A commit adds to them, and no text
//! is made. Other nodes are asked for the topics that only they know, and the heads of their events are read from the
//! store. A console hears of the topics that its session may read, and of no others.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use prichal_core::{id::WorkspaceId, time::Timestamp};
use prichal_store::{Conn, LoggedEvent, event};
use tokio::sync::watch;
use uuid::Uuid;

use super::topic::{TOLD, Topic, Topics};
use crate::{
    domain::{Domain, document},
    error::{Code, Error, Result},
    platform::{access::Caller, bus},
};

/// The maximum number of consoles that follow this node.
const MAX_CONSOLES: usize = 1000;
/// The maximum number of them in one workspace, so that no workspace shuts the others out.
const MAX_OF_WORKSPACE: usize = 200;
/// The maximum number of them of one session.
const MAX_OF_SESSION: usize = 20;
/// The maximum number of workspaces without a console whose counters are kept. They tell a console that comes back, or
/// another node that asks.
const MAX_IDLE: usize = 16;
/// The time between two beats of a console, and the maximum of it.
const MIN_GAP: Duration = Duration::from_secs(1);
const MAX_GAP: Duration = Duration::from_secs(10);
/// The number of beats in a second that all consoles of a node share. Each makes a browser read its lists.
const BEATS_PER_SECOND: u32 = 20;
/// The time after which a console is told that nothing has changed.
const SILENCE: Duration = Duration::from_secs(15);
/// The interval at which other nodes are asked.
const ASK_INTERVAL: Duration = Duration::from_secs(2);
/// The maximum number of events of other nodes whose topics are read.
const MAX_HEADS: i64 = 512;

/// The number of changes of each topic, in the order of [`Topic::ALL`]. They begin anew with another `epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    pub epoch: i64,
    pub counts: [u64; Topic::ALL.len()],
}

impl Counters {
    /// The counters of some topics. The others count nothing.
    #[must_use]
    pub fn only(mut self, topics: Topics) -> Self {
        for topic in Topic::ALL.into_iter().filter(|topic| !topics.has(*topic)) {
            self.counts[topic as usize] = 0;
        }
        self
    }
}

/// The topics of a workspace whose changes a person at the console may know of: those that the person's pages read.
pub async fn topics_of(app: &Domain, workspace: WorkspaceId, caller: &Caller) -> Result<Topics> {
    if caller.reads_all() {
        return Ok(Topics::all());
    }
    if caller.integrations().is_some() {
        let all = [Topic::Events, Topic::Deliveries, Topic::States];
        return Ok(all.into_iter().collect());
    }
    let user = caller.user();
    let read = move |conn: &mut Conn| document::may_view(conn, workspace, user);
    let documents = app.db.read(read).await?.then_some(Topic::Documents);
    Ok([Topic::Calls].into_iter().chain(documents).collect())
}

/// A message to a console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// The counters, which differ from those before.
    Changed(Counters),
    /// There was no change for a while.
    Silence,
}

/// The counters of this node, by workspace.
#[derive(Default)]
pub struct Pulses {
    entries: Mutex<HashMap<WorkspaceId, Entry>>,
    /// The number of entries. It is read at each commit, and mostly zero.
    count: AtomicUsize,
    consoles: AtomicUsize,
}

struct Entry {
    counters: Counters,
    changes: watch::Sender<()>,
    consoles: usize,
    /// The number of consoles of each session.
    sessions: HashMap<Uuid, usize>,
    /// The time at which the entry was last of use.
    used_at: Timestamp,
    asked_at: Timestamp,
    /// The counts of [`TOLD`] on this node alone, and those that other nodes were told last.
    own: [u64; TOLD.len()],
    told: [u64; TOLD.len()],
    /// The number of the newest event that is known, and the one after which topics are not known.
    last: i64,
    unread_after: Option<i64>,
}

impl Entry {
    fn new(now: Timestamp) -> Self {
        Self {
            counters: Counters {
                epoch: now.micros(),
                counts: Default::default(),
            },
            changes: watch::Sender::new(()),
            consoles: 0,
            sessions: HashMap::new(),
            used_at: now,
            asked_at: now - ASK_INTERVAL,
            own: Default::default(),
            told: Default::default(),
            last: 0,
            unread_after: None,
        }
    }

    fn add(&mut self, topic: Topic) {
        self.counters.counts[topic as usize] += 1;
        // Every event belongs to this topic as well.
        if topic.told_index().is_none() && topic != Topic::Events {
            self.counters.counts[Topic::Events as usize] += 1;
        }
    }

    fn add_all_of_log(&mut self) {
        let all = Topic::ALL.into_iter();
        all.filter(|topic| topic.told_index().is_none())
            .for_each(|topic| self.add(topic));
    }

    /// Notes that the log has reached a number, of events whose topics are not known.
    fn reach(&mut self, last: i64) {
        if last > self.last {
            self.unread_after.get_or_insert(self.last);
            self.last = last;
            self.changes.send_replace(());
        }
    }
}

impl Pulses {
    /// Counts events that this node committed, in the order of each log.
    pub(super) fn committed(&self, events: &[LoggedEvent]) {
        if self.is_idle() {
            return;
        }
        let mut entries = self.lock();
        for (n, event) in events.iter().enumerate() {
            let Some(entry) = entries.get_mut(&event.workspace) else {
                continue;
            };
            if event.seq > entry.last + 1 {
                entry.unread_after.get_or_insert(entry.last);
            }
            entry.last = entry.last.max(event.seq);
            entry.add(Topic::of(&event.head));
            let next = events.get(n + 1);
            if next.is_none_or(|next| next.workspace != event.workspace) {
                entry.changes.send_replace(());
            }
        }
    }

    /// Notes that the log of a workspace has reached a number, on this node or another one.
    pub fn wake(&self, workspace: WorkspaceId, last: i64) {
        if self.is_idle() {
            return;
        }
        if let Some(entry) = self.lock().get_mut(&workspace) {
            entry.reach(last);
        }
    }

    /// Counts a change on this node of a topic that is told as it happens.
    pub(super) fn count(&self, workspace: WorkspaceId, topic: Topic) {
        if self.is_idle() {
            return;
        }
        if let (Some(index), Some(entry)) = (topic.told_index(), self.lock().get_mut(&workspace)) {
            entry.own[index] += 1;
            entry.add(topic);
            entry.changes.send_replace(());
        }
    }

    /// True if the changes of a workspace are counted.
    pub(super) fn has(&self, workspace: WorkspaceId) -> bool {
        !self.is_idle() && self.lock().contains_key(&workspace)
    }

    /// The counters of a workspace that has a console, or had one not long ago.
    pub fn now(&self, workspace: WorkspaceId) -> Option<Counters> {
        let entries = self.lock();
        entries.get(&workspace).map(|entry| entry.counters)
    }

    /// The topics that changed on this node since the question before, as bits. From the first question on they are
    /// counted.
    pub fn answer(&self, workspace: WorkspaceId, now: Timestamp) -> u8 {
        let mut entries = self.lock();
        let entry = self.enter(&mut entries, workspace, now);
        let mut bits = 0;
        for (index, topic) in TOLD.into_iter().enumerate() {
            if entry.own[index] != entry.told[index] {
                bits |= 1 << topic as u8;
            }
        }
        entry.told = entry.own;
        bits
    }

    /// Counts the changes that another node has told, as bits.
    pub fn told(&self, workspace: WorkspaceId, bits: u8) {
        if let Some(entry) = self.lock().get_mut(&workspace) {
            let all = TOLD.into_iter();
            all.filter(|topic| bits & 1 << *topic as u8 != 0)
                .for_each(|topic| entry.add(topic));
            entry.changes.send_replace(());
        }
    }

    fn is_idle(&self) -> bool {
        self.count.load(Relaxed) == 0
    }

    /// The entry of a workspace, made if there is none. The idle one that was of use least recently makes room.
    fn enter<'a>(
        &self,
        entries: &'a mut HashMap<WorkspaceId, Entry>,
        workspace: WorkspaceId,
        now: Timestamp,
    ) -> &'a mut Entry {
        if !entries.contains_key(&workspace) {
            let idle = entries.iter().filter(|(_, entry)| entry.consoles == 0);
            let oldest = idle.clone().min_by_key(|(_, entry)| entry.used_at);
            let oldest = oldest.map(|(id, _)| *id);
            if idle.count() >= MAX_IDLE
                && let Some(oldest) = oldest
            {
                entries.remove(&oldest);
            }
            self.count.store(entries.len() + 1, Relaxed);
        }
        let entry = entries.entry(workspace).or_insert_with(|| Entry::new(now));
        entry.used_at = now;
        entry
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A console that follows a workspace.
pub struct Follower {
    app: Domain,
    seat: Seat,
    changes: watch::Receiver<()>,
    /// The topics that the console hears of.
    topics: Topics,
    seen: Option<Counters>,
    /// The time of the last beat.
    beat_at: Timestamp,
}

/// The place of a console, given back on drop.
struct Seat {
    streams: Arc<super::Streams>,
    workspace: WorkspaceId,
    session: Uuid,
}

impl Seat {
    fn take(
        app: &Domain,
        workspace: WorkspaceId,
        session: Uuid,
    ) -> Result<(Self, watch::Receiver<()>)> {
        let pulses = &app.streams.pulses;
        let mut entries = pulses.lock();
        let here = entries.get(&workspace);
        let of_session = here.and_then(|entry| entry.sessions.get(&session));
        for (whose, open, most) in [
            ("server", pulses.consoles.load(Relaxed), MAX_CONSOLES),
            (
                "workspace",
                here.map_or(0, |entry| entry.consoles),
                MAX_OF_WORKSPACE,
            ),
            (
                "session",
                of_session.copied().unwrap_or_default(),
                MAX_OF_SESSION,
            ),
        ] {
            if open >= most {
                let why = format!("The {whose} has {most} open consoles. Close one.");
                return Err(Error::refused(Code::LimitReached, why));
            }
        }
        pulses.consoles.fetch_add(1, Relaxed);
        let entry = pulses.enter(&mut entries, workspace, app.clock.now());
        entry.consoles += 1;
        *entry.sessions.entry(session).or_default() += 1;
        let changes = entry.changes.subscribe();
        let streams = app.streams.clone();
        let seat = Self {
            streams,
            workspace,
            session,
        };
        Ok((seat, changes))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let pulses = &self.streams.pulses;
        pulses.consoles.fetch_sub(1, Relaxed);
        if let Some(entry) = pulses.lock().get_mut(&self.workspace) {
            entry.consoles -= 1;
            if let Some(open) = entry.sessions.get_mut(&self.session) {
                *open -= 1;
                if *open == 0 {
                    entry.sessions.remove(&self.session);
                }
            }
        }
    }
}

impl Follower {
    /// Begins to follow topics of a workspace for a session.
    pub async fn start(
        app: Domain,
        workspace: WorkspaceId,
        session: Uuid,
        topics: Topics,
    ) -> Result<Self> {
        let (seat, changes) = Seat::take(&app, workspace, session)?;
        let last = app
            .db
            .read(move |conn: &mut Conn| event::last(conn, workspace))
            .await?;
        if let Some(entry) = app.streams.pulses.lock().get_mut(&workspace) {
            if entry.last == 0 {
                entry.last = last;
                // An event that was committed meanwhile may be before or after it.
                entry.unread_after = None;
            } else {
                entry.reach(last);
            }
        }
        Ok(Self {
            beat_at: app.clock.now(),
            app,
            seat,
            changes,
            topics,
            seen: None,
        })
    }

    pub fn workspace(&self) -> WorkspaceId {
        self.seat.workspace
    }

    /// Sets the topics of the beats from now on.
    pub fn set_topics(&mut self, topics: Topics) {
        self.topics = topics;
    }

    /// Waits for the next beat; the first one is the counters as they are. It may be dropped and called again. `None`
    /// when the server stops.
    pub async fn next(&mut self) -> Option<Beat> {
        if self.seen.is_some() {
            self.wait_until(self.beat_at + self.gap()).await?;
        }
        let mut has_changed = false;
        loop {
            self.changes.mark_unchanged();
            self.read_topics().await;
            let now = self.app.streams.pulses.now(self.seat.workspace)?;
            let now = now.only(self.topics);
            if self.seen != Some(now) {
                self.seen = Some(now);
                self.beat_at = self.app.clock.now();
                return Some(Beat::Changed(now));
            }
            if self.app.clock.now().since(self.beat_at) >= SILENCE {
                self.beat_at = self.app.clock.now();
                return Some(Beat::Silence);
            }
            self.ask();
            // A change that was not for this console is followed by a gap as well, or each commit would wake it.
            if has_changed {
                self.wait_until(self.app.clock.now() + self.gap()).await?;
                has_changed = false;
                continue;
            }
            tokio::select! {
                biased;
                () = self.app.stopping.cancelled() => return None,
                // The entry stays as long as the seat.
                _ = self.changes.changed() => has_changed = true,
                () = self.app.clock.sleep(ASK_INTERVAL) => {}
            }
        }
    }

    /// The time between two beats.
    fn gap(&self) -> Duration {
        let consoles = self.app.streams.pulses.consoles.load(Relaxed);
        let share = Duration::from_secs(consoles as u64) / BEATS_PER_SECOND;
        share.clamp(MIN_GAP, MAX_GAP)
    }

    /// `None` when the server stops.
    async fn wait_until(&self, until: Timestamp) -> Option<()> {
        tokio::select! {
            biased;
            () = self.app.stopping.cancelled() => None,
            () = self.app.clock.sleep_until(until) => Some(()),
        }
    }

    /// Reads the topics of events that other nodes have committed, for all consoles of the workspace. If they cannot be
    /// read, all topics of the log count as changed.
    async fn read_topics(&self) {
        let workspace = self.seat.workspace;
        let after = {
            let mut entries = self.app.streams.pulses.lock();
            let entry = entries.get_mut(&workspace);
            entry.and_then(|entry| entry.unread_after.take())
        };
        let Some(after) = after else {
            return;
        };
        let read =
            move |conn: &mut Conn| event::heads(conn, workspace, after, i64::MAX, MAX_HEADS + 1);
        let heads = self.app.db.read(read).await;
        let known = heads
            .ok()
            .filter(|heads| i64::try_from(heads.len()).is_ok_and(|count| count <= MAX_HEADS));
        let mut entries = self.app.streams.pulses.lock();
        let Some(entry) = entries.get_mut(&workspace) else {
            return;
        };
        match known {
            Some(heads) => heads
                .iter()
                .for_each(|(_, head)| entry.add(Topic::of(head))),
            None => entry.add_all_of_log(),
        }
        entry.changes.send_replace(());
    }

    /// Asks the other nodes for their changes, unless they were asked a moment ago.
    fn ask(&self) {
        let now = self.app.clock.now();
        let is_due = {
            let mut entries = self.app.streams.pulses.lock();
            let entry = entries.get_mut(&self.seat.workspace);
            entry.is_some_and(|entry| {
                let is_due = now.since(entry.asked_at) >= ASK_INTERVAL;
                if is_due {
                    entry.asked_at = now;
                }
                is_due
            })
        };
        if is_due {
            let workspace = self.seat.workspace;
            self.app.bus.tell_pulse(bus::Pulse {
                workspace,
                topics: 0,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prichal_core::{
        event::{EntityKind, EventHead},
        id::EventId,
    };

    fn workspace(n: u128) -> WorkspaceId {
        WorkspaceId(Uuid::from_u128(n))
    }

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn event(seq: i64, kind: EntityKind) -> LoggedEvent {
        let entities = format!("{}:{}", kind.name(), Uuid::nil());
        let head = EventHead::from_columns("change", Some("patch"), &entities);
        LoggedEvent {
            workspace: workspace(1),
            seq,
            id: EventId(Uuid::nil()),
            head: head.expect("a head"),
            body: String::new(),
        }
    }

    fn counts(pulses: &Pulses) -> [u64; 7] {
        pulses.now(workspace(1)).expect("counters").counts
    }

    #[test]
    fn changes_are_counted_where_somebody_looks() {
        let pulses = Pulses::default();
        pulses.committed(&[event(1, EntityKind::Deal)]);
        assert_eq!(pulses.now(workspace(1)), None);
        assert_eq!(pulses.answer(workspace(1), at(1)), 0);
        pulses.wake(workspace(1), 1);
        assert_eq!(pulses.lock()[&workspace(1)].unread_after, Some(0));
        pulses.committed(&[
            event(2, EntityKind::Deal),
            event(3, EntityKind::Communication),
            event(4, EntityKind::Document),
        ]);
        assert_eq!(counts(&pulses), [3, 1, 1, 0, 0, 0, 0]);
        pulses.count(workspace(1), Topic::Deliveries);
        pulses.count(workspace(2), Topic::Deliveries);
        assert_eq!(counts(&pulses), [3, 1, 1, 1, 0, 0, 0]);
    }

    #[test]
    fn events_of_other_nodes_are_read_once() {
        let pulses = Pulses::default();
        pulses.answer(workspace(1), at(1));
        let unread = || {
            pulses
                .lock()
                .get_mut(&workspace(1))
                .expect("an entry")
                .unread_after
                .take()
        };
        pulses.committed(&[event(1, EntityKind::Deal)]);
        pulses.wake(workspace(1), 1);
        assert_eq!(unread(), None, "an own one");
        pulses.wake(workspace(1), 3);
        pulses.committed(&[event(4, EntityKind::Deal)]);
        assert_eq!(unread(), Some(1));
        pulses.committed(&[event(6, EntityKind::Deal)]);
        assert_eq!(unread(), Some(4), "a gap");
    }

    #[test]
    fn other_nodes_are_told_what_changed_since_they_asked() {
        let (here, there) = (Pulses::default(), Pulses::default());
        there.answer(workspace(1), at(1));
        assert_eq!(here.answer(workspace(1), at(1)), 0);
        here.count(workspace(1), Topic::Runs);
        let bits = here.answer(workspace(1), at(2));
        assert_eq!(here.answer(workspace(1), at(3)), 0);
        there.told(workspace(1), bits);
        assert_eq!(counts(&there), [0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(there.answer(workspace(1), at(3)), 0, "no echo");
    }

    #[test]
    fn few_workspaces_without_a_console_are_kept() {
        let pulses = Pulses::default();
        for n in 0..100 {
            pulses.answer(workspace(n), at(i64::try_from(n).expect("a number")));
        }
        let entries = pulses.lock();
        assert_eq!(entries.len(), MAX_IDLE);
        assert!(entries.contains_key(&workspace(99)));
        drop(entries);
        assert_eq!(pulses.count.load(Relaxed), MAX_IDLE);
    }
}
