//! The bounded queue of one writer. An urgent write wakes the writer at once. A deferred write joins the next urgent
//! write, or is written alone if none comes within [`MAX_DEFERRAL`]. A commit costs a flush of the disk, which writes
//! without a waiting caller need not cause.
//!
//! Owners of writes take turns, and no owner can fill the queue alone.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::fair_queue::FairQueue;

/// The largest number of waiting writes. Further writes are refused.
const MAX_WAITING: usize = 2048;
/// The largest number of waiting writes of one owner.
const MAX_WAITING_OF_ONE: usize = MAX_WAITING / 4 * 3;
/// The time a deferred write waits for an urgent one.
const MAX_DEFERRAL: Duration = Duration::from_millis(5);

/// The urgency of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    Urgent,
    Deferred,
}

struct State<T> {
    waiting: FairQueue<T>,
    /// True if an urgent write waits.
    urgent: bool,
    /// The time at which the writer continues without an urgent write. Set while a deferred write waits.
    deadline: Option<Instant>,
    closed: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sending end. Dropping it closes the queue.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// The receiving end, for the writer.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

pub(crate) fn new<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            waiting: FairQueue::default(),
            urgent: false,
            deadline: None,
            closed: false,
        }),
        changed: Condvar::new(),
    });
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> Sender<T> {
    /// Adds work to the queue, or returns it if the queue or the owner's share is full.
    pub(crate) fn send(&self, of: Uuid, work: T, urgency: Urgency) -> Result<(), T> {
        let mut state = self.0.lock();
        if state.waiting.len() >= MAX_WAITING || state.waiting.len_of(of) >= MAX_WAITING_OF_ONE {
            return Err(work);
        }
        state.waiting.push(of, work);
        let wakes = match urgency {
            Urgency::Urgent => !std::mem::replace(&mut state.urgent, true),
            Urgency::Deferred => {
                let first = state.deadline.is_none();
                state
                    .deadline
                    .get_or_insert_with(|| Instant::now() + MAX_DEFERRAL);
                first && !state.urgent
            }
        };
        drop(state);
        if wakes {
            self.0.changed.notify_one();
        }
        Ok(())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_one();
    }
}

impl<T> Receiver<T> {
    /// Waits for work and takes up to `max` pieces. Owners take turns, and the work of one owner keeps its order.
    /// None if the queue is closed and empty.
    pub(crate) fn take(&self, max: usize) -> Option<Vec<T>> {
        let mut state = self.0.lock();
        loop {
            let deferred_for = match state.deadline {
                _ if state.urgent || state.closed => break,
                None => {
                    state = self
                        .0
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            };
            if deferred_for.is_zero() {
                break;
            }
            state = self
                .0
                .changed
                .wait_timeout(state, deferred_for)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let next = || Some(state.waiting.pop(|_| true)?.1);
        let taken: Vec<T> = std::iter::from_fn(next).take(max).collect();
        if state.waiting.len() == 0 {
            state.urgent = false;
            state.deadline = None;
        }
        (!taken.is_empty()).then_some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);
    const C: Uuid = Uuid::from_u128(3);

    #[test]
    fn deferred_work_joins_urgent_work() {
        let (sender, receiver) = new();
        sender.send(A, "deferred", Urgency::Deferred).expect("room");
        sender.send(A, "urgent", Urgency::Urgent).expect("room");
        assert_eq!(receiver.take(8), Some(vec!["deferred", "urgent"]));
    }

    #[test]
    fn deferred_work_is_written_alone_after_a_while() {
        let (sender, receiver) = new();
        sender.send(A, 1, Urgency::Deferred).expect("room");
        assert_eq!(receiver.take(8), Some(vec![1]));
    }

    #[test]
    fn left_over_work_does_not_wait() {
        let (sender, receiver) = new();
        for n in 0..3 {
            sender.send(A, n, Urgency::Urgent).expect("room");
        }
        assert_eq!(receiver.take(2), Some(vec![0, 1]));
        assert_eq!(receiver.take(2), Some(vec![2]));
    }

    #[test]
    fn a_full_queue_returns_the_work() {
        let (sender, _receiver) = new();
        for n in 0..MAX_WAITING_OF_ONE {
            sender.send(A, n, Urgency::Deferred).expect("room");
        }
        assert_eq!(
            sender.send(A, 0, Urgency::Urgent),
            Err(0),
            "a share is full"
        );
        for n in MAX_WAITING_OF_ONE..MAX_WAITING {
            sender.send(B, n, Urgency::Deferred).expect("room");
        }
        assert_eq!(sender.send(C, 0, Urgency::Urgent), Err(0), "all is full");
    }

    #[test]
    fn owners_take_turns() {
        let (sender, receiver) = new();
        for n in 0..5 {
            sender.send(A, ('a', n), Urgency::Urgent).expect("room");
        }
        for (of, name) in [(B, 'b'), (C, 'c')] {
            for n in 0..2 {
                sender.send(of, (name, n), Urgency::Urgent).expect("room");
            }
        }
        let first = [('a', 0), ('b', 0), ('c', 0), ('a', 1)];
        assert_eq!(receiver.take(4).as_deref(), Some(&first[..]));
        sender.send(B, ('b', 2), Urgency::Urgent).expect("room");
        let rest = [('b', 1), ('c', 1), ('a', 2), ('b', 2), ('a', 3), ('a', 4)];
        assert_eq!(receiver.take(9).as_deref(), Some(&rest[..]));
    }

    #[test]
    fn a_closed_queue_is_emptied_before_it_ends() {
        let (sender, receiver) = new();
        sender.send(A, 1, Urgency::Deferred).expect("room");
        drop(sender);
        assert_eq!(receiver.take(8), Some(vec![1]));
        assert_eq!(receiver.take(8), None);
    }
}
