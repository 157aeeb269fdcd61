//! The memory of the newest events of all logs, and its bound. The log used least recently gives way first.

use std::collections::BTreeMap;

use foldhash::HashMap;
use prichal_core::id::WorkspaceId;

/// The maximum memory of all logs together, in bytes.
pub(super) const MAX_BYTES: usize = 32 << 20;

/// The logs with events in memory, in the order of their last use.
#[derive(Default)]
pub(super) struct Tails {
    bytes: usize,
    used: HashMap<WorkspaceId, (u64, usize)>,
    order: BTreeMap<u64, WorkspaceId>,
    clock: u64,
    /// The clock at the last [`Self::take_idle`]. Logs not used since then are idle.
    mark: u64,
}

impl Tails {
    /// Notes that a log was used and its memory. Returns the logs that have to drop their events.
    pub(super) fn touch(&mut self, workspace: WorkspaceId, bytes: usize) -> Vec<WorkspaceId> {
        self.forget(workspace);
        self.clock += 1;
        self.used.insert(workspace, (self.clock, bytes));
        self.order.insert(self.clock, workspace);
        self.bytes += bytes;
        let mut over = Vec::new();
        while self.bytes > MAX_BYTES
            && let Some(oldest) = self.order.values().next().copied()
        {
            self.forget(oldest);
            over.push(oldest);
        }
        over
    }

    /// Notes that a log has no events in memory.
    pub(super) fn forget(&mut self, workspace: WorkspaceId) {
        if let Some((at, bytes)) = self.used.remove(&workspace) {
            self.order.remove(&at);
            self.bytes -= bytes;
        }
    }

    /// Removes and returns the logs that were not used since the last call.
    pub(super) fn take_idle(&mut self) -> Vec<WorkspaceId> {
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
    fn the_log_used_least_recently_gives_way_first() {
        let mut tails = Tails::default();
        assert_eq!(tails.touch(log(1), MAX_BYTES / 2), []);
        assert_eq!(tails.touch(log(2), MAX_BYTES / 2), []);
        assert_eq!(tails.touch(log(1), MAX_BYTES / 2), []);
        assert_eq!(tails.touch(log(3), 1), [log(2)]);
        assert_eq!(tails.touch(log(3), MAX_BYTES), [log(1)]);
        assert_eq!(tails.touch(log(3), MAX_BYTES + 1), [log(3)]);
        assert_eq!((tails.bytes, tails.order.len()), (0, 0));
    }

    #[test]
    fn idle_logs_are_taken_at_the_second_call() {
        let mut tails = Tails::default();
        tails.touch(log(1), 1);
        tails.touch(log(2), 1);
        assert_eq!(tails.take_idle(), []);
        tails.touch(log(2), 2);
        assert_eq!(tails.take_idle(), [log(1)]);
        assert_eq!(tails.take_idle(), [log(2)]);
        assert_eq!(tails.bytes, 0);
    }
}
