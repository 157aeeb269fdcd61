//! Queries of documents: one, a page, a status (`docs/contracts/idocs.md §1.2` rows 12 to 16).

use axum::response::{IntoResponse as _, Response};
use prichal_core::{
    document::{Direction, Document, Status},
    id::UserId,
};
use prichal_dialect::idocs::{document::DocumentExtended, words::ExternalNodeStatus};
use prichal_store::{
    Conn,
    document::{self as store, Filter, Side},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{EmptyResponse, Envelope, Page, absent, bare, wrapped},
    caller::Company,
    documents::read_id,
    member::{Skip, Top, bodies},
};
use crate::{
    error::Result,
    http::{body::Json, extract::Path, idempotency::JsonAnswer},
};

bodies! {
    /// The documents to list.
    struct DocumentQuery as QueryDocumentsVM {
        /// The number of documents before the page.
        skip: Skip = "skip", 0;
        /// The size of the page. A size over 100 counts as 100.
        top: Top = "top", 10;
        /// The statuses that the documents may have. Any, if there are none.
        statuses: Vec<Status> = "documentStatuses";
        /// The earliest date, in seconds since 1970. 0 is no bound.
        from: Option<i64> = "documentDateFrom", 1_767_225_600;
        /// The latest date, in seconds since 1970. 0 is no bound.
        to: Option<i64> = "documentDateTo", 1_769_904_000;
        /// The employee who has made the documents.
        author: Option<Uuid> = "documentAuthorId";
    }
}

/// Read an outgoing document.
#[utoipa::path(get, path = "/api/v3/sync/external/documents-query/single/outbox/{id}", tag = "documents",
    params(("id" = Uuid, Path, description = "The id of the document")),
    responses((status = 200, body = Envelope<DocumentExtended>), (status = 404, body = EmptyResponse)))]
pub(super) async fn get_outbox(company: Company, Path(id): Path<String>) -> Result<Response> {
    single(company, &id, Direction::Outbox).await
}

/// Read an incoming document.
#[utoipa::path(get, path = "/api/v3/sync/external/documents-query/single/inbox/{id}", tag = "documents",
    params(("id" = Uuid, Path, description = "The id of the document")),
    responses((status = 200, body = Envelope<DocumentExtended>), (status = 404, body = EmptyResponse)))]
pub(super) async fn get_inbox(company: Company, Path(id): Path<String>) -> Result<Response> {
    single(company, &id, Direction::Inbox).await
}

async fn single(company: Company, id: &str, side: Direction) -> Result<Response> {
    let found = find(&company, id).await?;
    let found = found.filter(|document| document.direction(company.id()) == Some(side));
    let model = found.and_then(|document| DocumentExtended::of(&document, company.id()));
    match model {
        Some(model) => Ok(wrapped(model)?.into_response()),
        None => Ok(absent()),
    }
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
    request_body = DocumentQuery, responses((status = 200, body = Envelope<Page<DocumentExtended>>)))]
pub(super) async fn list_outbox(company: Company, Json(body): Json) -> Result<JsonAnswer> {
    list(company, &body, Side::Outbox).await
}

/// List incoming documents.
#[utoipa::path(post, path = "/api/v3/sync/external/documents-query/inbox", tag = "documents",
    request_body = DocumentQuery, responses((status = 200, body = Envelope<Page<DocumentExtended>>)))]
pub(super) async fn list_inbox(company: Company, Json(body): Json) -> Result<JsonAnswer> {
    list(company, &body, Side::Inbox).await
}

async fn list(company: Company, body: &Value, side: Side) -> Result<JsonAnswer> {
    company.may("DOCUMENT_VIEW").await?;
    let query: DocumentQuery = company.read(body)?;
    let (skip, top) = (query.skip.0, query.top.0);
    let mut statuses = query.statuses;
    statuses.sort_unstable();
    statuses.dedup();
    let bound = |at: Option<i64>| at.filter(|at| *at != 0);
    let (from, to) = (bound(query.from), bound(query.to));
    if let (Some(from), Some(to)) = (from, to) {
        let reading = company.reading();
        reading.period(("documentDateFrom", from), ("documentDateTo", to))?;
    }
    let filter = Filter {
        statuses,
        from,
        to,
        author: query.author.map(UserId),
    };
    let viewer = company.id();
    let look = move |conn: &mut Conn| store::list(conn, viewer, side, &filter, skip, top);
    let (total, found) = company.app.db.read(look).await?;
    let shown = found.iter();
    wrapped(Page {
        page_items: shown
            .filter_map(|document| DocumentExtended::of(document, company.id()))
            .collect(),
        skip,
        top,
        total_size: total,
    })
}

/// The status of a document.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DocumentStatusVM)]
struct StatusAnswer {
    #[schema(value_type = ExternalNodeStatus)]
    document_status: Status,
}

/// Read a document's status.
#[utoipa::path(get, path = "/api/v3/sync/single/document/GetDocumentStatusByDocumentId/{id}", tag = "documents",
    params(("id" = Uuid, Path, description = "The id of the document")),
    responses((status = 200, body = StatusAnswer), (status = 404, body = EmptyResponse)))]
pub(super) async fn get_status(company: Company, Path(id): Path<String>) -> Result<Response> {
    let found = find(&company, &id).await?;
    let status = found.and_then(|document| document.status(company.id()));
    match status {
        Some(document_status) => Ok(bare(&StatusAnswer { document_status })?.into_response()),
        None => Ok(absent()),
    }
}
