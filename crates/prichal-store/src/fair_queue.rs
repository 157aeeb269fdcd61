//! A fair queue: owners take turns, and the work of one owner keeps its order.

use std::collections::VecDeque;

use foldhash::{HashMap, HashMapExt as _};
use uuid::Uuid;

pub(crate) struct FairQueue<T> {
    /// The waiting work of each owner.
    by_owner: HashMap<Uuid, VecDeque<T>>,
    /// The owners of waiting work, in the order of their turns.
    order: VecDeque<Uuid>,
    waiting: usize,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self {
            by_owner: HashMap::new(),
            order: VecDeque::new(),
            waiting: 0,
        }
    }
}

impl<T> FairQueue<T> {
    /// The number of waiting pieces of work.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    /// The number of waiting pieces of work of one owner.
    pub(crate) fn len_of(&self, owner: Uuid) -> usize {
        self.by_owner.get(&owner).map_or(0, VecDeque::len)
    }

    pub(crate) fn push(&mut self, owner: Uuid, work: T) {
        let line = self.by_owner.entry(owner).or_default();
        if line.is_empty() {
            self.order.push_back(owner);
        }
        line.push_back(work);
        self.waiting += 1;
    }

    /// Takes the next piece of work of the first owner that `may_run` admits.
    pub(crate) fn pop(&mut self, may_run: impl Fn(Uuid) -> bool) -> Option<(Uuid, T)> {
        let place = self.order.iter().position(|owner| may_run(*owner))?;
        let owner = self.order.remove(place)?;
        let line = self.by_owner.get_mut(&owner)?;
        let work = line.pop_front()?;
        if line.is_empty() {
            self.by_owner.remove(&owner);
        } else {
            self.order.push_back(owner);
        }
        self.waiting -= 1;
        Some((owner, work))
    }
}
