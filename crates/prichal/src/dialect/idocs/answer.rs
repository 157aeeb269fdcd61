//! The shapes of successful answers (`docs/contracts/idocs.md §1.1`).

use std::{borrow::Cow, marker::PhantomData};

use axum::{http::StatusCode, response::Response};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema, schema::ArrayBuilder},
};

use super::{error_response::OperationError, member::Schemas};
use crate::{
    dialect::openapi::schema::{add, of},
    error::{Error, Result},
    http::{answer::json_text, idempotency::JsonAnswer},
};

/// The envelope of an answer.
#[derive(Serialize, ToSchema)]
#[schema(as = SyncOperationResponseVM)]
pub(super) struct Envelope<T> {
    /// The answer.
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
    /// The items of the page.
    #[serde(rename = "pageItems")]
    pub(super) items: Vec<T>,
    /// The number of items before the page.
    pub(super) skip: i64,
    /// The size of a page, at most 100.
    pub(super) top: i64,
    /// The number of all items.
    pub(super) total_size: i64,
}

/// The schema of an [`Envelope`] around `T`.
pub(super) struct EnvelopeOf<T>(PhantomData<T>);

impl<T: ToSchema> utoipa::PartialSchema for EnvelopeOf<T> {
    fn schema() -> RefOr<Schema> {
        with_member::<Envelope<T>>("response", of::<T>())
    }
}

impl<T: ToSchema> ToSchema for EnvelopeOf<T> {
    fn name() -> Cow<'static, str> {
        format!("{}{}", T::name(), Envelope::<T>::name()).into()
    }

    fn schemas(all: &mut Schemas) {
        add::<OperationError>(all);
        add::<T>(all);
    }
}

/// The schema of a [`Page`] of `T`.
pub(super) struct PageOf<T>(PhantomData<T>);

impl<T: ToSchema> utoipa::PartialSchema for PageOf<T> {
    fn schema() -> RefOr<Schema> {
        let items = ArrayBuilder::new().items(of::<T>());
        let items = items.description(Some("The items of the page."));
        with_member::<Page<T>>("pageItems", items)
    }
}

impl<T: ToSchema> ToSchema for PageOf<T> {
    fn name() -> Cow<'static, str> {
        format!("{}{}", T::name(), Page::<T>::name()).into()
    }

    fn schemas(all: &mut Schemas) {
        add::<T>(all);
    }
}

/// The schema of `M` with another schema of one member, which is generic.
pub(super) fn with_member<M: ToSchema>(
    name: &str,
    member: impl Into<RefOr<Schema>>,
) -> RefOr<Schema> {
    let mut schema = M::schema();
    if let RefOr::T(Schema::Object(object)) = &mut schema {
        object.properties.insert(name.to_owned(), member.into());
    }
    schema
}

/// An object without members.
#[derive(Clone, Copy, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EmptyResponseVM)]
pub(super) struct EmptyResponse {}

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
