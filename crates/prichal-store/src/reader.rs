//! Reads, on a few threads with one read-only connection each. Workspaces take turns, and no workspace can occupy all
//! threads.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use foldhash::HashMap;
use prichal_core::id::WorkspaceId;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::{
    Conn, Error, Result,
    fair_queue::FairQueue,
    tenant,
    writer::{Connect, STACK_BYTES},
};

/// The largest number of waiting reads. Further reads are refused with [`Error::Busy`].
const MAX_WAITING: usize = 4096;
/// The largest number of waiting reads of one workspace, and of the server itself.
const MAX_WAITING_OF_WORKSPACE: usize = MAX_WAITING / 4;
const MAX_WAITING_OF_SERVER: usize = MAX_WAITING / 4 * 3;

type Job = Box<dyn FnOnce(Result<&mut Conn>) + Send>;

#[derive(Clone)]
pub(crate) struct Readers(Arc<CloseOnDrop>);

/// Closes the queue when the last [`Readers`] is dropped.
struct CloseOnDrop(Arc<Queue>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.changed.notify_all();
    }
}

struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// The largest number of concurrent reads of one owner.
    max_running: usize,
}

#[derive(Default)]
struct State {
    waiting: FairQueue<Job>,
    /// The number of running reads of each owner.
    running: HashMap<Uuid, usize>,
    is_closed: bool,
}

/// The owner of a read: a workspace, or nil for the server itself.
fn owner(workspace: Option<WorkspaceId>) -> Uuid {
    workspace.map_or(Uuid::nil(), |workspace| workspace.0)
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, of: Uuid, job: Job) -> Result<()> {
        let mut state = self.lock();
        let share = if of.is_nil() {
            MAX_WAITING_OF_SERVER
        } else {
            MAX_WAITING_OF_WORKSPACE
        };
        if state.waiting.len() >= MAX_WAITING || state.waiting.len_of(of) >= share {
            return Err(Error::Busy);
        }
        state.waiting.push(of, job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for a read whose owner is below its limit. None if the queue is closed and empty.
    fn take(&self) -> Option<(Uuid, Job)> {
        let mut state = self.lock();
        loop {
            let State {
                waiting, running, ..
            } = &mut *state;
            let may_run = |of| {
                running
                    .get(&of)
                    .is_none_or(|count| *count < self.max_running)
            };
            if let Some((of, job)) = waiting.pop(may_run) {
                *running.entry(of).or_default() += 1;
                return Some((of, job));
            }
            if state.is_closed {
                // The reads left in the queue are taken by the threads that run reads of the same owners.
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Records the end of a read. The same thread takes the next read, so no thread is woken.
    fn ended(&self, of: Uuid) {
        let mut state = self.lock();
        if let Some(count) = state.running.get_mut(&of) {
            *count -= 1;
            if *count == 0 {
                state.running.remove(&of);
            }
        }
    }
}

impl Readers {
    pub(crate) fn start(connections: Vec<(Connect, Conn)>) -> std::io::Result<Self> {
        let queue = Arc::new(Queue {
            state: Mutex::default(),
            changed: Condvar::new(),
            max_running: (connections.len() * 2 / 3).max(1),
        });
        for (connect, conn) in connections {
            let queue = queue.clone();
            thread::Builder::new()
                .name("prichal-reader".into())
                .stack_size(STACK_BYTES)
                .spawn(move || run(&connect, conn, &queue))?;
        }
        Ok(Self(Arc::new(CloseOnDrop(queue))))
    }

    pub(crate) async fn read<T, E>(
        &self,
        work: impl FnOnce(&mut Conn) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |conn| {
            if reply.is_closed() {
                return;
            }
            let done = match conn {
                Ok(conn) => catch_unwind(AssertUnwindSafe(|| work(conn)))
                    .unwrap_or_else(|_| Err(Error::corrupt("a read panicked").into())),
                Err(error) => Err(error.into()),
            };
            let _ = reply.send(done);
        });
        self.0.0.push(owner(tenant::current()), job)?;
        answer
            .await
            .unwrap_or_else(|_| Err(Error::unavailable("the readers have stopped").into()))
    }
}

fn run(connect: &Connect, mut conn: Conn, queue: &Queue) {
    while let Some((of, job)) = queue.take() {
        if conn.is_ready() {
            job(Ok(&mut conn));
        } else {
            match connect() {
                Ok(fresh) => {
                    conn = fresh;
                    job(Ok(&mut conn));
                }
                Err(error) => job(Err(error)),
            }
        }
        queue.ended(of);
    }
}
