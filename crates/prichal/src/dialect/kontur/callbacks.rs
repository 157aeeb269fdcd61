//! `/api/v1/{ws}/communications/callbacks/telephony/…`: reports of telephone exchanges
//! (`docs/contracts/kontur.md §4.5`).

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, StatusCode, request::Parts},
    response::Response,
};
use prichal_core::{
    call::{Callback, Message},
    locate,
    schema::{self, Fault, Field, Object, Problem, Type},
};
use prichal_dialect::kontur::call;
use prichal_store::Tx;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    caller::{Member, WORKSPACE},
    communications::{self, Communication},
    openapi::Done,
};
use crate::{
    app::App,
    dialect::openapi::schema::{body, described, either, example, parameters, takes},
    domain::telephony::{
        ingest::{self, Report},
        record::{Effect, Exchange, ViewParts},
        redirect,
    },
    error::{Error, Result},
    http::{answer::json_text, body::Raw, page::Query},
    platform::{access::Caller, reading::parse_json},
};

/// The effect of a callback: `created`, `updated` or `unchanged`.
const EFFECT: HeaderName = HeaderName::from_static("x-prichal-effect");
/// The mark of a call whose id the exchange had already given to an earlier one.
const NOTE: HeaderName = HeaderName::from_static("x-prichal-note");
const REUSED: HeaderValue = HeaderValue::from_static("external-id-reused");
const OK: &str = "\"OK\"";

/// An integration that reports its calls.
pub(super) struct Reporter {
    member: Member,
    exchange: Exchange,
}

impl FromRequestParts<App> for Reporter {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let member = Member::from_request_parts(parts, app).await?;
        let Caller::Integration(key) = &member.caller else {
            return Err(Error::Forbidden("Only an integration may report calls"));
        };
        let exchange = Exchange {
            integration: key.integration,
            name: key.name.clone(),
        };
        Ok(Self { member, exchange })
    }
}

takes! {
    Reporter: Path WORKSPACE;
}

described! {
    /// The beginning of a call.
    CallStarted = body(call::STARTED).examples(example(include_str!("examples/call-started.json")));
    /// An event of a leg.
    CallEvent = either(body(call::EVENT), &[call::EITHER_CALL, call::EITHER_LEG]).examples(example(include_str!("examples/call-event.json")));
    /// The end of a call.
    CallFinished = either(body(call::FINISHED), &[call::EITHER_CALL]).examples(example(include_str!("examples/call-finished.json")));
    /// A call that could not be made. `communicationId` or `externalId` is required.
    CallFailed = either(body(call::FAILED), &[call::EITHER_CALL]).examples(example(include_str!("examples/call-failed.json")));
    /// The recording of a leg.
    CallRecording = either(body(call::RECORDING), &[call::EITHER_CALL, call::EITHER_LEG]).examples(example(include_str!("examples/call-recording.json")));
    /// A call of the exchange's history.
    RegisteredCall = either(body(call::REGISTER), &[call::EITHER_CALL]).examples(example(include_str!("examples/register-call.json")));
}

/// Report that a call has begun. A repetition changes nothing; the answer is the call as it is now.
#[utoipa::path(post, path = "/api/v1/{ws}/communications/callbacks/telephony/call-started", tag = "telephony",
    security(("accessKey" = [])), params(Reporter), request_body = CallStarted, responses((status = 200, body = Communication)))]
pub(super) async fn call_started(from: Reporter, Raw(body): Raw) -> Result<Response> {
    let callback = read("callStartedInfo", &body, call::started)?;
    answer(from, callback, Report::Started, true).await
}

/// Report an event of a leg.
#[utoipa::path(post, path = "/api/v1/{ws}/communications/callbacks/telephony/call-event", tag = "telephony",
    security(("accessKey" = [])), params(Reporter), request_body = CallEvent, responses((status = 200, body = Done)))]
pub(super) async fn call_event(from: Reporter, Raw(body): Raw) -> Result<Response> {
    let callback = read("callEventInfo", &body, call::event)?;
    let report = |event| Report::Plain(Message::Event(event));
    answer(from, callback, report, false).await
}

/// Report the end of a call.
#[utoipa::path(post, path = "/api/v1/{ws}/communications/callbacks/telephony/call-finished", tag = "telephony",
    security(("accessKey" = [])), params(Reporter), request_body = CallFinished, responses((status = 200, body = Done)))]
pub(super) async fn call_finished(from: Reporter, Raw(body): Raw) -> Result<Response> {
    let callback = read("callFinishedInfo", &body, call::finished)?;
    let report = |notice| Report::Plain(Message::Finished(notice));
    answer(from, callback, report, false).await
}

/// Report that a call that a user asked for could not be made.
#[utoipa::path(post, path = "/api/v1/{ws}/communications/callbacks/telephony/call-failed", tag = "telephony",
    security(("accessKey" = [])), params(Reporter), request_body = CallFailed, responses((status = 200, body = Done)))]
pub(super) async fn call_failed(from: Reporter, Raw(body): Raw) -> Result<Response> {
    let callback = read("callFailedInfo", &body, call::failed)?;
    let report = |failure| Report::Plain(Message::Failed(failure));
    answer(from, callback, report, false).await
}

/// Report the recording of a leg: a file that was uploaded before.
#[utoipa::path(post, path = "/api/v1/{ws}/communications/callbacks/telephony/call-recording", tag = "telephony",
    security(("accessKey" = [])), params(Reporter), request_body = CallRecording, responses((status = 200, body = Done)))]
pub(super) async fn call_recording(from: Reporter, Raw(body): Raw) -> Result<Response> {
    let callback = read("callRecordingInfo", &body, call::recording)?;
    answer(from, callback, Report::Recording, false).await
}

/// Report a call of the exchange's history, which is authoritative for the legs that it names.
#[utoipa::path(post, path = "/api/v1/{ws}/communications/callbacks/telephony/register-call", tag = "telephony",
    security(("accessKey" = [])), params(Reporter), request_body = RegisteredCall, responses((status = 200, body = Done)))]
pub(super) async fn register_call(from: Reporter, Raw(body): Raw) -> Result<Response> {
    let callback = read("registerCallInfo", &body, call::register)?;
    let report = |(history, recordings)| Report::Registered(history, recordings);
    answer(from, callback, report, false).await
}

/// The users to redirect a caller to.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CallRedirect)]
struct Redirect {
    /// Their ids; none if nobody is responsible.
    #[schema(value_type = Vec<String>)]
    user_ids: Vec<Uuid>,
}

const EXTERNAL_ID: Field = Field::new("externalId", Type::Text)
    .doc("The exchange's id of the call. This or `phoneNumber` is required.");
const PHONE_NUMBER: Field = Field::new("phoneNumber", Type::Text).doc("The client's number.");

parameters! {
    /// The call, or the number of a call before its first report.
    RedirectQuery = &[EXTERNAL_ID, PHONE_NUMBER];
}

/// Find the users to redirect a caller to: those responsible for the active deals of the number or of the call.
#[utoipa::path(get, path = "/api/v1/{ws}/communications/callbacks/telephony/call-redirect", tag = "telephony",
    security(("accessKey" = [])), params(Reporter, RedirectQuery), responses((status = 200, body = Redirect)))]
pub(super) async fn call_redirect(from: Reporter, query: Query) -> Result<Response> {
    let (workspace, exchange) = (from.member.workspace_id(), from.exchange);
    let text = |field: Field| query.text(field.name).map(str::to_owned);
    let (external, phone) = (text(EXTERNAL_ID), text(PHONE_NUMBER));
    let read = move |conn: &mut prichal_store::Conn| match (external, phone) {
        (Some(external), _) => redirect::by_call(
            conn,
            workspace,
            exchange.integration,
            exchange.bare(&external),
        )?
        .ok_or_else(|| {
            // The vendor names its own type here.
            Error::NotFound(call::REDIRECT.into())
        }),
        (None, Some(phone)) => redirect::by_phone(conn, workspace, &phone),
        (None, None) => Err(Error::invalid(
            "externalId",
            "Either externalId or phoneNumber is required.",
        )),
    };
    let answer = Redirect {
        user_ids: from.member.app.db.read(read).await?,
    };
    let text = serde_json::to_string(&answer).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, text))
}

/// Reads a body. Faults name line and position as the vendor's reader does, which also reports the whole body as
/// missing then (`docs/contracts/kontur.md §2`).
pub(super) fn read<T>(
    name: &str,
    body: &[u8],
    read: impl FnOnce(&Object) -> Result<T, Vec<Fault>>,
) -> Result<T> {
    let value = parse_json(body)?;
    read(schema::object(&value)?).map_err(|mut faults| {
        let text = std::str::from_utf8(body).unwrap_or_default();
        let mut is_unread = false;
        for fault in &mut faults {
            if let Problem::Mismatch(mismatch) = &mut fault.problem {
                mismatch.end = locate::end_of(text, &fault.path);
                is_unread = true;
            }
        }
        if is_unread {
            faults.push(Fault::required(name));
        }
        faults.into()
    })
}

/// Ingests a message and answers.
async fn answer<T: Clone + Send + 'static>(
    from: Reporter,
    callback: Callback<T>,
    report: impl Fn(T) -> Report + Send + 'static,
    with_model: bool,
) -> Result<Response> {
    let Reporter { member, exchange } = from;
    let (app, origin) = (member.app.clone(), member.origin());
    let Callback { refs, message } = callback;
    let write = move |tx: &mut Tx<'_>| {
        let report = report(message.clone());
        let (found, effect) = ingest::apply(&app, tx, &origin, &exchange, &refs, report)?;
        let answer = if with_model {
            communications::model(tx.conn()?, &found, ViewParts::Evidence)?
        } else {
            OK.to_owned()
        };
        Ok::<_, Error>((answer, effect, found.call.note.is_some()))
    };
    let (answer, effect, is_reuse) = member.app.db.write(member.workspace_id(), write).await?;
    let mut response = with_effect(json_text(StatusCode::OK, answer), effect);
    if is_reuse {
        response.headers_mut().insert(NOTE, REUSED);
    }
    Ok(response)
}

fn with_effect(mut response: Response, effect: Effect) -> Response {
    response
        .headers_mut()
        .insert(EFFECT, HeaderValue::from_static(effect.name()));
    response
}
