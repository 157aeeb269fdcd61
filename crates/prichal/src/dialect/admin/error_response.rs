//! Errors under `/admin/v1`: `application/problem+json` (RFC 9457).

use axum::{
    http::{StatusCode, header},
    response::Response,
};
use prichal_core::schema::Fault;
use prichal_dialect::fault;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    error::{Code, Error},
    http::answer::{json_text, retry_after},
};

/// A refusal or a failure, RFC 9457.
#[derive(Serialize, ToSchema)]
pub(super) struct Problem {
    /// The kind of problem: `about:blank`, since the status says it.
    #[schema(example = "about:blank")]
    r#type: &'static str,
    /// HTTP's name of the status.
    #[schema(example = "Bad Request")]
    title: &'static str,
    /// The status of the answer.
    #[schema(example = 400)]
    status: u16,
    /// The fault in a sentence.
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
    /// The fault in a sentence.
    #[schema(example = "The name field is required.")]
    detail: String,
}

impl From<&Fault> for FieldProblem {
    fn from(fault: &Fault) -> Self {
        Self {
            field: fault.path.clone(),
            detail: fault::text(fault),
        }
    }
}

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
    let errors = match error {
        Error::Invalid(faults) => faults.iter().map(FieldProblem::from).collect(),
        _ => Vec::new(),
    };
    let problem = Problem {
        r#type: "about:blank",
        title: title(error),
        status: status.as_u16(),
        detail: detail(error),
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
