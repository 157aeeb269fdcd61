//! Background jobs: work on many rows that a request begins. A job is stored until it is done, and runs in batches,
//! each in a transaction of its own. The table of jobs is named `walk`.

use prichal_core::id::{IntegrationId, WorkspaceId};

use crate::{Conn, Error, Result, Row, Tx, value::params};

/// The maximum number of rows that a batch changes.
pub const BATCH_ROWS: i64 = 100;

/// The kinds of background jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Applies a changed channel type to its channels. The item is the type's name.
    ApplyType,
    /// Applies a new manifest to the instances of its integration. The item is the integration's id and an id of the
    /// change, joined by a colon.
    ApplyManifest,
    /// Removes the rows of a deleted workspace. The item is empty.
    ClearWorkspace,
    /// Removes the values that the scripts of a deleted channel have stored. The item is the channel's id.
    ClearValues,
    /// Removes the deferred events of a removed webhook. The item is the ids of its integration and of the webhook,
    /// joined by a colon.
    RemoveDeferred,
    /// Makes the deferred events of a webhook due. The item is as for `RemoveDeferred`.
    MakeDeferredDue,
    /// Selects the events of a resend. The item is its id.
    Resend,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::ApplyType,
        Self::ApplyManifest,
        Self::ClearWorkspace,
        Self::ClearValues,
        Self::RemoveDeferred,
        Self::MakeDeferredDue,
        Self::Resend,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::ApplyType => "type",
            Self::ApplyManifest => "manifest",
            Self::ClearWorkspace => "workspace",
            Self::ClearValues => "kept",
            Self::RemoveDeferred => "waiting",
            Self::MakeDeferredDue => "due",
            Self::Resend => "resend",
        }
    }
}

/// A background job that is not done yet.
#[derive(Clone, Debug)]
pub struct Job {
    pub workspace: WorkspaceId,
    pub kind: Kind,
    /// The subject of the job, by its kind.
    pub item: String,
    /// The parameters of the job, as JSON.
    pub detail: String,
    /// The key of the last row that is done. Empty at the beginning, and for a job whose done rows are gone or no
    /// longer match.
    pub last: String,
}

const COLUMNS: &str = "workspace, kind, item, detail, last";

/// Stores a job. A job that is stored again starts again at the first row.
pub fn begin(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    kind: Kind,
    item: &str,
    detail: &str,
) -> Result<()> {
    let sql = format!(
        "INSERT INTO walk ({COLUMNS}) VALUES ($1, $2, $3, $4, '')
         ON CONFLICT (workspace, kind, item) DO UPDATE SET detail = excluded.detail, last = excluded.last"
    );
    tx.run(&sql, params![workspace, kind.name(), item, detail])
}

/// Reads a job's current row. `None` if the job is done.
pub fn find(conn: &mut Conn, job: &Job) -> Result<Option<Job>> {
    find_and(conn, job, "")
}

/// Reads a job's current row and locks it until the end of the transaction. `None` if the job is done.
pub fn find_for_update(tx: &mut Tx<'_>, job: &Job) -> Result<Option<Job>> {
    find_and(tx.conn()?, job, "/*postgres FOR UPDATE*/")
}

fn find_and(conn: &mut Conn, job: &Job, lock: &str) -> Result<Option<Job>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM walk WHERE workspace = $1 AND kind = $2 AND item = $3 {lock}"
    );
    let key = params![job.workspace, job.kind.name(), &job.item];
    conn.query_one(&sql, key, read)
}

/// Lists the jobs that are not done yet behind `after`, or from the first one, in the order of their keys.
pub fn list(conn: &mut Conn, after: Option<&Job>, limit: i64) -> Result<Vec<Job>> {
    let order = "ORDER BY workspace, kind, item LIMIT $1";
    let Some(after) = after else {
        let sql = format!("SELECT {COLUMNS} FROM walk {order}");
        return conn.query(&sql, params![limit], read);
    };
    let sql =
        format!("SELECT {COLUMNS} FROM walk WHERE (workspace, kind, item) > ($2, $3, $4) {order}");
    let values = params![limit, after.workspace, after.kind.name(), &after.item];
    conn.query(&sql, values, read)
}

/// The jobs of one kind that a request waits for.
#[derive(Clone, Debug)]
pub enum Items {
    One(String),
    /// All items that begin with the integration's id.
    Of(IntegrationId),
}

/// Lists a workspace's jobs of one kind that are not done yet.
pub fn list_of(
    conn: &mut Conn,
    workspace: WorkspaceId,
    kind: Kind,
    items: &Items,
    limit: i64,
) -> Result<Vec<Job>> {
    let (which, from, to) = match items {
        Items::One(item) => ("item >= $3 AND item <= $4", item.clone(), item.clone()),
        // The semicolon comes next after the colon.
        Items::Of(id) => (
            "item > $3 AND item < $4",
            format!("{id}:"),
            format!("{id};"),
        ),
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM walk WHERE workspace = $1 AND kind = $2 AND {which} ORDER BY item LIMIT $5"
    );
    let values = params![workspace, kind.name(), from, to, limit];
    conn.query(&sql, values, read)
}

/// Stores a job's progress: the key of the last row that is done. `None` completes the job and deletes its row.
pub fn advance(tx: &mut Tx<'_>, job: &Job, last: Option<&str>) -> Result<()> {
    let (kind, item) = (job.kind.name(), &job.item);
    let this = "WHERE workspace = $1 AND kind = $2 AND item = $3";
    if let Some(last) = last {
        let sql = format!("UPDATE walk SET last = $4 {this}");
        return tx.run(&sql, params![job.workspace, kind, item, last]);
    }
    let sql = format!("DELETE FROM walk {this}");
    tx.run(&sql, params![job.workspace, kind, item])
}

fn read(row: &Row<'_>) -> Result<Job> {
    let name: String = row.get(1)?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    Ok(Job {
        workspace: WorkspaceId(row.uuid(0)?),
        kind: kind.ok_or_else(|| Error::corrupt("the kind of a background job is damaged"))?,
        item: row.get(2)?,
        detail: row.get(3)?,
        last: row.get(4)?,
    })
}
