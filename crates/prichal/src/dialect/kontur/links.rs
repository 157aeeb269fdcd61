//! `/api/v1/{ws}/links`: links between two entities.

use axum::{http::StatusCode, response::Response};
use prichal_core::{
    event::{Entity, Origin},
    id::{EntityId, UserId},
};
use prichal_store::Tx;

use super::{caller::Member, communications::require, openapi::Done};
use crate::{
    dialect::openapi::schema::{body, described, example},
    domain::{
        entity::{link, note_rights},
        telephony::own_calls,
    },
    error::Result,
    http::{
        answer::json_text,
        body::{Json, Raw},
        idempotency::{IdempotencyKey, JsonAnswer, write_once_and},
    },
    platform::reading::parse_json,
};

described! {
    /// Exactly two ids of different kinds of entities.
    Link = body(&link::members()).min_properties(Some(2)).max_properties(Some(2))
        .examples(example(include_str!("examples/link.json")));
}

/// Refuses a call that the caller does not see.
fn permit(tx: &mut Tx<'_>, origin: &Origin, own: Option<UserId>, ends: [Entity; 2]) -> Result<()> {
    let call = own.and_then(|_| own_calls::call_of(&ends));
    match call {
        Some(call) => require(tx.conn()?, origin.workspace, own, EntityId(call)),
        None => Ok(()),
    }
}

/// Link two entities. A repetition changes nothing.
#[utoipa::path(post, path = "/api/v1/{ws}/links", tag = "entities", params(Member, IdempotencyKey),
    request_body = Link, responses((status = 200, body = Done)))]
pub(super) async fn create_link(
    member: Member,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let ends = link::read(&parse_json(&body)?)?;
    let (origin, authority) = (member.origin(), member.caller.authority());
    let own = member.caller.own_calls();
    let write = move |tx: &mut Tx<'_>| {
        permit(tx, &origin, own, ends)?;
        let changed = link::link(tx, ends, &origin, authority)?;
        Ok((JsonAnswer::ok("\"OK\""), changed))
    };
    let (answer, changed) = write_once_and(&member, key, &body, write).await?;
    note_rights(member.workspace_id(), changed.flatten());
    Ok(answer)
}

/// Delete a link. Without such a link, nothing changes.
#[utoipa::path(delete, path = "/api/v1/{ws}/links", tag = "entities", params(Member),
    request_body = Link, responses((status = 200, body = Done)))]
pub(super) async fn delete_link(member: Member, Json(body): Json) -> Result<Response> {
    let ends = link::read(&body)?;
    let (origin, authority) = (member.origin(), member.caller.authority());
    let own = member.caller.own_calls();
    let write = move |tx: &mut Tx<'_>| {
        permit(tx, &origin, own, ends)?;
        link::unlink(tx, ends, &origin, authority)
    };
    let changed = member.app.db.write(member.workspace_id(), write).await?;
    note_rights(member.workspace_id(), changed);
    Ok(json_text(StatusCode::OK, "\"OK\""))
}
