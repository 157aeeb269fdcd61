//! Deliveries: the log of attempts, the deferred events that wait for another attempt, and replays.

pub mod dead_letter;
mod earlier;
pub mod log;
mod pack;
pub mod resend;
pub mod text;
mod undelivered;

use std::{collections::BTreeMap, time::Duration};

use prichal_core::{
    event::EventHead,
    id::{EventId, IntegrationId, WebhookId, WorkspaceId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    Conn, Error, Result, Row, Tx, event,
    job::{self, BATCH_ROWS, Job},
    quarantine::{Kind, not_held},
    usage,
    value::{Value, params},
    webhook::Key,
};

/// The outcome of one call.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Ids are ordered by time. [`log::insert`] replaces the lowest bits.
    pub id: Uuid,
    pub webhook: WebhookId,
    pub event: EventId,
    pub seq: i64,
    /// The kind and the entities of an event of the log.
    pub about: Option<EventHead>,
    /// The number of the call for this event, from 1.
    pub attempt: i64,
    /// `delivered`, `deferred` or `exhausted`.
    pub status: &'static str,
    pub http_status: Option<i64>,
    pub duration_ms: i64,
    pub error: Option<String>,
    /// The first 4 KiB of the answer, or 1 KiB if the call succeeded.
    pub answer: Option<String>,
    pub started_at: Timestamp,
    /// True for an event that was sent again on request.
    pub is_replay: bool,
    pub exchange: Exchange,
}

/// The maximum bytes that are kept of a body that a script has made.
pub const MAX_OWN_BODY: usize = 16 << 10;

/// The headers that were sent and received, and the times that the parts of the call took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// Lines of `name: value`, without secrets.
    pub sent: Vec<u8>,
    /// The beginning of a body that a script has made, at most [`MAX_OWN_BODY`] bytes. Other calls send the event's text.
    pub body: Option<Vec<u8>>,
    pub received: Vec<u8>,
    pub timings: Timings,
}

/// The times that the parts of a call took. A kept connection needs only the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    pub resolve: Option<Duration>,
    pub connect: Option<Duration>,
    pub tls: Option<Duration>,
    /// From sending the request to the head of the answer.
    pub first_byte: Option<Duration>,
}

impl Timings {
    fn all(&self) -> [Option<Duration>; 4] {
        [self.resolve, self.connect, self.tls, self.first_byte]
    }
}

/// All values of an attempt's status.
pub const STATUSES: [&str; 3] = ["delivered", "deferred", "exhausted"];

/// Criteria of a list of attempts.
#[derive(Clone, Debug, Default)]
pub struct AttemptFilter {
    pub webhook: Option<WebhookId>,
    pub event: Option<EventId>,
    pub status: Option<String>,
    /// Only attempts older than this one.
    pub before: Option<Uuid>,
    /// Only attempts that ended at this time or later.
    pub since: Option<Timestamp>,
}

/// A page of attempts.
#[derive(Debug, Default)]
pub struct AttemptPage {
    pub items: Vec<Attempt>,
    /// The value of [`AttemptFilter::before`] for the next page, if this one has ended before it was full.
    pub next: Option<Uuid>,
}

/// The number of rows of the log that a page of attempts looks at.
const MAX_ROWS: usize = 4096;

/// Lists attempts of an instance, newest first. The page may have fewer than `limit` although there is a next one.
pub fn list_attempts(
    conn: &mut Conn,
    workspace: WorkspaceId,
    integration: IntegrationId,
    filter: &AttemptFilter,
    limit: i64,
) -> Result<AttemptPage> {
    let criteria = log::Filter {
        integration: Some(integration),
        webhook: filter.webhook,
        event: filter.event,
        status: filter.status.clone(),
        before: filter.before,
        from: filter.since,
        ..log::Filter::default()
    };
    let most = usize::try_from(limit).unwrap_or(0);
    let page = log::list(
        conn,
        workspace,
        &criteria,
        log::Details::All,
        limit,
        MAX_ROWS,
    )?;
    let is_full = page.items.len() >= most;
    let next = page.next.filter(|_| !is_full);
    let mut items: Vec<Attempt> = page.items.into_iter().map(|one| one.attempt).collect();
    let earlier = earlier::list(conn, workspace, integration, filter, limit)?;
    // Those before the part of the log that this page has looked at are on the next one.
    items.extend(
        earlier
            .into_iter()
            .filter(|one| next.is_none_or(|next| one.id >= next)),
    );
    // Nodes of both versions may have written at the same time.
    items.sort_by_key(|attempt| std::cmp::Reverse(attempt.id));
    let is_cut = items.len() > most;
    items.truncate(most);
    Ok(AttemptPage {
        items,
        next: next.filter(|_| !is_cut),
    })
}

pub use earlier::{forget as forget_attempts, with_attempts_before};

/// Returns the lowest id that can be generated at `at`. Ids are ordered by time.
pub(crate) fn first_id(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.micros() / 1000).unwrap_or(0);
    Uuid::from_u128(u128::from(millis) << 80)
}

/// The queue that an event of a webhook is delivered from.
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

/// An event that waits for another attempt.
#[derive(Clone, Debug)]
pub struct Deferred {
    pub lane: Lane,
    pub seq: i64,
    /// The number of calls made so far.
    pub attempts: i64,
    pub due_at: Timestamp,
    /// True while its call is still open. The row exists so that the cursor can move past the event.
    pub in_flight: bool,
}

/// Puts an event into the deferred queue, or updates its row there.
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

/// Removes an event from the deferred queue.
pub fn complete_deferred(tx: &mut Tx<'_>, key: Key, lane: Lane, seq: i64) -> Result<()> {
    tx.run(
        "DELETE FROM deferred WHERE workspace = $1 AND integration = $2 AND webhook = $3 AND lane = $4 AND seq = $5",
        params![key.workspace, key.integration, key.id, lane.name(), seq],
    )?;
    Ok(())
}

/// The number of rows that one statement looks for.
const LOOKED_FOR_AT_ONCE: usize = 64;

/// Counts the rows that changes of the deferred queue add or remove, before they are made. `stays` is true for an event
/// that has a row after them.
pub fn count_changes(
    tx: &mut Tx<'_>,
    key: Key,
    changes: impl Iterator<Item = (Lane, i64, bool)>,
) -> Result<()> {
    let stays: BTreeMap<(Lane, i64), bool> = changes
        .map(|(lane, seq, stays)| ((lane, seq), stays))
        .collect();
    let seqs: Vec<i64> = stays.keys().map(|(_, seq)| *seq).collect();
    let mut new = stays.values().filter(|stays| **stays).count();
    let mut old = 0;
    for some in seqs.chunks(LOOKED_FOR_AT_ONCE) {
        let marks: Vec<String> = (4..4 + some.len()).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT lane, seq FROM deferred WHERE workspace = $1 AND integration = $2 AND webhook = $3
               AND lane IN ('main', 'replay') AND seq IN ({})",
            marks.join(", ")
        );
        let mut values = params![key.workspace, key.integration, key.id].to_vec();
        values.extend(some.iter().map(|seq| Value::from(*seq)));
        let found = tx.conn()?.query(&sql, &values, |row| {
            Ok((lane(&row.get::<String>(0)?), row.get::<i64>(1)?))
        })?;
        for row in found {
            match stays.get(&row) {
                Some(true) => new -= 1,
                Some(false) => old += 1,
                None => {}
            }
        }
    }
    let count = |rows: usize| i64::try_from(rows).unwrap_or(i64::MAX);
    usage::add_bare(tx, key.workspace, count(new) - count(old));
    Ok(())
}

fn lane(name: &str) -> Lane {
    if name == Lane::Replay.name() {
        Lane::Replay
    } else {
        Lane::Main
    }
}

/// Makes the events due that the previous owner of the webhook left in flight.
pub fn requeue_in_flight(tx: &mut Tx<'_>, key: Key, now: Timestamp) -> Result<()> {
    tx.run(
        "UPDATE deferred SET in_flight = 0, due_at = $4 WHERE workspace = $1 AND integration = $2 AND webhook = $3 AND in_flight = 1",
        params![key.workspace, key.integration, key.id, now],
    )?;
    Ok(())
}

/// Returns the number of attempts made for a deferred event.
pub fn calls_made(conn: &mut Conn, key: Key, seq: i64) -> Result<i64> {
    let sql = "SELECT max(attempts) FROM deferred WHERE workspace = $1 AND integration = $2 AND webhook = $3 AND seq = $4";
    let at = params![key.workspace, key.integration, key.id, seq];
    let found = conn.query_one(sql, at, |row| row.get::<Option<i64>>(0))?;
    Ok(found.flatten().unwrap_or(0))
}

/// Finds the time of the next attempt for a deferred event.
pub fn next_attempt(conn: &mut Conn, key: Key, seq: i64) -> Result<Option<Timestamp>> {
    let sql = "SELECT min(due_at) FROM deferred WHERE workspace = $1 AND integration = $2 AND webhook = $3 AND seq = $4 AND in_flight = 0";
    let at = params![key.workspace, key.integration, key.id, seq];
    let found = conn.query_one(sql, at, |row| row.get::<Option<i64>>(0))?;
    Ok(found.flatten().map(Timestamp::from_micros))
}

/// The events of a webhook that wait for another attempt.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waiting {
    /// Their number; at most [`MAX_COUNTED`] are counted.
    pub count: i64,
    /// The number of the oldest in the log.
    pub oldest: Option<i64>,
    /// The time of the next attempt.
    pub due_at: Option<Timestamp>,
}

/// The maximum number of rows that are counted.
pub const MAX_COUNTED: i64 = 100_000;

/// Counts the deferred events of a webhook, without those of replays.
pub fn waiting(conn: &mut Conn, key: Key) -> Result<Waiting> {
    let found = conn.query_one(
        "SELECT count(*), min(seq), min(CASE WHEN in_flight = 0 THEN due_at END) FROM (
           SELECT seq, due_at, in_flight FROM deferred
           WHERE workspace = $1 AND integration = $2 AND webhook = $3 AND lane = 'main' LIMIT $4) counted",
        params![key.workspace, key.integration, key.id, MAX_COUNTED],
        |row| {
            Ok(Waiting {
                count: row.get(0)?,
                oldest: row.get(1)?,
                due_at: row.get::<Option<i64>>(2)?.map(Timestamp::from_micros),
            })
        },
    )?;
    Ok(found.unwrap_or_default())
}

/// Makes all waiting events of a webhook due.
pub fn make_due(tx: &mut Tx<'_>, key: Key, now: Timestamp) -> Result<()> {
    in_batches(tx, job::Kind::MakeDeferredDue, key, now)
}

/// Changes or removes the first batch of a webhook's deferred events, and begins a job for the others. `at` is the time
/// at which they become due; for a removal, it is the latest due time of the events to remove.
pub(crate) fn in_batches(tx: &mut Tx<'_>, kind: job::Kind, key: Key, at: Timestamp) -> Result<()> {
    let last = "SELECT last FROM log WHERE workspace = $1";
    let last: Option<i64> = tx
        .conn()?
        .query_one(last, params![key.workspace], |row| row.get(0))?;
    let until = (last.unwrap_or(0), at.micros());
    let Some(done) = change_batch(tx, kind, key, until, "")? else {
        return Ok(());
    };
    let begun = Job {
        workspace: key.workspace,
        kind,
        item: walk_item(key),
        detail: format!("[{}, {}]", until.0, until.1),
        last: String::new(),
    };
    job::begin(tx, begun.workspace, kind, &begun.item, &begun.detail)?;
    job::advance(tx, &begun, Some(&done))
}

/// The item of a job on the deferred events of a webhook.
fn walk_item(key: Key) -> String {
    format!("{}:{}", key.integration, key.id)
}

/// Runs a batch of a job on deferred events. Returns the mark up to which the job is done, or `None` at its end.
pub fn run_batch(tx: &mut Tx<'_>, job: &Job) -> Result<Option<String>> {
    let damaged = || Error::corrupt("a background job is damaged");
    let (integration, id) = job.item.split_once(':').ok_or_else(damaged)?;
    let key = Key {
        workspace: job.workspace,
        integration: IntegrationId::parse(integration).ok_or_else(damaged)?,
        id: WebhookId::parse(id).ok_or_else(damaged)?,
    };
    let until = serde_json::from_str(&job.detail).map_err(|_| damaged())?;
    change_batch(tx, job.kind, key, until, &job.last)
}

/// Changes or removes a batch of deferred events after a mark, up to an event of the log. An event that is deferred anew
/// behind the mark is not changed again. Returns the next mark, or `None` if no event is left.
fn change_batch(
    tx: &mut Tx<'_>,
    kind: job::Kind,
    key: Key,
    (until, at): (i64, i64),
    after: &str,
) -> Result<Option<String>> {
    let (action, which) = match kind {
        job::Kind::MakeDeferredDue => (
            "UPDATE deferred SET due_at = $5",
            "due_at > $5 AND in_flight = 0",
        ),
        _ => ("DELETE FROM deferred", "due_at <= $5"),
    };
    let (lane, seq) = after.split_once(':').unwrap_or(("", "0"));
    let seq: i64 = seq.parse().unwrap_or(0);
    let page = format!(
        "SELECT lane, seq FROM deferred WHERE workspace = $1 AND integration = $2 AND webhook = $3 AND seq <= $4 AND {which}
           AND (lane, seq) > ($6, $7) ORDER BY lane, seq LIMIT $8"
    );
    let from = params![
        key.workspace,
        key.integration,
        key.id,
        until,
        at,
        lane,
        seq,
        BATCH_ROWS
    ];
    let page = tx.conn()?.query(&page, from, |row| {
        Ok((row.get::<String>(0)?, row.get::<i64>(1)?))
    })?;
    let Some((last_lane, last_seq)) = page.last() else {
        return Ok(None);
    };
    let sql = format!(
        "{action} WHERE workspace = $1 AND integration = $2 AND webhook = $3 AND seq <= $4 AND {which}
           AND (lane, seq) > ($6, $7) AND (lane, seq) <= ($8, $9)"
    );
    let to = params![last_lane, *last_seq];
    let changed = tx.execute(&sql, &[&from[..7], &to[..]].concat())?;
    if kind != job::Kind::MakeDeferredDue {
        forget_bytes(tx, key, changed);
    }
    let is_full = i64::try_from(page.len()).is_ok_and(|found| found >= BATCH_ROWS);
    Ok(is_full.then(|| format!("{last_lane}:{last_seq}")))
}

/// Deletes the deferred events that a removed webhook with the same key has left. Its jobs end, because they would
/// change events of the new webhook.
pub(crate) fn forget_removed(tx: &mut Tx<'_>, key: Key) -> Result<()> {
    tx.run(
        "DELETE FROM walk WHERE workspace = $1 AND kind IN ('waiting', 'due') AND item = $2",
        params![key.workspace, walk_item(key)],
    )?;
    let gone = tx.execute(
        "DELETE FROM deferred WHERE workspace = $1 AND integration = $2 AND webhook = $3",
        params![key.workspace, key.integration, key.id],
    )?;
    forget_bytes(tx, key, gone);
    Ok(())
}

/// Subtracts removed rows of the deferred queue from what the workspace uses.
fn forget_bytes(tx: &mut Tx<'_>, key: Key, rows: u64) {
    usage::add_bare(tx, key.workspace, -i64::try_from(rows).unwrap_or(0));
}

/// Lists a webhook's deferred events by lane and number, without those in quarantine, at most `limit`.
pub fn list_deferred(conn: &mut Conn, key: Key, limit: i64) -> Result<Vec<(Deferred, EventHead)>> {
    let sql = format!(
        "SELECT d.lane, d.seq, d.attempts, d.due_at, e.type, e.change, e.entities
         FROM deferred d JOIN event e ON e.workspace = d.workspace AND e.seq = d.seq
         WHERE d.workspace = $1 AND d.integration = $2 AND d.webhook = $3 AND {} ORDER BY d.lane, d.seq LIMIT $4",
        not_held(Kind::Delivery, "d")
    );
    let from = params![key.workspace, key.integration, key.id, limit];
    conn.query(&sql, from, |row| Ok((deferred(row)?, event::head(row, 4)?)))
}

/// Reads lane, number, attempts and due time.
fn deferred(row: &Row<'_>) -> Result<Deferred> {
    Ok(Deferred {
        lane: lane(&row.get::<String>(0)?),
        seq: row.get(1)?,
        attempts: row.get(2)?,
        due_at: row.time(3)?,
        in_flight: false,
    })
}

/// Lists a webhook's due events, the longest waiting first.
pub fn list_due(conn: &mut Conn, key: Key, now: Timestamp, limit: i64) -> Result<Vec<Deferred>> {
    let sql = format!(
        "SELECT lane, seq, attempts, due_at FROM deferred WHERE workspace = $1 AND integration = $2 AND webhook = $3
           AND due_at <= $4 AND in_flight = 0 AND {} ORDER BY due_at, seq LIMIT $5",
        not_held(Kind::Delivery, "deferred")
    );
    conn.query(
        &sql,
        params![key.workspace, key.integration, key.id, now, limit],
        deferred,
    )
}

/// Lists the webhooks of a node that have events due at `now`, at most `limit`, and the time at which the next event
/// becomes due. Workspaces take turns.
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

/// Returns the number of events in all deferred queues and the time at which the oldest became due.
pub fn queue_depth(conn: &mut Conn) -> Result<(i64, Option<Timestamp>)> {
    let found = conn.query_one("SELECT count(*), min(due_at) FROM deferred", &[], |row| {
        Ok((
            row.get(0)?,
            row.get::<Option<i64>>(1)?.map(Timestamp::from_micros),
        ))
    })?;
    Ok(found.unwrap_or_default())
}

/// A range of the log that is delivered again.
#[derive(Clone, Debug)]
pub struct Replay {
    pub id: Uuid,
    /// The number up to which every event is accepted for delivery.
    pub cursor: i64,
    pub last: i64,
    /// The events a second of a replay of selected events ([`resend`]). `None` for a whole range.
    pub rate: Option<i64>,
}

/// The largest number of unfinished replays of a webhook.
pub const MAX_REPLAYS: i64 = 100;

/// Begins a replay. Returns false if the webhook has [`MAX_REPLAYS`] unfinished ones.
pub fn insert_replay(tx: &mut Tx<'_>, key: Key, replay: &Replay) -> Result<bool> {
    let count = tx.conn()?.query_one(
        "SELECT count(*) FROM replay WHERE workspace = $1 AND integration = $2 AND webhook = $3",
        params![key.workspace, key.integration, key.id],
        |row| row.get::<i64>(0),
    )?;
    if count.unwrap_or(0) >= MAX_REPLAYS {
        return Ok(false);
    }
    tx.run(
        "INSERT INTO replay (workspace, integration, webhook, id, cursor, last) VALUES ($1, $2, $3, $4, $5, $6)",
        params![key.workspace, key.integration, key.id, replay.id, replay.cursor, replay.last],
    )?;
    usage::add_bare(tx, key.workspace, 1);
    Ok(true)
}

/// Finds the oldest unfinished replay of a webhook.
pub fn first_replay(conn: &mut Conn, key: Key) -> Result<Option<Replay>> {
    conn.query_one(
        "SELECT id, cursor, last, rate FROM replay WHERE workspace = $1 AND integration = $2 AND webhook = $3 ORDER BY id LIMIT 1",
        params![key.workspace, key.integration, key.id],
        read_replay,
    )
}

/// Lists the unfinished replays of ranges of a webhook, the oldest first.
pub fn list_replays(conn: &mut Conn, key: Key) -> Result<Vec<Replay>> {
    conn.query(
        "SELECT id, cursor, last, rate FROM replay
         WHERE workspace = $1 AND integration = $2 AND webhook = $3 AND rate IS NULL ORDER BY id LIMIT $4",
        params![key.workspace, key.integration, key.id, MAX_REPLAYS],
        read_replay,
    )
}

fn read_replay(row: &Row<'_>) -> Result<Replay> {
    Ok(Replay {
        id: row.uuid(0)?,
        cursor: row.get(1)?,
        last: row.get(2)?,
        rate: row.get(3)?,
    })
}

/// Moves the cursor of a replay, or deletes a finished replay.
pub fn move_replay(tx: &mut Tx<'_>, key: Key, replay: &Replay) -> Result<()> {
    let at = params![
        key.workspace,
        key.integration,
        key.id,
        replay.id,
        replay.cursor
    ];
    if replay.rate.is_some() {
        resend::remove_started(tx, key, replay)?;
    }
    if replay.cursor >= replay.last {
        let one = "workspace = $1 AND integration = $2 AND webhook = $3 AND id = $4";
        usage::remove(tx, &usage::REPLAYS, one, &at[..4])?;
    } else {
        tx.run("UPDATE replay SET cursor = $5 WHERE workspace = $1 AND integration = $2 AND webhook = $3 AND id = $4", at)?;
    }
    Ok(())
}

/// Lists the webhooks of a node that have an unfinished replay.
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
