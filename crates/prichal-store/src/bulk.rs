//! Bulk calls: each element is a row that is worked at once, by any node.

use prichal_core::id::WorkspaceId;
use uuid::Uuid;

use crate::{Conn, Result, Row, Tx, insert::Insert, value::params};

/// An element of a bulk call.
#[derive(Clone, Debug)]
pub struct Element {
    pub workspace: WorkspaceId,
    pub id: Uuid,
    /// Which operation it is: the call's path without what all have in common.
    pub path: String,
    /// Who asked, JSON.
    pub caller: String,
    /// What is asked for, JSON.
    pub data: String,
    /// The word of the vendor's, such as `Created`.
    pub status: String,
    /// JSON.
    pub result: Option<String>,
    /// JSON.
    pub errors: Option<String>,
    /// How many times it was begun.
    pub tries: i64,
    /// Seconds since 1970.
    pub created_on: i64,
    pub completed_on: Option<i64>,
}

static BULK: Insert = Insert::new(
    "bulk",
    &[
        "workspace",
        "id",
        "path",
        "caller",
        "data",
        "status",
        "tries",
        "created_on",
    ],
);

const COLUMNS: &str =
    "workspace, id, path, caller, data, status, result, errors, tries, created_on, completed_on";

/// Adds an element under an id that is fresh.
pub fn insert(tx: &mut Tx<'_>, element: &Element) {
    let Element {
        workspace,
        id,
        path,
        caller,
        data,
        status,
        tries,
        created_on,
        ..
    } = element.clone();
    let values = params![workspace, id, path, caller, data, status, tries, created_on];
    tx.insert(&BULK, values.to_vec());
}

/// The elements of a workspace with these ids.
pub fn find(conn: &mut Conn, workspace: WorkspaceId, ids: &[Uuid]) -> Result<Vec<Element>> {
    // In bites, so that the statements are few and of bounded length.
    let mut found = Vec::new();
    for bite in ids.chunks(100) {
        let marks: Vec<String> = (2..bite.len() + 2).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT {COLUMNS} FROM bulk WHERE workspace = $1 AND id IN ({})",
            marks.join(", ")
        );
        let mut values = params![workspace].to_vec();
        values.extend(bite.iter().map(|id| (*id).into()));
        found.extend(conn.query(&sql, &values, read)?);
    }
    Ok(found)
}

/// A page of a workspace's elements, newest first, and how many there are.
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    skip: i64,
    top: i64,
) -> Result<(i64, Vec<Element>)> {
    let total = conn.query_one(
        "SELECT count(*) FROM bulk WHERE workspace = $1",
        params![workspace],
        |row| row.get(0),
    )?;
    let sql = format!(
        "SELECT {COLUMNS} FROM bulk WHERE workspace = $1 ORDER BY id DESC LIMIT $3 OFFSET $2"
    );
    let found = conn.query(&sql, params![workspace, skip, top], read)?;
    Ok((total.unwrap_or(0), found))
}

/// How many elements are not done yet.
pub fn count_waiting(conn: &mut Conn) -> Result<i64> {
    let sql = "SELECT count(*) FROM bulk WHERE completed_on IS NULL";
    Ok(conn.query_one(sql, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Takes elements over that wait and belong to no node that lives, the oldest first.
pub fn claim(
    tx: &mut Tx<'_>,
    node: Uuid,
    now: i64,
    status: &str,
    limit: i64,
) -> Result<Vec<Element>> {
    let sql = format!(
        "UPDATE bulk SET owner = $1, status = $3, tries = tries + 1 WHERE (workspace, id) IN (
           SELECT workspace, id FROM bulk WHERE completed_on IS NULL AND (owner IS NULL OR (owner <> $1
             AND owner NOT IN (SELECT id FROM node WHERE until > $2)))
           ORDER BY id LIMIT $4 /*postgres FOR UPDATE SKIP LOCKED*/)
         RETURNING {COLUMNS}"
    );
    let micros = now.saturating_mul(1_000_000);
    let mut claimed = tx.change(&sql, params![node, micros, status, limit], read)?;
    claimed.sort_by_key(|element| element.id);
    Ok(claimed)
}

/// Gives back what a node had when it was stopped; all there is when no other can be at work.
pub fn release(tx: &mut Tx<'_>, node: Uuid, alone: bool) -> Result<()> {
    tx.run(
        "UPDATE bulk SET owner = NULL WHERE completed_on IS NULL AND (owner = $1 OR $2 = 1)",
        params![node, alone],
    )?;
    Ok(())
}

/// Writes how an element has ended. False when it is no longer this node's: then nothing else of the
/// transaction may be kept.
pub fn settle(tx: &mut Tx<'_>, node: Uuid, element: &Element) -> Result<bool> {
    let settled = tx.changes_one(
        "UPDATE bulk SET status = $4, result = $5, errors = $6, completed_on = $7, owner = NULL
         WHERE workspace = $1 AND id = $2 AND owner = $3 AND completed_on IS NULL",
        params![
            element.workspace,
            element.id,
            node,
            &element.status,
            element.result.as_deref(),
            element.errors.as_deref(),
            element.completed_on
        ],
    )?;
    Ok(settled)
}

/// Removes elements that were completed before `before`, in seconds, at most `limit`.
pub fn forget(tx: &mut Tx<'_>, before: i64, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM bulk WHERE (workspace, id) IN (SELECT workspace, id FROM bulk WHERE completed_on < $1 LIMIT $2)",
        params![before, limit],
    )
}

fn read(row: &Row<'_>) -> Result<Element> {
    Ok(Element {
        workspace: WorkspaceId(row.uuid(0)?),
        id: row.uuid(1)?,
        path: row.get(2)?,
        caller: row.get(3)?,
        data: row.get(4)?,
        status: row.get(5)?,
        result: row.get(6)?,
        errors: row.get(7)?,
        tries: row.get(8)?,
        created_on: row.get(9)?,
        completed_on: row.get(10)?,
    })
}
