//! `/api/v1/{ws}/events`: the feed (`reference/kontur.md` §4.7, §8). Bodies are served as the log keeps
//! them; nothing is parsed.

use std::fmt::Write as _;

use axum::{http::StatusCode, response::Response};
use prichal_core::{id, offset};
use prichal_store::{Conn, LoggedEvent, event};
use utoipa::ToSchema;
use uuid::Uuid;

use super::caller::Member;
use crate::{
    error::{Error, Result},
    face::json_text,
    page::Query,
};

/// A change, or a link that was made or taken away.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `prichal_core::event` renders")]
struct ObjectEvent {
    id: String,
    /// Grows strictly in the order of commits.
    offset: String,
    /// `change`, `link` or `unlink`.
    r#type: String,
    /// `{"type", "old"?, "new"?}` of a change; `type` is `create`, `patch`, `delete` or `restore`.
    change_data: Option<serde_json::Value>,
    /// The id of what changed, or those of both ends of a link.
    entity_ids: serde_json::Value,
    create_info: serde_json::Value,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the text that is put together below")]
struct ObjectEventsList {
    /// How many events the page has.
    count: i64,
    items: Vec<ObjectEvent>,
    first_offset: String,
    /// Where to go on. On an empty page, the offset that was asked for.
    last_offset: String,
    has_more: bool,
}

/// Read the feed: events strictly after `offset`, oldest first.
///
/// Whoever asks again with `lastOffset` sees every event exactly once.
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
    let read = move |conn: &mut Conn| {
        // The end first: what comes in between is more than there is, never less.
        let last = event::last(conn, workspace)?;
        Ok::<_, Error>(page(
            &event::list(conn, workspace, after, limit)?,
            cursor,
            last,
        ))
    };
    Ok(json_text(StatusCode::OK, member.app.db.read(read).await?))
}

fn page(events: &[LoggedEvent], cursor: Uuid, last: i64) -> String {
    let (first_offset, last_offset, more) = match events {
        [] => (cursor, cursor, false),
        [first, .., newest] => (first.offset(), newest.offset(), newest.seq < last),
        [only] => (only.offset(), only.offset(), only.seq < last),
    };
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
        "],\"firstOffset\":\"{first_offset}\",\"lastOffset\":\"{last_offset}\",\"hasMore\":{more}}}"
    );
    text
}
