//! Reading: a few threads, each with a read-only connection of its own. Workspaces take turns, and none has all threads.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use prichal_core::id::WorkspaceId;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::{
    Conn, Error, Result, tenant,
    turns::Turns,
    writer::{Connect, STACK},
};

/// How many reads may wait. More are refused with [`Error::Busy`].
const QUEUE: usize = 4096;
/// How many of them may be of one workspace, and how many of the server's own.
const SHARE: usize = QUEUE / 4;
const OWN: usize = QUEUE / 4 * 3;

type Job = Box<dyn FnOnce(Result<&mut Conn>) + Send>;

#[derive(Clone)]
pub(crate) struct Readers(Arc<Open>);

/// The queue until the last that may put in a read is gone.
struct Open(Arc<Queue>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.changed.notify_all();
    }
}

struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// How many reads of one go on at once.
    most: usize,
}

#[derive(Default)]
struct State {
    waiting: Turns<Job>,
    /// The reads that go on, by whose they are.
    running: HashMap<Uuid, usize>,
    is_closed: bool,
}

/// The line of a workspace's reads, and of those of the server itself.
fn line(workspace: Option<WorkspaceId>) -> Uuid {
    workspace.map_or(Uuid::nil(), |workspace| workspace.0)
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, of: Uuid, job: Job) -> Result<()> {
        let mut state = self.lock();
        let share = if of.is_nil() { OWN } else { SHARE };
        if state.waiting.len() >= QUEUE || state.waiting.len_of(of) >= share {
            return Err(Error::Busy);
        }
        state.waiting.push(of, job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for a read that may go on. Nothing when the queue has ended and is empty.
    fn take(&self) -> Option<(Uuid, Job)> {
        let mut state = self.lock();
        loop {
            let State {
                waiting, running, ..
            } = &mut *state;
            let may_come = |of| running.get(&of).is_none_or(|count| *count < self.most);
            if let Some((of, job)) = waiting.pop(may_come) {
                *running.entry(of).or_default() += 1;
                return Some((of, job));
            }
            if state.is_closed {
                // What waits for its own share is taken by those that have it.
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A read of one has come to its end. Its thread takes the next, so nobody is woken.
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
            most: (connections.len() * 2 / 3).max(1),
        });
        for (connect, conn) in connections {
            let queue = queue.clone();
            thread::Builder::new()
                .name("prichal-reader".into())
                .stack_size(STACK)
                .spawn(move || run(&connect, conn, &queue))?;
        }
        Ok(Self(Arc::new(Open(queue))))
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
        self.0.0.put(line(tenant::current()), job)?;
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
