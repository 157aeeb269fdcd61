//! Files: kept for a day after the upload, and permanently once a record binds them (`docs/contracts/kontur.md §4.6`).

use std::ops::Range;

use axum::{
    body::{Body, BodyDataStream},
    extract::{FromRequestParts, RawPathParams, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use prichal_core::{
    id::FileId,
    schema::{Field, Type},
};
use prichal_store::{
    Conn,
    file::{self, File},
};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use utoipa::{
    ToSchema,
    openapi::{Object, ObjectBuilder},
};

use super::caller::Member;

use crate::{
    app::App,
    dialect::openapi::schema::{Binary, described, parameters, takes, words},
    domain::telephony::own_calls,
    error::{Code, Error, Result},
    http::{
        answer::json_text,
        disposition::attachment,
        idempotency::{IdempotencyKey, JsonAnswer, write_once},
        multipart::{FilePart, MultipartError, longest_body},
        page::Query,
        range::{self, Wanted},
        upload::{Incoming, declared_length, drain},
    },
    platform::{
        blobs::{BlobError, BlobKey},
        memory::Payer,
        quota,
        vault::hex,
    },
};

/// The vendor's limit of 100 MB, in bytes.
const MAX_FILE: u64 = 104_857_600;

/// The part of the form with the file.
const FILE: &str = "file";

described! {
    /// A form with the file, at most 104857600 bytes.
    UploadForm = ObjectBuilder::new()
        .property(FILE, Binary::schema())
        .required(FILE);
}

/// An uploaded file.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UploadedFile<'a> {
    /// A temporary id, valid for a day. The request that binds the file answers with its permanent id.
    #[schema(value_type = String, format = "uuid")]
    file_id: FileId,
    /// The name of the file.
    file_name: &'a str,
    /// The content type of the file.
    content_type: &'a str,
    /// The length in bytes.
    content_length: i64,
}

/// The properties of a file.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct FileMeta<'a> {
    /// The id of the file.
    #[schema(value_type = String, format = "uuid")]
    file_id: FileId,
    /// The name of the file.
    file_name: &'a str,
    /// The content type of the file.
    content_type: &'a str,
    /// The length in bytes, as text.
    content_length: String,
}

/// The refusal of a range that begins past the end of its file.
#[derive(Serialize, ToSchema)]
struct RangeNotSatisfiable {
    #[schema(schema_with = past_the_end_word)]
    status: &'static str,
    /// The reason, for people.
    message: String,
}

/// The `status` of [`RangeNotSatisfiable`].
const PAST_THE_END: &str = "rangeNotSatisfiable";

fn past_the_end_word() -> Object {
    words(&[PAST_THE_END], "The code of the reason.")
}

const DOWNLOAD: Field =
    Field::new("download", Type::Bool).doc("Lets browsers save the file instead of opening it.");

parameters! {
    /// The use of a downloaded file.
    DownloadQuery = &[DOWNLOAD];
}

const IF_NONE_MATCH: Field =
    Field::new("If-None-Match", Type::Text).doc("The `ETag` of the file that the client has.");

/// The headers that `http/range.rs` and `http/conformance.rs` read.
enum DownloadHeaders {}
/// The header that `http/conformance.rs` reads.
enum KnownFile {}

takes! {
    KnownFile: Header &[IF_NONE_MATCH];
    DownloadHeaders: Header &[
        IF_NONE_MATCH,
        Field::new("Range", Type::Text).doc("The part to read, such as `bytes=0-1023`."),
        Field::new("If-Range", Type::Text).doc("The `ETag` of the file that the part belongs to."),
    ];
    FileInPath: Path &[Field::new("id", Type::Guid).required().doc("The id of the file.")];
}

/// The file in the path, by its id.
pub(super) struct FileInPath(FileId);

impl<S: Send + Sync> FromRequestParts<S> for FileInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| Error::invalid("id", "The path is not valid UTF-8."))?;
        let (_, id) = params
            .iter()
            .find(|(name, _)| *name == "id")
            .unwrap_or_default();
        let shown: String = id.chars().take(64).collect();
        let id = FileId::parse_any(id).ok_or_else(|| {
            Error::invalid("id", format!("The value '{shown}' is not a valid id."))
        })?;
        Ok(Self(id))
    }
}

/// Upload a file, in the part `file` of a form.
///
/// It is kept for a day (`--temporary-file-ttl`) under a temporary id. A record that binds it, such as an entity that
/// is saved with the id in a field of type `files`, keeps it under a permanent one.
#[utoipa::path(post, path = "/api/v1/{ws}/files", tag = "files", params(Member, IdempotencyKey),
    request_body(content = UploadForm, content_type = "multipart/form-data"), responses((status = 200, body = UploadedFile<'static>)))]
pub(super) async fn upload_file(
    member: Member,
    once: IdempotencyKey,
    request: Request,
) -> Result<JsonAnswer> {
    let workspace = member.workspace_id();
    let (parts, body) = request.into_parts();
    let declared = declared_length(&parts.headers);
    let mut room = quota::Incoming::expect(&member.app, workspace, declared).await?;
    let mut body = body.into_data_stream();
    let incoming = Incoming::new(&member.app, Payer::of(&parts.extensions));
    let stored = store(
        &member,
        &parts.headers,
        &mut body,
        incoming,
        once.is_given(),
    )
    .await;
    let (file, digest) = stored.inspect_err(|_| drain(&member.app, &parts.headers, body))?;
    // If the row is not written after all, its blob is an orphan, which retention removes.
    if let Err(refused) = room.settle(file.size).await {
        member.app.blobs.delete(blob_of(&file)).await?;
        return Err(refused);
    }
    write_once(&member, once, digest.as_bytes(), move |tx| {
        file::insert(tx, &file)?;
        let answer = UploadedFile {
            file_id: file.id,
            file_name: &file.name,
            content_type: &file.content_type,
            content_length: file.size,
        };
        serde_json::to_string(&answer).map_err(Error::internal)
    })
    .await
}

/// Stores the file of a form as a durable blob. Returns its row, and a digest for comparing uploads if `digested`, else
/// an empty text.
async fn store(
    member: &Member,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
    mut incoming: Incoming,
    digested: bool,
) -> Result<(File, String)> {
    let id = FileId::generate(member.now);
    if declared_length(headers).is_some_and(|length| length > longest_body(MAX_FILE)) {
        return Err(refused(MultipartError::TooLarge { limit: MAX_FILE }, id));
    }
    let content_type = headers.get(header::CONTENT_TYPE);
    let found = FilePart::find(content_type, body, FILE, MAX_FILE);
    let found = incoming.next(found).await;
    let mut part = found.map_err(|error| refused(error, id))?;

    let key = BlobKey::generate(member.workspace_id(), member.now);
    let mut upload = member.app.blobs.create(key).await?;
    let mut digest = digested.then(Sha256::new);
    let size = loop {
        let chunk = incoming.next(part.chunk()).await;
        let written = match chunk.map_err(|error| refused(error, id)) {
            Ok(None) => break upload.finish().await?,
            Ok(Some(chunk)) => {
                if let Some(digest) = &mut digest {
                    digest.update(&chunk);
                }
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
    };

    let name = part.file_name.unwrap_or_else(|| "file".to_owned());
    let content_type = part
        .content_type
        .and_then(|kind| kind.to_str().ok().map(str::to_owned))
        .unwrap_or_else(|| OCTETS.to_owned());
    let digest = digest.map(|digest| {
        let digest = digest.chain_update(format!("{name}\n{content_type}"));
        hex(&digest.finalize())
    });
    let now = member.app.clock.now();
    let file = File {
        id,
        workspace: key.workspace,
        blob: key.id,
        name,
        content_type,
        size: i64::try_from(size).map_err(Error::internal)?,
        created_at: now,
        expires_at: Some(now + member.app.config.temporary_file_ttl),
        bound_to: None,
        communication: None,
    };
    Ok((file, digest.unwrap_or_default()))
}

/// The error of a refused upload.
fn refused(error: MultipartError, id: FileId) -> Error {
    match error {
        MultipartError::TooLarge { limit } => Error::violated(
            Code::FileTooLarge,
            format!("File Too Large. Id: {id}"),
            "file",
            format!("The file has more than {limit} bytes."),
        ),
        MultipartError::NotMultipart => Error::invalid(
            "Content-Type",
            "The Content-Type must be multipart/form-data with a boundary.",
        ),
        MultipartError::NoFilePart(name) => {
            Error::invalid(name.as_str(), format!("The {name} field is required."))
        }
        MultipartError::Late => Error::Late,
        MultipartError::Malformed(_) | MultipartError::Interrupted(_) => {
            Error::invalid("file", format!("The upload failed: {error}."))
        }
    }
}

/// A file of this workspace that has not expired. The recordings of calls that the caller does not see are missing.
async fn find(member: &Member, id: FileId) -> Result<File> {
    let (workspace, now) = (member.workspace_id(), member.now);
    let own = member.caller.own_calls();
    let read = move |conn: &mut Conn| {
        let found = file::find(conn, workspace, id, now)?;
        let call = found.as_ref().and_then(|file| file.communication);
        let is_shown = match call {
            Some(call) => own_calls::shows(conn, workspace, own, call)?,
            None => true,
        };
        Ok::<_, Error>(found.filter(|_| is_shown))
    };
    let found = member.app.db.read(read).await?;
    found.ok_or_else(|| missing(id))
}

fn missing(id: FileId) -> Error {
    Error::NotFound(format!("File {id}"))
}

/// Read a file, or a part of it with `Range`.
#[utoipa::path(get, path = "/api/v1/{ws}/files/{id}", tag = "files",
    params(Member, FileInPath, DownloadQuery, DownloadHeaders),
    responses(
        (status = 200, description = "The file", content((inline(Binary) = "application/octet-stream"), (inline(Binary) = "*/*"))),
        (status = 206, description = "The part", content((inline(Binary) = "application/octet-stream"), (inline(Binary) = "*/*"))),
        (status = 304, description = "The client has the file already"),
        (status = 416, description = "The range begins past the end", body = RangeNotSatisfiable)))]
pub(super) async fn download_file(
    member: Member,
    FileInPath(id): FileInPath,
    query: Query,
    headers: HeaderMap,
) -> Result<Response> {
    let download = query.read(DOWNLOAD.name, "true or false", |text| {
        text.to_ascii_lowercase().parse::<bool>().ok()
    })?;
    let file = find(&member, id).await?;
    let size = size(&file)?;
    let mut answer = described(&file, size);
    match wanted(&headers, &file, size) {
        Wanted::Whole => {
            *answer.body_mut() = read(&member.app, &file, None).await?;
        }
        Wanted::Part(part) => {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            let lines = answer.headers_mut();
            lines.insert(header::CONTENT_RANGE, range::content_range(&part, size));
            lines.insert(header::CONTENT_LENGTH, (part.end - part.start).into());
            *answer.body_mut() = read(&member.app, &file, Some(part)).await?;
        }
        Wanted::Nothing => return Ok(past_the_end(size)),
    }
    if download == Some(true) {
        let lines = answer.headers_mut();
        lines.insert(header::CONTENT_DISPOSITION, attachment(&file.name));
    }
    Ok(answer)
}

/// The key of the blob with the contents of a file.
fn blob_of(file: &File) -> BlobKey {
    BlobKey {
        workspace: file.workspace,
        id: file.blob,
    }
}

/// The contents of a file.
async fn read(app: &App, file: &File, part: Option<Range<u64>>) -> Result<Body> {
    match app.blobs.read(blob_of(file), part).await {
        // The file expired after its row was read.
        Err(BlobError::NotFound) if file.expires_at.is_some_and(|end| end <= app.clock.now()) => {
            Err(missing(file.id))
        }
        contents => Ok(Body::from_stream(contents?)),
    }
}

/// Read a file's type and length.
#[utoipa::path(head, path = "/api/v1/{ws}/files/{id}", tag = "files",
    params(Member, FileInPath, KnownFile),
    responses((status = 200, description = "The headers of the file"), (status = 304, description = "The client has the file already")))]
pub(super) async fn head_file(member: Member, FileInPath(id): FileInPath) -> Result<Response> {
    let file = find(&member, id).await?;
    Ok(described(&file, size(&file)?))
}

/// Read the name, type and length of a file.
#[utoipa::path(get, path = "/api/v1/{ws}/files/{id}/meta", tag = "files",
    params(Member, FileInPath), responses((status = 200, body = FileMeta<'static>)))]
pub(super) async fn get_file_meta(member: Member, FileInPath(id): FileInPath) -> Result<Response> {
    let file = find(&member, id).await?;
    let meta = FileMeta {
        file_id: file.id,
        file_name: &file.name,
        content_type: &file.content_type,
        content_length: file.size.to_string(),
    };
    let text = serde_json::to_string(&meta).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, text))
}

const OCTETS: &str = "application/octet-stream";

fn size(file: &File) -> Result<u64> {
    u64::try_from(file.size).map_err(Error::internal)
}

/// The `ETag` of a file: its id, since its contents never change.
fn tag(file: &File) -> HeaderValue {
    HeaderValue::try_from(format!("\"{}\"", file.id)).expect("is a GUID in quotes")
}

/// The part that the request asks for. If `If-Range` names another file, the answer is the whole file.
fn wanted(headers: &HeaderMap, file: &File, size: u64) -> Wanted {
    match headers.get(header::IF_RANGE) {
        Some(version) if *version != tag(file) => Wanted::Whole,
        _ => range::wanted(headers.get(header::RANGE), size),
    }
}

/// The headers of a file, with an empty body.
fn described(file: &File, size: u64) -> Response {
    let kind = HeaderValue::from_str(&file.content_type);
    let kind = kind.unwrap_or(HeaderValue::from_static(OCTETS));
    let mut answer = Response::new(Body::empty());
    let lines = answer.headers_mut();
    lines.insert(header::CONTENT_TYPE, kind);
    lines.insert(header::CONTENT_LENGTH, size.into());
    lines.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    lines.insert(header::ETAG, tag(file));
    lines.insert(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    // The uploader chose the content type, so browsers must neither run the file as part of this site nor guess a type.
    lines.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    lines.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox"),
    );
    answer
}

fn past_the_end(size: u64) -> Response {
    let text = json!(RangeNotSatisfiable {
        status: PAST_THE_END,
        message: format!("The file ends before the range begins: it has {size} bytes"),
    });
    let mut answer = json_text(StatusCode::RANGE_NOT_SATISFIABLE, text.to_string());
    let lines = answer.headers_mut();
    lines.insert(header::CONTENT_RANGE, range::unsatisfied(size));
    answer
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests;
