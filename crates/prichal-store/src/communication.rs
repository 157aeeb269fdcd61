//! Calls as communications: their evidence, and the columns by which they are found.

use std::sync::LazyLock;

use prichal_core::{
    id::{EntityId, IntegrationId, WorkspaceId},
    time::Timestamp,
    update_info::UpdateInfo,
};
use uuid::Uuid;

use crate::{
    Conn, Result, Row, Tx,
    quarantine::{Kind, not_held},
    stamps, usage,
    value::{Value, params},
};

#[derive(Clone, Debug)]
pub struct Communication {
    pub workspace: WorkspaceId,
    pub id: EntityId,
    pub integration: IntegrationId,
    /// As it stands before the exchange's id.
    pub integration_name: String,
    /// The exchange's id of the call, without the integration's name.
    pub external_id: Option<String>,
    /// That id as the exchange sends it, where it had given it to another call before.
    pub external_base: Option<String>,
    /// The count of later calls that have got this one's id.
    pub reuses: i64,
    /// The evidence, as JSON.
    pub call: String,
    pub first_seen: Timestamp,
    /// The group of the user who is responsible.
    pub group: Option<Uuid>,
    /// What was linked because of the phone, and what a user took away again.
    pub auto_links: String,
    pub cut_links: String,
    pub found_by: FoundBy,
    /// The record that this one turned out to be.
    pub merged_into: Option<Uuid>,
    pub update_info: UpdateInfo,
    pub deleted_at: Option<Timestamp>,
}

/// What follows from the evidence and is looked for.
#[derive(Clone, Debug, Default)]
pub struct FoundBy {
    pub begun_at: Timestamp,
    pub direction: &'static str,
    pub status: &'static str,
    /// The key of the client's phone.
    pub phone: Option<String>,
    /// Our own number.
    pub line: String,
    pub answered: bool,
    pub missed: bool,
    pub wait_ms: Option<i64>,
    pub talk_ms: i64,
    pub hold_ms: i64,
    pub responsible: Option<Uuid>,
    /// When the call is given up if nothing more comes.
    pub due_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, integration, integration_name, external_id, call, first_seen, user_group, \
    auto_links, cut_links, merged_into, deleted_at, created_at, created_by, created_with, updated_at, updated_by, updated_with, \
    external_base, reuses, phone";

/// Adds a call. False when the exchange's id is taken already.
pub fn insert(tx: &mut Tx<'_>, row: &Communication) -> Result<bool> {
    let mut values: Vec<Value<'_>> = params![row.workspace, row.id, row.first_seen].to_vec();
    values.extend(changing(row));
    values.extend(stamps::values(&row.update_info));
    let done = tx.changes_one(&INSERT, &values)?;
    if done {
        let texts = [&row.call, &row.auto_links, &row.cut_links];
        usage::add(tx, row.workspace, &texts.map(String::as_str));
    }
    Ok(done)
}

static INSERT: LazyLock<String> = LazyLock::new(|| {
    // The workspace, the id and when it was first seen, what changes, and six stamps.
    let marks: Vec<String> = (1..=3 + CHANGING.len() + 6)
        .map(|n| format!("${n}"))
        .collect();
    format!(
        "INSERT INTO communication (workspace, id, first_seen, {}, {}) VALUES ({}) ON CONFLICT DO NOTHING",
        CHANGING.join(", "),
        stamps::COLUMNS,
        marks.join(", ")
    )
});

/// Writes what a call has become. The caller has it from a `find_…_for_update` of this transaction.
pub fn update(tx: &mut Tx<'_>, row: &Communication) -> Result<()> {
    let mut values: Vec<Value<'_>> = params![row.workspace, row.id].to_vec();
    values.extend(changing(row));
    values.extend_from_slice(params![
        row.update_info.updated_at,
        row.update_info.updated.user,
        &row.update_info.updated.with,
        row.deleted_at
    ]);
    let one = "workspace = $1 AND id = $2";
    usage::change(tx, &usage::CALLS, one, &values[..2], |tx| {
        tx.run(&UPDATE, &values)
    })
}

static UPDATE: LazyLock<String> = LazyLock::new(|| {
    let names = CHANGING.iter().copied();
    let names = names.chain(["updated_at", "updated_by", "updated_with", "deleted_at"]);
    let sets: Vec<String> = names
        .enumerate()
        .map(|(n, name)| format!("{name} = ${}", n + 3))
        .collect();
    format!(
        "UPDATE communication SET {} WHERE workspace = $1 AND id = $2",
        sets.join(", ")
    )
});

const CHANGING: [&str; 21] = [
    "integration",
    "integration_name",
    "external_id",
    "call",
    "user_group",
    "auto_links",
    "cut_links",
    "begun_at",
    "direction",
    "status",
    "phone",
    "line",
    "answered",
    "missed",
    "wait_ms",
    "talk_ms",
    "hold_ms",
    "responsible",
    "due_at",
    "merged_into",
    "external_base",
];

fn changing(row: &Communication) -> Vec<Value<'_>> {
    let by = &row.found_by;
    params![
        row.integration,
        &row.integration_name,
        row.external_id.as_deref(),
        &row.call,
        row.group,
        &row.auto_links,
        &row.cut_links,
        by.begun_at,
        by.direction,
        by.status,
        by.phone.as_deref(),
        &by.line,
        by.answered,
        by.missed,
        by.wait_ms,
        by.talk_ms,
        by.hold_ms,
        by.responsible,
        by.due_at,
        row.merged_into,
        row.external_base.as_deref()
    ]
    .to_vec()
}

/// Notes who has a part in a call.
pub fn add_users(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: EntityId,
    users: &[Uuid],
) -> Result<()> {
    for user in users {
        tx.run(
            "INSERT INTO communication_user (workspace, user_id, communication) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            params![workspace, *user, id],
        )?;
    }
    Ok(())
}

pub fn find(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: EntityId,
) -> Result<Option<Communication>> {
    find_where(conn, workspace, "id = $2", &[id.into()], "")
}

/// The same, held until the end of the transaction.
pub fn find_for_update(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: EntityId,
) -> Result<Option<Communication>> {
    find_where(tx.conn()?, workspace, "id = $2", &[id.into()], FOR_UPDATE)
}

/// The newest of the calls that have this id of the exchange.
pub fn find_external(
    conn: &mut Conn,
    workspace: WorkspaceId,
    integration: IntegrationId,
    external_id: &str,
) -> Result<Option<Communication>> {
    let keys = [integration.into(), external_id.into()];
    let first = find_where(conn, workspace, EXTERNAL, &keys, "")?;
    if first.as_ref().is_none_or(|first| first.reuses == 0) {
        return Ok(first);
    }
    let condition = format!("{BASE} ORDER BY id DESC LIMIT 1");
    find_where(conn, workspace, &condition, &keys, "")
}

/// The most of the newest calls of one id that are looked through, beside the first one.
const NAMED: i64 = 32;

/// The calls that have this id of the exchange, the newest first, held until the end of the transaction.
pub fn list_external_for_update(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    integration: IntegrationId,
    external_id: &str,
) -> Result<Vec<Communication>> {
    let keys = [integration.into(), external_id.into()];
    let Some(first) = find_where(tx.conn()?, workspace, EXTERNAL, &keys, FOR_UPDATE)? else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    if first.reuses > 0 {
        let sql = format!(
            "SELECT {COLUMNS} FROM communication WHERE workspace = $1 AND {BASE} ORDER BY id DESC LIMIT $4 {FOR_UPDATE}"
        );
        let values = params![workspace, integration, external_id, NAMED];
        found = tx.conn()?.query(&sql, values, |row| read(workspace, row))?;
    }
    found.push(first);
    Ok(found)
}

/// Looks for a call that has exactly this id.
pub fn is_external_taken(
    conn: &mut Conn,
    workspace: WorkspaceId,
    integration: IntegrationId,
    external_id: &str,
) -> Result<bool> {
    let sql = format!("SELECT 1 FROM communication WHERE workspace = $1 AND {EXTERNAL}");
    let keys = params![workspace, integration, external_id];
    let found = conn.query_one(&sql, keys, |row| row.get::<i32>(0))?;
    Ok(found.is_some())
}

/// Counts one more call that has got this one's id.
pub fn count_reuse(tx: &mut Tx<'_>, workspace: WorkspaceId, id: EntityId) -> Result<()> {
    let sql = "UPDATE communication SET reuses = reuses + 1 WHERE workspace = $1 AND id = $2";
    tx.run(sql, params![workspace, id])?;
    Ok(())
}

/// A step is cut short once its calls have this much evidence.
const STEP_BYTES: usize = 1 << 20;

/// The calls after one, in the order of their ids, held until the end of the transaction; fewer than `limit` where
/// they would have too many bytes.
pub fn list_after_for_update(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Communication>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM communication WHERE workspace = $1 AND id > $2 ORDER BY id LIMIT $3 {FOR_UPDATE}"
    );
    let values = params![workspace, after, limit];
    tx.conn()?.query_within(
        &sql,
        values,
        STEP_BYTES,
        |row: &Communication| row.call.len(),
        |row| read(workspace, row),
    )
}

/// Sets the key of a call's number.
pub fn set_phone(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: EntityId,
    phone: Option<&str>,
) -> Result<()> {
    let sql = "UPDATE communication SET phone = $3 WHERE workspace = $1 AND id = $2";
    tx.run(sql, params![workspace, id, phone])?;
    Ok(())
}

/// The oldest call to this phone that a user asked this integration for at `since` or later and that
/// the exchange has not named yet.
pub fn find_pending_for_update(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    integration: IntegrationId,
    phone: &str,
    since: Timestamp,
) -> Result<Option<Communication>> {
    let keys = [integration.into(), phone.into(), since.into()];
    let condition = "integration = $2 AND phone = $3 AND created_at >= $4 AND external_id IS NULL
        AND status = 'active' AND direction = 'outbound' AND deleted_at IS NULL ORDER BY id LIMIT 1";
    find_where(tx.conn()?, workspace, condition, &keys, FOR_UPDATE)
}

const EXTERNAL: &str = "integration = $2 AND external_id = $3";
const BASE: &str = "integration = $2 AND external_base = $3";
const FOR_UPDATE: &str = "/*postgres FOR UPDATE*/";

fn find_where(
    conn: &mut Conn,
    workspace: WorkspaceId,
    condition: &str,
    keys: &[Value<'_>],
    lock: &str,
) -> Result<Option<Communication>> {
    let sql =
        format!("SELECT {COLUMNS} FROM communication WHERE workspace = $1 AND {condition} {lock}");
    let mut values = vec![Value::from(workspace)];
    values.extend_from_slice(keys);
    conn.query_one(&sql, &values, |row| read(workspace, row))
}

/// What a list is narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub direction: Option<&'static str>,
    pub status: Option<&'static str>,
    pub missed: Option<bool>,
    /// A phone's key.
    pub phone: Option<String>,
    pub user: Option<Uuid>,
    /// The period: from here, and up to but without there.
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

impl Filter {
    /// The condition, and the values of `$2` and up.
    fn condition(&self) -> (String, Vec<Value<'static>>) {
        let mut values: Vec<Value<'static>> = Vec::new();
        let mut sql = String::from("c.workspace = $1 AND c.deleted_at IS NULL");
        let mut add = |condition: &str, value: Option<Value<'static>>| {
            if let Some(value) = value {
                values.push(value);
                sql.push_str(" AND ");
                sql.push_str(&condition.replace('?', &format!("${}", values.len() + 1)));
            }
        };
        add("c.direction = ?", self.direction.map(Into::into));
        add("c.status = ?", self.status.map(Into::into));
        add("c.missed = ?", self.missed.map(Into::into));
        add("c.phone = ?", self.phone.clone().map(Into::into));
        add("c.begun_at >= ?", self.from.map(Into::into));
        add("c.begun_at < ?", self.to.map(Into::into));
        add(
            "EXISTS (SELECT 1 FROM communication_user u WHERE u.workspace = c.workspace AND u.user_id = ? AND u.communication = c.id)",
            self.user.map(Into::into),
        );
        (sql, values)
    }
}

/// A page is cut short once it holds this much, so that long calls can't fill the memory.
const PAGE_BYTES: usize = 1 << 20;

/// A page, newest first, and how many there are.
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    filter: &Filter,
    offset: i64,
    limit: i64,
) -> Result<(i64, Vec<Communication>)> {
    let (condition, values) = filter.condition();
    let mut all = vec![Value::from(workspace)];
    all.extend(values);
    let count = conn.query_one(
        &format!("SELECT count(*) FROM communication c WHERE {condition}"),
        &all,
        |row| row.get(0),
    )?;
    let sql = format!(
        "SELECT {COLUMNS} FROM communication c WHERE {condition} ORDER BY begun_at DESC, id DESC LIMIT ${} OFFSET ${}",
        all.len() + 1,
        all.len() + 2
    );
    all.extend_from_slice(params![limit, offset]);
    let size = |one: &Communication| one.call.len() + one.auto_links.len() + one.cut_links.len();
    let found = conn.query_within(&sql, &all, PAGE_BYTES, size, |row| read(workspace, row))?;
    Ok((count.unwrap_or(0), found))
}

/// Calls that go on, at most `limit`.
pub fn list_active(
    conn: &mut Conn,
    workspace: WorkspaceId,
    limit: i64,
) -> Result<Vec<Communication>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM communication WHERE workspace = $1 AND status = 'active' AND deleted_at IS NULL ORDER BY id DESC LIMIT $2"
    );
    conn.query(&sql, params![workspace, limit], |row| read(workspace, row))
}

/// The newest calls with this phone that are linked with no contact and no company, at most `limit`.
pub fn list_unlinked(
    conn: &mut Conn,
    workspace: WorkspaceId,
    phone: &str,
    limit: i64,
) -> Result<Vec<EntityId>> {
    conn.query(
        "SELECT id FROM communication c WHERE workspace = $1 AND phone = $2 AND deleted_at IS NULL
         AND NOT EXISTS (SELECT 1 FROM link l WHERE l.workspace = c.workspace AND l.kind = 'communication' AND l.id = c.id
                         AND l.other_kind IN ('contact', 'company'))
         ORDER BY begun_at DESC LIMIT $3",
        params![workspace, phone, limit],
        |row| Ok(EntityId(row.uuid(0)?)),
    )
}

/// Whether somebody has called this phone and talked, after `after`.
pub fn was_called_back(
    conn: &mut Conn,
    workspace: WorkspaceId,
    phone: &str,
    after: Timestamp,
) -> Result<bool> {
    let sql = "SELECT 1 FROM communication WHERE workspace = $1 AND phone = $2 AND begun_at > $3
        AND direction = 'outbound' AND answered = 1 AND deleted_at IS NULL LIMIT 1";
    let found = conn.query_one(sql, params![workspace, phone, after], |row| {
        row.get::<i32>(0)
    });
    Ok(found?.is_some())
}

/// Calls that are due, and when the next one after those is.
pub type Due = (Vec<(WorkspaceId, EntityId)>, Option<Timestamp>);

/// Calls that are due to be given up at `now`, at most `limit`, by turns of their workspaces.
pub fn list_due(conn: &mut Conn, now: Timestamp, limit: i64) -> Result<Due> {
    let sql = format!(
        "SELECT workspace, id FROM (
           SELECT workspace, id, due_at, row_number() OVER (PARTITION BY workspace ORDER BY due_at) AS turn
           FROM communication WHERE due_at <= $1 AND {}) AS due
         ORDER BY turn, due_at LIMIT $2",
        not_held(Kind::Call, "communication")
    );
    let due = conn.query(&sql, params![now, limit], |row| {
        Ok((WorkspaceId(row.uuid(0)?), EntityId(row.uuid(1)?)))
    })?;
    let next = conn.query_one(
        "SELECT due_at FROM communication WHERE due_at > $1 ORDER BY due_at LIMIT 1",
        params![now],
        |row| row.time(0),
    )?;
    Ok((due, next))
}

/// What the calls of a group come to.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// A user's id, a line, or the number of a day or an hour since 1970.
    pub group: Option<String>,
    pub count: i64,
    pub inbound: i64,
    pub outbound: i64,
    pub internal: i64,
    pub answered: i64,
    pub missed: i64,
    pub talk_ms: i64,
    pub hold_ms: i64,
    /// Over the calls whose wait is known.
    pub wait_ms: i64,
    pub waits: i64,
}

/// What calls are added up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    User,
    Day,
    Hour,
    Line,
}

/// Adds up the calls of a period, at most `limit` groups.
pub fn totals(
    conn: &mut Conn,
    workspace: WorkspaceId,
    period: &Filter,
    by: GroupBy,
    limit: i64,
) -> Result<Vec<Totals>> {
    let group = match by {
        GroupBy::User => "responsible",
        GroupBy::Line => "line",
        GroupBy::Day => "CAST(begun_at / 86400000000 AS TEXT)",
        GroupBy::Hour => "CAST(begun_at / 3600000000 AS TEXT)",
    };
    let (condition, values) = period.condition();
    let mut all = vec![Value::from(workspace)];
    all.extend(values);
    let count = |what: &str| format!("CAST(sum(CASE WHEN {what} THEN 1 ELSE 0 END) AS BIGINT)");
    let sum = |what: &str| format!("CAST(coalesce(sum({what}), 0) AS BIGINT)");
    let sql = format!(
        "SELECT {group}, count(*), {}, {}, {}, {}, {}, {}, {}, {}, count(wait_ms) FROM communication c
         WHERE {condition} GROUP BY 1 ORDER BY 1 LIMIT ${}",
        count("direction = 'inbound'"),
        count("direction = 'outbound'"),
        count("direction = 'internal'"),
        count("answered = 1"),
        count("missed = 1"),
        sum("talk_ms"),
        sum("hold_ms"),
        sum("wait_ms"),
        all.len() + 1
    );
    all.push(limit.into());
    conn.query(&sql, &all, |row| {
        Ok(Totals {
            group: row.get(0)?,
            count: row.get(1)?,
            inbound: row.get(2)?,
            outbound: row.get(3)?,
            internal: row.get(4)?,
            answered: row.get(5)?,
            missed: row.get(6)?,
            talk_ms: row.get(7)?,
            hold_ms: row.get(8)?,
            wait_ms: row.get(9)?,
            waits: row.get(10)?,
        })
    })
}

fn read(workspace: WorkspaceId, row: &Row<'_>) -> Result<Communication> {
    Ok(Communication {
        workspace,
        id: EntityId(row.uuid(0)?),
        integration: IntegrationId(row.uuid(1)?),
        integration_name: row.get(2)?,
        external_id: row.get(3)?,
        external_base: row.get(17)?,
        reuses: row.get(18)?,
        call: row.get(4)?,
        first_seen: row.time(5)?,
        group: row.maybe_uuid(6)?,
        auto_links: row.get(7)?,
        cut_links: row.get(8)?,
        found_by: FoundBy {
            phone: row.get(19)?,
            ..FoundBy::default()
        },
        merged_into: row.maybe_uuid(9)?,
        deleted_at: row.get::<Option<i64>>(10)?.map(Timestamp::from_micros),
        update_info: stamps::read(row, 11)?,
    })
}
