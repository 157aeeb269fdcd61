//! The connections of one caller to one destination that wait for their next use.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::CallError;
use super::connection::Live;
use super::names::{Names, Requester};
use super::target::Origin;

/// How long a connection may wait. Past that, peers and the boxes between us tend to forget it.
const IDLE: Duration = Duration::from_secs(30);

/// How long an answer of the resolver holds, a failure too. Just long enough that calls which need
/// a new connection at the same moment ask once.
const RESOLVED: Duration = Duration::from_secs(1);

/// What one caller keeps between its calls. There is no pool for all callers on purpose: a receiver
/// that hangs or floods can then harm only the webhook that calls it.
///
/// Made for one destination. After a change of the URL the old connections are not used.
pub struct Connections {
    most: usize,
    /// Whose share the resolving of names counts against.
    requester: Requester,
    /// The one used last is at the back.
    idle: Mutex<VecDeque<Idle>>,
    /// Locked while the resolver works, so that a host whose name cannot be resolved takes one place of
    /// its workspace's share, not one per call.
    resolved: tokio::sync::Mutex<Option<Resolved>>,
}

struct Idle {
    live: Box<Live>,
    origin: Arc<Origin>,
    since: Instant,
}

struct Resolved {
    name: String,
    port: u16,
    outcome: Result<Vec<SocketAddr>, CallError>,
    since: Instant,
}

impl Connections {
    /// Keeps at most `most` connections. Best is the number of calls that run at the same time.
    pub fn new(most: usize, requester: Requester) -> Self {
        Self {
            most,
            requester,
            idle: Mutex::default(),
            resolved: tokio::sync::Mutex::default(),
        }
    }

    /// How many connections wait.
    pub fn idle(&self) -> usize {
        self.lock().len()
    }

    /// Closes what has waited for too long. Calls do that by themselves: this is for a caller that
    /// has nothing to call. One that will not call again drops the whole.
    pub fn sweep(&self, now: Instant) {
        expire(&mut self.lock(), now);
    }

    /// A connection to `origin` that is open as far as can be seen.
    pub(super) fn take(&self, origin: &Origin, now: Instant) -> Option<Box<Live>> {
        loop {
            let mut idle = self.lock();
            expire(&mut idle, now);
            let mut candidate = idle.pop_back()?;
            drop(idle);
            if *candidate.origin == *origin && candidate.live.is_ready() {
                return Some(candidate.live);
            }
        }
    }

    /// Keeps a connection that can be used again.
    pub(super) fn put(&self, mut live: Box<Live>, origin: &Arc<Origin>, now: Instant) {
        if !live.is_ready() {
            return;
        }
        let mut idle = self.lock();
        expire(&mut idle, now);
        if idle.len() < self.most {
            idle.push_back(Idle {
                live,
                origin: Arc::clone(origin),
                since: now,
            });
        }
    }

    /// The addresses of a host, asked for once by calls that need them at the same moment.
    pub(super) async fn resolve(
        &self,
        names: &Names,
        name: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, CallError> {
        let mut resolved = self.resolved.lock().await;
        if let Some(known) = &*resolved
            && known.name == name
            && known.port == port
            && known.since.elapsed() < RESOLVED
        {
            return known.outcome.clone();
        }
        let outcome = names.resolve(self.requester, name, port).await;
        *resolved = Some(Resolved {
            name: name.to_owned(),
            port,
            outcome: outcome.clone(),
            since: Instant::now(),
        });
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        // Nothing panics under the lock, and if it did, the list would still be whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections")
            .field("most", &self.most)
            .field("idle", &self.idle())
            .finish_non_exhaustive()
    }
}

fn expire(idle: &mut VecDeque<Idle>, now: Instant) {
    while idle
        .front()
        .is_some_and(|oldest| now.saturating_duration_since(oldest.since) >= IDLE)
    {
        idle.pop_front();
    }
}
