//! Downloads: content to sign, print forms, archives
//! (`docs/contracts/idocs.md §7, §1.2` rows 8, 17, 18 and 41).

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use prichal_core::id::generate;
use prichal_store::{
    Conn, document,
    document_blob::{self, DocumentBlob, Kind},
    signature::{self, Link},
    usage,
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{EmptyResponse, absent},
    blobs::{extension, mime_type},
    caller::Company,
    documents::read_id,
    language::Localized,
    member::bodies,
    prepared::{Prepared, missing, no_blob},
    signing::download_link,
};
use crate::{
    dialect::openapi::schema::Binary,
    domain::document::{
        archive as build,
        dossier::{Dossier, key},
        print,
    },
    error::{Code, Error, Result},
    http::{disposition::attachment, extract::Path},
    platform::{blobs::BlobKey, guess, quota},
};

const ZIP: HeaderValue = HeaderValue::from_static("application/zip");
const PDF: HeaderValue = HeaderValue::from_static("application/pdf");

/// Download content to sign, or an archive, by its link.
#[utoipa::path(get, path = "/api/v3/sync/sign-content/download/{id}", tag = "documents",
    params(("id" = Uuid, Path, description = "The id at the end of the link")),
    responses((status = 200, content_type = "application/zip", body = inline(Binary))))]
pub(super) async fn download(company: Company, Path(id): Path<String>) -> Result<Response> {
    let asked = company.clone();
    let read = move |conn: &mut Conn| {
        // A signer has to see the content to sign; archives need the permission to download.
        let may_load = asked.require(conn, "DOCUMENT_DOWNLOAD");
        let may_sign = asked.require(conn, "DOCUMENT_SIGN");
        let id = match (&may_load, may_sign) {
            (Err(_), Err(refused)) => return Err(refused),
            _ => read_id(&asked, &id)?,
        };
        let link = signature::find_link(conn, asked.id(), id)?;
        let none = || Error::NotFound(LINK.text(asked.language(), &[&id.to_string()]));
        let link = link.ok_or_else(none)?;
        if link.ticket.is_none() {
            may_load?;
        }
        if link.dispose_on <= asked.now {
            let text = EXPIRED.text(asked.language(), &[]);
            return Err(Error::refused(Code::LinkExpired, text));
        }
        let blob = document_blob::find(conn, link.blob.0, link.blob.1, asked.now)?;
        blob.ok_or_else(none)
    };
    let blob = company.app.db.read(read).await.inspect_err(|error| {
        if let Error::NotFound(_) = error {
            guess::mark_guess();
        }
    })?;
    let contents = company.app.blobs.read(key(&blob), None).await?;
    let mut answer = file(
        Body::from_stream(contents),
        ZIP,
        &blob.name,
        Some(blob.size),
    );
    // The contents of a blob never change.
    if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", blob.id)) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    Ok(answer)
}

/// Download an original of a document, by the id from its list of files.
#[utoipa::path(get, path = "/documents/v1/documents/{id}/files/{fileId}", tag = "documents",
    operation_id = "download_document_file",
    params(("id" = Uuid, Path, description = "The id of the document"),
        ("fileId" = Uuid, Path, description = "The id of the file")),
    responses((status = 200, content((inline(Binary) = "application/octet-stream"), (inline(Binary) = "*/*")))))]
pub(super) async fn download_file(
    company: Company,
    Path((id, file_id)): Path<(String, String)>,
) -> Result<Response> {
    let (id, file_id) = (read_id(&company, &id)?, read_id(&company, &file_id)?);
    let asked = company.clone();
    let read = move |conn: &mut Conn| {
        // A signer has to see what is signed.
        if let Err(refused) = asked.require(conn, "DOCUMENT_DOWNLOAD") {
            asked.require(conn, "DOCUMENT_SIGN").map_err(|_| refused)?;
        }
        let document = document::find(conn, asked.id(), id)?;
        let document = document.ok_or_else(|| missing(&asked, id))?;
        let sender = document.sender.company;
        let blob = match document.contents.contains(&file_id) {
            true => document_blob::find(conn, sender, file_id, asked.now)?,
            false => None,
        };
        blob.ok_or_else(|| no_blob(&asked, file_id))
    };
    let blob = company.app.db.read(read).await?;
    let contents = company.app.blobs.read(key(&blob), None).await?;
    let kind = HeaderValue::from_static(mime_type(&extension(&blob.name)));
    Ok(file(
        Body::from_stream(contents),
        kind,
        &blob.name,
        Some(blob.size),
    ))
}

fn file(body: Body, kind: HeaderValue, name: &str, size: Option<i64>) -> Response {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CONTENT_DISPOSITION, attachment(name));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if let Some(size) = size {
        headers.insert(header::CONTENT_LENGTH, size.into());
    }
    answer
}

/// Gathers the parts of a document that a company may download.
async fn dossier(company: &Company, id: Uuid, employee: Option<Uuid>) -> Result<Option<Dossier>> {
    let asked = company.clone();
    let read = move |conn: &mut Conn| {
        asked.require_of(conn, employee, "DOCUMENT_DOWNLOAD")?;
        Dossier::gather(conn, asked.id(), id, asked.now)
    };
    company.app.db.read(read).await
}

/// Download a document's print form.
#[utoipa::path(get, path = "/api/v3/sync/single/document/GetDocumentPrintFormByDocumentId/{id}", tag = "documents",
    params(("id" = Uuid, Path, description = "The id of the document")),
    responses((status = 200, content_type = "application/pdf", body = inline(Binary)),
        (status = 404, body = EmptyResponse)))]
pub(super) async fn get_print_form(company: Company, Path(id): Path<String>) -> Result<Response> {
    company.may("DOCUMENT_DOWNLOAD").await?;
    let id = read_id(&company, &id)?;
    let Some(dossier) = dossier(&company, id, None).await? else {
        return Ok(absent());
    };
    let form = print::form(&company.app, &dossier).await?;
    let size = i64::try_from(form.len()).ok();
    let name = format!("{}.pdf", dossier.document.number);
    Ok(file(Body::from(form), PDF, &name, size))
}

/// Download a document's archive: originals, print form, signatures, evidence.
#[utoipa::path(get, path = "/api/v3/sync/single/document/GetDocumentArchiveByDocumentId/{id}", tag = "documents",
    params(("id" = Uuid, Path, description = "The id of the document")),
    responses((status = 200, content_type = "application/zip", body = inline(Binary)),
        (status = 404, body = EmptyResponse)))]
pub(super) async fn get_archive(company: Company, Path(id): Path<String>) -> Result<Response> {
    company.may("DOCUMENT_DOWNLOAD").await?;
    let id = read_id(&company, &id)?;
    let Some(dossier) = dossier(&company, id, None).await? else {
        return Ok(absent());
    };
    let zip = build::archive(&company.app, &dossier).await?;
    let size = i64::try_from(zip.size).ok();
    let name = format!("{}.zip", dossier.document.number);
    Ok(file(Body::from_stream(zip.into_stream()), ZIP, &name, size))
}

bodies! {
    /// The request for a document's archive.
    pub(super) struct DownloadRequest as DownloadRequestVM {
        /// The document.
        document: Uuid = "documentId";
        /// The employee for whom it is downloaded.
        employee: Option<Uuid> = "employeeId";
    }
}

/// The link of an archive.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DownloadResponse)]
pub(super) struct ArchiveLink {
    /// The document.
    document_id: Uuid,
    /// The URL of the archive. The download needs the token.
    #[schema(
        example = "https://prichal.example.kz/api/v3/sync/sign-content/download/0190a6a5-0000-7000-8000-000000000000"
    )]
    download_link: String,
    /// The end of the link, in seconds since 1970.
    dispose_on: i64,
}

/// Prepares an archive with a link that is valid for `--sign-ticket-ttl`.
pub(super) async fn archive(
    company: &Company,
    request: DownloadRequest,
) -> Result<Prepared<ArchiveLink>> {
    let DownloadRequest {
        document: id,
        employee,
    } = request;
    let dossier = dossier(company, id, employee).await?;
    let dossier = dossier.ok_or_else(|| missing(company, id))?;
    let zip = build::archive(&company.app, &dossier).await?;
    let size = i64::try_from(zip.size).map_err(Error::internal)?;
    quota::admit(&company.app, company.id(), &[usage::Kind::Files], size).await?;
    let contents = BlobKey::generate(company.id(), company.now);
    let sha256 = zip.keep(&company.app, contents).await?;
    let dispose_on = company.now + company.app.config.sign_ticket_ttl;
    let blob = DocumentBlob {
        workspace: company.id(),
        id: generate(company.now),
        kind: Kind::Archive,
        blob: contents.id,
        name: format!("{}.zip", dossier.document.number),
        size,
        sha256,
        created_at: company.now,
        expires_at: Some(dispose_on),
    };
    let link = Link {
        workspace: company.id(),
        id: generate(company.now),
        document: id,
        blob: (company.id(), blob.id),
        dispose_on,
        ticket: None,
        employee: None,
        signature: None,
        live: true,
    };
    let answer = ArchiveLink {
        document_id: id,
        download_link: download_link(company, link.id),
        dispose_on: dispose_on.secs(),
    };
    Ok(Prepared::new(move |tx| {
        document_blob::insert(tx, &blob)?;
        signature::insert_link(tx, &link)?;
        Ok(answer.clone())
    }))
}

const LINK: Localized = Localized::new("ссылка {}", "{} сілтемесі", "link {}");
const EXPIRED: Localized = Localized::new(
    "Срок действия ссылки истёк.",
    "Сілтеменің мерзімі өтті.",
    "The time of the link is over.",
);
