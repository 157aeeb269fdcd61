//! Errors under `/api/v1` (`docs/contracts/kontur.md §2`). Business refusals, including «not found», are 409 with an
//! `ErrorInfo`; malformed input is a 400 problem; missing credentials are the JSON string `"Unauthorized"`.

use axum::{http::StatusCode, response::Response};
use prichal_core::{patch::PatchErrors, schema::Fault};
use prichal_dialect::kontur::{fault, patch};
use serde_json::{Map, Value, json};

use crate::{
    error::{Code, Error, Refusal},
    http::answer::{json_text, retry_after},
};

pub(super) fn render(error: &Error) -> Response {
    let (status, body) = match error {
        Error::Unauthenticated => (StatusCode::UNAUTHORIZED, json!("Unauthorized")),
        Error::Throttled { .. } | Error::TooMany { .. } => (
            StatusCode::TOO_MANY_REQUESTS,
            info("tooManyRequests", error),
        ),
        Error::Forbidden(_) => (StatusCode::FORBIDDEN, info("forbidden", error)),
        Error::NotFound(_) => (StatusCode::CONFLICT, info("notFound", error)),
        Error::Refused(refusal) => (StatusCode::CONFLICT, refused(refusal)),
        Error::PatchRefused(errors) => (StatusCode::CONFLICT, patch_refused(errors, error)),
        Error::Invalid(faults) => (StatusCode::BAD_REQUEST, problem(faults, error)),
        Error::TooLarge { .. } => (StatusCode::CONFLICT, info("bodyTooLarge", error)),
        Error::Late => (StatusCode::REQUEST_TIMEOUT, info("requestTimeout", error)),
        Error::UnknownCoding(_) => (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            info("unknownCoding", error),
        ),
        Error::NoRoute => (StatusCode::NOT_FOUND, info("notFound", error)),
        Error::WrongMethod => (
            StatusCode::METHOD_NOT_ALLOWED,
            info("methodNotAllowed", error),
        ),
        Error::Busy => (StatusCode::SERVICE_UNAVAILABLE, info("busy", error)),
        Error::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, info("unavailable", error)),
        Error::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, info("error", error)),
    };
    retry_after(error, json_text(status, body.to_string()))
}

/// The flat `ErrorInfo`.
fn info(status: &str, error: &Error) -> Value {
    json!({ "status": status, "message": error.to_string() })
}

fn refused(refusal: &Refusal) -> Value {
    let mut body = Map::new();
    // In the order of the vendor's documents.
    if refusal.with_lists {
        body.insert("invalidDatas".to_owned(), json!([]));
        let constraints = refusal.constraints.clone().into();
        body.insert("invalidConstraints".to_owned(), constraints);
    }
    body.insert("status".to_owned(), status(refusal.code).into());
    body.insert("message".to_owned(), refusal.message.clone().into());
    body.into()
}

/// The `status` of a refusal (`docs/contracts/kontur.md §2`).
const fn status(code: Code) -> &'static str {
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
    let mut trace = [0; 24];
    crate::platform::vault::fill_random(&mut trace);
    let trace = crate::platform::vault::hex(&trace);
    json!({
        "errors": errors,
        "type": "https://tools.ietf.org/html/rfc7231#section-6.5.1",
        "title": error.to_string(),
        "status": 400,
        "traceId": format!("00-{}-{}-00", &trace[..32], &trace[32..]),
    })
}
