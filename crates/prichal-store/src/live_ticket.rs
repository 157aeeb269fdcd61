//! Tickets that let a browser follow the calls of a user once. Only hashes are here, of tickets and tokens.

use prichal_core::{id::WorkspaceId, time::Timestamp};

use crate::{Conn, Result, Tx, value::params};

/// Adds a ticket of a token. Of its earlier ones the newest `most - 1` stay.
pub fn insert(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    hash: &str,
    token: &str,
    expires_at: Timestamp,
    most: i64,
) -> Result<()> {
    tx.execute(
        "DELETE FROM live_ticket WHERE token = $1 AND hash NOT IN
         (SELECT hash FROM live_ticket WHERE token = $1 ORDER BY expires_at DESC, hash LIMIT $2)",
        params![token, most - 1],
    )?;
    tx.run(
        "INSERT INTO live_ticket (hash, workspace, token, expires_at) VALUES ($1, $2, $3, $4)",
        params![hash, workspace, token, expires_at],
    )?;
    Ok(())
}

/// Uses a ticket up. Gives the hash of its token, once, if the ticket is good at `now`.
pub fn redeem(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    hash: &str,
    now: Timestamp,
) -> Result<Option<String>> {
    let token = find(tx.conn()?, workspace, hash, now)?;
    let sql = "DELETE FROM live_ticket WHERE hash = $1 AND workspace = $2";
    let is_first = tx.changes_one(sql, params![hash, workspace])?;
    Ok(token.filter(|_| is_first))
}

fn find(
    conn: &mut Conn,
    workspace: WorkspaceId,
    hash: &str,
    now: Timestamp,
) -> Result<Option<String>> {
    conn.query_one(
        "SELECT token FROM live_ticket WHERE hash = $1 AND workspace = $2 AND expires_at > $3",
        params![hash, workspace, now],
        |row| row.get(0),
    )
}

/// Forgets tickets that ended before `before`, at most `limit`.
pub fn forget(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM live_ticket WHERE hash IN (SELECT hash FROM live_ticket WHERE expires_at < $1 LIMIT $2)",
        params![before, limit],
    )
}
