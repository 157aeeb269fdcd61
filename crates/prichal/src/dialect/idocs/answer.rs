//! The shapes of successful answers (`docs/contracts/idocs.md §1.1`).

use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};

use crate::http::{answer::json_text, idempotency::JsonAnswer};

/// An answer in the vendor's envelope.
pub(super) fn wrapped(response: &Value) -> JsonAnswer {
    JsonAnswer::ok(json!({ "response": response, "errors": null }).to_string())
}

/// An answer without the envelope.
pub(super) fn bare(response: &Value) -> JsonAnswer {
    JsonAnswer::ok(response.to_string())
}

/// The vendor's model of a page.
pub(super) fn page(items: &[Value], skip: i64, top: i64, total: i64) -> Value {
    json!({ "pageItems": items, "skip": skip, "top": top, "totalSize": total })
}

/// The vendor's answer where a document is missing: an empty object.
pub(super) fn absent() -> Response {
    json_text(StatusCode::NOT_FOUND, "{}")
}
