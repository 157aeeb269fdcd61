//! The wording of errors under `/rest/v1`: a code, which is the status and a thousand, and a text
//! (`docs/contracts/era.md §5, §13`).

use axum::{
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::Response,
};
use prichal_dialect::fault;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    error::{Code, Error},
    http::answer::{json_text, retry_after},
};

/// The texts of a synchronous call whose script was too slow or has failed. The run's record holds the reason.
pub(super) const TIMED_OUT: &str = "The script did not end in time";
pub(super) const SCRIPT_FAILED: &str = "The script failed";

const NO_TOKEN: &str = "A workspace's token is required in the header `Authorization: Bearer`; hooks and websockets require a channel's token";

/// A refusal or a failure.
#[derive(Serialize, ToSchema)]
pub(super) struct ChannelError {
    /// The status of the answer and a thousand.
    #[schema(example = 1404)]
    error_code: u16,
    /// The reason, for people.
    #[schema(example = "Token not found")]
    error_message: String,
}

pub fn words(error: &Error) -> Response {
    let status = status(error);
    let body = ChannelError {
        error_code: code(status),
        error_message: message(error),
    };
    let text = serde_json::to_string(&body).unwrap_or_default();
    let mut response = retry_after(error, json_text(status, text));
    if error.is(Code::TokenNotFound) {
        // Here the vendor names no charset (`docs/contracts/era.md §6`).
        let plain = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, plain);
    }
    response
}

/// The vendor's code for a status.
pub(super) fn code(status: StatusCode) -> u16 {
    1000 + status.as_u16()
}

/// The refusals under `/rest/v1`, and of hooks.
pub(super) const REFUSALS: &[Code] = &[
    Code::AlreadyExists,
    Code::Conflict,
    Code::KeyReused,
    Code::LimitReached,
    Code::LookupFailed,
    Code::MediaType,
    Code::QuotaExceeded,
    Code::ScriptFailed,
    Code::ScriptTimedOut,
    Code::TokenNotFound,
];

/// The status of an error.
pub(super) fn status(error: &Error) -> StatusCode {
    match error {
        Error::Unauthenticated => StatusCode::UNAUTHORIZED,
        Error::Throttled { .. } | Error::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Forbidden(_) => StatusCode::FORBIDDEN,
        Error::NotFound(_) | Error::NoRoute(_) => StatusCode::NOT_FOUND,
        Error::Refused(refusal) => match refusal.code {
            Code::LookupFailed | Code::TokenNotFound => StatusCode::NOT_FOUND,
            Code::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::ScriptTimedOut => StatusCode::GATEWAY_TIMEOUT,
            Code::ScriptFailed => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::CONFLICT,
        },
        Error::PatchRefused(_) => StatusCode::CONFLICT,
        Error::Invalid(_) => StatusCode::BAD_REQUEST,
        Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Late => StatusCode::REQUEST_TIMEOUT,
        Error::UnknownCoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Error::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
        Error::Busy | Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The text of an error.
pub(super) fn message(error: &Error) -> String {
    match error {
        Error::Unauthenticated => NO_TOKEN.to_owned(),
        Error::Invalid(faults) => fault::texts(faults),
        other => other.to_string(),
    }
}
