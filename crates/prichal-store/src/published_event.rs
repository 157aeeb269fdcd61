//! The ids of published events. A repeated id makes no second event.
//!
//! The rows are as durable as the events, and need no quota of their own: each comes with an event, whose bytes count.

use std::collections::{HashMap, HashSet};

use prichal_core::id::{EventId, WorkspaceId};

use crate::{
    Conn, Result, Row, Tx,
    insert::Insert,
    value::{Value, params},
};

/// An event that is to be published.
#[derive(Clone, Debug)]
pub struct Published {
    pub id: EventId,
    /// The SHA-256 of its content in hex.
    pub digest: String,
    pub version: i64,
}

static PUBLISHED: Insert = Insert::with_tail(
    "published_event",
    &["workspace", "id", "digest", "version"],
    " ON CONFLICT DO NOTHING RETURNING id",
);

/// The largest number of rows in one statement.
const MAX_ROWS: usize = 256;

/// Stores ids that differ from each other, and returns those that were stored before, as they were. Another node that
/// stores one of them at the same time is waited for.
pub fn insert(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    events: &[Published],
) -> Result<HashMap<EventId, Published>> {
    // In the order of their ids, so that two nodes with the same ids cannot deadlock.
    let mut events: Vec<&Published> = events.iter().collect();
    events.sort_unstable_by_key(|event| event.id.0);
    let (mut rows, mut known) = (events.as_slice(), HashMap::new());
    while !rows.is_empty() {
        let (now, rest) = rows.split_at(1 << rows.len().min(MAX_ROWS).ilog2());
        rows = rest;
        let row = |event: &&Published| {
            params![workspace, event.id, event.digest.clone(), event.version].to_vec()
        };
        let values: Vec<Value<'static>> = now.iter().flat_map(row).collect();
        let new = tx.change(PUBLISHED.text(now.len()), &values, |row| row.uuid(0))?;
        if new.len() == now.len() {
            continue;
        }
        let new: HashSet<_> = new.into_iter().collect();
        for event in now.iter().filter(|event| !new.contains(&event.id.0)) {
            let found = find(tx.conn()?, workspace, event.id)?;
            known.extend(found.map(|found| (found.id, found)));
        }
    }
    Ok(known)
}

pub fn find(conn: &mut Conn, workspace: WorkspaceId, id: EventId) -> Result<Option<Published>> {
    let sql = "SELECT id, digest, version FROM published_event WHERE workspace = $1 AND id = $2";
    conn.query_one(sql, params![workspace, id], read)
}

fn read(row: &Row<'_>) -> Result<Published> {
    Ok(Published {
        id: EventId(row.uuid(0)?),
        digest: row.get(1)?,
        version: row.get(2)?,
    })
}
