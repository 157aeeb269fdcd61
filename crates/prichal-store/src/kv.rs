//! Key-value storage of channels' scripts. Values are JSON.

use prichal_core::id::{EntityId, WorkspaceId};

use crate::{Conn, Result, Tx, usage, value::params};

pub fn find(
    conn: &mut Conn,
    workspace: WorkspaceId,
    channel: EntityId,
    key: &str,
) -> Result<Option<String>> {
    conn.query_one(
        "SELECT value FROM kv WHERE workspace = $1 AND channel = $2 AND key = $3",
        params![workspace, channel, key],
        |row| row.get(0),
    )
}

const ONE: &str = "workspace = $1 AND channel = $2 AND key = $3";

/// Stores a value. Returns true if its key had no value before.
pub fn put(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    channel: EntityId,
    key: &str,
    value: &str,
) -> Result<bool> {
    let row = params![workspace, channel, key];
    usage::change(tx, &usage::SCRIPT_VALUES, ONE, row, |tx| {
        let values = params![workspace, channel, key, value];
        let sql = format!("UPDATE kv SET value = $4 WHERE {ONE}");
        if tx.execute(&sql, values)? == 1 {
            return Ok(false);
        }
        tx.run(
            "INSERT INTO kv (workspace, channel, key, value) VALUES ($1, $2, $3, $4)
             ON CONFLICT (workspace, channel, key) DO UPDATE SET value = excluded.value",
            values,
        )?;
        Ok(true)
    })
}

/// Counts a channel's values.
pub fn count(conn: &mut Conn, workspace: WorkspaceId, channel: EntityId) -> Result<i64> {
    let sql = "SELECT count(*) FROM kv WHERE workspace = $1 AND channel = $2";
    let found = conn.query_one(sql, params![workspace, channel], |row| row.get(0))?;
    Ok(found.unwrap_or(0))
}

pub fn remove(tx: &mut Tx<'_>, workspace: WorkspaceId, channel: EntityId, key: &str) -> Result<()> {
    let row = params![workspace, channel, key];
    usage::remove(tx, &usage::SCRIPT_VALUES, ONE, row).map(drop)
}

/// Removes at most `limit` of a channel's values. Returns the number of removed values.
pub fn remove_some(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    channel: EntityId,
    limit: i64,
) -> Result<u64> {
    usage::remove(
        tx,
        &usage::SCRIPT_VALUES,
        "workspace = $1 AND channel = $2 AND key IN (SELECT key FROM kv WHERE workspace = $1 AND channel = $2 LIMIT $3)",
        params![workspace, channel, limit],
    )
}
