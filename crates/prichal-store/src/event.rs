//! The log of a workspace: every change, in commit order, numbered without gaps.

pub mod removal;
pub mod search;

use std::collections::BTreeMap;

use prichal_core::{
    event::{Entity, EventHead, NewEvent},
    id::{EventId, WorkspaceId},
    offset,
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    Conn, Result, Row, document,
    insert::{Insert, write_rows},
    value::{Value, params},
};

/// An event with its number in the log.
#[derive(Debug)]
pub struct LoggedEvent {
    pub workspace: WorkspaceId,
    /// Its number in the workspace's log, from 1.
    pub seq: i64,
    pub id: EventId,
    pub head: EventHead,
    /// The `ObjectEvent`, as the feed serves it and webhooks carry it.
    pub body: String,
}

impl LoggedEvent {
    pub fn offset(&self) -> Uuid {
        offset::of(self.workspace, self.seq)
    }

    /// The entities that the event is about: one, or the two ends of a link.
    pub fn entities(&self) -> &[Entity] {
        &self.head.entities
    }
}

static EVENT: Insert = Insert::new(
    "event",
    &[
        "workspace",
        "seq",
        "id",
        "type",
        "change",
        "entities",
        "body",
    ],
);

/// Numbers the events and writes them. The log's row stays locked until the commit.
pub(crate) fn append(conn: &mut Conn, events: Vec<NewEvent>) -> Result<Vec<LoggedEvent>> {
    // The logs are locked in the order of their ids, so that two writers with the same workspaces cannot deadlock.
    let mut logs: BTreeMap<WorkspaceId, Vec<NewEvent>> = BTreeMap::new();
    for event in events {
        logs.entry(event.workspace).or_default().push(event);
    }
    let mut logged = Vec::new();
    let (mut rows, mut documents) = (Vec::new(), Vec::new());
    for (workspace, events) in logs {
        let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let at = events.last().map_or(Timestamp::default(), |event| event.at);
        let last = advance(conn, workspace, count, at)?;
        for (event, seq) in events.into_iter().zip(last - count + 1..) {
            let body = event.render(offset::of(workspace, seq));
            let head = event.head();
            let columns = (
                head.kind_column(),
                head.change_column().map_or(Value::Null, Value::Text),
                head.entities_column(),
            );
            documents.extend(document::note(workspace, event.at, seq, &head));
            rows.push(
                params![
                    workspace,
                    seq,
                    event.id,
                    columns.0,
                    columns.1,
                    columns.2,
                    body.clone()
                ]
                .to_vec(),
            );
            logged.push(LoggedEvent {
                workspace,
                seq,
                id: event.id,
                head,
                body,
            });
        }
    }
    write_rows(conn, &EVENT, rows)?;
    write_rows(conn, &document::EVENT, documents)?;
    Ok(logged)
}

fn advance(conn: &mut Conn, workspace: WorkspaceId, count: i64, at: Timestamp) -> Result<i64> {
    let last = conn.query_one(
        "INSERT INTO log (workspace, last, changed_at) VALUES ($1, $2, $3)
         ON CONFLICT (workspace) DO UPDATE SET last = log.last + excluded.last, changed_at = excluded.changed_at
         RETURNING last",
        params![workspace, count, at.secs()],
        |row| row.get(0),
    )?;
    Ok(last.unwrap_or(count))
}

/// Returns the number of a workspace's last event, or 0 if there is none.
pub fn last(conn: &mut Conn, workspace: WorkspaceId) -> Result<i64> {
    let last = conn.query_one(
        "SELECT last FROM log WHERE workspace = $1",
        params![workspace],
        |row| row.get(0),
    )?;
    Ok(last.unwrap_or(0))
}

/// Lists the logs that changed at or after `since`, with the number of their last event.
pub fn changed_logs(conn: &mut Conn, since: Timestamp) -> Result<Vec<(WorkspaceId, i64)>> {
    conn.query(
        "SELECT workspace, last FROM log WHERE changed_at >= $1",
        params![since.secs()],
        |row| Ok((WorkspaceId(row.uuid(0)?), row.get(1)?)),
    )
}

/// The size at which a page ends early, so that big events cannot exhaust the memory.
const MAX_PAGE_BYTES: usize = 4 << 20;

const COLUMNS: &str = "seq, id, type, change, entities, body";

/// Lists at most `limit` events after number `after`, in order. Fewer if their bodies exceed [`MAX_PAGE_BYTES`].
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    after: i64,
    limit: i64,
) -> Result<Vec<LoggedEvent>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM event WHERE workspace = $1 AND seq > $2 ORDER BY seq LIMIT $3"
    );
    let (mut found, mut bytes) = (Vec::new(), 0);
    conn.scan(&sql, params![workspace, after, limit], &mut |row| {
        let event = logged(workspace, row)?;
        bytes += event.body.len();
        found.push(event);
        Ok(bytes < MAX_PAGE_BYTES)
    })?;
    Ok(found)
}

/// The largest number of events that a selection looks at.
const MAX_SELECTED: i64 = 10_000;

/// The events that a page of the feed is selected from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Changes and links.
    Entities,
    /// The events of the workspace's own types.
    Custom,
}

/// Lists at most `limit` events of a selection after number `after`, in order, and the number up to which the log was
/// looked through. There are fewer events if others are between them.
pub fn select(
    conn: &mut Conn,
    workspace: WorkspaceId,
    after: i64,
    limit: i64,
    selection: Selection,
    wants: impl Fn(&EventHead) -> bool,
) -> Result<(Vec<LoggedEvent>, i64)> {
    let condition = match selection {
        Selection::Entities => "type <> 'custom'",
        Selection::Custom => "type = 'custom'",
    };
    let end = last(conn, workspace)?.min(after.saturating_add(MAX_SELECTED));
    let sql = format!(
        "SELECT {COLUMNS} FROM event WHERE workspace = $1 AND seq > $2 AND seq <= $3 AND {condition} ORDER BY seq"
    );
    let (mut found, mut bytes, mut position) = (Vec::new(), 0, end.max(after));
    conn.scan(&sql, params![workspace, after, end], &mut |row| {
        let event = logged(workspace, row)?;
        bytes += event.body.len();
        let seq = event.seq;
        if wants(&event.head) {
            found.push(event);
        }
        let is_full =
            bytes >= MAX_PAGE_BYTES || i64::try_from(found.len()).is_ok_and(|n| n >= limit);
        if is_full {
            position = seq;
        }
        Ok(!is_full)
    })?;
    Ok((found, position))
}

/// Finds an event by its number.
pub fn find(conn: &mut Conn, workspace: WorkspaceId, seq: i64) -> Result<Option<LoggedEvent>> {
    let sql = format!("SELECT {COLUMNS} FROM event WHERE workspace = $1 AND seq = $2");
    conn.query_one(&sql, params![workspace, seq], |row| logged(workspace, row))
}

/// Reads these events in any order, and passes each to `take`.
pub(crate) fn scan(
    conn: &mut Conn,
    workspace: WorkspaceId,
    seqs: &[i64],
    take: &mut dyn FnMut(LoggedEvent),
) -> Result<()> {
    if seqs.is_empty() {
        return Ok(());
    }
    let marks: Vec<String> = (2..2 + seqs.len()).map(|n| format!("${n}")).collect();
    let sql = format!(
        "SELECT {COLUMNS} FROM event WHERE workspace = $1 AND seq IN ({})",
        marks.join(", ")
    );
    let mut values = params![workspace].to_vec();
    values.extend(seqs.iter().map(|seq| Value::from(*seq)));
    conn.scan(&sql, &values, &mut |row| {
        take(logged(workspace, row)?);
        Ok(true)
    })
}

/// Finds the number of an own event by its id, and the time at which it was published.
pub(crate) fn find_custom(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: EventId,
) -> Result<Option<(i64, Option<Timestamp>)>> {
    let sql = "SELECT seq, body FROM event WHERE workspace = $1 AND id = $2 AND type = 'custom'";
    conn.query_one(sql, params![workspace, id], |row| {
        let body: String = row.get(1)?;
        Ok((row.get(0)?, search::made_at(&body)))
    })
}

/// Lists the events after `after` up to `to` without their bodies.
pub fn heads(
    conn: &mut Conn,
    workspace: WorkspaceId,
    after: i64,
    to: i64,
    limit: i64,
) -> Result<Vec<(i64, EventHead)>> {
    conn.query(
        "SELECT seq, type, change, entities FROM event WHERE workspace = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4",
        params![workspace, after, to, limit],
        |row| Ok((row.get(0)?, head(row, 1)?)),
    )
}

pub(crate) fn logged(workspace: WorkspaceId, row: &Row<'_>) -> Result<LoggedEvent> {
    Ok(LoggedEvent {
        workspace,
        seq: row.get(0)?,
        id: EventId(row.uuid(1)?),
        head: head(row, 2)?,
        body: row.get(5)?,
    })
}

/// Reads type, change and entities from the column `first` on.
pub(crate) fn head(row: &Row<'_>, first: usize) -> Result<EventHead> {
    let (kind, change, entities): (String, Option<String>, String) =
        (row.get(first)?, row.get(first + 1)?, row.get(first + 2)?);
    EventHead::from_columns(&kind, change.as_deref(), &entities)
        .ok_or_else(|| crate::Error::corrupt("an event row is damaged"))
}
