//! Webhooks: their definitions, the leases on them, and where each stands in the log.
//!
//! A node owns a webhook as long as the webhook's row names it, with the fence it was claimed at, and
//! the node's own row has not run out. Who moves a cursor names owner and fence, so that a node that
//! has lost a webhook can change nothing of it any more.

use prichal_core::{
    health::Streak,
    id::{IntegrationId, WebhookId, WorkspaceId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    Conn, Result, Row, Tx,
    quarantine::{Kind, not_held},
    value::params,
};

/// Which webhook: ids are unique within their integration only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub workspace: WorkspaceId,
    pub integration: IntegrationId,
    pub id: WebhookId,
}

#[derive(Clone, Debug)]
pub struct Webhook {
    pub key: Key,
    /// The documented JSON of the hook.
    pub definition: String,
    /// Where it stands among its instance's hooks.
    pub position: i64,
    /// Whether it works: not disabled, and the instance is neither paused nor uninstalled.
    pub live: bool,
    pub cursor: i64,
    pub owner: Option<Uuid>,
    pub fence: i64,
    pub streak: Streak,
    pub next_tick: Option<Timestamp>,
}

const COLUMNS: &str = "workspace, integration, id, definition, position, live, cursor, owner, fence, failures, failing_since, exhausted, next_tick";

/// Adds a webhook that starts after the last event of the transaction it is added in.
pub fn insert(tx: &mut Tx<'_>, hook: &Webhook) -> Result<()> {
    let sql = format!(
        "INSERT INTO webhook ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, 0, NULL, 0, 0, NULL, 0, $7)"
    );
    let Webhook {
        key,
        definition,
        position,
        live,
        next_tick,
        ..
    } = hook;
    tx.run(
        &sql,
        params![
            key.workspace,
            key.integration,
            key.id,
            definition,
            *position,
            *live,
            *next_tick
        ],
    )?;
    tx.start_at_end(*key);
    Ok(())
}

/// Writes the definition and whether it is live. A hook that comes to life starts at the log's end
/// with a clean streak; what waited for another try before goes on waiting meanwhile.
pub fn update(tx: &mut Tx<'_>, hook: &Webhook, revived: bool) -> Result<()> {
    let Webhook {
        key,
        definition,
        position,
        live,
        next_tick,
        ..
    } = hook;
    tx.run(
        "UPDATE webhook SET definition = $4, position = $5, live = $6, next_tick = $7
         WHERE workspace = $1 AND integration = $2 AND id = $3",
        params![
            key.workspace,
            key.integration,
            key.id,
            definition,
            *position,
            *live,
            *next_tick
        ],
    )?;
    if !*live || revived {
        tx.run(
            "UPDATE webhook SET failures = 0, failing_since = NULL, exhausted = 0, fence = fence + 1, owner = NULL
             WHERE workspace = $1 AND integration = $2 AND id = $3",
            params![key.workspace, key.integration, key.id],
        )?;
    }
    if revived {
        tx.start_at_end(*key);
    }
    Ok(())
}

/// Takes a webhook out of work. Where it stands and what waits for another try stays.
pub fn pause(tx: &mut Tx<'_>, key: Key) -> Result<()> {
    set_live(tx, key, false)
}

/// Lets a webhook go on from where it stands, under a new lease, with a clean streak.
pub fn go_on(tx: &mut Tx<'_>, key: Key) -> Result<()> {
    set_live(tx, key, true)
}

fn set_live(tx: &mut Tx<'_>, key: Key, live: bool) -> Result<()> {
    tx.run(
        "UPDATE webhook SET live = $4, failures = 0, failing_since = NULL, exhausted = 0, fence = fence + 1, owner = NULL
         WHERE workspace = $1 AND integration = $2 AND id = $3",
        params![key.workspace, key.integration, key.id, live],
    )?;
    Ok(())
}

/// Sets cursors to the end of their logs, under the locks that numbering the events took.
pub(crate) fn write_starts(conn: &mut Conn, keys: &[Key]) -> Result<()> {
    for key in keys {
        conn.run(
            "UPDATE webhook SET cursor = coalesce((SELECT last FROM log WHERE log.workspace = $1), 0)
             WHERE workspace = $1 AND integration = $2 AND id = $3",
            params![key.workspace, key.integration, key.id],
        )?;
    }
    Ok(())
}

pub fn delete(tx: &mut Tx<'_>, key: Key) -> Result<()> {
    let Key {
        workspace,
        integration,
        id,
    } = key;
    tx.run(
        "DELETE FROM webhook WHERE workspace = $1 AND integration = $2 AND id = $3",
        params![workspace, integration, id],
    )?;
    forget_waiting(tx, key)
}

/// Drops what waits for another try and the stretches that are being replayed.
fn forget_waiting(tx: &mut Tx<'_>, key: Key) -> Result<()> {
    let Key {
        workspace,
        integration,
        id,
    } = key;
    tx.run(
        "DELETE FROM deferred WHERE workspace = $1 AND integration = $2 AND webhook = $3",
        params![workspace, integration, id],
    )?;
    tx.run(
        "DELETE FROM replay WHERE workspace = $1 AND integration = $2 AND webhook = $3",
        params![workspace, integration, id],
    )?;
    Ok(())
}

/// The webhooks of an instance, in their order.
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    integration: IntegrationId,
) -> Result<Vec<Webhook>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM webhook WHERE workspace = $1 AND integration = $2 ORDER BY position, id"
    );
    conn.query(&sql, params![workspace, integration], read)
}

pub fn find(conn: &mut Conn, key: Key) -> Result<Option<Webhook>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM webhook WHERE workspace = $1 AND integration = $2 AND id = $3"
    );
    conn.query_one(&sql, params![key.workspace, key.integration, key.id], read)
}

/// The same, held until the end of the transaction.
pub fn find_for_update(tx: &mut Tx<'_>, key: Key) -> Result<Option<Webhook>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM webhook WHERE workspace = $1 AND integration = $2 AND id = $3 /*postgres FOR UPDATE*/"
    );
    tx.conn()?
        .query_one(&sql, params![key.workspace, key.integration, key.id], read)
}

/// Says that this node is alive until `until`. False when nobody knew: then whatever it owned is no
/// longer its own. `keys` are the ids of the master keys that the node knows, with commas between, first
/// the one that it seals with.
pub fn keep_node(tx: &mut Tx<'_>, node: Uuid, until: Timestamp, keys: &str) -> Result<bool> {
    let known = tx.execute(
        "UPDATE node SET until = $2, keys = $3 WHERE id = $1",
        params![node, until, keys],
    )?;
    if known == 0 {
        tx.run(
            "INSERT INTO node (id, until, keys) VALUES ($1, $2, $3)",
            params![node, until, keys],
        )?;
    }
    Ok(known == 1)
}

/// The nodes that are alive, and the master keys that each knows.
pub fn list_nodes(conn: &mut Conn, now: Timestamp) -> Result<Vec<(Uuid, String)>> {
    conn.query(
        "SELECT id, keys FROM node WHERE until >= $1 ORDER BY id",
        params![now],
        |row| Ok((row.uuid(0)?, row.get(1)?)),
    )
}

/// Takes over live webhooks that nobody alive owns, at most `limit`, and returns them. Schedule hooks
/// are not among them: each of their ticks is taken by itself.
pub fn claim(tx: &mut Tx<'_>, node: Uuid, now: Timestamp, limit: i64) -> Result<Vec<Webhook>> {
    let sql = format!(
        "WITH chosen AS MATERIALIZED (
           SELECT workspace, integration, id FROM webhook
           WHERE live = 1 AND owner IS NULL AND next_tick IS NULL LIMIT $2 /*postgres FOR UPDATE SKIP LOCKED*/)
         UPDATE webhook SET owner = $1, fence = fence + 1
         WHERE (workspace, integration, id) IN (SELECT workspace, integration, id FROM chosen) RETURNING {COLUMNS}"
    );
    orphan(tx, node, now)?;
    let claimable = tx.conn()?.query_one(
        "SELECT 1 FROM webhook WHERE live = 1 AND owner IS NULL AND next_tick IS NULL LIMIT 1",
        &[],
        |row| row.get::<i32>(0),
    )?;
    if claimable.is_none() {
        return Ok(Vec::new());
    }
    tx.change(&sql, params![node, limit], read)
}

/// Frees the webhooks of nodes that have run out.
fn orphan(tx: &mut Tx<'_>, node: Uuid, now: Timestamp) -> Result<()> {
    let sql = "SELECT id FROM node WHERE until < $1 AND id <> $2";
    let dead = tx
        .conn()?
        .query(sql, params![now, node], |row| row.uuid(0))?;
    for id in dead {
        // Only who removes the node's row frees its webhooks: it may have come back meanwhile.
        if tx.execute(
            "DELETE FROM node WHERE id = $1 AND until < $2",
            params![id, now],
        )? == 1
        {
            tx.run(
                "UPDATE webhook SET owner = NULL, fence = fence + 1 WHERE live = 1 AND owner = $1",
                params![id],
            )?;
        }
    }
    Ok(())
}

/// Gives up everything a node owns: at a graceful stop, or at the start after a crash. A node that is
/// `alone` with its store frees what others may have left behind, too.
pub fn release(tx: &mut Tx<'_>, node: Uuid, alone: bool) -> Result<()> {
    if alone {
        tx.run("UPDATE webhook SET owner = NULL, fence = fence + 1 WHERE live = 1 AND owner IS NOT NULL", &[])?;
        return Ok(());
    }
    tx.run(
        "UPDATE webhook SET owner = NULL, fence = fence + 1 WHERE live = 1 AND owner = $1",
        params![node],
    )?;
    tx.run(
        "UPDATE webhook SET owner = NULL, fence = fence + 1
         WHERE live = 1 AND owner IS NOT NULL AND NOT EXISTS (SELECT 1 FROM node WHERE node.id = webhook.owner)",
        &[],
    )?;
    tx.run("DELETE FROM node WHERE id = $1", params![node])?;
    Ok(())
}

/// Gives one webhook up, if it is still owned.
pub fn give_up(tx: &mut Tx<'_>, lease: &Lease) -> Result<()> {
    let Lease { key, owner, fence } = lease;
    tx.run(
        "UPDATE webhook SET owner = NULL, fence = fence + 1
         WHERE workspace = $1 AND integration = $2 AND id = $3 AND owner = $4 AND fence = $5",
        params![key.workspace, key.integration, key.id, *owner, *fence],
    )?;
    Ok(())
}

/// A node's hold on a webhook.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    pub key: Key,
    pub owner: Uuid,
    pub fence: i64,
}

/// Moves a cursor. False when the lease is lost: then nothing may be written for this webhook.
pub fn move_cursor(tx: &mut Tx<'_>, lease: &Lease, cursor: i64) -> Result<bool> {
    let Lease { key, owner, fence } = lease;
    let moved = tx.changes_one(
        "UPDATE webhook SET cursor = $6 WHERE workspace = $1 AND integration = $2 AND id = $3 AND owner = $4 AND fence = $5 AND live = 1",
        params![key.workspace, key.integration, key.id, *owner, *fence, cursor],
    )?;
    Ok(moved)
}

/// Writes a streak of failures.
pub fn set_streak(tx: &mut Tx<'_>, key: Key, streak: Streak) -> Result<()> {
    tx.run(
        "UPDATE webhook SET failures = $4, failing_since = $5, exhausted = $6 WHERE workspace = $1 AND integration = $2 AND id = $3",
        params![key.workspace, key.integration, key.id, i64::from(streak.failures), streak.since, i64::from(streak.exhausted)],
    )?;
    Ok(())
}

/// When the next schedule hook of a live instance is due.
pub fn next_tick(conn: &mut Conn) -> Result<Option<Timestamp>> {
    next_tick_but(conn, &[])
}

/// The same, but for these workspaces.
pub fn next_tick_but(conn: &mut Conn, but: &[WorkspaceId]) -> Result<Option<Timestamp>> {
    let sql = format!(
        "SELECT min(next_tick) FROM webhook WHERE next_tick IS NOT NULL AND live = 1 AND {} AND {}",
        not_held(Kind::Tick, "webhook"),
        none_of("webhook.workspace", but)
    );
    Ok(conn
        .query_one(&sql, &[], |row| row.get::<Option<i64>>(0))?
        .flatten()
        .map(Timestamp::from_micros))
}

/// Schedule hooks that are due, at most `limit`, by turns of their workspaces; none of `but`.
pub fn list_ticking(
    conn: &mut Conn,
    now: Timestamp,
    limit: i64,
    but: &[WorkspaceId],
) -> Result<Vec<Webhook>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM (
           SELECT {COLUMNS}, row_number() OVER (PARTITION BY workspace ORDER BY next_tick) AS turn
           FROM webhook WHERE next_tick <= $1 AND live = 1 AND {} AND {}) AS due
         ORDER BY turn, next_tick LIMIT $2",
        not_held(Kind::Tick, "webhook"),
        none_of("webhook.workspace", but)
    );
    conn.query(&sql, params![now, limit], read)
}

/// Moves a tick from `due` to `next`. False when another node has done it: the tick is its own.
pub fn take_tick(tx: &mut Tx<'_>, key: Key, due: Timestamp, next: Timestamp) -> Result<bool> {
    let taken = tx.changes_one(
        "UPDATE webhook SET next_tick = $5 WHERE workspace = $1 AND integration = $2 AND id = $3 AND next_tick = $4 AND live = 1",
        params![key.workspace, key.integration, key.id, due, next],
    )?;
    Ok(taken)
}

/// The condition that a column names none of these.
pub(crate) fn none_of(column: &str, ids: &[WorkspaceId]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
    if ids.is_empty() {
        return "1 = 1".to_owned();
    }
    format!("{column} NOT IN ({})", ids.join(", "))
}

fn read(row: &Row<'_>) -> Result<Webhook> {
    Ok(Webhook {
        key: Key {
            workspace: WorkspaceId(row.uuid(0)?),
            integration: IntegrationId(row.uuid(1)?),
            id: WebhookId(row.uuid(2)?),
        },
        definition: row.get(3)?,
        position: row.get(4)?,
        live: row.get::<i64>(5)? == 1,
        cursor: row.get(6)?,
        owner: row.maybe_uuid(7)?,
        fence: row.get(8)?,
        streak: Streak {
            failures: u32::try_from(row.get::<i64>(9)?).unwrap_or(u32::MAX),
            since: row.get::<Option<i64>>(10)?.map(Timestamp::from_micros),
            exhausted: u32::try_from(row.get::<i64>(11)?).unwrap_or(u32::MAX),
        },
        next_tick: row.get::<Option<i64>>(12)?.map(Timestamp::from_micros),
    })
}
