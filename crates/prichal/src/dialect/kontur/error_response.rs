//! Errors under `/api/v1` (`docs/contracts/kontur.md §2`). Business refusals, including «not found», are 409 with an
//! `ErrorInfo`; malformed input is a 400 problem; missing credentials are the JSON string `"Unauthorized"`.

use axum::{http::StatusCode, response::Response};
use prichal_core::{patch::PatchErrors, schema::Fault};
use prichal_dialect::kontur::{fault, patch};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::{ToSchema, openapi::Object};

use crate::{
    dialect::openapi::schema::words,
    error::{Code, Error, Refusal},
    http::answer::{json_text, retry_after},
    platform::vault::{fill_random, hex},
};

pub(super) fn render(error: &Error) -> Response {
    let body = match error {
        Error::Unauthenticated => json!("Unauthorized"),
        Error::Refused(refusal) => refused(refusal),
        Error::PatchRefused(errors) => patch_refused(errors, error),
        Error::Invalid(faults) => problem(faults, error),
        _ => info(error),
    };
    retry_after(error, json_text(status(error), body.to_string()))
}

/// A refusal or a failure.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({
    "status": "communicationNotFound",
    "message": "Communication not found. Id: 184b8a0f-6c1d-4f5e-9a7b-3c2d1e0f9bcd",
})))]
pub(super) struct ErrorInfo {
    /// Always empty.
    // The members are in the order of the vendor's documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Object>, required = false)]
    invalid_datas: Option<[Value; 0]>,
    /// The rule that does not hold, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = HashMap<String, String>, required = false)]
    invalid_constraints: Option<Value>,
    /// The code, such as `notFound`.
    status: &'static str,
    /// The reason, for people.
    message: String,
}

/// A refused PATCH.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PatchRefusal {
    error_info: PatchErrorInfo,
    /// False.
    is_successful: bool,
    #[schema(schema_with = refused_word)]
    response_code: &'static str,
}

/// The reasons of a refused PATCH. Operations are repeated as they were sent, with the reason of their refusal.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PatchErrorInfo {
    #[schema(schema_with = refused_status)]
    status: &'static str,
    /// The reasons, for people.
    message: String,
    /// The operations whose path does not exist or may not be written.
    #[schema(value_type = Vec<Object>)]
    invalid_paths: Value,
    /// The operations whose value has a wrong type.
    #[schema(value_type = Vec<Object>)]
    invalid_value_types: Value,
    /// The operations whose value breaks a rule.
    #[schema(value_type = Vec<Object>)]
    invalid_datas: Value,
    /// The rules that do not hold afterwards, by their name.
    #[schema(value_type = HashMap<String, String>)]
    invalid_constraints: Value,
}

/// The `responseCode` of a refused PATCH.
const REFUSED: &str = "conflict";
/// Its `status`.
const REFUSED_STATUS: &str = "invalidArgs";

fn refused_word() -> Object {
    words(&[REFUSED], "The outcome.")
}

fn refused_status() -> Object {
    words(&[REFUSED_STATUS], "The code of the reason.")
}

/// A request that cannot be read.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({
    "errors": {
        "direction": ["Error converting value \"in2bound\" to type 'Xcom.Api.Models.Communications.CommunicationDirection'. Path 'direction', line 7, position 27."],
        "callStartedInfo": ["The callStartedInfo field is required."],
    },
    "type": "https://tools.ietf.org/html/rfc7231#section-6.5.1",
    "title": "One or more validation errors occurred.",
    "status": 400,
    "traceId": "00-1b2c3d4e5f60718293a4b5c6d7e8f90a-1a2b3c4d5e6f7a8b-00",
})))]
pub(super) struct BadRequest {
    /// The faults, by the path of the member or the name of the parameter.
    #[schema(value_type = HashMap<String, Vec<String>>)]
    errors: Map<String, Value>,
    /// The URL of the kind of problem.
    r#type: &'static str,
    /// The problem, for people.
    title: String,
    /// 400.
    status: u16,
    /// The values that cannot be read, and those that could.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
    /// The id of the answer.
    trace_id: String,
}

/// The flat `ErrorInfo`.
fn info(error: &Error) -> Value {
    json!(ErrorInfo {
        invalid_datas: None,
        invalid_constraints: None,
        status: word(error),
        message: error.to_string(),
    })
}

pub(super) const fn status(error: &Error) -> StatusCode {
    match error {
        Error::Unauthenticated => StatusCode::UNAUTHORIZED,
        Error::Throttled { .. } | Error::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Forbidden(_) => StatusCode::FORBIDDEN,
        Error::NotFound(_)
        | Error::Refused(_)
        | Error::PatchRefused(_)
        | Error::TooLarge { .. } => StatusCode::CONFLICT,
        Error::Invalid(_) => StatusCode::BAD_REQUEST,
        Error::Late => StatusCode::REQUEST_TIMEOUT,
        Error::UnknownCoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Error::NoRoute(_) => StatusCode::NOT_FOUND,
        Error::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
        Error::Busy | Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The `status` of an `ErrorInfo`; for the two bodies that are none, the text or the title that they always have.
pub(super) const fn word(error: &Error) -> &'static str {
    match error {
        Error::Unauthenticated => "Unauthorized",
        Error::Throttled { .. } | Error::TooMany { .. } => "tooManyRequests",
        Error::Forbidden(_) => "forbidden",
        Error::NotFound(_) | Error::NoRoute(_) => "notFound",
        Error::Refused(refusal) => refusal_word(refusal.code),
        Error::PatchRefused(_) => REFUSED_STATUS,
        Error::Invalid(_) => "One or more validation errors occurred.",
        Error::TooLarge { .. } => "bodyTooLarge",
        Error::Late => "requestTimeout",
        Error::UnknownCoding(_) => "unknownCoding",
        Error::WrongMethod { .. } => "methodNotAllowed",
        Error::Busy => "busy",
        Error::Unavailable(_) => "unavailable",
        Error::Internal(_) => "error",
    }
}

/// The refusals under `/api/v1`.
pub(super) const REFUSALS: &[Code] = &[
    Code::AlreadyExists,
    Code::CommunicationNotFound,
    Code::Conflict,
    Code::EventsRemoved,
    Code::FileTooLarge,
    Code::IntegrationFailed,
    Code::IntegrationNotFound,
    Code::InvalidValue,
    Code::KeyReused,
    Code::LimitReached,
    Code::NotAnswered,
    Code::NotConfigured,
    Code::NotInstalled,
    Code::NotSupported,
    Code::QuotaExceeded,
];

fn refused(refusal: &Refusal) -> Value {
    json!(ErrorInfo {
        invalid_datas: refusal.with_lists.then_some([]),
        invalid_constraints: refusal
            .with_lists
            .then(|| refusal.constraints.clone().into()),
        status: refusal_word(refusal.code),
        message: refusal.message.clone(),
    })
}

/// The `status` of a refusal (`docs/contracts/kontur.md §2`).
const fn refusal_word(code: Code) -> &'static str {
    match code {
        Code::AlreadyExists => "alreadyExists",
        Code::CommunicationNotFound => "communicationNotFound",
        Code::EventsRemoved => "eventsRemoved",
        Code::FileTooLarge => "fileTooLarge",
        Code::IntegrationFailed => "integrationError",
        Code::IntegrationNotFound => "IntegrationNotFound",
        Code::InvalidValue => "invalidArgs",
        Code::KeyReused => "idempotencyConflict",
        Code::LimitReached => "tooMany",
        Code::NotAnswered => "notAnswered",
        Code::NotConfigured => "notConfigured",
        Code::NotInstalled => "notInstalled",
        Code::NotSupported => "notSupported",
        Code::QuotaExceeded => "quotaExceeded",
        _ => "conflict",
    }
}

/// The wrapper of a failed PATCH, with the refused operations.
fn patch_refused(errors: &PatchErrors, error: &Error) -> Value {
    json!(PatchRefusal {
        error_info: PatchErrorInfo {
            status: REFUSED_STATUS,
            message: error.to_string(),
            invalid_paths: json!(patch::operations(&errors.invalid_paths)),
            invalid_value_types: json!(patch::operations(&errors.invalid_value_types)),
            invalid_datas: json!(patch::operations(&errors.invalid_datas)),
            invalid_constraints: json!(patch::constraints(&errors.invalid_constraints)),
        },
        is_successful: false,
        response_code: REFUSED,
    })
}

/// The problem with which ASP.NET Core answers a body that it cannot bind.
fn problem(faults: &[Fault], error: &Error) -> Value {
    let mut errors: Map<String, Value> = Map::new();
    for fault in faults {
        let texts = errors
            .entry(fault.path.clone())
            .or_insert_with(|| json!([]));
        if let Value::Array(texts) = texts {
            texts.push(fault::text(fault).into());
        }
    }
    json!(BadRequest {
        errors,
        r#type: "https://tools.ietf.org/html/rfc7231#section-6.5.1",
        title: error.to_string(),
        status: 400,
        detail: fault::detail(faults),
        trace_id: trace_id(),
    })
}

/// A new id in the form of W3C's trace context. It is on the lines that the server logs for the request.
fn trace_id() -> String {
    let mut random = [0; 24];
    fill_random(&mut random);
    let random = hex(&random);
    let id = format!("00-{}-{}-00", &random[..32], &random[32..]);
    tracing::Span::current().record("trace.id", &id);
    id
}
