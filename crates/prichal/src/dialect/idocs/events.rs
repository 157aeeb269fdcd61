//! The feed of documents' status changes, for clients without a webhook (`docs/contracts/idocs.md §1.10, §3.4`).

use prichal_dialect::idocs::event::{StatusChange, StatusEvent};
use prichal_store::{LoggedEvent, document};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

use super::{
    answer::bare,
    caller::Company,
    language::Localized,
    member::{Content, Count, bodies, text},
    read::{Fields, Parameters},
};
use crate::{error::Result, http::idempotency::JsonAnswer};

/// The vendor's model of a status change, in the feed and in the history.
pub(super) fn status_model(event: &LoggedEvent) -> Option<StatusEvent> {
    let change = StatusChange::read(&event.body)?;
    Some(change.body(event.workspace, event.seq, None))
}

bodies! {
    /// The part of the feed to read.
    struct EventQuery as EventQuery {
        /// The `lastCursor` of the page before. Without one the feed is read from its beginning.
        after: Option<Cursor> = "after", "0";
        /// The maximum number of events. A number over 1000 counts as 1000.
        limit: Count<1, 100, 1000> = "limit", 100;
    }
}

/// A place in the feed.
struct Cursor(i64);

impl Content for Cursor {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        let Some(text) = fields.text(name)? else {
            return Ok(None);
        };
        let number = text.parse().ok().filter(|number| *number >= 0);
        let number = number.ok_or_else(|| fields.fault(name, &NO_CURSOR, &[]))?;
        Ok(Some(Self(number)))
    }

    fn schema() -> RefOr<Schema> {
        text().pattern(Some("^[0-9]+$")).into()
    }
}

/// A part of the feed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DocumentEventPage)]
struct EventPage {
    items: Vec<StatusEvent>,
    /// The cursor after which the next page begins.
    #[schema(example = "17")]
    last_cursor: String,
    /// True if there are more events.
    has_more: bool,
}

/// Read the company's feed of status changes after a cursor. The next page begins after `lastCursor`. Without a cursor
/// the feed is read from its beginning.
#[utoipa::path(get, path = "/api/v3/sync/external/events", tag = "documents",
    params(EventQuery), responses((status = 200, body = EventPage)))]
pub(super) async fn list_events(company: Company, parameters: Parameters) -> Result<JsonAnswer> {
    company.may("DOCUMENT_VIEW").await?;
    let query: EventQuery = parameters.read(company.reading())?;
    let (after, Count(limit)) = (query.after.map_or(0, |cursor| cursor.0), query.limit);
    let viewer = company.id();
    let found = company
        .app
        .db
        .read(move |conn| document::events_after(conn, viewer, after, limit + 1))
        .await?;
    let page = &found[..found
        .len()
        .min(usize::try_from(limit).unwrap_or(usize::MAX))];
    let last = page.last().map_or(after, |event| event.seq);
    bare(&EventPage {
        items: page.iter().filter_map(status_model).collect(),
        last_cursor: last.to_string(),
        has_more: found.len() > page.len(),
    })
}

const NO_CURSOR: Localized = Localized::new(
    "Поле {} должно быть курсором из lastCursor.",
    "{} өрісі lastCursor мәніндегі курсор болуы керек.",
    "The field {} must be a cursor from lastCursor.",
);
