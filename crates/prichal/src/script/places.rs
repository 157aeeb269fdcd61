//! Whose turn it is: no channel and no workspace can take all the processes.
//!
//! A run begins in one of a few places, and one that takes long moves to others. So scripts that end at
//! once, as most do, always find a place, however many of the rest there are.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use prichal_core::id::{EntityId, WorkspaceId};
use tokio::sync::{OwnedSemaphorePermit as Permit, Semaphore};
use uuid::Uuid;

/// How many runs of a channel go on at once.
const LANE: usize = 8;
/// How many runs begin at once: all, and those of one workspace.
const FIRST: (usize, usize) = (16, 12);
/// How many runs that take long there are: all, and those of one workspace.
const LONG: (usize, usize) = (48, 16);

pub(super) struct Places {
    lanes: Shares,
    first: Room,
    long: Room,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            lanes: Shares::default(),
            first: Room::new(FIRST.0),
            long: Room::new(LONG.0),
        }
    }
}

struct Room {
    all: Arc<Semaphore>,
    shares: Shares,
}

impl Room {
    fn new(size: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(size)),
            shares: Shares::default(),
        }
    }
}

/// A place, given back when it is dropped.
pub(super) struct Place {
    workspace: WorkspaceId,
    _lane: Option<Permit>,
    room: [Option<Permit>; 2],
}

impl Places {
    /// Waits for a turn. The narrowest comes first, so that a crowd waits at its own door.
    pub(super) async fn take(&self, workspace: WorkspaceId, lane: EntityId) -> Place {
        let lane = self.lanes.of(lane.0, LANE).acquire_owned().await;
        let share = self.first.shares.of(workspace.0, FIRST.1);
        let share = share.acquire_owned().await;
        let all = self.first.all.clone().acquire_owned().await;
        Place {
            workspace,
            _lane: lane.ok(),
            room: [share.ok(), all.ok()],
        }
    }

    /// Moves a run that takes long out of the way of those that do not, where there is room.
    pub(super) fn step_back(&self, place: &mut Place) {
        let share = self.long.shares.of(place.workspace.0, LONG.1);
        let share = share.try_acquire_owned();
        let all = self.long.all.clone().try_acquire_owned();
        if let (Ok(share), Ok(all)) = (share, all) {
            place.room = [Some(share), Some(all)];
        }
    }
}

#[derive(Default)]
struct Shares(Mutex<HashMap<Uuid, Arc<Semaphore>>>);

impl Shares {
    fn of(&self, one: Uuid, size: usize) -> Arc<Semaphore> {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shares.len() > 1024 {
            // Whoever holds or awaits a place has the share, too.
            shares.retain(|_, share| Arc::strong_count(share) > 1);
        }
        let share = shares
            .entry(one)
            .or_insert_with(|| Arc::new(Semaphore::new(size)));
        share.clone()
    }
}
