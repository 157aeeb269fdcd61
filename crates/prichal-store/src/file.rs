//! Files: the blob of each file id. A temporary file expires; binding gives its blob a permanent id.

use prichal_core::{
    id::{EntityId, FileId, WorkspaceId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{Conn, Result, Row, Tx, document_blob, usage, value::params};

#[derive(Clone, Debug)]
pub struct File {
    pub id: FileId,
    pub workspace: WorkspaceId,
    /// The id of the blob, which several file ids may share.
    pub blob: Uuid,
    pub name: String,
    pub content_type: String,
    /// In bytes.
    pub size: i64,
    pub created_at: Timestamp,
    /// The time at which a temporary file expires. None for a permanent file.
    pub expires_at: Option<Timestamp>,
    /// The permanent id that a temporary file was bound to.
    pub bound_to: Option<FileId>,
    /// The call whose recording the file is.
    pub communication: Option<EntityId>,
}

const COLUMNS: &str = "id, workspace, blob, name, content_type, size, created_at, expires_at, bound_to, communication";

pub fn insert(tx: &mut Tx<'_>, file: &File) -> Result<()> {
    let sql =
        format!("INSERT INTO file ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
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
        communication,
    } = file;
    usage::add_blob(tx, *workspace, *blob, *size)?;
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
            *bound_to,
            *communication
        ],
    )?;
    usage::add(tx, *workspace, &[name, content_type]);
    Ok(())
}

/// Finds a file that has not expired at `now`.
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

/// Returns the permanent file of `id`: the file itself, the one it was bound to before, or a new one. None if the
/// file does not exist or has expired. A new one is the recording of the call, if there is one.
///
/// The row of a bound temporary file is kept for two days, so that a connector that repeats a temporary id gets the
/// same permanent file.
pub fn bind(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: FileId,
    communication: Option<EntityId>,
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
        communication,
        ..file
    };
    insert(tx, &permanent)?;
    tx.run(
        "UPDATE file SET bound_to = $3, communication = $4 WHERE workspace = $1 AND id = $2",
        params![workspace, id, permanent.id, communication],
    )?;
    Ok(Some(permanent))
}

/// Lists unbound temporary files that expired before `now`, at most `limit`.
pub fn list_ended(conn: &mut Conn, now: Timestamp, limit: i64) -> Result<Vec<File>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM file WHERE expires_at <= $1 AND bound_to IS NULL ORDER BY expires_at LIMIT $2"
    );
    conn.query(&sql, params![now, limit], read)
}

/// Deletes the row of an expired file. Returns true if no row refers to its blob any more.
pub fn delete(tx: &mut Tx<'_>, file: &File) -> Result<bool> {
    let removed = usage::remove(
        tx,
        &usage::FILES,
        "workspace = $1 AND id = $2 AND bound_to IS NULL AND expires_at IS NOT NULL",
        params![file.workspace, file.id],
    )?;
    usage::remove_blob(tx, file.workspace, file.blob, file.size, removed == 1)
}

/// Deletes bound temporary files that expired before `before`, at most `limit`.
pub fn forget_bound(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    usage::remove(
        tx,
        &usage::FILES,
        "(workspace, id) IN (SELECT workspace, id FROM file WHERE expires_at <= $1 AND bound_to IS NOT NULL LIMIT $2)",
        params![before, limit],
    )
}

/// Tells if any row refers to this blob: a file or a blob of a document.
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
        communication: row.maybe_uuid(9)?.map(EntityId),
    })
}
