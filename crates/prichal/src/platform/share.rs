//! A semaphore with fair shares: all workspaces share the permits, none can take all, and waiting ones take turns.
//!
//! Of several waiting workspaces, the one that holds the least goes first. Workspaces that hold the same amount take
//! turns, however many waiters each has. A workspace at its share waits for its own permits. The first waiter waits
//! until there is enough capacity for it, and is not overtaken by smaller ones.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::{HashMap, HashMapExt as _};
use prichal_core::id::WorkspaceId;
use tokio::sync::oneshot;

#[derive(Clone, Debug)]
pub struct FairShare(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    all: usize,
    share: usize,
    taken: usize,
    of: HashMap<WorkspaceId, usize>,
    waiting: HashMap<WorkspaceId, VecDeque<Waiter>>,
    last: u64,
    /// The round that is being admitted.
    round: u64,
}

#[derive(Debug)]
struct Waiter {
    /// The round in which the workspace has a turn, one for each workspace.
    round: u64,
    number: u64,
    size: usize,
    answer: oneshot::Sender<Permit>,
}

/// A part of the capacity, given back on drop.
#[derive(Debug)]
pub struct Permit {
    room: FairShare,
    workspace: WorkspaceId,
    size: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.room.lock();
        state.give_back(self.workspace, self.size);
        if !state.waiting.is_empty() {
            self.room.admit(state);
        }
    }
}

impl FairShare {
    /// A capacity of `all`, of which one workspace may hold `share`.
    pub fn new(all: usize, share: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            all,
            share: share.min(all),
            taken: 0,
            of: HashMap::new(),
            waiting: HashMap::new(),
            last: 0,
            round: 0,
        })))
    }

    /// Waits for free capacity. A size beyond the share is cut to the share.
    pub async fn take(&self, workspace: WorkspaceId, size: usize) -> Permit {
        if let Some(permit) = self.take_unless_others_wait(workspace, size) {
            return permit;
        }
        loop {
            // The answer is missing only if the task that owed it has panicked.
            if let Ok(permit) = self.enqueue(workspace, size).await {
                return permit;
            }
        }
    }

    /// Takes capacity if it is free now.
    pub fn try_take(&self, workspace: WorkspaceId, size: usize) -> Option<Permit> {
        self.take_unless_others_wait(workspace, size)
            .or_else(|| self.enqueue(workspace, size).try_recv().ok())
    }

    /// Takes free capacity while no workspace waits, without a queue.
    fn take_unless_others_wait(&self, workspace: WorkspaceId, size: usize) -> Option<Permit> {
        let mut state = self.lock();
        let size = size.min(state.share);
        let has_room = state.taken + size <= state.all;
        if !has_room || !state.waiting.is_empty() || state.own(workspace) + size > state.share {
            return None;
        }
        state.give(workspace, size);
        Some(Permit {
            room: self.clone(),
            workspace,
            size,
        })
    }

    /// The workspaces that hold their whole share.
    pub fn full(&self) -> Vec<WorkspaceId> {
        let state = self.lock();
        let full = state.of.iter().filter(|(_, own)| **own >= state.share);
        full.map(|(workspace, _)| *workspace).collect()
    }

    /// The free capacity.
    pub fn free(&self) -> usize {
        let state = self.lock();
        state.all - state.taken
    }

    fn enqueue(&self, workspace: WorkspaceId, size: usize) -> oneshot::Receiver<Permit> {
        let (answer, turn) = oneshot::channel();
        let mut state = self.lock();
        state.line_up(workspace, size, answer);
        self.admit(state);
        turn
    }

    /// Admits waiters that fit. Their permits are sent after the state is unlocked, because the permit of a cancelled
    /// waiter is dropped, which locks the state again.
    fn admit(&self, mut state: MutexGuard<'_, State>) {
        let mut admitted = Vec::new();
        while let Some((workspace, waiter)) = state.next() {
            let permit = Permit {
                room: self.clone(),
                workspace,
                size: waiter.size,
            };
            admitted.push((waiter.answer, permit));
        }
        drop(state);
        for (answer, permit) in admitted {
            let _ = answer.send(permit);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn own(&self, workspace: WorkspaceId) -> usize {
        self.of.get(&workspace).copied().unwrap_or(0)
    }

    fn line_up(&mut self, workspace: WorkspaceId, size: usize, answer: oneshot::Sender<Permit>) {
        self.last += 1;
        let line = self.waiting.entry(workspace).or_default();
        let before = line.back().map_or(self.round, |before| before.round);
        line.push_back(Waiter {
            round: before + 1,
            number: self.last,
            size: size.min(self.share),
            answer,
        });
    }

    fn give(&mut self, workspace: WorkspaceId, size: usize) {
        self.taken += size;
        *self.of.entry(workspace).or_default() += size;
    }

    fn give_back(&mut self, workspace: WorkspaceId, size: usize) {
        self.taken -= size;
        if let Some(own) = self.of.get_mut(&workspace) {
            *own -= size;
            if *own == 0 {
                self.of.remove(&workspace);
            }
        }
    }

    /// Drops cancelled waiters at the head of a queue.
    fn prune(&mut self) {
        self.waiting.retain(|_, line| {
            let gone = line.iter().position(|waiter| !waiter.answer.is_closed());
            line.drain(..gone.unwrap_or(line.len()));
            !line.is_empty()
        });
    }

    /// The next waiter. `None` if there is not enough capacity for it.
    fn next(&mut self) -> Option<(WorkspaceId, Waiter)> {
        self.prune();
        let ranked = self.waiting.iter().filter_map(|(workspace, line)| {
            let (own, first) = (self.own(*workspace), line.front()?);
            let rank = (own, first.round, first.number);
            (own + first.size <= self.share).then_some((rank, *workspace, first.size))
        });
        let (_, workspace, size) = ranked.min()?;
        if self.taken + size > self.all {
            return None;
        }
        let line = self.waiting.get_mut(&workspace)?;
        let waiter = line.pop_front()?;
        if line.is_empty() {
            self.waiting.remove(&workspace);
        }
        self.round = self.round.max(waiter.round);
        self.give(workspace, size);
        Some((workspace, waiter))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const ALL: usize = 10;
    const SHARE: usize = 6;

    fn workspace(n: u8) -> WorkspaceId {
        WorkspaceId(Uuid::from_u128(n.into()))
    }

    #[test]
    fn a_late_workspace_that_holds_less_goes_first() {
        let room = FairShare::new(ALL, SHARE);
        let mut held: Vec<Permit> = (0..SHARE)
            .map(|_| room.try_take(workspace(1), 1).expect("room"))
            .collect();
        assert!(room.try_take(workspace(1), 1).is_none(), "it has its share");
        let mut more = room.enqueue(workspace(1), 1);
        let mut large = room.enqueue(workspace(2), SHARE);
        assert!(large.try_recv().is_err() && room.free() == 4);
        let mut small = room.enqueue(workspace(3), 1);
        assert!(small.try_recv().is_err(), "it does not overtake");
        held.truncate(4);
        assert!(large.try_recv().is_ok(), "the one with the least is first");
        assert!(more.try_recv().is_ok() || small.try_recv().is_ok());
    }

    #[test]
    fn a_waiter_that_has_gone_away_is_passed_over() {
        let room = FairShare::new(1, 1);
        let held = room.try_take(workspace(1), 1);
        drop(room.enqueue(workspace(2), 1));
        let mut next = room.enqueue(workspace(3), 1);
        drop(held);
        assert!(next.try_recv().is_ok());
    }

    #[test]
    fn a_workspace_does_not_wait_for_the_line_of_another() {
        let room = FairShare::new(1, 1);
        let mut held = room.try_take(workspace(1), 1);
        let mut many: Vec<_> = (0..100).map(|_| room.enqueue(workspace(1), 1)).collect();
        let mut turns = Vec::new();
        for n in 0..5 {
            // Two others return as soon as each has had its turn.
            let mut others = [2, 3].map(|one| room.enqueue(workspace(one), 1));
            for _ in 0..3 {
                held = None;
                assert!(held.is_none(), "its part is given back");
                let first = others.iter_mut().map(|one| one.try_recv().ok());
                held = first.fold(None, Option::or);
                turns.push(if held.is_some() { 'o' } else { 'm' });
                held = held.or_else(|| many.iter_mut().find_map(|one| one.try_recv().ok()));
                assert!(held.is_some(), "somebody's turn, {n}");
            }
        }
        let turns: String = turns.iter().collect();
        let others = turns.chars().filter(|turn| *turn == 'o').count();
        assert!(others == 10 && !turns.contains("mm"), "{turns}");
        drop(held);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Come(u8, usize),
        End(usize),
        GoAway(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..4_u8, 1..9_usize).prop_map(|(of, size)| Step::Come(of, size)),
            any::<usize>().prop_map(Step::End),
            any::<usize>().prop_map(Step::GoAway),
        ]
    }

    type Turn = (u8, usize, oneshot::Receiver<Permit>);

    /// Moves admitted waiters from the line into the room.
    fn settle(line: &mut Vec<Turn>, held: &mut Vec<(u8, Permit)>) {
        let mut n = 0;
        while n < line.len() {
            match line[n].2.try_recv() {
                Ok(permit) => held.push((line.remove(n).0, permit)),
                Err(_) => n += 1,
            }
        }
    }

    proptest! {
        #[test]
        fn no_workspace_exceeds_its_share_or_waits_without_need(steps in prop::collection::vec(step(), 1..200)) {
            let room = FairShare::new(ALL, SHARE);
            let (mut line, mut held): (Vec<Turn>, Vec<(u8, Permit)>) = (Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Come(of, size) => {
                        let turn = room.enqueue(workspace(of), size);
                        line.push((of, size.min(SHARE), turn));
                    }
                    Step::End(n) if !held.is_empty() => drop(held.remove(n % held.len())),
                    Step::GoAway(n) if !line.is_empty() => drop(line.remove(n % line.len())),
                    Step::End(_) | Step::GoAway(_) => {}
                }
                // A waiter that has gone away is noticed with the next arrival or end.
                drop(room.enqueue(workspace(9), 1));
                settle(&mut line, &mut held);
                let own = |of: u8| -> usize { held.iter().filter(|one| one.0 == of).map(|one| one.1.size).sum() };
                let taken: usize = held.iter().map(|one| one.1.size).sum();
                prop_assert_eq!(room.free(), ALL - taken);
                prop_assert!(taken <= ALL && (0..4).all(|of| own(of) <= SHARE));
                // The first waiter of each workspace below its share: it waits only for room.
                let mut heads: Vec<&Turn> = Vec::new();
                for turn in &line {
                    if heads.iter().all(|head| head.0 != turn.0) {
                        heads.push(turn);
                    }
                }
                heads.retain(|(of, size, _)| own(*of) + size <= SHARE);
                let least = heads.iter().map(|head| own(head.0)).min();
                let mut first = heads.iter().filter(|head| Some(own(head.0)) == least);
                prop_assert!(heads.is_empty() || first.any(|head| taken + head.1 > ALL), "one of these could come");
            }
            held.clear();
            while !line.is_empty() {
                settle(&mut line, &mut held);
                prop_assert!(!held.is_empty(), "everybody's turn comes");
                held.clear();
            }
        }
    }
}
