//! Storage usage and quotas of workspaces. The bytes are counted in the transactions that write them.

use std::collections::BTreeMap;

use prichal_core::id::WorkspaceId;
use uuid::Uuid;

use crate::{
    Conn, Result, Row, Tx, file,
    value::{Value, params},
};

/// The number of kinds of counted bytes.
pub const KINDS: usize = 5;

/// A kind of counted bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The models of entities, including deleted entities.
    Entities,
    /// The contents of files, each counted once.
    Files,
    /// The events of the log.
    Events,
    /// The requests, logs and results of script runs.
    Runs,
    /// The rows of all other tables that count ([`Table`]), links, and deferred events. Rows that come with a counted one,
    /// in a number that its size bounds, do not count: phones and members of calls, the views and events of documents. Nor
    /// do those that end within the lifetime of an access key: revocations.
    Records,
}

impl Kind {
    pub const ALL: [Self; KINDS] = [
        Self::Entities,
        Self::Files,
        Self::Events,
        Self::Runs,
        Self::Records,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Entities => "entities",
            Self::Files => "files",
            Self::Events => "events",
            Self::Runs => "runs",
            Self::Records => "records",
        }
    }
}

/// The number of bytes of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes([i64; KINDS]);

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
    quotas: [Option<i64>; KINDS],
    /// The requests that the workspace may make in a second; 0 means any number. None if the server's setting holds.
    pub requests: Option<i64>,
}

impl Usage {
    /// The workspace's own quota. `None` if the server's quota applies.
    pub fn quota(&self, kind: Kind) -> Option<i64> {
        self.quotas[kind as usize]
    }
}

/// The changes of storage usage that a transaction makes.
#[derive(Clone, Default)]
pub(crate) struct Changes(BTreeMap<WorkspaceId, Bytes>);

impl Changes {
    pub(crate) fn add(&mut self, workspace: WorkspaceId, kind: Kind, bytes: i64) {
        if bytes != 0 {
            self.0.entry(workspace).or_default().add(kind, bytes);
        }
    }

    /// Writes the changes in the order of the workspaces' ids, so that two writers cannot deadlock.
    pub(crate) fn write(&self, conn: &mut Conn) -> Result<()> {
        for (workspace, Bytes([entities, files, events, runs, records])) in &self.0 {
            conn.run(
                "INSERT INTO usage (workspace, entities, files, events, runs, records) VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (workspace) DO UPDATE SET entities = usage.entities + excluded.entities,
                   files = usage.files + excluded.files, events = usage.events + excluded.events, runs = usage.runs + excluded.runs,
                   records = usage.records + excluded.records",
                params![*workspace, *entities, *files, *events, *runs, *records],
            )?;
        }
        Ok(())
    }

    /// The changes for one workspace.
    pub(crate) fn of(&self, workspace: WorkspaceId) -> Bytes {
        self.0.get(&workspace).copied().unwrap_or_default()
    }
}

/// A table whose rows count as records.
pub(crate) struct Table {
    name: &'static str,
    /// The column with the workspace's id.
    owner: &'static str,
    /// The SQL expression of the bytes of a row's texts.
    texts: &'static str,
}

impl Table {
    const fn new(name: &'static str, texts: &'static str) -> Self {
        Self {
            name,
            owner: "workspace",
            texts,
        }
    }

    const fn of(self, owner: &'static str) -> Self {
        Self { owner, ..self }
    }
}

pub(crate) const SCRIPT_VALUES: Table = Table::new("kv", "octet_length(key) + octet_length(value)");
pub(crate) const CHANNELS: Table =
    Table::new("channel", "octet_length(members) + octet_length(tokens)");
pub(crate) const RESOURCES: Table = Table::new("resource", "octet_length(members)");
pub(crate) const SCRIPT_VERSIONS: Table = Table::new("script_version", "octet_length(source)");
pub(crate) const UI_SETTINGS: Table =
    Table::new("ui_setting", "octet_length(key) + octet_length(value)");
pub(crate) const EVENT_TYPES: Table = Table::new(
    "event_type",
    "octet_length(name) + octet_length(definition)",
);
pub(crate) const ALERTS: Table = Table::new("alert", "octet_length(message) + octet_length(body)");
pub(crate) const ALERT_SETTINGS: Table = Table::new("alert_setting", "octet_length(body)");
pub(crate) const CERTIFICATES: Table =
    Table::new("certificate", "octet_length(holder) + octet_length(name)");
pub(crate) const ANSWERS: Table = Table::new(
    "idempotency",
    "octet_length(path) + octet_length(key) + octet_length(answer)",
);
pub(crate) const FILES: Table =
    Table::new("file", "octet_length(name) + octet_length(content_type)");
pub(crate) const BLOBS: Table = Table::new("document_blob", "octet_length(name)");
pub(crate) const ATTEMPTS: Table = Table::new(
    "attempt",
    "coalesce(octet_length(error), 0) + coalesce(octet_length(answer), 0)",
);
pub(crate) const DELIVERIES: Table = Table::new("delivery", "bytes");
pub(crate) const DEAD_LETTERS: Table = Table::new(
    "dead_letter",
    "octet_length(entities) + coalesce(octet_length(error), 0)",
);
pub(crate) const REPLAYS: Table = Table::new("replay", "0");
pub(crate) const RESENDS: Table = Table::new("resend", "octet_length(filter)");
pub(crate) const INTEGRATIONS: Table = Table::new(
    "integration",
    "octet_length(name) + octet_length(version) + octet_length(base_url) + coalesce(octet_length(title), 0)",
);
pub(crate) const INSTANCES: Table = Table::new(
    "instance",
    "octet_length(features) + octet_length(settings) + coalesce(octet_length(secrets), 0)",
);
pub(crate) const WEBHOOKS: Table = Table::new(
    "webhook",
    "octet_length(definition) + coalesce(octet_length(secrets), 0)",
);
pub(crate) const CALLS: Table = Table::new(
    "communication",
    "octet_length(call) + octet_length(auto_links) + octet_length(cut_links)",
);
pub(crate) const DOCUMENTS: Table = Table::new("document", "octet_length(body)").of("sender");
pub(crate) const DOCUMENT_LINKS: Table = Table::new("document_link", "0");
pub(crate) const SIGNATURES: Table =
    Table::new("document_signature", "octet_length(report)").of("company");
pub(crate) const ELEMENTS: Table = Table::new(
    "bulk",
    "octet_length(caller) + octet_length(data) + coalesce(octet_length(result), 0) + coalesce(octet_length(errors), 0)",
);

/// The bytes that are counted for each row in addition to its texts.
const ROW_BYTES: i64 = 100;

/// Counts a new row with these texts.
pub(crate) fn add(tx: &mut Tx<'_>, workspace: WorkspaceId, texts: &[&str]) {
    let bytes = ROW_BYTES + texts.iter().map(|text| length(text)).sum::<i64>();
    tx.use_bytes(workspace, Kind::Records, bytes);
}

/// Counts a new row with this number of bytes.
pub(crate) fn add_sized(tx: &mut Tx<'_>, workspace: WorkspaceId, bytes: i64) {
    tx.use_bytes(workspace, Kind::Records, ROW_BYTES + bytes);
}

/// Counts `rows` new rows without texts, such as links. A negative number stands for removed rows.
pub(crate) fn add_bare(tx: &mut Tx<'_>, workspace: WorkspaceId, rows: i64) {
    tx.use_bytes(workspace, Kind::Records, ROW_BYTES * rows);
}

/// Deletes the rows that match `condition`, and subtracts their bytes. Returns the number of deleted rows.
pub(crate) fn remove(
    tx: &mut Tx<'_>,
    table: &Table,
    condition: &str,
    values: &[Value<'_>],
) -> Result<u64> {
    let Table { name, owner, texts } = table;
    let sql = format!(
        "DELETE FROM {name} WHERE {condition} RETURNING {owner}, CAST({ROW_BYTES} + {texts} AS BIGINT)"
    );
    let gone = tx.change(&sql, values, owner_and_bytes)?;
    for (workspace, bytes) in &gone {
        tx.use_bytes(*workspace, Kind::Records, -bytes);
    }
    Ok(gone.len() as u64)
}

/// Runs `work` and counts by how much it changes the bytes of the rows that match `condition`. Other nodes cannot change
/// them meanwhile.
pub(crate) fn change<T>(
    tx: &mut Tx<'_>,
    table: &Table,
    condition: &str,
    values: &[Value<'_>],
    work: impl FnOnce(&mut Tx<'_>) -> Result<T>,
) -> Result<T> {
    let Table { name, owner, texts } = table;
    let sql = format!(
        "SELECT {owner}, CAST({ROW_BYTES} + {texts} AS BIGINT) FROM {name} WHERE {condition}"
    );
    let locked = format!("{sql} /*postgres FOR UPDATE*/");
    let mut before = tx.conn()?.query(&locked, values, owner_and_bytes)?;
    // A row that is not there cannot be locked, and another node may insert it now.
    if before.is_empty() && tx.lock_name(&format!("{name} {values:?}"))? {
        before = tx.conn()?.query(&locked, values, owner_and_bytes)?;
    }
    let done = work(tx)?;
    let after = tx.conn()?.query(&sql, values, owner_and_bytes)?;
    let gone = before.iter().map(|(of, bytes)| (*of, -bytes));
    for (workspace, bytes) in gone.chain(after) {
        tx.use_bytes(workspace, Kind::Records, bytes);
    }
    Ok(done)
}

fn owner_and_bytes(row: &Row<'_>) -> Result<(WorkspaceId, i64)> {
    Ok((WorkspaceId(row.uuid(0)?), row.get(1)?))
}

pub(crate) fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

/// Counts a blob whose row is about to be inserted, unless another row refers to it.
pub(crate) fn add_blob(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    blob: Uuid,
    size: i64,
) -> Result<()> {
    lock_blob(tx, workspace, blob)?;
    if !file::has_blob(tx.conn()?, workspace, blob)? {
        tx.use_bytes(workspace, Kind::Files, size);
    }
    Ok(())
}

/// Subtracts a blob if its row was deleted (`removed`) and no other row refers to it. Returns true if no row refers to
/// it any more.
pub(crate) fn remove_blob(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    blob: Uuid,
    size: i64,
    removed: bool,
) -> Result<bool> {
    lock_blob(tx, workspace, blob)?;
    let is_free = !file::has_blob(tx.conn()?, workspace, blob)?;
    if is_free && removed {
        tx.use_bytes(workspace, Kind::Files, -size);
    }
    Ok(is_free)
}

/// Locks the rows that name a blob, also those that are not there yet. The second of two nodes sees what the first has
/// done.
fn lock_blob(tx: &mut Tx<'_>, workspace: WorkspaceId, blob: Uuid) -> Result<()> {
    tx.lock_name(&format!("blob {workspace} {blob}")).map(drop)
}

const COLUMNS: &str = "entities, files, events, runs, records, entities_quota, files_quota, events_quota, runs_quota, records_quota, requests_quota";

/// Finds the storage usage of a workspace.
pub fn find(conn: &mut Conn, workspace: WorkspaceId) -> Result<Usage> {
    let sql = format!("SELECT {COLUMNS} FROM usage WHERE workspace = $1");
    let found = conn.query_one(&sql, params![workspace], |row| read(row, 0))?;
    Ok(found.unwrap_or_default())
}

/// Sets a workspace's own quotas: of bytes, and of requests in a second. `None` means that the server's quota applies.
pub fn set_quotas(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    quotas: [Option<i64>; KINDS],
    requests: Option<i64>,
) -> Result<()> {
    let [entities, files, events, runs, records] = quotas;
    tx.run(
        "INSERT INTO usage (workspace, entities, files, events, runs, entities_quota, files_quota, events_quota, runs_quota, records_quota, requests_quota)
         VALUES ($1, 0, 0, 0, 0, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (workspace) DO UPDATE SET entities_quota = excluded.entities_quota, files_quota = excluded.files_quota,
           events_quota = excluded.events_quota, runs_quota = excluded.runs_quota, records_quota = excluded.records_quota,
           requests_quota = excluded.requests_quota",
        params![workspace, entities, files, events, runs, records, requests],
    )
}

/// Lists at most `limit` workspaces that have used `percent` of a quota or more. `quotas` are the server's, in the
/// order of [`Kind::ALL`]; zero means no quota.
pub fn list_nearly_full(
    conn: &mut Conn,
    quotas: [i64; KINDS],
    percent: i64,
    limit: i64,
) -> Result<Vec<(WorkspaceId, Usage)>> {
    let [entities, files, events, runs, records] = quotas;
    let over = |kind: &str, n: usize| {
        format!(
            "(coalesce({kind}_quota, ${n}) > 0 AND {kind} >= coalesce({kind}_quota, ${n}) / 100 * $6)"
        )
    };
    let conditions: Vec<String> = Kind::ALL
        .iter()
        .zip(1..)
        .map(|(kind, n)| over(kind.name(), n))
        .collect();
    let sql = format!(
        "SELECT workspace, {COLUMNS} FROM usage WHERE {} ORDER BY workspace LIMIT $7",
        conditions.join(" OR ")
    );
    conn.query(
        &sql,
        params![entities, files, events, runs, records, percent, limit],
        |row| Ok((WorkspaceId(row.uuid(0)?), read(row, 1)?)),
    )
}

fn read(row: &Row<'_>, first: usize) -> Result<Usage> {
    let mut usage = Usage::default();
    for n in 0..KINDS {
        usage.used.0[n] = row.get(first + n)?;
        usage.quotas[n] = row.get(first + KINDS + n)?;
    }
    usage.requests = row.get(first + 2 * KINDS)?;
    Ok(usage)
}
