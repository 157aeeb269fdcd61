//! Earlier versions of scripts: the sources that a change has replaced.

use prichal_core::{
    id::{EntityId, WorkspaceId},
    time::Timestamp,
};

use crate::{Conn, Result, Tx, usage, value::params};

/// The maximum number of earlier versions of a script.
pub const MAX_VERSIONS: i64 = 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptVersion {
    /// From 1 on, for each script.
    pub number: i64,
    /// The length of the source in bytes.
    pub size: i64,
    pub replaced_at: Timestamp,
}

/// Adds the source that a change replaces, and removes the oldest version if there are too many. The script is locked
/// by the transaction.
pub fn insert(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    script: EntityId,
    source: &str,
    replaced_at: Timestamp,
) -> Result<()> {
    let sql =
        "SELECT coalesce(max(number), 0) FROM script_version WHERE workspace = $1 AND script = $2";
    let last = tx
        .conn()?
        .query_one(sql, params![workspace, script], |row| row.get::<i64>(0))?;
    let number = last.unwrap_or(0) + 1;
    tx.run(
        "INSERT INTO script_version (workspace, script, number, source, replaced_at) VALUES ($1, $2, $3, $4, $5)",
        params![workspace, script, number, source, replaced_at],
    )?;
    usage::add(tx, workspace, &[source]);
    usage::remove(
        tx,
        &usage::SCRIPT_VERSIONS,
        "workspace = $1 AND script = $2 AND number <= $3",
        params![workspace, script, number - MAX_VERSIONS],
    )?;
    Ok(())
}

/// Removes the versions of a script that is deleted.
pub fn remove(tx: &mut Tx<'_>, workspace: WorkspaceId, script: EntityId) -> Result<()> {
    usage::remove(
        tx,
        &usage::SCRIPT_VERSIONS,
        "workspace = $1 AND script = $2",
        params![workspace, script],
    )?;
    Ok(())
}

/// Lists the versions of a script, newest first.
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    script: EntityId,
) -> Result<Vec<ScriptVersion>> {
    conn.query(
        "SELECT number, CAST(octet_length(source) AS BIGINT), replaced_at FROM script_version
         WHERE workspace = $1 AND script = $2 ORDER BY number DESC",
        params![workspace, script],
        |row| {
            Ok(ScriptVersion {
                number: row.get(0)?,
                size: row.get(1)?,
                replaced_at: row.time(2)?,
            })
        },
    )
}

/// Finds a version and its source.
pub fn find(
    conn: &mut Conn,
    workspace: WorkspaceId,
    script: EntityId,
    number: i64,
) -> Result<Option<(ScriptVersion, String)>> {
    conn.query_one(
        "SELECT number, CAST(octet_length(source) AS BIGINT), replaced_at, source FROM script_version
         WHERE workspace = $1 AND script = $2 AND number = $3",
        params![workspace, script, number],
        |row| {
            let version = ScriptVersion {
                number: row.get(0)?,
                size: row.get(1)?,
                replaced_at: row.time(2)?,
            };
            Ok((version, row.get(3)?))
        },
    )
}
