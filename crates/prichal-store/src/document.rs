//! Documents: each is stored once, with a row for each company that sees it and a row for each event that mentions
//! it.

use std::{collections::BTreeMap, fmt::Write as _, ops::RangeInclusive};

use prichal_core::{
    document::{Document, Kind, Status},
    event::{ChangeType, EntityKind, EventHead, EventType},
    id::{UserId, WorkspaceId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    Conn, Error, LoggedEvent, Result, Row, Tx, event,
    insert::Insert,
    usage,
    value::{Value, params},
};

/// The folder in which a company sees a document. The vendor's lists have no folder for internal documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    Inbox,
    Outbox,
    Internal,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Inbox => "Inbox",
            Self::Outbox => "Outbox",
            Self::Internal => "Internal",
        }
    }

    fn of(document: &Document, viewer: WorkspaceId) -> Self {
        match document.kind {
            Kind::Internal => Self::Internal,
            Kind::External if viewer == document.sender.company => Self::Outbox,
            Kind::External => Self::Inbox,
        }
    }
}

static DOCUMENT: Insert = Insert::new("document", &["id", "sender", "body"]);
static VIEW: Insert = Insert::new(
    "document_view",
    &[
        "workspace",
        "direction",
        "date",
        "document",
        "status",
        "author",
    ],
);
pub(crate) static EVENT: Insert =
    Insert::new("document_event", &["workspace", "at", "seq", "document"]);

/// Adds a document under a new id, visible to its sender.
pub fn insert(tx: &mut Tx<'_>, document: &Document) -> Result<()> {
    let body = body(document)?;
    usage::add(tx, document.sender.company, &[&body]);
    tx.insert(
        &DOCUMENT,
        params![document.id, document.sender.company, body].to_vec(),
    );
    let viewer = document.sender.company;
    if let Some(status) = document.status(viewer) {
        insert_view(tx, document, viewer, status);
    }
    Ok(())
}

fn body(document: &Document) -> Result<String> {
    serde_json::to_string(document).map_err(|_| Error::corrupt("a document cannot be written"))
}

fn insert_view(tx: &mut Tx<'_>, document: &Document, viewer: WorkspaceId, status: Status) {
    let side = Side::of(document, viewer);
    let values = params![
        viewer,
        side.name(),
        document.date,
        document.id,
        status.name(),
        document.author
    ];
    tx.insert(&VIEW, values.to_vec());
    count_one(tx, document, viewer, status, 1);
}

/// Updates a document that [`find_for_update`] returned in the same transaction. `changes` has each viewer's status
/// before, if any, and after.
pub fn update(
    tx: &mut Tx<'_>,
    document: &Document,
    changes: &[prichal_core::document::Change],
) -> Result<()> {
    let body = body(document)?;
    let row = params![document.id];
    usage::change(tx, &usage::DOCUMENTS, "id = $1", row, |tx| {
        tx.run(
            "UPDATE document SET body = $2 WHERE id = $1",
            params![document.id, body],
        )
    })?;
    // Of several changes for one viewer only the first before and the last after count.
    let mut viewers: BTreeMap<WorkspaceId, (Option<Status>, Status)> = BTreeMap::new();
    for change in changes {
        viewers
            .entry(change.viewer)
            .and_modify(|(_, now)| *now = change.status)
            .or_insert((change.previous, change.status));
    }
    for (viewer, (before, now)) in viewers {
        let Some(before) = before else {
            insert_view(tx, document, viewer, now);
            continue;
        };
        tx.run(
            "UPDATE document_view SET status = $5 WHERE workspace = $1 AND direction = $2 AND date = $3 AND document = $4",
            params![viewer, Side::of(document, viewer).name(), document.date, document.id, now.name()],
        )?;
        count_one(tx, document, viewer, before, -1);
        count_one(tx, document, viewer, now, 1);
    }
    Ok(())
}

/// Deletes a draft. Only its sender sees it.
pub fn delete_draft(tx: &mut Tx<'_>, document: &Document) -> Result<()> {
    let viewer = document.sender.company;
    if let Some(status) = document.status(viewer) {
        count_one(tx, document, viewer, status, -1);
    }
    usage::remove(tx, &usage::DOCUMENTS, "id = $1", params![document.id])?;
    tx.run(
        "DELETE FROM document_view WHERE workspace = $1 AND direction = $2 AND date = $3 AND document = $4",
        params![viewer, Side::of(document, viewer).name(), document.date, document.id],
    )?;
    usage::remove(
        tx,
        &usage::DOCUMENT_LINKS,
        "workspace = $1 AND document = $2",
        params![viewer, document.id],
    )?;
    Ok(())
}

/// Finds a document that a company sees.
pub fn find(conn: &mut Conn, viewer: WorkspaceId, id: Uuid) -> Result<Option<Document>> {
    seen(read_one(conn, id, "")?, viewer)
}

/// Finds a document that a company sees, and locks it until the end of the transaction.
pub fn find_for_update(tx: &mut Tx<'_>, viewer: WorkspaceId, id: Uuid) -> Result<Option<Document>> {
    seen(read_one(tx.conn()?, id, "/*postgres FOR UPDATE*/")?, viewer)
}

/// Finds a document by its id alone, for the public page of its signatures.
pub fn find_any(conn: &mut Conn, id: Uuid) -> Result<Option<Document>> {
    read_one(conn, id, "")
}

#[expect(clippy::unnecessary_wraps, reason = "it ends chains of results")]
fn seen(document: Option<Document>, viewer: WorkspaceId) -> Result<Option<Document>> {
    Ok(document.filter(|document| document.direction(viewer).is_some()))
}

fn read_one(conn: &mut Conn, id: Uuid, lock: &str) -> Result<Option<Document>> {
    let sql = format!("SELECT body FROM document WHERE id = $1 {lock}");
    conn.query_one(&sql, params![id], |row| read(row, 0))
}

fn read(row: &Row<'_>, column: usize) -> Result<Document> {
    let body: String = row.get(column)?;
    serde_json::from_str(&body).map_err(|_| Error::corrupt("a document's row is damaged"))
}

/// Finds the signed zip of a document's originals: a blob of the document's sender.
pub fn zip(conn: &mut Conn, id: Uuid) -> Result<Option<Uuid>> {
    let found = conn.query_one(
        "SELECT zip FROM document WHERE id = $1",
        params![id],
        |row| row.maybe_uuid(0),
    )?;
    Ok(found.flatten())
}

/// Sets the zip that is signed, unless the document has one. Returns the document's zip.
pub fn keep_zip(tx: &mut Tx<'_>, id: Uuid, blob: Uuid) -> Result<Option<Uuid>> {
    let sql = "UPDATE document SET zip = coalesce(zip, $2) WHERE id = $1 RETURNING zip";
    let kept = tx.change(sql, params![id, blob], |row| row.maybe_uuid(0))?;
    Ok(kept.into_iter().next().flatten())
}

/// Criteria of a list of a company's documents.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Any of these statuses. Empty: every status.
    pub statuses: Vec<Status>,
    /// Seconds since 1970, both inclusive.
    pub from: Option<i64>,
    pub to: Option<i64>,
    pub author: Option<UserId>,
}

/// Lists a page of the documents of one side, the latest date first, with their total number.
pub fn list(
    conn: &mut Conn,
    viewer: WorkspaceId,
    side: Side,
    filter: &Filter,
    skip: i64,
    top: i64,
) -> Result<(i64, Vec<Document>)> {
    let total = count(conn, viewer, side, filter)?;
    if total <= skip {
        return Ok((total, Vec::new()));
    }
    let mut values = params![viewer, side.name(), skip, top].to_vec();
    let conditions = conditions(filter, &mut values);
    let page = match filter.statuses.as_slice() {
        [] => format!(
            "SELECT document, date FROM document_view WHERE workspace = $1 AND direction = $2{conditions}
             ORDER BY date DESC, document DESC LIMIT $4 OFFSET $3"
        ),
        statuses => {
            // Each status is read from its own range of the index, as far as the page may reach.
            let stretches: Vec<String> = statuses
                .iter()
                .map(|status| {
                    values.push(status.name().into());
                    let n = values.len();
                    format!(
                        "SELECT * FROM (SELECT document, date FROM document_view WHERE workspace = $1 AND direction = $2
                           AND status = ${n}{conditions} ORDER BY date DESC, document DESC LIMIT CAST($3 AS BIGINT) + CAST($4 AS BIGINT)) s{n}"
                    )
                })
                .collect();
            format!(
                "SELECT document, date FROM ({}) t ORDER BY date DESC, document DESC LIMIT $4 OFFSET $3",
                stretches.join(" UNION ALL ")
            )
        }
    };
    let sql = format!(
        "SELECT d.body FROM ({page}) p JOIN document d ON d.id = p.document ORDER BY p.date DESC, p.document DESC"
    );
    Ok((total, conn.query(&sql, &values, |row| read(row, 0))?))
}

/// A part of a company's documents: those of a side that have any of the statuses. Without a status, all of the side.
pub type Place = (Side, Vec<Status>);

/// The place of a document in the order of [`walk`]: its date and its id.
pub type Position = (i64, Uuid);

/// Lists documents of several places together, the latest date first, from behind `before` on, at most `limit`. The
/// statuses of the filter are not used.
pub fn walk(
    conn: &mut Conn,
    viewer: WorkspaceId,
    places: &[Place],
    filter: &Filter,
    before: Option<Position>,
    limit: i64,
) -> Result<Vec<Document>> {
    let mut values = params![viewer, limit].to_vec();
    let mut conditions = conditions(filter, &mut values);
    if let Some((date, id)) = before {
        values.extend(params![date, id].to_vec());
        let n = values.len();
        let _ = write!(conditions, " AND (date, document) < (${}, ${n})", n - 1);
    }
    // Each place and status is read from its own range of an index.
    let mut stretches = Vec::new();
    for (side, statuses) in places {
        let any = statuses.is_empty().then_some(None);
        for status in any.into_iter().chain(statuses.iter().map(Some)) {
            values.push(side.name().into());
            let mut only = format!("direction = ${}", values.len());
            if let Some(status) = status {
                values.push(status.name().into());
                let _ = write!(only, " AND status = ${}", values.len());
            }
            let n = stretches.len();
            stretches.push(format!(
                "SELECT * FROM (SELECT document, date FROM document_view WHERE workspace = $1 AND {only}{conditions}
                 ORDER BY date DESC, document DESC LIMIT $2) s{n}"
            ));
        }
    }
    if stretches.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT d.body FROM (SELECT document, date FROM ({}) t ORDER BY date DESC, document DESC LIMIT $2) p
         JOIN document d ON d.id = p.document ORDER BY p.date DESC, p.document DESC",
        stretches.join(" UNION ALL ")
    );
    conn.query(&sql, &values, |row| read(row, 0))
}

/// Writes a condition only when it is asked for, so that the engine can use its indexes.
fn conditions(filter: &Filter, values: &mut Vec<Value<'static>>) -> String {
    let mut conditions = String::new();
    let mut only = |condition: &str, value: Option<Value<'static>>| {
        if let Some(value) = value {
            values.push(value);
            let _ = write!(conditions, " AND {condition} ${}", values.len());
        }
    };
    only("date >=", filter.from.map(Into::into));
    only("date <=", filter.to.map(Into::into));
    only("author =", filter.author.map(Into::into));
    conditions
}

/// Counts documents. The counts by status and day are stored; documents of one author, and documents on the days at
/// the edges of a period, are counted row by row.
fn count(conn: &mut Conn, viewer: WorkspaceId, side: Side, filter: &Filter) -> Result<i64> {
    if filter.author.is_some() {
        return count_rows(conn, viewer, side, filter);
    }
    if filter.from.is_none() && filter.to.is_none() {
        return count_days(conn, viewer, side, filter, ALL_DAYS..=ALL_DAYS);
    }
    let from = filter.from.unwrap_or(0).clamp(0, MAX_DATE);
    let to = filter.to.unwrap_or(MAX_DATE).min(MAX_DATE);
    // The whole days of the period, and the parts of a day before and after them.
    let first = from.div_euclid(DAY_SECS) + i64::from(from % DAY_SECS != 0);
    let last = (to + 1).div_euclid(DAY_SECS) - 1;
    if first > last {
        return count_rows(conn, viewer, side, filter);
    }
    let mut total = count_days(conn, viewer, side, filter, first..=last)?;
    for (from, to) in [(from, first * DAY_SECS - 1), ((last + 1) * DAY_SECS, to)] {
        if from <= to {
            let edge = Filter {
                from: Some(from),
                to: Some(to),
                ..filter.clone()
            };
            total += count_rows(conn, viewer, side, &edge)?;
        }
    }
    Ok(total)
}

fn count_rows(conn: &mut Conn, viewer: WorkspaceId, side: Side, filter: &Filter) -> Result<i64> {
    let mut values = params![viewer, side.name()].to_vec();
    let mut only = conditions(filter, &mut values);
    only.push_str(&any_of(&filter.statuses, &mut values));
    let sql =
        format!("SELECT count(*) FROM document_view WHERE workspace = $1 AND direction = $2{only}");
    Ok(conn
        .query_one(&sql, &values, |row| row.get(0))?
        .unwrap_or(0))
}

fn count_days(
    conn: &mut Conn,
    viewer: WorkspaceId,
    side: Side,
    filter: &Filter,
    days: RangeInclusive<i64>,
) -> Result<i64> {
    let mut values = params![viewer, side.name(), *days.start(), *days.end()].to_vec();
    let only = any_of(&filter.statuses, &mut values);
    // PostgreSQL returns a wider type for a sum of BIGINT.
    let sql = format!(
        "SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM document_count
         WHERE workspace = $1 AND direction = $2 AND day >= $3 AND day <= $4{only}"
    );
    Ok(conn
        .query_one(&sql, &values, |row| row.get(0))?
        .unwrap_or(0))
}

const DAY_SECS: i64 = 86_400;
/// The day that stands for all days in the counts.
const ALL_DAYS: i64 = -1;
/// The latest date that a document can have.
const MAX_DATE: i64 = 9_999_999_999;

/// Returns the condition for one of these statuses, empty if there are none.
fn any_of(statuses: &[Status], values: &mut Vec<Value<'static>>) -> String {
    if statuses.is_empty() {
        return String::new();
    }
    let mut marks = Vec::new();
    for status in statuses {
        values.push(status.name().into());
        marks.push(format!("${}", values.len()));
    }
    format!(" AND status IN ({})", marks.join(", "))
}

fn count_one(
    tx: &mut Tx<'_>,
    document: &Document,
    viewer: WorkspaceId,
    status: Status,
    change: i64,
) {
    let side = Side::of(document, viewer);
    for day in [ALL_DAYS, document.date.div_euclid(DAY_SECS)] {
        tx.count_documents((viewer, side, status, day), change);
    }
}

/// Viewer, side, status and day of a stored count.
pub(crate) type CountKey = (WorkspaceId, Side, Status, i64);
pub(crate) type Counts = BTreeMap<CountKey, i64>;

pub(crate) fn write_counts(conn: &mut Conn, counts: &Counts) -> Result<()> {
    for ((workspace, side, status, day), change) in counts {
        conn.run(
            "INSERT INTO document_count (workspace, direction, status, day, n) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (workspace, direction, status, day) DO UPDATE SET n = document_count.n + excluded.n",
            params![*workspace, side.name(), status.name(), *day, *change],
        )?;
    }
    Ok(())
}

/// Returns the index row of an event, if the event reports a document's change of status.
pub(crate) fn note(
    workspace: WorkspaceId,
    at: Timestamp,
    seq: i64,
    head: &EventHead,
) -> Option<Vec<Value<'static>>> {
    let EventType::Change(ChangeType::Create | ChangeType::Patch) = head.kind else {
        return None;
    };
    let (kind, id) = head.entities.first()?;
    (*kind == EntityKind::Document).then(|| params![workspace, at.secs(), seq, *id].to_vec())
}

const EVENT_OF_DOCUMENT: &str =
    "e.seq, e.id, e.type, e.change, e.entities, e.body FROM document_event d
    JOIN event e ON e.workspace = d.workspace AND e.seq = d.seq WHERE d.workspace = $1";

/// Lists the events of a company's log on the statuses of one document, oldest first, at most `limit`.
pub fn history(
    conn: &mut Conn,
    viewer: WorkspaceId,
    document: Uuid,
    limit: i64,
) -> Result<Vec<LoggedEvent>> {
    let sql = format!("SELECT {EVENT_OF_DOCUMENT} AND d.document = $2 ORDER BY d.seq LIMIT $3");
    conn.query(&sql, params![viewer, document, limit], |row| {
        event::logged(viewer, row)
    })
}

/// Lists the document events of a period, oldest first, with their total number. `from` is inclusive and `to` is
/// exclusive, both in seconds.
pub fn history_between(
    conn: &mut Conn,
    viewer: WorkspaceId,
    from: i64,
    to: i64,
    skip: i64,
    top: i64,
) -> Result<(i64, Vec<LoggedEvent>)> {
    let total = conn.query_one(
        "SELECT count(*) FROM document_event WHERE workspace = $1 AND at >= $2 AND at < $3",
        params![viewer, from, to],
        |row| row.get(0),
    )?;
    let sql = format!(
        "SELECT {EVENT_OF_DOCUMENT} AND d.at >= $2 AND d.at < $3 ORDER BY d.at, d.seq LIMIT $5 OFFSET $4"
    );
    let found = conn.query(&sql, params![viewer, from, to, skip, top], |row| {
        event::logged(viewer, row)
    })?;
    Ok((total.unwrap_or(0), found))
}

/// Lists the document events after number `after`, in the order of the log, at most `limit`.
pub fn events_after(
    conn: &mut Conn,
    viewer: WorkspaceId,
    after: i64,
    limit: i64,
) -> Result<Vec<LoggedEvent>> {
    let sql = format!("SELECT {EVENT_OF_DOCUMENT} AND d.seq > $2 ORDER BY d.seq LIMIT $3");
    conn.query(&sql, params![viewer, after, limit], |row| {
        event::logged(viewer, row)
    })
}

/// Counts the document events from number `first` to number `last`.
pub fn count_events(conn: &mut Conn, viewer: WorkspaceId, first: i64, last: i64) -> Result<i64> {
    let found = conn.query_one(
        "SELECT count(*) FROM document_event WHERE workspace = $1 AND seq >= $2 AND seq <= $3",
        params![viewer, first, last],
        |row| row.get(0),
    )?;
    Ok(found.unwrap_or(0))
}

/// Returns the numbers of the first and the last document event of a period, if there is any.
pub fn events_between(
    conn: &mut Conn,
    viewer: WorkspaceId,
    from: i64,
    to: i64,
) -> Result<Option<(i64, i64)>> {
    let sql = "SELECT min(seq), max(seq) FROM document_event WHERE workspace = $1 AND at >= $2 AND at < $3";
    let found = conn.query_one(sql, params![viewer, from, to], |row| {
        Ok((row.get::<Option<i64>>(0)?, row.get::<Option<i64>>(1)?))
    })?;
    Ok(found.and_then(|(first, last)| first.zip(last)))
}
