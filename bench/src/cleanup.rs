//! Clean-up at the end of a run, even an interrupted one: child processes, databases, folders.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard},
};

type Action = Box<dyn FnOnce() + Send>;

/// The registered clean-up actions. Cheap to clone.
#[derive(Clone, Default)]
pub struct Cleanup(Arc<Mutex<Pending>>);

#[derive(Default)]
struct Pending {
    next: u64,
    actions: Vec<(u64, Action)>,
    closed: bool,
}

/// A clean-up action that runs when this is dropped.
#[must_use = "the action runs when the guard is dropped"]
pub struct CleanupGuard {
    cleanup: Cleanup,
    id: u64,
}

impl Cleanup {
    /// Registers `action`, which runs once: when the result is dropped, or by [`Cleanup::run_all`].
    pub fn defer(&self, action: impl FnOnce() + Send + 'static) -> CleanupGuard {
        let mut pending = self.pending();
        pending.next += 1;
        let id = pending.next;
        if pending.closed {
            drop(pending);
            action();
        } else {
            pending.actions.push((id, Box::new(action)));
        }
        CleanupGuard {
            cleanup: self.clone(),
            id,
        }
    }

    /// Runs all actions, the latest first. Actions registered later run at once.
    pub fn run_all(&self) {
        let mut pending = self.pending();
        pending.closed = true;
        let actions = mem::take(&mut pending.actions);
        drop(pending);
        for (_, action) in actions.into_iter().rev() {
            action();
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().expect("no thread panics while holding it")
    }
}

impl Drop for CleanupGuard {
    fn drop(&mut self) {
        let mut pending = self.cleanup.pending();
        let position = pending.actions.iter().position(|(id, _)| *id == self.id);
        let action = position.map(|position| pending.actions.remove(position));
        drop(pending);
        if let Some((_, action)) = action {
            action();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn each_action_runs_once_and_the_latest_first() {
        let (sender, undone) = mpsc::channel();
        let cleanup = Cleanup::default();
        let defer = |name| {
            let sender = sender.clone();
            cleanup.defer(move || sender.send(name).expect("is still there"))
        };
        let (first, second, third) = (defer("first"), defer("second"), defer("third"));
        drop(second);
        cleanup.run_all();
        drop((first, third));
        let late = defer("late");
        drop(late);
        assert_eq!(
            undone.try_iter().collect::<Vec<_>>(),
            ["second", "third", "first", "late"]
        );
    }
}
