//! Channels.

use prichal_core::{
    id::{EntityId, WorkspaceId},
    time::Timestamp,
};

use crate::{Conn, Result, Row, Tx, delivery_stats, usage, value::params};

#[derive(Clone, Debug)]
pub struct Channel {
    pub workspace: WorkspaceId,
    pub id: EntityId,
    pub code: String,
    /// The name of the channel's type.
    pub kind: String,
    /// The SHA-256 of the local token, in hex.
    pub token_hash: String,
    /// The tokens as JSON, sealed.
    pub tokens: Vec<u8>,
    /// The other members of the entity, as JSON.
    pub members: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
}

/// The condition that the channel's workspace is not deleted. The channels of a deleted one are removed in batches,
/// later.
const LIVING: &str =
    "EXISTS (SELECT 1 FROM workspace w WHERE w.id = channel.workspace AND w.deleted_at IS NULL)";

const COLUMNS: &str =
    "id, code, token_hash, tokens, members, created_at, updated_at, deleted_at, coalesce(type, '')";

const ONE: &str = "workspace = $1 AND id = $2";

/// Adds a channel. Returns false if its id, code or token is taken. The id of a deleted channel can be used again.
pub fn insert(tx: &mut Tx<'_>, channel: &Channel) -> Result<bool> {
    // The id stays taken while a job removes the values of the deleted channel.
    usage::remove(
        tx,
        &usage::CHANNELS,
        "workspace = $1 AND id = $2 AND deleted_at IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM walk k WHERE k.workspace = $1 AND k.kind = 'kept' AND k.item = $2)",
        params![channel.workspace, channel.id],
    )?;
    let sql = "INSERT INTO channel (workspace, id, code, token_hash, tokens, members, created_at, updated_at, deleted_at, type) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
    let done = tx.execute(
        sql,
        params![
            channel.workspace,
            channel.id,
            &channel.code,
            &channel.token_hash,
            channel.tokens.as_slice(),
            &channel.members,
            channel.created_at,
            channel.updated_at,
            channel.deleted_at,
            &channel.kind
        ],
    )?;
    if done == 1 {
        usage::add(tx, channel.workspace, &[&channel.members]);
        let tokens = i64::try_from(channel.tokens.len()).unwrap_or(i64::MAX);
        tx.use_bytes(channel.workspace, usage::Kind::Records, tokens);
    }
    Ok(done == 1)
}

/// Updates a channel that [`find_for_update`] returned in the same transaction.
pub fn update(tx: &mut Tx<'_>, channel: &Channel) -> Result<()> {
    let row = params![channel.workspace, channel.id];
    usage::change(tx, &usage::CHANNELS, ONE, row, |tx| {
        tx.run(
            "UPDATE channel SET code = $3, tokens = $4, members = $5, updated_at = $6, type = $7 WHERE workspace = $1 AND id = $2",
            params![
                channel.workspace,
                channel.id,
                &channel.code,
                channel.tokens.as_slice(),
                &channel.members,
                channel.updated_at,
                &channel.kind
            ],
        )
    })
}

/// Deletes a channel. Its row stays until [`forget`], without its members and with the given empty tokens.
pub fn delete(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: EntityId,
    tokens: &[u8],
    at: Timestamp,
) -> Result<()> {
    delivery_stats::delete(tx, delivery_stats::key_of_channel(workspace, id))?;
    usage::change(tx, &usage::CHANNELS, ONE, params![workspace, id], |tx| {
        tx.run(
            "UPDATE channel SET members = '{}', tokens = $3, updated_at = $4, deleted_at = $4 WHERE workspace = $1 AND id = $2",
            params![workspace, id, tokens, at],
        )
    })
}

/// Forgets channels that were deleted before `before` and have no attempts any more, at most `limit`. Returns their
/// number.
pub fn forget(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    usage::remove(
        tx,
        &usage::CHANNELS,
        "(workspace, id) IN (SELECT workspace, id FROM channel c WHERE deleted_at < $1
           AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.workspace = c.workspace AND a.integration = c.id)
           AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.workspace = c.workspace AND d.integration = c.id)
           AND NOT EXISTS (SELECT 1 FROM walk k WHERE k.workspace = c.workspace AND k.kind = 'kept' AND k.item = c.id)
           LIMIT $2)",
        params![before, limit],
    )
}

/// Gives a channel a new local token. The previous token, named by its hash, stays valid until the given time.
/// Returns false if the new token is taken.
pub fn rotate(
    tx: &mut Tx<'_>,
    channel: &Channel,
    previous_hash: &str,
    previous_until: Timestamp,
) -> Result<bool> {
    let row = params![channel.workspace, channel.id];
    usage::change(tx, &usage::CHANNELS, ONE, row, |tx| {
        let done = tx.execute(
        "UPDATE channel SET token_hash = $3, tokens = $4, updated_at = $5, previous_hash = $6, previous_until = $7
         WHERE workspace = $1 AND id = $2 AND NOT EXISTS (SELECT 1 FROM channel WHERE token_hash = $3 AND deleted_at IS NULL)",
        params![
            channel.workspace,
            channel.id,
            &channel.token_hash,
            channel.tokens.as_slice(),
            channel.updated_at,
            previous_hash,
            previous_until
        ],
    )?;
        Ok(done == 1)
    })
}

/// Finds a channel, deleted or not.
pub fn find(conn: &mut Conn, workspace: WorkspaceId, id: EntityId) -> Result<Option<Channel>> {
    let sql =
        format!("SELECT {COLUMNS} FROM channel WHERE workspace = $1 AND id = $2 AND {LIVING}");
    conn.query_one(&sql, params![workspace, id], |row| read(workspace, row))
}

/// Finds a channel and locks it until the end of the transaction.
pub fn find_for_update(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: EntityId,
) -> Result<Option<Channel>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM channel WHERE workspace = $1 AND id = $2 /*postgres FOR UPDATE*/"
    );
    tx.conn()?
        .query_one(&sql, params![workspace, id], |row| read(workspace, row))
}

/// Returns the number of channels of a workspace and the size of their members and tokens in bytes.
pub fn extent(conn: &mut Conn, workspace: WorkspaceId) -> Result<(i64, i64)> {
    let sql = "SELECT count(*), coalesce(sum(octet_length(members) + octet_length(tokens)), 0) FROM channel WHERE workspace = $1 AND deleted_at IS NULL";
    let found = conn.query_one(sql, params![workspace], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    Ok(found.unwrap_or_default())
}

/// Counts the channels of a workspace that have this type.
pub fn count_of(conn: &mut Conn, workspace: WorkspaceId, kind: &str) -> Result<i64> {
    let sql =
        "SELECT count(*) FROM channel WHERE workspace = $1 AND type = $2 AND deleted_at IS NULL";
    let found = conn.query_one(sql, params![workspace, kind], |row| row.get(0))?;
    Ok(found.unwrap_or(0))
}

/// Lists channels of a workspace from an offset on, in the order of their creation.
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    offset: i64,
    limit: i64,
) -> Result<Vec<Channel>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM channel WHERE workspace = $1 AND deleted_at IS NULL ORDER BY created_at, id LIMIT $3 OFFSET $2"
    );
    conn.query(&sql, params![workspace, offset, limit], |row| {
        read(workspace, row)
    })
}

/// Lists the channels of a type after one in the order of their ids, and locks them until the end of the transaction.
pub fn list_of_type_for_update(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    kind: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Channel>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM channel WHERE workspace = $1 AND type = $2 AND id > $3 AND deleted_at IS NULL
         ORDER BY id LIMIT $4 /*postgres FOR UPDATE*/"
    );
    let values = params![workspace, kind, after, limit];
    tx.conn()?.query(&sql, values, |row| read(workspace, row))
}

/// Lists the hashes of all tokens of a workspace's channels that are valid at `now`.
pub fn valid_tokens(
    conn: &mut Conn,
    workspace: WorkspaceId,
    now: Timestamp,
) -> Result<Vec<(EntityId, String)>> {
    let sql = format!(
        "SELECT id, token_hash FROM channel WHERE workspace = $1 AND deleted_at IS NULL AND {LIVING}
         UNION ALL SELECT id, previous_hash FROM channel
         WHERE workspace = $1 AND deleted_at IS NULL AND previous_hash IS NOT NULL AND previous_until > $2 AND {LIVING}"
    );
    conn.query(&sql, params![workspace, now], |row| {
        Ok((EntityId(row.uuid(0)?), row.get(1)?))
    })
}

/// Finds the channels that a key can mean: by id, by code, or by the hash of a token.
pub fn lookup(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: Option<EntityId>,
    code: &str,
    token_hash: &str,
) -> Result<Vec<EntityId>> {
    conn.query(
        "SELECT id FROM channel WHERE workspace = $1 AND deleted_at IS NULL AND (id = $2 OR code = $3 OR token_hash = $4) ORDER BY created_at, id",
        params![workspace, id, code, token_hash],
        |row| Ok(EntityId(row.uuid(0)?)),
    )
}

/// Finds the channel of a workspace whose local token has this hash and is valid at `now`.
pub fn find_by_token(
    conn: &mut Conn,
    workspace: WorkspaceId,
    token_hash: &str,
    now: Timestamp,
) -> Result<Option<EntityId>> {
    let found = find_anywhere(conn, token_hash, now)?;
    Ok(found
        .filter(|channel| channel.workspace == workspace)
        .map(|channel| channel.id))
}

/// Finds the channel, in any workspace, whose current or previous local token has this hash and is valid at `now`.
pub fn find_anywhere(conn: &mut Conn, token_hash: &str, now: Timestamp) -> Result<Option<Channel>> {
    let read = |row: &Row<'_>| read(WorkspaceId(row.uuid(9)?), row);
    let sql = format!(
        "SELECT {COLUMNS}, workspace FROM channel WHERE token_hash = $1 AND deleted_at IS NULL AND {LIVING}"
    );
    if let Some(found) = conn.query_one(&sql, params![token_hash], read)? {
        return Ok(Some(found));
    }
    let sql = format!(
        "SELECT {COLUMNS}, workspace FROM channel WHERE previous_hash = $1 AND previous_until > $2 AND deleted_at IS NULL AND {LIVING}"
    );
    conn.query_one(&sql, params![token_hash, now], read)
}

fn read(workspace: WorkspaceId, row: &Row<'_>) -> Result<Channel> {
    Ok(Channel {
        workspace,
        id: EntityId(row.uuid(0)?),
        code: row.get(1)?,
        token_hash: row.get(2)?,
        tokens: row.get(3)?,
        members: row.get(4)?,
        created_at: row.time(5)?,
        updated_at: row.time(6)?,
        deleted_at: row.get::<Option<i64>>(7)?.map(Timestamp::from_micros),
        kind: row.get(8)?,
    })
}
