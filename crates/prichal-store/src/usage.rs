//! Storage usage and quotas of workspaces. The bytes are counted in the transactions that write them.

use std::collections::BTreeMap;

use prichal_core::id::WorkspaceId;
use uuid::Uuid;

use crate::{Conn, Result, Row, Tx, file, value::params};

/// A kind of counted bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The models of entities, deleted ones included.
    Entities,
    /// The contents of files, each counted once.
    Files,
    /// The events of the log.
    Events,
    /// The requests, logs and results of script runs.
    Runs,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Entities, Self::Files, Self::Events, Self::Runs];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Entities => "entities",
            Self::Files => "files",
            Self::Events => "events",
            Self::Runs => "runs",
        }
    }
}

/// A number of bytes of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes([i64; 4]);

impl Bytes {
    pub fn get(&self, kind: Kind) -> i64 {
        self.0[kind as usize]
    }

    fn add(&mut self, kind: Kind, bytes: i64) {
        self.0[kind as usize] += bytes;
    }
}

/// The storage usage of a workspace, and its own quotas.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub used: Bytes,
    quotas: [Option<i64>; 4],
}

impl Usage {
    /// The workspace's own quota; None if the server's quota applies.
    pub fn quota(&self, kind: Kind) -> Option<i64> {
        self.quotas[kind as usize]
    }
}

/// The changes of usage in a transaction.
#[derive(Default)]
pub(crate) struct Changes(BTreeMap<WorkspaceId, Bytes>);

impl Changes {
    pub(crate) fn add(&mut self, workspace: WorkspaceId, kind: Kind, bytes: i64) {
        if bytes != 0 {
            self.0.entry(workspace).or_default().add(kind, bytes);
        }
    }

    /// Writes the changes in the order of the workspaces' ids, so that two writers cannot deadlock.
    pub(crate) fn write(&self, conn: &mut Conn) -> Result<()> {
        for (workspace, Bytes([entities, files, events, runs])) in &self.0 {
            conn.run(
                "INSERT INTO usage (workspace, entities, files, events, runs) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (workspace) DO UPDATE SET entities = usage.entities + excluded.entities,
                   files = usage.files + excluded.files, events = usage.events + excluded.events, runs = usage.runs + excluded.runs",
                params![*workspace, *entities, *files, *events, *runs],
            )?;
        }
        Ok(())
    }
}

pub(crate) fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

/// Counts a blob whose row is about to be inserted, unless another row refers to it.
pub(crate) fn take_blob(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    blob: Uuid,
    size: i64,
) -> Result<()> {
    if !file::has_blob(tx.conn()?, workspace, blob)? {
        tx.use_bytes(workspace, Kind::Files, size);
    }
    Ok(())
}

/// Subtracts a blob whose row was just deleted, if it was the last one. Returns true if it was.
pub(crate) fn free_blob(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    blob: Uuid,
    size: i64,
    removed: bool,
) -> Result<bool> {
    let is_free = !file::has_blob(tx.conn()?, workspace, blob)?;
    if is_free && removed {
        tx.use_bytes(workspace, Kind::Files, -size);
    }
    Ok(is_free)
}

const COLUMNS: &str =
    "entities, files, events, runs, entities_quota, files_quota, events_quota, runs_quota";

/// Finds the storage usage of a workspace.
pub fn find(conn: &mut Conn, workspace: WorkspaceId) -> Result<Usage> {
    let sql = format!("SELECT {COLUMNS} FROM usage WHERE workspace = $1");
    let found = conn.query_one(&sql, params![workspace], |row| read(row, 0))?;
    Ok(found.unwrap_or_default())
}

/// Sets a workspace's own quotas. None selects the server's quota.
pub fn set_quotas(tx: &mut Tx<'_>, workspace: WorkspaceId, quotas: [Option<i64>; 4]) -> Result<()> {
    let [entities, files, events, runs] = quotas;
    tx.run(
        "INSERT INTO usage (workspace, entities, files, events, runs, entities_quota, files_quota, events_quota, runs_quota)
         VALUES ($1, 0, 0, 0, 0, $2, $3, $4, $5)
         ON CONFLICT (workspace) DO UPDATE SET entities_quota = excluded.entities_quota, files_quota = excluded.files_quota,
           events_quota = excluded.events_quota, runs_quota = excluded.runs_quota",
        params![workspace, entities, files, events, runs],
    )
}

/// Lists workspaces that have used `percent` of a quota or more, at most `limit`. `quotas` are the server's, in the
/// order of [`Kind::ALL`]; zero means no quota.
pub fn list_nearly_full(
    conn: &mut Conn,
    quotas: [i64; 4],
    percent: i64,
    limit: i64,
) -> Result<Vec<(WorkspaceId, Usage)>> {
    let [entities, files, events, runs] = quotas;
    let over = |kind: &str, n: usize| {
        format!(
            "(coalesce({kind}_quota, ${n}) > 0 AND {kind} >= coalesce({kind}_quota, ${n}) / 100 * $5)"
        )
    };
    let conditions: Vec<String> = Kind::ALL
        .iter()
        .zip(1..)
        .map(|(kind, n)| over(kind.name(), n))
        .collect();
    let sql = format!(
        "SELECT workspace, {COLUMNS} FROM usage WHERE {} ORDER BY workspace LIMIT $6",
        conditions.join(" OR ")
    );
    conn.query(
        &sql,
        params![entities, files, events, runs, percent, limit],
        |row| Ok((WorkspaceId(row.uuid(0)?), read(row, 1)?)),
    )
}

fn read(row: &Row<'_>, first: usize) -> Result<Usage> {
    let mut usage = Usage::default();
    for n in 0..4 {
        usage.used.0[n] = row.get(first + n)?;
        usage.quotas[n] = row.get(first + 4 + n)?;
    }
    Ok(usage)
}
