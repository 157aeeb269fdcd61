//! Phone calls: the evidence of a call, and columns derived from it that lists and look-ups use.

mod totals;

use std::{collections::HashSet, fmt::Write as _, sync::LazyLock};

use prichal_core::{
    id::{EntityId, IntegrationId, UserId, WorkspaceId},
    time::Timestamp,
    update_info::UpdateInfo,
};
use uuid::Uuid;

pub use totals::{GroupBy, Totals, totals};

use crate::{
    Conn, Result, Row, Tx,
    quarantine::{Kind, not_held},
    update_info, usage,
    value::{Value, params},
};

#[derive(Clone, Debug)]
pub struct Communication {
    pub workspace: WorkspaceId,
    pub id: EntityId,
    pub integration: IntegrationId,
    /// The integration's name, which is the prefix of the full external id.
    pub integration_name: String,
    /// The call's id at the exchange, without the integration's name.
    pub external_id: Option<String>,
    /// The id as the exchange sent it, set if the exchange had used it for an earlier call.
    pub external_base: Option<String>,
    /// The number of later calls for which the exchange used the id of this call again.
    pub reuses: i64,
    /// The evidence, as JSON.
    pub call: String,
    pub first_seen: Timestamp,
    /// The group of the responsible user.
    pub group: Option<Uuid>,
    /// Links that were added because of the phone number, and links that a user removed again.
    pub auto_links: String,
    pub cut_links: String,
    pub found_by: FoundBy,
    /// The call that this one was merged into.
    pub merged_into: Option<Uuid>,
    pub update_info: UpdateInfo,
    pub deleted_at: Option<Timestamp>,
}

/// Columns derived from the evidence, for searching.
#[derive(Clone, Debug, Default)]
pub struct FoundBy {
    pub begun_at: Timestamp,
    pub direction: &'static str,
    pub status: &'static str,
    /// The search key of the client's phone number.
    pub phone: Option<String>,
    /// The workspace's own phone number.
    pub line: String,
    pub answered: bool,
    pub missed: bool,
    pub wait_ms: Option<i64>,
    pub talk_ms: i64,
    pub hold_ms: i64,
    pub responsible: Option<Uuid>,
    /// The time at which the call is given up unless further messages come.
    pub due_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, integration, integration_name, external_id, call, first_seen, user_group, \
    auto_links, cut_links, merged_into, deleted_at, created_at, created_by, created_with, updated_at, updated_by, updated_with, \
    external_base, reuses, phone";

/// Adds a call. Returns false if the exchange's id is taken.
pub fn insert(tx: &mut Tx<'_>, row: &Communication) -> Result<bool> {
    let mut values: Vec<Value<'_>> = params![row.workspace, row.id, row.first_seen].to_vec();
    values.extend(changing(row));
    values.extend(update_info::values(&row.update_info));
    let done = tx.changes_one(&INSERT, &values)?;
    if done {
        let texts = [&row.call, &row.auto_links, &row.cut_links];
        usage::add(tx, row.workspace, &texts.map(String::as_str));
    }
    Ok(done)
}

static INSERT: LazyLock<String> = LazyLock::new(|| {
    // The workspace, the id, the time it was first seen, the changing columns, and the six columns of `UpdateInfo`.
    let marks: Vec<String> = (1..=3 + CHANGING.len() + 6)
        .map(|n| format!("${n}"))
        .collect();
    format!(
        "INSERT INTO communication (workspace, id, first_seen, {}, {}) VALUES ({}) ON CONFLICT DO NOTHING",
        CHANGING.join(", "),
        update_info::COLUMNS,
        marks.join(", ")
    )
});

/// Updates a call that a `find_…_for_update` returned in the same transaction.
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

/// Adds users who take part in a call.
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

/// Finds a call and locks it until the end of the transaction.
pub fn find_for_update(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: EntityId,
) -> Result<Option<Communication>> {
    find_where(tx.conn()?, workspace, "id = $2", &[id.into()], FOR_UPDATE)
}

/// Finds the newest call with this id of the exchange.
pub fn find_external(
    conn: &mut Conn,
    workspace: WorkspaceId,
    integration: IntegrationId,
    external_id: &str,
) -> Result<Option<Communication>> {
    let keys = [integration.into(), external_id.into()];
    let first = find_where(conn, workspace, SAME_EXTERNAL_ID, &keys, "")?;
    if first.as_ref().is_none_or(|first| first.reuses == 0) {
        return Ok(first);
    }
    let condition = format!("{SAME_BASE_ID} ORDER BY id DESC LIMIT 1");
    find_where(conn, workspace, &condition, &keys, "")
}

/// The largest number of calls with a reused id that are looked at, besides the first call with the id.
const MAX_REUSED: i64 = 32;

/// Lists the calls with this id of the exchange, newest first, and locks them until the end of the transaction.
pub fn list_external_for_update(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    integration: IntegrationId,
    external_id: &str,
) -> Result<Vec<Communication>> {
    let keys = [integration.into(), external_id.into()];
    let Some(first) = find_where(tx.conn()?, workspace, SAME_EXTERNAL_ID, &keys, FOR_UPDATE)?
    else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    if first.reuses > 0 {
        let sql = format!(
            "SELECT {COLUMNS} FROM communication WHERE workspace = $1 AND {SAME_BASE_ID} ORDER BY id DESC LIMIT $4 {FOR_UPDATE}"
        );
        let values = params![workspace, integration, external_id, MAX_REUSED];
        found = tx.conn()?.query(&sql, values, |row| read(workspace, row))?;
    }
    found.push(first);
    Ok(found)
}

/// Tells if a call has exactly this id of the exchange.
pub fn is_external_taken(
    conn: &mut Conn,
    workspace: WorkspaceId,
    integration: IntegrationId,
    external_id: &str,
) -> Result<bool> {
    let sql = format!("SELECT 1 FROM communication WHERE workspace = $1 AND {SAME_EXTERNAL_ID}");
    let keys = params![workspace, integration, external_id];
    let found = conn.query_one(&sql, keys, |row| row.get::<i32>(0))?;
    Ok(found.is_some())
}

/// Counts a later call for which the exchange used this call's id again.
pub fn count_reuse(tx: &mut Tx<'_>, workspace: WorkspaceId, id: EntityId) -> Result<()> {
    let sql = "UPDATE communication SET reuses = reuses + 1 WHERE workspace = $1 AND id = $2";
    tx.run(sql, params![workspace, id])?;
    Ok(())
}

/// The size of evidence, in bytes, at which a step ends early.
const STEP_BYTES: usize = 1 << 20;

/// Lists the calls after one in the order of their ids, and locks them until the end of the transaction. The list has
/// fewer than `limit` calls if these would have too many bytes.
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

/// Sets the search key of a call's phone number.
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

/// Finds the oldest call to this phone that a user ordered through this integration at `since` or later and that has
/// no id of the exchange yet. Locks it until the end of the transaction.
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

const SAME_EXTERNAL_ID: &str = "integration = $2 AND external_id = $3";
const SAME_BASE_ID: &str = "integration = $2 AND external_base = $3";
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

/// Criteria of a list of calls.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub direction: Option<&'static str>,
    pub status: Option<&'static str>,
    pub missed: Option<bool>,
    pub answered: Option<bool>,
    /// Missed calls that were called back, or that were not.
    pub called_back: Option<bool>,
    /// The search key of a phone number.
    pub phone: Option<String>,
    /// The workspace's own phone number.
    pub line: Option<String>,
    pub user: Option<Uuid>,
    /// The user whose own calls alone are shown, as [`list_own`] tells them.
    pub own: Option<UserId>,
    /// The period. `from` is inclusive, `to` is exclusive.
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

/// An answered call of a user to the number of the call `c`, after it.
const CALL_BACK: &str =
    "SELECT 1 FROM communication b WHERE b.workspace = c.workspace AND b.phone = c.phone AND b.begun_at > c.begun_at
     AND b.direction = 'outbound' AND b.answered = 1 AND b.deleted_at IS NULL";

/// The calls of the user `?` among the calls `c`: those that the user takes or took part in, and missed ones that no
/// user has.
const OWN: &str = "(EXISTS (SELECT 1 FROM communication_user u WHERE u.workspace = c.workspace AND u.user_id = ? AND u.communication = c.id)
     OR c.missed = 1 AND NOT EXISTS (SELECT 1 FROM communication_user u WHERE u.workspace = c.workspace AND u.communication = c.id))";

/// The maximum number of calls in one look-up.
const MAX_LOOKED_UP: usize = 128;

/// Lists those of the calls with these ids that are the user's own. Deleted calls are among them.
pub fn list_own(
    conn: &mut Conn,
    workspace: WorkspaceId,
    user: UserId,
    ids: &[Uuid],
) -> Result<HashSet<Uuid>> {
    let mut found = HashSet::new();
    for ids in ids.chunks(MAX_LOOKED_UP) {
        // A fixed number of statements: a short list repeats its last id.
        let count = ids.len().next_power_of_two();
        let marks: Vec<String> = (3..count + 3).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT c.id FROM communication c WHERE c.workspace = $1 AND {} AND c.id IN ({})",
            OWN.replace('?', "$2"),
            marks.join(", ")
        );
        let last = ids.last().copied().unwrap_or_default();
        let padded = ids.iter().copied().chain(std::iter::repeat(last));
        let mut values: Vec<Value<'_>> = params![workspace, user].to_vec();
        values.extend(padded.take(count).map(Value::from));
        found.extend(conn.query(&sql, &values, |row| row.uuid(0))?);
    }
    Ok(found)
}

impl Filter {
    /// Returns the condition, and the values of its parameters from `$2` on.
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
        add("c.answered = ?", self.answered.map(Into::into));
        add("c.phone = ?", self.phone.clone().map(Into::into));
        add("c.line = ?", self.line.clone().map(Into::into));
        add("c.begun_at >= ?", self.from.map(Into::into));
        add("c.begun_at < ?", self.to.map(Into::into));
        add(
            "EXISTS (SELECT 1 FROM communication_user u WHERE u.workspace = c.workspace AND u.user_id = ? AND u.communication = c.id)",
            self.user.map(Into::into),
        );
        add(OWN, self.own.map(Into::into));
        // A literal, for the index of missed calls.
        if let Some(is_missed) = self.missed {
            let _ = write!(sql, " AND c.missed = {}", i32::from(is_missed));
        }
        if let Some(is_called_back) = self.called_back {
            let not = if is_called_back { "" } else { "NOT" };
            let _ = write!(sql, " AND c.missed = 1 AND {not} EXISTS ({CALL_BACK})");
        }
        (sql, values)
    }
}

/// The size at which a page ends early, so that calls with much evidence cannot exhaust the memory.
const MAX_PAGE_BYTES: usize = 1 << 20;

/// Lists a page of calls, newest first, with their total number.
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
    let found = conn.query_within(&sql, &all, MAX_PAGE_BYTES, size, |row| read(workspace, row))?;
    Ok((count.unwrap_or(0), found))
}

/// The place of a call in the order of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub begun_at: Timestamp,
    pub id: EntityId,
}

/// Lists the calls after a place, newest first, without counting them, and tells if there are more. The list has fewer
/// than `limit` calls if these would have too many bytes.
pub fn list_after(
    conn: &mut Conn,
    workspace: WorkspaceId,
    filter: &Filter,
    after: Option<Place>,
    limit: i64,
) -> Result<(Vec<Communication>, bool)> {
    let (mut condition, values) = filter.condition();
    let mut all = vec![Value::from(workspace)];
    all.extend(values);
    if let Some(after) = after {
        let n = all.len();
        let _ = write!(
            condition,
            " AND (c.begun_at, c.id) < (${}, ${})",
            n + 1,
            n + 2
        );
        all.extend_from_slice(params![after.begun_at, after.id]);
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM communication c WHERE {condition} ORDER BY begun_at DESC, id DESC LIMIT ${}",
        all.len() + 1
    );
    all.push((limit + 1).into());
    let size = |one: &Communication| one.call.len() + one.auto_links.len() + one.cut_links.len();
    let mut found =
        conn.query_within(&sql, &all, MAX_PAGE_BYTES, size, |row| read(workspace, row))?;
    let is_cut = found.iter().map(size).sum::<usize>() >= MAX_PAGE_BYTES;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = is_cut || found.len() > limit;
    found.truncate(limit);
    Ok((found, has_more))
}

/// Lists calls that are in progress, at most `limit`.
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

/// Lists the newest calls with this phone that are linked to no contact and no company, at most `limit`.
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

/// Tells if a user called this phone after `after` and was answered.
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

/// Due calls, and the time at which the next call becomes due.
pub type Due = (Vec<(WorkspaceId, EntityId)>, Option<Timestamp>);

/// The number of due calls among which workspaces take turns.
const MAX_DUE: i64 = 2048;

/// Lists the calls that are to be given up at `now`, at most `limit`. Workspaces take turns among those that are due first.
pub fn list_due(conn: &mut Conn, now: Timestamp, limit: i64) -> Result<Due> {
    let sql = format!(
        "SELECT workspace, id FROM (
           SELECT workspace, id, due_at, row_number() OVER (PARTITION BY workspace ORDER BY due_at) AS turn
           FROM (SELECT workspace, id, due_at FROM communication WHERE due_at <= $1 AND {} ORDER BY due_at LIMIT $3) AS first
         ) AS due
         ORDER BY turn, due_at LIMIT $2",
        not_held(Kind::Call, "communication")
    );
    let due = conn.query(&sql, params![now, limit, MAX_DUE], |row| {
        Ok((WorkspaceId(row.uuid(0)?), EntityId(row.uuid(1)?)))
    })?;
    let next = conn.query_one(
        "SELECT due_at FROM communication WHERE due_at > $1 ORDER BY due_at LIMIT 1",
        params![now],
        |row| row.time(0),
    )?;
    Ok((due, next))
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
        update_info: update_info::read(row, 11)?,
    })
}
