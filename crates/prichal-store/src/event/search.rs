//! Looking through a log in both directions.

use prichal_core::{event::EventHead, id::WorkspaceId, time::Timestamp};

use super::{MAX_PAGE_BYTES, MAX_SELECTED, find, head, heads, last, removal::removed};
use crate::{Conn, LoggedEvent, Result, value::params};

/// A part of a log that was looked through.
#[derive(Debug)]
pub struct Found {
    /// The events that match, the newest first.
    pub events: Vec<LoggedEvent>,
    /// The number of the last event that was looked at; `None` if the end of the range was reached.
    pub stopped_at: Option<i64>,
}

/// The events of a log between two numbers, both left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub after: i64,
    pub before: i64,
}

/// Lists at most `limit` events of a range that match, from its end backwards.
pub fn older(
    conn: &mut Conn,
    workspace: WorkspaceId,
    range: Range,
    limit: usize,
    wants: impl Fn(&EventHead) -> bool,
) -> Result<Found> {
    let found = conn.query(
        "SELECT seq, type, change, entities FROM event WHERE workspace = $1 AND seq > $2 AND seq < $3
         ORDER BY seq DESC LIMIT $4",
        params![workspace, range.after, range.before, MAX_SELECTED],
        |row| Ok((row.get(0)?, head(row, 1)?)),
    )?;
    read(conn, workspace, found, limit, wants)
}

/// Lists at most `limit` events of a range that match, from its beginning onwards. The newest of them are the first of
/// the list as well.
pub fn newer(
    conn: &mut Conn,
    workspace: WorkspaceId,
    range: Range,
    limit: usize,
    wants: impl Fn(&EventHead) -> bool,
) -> Result<Found> {
    let to = range.before.saturating_sub(1);
    let found = heads(conn, workspace, range.after, to, MAX_SELECTED)?;
    let mut found = read(conn, workspace, found, limit, wants)?;
    found.events.reverse();
    Ok(found)
}

fn read(
    conn: &mut Conn,
    workspace: WorkspaceId,
    heads: Vec<(i64, EventHead)>,
    limit: usize,
    wants: impl Fn(&EventHead) -> bool,
) -> Result<Found> {
    let is_whole = i64::try_from(heads.len()).is_ok_and(|count| count < MAX_SELECTED);
    let end = heads.last().map(|(seq, _)| *seq);
    let (mut events, mut bytes) = (Vec::new(), 0);
    for (seq, _) in heads.into_iter().filter(|(_, head)| wants(head)) {
        if let Some(event) = find(conn, workspace, seq)? {
            bytes += event.body.len();
            events.push(event);
        }
        if events.len() >= limit || bytes >= MAX_PAGE_BYTES {
            let stopped_at = Some(seq).filter(|seq| !is_whole || end != Some(*seq));
            return Ok(Found { events, stopped_at });
        }
    }
    Ok(Found {
        events,
        stopped_at: end.filter(|_| !is_whole),
    })
}

/// Finds the number of the first event that was made at a time or later, by bisection. Events that were made at once may
/// be in the log in any order, so it is right but for these. Without such an event it is the one behind the last.
pub fn first_at(conn: &mut Conn, workspace: WorkspaceId, at: Timestamp) -> Result<i64> {
    let mut low = removed(conn, workspace)? + 1;
    let mut high = last(conn, workspace)? + 1;
    while low < high {
        let middle = low + (high - low) / 2;
        let made = find(conn, workspace, middle)?.and_then(|event| made_at(&event.body));
        // One that was removed meanwhile is older than all others.
        if made.is_some_and(|made| made >= at) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

/// The time at which an event was made: the last member of its body tells it.
pub(super) fn made_at(body: &str) -> Option<Timestamp> {
    let (_, rest) = body.rsplit_once(r#""createdAt":""#)?;
    let (at, _) = rest.split_once('"')?;
    Timestamp::parse(at)
}
