//! Bulk calls. Each element is a row that any node can claim and process.

use std::collections::HashMap;

use prichal_core::id::WorkspaceId;
use uuid::Uuid;

use crate::{
    Conn, Result, Row, Tx,
    insert::Insert,
    quarantine::{Kind, not_held},
    usage,
    value::{Value, params},
    webhook::none_of,
};

/// An element of a bulk call.
#[derive(Clone, Debug)]
pub struct Element {
    pub workspace: WorkspaceId,
    pub id: Uuid,
    /// The operation: the path of the call without the prefix that all operations share.
    pub path: String,
    /// The caller of the bulk call, as JSON.
    pub caller: String,
    /// The body of the element, as JSON.
    pub data: String,
    /// The vendor's status, such as `Created`.
    pub status: String,
    /// JSON.
    pub result: Option<String>,
    /// JSON.
    pub errors: Option<String>,
    /// The number of claims of this element so far.
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

/// Adds an element under a new id.
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
    usage::add(tx, workspace, &[&caller, &data]);
    let values = params![workspace, id, path, caller, data, status, tries, created_on];
    tx.insert(&BULK, values.to_vec());
}

/// Finds the elements of a workspace with these ids.
pub fn find(conn: &mut Conn, workspace: WorkspaceId, ids: &[Uuid]) -> Result<Vec<Element>> {
    // One statement for each chunk of ids bounds its length.
    let mut found = Vec::new();
    for chunk in ids.chunks(100) {
        let marks: Vec<String> = (2..chunk.len() + 2).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT {COLUMNS} FROM bulk WHERE workspace = $1 AND id IN ({})",
            marks.join(", ")
        );
        let mut values = params![workspace].to_vec();
        values.extend(chunk.iter().map(|id| (*id).into()));
        found.extend(conn.query(&sql, &values, read)?);
    }
    Ok(found)
}

/// Lists a page of a workspace's elements, newest first, with their total number.
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

/// Counts the elements of all workspaces that are not completed.
pub fn count_waiting(conn: &mut Conn) -> Result<i64> {
    let sql = "SELECT count(*) FROM bulk WHERE completed_on IS NULL";
    Ok(conn.query_one(sql, &[], |row| row.get(0))?.unwrap_or(0))
}

/// The largest number of workspaces that one claim takes elements of.
const MAX_WORKSPACES_PER_CLAIM: i64 = 32;

/// The free capacity of this node for elements.
#[derive(Clone, Debug)]
pub struct Capacity {
    /// The number of elements that this node can take.
    pub free: i64,
    /// The largest number of elements of one workspace that may be in progress on this node.
    pub max_per_workspace: i64,
    /// The number of elements of each workspace that are in progress on this node.
    pub in_progress: HashMap<WorkspaceId, i64>,
    /// The workspace served last; the claim begins with the next one.
    pub after: WorkspaceId,
    /// Workspaces that the claim passes over.
    pub over: Vec<WorkspaceId>,
}

impl Capacity {
    /// The number of elements that the claim may take of a workspace. Zero while more than half of the workspace's
    /// share is in progress, so that a busy workspace is claimed from in few, larger batches.
    fn of(&self, workspace: WorkspaceId) -> i64 {
        let in_progress = self.in_progress.get(&workspace).copied().unwrap_or(0);
        if in_progress > self.max_per_workspace / 2 {
            0
        } else {
            self.max_per_workspace - in_progress
        }
    }
}

/// The elements that a claim took.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    pub elements: Vec<Element>,
    /// The workspace served last, if any was served.
    pub last: Option<WorkspaceId>,
    /// True if a further claim with the same capacity may find more elements.
    pub more: bool,
}

/// The condition for an element that is not completed and has no living owner.
fn free() -> String {
    format!(
        "completed_on IS NULL AND (owner IS NULL OR (owner <> $1 AND owner NOT IN (SELECT id FROM node WHERE until > $2))) AND {}",
        not_held(Kind::Bulk, "bulk")
    )
}

/// Claims elements for this node. Each workspace gets an equal part of the limit, and gives its oldest elements
/// first.
pub fn claim(
    tx: &mut Tx<'_>,
    node: Uuid,
    now: i64,
    status: &str,
    capacity: &Capacity,
) -> Result<Claimed> {
    let micros = now.saturating_mul(1_000_000);
    let found = waiting_workspaces(tx.conn()?, node, micros, capacity)?;
    let mut claimed = Claimed {
        more: i64::try_from(found.len()).is_ok_and(|count| count == MAX_WORKSPACES_PER_CLAIM),
        ..Claimed::default()
    };
    let waiting: Vec<WorkspaceId> = found
        .into_iter()
        .filter(|one| capacity.of(*one) > 0)
        .collect();
    let part = capacity.free / i64::try_from(waiting.len()).unwrap_or(1).max(1);
    let mut left = capacity.free;
    for workspace in waiting {
        let max = capacity.of(workspace).min(part.max(1)).min(left);
        if max == 0 {
            break;
        }
        let found = claim_of(tx, node, micros, status, workspace, max)?;
        let count = i64::try_from(found.len()).unwrap_or(max);
        claimed.more |= count == max && max < capacity.of(workspace);
        claimed.elements.extend(found);
        claimed.last = Some(workspace);
        left -= count;
    }
    claimed.more &= left > 0;
    Ok(claimed)
}

/// Lists the workspaces with claimable elements, in the order of their ids, from the one after `capacity.after` and
/// around. The query takes one index step per workspace, however many elements a workspace has.
fn waiting_workspaces(
    conn: &mut Conn,
    node: Uuid,
    micros: i64,
    capacity: &Capacity,
) -> Result<Vec<WorkspaceId>> {
    let after = capacity.after;
    let free = format!(
        "{} AND {}",
        free(),
        none_of("bulk.workspace", &capacity.over)
    );
    let sql = format!(
        "WITH RECURSIVE turn (workspace) AS (
           SELECT min(workspace) FROM bulk WHERE workspace > $3 AND {free}
           UNION ALL
           SELECT (SELECT min(workspace) FROM bulk WHERE workspace > turn.workspace AND {free}) FROM turn WHERE turn.workspace IS NOT NULL)
         SELECT workspace FROM turn WHERE workspace IS NOT NULL LIMIT $4"
    );
    let mut from = |after: Value<'static>| {
        let values = [
            node.into(),
            micros.into(),
            after,
            MAX_WORKSPACES_PER_CLAIM.into(),
        ];
        conn.query(&sql, &values, |row| Ok(WorkspaceId(row.uuid(0)?)))
    };
    let mut found = from(after.into())?;
    if i64::try_from(found.len()).is_ok_and(|count| count < MAX_WORKSPACES_PER_CLAIM) {
        let missing = usize::try_from(MAX_WORKSPACES_PER_CLAIM).unwrap_or(0) - found.len();
        let round = from(Value::from(""))?;
        found.extend(round.into_iter().filter(|one| *one <= after).take(missing));
    }
    Ok(found)
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

/// Frees the elements of a stopped node. `alone` frees the elements of every node, because no other node can be
/// running.
pub fn release(tx: &mut Tx<'_>, node: Uuid, alone: bool) -> Result<()> {
    tx.run(
        "UPDATE bulk SET owner = NULL WHERE completed_on IS NULL AND (owner = $1 OR $2 = 1)",
        params![node, alone],
    )?;
    Ok(())
}

/// Stores the result of an element. Returns false if the element no longer belongs to this node: the caller must then
/// roll back the rest of the transaction.
pub fn complete(tx: &mut Tx<'_>, node: Uuid, element: &Element) -> Result<bool> {
    let completed = tx.changes_one(
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
    if completed {
        // It had neither before.
        let texts = [element.result.as_deref(), element.errors.as_deref()];
        let bytes = texts.into_iter().flatten().map(usage::length).sum();
        tx.use_bytes(element.workspace, usage::Kind::Records, bytes);
    }
    Ok(completed)
}

/// Sets the status and the errors of an element that is not completed.
pub fn show(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: Uuid,
    status: &str,
    errors: Option<&str>,
) -> Result<()> {
    let values = params![workspace, id, status, errors];
    let one = "workspace = $1 AND id = $2";
    usage::change(tx, &usage::ELEMENTS, one, &values[..2], |tx| {
        tx.run(
            "UPDATE bulk SET status = $3, errors = $4 WHERE workspace = $1 AND id = $2 AND completed_on IS NULL",
            values,
        )
    })
}

/// Removes elements that were completed before `before`, in seconds since 1970. At most `limit` elements.
pub fn forget(tx: &mut Tx<'_>, before: i64, limit: i64) -> Result<u64> {
    usage::remove(
        tx,
        &usage::ELEMENTS,
        "(workspace, id) IN (SELECT workspace, id FROM bulk WHERE completed_on < $1 LIMIT $2)",
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
