//! The newest events of all logs together: how much of them is in memory, and which go first.

use std::collections::{BTreeMap, HashMap};

use prichal_core::id::WorkspaceId;

/// The most bytes that are kept of all logs together.
pub(super) const MOST: usize = 32 << 20;

/// The logs that have events in memory, by when they were used.
#[derive(Default)]
pub(super) struct Tails {
    bytes: usize,
    used: HashMap<WorkspaceId, (u64, usize)>,
    order: BTreeMap<u64, WorkspaceId>,
    clock: u64,
    /// Logs that were used last before this are idle.
    mark: u64,
}

impl Tails {
    /// A log has been used and takes this much now. Gives the logs that have to forget theirs.
    pub(super) fn used(&mut self, workspace: WorkspaceId, bytes: usize) -> Vec<WorkspaceId> {
        self.forget(workspace);
        self.clock += 1;
        self.used.insert(workspace, (self.clock, bytes));
        self.order.insert(self.clock, workspace);
        self.bytes += bytes;
        let mut over = Vec::new();
        while self.bytes > MOST
            && let Some(oldest) = self.order.values().next().copied()
        {
            self.forget(oldest);
            over.push(oldest);
        }
        over
    }

    /// A log has nothing in memory any more.
    pub(super) fn forget(&mut self, workspace: WorkspaceId) {
        if let Some((at, bytes)) = self.used.remove(&workspace) {
            self.order.remove(&at);
            self.bytes -= bytes;
        }
    }

    /// The logs that were not used since this was asked the last time.
    pub(super) fn idle(&mut self) -> Vec<WorkspaceId> {
        let idle: Vec<_> = self
            .order
            .range(..=self.mark)
            .map(|(_, log)| *log)
            .collect();
        idle.iter().for_each(|log| self.forget(*log));
        self.mark = self.clock;
        idle
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn log(n: u128) -> WorkspaceId {
        WorkspaceId(Uuid::from_u128(n))
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut tails = Tails::default();
        assert_eq!(tails.used(log(1), MOST / 2), []);
        assert_eq!(tails.used(log(2), MOST / 2), []);
        assert_eq!(tails.used(log(1), MOST / 2), []);
        assert_eq!(tails.used(log(3), 1), [log(2)]);
        assert_eq!(tails.used(log(3), MOST), [log(1)]);
        assert_eq!(tails.used(log(3), MOST + 1), [log(3)]);
        assert_eq!((tails.bytes, tails.order.len()), (0, 0));
    }

    #[test]
    fn what_is_idle_goes_after_two_looks() {
        let mut tails = Tails::default();
        tails.used(log(1), 1);
        tails.used(log(2), 1);
        assert_eq!(tails.idle(), []);
        tails.used(log(2), 2);
        assert_eq!(tails.idle(), [log(1)]);
        assert_eq!(tails.idle(), [log(2)]);
        assert_eq!(tails.bytes, 0);
    }
}
