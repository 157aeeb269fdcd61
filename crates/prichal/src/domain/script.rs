//! Scripts, run in processes of their own ([`prichal_script::worker`]).
//!
//! A process runs one script at a time and is reused for others of the same workspace only. It has no access to the
//! server's memory and files: a script asks over a pipe, and a [`Host`] in the server answers. When the time of a
//! script is over, its process is told to stop, and is killed if it does not.

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
use scheduler::{Permit, Scheduler, SpeedClass};
use worker::Worker;

/// The time that a script has to end after it was told to stop.
const STOP_GRACE: Duration = Duration::from_millis(300);
/// The running times from which a script counts as long and as hung. Other scripts go before those.
const LONG_AFTER: Duration = Duration::from_millis(100);
const HUNG_AFTER: Duration = Duration::from_secs(3);
/// The time after which an idle process is ended.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum number of scripts that a process runs.
const MAX_RUNS: u32 = 5000;
/// The time limit for checking whether a text is a script, and for starting a process.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum number of checks at the same time, and those of one workspace.
const MAX_CONCURRENT_CHECKS: usize = 8;
const MAX_CONCURRENT_CHECKS_PER_WORKSPACE: usize = 2;
/// The longest wait of a check for its turn.
const CHECK_QUEUE_TIMEOUT: Duration = Duration::from_secs(15);
/// The maximum number of idle processes.
const MAX_IDLE: usize = 64;

/// The answers to the calls of a script. Arguments and answers are JSON.
pub trait Host: Send {
    /// Answers a call at once. An error becomes an exception in the script.
    fn ask(
        &mut self,
        name: &str,
        argument: &str,
    ) -> impl Future<Output = Result<String, String>> + Send;

    /// Begins a call that takes time, while the script goes on.
    fn begin(&mut self, name: &str, argument: &str) -> BoxFuture<'static, Result<String, String>>;
}

/// A script to run.
pub struct Job<'a> {
    /// The key that identifies the source text.
    pub key: &'a str,
    pub source: &'a str,
    pub presets: Presets,
    /// The time limit of the run.
    pub time: Duration,
    /// True if a request waits for the run. The wait for a permit is then part of its time.
    pub is_awaited: bool,
    /// The time before which the run must not begin, asked when its permit comes. With such a time, it gives the
    /// permit back and waits for another.
    pub not_before: &'a (dyn Fn() -> Option<Timestamp> + Sync),
    /// The workspace that the permit counts against.
    pub workspace: WorkspaceId,
    /// The lane that the permit counts against inside of the workspace: a channel, or a script.
    pub lane: EntityId,
}

/// The reason why a text is refused as a script.
#[derive(Debug)]
pub enum Refused {
    Syntax(SyntaxError),
    /// The check takes longer than it may.
    Slow(Duration),
    /// Too many checks of the workspace are in progress.
    Busy,
    /// The check has failed.
    Failed(String),
}

/// The processes that run scripts.
pub struct Scripts {
    program: PathBuf,
    clock: Clock,
    idle: Mutex<Vec<(Worker, Instant)>>,
    checking: FairShare,
    scheduler: Scheduler,
    running: AtomicUsize,
}

/// Counts a run until it ends or is given up.
struct RunCount<'a>(&'a AtomicUsize);

impl<'a> RunCount<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for RunCount<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Scripts {
    /// `program` is this program itself, which can act as a worker.
    pub fn new(program: PathBuf, clock: Clock) -> Self {
        Self {
            program,
            clock,
            idle: Mutex::default(),
            checking: FairShare::new(MAX_CONCURRENT_CHECKS, MAX_CONCURRENT_CHECKS_PER_WORKSPACE),
            scheduler: Scheduler::default(),
            running: AtomicUsize::new(0),
        }
    }

    /// The number of runs whose time limit is running, including those that wait for a permit.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Runs a script. The time that `host` takes counts against the script's time limit.
    pub async fn run(
        &self,
        job: Job<'_>,
        host: &mut impl Host,
        abort: impl Future<Output = ()> + Send,
    ) -> Outcome {
        let _counted = RunCount::new(&self.running);
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
                permit = self.permit(&job) => Some(permit),
                () = late => None,
                () = &mut abort => None,
            }
        };
        let Some(permit) = turn.await else {
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
                let done = self.serve(&mut worker, &permit, &job, host, over).await;
                self.finish(worker, done).await
            }
            Err(error) => Err(Lost::Broken(error)),
        };
        drop(permit);
        done.unwrap_or_else(|lost| match lost {
            Lost::Hung => failed(Failure::stopped()),
            Lost::Starved => failed(Failure::new(
                "the script was stopped: it needed more memory than a run may use",
            )),
            Lost::Broken(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    workspace = %job.workspace,
                    lane.id = %job.lane,
                    "lost a process that runs a script of {}",
                    job.lane
                );
                failed(Failure::new("the process that ran the script has ended"))
            }
        })
    }

    /// Waits for a permit at a time when the script may begin.
    async fn permit(&self, job: &Job<'_>) -> Permit {
        loop {
            let permit = self.scheduler.take(job.workspace, job.lane, job.key).await;
            let Some(until) = (job.not_before)() else {
                return permit;
            };
            drop(permit);
            self.clock.sleep_until(until).await;
        }
    }

    /// Checks whether a text is a script, in a process of its own. The time limit begins when the check has its turn
    /// and its process has started.
    pub async fn check(&self, workspace: WorkspaceId, source: &str) -> Result<(), Refused> {
        let turn = self.checking.take(workspace, 1);
        let Some(_turn) = self.in_time(CHECK_QUEUE_TIMEOUT, turn).await else {
            return Err(Refused::Busy);
        };
        let failed = |error: std::io::Error| Refused::Failed(error.to_string());
        let begun = self.in_time(CHECK_TIMEOUT, self.begin()).await;
        let begun = begun.ok_or_else(|| Refused::Failed("its process does not start".to_owned()));
        let (mut worker, _) = begun?.map_err(failed)?;
        let ask = async {
            worker.tasks.queue(&Task::Check(source.to_owned()))?;
            worker.tasks.flush().await?;
            loop {
                if let Report::Checked(checked) = worker.reports.receive().await? {
                    return Ok::<_, std::io::Error>(checked);
                }
            }
        };
        let checked = self.in_time(CHECK_TIMEOUT, ask).await;
        worker.end().await;
        let checked = checked.ok_or(Refused::Slow(CHECK_TIMEOUT))?;
        checked.map_err(failed)?.map_err(Refused::Syntax)
    }

    /// The result of work within a time limit. `None` after that.
    async fn in_time<T>(&self, time: Duration, work: impl Future<Output = T>) -> Option<T> {
        let end = self.clock.now() + time;
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.clock.sleep_until(end) => None,
        }
    }

    /// Starts a process. Returns it with the privileges that the system does not let it drop.
    async fn begin(&self) -> std::io::Result<(Worker, Vec<String>)> {
        let mut worker = Worker::start(&self.program)?;
        loop {
            if let Report::Ready { missing } = worker.reports.receive().await? {
                return Ok((worker, missing));
            }
        }
    }

    /// Starts a first process and logs the privileges that the system does not let it drop.
    pub async fn try_out(&self) {
        let begin = async {
            let (worker, missing) = self.begin().await?;
            self.keep(worker);
            Ok::<_, std::io::Error>(missing)
        };
        match tokio::time::timeout(CHECK_TIMEOUT, begin).await {
            Ok(Ok(missing)) if missing.is_empty() => {
                tracing::info!("processes that run scripts are confined");
            }
            Ok(Ok(missing)) => tracing::warn!(
                missing = missing.join(", "),
                "processes that run scripts are not fully confined: the system does not support {}",
                missing.join(", ")
            ),
            Ok(Err(error)) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot run scripts: their process does not start"
            ),
            Err(_) => tracing::error!("cannot run scripts: their process does not start in time"),
        }
    }

    /// Ends processes that have been idle for too long. Called at intervals.
    pub fn sweep(&self) {
        let mut idle = self.lock();
        idle.retain(|(_, since)| since.elapsed() < IDLE_TIMEOUT);
    }

    /// A process that has run no scripts of other workspaces.
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

    /// Keeps a process for reuse if its run has ended by itself, and ends it otherwise.
    async fn finish(
        &self,
        mut worker: Worker,
        done: Result<Outcome, Lost>,
    ) -> Result<Outcome, Lost> {
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
        if worker.runs >= MAX_RUNS || worker.has_low_priority {
            return;
        }
        let mut idle = self.lock();
        if idle.len() >= MAX_IDLE {
            idle.remove(0);
        }
        idle.push((worker, Instant::now()));
    }

    async fn serve(
        &self,
        worker: &mut Worker,
        permit: &Permit,
        job: &Job<'_>,
        host: &mut impl Host,
        mut over: impl FusedFuture<Output = ()> + Unpin,
    ) -> Result<Outcome, Lost> {
        let key = job.key.to_owned();
        let presets = job.presets.clone();
        worker.runs += 1;
        worker.tasks.queue(&Task::Run { key, presets })?;
        let mut begun = FuturesUnordered::new();
        // The time that the server takes to answer does not count for the speed class.
        let mut marks = [
            (LONG_AFTER, SpeedClass::Long),
            (HUNG_AFTER, SpeedClass::Hung),
        ]
        .into_iter()
        .peekable();
        let mut since = tokio::time::Instant::now();
        let mut hung = pin!(Fuse::terminated());
        loop {
            let mark = marks.peek().map(|(after, _)| since + *after);
            tokio::select! {
                said = worker.tasks.flush(), if !worker.tasks.is_flushed() => said?,
                report = worker.reports.receive() => match report? {
                    Report::NeedSource => {
                        worker.tasks.queue(&Task::Source(job.source.to_owned()))?;
                    }
                    Report::Ask { name, argument } => {
                        let asked = tokio::time::Instant::now();
                        let answer = tokio::select! {
                            answer = host.ask(&name, &argument) => answer,
                            () = &mut over => {
                                worker.tasks.queue(&Task::Stop)?;
                                hung.set(tokio::time::sleep(STOP_GRACE).fuse());
                                Err("the time limit of the script is over".to_owned())
                            }
                        };
                        since += asked.elapsed();
                        worker.tasks.queue(&Task::Answer(answer))?;
                    }
                    Report::Begin { id, name, argument } => {
                        let work = host.begin(&name, &argument);
                        begun.push(work.map(move |answer| (id, answer)));
                    }
                    Report::Done(outcome) => return Ok(*outcome),
                    Report::Checked(_) | Report::Ready { .. } => {}
                },
                // Answers are taken only while the pipe to the process is empty.
                Some((id, answer)) = begun.next(), if worker.tasks.is_flushed() => {
                    worker.tasks.queue(&Task::Ended(id, answer))?;
                }
                () = at(mark) => if let Some((_, speed)) = marks.next() {
                    worker.lower_priority();
                    self.scheduler.reclassify(permit, speed);
                },
                () = &mut over => {
                    worker.tasks.queue(&Task::Stop)?;
                    hung.set(tokio::time::sleep(STOP_GRACE).fuse());
                }
                () = &mut hung => return Err(Lost::Hung),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Worker, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until a time. Without one, it waits forever.
async fn at(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// The reason why a process is not reused.
enum Lost {
    /// It did not stop when told to.
    Hung,
    /// It ran out of memory.
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
