//! `/api/v1/{ws}/communications/call` and `…/hangup`: what users ask for (`docs/contracts/kontur.md §4.4`).

use axum::{
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use prichal_core::id::EntityId;
use prichal_dialect::kontur::call;
use prichal_store::{Conn, Tx, tenant};
use utoipa::ToSchema;

use super::{callbacks::read, caller::Member, words::words};
use crate::{
    app::App,
    error::{Error, Result},
    face::{
        Path, Raw, json_text,
        once::{IdempotencyKey, JsonAnswer, Slot},
    },
    telephony::{dial, not_found},
};

/// The id of the call that was asked for. The documented body stays as it is.
const COMMUNICATION_ID: HeaderName = HeaderName::from_static("x-xcom-communicationid");
const OK: &str = "\"OK\"";

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "describes the body that `prichal_dialect::kontur::call` reads"
)]
struct CallWish {
    /// The id that the call shall have; a new one when there is none.
    communication_id: Option<String>,
    /// The user who calls; the token's own when nobody is named.
    from_user_id: Option<String>,
    /// The user who is called, for internal calls.
    to_user_id: Option<String>,
    client_phone: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "describes the body that `prichal_dialect::kontur::call` reads"
)]
struct HangUpWish {
    /// The leg, as the exchange named it in its events.
    realtime_call_item_id: Option<String>,
    user_id: Option<String>,
}

/// Call somebody. The integration is that of the main telephony settings, else the oldest that can.
#[utoipa::path(post, path = "/api/v1/{ws}/communications/call", tag = "telephony",
    params(("ws" = String, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = CallWish, responses((status = 200, body = String, example = json!("OK"))))]
pub(super) async fn call_out(
    member: Member,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<Response> {
    let slot = Slot::of(&member, key, &body)?;
    let (id, mut wish) = read("callInfo", &body, call::dial)?;
    wish.from_user_id = wish
        .from_user_id
        .or(member.caller.user().map(|user| user.0));
    let (app, origin) = (member.app.clone(), member.origin());
    let name = member.workspace.name.clone();
    // The integration may have dialled by the time its answer comes: what came of it is written even if
    // our own caller has gone away.
    let background = app.background.clone();
    let memory = slot.map(|slot| Once {
        app: app.clone(),
        slot,
    });
    let work = async move { dial::dial(&app, &origin, &name, id, wish, memory).await };
    let work = tenant::scope(tenant::current(), work);
    let dialled = background.spawn(work).await.map_err(Error::internal)??;
    let mut response = match &dialled.refused {
        None => json_text(StatusCode::OK, OK),
        Some(error) => words(error),
    };
    if let Ok(id) = HeaderValue::from_str(&dialled.id.to_string()) {
        response.headers_mut().insert(COMMUNICATION_ID, id);
    }
    Ok(response)
}

/// What is remembered of a request with an `Idempotency-Key`.
#[derive(Clone)]
struct Once {
    app: App,
    slot: Slot,
}

impl dial::Memory for Once {
    fn find(&self, conn: &mut Conn) -> Result<Option<String>> {
        let first = self.slot.find(&self.app.vault, conn)?;
        Ok(first.map(JsonAnswer::into_text))
    }

    fn keep(&self, tx: &mut Tx<'_>, text: &str) -> Result<()> {
        self.slot.keep(&self.app.vault, tx, &JsonAnswer::ok(text))
    }

    fn fill(&self, tx: &mut Tx<'_>, text: &str) -> Result<()> {
        self.slot.fill(&self.app.vault, tx, &JsonAnswer::ok(text))
    }
}

/// Hang up a leg of a call.
#[utoipa::path(post, path = "/api/v1/{ws}/communications/{id}/hangup", tag = "telephony",
    params(("ws" = String, Path), ("id" = String, Path)), request_body = HangUpWish, responses((status = 200, body = String, example = json!("OK"))))]
pub(super) async fn hang_up(
    member: Member,
    Path((_ws, id)): Path<(String, String)>,
    Raw(body): Raw,
) -> Result<Response> {
    let id = EntityId::parse_any(&id).ok_or_else(|| not_found(&id))?;
    hang_up_leg(member, Some(id), &body).await
}

/// Hang up the leg that goes on under this id.
#[utoipa::path(post, path = "/api/v1/{ws}/communications/hangup", tag = "telephony",
    params(("ws" = String, Path)), request_body = HangUpWish, responses((status = 200, body = String, example = json!("OK"))))]
pub(super) async fn hang_up_by_leg(member: Member, Raw(body): Raw) -> Result<Response> {
    hang_up_leg(member, None, &body).await
}

async fn hang_up_leg(member: Member, id: Option<EntityId>, body: &[u8]) -> Result<Response> {
    let wish = read("hangupInfo", body, call::hang_up)?;
    let name = &member.workspace.name;
    dial::hang_up(&member.app, member.workspace_id(), name, id, wish).await?;
    Ok(json_text(StatusCode::OK, OK))
}
