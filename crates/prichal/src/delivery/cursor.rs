//! The main line of a webhook: which of its events are being called, and how far the cursor may move.

use std::collections::VecDeque;

use prichal_core::time::Timestamp;

/// Events that were started, in the order of the log. The cursor stands before the first of them that
/// is not settled.
#[derive(Debug)]
pub(super) struct Line {
    /// Up to here the log has been gone through; what is not in `started` was settled or not wanted.
    position: i64,
    started: VecDeque<Started>,
}

#[derive(Debug)]
struct Started {
    seq: i64,
    at: Timestamp,
    settled: bool,
}

impl Line {
    pub(super) fn new(position: i64) -> Self {
        Self {
            position,
            started: VecDeque::new(),
        }
    }

    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// How many events lie between the cursor and the position.
    pub(super) fn len(&self) -> usize {
        self.started.len()
    }

    /// The log has been gone through up to `position`.
    pub(super) fn advance(&mut self, position: i64) {
        self.position = self.position.max(position);
    }

    /// An event was taken on.
    pub(super) fn start(&mut self, seq: i64, at: Timestamp) {
        self.started.push_back(Started {
            seq,
            at,
            settled: false,
        });
    }

    /// An event was delivered, deferred or given a deferred row of its own.
    pub(super) fn settle(&mut self, seq: i64) {
        if let Ok(place) = self.started.binary_search_by_key(&seq, |event| event.seq) {
            self.started[place].settled = true;
        }
        while self.started.front().is_some_and(|event| event.settled) {
            self.started.pop_front();
        }
    }

    /// Every event up to here is settled.
    pub(super) fn cursor(&self) -> i64 {
        self.started
            .front()
            .map_or(self.position, |event| event.seq - 1)
    }

    /// When the event was started that holds the cursor back.
    pub(super) fn held_since(&self) -> Option<Timestamp> {
        self.started.front().map(|event| event.at)
    }

    /// Events that were started before `before` and hold the cursor back.
    pub(super) fn lingering(&self, before: Timestamp) -> Vec<i64> {
        let lingering = self
            .started
            .iter()
            .filter(|event| !event.settled && event.at <= before);
        lingering.map(|event| event.seq).collect()
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
        let mut line = Line::new(10);
        assert_eq!(line.cursor(), 10);
        for seq in [12, 13, 17] {
            line.start(seq, at(0));
        }
        line.advance(20);
        assert_eq!(line.cursor(), 11, "11 was not wanted");
        line.settle(13);
        assert_eq!(line.cursor(), 11);
        line.settle(12);
        assert_eq!(line.cursor(), 16, "13 was settled before");
        line.settle(17);
        assert_eq!((line.cursor(), line.len()), (20, 0));
    }

    #[test]
    fn only_old_open_events_linger() {
        let mut line = Line::new(0);
        line.start(1, at(0));
        line.start(2, at(5));
        line.start(3, at(0));
        line.settle(3);
        assert_eq!(line.lingering(at(1)), [1]);
        line.settle(9);
        assert_eq!(
            line.cursor(),
            0,
            "settling what was never started changes nothing"
        );
    }
}
