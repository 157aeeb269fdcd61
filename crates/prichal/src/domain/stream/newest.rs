//! The newest events of a log, as they are sent to all listeners of a workspace.

use std::collections::VecDeque;

use bytes::Bytes;
use prichal_store::LoggedEvent;
use uuid::Uuid;

use super::topic::{Sight, Topic, Topics};
use crate::domain::telephony::own_calls;

/// The maximum size of the events that are kept. One event of any size is kept.
const MAX_BYTES: usize = 64 << 10;
/// The maximum size of the events that a listener takes at once. One event of any size is taken.
pub(super) const MAX_TAKEN_BYTES: usize = 32 << 10;

/// An event of a log, as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) seq: i64,
    pub(super) topic: Topic,
    /// The call that the event is about.
    pub(super) call: Option<Uuid>,
    pub(super) text: Bytes,
}

impl Frame {
    pub(super) fn of(event: &LoggedEvent) -> Self {
        let topic = Topic::of(&event.head);
        let (name, id, data) = (topic.message(), event.offset(), &event.body);
        Self {
            seq: event.seq,
            topic,
            call: own_calls::call_of(&event.head.entities),
            text: Bytes::from(format!("event: {name}\nid: {id}\ndata: {data}\n\n")),
        }
    }
}

/// A run of events without a gap, up to the newest that is known.
#[derive(Debug, Default)]
pub(super) struct Newest {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// The number of commits on other nodes that were announced, and how many of them were read.
    announced: u64,
    read: u64,
}

/// The answer to a listener that asks for events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The events up to this number were taken.
    Taken(i64),
    /// The next event is only in the store.
    InStore,
    /// Another node has committed events, which nobody has read yet.
    Elsewhere,
    /// There is no event.
    End,
}

impl Newest {
    /// Adds an event. One that does not follow the newest begins a new run.
    pub(super) fn push(&mut self, frame: Frame) {
        match self.frames.back() {
            Some(newest) if frame.seq <= newest.seq => return,
            Some(newest) if frame.seq > newest.seq + 1 => {
                self.frames.clear();
                self.bytes = 0;
            }
            _ => {}
        }
        self.bytes += frame.text.len();
        self.frames.push_back(frame);
        while self.bytes > MAX_BYTES && self.frames.len() > 1 {
            let oldest = self.frames.pop_front();
            self.bytes -= oldest.map_or(0, |frame| frame.text.len());
        }
    }

    pub(super) fn note_commit_elsewhere(&mut self) {
        self.announced += 1;
    }

    /// The number of the newest event, and of the commits that were announced.
    pub(super) fn state(&self) -> (Option<i64>, u64) {
        (self.frames.back().map(|frame| frame.seq), self.announced)
    }

    /// Notes that the log was read after this number of announcements.
    pub(super) fn note_read(&mut self, announced: u64) {
        self.read = self.read.max(announced);
    }

    pub(super) fn has_unread(&self) -> bool {
        self.read < self.announced
    }

    /// Takes the next events after `position` that `wants` selects. `end` is a number that the log has reached.
    pub(super) fn take(
        &self,
        position: i64,
        end: i64,
        wants: impl Fn(Topic) -> bool,
        taken: &mut Vec<Frame>,
    ) -> Next {
        let first = self.frames.front().map(|frame| frame.seq);
        let newest = self.frames.back().map_or(0, |frame| frame.seq);
        if position < end.max(newest) && first.is_none_or(|first| first > position + 1) {
            return Next::InStore;
        }
        if position >= newest {
            return if self.has_unread() {
                Next::Elsewhere
            } else {
                Next::End
            };
        }
        let skip = usize::try_from(position + 1 - first.unwrap_or(0)).unwrap_or(0);
        let (mut last, mut bytes) = (position, 0);
        for frame in self.frames.iter().skip(skip) {
            if wants(frame.topic) {
                if bytes > 0 && bytes + frame.text.len() > MAX_TAKEN_BYTES {
                    break;
                }
                bytes += frame.text.len();
                taken.push(frame.clone());
            }
            last = frame.seq;
        }
        Next::Taken(last)
    }
}

/// Selects the events of topics that a listener may see.
pub(super) fn wants(topics: Topics, sight: Sight) -> impl Fn(Topic) -> bool {
    move |topic| topics.want(topic) && sight.covers(topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(seq: i64, bytes: usize) -> Frame {
        Frame {
            seq,
            topic: Topic::Events,
            call: None,
            text: vec![b'x'; bytes].into(),
        }
    }

    fn take(newest: &Newest, position: i64, end: i64) -> (Next, usize) {
        let mut taken = Vec::new();
        let next = newest.take(position, end, |_| true, &mut taken);
        (next, taken.len())
    }

    #[test]
    fn a_listener_gets_each_event_after_its_position() {
        let mut newest = Newest::default();
        assert_eq!(take(&newest, 3, 3), (Next::End, 0));
        assert_eq!(take(&newest, 2, 3), (Next::InStore, 0), "from before");
        (4..=6).for_each(|seq| newest.push(frame(seq, 10)));
        assert_eq!(take(&newest, 3, 3), (Next::Taken(6), 3));
        assert_eq!(take(&newest, 5, 3), (Next::Taken(6), 1));
        assert_eq!(take(&newest, 6, 3), (Next::End, 0));
        assert_eq!(take(&newest, 2, 3), (Next::InStore, 0), "too far behind");
        newest.push(frame(5, 10));
        assert_eq!(take(&newest, 3, 3), (Next::Taken(6), 3), "seen before");
        newest.push(frame(8, 10));
        assert_eq!(take(&newest, 6, 3), (Next::InStore, 0), "another node's 7");
        assert_eq!(take(&newest, 7, 3), (Next::Taken(8), 1));
        newest.note_commit_elsewhere();
        assert_eq!(take(&newest, 7, 3), (Next::Taken(8), 1));
        assert_eq!(take(&newest, 8, 3), (Next::Elsewhere, 0));
        let (last, announced) = newest.state();
        assert_eq!(last, Some(8));
        newest.note_read(announced);
        assert_eq!(take(&newest, 8, 3), (Next::End, 0));
    }

    #[test]
    fn few_bytes_are_kept_and_taken() {
        let mut newest = Newest::default();
        newest.push(frame(1, 2 * MAX_BYTES));
        assert_eq!(take(&newest, 0, 0), (Next::Taken(1), 1), "one of any size");
        (2..100).for_each(|seq| newest.push(frame(seq, MAX_BYTES / 8)));
        assert_eq!(newest.frames.len(), 8);
        assert_eq!(take(&newest, 91, 0), (Next::Taken(95), 4));
        assert_eq!(take(&newest, 90, 0), (Next::InStore, 0));
    }

    #[test]
    fn hidden_events_are_passed_over() {
        let mut newest = Newest::default();
        let all = [Topic::Calls, Topic::Documents, Topic::Events, Topic::Alerts];
        for (seq, topic) in (1..).zip(all) {
            newest.push(Frame {
                topic,
                ..frame(seq, 10)
            });
        }
        let of_documents = Sight {
            alerts: false,
            ..Sight::ALL
        };
        let of_alerts = Sight {
            documents: false,
            ..Sight::ALL
        };
        for (topics, sight, count) in [
            ("events", Sight::ALL, 4),
            ("events", of_alerts, 3),
            ("events", of_documents, 3),
            ("calls", Sight::ALL, 1),
            ("documents", Sight::ALL, 1),
            ("documents", of_alerts, 0),
            ("alerts", of_alerts, 1),
            ("alerts", of_documents, 0),
        ] {
            let topics = Topics::parse(topics).expect("topics");
            let mut taken = Vec::new();
            let next = newest.take(0, 0, wants(topics, sight), &mut taken);
            assert_eq!(next, Next::Taken(4));
            assert_eq!(taken.len(), count, "{topics}");
        }
    }
}
