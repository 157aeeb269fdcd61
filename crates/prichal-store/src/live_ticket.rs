//! Single-use tickets with which a browser opens a stream. Tickets and tokens are stored as hashes only.

use prichal_core::{id::WorkspaceId, time::Timestamp};

use crate::{Conn, Result, Tx, value::params};

/// The rights of a ticket.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The hash of the token that it was issued for.
    pub token: String,
    /// The topics of the workspace's stream. `None` for the stream of a user's calls.
    pub topics: Option<String>,
}

/// Adds a ticket of a token. The newest `max_tickets - 1` of the token's earlier tickets stay valid.
pub fn insert(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    hash: &str,
    ticket: &Ticket,
    expires_at: Timestamp,
    max_tickets: i64,
) -> Result<()> {
    let Ticket { token, topics } = ticket;
    tx.execute(
        "DELETE FROM live_ticket WHERE token = $1 AND hash NOT IN
         (SELECT hash FROM live_ticket WHERE token = $1 ORDER BY expires_at DESC, hash LIMIT $2)",
        params![token, max_tickets - 1],
    )?;
    tx.run(
        "INSERT INTO live_ticket (hash, workspace, token, expires_at, topics) VALUES ($1, $2, $3, $4, $5)",
        params![hash, workspace, token, expires_at, topics.as_deref()],
    )?;
    Ok(())
}

/// Uses a ticket up. Returns its rights, once, if the ticket is valid at `now`.
pub fn redeem(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    hash: &str,
    now: Timestamp,
) -> Result<Option<Ticket>> {
    let ticket = find(tx.conn()?, workspace, hash, now)?;
    let sql = "DELETE FROM live_ticket WHERE hash = $1 AND workspace = $2";
    let is_first = tx.changes_one(sql, params![hash, workspace])?;
    Ok(ticket.filter(|_| is_first))
}

fn find(
    conn: &mut Conn,
    workspace: WorkspaceId,
    hash: &str,
    now: Timestamp,
) -> Result<Option<Ticket>> {
    conn.query_one(
        "SELECT token, topics FROM live_ticket WHERE hash = $1 AND workspace = $2 AND expires_at > $3",
        params![hash, workspace, now],
        |row| {
            Ok(Ticket {
                token: row.get(0)?,
                topics: row.get(1)?,
            })
        },
    )
}

/// Deletes tickets that expired before `before`, at most `limit`.
pub fn forget(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM live_ticket WHERE hash IN (SELECT hash FROM live_ticket WHERE expires_at < $1 LIMIT $2)",
        params![before, limit],
    )
}
