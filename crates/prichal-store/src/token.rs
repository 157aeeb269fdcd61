//! Workspace tokens. Only their hashes are stored.

use std::time::Duration;

use prichal_core::{
    id::{IntegrationId, TokenId, UserId, WorkspaceId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{Conn, Error, Result, Row, Tx, session, value::params};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Admin,
    Member,
    /// Reads what an administrator reads, except for secrets, and changes nothing.
    Viewer,
    /// Acts for the integrations that the token names.
    Integrator,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Admin, Self::Member, Self::Viewer, Self::Integrator];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Viewer => "viewer",
            Self::Integrator => "integrator",
        }
    }

    /// The value of the column `role`, which has a check for the first two, and of the column `narrowed`.
    const fn columns(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Admin | Self::Member => (self.name(), None),
            Self::Viewer | Self::Integrator => (Self::Member.name(), Some(self.name())),
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == text)
    }
}

#[derive(Clone, Debug)]
pub struct Token {
    pub id: TokenId,
    pub workspace: WorkspaceId,
    pub name: String,
    pub role: Role,
    pub user: Option<UserId>,
    /// The integrations that an integrator acts for.
    pub integrations: Vec<IntegrationId>,
    /// The session at the console that the token stands for. Nobody can send such a token.
    pub session: Option<Uuid>,
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
    /// The last use, to the minute, with the address of its sender.
    pub used_at: Option<Timestamp>,
    pub used_from: Option<String>,
}

impl Token {
    /// True unless the token has expired.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| end > now)
    }
}

const COLUMNS: &str = "id, workspace, name, coalesce(narrowed, role), user_id, integrations, session, expires_at, created_at, used_at, used_from";

/// Adds a token under the SHA-256 of its text, in hex. The token of a session has [`session_hash`] instead.
pub fn insert(tx: &mut Tx<'_>, token: &Token, hash: &str) -> Result<()> {
    insert_with(tx, token, hash, "").map(drop)
}

/// Adds the token of a session in a workspace, unless it has one.
pub fn insert_of_session(tx: &mut Tx<'_>, token: &Token, session: Uuid) -> Result<()> {
    let hash = session_hash(session, token.workspace);
    insert_with(tx, token, &hash, " ON CONFLICT (hash) DO NOTHING").map(drop)
}

fn insert_with(tx: &mut Tx<'_>, token: &Token, hash: &str, conflict: &str) -> Result<u64> {
    let sql = format!(
        "INSERT INTO token (id, workspace, name, role, narrowed, user_id, integrations, session, expires_at, created_at, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11){conflict}"
    );
    let Token {
        id,
        workspace,
        name,
        role,
        user,
        integrations,
        session,
        expires_at,
        created_at,
        used_at: _,
        used_from: _,
    } = token;
    tx.note_object("token", id.0);
    let (role, narrowed) = role.columns();
    tx.execute(
        &sql,
        params![
            *id,
            *workspace,
            name,
            role,
            narrowed,
            *user,
            ids_text(integrations),
            *session,
            *expires_at,
            *created_at,
            hash
        ],
    )
}

/// The key of a session's token in a workspace. No text has it as its SHA-256, so nobody can send such a token.
pub fn session_hash(session: Uuid, workspace: WorkspaceId) -> String {
    format!("session:{session}:{workspace}")
}

/// The ids of integrations as a column: separated by commas, null if there are none.
pub(crate) fn ids_text(ids: &[IntegrationId]) -> Option<String> {
    let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

pub(crate) fn read_ids(text: Option<&str>) -> Result<Vec<IntegrationId>> {
    let ids = text.into_iter().flat_map(|text| text.split(','));
    ids.map(|id| IntegrationId::parse(id).ok_or_else(|| Error::corrupt("an id is invalid")))
        .collect()
}

pub fn find_by_hash(conn: &mut Conn, hash: &str) -> Result<Option<Token>> {
    let sql = format!("SELECT {COLUMNS} FROM token WHERE hash = $1 AND deleted_at IS NULL");
    conn.query_one(&sql, params![hash], read)
}

/// A token that was not revoked.
pub fn find(conn: &mut Conn, workspace: WorkspaceId, id: TokenId) -> Result<Option<Token>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM token WHERE workspace = $1 AND id = $2 AND deleted_at IS NULL"
    );
    conn.query_one(&sql, params![workspace, id], read)
}

/// A token that was not revoked, locked until the end of the transaction.
pub fn find_for_update(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: TokenId,
) -> Result<Option<Token>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM token WHERE workspace = $1 AND id = $2 AND deleted_at IS NULL /*postgres FOR UPDATE*/"
    );
    tx.conn()?.query_one(&sql, params![workspace, id], read)
}

/// Lists a page of a workspace's tokens in the order of creation, with their total number. Those of sessions are not
/// among them.
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    offset: i64,
    limit: i64,
) -> Result<(i64, Vec<Token>)> {
    let count = conn.query_one(
        "SELECT count(*) FROM token WHERE workspace = $1 AND session IS NULL AND deleted_at IS NULL",
        params![workspace],
        |row| row.get(0),
    )?;
    let sql = format!(
        "SELECT {COLUMNS} FROM token WHERE workspace = $1 AND session IS NULL AND deleted_at IS NULL ORDER BY id LIMIT $2 OFFSET $3"
    );
    Ok((
        count.unwrap_or(0),
        conn.query(&sql, params![workspace, limit, offset], read)?,
    ))
}

/// Revokes a token, and ends the sessions that began with it. Returns false if the token never existed.
pub fn delete(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: TokenId,
    now: Timestamp,
) -> Result<bool> {
    let sql = "UPDATE token SET deleted_at = coalesce(deleted_at, $3) WHERE workspace = $1 AND id = $2 AND session IS NULL";
    let is_known = tx.execute(sql, params![workspace, id, now])? > 0;
    session::end_of(tx, &identity(id), now)?;
    Ok(is_known)
}

/// The name of a token among credentials.
pub fn identity(id: TokenId) -> String {
    format!("token:{id}")
}

/// A use of a token.
#[derive(Clone, Debug)]
pub struct Use {
    pub workspace: WorkspaceId,
    pub token: TokenId,
    pub at: Timestamp,
    pub from: String,
}

/// Notes a use of a token, unless one within `interval` before is noted.
pub fn note_use(tx: &mut Tx<'_>, one: &Use, interval: Duration) -> Result<()> {
    let Use {
        workspace,
        token,
        at,
        from,
    } = one;
    tx.run(
        "UPDATE token SET used_at = $3, used_from = $4 WHERE workspace = $1 AND id = $2
           AND (used_at IS NULL OR used_at <= $5)",
        params![*workspace, *token, *at, from, *at - interval],
    )
}

/// Revokes all tokens of a user.
pub fn delete_of(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    user: UserId,
    now: Timestamp,
) -> Result<()> {
    let sql = "UPDATE token SET deleted_at = $3 WHERE workspace = $1 AND user_id = $2 AND deleted_at IS NULL";
    tx.run(sql, params![workspace, user, now])?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Token> {
    let role: String = row.get(3)?;
    let integrations: Option<String> = row.get(5)?;
    Ok(Token {
        id: TokenId(row.uuid(0)?),
        workspace: WorkspaceId(row.uuid(1)?),
        name: row.get(2)?,
        role: Role::parse(&role).ok_or_else(|| Error::corrupt("a token's role is invalid"))?,
        user: row.maybe_uuid(4)?.map(UserId),
        integrations: read_ids(integrations.as_deref())?,
        session: row.maybe_uuid(6)?,
        expires_at: row.get::<Option<i64>>(7)?.map(Timestamp::from_micros),
        created_at: row.time(8)?,
        used_at: row.get::<Option<i64>>(9)?.map(Timestamp::from_micros),
        used_from: row.get(10)?,
    })
}
