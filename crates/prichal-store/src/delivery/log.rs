//! The delivery log: the outcome of each call, of all sources, newest first.
//!
//! A failed call has a row of its own. The successes of a batch share a row, so the log writes fewer rows than there
//! are deliveries. A call's id is that of its row and the position there, so ids are ordered like rows.

use std::{fmt::Write as _, time::Duration};

use prichal_core::{
    event::{EntityKind, EventType, custom::Pattern},
    id::{EventId, IntegrationId, WebhookId, WorkspaceId, generated_at},
    time::Timestamp,
};
use uuid::Uuid;

use super::{
    Attempt, STATUSES, first_id,
    pack::{self, Head},
    text::{self, Text},
};
use crate::{
    Conn, Error, Result, Tx,
    document_hook::INTEGRATION,
    event,
    insert::Insert,
    retention::{Kind, none_of},
    usage,
    value::{Value, params},
};

/// The maximum number of calls of a row.
const MAX_PACKED: usize = 256;
/// The bits of an id that tell the position in its row.
const POSITION: u128 = 0xff;

static DELIVERY: Insert = Insert::new(
    "delivery",
    &[
        "workspace",
        "integration",
        "id",
        "webhook",
        "failed",
        "first_seq",
        "last_seq",
        "types",
        "entities",
        "statuses",
        "bytes",
        "heads",
        "details",
    ],
);

/// Logs calls of one webhook.
pub fn insert(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    integration: IntegrationId,
    attempts: &[Attempt],
) {
    let is_success = |attempt: &Attempt| attempt.status == STATUSES[0];
    for failure in attempts.iter().filter(|attempt| !is_success(attempt)) {
        insert_row(tx, workspace, integration, &[failure]);
    }
    let successes: Vec<&Attempt> = attempts.iter().filter(|one| is_success(one)).collect();
    for some in successes.chunks(MAX_PACKED) {
        insert_row(tx, workspace, integration, some);
    }
}

fn insert_row(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    integration: IntegrationId,
    attempts: &[&Attempt],
) {
    let Some(last) = attempts.last() else {
        return;
    };
    let packed = pack::pack(attempts.iter().copied());
    let bytes = packed.heads.len() + packed.details.len();
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    usage::add_sized(tx, workspace, bytes);
    let failed = STATUSES.iter().position(|status| *status == last.status);
    let values = vec![
        workspace.into(),
        integration.into(),
        row_of(last.id).into(),
        last.webhook.into(),
        i64::try_from(failed.unwrap_or(1)).unwrap_or(1).into(),
        packed.seqs.0.into(),
        packed.seqs.1.into(),
        packed.types.into(),
        packed.entities.into(),
        packed.statuses.into(),
        bytes.into(),
        Value::Blob(packed.heads.into()),
        Value::Blob(packed.details.into()),
    ];
    tx.insert(&DELIVERY, values);
}

/// The id of the row of a call.
pub(super) fn row_of(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128() & !POSITION)
}

fn id_at(row: Uuid, position: usize) -> Uuid {
    Uuid::from_u128(row.as_u128() | position as u128)
}

/// The kinds of sources of deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A webhook of an integration.
    Webhook,
    /// The document hook of a company.
    DocumentHook,
    /// A channel that sends messages.
    Channel,
}

impl Source {
    pub const ALL: [Self; 3] = [Self::Webhook, Self::DocumentHook, Self::Channel];
    pub const NAMES: [&'static str; 3] = ["webhook", "documentHook", "channel"];

    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    pub fn of(integration: IntegrationId, webhook: WebhookId) -> Self {
        if integration == INTEGRATION {
            Self::DocumentHook
        } else if integration.0 == webhook.0 {
            Self::Channel
        } else {
            Self::Webhook
        }
    }
}

/// The HTTP statuses to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpStatus {
    /// Calls without an answer.
    Absent,
    /// The first and the last one.
    Between(i64, i64),
}

/// Criteria of a list of calls.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub source: Option<Source>,
    pub integration: Option<IntegrationId>,
    pub webhook: Option<WebhookId>,
    pub event: Option<EventId>,
    /// One of [`STATUSES`].
    pub status: Option<String>,
    /// Any of these types.
    pub types: Option<Vec<EventType>>,
    /// The names of own event types. [`Self::types`] has to say that such events are wanted.
    pub custom: Option<Pattern>,
    pub entity_kind: Option<EntityKind>,
    pub entity: Option<Uuid>,
    pub http_status: Option<HttpStatus>,
    /// Calls with this text in what was sent or came back.
    pub text: Option<Text>,
    /// Calls that were logged at or after this time.
    pub from: Option<Timestamp>,
    /// Calls that were logged before this time.
    pub to: Option<Timestamp>,
    /// Only calls older than this one.
    pub before: Option<Uuid>,
}

/// A call in the log.
#[derive(Clone, Debug)]
pub struct Logged {
    pub integration: IntegrationId,
    pub attempt: Attempt,
}

/// A page of the log.
#[derive(Debug, Default)]
pub struct Page {
    pub items: Vec<Logged>,
    /// The value of [`Filter::before`] for the next page. `None` at the end of the log.
    pub next: Option<Uuid>,
}

/// The details that a search reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Details {
    /// The details of calls that failed. The others have no error text.
    OfFailures,
    All,
}

/// The number of rows that are read at once: at first, since most hold many calls, and at most.
const FIRST_ROWS: i64 = 4;
const WINDOW_ROWS: i64 = 512;
/// A page unpacks the calls of one in so many of the rows that it may look at.
const ROWS_PER_UNPACKED: usize = 8;
/// The rows in which the first call for an event is looked for.
const FIRST_CALL_ROWS: i64 = 32;
/// The largest difference between the clocks of two nodes.
const MAX_SKEW: Duration = Duration::from_mins(1);

/// The known facts about an event whose calls are looked for.
#[derive(Clone, Copy, Default)]
struct Known {
    /// Its number in the log; 0 if it is none of the log.
    seq: Option<i64>,
    /// The lowest id that a call for it can have.
    since: Option<Uuid>,
}

/// Lists at most `limit` calls, newest first. It looks at about `max_rows` rows, and unpacks the calls of an eighth of
/// them. The page may have fewer calls, or none, although there is a next one. A search for a text looks at fewer.
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    filter: &Filter,
    details: Details,
    limit: i64,
    max_rows: usize,
) -> Result<Page> {
    if let Some(text) = &filter.text {
        return text::list(conn, workspace, filter, text, limit, max_rows);
    }
    let most = usize::try_from(limit).unwrap_or(0);
    let known = match filter.event {
        Some(event) => look_up(conn, workspace, filter, event)?,
        None => Known::default(),
    };
    let (mut items, mut before) = (Vec::new(), filter.before);
    let (mut seen, mut unpacked) = (0, 0);
    let mut window = limit.min(FIRST_ROWS);
    loop {
        let (sql, values) = search(workspace, filter, details, known, before, window);
        let (mut found, mut is_spent) = (0, false);
        conn.scan(&sql, &values, &mut |row| {
            let id = row.uuid(0)?;
            before = Some(id);
            found += 1;
            if let Some(heads) = row.get::<Option<Vec<u8>>>(1)? {
                read_calls(filter, id, &heads, row, most, &mut items)?;
                unpacked += 1;
                is_spent = unpacked >= max_rows / ROWS_PER_UNPACKED;
            }
            Ok(items.len() < most && !is_spent)
        })?;
        seen += found;
        let next = if items.len() >= most {
            items.last().map(|one: &Logged| one.attempt.id)
        } else if is_spent {
            before
        } else if i64::try_from(found).is_ok_and(|found| found < window) {
            None
        } else if seen >= max_rows {
            before
        } else {
            window = (window * 2).min(WINDOW_ROWS);
            continue;
        };
        return Ok(Page { items, next });
    }
}

/// Finds the number and the time of an event, so that rows without a call for it are passed over.
fn look_up(
    conn: &mut Conn,
    workspace: WorkspaceId,
    filter: &Filter,
    event: EventId,
) -> Result<Known> {
    // The publisher may have chosen the id, which then tells no time.
    if let Some((seq, at)) = event::find_custom(conn, workspace, event)? {
        let since = at.map(|at| first_id(at - MAX_SKEW));
        return Ok(Known {
            seq: Some(seq),
            since,
        });
    }
    // No call for an event is older than the event.
    let at = generated_at(event.0).unwrap_or_default();
    let since = first_id(at - MAX_SKEW);
    let mut values = params![workspace, since, FIRST_CALL_ROWS].to_vec();
    let mut of = "";
    if let Some(integration) = filter.integration {
        values.push(integration.into());
        of = " AND integration = $4";
    }
    let sql = format!(
        "SELECT heads FROM delivery WHERE workspace = $1 AND id >= $2{of} ORDER BY id LIMIT $3"
    );
    let mut seq = None;
    conn.scan(&sql, &values, &mut |row| {
        for head in pack::heads(&row.get::<Vec<u8>>(0)?)? {
            let head = head?;
            if head.event == event {
                seq = Some(head.seq);
                return Ok(false);
            }
        }
        Ok(true)
    })?;
    Ok(Known {
        seq,
        since: Some(since),
    })
}

impl Filter {
    /// Adds the conditions for rows with a call that may match. `seq` is the number of the event.
    fn narrow(&self, seq: Option<i64>, only: &mut dyn FnMut(&str, Value<'static>)) {
        if let Some(webhook) = self.webhook {
            only("webhook = ?", webhook.into());
        }
        if let Some(seq) = seq {
            only("? BETWEEN first_seq AND last_seq", seq.into());
        }
        if let Some(source) = self.source {
            let condition = match source {
                Source::Webhook => "integration NOT IN (webhook, ?)",
                Source::DocumentHook => "integration = ?",
                Source::Channel => "integration = webhook AND integration <> ?",
            };
            only(condition, INTEGRATION.into());
        }
        if let Some(status) = &self.status {
            let code = STATUSES.iter().position(|one| one == status);
            let code = code.and_then(|code| i64::try_from(code).ok());
            only("failed = ?", code.into());
        }
        if let Some(types) = &self.types {
            let bits = types.iter().map(|kind| pack::type_bit(*kind));
            only(
                "(types & ?) <> 0",
                bits.fold(0, |all, bit| all | bit).into(),
            );
        }
        if let Some(kind) = self.entity_kind {
            only("(types & ?) <> 0", pack::kind_bit(kind).into());
        }
        if let Some(entity) = self.entity {
            only("(entities & ?) <> 0", pack::entity_bit(entity).into());
        }
        let status = match self.http_status {
            Some(HttpStatus::Absent) => Some(None),
            Some(HttpStatus::Between(one, same)) if one == same => Some(Some(one)),
            _ => None,
        };
        if let Some(status) = status {
            only("(statuses & ?) <> 0", pack::status_bit(status).into());
        }
    }

    pub(super) fn matches(&self, id: Uuid, head: &Head) -> bool {
        let wants = |is_right: Option<bool>| is_right.unwrap_or(true);
        let kind = head.about.as_ref().map(|about| about.kind);
        let about = head.about.as_ref();
        let mut entities = about.into_iter().flat_map(|about| about.entities.iter());
        let is_entity = (self.entity_kind.is_none() && self.entity.is_none())
            || entities.any(|(kind, id)| {
                wants(self.entity_kind.map(|wanted| wanted == *kind))
                    && wants(self.entity.map(|wanted| wanted == *id))
            });
        is_entity
            && wants(self.before.map(|before| id < before))
            && wants(self.event.map(|event| event == head.event))
            && wants(
                self.types
                    .as_ref()
                    .map(|types| kind.is_some_and(|kind| types.contains(&kind))),
            )
            && wants(self.custom.as_ref().map(|names| {
                let custom = about.and_then(|about| about.custom.as_ref());
                custom.is_some_and(|custom| names.matches(&custom.name))
            }))
            && wants(
                self.http_status
                    .map(|status| match (status, head.http_status) {
                        (HttpStatus::Absent, found) => found.is_none(),
                        (HttpStatus::Between(first, last), Some(found)) => {
                            (first..=last).contains(&found)
                        }
                        (HttpStatus::Between(..), None) => false,
                    }),
            )
    }
}

/// Builds the query for rows: their id, and of those with a call that may match also the calls.
fn search(
    workspace: WorkspaceId,
    filter: &Filter,
    details: Details,
    known: Known,
    before: Option<Uuid>,
    limit: i64,
) -> (String, Vec<Value<'static>>) {
    let mut values = params![workspace, limit].to_vec();
    // A condition is written only when it is asked for, so that the engine can use its indexes.
    let mut only = |conditions: &mut String, condition: &str, value: Value<'static>| {
        values.push(value);
        let mark = format!("${}", values.len());
        let _ = write!(conditions, " AND {}", condition.replace('?', &mark));
    };
    let mut range = String::new();
    if let Some(integration) = filter.integration {
        only(&mut range, "integration = ?", integration.into());
    }
    let until = filter.to.map(first_id).into_iter().chain(before).min();
    if let Some(until) = until {
        only(&mut range, "id < ?", until.into());
    }
    let from = filter
        .from
        .map(first_id)
        .into_iter()
        .chain(known.since)
        .max();
    if let Some(from) = from {
        only(&mut range, "id >= ?", from.into());
    }
    let status = filter.status.as_deref();
    let of_failures = status.is_some_and(|status| status != STATUSES[0]);
    // SQLite would prefer the primary key.
    let index = match filter.integration {
        _ if !of_failures => "",
        None => "/*sqlite INDEXED BY delivery_failed*/",
        Some(_) => "/*sqlite INDEXED BY delivery_failed_of*/",
    };
    if of_failures {
        range.push_str(" AND failed > 0");
    }
    // The engine reads the long columns only of rows with a call that may match, while it is at the row.
    let mut matching = "TRUE".to_owned();
    filter.narrow(known.seq, &mut |condition, value| {
        only(&mut matching, condition, value);
    });
    let with_details = match details {
        Details::OfFailures => " AND failed > 0",
        Details::All => "",
    };
    let sql = format!(
        "SELECT id, CASE WHEN {matching} THEN heads END, CASE WHEN {matching}{with_details} THEN details END,
           integration, webhook, failed
         FROM delivery {index} WHERE workspace = $1{range} ORDER BY id DESC LIMIT $2"
    );
    (sql, values)
}

/// Adds the calls of a row that match until there are `most`.
fn read_calls(
    filter: &Filter,
    id: Uuid,
    heads: &[u8],
    row: &crate::Row<'_>,
    most: usize,
    items: &mut Vec<Logged>,
) -> Result<()> {
    let mut calls = Vec::new();
    for (n, head) in pack::heads(heads)?.enumerate() {
        let head = head?;
        if filter.matches(id_at(id, n), &head) {
            calls.push((n, head));
        }
    }
    if calls.is_empty() {
        return Ok(());
    }
    let details = row.get::<Option<Vec<u8>>>(2)?;
    let mut details = details.as_deref().map(pack::details).transpose()?;
    let integration = IntegrationId(row.uuid(3)?);
    let webhook = WebhookId(row.uuid(4)?);
    let failed = usize::try_from(row.get::<i64>(5)?).map_or(1, |failed| failed.min(2));
    for (n, head) in calls.into_iter().rev().take(most - items.len()) {
        let detail = match &mut details {
            Some(details) => details.get_mut(n).map(std::mem::take).ok_or_else(|| {
                Error::corrupt("a row of the delivery log has fewer details than calls")
            })?,
            None => pack::Detail::default(),
        };
        items.push(Logged {
            integration,
            attempt: Attempt {
                id: id_at(id, n),
                webhook,
                event: head.event,
                seq: head.seq,
                about: head.about,
                attempt: head.attempt,
                status: STATUSES[failed],
                http_status: head.http_status,
                duration_ms: head.duration_ms,
                error: detail.error,
                answer: detail.answer,
                started_at: head.started_at,
                is_replay: head.is_replay,
                exchange: detail.exchange,
            },
        });
    }
    Ok(())
}

/// Finds a call.
pub fn find(conn: &mut Conn, workspace: WorkspaceId, id: Uuid) -> Result<Option<Logged>> {
    // The next possible id, to find this one as the newest before it.
    let filter = Filter {
        before: id.as_u128().checked_add(1).map(Uuid::from_u128),
        ..Filter::default()
    };
    let found = list(conn, workspace, &filter, Details::All, 1, 1)?
        .items
        .pop();
    Ok(found.filter(|found| found.attempt.id == id))
}

/// Lists the workspaces with rows before `before`, at most `limit`; not those that have a time of their own.
pub fn with_rows_before(
    conn: &mut Conn,
    before: Timestamp,
    limit: i64,
) -> Result<Vec<WorkspaceId>> {
    // Each step finds the next workspace in the index.
    let sql = format!(
        "WITH RECURSIVE w(workspace) AS (
           SELECT min(workspace) FROM delivery
           UNION ALL SELECT (SELECT min(workspace) FROM delivery d WHERE d.workspace > w.workspace) FROM w WHERE workspace IS NOT NULL)
         SELECT workspace FROM w WHERE workspace IS NOT NULL AND {}
           AND EXISTS (SELECT 1 FROM delivery d WHERE d.workspace = w.workspace AND d.id < $1) LIMIT $2",
        none_of(Kind::Deliveries, "w.workspace")
    );
    conn.query(&sql, params![first_id(before), limit], |row| {
        Ok(WorkspaceId(row.uuid(0)?))
    })
}

/// Lists the workspaces whose log is larger than `bytes`, at most `limit`.
pub fn larger_than(conn: &mut Conn, bytes: i64, limit: i64) -> Result<Vec<WorkspaceId>> {
    let sql = "SELECT workspace FROM delivery GROUP BY workspace HAVING CAST(sum(bytes) AS BIGINT) > $1 LIMIT $2";
    conn.query(sql, params![bytes, limit], |row| {
        Ok(WorkspaceId(row.uuid(0)?))
    })
}

/// Finds the time since which a log has about `bytes` bytes. `None` if it has fewer.
pub fn start_of_newest(
    conn: &mut Conn,
    workspace: WorkspaceId,
    bytes: i64,
) -> Result<Option<Uuid>> {
    let sql = "SELECT id FROM (SELECT id, CAST(sum(bytes) OVER (ORDER BY id DESC) AS BIGINT) AS total FROM delivery
                 WHERE workspace = $1) AS sums WHERE total > $2 ORDER BY id DESC LIMIT 1";
    conn.query_one(sql, params![workspace, bytes], |row| row.uuid(0))
}

/// Deletes the rows of a workspace up to `last`, the oldest first, at most `limit`. Returns their number.
pub fn forget(tx: &mut Tx<'_>, workspace: WorkspaceId, last: Uuid, limit: i64) -> Result<u64> {
    usage::remove(
        tx,
        &usage::DELIVERIES,
        "workspace = $1 AND (integration, id) IN (
           SELECT integration, id FROM delivery WHERE workspace = $1 AND id <= $2 ORDER BY id LIMIT $3)",
        params![workspace, last, limit],
    )
}

/// The last id before a time.
pub fn last_before(at: Timestamp) -> Uuid {
    Uuid::from_u128(first_id(at).as_u128().saturating_sub(1))
}
