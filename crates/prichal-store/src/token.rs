//! Workspace tokens. Only their hashes are stored.

use prichal_core::{
    id::{TokenId, UserId, WorkspaceId},
    time::Timestamp,
};

use crate::{Conn, Error, Result, Row, Tx, value::params};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Admin,
    Member,
}

impl Role {
    pub const ALL: [Self; 2] = [Self::Admin, Self::Member];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
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
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

impl Token {
    /// True unless the token has expired.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| end > now)
    }
}

const COLUMNS: &str = "id, workspace, name, role, user_id, expires_at, created_at";

/// Adds a token under the SHA-256 of its text, in hex.
pub fn insert(tx: &mut Tx<'_>, token: &Token, hash: &str) -> Result<()> {
    let sql =
        format!("INSERT INTO token ({COLUMNS}, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
    let Token {
        id,
        workspace,
        name,
        role,
        user,
        expires_at,
        created_at,
    } = token;
    tx.note_object("token", id.0);
    tx.run(
        &sql,
        params![
            *id,
            *workspace,
            name,
            role.name(),
            *user,
            *expires_at,
            *created_at,
            hash
        ],
    )?;
    Ok(())
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

/// Lists a page of a workspace's tokens in the order of creation, with their total number.
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    offset: i64,
    limit: i64,
) -> Result<(i64, Vec<Token>)> {
    let count = conn.query_one(
        "SELECT count(*) FROM token WHERE workspace = $1 AND deleted_at IS NULL",
        params![workspace],
        |row| row.get(0),
    )?;
    let sql = format!(
        "SELECT {COLUMNS} FROM token WHERE workspace = $1 AND deleted_at IS NULL ORDER BY id LIMIT $2 OFFSET $3"
    );
    Ok((
        count.unwrap_or(0),
        conn.query(&sql, params![workspace, limit, offset], read)?,
    ))
}

/// Revokes a token. Returns its hash even if it was revoked before. None if the token never existed.
pub fn delete(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: TokenId,
    now: Timestamp,
) -> Result<Option<String>> {
    let hash = "SELECT hash FROM token WHERE workspace = $1 AND id = $2";
    let hash = tx
        .conn()?
        .query_one(hash, params![workspace, id], |row| row.get(0))?;
    let sql =
        "UPDATE token SET deleted_at = $3 WHERE workspace = $1 AND id = $2 AND deleted_at IS NULL";
    tx.run(sql, params![workspace, id, now])?;
    Ok(hash)
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
    Ok(Token {
        id: TokenId(row.uuid(0)?),
        workspace: WorkspaceId(row.uuid(1)?),
        name: row.get(2)?,
        role: Role::parse(&role).ok_or_else(|| Error::corrupt("a token's role is invalid"))?,
        user: row.maybe_uuid(4)?.map(UserId),
        expires_at: row.get::<Option<i64>>(5)?.map(Timestamp::from_micros),
        created_at: row.time(6)?,
    })
}
