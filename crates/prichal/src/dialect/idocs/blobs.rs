//! Uploads: the originals of documents, and signatures (`docs/contracts/idocs.md §1.5`).

use std::borrow::Cow;

use axum::{
    body::BodyDataStream,
    extract::Request,
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use prichal_core::{
    document::{
        FormatCheck,
        limits::{MAX_ATTACHED, MAX_ORIGINAL, max_signature},
    },
    id::generate,
};
use prichal_sign::{Limits, SignedData, unarmor};
use prichal_store::document_blob::{self, DocumentBlob, Kind};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::{
    ToSchema,
    openapi::{
        KnownFormat, RefOr, Schema, SchemaFormat,
        schema::{ObjectBuilder, Type},
    },
};
use uuid::Uuid;

use super::{
    answer::{Envelope, EnvelopeOf},
    caller::Company,
    language::Localized,
};
use crate::{
    dialect::openapi::schema::with_doc,
    domain::document::{check::room, record::UNUSED_UPLOAD_TTL},
    error::{Code, Error, Result},
    http::{
        idempotency::{IdempotencyKey, JsonAnswer, write_once},
        multipart::{FilePart, MultipartError, longest_body},
        upload::{Incoming, declared_length, drain},
    },
    platform::{blobs::BlobKey, memory::Payer, quota, vault::hex},
};

/// The size up to which a signature is received in memory. A larger one waits in the blob store until there is room.
const MAX_IN_MEMORY: usize = 1 << 20;

/// Defines the forms of uploads.
macro_rules! forms {
    ($($(#[doc = $doc:literal])+ $name:ident: $limits:ident;)+) => {$(
        $(#[doc = $doc])+
        enum $name {}

        impl utoipa::PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $limits.form(concat!($($doc, "\n"),+))
            }
        }

        impl ToSchema for $name {}
    )+};
}

forms! {
    /// A form with an original of a document.
    ContentForm: CONTENT;
    /// A form with a signature: DER, BER, PEM or base64, of at most 10 MB; with the content inside, of at most 1 MB
    /// more than the content.
    SignatureForm: SIGNATURE;
}

/// An uploaded file.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ClientUploadedBlobVM)]
struct UploadedBlob {
    /// The id to refer to the file by.
    blob_id: Uuid,
    /// The name of the file.
    #[schema(examples("contract.pdf"))]
    file_name: String,
    /// The extension, with its dot and in lower case.
    #[schema(examples(".pdf"))]
    extension: String,
    /// The type that the extension stands for.
    #[schema(examples("application/pdf"))]
    mime_type: &'static str,
    /// The size in kilobytes, rounded up.
    file_length: i64,
    /// The time of the upload, in seconds since 1970.
    created_on: i64,
}

type Uploaded = EnvelopeOf<UploadedBlob>;

/// Upload an original of a document.
#[utoipa::path(post, path = "/api/v3/sync/blobs/document-content", tag = "documents",
    params(IdempotencyKey), request_body(content = ContentForm, content_type = "multipart/form-data"),
    responses((status = 200, body = Uploaded)))]
pub(super) async fn upload_content(
    company: Company,
    once: IdempotencyKey,
    request: Request,
) -> Result<JsonAnswer> {
    upload(company, once, request, Kind::Content).await
}

/// Upload a signature.
#[utoipa::path(post, path = "/api/v3/sync/blobs/document-signature-content", tag = "documents",
    params(IdempotencyKey), request_body(content = SignatureForm, content_type = "multipart/form-data"),
    responses((status = 200, body = Uploaded)))]
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
    if let Err(refusal) = room.settle(row.size).await {
        delete_unused(&company, &row).await;
        return Err(refusal);
    }
    let digest = format!("{}\n{}", row.sha256, row.name);
    let (uploaded, now) = (row.clone(), company.now);
    let answer = write_once(&company, once, digest.as_bytes(), move |tx| {
        // Contents without a row are an orphan, which retention removes: the row may not be written after all, or
        // it may share the contents of another.
        let same = document_blob::find_same(tx, uploaded.workspace, &uploaded.sha256, now)?;
        let row = DocumentBlob {
            blob: same.unwrap_or(uploaded.blob),
            ..uploaded.clone()
        };
        document_blob::insert(tx, &row)?;
        Envelope::text(UploadedBlob::of(&row))
    })
    .await?;
    delete_unused(&company, &row).await;
    Ok(answer)
}

/// Deletes the uploaded contents at once if the company had the same ones already.
async fn delete_unused(company: &Company, row: &DocumentBlob) {
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

impl UploadedBlob {
    fn of(row: &DocumentBlob) -> Self {
        let extension = extension(&row.name);
        Self {
            blob_id: row.id,
            file_name: row.name.clone(),
            mime_type: mime_type(&extension),
            extension,
            file_length: (row.size + 1023) / 1024,
            created_on: row.created_at.secs(),
        }
    }
}

/// The extension of a file's name, with its dot and in lower case.
pub(super) fn extension(name: &str) -> String {
    let dot = name.rfind('.').map_or(name.len(), |dot| dot);
    name[dot..].to_ascii_lowercase()
}

pub(super) fn mime_type(extension: &str) -> &'static str {
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

/// The limits of one kind of upload.
struct UploadLimits {
    /// The permission that the upload needs, checked before the body is read.
    permission: &'static str,
    part: &'static str,
    max_file: u64,
    /// The bytes as they are sent, which may be base64.
    max_sent: u64,
    extensions: &'static [&'static str],
}

/// The limits of originals.
const CONTENT: UploadLimits = UploadLimits {
    permission: "DOCUMENT_CREATE",
    part: "documentContent",
    max_file: MAX_ORIGINAL,
    max_sent: MAX_ORIGINAL,
    extensions: &[".doc", ".docx", ".xls", ".xlsx", ".pdf", ".txt"],
};

/// The limits of signatures.
const SIGNATURE: UploadLimits = UploadLimits {
    permission: "DOCUMENT_SIGN",
    part: "signatureContent",
    max_file: MAX_ATTACHED,
    max_sent: MAX_ATTACHED / 2 * 3,
    extensions: &[".cms"],
};

fn limits(kind: Kind) -> UploadLimits {
    if kind == Kind::Signature {
        SIGNATURE
    } else {
        CONTENT
    }
}

impl UploadLimits {
    /// The schema of the form.
    fn form(&self, doc: &str) -> RefOr<Schema> {
        let most = self.max_file >> 20;
        let file = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
            .description(Some(format!(
                "A file of at most {most} MB, whose name ends with {}.",
                self.extensions.join(", ")
            )));
        let form = ObjectBuilder::new()
            .property(self.part, file)
            .required(self.part);
        with_doc(doc, form)
    }
}

/// Receives the file of a form. Its contents are durable afterwards.
async fn take(
    company: &Company,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
    kind: Kind,
    mut incoming: Incoming,
) -> Result<DocumentBlob> {
    let limits = limits(kind);
    let refuse = |error| refusal(company, error, &limits);
    let content_type = headers.get(header::CONTENT_TYPE);
    let found = FilePart::find(content_type, body, limits.part, limits.max_sent);
    let mut part = incoming.next(found).await.map_err(refuse)?;
    let name = part.file_name.clone().unwrap_or_default();
    let extension = extension(&name);
    // A name such as `.pdf` is no name.
    let bare = name.len() == extension.len();
    if bare || !limits.extensions.contains(&extension.as_str()) {
        let allowed = limits.extensions.join(", ");
        let text = BAD_EXTENSION.text(company.language(), &[&name, &allowed]);
        return Err(Error::refused(Code::FileExtension, text));
    }
    let too_long = longest_body(limits.max_sent);
    if declared_length(headers).is_some_and(|length| length > too_long) {
        let limit = limits.max_file;
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
        Error::refused(Code::FileUnreadable, text)
    };
    let key = BlobKey::generate(company.id(), company.now);
    if kind == Kind::Signature {
        let taken = receive_signature(company, &mut part, &mut incoming, key, refuse).await?;
        let taken = taken.map_err(|rejection| rejection.refusal(company, &limits, unreadable))?;
        return Ok(row(taken));
    }
    let mut upload = company.app.blobs.create(key).await?;
    let (mut digest, mut format) = (Sha256::new(), FormatCheck::new(&extension));
    loop {
        let chunk = incoming.next(part.chunk()).await;
        let written = match chunk.map_err(refuse) {
            Ok(None) if format.matches() => break,
            Ok(None) => Err(unreadable()),
            Ok(Some(chunk)) => {
                digest.update(&chunk);
                format.observe(&chunk);
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

/// Receives a signature. A large one is stored first, and read when there is room in memory, so that a slow sender
/// occupies none.
async fn receive_signature(
    company: &Company,
    part: &mut FilePart<&mut BodyDataStream>,
    incoming: &mut Incoming,
    key: BlobKey,
    refuse: impl Fn(MultipartError) -> Error,
) -> Result<Result<Stored, Rejection>> {
    let app = &company.app;
    let mut head = BytesMut::new();
    while head.len() <= MAX_IN_MEMORY {
        let Some(chunk) = incoming.next(part.chunk()).await.map_err(&refuse)? else {
            return match readable(head.freeze()).await? {
                Ok(der) => keep(company, key, der).await.map(Ok),
                Err(rejection) => Ok(Err(rejection)),
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
        Err(rejection) => Ok(Err(rejection)),
    }
}

/// Contents in the blob store.
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

/// The reason for the refusal of a signature.
enum Rejection {
    Unreadable,
    TooLarge(usize),
}

impl Rejection {
    fn refusal(
        self,
        company: &Company,
        limits: &UploadLimits,
        unreadable: impl Fn() -> Error,
    ) -> Error {
        let Self::TooLarge(max_file) = self else {
            return unreadable();
        };
        let limits = UploadLimits {
            max_file: max_file as u64,
            ..*limits
        };
        let limit = limits.max_file;
        refusal(company, MultipartError::TooLarge { limit }, &limits)
    }
}

/// Decodes a signature, which may have come as PEM or base64, and checks that it can be read.
async fn readable(sent: Bytes) -> Result<Result<Bytes, Rejection>> {
    let read = tokio::task::spawn_blocking(move || der(sent));
    read.await.map_err(Error::internal)
}

fn der(sent: Bytes) -> Result<Bytes, Rejection> {
    let unreadable = |_| Rejection::Unreadable;
    let decoded = match unarmor(&sent, Limits::SIGNATURE.size).map_err(unreadable)? {
        Cow::Owned(decoded) => Some(decoded),
        Cow::Borrowed(_) => None,
    };
    let der = decoded.map_or(sent, Bytes::from);
    let signed = SignedData::read(&der, &Limits::SIGNATURE).map_err(unreadable)?;
    let inside = signed.content.map_or(0, |content| content.len());
    let max_file = max_signature(inside);
    if der.len() > max_file {
        return Err(Rejection::TooLarge(max_file));
    }
    Ok(der)
}

/// Writes a signature to the blob store.
async fn keep(company: &Company, key: BlobKey, der: Bytes) -> Result<Stored> {
    let mut upload = company.app.blobs.create(key).await?;
    let (size, digest) = (der.len() as u64, der.clone());
    let digest = tokio::task::spawn_blocking(move || hex(&Sha256::digest(&digest)));
    upload.write(der).await?;
    upload.finish().await?;
    Stored::new(key, size, digest.await.map_err(Error::internal)?)
}

/// The refusal of an upload.
fn refusal(company: &Company, error: MultipartError, limits: &UploadLimits) -> Error {
    let language = company.language();
    match error {
        MultipartError::TooLarge { .. } => {
            let most = (limits.max_file >> 20).to_string();
            Error::refused(Code::FileTooLarge, TOO_LARGE.text(language, &[&most]))
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

const BAD_EXTENSION: Localized = Localized::new(
    "Файл {} имеет недопустимое расширение, допустимы {}.",
    "{} файлының кеңейтіміне жол берілмейді, рұқсат етілгендері: {}.",
    "The file {} has an extension that is not allowed, allowed are {}.",
);
const BAD_CONTENT: Localized = Localized::new(
    "Содержимое файла не соответствует расширению {}.",
    "Файлдың мазмұны {} кеңейтіміне сай емес.",
    "The content of the file is not what the extension {} says.",
);
const TOO_LARGE: Localized = Localized::new(
    "Файл больше {} МБ.",
    "Файл {} МБ-тан үлкен.",
    "The file is larger than {} MB.",
);
const NO_FORM: Localized = Localized::new(
    "Content-Type должен быть multipart/form-data с boundary.",
    "Content-Type boundary бар multipart/form-data болуы керек.",
    "The Content-Type must be multipart/form-data with a boundary.",
);
const NO_FILE: Localized = Localized::new(
    "Поле формы {} обязательно.",
    "Форманың {} өрісі міндетті.",
    "The form field {} is required.",
);
const BROKEN: Localized = Localized::new(
    "Поле формы {}: файл не получен ({}).",
    "Форманың {} өрісі: файл алынбады ({}).",
    "The form field {}: the file was not received ({}).",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_have_their_dot() {
        assert_eq!(extension("a.b.PDF"), ".pdf");
        assert_eq!(extension("pdf"), "");
        assert_eq!(extension("договор.docx"), ".docx");
    }
}
