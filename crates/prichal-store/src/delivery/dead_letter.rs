//! Dead letters: events that were given up, until they are delivered on request, dismissed or expired.

use std::collections::BTreeMap;

use prichal_core::{
    event::EventHead,
    id::{EventId, IntegrationId, WebhookId, WorkspaceId},
    time::Timestamp,
};
use uuid::Uuid;

use super::{
    Attempt, STATUSES, first_id,
    log::{self, Filter, Source},
    pack::Head,
};
use crate::{
    Conn, Error, Result, Tx,
    retention::own_or_none,
    usage,
    value::{Value, params},
    webhook::Key,
};

/// An event that was given up.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub integration: IntegrationId,
    pub webhook: WebhookId,
    pub seq: i64,
    /// The id of the last call in the log.
    pub id: Uuid,
    pub event: EventId,
    pub about: EventHead,
    pub attempts: i64,
    pub http_status: Option<i64>,
    pub error: Option<String>,
}

/// A page of dead letters.
#[derive(Debug, Default)]
pub struct Page {
    pub items: Vec<DeadLetter>,
    /// The value of [`Filter::before`] for the next page. `None` if there is none.
    pub next: Option<Uuid>,
}

/// The maximum bytes of the reason that is kept.
const MAX_ERROR_BYTES: usize = 1000;

/// The number of letters that one statement removes.
const REMOVED_AT_ONCE: usize = 64;

/// Notes the events that calls have given up, and settles those that calls have delivered on request.
pub fn note(tx: &mut Tx<'_>, key: Key, attempts: &[Attempt]) -> Result<()> {
    let is_given_up = |attempt: &&Attempt| attempt.status == STATUSES[2];
    let is_settled = |attempt: &&Attempt| attempt.status == STATUSES[0] && attempt.is_replay;
    // The last outcome of an event counts.
    let mut last: BTreeMap<i64, &Attempt> = BTreeMap::new();
    for attempt in attempts {
        if is_given_up(&attempt) || is_settled(&attempt) {
            last.insert(attempt.seq, attempt);
        }
    }
    // An event that was sent again and given up again gets a new letter.
    let seqs: Vec<i64> = last.keys().copied().collect();
    for some in seqs.chunks(REMOVED_AT_ONCE) {
        let marks: Vec<String> = (4..4 + some.len()).map(|n| format!("${n}")).collect();
        let these = format!(
            "workspace = $1 AND integration = $2 AND webhook = $3 AND seq IN ({})",
            marks.join(", ")
        );
        let mut values = params![key.workspace, key.integration, key.id].to_vec();
        values.extend(some.iter().map(|seq| Value::from(*seq)));
        usage::remove(tx, &usage::DEAD_LETTERS, &these, &values)?;
    }
    let mut given_up = last.into_values().filter(is_given_up);
    given_up.try_for_each(|attempt| insert(tx, key, attempt))
}

/// Settles the dead letter of an event, if there is one.
pub fn settle(tx: &mut Tx<'_>, key: Key, seq: i64) -> Result<()> {
    let one = "workspace = $1 AND integration = $2 AND webhook = $3 AND seq = $4";
    let values = params![key.workspace, key.integration, key.id, seq];
    usage::remove(tx, &usage::DEAD_LETTERS, one, values).map(drop)
}

fn insert(tx: &mut Tx<'_>, key: Key, attempt: &Attempt) -> Result<()> {
    let Some(about) = &attempt.about else {
        return Ok(());
    };
    let error = attempt
        .error
        .as_deref()
        .map(|error| &error[..error.floor_char_boundary(MAX_ERROR_BYTES)]);
    let entities = about.entities_column();
    tx.run(
        "INSERT INTO dead_letter (workspace, integration, webhook, seq, id, event, type, change, entities, attempts, http_status, error)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        params![
            key.workspace,
            key.integration,
            key.id,
            attempt.seq,
            log::row_of(attempt.id),
            attempt.event,
            about.kind_column(),
            about.change_column().as_deref(),
            entities.as_str(),
            attempt.attempt,
            attempt.http_status,
            error
        ],
    )?;
    usage::add(tx, key.workspace, &[&entities, error.unwrap_or_default()]);
    Ok(())
}

/// Dismisses the dead letter with this last call, unless it is another integration's than `own`. Returns false if there
/// was none.
pub fn dismiss(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: Uuid,
    own: Option<IntegrationId>,
) -> Result<bool> {
    let one = "workspace = $1 AND id = $2 AND integration = coalesce($3, integration)";
    let gone = usage::remove(tx, &usage::DEAD_LETTERS, one, params![workspace, id, own])?;
    Ok(gone > 0 || was_dismissed(tx.conn()?, workspace, id, own)?)
}

/// True if this call made a dead letter that is gone. A letter that has another last call by now is not.
fn was_dismissed(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: Uuid,
    own: Option<IntegrationId>,
) -> Result<bool> {
    let found = log::find(conn, workspace, id)?;
    let is_letter = |found: &log::Logged| {
        found.attempt.status == STATUSES[2]
            && found.attempt.about.is_some()
            && own.is_none_or(|own| own == found.integration)
    };
    let Some(found) = found.filter(is_letter) else {
        return Ok(false);
    };
    let sql = "SELECT 1 FROM dead_letter WHERE workspace = $1 AND integration = $2 AND webhook = $3 AND seq = $4";
    let at = params![
        workspace,
        found.integration,
        found.attempt.webhook,
        found.attempt.seq
    ];
    let left = conn.query_one(sql, at, |row| row.get::<i32>(0))?;
    Ok(left.is_none())
}

/// The maximum number of rows that are read at once to look for matches.
const WINDOW_ROWS: i64 = 512;

/// Lists at most `limit` dead letters, the last given up first, and looks at about `max_rows` rows. The page may have
/// fewer, or none, although there is a next one.
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    filter: &Filter,
    limit: i64,
    max_rows: usize,
) -> Result<Page> {
    let most = usize::try_from(limit).unwrap_or(0);
    let (mut page, mut seen) = (Page::default(), 0);
    let mut before = filter.before;
    let until = filter.to.map(first_id);
    // Without criteria each row matches.
    let mut window = limit.min(WINDOW_ROWS);
    loop {
        let bounds = before.into_iter().chain(until);
        let end = bounds.min().unwrap_or(Uuid::max());
        let from = filter.from.map(first_id).unwrap_or_default();
        let mut values = params![workspace, end, from, window].to_vec();
        let mut of = "";
        if let (Some(integration), Some(webhook)) = (filter.integration, filter.webhook) {
            // Both are needed to use the index.
            values.extend([integration.into(), webhook.into()]);
            of = " AND integration = $5 AND webhook = $6";
        }
        let sql = format!(
            "SELECT integration, webhook, seq, id, event, type, change, entities, attempts, http_status, error FROM dead_letter
             WHERE workspace = $1 AND id < $2 AND id >= $3{of} ORDER BY id DESC LIMIT $4"
        );
        let rows = conn.query(&sql, &values, read)?;
        let is_last = i64::try_from(rows.len()).is_ok_and(|found| found < window);
        window = (window * 2).min(WINDOW_ROWS);
        seen += rows.len();
        for letter in rows {
            before = Some(letter.id);
            if wants(filter, &letter) {
                page.items.push(letter);
                if page.items.len() >= most {
                    page.next = before;
                    return Ok(page);
                }
            }
        }
        if is_last {
            return Ok(page);
        }
        if seen >= max_rows {
            page.next = before;
            return Ok(page);
        }
    }
}

/// Counts the events that were given up since `from` and are not settled.
pub fn count_since(conn: &mut Conn, workspace: WorkspaceId, from: Timestamp) -> Result<i64> {
    let sql = "SELECT count(*) FROM dead_letter WHERE workspace = $1 AND id >= $2";
    let found = conn.query_one(sql, params![workspace, first_id(from)], |row| row.get(0))?;
    Ok(found.unwrap_or(0))
}

fn wants(filter: &Filter, letter: &DeadLetter) -> bool {
    let head = Head {
        event: letter.event,
        seq: letter.seq,
        about: Some(letter.about.clone()),
        attempt: letter.attempts,
        http_status: letter.http_status,
        duration_ms: 0,
        started_at: Timestamp::default(),
        is_replay: false,
    };
    let source = Source::of(letter.integration, letter.webhook);
    filter.source.is_none_or(|wanted| wanted == source)
        && filter
            .integration
            .is_none_or(|wanted| wanted == letter.integration)
        && filter.webhook.is_none_or(|wanted| wanted == letter.webhook)
        && filter
            .status
            .as_ref()
            .is_none_or(|status| status == STATUSES[2])
        && filter.matches(letter.id, &head)
}

fn read(row: &crate::Row<'_>) -> Result<DeadLetter> {
    let (kind, change, entities): (String, Option<String>, String) =
        (row.get(5)?, row.get(6)?, row.get(7)?);
    let about = EventHead::from_columns(&kind, change.as_deref(), &entities)
        .ok_or_else(|| Error::corrupt("a dead letter is damaged"))?;
    Ok(DeadLetter {
        integration: IntegrationId(row.uuid(0)?),
        webhook: WebhookId(row.uuid(1)?),
        seq: row.get(2)?,
        id: row.uuid(3)?,
        event: EventId(row.uuid(4)?),
        about,
        attempts: row.get(8)?,
        http_status: row.get(9)?,
        error: row.get(10)?,
    })
}

/// Deletes dead letters that were given up before `before`, at most `limit`: those of one workspace, or of all that have
/// no time of their own. Returns their number.
pub fn forget(
    tx: &mut Tx<'_>,
    workspace: Option<WorkspaceId>,
    before: Timestamp,
    limit: i64,
) -> Result<u64> {
    let mut values = params![first_id(before), limit].to_vec();
    let of = own_or_none(workspace, "dead_letter.workspace", &mut values);
    let condition = format!(
        "(workspace, integration, webhook, seq) IN (
           SELECT workspace, integration, webhook, seq FROM dead_letter WHERE id < $1 AND {of} LIMIT $2)"
    );
    usage::remove(tx, &usage::DEAD_LETTERS, &condition, &values)
}
