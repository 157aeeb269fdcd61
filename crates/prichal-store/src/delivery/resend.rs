//! Resends: selected events that are sent again, in the order of the log.
//!
//! A background job walks the delivery log, or the dead letters, and stores the events it finds. Messages of channels are
//! no events: the job queues those that have failed for another attempt of their run. Its last batch begins a replay for
//! each webhook among the others, under the id of the resend. The runners take the events from there, each into the
//! deferred queue, so that a crash loses none.

use std::collections::{HashMap, hash_map::Entry};

use prichal_core::{
    event::{ChangeType, EntityKind, EventKind, EventType, custom::Pattern},
    id::{EventId, IntegrationId, RunId, WebhookId, WorkspaceId},
    time::Timestamp,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Replay, STATUSES, dead_letter, first_id,
    log::{self, Details, Filter, HttpStatus, Source},
    text::{BodyOf, Text},
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
/// The number of events that one batch of the job adds. A batch is short, because new events wait for its end.
const EVENTS_PER_BATCH: i64 = 64;
/// The number of events that a cancellation removes at once. Retention removes the others.
const MAX_REMOVED: i64 = 10_000;

/// The events to send again.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// True to select dead letters, false to select calls of the log.
    pub of_dead_letters: bool,
    pub filter: Filter,
}

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
    fn of(calls: &[log::Logged]) -> Self {
        let mut selected = Self::default();
        calls.iter().for_each(|call| {
            selected.add(call);
        });
        selected
    }

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
    let detail = to_json(selection).to_string();
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

/// Runs a batch of the job that selects the events of a resend. Returns the next mark, or `None` at the end.
pub fn run_batch(
    tx: &mut Tx<'_>,
    job: &Job,
    node: Uuid,
    now: Timestamp,
    body_of: BodyOf,
) -> Result<Option<String>> {
    let damaged = || Error::corrupt("the selection of a resend is damaged");
    let id = prichal_core::id::parse(&job.item).ok_or_else(damaged)?;
    let mut selection = from_json(&job.detail, body_of).ok_or_else(damaged)?;
    if let Some(last) = prichal_core::id::parse(&job.last) {
        selection.filter.before = Some(last);
    }
    let workspace = job.workspace;
    let Some(before) = selected(tx.conn()?, workspace, id)? else {
        // It was removed with its workspace.
        return Ok(None);
    };
    let (found, next) = select(tx.conn()?, workspace, &selection, EVENTS_PER_BATCH)?;
    let added = add(tx, workspace, id, &found, (node, now))?;
    if let Some(next) = next.filter(|_| before + added < MAX_SELECTED) {
        return Ok(Some(next.to_string()));
    }
    start(tx, workspace, id)?;
    Ok(None)
}

/// The number of events that a resend has found so far. `None` if there is no such resend.
fn selected(conn: &mut Conn, workspace: WorkspaceId, id: Uuid) -> Result<Option<i64>> {
    conn.query_one(
        "SELECT selected FROM resend WHERE workspace = $1 AND id = $2",
        params![workspace, id],
        |row| row.get(0),
    )
}

/// Finds the next part of a selection, and the value of [`Filter::before`] for those that follow.
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
    let mut selected = Selected::of(&page.items);
    let removed = removal::removed(conn, workspace)?;
    selected.events = kept(conn, workspace, removed, selected.events)?;
    Ok((selected, page.next))
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
    let selection = from_json(&row.get::<String>(5)?, |_, _, _| None);
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

fn to_json(selection: &Selection) -> Value {
    let Selection {
        of_dead_letters,
        filter,
    } = selection;
    let types = filter.types.as_ref().map(|types| {
        let pairs = types
            .iter()
            .map(|one| json!([one.name(), one.change().map(ChangeType::name)]));
        pairs.collect::<Vec<_>>()
    });
    let http_status = filter.http_status.map(|status| match status {
        HttpStatus::Absent => json!([]),
        HttpStatus::Between(first, last) => json!([first, last]),
    });
    json!({
        "deadLetters": of_dead_letters,
        "source": filter.source.map(Source::name),
        "integration": filter.integration,
        "webhook": filter.webhook,
        "event": filter.event,
        "status": filter.status,
        "types": types,
        "custom": filter.custom.as_ref().map(Pattern::as_str),
        "entityKind": filter.entity_kind.map(EntityKind::name),
        "entity": filter.entity,
        "httpStatus": http_status,
        "text": filter.text.as_ref().map(Text::as_str),
        "from": filter.from.map(Timestamp::micros),
        "to": filter.to.map(Timestamp::micros),
        "before": filter.before,
    })
}

/// Reads the text of [`to_json`]. `None` if it is damaged.
fn from_json(text: &str, body_of: BodyOf) -> Option<Selection> {
    let json: Value = serde_json::from_str(text).ok()?;
    let text = |name: &str| json[name].as_str();
    let id = |name: &str| text(name).and_then(prichal_core::id::parse);
    let time = |name: &str| json[name].as_i64().map(Timestamp::from_micros);
    let event_type = |pair: &Value| {
        let change = pair[1].as_str().and_then(ChangeType::from_name);
        let kind = pair[0].as_str()?;
        if kind == EventType::Custom.name() {
            return Some(EventType::Custom);
        }
        match (EventKind::from_name(kind)?, change) {
            (EventKind::Change, Some(change)) => Some(EventType::Change(change)),
            (EventKind::Link, None) => Some(EventType::Link),
            (EventKind::Unlink, None) => Some(EventType::Unlink),
            _ => None,
        }
    };
    let types = match json["types"].as_array() {
        None => None,
        Some(all) => Some(all.iter().map(event_type).collect::<Option<Vec<_>>>()?),
    };
    let http_status = json["httpStatus"].as_array().map(|range| {
        match (
            range.first().and_then(Value::as_i64),
            range.get(1).and_then(Value::as_i64),
        ) {
            (Some(first), Some(last)) => HttpStatus::Between(first, last),
            _ => HttpStatus::Absent,
        }
    });
    let source =
        text("source").and_then(|name| Source::ALL.into_iter().find(|one| one.name() == name));
    Some(Selection {
        of_dead_letters: json["deadLetters"].as_bool()?,
        filter: Filter {
            source,
            integration: id("integration").map(IntegrationId),
            webhook: id("webhook").map(WebhookId),
            event: id("event").map(EventId),
            status: text("status").map(str::to_owned),
            types,
            custom: text("custom").and_then(|names| Pattern::of_names(names).ok()),
            entity_kind: text("entityKind").and_then(EntityKind::from_name),
            entity: id("entity"),
            http_status,
            text: text("text").map(|text| Text::new(text, body_of)),
            from: time("from"),
            to: time("to"),
            before: id("before"),
        },
    })
}

#[cfg(test)]
mod tests {
    use prichal_core::id::generate;

    use super::*;

    const BODY_OF: BodyOf = |_, _, _| None;

    #[test]
    fn a_selection_is_stored_whole() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let full = Filter {
            source: Some(Source::DocumentHook),
            integration: Some(IntegrationId::generate(now)),
            webhook: Some(WebhookId::generate(now)),
            event: Some(EventId::generate(now)),
            status: Some("exhausted".to_owned()),
            types: Some(vec![
                EventType::Change(ChangeType::Patch),
                EventType::Unlink,
                EventType::Custom,
            ]),
            custom: Pattern::of_names("order.*").ok(),
            entity_kind: Some(EntityKind::Deal),
            entity: Some(generate(now)),
            http_status: Some(HttpStatus::Between(500, 599)),
            text: Some(Text::new("timeout", BODY_OF)),
            from: Some(now),
            to: Some(now),
            before: Some(generate(now)),
        };
        let none = Filter {
            http_status: Some(HttpStatus::Absent),
            ..Filter::default()
        };
        for (filter, of_dead_letters) in [(full, true), (none, false), (Filter::default(), false)] {
            let selection = Selection {
                of_dead_letters,
                filter,
            };
            let read = from_json(&to_json(&selection).to_string(), BODY_OF).expect("the selection");
            assert_eq!(format!("{selection:?}"), format!("{read:?}"));
        }
    }
}
