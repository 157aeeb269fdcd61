//! First answers to POSTs that carried an `Idempotency-Key`. The place that a key counts for is the caller and
//! the path together.

use prichal_core::{id::WorkspaceId, time::Timestamp};

use crate::{Conn, Result, Tx, usage, value::params};

/// The first answer to a POST with an `Idempotency-Key`.
pub struct FirstAnswer {
    pub request_hash: String,
    pub status: i64,
    pub answer: String,
}

/// What the key was answered with at or after `since`.
pub fn find_answer(
    conn: &mut Conn,
    workspace: WorkspaceId,
    place: &str,
    key: &str,
    since: Timestamp,
) -> Result<Option<FirstAnswer>> {
    conn.query_one(
        "SELECT request_hash, status, answer FROM idempotency WHERE workspace = $1 AND path = $2 AND key = $3 AND at >= $4",
        params![workspace, place, key, since],
        |row| Ok(FirstAnswer { request_hash: row.get(0)?, status: row.get(1)?, answer: row.get(2)? }),
    )
}

/// Keeps the first answer. False when another request with the key came in between.
pub fn keep_answer(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    place: &str,
    key: &str,
    first: &FirstAnswer,
    now: Timestamp,
    since: Timestamp,
) -> Result<bool> {
    usage::remove(
        tx,
        &usage::ANSWERS,
        "workspace = $1 AND path = $2 AND key = $3 AND at < $4",
        params![workspace, place, key, since],
    )?;
    let done = tx.changes_one(
        "INSERT INTO idempotency (workspace, path, key, request_hash, status, answer, at) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT DO NOTHING",
        params![workspace, place, key, &first.request_hash, first.status, &first.answer, now],
    )?;
    if done {
        usage::add(tx, workspace, &[place, key, &first.answer]);
    }
    Ok(done)
}

/// Replaces an answer that was kept for the same request.
pub fn replace_answer(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    place: &str,
    key: &str,
    first: &FirstAnswer,
) -> Result<()> {
    let one = "workspace = $1 AND path = $2 AND key = $3";
    usage::change(
        tx,
        &usage::ANSWERS,
        one,
        params![workspace, place, key],
        |tx| {
            tx.run(
            "UPDATE idempotency SET status = $5, answer = $6 WHERE workspace = $1 AND path = $2 AND key = $3 AND request_hash = $4",
            params![workspace, place, key, &first.request_hash, first.status, &first.answer],
        )
        },
    )
}

/// Forgets answers older than `before`, at most `limit`.
pub fn forget_answers(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    usage::remove(
        tx,
        &usage::ANSWERS,
        "(workspace, path, key) IN (SELECT workspace, path, key FROM idempotency WHERE at < $1 LIMIT $2)",
        params![before, limit],
    )
}
