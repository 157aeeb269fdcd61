//! First answers to POST requests with an `Idempotency-Key`. A key is scoped to its caller and path.

use prichal_core::{id::WorkspaceId, time::Timestamp};

use crate::{Conn, Result, Tx, usage, value::params};

/// The first answer to a POST request with an `Idempotency-Key`.
pub struct FirstAnswer {
    pub request_hash: String,
    pub status: i64,
    pub answer: String,
}

/// Finds the answer that a key received at or after `since`.
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

/// Stores the first answer. Returns false if another request with the key stored one meanwhile.
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

/// Replaces the stored answer of the same request.
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

/// Deletes answers older than `before`, at most `limit`.
pub fn forget_answers(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    usage::remove(
        tx,
        &usage::ANSWERS,
        "(workspace, path, key) IN (SELECT workspace, path, key FROM idempotency WHERE at < $1 LIMIT $2)",
        params![before, limit],
    )
}
