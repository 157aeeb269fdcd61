//! Uploads: the originals of documents, and signatures (`docs/contracts/idocs.md §1.5`).

use std::borrow::Cow;

use axum::{
    body::BodyDataStream,
    extract::Request,
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use memchr::memmem;
use prichal_core::id::generate;
use prichal_sign::{Limits, SignedData, unarmor};
use prichal_store::document_blob::{self, DocumentBlob, Kind};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::{
    caller::Company,
    error_response::{EXTENSION_ERROR, PARSING_ERROR, SIZE_ERROR},
    language::Said,
};

use crate::{
    domain::document::{check::room, record::UNUSED_UPLOAD_TTL},
    error::{Error, Result},
    http::{
        idempotency::{IdempotencyKey, JsonAnswer, write_once},
        multipart::{FilePart, MultipartError, longest_body},
        upload::{Incoming, declared_length, drain},
    },
    platform::{blobs::BlobKey, memory::Payer, quota, vault::hex},
};

/// The largest original: the vendor's 15 MB.
const LARGEST: u64 = 15 << 20;
/// The largest signature beside its content.
const LARGEST_SIGNATURE: usize = 10 << 20;
/// What a larger one may have beside the content that lies inside.
const BESIDE_CONTENT: usize = 1 << 20;
/// The largest with the content inside: all originals of a document, in a zip.
const LARGEST_ATTACHED: u64 = (LARGEST_TOTAL as u64) + 2 * BESIDE_CONTENT as u64;
/// A signature up to this size is read from memory. A larger one waits in the store of blobs until there is room.
const SMALL: usize = 1 << 20;
/// The originals of one document together.
pub(super) const LARGEST_TOTAL: i64 = 60 << 20;
/// A form with the file.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "describes the form; it is read by `crate::http::multipart`"
)]
struct ContentForm {
    /// .doc, .docx, .xls, .xlsx, .pdf or .txt, at most 15 MB.
    #[schema(content_media_type = "application/octet-stream")]
    document_content: String,
}

/// A form with the signature.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "describes the form; it is read by `crate::http::multipart`"
)]
struct SignatureForm {
    /// .cms: DER, BER, PEM or base64, at most 10 MB; with the content inside, at most 1 MB more than that.
    #[schema(content_media_type = "application/octet-stream")]
    signature_content: String,
}

/// Upload an original of a document.
#[utoipa::path(post, path = "/api/v3/sync/blobs/document-content", tag = "documents",
    request_body(content = ContentForm, content_type = "multipart/form-data"), responses((status = 200, body = Value)))]
pub(super) async fn upload_content(
    company: Company,
    once: IdempotencyKey,
    request: Request,
) -> Result<JsonAnswer> {
    upload(company, once, request, Kind::Content).await
}

/// Upload a signature.
#[utoipa::path(post, path = "/api/v3/sync/blobs/document-signature-content", tag = "documents",
    request_body(content = SignatureForm, content_type = "multipart/form-data"), responses((status = 200, body = Value)))]
pub(super) async fn upload_signature(
    company: Company,
    once: IdempotencyKey,
    request: Request,
) -> Result<JsonAnswer> {
    upload(company, once, request, Kind::Signature).await
}

async fn upload(
    company: Company,
    once: IdempotencyKey,
    request: Request,
    kind: Kind,
) -> Result<JsonAnswer> {
    let (parts, body) = request.into_parts();
    let declared = declared_length(&parts.headers);
    let mut room = quota::Incoming::expect(&company.app, company.id(), declared).await?;
    let mut body = body.into_data_stream();
    let incoming = Incoming::new(&company.app, Payer::of(&parts.extensions));
    let taken = match company.may(limits(kind).permission).await {
        Ok(()) => take(&company, &parts.headers, &mut body, kind, incoming).await,
        Err(error) => Err(error),
    };
    let row = taken.inspect_err(|_| drain(&company.app, &parts.headers, body))?;
    if let Err(refused) = room.settle(row.size).await {
        free(&company, &row).await;
        return Err(refused);
    }
    let digest = format!("{}\n{}", row.sha256, row.name);
    let (uploaded, now) = (row.clone(), company.now);
    let answer = write_once(&company, once, digest.as_bytes(), move |tx| {
        // A blob whose row is not written after all, or shares another's contents, is an orphan, which
        // retention finds.
        let same = document_blob::find_same(tx, uploaded.workspace, &uploaded.sha256, now)?;
        let row = DocumentBlob {
            blob: same.unwrap_or(uploaded.blob),
            ..uploaded.clone()
        };
        document_blob::insert(tx, &row)?;
        Ok(json!({ "response": model(&row), "errors": null }).to_string())
    })
    .await?;
    free(&company, &row).await;
    Ok(answer)
}

/// Frees the contents at once when the company has them already.
async fn free(company: &Company, row: &DocumentBlob) {
    let (workspace, blob) = (row.workspace, row.blob);
    let used = company
        .app
        .db
        .read(move |conn| document_blob::has_contents(conn, workspace, blob))
        .await;
    if let Ok(false) = used {
        let key = BlobKey {
            workspace,
            id: blob,
        };
        let _ = company.app.blobs.delete(key).await;
    }
}

fn model(row: &DocumentBlob) -> Value {
    let extension = extension(&row.name);
    json!({
        "blobId": row.id,
        "fileName": row.name,
        "extension": extension,
        "mimeType": mime_type(&extension),
        "fileLength": (row.size + 1023) / 1024,
        "createdOn": row.created_at.secs(),
    })
}

/// The extension with its dot, in lower case.
fn extension(name: &str) -> String {
    let dot = name.rfind('.').map_or(name.len(), |dot| dot);
    name[dot..].to_ascii_lowercase()
}

fn mime_type(extension: &str) -> &'static str {
    match extension {
        ".pdf" => "application/pdf",
        ".doc" => "application/msword",
        ".docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ".xls" => "application/vnd.ms-excel",
        ".xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ".txt" => "text/plain",
        ".cms" => "application/pkcs7-mime",
        _ => "application/octet-stream",
    }
}

/// What kinds of uploads differ in.
struct Bounds {
    /// The permission for it, looked at before the body is read.
    permission: &'static str,
    part: &'static str,
    largest: u64,
    /// Bytes as they are sent, which may be text.
    longest: u64,
    extensions: &'static [&'static str],
}

fn limits(kind: Kind) -> Bounds {
    if kind == Kind::Signature {
        Bounds {
            permission: "DOCUMENT_SIGN",
            part: "signatureContent",
            largest: LARGEST_ATTACHED,
            longest: LARGEST_ATTACHED / 2 * 3,
            extensions: &[".cms"],
        }
    } else {
        Bounds {
            permission: "DOCUMENT_CREATE",
            part: "documentContent",
            largest: LARGEST,
            longest: LARGEST,
            extensions: &[".doc", ".docx", ".xls", ".xlsx", ".pdf", ".txt"],
        }
    }
}

/// Takes the file of a form in. Its contents are durable then.
async fn take(
    company: &Company,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
    kind: Kind,
    mut incoming: Incoming,
) -> Result<DocumentBlob> {
    let limits = limits(kind);
    let refuse = |error| refused(company, error, &limits);
    let content_type = headers.get(header::CONTENT_TYPE);
    let found = FilePart::find(content_type, body, limits.part, limits.longest);
    let mut part = incoming.next(found).await.map_err(refuse)?;
    let name = part.file_name.clone().unwrap_or_default();
    let extension = extension(&name);
    // A name that is nothing but its ending has none.
    let bare = name.len() == extension.len();
    if bare || !limits.extensions.contains(&extension.as_str()) {
        let allowed = limits.extensions.join(", ");
        let text = BAD_EXTENSION.text(company.language(), &[&name, &allowed]);
        return Err(Error::refused(EXTENSION_ERROR, text));
    }
    let too_long = longest_body(limits.longest);
    if declared_length(headers).is_some_and(|length| length > too_long) {
        let limit = limits.largest;
        return Err(refuse(MultipartError::TooLarge { limit }));
    }
    let row = |blob: Stored| DocumentBlob {
        workspace: company.id(),
        id: generate(company.now),
        kind,
        blob: blob.key.id,
        name,
        size: blob.size,
        sha256: blob.sha256,
        created_at: company.now,
        expires_at: Some(company.now + UNUSED_UPLOAD_TTL),
    };
    let unreadable = || {
        let text = BAD_CONTENT.text(company.language(), &[&extension]);
        Error::refused(PARSING_ERROR, text)
    };
    let key = BlobKey::generate(company.id(), company.now);
    if kind == Kind::Signature {
        let taken = take_signature(company, &mut part, &mut incoming, key, refuse).await?;
        let taken = taken.map_err(|flaw| flaw.refusal(company, &limits, unreadable))?;
        return Ok(row(taken));
    }
    let mut upload = company.app.blobs.create(key).await?;
    let (mut digest, mut sniffer) = (Sha256::new(), Sniffer::new(&extension));
    loop {
        let chunk = incoming.next(part.chunk()).await;
        let written = match chunk.map_err(refuse) {
            Ok(None) if sniffer.is_content_with_it() => break,
            Ok(None) => Err(unreadable()),
            Ok(Some(chunk)) => {
                digest.update(&chunk);
                sniffer.look(&chunk);
                match incoming.count(chunk.len()).await {
                    Ok(()) => upload.write(chunk).await.map_err(Error::from),
                    busy => busy,
                }
            }
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            upload.abort().await;
            return Err(error);
        }
    }
    let size = upload.finish().await?;
    Ok(row(Stored::new(key, size, hex(&digest.finalize()))?))
}

/// Takes a signature in. A large one waits on the disk, however slowly it comes, until there is room in memory to
/// read it.
async fn take_signature(
    company: &Company,
    part: &mut FilePart<&mut BodyDataStream>,
    incoming: &mut Incoming,
    key: BlobKey,
    refuse: impl Fn(MultipartError) -> Error,
) -> Result<Result<Stored, Flaw>> {
    let app = &company.app;
    let mut head = BytesMut::new();
    while head.len() <= SMALL {
        let Some(chunk) = incoming.next(part.chunk()).await.map_err(&refuse)? else {
            return match readable(head.freeze()).await? {
                Ok(der) => keep(company, key, der).await.map(Ok),
                Err(flaw) => Ok(Err(flaw)),
            };
        };
        incoming.count(chunk.len()).await?;
        head.extend_from_slice(&chunk);
    }
    let mut upload = app.blobs.create(key).await?;
    let mut next = Some(head.freeze());
    while let Some(chunk) = next {
        let counted = incoming.count(chunk.len()).await;
        let written = match counted {
            Ok(()) => upload.write(chunk).await.map_err(Error::from),
            Err(error) => Err(error),
        };
        let more = match written {
            Ok(()) => incoming.next(part.chunk()).await.map_err(&refuse),
            Err(error) => Err(error),
        };
        match more {
            Ok(more) => next = more,
            Err(error) => {
                upload.abort().await;
                return Err(error);
            }
        }
    }
    let size = i64::try_from(upload.finish().await?).map_err(Error::internal)?;
    let _room = room(app, company.id(), 2 * size).await;
    let read = readable(app.blobs.read_whole(key).await?).await;
    app.blobs.delete(key).await?;
    match read? {
        Ok(der) => {
            let key = BlobKey::generate(company.id(), company.now);
            keep(company, key, der).await.map(Ok)
        }
        Err(flaw) => Ok(Err(flaw)),
    }
}

/// Contents that are in the store of blobs.
struct Stored {
    key: BlobKey,
    size: i64,
    sha256: String,
}

impl Stored {
    fn new(key: BlobKey, size: u64, sha256: String) -> Result<Self> {
        let size = i64::try_from(size).map_err(Error::internal)?;
        Ok(Self { key, size, sha256 })
    }
}

/// Why a signature is not taken.
enum Flaw {
    Unreadable,
    TooLarge(usize),
}

impl Flaw {
    fn refusal(self, company: &Company, limits: &Bounds, unreadable: impl Fn() -> Error) -> Error {
        let Self::TooLarge(largest) = self else {
            return unreadable();
        };
        let limits = Bounds {
            largest: largest as u64,
            ..*limits
        };
        let limit = limits.largest;
        refused(company, MultipartError::TooLarge { limit }, &limits)
    }
}

/// The DER or BER of a signature, which may have come as PEM or base64.
async fn readable(sent: Bytes) -> Result<Result<Bytes, Flaw>> {
    let read = tokio::task::spawn_blocking(move || der(sent));
    read.await.map_err(Error::internal)
}

fn der(sent: Bytes) -> Result<Bytes, Flaw> {
    let unreadable = |_| Flaw::Unreadable;
    let decoded = match unarmor(&sent, Limits::SIGNATURE.size).map_err(unreadable)? {
        Cow::Owned(decoded) => Some(decoded),
        Cow::Borrowed(_) => None,
    };
    let der = decoded.map_or(sent, Bytes::from);
    let signed = SignedData::read(&der, &Limits::SIGNATURE).map_err(unreadable)?;
    let inside = signed.content.map_or(0, |content| content.len());
    let largest = LARGEST_SIGNATURE.max(inside + BESIDE_CONTENT);
    if der.len() > largest {
        return Err(Flaw::TooLarge(largest));
    }
    Ok(der)
}

/// Puts a signature into the store of blobs.
async fn keep(company: &Company, key: BlobKey, der: Bytes) -> Result<Stored> {
    let mut upload = company.app.blobs.create(key).await?;
    let (size, digest) = (der.len() as u64, der.clone());
    let digest = tokio::task::spawn_blocking(move || hex(&Sha256::digest(&digest)));
    upload.write(der).await?;
    upload.finish().await?;
    Stored::new(key, size, digest.await.map_err(Error::internal)?)
}

/// Looks at contents as they pass, whether they are what the name says.
struct Sniffer {
    wanted: Wanted,
    head: Vec<u8>,
    /// The end of what has passed, where a name may have begun.
    tail: Vec<u8>,
    found: bool,
    spoilt: bool,
    empty: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Pdf,
    /// A zip with the table of contents that all of Office's have.
    Package,
    /// The older container of Office's files.
    Compound,
    Text,
}

const OFFICE: &[u8] = b"[Content_Types].xml";
const COMPOUND: &[u8] = &[0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1];

impl Sniffer {
    fn new(extension: &str) -> Self {
        Self {
            wanted: match extension {
                ".pdf" => Wanted::Pdf,
                ".docx" | ".xlsx" => Wanted::Package,
                ".doc" | ".xls" => Wanted::Compound,
                _ => Wanted::Text,
            },
            head: Vec::new(),
            tail: Vec::new(),
            found: false,
            spoilt: false,
            empty: true,
        }
    }

    fn look(&mut self, chunk: &[u8]) {
        self.empty = false;
        let more = COMPOUND
            .len()
            .saturating_sub(self.head.len())
            .min(chunk.len());
        self.head.extend_from_slice(&chunk[..more]);
        match self.wanted {
            Wanted::Package if !self.found => {
                self.tail.extend_from_slice(chunk);
                self.found = memmem::find(&self.tail, OFFICE).is_some();
                let keep = self.tail.len().saturating_sub(OFFICE.len() - 1);
                self.tail.drain(..keep);
            }
            // No encoding of text has this byte.
            Wanted::Text => self.spoilt |= memchr::memchr(0, chunk).is_some(),
            _ => {}
        }
    }

    fn is_content_with_it(&self) -> bool {
        !self.empty
            && match self.wanted {
                Wanted::Pdf => self.head.starts_with(b"%PDF-"),
                Wanted::Package => self.head.starts_with(b"PK\x03\x04") && self.found,
                Wanted::Compound => self.head == COMPOUND,
                Wanted::Text => !self.spoilt,
            }
    }
}

/// Why an upload is not taken.
fn refused(company: &Company, error: MultipartError, limits: &Bounds) -> Error {
    let language = company.language();
    match error {
        MultipartError::TooLarge { .. } => {
            let most = (limits.largest >> 20).to_string();
            Error::refused(SIZE_ERROR, TOO_LARGE.text(language, &[&most]))
        }
        MultipartError::NotMultipart => Error::invalid("Content-Type", NO_FORM.text(language, &[])),
        MultipartError::NoFilePart(name) => {
            Error::invalid(name.as_str(), NO_FILE.text(language, &[&name]))
        }
        MultipartError::Late => Error::Late,
        MultipartError::Malformed(_) | MultipartError::Interrupted(_) => {
            let text = BROKEN.text(language, &[limits.part, &error.to_string()]);
            Error::invalid(limits.part, text)
        }
    }
}

pub(super) const BLOB: Said = Said::new("файл {}", "{} файлы", "file {}");
const BAD_EXTENSION: Said = Said::new(
    "Файл {} имеет недопустимое расширение, допустимы {}.",
    "{} файлының кеңейтіміне жол берілмейді, рұқсат етілгендері: {}.",
    "The file {} has an extension that is not allowed, allowed are {}.",
);
const BAD_CONTENT: Said = Said::new(
    "Содержимое файла не соответствует расширению {}.",
    "Файлдың мазмұны {} кеңейтіміне сай емес.",
    "The content of the file is not what the extension {} says.",
);
const TOO_LARGE: Said = Said::new(
    "Файл больше {} МБ.",
    "Файл {} МБ-тан үлкен.",
    "The file is larger than {} MB.",
);
const NO_FORM: Said = Said::new(
    "Content-Type должен быть multipart/form-data с boundary.",
    "Content-Type boundary бар multipart/form-data болуы керек.",
    "The Content-Type must be multipart/form-data with a boundary.",
);
const NO_FILE: Said = Said::new(
    "Поле формы {} обязательно.",
    "Форманың {} өрісі міндетті.",
    "The form field {} is required.",
);
const BROKEN: Said = Said::new(
    "Поле формы {}: файл не получен ({}).",
    "Форманың {} өрісі: файл алынбады ({}).",
    "The form field {}: the file was not received ({}).",
);

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(extension: &str, chunks: &[&[u8]]) -> bool {
        let mut sniffer = Sniffer::new(extension);
        chunks.iter().for_each(|chunk| sniffer.look(chunk));
        sniffer.is_content_with_it()
    }

    #[test]
    fn contents_are_what_the_name_says() {
        assert!(taken(".pdf", &[b"%P", b"DF-1.7 ..."]));
        assert!(!taken(".pdf", &[b"PK\x03\x04"]));
        assert!(taken(
            ".docx",
            &[b"PK\x03\x04 ...[Content", b"_Types].xml..."]
        ));
        assert!(!taken(".docx", &[b"PK\x03\x04 ..."]));
        assert!(taken(".xls", &[COMPOUND]));
        assert!(!taken(".xls", &[&COMPOUND[..7]]));
        assert!(taken(".txt", &["привет".as_bytes(), &[0xEF, 0xF0]]));
        assert!(!taken(".txt", &[b"a\0b"]));
        assert!(!taken(".txt", &[]));
    }

    #[test]
    fn extensions_have_their_dot() {
        assert_eq!(extension("a.b.PDF"), ".pdf");
        assert_eq!(extension("pdf"), "");
        assert_eq!(extension("договор.docx"), ".docx");
    }
}
