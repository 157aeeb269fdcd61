//! The idle connections of one caller to one destination.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::CallError;
use super::connection::Live;
use super::names::{Names, Requester};
use super::target::Origin;

/// The maximum idle time of a connection. Peers and middleboxes tend to forget it later.
const MAX_IDLE: Duration = Duration::from_secs(30);

/// The lifetime of a resolved name, or of a failure. It is just long enough that simultaneous calls resolve once.
const RESOLVED_LIFETIME: Duration = Duration::from_secs(1);

/// The connections that one caller keeps between its calls. There is no pool for all callers on purpose: a receiver
/// that hangs or floods can then harm only the webhook that calls it.
///
/// Made for one destination. After a change of the URL the old connections are not used.
pub struct Connections {
    most: usize,
    /// The owner of the share that name resolution counts against.
    requester: Requester,
    /// Idle connections, the last used one at the back.
    idle: Mutex<VecDeque<Idle>>,
    /// Locked during resolution, so that a host with an unresolvable name takes one slot of its workspace's share,
    /// not one per call.
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
    /// Keeps at most `most` connections, best as many as concurrent calls.
    pub fn new(most: usize, requester: Requester) -> Self {
        Self {
            most,
            requester,
            idle: Mutex::default(),
            resolved: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn requester(&self) -> Requester {
        self.requester
    }

    /// The number of idle connections.
    pub fn idle(&self) -> usize {
        self.lock().len()
    }

    /// Closes connections that were idle for too long. Calls do that by themselves: this is for a caller without
    /// calls. A caller that is finished drops the whole.
    pub fn sweep(&self, now: Instant) {
        expire(&mut self.lock(), now);
    }

    /// An idle connection to `origin` that appears to be open.
    pub(super) fn take(&self, origin: &Arc<Origin>, now: Instant) -> Option<Box<Live>> {
        loop {
            let mut idle = self.lock();
            expire(&mut idle, now);
            let mut candidate = idle.pop_back()?;
            drop(idle);
            // Nearly always it is the same one, and needs no comparison of names.
            let is_same = Arc::ptr_eq(&candidate.origin, origin) || candidate.origin == *origin;
            if is_same && candidate.live.is_ready() {
                return Some(candidate.live);
            }
        }
    }

    /// Keeps a reusable connection.
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

    /// The addresses of a host, resolved once for simultaneous calls.
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
            && known.since.elapsed() < RESOLVED_LIFETIME
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
        // No code under the lock panics, and if it did, the list would still be valid.
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
        .is_some_and(|oldest| now.saturating_duration_since(oldest.since) >= MAX_IDLE)
    {
        idle.pop_front();
    }
}
