//! Offsets of the event log: a position that looks like a GUID (`docs/contracts/kontur.md §5`).
//!
//! The first eight bytes are the event's number in its workspace's log, counted from 1 without gaps
//! in commit order; the last eight distinguish workspaces. So offsets compare as 128-bit numbers, and
//! the zero GUID stands before everything.

use uuid::Uuid;

use crate::id::WorkspaceId;

/// The offset of event number `seq` of a workspace.
pub fn of(workspace: WorkspaceId, seq: i64) -> Uuid {
    let (_, low) = workspace.0.as_u64_pair();
    Uuid::from_u64_pair(seq.cast_unsigned(), low)
}

/// The number after which a reader with this cursor goes on: events with a greater one are strictly
/// after the cursor. Any well-formed GUID is a position, also one that no event has.
pub fn seq_at(workspace: WorkspaceId, cursor: Uuid) -> i64 {
    let (seq, low) = cursor.as_u64_pair();
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    if low < workspace.0.as_u64_pair().1 {
        (seq - 1).max(0)
    } else {
        seq
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_the_event_it_was_served_with() {
        let workspace = WorkspaceId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0007));
        for seq in [1, 2, 1000, i64::MAX] {
            assert_eq!(seq_at(workspace, of(workspace, seq)), seq);
        }
        assert_eq!(seq_at(workspace, Uuid::nil()), 0);
        assert_eq!(seq_at(workspace, Uuid::max()), i64::MAX);
    }

    #[test]
    fn a_foreign_cursor_is_a_position_too() {
        let mine = WorkspaceId(Uuid::from_u128(500));
        assert_eq!(
            seq_at(mine, Uuid::from_u64_pair(7, 499)),
            6,
            "just before event 7"
        );
        assert_eq!(
            seq_at(mine, Uuid::from_u64_pair(7, 501)),
            7,
            "just after event 7"
        );
    }

    #[test]
    fn offsets_sort_as_text_too() {
        let workspace = WorkspaceId(Uuid::from_u128(1));
        assert!(of(workspace, 9).to_string() < of(workspace, 10).to_string());
    }
}
