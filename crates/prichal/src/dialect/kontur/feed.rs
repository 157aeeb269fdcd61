//! `/api/v1/{ws}/events`: the feed (`docs/contracts/kontur.md §4.7, §8`). Events are served as the log stores them,
//! without parsing.

use std::fmt::Write as _;

use axum::{http::StatusCode, response::Response};
use prichal_core::{
    alert,
    event::{
        EVENT, EventHead,
        custom::{CUSTOM_EVENT, Pattern},
    },
    id::{self, WorkspaceId},
    offset,
    schema::{Field, Type},
};
use prichal_store::{
    Conn, LoggedEvent,
    event::{self, Selection, removal},
};
use utoipa::openapi::OneOfBuilder;
use uuid::Uuid;

use super::{caller::Member, openapi::page_of};
use crate::{
    dialect::openapi::schema::{described, example, flag, model, of, parameters, uuid},
    domain::{document, telephony::own_calls},
    error::{Code, Error, Result},
    http::{
        answer::json_text,
        page::{LIMIT, Query},
    },
};

const OFFSET: Field = Field::new("offset", Type::Guid)
    .doc("The `lastOffset` of the page before; the beginning of the feed if absent.");

const EVENT_TYPES: Field = Field::new("eventTypes", Type::Text)
    .doc("Shows events of the workspace's own types, and no others: names, beginnings such as `order.*`, or `*`, with commas between. Alerts are shown by `prichal.alert.*`. Without it there are changes and links alone.")
    .example("order.*");
/// The maximum number of patterns in `eventTypes`.
const MAX_PATTERNS: usize = 50;

parameters! {
    /// A page of the feed.
    FeedPage = &[OFFSET, LIMIT, EVENT_TYPES];
}

described! {
    /// A change of an entity, or a link that was added or removed.
    ObjectEvent = model(EVENT).examples(example(include_str!("examples/event.json")));
    /// An event of one of the workspace's own types.
    CustomEvent = model(CUSTOM_EVENT).examples(example(include_str!("examples/custom-event.json")));
    /// An event of the feed.
    pub(super) FeedEvent = OneOfBuilder::new().item(of::<ObjectEvent>()).item(of::<CustomEvent>()), with ObjectEvent, CustomEvent;
    /// A page of the feed.
    ObjectEventsList = page_of::<FeedEvent>("The number of events on the page.")
        .property("firstOffset", uuid().description(Some("The offset of the first event. On an empty page, that of the request.")))
        .required("firstOffset")
        .property("lastOffset", uuid().description(Some("The offset for the next request. On an empty page, that of the request, or of a later event that is not shown.")))
        .required("lastOffset")
        .property("hasMore", flag().description(Some("True if there are more events.")))
        .required("hasMore"), with FeedEvent;
}

/// Read the feed: events strictly after `offset`, oldest first.
///
/// A client that repeats this with `lastOffset` sees every event exactly once. Where a workspace keeps events for a limited
/// time, an offset before the first one that is kept gets 409 `eventsRemoved`, and without an offset the feed begins at the
/// first one that is kept. Events of documents and calls are shown only to callers who may read these: for others a page
/// may have fewer events than there are between its offsets. Events of the workspace's own types are shown to readers who
/// ask for them with `eventTypes`.
#[utoipa::path(get, path = "/api/v1/{ws}/events", tag = "feed",
    params(Member, FeedPage), responses((status = 200, body = ObjectEventsList)))]
pub(super) async fn read_feed(member: Member, query: Query) -> Result<Response> {
    let workspace = member.workspace_id();
    let cursor = query
        .read(OFFSET.name, "a GUID", id::parse_any)?
        .unwrap_or_default();
    let limit = query.limit()?;
    let patterns = query
        .text(EVENT_TYPES.name)
        .map(read_patterns)
        .transpose()?;
    let after = offset::seq_at(workspace, cursor);
    let caller = member.caller;
    // Integrations, and administrators who can install them, get the same events by webhooks.
    let sees_all = caller.reads_all() || caller.integrations().is_some();
    let read = move |conn: &mut Conn| {
        let is_new = after == 0;
        let after = if is_new {
            removal::removed(conn, workspace)?
        } else {
            after
        };
        // The end is read first, so that there are more events if `hasMore` is true.
        let last = event::last(conn, workspace)?;
        let (mut events, mut position) = match &patterns {
            None => event::select(conn, workspace, after, limit, Selection::Entities, |_| true)?,
            Some(patterns) => {
                let wants = |head: &EventHead| {
                    is_wanted(head, patterns) && (sees_all || !alert::is_alert(head))
                };
                event::select(conn, workspace, after, limit, Selection::Custom, wants)?
            }
        };
        // It is read last: an event that was removed before the read above is noticed.
        let removed = removal::removed(conn, workspace)?;
        if removed > after {
            if !is_new {
                return Err(removed_before(workspace, cursor, removed));
            }
            events.retain(|event| event.seq > removed);
            position = position.max(removed);
        }
        let range = PageRange {
            first: events.first().map_or(cursor, LoggedEvent::offset),
            last: if position > after {
                offset::of(workspace, position)
            } else {
                cursor
            },
            more: position < last,
        };
        if !sees_all {
            document::hide_events(conn, workspace, caller.user(), &mut events)?;
            own_calls::hide_events(conn, workspace, caller.own_calls(), &mut events)?;
        }
        Ok::<_, Error>(page(&events, &range))
    };
    Ok(json_text(StatusCode::OK, member.app.db.read(read).await?))
}

/// The refusal of an offset before the beginning of the log. `removed` is the number of the last event before it.
pub(super) fn removed_before(workspace: WorkspaceId, cursor: Uuid, removed: i64) -> Error {
    let last = offset::of(workspace, removed);
    let why = format!(
        "The events up to offset {last} were removed, because the workspace keeps events for a limited time, and some of them came after {cursor}. Read the entities anew, and go on from {last}."
    );
    Error::refused(Code::EventsRemoved, why)
}

/// The range of the log that a page covers, hidden events included.
struct PageRange {
    first: Uuid,
    last: Uuid,
    more: bool,
}

/// Reads the patterns of names in a query.
fn read_patterns(text: &str) -> Result<Vec<Pattern>> {
    let patterns: Vec<&str> = text.split(',').map(str::trim).collect();
    if patterns.len() > MAX_PATTERNS {
        let why = format!("The eventTypes has more than {MAX_PATTERNS} elements.");
        return Err(Error::invalid(EVENT_TYPES.name, why));
    }
    let read = patterns.into_iter().map(Pattern::of_names);
    read.collect::<Result<_, _>>().map_err(|why| {
        let why = format!("The eventTypes field is invalid: {why}.");
        Error::invalid(EVENT_TYPES.name, why)
    })
}

fn is_wanted(head: &EventHead, patterns: &[Pattern]) -> bool {
    let name = head.custom.as_ref().map(|custom| custom.name.as_str());
    name.is_some_and(|name| patterns.iter().any(|pattern| pattern.matches_name(name)))
}

fn page(events: &[LoggedEvent], range: &PageRange) -> String {
    let PageRange { first, last, more } = range;
    let size: usize = events.iter().map(|event| event.body.len() + 1).sum();
    let mut text = String::with_capacity(size + 200);
    let _ = write!(text, "{{\"count\":{},\"items\":[", events.len());
    for (n, event) in events.iter().enumerate() {
        if n > 0 {
            text.push(',');
        }
        text.push_str(&event.body);
    }
    let _ = write!(
        text,
        "],\"firstOffset\":\"{first}\",\"lastOffset\":\"{last}\",\"hasMore\":{more}}}"
    );
    text
}
