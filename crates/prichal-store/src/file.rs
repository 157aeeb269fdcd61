//! Files: which blob an id stands for. A temporary file ends; binding gives its blob a permanent id.

use prichal_core::{
    id::{FileId, WorkspaceId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{Conn, Result, Row, Tx, document_blob, usage, value::params};

#[derive(Clone, Debug)]
pub struct File {
    pub id: FileId,
    pub workspace: WorkspaceId,
    /// The blob's own name; several ids may share one.
    pub blob: Uuid,
    pub name: String,
    pub content_type: String,
    /// In bytes.
    pub size: i64,
    pub created_at: Timestamp,
    /// When a temporary file ends; a permanent one has none.
    pub expires_at: Option<Timestamp>,
    /// The permanent id that a temporary file was given.
    pub bound_to: Option<FileId>,
}

const COLUMNS: &str =
    "id, workspace, blob, name, content_type, size, created_at, expires_at, bound_to";

pub fn insert(tx: &mut Tx<'_>, file: &File) -> Result<()> {
    let sql = format!("INSERT INTO file ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)");
    let File {
        id,
        workspace,
        blob,
        name,
        content_type,
        size,
        created_at,
        expires_at,
        bound_to,
    } = file;
    usage::take_blob(tx, *workspace, *blob, *size)?;
    tx.run(
        &sql,
        params![
            *id,
            *workspace,
            *blob,
            name,
            content_type,
            *size,
            *created_at,
            *expires_at,
            *bound_to
        ],
    )?;
    Ok(())
}

/// A file that has not ended at `now`.
pub fn find(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: FileId,
    now: Timestamp,
) -> Result<Option<File>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM file WHERE workspace = $1 AND id = $2 AND (expires_at IS NULL OR expires_at > $3)"
    );
    conn.query_one(&sql, params![workspace, id, now], read)
}

/// The permanent file of `id`: itself, the one it was bound to before, or a new one. Nothing when
/// there is no such file, or it has ended.
///
/// A row outlives its time by two days, so that a connector that sends a temporary id again gets the
/// same permanent file (`docs/contracts/kontur.md §6.4` rule 9).
pub fn bind(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: FileId,
    now: Timestamp,
) -> Result<Option<File>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM file WHERE workspace = $1 AND id = $2 /*postgres FOR UPDATE*/"
    );
    let Some(file) = tx.conn()?.query_one(&sql, params![workspace, id], read)? else {
        return Ok(None);
    };
    if file.expires_at.is_none() {
        return Ok(Some(file));
    }
    if let Some(bound) = file.bound_to {
        return find(tx.conn()?, workspace, bound, now);
    }
    if file.expires_at <= Some(now) {
        return Ok(None);
    }
    let permanent = File {
        id: FileId::generate(now),
        created_at: now,
        expires_at: None,
        bound_to: None,
        ..file
    };
    insert(tx, &permanent)?;
    tx.run(
        "UPDATE file SET bound_to = $3 WHERE workspace = $1 AND id = $2",
        params![workspace, id, permanent.id],
    )?;
    Ok(Some(permanent))
}

/// Temporary files that ended before `now` and were never bound, at most `limit`.
pub fn list_ended(conn: &mut Conn, now: Timestamp, limit: i64) -> Result<Vec<File>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM file WHERE expires_at <= $1 AND bound_to IS NULL ORDER BY expires_at LIMIT $2"
    );
    conn.query(&sql, params![now, limit], read)
}

/// Removes the row of a file that has ended. Says whether nothing stands for its blob any more.
pub fn delete(tx: &mut Tx<'_>, file: &File) -> Result<bool> {
    let removed = tx.execute(
        "DELETE FROM file WHERE workspace = $1 AND id = $2 AND bound_to IS NULL AND expires_at IS NOT NULL",
        params![file.workspace, file.id],
    )?;
    usage::free_blob(tx, file.workspace, file.blob, file.size, removed == 1)
}

/// Removes the memory of bound temporary ids that ended before `before`, at most `limit`.
pub fn forget_bound(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM file WHERE (workspace, id) IN (SELECT workspace, id FROM file WHERE expires_at <= $1 AND bound_to IS NOT NULL LIMIT $2)",
        params![before, limit],
    )
}

/// Whether any id stands for this blob: that of a file, or one of the document exchange.
pub fn has_blob(conn: &mut Conn, workspace: WorkspaceId, blob: Uuid) -> Result<bool> {
    let sql = "SELECT 1 FROM file WHERE workspace = $1 AND blob = $2 LIMIT 1";
    let known = conn.query_one(sql, params![workspace, blob], |row| row.get::<i32>(0))?;
    Ok(known.is_some() || document_blob::has_contents(conn, workspace, blob)?)
}

fn read(row: &Row<'_>) -> Result<File> {
    Ok(File {
        id: FileId(row.uuid(0)?),
        workspace: WorkspaceId(row.uuid(1)?),
        blob: row.uuid(2)?,
        name: row.get(3)?,
        content_type: row.get(4)?,
        size: row.get(5)?,
        created_at: row.time(6)?,
        expires_at: row.get::<Option<i64>>(7)?.map(Timestamp::from_micros),
        bound_to: row.maybe_uuid(8)?.map(FileId),
    })
}
