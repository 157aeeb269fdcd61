//! Deliveries: what each call came to, what waits for another try, what is being replayed.

use std::fmt::Write as _;

use prichal_core::{
    id::{EventId, IntegrationId, WebhookId, WorkspaceId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    Conn, Result, Row, Tx, document_hook,
    insert::Insert,
    quarantine::{Kind, not_held},
    value::{Value, params},
    webhook::Key,
};

/// What a call came to.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub id: Uuid,
    pub webhook: WebhookId,
    pub event: EventId,
    pub seq: i64,
    /// Which call for this event it was, from 1.
    pub attempt: i64,
    /// `delivered`, `deferred` or `exhausted`.
    pub status: &'static str,
    pub http_status: Option<i64>,
    pub duration_ms: i64,
    pub error: Option<String>,
    /// The first KiB of the answer.
    pub answer: Option<String>,
    pub started_at: Timestamp,
}

/// The words an attempt's status can be.
pub const STATUSES: [&str; 3] = ["delivered", "deferred", "exhausted"];

static ATTEMPT: Insert = Insert::new(
    "attempt",
    &[
        "workspace",
        "integration",
        "id",
        "webhook",
        "event",
        "seq",
        "attempt",
        "status",
        "http_status",
        "duration_ms",
        "error",
        "answer",
        "started_at",
    ],
);

pub fn insert_attempt(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    integration: IntegrationId,
    attempt: &Attempt,
) {
    let Attempt {
        id,
        webhook,
        event,
        seq,
        attempt: number,
        status,
        http_status,
        duration_ms,
        error,
        answer,
        started_at,
    } = attempt.clone();
    let values = params![
        workspace,
        integration,
        id,
        webhook,
        event,
        seq,
        number,
        status,
        http_status,
        duration_ms,
        error,
        answer,
        started_at
    ];
    tx.insert(&ATTEMPT, values.to_vec());
}

/// Which attempts of an instance to list.
#[derive(Clone, Debug, Default)]
pub struct AttemptFilter {
    pub webhook: Option<WebhookId>,
    pub event: Option<EventId>,
    pub status: Option<String>,
    /// Only attempts older than this one.
    pub before: Option<Uuid>,
}

/// Attempts of an instance, newest first.
pub fn list_attempts(
    conn: &mut Conn,
    workspace: WorkspaceId,
    integration: IntegrationId,
    filter: &AttemptFilter,
    limit: i64,
) -> Result<Vec<Attempt>> {
    let AttemptFilter {
        webhook,
        event,
        status,
        before,
    } = filter;
    let mut values = params![workspace, integration, limit].to_vec();
    let mut conditions = String::new();
    // Each condition stands there only when it is asked for, so that the engine can use its indexes.
    let mut only = |condition: &str, value: Value<'static>| {
        values.push(value);
        let _ = write!(conditions, " AND {condition} ${}", values.len());
    };
    if let Some(before) = before {
        only("id <", (*before).into());
    }
    if let Some(event) = event {
        only("event =", (*event).into());
        // Ids are in the order of time, and no attempt for an event is older than the event itself.
        only(
            "id >=",
            format!("{}-0000-0000-0000-000000000000", &event.to_string()[..13]).into(),
        );
    }
    if let Some(webhook) = webhook {
        only("webhook =", (*webhook).into());
    }
    if let Some(status) = status {
        only("status =", status.clone().into());
        if status != STATUSES[0] {
            // Failed attempts have an index of their own, which a plain equality would not show to be enough.
            conditions.push_str(" AND status <> 'delivered'");
        }
    }
    conn.query(
        &format!(
            "SELECT id, webhook, event, seq, attempt, status, http_status, duration_ms, error, answer, started_at FROM attempt
             WHERE workspace = $1 AND integration = $2{conditions} ORDER BY id DESC LIMIT $3"
        ),
        &values,
        |row| {
            let status: String = row.get(5)?;
            Ok(Attempt {
                id: row.uuid(0)?,
                webhook: WebhookId(row.uuid(1)?),
                event: EventId(row.uuid(2)?),
                seq: row.get(3)?,
                attempt: row.get(4)?,
                status: STATUSES.into_iter().find(|known| *known == status).unwrap_or(STATUSES[1]),
                http_status: row.get(6)?,
                duration_ms: row.get(7)?,
                error: row.get(8)?,
                answer: row.get(9)?,
                started_at: row.time(10)?,
            })
        },
    )
}

/// Instances, channels that send, and companies' document hooks, that have attempts older than `before`,
/// at most `limit`.
pub fn with_attempts_before(
    conn: &mut Conn,
    before: Timestamp,
    limit: i64,
) -> Result<Vec<(WorkspaceId, IntegrationId)>> {
    conn.query(
        "SELECT workspace, integration FROM instance i WHERE EXISTS (
           SELECT 1 FROM attempt a WHERE a.workspace = i.workspace AND a.integration = i.integration AND a.id < $1)
         UNION ALL SELECT workspace, id FROM channel c WHERE EXISTS (
           SELECT 1 FROM attempt a WHERE a.workspace = c.workspace AND a.integration = c.id AND a.id < $1)
         UNION ALL SELECT id, $3 FROM workspace w WHERE EXISTS (
           SELECT 1 FROM attempt a WHERE a.workspace = w.id AND a.integration = $3 AND a.id < $1) LIMIT $2",
        params![first_id(before), limit, document_hook::INTEGRATION],
        |row| Ok((WorkspaceId(row.uuid(0)?), IntegrationId(row.uuid(1)?))),
    )
}

/// Removes attempts of an instance older than `before`, at most `limit`. Returns how many.
pub fn forget_attempts(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    integration: IntegrationId,
    before: Timestamp,
    limit: i64,
) -> Result<u64> {
    tx.execute(
        "DELETE FROM attempt WHERE workspace = $1 AND integration = $2 AND id IN (
           SELECT id FROM attempt WHERE workspace = $1 AND integration = $2 AND id < $3 ORDER BY id LIMIT $4)",
        params![workspace, integration, first_id(before), limit],
    )
}

/// The lowest id that can be made at `at`: ids are in the order of time.
pub(crate) fn first_id(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.micros() / 1000).unwrap_or(0);
    Uuid::from_u128(u128::from(millis) << 80)
}

/// Which of a webhook's lines an event is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    Main,
    Replay,
}

impl Lane {
    pub fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Replay => "replay",
        }
    }
}

/// An event that waits for another try.
#[derive(Clone, Debug)]
pub struct Deferred {
    pub lane: Lane,
    pub seq: i64,
    /// Calls made so far.
    pub attempts: i64,
    pub due_at: Timestamp,
    /// Its call is still open; the row is there so that the cursor could go past it.
    pub in_flight: bool,
}

/// Puts an event into the deferred queue, or changes when it is due.
pub fn defer(tx: &mut Tx<'_>, key: Key, deferred: &Deferred) -> Result<()> {
    let Deferred {
        lane,
        seq,
        attempts,
        due_at,
        in_flight,
    } = deferred;
    tx.run(
        "INSERT INTO deferred (workspace, integration, webhook, lane, seq, attempts, due_at, in_flight) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (workspace, integration, webhook, lane, seq) DO UPDATE SET
           attempts = excluded.attempts, due_at = excluded.due_at, in_flight = excluded.in_flight",
        params![key.workspace, key.integration, key.id, lane.name(), *seq, *attempts, *due_at, *in_flight],
    )?;
    Ok(())
}

/// Takes an event out of the deferred queue.
pub fn settle_deferred(tx: &mut Tx<'_>, key: Key, lane: Lane, seq: i64) -> Result<()> {
    tx.run(
        "DELETE FROM deferred WHERE workspace = $1 AND integration = $2 AND webhook = $3 AND lane = $4 AND seq = $5",
        params![key.workspace, key.integration, key.id, lane.name(), seq],
    )?;
    Ok(())
}

/// What a new owner finds in flight: its owner is gone, so each is due now.
pub fn land_in_flight(tx: &mut Tx<'_>, key: Key, now: Timestamp) -> Result<()> {
    tx.run(
        "UPDATE deferred SET in_flight = 0, due_at = $4 WHERE workspace = $1 AND integration = $2 AND webhook = $3 AND in_flight = 1",
        params![key.workspace, key.integration, key.id, now],
    )?;
    Ok(())
}

/// How many calls were made for an event that waits for another try.
pub fn calls_made(conn: &mut Conn, key: Key, seq: i64) -> Result<i64> {
    let sql = "SELECT max(attempts) FROM deferred WHERE workspace = $1 AND integration = $2 AND webhook = $3 AND seq = $4";
    let at = params![key.workspace, key.integration, key.id, seq];
    let found = conn.query_one(sql, at, |row| row.get::<Option<i64>>(0))?;
    Ok(found.flatten().unwrap_or(0))
}

/// Makes everything that waits for another try due.
pub fn make_due(tx: &mut Tx<'_>, key: Key, now: Timestamp) -> Result<()> {
    tx.run(
        "UPDATE deferred SET due_at = $4 WHERE workspace = $1 AND integration = $2 AND webhook = $3 AND due_at > $4 AND in_flight = 0",
        params![key.workspace, key.integration, key.id, now],
    )?;
    Ok(())
}

/// A webhook's deferred events that are due, the longest waiting first.
pub fn list_due(conn: &mut Conn, key: Key, now: Timestamp, limit: i64) -> Result<Vec<Deferred>> {
    let sql = format!(
        "SELECT lane, seq, attempts, due_at FROM deferred WHERE workspace = $1 AND integration = $2 AND webhook = $3
           AND due_at <= $4 AND in_flight = 0 AND {} ORDER BY due_at, seq LIMIT $5",
        not_held(Kind::Delivery, "deferred")
    );
    conn.query(
        &sql,
        params![key.workspace, key.integration, key.id, now, limit],
        |row| {
            let lane: String = row.get(0)?;
            let lane = if lane == Lane::Replay.name() {
                Lane::Replay
            } else {
                Lane::Main
            };
            Ok(Deferred {
                lane,
                seq: row.get(1)?,
                attempts: row.get(2)?,
                due_at: row.time(3)?,
                in_flight: false,
            })
        },
    )
}

/// The webhooks of a node that have events due at `now`, at most `limit`, by turns of their workspaces, and when the next event after
/// `now` is due.
pub fn due_hooks(
    conn: &mut Conn,
    node: Uuid,
    now: Timestamp,
    limit: i64,
) -> Result<(Vec<Key>, Option<Timestamp>)> {
    let sql = format!(
        "SELECT workspace, integration, webhook FROM (
           SELECT d.workspace, d.integration, d.webhook, row_number() OVER (PARTITION BY d.workspace ORDER BY min(d.due_at)) AS turn
           FROM deferred d JOIN webhook w ON w.workspace = d.workspace AND w.integration = d.integration AND w.id = d.webhook
           WHERE d.due_at <= $1 AND d.in_flight = 0 AND w.owner = $2 AND {}
           GROUP BY d.workspace, d.integration, d.webhook) AS due
         ORDER BY turn LIMIT $3",
        not_held(Kind::Delivery, "d")
    );
    let due = conn.query(&sql, params![now, node, limit], key)?;
    let next = "SELECT min(due_at) FROM deferred WHERE due_at > $1 AND in_flight = 0";
    let next = conn.query_one(next, params![now], |row| row.get::<Option<i64>>(0))?;
    Ok((due, next.flatten().map(Timestamp::from_micros)))
}

/// How many events wait in the deferred queues, and since when the oldest has been due.
pub fn queue_depth(conn: &mut Conn) -> Result<(i64, Option<Timestamp>)> {
    let found = conn.query_one("SELECT count(*), min(due_at) FROM deferred", &[], |row| {
        Ok((
            row.get(0)?,
            row.get::<Option<i64>>(1)?.map(Timestamp::from_micros),
        ))
    })?;
    Ok(found.unwrap_or_default())
}

/// A stretch of the log that is being sent again.
#[derive(Clone, Debug)]
pub struct Replay {
    pub id: Uuid,
    /// Every event up to this number is settled.
    pub cursor: i64,
    pub last: i64,
}

pub fn insert_replay(tx: &mut Tx<'_>, key: Key, replay: &Replay) -> Result<()> {
    tx.run(
        "INSERT INTO replay (workspace, integration, webhook, id, cursor, last) VALUES ($1, $2, $3, $4, $5, $6)",
        params![key.workspace, key.integration, key.id, replay.id, replay.cursor, replay.last],
    )?;
    Ok(())
}

/// The oldest replay of a webhook that is not through.
pub fn first_replay(conn: &mut Conn, key: Key) -> Result<Option<Replay>> {
    conn.query_one(
        "SELECT id, cursor, last FROM replay WHERE workspace = $1 AND integration = $2 AND webhook = $3 ORDER BY id LIMIT 1",
        params![key.workspace, key.integration, key.id],
        |row| Ok(Replay { id: row.uuid(0)?, cursor: row.get(1)?, last: row.get(2)? }),
    )
}

/// Moves a replay on, or removes it when it is through.
pub fn move_replay(tx: &mut Tx<'_>, key: Key, replay: &Replay) -> Result<()> {
    let at = params![
        key.workspace,
        key.integration,
        key.id,
        replay.id,
        replay.cursor
    ];
    if replay.cursor >= replay.last {
        tx.run("DELETE FROM replay WHERE workspace = $1 AND integration = $2 AND webhook = $3 AND id = $4", &at[..4])?;
    } else {
        tx.run("UPDATE replay SET cursor = $5 WHERE workspace = $1 AND integration = $2 AND webhook = $3 AND id = $4", at)?;
    }
    Ok(())
}

/// The webhooks of a node that have a replay going on.
pub fn replaying(conn: &mut Conn, node: Uuid, limit: i64) -> Result<Vec<Key>> {
    conn.query(
        "SELECT DISTINCT r.workspace, r.integration, r.webhook FROM replay r
         JOIN webhook w ON w.workspace = r.workspace AND w.integration = r.integration AND w.id = r.webhook
         WHERE w.owner = $1 LIMIT $2",
        params![node, limit],
        key,
    )
}

fn key(row: &Row<'_>) -> Result<Key> {
    Ok(Key {
        workspace: WorkspaceId(row.uuid(0)?),
        integration: IntegrationId(row.uuid(1)?),
        id: WebhookId(row.uuid(2)?),
    })
}
