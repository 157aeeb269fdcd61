//! Alerts of workspaces, and their settings.
//!
//! At most one alert of a kind about a thing is open, on however many nodes it is found: the second row is refused.

use prichal_core::{
    alert::{Alert, Kind, Source, State, condition::Open},
    id::{UserId, WorkspaceId},
    schema::Object,
    time::Timestamp,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Conn, Error, Result, Row, Tx, usage, value::params};

/// A condition that holds, or an alert that is not over.
#[derive(Clone, Debug)]
pub struct Condition {
    pub workspace: WorkspaceId,
    pub id: Uuid,
    pub kind: Kind,
    /// The key of the thing.
    pub key: String,
    pub source: Source,
    pub message: String,
    pub details: Object,
    /// The time from which it holds.
    pub since: Timestamp,
    pub open: Open,
}

const COLUMNS: &str = "id, kind, source, since, begun_at, clear_since, over_at, message, body, acknowledged_at, acknowledged_by";
const ONE: &str = "workspace = $1 AND id = $2";

/// Finds the open condition of a kind about a thing, and locks it until the end of the transaction.
pub fn find_open(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    kind: Kind,
    key: &str,
) -> Result<Option<Condition>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM alert
         WHERE workspace = $1 AND kind = $2 AND source = $3 AND over_at IS NULL /*postgres FOR UPDATE*/"
    );
    let values = params![workspace, kind.name(), key];
    tx.conn()?
        .query_one(&sql, values, |row| condition(workspace, row))
}

/// The beginning of the last alert of a kind about a thing.
pub fn last_begun(
    conn: &mut Conn,
    workspace: WorkspaceId,
    kind: Kind,
    key: &str,
) -> Result<Option<Timestamp>> {
    let found = conn.query_one(
        "SELECT max(begun_at) FROM alert WHERE workspace = $1 AND kind = $2 AND source = $3",
        params![workspace, kind.name(), key],
        |row| row.get::<Option<i64>>(0),
    )?;
    Ok(found.flatten().map(Timestamp::from_micros))
}

/// Adds a condition. Returns false if there is one already.
pub fn insert(tx: &mut Tx<'_>, condition: &Condition) -> Result<bool> {
    let Condition {
        workspace,
        id,
        kind,
        key,
        source,
        message,
        details,
        since,
        open,
    } = condition;
    let body = json!({"source": source.model(), "details": details}).to_string();
    let added = tx.change(
        "INSERT INTO alert (workspace, id, kind, source, since, begun_at, message, body)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING id",
        params![
            *workspace,
            *id,
            kind.name(),
            key,
            *since,
            open.begun_at,
            message,
            &body
        ],
        |row| row.uuid(0),
    )?;
    if added.is_empty() {
        return Ok(false);
    }
    usage::add(tx, *workspace, &[message, &body]);
    Ok(true)
}

/// Notes the time since which the condition of an alert is clear.
pub fn set_clear(tx: &mut Tx<'_>, condition: &Condition, since: Option<Timestamp>) -> Result<()> {
    let sql = format!("UPDATE alert SET clear_since = $3 WHERE {ONE}");
    tx.run(&sql, params![condition.workspace, condition.id, since])
}

/// Ends an alert, which is kept until `forget_at`.
pub fn end(
    tx: &mut Tx<'_>,
    condition: &Condition,
    now: Timestamp,
    forget_at: Timestamp,
) -> Result<()> {
    let sql = format!("UPDATE alert SET over_at = $3, forget_at = $4 WHERE {ONE}");
    let values = params![condition.workspace, condition.id, now, forget_at];
    tx.run(&sql, values)
}

/// Drops a condition that has waited.
pub fn delete(tx: &mut Tx<'_>, condition: &Condition) -> Result<()> {
    let values = params![condition.workspace, condition.id];
    usage::remove(tx, &usage::ALERTS, ONE, values).map(drop)
}

/// Deletes the oldest alerts of the past so that a workspace has less than `most` rows. Returns false if it has as many
/// open conditions.
pub fn make_room(tx: &mut Tx<'_>, workspace: WorkspaceId, most: i64) -> Result<bool> {
    let counts = tx.conn()?.query_one(
        "SELECT count(*), count(over_at) FROM alert WHERE workspace = $1",
        params![workspace],
        |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)),
    )?;
    let (all, over) = counts.unwrap_or_default();
    let excess = all + 1 - most;
    if excess > over {
        return Ok(false);
    }
    if excess > 0 {
        let oldest = "workspace = $1 AND id IN (
            SELECT id FROM alert WHERE workspace = $1 AND over_at IS NOT NULL ORDER BY id LIMIT $2)";
        usage::remove(tx, &usage::ALERTS, oldest, params![workspace, excess])?;
    }
    Ok(true)
}

/// Lists open conditions of all workspaces in the order of workspace and id, after those.
pub fn list_open(
    conn: &mut Conn,
    after: (WorkspaceId, Uuid),
    limit: i64,
) -> Result<Vec<Condition>> {
    let sql = format!(
        "SELECT {COLUMNS}, workspace FROM alert WHERE over_at IS NULL AND (workspace, id) > ($1, $2)
         ORDER BY workspace, id LIMIT $3"
    );
    conn.query(&sql, params![after.0, after.1, limit], |row| {
        condition(WorkspaceId(row.uuid(11)?), row)
    })
}

/// Lists the open conditions about a thing.
pub fn list_open_about(
    conn: &mut Conn,
    workspace: WorkspaceId,
    key: &str,
) -> Result<Vec<Condition>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM alert WHERE workspace = $1 AND source = $2 AND over_at IS NULL"
    );
    conn.query(&sql, params![workspace, key], |row| {
        condition(workspace, row)
    })
}

/// The selection of a list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub state: Option<State>,
    pub kind: Option<Kind>,
    /// The id of the thing.
    pub source: Option<Uuid>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    /// Only those before this id.
    pub before: Option<Uuid>,
}

/// Lists at most `limit` alerts that have begun, the last ones first.
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Alert>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM alert WHERE workspace = $1 AND begun_at IS NOT NULL
           AND id < $2 AND (CAST($3 AS TEXT) = '' OR kind = $3) AND begun_at >= $4 AND begun_at < $5
           AND (CAST($6 AS BIGINT) = 0 OR CAST($6 AS BIGINT) = CASE WHEN over_at IS NULL THEN 1 ELSE 2 END)
           AND (CAST($7 AS TEXT) = '' OR body LIKE $7)
         ORDER BY id DESC LIMIT $8"
    );
    let state = match filter.state {
        None => 0,
        Some(State::Open) => 1,
        Some(State::Over) => 2,
    };
    // The ids of other things, such as integrations, have other members.
    let source = filter.source.map(|id| format!("%\"id\":\"{id}\"%"));
    let values = params![
        workspace,
        filter.before.unwrap_or(Uuid::max()),
        filter.kind.map_or("", Kind::name),
        filter.from.unwrap_or(Timestamp::from_micros(i64::MIN)),
        filter.to.unwrap_or(Timestamp::from_micros(i64::MAX)),
        state,
        source.as_deref().unwrap_or_default(),
        limit
    ];
    conn.query(&sql, values, alert)
}

/// Lists alerts that were over from `from` until before `to`, the last ones first.
pub fn list_over(
    conn: &mut Conn,
    workspace: WorkspaceId,
    from: Timestamp,
    to: Timestamp,
    limit: i64,
) -> Result<Vec<Alert>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM alert WHERE workspace = $1 AND begun_at IS NOT NULL AND over_at >= $2 AND over_at < $3
         ORDER BY over_at DESC, id DESC LIMIT $4"
    );
    conn.query(&sql, params![workspace, from, to, limit], alert)
}

/// Finds an alert that has begun.
pub fn find(conn: &mut Conn, workspace: WorkspaceId, id: Uuid) -> Result<Option<Alert>> {
    let sql = format!("SELECT {COLUMNS} FROM alert WHERE {ONE} AND begun_at IS NOT NULL");
    conn.query_one(&sql, params![workspace, id], alert)
}

/// Notes that somebody takes care of an alert. The first time counts.
pub fn acknowledge(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: Uuid,
    by: Option<UserId>,
    now: Timestamp,
) -> Result<()> {
    let sql = format!(
        "UPDATE alert SET acknowledged_at = $3, acknowledged_by = $4 WHERE {ONE} AND acknowledged_at IS NULL"
    );
    tx.run(&sql, params![workspace, id, now, by])
}

/// Deletes alerts of the past that are not kept any longer, at most `limit`. Returns their number.
pub fn forget(tx: &mut Tx<'_>, now: Timestamp, limit: i64) -> Result<u64> {
    let ended =
        "(workspace, id) IN (SELECT workspace, id FROM alert WHERE forget_at <= $1 LIMIT $2)";
    usage::remove(tx, &usage::ALERTS, ended, params![now, limit])
}

/// The text of a workspace's settings.
pub fn find_settings(conn: &mut Conn, workspace: WorkspaceId) -> Result<Option<String>> {
    let sql = "SELECT body FROM alert_setting WHERE workspace = $1";
    conn.query_one(sql, params![workspace], |row| row.get(0))
}

/// Locks a workspace's settings until the end of the transaction, against other nodes.
pub fn lock_settings(tx: &mut Tx<'_>, workspace: WorkspaceId) -> Result<()> {
    tx.lock_name(&format!("alert_setting {workspace}"))
        .map(drop)
}

pub fn put_settings(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    body: &str,
    now: Timestamp,
) -> Result<()> {
    let write = |tx: &mut Tx<'_>| {
        tx.run(
            "INSERT INTO alert_setting (workspace, body, updated_at) VALUES ($1, $2, $3)
             ON CONFLICT (workspace) DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at",
            params![workspace, body, now],
        )
    };
    let row = params![workspace];
    usage::change(tx, &usage::ALERT_SETTINGS, "workspace = $1", row, write)
}

fn condition(workspace: WorkspaceId, row: &Row<'_>) -> Result<Condition> {
    let time = |column| {
        let micros = row.get::<Option<i64>>(column)?;
        Ok::<_, Error>(micros.map(Timestamp::from_micros))
    };
    let (source, details) = body(row)?;
    Ok(Condition {
        workspace,
        id: row.uuid(0)?,
        kind: kind(row)?,
        key: row.get(2)?,
        source,
        message: row.get(7)?,
        details,
        since: row.time(3)?,
        open: Open {
            begun_at: time(4)?,
            clear_since: time(5)?,
        },
    })
}

fn alert(row: &Row<'_>) -> Result<Alert> {
    let time = |column| {
        let micros = row.get::<Option<i64>>(column)?;
        Ok::<_, Error>(micros.map(Timestamp::from_micros))
    };
    let (source, details) = body(row)?;
    let user = row.maybe_uuid(10)?.map(UserId);
    Ok(Alert {
        id: row.uuid(0)?,
        kind: kind(row)?,
        source,
        message: row.get(7)?,
        details,
        since: row.time(3)?,
        begun_at: row.time(4)?,
        over_at: time(6)?,
        acknowledged: time(9)?.map(|at| (at, user)),
    })
}

fn kind(row: &Row<'_>) -> Result<Kind> {
    let name: String = row.get(1)?;
    Kind::from_name(&name).ok_or_else(|| Error::corrupt("the kind of an alert is unknown"))
}

fn body(row: &Row<'_>) -> Result<(Source, Object)> {
    let text: String = row.get(8)?;
    let body: Option<Value> = serde_json::from_str(&text).ok();
    let read = body.as_ref().and_then(|body| {
        let source = Source::from_model(&body["source"])?;
        Some((source, body["details"].as_object()?.clone()))
    });
    read.ok_or_else(|| Error::corrupt("an alert is damaged"))
}
