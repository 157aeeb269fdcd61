//! Settings of a workspace.

use prichal_core::{id::WorkspaceId, time::Timestamp};

use crate::{Conn, Result, Tx, value::params};

/// Finds the workspace's settings, a JSON object.
pub fn find(conn: &mut Conn, workspace: WorkspaceId) -> Result<Option<String>> {
    conn.query_one(
        "SELECT body FROM setting WHERE workspace = $1",
        params![workspace],
        |row| row.get(0),
    )
}

/// Finds the workspace's settings and locks them until the end of the transaction.
pub fn find_for_update(tx: &mut Tx<'_>, workspace: WorkspaceId) -> Result<Option<String>> {
    let sql = "SELECT body FROM setting WHERE workspace = $1 /*postgres FOR UPDATE*/";
    tx.conn()?
        .query_one(sql, params![workspace], |row| row.get(0))
}

pub fn set(tx: &mut Tx<'_>, workspace: WorkspaceId, body: &str, now: Timestamp) -> Result<()> {
    tx.run(
        "INSERT INTO setting (workspace, body, updated_at) VALUES ($1, $2, $3)
         ON CONFLICT (workspace) DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at",
        params![workspace, body, now],
    )?;
    Ok(())
}
