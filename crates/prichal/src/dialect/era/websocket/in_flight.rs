//! What a client has going beside the conversation: requests, and scripts that it may stop.

use std::{collections::HashMap, sync::Arc};

use prichal_store::tenant;
use serde_json::value::RawValue;
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::frame::Qid;
use crate::domain::channel::sockets::Frame;

/// How many things a client has going at once, and how many it may have asked for beyond those.
const TOGETHER: usize = 8;
const WAITING: usize = 64;

/// A script that was started: the text of its `qid`, which may be used again, and what is its own.
type Start = (String, u64);

pub(super) struct Going {
    /// What goes on or waits for its turn. Each gives a frame when it ends, or nothing.
    tasks: JoinSet<(Option<Start>, Option<Frame>)>,
    turns: Arc<Semaphore>,
    /// How a script is stopped, by the text of its `qid`.
    starts: HashMap<String, (u64, CancellationToken)>,
    /// How many were started.
    started: u64,
}

impl Default for Going {
    fn default() -> Self {
        Self {
            tasks: JoinSet::new(),
            turns: Arc::new(Semaphore::new(TOGETHER)),
            starts: HashMap::new(),
            started: 0,
        }
    }
}

impl Going {
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The frame of the next that ends; nothing at once when nothing goes on.
    pub(super) async fn next(&mut self) -> Option<Option<Frame>> {
        let Ok((start, frame)) = self.tasks.join_next().await? else {
            return Some(None);
        };
        if let Some((key, own)) = start
            && self.starts.get(&key).is_some_and(|(now, _)| *now == own)
        {
            self.starts.remove(&key);
        }
        Some(frame)
    }

    /// Does something when its turn comes; nothing when too much waits already.
    pub(super) fn begin(
        &mut self,
        work: impl Future<Output = Option<Frame>> + Send + 'static,
    ) -> Result<(), (i64, String)> {
        self.spawn(None, CancellationToken::new(), work)
    }

    /// The same for a script, which can be stopped by `stop` and, when it has a `qid`, by that.
    pub(super) fn start(
        &mut self,
        qid: &Qid,
        stop: CancellationToken,
        work: impl Future<Output = Option<Frame>> + Send + 'static,
    ) -> Result<(), (i64, String)> {
        let key = qid.as_ref().map(|qid| qid.get().to_owned());
        if key
            .as_ref()
            .is_some_and(|key| self.starts.contains_key(key))
        {
            return Err((1409, "A script with this qid is running".to_owned()));
        }
        self.started += 1;
        let start = key.map(|key| (key, self.started));
        self.spawn(start.clone(), stop.clone(), work)?;
        if let Some((key, own)) = start {
            self.starts.insert(key, (own, stop));
        }
        Ok(())
    }

    fn spawn(
        &mut self,
        start: Option<Start>,
        stop: CancellationToken,
        work: impl Future<Output = Option<Frame>> + Send + 'static,
    ) -> Result<(), (i64, String)> {
        if self.tasks.len() >= TOGETHER + WAITING {
            let why = format!("More than {WAITING} requests wait for their turn");
            return Err((1503, why));
        }
        let turns = self.turns.clone();
        let work = async move {
            let turn = stop.run_until_cancelled_owned(turns.acquire_owned());
            let frame = match turn.await {
                Some(Ok(_turn)) => work.await,
                // It was stopped before it began.
                _ => None,
            };
            (start, frame)
        };
        self.tasks.spawn(tenant::scope(tenant::current(), work));
        Ok(())
    }

    /// Stops the script with this `qid`.
    pub(super) fn abort(&mut self, qid: Option<&RawValue>) -> Result<(), (i64, String)> {
        let started = qid.and_then(|qid| self.starts.remove(qid.get()));
        let (_, stop) = started.ok_or_else(|| {
            let why = "No script with this qid is running".to_owned();
            (1404, why)
        })?;
        stop.cancel();
        Ok(())
    }

    /// Stops all scripts.
    pub(super) fn stop(&self) {
        self.starts.values().for_each(|(_, stop)| stop.cancel());
    }
}
