//! `/api/v1/{ws}/log`: the events of a workspace, searched from the newest on (`docs/contracts/prichal.md §6.4`).

use std::fmt::Write as _;

use axum::{extract::FromRequestParts, http::StatusCode, http::request::Parts, response::Response};
use prichal_core::{
    alert,
    event::EventHead,
    id::{self, WorkspaceId},
    offset,
    schema::{Field, Type},
    time::Timestamp,
};
use prichal_store::{
    Conn, LoggedEvent,
    event::{self, removal, search},
};
use uuid::Uuid;

use super::{
    caller::Member,
    criteria::{CHANGE_TYPE, CUSTOM_TYPE, ENTITY, ENTITY_TYPE, EVENT_TYPE, EventFilter, FROM, TO},
    delivery_log::id_in_path,
    feed::FeedEvent,
    openapi::page_of,
};
use crate::{
    dialect::openapi::schema::{described, parameters, takes, uuid},
    domain::{document, telephony::own_calls},
    error::{Code, Error, Result},
    http::{
        answer::json_text,
        page::{LIMIT, Query},
    },
};

const BEFORE: Field = Field::new("before", Type::Guid)
    .doc("The events before this offset: `next` of the page before.");
const AFTER: Field = Field::new("after", Type::Guid)
    .doc("The oldest events after this offset instead: `previous` of the page behind.");

parameters! {
    /// The events to list.
    LogQuery = &[
        EVENT_TYPE.doc("The events of this type only; `custom` stands for all own types."),
        CUSTOM_TYPE.doc("The events of these own types only: a name, the beginning of names with `.*` behind, or `*`."),
        CHANGE_TYPE.doc("Such changes only."),
        ENTITY_TYPE.doc("The events about entities of this type only."),
        ENTITY.doc("The events about this entity only."),
        FROM.doc("The events from this time on."),
        TO.doc("The events before this time."),
        BEFORE,
        AFTER,
        LIMIT
    ];
}

described! {
    /// A page of the log, the newest events first.
    LogPage = page_of::<FeedEvent>("The number of events on the page.")
        .property("next", uuid().description(Some("The value of `before` for older events. Absent at the end.")))
        .property("previous", uuid().description(Some("The value of `after` for newer events. Absent if there are none."))), with FeedEvent;
}

takes! {
    EventInPath: Path &[OFFSET];
}

const OFFSET: Field = Field::new("offset", Type::Guid)
    .required()
    .doc("The offset of the event.");

/// The event whose offset is in the path.
pub(super) struct EventInPath(Uuid);

impl<S: Send + Sync> FromRequestParts<S> for EventInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        id_in_path(parts, state, OFFSET.name).await.map(Self)
    }
}

/// Search the log: the newest events first.
///
/// The caller sees the events that the feed shows. A page looks at a part of the log only. With criteria that match
/// little it may be short, or empty, and still have a `next`.
#[utoipa::path(get, path = "/api/v1/{ws}/log", tag = "feed", params(Member, LogQuery),
    responses((status = 200, body = LogPage)))]
pub(super) async fn search_log(member: Member, query: Query) -> Result<Response> {
    let workspace = member.workspace_id();
    let filter = EventFilter::read(&query)?;
    let guid = |field: &Field| query.read(field.name, "a GUID", id::parse_any);
    let moment = |field: &Field| query.read(field.name, "an ISO-8601 time", Timestamp::parse);
    let (before, after) = (guid(&BEFORE)?, guid(&AFTER)?);
    let (from, to) = (moment(&FROM)?, moment(&TO)?);
    let limit = usize::try_from(query.limit()?).unwrap_or(usize::MAX);
    let caller = member.caller;
    let sees_all = caller.reads_all() || caller.integrations().is_some();
    let read = move |conn: &mut Conn| {
        let last = event::last(conn, workspace)?;
        let removed = removal::removed(conn, workspace)?;
        let whole = search::Range {
            after: removed,
            before: last + 1,
        };
        let mut range = period(conn, workspace, from, to, whole)?;
        let end = range.before;
        if let Some(before) = before {
            range.before = range.before.min(number(workspace, before));
        }
        let wants = |head: &EventHead| filter.wants(head) && (sees_all || !alert::is_alert(head));
        let (found, has_newer) = match after {
            None => {
                let found = search::older(conn, workspace, range, limit, wants)?;
                (found, range.before < end)
            }
            Some(after) => {
                // An offset from elsewhere may be far behind the end.
                range.after = range.after.max(offset::seq_at(workspace, after).min(last));
                let found = search::newer(conn, workspace, range, limit, wants)?;
                let has_newer = found.stopped_at.is_some();
                (found, has_newer)
            }
        };
        let is_backwards = after.is_none();
        let (mut events, stopped_at) = (found.events, found.stopped_at);
        let newest = if is_backwards { None } else { stopped_at };
        let newest = newest.or_else(|| events.first().map(|event| event.seq));
        let oldest = if is_backwards {
            stopped_at
        } else {
            // Where the page begins there are older events, unless it is the beginning of the log.
            let first = events.last().map_or(range.after + 1, |event| event.seq);
            Some(first).filter(|seq| *seq > removed + 1)
        };
        if !sees_all {
            document::hide_events(conn, workspace, caller.user(), &mut events)?;
            own_calls::hide_events(conn, workspace, caller.own_calls(), &mut events)?;
        }
        let at = |seq: i64| offset::of(workspace, seq);
        let previous = newest
            .or(Some(range.before - 1))
            .filter(|_| has_newer)
            .map(at);
        Ok::<_, Error>(page(&events, oldest.map(at), previous))
    };
    Ok(json_text(StatusCode::OK, member.app.db.read(read).await?))
}

/// The numbers of the events of a period within a range.
fn period(
    conn: &mut Conn,
    workspace: WorkspaceId,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    mut range: search::Range,
) -> Result<search::Range> {
    if let Some(from) = from {
        range.after = search::first_at(conn, workspace, from)? - 1;
    }
    if let Some(to) = to {
        range.before = search::first_at(conn, workspace, to)?;
    }
    Ok(range)
}

/// The number of the first event at or after an offset.
fn number(workspace: WorkspaceId, at: Uuid) -> i64 {
    let seq = offset::seq_at(workspace, at);
    if offset::of(workspace, seq) == at {
        seq
    } else {
        seq.saturating_add(1)
    }
}

fn page(events: &[LoggedEvent], next: Option<Uuid>, previous: Option<Uuid>) -> String {
    let size: usize = events.iter().map(|event| event.body.len() + 1).sum();
    let mut text = String::with_capacity(size + 150);
    let _ = write!(text, "{{\"count\":{},\"items\":[", events.len());
    for (n, event) in events.iter().enumerate() {
        if n > 0 {
            text.push(',');
        }
        text.push_str(&event.body);
    }
    text.push(']');
    for (name, at) in [("next", next), ("previous", previous)] {
        if let Some(at) = at {
            let _ = write!(text, ",\"{name}\":\"{at}\"");
        }
    }
    text.push('}');
    text
}

/// Read an event by its offset.
///
/// An event that was removed gets 409 `eventsRemoved`, unless it is still needed, for example by a dead letter.
#[utoipa::path(get, path = "/api/v1/{ws}/log/{offset}", tag = "feed", params(Member, EventInPath),
    responses((status = 200, body = FeedEvent)))]
pub(super) async fn get_logged_event(
    member: Member,
    EventInPath(at): EventInPath,
) -> Result<Response> {
    let workspace = member.workspace_id();
    let seq = offset::seq_at(workspace, at);
    if offset::of(workspace, seq) != at {
        return Err(not_found(at));
    }
    let caller = member.caller;
    let sees_all = caller.reads_all() || caller.integrations().is_some();
    let read = move |conn: &mut Conn| {
        let mut found: Vec<_> = event::find(conn, workspace, seq)?.into_iter().collect();
        if !sees_all {
            found.retain(|event| !alert::is_alert(&event.head));
            document::hide_events(conn, workspace, caller.user(), &mut found)?;
            own_calls::hide_events(conn, workspace, caller.own_calls(), &mut found)?;
        }
        match found.pop() {
            Some(found) => Ok(found),
            None => Err(missing(conn, workspace, at)?),
        }
    };
    let found = member.app.db.read(read).await?;
    Ok(json_text(StatusCode::OK, found.body))
}

fn not_found(at: Uuid) -> Error {
    Error::NotFound(format!("Event {at}"))
}

/// The error about an event that is not there: it was removed, or has never been.
pub(super) fn missing(conn: &mut Conn, workspace: WorkspaceId, at: Uuid) -> Result<Error> {
    let seq = offset::seq_at(workspace, at);
    if seq == 0 || seq > removal::removed(conn, workspace)? {
        return Ok(not_found(at));
    }
    let why = format!(
        "The event with the offset {at} was removed, because the workspace keeps events for a limited time."
    );
    Ok(Error::refused(Code::EventsRemoved, why))
}
