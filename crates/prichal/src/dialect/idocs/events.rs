//! The feed of documents' status changes, for clients without a webhook (`docs/contracts/idocs.md §1.10, §3.4`).

use prichal_dialect::idocs::event::StatusChange;
use prichal_store::{LoggedEvent, document};
use serde_json::{Value, json};

use super::{
    answer::bare,
    caller::Company,
    language::Localized,
    read::{Fields, Parameters},
};
use crate::{error::Result, http::idempotency::JsonAnswer};

/// The default number of events of a page.
const DEFAULT_LIMIT: i64 = 100;

/// The vendor's model of a status change, in the feed and in the history.
pub(super) fn status_model(event: &LoggedEvent) -> Option<Value> {
    let change = StatusChange::read(&event.body)?;
    Some(json!(change.body(event.workspace, event.seq, None)))
}

/// Read the company's feed of status changes after a cursor. The next page begins after `lastCursor`. Without a cursor
/// the feed is read from its beginning.
#[utoipa::path(get, path = "/api/v3/sync/external/events", tag = "documents",
    params(("after" = Option<String>, Query), ("limit" = Option<i64>, Query)),
    responses((status = 200, body = Value)))]
pub(super) async fn list_events(company: Company, parameters: Parameters) -> Result<JsonAnswer> {
    company.may("DOCUMENT_VIEW").await?;
    let fields = parameters.fields(company.language())?;
    let after = cursor(&fields)?;
    let limit = fields.limit(DEFAULT_LIMIT)?;
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
    let items: Vec<Value> = page.iter().filter_map(status_model).collect();
    Ok(bare(&json!({
        "items": items,
        "lastCursor": last.to_string(),
        "hasMore": found.len() > page.len(),
    })))
}

fn cursor(fields: &Fields<'_>) -> Result<i64> {
    let Some(text) = fields.text("after")? else {
        return Ok(0);
    };
    let number = text.parse().ok().filter(|number| *number >= 0);
    number.ok_or_else(|| fields.fault("after", &NO_CURSOR, &[]))
}

const NO_CURSOR: Localized = Localized::new(
    "Поле {} должно быть курсором из lastCursor.",
    "{} өрісі lastCursor мәніндегі курсор болуы керек.",
    "The field {} must be a cursor from lastCursor.",
);
