//! Webhooks: their definitions, leases and cursors.
//!
//! A node owns a webhook while the webhook's row names the node with the fence of the claim, and the node's own row
//! has not expired. A cursor moves only under its owner and fence, so a node that has lost a webhook cannot change
//! it.

use prichal_core::{
    health::Streak,
    id::{EntityId, IntegrationId, WebhookId, WorkspaceId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    Conn, Result, Row, Tx, delivery, delivery_stats,
    document_hook::INTEGRATION,
    integration, job,
    quarantine::{Kind, not_held},
    usage,
    value::params,
};

/// The key of a webhook. Ids are unique only within an integration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub workspace: WorkspaceId,
    pub integration: IntegrationId,
    pub id: WebhookId,
}

#[derive(Clone, Debug)]
pub struct Webhook {
    pub key: Key,
    /// The hook as documented JSON, without the values of secret headers.
    pub definition: String,
    /// The position among the hooks of its instance.
    pub position: i64,
    /// True while the hook is enabled and its instance is installed and not paused.
    pub live: bool,
    pub cursor: i64,
    pub owner: Option<Uuid>,
    pub fence: i64,
    pub streak: Streak,
    pub next_tick: Option<Timestamp>,
    /// The values of secret headers and the signing keys, sealed.
    pub secrets: Option<Vec<u8>>,
}

const COLUMNS: &str = "workspace, integration, id, definition, position, live, cursor, owner, fence, failures, failing_since, exhausted, next_tick, secrets";

/// Adds a webhook that starts after the last event of the current transaction. A removed webhook with the same key
/// leaves it nothing: no deferred events, and no lease, because fences start at a number of the log that has grown
/// since.
pub fn insert(tx: &mut Tx<'_>, hook: &Webhook) -> Result<()> {
    delivery::forget_removed(tx, hook.key)?;
    let sql = format!(
        "INSERT INTO webhook ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, 0, NULL,
           coalesce((SELECT last FROM log WHERE log.workspace = $1), 0) * {FENCES}, 0, NULL, 0, $7, $8)"
    );
    let Webhook {
        key,
        definition,
        position,
        live,
        next_tick,
        secrets,
        ..
    } = hook;
    usage::add(tx, key.workspace, &[definition]);
    let sealed = secrets.as_ref().map_or(0, Vec::len);
    let sealed = i64::try_from(sealed).unwrap_or(i64::MAX);
    tx.use_bytes(key.workspace, usage::Kind::Records, sealed);
    tx.run(
        &sql,
        params![
            key.workspace,
            key.integration,
            key.id,
            definition,
            *position,
            *live,
            *next_tick,
            secrets.as_deref()
        ],
    )?;
    tx.start_at_end(*key);
    Ok(())
}

/// The fences between two events of the log. A webhook has fewer leases before its next change.
const FENCES: i64 = 1 << 20;

const ONE: &str = "workspace = $1 AND integration = $2 AND id = $3";

/// Updates the definition and the live mark. A revived hook starts at the end of the log with a clean streak. Events
/// that were deferred before stay deferred.
pub fn update(tx: &mut Tx<'_>, hook: &Webhook, revived: bool) -> Result<()> {
    let Webhook {
        key,
        definition,
        position,
        live,
        next_tick,
        secrets,
        ..
    } = hook;
    let row = params![key.workspace, key.integration, key.id];
    usage::change(tx, &usage::WEBHOOKS, ONE, row, |tx| {
        let sql = format!(
            "UPDATE webhook SET definition = $4, position = $5, live = $6, next_tick = $7, secrets = $8 WHERE {ONE}"
        );
        let values = [
            definition.into(),
            (*position).into(),
            (*live).into(),
            (*next_tick).into(),
            secrets.as_deref().into(),
        ];
        tx.run(&sql, &[&row[..], &values[..]].concat())
    })?;
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

/// Pauses a webhook. Its cursor and its deferred events stay.
pub fn pause(tx: &mut Tx<'_>, key: Key) -> Result<()> {
    set_live(tx, key, false)
}

/// Resumes a paused webhook at its cursor, under a new lease and without failures.
pub fn resume(tx: &mut Tx<'_>, key: Key) -> Result<()> {
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

/// Sets cursors to the end of their logs. The log rows are locked by the numbering of events.
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
    let row = params![workspace, integration, id];
    usage::remove(tx, &usage::WEBHOOKS, ONE, row)?;
    delivery_stats::delete(tx, key)?;
    forget_waiting(tx, key)
}

/// Deletes the deferred events and the replays of a webhook.
fn forget_waiting(tx: &mut Tx<'_>, key: Key) -> Result<()> {
    let Key {
        workspace,
        integration,
        id,
    } = key;
    delivery::in_batches(
        tx,
        job::Kind::RemoveDeferred,
        key,
        Timestamp::from_micros(i64::MAX),
    )?;
    usage::remove(
        tx,
        &usage::REPLAYS,
        "workspace = $1 AND integration = $2 AND webhook = $3",
        params![workspace, integration, id],
    )?;
    Ok(())
}

/// Lists the webhooks of an instance in their order.
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

/// Lists the webhooks of a workspace with an id, which may be in several integrations. At most two.
pub fn list_by_id(conn: &mut Conn, workspace: WorkspaceId, id: WebhookId) -> Result<Vec<Webhook>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM webhook WHERE workspace = $1 AND id = $2 ORDER BY integration LIMIT 2"
    );
    conn.query(&sql, params![workspace, id], read)
}

fn read_key(row: &Row<'_>) -> Result<Key> {
    Ok(Key {
        workspace: WorkspaceId(row.uuid(0)?),
        integration: IntegrationId(row.uuid(1)?),
        id: WebhookId(row.uuid(2)?),
    })
}

/// Lists webhooks that have failed since `before` or longer, those that fail longest first, after one of them. The time
/// is that of the first failure.
pub fn list_failing(
    conn: &mut Conn,
    before: Timestamp,
    after: (Timestamp, Key),
    limit: i64,
) -> Result<Vec<(Timestamp, Key)>> {
    let (since, key) = after;
    conn.query(
        "SELECT workspace, integration, id, failing_since FROM webhook
         WHERE failing_since IS NOT NULL AND failing_since <= $1
           AND (failing_since, workspace, integration, id) > ($2, $3, $4, $5)
         ORDER BY failing_since, workspace, integration, id LIMIT $6",
        params![before, since, key.workspace, key.integration, key.id, limit],
        |row| Ok((row.time(3)?, read_key(row)?)),
    )
}

/// Lists webhooks with a client certificate, in the order of their keys after `after`.
pub fn list_with_certificates(conn: &mut Conn, after: Key, limit: i64) -> Result<Vec<Key>> {
    conn.query(
        "SELECT workspace, integration, id FROM webhook
         WHERE definition LIKE '%\"clientCertificate\"%' AND (workspace, integration, id) > ($1, $2, $3)
         ORDER BY workspace, integration, id LIMIT $4",
        params![after.workspace, after.integration, after.id, limit],
        read_key,
    )
}

/// A thing that calls a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Webhook(Key),
    DocumentHook(Key),
    Channel(EntityId),
}

/// Lists the delivery sources of a workspace by kind and id, at most `limit` from `offset` on, with their total number:
/// all, or only the webhooks of the integrations `own`.
pub fn list_sources(
    conn: &mut Conn,
    workspace: WorkspaceId,
    own: Option<&[IntegrationId]>,
    (offset, limit): (i64, i64),
) -> Result<(i64, Vec<Source>)> {
    const OTHERS: &str = "
        UNION ALL SELECT 1 AS kind, integration, id FROM webhook WHERE workspace = $1 AND integration = $2
        UNION ALL SELECT 3 AS kind, id AS integration, id FROM channel WHERE workspace = $1 AND deleted_at IS NULL";
    let among = integration::among("integration", own);
    let others = if own.is_none() { OTHERS } else { "" };
    let sources = format!(
        "SELECT 2 AS kind, integration, id FROM webhook WHERE workspace = $1 AND integration <> $2{among}{others}"
    );
    let count = format!("SELECT count(*) FROM ({sources}) sources");
    let count = conn.query_one(&count, params![workspace, INTEGRATION], |row| row.get(0))?;
    let page = format!(
        "SELECT kind, integration, id FROM ({sources}) sources ORDER BY kind, integration, id LIMIT $3 OFFSET $4"
    );
    let page = conn.query(
        &page,
        params![workspace, INTEGRATION, limit, offset],
        |row| {
            let key = Key {
                workspace,
                integration: IntegrationId(row.uuid(1)?),
                id: WebhookId(row.uuid(2)?),
            };
            Ok(match row.get::<i32>(0)? {
                1 => Source::DocumentHook(key),
                2 => Source::Webhook(key),
                _ => Source::Channel(EntityId(key.id.0)),
            })
        },
    )?;
    Ok((count.unwrap_or(0), page))
}

/// Frees a webhook that a node owns, so that its next owner reads its definition again.
pub fn hand_over(tx: &mut Tx<'_>, key: Key) -> Result<()> {
    tx.run(
        "UPDATE webhook SET fence = fence + 1, owner = NULL WHERE workspace = $1 AND integration = $2 AND id = $3",
        params![key.workspace, key.integration, key.id],
    )
}

/// True if a webhook delivers an event from the deferred queue or not at all. Before that its runner has yet to come to
/// the event, which the hook of a company does even after a pause.
pub fn has_passed(conn: &mut Conn, key: Key, seq: i64) -> Result<bool> {
    let found = find(conn, key)?;
    let reads_on = |hook: &Webhook| hook.live || key.integration == INTEGRATION;
    Ok(found.is_none_or(|hook| hook.cursor >= seq || !reads_on(&hook)))
}

/// Finds a webhook and locks it until the end of the transaction.
pub fn find_for_update(tx: &mut Tx<'_>, key: Key) -> Result<Option<Webhook>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM webhook WHERE workspace = $1 AND integration = $2 AND id = $3 /*postgres FOR UPDATE*/"
    );
    tx.conn()?
        .query_one(&sql, params![key.workspace, key.integration, key.id], read)
}

/// Renews the lease of this node until `until`. Returns false if the node had no row: it has lost everything it
/// owned. `keys` are the ids of the master keys that the node has, separated by commas, beginning with the one it
/// seals with; the last pair is the version of its program and the time
/// of its start.
pub fn renew_node(
    tx: &mut Tx<'_>,
    node: Uuid,
    until: Timestamp,
    keys: &str,
    (version, started_at): (&str, Timestamp),
) -> Result<bool> {
    let values = params![node, until, keys, version, started_at];
    let known = tx.execute(
        "UPDATE node SET until = $2, keys = $3, version = $4, started_at = $5 WHERE id = $1",
        values,
    )?;
    if known == 0 {
        tx.run(
            "INSERT INTO node (id, until, keys, version, started_at) VALUES ($1, $2, $3, $4, $5)",
            values,
        )?;
    }
    Ok(known == 1)
}

/// Lists the living nodes with the ids of their master keys.
pub fn list_nodes(conn: &mut Conn, now: Timestamp) -> Result<Vec<(Uuid, String)>> {
    conn.query(
        "SELECT id, keys FROM node WHERE until >= $1 ORDER BY id",
        params![now],
        |row| Ok((row.uuid(0)?, row.get(1)?)),
    )
}

/// A server among those that share the store.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: Uuid,
    /// The end of its lease, which it renews while it lives.
    pub until: Timestamp,
    pub version: String,
    pub started_at: Timestamp,
    /// The number of webhooks that it serves.
    pub webhooks: i64,
}

/// Lists the nodes with a row, living or not yet cleared away, at most `limit`.
pub fn describe_nodes(conn: &mut Conn, limit: i64) -> Result<Vec<Node>> {
    conn.query(
        "SELECT id, until, version, started_at,
           (SELECT count(*) FROM webhook WHERE live = 1 AND owner = node.id) FROM node ORDER BY id LIMIT $1",
        params![limit],
        |row| {
            Ok(Node {
                id: row.uuid(0)?,
                until: row.time(1)?,
                version: row.get(2)?,
                started_at: row.time(3)?,
                webhooks: row.get(4)?,
            })
        },
    )
}

/// Claims live webhooks without a living owner, at most `limit`, and returns them. Schedule hooks are not claimed,
/// because each of their ticks is claimed by itself.
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

/// Frees the webhooks of nodes whose lease has expired.
fn orphan(tx: &mut Tx<'_>, node: Uuid, now: Timestamp) -> Result<()> {
    let sql = "SELECT id FROM node WHERE until < $1 AND id <> $2";
    let dead = tx
        .conn()?
        .query(sql, params![now, node], |row| row.uuid(0))?;
    for id in dead {
        // The node may have renewed its lease meanwhile, so its webhooks are freed only if its row was deleted.
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

/// Frees all webhooks of a node, at a graceful stop or at the start after a crash. `alone` frees the webhooks of
/// every node, because no other node can be running.
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

/// Frees one webhook, if the lease is still valid.
pub fn give_up(tx: &mut Tx<'_>, lease: &Lease) -> Result<()> {
    let Lease { key, owner, fence } = lease;
    tx.run(
        "UPDATE webhook SET owner = NULL, fence = fence + 1
         WHERE workspace = $1 AND integration = $2 AND id = $3 AND owner = $4 AND fence = $5",
        params![key.workspace, key.integration, key.id, *owner, *fence],
    )?;
    Ok(())
}

/// The lease of a node on a webhook.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    pub key: Key,
    pub owner: Uuid,
    pub fence: i64,
}

/// Moves a cursor. Returns false if the lease is lost: the caller must then write nothing for this webhook.
pub fn move_cursor(tx: &mut Tx<'_>, lease: &Lease, cursor: i64) -> Result<bool> {
    let Lease { key, owner, fence } = lease;
    let moved = tx.changes_one(
        "UPDATE webhook SET cursor = $6 WHERE workspace = $1 AND integration = $2 AND id = $3 AND owner = $4 AND fence = $5 AND live = 1",
        params![key.workspace, key.integration, key.id, *owner, *fence, cursor],
    )?;
    Ok(moved)
}

/// Moves a cursor on, unless it is further already or the lease is lost.
pub fn raise_cursor(tx: &mut Tx<'_>, lease: &Lease, cursor: i64) -> Result<()> {
    let Lease { key, owner, fence } = lease;
    tx.run(
        "UPDATE webhook SET cursor = $6 WHERE workspace = $1 AND integration = $2 AND id = $3 AND owner = $4 AND fence = $5 AND live = 1
           AND cursor < $6",
        params![key.workspace, key.integration, key.id, *owner, *fence, cursor],
    )
}

/// Stores the streak of failures.
pub fn set_streak(tx: &mut Tx<'_>, key: Key, streak: Streak) -> Result<()> {
    tx.run(
        "UPDATE webhook SET failures = $4, failing_since = $5, exhausted = $6 WHERE workspace = $1 AND integration = $2 AND id = $3",
        params![key.workspace, key.integration, key.id, i64::from(streak.failures), streak.since, i64::from(streak.exhausted)],
    )?;
    Ok(())
}

/// Returns the time of the next tick of a live schedule hook.
pub fn next_tick(conn: &mut Conn) -> Result<Option<Timestamp>> {
    next_tick_except(conn, &[])
}

/// Returns the time of the next tick outside of these workspaces.
pub fn next_tick_except(conn: &mut Conn, except: &[WorkspaceId]) -> Result<Option<Timestamp>> {
    let sql = format!(
        "SELECT min(next_tick) FROM webhook WHERE next_tick IS NOT NULL AND live = 1 AND {} AND {}",
        not_held(Kind::Tick, "webhook"),
        none_of("webhook.workspace", except)
    );
    Ok(conn
        .query_one(&sql, &[], |row| row.get::<Option<i64>>(0))?
        .flatten()
        .map(Timestamp::from_micros))
}

/// Lists due schedule hooks outside of the workspaces `except`, at most `limit`. Workspaces take turns.
pub fn list_ticking(
    conn: &mut Conn,
    now: Timestamp,
    limit: i64,
    except: &[WorkspaceId],
) -> Result<Vec<Webhook>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM (
           SELECT {COLUMNS}, row_number() OVER (PARTITION BY workspace ORDER BY next_tick) AS turn
           FROM webhook WHERE next_tick <= $1 AND live = 1 AND {} AND {}) AS due
         ORDER BY turn, next_tick LIMIT $2",
        not_held(Kind::Tick, "webhook"),
        none_of("webhook.workspace", except)
    );
    conn.query(&sql, params![now, limit], read)
}

/// Claims a tick by moving it from `due` to `next`. Returns false if another node has claimed it.
pub fn claim_tick(tx: &mut Tx<'_>, key: Key, due: Timestamp, next: Timestamp) -> Result<bool> {
    let taken = tx.changes_one(
        "UPDATE webhook SET next_tick = $5 WHERE workspace = $1 AND integration = $2 AND id = $3 AND next_tick = $4 AND live = 1",
        params![key.workspace, key.integration, key.id, due, next],
    )?;
    Ok(taken)
}

/// The condition that a column equals none of the ids.
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
        secrets: row.get(13)?,
    })
}
