//! Runs: the queue of waiting runs, and the record of completed ones.
//!
//! A run waits as long as `due_at` is set. The node that has a run in memory is its owner. A result is stored only
//! under the run's owner and attempt, so a node that has lost a run cannot change it.

use std::fmt::Write as _;

use prichal_core::{
    id::{EntityId, RunId, WorkspaceId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    Conn, Result, Row, Tx,
    delivery::MAX_COUNTED,
    insert::Insert,
    quarantine::{self, not_held},
    retention, usage,
    value::{Value, params},
};

/// The origin of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A request to a channel.
    Hook,
    /// A message that a channel sends.
    Send,
    /// A script started by a user.
    Start,
    /// A message received over a websocket.
    Socket,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Hook, Self::Send, Self::Start, Self::Socket];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Hook => "hook",
            Self::Send => "send",
            Self::Start => "start",
            Self::Socket => "socket",
        }
    }
}

/// The progress of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Queued,
    /// The last attempt failed, and another will follow.
    Deferred,
    Finished,
    /// The last attempt failed, and no other follows automatically.
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

/// The queue in which a run takes its turn: that of its channel, or of its script if it was started by hand.
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
    /// The code of the script; empty if there is none.
    pub code: String,
    /// The input of the script, sealed.
    pub request: Option<Vec<u8>>,
    pub state: State,
}

/// The part of a run that changes with each attempt.
#[derive(Clone, Debug)]
pub struct State {
    pub status: Status,
    /// The number of attempts so far.
    pub attempts: i64,
    /// The time of the next attempt; None if there is none.
    pub due_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub duration_ms: Option<i64>,
    /// Log lines, as a JSON array.
    pub log: String,
    /// JSON.
    pub result: Option<String>,
    pub error: Option<String>,
}

impl State {
    /// Creates the state of a run that is due at a time.
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
    /// The size of its texts in bytes.
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

/// Adds a run, with or without an owner.
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

/// The size of a run in bytes, as counted by the quota.
fn size(run: &Run) -> i64 {
    let request = run.request.as_ref().map_or(0, Vec::len);
    i64::try_from(request).unwrap_or(i64::MAX) + run.state.size()
}

/// Stores the outcome of an attempt and the script that ran. Returns false, and stores nothing, if the run no longer
/// has this owner or attempt. The request of a finished run is deleted. `run` is the run as it was claimed.
pub fn record_outcome(tx: &mut Tx<'_>, run: &Run, owner: Uuid, state: &State) -> Result<bool> {
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

/// Lists the lanes after `after` with claimable runs, at most `limit`, and the time at which the first run of each
/// is due.
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

/// The condition for a run that has no living owner and is not in quarantine. On SQLite there is only one node, so a
/// run that this node does not hold is claimable.
fn free() -> String {
    let alive = "SELECT 1 FROM node WHERE node.id = run.owner AND node.until >= $2";
    let not_held = not_held(quarantine::Kind::Run, "run");
    format!("(owner IS NULL OR owner <> $1 AND NOT EXISTS ({alive})) AND {not_held}")
}

/// Claims due runs of a lane, at most `limit`, the longest waiting first.
///
/// The ids are chosen in a materialized query, because PostgreSQL may evaluate a sub-query with LIMIT more than once.
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

/// Returns the time at which the first claimable run of a lane is due.
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

/// Frees the runs of a node. A node calls it at its start, after a crash.
pub fn release(tx: &mut Tx<'_>, node: Uuid) -> Result<()> {
    tx.run(
        "UPDATE run SET owner = NULL WHERE due_at IS NOT NULL AND owner = $1",
        params![node],
    )?;
    Ok(())
}

/// Queues a failed run for another attempt now. Returns false if the run has not failed or is in progress.
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

/// Shows a waiting run as failed with a reason, or as waiting again. Its due time does not change. Returns the run as
/// it was before, or `None` if it does not wait.
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

/// Criteria of a list of runs.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub id: Option<RunId>,
    pub code: Option<String>,
    pub status: Option<Status>,
    pub channel: Option<EntityId>,
}

/// The size of logs, results and errors after which a list of runs ends early.
const MAX_LIST_BYTES: i64 = 8 << 20;

/// The parts of a run that a list reads besides its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// The log and the result.
    Output,
    /// Neither: they are listed as empty.
    Bare,
}

/// Lists runs without their requests, newest first. The list ends early if it exceeds [`MAX_LIST_BYTES`], but has at
/// least one run if there is any.
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    filter: &Filter,
    parts: Parts,
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
    // Waiting and failed runs have partial indexes. The engine does not see from a parameter that they apply.
    conditions.push_str(match filter.status {
        Some(Status::Queued | Status::Deferred) => " AND due_at IS NOT NULL",
        Some(Status::Failed) => " AND status = 'failed'",
        Some(Status::Finished) | None => "",
    });
    let page = format!("FROM run WHERE workspace = $1{conditions} ORDER BY id DESC");
    let output = match parts {
        Parts::Output => "octet_length(log) + coalesce(octet_length(result), 0)",
        Parts::Bare => "0",
    };
    let sizes = format!(
        "SELECT CAST({output} + coalesce(octet_length(error), 0) AS bigint) {page} LIMIT $2 OFFSET $3"
    );
    let sizes = conn.query(&sizes, &values, |row| row.get::<i64>(0))?;
    let mut room = MAX_LIST_BYTES;
    let fitting = sizes.iter().take_while(|size| {
        let fits = room > 0;
        room -= **size;
        fits
    });
    values[1] = i64::try_from(fitting.count()).unwrap_or(limit).into();
    let mut columns = COLUMNS.replace(
        "request",
        "CAST(NULL AS /*sqlite BLOB*/ /*postgres BYTEA*/)",
    );
    if parts == Parts::Bare {
        columns = columns.replace("log, result", "'[]', CAST(NULL AS TEXT)");
    }
    let sql = format!("SELECT {columns} {page} LIMIT $2 OFFSET $3");
    conn.query(&sql, &values, read)
}

/// Lists the scripts of the last failed runs from `since` on, of which at most `most` are looked at. Messages that were
/// not sent are no such runs.
pub fn list_failed_scripts(
    conn: &mut Conn,
    since: Timestamp,
    most: i64,
) -> Result<Vec<(WorkspaceId, String)>> {
    conn.query(
        "SELECT DISTINCT workspace, code FROM (
           SELECT workspace, code, kind FROM run WHERE status IN ('failed', 'deferred') AND id >= $1 ORDER BY id DESC LIMIT $2) runs
         WHERE kind <> 'send' AND code <> ''",
        params![crate::delivery::first_id(since), most],
        |row| Ok((WorkspaceId(row.uuid(0)?), row.get(1)?)),
    )
}

/// The failures of a script since its last success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failures {
    /// The number of runs, as far as they were looked at.
    pub count: usize,
    /// The beginning of the first of them.
    pub since: Timestamp,
    /// The reason of the last one.
    pub error: String,
}

/// The failures of a script since its last success, among its last `most` runs. `None` if the last run did not fail.
pub fn failures(
    conn: &mut Conn,
    workspace: WorkspaceId,
    code: &str,
    most: i64,
) -> Result<Option<Failures>> {
    let runs = conn.query(
        "SELECT status, started_at, error FROM run
         WHERE workspace = $1 AND code = $2 AND kind <> 'send' AND status <> 'queued' ORDER BY id DESC LIMIT $3",
        params![workspace, code, most],
        |row| {
            let started_at = row.get::<Option<i64>>(1)?.map(Timestamp::from_micros);
            Ok((row.get::<String>(0)?, started_at, row.get(2)?))
        },
    )?;
    let mut found: Option<Failures> = None;
    let failed = runs
        .into_iter()
        .take_while(|(status, ..)| status != Status::Finished.name());
    for (_, started_at, error) in failed {
        let found = found.get_or_insert_with(|| Failures {
            count: 0,
            since: Timestamp::from_micros(i64::MAX),
            error: Option::unwrap_or_default(error),
        });
        found.count += 1;
        found.since = found.since.min(started_at.unwrap_or(found.since));
    }
    Ok(found)
}

/// Counts the messages of a channel that wait to be sent, at most [`MAX_COUNTED`]. Returns the id of the oldest and the
/// time of the next attempt, too.
pub fn waiting_messages(
    conn: &mut Conn,
    lane: Lane,
) -> Result<(i64, Option<RunId>, Option<Timestamp>)> {
    let found = conn.query_one(
        "SELECT count(*), min(id), min(due_at) FROM (
           SELECT id, due_at FROM run WHERE workspace = $1 AND lane = $2 AND due_at IS NOT NULL AND kind = 'send' LIMIT $3) counted",
        params![lane.workspace, lane.id, MAX_COUNTED],
        |row| {
            let oldest = row.maybe_uuid(1)?.map(RunId);
            let due_at = row.get::<Option<i64>>(2)?.map(Timestamp::from_micros);
            Ok((row.get(0)?, oldest, due_at))
        },
    )?;
    Ok(found.unwrap_or_default())
}

/// Counts waiting runs.
pub fn count_waiting(conn: &mut Conn) -> Result<i64> {
    let sql = "SELECT count(*) FROM run WHERE due_at IS NOT NULL";
    Ok(conn.query_one(sql, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Lists workspaces with completed runs from before `before`, at most `limit`; not those that have a time of their own.
pub fn with_runs_before(
    conn: &mut Conn,
    before: Timestamp,
    limit: i64,
) -> Result<Vec<WorkspaceId>> {
    let sql = format!(
        "SELECT id FROM workspace w WHERE {} AND EXISTS (
           SELECT 1 FROM run r WHERE r.workspace = w.id AND r.id < $1 AND r.due_at IS NULL) LIMIT $2",
        retention::none_of(retention::Kind::Runs, "w.id")
    );
    conn.query(
        &sql,
        params![crate::delivery::first_id(before), limit],
        |row| Ok(WorkspaceId(row.uuid(0)?)),
    )
}

/// Deletes completed runs from before `before`, at most `limit`. Returns their number.
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
