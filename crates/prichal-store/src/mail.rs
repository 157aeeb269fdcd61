//! The outbox: mails to the people of a workspace, one row for each recipient, and notices of alerts that are to become
//! mails.
//!
//! A node that takes a mail moves its due time to the end of a lease, so no other node takes it meanwhile, and it is due
//! again if the node dies. The outcome is stored under the number of the attempt, so a node that has lost its lease
//! changes nothing.

use prichal_core::{
    id::{WorkspaceId, generate},
    mail::{COUNTED, Text},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{Conn, Error, Result, Row, Tx, value::params};

/// The occasion of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An alert has begun or is over.
    Alert,
    Digest,
    Test,
    /// The number of mails that were left out.
    Rest,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Alert, Self::Digest, Self::Test, Self::Rest];
    pub const NAMES: [&str; 4] = ["alert", "digest", "test", "rest"];

    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Queued, or to be tried again.
    Waiting,
    Sent,
    /// Given up: the server refused it for good, or the last attempt has failed.
    Failed,
}

impl Status {
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Sent, Self::Failed];
    pub const NAMES: [&str; 3] = ["waiting", "sent", "failed"];

    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// A mail to one recipient.
#[derive(Clone, Debug)]
pub struct Mail {
    pub workspace: WorkspaceId,
    pub id: Uuid,
    pub kind: Kind,
    pub recipient: String,
    pub subject: String,
    pub body: String,
    pub status: Status,
    /// The number of attempts, including the present one.
    pub attempts: i64,
    pub due_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub answer: Option<String>,
    /// The number of mails that a mail of the kind [`Kind::Rest`] stands for.
    pub left_out: i64,
}

const COLUMNS: &str = "workspace, id, kind, recipient, subject, body, status, attempts, due_at, created_at, finished_at, answer, left_out";

/// Queues a mail to each recipient, as long as the workspace has fewer than `most` mails in an hour. Others are counted
/// in one mail to that recipient. Returns the ids of the mails that were queued.
pub fn queue(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    kind: Kind,
    text: &Text,
    recipients: &[String],
    now: Timestamp,
    most: i64,
) -> Result<Vec<Uuid>> {
    let mut found = count_since(tx.conn()?, workspace, now - COUNTED, most)?;
    let mut queued = Vec::new();
    for recipient in recipients {
        if found >= most {
            leave_out(tx, workspace, recipient, now)?;
            continue;
        }
        found += 1;
        let id = generate(now);
        insert(tx, workspace, id, kind, recipient, text, now, 0)?;
        queued.push(id);
    }
    Ok(queued)
}

/// Counts the mails that a workspace has had since `since`, up to `most`.
fn count_since(
    conn: &mut Conn,
    workspace: WorkspaceId,
    since: Timestamp,
    most: i64,
) -> Result<i64> {
    let sql = "SELECT count(*) FROM
         (SELECT 1 FROM mail WHERE workspace = $1 AND created_at >= $2 AND kind <> 'rest' LIMIT $3) AS counted";
    let found = conn.query_one(sql, params![workspace, since, most], |row| row.get(0))?;
    Ok(found.unwrap_or(0))
}

/// Counts a mail that is left out.
fn leave_out(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    recipient: &str,
    now: Timestamp,
) -> Result<()> {
    let counted = tx.execute(
        "UPDATE mail SET left_out = left_out + 1 WHERE workspace = $1 AND created_at >= $2 AND kind = 'rest' AND recipient = $3
           AND status = 'waiting' AND attempts = 0",
        params![workspace, now - 2 * COUNTED, recipient],
    )?;
    if counted > 0 {
        return Ok(());
    }
    let text = Text {
        subject: String::new(),
        body: String::new(),
    };
    let id = generate(now);
    insert(tx, workspace, id, Kind::Rest, recipient, &text, now, 1)
}

#[expect(clippy::too_many_arguments, reason = "the columns of a new row")]
fn insert(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: Uuid,
    kind: Kind,
    recipient: &str,
    text: &Text,
    now: Timestamp,
    left_out: i64,
) -> Result<()> {
    let due_at = if kind == Kind::Rest {
        now + COUNTED
    } else {
        now
    };
    let sql = format!(
        "INSERT INTO mail ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, 'waiting', 0, $7, $8, NULL, NULL, $9)"
    );
    let (subject, body) = (&text.subject, &text.body);
    tx.run(
        &sql,
        params![
            workspace,
            id,
            kind.name(),
            recipient,
            subject,
            body,
            due_at,
            now,
            left_out
        ],
    )
}

/// Takes the mail that has been due longest, until `lease`.
pub fn claim(tx: &mut Tx<'_>, now: Timestamp, lease: Timestamp) -> Result<Option<Mail>> {
    let sql = format!(
        "WITH chosen AS MATERIALIZED (
           SELECT workspace, id FROM mail WHERE due_at <= $1 ORDER BY due_at, id LIMIT 1 /*postgres FOR UPDATE SKIP LOCKED*/)
         UPDATE mail SET due_at = $2, attempts = attempts + 1
         WHERE (workspace, id) IN (SELECT workspace, id FROM chosen) RETURNING {COLUMNS}"
    );
    let claimed = tx.change(&sql, params![now, lease], read)?;
    Ok(claimed.into_iter().next())
}

/// The outcome of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub status: Status,
    /// The time of the next attempt of a waiting mail.
    pub due_at: Option<Timestamp>,
    pub answer: String,
}

/// Stores the outcome of the attempt for which a mail was claimed. Returns false if another attempt came later.
pub fn record(tx: &mut Tx<'_>, mail: &Mail, outcome: &Outcome, now: Timestamp) -> Result<bool> {
    let Outcome {
        status,
        due_at,
        answer,
    } = outcome;
    let finished_at = (*status != Status::Waiting).then_some(now);
    // The text of a mail that stands for others was made for this attempt.
    tx.changes_one(
        "UPDATE mail SET status = $4, due_at = $5, finished_at = $6, answer = $7, subject = $8, body = $9
         WHERE workspace = $1 AND id = $2 AND attempts = $3 AND status = 'waiting'",
        params![
            mail.workspace,
            mail.id,
            mail.attempts,
            status.name(),
            *due_at,
            finished_at,
            answer,
            &mail.subject,
            &mail.body
        ],
    )
}

/// The time at which the next mail is due.
pub fn next_due(conn: &mut Conn) -> Result<Option<Timestamp>> {
    let sql = "SELECT min(due_at) FROM mail WHERE due_at IS NOT NULL";
    let found = conn.query_one(sql, &[], |row| row.get::<Option<i64>>(0))?;
    Ok(found.flatten().map(Timestamp::from_micros))
}

/// Counts the mails that wait.
pub fn count_waiting(conn: &mut Conn) -> Result<i64> {
    let sql = "SELECT count(*) FROM mail WHERE due_at IS NOT NULL";
    Ok(conn.query_one(sql, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Lists mails of a workspace before an id, newest first.
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Mail>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM mail WHERE workspace = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
    );
    let before = before.unwrap_or(Uuid::max());
    conn.query(&sql, params![workspace, before, limit], read)
}

pub fn find(conn: &mut Conn, workspace: WorkspaceId, id: Uuid) -> Result<Option<Mail>> {
    let sql = format!("SELECT {COLUMNS} FROM mail WHERE workspace = $1 AND id = $2");
    conn.query_one(&sql, params![workspace, id], read)
}

/// Counts the mails of a kind that a workspace has had since `since`, up to `most`.
pub fn count_of(
    conn: &mut Conn,
    workspace: WorkspaceId,
    kind: Kind,
    since: Timestamp,
    most: i64,
) -> Result<i64> {
    let sql = "SELECT count(*) FROM
         (SELECT 1 FROM mail WHERE workspace = $1 AND created_at >= $2 AND kind = $3 LIMIT $4) AS counted";
    let values = params![workspace, since, kind.name(), most];
    let found = conn.query_one(sql, values, |row| row.get(0))?;
    Ok(found.unwrap_or(0))
}

/// Deletes mails and notices from before `before`, at most `limit` of each. Returns their number.
pub fn forget(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    let mails = tx.execute(
        "DELETE FROM mail WHERE (workspace, id) IN (SELECT workspace, id FROM mail WHERE created_at < $1 LIMIT $2)",
        params![before, limit],
    )?;
    let notices = tx.execute(
        "DELETE FROM mail_notice WHERE (workspace, id) IN
           (SELECT workspace, id FROM mail_notice WHERE written_at < $1 LIMIT $2)",
        params![before, limit],
    )?;
    Ok(mails + notices)
}

/// The note that an alert has begun or is over, and was not mailed yet.
#[derive(Clone, Debug)]
pub struct Notice {
    pub id: Uuid,
    pub alert: Uuid,
    pub is_over: bool,
    pub written_at: Timestamp,
}

/// The maximum number of notices of a workspace. More are made only while no node sends mails.
const MAX_NOTICES: i64 = 1000;

/// Notes that an alert has begun or is over, unless too many notices of the workspace wait.
pub fn notice(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    alert: Uuid,
    is_over: bool,
    now: Timestamp,
) -> Result<()> {
    tx.run(
        "INSERT INTO mail_notice (workspace, id, alert, is_over, written_at)
         SELECT $1, $2, $3, CAST($4 AS BIGINT), CAST($5 AS BIGINT) WHERE (SELECT count(*) FROM mail_notice WHERE workspace = $1) < $6",
        params![workspace, generate(now), alert, is_over, now, MAX_NOTICES],
    )
}

/// Lists notices of all workspaces.
pub fn list_notices(conn: &mut Conn, limit: i64) -> Result<Vec<(WorkspaceId, Notice)>> {
    let sql = "SELECT workspace, id, alert, is_over, written_at FROM mail_notice ORDER BY workspace, id LIMIT $1";
    conn.query(sql, params![limit], |row| {
        let notice = Notice {
            id: row.uuid(1)?,
            alert: row.uuid(2)?,
            is_over: row.get::<i64>(3)? != 0,
            written_at: row.time(4)?,
        };
        Ok((WorkspaceId(row.uuid(0)?), notice))
    })
}

/// Removes a notice. Returns false if it is gone already.
pub fn take_notice(tx: &mut Tx<'_>, workspace: WorkspaceId, notice: &Notice) -> Result<bool> {
    let sql = "DELETE FROM mail_notice WHERE workspace = $1 AND id = $2";
    Ok(tx.execute(sql, params![workspace, notice.id])? == 1)
}

/// Plans the next digest of a workspace. The period of the first one begins now.
pub fn plan_digest(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    now: Timestamp,
    due_at: Timestamp,
) -> Result<()> {
    tx.run(
        "INSERT INTO mail_digest (workspace, last_at, due_at) VALUES ($1, $2, $3)
         ON CONFLICT (workspace) DO UPDATE SET due_at = excluded.due_at",
        params![workspace, now, due_at],
    )
}

/// Removes the plan of a workspace without digests.
pub fn drop_digest(tx: &mut Tx<'_>, workspace: WorkspaceId) -> Result<()> {
    let sql = "DELETE FROM mail_digest WHERE workspace = $1";
    tx.run(sql, params![workspace])
}

/// Lists workspaces whose digest is due.
pub fn digests_due(conn: &mut Conn, now: Timestamp, limit: i64) -> Result<Vec<WorkspaceId>> {
    let sql = "SELECT workspace FROM mail_digest WHERE due_at <= $1 ORDER BY due_at LIMIT $2";
    conn.query(sql, params![now, limit], |row| {
        Ok(WorkspaceId(row.uuid(0)?))
    })
}

/// The time at which the next digest is due.
pub fn next_digest(conn: &mut Conn) -> Result<Option<Timestamp>> {
    let sql = "SELECT min(due_at) FROM mail_digest";
    let found = conn.query_one(sql, &[], |row| row.get::<Option<i64>>(0))?;
    Ok(found.flatten().map(Timestamp::from_micros))
}

/// Locks the digest of a workspace until the end of the transaction. Returns the beginning of its period, if it is still
/// due.
pub fn lock_due_digest(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    now: Timestamp,
) -> Result<Option<Timestamp>> {
    let sql = "SELECT last_at FROM mail_digest WHERE workspace = $1 AND due_at <= $2 /*postgres FOR UPDATE*/";
    tx.conn()?
        .query_one(sql, params![workspace, now], |row| row.time(0))
}

/// Notes that a digest was made, and plans the next one.
pub fn finish_digest(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    now: Timestamp,
    due_at: Timestamp,
) -> Result<()> {
    let sql = "UPDATE mail_digest SET last_at = $2, due_at = $3 WHERE workspace = $1";
    tx.run(sql, params![workspace, now, due_at])
}

fn read(row: &Row<'_>) -> Result<Mail> {
    let (kind, status): (String, String) = (row.get(2)?, row.get(6)?);
    let kind = Kind::ALL.into_iter().find(|one| one.name() == kind);
    let status = Status::ALL.into_iter().find(|one| one.name() == status);
    let (Some(kind), Some(status)) = (kind, status) else {
        return Err(Error::corrupt("a mail is damaged"));
    };
    let time = |column| {
        let micros = row.get::<Option<i64>>(column)?;
        Ok::<_, Error>(micros.map(Timestamp::from_micros))
    };
    Ok(Mail {
        workspace: WorkspaceId(row.uuid(0)?),
        id: row.uuid(1)?,
        kind,
        recipient: row.get(3)?,
        subject: row.get(4)?,
        body: row.get(5)?,
        status,
        attempts: row.get(7)?,
        due_at: time(8)?,
        created_at: row.time(9)?,
        finished_at: time(10)?,
        answer: row.get(11)?,
        left_out: row.get(12)?,
    })
}
