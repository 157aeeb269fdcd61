//! Who wants to know that a log has moved, without a cursor of its own in the store.

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

/// Who listens to which log.
#[derive(Default)]
pub struct Listeners {
    logs: Mutex<HashMap<WorkspaceId, watch::Sender<u64>>>,
    /// How many logs are listened to: most servers have none, and commits are many.
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

    /// Takes in what was committed on this node, as far as it is of interest.
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
            .for_each(|workspace| self.heard(workspace));
    }

    /// Something was committed elsewhere.
    pub fn heard(&self, workspace: WorkspaceId) {
        if let Some(log) = self.lock().get(&workspace) {
            log.send_modify(|times| *times += 1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, watch::Sender<u64>>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
