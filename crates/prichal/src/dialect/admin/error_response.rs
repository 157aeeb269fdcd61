//! Errors under `/admin/v1`: `application/problem+json` (RFC 9457).

use axum::{
    http::{StatusCode, header},
    response::Response,
};
use prichal_dialect::fault;
use serde_json::json;

use crate::{
    error::{Code, Error},
    http::answer::{json_text, retry_after},
};

/// The refusals under `/admin/v1`.
pub(super) const REFUSALS: &[Code] = &[Code::Conflict, Code::KeyReused];

pub(super) const fn status(error: &Error) -> StatusCode {
    match error {
        Error::Unauthenticated => StatusCode::UNAUTHORIZED,
        Error::Throttled { .. } | Error::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Forbidden(_) => StatusCode::FORBIDDEN,
        Error::NotFound(_) | Error::NoRoute(_) => StatusCode::NOT_FOUND,
        Error::Refused(_) | Error::PatchRefused(_) => StatusCode::CONFLICT,
        Error::Invalid(_) => StatusCode::BAD_REQUEST,
        Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Late => StatusCode::REQUEST_TIMEOUT,
        Error::UnknownCoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Error::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
        Error::Busy | Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The `title` of a problem.
pub(super) fn title(error: &Error) -> &'static str {
    status(error).canonical_reason().unwrap_or_default()
}

fn detail(error: &Error) -> String {
    match error {
        Error::Unauthenticated => {
            "The admin token is required in the header `Authorization: Bearer`".to_owned()
        }
        Error::Invalid(faults) => fault::texts(faults),
        other => other.to_string(),
    }
}

pub(super) fn render(error: &Error) -> Response {
    let status = status(error);
    let mut problem = json!({
        "type": "about:blank",
        "title": title(error),
        "status": status.as_u16(),
        "detail": detail(error),
    });
    if let Error::Invalid(faults) = error {
        problem["errors"] = faults
            .iter()
            .map(|fault| json!({ "field": fault.path, "detail": fault::text(fault) }))
            .collect();
    }
    let mut response = json_text(status, problem.to_string());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/problem+json"),
    );
    retry_after(error, response)
}
