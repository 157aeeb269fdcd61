//! The requests and scripts of a client that are under way or queued. It may abort its scripts.

use std::{collections::HashMap, sync::Arc};

use prichal_store::tenant;
use serde_json::value::RawValue;
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::frame::Qid;
use crate::domain::channel::sockets::Frame;

/// The maximum numbers of requests and scripts of a client that run at once, and that are queued.
const MAX_CONCURRENT: usize = 8;
const MAX_WAITING: usize = 64;

/// A started script: the text of its `qid`, and a number, because the `qid` may be used again.
type RunningScript = (String, u64);

pub(super) struct InFlight {
    /// The tasks that run or are queued. Each ends with the frame to send, if any.
    tasks: JoinSet<(Option<RunningScript>, Option<Frame>)>,
    permits: Arc<Semaphore>,
    /// The number and the stop signal of each script, by the text of its `qid`.
    scripts: HashMap<String, (u64, CancellationToken)>,
    /// The number of scripts started so far.
    started: u64,
}

impl Default for InFlight {
    fn default() -> Self {
        Self {
            tasks: JoinSet::new(),
            permits: Arc::new(Semaphore::new(MAX_CONCURRENT)),
            scripts: HashMap::new(),
            started: 0,
        }
    }
}

impl InFlight {
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits for the next task that ends, and returns its frame. Returns `None` at once if there is no task.
    pub(super) async fn next(&mut self) -> Option<Option<Frame>> {
        let Ok((spawn_script, frame)) = self.tasks.join_next().await? else {
            return Some(None);
        };
        if let Some((key, own)) = spawn_script
            && self.scripts.get(&key).is_some_and(|(now, _)| *now == own)
        {
            self.scripts.remove(&key);
        }
        Some(frame)
    }

    /// Queues a request. Refuses it if the queue is full.
    pub(super) fn spawn_request(
        &mut self,
        work: impl Future<Output = Option<Frame>> + Send + 'static,
    ) -> Result<(), (i64, String)> {
        self.spawn(None, CancellationToken::new(), work)
    }

    /// Queues a script. It ends early when `stop` is cancelled, or on an abort with its `qid`.
    pub(super) fn spawn_script(
        &mut self,
        qid: &Qid,
        stop: CancellationToken,
        work: impl Future<Output = Option<Frame>> + Send + 'static,
    ) -> Result<(), (i64, String)> {
        let key = qid.as_ref().map(|qid| qid.get().to_owned());
        if key
            .as_ref()
            .is_some_and(|key| self.scripts.contains_key(key))
        {
            return Err((1409, "A script with this qid is running".to_owned()));
        }
        self.started += 1;
        let spawn_script = key.map(|key| (key, self.started));
        self.spawn(spawn_script.clone(), stop.clone(), work)?;
        if let Some((key, own)) = spawn_script {
            self.scripts.insert(key, (own, stop));
        }
        Ok(())
    }

    fn spawn(
        &mut self,
        spawn_script: Option<RunningScript>,
        stop: CancellationToken,
        work: impl Future<Output = Option<Frame>> + Send + 'static,
    ) -> Result<(), (i64, String)> {
        if self.tasks.len() >= MAX_CONCURRENT + MAX_WAITING {
            let why = format!("More than {MAX_WAITING} requests wait for their turn");
            return Err((1503, why));
        }
        let permits = self.permits.clone();
        let work = async move {
            let permit = stop.run_until_cancelled_owned(permits.acquire_owned());
            let frame = match permit.await {
                Some(Ok(_permit)) => work.await,
                // It was aborted before it began.
                _ => None,
            };
            (spawn_script, frame)
        };
        self.tasks.spawn(tenant::scope(tenant::current(), work));
        Ok(())
    }

    /// Aborts the script with this `qid`.
    pub(super) fn abort(&mut self, qid: Option<&RawValue>) -> Result<(), (i64, String)> {
        let started = qid.and_then(|qid| self.scripts.remove(qid.get()));
        let (_, stop) = started.ok_or_else(|| {
            let why = "No script with this qid is running".to_owned();
            (1404, why)
        })?;
        stop.cancel();
        Ok(())
    }

    /// Stops all scripts.
    pub(super) fn stop(&self) {
        self.scripts.values().for_each(|(_, stop)| stop.cancel());
    }
}
