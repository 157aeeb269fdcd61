//! The open websockets and their nodes.

use prichal_core::{
    id::{EntityId, WorkspaceId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{Conn, Result, Tx, insert::Insert, value::params};

static SOCKET: Insert = Insert::new("socket", &["workspace", "channel", "id", "node"]);

pub fn insert(tx: &mut Tx<'_>, workspace: WorkspaceId, channel: EntityId, id: Uuid, node: Uuid) {
    let values = params![workspace, channel, id, node];
    tx.insert(&SOCKET, values.to_vec());
}

pub fn remove(tx: &mut Tx<'_>, workspace: WorkspaceId, channel: EntityId, id: Uuid) -> Result<()> {
    tx.run(
        "DELETE FROM socket WHERE workspace = $1 AND channel = $2 AND id = $3",
        params![workspace, channel, id],
    )?;
    Ok(())
}

/// Deletes the websockets of a stopped node.
pub fn release(tx: &mut Tx<'_>, node: Uuid) -> Result<()> {
    tx.run("DELETE FROM socket WHERE node = $1", params![node])?;
    Ok(())
}

/// Lists the open websockets of a channel on this node and on other living nodes, the oldest first: their ids and nodes.
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    channel: EntityId,
    (node, now): (Uuid, Timestamp),
    limit: i64,
) -> Result<Vec<(Uuid, Uuid)>> {
    conn.query(
        "SELECT id, node FROM socket WHERE workspace = $1 AND channel = $2
           AND (node = $3 OR EXISTS (SELECT 1 FROM node n WHERE n.id = socket.node AND n.until >= $4)) ORDER BY id LIMIT $5",
        params![workspace, channel, node, now, limit],
        |row| Ok((row.uuid(0)?, row.uuid(1)?)),
    )
}

/// Counts the open websockets of a channel on this node and on other living nodes.
pub fn count(
    conn: &mut Conn,
    workspace: WorkspaceId,
    channel: EntityId,
    node: Uuid,
    now: Timestamp,
) -> Result<i64> {
    let count = conn.query_one(
        "SELECT count(*) FROM socket WHERE workspace = $1 AND channel = $2
           AND (node = $3 OR EXISTS (SELECT 1 FROM node n WHERE n.id = socket.node AND n.until >= $4))",
        params![workspace, channel, node, now],
        |row| row.get(0),
    )?;
    Ok(count.unwrap_or(0))
}
