//! File contents: a folder, or any S3-compatible store.
//!
//! A blob is written once under a key that is never used again, read in ranges, and deleted. The database knows its
//! name, its readers and its lifetime: a row maps the id that clients see to a key. A file that becomes permanent
//! gets a new row, and the blob stays in place.
//!
//! Guarantees:
//!
//! * **Durable.** After [`Upload::finish`] the blob survives `kill -9` and a power cut: a folder has
//!   flushed the file and its directories, S3 has confirmed it.
//! * **All or nothing.** Before that, the key does not exist. An upload that is dropped, aborted or
//!   killed leaves no blob.
//! * **No garbage.** The remains of killed uploads are in one known place, and
//!   [`Blobs::sweep_unfinished`] removes them. [`Blobs::list`] finds blobs whose row was never
//!   committed. Both take or return a time, because only the caller has a clock.
//! * **Bounded memory.** An upload holds at most one part of 5 MiB (S3) or 256 KiB (folder), a
//!   download one chunk.

mod bucket;
mod folder;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests;

use std::{fmt, io, ops::Range, path::Path, pin::Pin, str::FromStr};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use prichal_core::{
    id::{self, WorkspaceId},
    time::Timestamp,
};
use uuid::Uuid;

pub use crate::config::blob_url::{BadBlobUrl, BlobUrl};

/// The contents of a blob, in chunks of bounded size. The stream ends early only with an error.
pub type BlobStream = Pin<Box<dyn Stream<Item = Result<Bytes, BlobError>> + Send>>;

/// The blobs of a store, in no particular order.
pub type BlobList = Pin<Box<dyn Stream<Item = Result<BlobEntry, BlobError>> + Send>>;

/// The name of a blob: its workspace and an id of its own. As text `<workspace>/<id>`, both
/// lower-case GUIDs, so no key leads out of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobKey {
    pub workspace: WorkspaceId,
    pub id: Uuid,
}

impl BlobKey {
    /// A new key for a blob made at `now`.
    pub fn generate(workspace: WorkspaceId, now: Timestamp) -> Self {
        Self {
            workspace,
            id: id::generate(now),
        }
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.workspace, self.id.hyphenated())
    }
}

/// The error of a text that is not `<workspace>/<id>` in its canonical spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the key of a blob")]
pub struct BadBlobKey;

impl FromStr for BlobKey {
    type Err = BadBlobKey;

    fn from_str(text: &str) -> Result<Self, BadBlobKey> {
        let (workspace, id) = text.split_once('/').ok_or(BadBlobKey)?;
        let key = Self {
            workspace: WorkspaceId::parse(workspace).ok_or(BadBlobKey)?,
            id: id::parse(id).ok_or(BadBlobKey)?,
        };
        // Upper case would be a second name for the same blob, and a missing blob on S3.
        (key.to_string() == text).then_some(key).ok_or(BadBlobKey)
    }
}

/// An existing blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobEntry {
    pub key: BlobKey,
    /// The time of writing, by the store's clock.
    pub modified: Timestamp,
    pub size: u64,
}

/// The failure of a store operation. Texts contain no path, address or credential. The sources may contain paths and
/// addresses, and are for the log.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("no such blob")]
    NotFound,
    /// The blob ends before the requested range does, in contradiction to the database.
    #[error("the blob is shorter than it should be")]
    Short,
    #[error("the file store is full")]
    Full(#[source] io::Error),
    #[error("the file store failed")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl BlobError {
    fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }
}

/// The failure to open the store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the address of the blob store is not valid: {0}")]
    Url(#[from] BadBlobUrl),
    #[error("the folder {path} cannot be used for blobs")]
    Folder {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("the S3 settings cannot be used")]
    Settings(#[source] object_store::Error),
    #[error("the S3 endpoint is http:// and AWS_ALLOW_HTTP is not true")]
    HttpNotAllowed,
}

/// The store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Blobs(Store);

#[derive(Clone, Debug)]
enum Store {
    Folder(folder::Folder),
    Bucket(bucket::Bucket),
}

impl Blobs {
    /// Opens the store at `url`, or in the data directory. S3 takes the usual `AWS_*` environment variables:
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL`,
    /// `AWS_ALLOW_HTTP` and the others of `object_store`. Creates a missing folder. Does not test the connection to
    /// S3, which [`Blobs::check`] does. Blocks for a moment.
    pub fn open(url: Option<&str>, data_dir: &Path) -> Result<Self, OpenError> {
        let url = url.map_or(Ok(BlobUrl::DataDir), str::parse)?;
        let settings = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self::open_with(&url, data_dir, settings)
    }

    /// [`Blobs::open`] with the environment as an argument.
    fn open_with(
        url: &BlobUrl,
        data_dir: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, OpenError> {
        Ok(Self(match url {
            BlobUrl::DataDir => Store::Folder(folder::Folder::open(&data_dir.join("blobs"))?),
            BlobUrl::Folder(path) => Store::Folder(folder::Folder::open(path)?),
            BlobUrl::Bucket { bucket, prefix } => {
                Store::Bucket(bucket::Bucket::open(bucket, prefix, environment)?)
            }
        }))
    }

    /// Begins a blob. Nothing is visible under `key` until [`Upload::finish`].
    pub async fn create(&self, key: BlobKey) -> Result<Upload, BlobError> {
        Ok(Upload {
            target: match &self.0 {
                Store::Folder(folder) => Target::Folder(folder.create(key).await?),
                Store::Bucket(bucket) => Target::Bucket(bucket.create(key)),
            },
            size: 0,
            sound: true,
        })
    }

    /// Reads the blob, or a range that must lie within it, from its first to its last byte. A missing blob is an
    /// error here, not later in the stream.
    pub async fn read(
        &self,
        key: BlobKey,
        range: Option<Range<u64>>,
    ) -> Result<BlobStream, BlobError> {
        match &self.0 {
            Store::Folder(folder) => folder.read(key, range).await,
            Store::Bucket(bucket) => bucket.read(key, range).await,
        }
    }

    /// The memory used while a blob is written.
    pub fn buffer(&self) -> usize {
        match &self.0 {
            Store::Folder(_) => folder::CHUNK,
            Store::Bucket(_) => bucket::PART,
        }
    }

    /// The whole contents of a blob that is known to be small enough for memory.
    pub async fn read_whole(&self, key: BlobKey) -> Result<Bytes, BlobError> {
        let mut chunks = self.read(key, None).await?;
        let mut whole = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            whole.extend_from_slice(&chunk?);
        }
        Ok(whole.freeze())
    }

    pub async fn size(&self, key: BlobKey) -> Result<u64, BlobError> {
        match &self.0 {
            Store::Folder(folder) => folder.size(key).await,
            Store::Bucket(bucket) => bucket.size(key).await,
        }
    }

    /// Deletes the blob if it exists. After a power cut a folder may show it again, as a blob without a row. Delete
    /// the row first: the next pass over [`Blobs::list`] then finds the blob.
    pub async fn delete(&self, key: BlobKey) -> Result<(), BlobError> {
        match &self.0 {
            Store::Folder(folder) => folder.delete(key).await,
            Store::Bucket(bucket) => bucket.delete(key).await,
        }
    }

    /// The finished blobs of one workspace, or all. Blobs that come and go meanwhile may be missed.
    ///
    /// For the search for orphans: a young blob may belong to an uncommitted transaction. Treat only blobs `modified`
    /// before the longest duration of a request as orphans.
    pub fn list(&self, workspace: Option<WorkspaceId>) -> BlobList {
        match &self.0 {
            Store::Folder(folder) => folder.list(workspace),
            Store::Bucket(bucket) => bucket.list(workspace),
        }
    }

    /// Removes the remains of killed uploads that were last touched (folder) or begun (S3) before `before`, and
    /// returns their number. A running upload that is older fails for its client, so `before` should be hours ago.
    /// Any node may call this at any time and repeatedly.
    ///
    /// On S3 an unfinished multipart upload is recorded by an object under `unfinished/` with its id, written before
    /// the first part. An upload is missed only if its process was killed between beginning it and writing the
    /// record. Such an upload holds no data and costs nothing.
    pub async fn sweep_unfinished(&self, before: Timestamp) -> Result<u64, BlobError> {
        match &self.0 {
            Store::Folder(folder) => folder.sweep(before).await,
            Store::Bucket(bucket) => bucket.sweep(before).await,
        }
    }

    /// Fails if the store does not work. A folder writes and removes a small file, so that a full or read-only one is
    /// noticed. S3 lists one object, for which the bucket must exist and the credentials may list it.
    pub async fn check(&self) -> Result<(), BlobError> {
        match &self.0 {
            Store::Folder(folder) => folder.probe().await,
            Store::Bucket(bucket) => bucket.probe().await,
        }
    }
}

/// A blob that is being written. A drop cancels it: a folder removes the file at once, S3 leaves it to
/// [`Blobs::sweep_unfinished`]. [`Upload::abort`] frees S3 at once, too.
#[derive(Debug)]
#[must_use = "an upload that is not finished leaves no blob"]
pub struct Upload {
    target: Target,
    size: u64,
    /// False after a write failed or was cancelled half-way: the blob would have a hole.
    sound: bool,
}

#[derive(Debug)]
enum Target {
    Folder(folder::Upload),
    Bucket(bucket::Upload),
}

impl Upload {
    /// Appends to the blob. Waits for a store that is slower than the caller.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), BlobError> {
        self.check()?;
        let added = chunk.len() as u64;
        self.sound = false;
        match &mut self.target {
            Target::Folder(upload) => upload.write(&chunk).await?,
            Target::Bucket(upload) => upload.write(chunk).await?,
        }
        self.sound = true;
        self.size += added;
        Ok(())
    }

    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Completes the blob: it is durable and readable under its key after the call. Returns its size.
    pub async fn finish(self) -> Result<u64, BlobError> {
        self.check()?;
        match self.target {
            Target::Folder(upload) => upload.finish().await?,
            Target::Bucket(upload) => upload.finish().await?,
        }
        Ok(self.size)
    }

    /// Cancels the blob and frees its storage. Remains that cannot be freed now are left to the sweep.
    pub async fn abort(self) {
        match self.target {
            Target::Folder(upload) => drop(upload),
            Target::Bucket(upload) => upload.abort().await,
        }
    }

    fn check(&self) -> Result<(), BlobError> {
        if self.sound {
            Ok(())
        } else {
            Err(BlobError::unavailable(
                "an earlier write to this upload did not succeed",
            ))
        }
    }
}

impl From<BlobError> for crate::error::Error {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Full(_) | BlobError::Unavailable(_) => Self::Unavailable(error.into()),
            // A row names the blob, so data was lost.
            BlobError::NotFound | BlobError::Short => Self::Internal(error.into()),
        }
    }
}
