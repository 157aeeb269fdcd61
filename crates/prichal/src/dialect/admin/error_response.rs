//! Errors under `/admin/v1`: `application/problem+json` (RFC 9457).

use axum::{
    http::{StatusCode, header},
    response::Response,
};
use prichal_dialect::kontur::fault;
use serde_json::json;

use crate::{
    error::Error,
    http::answer::{json_text, retry_after},
};

pub(super) fn render(error: &Error) -> Response {
    let status = match error {
        Error::Unauthenticated => StatusCode::UNAUTHORIZED,
        Error::Throttled { .. } | Error::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Forbidden(_) => StatusCode::FORBIDDEN,
        Error::NotFound(_) | Error::NoRoute => StatusCode::NOT_FOUND,
        Error::Refused(_) | Error::PatchRefused(_) => StatusCode::CONFLICT,
        Error::Invalid(_) => StatusCode::BAD_REQUEST,
        Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Late => StatusCode::REQUEST_TIMEOUT,
        Error::UnknownCoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Error::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
        Error::Busy | Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut problem = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": error.to_string(),
    });
    if let Error::Invalid(faults) = error {
        problem["detail"] = fault::texts(faults).into();
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
