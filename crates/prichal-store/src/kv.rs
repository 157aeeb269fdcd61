//! Key-value storage of channels' scripts. Values are JSON.

use prichal_core::id::{EntityId, WorkspaceId};

use crate::{Conn, Result, Tx, value::params};

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

/// Sets a value. Returns false if the channel has `max_keys` other keys already.
pub fn put(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    channel: EntityId,
    key: &str,
    value: &str,
    max_keys: i64,
) -> Result<bool> {
    let known = tx.execute(
        "UPDATE kv SET value = $4 WHERE workspace = $1 AND channel = $2 AND key = $3",
        params![workspace, channel, key, value],
    )?;
    if known == 1 {
        return Ok(true);
    }
    let count = tx.conn()?.query_one(
        "SELECT count(*) FROM kv WHERE workspace = $1 AND channel = $2",
        params![workspace, channel],
        |row| row.get::<i64>(0),
    )?;
    if count.unwrap_or(0) >= max_keys {
        return Ok(false);
    }
    tx.run(
        "INSERT INTO kv (workspace, channel, key, value) VALUES ($1, $2, $3, $4)
         ON CONFLICT (workspace, channel, key) DO UPDATE SET value = excluded.value",
        params![workspace, channel, key, value],
    )?;
    Ok(true)
}

pub fn remove(tx: &mut Tx<'_>, workspace: WorkspaceId, channel: EntityId, key: &str) -> Result<()> {
    tx.run(
        "DELETE FROM kv WHERE workspace = $1 AND channel = $2 AND key = $3",
        params![workspace, channel, key],
    )?;
    Ok(())
}

/// Deletes all values of a channel.
pub fn remove_all(tx: &mut Tx<'_>, workspace: WorkspaceId, channel: EntityId) -> Result<()> {
    tx.run(
        "DELETE FROM kv WHERE workspace = $1 AND channel = $2",
        params![workspace, channel],
    )?;
    Ok(())
}
