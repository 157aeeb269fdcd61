//! Blobs of documents: originals, signatures, zips and archives.

use prichal_core::{id::WorkspaceId, time::Timestamp};
use uuid::Uuid;

use crate::{Conn, Result, Row, Tx, usage, value::params};

/// The role of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Content,
    Signature,
    /// The originals of a document, as they are signed.
    Zip,
    Archive,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Signature => "signature",
            Self::Zip => "zip",
            Self::Archive => "archive",
        }
    }

    fn from_name(name: &str) -> Self {
        [Self::Content, Self::Signature, Self::Zip]
            .into_iter()
            .find(|kind| kind.name() == name)
            .unwrap_or(Self::Archive)
    }
}

#[derive(Clone, Debug)]
pub struct DocumentBlob {
    pub workspace: WorkspaceId,
    pub id: Uuid,
    pub kind: Kind,
    /// The id of the contents, which several rows may share.
    pub blob: Uuid,
    pub name: String,
    /// In bytes.
    pub size: i64,
    /// In hex.
    pub sha256: String,
    pub created_at: Timestamp,
    /// The time at which the blob is removed, unless something uses it.
    pub expires_at: Option<Timestamp>,
}

const COLUMNS: &str = "workspace, id, kind, blob, name, size, sha256, created_at, expires_at";

pub fn insert(tx: &mut Tx<'_>, row: &DocumentBlob) -> Result<()> {
    let sql = format!(
        "INSERT INTO document_blob ({COLUMNS}, uses) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0)"
    );
    usage::add_blob(tx, row.workspace, row.blob, row.size)?;
    tx.run(
        &sql,
        params![
            row.workspace,
            row.id,
            row.kind.name(),
            row.blob,
            &row.name,
            row.size,
            &row.sha256,
            row.created_at,
            row.expires_at
        ],
    )?;
    usage::add(tx, row.workspace, &[&row.name]);
    Ok(())
}

/// Finds a blob that has not expired.
pub fn find(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: Uuid,
    now: Timestamp,
) -> Result<Option<DocumentBlob>> {
    let sql = format!("SELECT {COLUMNS} FROM document_blob WHERE workspace = $1 AND id = $2");
    let found = conn.query_one(&sql, params![workspace, id], read)?;
    Ok(found.filter(|row| row.expires_at.is_none_or(|end| now < end)))
}

/// Finds a blob of a workspace with the same contents, and locks it until the end of the transaction.
pub fn find_same(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    sha256: &str,
    now: Timestamp,
) -> Result<Option<Uuid>> {
    let sql = "SELECT blob FROM document_blob WHERE workspace = $1 AND sha256 = $2 AND (expires_at IS NULL OR expires_at > $3)
        LIMIT 1 /*postgres FOR UPDATE*/";
    tx.conn()?
        .query_one(sql, params![workspace, sha256, now], |row| row.uuid(0))
}

/// Tells if any row has these contents.
pub fn has_contents(conn: &mut Conn, workspace: WorkspaceId, blob: Uuid) -> Result<bool> {
    let sql = "SELECT 1 FROM document_blob WHERE workspace = $1 AND blob = $2 LIMIT 1";
    Ok(conn
        .query_one(sql, params![workspace, blob], |row| row.get::<i32>(0))?
        .is_some())
}

/// Adds a user to a blob and keeps it from expiring. Returns None if the blob no longer exists.
pub fn keep(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: Uuid,
    now: Timestamp,
) -> Result<Option<DocumentBlob>> {
    let Some(found) = find(tx.conn()?, workspace, id, now)? else {
        return Ok(None);
    };
    let kept = tx.changes_one(
        "UPDATE document_blob SET uses = uses + 1, expires_at = NULL
         WHERE workspace = $1 AND id = $2 AND (expires_at IS NULL OR expires_at > $3)",
        params![workspace, id, now],
    )?;
    Ok(kept.then_some(found))
}

/// Removes a user from a blob. A blob without users expires at `end`, unless it is used again.
pub fn release(tx: &mut Tx<'_>, workspace: WorkspaceId, id: Uuid, end: Timestamp) -> Result<()> {
    tx.run(
        "UPDATE document_blob SET uses = uses - 1, expires_at = CASE WHEN uses = 1 THEN $3 ELSE expires_at END
         WHERE workspace = $1 AND id = $2",
        params![workspace, id, end],
    )?;
    Ok(())
}

/// Makes a blob expire at `at`, because nothing uses it any more.
pub fn end(tx: &mut Tx<'_>, workspace: WorkspaceId, id: Uuid, at: Timestamp) -> Result<()> {
    tx.run(
        "UPDATE document_blob SET expires_at = $3 WHERE workspace = $1 AND id = $2",
        params![workspace, id, at],
    )?;
    Ok(())
}

/// Lists blobs that expired before `now`, at most `limit`.
pub fn list_ended(conn: &mut Conn, now: Timestamp, limit: i64) -> Result<Vec<DocumentBlob>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM document_blob WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2"
    );
    conn.query(&sql, params![now, limit], read)
}

/// Deletes the row of an expired blob. Returns true if no row refers to its contents any more.
pub fn delete(tx: &mut Tx<'_>, row: &DocumentBlob, now: Timestamp) -> Result<bool> {
    let removed = usage::remove(
        tx,
        &usage::BLOBS,
        "workspace = $1 AND id = $2 AND expires_at <= $3",
        params![row.workspace, row.id, now],
    )?;
    usage::remove_blob(tx, row.workspace, row.blob, row.size, removed == 1)
}

fn read(row: &Row<'_>) -> Result<DocumentBlob> {
    let kind: String = row.get(2)?;
    Ok(DocumentBlob {
        workspace: WorkspaceId(row.uuid(0)?),
        id: row.uuid(1)?,
        kind: Kind::from_name(&kind),
        blob: row.uuid(3)?,
        name: row.get(4)?,
        size: row.get(5)?,
        sha256: row.get(6)?,
        created_at: row.time(7)?,
        expires_at: row.get::<Option<i64>>(8)?.map(Timestamp::from_micros),
    })
}
