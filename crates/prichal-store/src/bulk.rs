//! Bulk calls: each element is a row that is worked at once, by any node.

use std::collections::HashMap;

use prichal_core::id::WorkspaceId;
use uuid::Uuid;

use crate::{
    Conn, Result, Row, Tx,
    insert::Insert,
    quarantine::{Kind, not_held},
    value::{Value, params},
    webhook::none_of,
};

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

/// How many workspaces a claim takes elements of.
const TURNS: i64 = 32;

/// What a claim may take.
#[derive(Clone, Debug)]
pub struct Room {
    /// How many elements all in all, and how many of one workspace at once.
    pub all: i64,
    pub share: i64,
    /// How many of each workspace are under way.
    pub under_way: HashMap<WorkspaceId, i64>,
    /// The workspace that had the last turn.
    pub after: WorkspaceId,
    /// Those that get no turn.
    pub over: Vec<WorkspaceId>,
}

impl Room {
    /// How many elements of a workspace may be taken; none while more than half its share is under way, so that
    /// claims stay few.
    fn of(&self, workspace: WorkspaceId) -> i64 {
        let under_way = self.under_way.get(&workspace).copied().unwrap_or(0);
        if under_way > self.share / 2 {
            0
        } else {
            self.share - under_way
        }
    }
}

/// What a claim has come to.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    pub elements: Vec<Element>,
    /// The workspace that had the last turn, if any had one.
    pub last: Option<WorkspaceId>,
    /// Whether another claim might find more for the same room.
    pub more: bool,
}

/// The elements that wait and belong to no node that lives.
fn free() -> String {
    format!(
        "completed_on IS NULL AND (owner IS NULL OR (owner <> $1 AND owner NOT IN (SELECT id FROM node WHERE until > $2))) AND {}",
        not_held(Kind::Bulk, "bulk")
    )
}

/// Takes elements over, by turns of their workspaces: an equal part of the room for each, its oldest first.
pub fn claim(tx: &mut Tx<'_>, node: Uuid, now: i64, status: &str, room: &Room) -> Result<Claimed> {
    let micros = now.saturating_mul(1_000_000);
    let turns = turns(tx.conn()?, node, micros, room)?;
    let mut claimed = Claimed {
        more: i64::try_from(turns.len()).is_ok_and(|turns| turns == TURNS),
        ..Claimed::default()
    };
    let waiting: Vec<WorkspaceId> = turns.into_iter().filter(|one| room.of(*one) > 0).collect();
    let part = room.all / i64::try_from(waiting.len()).unwrap_or(1).max(1);
    let mut left = room.all;
    for workspace in waiting {
        let most = room.of(workspace).min(part.max(1)).min(left);
        if most == 0 {
            break;
        }
        let found = claim_of(tx, node, micros, status, workspace, most)?;
        let count = i64::try_from(found.len()).unwrap_or(most);
        claimed.more |= count == most && most < room.of(workspace);
        claimed.elements.extend(found);
        claimed.last = Some(workspace);
        left -= count;
    }
    claimed.more &= left > 0;
    Ok(claimed)
}

/// Workspaces whose elements wait, from the one after `after` on and round again. Each is one step in the index, however
/// many elements there are.
fn turns(conn: &mut Conn, node: Uuid, micros: i64, room: &Room) -> Result<Vec<WorkspaceId>> {
    let after = room.after;
    let free = format!("{} AND {}", free(), none_of("bulk.workspace", &room.over));
    let sql = format!(
        "WITH RECURSIVE turn (workspace) AS (
           SELECT min(workspace) FROM bulk WHERE workspace > $3 AND {free}
           UNION ALL
           SELECT (SELECT min(workspace) FROM bulk WHERE workspace > turn.workspace AND {free}) FROM turn WHERE turn.workspace IS NOT NULL)
         SELECT workspace FROM turn WHERE workspace IS NOT NULL LIMIT $4"
    );
    let mut from = |after: Value<'static>| {
        let values = [node.into(), micros.into(), after, TURNS.into()];
        conn.query(&sql, &values, |row| Ok(WorkspaceId(row.uuid(0)?)))
    };
    let mut turns = from(after.into())?;
    if i64::try_from(turns.len()).is_ok_and(|found| found < TURNS) {
        let room = usize::try_from(TURNS).unwrap_or(0) - turns.len();
        let round = from(Value::from(""))?;
        turns.extend(round.into_iter().filter(|one| *one <= after).take(room));
    }
    Ok(turns)
}

fn claim_of(
    tx: &mut Tx<'_>,
    node: Uuid,
    micros: i64,
    status: &str,
    workspace: WorkspaceId,
    limit: i64,
) -> Result<Vec<Element>> {
    let free = free();
    let sql = format!(
        "WITH chosen AS MATERIALIZED (
           SELECT id FROM bulk WHERE workspace = $4 AND {free}
           ORDER BY id LIMIT $5 /*postgres FOR UPDATE SKIP LOCKED*/)
         UPDATE bulk SET owner = $1, status = $3, tries = tries + 1
         WHERE workspace = $4 AND id IN (SELECT id FROM chosen) RETURNING {COLUMNS}"
    );
    let values = params![node, micros, status, workspace, limit];
    let mut claimed = tx.change(&sql, values, read)?;
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

/// Shows an element that is not done in a status, with errors or without.
pub fn show(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: Uuid,
    status: &str,
    errors: Option<&str>,
) -> Result<()> {
    tx.run(
        "UPDATE bulk SET status = $3, errors = $4 WHERE workspace = $1 AND id = $2 AND completed_on IS NULL",
        params![workspace, id, status, errors],
    )
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
