//! Errors under `/api/v1` (`docs/contracts/kontur.md §2`). Business refusals, including «not found», are 409 with an
//! `ErrorInfo`; malformed input is a 400 problem; missing credentials are the JSON string `"Unauthorized"`.

use axum::{http::StatusCode, response::Response};
use prichal_core::{patch::PatchErrors, schema::Fault};
use prichal_dialect::kontur::{fault, patch};
use serde_json::{Map, Value, json};

use crate::{
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
        _ => json!({ "status": word(error), "message": error.to_string() }),
    };
    retry_after(error, json_text(status(error), body.to_string()))
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
        Error::PatchRefused(_) => "invalidArgs",
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
    Code::FileTooLarge,
    Code::IntegrationFailed,
    Code::IntegrationNotFound,
    Code::InvalidValue,
    Code::KeyReused,
    Code::NotAnswered,
    Code::NotConfigured,
    Code::NotInstalled,
    Code::NotSupported,
    Code::QuotaExceeded,
];

fn refused(refusal: &Refusal) -> Value {
    let mut body = Map::new();
    // In the order of the vendor's documents.
    if refusal.with_lists {
        body.insert("invalidDatas".to_owned(), json!([]));
        let constraints = refusal.constraints.clone().into();
        body.insert("invalidConstraints".to_owned(), constraints);
    }
    body.insert("status".to_owned(), refusal_word(refusal.code).into());
    body.insert("message".to_owned(), refusal.message.clone().into());
    body.into()
}

/// The `status` of a refusal (`docs/contracts/kontur.md §2`).
const fn refusal_word(code: Code) -> &'static str {
    match code {
        Code::AlreadyExists => "alreadyExists",
        Code::CommunicationNotFound => "communicationNotFound",
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
    json!({
        "errorInfo": {
            "status": "invalidArgs",
            "message": error.to_string(),
            "invalidPaths": patch::operations(&errors.invalid_paths),
            "invalidValueTypes": patch::operations(&errors.invalid_value_types),
            "invalidDatas": patch::operations(&errors.invalid_datas),
            "invalidConstraints": patch::constraints(&errors.invalid_constraints),
        },
        "isSuccessful": false,
        "responseCode": "conflict",
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
    let mut problem = json!({
        "errors": errors,
        "type": "https://tools.ietf.org/html/rfc7231#section-6.5.1",
        "title": error.to_string(),
        "status": 400,
    });
    if let Some(detail) = fault::detail(faults) {
        problem["detail"] = detail.into();
    }
    problem["traceId"] = trace_id().into();
    problem
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
