//! Scripts, run in processes of their own ([`prichal_script::worker`]).
//!
//! A process runs one script at a time and is used again. It has nothing of the server's; what a script may
//! reach, it asks for over a pipe, and a [`Host`] here answers. When its time is over it is told to stop;
//! one that does not is killed.

mod places;
mod worker;

use std::{
    path::PathBuf,
    pin::pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, Fuse, FusedFuture},
    stream::FuturesUnordered,
};
use prichal_core::id::{EntityId, WorkspaceId};
use prichal_script::{
    Failure, Outcome, Presets, SyntaxError,
    worker::{Report, Task},
};

use crate::clock::Clock;
use places::{Pace, Place, Places};
use worker::Worker;

/// How long a script may go on after it was told to stop.
const GRACE: Duration = Duration::from_millis(300);
/// From when on a script that works is one that takes long, and one that hangs: others come before those.
const LONG: Duration = Duration::from_millis(100);
const HUNG: Duration = Duration::from_secs(3);
/// How long a process waits for its next script.
const IDLE: Duration = Duration::from_secs(30);
/// How many scripts a process runs.
const RUNS: u32 = 5000;
/// How long it may take to say whether a text is a script.
const CHECK: Duration = Duration::from_secs(5);

/// Answers what a script asks for. Arguments and answers are JSON.
pub trait Host: Send {
    /// Answers at once; the error is thrown.
    fn ask(
        &mut self,
        name: &str,
        argument: &str,
    ) -> impl Future<Output = Result<String, String>> + Send;

    /// Does what takes time, while the script goes on.
    fn begin(&mut self, name: &str, argument: &str) -> BoxFuture<'static, Result<String, String>>;
}

/// What is to be run.
pub struct Job<'a> {
    /// Names the source, and no other.
    pub key: &'a str,
    pub source: &'a str,
    pub presets: Presets,
    /// How long it may run.
    pub time: Duration,
    /// Whether somebody waits for it: then waiting for its turn is part of its time.
    pub is_awaited: bool,
    /// Whose turn it takes.
    pub workspace: WorkspaceId,
    /// What it takes turns with inside the workspace: a channel, or a script.
    pub lane: EntityId,
}

/// Why a text is not taken as a script.
#[derive(Debug)]
pub enum Refused {
    Syntax(SyntaxError),
    /// It could not be found out.
    Failed(String),
}

/// The processes that run scripts.
pub struct Scripts {
    program: PathBuf,
    clock: Clock,
    idle: Mutex<Vec<(Worker, Instant)>>,
    places: Places,
    running: AtomicUsize,
}

/// Counts a run until it ends or is given up.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Scripts {
    /// `program` is this very program, which knows how to be a worker.
    pub fn new(program: PathBuf, clock: Clock) -> Self {
        Self {
            program,
            clock,
            idle: Mutex::default(),
            places: Places::default(),
            running: AtomicUsize::new(0),
        }
    }

    /// How many runs there are whose time runs: those that wait for their turn, too.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Runs a script. What `host` does for it is part of its time.
    pub async fn run(
        &self,
        job: Job<'_>,
        host: &mut impl Host,
        abort: impl Future<Output = ()> + Send,
    ) -> Outcome {
        let _counted = Counted::new(&self.running);
        let mut abort = pin!(abort.fuse());
        let asked = self.clock.now();
        let turn = async {
            let late = async {
                if job.is_awaited {
                    self.clock.sleep_until(asked + job.time).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                place = self.places.take(job.workspace, job.lane, job.key) => Some(place),
                () = late => None,
                () = &mut abort => None,
            }
        };
        let Some(place) = turn.await else {
            return failed(Failure::stopped());
        };
        let begun = if job.is_awaited {
            asked
        } else {
            self.clock.now()
        };
        let over = pin!(
            async {
                tokio::select! {
                    () = self.clock.sleep_until(begun + job.time) => {}
                    () = &mut abort => {}
                }
            }
            .fuse()
        );
        let done = match self.worker() {
            Ok(mut worker) => {
                let done = self.attend(&mut worker, &place, &job, host, over).await;
                match &done {
                    Ok(_) => self.keep(worker),
                    Err(_) => worker.end().await,
                }
                done
            }
            Err(error) => Err(Lost::Broken(error)),
        };
        drop(place);
        done.unwrap_or_else(|lost| match lost {
            Lost::Hung => failed(Failure::stopped()),
            Lost::Broken(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a process that runs scripts was lost"
                );
                failed(Failure::new("the process that ran the script has ended"))
            }
        })
    }

    /// Says whether a text is a script. Even that is nothing for this process.
    pub async fn check(&self, source: &str) -> Result<(), Refused> {
        let mut worker = self
            .worker()
            .map_err(|error| Refused::Failed(error.to_string()))?;
        let ask = async {
            worker.tell(&Task::Check(source.to_owned())).await?;
            loop {
                if let Report::Checked(checked) = worker.hear().await? {
                    return Ok::<_, std::io::Error>(checked);
                }
            }
        };
        match tokio::time::timeout(CHECK, ask).await {
            Ok(Ok(checked)) => {
                self.keep(worker);
                checked.map_err(Refused::Syntax)
            }
            Ok(Err(error)) => Err(Refused::Failed(error.to_string())),
            Err(_) => {
                worker.end().await;
                Err(Refused::Failed("it took too long to read it".to_owned()))
            }
        }
    }

    /// Ends processes that have waited for too long. Called now and then.
    pub fn sweep(&self) {
        let mut idle = self.lock();
        idle.retain(|(_, since)| since.elapsed() < IDLE);
    }

    fn worker(&self) -> std::io::Result<Worker> {
        match self.lock().pop() {
            Some((worker, _)) => Ok(worker),
            None => Worker::start(&self.program),
        }
    }

    fn keep(&self, worker: Worker) {
        if worker.runs < RUNS && !worker.is_behind {
            self.lock().push((worker, Instant::now()));
        }
    }

    async fn attend(
        &self,
        worker: &mut Worker,
        place: &Place,
        job: &Job<'_>,
        host: &mut impl Host,
        mut over: impl FusedFuture<Output = ()> + Unpin,
    ) -> Result<Outcome, Lost> {
        let key = job.key.to_owned();
        let presets = job.presets.clone();
        worker.runs += 1;
        worker.tell(&Task::Run { key, presets }).await?;
        let mut begun = FuturesUnordered::new();
        // What the server itself takes to answer is not the script's doing.
        let mut marks = [(LONG, Pace::Long), (HUNG, Pace::Hung)]
            .into_iter()
            .peekable();
        let mut since = tokio::time::Instant::now();
        let mut hung = pin!(Fuse::terminated());
        loop {
            let mark = marks.peek().map(|(after, _)| since + *after);
            tokio::select! {
                report = worker.hear() => match report? {
                    Report::NeedSource => {
                        worker.tell(&Task::Source(job.source.to_owned())).await?;
                    }
                    Report::Ask { name, argument } => {
                        let asked = tokio::time::Instant::now();
                        let answer = tokio::select! {
                            answer = host.ask(&name, &argument) => answer,
                            () = &mut over => {
                                worker.tell(&Task::Stop).await?;
                                hung.set(tokio::time::sleep(GRACE).fuse());
                                Err("the time of the script is over".to_owned())
                            }
                        };
                        since += asked.elapsed();
                        worker.tell(&Task::Answer(answer)).await?;
                    }
                    Report::Begin { id, name, argument } => {
                        let work = host.begin(&name, &argument);
                        begun.push(work.map(move |answer| (id, answer)));
                    }
                    Report::Done(outcome) => return Ok(*outcome),
                    Report::Checked(_) => {}
                },
                Some((id, answer)) = begun.next() => {
                    worker.tell(&Task::Ended(id, answer)).await?;
                }
                () = at(mark) => if let Some((_, pace)) = marks.next() {
                    worker.step_back();
                    self.places.step_back(place, pace);
                },
                () = &mut over => {
                    worker.tell(&Task::Stop).await?;
                    hung.set(tokio::time::sleep(GRACE).fuse());
                }
                () = &mut hung => return Err(Lost::Hung),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Worker, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until a time, for ever when there is none.
async fn at(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Why a process is not used again.
enum Lost {
    /// It did not stop.
    Hung,
    Broken(std::io::Error),
}

impl From<std::io::Error> for Lost {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error)
    }
}

fn failed(failure: Failure) -> Outcome {
    Outcome {
        failure: Some(failure),
        ..Outcome::default()
    }
}
