//! Group commit: all waiting writes run as one transaction and are answered after its single flush.
//!
//! A write is a closure over [`Tx`]. It may run more than once: if a write of a batch fails after it has changed
//! something, the batch is rolled back and runs again with a savepoint before each write, so that one failure affects
//! no other write. A write whose statement fails there, and all writes of a batch that conflicts with others, run again
//! in their own transactions. A closure is synchronous, so a transaction never stays open across a call to the outside.
//!
//! Events are numbered at the end of the transaction, under the lock of their workspace's log row, which is held
//! until the commit. Readers therefore always see a prefix of the log.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use foldhash::HashMap;
use prichal_core::{
    event::{EntityKind, NewEvent},
    id::WorkspaceId,
};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::{
    Conn, Engine, Error, Result, Row,
    audit::{self, Noted, Rider},
    document,
    event::{self, LoggedEvent},
    insert::{Insert, Pending},
    queue::{self, Urgency},
    usage,
    value::{Value, params},
    webhook,
};

/// The largest number of writes in one transaction.
const MAX_BATCH_WRITES: usize = 128;
/// The stack size of a thread that runs callers' closures. It is generous, because an overflow aborts the process;
/// the depth of the closures' data is bounded far below it.
pub(crate) const STACK_BYTES: usize = 8 << 20;
/// The size of values at which the rest of a batch waits for the next transaction.
const MAX_BATCH_BYTES: u64 = 8 << 20;
/// The largest number of attempts for a transaction that conflicts with others.
const MAX_TRIES: usize = 5;

/// An open write transaction.
pub struct Tx<'a> {
    conn: &'a mut Conn,
    pending: Vec<Pending>,
    events: Vec<NewEvent>,
    counts: BTreeMap<(WorkspaceId, EntityKind), i64>,
    documents: document::Counts,
    starting: Vec<webhook::Key>,
    usage: usage::Changes,
    after_commit: Vec<AfterCommit>,
    /// True if the running write has changed something that a roll-back must undo.
    wrote: bool,
    /// The facts about the running write for its record in the audit log.
    noted: Noted,
    /// The size of the values written so far.
    bytes: u64,
    /// True if [`Self::changes_one`] assumes success and is checked before the commit.
    is_optimistic: bool,
}

impl<'a> Tx<'a> {
    fn new(conn: &'a mut Conn, is_optimistic: bool) -> Self {
        Self {
            conn,
            pending: Vec::new(),
            events: Vec::new(),
            counts: BTreeMap::new(),
            documents: document::Counts::default(),
            starting: Vec::new(),
            usage: usage::Changes::default(),
            after_commit: Vec::new(),
            wrote: false,
            noted: Noted::default(),
            bytes: 0,
            is_optimistic,
        }
    }

    /// Appends an event to its workspace's log, as part of this transaction.
    pub fn append(&mut self, event: NewEvent) {
        self.wrote = true;
        let texts = [event.old.as_ref(), event.new.as_ref()];
        self.bytes += texts
            .iter()
            .flatten()
            .map(|text| text.len() as u64)
            .sum::<u64>();
        self.events.push(event);
    }

    /// Calls `action` on the writer's thread once this transaction is committed, before its callers are answered.
    /// A write that runs again registers its actions again; those of a transaction that is rolled back are dropped.
    pub fn after_commit(&mut self, action: impl FnOnce() + 'static) {
        self.wrote = true;
        self.after_commit.push(Box::new(action));
    }

    /// Names the object of this write for its record in the audit log. The first one counts.
    pub(crate) fn note_object(&mut self, kind: &'static str, id: Uuid) {
        self.noted.object.get_or_insert((kind, id));
    }

    /// Marks this write as one that grants or takes rights, which the audit log records for any actor.
    pub fn note_rights(&mut self) {
        self.noted.changes_rights = true;
    }

    /// Adds the rider's record if the running write has changed something. `events` is the number of events before it.
    /// Returns true if there is a record.
    fn ride(&mut self, rider: &dyn Rider, workspace: WorkspaceId, events: usize) -> bool {
        if !self.wrote {
            return false;
        }
        let mut noted = self.noted;
        if noted.object.is_none() {
            let about = self
                .events
                .get(events)
                .and_then(|event| event.entities.iter().next());
            noted.object = about.map(|(kind, id)| (kind.name(), *id));
        }
        let record = rider.record(workspace, noted);
        let is_recorded = record.is_some();
        if let Some(record) = record {
            audit::insert(self, record);
        }
        is_recorded
    }

    /// Begins a write of the batch.
    fn begin_write(&mut self) {
        self.wrote = false;
        self.noted = Noted::default();
    }

    /// Changes the number of a workspace's entities of a kind.
    pub(crate) fn count(&mut self, workspace: WorkspaceId, kind: EntityKind, change: i64) {
        self.wrote = true;
        *self.counts.entry((workspace, kind)).or_default() += change;
    }

    /// Changes the number of documents that a company sees in a status.
    pub(crate) fn count_documents(&mut self, key: document::CountKey, change: i64) {
        self.wrote = true;
        *self.documents.entry(key).or_default() += change;
    }

    /// Changes the number of bytes of a kind that a workspace uses.
    pub(crate) fn use_bytes(&mut self, workspace: WorkspaceId, kind: usage::Kind, change: i64) {
        self.wrote = true;
        self.usage.add(workspace, kind, change);
    }

    /// The bytes that the writes of this transaction have added for a workspace so far, except for events.
    pub fn used(&self, workspace: WorkspaceId) -> usage::Bytes {
        self.usage.of(workspace)
    }

    /// Inserts a row that cannot conflict with another. Such rows are collected and written in one statement, at the
    /// latest before the next statement of this transaction.
    pub(crate) fn insert(&mut self, insert: &'static Insert, values: Vec<Value<'static>>) {
        self.wrote(&values);
        self.pending.push(Pending { insert, values });
    }

    /// Makes a webhook start after the last event of this transaction.
    pub(crate) fn start_at_end(&mut self, key: webhook::Key) {
        self.starting.push(key);
    }

    /// Runs a statement and returns the number of rows it changed.
    pub(crate) fn execute(&mut self, sql: &str, params: &[Value<'_>]) -> Result<u64> {
        self.flush_pending()?;
        self.wrote(params);
        self.conn.execute(sql, params)
    }

    /// Runs a statement that changes one row, or none if another transaction came first. Returns true if it changed
    /// one.
    ///
    /// On PostgreSQL the statement is assumed to succeed, which saves a round trip, and is checked before the commit.
    /// If the assumption was wrong, the writes of the batch run again without it, and each gets the true answer.
    pub(crate) fn changes_one(&mut self, sql: &str, params: &[Value<'_>]) -> Result<bool> {
        if !self.is_optimistic {
            return Ok(self.execute(sql, params)? == 1);
        }
        self.flush_pending()?;
        self.wrote(params);
        self.conn.run_for_one(sql, params)
    }

    /// Runs a statement without returning its row count, which saves a round trip on PostgreSQL.
    pub(crate) fn run(&mut self, sql: &str, params: &[Value<'_>]) -> Result<()> {
        self.flush_pending()?;
        self.wrote(params);
        self.conn.run(sql, params)
    }

    /// Locks a name until the end of the transaction, against other nodes. Returns false on SQLite, which has one node.
    pub(crate) fn lock_name(&mut self, name: &str) -> Result<bool> {
        if self.conn.engine() == Engine::Sqlite {
            return Ok(false);
        }
        let sql = "SELECT 1 FROM pg_advisory_xact_lock(hashtextextended($1, 0))";
        self.conn()?.query(sql, params![name], |_| Ok(()))?;
        Ok(true)
    }

    /// Runs a statement that changes rows and returns them.
    pub(crate) fn change<T>(
        &mut self,
        sql: &str,
        params: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.flush_pending()?;
        let wrote_before = self.wrote;
        // Set before the query, since rows may have changed when reading one of them fails.
        self.wrote(params);
        let rows = self.conn.query(sql, params, read)?;
        // A statement that has found no rows has changed nothing.
        if rows.is_empty() {
            self.wrote = wrote_before;
        }
        Ok(rows)
    }

    /// Returns the connection, for reading. Queries see the earlier writes of this transaction.
    pub fn conn(&mut self) -> Result<&mut Conn> {
        self.flush_pending()?;
        Ok(self.conn)
    }

    fn wrote(&mut self, values: &[Value<'_>]) {
        self.wrote = true;
        self.bytes += values.iter().map(Value::size).sum::<u64>();
    }

    fn flush_pending(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        crate::insert::write(self.conn, std::mem::take(&mut self.pending))
    }

    /// Opens a savepoint. Nothing is held back here, since the write before has ended with [`Self::keep`] or
    /// [`Self::revert`].
    fn save(&mut self) -> Result<Saved> {
        self.conn.save()?;
        Ok(Saved {
            events: self.events.len(),
            counts: self.counts.clone(),
            documents: self.documents.clone(),
            starting: self.starting.len(),
            usage: self.usage.clone(),
            after_commit: self.after_commit.len(),
            bytes: self.bytes,
        })
    }

    /// Keeps what was done since the savepoint.
    fn keep(&mut self) -> Result<()> {
        self.flush_pending()?;
        self.conn.release()
    }

    /// Undoes what was done since the savepoint.
    fn revert(&mut self, saved: Saved) -> Result<()> {
        self.pending.clear();
        self.events.truncate(saved.events);
        self.counts = saved.counts;
        self.documents = saved.documents;
        self.starting.truncate(saved.starting);
        self.usage = saved.usage;
        self.after_commit.truncate(saved.after_commit);
        self.bytes = saved.bytes;
        self.conn.roll_back_to_savepoint()
    }

    /// Writes the collected rows and numbers the events.
    fn finish(mut self) -> Result<(Vec<LoggedEvent>, Vec<AfterCommit>)> {
        self.flush_pending()?;
        crate::entity::write_counts(self.conn, &self.counts)?;
        document::write_counts(self.conn, &self.documents)?;
        let logged = event::append(self.conn, self.events)?;
        for event in &logged {
            let bytes = usage::length(&event.body);
            self.usage.add(event.workspace, usage::Kind::Events, bytes);
        }
        self.usage.write(self.conn)?;
        webhook::write_starts(self.conn, &self.starting)?;
        Ok((logged, self.after_commit))
    }
}

/// The state of a [`Tx`] at a savepoint, beside the database's own.
struct Saved {
    events: usize,
    counts: BTreeMap<(WorkspaceId, EntityKind), i64>,
    documents: document::Counts,
    starting: usize,
    usage: usage::Changes,
    after_commit: usize,
    bytes: u64,
}

/// A write in the queue.
trait Job: Send {
    fn workspace(&self) -> WorkspaceId;
    fn run(&mut self, tx: &mut Tx<'_>);
    fn succeeded(&self) -> bool;
    /// Sends the outcome to the caller. Called after the commit only.
    fn answer(self: Box<Self>);
    fn fail(self: Box<Self>, error: Error);
}

struct Write<F, T, E> {
    workspace: WorkspaceId,
    work: F,
    rider: Option<Arc<dyn Rider>>,
    /// True if the transaction has the rider's record.
    is_recorded: bool,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job for Write<F, T, E>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    fn run(&mut self, tx: &mut Tx<'_>) {
        // A panic fails this write only. The writer goes on with the others.
        let done = catch_unwind(AssertUnwindSafe(|| {
            let Some(rider) = &self.rider else {
                return (self.work)(tx);
            };
            let events = tx.events.len();
            let done = (self.work)(tx)?;
            self.is_recorded = tx.ride(&**rider, self.workspace, events);
            Ok(done)
        }));
        self.outcome =
            Some(done.unwrap_or_else(|_| Err(Error::corrupt("a write panicked").into())));
    }

    fn succeeded(&self) -> bool {
        matches!(self.outcome, Some(Ok(_)))
    }

    fn answer(self: Box<Self>) {
        if let Some(rider) = self.rider.filter(|_| self.is_recorded)
            && matches!(self.outcome, Some(Ok(_)))
        {
            rider.committed();
        }
        if let Some(outcome) = self.outcome {
            // The send fails if the caller has gone away, which is fine.
            let _ = self.reply.send(outcome);
        }
    }

    fn fail(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error.into()));
    }
}

/// An action of a write, for the time after its commit.
type AfterCommit = Box<dyn FnOnce()>;

/// Called with the events of each commit, on the writer's thread, before the callers are answered.
pub type OnCommit = Arc<dyn Fn(Vec<LoggedEvent>) + Send + Sync>;
/// Opens a connection of a writer, at the start and after a loss.
pub(crate) type Connect = Box<dyn Fn() -> Result<Conn> + Send>;
/// Called with the number of writes of each commit.
pub type OnBatch = Arc<dyn Fn(usize) + Send + Sync>;

/// The sending half of one writer's queue.
pub(crate) struct Writer {
    queue: queue::Sender<Box<dyn Job>>,
}

impl Writer {
    pub(crate) fn start(
        connect: Connect,
        conn: Conn,
        on_commit: OnCommit,
        on_batch: OnBatch,
        written: Arc<BytesWritten>,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = queue::new();
        let writer = WriterThread {
            connect,
            conn,
            on_commit,
            on_batch,
            written,
        };
        thread::Builder::new()
            .name("prichal-writer".into())
            .stack_size(STACK_BYTES)
            .spawn(move || writer.run(&jobs))?;
        Ok(Self { queue })
    }

    /// Runs `work` in a transaction. Fails with [`Error::Busy`] if too many writes wait.
    pub(crate) async fn write<T, E>(
        &self,
        workspace: WorkspaceId,
        urgency: Urgency,
        rider: Option<Arc<dyn Rider>>,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Write {
            workspace,
            work,
            rider,
            is_recorded: false,
            outcome: None,
            reply,
        });
        let queued = self.queue.send(workspace.0, job, urgency);
        queued.map_err(|_| Error::Busy)?;
        answer
            .await
            .unwrap_or_else(|_| Err(Error::unavailable("the writer has stopped").into()))
    }
}

/// The state of a writer's thread.
struct WriterThread {
    connect: Connect,
    conn: Conn,
    on_commit: OnCommit,
    on_batch: OnBatch,
    written: Arc<BytesWritten>,
}

/// The outcome of a transaction.
struct Committed {
    events: Vec<LoggedEvent>,
    after_commit: Vec<AfterCommit>,
    /// The bytes written by each write. Writes beyond the end of this list did not run.
    bytes: Vec<u64>,
    /// The writes, by their place in the batch, that were undone because a statement of theirs failed. They must run
    /// in their own transactions.
    undone: Vec<usize>,
}

/// The bytes of values written for each workspace since the start of this process.
#[derive(Default)]
pub(crate) struct BytesWritten(Mutex<HashMap<WorkspaceId, u64>>);

impl BytesWritten {
    pub(crate) fn of(&self, workspace: WorkspaceId) -> u64 {
        self.lock().get(&workspace).copied().unwrap_or(0)
    }

    fn count(&self, batch: &[Box<dyn Job>], bytes: &[u64]) {
        let mut all = self.lock();
        for (job, bytes) in batch.iter().zip(bytes) {
            *all.entry(job.workspace()).or_default() += bytes;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WriterThread {
    fn run(mut self, jobs: &queue::Receiver<Box<dyn Job>>) {
        while let Some(batch) = jobs.take(MAX_BATCH_WRITES) {
            let written = catch_unwind(AssertUnwindSafe(|| self.write(batch)));
            if written.is_err() {
                // The panic was outside of a write's closure. Its callers get an error, and the other writes go on.
                tracing::error!("a store transaction panicked");
                let _ = self.conn.batch("ROLLBACK");
            }
        }
    }

    /// Runs a batch, in several transactions if it is too large for one.
    fn write(&mut self, mut batch: Vec<Box<dyn Job>>) {
        while !batch.is_empty() {
            if let Err(error) = self.reconnect() {
                return refuse(batch, &error);
            }
            let mut done = self.transaction(&mut batch, Mode::Optimistic);
            let is_of_one = match &done {
                Ok(_) => false,
                Err(Abort::Write) => true,
                // A statement that PostgreSQL was sent late may fail as late as at the commit.
                Err(Abort::Store(_)) => !self.conn.is_closed(),
            };
            if is_of_one && batch.len() > 1 {
                done = self.again(&mut batch, Mode::Savepoints);
            }
            match done {
                Ok(mut done) => {
                    let rest = batch.split_off(done.bytes.len());
                    let mut undone = Vec::with_capacity(done.undone.len());
                    for index in done.undone.drain(..).rev() {
                        done.bytes.remove(index);
                        undone.push(batch.remove(index));
                    }
                    undone.reverse();
                    (self.on_batch)(batch.len());
                    self.committed(batch, done);
                    self.run_one_by_one(undone);
                    batch = rest;
                }
                Err(Abort::Write) => return self.run_one_by_one(batch),
                Err(Abort::Store(error)) => return refuse(batch, &error),
            }
        }
    }

    fn committed(&self, batch: Vec<Box<dyn Job>>, done: Committed) {
        self.written.count(&batch, &done.bytes);
        for action in done.after_commit {
            action();
        }
        (self.on_commit)(done.events);
        batch.into_iter().for_each(Job::answer);
    }

    /// Runs a batch that has failed once more.
    fn again(&mut self, batch: &mut [Box<dyn Job>], mode: Mode) -> Result<Committed, Abort> {
        self.reconnect().map_err(Abort::Store)?;
        self.transaction(batch, mode)
    }

    /// Runs each write in its own transaction.
    fn run_one_by_one(&mut self, batch: Vec<Box<dyn Job>>) {
        for job in batch {
            let mut alone = vec![job];
            let mut tries = 0;
            loop {
                tries += 1;
                match self.again(&mut alone, Mode::Alone) {
                    Ok(done) => self.committed(alone, done),
                    // A failed write runs alone here, so it gets its own error.
                    Err(Abort::Write) if tries < MAX_TRIES && self.conn.take_failed() => continue,
                    Err(Abort::Write) => alone.into_iter().for_each(answer_rolled_back),
                    Err(Abort::Store(Error::Collided(_))) if tries < MAX_TRIES => continue,
                    Err(Abort::Store(error)) => refuse(alone, &error),
                }
                break;
            }
        }
    }

    /// Runs the batch and commits it, or rolls it back.
    fn transaction(&mut self, batch: &mut [Box<dyn Job>], mode: Mode) -> Result<Committed, Abort> {
        self.conn.take_failed();
        self.conn.begin().map_err(Abort::Store)?;
        let done = self.run_all(batch, mode);
        let done = done.and_then(|done| self.conn.commit().map(|()| done).map_err(Abort::of));
        if done.is_err() {
            // If the roll-back fails, the connection is lost, and with it the transaction.
            let _ = self.conn.batch("ROLLBACK");
        }
        done
    }

    fn run_all(&mut self, batch: &mut [Box<dyn Job>], mode: Mode) -> Result<Committed, Abort> {
        let alone = batch.len() == 1;
        let mut tx = Tx::new(&mut self.conn, mode == Mode::Optimistic);
        let (mut bytes, mut undone) = (Vec::with_capacity(batch.len()), Vec::new());
        for (index, job) in batch.iter_mut().enumerate() {
            let before = tx.bytes;
            if before > MAX_BATCH_BYTES {
                break;
            }
            if mode == Mode::Savepoints {
                if run_apart(&mut tx, job)? == Apart::Undone {
                    undone.push(index);
                }
            } else {
                tx.begin_write();
                job.run(&mut tx);
                let clean = job.succeeded() || (!tx.wrote && !tx.conn.failed());
                if !clean {
                    if alone && tx.conn.is_closed() {
                        return Err(Abort::Store(Error::unavailable("the connection was lost")));
                    }
                    return Err(Abort::Write);
                }
            }
            bytes.push(tx.bytes - before);
        }
        let (events, after_commit) = tx.finish().map_err(Abort::of)?;
        Ok(Committed {
            events,
            after_commit,
            bytes,
            undone,
        })
    }

    fn reconnect(&mut self) -> Result<()> {
        if !self.conn.is_ready() {
            self.conn = (self.connect)()?;
            tracing::info!("reconnected to the database");
        }
        Ok(())
    }
}

/// The way in which a batch runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Without savepoints: the first write that fails after a change ends the batch.
    Optimistic,
    /// With a savepoint before each write.
    Savepoints,
    /// One write in its own transaction.
    Alone,
}

/// The outcome of a write between savepoints.
#[derive(PartialEq, Eq)]
enum Apart {
    /// The write has its outcome. A refused one has changed nothing.
    Answered,
    /// A statement of the write failed.
    Undone,
}

/// Runs a write of a batch so that its failure affects no other.
fn run_apart(tx: &mut Tx<'_>, job: &mut Box<dyn Job>) -> Result<Apart, Abort> {
    tx.conn.take_failed();
    let saved = tx.save().map_err(|_| Abort::Write)?;
    tx.begin_write();
    job.run(tx);
    if job.succeeded() && tx.keep().is_ok() {
        return Ok(Apart::Answered);
    }
    let is_answered = !job.succeeded() && !tx.conn.failed();
    tx.revert(saved).map_err(|_| Abort::Write)?;
    Ok(if is_answered {
        Apart::Answered
    } else {
        Apart::Undone
    })
}

/// The reason for a roll-back.
enum Abort {
    /// A write failed after it had changed something.
    Write,
    /// The store itself failed.
    Store(Error),
}

impl Abort {
    /// Classifies a failure at the end of a transaction. After a conflict the writes run again.
    fn of(error: Error) -> Self {
        match error {
            Error::Collided(_) => Self::Write,
            error => Self::Store(error),
        }
    }
}

/// Answers a write whose own transaction was rolled back.
fn answer_rolled_back(job: Box<dyn Job>) {
    if job.succeeded() {
        // The write succeeded, but its transaction conflicted with others every time.
        job.fail(Error::Busy);
    } else {
        job.answer();
    }
}

/// Answers every write of a batch with the store's error.
fn refuse(batch: Vec<Box<dyn Job>>, error: &Error) {
    tracing::error!(
        error = error as &dyn std::error::Error,
        writes = batch.len(),
        "could not write a batch to the store"
    );
    for job in batch {
        job.fail(error.again());
    }
}
