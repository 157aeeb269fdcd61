//! Blobs in an S3-compatible store: `<prefix>/<workspace>/<id>`.
//!
//! Small blobs are one put, larger ones a multipart upload. S3 cannot list "the unfinished uploads of this program".
//! So each is recorded in an object `<prefix>/unfinished/<workspace>/<id>` that holds its upload id until it is
//! finished or aborted.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt};
use object_store::{
    ClientOptions, Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
    client::ClientConfigKey,
    list::{PaginatedListOptions, PaginatedListStore},
    multipart::{MultipartStore, PartId},
    path::Path,
};
use prichal_core::{id::WorkspaceId, time::Timestamp};

use super::{BlobEntry, BlobError, BlobKey, BlobList, BlobStream, OpenError};

/// The smallest part that S3 accepts, which needs the least memory. 10 000 of them make 48 GiB.
pub(super) const PART: usize = 5 * 1024 * 1024;
/// The timeout of one request: long enough for a part, short enough to notice a dead server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_RETRIES: usize = 3;

const UNFINISHED: &str = "unfinished";

#[derive(Clone, Debug)]
pub(super) struct Bucket(Arc<Root>);

struct Root {
    s3: AmazonS3,
    prefix: String,
}

impl fmt::Debug for Root {
    /// The client is left out, since it holds the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.s3, self.prefix)
    }
}

impl Bucket {
    pub(super) fn open(
        bucket: &str,
        prefix: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, OpenError> {
        // The HTTP client uses the process's TLS provider (`Cargo.toml`). One that was installed already is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // The defaults come first, so that the environment can change them. A limit on a whole request would cut off
        // a download to a slow client. A dead server is detected by its silence.
        let mut builder = AmazonS3Builder::new()
            .with_client_options(
                ClientOptions::new()
                    .with_timeout_disabled()
                    .with_read_timeout(REQUEST_TIMEOUT)
                    .with_connect_timeout(CONNECT_TIMEOUT),
            )
            .with_retry(RetryConfig {
                max_retries: MAX_RETRIES,
                retry_timeout: REQUEST_TIMEOUT,
                ..RetryConfig::default()
            });
        for (name, value) in environment {
            let known = name
                .starts_with("AWS_")
                .then(|| name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>().ok());
            if let Some(Some(key)) = known {
                builder = builder.with_config(key, value);
            }
        }
        let setting = |key| builder.get_config_value(&key).unwrap_or_default();
        let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
            .into_iter()
            .map(setting)
            .find(|endpoint| !endpoint.is_empty());
        let http_allowed = setting(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp));
        if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
            && !matches!(
                http_allowed.to_ascii_lowercase().as_str(),
                "1" | "true" | "on" | "yes" | "y"
            )
        {
            return Err(OpenError::HttpNotAllowed);
        }
        let s3 = builder
            .with_bucket_name(bucket)
            .build()
            .map_err(OpenError::Settings)?;
        Ok(Self(Arc::new(Root {
            s3,
            prefix: prefix.to_owned(),
        })))
    }

    pub(super) fn create(&self, key: BlobKey) -> Upload {
        Upload {
            bucket: self.clone(),
            key,
            buffer: BytesMut::new(),
            parts: None,
        }
    }

    pub(super) async fn read(
        &self,
        key: BlobKey,
        range: Option<Range<u64>>,
    ) -> Result<BlobStream, BlobError> {
        let path = self.path(&key.to_string());
        // S3 cannot express an empty range, and cuts one that is too long.
        if range.as_ref().is_some_and(Range::is_empty) {
            self.within(&path, range.as_ref()).await?;
            return Ok(futures_util::stream::empty().boxed());
        }
        let options = GetOptions {
            range: range.clone().map(GetRange::Bounded),
            ..GetOptions::default()
        };
        let found = match self.0.s3.get_opts(&path, options).await {
            Ok(found) => found,
            Err(error @ Error::NotFound { .. }) => return Err(unreadable(error)),
            Err(error) => {
                // Servers refuse a range that begins past the end in many different ways.
                self.within(&path, range.as_ref()).await?;
                return Err(failed(error));
            }
        };
        if range.is_some_and(|range| range != found.range) {
            return Err(BlobError::Short);
        }
        Ok(found.into_stream().map_err(failed).boxed())
    }

    /// Fails if the range does not lie in the blob.
    async fn within(&self, path: &Path, range: Option<&Range<u64>>) -> Result<(), BlobError> {
        let size = self.0.s3.head(path).await.map_err(unreadable)?.size;
        match range {
            Some(range) if range.end > size || range.start > range.end => Err(BlobError::Short),
            _ => Ok(()),
        }
    }

    pub(super) async fn size(&self, key: BlobKey) -> Result<u64, BlobError> {
        let found = self.0.s3.head(&self.path(&key.to_string())).await;
        Ok(found.map_err(unreadable)?.size)
    }

    pub(super) async fn delete(&self, key: BlobKey) -> Result<(), BlobError> {
        self.remove(&self.path(&key.to_string())).await
    }

    pub(super) fn list(&self, workspace: Option<WorkspaceId>) -> BlobList {
        let place = match workspace {
            Some(workspace) => self.path(&workspace.to_string()),
            None => Path::from(self.0.prefix.as_str()),
        };
        let bucket = self.clone();
        let found = self.0.s3.list(Some(&place)).map_err(failed);
        let entries = found.try_filter_map(move |object| {
            let entry = bucket.entry(&object);
            async move { Ok(entry) }
        });
        entries.boxed()
    }

    /// The entry of an object; `None` for a record of an upload or a foreign object.
    fn entry(&self, object: &ObjectMeta) -> Option<BlobEntry> {
        Some(BlobEntry {
            key: self.below(&object.location)?.parse().ok()?,
            modified: modified(object),
            size: object.size,
        })
    }

    pub(super) async fn sweep(&self, before: Timestamp) -> Result<u64, BlobError> {
        let mut notes = self.0.s3.list(Some(&self.path(UNFINISHED)));
        let mut removed = 0;
        let mut first_failure = None;
        while let Some(note) = notes.try_next().await.map_err(failed)? {
            let Some(key) = self.noted_key(&note.location) else {
                continue;
            };
            if modified(&note) < before {
                // A failure does not spare the other uploads.
                match self.abort_noted(key, &note.location).await {
                    Ok(()) => removed += 1,
                    Err(error) => first_failure = first_failure.or(Some(error)),
                }
            }
        }
        first_failure.map_or(Ok(removed), Err)
    }

    async fn abort_noted(&self, key: BlobKey, note: &Path) -> Result<(), BlobError> {
        let upload = match self.0.s3.get(note).await {
            Ok(found) => found.bytes().await.map_err(failed)?,
            // The upload was finished at this very moment.
            Err(Error::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        let upload = String::from_utf8_lossy(&upload).into_owned();
        self.abort(key, &upload).await
    }

    /// Aborts a multipart upload and removes its record. An upload that is gone already is no error.
    async fn abort(&self, key: BlobKey, upload: &str) -> Result<(), BlobError> {
        let path = self.path(&key.to_string());
        match self.0.s3.abort_multipart(&path, &upload.to_owned()).await {
            Ok(()) | Err(Error::NotFound { .. }) => self.remove(&self.note(key)).await,
            Err(error) => Err(failed(error)),
        }
    }

    pub(super) async fn probe(&self) -> Result<(), BlobError> {
        let options = PaginatedListOptions {
            max_keys: Some(1),
            ..PaginatedListOptions::default()
        };
        let place = self.path(UNFINISHED).to_string();
        let found = self.0.s3.list_paginated(Some(&place), options).await;
        // A missing bucket is not a missing blob.
        found.map(drop).map_err(BlobError::unavailable)
    }

    async fn remove(&self, path: &Path) -> Result<(), BlobError> {
        match self.0.s3.delete(path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    fn path(&self, below: &str) -> Path {
        match self.0.prefix.as_str() {
            "" => Path::from(below),
            prefix => Path::from(format!("{prefix}/{below}")),
        }
    }

    fn note(&self, key: BlobKey) -> Path {
        self.path(&format!("{UNFINISHED}/{key}"))
    }

    fn noted_key(&self, path: &Path) -> Option<BlobKey> {
        let below = self.below(path)?;
        let key = below.strip_prefix(UNFINISHED)?.strip_prefix('/')?;
        key.parse().ok()
    }

    /// The path below the prefix.
    fn below<'a>(&self, path: &'a Path) -> Option<&'a str> {
        let path = path.as_ref();
        match self.0.prefix.as_str() {
            "" => Some(path),
            prefix => path.strip_prefix(prefix)?.strip_prefix('/'),
        }
    }
}

#[derive(Debug)]
pub(super) struct Upload {
    bucket: Bucket,
    key: BlobKey,
    /// Buffered bytes, at most one part.
    buffer: BytesMut,
    parts: Option<Parts>,
}

#[derive(Debug)]
struct Parts {
    upload: String,
    done: Vec<PartId>,
}

impl Upload {
    pub(super) async fn write(&mut self, mut chunk: Bytes) -> Result<(), BlobError> {
        while !chunk.is_empty() {
            // The part is sent only when more bytes follow, so that a blob of just one part needs one put.
            if self.buffer.len() == PART {
                self.send_part().await?;
            }
            let room = PART - self.buffer.len();
            self.buffer
                .extend_from_slice(&chunk.split_to(room.min(chunk.len())));
        }
        Ok(())
    }

    async fn send_part(&mut self) -> Result<(), BlobError> {
        let path = self.bucket.path(&self.key.to_string());
        let s3 = &self.bucket.0.s3;
        let parts = if let Some(parts) = &mut self.parts {
            parts
        } else {
            let upload = s3.create_multipart(&path).await.map_err(failed)?;
            let note = PutPayload::from(upload.clone());
            let parts = self.parts.insert(Parts {
                upload,
                done: Vec::new(),
            });
            let place = self.bucket.note(self.key);
            s3.put(&place, note).await.map_err(failed)?;
            parts
        };
        let part = self.buffer.split().freeze();
        let done = s3
            .put_part(&path, &parts.upload, parts.done.len(), part.into())
            .await
            .map_err(failed)?;
        parts.done.push(done);
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<(), BlobError> {
        let done = self.complete().await;
        match (&done, &self.parts) {
            (_, None) => {}
            // The blob exists. A record that could not be removed is left to the sweep.
            (Ok(()), Some(_)) => {
                let _ = self.bucket.remove(&self.bucket.note(self.key)).await;
            }
            (Err(_), Some(_)) => self.abort().await,
        }
        done
    }

    async fn complete(&mut self) -> Result<(), BlobError> {
        let path = self.bucket.path(&self.key.to_string());
        if self.parts.is_some() {
            self.send_part().await?;
        }
        let s3 = &self.bucket.0.s3;
        let done = match &mut self.parts {
            None => s3.put(&path, self.buffer.split().freeze().into()).await,
            Some(parts) => {
                let done = std::mem::take(&mut parts.done);
                s3.complete_multipart(&path, &parts.upload, done).await
            }
        };
        done.map(drop).map_err(failed)
    }

    pub(super) async fn abort(self) {
        if let Some(parts) = self.parts {
            // Remains are left to the sweep.
            let _ = self.bucket.abort(self.key, &parts.upload).await;
        }
    }
}

fn modified(object: &ObjectMeta) -> Timestamp {
    Timestamp::from_micros(object.last_modified.timestamp_micros())
}

fn failed(error: Error) -> BlobError {
    BlobError::unavailable(error)
}

/// The error for a blob that should exist.
fn unreadable(error: Error) -> BlobError {
    match error {
        Error::NotFound { .. } => BlobError::NotFound,
        other => failed(other),
    }
}
