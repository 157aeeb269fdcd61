//! `/api/v1/{ws}/webhooks/match`: the number of recent events that a filter would let through, before a webhook has it
//! (`docs/contracts/prichal.md §6.2`).

use axum::{http::StatusCode, response::Response};
use prichal_core::{
    integration::webhook::{FILTER, read_filter},
    offset,
    schema::{self, object},
};
use prichal_store::{Conn, event};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::caller::Admin;
use crate::{
    dialect::openapi::schema::{body, described, example},
    error::{Error, Result},
    http::{answer::json_text, body::Json},
};

/// The number of events that a filter is tried on.
const RECENT: i64 = 1000;

described! {
    /// A filter, as a webhook has it.
    TriedFilter = body(FILTER).examples(example(include_str!("examples/webhook-match.json")));
}

/// The events that match a filter.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct FilterMatches {
    /// The number of events that the filter was tried on: the newest 1 000, or all of them.
    tried: usize,
    /// The number of these that match.
    matched: usize,
    /// The offset of the newest event that matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    last_offset: Option<Uuid>,
}

/// Try a filter on the newest 1 000 events of the log, and count those that match.
#[utoipa::path(post, path = "/api/v1/{ws}/webhooks/match", tag = "webhooks", params(Admin),
    request_body = TriedFilter, responses((status = 200, body = FilterMatches)))]
pub(super) async fn match_filter(Admin(member): Admin, Json(body): Json) -> Result<Response> {
    let given = schema::read(FILTER, object(&body)?, &mut Uuid::nil)?;
    let filter = read_filter(&given).map_err(|why| Error::invalid("items", format!("{why}.")))?;
    let workspace = member.workspace_id();
    let read = move |conn: &mut Conn| {
        let last = event::last(conn, workspace)?;
        let heads = event::heads(conn, workspace, last - RECENT, last, RECENT)?;
        let matched = heads.iter().filter(|(_, head)| filter.matches(head));
        let matched: Vec<i64> = matched.map(|(seq, _)| *seq).collect();
        Ok::<_, Error>(FilterMatches {
            tried: heads.len(),
            matched: matched.len(),
            last_offset: matched.last().map(|seq| offset::of(workspace, *seq)),
        })
    };
    let found = member.app.db.read(read).await?;
    Ok(json_text(StatusCode::OK, json!(found).to_string()))
}
