//! Resends: selected events that are sent again, in the order of the log.
//!
//! A background job walks the delivery log, or the dead letters, and stores the events it finds. Messages of channels are
//! no events: the job queues those that have failed for another attempt of their run. Its last batch begins a replay for
//! each webhook among the others, under the id of the resend. The runners take the events from there, each into the
//! deferred queue, so that a crash loses none.

mod selection;

use std::collections::{HashMap, hash_map::Entry};

use prichal_core::{
    id::{IntegrationId, RunId, WebhookId, WorkspaceId},
    time::Timestamp,
};
use uuid::Uuid;

use super::{
    Replay, STATUSES, dead_letter, first_id,
    log::{self, Details, Source},
    text::BodyOf,
    undelivered,
};
use crate::{
    Conn, Error, LoggedEvent, Result, Tx,
    event::{self, removal},
    insert::{self, Insert},
    job::{self, Job, Kind},
    retention::own_or_none,
    run, usage,
    value::params,
    webhook::Key,
};

pub use selection::Selection;

static RESEND_EVENT: Insert = Insert::with_tail(
    "resend_event",
    &["workspace", "resend", "integration", "webhook", "seq"],
    " ON CONFLICT (workspace, resend, integration, webhook, seq) DO NOTHING",
);

/// The largest number of unfinished resends of a workspace.
pub const MAX_UNFINISHED: i64 = 10;
/// The largest number of events that a resend selects.
pub const MAX_SELECTED: i64 = 1_000_000;
/// The number of rows of the log that one batch of the job looks at.
const ROWS_PER_BATCH: usize = 1024;
/// The number of calls that one batch of the job selects. A batch is short, because new events wait for its end.
const CALLS_PER_BATCH: i64 = 64;
/// The number of events that a cancellation removes at once. Retention removes the others.
const MAX_REMOVED: i64 = 10_000;

/// A request to send events again.
#[derive(Clone, Debug)]
pub struct Resend {
    pub id: Uuid,
    /// The integration that the selection is limited to.
    pub integration: Option<IntegrationId>,
    pub state: State,
    /// The events a second that are sent to each webhook.
    pub rate: i64,
    /// The events found so far.
    pub selected: i64,
    /// Those of them that wait.
    pub waiting: i64,
    pub created_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Selecting,
    Sending,
    Done,
    Cancelled,
}

impl State {
    pub const NAMES: [&'static str; 4] = ["selecting", "sending", "done", "cancelled"];

    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// One delivery to repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub integration: IntegrationId,
    pub webhook: WebhookId,
    pub seq: i64,
}

/// The deliveries to repeat: of events, and the messages of channels, which are tried again.
#[derive(Clone, Debug, Default)]
pub struct Selected {
    pub events: Vec<Target>,
    pub messages: Vec<RunId>,
}

impl Selected {
    /// Adds the delivery that a call was for. Returns false if it cannot be repeated.
    pub fn add(&mut self, call: &log::Logged) -> bool {
        let (integration, webhook) = (call.integration, call.attempt.webhook);
        if Source::of(integration, webhook) == Source::Channel {
            // A message is kept until it is delivered.
            let has_failed = call.attempt.status != STATUSES[0];
            self.messages
                .extend(has_failed.then_some(RunId(call.attempt.event.0)));
            return has_failed;
        }
        let seq = call.attempt.seq;
        self.events.extend((seq > 0).then_some(Target {
            integration,
            webhook,
            seq,
        }));
        seq > 0
    }
}

/// Begins a resend. What is `selected` is sent at once; without it a job makes the selection. Returns false if the
/// workspace has [`MAX_UNFINISHED`] resends. One whose events are still stored counts, so that their number is bounded.
pub fn begin(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    resend: (Uuid, i64),
    selection: &Selection,
    selected: Option<&Selected>,
    (node, now): (Uuid, Timestamp),
) -> Result<bool> {
    let (id, rate) = resend;
    let unfinished = tx.conn()?.query_one(
        "SELECT count(*) FROM resend r WHERE workspace = $1 AND (
           EXISTS (SELECT 1 FROM walk w WHERE w.workspace = r.workspace AND w.kind = 'resend' AND w.item = r.id)
           OR EXISTS (SELECT 1 FROM replay p WHERE p.workspace = r.workspace AND p.id = r.id)
           OR EXISTS (SELECT 1 FROM resend_event e WHERE e.workspace = r.workspace AND e.resend = r.id))",
        params![workspace],
        |row| row.get::<i64>(0),
    )?;
    if unfinished.unwrap_or(0) >= MAX_UNFINISHED {
        return Ok(false);
    }
    let detail = selection.to_text();
    tx.note_object("resend", id);
    tx.run(
        "INSERT INTO resend (workspace, id, filter, rate, selected, cancelled, created_at) VALUES ($1, $2, $3, $4, 0, 0, $5)",
        params![workspace, id, &detail, rate, now],
    )?;
    usage::add_sized(tx, workspace, usage::length(&detail));
    match selected {
        None => job::begin(tx, workspace, Kind::Resend, &id.to_string(), &detail)?,
        Some(selected) => {
            add(tx, workspace, id, selected, (node, now))?;
            start(tx, workspace, id)?;
        }
    }
    Ok(true)
}

/// Adds events to a resend, without those that were removed and those of webhooks that were, and queues messages for
/// another attempt. A message that is being sent, or was delivered since, is left alone. Returns the number of those that
/// were added.
fn add(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: Uuid,
    selected: &Selected,
    (node, now): (Uuid, Timestamp),
) -> Result<i64> {
    let mut events = selected.events.clone();
    if !events.is_empty() {
        let removed = removal::removed_for_update(tx, workspace)?;
        events = kept(tx.conn()?, workspace, removed, events)?;
    }
    let mut webhooks = HashMap::new();
    let mut rows = Vec::with_capacity(events.len());
    for event in events {
        let webhook = (event.integration, event.webhook);
        let exists = match webhooks.entry(webhook) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(unknown) => *unknown.insert(webhook_exists(tx, workspace, webhook)?),
        };
        if exists {
            let row = [
                workspace.into(),
                id.into(),
                webhook.0.into(),
                webhook.1.into(),
                event.seq.into(),
            ];
            rows.push(row.to_vec());
        }
    }
    let mut added = insert::write_new_rows(tx, &RESEND_EVENT, rows)?;
    for message in &selected.messages {
        added += u64::from(run::try_again(tx, node, now, workspace, *message)?);
    }
    let added = i64::try_from(added).unwrap_or(0);
    tx.run(
        "UPDATE resend SET selected = selected + $3 WHERE workspace = $1 AND id = $2",
        params![workspace, id, added],
    )?;
    Ok(added)
}

/// True if there is such a webhook.
fn webhook_exists(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    (integration, webhook): (IntegrationId, WebhookId),
) -> Result<bool> {
    let found = tx.conn()?.query_one(
        "SELECT 1 FROM webhook WHERE workspace = $1 AND integration = $2 AND id = $3",
        params![workspace, integration, webhook],
        |row| row.get::<i32>(0),
    )?;
    Ok(found.is_some())
}

/// Begins the replays of a resend whose events are selected.
fn start(tx: &mut Tx<'_>, workspace: WorkspaceId, id: Uuid) -> Result<()> {
    let begun = tx.execute(
        "INSERT INTO replay (workspace, integration, webhook, id, cursor, last, rate)
           SELECT DISTINCT e.workspace, e.integration, e.webhook, e.resend, 0, CAST($3 AS BIGINT), r.rate
           FROM resend_event e JOIN resend r ON r.workspace = e.workspace AND r.id = e.resend
             JOIN webhook w ON w.workspace = e.workspace AND w.integration = e.integration AND w.id = e.webhook
           WHERE e.workspace = $1 AND e.resend = $2",
        params![workspace, id, i64::MAX],
    )?;
    usage::add_bare(tx, workspace, i64::try_from(begun).unwrap_or(0));
    Ok(())
}

/// The next part of a selection.
#[derive(Clone, Debug)]
pub struct Part {
    /// The mark of the job at which this part begins.
    after: String,
    found: Selected,
    /// The mark at which the next part begins. `None` at the end.
    next: Option<Uuid>,
}

/// Reads the next part of the selection that a job makes. `None` if the job is done.
pub fn read_part(conn: &mut Conn, job: &Job, body_of: BodyOf) -> Result<Option<Part>> {
    let Some(job) = job::find(conn, job)? else {
        return Ok(None);
    };
    let mut selection = Selection::of_text(&job.detail, body_of).ok_or_else(damaged)?;
    if let Some(last) = prichal_core::id::parse(&job.last) {
        selection.filter.before = Some(last);
    }
    let (found, next) = select(conn, job.workspace, &selection, CALLS_PER_BATCH)?;
    Ok(Some(Part {
        after: job.last,
        found,
        next,
    }))
}

/// Adds a part of the selection to its resend, and begins to send after the last one. Returns the next mark of the job,
/// or `None` at the end. A part that another node has added meanwhile is left out.
pub fn add_part(
    tx: &mut Tx<'_>,
    job: &Job,
    part: &Part,
    node: Uuid,
    now: Timestamp,
) -> Result<Option<String>> {
    if job.last != part.after {
        return Ok(Some(job.last.clone()));
    }
    let id = prichal_core::id::parse(&job.item).ok_or_else(damaged)?;
    let workspace = job.workspace;
    let Some(before) = selected(tx.conn()?, workspace, id)? else {
        // It was removed with its workspace.
        return Ok(None);
    };
    let added = add(tx, workspace, id, &part.found, (node, now))?;
    if let Some(next) = part.next.filter(|_| before + added < MAX_SELECTED) {
        return Ok(Some(next.to_string()));
    }
    start(tx, workspace, id)?;
    Ok(None)
}

fn damaged() -> Error {
    Error::corrupt("the selection of a resend is damaged")
}

/// The number of events that a resend has found so far. `None` if there is no such resend.
fn selected(conn: &mut Conn, workspace: WorkspaceId, id: Uuid) -> Result<Option<i64>> {
    conn.query_one(
        "SELECT selected FROM resend WHERE workspace = $1 AND id = $2",
        params![workspace, id],
        |row| row.get(0),
    )
}

/// Finds the next part of a selection, and the value of [`Filter::before`] for those that follow. A call that failed is
/// left out if its event was delivered or dismissed since.
pub fn select(
    conn: &mut Conn,
    workspace: WorkspaceId,
    selection: &Selection,
    limit: i64,
) -> Result<(Selected, Option<Uuid>)> {
    let filter = &selection.filter;
    if selection.of_dead_letters {
        let page = dead_letter::list(conn, workspace, filter, limit, ROWS_PER_BATCH)?;
        let events = page.items.iter().map(|letter| Target {
            integration: letter.integration,
            webhook: letter.webhook,
            seq: letter.seq,
        });
        let found = Selected {
            events: events.collect(),
            messages: Vec::new(),
        };
        return Ok((found, page.next));
    }
    let page = log::list(
        conn,
        workspace,
        filter,
        Details::OfFailures,
        limit,
        ROWS_PER_BATCH,
    )?;
    let (mut delivered, mut failed) = (Selected::default(), Selected::default());
    for call in &page.items {
        let of_status = if call.attempt.status == STATUSES[0] {
            &mut delivered
        } else {
            &mut failed
        };
        of_status.add(call);
    }
    let mut events = undelivered::of(conn, workspace, failed.events)?;
    events.extend(delivered.events);
    let removed = removal::removed(conn, workspace)?;
    let found = Selected {
        events: kept(conn, workspace, removed, events)?,
        // Messages that were delivered cannot be repeated.
        messages: failed.messages,
    };
    Ok((found, page.next))
}

/// The deliveries whose events are there. The log begins after the number `removed`.
fn kept(
    conn: &mut Conn,
    workspace: WorkspaceId,
    removed: i64,
    events: Vec<Target>,
) -> Result<Vec<Target>> {
    let mut kept = Vec::with_capacity(events.len());
    for target in events {
        if target.seq > removed || event::find(conn, workspace, target.seq)?.is_some() {
            kept.push(target);
        }
    }
    Ok(kept)
}

/// Lists the next events of a replay of selected events.
pub fn next_events(
    conn: &mut Conn,
    key: Key,
    replay: &Replay,
    limit: i64,
) -> Result<Vec<LoggedEvent>> {
    conn.query(
        "SELECT e.seq, e.id, e.type, e.change, e.entities, e.body FROM resend_event r
           JOIN event e ON e.workspace = r.workspace AND e.seq = r.seq
         WHERE r.workspace = $1 AND r.resend = $2 AND r.integration = $3 AND r.webhook = $4 AND r.seq > $5
         ORDER BY r.seq LIMIT $6",
        params![key.workspace, replay.id, key.integration, key.id, replay.cursor, limit],
        |row| event::logged(key.workspace, row),
    )
}

/// Removes the events of a replay that were started.
pub(super) fn remove_started(tx: &mut Tx<'_>, key: Key, replay: &Replay) -> Result<()> {
    tx.run(
        "DELETE FROM resend_event WHERE workspace = $1 AND resend = $2 AND integration = $3 AND webhook = $4 AND seq <= $5",
        params![key.workspace, replay.id, key.integration, key.id, replay.cursor],
    )
}

const COLUMNS: &str = "id, rate, selected, cancelled, created_at, filter,
    (SELECT count(*) FROM resend_event e WHERE e.workspace = r.workspace AND e.resend = r.id),
    (SELECT count(*) FROM walk w WHERE w.workspace = r.workspace AND w.kind = 'resend' AND w.item = r.id),
    (SELECT count(*) FROM replay p WHERE p.workspace = r.workspace AND p.id = r.id)";

/// Finds a resend.
pub fn find(conn: &mut Conn, workspace: WorkspaceId, id: Uuid) -> Result<Option<Resend>> {
    let sql = format!("SELECT {COLUMNS} FROM resend r WHERE workspace = $1 AND id = $2");
    conn.query_one(&sql, params![workspace, id], read)
}

/// Lists the newest resends.
pub fn list(conn: &mut Conn, workspace: WorkspaceId, limit: i64) -> Result<Vec<Resend>> {
    let sql =
        format!("SELECT {COLUMNS} FROM resend r WHERE workspace = $1 ORDER BY id DESC LIMIT $2");
    conn.query(&sql, params![workspace, limit], read)
}

fn read(row: &crate::Row<'_>) -> Result<Resend> {
    let is_some = |column| row.get::<i64>(column).map(|count| count > 0);
    let state = if is_some(3)? {
        State::Cancelled
    } else if is_some(7)? {
        State::Selecting
    } else if is_some(8)? {
        State::Sending
    } else {
        State::Done
    };
    let selection = Selection::of_text(&row.get::<String>(5)?, |_, _, _| None);
    Ok(Resend {
        id: row.uuid(0)?,
        integration: selection.and_then(|selection| selection.filter.integration),
        state,
        rate: row.get(1)?,
        selected: row.get(2)?,
        waiting: row.get(6)?,
        created_at: row.time(4)?,
    })
}

/// Cancels a resend: events that were not started are not sent. One that has ended stays as it is.
pub fn cancel(tx: &mut Tx<'_>, workspace: WorkspaceId, resend: &Resend) -> Result<()> {
    if matches!(resend.state, State::Done | State::Cancelled) {
        return Ok(());
    }
    let values = params![workspace, resend.id];
    tx.run(
        "UPDATE resend SET cancelled = 1 WHERE workspace = $1 AND id = $2",
        values,
    )?;
    tx.run(
        "DELETE FROM walk WHERE workspace = $1 AND kind = 'resend' AND item = $2",
        values,
    )?;
    usage::remove(tx, &usage::REPLAYS, "workspace = $1 AND id = $2", values)?;
    tx.run(
        "DELETE FROM resend_event WHERE (workspace, resend, integration, webhook, seq) IN (
           SELECT workspace, resend, integration, webhook, seq FROM resend_event WHERE workspace = $1 AND resend = $2 LIMIT $3)",
        params![workspace, resend.id, MAX_REMOVED],
    )
}

/// Deletes the events of resends that are cancelled or whose webhooks were removed, and resends from before `before`, at
/// most `limit` rows: those of one workspace, or of all that have no time of their own. Returns their number.
pub fn forget(
    tx: &mut Tx<'_>,
    workspace: Option<WorkspaceId>,
    before: Timestamp,
    limit: i64,
) -> Result<u64> {
    let mut values = params![first_id(before), limit].to_vec();
    let of = own_or_none(workspace, "r.workspace", &mut values);
    let sql = format!(
        "DELETE FROM resend_event WHERE (workspace, resend, integration, webhook, seq) IN (
           SELECT e.workspace, e.resend, e.integration, e.webhook, e.seq FROM resend r
             JOIN resend_event e ON e.workspace = r.workspace AND e.resend = r.id
           WHERE {of} AND (r.cancelled = 1 OR r.id < $1 OR (
             NOT EXISTS (SELECT 1 FROM walk w WHERE w.workspace = r.workspace AND w.kind = 'resend' AND w.item = r.id)
             AND NOT EXISTS (SELECT 1 FROM replay p WHERE p.workspace = r.workspace AND p.id = r.id))) LIMIT $2)"
    );
    let events = tx.execute(&sql, &values)?;
    if events > 0 {
        return Ok(events);
    }
    let condition = format!(
        "(workspace, id) IN (SELECT workspace, id FROM resend r WHERE id < $1 AND {of} LIMIT $2)"
    );
    usage::remove(tx, &usage::RESENDS, &condition, &values)
}
