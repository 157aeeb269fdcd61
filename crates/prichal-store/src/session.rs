//! Sessions at the console. Their secrets are stored as hashes only.

use std::time::Duration;

use prichal_core::{id::WorkspaceId, time::Timestamp};
use uuid::Uuid;

use crate::{
    Conn, Result, Row, Tx,
    token::Token,
    value::{Value, params},
};

/// A session. In a workspace it acts by a token of its own ([`crate::token::insert_of_session`]).
#[derive(Clone, Debug)]
pub struct Session {
    pub id: Uuid,
    /// `None` for the server's operator.
    pub workspace: Option<WorkspaceId>,
    /// The name of the token that was shown among credentials, with which the session ends, or of the person whom the
    /// company's provider has confirmed.
    pub began_with: Option<String>,
    /// The node whose admin token it was.
    pub node: Option<Uuid>,
    pub address: Option<String>,
    pub agent: Option<String>,
    pub created_at: Timestamp,
    /// The last use, to the minute.
    pub seen_at: Timestamp,
    /// The end at the latest.
    pub ends_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

const COLUMNS: &str = "s.id, s.workspace, s.began_with, s.node, s.address, s.agent, s.created_at, s.seen_at, s.ends_at, s.ended_at";

/// The sessions that are not over: at `$1`, for those that were seen after `$2`. One of a workspace needs its token.
const LIVE: &str = "s.ended_at IS NULL AND s.ends_at > $1 AND s.seen_at > $2 AND (s.workspace IS NULL OR EXISTS
    (SELECT 1 FROM token t WHERE t.session = s.id AND t.workspace = s.workspace AND t.deleted_at IS NULL))";

/// The time at which sessions are looked at, and the one before which an idle session was seen last.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Timestamp,
    pub idle_since: Timestamp,
}

impl Moment {
    pub fn new(now: Timestamp, idle: Duration) -> Self {
        Self {
            now,
            idle_since: now - idle,
        }
    }
}

/// The maximum numbers of sessions.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Those of one workspace, or of operators.
    pub all: i64,
    /// Those of one holder in a workspace: of one credential, or of one user.
    pub of_holder: i64,
}

/// Adds a session. Of the earlier ones of its holder, and then of its workspace or of operators, those seen last stay
/// within the bounds; returns true if others have ended. `token` is the one by which it acts in a workspace.
pub fn insert(
    tx: &mut Tx<'_>,
    session: &Session,
    token: Option<&Token>,
    hash: &str,
    at: Moment,
    most: Bounds,
) -> Result<bool> {
    let Session {
        id,
        workspace,
        began_with,
        node,
        address,
        agent,
        created_at,
        seen_at,
        ends_at,
        ended_at: _,
    } = session;
    tx.note_object("session", *id);
    let owner = workspace
        .map(|workspace| workspace.to_string())
        .unwrap_or_default();
    let mut ended = 0;
    if let Some(token) = token {
        let values = params![
            at.now,
            at.idle_since,
            owner.as_str(),
            most.of_holder - 1,
            MAX_ENDED,
            began_with.as_deref(),
            token.user
        ];
        ended += end_beyond(tx, &format!("AND {OF_HOLDER}"), values, at.now)?;
    }
    let values = params![
        at.now,
        at.idle_since,
        owner.as_str(),
        most.all - 1,
        MAX_ENDED
    ];
    ended += end_beyond(tx, "", values, at.now)?;
    tx.run(
        "INSERT INTO session (id, hash, workspace, began_with, node, address, agent, created_at, seen_at, ends_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        params![
            *id,
            hash,
            *workspace,
            began_with.as_deref(),
            *node,
            address.as_deref(),
            agent.as_deref(),
            *created_at,
            *seen_at,
            *ends_at
        ],
    )?;
    Ok(ended > 0)
}

/// The maximum number of sessions that one transaction ends for a newer one.
const MAX_ENDED: i64 = 100;

/// The sessions that began with the credential `$6`, or are of the user `$7`. Others began with a link each.
const OF_HOLDER: &str = "(s.began_with = $6 OR EXISTS
    (SELECT 1 FROM token t WHERE t.session = s.id AND t.workspace = s.workspace AND t.user_id = $7))";

/// Ends the sessions of an owner (`$3`) that were seen less recently than `$4` others. Returns their number.
fn end_beyond(tx: &mut Tx<'_>, which: &str, values: &[Value<'_>], now: Timestamp) -> Result<usize> {
    let sql = format!(
        "SELECT s.id FROM session s WHERE {LIVE} AND coalesce(s.workspace, '') = $3 {which}
           ORDER BY s.seen_at DESC, s.id DESC LIMIT $5 OFFSET $4"
    );
    let beyond = tx.conn()?.query(&sql, values, |row| row.uuid(0))?;
    for id in &beyond {
        end(tx, *id, now)?;
    }
    Ok(beyond.len())
}

/// Finds a session, also one that is over.
pub fn find_by_hash(conn: &mut Conn, hash: &str) -> Result<Option<Session>> {
    let sql = format!("SELECT {COLUMNS} FROM session s WHERE s.hash = $1");
    conn.query_one(&sql, params![hash], read)
}

pub fn find(conn: &mut Conn, id: Uuid) -> Result<Option<Session>> {
    let sql = format!("SELECT {COLUMNS} FROM session s WHERE s.id = $1");
    conn.query_one(&sql, params![id], read)
}

/// Lists a page of the sessions that are not over, the newest first, with their total number: those of a workspace, or
/// all.
pub fn list(
    conn: &mut Conn,
    workspace: Option<WorkspaceId>,
    at: Moment,
    (offset, limit): (i64, i64),
) -> Result<(i64, Vec<Session>)> {
    let of = "(CAST($3 AS TEXT) IS NULL OR s.workspace = $3)";
    let values = params![at.now, at.idle_since, workspace, limit, offset];
    let count = format!("SELECT count(*) FROM session s WHERE {LIVE} AND {of}");
    let count = conn.query_one(&count, &values[..3], |row| row.get(0))?;
    let sql = format!(
        "SELECT {COLUMNS} FROM session s WHERE {LIVE} AND {of} ORDER BY s.id DESC LIMIT $4 OFFSET $5"
    );
    Ok((count.unwrap_or(0), conn.query(&sql, values, read)?))
}

/// Notes a use of a session that is not over, unless a use since `before` is noted. Its tokens end at `until`.
pub fn touch(
    tx: &mut Tx<'_>,
    id: Uuid,
    now: Timestamp,
    before: Timestamp,
    until: Timestamp,
) -> Result<()> {
    let sql =
        "UPDATE session SET seen_at = $2 WHERE id = $1 AND ended_at IS NULL AND seen_at <= $3";
    if tx.execute(sql, params![id, now, before])? > 0 {
        let sql = "UPDATE token SET expires_at = $2 WHERE session = $1";
        tx.run(sql, params![id, until])?;
    }
    Ok(())
}

/// Ends a session and its tokens. Returns false if it was over.
pub fn end(tx: &mut Tx<'_>, id: Uuid, now: Timestamp) -> Result<bool> {
    tx.note_object("session", id);
    let sql = "UPDATE token SET deleted_at = $2 WHERE session = $1 AND deleted_at IS NULL";
    tx.run(sql, params![id, now])?;
    let sql = "UPDATE session SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL";
    Ok(tx.execute(sql, params![id, now])? > 0)
}

/// Ends the sessions that began with a token.
pub fn end_of(tx: &mut Tx<'_>, began_with: &str, now: Timestamp) -> Result<()> {
    end_where(tx, "began_with = $2", params![now, began_with]).map(drop)
}

/// Ends the sessions that began with another admin token of the node than the present one, and unused links that it
/// made. Returns the number of sessions.
pub fn end_of_earlier_admin(
    tx: &mut Tx<'_>,
    node: Uuid,
    present: &str,
    now: Timestamp,
) -> Result<u64> {
    let sql = "DELETE FROM login_link WHERE node = $1 AND maker <> $2 AND used_at IS NULL";
    tx.run(sql, params![node, present])?;
    end_where(
        tx,
        "node = $2 AND began_with <> $3",
        params![now, node, present],
    )
}

fn end_where(tx: &mut Tx<'_>, which: &str, values: &[Value<'_>]) -> Result<u64> {
    let sql = format!(
        "UPDATE token SET deleted_at = $1 WHERE deleted_at IS NULL AND session IN
           (SELECT id FROM session WHERE ended_at IS NULL AND {which})"
    );
    tx.run(&sql, values)?;
    let sql = format!("UPDATE session SET ended_at = $1 WHERE ended_at IS NULL AND {which}");
    tx.execute(&sql, values)
}

/// Deletes sessions that ended before `before`, with their tokens, at most `limit` sessions. Returns their number.
pub fn forget(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    const OLD: &str = "SELECT id FROM session WHERE ends_at < $1 ORDER BY ends_at, id LIMIT $2";
    let values = params![before, limit];
    tx.run(
        &format!("DELETE FROM token WHERE session IN ({OLD})"),
        values,
    )?;
    tx.execute(&format!("DELETE FROM session WHERE id IN ({OLD})"), values)
}

fn read(row: &Row<'_>) -> Result<Session> {
    Ok(Session {
        id: row.uuid(0)?,
        workspace: row.maybe_uuid(1)?.map(WorkspaceId),
        began_with: row.get(2)?,
        node: row.maybe_uuid(3)?,
        address: row.get(4)?,
        agent: row.get(5)?,
        created_at: row.time(6)?,
        seen_at: row.time(7)?,
        ends_at: row.time(8)?,
        ended_at: row.get::<Option<i64>>(9)?.map(Timestamp::from_micros),
    })
}
