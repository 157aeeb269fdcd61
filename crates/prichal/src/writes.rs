//! How many bytes a workspace may write in a minute (`--write-bytes-per-minute`). Each node counts for itself, what its
//! store has written: events and rows, whoever caused them.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use prichal_core::{id::WorkspaceId, time::Timestamp};

use crate::{
    app::App,
    error::{Error, Result},
};

const PERIOD: Duration = Duration::from_mins(1);
/// How many workspaces are counted at once; past that, those whose minute is over are forgotten first.
const WORKSPACES: usize = 10_000;

/// Where workspaces stood when their present minute began.
#[derive(Default)]
pub struct Writes(Mutex<HashMap<WorkspaceId, Begun>>);

#[derive(Clone, Copy)]
struct Begun {
    since: Timestamp,
    written: u64,
}

impl Writes {
    /// Whether a workspace may go on, when it has written so many bytes in all; else, in how many seconds it may.
    fn look(
        &self,
        workspace: WorkspaceId,
        written: u64,
        most: u64,
        now: Timestamp,
    ) -> Result<(), i64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= WORKSPACES {
            all.retain(|_, begun| now < begun.since + PERIOD);
            if all.len() >= WORKSPACES {
                all.clear();
            }
        }
        let fresh = Begun {
            since: now,
            written,
        };
        let begun = all.entry(workspace).or_insert(fresh);
        if now >= begun.since + PERIOD {
            *begun = fresh;
        }
        if written.saturating_sub(begun.written) < most {
            return Ok(());
        }
        let rest = (begun.since + PERIOD).since(now);
        Err(i64::try_from(rest.as_millis().div_ceil(1000)).unwrap_or(i64::MAX))
    }
}

/// Refuses a request that may write, while its workspace has written too much. Asked when the caller is known to
/// belong there.
pub fn admit(app: &App, workspace: WorkspaceId) -> Result<()> {
    let most = app.config.write_bytes_per_minute;
    if most == 0 {
        return Ok(());
    }
    let (written, now) = (app.db.bytes_written(workspace), app.clock.now());
    let admitted = app.writes.look(workspace, written, most, now);
    admitted.map_err(|seconds| Error::TooMany { seconds })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_minute_has_its_bytes() {
        let writes = Writes::default();
        let (one, other) = (
            WorkspaceId(Uuid::from_u128(1)),
            WorkspaceId(Uuid::from_u128(2)),
        );
        let at = |secs: i64| Timestamp::from_micros(secs * 1_000_000);
        let look = |of, written, secs| writes.look(of, written, 100, at(secs));
        assert_eq!(look(one, 1000, 0), Ok(()), "what was before does not count");
        assert_eq!(look(one, 1099, 10), Ok(()));
        assert_eq!(look(one, 1100, 20), Err(40));
        assert_eq!(look(other, 5, 20), Ok(()));
        assert_eq!(look(one, 1500, 59), Err(1));
        assert_eq!(look(one, 1500, 60), Ok(()));
        assert_eq!(look(one, 1600, 61), Err(59));
    }
}
