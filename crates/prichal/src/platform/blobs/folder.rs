//! Blobs in a folder: `<root>/<workspace>/<id>`, written under `<root>/unfinished/` and renamed.
//!
//! Own code rather than `object_store`'s local files: it controls the order of flushes and the place of unfinished
//! files, and tells a full disk from a broken one.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, ReadDir},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use prichal_core::{id::WorkspaceId, time::Timestamp};
use uuid::Uuid;

use crate::platform::share::FairShare;

use super::{BlobEntry, BlobError, BlobKey, BlobList, BlobStream, OpenError};

/// The bytes written and read at a time.
pub(super) const CHUNK: usize = 256 * 1024;
/// The entries listed at a time.
const BATCH: usize = 256;
/// The contents of the test file: more than one block, so that a full disk is noticed.
const PROBE: [u8; 8192] = [0; 8192];

/// The maximum number of threads that file operations of all workspaces may occupy, and of one workspace. A disk that
/// is slow with the files of one workspace delays neither others nor the readiness check.
const MAX_THREADS: usize = 96;
const MAX_THREADS_PER_WORKSPACE: usize = 16;

const UNFINISHED: &str = "unfinished";

#[derive(Clone, Debug)]
pub(super) struct Folder(Arc<Root>);

#[derive(Debug)]
struct Root {
    blobs: PathBuf,
    unfinished: PathBuf,
    threads: FairShare,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let unfinished = path.join(UNFINISHED);
        let open = || {
            make_dir(&unfinished)?;
            match probe(&unfinished) {
                // Downloads still work, and space may become free while the server runs.
                Err(error) if is_full(&error) => Ok(()),
                done => done,
            }
        };
        open().map_err(|source| OpenError::Folder {
            path: path.display().to_string(),
            source,
        })?;
        Ok(Self(Arc::new(Root {
            blobs: path.to_owned(),
            unfinished,
            threads: FairShare::new(MAX_THREADS, MAX_THREADS_PER_WORKSPACE),
        })))
    }

    pub(super) async fn create(&self, key: BlobKey) -> Result<Upload, BlobError> {
        let folder = self.clone();
        self.blocking(key, move || {
            // The name differs from the key: two uploads never share a file.
            let temporary = Temporary(Some(folder.temporary()));
            let file = new_file(temporary.path())?;
            Ok(Upload {
                file: Some(file),
                temporary,
                buffer: BytesMut::new(),
                folder,
                key,
            })
        })
        .await
        .map_err(failed)
    }

    pub(super) async fn read(
        &self,
        key: BlobKey,
        range: Option<Range<u64>>,
    ) -> Result<BlobStream, BlobError> {
        let path = self.path(key);
        let (file, left) = self
            .blocking(key, move || {
                let mut file = File::open(path)?;
                let size = file.metadata()?.len();
                let range = range.unwrap_or(0..size);
                if range.end > size || range.start > range.end {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                file.seek(SeekFrom::Start(range.start))?;
                Ok((file, range.end - range.start))
            })
            .await
            .map_err(unreadable)?;
        let folder = self.clone();
        let chunks = stream::try_unfold((file, left), move |(mut file, left)| {
            let folder = folder.clone();
            async move {
                if left == 0 {
                    return Ok(None);
                }
                let read = folder.blocking(key, move || {
                    let length = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
                    let mut chunk = vec![0; length];
                    file.read_exact(&mut chunk)?;
                    Ok(Some((Bytes::from(chunk), (file, left - length as u64))))
                });
                read.await.map_err(unreadable)
            }
        });
        Ok(chunks.boxed())
    }

    pub(super) async fn size(&self, key: BlobKey) -> Result<u64, BlobError> {
        let path = self.path(key);
        self.blocking(key, move || Ok(fs::metadata(path)?.len()))
            .await
            .map_err(unreadable)
    }

    pub(super) async fn delete(&self, key: BlobKey) -> Result<(), BlobError> {
        let path = self.path(key);
        self.blocking(key, move || remove_file(&path))
            .await
            .map_err(failed)
    }

    pub(super) fn list(&self, workspace: Option<WorkspaceId>) -> BlobList {
        let folder = self.clone();
        let start = move || match workspace {
            Some(workspace) => Walk::of_workspace(&folder.0.blobs, workspace),
            None => Walk::of_all(&folder.0.blobs),
        };
        let batches = stream::try_unfold(None, move |walk| {
            let start = start.clone();
            let next = blocking(move || {
                let mut walk = match walk {
                    Some(walk) => walk,
                    None => start()?,
                };
                let batch = walk.batch()?;
                Ok((!batch.is_empty()).then_some((batch, Some(walk))))
            });
            async move { next.await.map_err(failed) }
        });
        batches
            .map_ok(|batch| stream::iter(batch.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    pub(super) async fn sweep(&self, before: Timestamp) -> Result<u64, BlobError> {
        let unfinished = self.0.unfinished.clone();
        blocking(move || {
            let mut removed = 0;
            for entry in fs::read_dir(&unfinished)? {
                let entry = entry?;
                let found = match entry.metadata() {
                    Ok(found) => found,
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                if found.is_file() && timestamp(found.modified()?) < before {
                    remove_file(&entry.path())?;
                    removed += 1;
                }
            }
            Ok(removed)
        })
        .await
        .map_err(failed)
    }

    pub(super) async fn probe(&self) -> Result<(), BlobError> {
        let folder = self.clone();
        blocking(move || probe(&folder.0.unfinished))
            .await
            .map_err(failed)
    }

    /// Runs file system calls for a blob within its workspace's share of threads.
    async fn blocking<T: Send + 'static>(
        &self,
        key: BlobKey,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let place = self.0.threads.take(key.workspace, 1).await;
        // The thread returns the permit: the waiting task may be gone by then.
        let work = move || {
            let _place = place;
            work()
        };
        blocking(work).await
    }

    fn temporary(&self) -> PathBuf {
        temporary(&self.0.unfinished)
    }

    fn path(&self, key: BlobKey) -> PathBuf {
        self.0.blobs.join(key.to_string())
    }
}

#[derive(Debug)]
pub(super) struct Upload {
    /// `None` during a write, and for good after a cancelled one.
    file: Option<File>,
    temporary: Temporary,
    buffer: BytesMut,
    folder: Folder,
    key: BlobKey,
}

impl Upload {
    pub(super) async fn write(&mut self, chunk: &[u8]) -> Result<(), BlobError> {
        // Tiny chunks are collected, so that they do not cost a system call and a thread switch each.
        for piece in chunk.chunks(CHUNK) {
            self.buffer.extend_from_slice(piece);
            if self.buffer.len() >= CHUNK {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), BlobError> {
        let mut file = self.take_file()?;
        let data = self.buffer.split().freeze();
        let folder = self.folder.clone();
        let write = folder.blocking(self.key, move || {
            file.write_all(&data)?;
            Ok(file)
        });
        self.file = Some(write.await.map_err(failed)?);
        Ok(())
    }

    fn take_file(&mut self) -> Result<File, BlobError> {
        let taken = self.file.take();
        taken.ok_or_else(|| BlobError::unavailable("an earlier write was cancelled"))
    }

    pub(super) async fn finish(mut self) -> Result<(), BlobError> {
        let mut file = self.take_file()?;
        let (folder, key) = (self.folder.clone(), self.key);
        let finish = folder.blocking(key, move || {
            file.write_all(&self.buffer)?;
            file.sync_all()?;
            let root = &self.folder.0.blobs;
            let dir = root.join(self.key.workspace.to_string());
            match new_dir(&dir) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            // An existing directory is flushed, too: its creator may not have flushed it yet.
            sync_dir(root)?;
            self.temporary.rename(&self.folder.path(self.key))?;
            sync_dir(&dir)
        });
        finish.await.map_err(failed)
    }
}

/// A file that is removed unless it has been moved away.
#[derive(Debug)]
struct Temporary(Option<PathBuf>);

impl Temporary {
    fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    fn rename(&mut self, target: &Path) -> io::Result<()> {
        fs::rename(self.path(), target)?;
        self.0 = None;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Remains are left to the sweep.
            let _ = fs::remove_file(path);
        }
    }
}

/// A walk through one or all workspaces' folders.
struct Walk {
    workspaces: Option<ReadDir>,
    current: Option<(WorkspaceId, ReadDir)>,
}

impl Walk {
    fn of_all(root: &Path) -> io::Result<Self> {
        Ok(Self {
            workspaces: Some(fs::read_dir(root)?),
            current: None,
        })
    }

    fn of_workspace(root: &Path, workspace: WorkspaceId) -> io::Result<Self> {
        let current = match fs::read_dir(root.join(workspace.to_string())) {
            Ok(dir) => Some((workspace, dir)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            workspaces: None,
            current,
        })
    }

    /// The next blobs; an empty list at the end.
    fn batch(&mut self) -> io::Result<Vec<BlobEntry>> {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            let Some((workspace, dir)) = &mut self.current else {
                let Some(next) = self.workspaces.as_mut().and_then(Iterator::next) else {
                    break;
                };
                let next = next?;
                let workspace = next.file_name().to_str().and_then(WorkspaceId::parse);
                if let Some(workspace) = workspace {
                    self.current = Some((workspace, fs::read_dir(next.path())?));
                }
                continue;
            };
            let Some(entry) = dir.next() else {
                self.current = None;
                continue;
            };
            let entry = entry?;
            // Foreign files are skipped.
            let key = entry
                .file_name()
                .to_str()
                .and_then(|name| format!("{workspace}/{name}").parse().ok());
            let Some(key) = key else { continue };
            match entry.metadata() {
                Ok(found) => batch.push(BlobEntry {
                    key,
                    modified: timestamp(found.modified()?),
                    size: found.len(),
                }),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(batch)
    }
}

/// Runs file system calls on a blocking thread. They run to their end even if the caller is gone.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

fn failed(error: io::Error) -> BlobError {
    if is_full(&error) {
        BlobError::Full(error)
    } else {
        BlobError::unavailable(error)
    }
}

/// The error for a blob that should exist.
fn unreadable(error: io::Error) -> BlobError {
    match error.kind() {
        ErrorKind::NotFound => BlobError::NotFound,
        ErrorKind::UnexpectedEof => BlobError::Short,
        _ => failed(error),
    }
}

fn temporary(unfinished: &Path) -> PathBuf {
    unfinished.join(Uuid::new_v4().to_string())
}

fn probe(unfinished: &Path) -> io::Result<()> {
    let temporary = Temporary(Some(temporary(unfinished)));
    new_file(temporary.path())?.write_all(&PROBE)
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Creates a directory and its parents durably.
fn make_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = match path.parent() {
        Some(above) if above != Path::new("") => above,
        _ => Path::new("."),
    };
    make_dir(above)?;
    match new_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        done => done?,
    }
    sync_dir(above)
}

/// Creates a directory for this user only, since it holds files of customers.
fn new_dir(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Flushes the names in a directory. File systems without that feature report so.
fn sync_dir(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        done => done,
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    let micros = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()),
        Err(before) => i64::try_from(before.duration().as_micros()).map(|micros| -micros),
    };
    Timestamp::from_micros(micros.unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn slow_files_of_one_workspace_do_not_delay_others() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(dir.path()).expect("it opens");
        let [slow, other] = [1, 2].map(|number| BlobKey {
            workspace: WorkspaceId(Uuid::from_u128(number)),
            id: Uuid::nil(),
        });
        let mut busy = Vec::new();
        for _ in 0..MAX_THREADS_PER_WORKSPACE {
            busy.push(folder.0.threads.take(slow.workspace, 1).await);
        }
        let mut waiting = Box::pin(folder.create(slow));
        assert!(waiting.as_mut().now_or_never().is_none(), "it waits");
        let upload = folder.create(other).await.expect("another does not");
        upload.finish().await.expect("it is written");
        folder.probe().await.expect("the store works");
        drop(busy);
        waiting.await.expect("its turn comes");
    }
}
