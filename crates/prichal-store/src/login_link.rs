//! One-time links to sign in at the console. Their secrets are stored as hashes only.

use prichal_core::{
    id::{IntegrationId, UserId, WorkspaceId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    Conn, Error, Result, Row, Tx,
    token::{Role, ids_text, read_ids},
    value::params,
};

/// The meaning of a link.
#[derive(Clone, Debug)]
pub struct LoginLink {
    /// `None` for the server's operator.
    pub workspace: Option<WorkspaceId>,
    /// The name of the session for people.
    pub name: String,
    pub role: Role,
    pub user: Option<UserId>,
    pub integrations: Vec<IntegrationId>,
    /// The name of the token that made it among credentials.
    pub maker: String,
    /// The node whose admin token that was.
    pub node: Option<Uuid>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub used_at: Option<Timestamp>,
}

const COLUMNS: &str =
    "workspace, name, role, user_id, integrations, maker, node, created_at, expires_at, used_at";

/// The id of a link in the audit log: a part of the hash, which tells nothing of the secret.
pub fn id(hash: &str) -> Uuid {
    let found = hash.get(..32).and_then(|part| Uuid::try_parse(part).ok());
    found.unwrap_or_default()
}

/// Adds a link. The newest `most - 1` of its maker's earlier links stay.
pub fn insert(tx: &mut Tx<'_>, link: &LoginLink, hash: &str, most: i64) -> Result<()> {
    let LoginLink {
        workspace,
        name,
        role,
        user,
        integrations,
        maker,
        node,
        created_at,
        expires_at,
        used_at: _,
    } = link;
    tx.note_object("loginLink", id(hash));
    tx.execute(
        "DELETE FROM login_link WHERE maker = $1 AND hash NOT IN
           (SELECT hash FROM login_link WHERE maker = $1 ORDER BY expires_at DESC, hash LIMIT $2)",
        params![maker, most - 1],
    )?;
    tx.run(
        "INSERT INTO login_link (hash, workspace, name, role, user_id, integrations, maker, node, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        params![
            hash,
            *workspace,
            name,
            role.name(),
            *user,
            ids_text(integrations),
            maker,
            *node,
            *created_at,
            *expires_at
        ],
    )
}

/// Finds a link, also one that was used or has expired.
pub fn find(conn: &mut Conn, hash: &str) -> Result<Option<LoginLink>> {
    let sql = format!("SELECT {COLUMNS} FROM login_link WHERE hash = $1");
    conn.query_one(&sql, params![hash], read)
}

/// Uses a link up. Returns true once, if the link is valid at `now`.
pub fn redeem(tx: &mut Tx<'_>, hash: &str, now: Timestamp) -> Result<bool> {
    tx.note_object("loginLink", id(hash));
    tx.changes_one(
        "UPDATE login_link SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2",
        params![hash, now],
    )
}

/// Deletes links that expired before `before`, at most `limit`.
pub fn forget(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM login_link WHERE hash IN (SELECT hash FROM login_link WHERE expires_at < $1 LIMIT $2)",
        params![before, limit],
    )
}

fn read(row: &Row<'_>) -> Result<LoginLink> {
    let role: String = row.get(2)?;
    let integrations: Option<String> = row.get(4)?;
    Ok(LoginLink {
        workspace: row.maybe_uuid(0)?.map(WorkspaceId),
        name: row.get(1)?,
        role: Role::parse(&role).ok_or_else(|| Error::corrupt("a link's role is invalid"))?,
        user: row.maybe_uuid(3)?.map(UserId),
        integrations: read_ids(integrations.as_deref())?,
        maker: row.get(5)?,
        node: row.maybe_uuid(6)?,
        created_at: row.time(7)?,
        expires_at: row.time(8)?,
        used_at: row.get::<Option<i64>>(9)?.map(Timestamp::from_micros),
    })
}
