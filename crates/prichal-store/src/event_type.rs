//! A workspace's own event types.

use prichal_core::{id::WorkspaceId, update_info::UpdateInfo};
use uuid::Uuid;

use crate::{
    Conn, Result, Row, Tx, update_info, usage,
    value::{Value, params},
};

#[derive(Clone, Debug)]
pub struct EventType {
    pub name: String,
    /// Identifies the definition: a changed type has a new one.
    pub revision: Uuid,
    /// A JSON object.
    pub definition: String,
    pub update_info: UpdateInfo,
}

const COLUMNS: &str = "name, revision, definition";
const PLACE: &str = "workspace = $1 AND name = $2";
/// The largest number of names in one statement.
const MAX_NAMES: usize = 64;

/// Adds a type, or replaces the one of its name. The creation of a replaced one stays.
pub fn put(tx: &mut Tx<'_>, workspace: WorkspaceId, new: &EventType) -> Result<()> {
    let EventType {
        name,
        revision,
        definition,
        update_info,
    } = new;
    let mut values = params![workspace, name, *revision, definition].to_vec();
    values.extend(update_info::values(update_info));
    let write = |tx: &mut Tx<'_>| {
        tx.run(
            "INSERT INTO event_type (workspace, name, revision, definition, created_at, created_by, created_with, updated_at, updated_by, updated_with)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (workspace, name) DO UPDATE SET revision = excluded.revision, definition = excluded.definition,
               updated_at = excluded.updated_at, updated_by = excluded.updated_by, updated_with = excluded.updated_with",
            &values,
        )
    };
    usage::change(
        tx,
        &usage::EVENT_TYPES,
        PLACE,
        params![workspace, name],
        write,
    )
}

/// Deletes a type. Its events stay in the log.
pub fn delete(tx: &mut Tx<'_>, workspace: WorkspaceId, name: &str) -> Result<()> {
    usage::remove(tx, &usage::EVENT_TYPES, PLACE, params![workspace, name]).map(drop)
}

/// Locks the event types of a workspace until the end of the transaction, so that two nodes cannot both add one.
pub fn lock(tx: &mut Tx<'_>, workspace: WorkspaceId) -> Result<()> {
    tx.lock_name(&format!("event_type {workspace}")).map(drop)
}

pub fn find(conn: &mut Conn, workspace: WorkspaceId, name: &str) -> Result<Option<EventType>> {
    let sql = format!(
        "SELECT {COLUMNS}, {} FROM event_type WHERE {PLACE}",
        update_info::COLUMNS
    );
    conn.query_one(&sql, params![workspace, name], read)
}

pub fn count(conn: &mut Conn, workspace: WorkspaceId) -> Result<i64> {
    let sql = "SELECT count(*) FROM event_type WHERE workspace = $1";
    let count = conn.query_one(sql, params![workspace], |row| row.get(0))?;
    Ok(count.unwrap_or(0))
}

/// The size of definitions at which a list ends early.
const MAX_LIST_BYTES: usize = 1 << 20;

/// Lists types in the order of their names. Fewer than `limit` if their definitions exceed [`MAX_LIST_BYTES`].
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    offset: i64,
    limit: i64,
) -> Result<Vec<EventType>> {
    let sql = format!(
        "SELECT {COLUMNS}, {} FROM event_type WHERE workspace = $1 ORDER BY name LIMIT $2 OFFSET $3",
        update_info::COLUMNS
    );
    let values = params![workspace, limit, offset];
    let size = |found: &EventType| found.definition.len();
    conn.query_within(&sql, values, MAX_LIST_BYTES, size, read)
}

/// The revisions of the types that exist, by name.
pub fn revisions(
    conn: &mut Conn,
    workspace: WorkspaceId,
    names: &[String],
) -> Result<Vec<(String, Uuid)>> {
    let mut found = Vec::with_capacity(names.len());
    for names in names.chunks(MAX_NAMES) {
        // A fixed number of statements: a short list repeats its last name.
        let count = names.len().next_power_of_two();
        let marks: Vec<String> = (2..count + 2).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT name, revision FROM event_type WHERE workspace = $1 AND name IN ({})",
            marks.join(", ")
        );
        let mut values: Vec<Value<'_>> = params![workspace].to_vec();
        let last = names.last().map_or("", String::as_str);
        let padded = names
            .iter()
            .map(String::as_str)
            .chain(std::iter::repeat(last));
        values.extend(padded.take(count).map(Value::from));
        found.extend(conn.query(&sql, &values, |row| Ok((row.get(0)?, row.uuid(1)?)))?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<EventType> {
    Ok(EventType {
        name: row.get(0)?,
        revision: row.uuid(1)?,
        definition: row.get(2)?,
        update_info: update_info::read(row, 3)?,
    })
}
