//! `/api/v1/{ws}/communications/call` and `…/hangup`: calls that users ask for (`docs/contracts/kontur.md §4.4`).

use axum::{
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use bytes::Bytes;
use prichal_core::{
    call::{Dial, HangUp},
    id::{EntityId, generate},
};
use prichal_dialect::kontur::{
    call,
    system_call::{self, SystemCall},
};
use prichal_store::{Conn, Tx, integration::Instance, tenant};

use super::{callbacks::read, caller::Member, error_response::render, openapi::Done};
use crate::{
    app::App,
    delivery::target::webhook::{Payload, Receiver, call as post},
    dialect::openapi::schema::{body, described, either, example},
    domain::telephony::{dial, not_found},
    error::{Error, Result},
    http::{
        answer::json_text,
        body::Raw,
        extract::Path,
        idempotency::{IdempotencyKey, JsonAnswer, Slot},
    },
    platform::outgoing::post::Outcome,
};

/// The id of the new call. It is a header because the vendor documents the body.
const COMMUNICATION_ID: HeaderName = HeaderName::from_static("x-xcom-communicationid");
const OK: &str = "\"OK\"";

described! {
    /// The call that a user asks for. `clientPhone` or `toUserId` is required.
    CallRequest = either(body(call::DIAL), &[call::EITHER_SIDE]).examples(example(include_str!("examples/call.json")));
    /// The leg that a user ends.
    HangUpRequest = body(call::HANG_UP).examples(example(include_str!("examples/hangup.json")));
}

/// Make a call, through the integration of the main telephony settings, or else through the oldest that can call.
#[utoipa::path(post, path = "/api/v1/{ws}/communications/call", tag = "telephony",
    params(Member, IdempotencyKey), request_body = CallRequest,
    responses((status = 200, body = Done, headers(("X-XCOM-CommunicationId" = String, description = "The id of the new call")))))]
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
    let exchanges = SystemCalls::of(&member);
    // An integration that has answered may have dialled, so the outcome is written even if the client has disconnected.
    let background = app.background.clone();
    let memory = slot.map(|slot| FirstAnswer {
        app: app.clone(),
        slot,
    });
    let work = async move { dial::dial(&app, &exchanges, &origin, id, wish, memory).await };
    let work = tenant::scope(tenant::current(), work);
    let dialled = background.spawn(work).await.map_err(Error::internal)??;
    let mut response = match &dialled.refused {
        None => json_text(StatusCode::OK, OK),
        Some(error) => render(error),
    };
    if let Ok(id) = HeaderValue::from_str(&dialled.id.to_string()) {
        response.headers_mut().insert(COMMUNICATION_ID, id);
    }
    Ok(response)
}

/// The first answer to a request with an `Idempotency-Key`.
#[derive(Clone)]
struct FirstAnswer {
    app: App,
    slot: Slot,
}

impl dial::Memory for FirstAnswer {
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
    params(Member, ("id" = String, Path, format = "uuid", description = "The id of the call.")), request_body = HangUpRequest, responses((status = 200, body = Done)))]
pub(super) async fn hang_up(
    member: Member,
    Path((_ws, id)): Path<(String, String)>,
    Raw(body): Raw,
) -> Result<Response> {
    let id = EntityId::parse_any(&id).ok_or_else(|| not_found(&id))?;
    hang_up_leg(member, Some(id), &body).await
}

/// Hang up the active leg with this id.
#[utoipa::path(post, path = "/api/v1/{ws}/communications/hangup", tag = "telephony",
    params(Member), request_body = HangUpRequest, responses((status = 200, body = Done)))]
pub(super) async fn hang_up_by_leg(member: Member, Raw(body): Raw) -> Result<Response> {
    hang_up_leg(member, None, &body).await
}

async fn hang_up_leg(member: Member, id: Option<EntityId>, body: &[u8]) -> Result<Response> {
    let wish = read("hangupInfo", body, call::hang_up)?;
    let exchanges = SystemCalls::of(&member);
    let calls = (member.workspace_id(), member.caller.own_calls());
    dial::hang_up(&member.app, &exchanges, calls, id, wish).await?;
    Ok(json_text(StatusCode::OK, OK))
}

/// System calls in the vendor's protocol.
struct SystemCalls {
    app: App,
    /// The name of the workspace, a part of the paths that are called.
    workspace: String,
}

impl SystemCalls {
    fn of(member: &Member) -> Self {
        Self {
            app: member.app.clone(),
            workspace: member.workspace.name.clone(),
        }
    }

    async fn send(&self, instance: Instance, request: &SystemCall) -> Outcome {
        let receiver = Receiver::of(&self.app, instance, &request.path);
        let payload = Payload {
            id: generate(self.app.clock.now()),
            body: Bytes::from(request.body.to_string()),
            replay: false,
        };
        post(&self.app, &receiver, &receiver.connections(1), payload).await
    }
}

impl dial::Exchanges for SystemCalls {
    async fn dial(&self, instance: Instance, id: EntityId, wish: &Dial) -> Outcome {
        let request = system_call::dial(&self.workspace, id.0, wish);
        self.send(instance, &request).await
    }

    async fn hang_up(&self, instance: Instance, id: EntityId, wish: &HangUp) -> Outcome {
        let request = system_call::hang_up(&self.workspace, id.0, wish);
        self.send(instance, &request).await
    }
}
