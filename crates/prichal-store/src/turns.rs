//! Work that waits, by turns of those whose it is.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

pub(crate) struct Turns<T> {
    /// The waiting work, by whose it is.
    lines: HashMap<Uuid, VecDeque<T>>,
    /// Those whose work waits, in the order of their turns.
    order: VecDeque<Uuid>,
    waiting: usize,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self {
            lines: HashMap::new(),
            order: VecDeque::new(),
            waiting: 0,
        }
    }
}

impl<T> Turns<T> {
    /// The pieces of work that wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    /// The pieces of work of one that wait.
    pub(crate) fn len_of(&self, of: Uuid) -> usize {
        self.lines.get(&of).map_or(0, VecDeque::len)
    }

    pub(crate) fn push(&mut self, of: Uuid, work: T) {
        let line = self.lines.entry(of).or_default();
        if line.is_empty() {
            self.order.push_back(of);
        }
        line.push_back(work);
        self.waiting += 1;
    }

    /// Takes the next piece of work of one that may come now.
    pub(crate) fn pop(&mut self, may_come: impl Fn(Uuid) -> bool) -> Option<(Uuid, T)> {
        let place = self.order.iter().position(|of| may_come(*of))?;
        let of = self.order.remove(place)?;
        let line = self.lines.get_mut(&of)?;
        let work = line.pop_front()?;
        if line.is_empty() {
            self.lines.remove(&of);
        } else {
            self.order.push_back(of);
        }
        self.waiting -= 1;
        Some((of, work))
    }
}
