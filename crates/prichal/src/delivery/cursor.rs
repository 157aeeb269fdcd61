//! The events of a webhook's main lane that were started, and the position to which the cursor may move.

use std::collections::VecDeque;

use prichal_core::time::Timestamp;

/// Events that were started, in the order of the log. The cursor is before the first of them that is not
/// complete.
#[derive(Debug)]
pub(super) struct CursorWindow {
    /// The log has been read up to here. Events that are not in `started` are complete or were not wanted.
    position: i64,
    started: VecDeque<Started>,
}

#[derive(Debug)]
struct Started {
    seq: i64,
    at: Timestamp,
    completed: bool,
}

impl CursorWindow {
    pub(super) fn new(position: i64) -> Self {
        Self {
            position,
            started: VecDeque::new(),
        }
    }

    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// The number of events between the cursor and the position.
    pub(super) fn len(&self) -> usize {
        self.started.len()
    }

    /// Notes that the log has been read up to `position`.
    pub(super) fn advance(&mut self, position: i64) {
        self.position = self.position.max(position);
    }

    /// Adds an event.
    pub(super) fn start(&mut self, seq: i64, at: Timestamp) {
        self.started.push_back(Started {
            seq,
            at,
            completed: false,
        });
    }

    /// Completes an event: it was delivered, or has a deferred row.
    pub(super) fn complete(&mut self, seq: i64) {
        if let Ok(place) = self.started.binary_search_by_key(&seq, |event| event.seq) {
            self.started[place].completed = true;
        }
        while self.started.front().is_some_and(|event| event.completed) {
            self.started.pop_front();
        }
    }

    /// The number up to which every event is complete.
    pub(super) fn cursor(&self) -> i64 {
        self.started
            .front()
            .map_or(self.position, |event| event.seq - 1)
    }

    /// The start of the event that holds back the cursor.
    pub(super) fn blocked_since(&self) -> Option<Timestamp> {
        self.started.front().map(|event| event.at)
    }

    /// The events that were started by `before` and are not complete.
    pub(super) fn open_before(&self, before: Timestamp) -> Vec<i64> {
        let open = self
            .started
            .iter()
            .filter(|event| !event.completed && event.at <= before);
        open.map(|event| event.seq).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_micros(secs * 1_000_000)
    }

    #[test]
    fn the_cursor_waits_for_the_first_open_event() {
        let mut window = CursorWindow::new(10);
        assert_eq!(window.cursor(), 10);
        for seq in [12, 13, 17] {
            window.start(seq, at(0));
        }
        window.advance(20);
        assert_eq!(window.cursor(), 11, "11 was not wanted");
        window.complete(13);
        assert_eq!(window.cursor(), 11);
        window.complete(12);
        assert_eq!(window.cursor(), 16, "13 was complete before");
        window.complete(17);
        assert_eq!((window.cursor(), window.len()), (20, 0));
    }

    #[test]
    fn only_old_events_hold_the_cursor_back() {
        let mut window = CursorWindow::new(0);
        window.start(1, at(0));
        window.start(2, at(5));
        window.start(3, at(0));
        window.complete(3);
        assert_eq!(window.open_before(at(1)), [1]);
        window.complete(9);
        assert_eq!(
            window.cursor(),
            0,
            "completing an event that was never started changes nothing"
        );
    }
}
