//! Listeners of logs. Unlike a webhook, a listener has no cursor in the store.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use prichal_core::id::WorkspaceId;
use prichal_store::LoggedEvent;
use tokio::sync::watch;

/// The listeners of this node, by workspace.
#[derive(Default)]
pub struct Listeners {
    logs: Mutex<HashMap<WorkspaceId, watch::Sender<u64>>>,
    /// The number of logs with listeners. It is read at each commit, and mostly zero.
    count: AtomicUsize,
}

impl Listeners {
    pub fn listen(&self, workspace: WorkspaceId) -> watch::Receiver<u64> {
        let mut logs = self.lock();
        logs.retain(|_, log| !log.is_closed());
        let log = logs
            .entry(workspace)
            .or_insert_with(|| watch::Sender::new(0));
        let receiver = log.subscribe();
        self.count.store(logs.len(), Relaxed);
        receiver
    }

    /// Wakes the listeners after a commit on this node with an event that `wants` selects.
    pub fn committed(&self, events: &[LoggedEvent], wants: impl Fn(&LoggedEvent) -> bool) {
        if self.count.load(Relaxed) == 0 {
            return;
        }
        let workspaces: BTreeSet<WorkspaceId> = events
            .iter()
            .filter(|event| wants(event))
            .map(|event| event.workspace)
            .collect();
        workspaces
            .into_iter()
            .for_each(|workspace| self.wake(workspace));
    }

    /// Wakes the listeners of a workspace after a commit on another node.
    pub fn wake(&self, workspace: WorkspaceId) {
        if let Some(log) = self.lock().get(&workspace) {
            log.send_modify(|times| *times += 1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, watch::Sender<u64>>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
