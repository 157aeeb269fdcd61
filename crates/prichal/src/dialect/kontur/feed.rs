//! `/api/v1/{ws}/events`: the feed (`docs/contracts/kontur.md §4.7, §8`). Events are served as the log stores them,
//! without parsing.

use std::fmt::Write as _;

use axum::{http::StatusCode, response::Response};
use prichal_core::{id, offset};
use prichal_store::{Conn, LoggedEvent, event};
use utoipa::ToSchema;
use uuid::Uuid;

use super::caller::Member;
use crate::{
    domain::document,
    error::{Error, Result},
    http::{answer::json_text, page::Query},
};

/// A change of an entity, or a link that was added or removed.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `prichal_core::event` renders")]
struct ObjectEvent {
    id: String,
    /// Strictly increasing in the order of commits.
    offset: String,
    /// `change`, `link` or `unlink`.
    r#type: String,
    /// `{"type", "old"?, "new"?}` of a change; `type` is `create`, `patch`, `delete` or `restore`.
    change_data: Option<serde_json::Value>,
    /// The id of the changed entity, or the ids of both ends of a link.
    entity_ids: serde_json::Value,
    create_info: serde_json::Value,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the text that is put together below")]
struct ObjectEventsList {
    /// The number of events on the page.
    count: i64,
    items: Vec<ObjectEvent>,
    first_offset: String,
    /// The offset of the next request. On an empty page, the offset of this request.
    last_offset: String,
    has_more: bool,
}

/// Read the feed: events strictly after `offset`, oldest first.
///
/// A client that repeats this with `lastOffset` sees every event exactly once. Events of documents are shown only to
/// callers who may read the document: for others a page may have fewer events than there are between its offsets.
#[utoipa::path(get, path = "/api/v1/{ws}/events", tag = "feed",
    params(("ws" = String, Path), ("offset" = Option<String>, Query), ("limit" = Option<i64>, Query)),
    responses((status = 200, body = ObjectEventsList)))]
pub(super) async fn read_feed(member: Member, query: Query) -> Result<Response> {
    let workspace = member.workspace_id();
    let cursor = query
        .read("offset", "a GUID", id::parse_any)?
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
