//! The shapes of successful answers (`docs/contracts/idocs.md §1.1`).

use axum::{http::StatusCode, response::Response};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{KnownFormat, RefOr, Schema, SchemaFormat, schema::ObjectBuilder, schema::Type},
};

use super::error_response::OperationError;
use crate::{
    error::{Error, Result},
    http::{answer::json_text, idempotency::JsonAnswer},
};

/// The envelope of an answer.
#[derive(Serialize, ToSchema)]
#[schema(as = SyncOperationResponseVM)]
pub(super) struct Envelope<T> {
    response: T,
    /// `null`, because nothing was refused.
    #[schema(required)]
    errors: Option<Vec<OperationError>>,
}

impl<T: Serialize> Envelope<T> {
    pub(super) fn text(response: T) -> Result<String> {
        let errors = None;
        text(&Self { response, errors })
    }
}

/// A page of items.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PaginatedResponseVM)]
pub(super) struct Page<T> {
    pub(super) page_items: Vec<T>,
    /// The number of items before the page.
    pub(super) skip: i64,
    /// The size of a page, at most 100.
    pub(super) top: i64,
    /// The number of all items.
    pub(super) total_size: i64,
}

/// An object without members.
#[derive(Clone, Copy, Default, Serialize, ToSchema)]
#[schema(as = EmptyResponseVM)]
pub(super) struct EmptyResponse {}

/// The bytes of a file.
pub(super) enum Binary {}

impl utoipa::PartialSchema for Binary {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
            .into()
    }
}

impl ToSchema for Binary {}

/// The JSON text of a model.
pub(super) fn text(model: &impl Serialize) -> Result<String> {
    serde_json::to_string(model).map_err(Error::internal)
}

/// An answer in the vendor's envelope.
pub(super) fn wrapped(response: impl Serialize) -> Result<JsonAnswer> {
    Envelope::text(response).map(JsonAnswer::ok)
}

/// An answer without the envelope.
pub(super) fn bare(response: &impl Serialize) -> Result<JsonAnswer> {
    text(response).map(JsonAnswer::ok)
}

/// The vendor's answer where a document is missing: an empty object.
pub(super) fn absent() -> Response {
    json_text(StatusCode::NOT_FOUND, "{}")
}
