//! Places that workspaces share: each has a share of them, so that what one of them keeps waiting holds
//! up nobody else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use prichal_core::id::WorkspaceId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many places, of which a workspace has at most its share at a time.
#[derive(Debug)]
pub struct Shares {
    each: usize,
    all: Arc<Semaphore>,
    /// Those of workspaces that have a place or wait for one.
    own: Mutex<HashMap<WorkspaceId, Weak<Semaphore>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Shares {
    /// `all` places, `each` of them at most for one workspace.
    pub fn new(all: usize, each: usize) -> Self {
        Self {
            each,
            all: Arc::new(Semaphore::new(all)),
            own: Mutex::default(),
        }
    }

    /// Waits for a place. A workspace waits in the line of all with no more than its share, so whoever is
    /// new to it stands behind a bounded number of others.
    pub async fn take(&self, workspace: WorkspaceId) -> Place {
        let own = place(self.own(workspace)).await;
        Place {
            _own: own,
            _of_all: place(self.all.clone()).await,
        }
    }

    fn own(&self, workspace: WorkspaceId) -> Arc<Semaphore> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = own.get(&workspace).and_then(Weak::upgrade) {
            return known;
        }
        own.retain(|_, semaphore| semaphore.strong_count() > 0);
        let made = Arc::new(Semaphore::new(self.each));
        own.insert(workspace, Arc::downgrade(&made));
        made
    }
}

async fn place(semaphore: Arc<Semaphore>) -> OwnedSemaphorePermit {
    match semaphore.acquire_owned().await {
        Ok(permit) => permit,
        // Nobody closes them.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use uuid::Uuid;

    use super::*;

    fn workspace(number: u128) -> WorkspaceId {
        WorkspaceId(Uuid::from_u128(number))
    }

    fn now(shares: &Shares, number: u128) -> Option<Place> {
        shares.take(workspace(number)).now_or_never()
    }

    #[test]
    fn a_workspace_has_no_more_than_its_share() {
        let shares = Shares::new(3, 2);
        let held = [now(&shares, 1), now(&shares, 1)];
        assert!(held.iter().all(Option::is_some));
        assert!(now(&shares, 1).is_none(), "its share is used up");
        let other = now(&shares, 2);
        assert!(other.is_some(), "there is one left for another");
        assert!(now(&shares, 3).is_none(), "all are used up");
        drop(held);
        assert!(now(&shares, 3).is_some());
        assert!(now(&shares, 1).is_some());
        drop(other);
    }

    #[test]
    fn one_who_waits_for_his_own_share_stands_in_nobodys_way() {
        let shares = Shares::new(2, 1);
        let held = now(&shares, 1);
        let mut waiting = Box::pin(shares.take(workspace(1)));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(now(&shares, 2).is_some());
        drop(held);
        assert!(waiting.now_or_never().is_some());
    }

    #[test]
    fn what_nobody_uses_is_forgotten() {
        let shares = Shares::new(8, 1);
        for number in 0..100 {
            drop(now(&shares, number));
        }
        assert!(shares.own.lock().expect("a map").len() <= 1);
    }
}
