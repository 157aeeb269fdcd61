//! Errors under `/admin/v1`: `application/problem+json` (RFC 9457).

use axum::{
    http::{StatusCode, header},
    response::Response,
};
use prichal_dialect::kontur::fault;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    error::Error,
    http::answer::{json_text, retry_after},
};

/// A refusal or a failure, RFC 9457.
#[derive(Serialize, ToSchema)]
pub(super) struct Problem {
    #[schema(example = "about:blank")]
    r#type: &'static str,
    /// HTTP's name of the status.
    #[schema(example = "Bad Request")]
    title: &'static str,
    /// The status of the answer.
    #[schema(example = 400)]
    status: u16,
    /// What is wrong, in a sentence.
    #[schema(example = "The name field is required.")]
    detail: String,
    /// The members of the body that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldProblem>,
}

/// A member of the body that is wrong.
#[derive(Serialize, ToSchema)]
pub(super) struct FieldProblem {
    /// The path of the member; empty for the whole body.
    #[schema(example = "name")]
    field: String,
    #[schema(example = "The name field is required.")]
    detail: String,
}

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
    let (detail, errors) = match error {
        Error::Invalid(faults) => {
            let errors = faults.iter().map(|fault| FieldProblem {
                field: fault.path.clone(),
                detail: fault::text(fault),
            });
            (fault::texts(faults), errors.collect())
        }
        other => (other.to_string(), Vec::new()),
    };
    let problem = Problem {
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail,
        errors,
    };
    let text = serde_json::to_string(&problem).unwrap_or_default();
    let mut response = json_text(status, text);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/problem+json"),
    );
    retry_after(error, response)
}
