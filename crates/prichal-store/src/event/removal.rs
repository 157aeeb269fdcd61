//! The removal of old events.
//!
//! The oldest events go first, so a log begins after one number, and has every later event. Before its beginning are only
//! events that something names: the status changes of documents, which are their history and stay for ever, and deferred
//! events, dead letters and events of resends, which go when nothing names them any more.
//!
//! A log is not removed beyond the cursor of a webhook that is called. One that is switched off or paused begins at the end
//! of the log when it is on again, so only its deferred events wait.

use prichal_core::{id::WorkspaceId, time::Timestamp};

use super::search::{first_at, made_at};
use crate::{
    Conn, Result, Tx,
    delivery::first_id,
    document_hook::INTEGRATION,
    retention::{Kind, none_of},
    usage,
    value::{Value, params},
};

/// Returns the number of the last event before the beginning of a log, or 0 if none was removed.
pub fn removed(conn: &mut Conn, workspace: WorkspaceId) -> Result<i64> {
    let sql = "SELECT removed FROM log_start WHERE workspace = $1";
    let found = conn.query_one(sql, params![workspace], |row| row.get(0))?;
    Ok(found.unwrap_or(0))
}

/// Returns the same, and forbids a removal until the end of the transaction.
pub fn removed_for_update(tx: &mut Tx<'_>, workspace: WorkspaceId) -> Result<i64> {
    tx.lock_name(&format!("log start {workspace}"))?;
    removed(tx.conn()?, workspace)
}

/// Lists workspaces behind `after` that may have events from before a time and have no time of their own, at most `limit`.
pub fn with_events_before(
    conn: &mut Conn,
    before: Timestamp,
    after: WorkspaceId,
    limit: i64,
) -> Result<Vec<WorkspaceId>> {
    let sql = format!(
        "SELECT l.workspace FROM log l LEFT JOIN log_start s ON s.workspace = l.workspace
         WHERE l.workspace > $1 AND (s.first_at IS NULL OR s.first_at < $2) AND {} ORDER BY l.workspace LIMIT $3",
        none_of(Kind::Events, "l.workspace")
    );
    conn.query(&sql, params![after, before, limit], |row| {
        Ok(WorkspaceId(row.uuid(0)?))
    })
}

/// Finds the first workspace behind `after` with events before the beginning of its log that may go.
pub fn next_with_kept_events(conn: &mut Conn, after: WorkspaceId) -> Result<Option<WorkspaceId>> {
    let sql = "SELECT workspace FROM kept_event WHERE workspace > $1 ORDER BY workspace LIMIT 1";
    conn.query_one(sql, params![after], |row| Ok(WorkspaceId(row.uuid(0)?)))
}

/// Finds the number of the last event from before a time. `None` if there is none.
pub fn last_before(
    conn: &mut Conn,
    workspace: WorkspaceId,
    before: Timestamp,
) -> Result<Option<i64>> {
    if is_first_noted(conn, workspace, before)? {
        return Ok(None);
    }
    let last = first_at(conn, workspace, before)? - 1;
    Ok((last > removed(conn, workspace)?).then_some(last))
}

/// True if the first event of a log is known to be from a time or later.
pub fn is_first_noted(conn: &mut Conn, workspace: WorkspaceId, before: Timestamp) -> Result<bool> {
    let sql = "SELECT 1 FROM log_start WHERE workspace = $1 AND first_at >= $2";
    let found = conn.query_one(sql, params![workspace, before], |row| row.get::<i32>(0))?;
    Ok(found.is_some())
}

/// Notes the time of the first event of a log, or `now` if it has none, so that it is not looked at before its time.
pub fn note_first(tx: &mut Tx<'_>, workspace: WorkspaceId, now: Timestamp) -> Result<()> {
    let conn = tx.conn()?;
    let removed = removed(conn, workspace)?;
    let sql = "SELECT body FROM event WHERE workspace = $1 AND seq > $2 ORDER BY seq LIMIT 1";
    let body = conn.query_one(sql, params![workspace, removed], |row| row.get::<String>(0))?;
    let at = body.map_or(now, |body| made_at(&body).unwrap_or_default());
    tx.run(
        "INSERT INTO log_start (workspace, removed, first_at) VALUES ($1, 0, $2)
         ON CONFLICT (workspace) DO UPDATE SET first_at = excluded.first_at",
        params![workspace, at],
    )
}

/// The events that something names, by a range of their numbers.
const NAMED: &str = "
    SELECT workspace, seq FROM deferred WHERE workspace = $1 AND seq > $2 AND seq <= $3
    UNION SELECT workspace, seq FROM dead_letter WHERE workspace = $1 AND seq > $2 AND seq <= $3
    UNION SELECT workspace, seq FROM resend_event WHERE workspace = $1 AND seq > $2 AND seq <= $3";

/// The condition that an event is not a status change of a document.
const OF_NO_DOCUMENT: &str =
    "NOT EXISTS (SELECT 1 FROM document_event d WHERE d.workspace = $1 AND d.seq = event.seq)";

/// Moves the beginning of a log by at most `limit` events, and not beyond `last`. A replay of a webhook that is not called
/// holds its events until it is older than `abandoned`. Returns the number of events that the beginning has moved by.
pub fn forget(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    last: i64,
    abandoned: Timestamp,
    limit: i64,
) -> Result<u64> {
    let before = removed_for_update(tx, workspace)?;
    let needed = needed_after(tx.conn()?, workspace, abandoned)?;
    let to = needed
        .unwrap_or(i64::MAX)
        .min(last)
        .min(before.saturating_add(limit));
    let Ok(count @ 1..) = u64::try_from(to - before) else {
        return Ok(0);
    };
    let range = params![workspace, before, to];
    let keep = format!(
        "INSERT INTO kept_event (workspace, seq) SELECT workspace, seq FROM ({NAMED}) event
         WHERE {OF_NO_DOCUMENT} ON CONFLICT DO NOTHING"
    );
    tx.run(&keep, range)?;
    let condition = format!(
        "workspace = $1 AND seq > $2 AND seq <= $3 AND {OF_NO_DOCUMENT}
         AND NOT EXISTS (SELECT 1 FROM kept_event k WHERE k.workspace = $1 AND k.seq = event.seq)"
    );
    delete(tx, workspace, &condition, range)?;
    tx.run(
        "INSERT INTO log_start (workspace, removed, first_at) VALUES ($1, $2, $3)
         ON CONFLICT (workspace) DO UPDATE SET removed = excluded.removed",
        params![workspace, to, Timestamp::default()],
    )?;
    Ok(count)
}

/// The number after which all events are needed. `None` if there is no such number.
fn needed_after(
    conn: &mut Conn,
    workspace: WorkspaceId,
    abandoned: Timestamp,
) -> Result<Option<i64>> {
    // A schedule has no cursor, and the hook of a company wants the status changes of documents alone, which stay. What
    // a resend selects is not known before its job has ended.
    conn.query_one(
        "SELECT min(seq) FROM (
           SELECT cursor AS seq FROM webhook
           WHERE workspace = $1 AND integration <> $2 AND live = 1 AND next_tick IS NULL
           UNION ALL SELECT r.cursor AS seq FROM replay r
           JOIN webhook w ON w.workspace = r.workspace AND w.integration = r.integration AND w.id = r.webhook
           WHERE r.workspace = $1 AND r.integration <> $2 AND r.rate IS NULL AND (w.live = 1 OR r.id >= $3)
           UNION ALL SELECT 0 AS seq FROM walk WHERE workspace = $1 AND kind = 'resend') needed",
        params![workspace, INTEGRATION, first_id(abandoned)],
        |row| row.get::<Option<i64>>(0),
    )
    .map(Option::flatten)
}

/// The next kept events of a log: `$3` of them behind `$2`, with a mark for those that something names. Each costs a look
/// into three indexes, however many events are kept.
const KEPT: &str = "
    SELECT k.seq, CAST(CASE WHEN
      EXISTS (SELECT 1 FROM deferred d WHERE d.workspace = $1 AND d.seq = k.seq)
      OR EXISTS (SELECT 1 FROM dead_letter d WHERE d.workspace = $1 AND d.seq = k.seq)
      OR EXISTS (SELECT 1 FROM resend_event r WHERE r.workspace = $1 AND r.seq = k.seq)
      THEN 1 ELSE 0 END AS BIGINT) AS is_named
    FROM (SELECT seq FROM kept_event WHERE workspace = $1 AND seq > $2 ORDER BY seq LIMIT $3) k";

/// A step through the events that are kept before the beginning of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptStep {
    /// The number of the last event of the step. `None` if there is none.
    pub last: Option<i64>,
    /// True if [`forget_kept`] would remove some of them.
    pub has_unnamed: bool,
}

/// Looks at `limit` kept events behind a number.
pub fn look_at_kept(
    conn: &mut Conn,
    workspace: WorkspaceId,
    after: i64,
    limit: i64,
) -> Result<KeptStep> {
    let sql = format!("SELECT max(seq), min(is_named) FROM ({KEPT}) step");
    let found = conn.query_one(&sql, params![workspace, after, limit], |row| {
        let is_named: Option<i64> = row.get(1)?;
        Ok(KeptStep {
            last: row.get(0)?,
            has_unnamed: is_named == Some(0),
        })
    })?;
    Ok(found.unwrap_or(KeptStep {
        last: None,
        has_unnamed: false,
    }))
}

/// Removes those of `limit` kept events behind a number that nothing names any more. Returns their number.
pub fn forget_kept(tx: &mut Tx<'_>, workspace: WorkspaceId, after: i64, limit: i64) -> Result<u64> {
    removed_for_update(tx, workspace)?;
    let Some(last) = look_at_kept(tx.conn()?, workspace, after, limit)?.last else {
        return Ok(0);
    };
    let condition = format!(
        "workspace = $1 AND seq IN (SELECT step.seq FROM ({KEPT}) step WHERE step.is_named = 0)"
    );
    let count = delete(tx, workspace, &condition, params![workspace, after, limit])?;
    tx.run(
        "DELETE FROM kept_event WHERE workspace = $1 AND seq > $2 AND seq <= $3
           AND NOT EXISTS (SELECT 1 FROM event e WHERE e.workspace = $1 AND e.seq = kept_event.seq)",
        params![workspace, after, last],
    )?;
    Ok(count)
}

/// Deletes events with what is known of their ids, and subtracts their bytes. Returns their number.
fn delete(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    condition: &str,
    values: &[Value<'_>],
) -> Result<u64> {
    let published = format!(
        "DELETE FROM published_event WHERE workspace = $1
           AND id IN (SELECT id FROM event WHERE {condition} AND type = 'custom')"
    );
    tx.run(&published, values)?;
    let sql =
        format!("DELETE FROM event WHERE {condition} RETURNING CAST(octet_length(body) AS BIGINT)");
    let gone = tx.change(&sql, values, |row| row.get::<i64>(0))?;
    tx.use_bytes(workspace, usage::Kind::Events, -gone.iter().sum::<i64>());
    Ok(gone.len() as u64)
}

#[cfg(test)]
mod tests {
    use prichal_core::id::WorkspaceId;
    use uuid::Uuid;

    use super::*;
    use crate::{Engine, migration};

    fn conn() -> Conn {
        let db = rusqlite::Connection::open_in_memory().expect("a database");
        let mut conn = Conn::sqlite(db);
        migration::run(&mut conn).expect("migrated");
        conn
    }

    /// Every table of a step is looked up by an index: none is read as a whole, and no index by its workspace alone.
    #[test]
    fn a_step_reads_by_number() {
        let mut conn = conn();
        assert_eq!(conn.engine(), Engine::Sqlite);
        let named = format!("SELECT count(*) FROM ({NAMED}) named");
        for sql in [KEPT, &named] {
            let sql = format!("EXPLAIN QUERY PLAN {sql}");
            let values = params![WorkspaceId(Uuid::nil()), 0, 10];
            let plan = conn.query(&sql, values, |row| row.get::<String>(3));
            let plan = plan.expect("a plan");
            let of_tables = |line: &&String| {
                let words = [
                    "deferred",
                    " d ",
                    "dead_letter",
                    " r ",
                    "resend_event",
                    "kept_event",
                ];
                line.starts_with("SCAN ") || words.iter().any(|word| line.contains(word))
            };
            let lines: Vec<&String> = plan.iter().filter(of_tables).collect();
            assert!(lines.len() > 2, "{plan:#?}");
            for line in lines {
                // The step itself is a list in memory.
                let is_step = line.starts_with("SCAN k") || line.starts_with("SCAN named");
                assert!(is_step || line.contains("seq"), "{line}: {plan:#?}");
            }
        }
    }
}
