//! Queries of documents: one, a page, a status (`docs/contracts/idocs.md §1.2` rows 12 to 16).

use axum::response::{IntoResponse as _, Response};
use prichal_core::{
    document::{Direction, Document},
    id::UserId,
};
use prichal_dialect::idocs::document as model;
use prichal_store::{
    Conn,
    document::{self as store, Filter, Side},
};
use serde_json::{Value, json};

use super::{
    answer::{absent, bare, page, wrapped},
    caller::Company,
    documents::read_id,
    read::Fields,
};
use crate::{
    error::{Error, Result},
    http::{body::Json, extract::Path, idempotency::JsonAnswer},
};

/// Read an outgoing document.
#[utoipa::path(get, path = "/api/v3/sync/external/documents-query/single/outbox/{id}", tag = "documents",
    params(("id" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn get_outbox(company: Company, Path(id): Path<String>) -> Result<Response> {
    single(company, &id, Direction::Outbox).await
}

/// Read an incoming document.
#[utoipa::path(get, path = "/api/v3/sync/external/documents-query/single/inbox/{id}", tag = "documents",
    params(("id" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn get_inbox(company: Company, Path(id): Path<String>) -> Result<Response> {
    single(company, &id, Direction::Inbox).await
}

async fn single(company: Company, id: &str, side: Direction) -> Result<Response> {
    let found = find(&company, id).await?;
    let found = found.filter(|document| document.direction(company.id()) == Some(side));
    let model = found.and_then(|document| model::extended(&document, company.id()));
    Ok(model.map_or_else(absent, |model| wrapped(&model).into_response()))
}

/// Finds a document that the company sees, for a caller who may view it.
async fn find(company: &Company, id: &str) -> Result<Option<Document>> {
    company.may("DOCUMENT_VIEW").await?;
    let (viewer, id) = (company.id(), read_id(company, id)?);
    let look = move |conn: &mut Conn| store::find(conn, viewer, id);
    Ok(company.app.db.read(look).await?)
}

/// List outgoing documents.
#[utoipa::path(post, path = "/api/v3/sync/external/documents-query/outbox", tag = "documents",
    request_body = Value, responses((status = 200, body = Value)))]
pub(super) async fn list_outbox(company: Company, Json(body): Json) -> Result<JsonAnswer> {
    list(company, &body, Side::Outbox).await
}

/// List incoming documents.
#[utoipa::path(post, path = "/api/v3/sync/external/documents-query/inbox", tag = "documents",
    request_body = Value, responses((status = 200, body = Value)))]
pub(super) async fn list_inbox(company: Company, Json(body): Json) -> Result<JsonAnswer> {
    list(company, &body, Side::Inbox).await
}

async fn list(company: Company, body: &Value, side: Side) -> Result<JsonAnswer> {
    company.may("DOCUMENT_VIEW").await?;
    let fields = Fields::of(body, company.language())?;
    let (skip, top) = fields.page()?;
    let mut statuses = fields.words("documentStatuses")?;
    statuses.sort_unstable();
    statuses.dedup();
    let bound = |name: &str| Ok::<_, Error>(fields.int(name)?.filter(|at| *at != 0));
    let (from, to) = (bound("documentDateFrom")?, bound("documentDateTo")?);
    if let (Some(from), Some(to)) = (from, to) {
        fields.period("documentDateFrom", "documentDateTo", from, to)?;
    }
    let filter = Filter {
        statuses,
        from,
        to,
        author: fields.id("documentAuthorId")?.map(UserId),
    };
    let viewer = company.id();
    let look = move |conn: &mut Conn| store::list(conn, viewer, side, &filter, skip, top);
    let (total, found) = company.app.db.read(look).await?;
    let shown = found.iter();
    let items: Vec<Value> = shown
        .filter_map(|document| model::extended(document, company.id()))
        .collect();
    Ok(wrapped(&page(&items, skip, top, total)))
}

/// Read a document's status.
#[utoipa::path(get, path = "/api/v3/sync/single/document/GetDocumentStatusByDocumentId/{id}", tag = "documents",
    params(("id" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn get_status(company: Company, Path(id): Path<String>) -> Result<Response> {
    let found = find(&company, &id).await?;
    let status = found.and_then(|document| document.status(company.id()));
    Ok(status.map_or_else(absent, |status| {
        bare(&json!({ "documentStatus": status.name() })).into_response()
    }))
}
