//! `/api/v1/{ws}/events`: the feed (`docs/contracts/kontur.md §4.7, §8`). Events are served as the log stores them,
//! without parsing.

use std::fmt::Write as _;

use axum::{http::StatusCode, response::Response};
use prichal_core::{
    event::EVENT,
    id, offset,
    schema::{Field, Type},
};
use prichal_store::{Conn, LoggedEvent, event};
use uuid::Uuid;

use super::{caller::Member, openapi::page_of};
use crate::{
    dialect::openapi::schema::{described, example, flag, model, parameters, uuid},
    domain::document,
    error::{Error, Result},
    http::{
        answer::json_text,
        page::{LIMIT, Query},
    },
};

const OFFSET: Field = Field::new("offset", Type::Guid)
    .doc("The `lastOffset` of the page before; the beginning of the feed if absent.");

parameters! {
    /// A page of the feed.
    FeedPage = &[OFFSET, LIMIT];
}

described! {
    /// A change of an entity, or a link that was added or removed.
    ObjectEvent = model(EVENT).examples(example(include_str!("examples/event.json")));
    /// A page of the feed.
    ObjectEventsList = page_of::<ObjectEvent>("The number of events on the page.")
        .property("firstOffset", uuid().description(Some("The offset of the first event. On an empty page, that of the request.")))
        .required("firstOffset")
        .property("lastOffset", uuid().description(Some("The offset for the next request. On an empty page, that of the request.")))
        .required("lastOffset")
        .property("hasMore", flag().description(Some("True if there are more events.")))
        .required("hasMore"), with ObjectEvent;
}

/// Read the feed: events strictly after `offset`, oldest first.
///
/// A client that repeats this with `lastOffset` sees every event exactly once. Events of documents are shown only to
/// callers who may read the document: for others a page may have fewer events than there are between its offsets.
#[utoipa::path(get, path = "/api/v1/{ws}/events", tag = "feed",
    params(Member, FeedPage), responses((status = 200, body = ObjectEventsList)))]
pub(super) async fn read_feed(member: Member, query: Query) -> Result<Response> {
    let workspace = member.workspace_id();
    let cursor = query
        .read(OFFSET.name, "a GUID", id::parse_any)?
        .unwrap_or_default();
    let limit = query.limit()?;
    let after = offset::seq_at(workspace, cursor);
    let caller = member.caller;
    let read = move |conn: &mut Conn| {
        // The end is read first, so that there are more events if `hasMore` is true.
        let last = event::last(conn, workspace)?;
        let mut events = event::list(conn, workspace, after, limit)?;
        let range = PageRange::of(&events, cursor, last);
        // Integrations, and administrators who can install them, get the same events by webhooks.
        if !caller.is_admin() && caller.integration().is_none() {
            document::hide_events(conn, workspace, caller.user(), &mut events)?;
        }
        Ok::<_, Error>(page(&events, &range))
    };
    Ok(json_text(StatusCode::OK, member.app.db.read(read).await?))
}

/// The range of the log that a page covers, hidden events included.
struct PageRange {
    first: Uuid,
    last: Uuid,
    more: bool,
}

impl PageRange {
    fn of(events: &[LoggedEvent], cursor: Uuid, end: i64) -> Self {
        let newest = events.last();
        Self {
            first: events.first().map_or(cursor, LoggedEvent::offset),
            last: newest.map_or(cursor, LoggedEvent::offset),
            more: newest.is_some_and(|newest| newest.seq < end),
        }
    }
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
