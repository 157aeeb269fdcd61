//! The wording of errors under `/rest/v1`: a code, which is the status and a thousand, and a text
//! (`docs/contracts/era.md §5, §13`).

use axum::{
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::Response,
};
use prichal_dialect::kontur::fault;
use serde_json::json;

use crate::{
    error::Error,
    http::answer::{json_text, retry_after},
};

/// The refusal of a LOOKUP without a result. Its text is documented.
pub(super) const LOOKUP_FAILED: &str = "lookupFailed";
/// The refusal of an unknown token. Its `Content-Type` names no charset (`docs/contracts/era.md §6`).
pub(super) const TOKEN_NOT_FOUND: (&str, &str) = ("tokenNotFound", "Token not found");
/// The refusal of a body whose `Content-Type` is not read here.
pub(super) const MEDIA_TYPE: (&str, &str) = (
    "mediaType",
    "The Content-Type must be application/json, or a form whose field data holds the JSON",
);
/// The refusals of a synchronous call whose script was too slow or has failed. The run's record holds the reason.
pub(super) const TIMED_OUT: (&str, &str) = ("timedOut", "The script did not end in time");
pub(super) const SCRIPT_FAILED: (&str, &str) = ("scriptFailed", "The script failed");

pub fn words(error: &Error) -> Response {
    let (status, message) = (status(error), message(error));
    let body = json!({ "error_code": 1000 + status.as_u16(), "error_message": message });
    let mut response = retry_after(error, json_text(status, body.to_string()));
    if is_refused(error, TOKEN_NOT_FOUND.0) {
        let plain = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, plain);
    }
    response
}

fn is_refused(error: &Error, status: &str) -> bool {
    matches!(error, Error::Refused(refusal) if refusal.status == status)
}

/// The status of an error.
pub(super) fn status(error: &Error) -> StatusCode {
    match error {
        Error::Unauthenticated => StatusCode::UNAUTHORIZED,
        Error::Throttled { .. } | Error::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Forbidden(_) => StatusCode::FORBIDDEN,
        Error::NotFound(_) | Error::NoRoute => StatusCode::NOT_FOUND,
        Error::Refused(refusal) => match refusal.status {
            LOOKUP_FAILED => StatusCode::NOT_FOUND,
            status if status == TOKEN_NOT_FOUND.0 => StatusCode::NOT_FOUND,
            status if status == MEDIA_TYPE.0 => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            status if status == TIMED_OUT.0 => StatusCode::GATEWAY_TIMEOUT,
            status if status == SCRIPT_FAILED.0 => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::CONFLICT,
        },
        Error::PatchRefused(_) => StatusCode::CONFLICT,
        Error::Invalid(_) => StatusCode::BAD_REQUEST,
        Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Late => StatusCode::REQUEST_TIMEOUT,
        Error::UnknownCoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Error::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
        Error::Busy | Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The text of an error.
pub(super) fn message(error: &Error) -> String {
    match error {
        Error::Invalid(faults) => fault::texts(faults),
        other => other.to_string(),
    }
}
