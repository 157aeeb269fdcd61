//! Runs: the queue of those that wait, and the record of those that have been.
//!
//! A run waits as long as `due_at` is set. A node that has one in memory is its owner; who settles a run
//! names owner and attempt, so that a node that has lost it changes nothing any more.

use std::fmt::Write as _;

use prichal_core::{
    id::{EntityId, RunId, WorkspaceId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    Conn, Result, Row, Tx,
    insert::Insert,
    quarantine::{self, not_held},
    usage,
    value::{Value, params},
};

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A request to a channel.
    Hook,
    /// A message to be sent by a channel.
    Send,
    /// A script that somebody has started.
    Start,
    /// A message that came over a websocket.
    Socket,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Hook, Self::Send, Self::Start, Self::Socket];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Hook => "hook",
            Self::Send => "send",
            Self::Start => "start",
            Self::Socket => "socket",
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Queued,
    /// It has failed and is tried again.
    Deferred,
    Finished,
    /// It has failed and is not tried again by itself.
    Failed,
}

impl Status {
    pub const ALL: [Self; 4] = [Self::Queued, Self::Deferred, Self::Finished, Self::Failed];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Deferred => "deferred",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// What runs take turns with: the channel, or the script of a run that was started by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    pub workspace: WorkspaceId,
    pub id: EntityId,
}

#[derive(Clone, Debug)]
pub struct Run {
    pub id: RunId,
    pub lane: Lane,
    pub channel: Option<EntityId>,
    pub kind: Kind,
    /// The script's code; empty when there is none.
    pub code: String,
    /// What it is about, sealed.
    pub request: Option<Vec<u8>>,
    pub state: State,
}

/// What changes of a run.
#[derive(Clone, Debug)]
pub struct State {
    pub status: Status,
    /// How many times it was tried.
    pub attempts: i64,
    /// When it is to be tried, unless that is over.
    pub due_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub duration_ms: Option<i64>,
    /// Lines as a JSON array.
    pub log: String,
    /// JSON.
    pub result: Option<String>,
    pub error: Option<String>,
}

impl State {
    /// Of a run that is due at a time.
    pub fn queued(due_at: Timestamp) -> Self {
        Self {
            status: Status::Queued,
            attempts: 0,
            due_at: Some(due_at),
            started_at: None,
            duration_ms: None,
            log: "[]".to_owned(),
            result: None,
            error: None,
        }
    }
}

impl State {
    /// The bytes of its texts.
    fn size(&self) -> i64 {
        let texts = [Some(&self.log), self.result.as_ref(), self.error.as_ref()];
        texts
            .into_iter()
            .flatten()
            .map(|text| usage::length(text))
            .sum()
    }
}

const COLUMNS: &str = "workspace, id, lane, channel, kind, code, request, status, attempts, due_at, started_at, duration_ms, log, result, error";

static RUN: Insert = Insert::new(
    "run",
    &[
        "workspace",
        "id",
        "lane",
        "channel",
        "kind",
        "code",
        "request",
        "status",
        "attempts",
        "due_at",
        "started_at",
        "duration_ms",
        "log",
        "result",
        "error",
        "owner",
    ],
);

/// Adds a run, owned by a node or by none.
pub fn insert(tx: &mut Tx<'_>, run: &Run, owner: Option<Uuid>) {
    let Run {
        id,
        lane,
        channel,
        kind,
        code,
        request,
        state,
    } = run;
    let State {
        status,
        attempts,
        due_at,
        started_at,
        duration_ms,
        log,
        result,
        error,
    } = state.clone();
    let request = request
        .as_ref()
        .map_or(Value::Null, |request| Value::Blob(request.clone().into()));
    let values = vec![
        lane.workspace.into(),
        Value::from(id.0),
        lane.id.into(),
        (*channel).into(),
        kind.name().into(),
        code.clone().into(),
        request,
        status.name().into(),
        attempts.into(),
        due_at.into(),
        started_at.into(),
        duration_ms.into(),
        log.into(),
        result.into(),
        error.into(),
        owner.into(),
    ];
    tx.insert(&RUN, values);
    tx.use_bytes(lane.workspace, usage::Kind::Runs, size(run));
}

/// The bytes that a run takes up.
fn size(run: &Run) -> i64 {
    let request = run.request.as_ref().map_or(0, Vec::len);
    i64::try_from(request).unwrap_or(i64::MAX) + run.state.size()
}

/// Writes what an attempt has come to, and which script it was. False when the run is no longer this owner's, or not at this
/// attempt: then nothing is written. What has worked needs its request no more. `run` is as it was claimed.
pub fn settle(tx: &mut Tx<'_>, run: &Run, owner: Uuid, state: &State) -> Result<bool> {
    let (lane, id, code) = (run.lane, run.id, &run.code);
    let attempts = run.state.attempts;
    let State {
        status,
        attempts: now,
        due_at,
        started_at,
        duration_ms,
        log,
        result,
        error,
    } = state;
    let done = tx.changes_one(
        "UPDATE run SET status = $5, attempts = $6, due_at = $7, started_at = $8, duration_ms = $9, log = $10, result = $11,
           error = $12, code = $13, owner = NULL, request = CASE WHEN $5 = 'finished' THEN NULL ELSE request END
         WHERE workspace = $1 AND id = $2 AND owner = $3 AND attempts = $4",
        params![
            lane.workspace,
            id,
            owner,
            attempts,
            status.name(),
            *now,
            *due_at,
            *started_at,
            *duration_ms,
            log,
            result.as_deref(),
            error.as_deref(),
            code
        ],
    )?;
    if done {
        let request = size(run) - run.state.size();
        let kept = if state.status == Status::Finished {
            0
        } else {
            request
        };
        let grown = kept + state.size() - size(run);
        tx.use_bytes(lane.workspace, usage::Kind::Runs, grown);
    }
    Ok(done)
}

/// Where runs that nobody has may be found, and when the first of each is due: a page of lanes, those behind `after`.
pub fn lanes(
    conn: &mut Conn,
    node: Uuid,
    now: Timestamp,
    after: Option<Lane>,
    limit: i64,
) -> Result<Vec<(Lane, Timestamp)>> {
    let sql = format!(
        "SELECT workspace, lane, min(due_at) FROM run WHERE (workspace, lane) > ($4, $5) AND due_at IS NOT NULL AND {}
         GROUP BY workspace, lane ORDER BY workspace, lane LIMIT $3",
        free()
    );
    let after = after.map_or((Uuid::nil(), Uuid::nil()), |lane| {
        (lane.workspace.0, lane.id.0)
    });
    let values = params![node, now, limit, after.0, after.1];
    conn.query(&sql, values, |row| Ok((lane(row, 0, 1)?, row.time(2)?)))
}

/// The runs that nobody alive has, but for those in quarantine. On SQLite a node is alone: what it does not have,
/// nobody has.
fn free() -> String {
    let alive = "SELECT 1 FROM node WHERE node.id = run.owner AND node.until >= $2";
    let not_held = not_held(quarantine::Kind::Run, "run");
    format!("(owner IS NULL OR owner <> $1 AND NOT EXISTS ({alive})) AND {not_held}")
}

/// Takes over the runs of a lane that are due, at most `limit`, the longest waiting first.
///
/// They are chosen once, which PostgreSQL does not promise of a sub-query with a limit.
pub fn claim(
    tx: &mut Tx<'_>,
    node: Uuid,
    now: Timestamp,
    lane: Lane,
    limit: i64,
) -> Result<Vec<Run>> {
    let sql = format!(
        "WITH chosen AS MATERIALIZED (
           SELECT id FROM run WHERE workspace = $3 AND lane = $4 AND due_at <= $2 AND {}
           ORDER BY due_at, id LIMIT $5 /*postgres FOR UPDATE SKIP LOCKED*/)
         UPDATE run SET owner = $1 WHERE workspace = $3 AND id IN (SELECT id FROM chosen) RETURNING {COLUMNS}",
        free()
    );
    let mut claimed = tx.change(
        &sql,
        params![node, now, lane.workspace, lane.id, limit],
        read,
    )?;
    claimed.sort_by_key(|run| (run.state.due_at, run.id));
    Ok(claimed)
}

/// When the first run of a lane that nobody has is due.
pub fn next_due(
    conn: &mut Conn,
    node: Uuid,
    now: Timestamp,
    lane: Lane,
) -> Result<Option<Timestamp>> {
    let sql = format!(
        "SELECT min(due_at) FROM run WHERE workspace = $3 AND lane = $4 AND due_at IS NOT NULL AND {}",
        free()
    );
    let found = conn.query_one(&sql, params![node, now, lane.workspace, lane.id], |row| {
        row.get::<Option<i64>>(0)
    })?;
    Ok(found.flatten().map(Timestamp::from_micros))
}

/// Gives up what a node has in memory: at its start, after it was killed.
pub fn release(tx: &mut Tx<'_>, node: Uuid) -> Result<()> {
    tx.run(
        "UPDATE run SET owner = NULL WHERE due_at IS NOT NULL AND owner = $1",
        params![node],
    )?;
    Ok(())
}

/// Has a run that has failed tried once more, now. False when it is not one, or is being tried.
pub fn try_again(
    tx: &mut Tx<'_>,
    node: Uuid,
    now: Timestamp,
    workspace: WorkspaceId,
    id: RunId,
) -> Result<bool> {
    let sql = format!(
        "UPDATE run SET status = 'queued', due_at = $2, owner = NULL WHERE workspace = $3 AND id = $4 AND status IN ('failed', 'deferred') AND {}",
        free()
    );
    let done = tx.execute(&sql, params![node, now, workspace, id])?;
    Ok(done == 1)
}

/// Shows a run that waits as failed, for a reason, or as waiting again. It is due as before. Says how it was; nothing
/// when it does not wait.
pub fn show(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: RunId,
    failed: Option<&str>,
) -> Result<Option<Run>> {
    let found = find(tx.conn()?, workspace, id)?;
    let Some(before) = found.filter(|run| run.state.due_at.is_some()) else {
        return Ok(None);
    };
    let status = if failed.is_some() {
        Status::Failed
    } else {
        Status::Queued
    };
    tx.run(
        "UPDATE run SET status = $3, error = $4 WHERE workspace = $1 AND id = $2 AND due_at IS NOT NULL",
        params![workspace, id, status.name(), failed],
    )?;
    let grown =
        failed.map_or(0, usage::length) - before.state.error.as_deref().map_or(0, usage::length);
    tx.use_bytes(workspace, usage::Kind::Runs, grown);
    Ok(Some(before))
}

pub fn find(conn: &mut Conn, workspace: WorkspaceId, id: RunId) -> Result<Option<Run>> {
    let sql = format!("SELECT {COLUMNS} FROM run WHERE workspace = $1 AND id = $2");
    conn.query_one(&sql, params![workspace, id], read)
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub id: Option<RunId>,
    pub code: Option<String>,
    pub status: Option<Status>,
    pub channel: Option<EntityId>,
}

/// How many bytes of logs, results and errors a list of runs has, but for its last one.
const ROOM: i64 = 8 << 20;

/// Runs without what they were about, newest first. The list ends before `limit` when it gets long: it has
/// one run at least if there is one.
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    filter: &Filter,
    offset: i64,
    limit: i64,
) -> Result<Vec<Run>> {
    let mut values = params![workspace, limit, offset].to_vec();
    let mut conditions = String::new();
    let mut only = |column: &str, value: Value<'static>| {
        values.push(value);
        let _ = write!(conditions, " AND {column} = ${}", values.len());
    };
    if let Some(id) = filter.id {
        only("id", id.into());
    }
    if let Some(code) = &filter.code {
        only("code", code.clone().into());
    }
    if let Some(status) = filter.status {
        only("status", status.name().into());
    }
    if let Some(channel) = filter.channel {
        only("channel", channel.into());
    }
    // What waits and what has failed have indexes of their own, which a parameter does not show to be
    // enough.
    conditions.push_str(match filter.status {
        Some(Status::Queued | Status::Deferred) => " AND due_at IS NOT NULL",
        Some(Status::Failed) => " AND status = 'failed'",
        Some(Status::Finished) | None => "",
    });
    let page = format!("FROM run WHERE workspace = $1{conditions} ORDER BY id DESC");
    let sizes = format!(
        "SELECT CAST(octet_length(log) + coalesce(octet_length(result), 0) + coalesce(octet_length(error), 0) AS bigint) {page} LIMIT $2 OFFSET $3"
    );
    let sizes = conn.query(&sizes, &values, |row| row.get::<i64>(0))?;
    let mut room = ROOM;
    let fitting = sizes.iter().take_while(|size| {
        let fits = room > 0;
        room -= **size;
        fits
    });
    values[1] = i64::try_from(fitting.count()).unwrap_or(limit).into();
    let columns = COLUMNS.replace(
        "request",
        "CAST(NULL AS /*sqlite BLOB*/ /*postgres BYTEA*/)",
    );
    let sql = format!("SELECT {columns} {page} LIMIT $2 OFFSET $3");
    conn.query(&sql, &values, read)
}

/// How many runs wait.
pub fn count_waiting(conn: &mut Conn) -> Result<i64> {
    let sql = "SELECT count(*) FROM run WHERE due_at IS NOT NULL";
    Ok(conn.query_one(sql, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Workspaces with runs from before `before` that are over, at most `limit`.
pub fn with_runs_before(
    conn: &mut Conn,
    before: Timestamp,
    limit: i64,
) -> Result<Vec<WorkspaceId>> {
    conn.query(
        "SELECT id FROM workspace w WHERE EXISTS (
           SELECT 1 FROM run r WHERE r.workspace = w.id AND r.id < $1 AND r.due_at IS NULL) LIMIT $2",
        params![crate::delivery::first_id(before), limit],
        |row| Ok(WorkspaceId(row.uuid(0)?)),
    )
}

/// Removes runs from before `before` that are over, at most `limit`. Returns how many.
pub fn forget(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    before: Timestamp,
    limit: i64,
) -> Result<u64> {
    let removed = tx.change(
        "DELETE FROM run WHERE workspace = $1 AND id IN (
           SELECT id FROM run WHERE workspace = $1 AND id < $2 AND due_at IS NULL ORDER BY id LIMIT $3)
         RETURNING CAST(coalesce(octet_length(request), 0) + octet_length(log) + coalesce(octet_length(result), 0)
           + coalesce(octet_length(error), 0) AS BIGINT)",
        params![workspace, crate::delivery::first_id(before), limit],
        |row| row.get::<i64>(0),
    )?;
    tx.use_bytes(workspace, usage::Kind::Runs, -removed.iter().sum::<i64>());
    Ok(u64::try_from(removed.len()).unwrap_or(u64::MAX))
}

fn lane(row: &Row<'_>, workspace: usize, id: usize) -> Result<Lane> {
    Ok(Lane {
        workspace: WorkspaceId(row.uuid(workspace)?),
        id: EntityId(row.uuid(id)?),
    })
}

fn read(row: &Row<'_>) -> Result<Run> {
    let kind: String = row.get(4)?;
    let status: String = row.get(7)?;
    let time = |column| {
        let micros = row.get::<Option<i64>>(column)?;
        Ok::<_, crate::Error>(micros.map(Timestamp::from_micros))
    };
    let unknown = |what: &str| crate::Error::corrupt(format!("a run has an unknown {what}"));
    Ok(Run {
        id: RunId(row.uuid(1)?),
        lane: lane(row, 0, 2)?,
        channel: row.maybe_uuid(3)?.map(EntityId),
        kind: Kind::ALL
            .into_iter()
            .find(|known| known.name() == kind)
            .ok_or_else(|| unknown("kind"))?,
        code: row.get(5)?,
        request: row.get(6)?,
        state: State {
            status: Status::from_name(&status).ok_or_else(|| unknown("status"))?,
            attempts: row.get(8)?,
            due_at: time(9)?,
            started_at: time(10)?,
            duration_ms: row.get(11)?,
            log: row.get(12)?,
            result: row.get(13)?,
            error: row.get(14)?,
        },
    })
}
