//! The bytes that each workspace takes up, counted in the transactions that write, and how much it may.

use std::collections::BTreeMap;

use prichal_core::id::WorkspaceId;
use uuid::Uuid;

use crate::{Conn, Result, Row, Tx, file, value::params};

/// A kind of bytes that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The models of entities, those of deleted ones included.
    Entities,
    /// The contents of files, once however many ids stand for them.
    Files,
    /// The events of the log.
    Events,
    /// The requests of scripts' runs, their logs and results.
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

/// The bytes that a workspace takes up, and the quotas that are its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub used: Bytes,
    quotas: [Option<i64>; 4],
}

impl Usage {
    /// The workspace's own quota; none where the server's holds.
    pub fn quota(&self, kind: Kind) -> Option<i64> {
        self.quotas[kind as usize]
    }
}

/// The bytes that a transaction adds and takes away.
#[derive(Default)]
pub(crate) struct Changes(BTreeMap<WorkspaceId, Bytes>);

impl Changes {
    pub(crate) fn add(&mut self, workspace: WorkspaceId, kind: Kind, bytes: i64) {
        if bytes != 0 {
            self.0.entry(workspace).or_default().add(kind, bytes);
        }
    }

    /// Writes them, in the order of the workspaces' ids, so that two writers do not wait for each other.
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

/// Counts the contents of a file that are about to get a row, unless another row has them already.
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

/// Counts the contents of a file whose row was just removed no more, if it was the last. Says whether it was.
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

/// The bytes that a workspace takes up.
pub fn find(conn: &mut Conn, workspace: WorkspaceId) -> Result<Usage> {
    let sql = format!("SELECT {COLUMNS} FROM usage WHERE workspace = $1");
    let found = conn.query_one(&sql, params![workspace], |row| read(row, 0))?;
    Ok(found.unwrap_or_default())
}

/// Gives a workspace quotas of its own; the server's hold where there is none.
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

/// Workspaces that have used up a share of a quota, in percent, at most `limit`. `quotas` are the server's,
/// in the order of [`Kind::ALL`]; zero is none.
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
