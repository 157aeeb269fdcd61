//! The write rate of workspaces (`--write-bytes-per-minute`). Each node counts the events and rows that its store has
//! written, whatever caused them. Beyond the rate, requests are refused, and accepted work waits for the next minute.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prichal_core::{id::WorkspaceId, time::Timestamp};

use crate::{
    error::{Error, RateLimit, Result},
    platform::Platform,
};

const RATE_PERIOD: Duration = Duration::from_mins(1);
/// The maximum number of workspaces that are counted. Beyond it, those whose minute is over are forgotten first.
const MAX_WORKSPACES: usize = 10_000;
/// The maximum number of waiting workspaces in one answer.
const MAX_LISTED: usize = 256;

/// The written bytes of workspaces at the start of their present minute.
#[derive(Default)]
pub struct Writes(Mutex<Known>);

#[derive(Default)]
struct Known {
    begun: HashMap<WorkspaceId, Begun>,
    /// The bytes that are about to be written.
    promised: HashMap<WorkspaceId, u64>,
    /// The workspaces that have to wait, and the end of the wait.
    over: HashMap<WorkspaceId, Timestamp>,
}

#[derive(Clone, Copy)]
struct Begun {
    since: Timestamp,
    written: u64,
}

impl Writes {
    /// Checks a workspace that has written `written` bytes in total. The error is the end of its wait.
    fn check(
        &self,
        workspace: WorkspaceId,
        written: u64,
        most: u64,
        now: Timestamp,
    ) -> Result<(), Timestamp> {
        let mut known = self.lock();
        let Known {
            begun,
            promised,
            over,
        } = &mut *known;
        if begun.len() >= MAX_WORKSPACES {
            begun.retain(|_, begun| now < begun.since + RATE_PERIOD);
            if begun.len() >= MAX_WORKSPACES {
                begun.clear();
            }
        }
        let fresh = Begun {
            since: now,
            written,
        };
        let begun = begun.entry(workspace).or_insert(fresh);
        if now >= begun.since + RATE_PERIOD {
            *begun = fresh;
        }
        let promised = promised.get(&workspace).copied().unwrap_or(0);
        if written.saturating_sub(begun.written) + promised < most {
            if !over.is_empty() {
                over.remove(&workspace);
            }
            return Ok(());
        }
        let until = begun.since + RATE_PERIOD;
        over.retain(|_, until| now < *until);
        if over.len() < MAX_WORKSPACES {
            over.insert(workspace, until);
        }
        Err(until)
    }

    /// The workspaces that have to wait, and the first end of a wait.
    fn over(&self, now: Timestamp) -> (Vec<WorkspaceId>, Option<Timestamp>) {
        let known = self.lock();
        let waiting = known.over.iter().filter(|(_, until)| now < **until);
        let waiting: Vec<_> = waiting.take(MAX_LISTED).collect();
        let first = waiting.iter().map(|(_, until)| **until).min();
        let waiting = waiting.iter().map(|(workspace, _)| **workspace);
        (waiting.collect(), first)
    }

    fn promise(&self, workspace: WorkspaceId, bytes: u64) {
        *self.lock().promised.entry(workspace).or_default() += bytes;
    }

    fn keep(&self, workspace: WorkspaceId, bytes: u64) {
        let mut known = self.lock();
        if let Some(promised) = known.promised.get_mut(&workspace) {
            *promised = promised.saturating_sub(bytes);
            if *promised == 0 {
                known.promised.remove(&workspace);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that are about to be written. They count as written until this is dropped.
pub struct Promise {
    app: Platform,
    workspace: WorkspaceId,
    bytes: u64,
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.app.writes.keep(self.workspace, self.bytes);
    }
}

/// Counts bytes of a workspace that are about to be written.
pub fn promise(app: &Platform, workspace: WorkspaceId, bytes: usize) -> Promise {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    app.writes.promise(workspace, bytes);
    Promise {
        app: app.clone(),
        workspace,
        bytes,
    }
}

/// The time from which a workspace over its rate may write again.
pub fn over(app: &Platform, workspace: WorkspaceId) -> Option<Timestamp> {
    let most = app.config.write_bytes_per_minute;
    if most == 0 {
        return None;
    }
    let (written, now) = (app.db.bytes_written(workspace), app.clock.now());
    app.writes.check(workspace, written, most, now).err()
}

/// The workspaces over their rate, and the first time that one of them may write again.
pub fn all_over(app: &Platform) -> (Vec<WorkspaceId>, Option<Timestamp>) {
    app.writes.over(app.clock.now())
}

/// Delays accepted work while its workspace is over its rate.
pub async fn wait(app: &Platform, workspace: WorkspaceId) {
    while let Some(until) = over(app, workspace) {
        app.clock.sleep_until(until).await;
    }
}

/// Refuses a request that may write while its workspace is over its rate. Called after the caller's access to the
/// workspace is checked.
pub fn admit(app: &Platform, workspace: WorkspaceId) -> Result<()> {
    let Some(until) = over(app, workspace) else {
        return Ok(());
    };
    let rest = until.since(app.clock.now());
    let seconds = i64::try_from(rest.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
    let limit = RateLimit::WrittenBytes(app.config.write_bytes_per_minute);
    Err(Error::TooMany { seconds, limit })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_minute_has_its_own_allowance() {
        let writes = Writes::default();
        let (one, other) = (
            WorkspaceId(Uuid::from_u128(1)),
            WorkspaceId(Uuid::from_u128(2)),
        );
        let at = |secs: i64| Timestamp::from_micros(secs * 1_000_000);
        let check = |of, written, secs| writes.check(of, written, 100, at(secs));
        assert_eq!(
            check(one, 1000, 0),
            Ok(()),
            "what was before does not count"
        );
        assert_eq!(check(one, 1099, 10), Ok(()));
        assert_eq!(check(one, 1100, 20), Err(at(60)));
        assert_eq!(check(other, 5, 20), Ok(()));
        assert_eq!(writes.over(at(20)), (vec![one], Some(at(60))));
        assert_eq!(check(one, 1500, 59), Err(at(60)));
        assert_eq!(check(one, 1500, 60), Ok(()));
        assert_eq!(writes.over(at(60)), (vec![], None));
        writes.promise(one, 70);
        assert_eq!(check(one, 1529, 61), Ok(()));
        assert_eq!(
            check(one, 1530, 61),
            Err(at(120)),
            "what is promised counts"
        );
        writes.keep(one, 70);
        assert_eq!(check(one, 1530, 61), Ok(()));
        assert_eq!(check(one, 1600, 61), Err(at(120)));
    }
}
