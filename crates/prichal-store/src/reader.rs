//! Reading: a few threads, each with a read-only connection of its own.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    thread,
};

use tokio::sync::{mpsc, oneshot};

use crate::{
    Conn, Error, Result,
    writer::{Connect, STACK},
};

/// How many reads may wait. More are refused with [`Error::Busy`].
const QUEUE: usize = 4096;

type Job = Box<dyn FnOnce(Result<&mut Conn>) + Send>;

#[derive(Clone)]
pub(crate) struct Readers {
    queue: mpsc::Sender<Job>,
}

impl Readers {
    pub(crate) fn start(connections: Vec<(Connect, Conn)>) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        for (connect, conn) in connections {
            let jobs = jobs.clone();
            thread::Builder::new()
                .name("prichal-reader".into())
                .stack_size(STACK)
                .spawn(move || run(&connect, conn, &jobs))?;
        }
        Ok(Self { queue })
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
            let done = match conn {
                Ok(conn) => catch_unwind(AssertUnwindSafe(|| work(conn)))
                    .unwrap_or_else(|_| Err(Error::corrupt("a read panicked").into())),
                Err(error) => Err(error.into()),
            };
            let _ = reply.send(done);
        });
        self.queue.try_send(job).map_err(|_| Error::Busy)?;
        answer
            .await
            .unwrap_or_else(|_| Err(Error::unavailable("the readers have stopped").into()))
    }
}

fn run(connect: &Connect, mut conn: Conn, jobs: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        // One thread at a time waits for work; the others wait for its place.
        let job = jobs
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .blocking_recv();
        let Some(job) = job else { return };
        if !conn.is_ready() {
            match connect() {
                Ok(fresh) => conn = fresh,
                Err(error) => {
                    job(Err(error));
                    continue;
                }
            }
        }
        job(Ok(&mut conn));
    }
}
