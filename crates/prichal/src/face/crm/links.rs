//! `/api/v1/{ws}/links`: what ties two entities together.

use axum::{http::StatusCode, response::Response};
use prichal_store::Tx;
use serde_json::Value;
use utoipa::ToSchema;

use super::caller::Member;
use crate::{
    entity::link,
    error::Result,
    face::{
        Json, Raw, json_text,
        once::{IdempotencyKey, JsonAnswer, write_once},
        parse_json,
    },
};

/// Exactly two ids of different kinds, such as `{"companyId": "…", "dealId": "…"}`.
#[derive(ToSchema)]
#[schema(value_type = Object)]
#[expect(dead_code, reason = "describes the body; it is read below")]
struct Link(Value);

/// Link two entities. Linking them again changes nothing.
#[utoipa::path(post, path = "/api/v1/{ws}/links", tag = "entities", params(("ws" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Link, responses((status = 200, body = String, example = json!("OK"))))]
pub(super) async fn create_link(
    member: Member,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let ends = link::read(&parse_json(&body)?)?;
    let (origin, authority) = (member.origin(), member.caller.authority());
    write_once(&member, key, &body, move |tx| {
        link::link(tx, ends, &origin, authority)?;
        Ok("\"OK\"".to_owned())
    })
    .await
}

/// Take a link away. Where there is none, nothing changes.
#[utoipa::path(delete, path = "/api/v1/{ws}/links", tag = "entities", params(("ws" = String, Path)),
    request_body = Link, responses((status = 200, body = String, example = json!("OK"))))]
pub(super) async fn delete_link(member: Member, Json(body): Json) -> Result<Response> {
    let ends = link::read(&body)?;
    let (origin, authority) = (member.origin(), member.caller.authority());
    let write = move |tx: &mut Tx<'_>| link::unlink(tx, ends, &origin, authority);
    member.app.db.write(member.workspace_id(), write).await?;
    Ok(json_text(StatusCode::OK, "\"OK\""))
}
