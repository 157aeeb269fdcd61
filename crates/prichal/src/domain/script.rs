//! Scripts, run in processes of their own ([`prichal_script::worker`]).
//!
//! A process runs one script at a time and is used again for others of the same workspace, never for those of
//! another. It has nothing of the server's; what a script may reach, it asks for over a pipe, and a [`Host`]
//! here answers. When its time is over it is told to stop;
//! one that does not is killed.

mod scheduler;
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
use prichal_core::{
    id::{EntityId, WorkspaceId},
    time::Timestamp,
};
use prichal_script::{
    Failure, Outcome, Presets, SyntaxError,
    worker::{Report, Task},
};

use crate::platform::{clock::Clock, share::FairShare};
use scheduler::{Pace, Place, Places};
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
/// The longest time for finding out whether a text is a script, and for a process to begin.
const CHECK: Duration = Duration::from_secs(5);
/// How many texts are looked at together, and how many of one workspace.
const CHECKS: usize = 8;
const CHECKS_OF_ONE: usize = 2;
/// How long a text waits for its turn.
const PATIENCE: Duration = Duration::from_secs(15);
/// The most processes that wait for their next script.
const MOST_IDLE: usize = 64;

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
    /// Says until when it must not begin, if it must not when its turn comes: then it waits for another.
    pub not_before: &'a (dyn Fn() -> Option<Timestamp> + Sync),
    /// Whose turn it takes.
    pub workspace: WorkspaceId,
    /// What it takes turns with inside the workspace: a channel, or a script.
    pub lane: EntityId,
}

/// Why a text is not taken as a script.
#[derive(Debug)]
pub enum Refused {
    Syntax(SyntaxError),
    /// It takes longer to find out than a text may.
    Slow(Duration),
    /// Too many of its workspace are looked at.
    Busy,
    /// It could not be found out.
    Failed(String),
}

/// The processes that run scripts.
pub struct Scripts {
    program: PathBuf,
    clock: Clock,
    idle: Mutex<Vec<(Worker, Instant)>>,
    checking: FairShare,
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
            checking: FairShare::new(CHECKS, CHECKS_OF_ONE),
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
                place = self.place(&job) => Some(place),
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
        let done = match self.worker(job.workspace) {
            Ok(mut worker) => {
                let done = self.attend(&mut worker, &place, &job, host, over).await;
                self.part(worker, done).await
            }
            Err(error) => Err(Lost::Broken(error)),
        };
        drop(place);
        done.unwrap_or_else(|lost| match lost {
            Lost::Hung => failed(Failure::stopped()),
            Lost::Starved => failed(Failure::new(
                "the script was stopped: it took more memory than a run may have",
            )),
            Lost::Broken(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a process that runs scripts was lost"
                );
                failed(Failure::new("the process that ran the script has ended"))
            }
        })
    }

    /// Waits for a place to run in, at a time when the script may begin.
    async fn place(&self, job: &Job<'_>) -> Place {
        loop {
            let place = self.places.take(job.workspace, job.lane, job.key).await;
            let Some(until) = (job.not_before)() else {
                return place;
            };
            drop(place);
            self.clock.sleep_until(until).await;
        }
    }

    /// Finds out whether a text is a script. Even that is not done here: a process of its own does it. Its time begins
    /// when its turn has come and that process is there.
    pub async fn check(&self, workspace: WorkspaceId, source: &str) -> Result<(), Refused> {
        let turn = self.checking.take(workspace, 1);
        let Some(_turn) = self.in_time(PATIENCE, turn).await else {
            return Err(Refused::Busy);
        };
        let failed = |error: std::io::Error| Refused::Failed(error.to_string());
        let begun = self.in_time(CHECK, self.begin()).await;
        let begun = begun.ok_or_else(|| Refused::Failed("its process does not begin".to_owned()));
        let (mut worker, _) = begun?.map_err(failed)?;
        let ask = async {
            worker.mouth.say(&Task::Check(source.to_owned()))?;
            worker.mouth.flush().await?;
            loop {
                if let Report::Checked(checked) = worker.ears.hear().await? {
                    return Ok::<_, std::io::Error>(checked);
                }
            }
        };
        let checked = self.in_time(CHECK, ask).await;
        worker.end().await;
        let checked = checked.ok_or(Refused::Slow(CHECK))?;
        checked.map_err(failed)?.map_err(Refused::Syntax)
    }

    /// What comes of work within a time.
    async fn in_time<T>(&self, time: Duration, work: impl Future<Output = T>) -> Option<T> {
        let end = self.clock.now() + time;
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.clock.sleep_until(end) => None,
        }
    }

    /// A process that has begun, and what the system does not let it give up.
    async fn begin(&self) -> std::io::Result<(Worker, Vec<String>)> {
        let mut worker = Worker::start(&self.program)?;
        loop {
            if let Report::Ready { missing } = worker.ears.hear().await? {
                return Ok((worker, missing));
            }
        }
    }

    /// Starts a first process and writes into the log what the system does not let it give up.
    pub async fn try_out(&self) {
        let begin = async {
            let (worker, missing) = self.begin().await?;
            self.keep(worker);
            Ok::<_, std::io::Error>(missing)
        };
        match tokio::time::timeout(CHECK, begin).await {
            Ok(Ok(missing)) if missing.is_empty() => {
                tracing::info!("processes that run scripts are confined");
            }
            Ok(Ok(missing)) => tracing::warn!(
                missing = missing.join(", "),
                "processes that run scripts are not confined as they could be: the system does not offer all of it"
            ),
            Ok(Err(error)) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "scripts cannot be run"
            ),
            Err(_) => tracing::error!("scripts cannot be run: their process does not begin"),
        }
    }

    /// Ends processes that have waited for too long. Called now and then.
    pub fn sweep(&self) {
        let mut idle = self.lock();
        idle.retain(|(_, since)| since.elapsed() < IDLE);
    }

    /// A process that has run scripts of this workspace alone.
    fn worker(&self, workspace: WorkspaceId) -> std::io::Result<Worker> {
        let mut idle = self.lock();
        let fits =
            |(worker, _): &(Worker, Instant)| worker.workspace.is_none_or(|own| own == workspace);
        let found = idle.iter().rposition(fits).map(|at| idle.remove(at).0);
        drop(idle);
        let mut worker = match found {
            Some(worker) => worker,
            None => Worker::start(&self.program)?,
        };
        worker.workspace = Some(workspace);
        Ok(worker)
    }

    /// Keeps a process that has done its work, and ends one that has not.
    async fn part(&self, mut worker: Worker, done: Result<Outcome, Lost>) -> Result<Outcome, Lost> {
        match done {
            Ok(outcome) => {
                self.keep(worker);
                Ok(outcome)
            }
            Err(Lost::Broken(_)) if worker.has_aborted().await => Err(Lost::Starved),
            Err(lost) => {
                worker.end().await;
                Err(lost)
            }
        }
    }

    fn keep(&self, worker: Worker) {
        if worker.runs >= RUNS || worker.is_behind {
            return;
        }
        let mut idle = self.lock();
        if idle.len() >= MOST_IDLE {
            idle.remove(0);
        }
        idle.push((worker, Instant::now()));
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
        worker.mouth.say(&Task::Run { key, presets })?;
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
                said = worker.mouth.flush(), if !worker.mouth.is_quiet() => said?,
                report = worker.ears.hear() => match report? {
                    Report::NeedSource => {
                        worker.mouth.say(&Task::Source(job.source.to_owned()))?;
                    }
                    Report::Ask { name, argument } => {
                        let asked = tokio::time::Instant::now();
                        let answer = tokio::select! {
                            answer = host.ask(&name, &argument) => answer,
                            () = &mut over => {
                                worker.mouth.say(&Task::Stop)?;
                                hung.set(tokio::time::sleep(GRACE).fuse());
                                Err("the time of the script is over".to_owned())
                            }
                        };
                        since += asked.elapsed();
                        worker.mouth.say(&Task::Answer(answer))?;
                    }
                    Report::Begin { id, name, argument } => {
                        let work = host.begin(&name, &argument);
                        begun.push(work.map(move |answer| (id, answer)));
                    }
                    Report::Done(outcome) => return Ok(*outcome),
                    Report::Checked(_) | Report::Ready { .. } => {}
                },
                // An answer waits here until the script has room for it.
                Some((id, answer)) = begun.next(), if worker.mouth.is_quiet() => {
                    worker.mouth.say(&Task::Ended(id, answer))?;
                }
                () = at(mark) => if let Some((_, pace)) = marks.next() {
                    worker.step_back();
                    self.places.step_back(place, pace);
                },
                () = &mut over => {
                    worker.mouth.say(&Task::Stop)?;
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
    /// It got no more memory.
    Starved,
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

#[cfg(test)]
mod tests;
