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
    collect(conn, workspace, limit, wants, |conn, last, count| {
        let before = last.unwrap_or(range.before);
        conn.query(
            "SELECT seq, type, change, entities FROM event WHERE workspace = $1 AND seq > $2 AND seq < $3
             ORDER BY seq DESC LIMIT $4",
            params![workspace, range.after, before, count],
            |row| Ok((row.get(0)?, head(row, 1)?)),
        )
    })
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
    let mut found = collect(conn, workspace, limit, wants, |conn, last, count| {
        heads(conn, workspace, last.unwrap_or(range.after), to, count)
    })?;
    found.events.reverse();
    Ok(found)
}

/// Collects events that match. `heads` reads at most so many events that follow one, or the first of the range. As most
/// pages are full soon, the first part is short.
fn collect(
    conn: &mut Conn,
    workspace: WorkspaceId,
    limit: usize,
    wants: impl Fn(&EventHead) -> bool,
    heads: impl Fn(&mut Conn, Option<i64>, i64) -> Result<Vec<(i64, EventHead)>>,
) -> Result<Found> {
    let (mut events, mut bytes, mut last) = (Vec::new(), 0, None);
    let mut left = MAX_SELECTED;
    let mut count = i64::try_from(limit).unwrap_or(left).saturating_add(1);
    while left > 0 {
        count = count.min(left);
        let part = heads(conn, last, count)?;
        let length = i64::try_from(part.len()).unwrap_or(count);
        let end = part.last().filter(|_| length < count).map(|(seq, _)| *seq);
        for (seq, head) in part {
            last = Some(seq);
            if !wants(&head) {
                continue;
            }
            if let Some(event) = find(conn, workspace, seq)? {
                bytes += event.body.len();
                events.push(event);
            }
            if events.len() >= limit || bytes >= MAX_PAGE_BYTES {
                let stopped_at = last.filter(|_| last != end);
                return Ok(Found { events, stopped_at });
            }
        }
        if length < count {
            return Ok(Found {
                events,
                stopped_at: None,
            });
        }
        left -= length;
        count = count.saturating_mul(4);
    }
    Ok(Found {
        events,
        stopped_at: last,
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
