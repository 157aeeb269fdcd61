//! Group commit: all writes that wait run as one transaction and are answered after its one flush.
//!
//! A write is a closure over [`Tx`]. It may run more than once: when one of a batch fails after it has
//! changed something, the batch is rolled back and each of its writes runs again in a transaction of
//! its own, so that one failure harms no other. A closure is synchronous, so no transaction can stay
//! open across a call to the outside.
//!
//! Events get their number at the end of the transaction, under the lock of their workspace's log
//! row, which is held until the commit: what is visible is always a prefix of the log.

use std::{
    collections::{BTreeMap, HashMap},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use prichal_core::{
    event::{EntityKind, NewEvent},
    id::WorkspaceId,
};
use tokio::sync::oneshot;

use crate::{
    Conn, Error, Result, Row, document,
    event::{self, LoggedEvent},
    insert::{Insert, Pending},
    queue::{self, Urgency},
    usage,
    value::Value,
    webhook,
};

/// How many writes share one transaction.
const BATCH: usize = 128;
/// The stack of a thread that runs closures of others. What they go into is bounded far below that; it is
/// generous, since a stack that overflows takes the process along.
pub(crate) const STACK: usize = 8 << 20;
/// How many bytes of values: what comes after that many waits for the next transaction.
const BATCH_BYTES: u64 = 8 << 20;
/// How often a batch that met another transaction is run again.
const TRIES: usize = 5;

/// An open write transaction.
pub struct Tx<'a> {
    conn: &'a mut Conn,
    pending: Vec<Pending>,
    events: Vec<NewEvent>,
    counts: BTreeMap<(WorkspaceId, EntityKind), i64>,
    documents: document::Counts,
    starting: Vec<webhook::Key>,
    usage: usage::Changes,
    /// Whether the running write has changed anything that a roll-back must undo.
    wrote: bool,
    /// How many bytes of values were written so far.
    bytes: u64,
    /// Whether what is to change a row is taken to have done so until the commit.
    is_trusting: bool,
}

impl<'a> Tx<'a> {
    fn new(conn: &'a mut Conn, is_trusting: bool) -> Self {
        Self {
            conn,
            pending: Vec::new(),
            events: Vec::new(),
            counts: BTreeMap::new(),
            documents: document::Counts::default(),
            starting: Vec::new(),
            usage: usage::Changes::default(),
            wrote: false,
            bytes: 0,
            is_trusting,
        }
    }

    /// Adds an event to its workspace's log, committed together with everything else here.
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

    /// Changes how many entities of a kind a workspace has.
    pub(crate) fn count(&mut self, workspace: WorkspaceId, kind: EntityKind, change: i64) {
        self.wrote = true;
        *self.counts.entry((workspace, kind)).or_default() += change;
    }

    /// Changes how many documents a company sees in a status.
    pub(crate) fn count_documents(&mut self, key: document::CountKey, change: i64) {
        self.wrote = true;
        *self.documents.entry(key).or_default() += change;
    }

    /// Changes how many bytes of a kind a workspace takes up.
    pub(crate) fn use_bytes(&mut self, workspace: WorkspaceId, kind: usage::Kind, change: i64) {
        self.wrote = true;
        self.usage.add(workspace, kind, change);
    }

    /// The bytes that the writes of this transaction have added for a workspace so far, but for events.
    pub fn used(&self, workspace: WorkspaceId) -> usage::Bytes {
        self.usage.of(workspace)
    }

    /// Inserts a row that cannot collide with another. It is held back and written together with its
    /// like in one statement, at the latest before the next statement of this transaction.
    pub(crate) fn insert(&mut self, insert: &'static Insert, values: Vec<Value<'static>>) {
        self.wrote(&values);
        self.pending.push(Pending { insert, values });
    }

    /// Lets a webhook begin after the last event of this transaction.
    pub(crate) fn start_at_end(&mut self, key: webhook::Key) {
        self.starting.push(key);
    }

    /// Runs a statement and returns how many rows it changed.
    pub(crate) fn execute(&mut self, sql: &str, params: &[Value<'_>]) -> Result<u64> {
        self.flush_pending()?;
        self.wrote(params);
        self.conn.execute(sql, params)
    }

    /// Runs a statement that changes one row, or none when somebody else came first, and says whether it did.
    ///
    /// On PostgreSQL that is taken for granted, which costs no round trip, and found out before the commit;
    /// then the writes of the batch run again, one by one, and each is told the truth.
    pub(crate) fn changes_one(&mut self, sql: &str, params: &[Value<'_>]) -> Result<bool> {
        if !self.is_trusting {
            return Ok(self.execute(sql, params)? == 1);
        }
        self.flush_pending()?;
        self.wrote(params);
        self.conn.run_for_one(sql, params)
    }

    /// Runs a statement when nobody looks at how many rows it changes: on PostgreSQL it costs no round trip of
    /// its own.
    pub(crate) fn run(&mut self, sql: &str, params: &[Value<'_>]) -> Result<()> {
        self.flush_pending()?;
        self.wrote(params);
        self.conn.run(sql, params)
    }

    /// Runs a statement that changes rows and returns them.
    pub(crate) fn change<T>(
        &mut self,
        sql: &str,
        params: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.flush_pending()?;
        self.wrote(params);
        self.conn.query(sql, params, read)
    }

    /// The connection, for reading: what this transaction has written so far is there.
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

    /// Writes what was held back and numbers the events.
    fn finish(mut self) -> Result<Vec<LoggedEvent>> {
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
        Ok(logged)
    }
}

/// A write that waits for its turn.
trait Job: Send {
    fn workspace(&self) -> WorkspaceId;
    fn run(&mut self, tx: &mut Tx<'_>);
    fn succeeded(&self) -> bool;
    /// Tells the caller how it ended. Only after the commit.
    fn answer(self: Box<Self>);
    fn fail(self: Box<Self>, error: Error);
}

struct Write<F, T, E> {
    workspace: WorkspaceId,
    work: F,
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
        // A panic is this write's alone; the writer must live on for the others.
        let done = catch_unwind(AssertUnwindSafe(|| (self.work)(tx)));
        self.outcome =
            Some(done.unwrap_or_else(|_| Err(Error::corrupt("a write panicked").into())));
    }

    fn succeeded(&self) -> bool {
        matches!(self.outcome, Some(Ok(_)))
    }

    fn answer(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            // A caller that has gone away does not need an answer.
            let _ = self.reply.send(outcome);
        }
    }

    fn fail(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error.into()));
    }
}

/// Told of each commit, on the writer's thread, before the callers are.
pub type OnCommit = Arc<dyn Fn(Vec<LoggedEvent>) + Send + Sync>;
/// Opens the connection of a writer, again after it was lost.
pub(crate) type Connect = Box<dyn Fn() -> Result<Conn> + Send>;
/// Told how many writes each commit carried.
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
        written: Arc<Written>,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = queue::new();
        let room = Room {
            connect,
            conn,
            on_commit,
            on_batch,
            written,
        };
        thread::Builder::new()
            .name("prichal-writer".into())
            .stack_size(STACK)
            .spawn(move || room.run(&jobs))?;
        Ok(Self { queue })
    }

    /// Runs `work` in a transaction; [`Error::Busy`] when too many writes wait already.
    pub(crate) async fn write<T, E>(
        &self,
        workspace: WorkspaceId,
        urgency: Urgency,
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

/// What a writer's thread works with.
struct Room {
    connect: Connect,
    conn: Conn,
    on_commit: OnCommit,
    on_batch: OnBatch,
    written: Arc<Written>,
}

/// What a transaction has come to.
struct Done {
    events: Vec<LoggedEvent>,
    /// How many bytes each write has written; those without a number here have not run.
    bytes: Vec<u64>,
}

/// How many bytes of values were written for each workspace since this process began.
#[derive(Default)]
pub(crate) struct Written(Mutex<HashMap<WorkspaceId, u64>>);

impl Written {
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

impl Room {
    fn run(mut self, jobs: &queue::Receiver<Box<dyn Job>>) {
        while let Some(batch) = jobs.take(BATCH) {
            let written = catch_unwind(AssertUnwindSafe(|| self.write(batch)));
            if written.is_err() {
                // Outside of a write's own work: its callers are told, and the others go on.
                tracing::error!("a transaction panicked");
                let _ = self.conn.batch("ROLLBACK");
            }
        }
    }

    /// Writes a batch, in several transactions when it is too long for one.
    fn write(&mut self, mut batch: Vec<Box<dyn Job>>) {
        while !batch.is_empty() {
            if let Err(error) = self.reconnect() {
                return refuse(batch, &error);
            }
            match self.transaction(&mut batch, true) {
                Ok(done) => {
                    let rest = batch.split_off(done.bytes.len());
                    (self.on_batch)(batch.len());
                    self.committed(batch, done);
                    batch = rest;
                }
                Err(Setback::Alone) => return self.one_by_one(batch),
                Err(Setback::Store(error)) => return refuse(batch, &error),
            }
        }
    }

    fn committed(&self, batch: Vec<Box<dyn Job>>, done: Done) {
        self.written.count(&batch, &done.bytes);
        (self.on_commit)(done.events);
        batch.into_iter().for_each(Job::answer);
    }

    /// The slow way, after a batch failed: a transaction for each write.
    fn one_by_one(&mut self, batch: Vec<Box<dyn Job>>) {
        for job in batch {
            let mut alone = vec![job];
            let mut tries = 0;
            loop {
                tries += 1;
                let done = self
                    .reconnect()
                    .map_err(Setback::Store)
                    .and_then(|()| self.transaction(&mut alone, false));
                match done {
                    Ok(done) => self.committed(alone, done),
                    // Alone, a failed write answers with its own error: there is nobody else to harm.
                    Err(Setback::Alone) if tries < TRIES && self.conn.take_failed() => continue,
                    Err(Setback::Alone) => alone.into_iter().for_each(answer_alone),
                    Err(Setback::Store(Error::Collided(_))) if tries < TRIES => continue,
                    Err(Setback::Store(error)) => refuse(alone, &error),
                }
                break;
            }
        }
    }

    /// Runs the batch and commits it, or leaves no trace of it.
    fn transaction(
        &mut self,
        batch: &mut [Box<dyn Job>],
        is_trusting: bool,
    ) -> Result<Done, Setback> {
        self.conn.take_failed();
        self.conn.begin().map_err(Setback::Store)?;
        let done = self.run_all(batch, is_trusting);
        let done = done.and_then(|done| self.conn.commit().map(|()| done).map_err(Setback::of));
        if done.is_err() {
            // When this fails too, the connection is gone and the transaction with it.
            let _ = self.conn.batch("ROLLBACK");
        }
        done
    }

    fn run_all(&mut self, batch: &mut [Box<dyn Job>], is_trusting: bool) -> Result<Done, Setback> {
        let alone = batch.len() == 1;
        let mut tx = Tx::new(&mut self.conn, is_trusting);
        let mut bytes = Vec::with_capacity(batch.len());
        for job in batch {
            let before = tx.bytes;
            if before > BATCH_BYTES {
                break;
            }
            tx.wrote = false;
            job.run(&mut tx);
            let clean = job.succeeded() || (!tx.wrote && !tx.conn.failed());
            if !clean {
                if alone && tx.conn.is_closed() {
                    return Err(Setback::Store(Error::unavailable(
                        "the connection was lost",
                    )));
                }
                return Err(Setback::Alone);
            }
            bytes.push(tx.bytes - before);
        }
        let events = tx.finish().map_err(Setback::of)?;
        Ok(Done { events, bytes })
    }

    fn reconnect(&mut self) -> Result<()> {
        if !self.conn.is_ready() {
            self.conn = (self.connect)()?;
            tracing::info!("connected to the database again");
        }
        Ok(())
    }
}

/// Why a transaction left no trace.
enum Setback {
    /// One of the writes failed after it had changed something.
    Alone,
    /// The store itself failed.
    Store(Error),
}

impl Setback {
    /// A failure while finishing. Two transactions that met are sorted out one by one.
    fn of(error: Error) -> Self {
        match error {
            Error::Collided(_) => Self::Alone,
            error => Self::Store(error),
        }
    }
}

/// Answers a write whose own transaction was rolled back.
fn answer_alone(job: Box<dyn Job>) {
    if job.succeeded() {
        // The write was fine, but its transaction met others every time.
        job.fail(Error::Busy);
    } else {
        job.answer();
    }
}

/// Answers every write of a batch with the store's failure.
fn refuse(batch: Vec<Box<dyn Job>>, error: &Error) {
    tracing::error!(
        error = error as &dyn std::error::Error,
        writes = batch.len(),
        "could not write"
    );
    for job in batch {
        job.fail(error.again());
    }
}
