//! The certificates of signers and of receivers, as they were last seen.

use prichal_core::{
    id::{UserId, WorkspaceId},
    time::Timestamp,
};

use crate::{Conn, Result, Row, Tx, usage, value::params};

/// The last certificate of a holder that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub workspace: WorkspaceId,
    /// `signer/<user>` or `receiver/<host>:<port>`.
    pub holder: String,
    /// The name of the signer or of the host.
    pub name: String,
    pub ends_at: Timestamp,
    pub seen_at: Timestamp,
}

const COLUMNS: &str = "workspace, holder, name, ends_at, seen_at";
const ONE: &str = "workspace = $1 AND holder = $2";
/// The maximum number of holders of a workspace. The newest ones of more are not kept.
const MAX_HOLDERS: i64 = 20_000;

/// The holder of a user's certificates.
pub fn signer_holder(user: UserId) -> String {
    format!("signer/{user}")
}

/// Notes a certificate that was seen. One that was seen later stays.
pub fn put(tx: &mut Tx<'_>, seen: &Certificate) -> Result<()> {
    let Certificate {
        workspace,
        holder,
        name,
        ends_at,
        seen_at,
    } = seen;
    let row = params![*workspace, holder];
    if find(tx.conn()?, *workspace, holder)?.is_none() {
        let sql = "SELECT count(*) FROM certificate WHERE workspace = $1";
        let count = tx
            .conn()?
            .query_one(sql, params![*workspace], |row| row.get(0))?;
        if count >= Some(MAX_HOLDERS) {
            return Ok(());
        }
    }
    usage::change(tx, &usage::CERTIFICATES, ONE, row, |tx| {
        tx.run(
            "INSERT INTO certificate AS c (workspace, holder, name, ends_at, seen_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (workspace, holder) DO UPDATE SET name = excluded.name, ends_at = excluded.ends_at, seen_at = excluded.seen_at
             WHERE c.seen_at <= excluded.seen_at",
            params![*workspace, holder, name, *ends_at, *seen_at],
        )
    })
}

pub fn find(conn: &mut Conn, workspace: WorkspaceId, holder: &str) -> Result<Option<Certificate>> {
    let sql = format!("SELECT {COLUMNS} FROM certificate WHERE {ONE}");
    conn.query_one(&sql, params![workspace, holder], read)
}

/// Lists certificates that end before `before`, by workspace and holder after `after`.
pub fn list_ending(
    conn: &mut Conn,
    before: Timestamp,
    after: (WorkspaceId, &str),
    limit: i64,
) -> Result<Vec<Certificate>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM certificate WHERE ends_at < $1 AND (workspace, holder) > ($2, $3)
         ORDER BY workspace, holder LIMIT $4"
    );
    conn.query(&sql, params![before, after.0, after.1, limit], read)
}

/// Deletes what ended or was last seen before `before`, at most `limit`. A signer may sign seldom. Returns the number.
pub fn forget(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    let past = "(workspace, holder) IN (
        SELECT workspace, holder FROM certificate
        WHERE ends_at < $1 OR holder LIKE 'receiver/%' AND seen_at < $1 LIMIT $2)";
    usage::remove(tx, &usage::CERTIFICATES, past, params![before, limit])
}

fn read(row: &Row<'_>) -> Result<Certificate> {
    Ok(Certificate {
        workspace: WorkspaceId(row.uuid(0)?),
        holder: row.get(1)?,
        name: row.get(2)?,
        ends_at: row.time(3)?,
        seen_at: row.time(4)?,
    })
}
