//! The queue of one writer: bounded, and with two kinds of work. Urgent work wakes the writer at
//! once. Patient work goes along with the next urgent one, or goes alone when none has come for a
//! while: a commit costs a flush of the disk, and what nobody waits for need not cost one of its own.
//!
//! Those whose work waits take turns, and none may fill the queue alone.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::turns::Turns;

/// How much work may wait. More is refused.
const CAPACITY: usize = 2048;
/// How much of it may be of one.
const SHARE: usize = CAPACITY / 4 * 3;
/// How long patient work waits for company.
const PATIENCE: Duration = Duration::from_millis(5);

/// Whether somebody waits for a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    Urgent,
    Patient,
}

struct State<T> {
    waiting: Turns<T>,
    /// Whether something urgent waits.
    urgent: bool,
    /// When the writer goes on without urgent work. Set while something patient waits.
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

/// The end that work is put in at. When it is dropped, the queue ends.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// The end that the writer takes from.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

pub(crate) fn new<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            waiting: Turns::default(),
            urgent: false,
            deadline: None,
            closed: false,
        }),
        changed: Condvar::new(),
    });
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> Sender<T> {
    /// Puts work in, or gives it back when too much waits.
    pub(crate) fn send(&self, of: Uuid, work: T, urgency: Urgency) -> Result<(), T> {
        let mut state = self.0.lock();
        if state.waiting.len() >= CAPACITY || state.waiting.len_of(of) >= SHARE {
            return Err(work);
        }
        state.waiting.push(of, work);
        let wakes = match urgency {
            Urgency::Urgent => !std::mem::replace(&mut state.urgent, true),
            Urgency::Patient => {
                let first = state.deadline.is_none();
                state
                    .deadline
                    .get_or_insert_with(|| Instant::now() + PATIENCE);
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
    /// Waits for work and takes up to `most` pieces by turns, those of one in the order in which they came. Nothing
    /// when the queue has ended and is empty.
    pub(crate) fn take(&self, most: usize) -> Option<Vec<T>> {
        let mut state = self.0.lock();
        loop {
            let patient_until = match state.deadline {
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
            if patient_until.is_zero() {
                break;
            }
            state = self
                .0
                .changed
                .wait_timeout(state, patient_until)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let next = || Some(state.waiting.pop(|_| true)?.1);
        let taken: Vec<T> = std::iter::from_fn(next).take(most).collect();
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
    fn patient_work_goes_along_with_urgent_work() {
        let (sender, receiver) = new();
        sender.send(A, "patient", Urgency::Patient).expect("room");
        sender.send(A, "urgent", Urgency::Urgent).expect("room");
        assert_eq!(receiver.take(8), Some(vec!["patient", "urgent"]));
    }

    #[test]
    fn patient_work_goes_alone_in_the_end() {
        let (sender, receiver) = new();
        sender.send(A, 1, Urgency::Patient).expect("room");
        assert_eq!(receiver.take(8), Some(vec![1]));
    }

    #[test]
    fn what_is_left_over_does_not_wait() {
        let (sender, receiver) = new();
        for n in 0..3 {
            sender.send(A, n, Urgency::Urgent).expect("room");
        }
        assert_eq!(receiver.take(2), Some(vec![0, 1]));
        assert_eq!(receiver.take(2), Some(vec![2]));
    }

    #[test]
    fn a_full_queue_gives_work_back() {
        let (sender, _receiver) = new();
        for n in 0..SHARE {
            sender.send(A, n, Urgency::Patient).expect("room");
        }
        assert_eq!(
            sender.send(A, 0, Urgency::Urgent),
            Err(0),
            "a share is full"
        );
        for n in SHARE..CAPACITY {
            sender.send(B, n, Urgency::Patient).expect("room");
        }
        assert_eq!(sender.send(C, 0, Urgency::Urgent), Err(0), "all is full");
    }

    #[test]
    fn they_take_turns() {
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
    fn a_closed_queue_is_emptied_first() {
        let (sender, receiver) = new();
        sender.send(A, 1, Urgency::Patient).expect("room");
        drop(sender);
        assert_eq!(receiver.take(8), Some(vec![1]));
        assert_eq!(receiver.take(8), None);
    }
}
