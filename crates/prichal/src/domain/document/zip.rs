//! Zips of documents' files. Equal contents give equal bytes, and the memory that is needed does not depend on their
//! size.

use std::{
    fs::File,
    io::{Seek as _, SeekFrom, Write as _},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use prichal_core::{hidden::is_hidden, id::WorkspaceId};
use sha2::{Digest as _, Sha256};
use tokio::{io::AsyncReadExt as _, sync::mpsc};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use crate::{
    domain::Domain,
    error::{Error, Result},
    platform::{
        blobs::{BlobKey, Upload},
        vault::hex,
    },
};

/// The bytes that are read from a finished zip at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// The maximum number of chunks that wait for the writing thread.
const MAX_QUEUED_CHUNKS: usize = 4;

/// A file of a zip.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    pub contents: Contents,
}

#[derive(Clone, Debug)]
pub enum Contents {
    Blob(BlobKey),
    Bytes(Bytes),
}

/// A zip in a temporary file, which is deleted when this is dropped.
#[derive(Debug)]
pub struct Zip {
    file: File,
    pub size: u64,
}

/// An instruction to the writing thread.
enum Piece {
    Begin(String),
    Data(Bytes),
}

/// Writes files into a zip in the given order, uncompressed and all with the same time.
pub async fn build(app: &Domain, workspace: WorkspaceId, entries: &[Entry]) -> Result<Zip> {
    // The writing thread waits while files are read, so the number of such threads is bounded.
    let _place = app.zips.take(workspace, 1).await;
    let (pieces, written) = mpsc::channel(MAX_QUEUED_CHUNKS);
    let writer = tokio::task::spawn_blocking(move || write(written));
    let fed = feed(app, entries, &pieces).await;
    drop(pieces);
    let written = writer.await.map_err(Error::internal)?;
    // An error of the zip's own file comes first: it is the reason why the thread took no more.
    let (file, size) = written.map_err(Error::internal)?;
    fed?;
    Ok(Zip { file, size })
}

async fn feed(app: &Domain, entries: &[Entry], pieces: &mpsc::Sender<Piece>) -> Result<()> {
    let closed = |_| Error::internal("the zip could not be written");
    for entry in entries {
        let begin = Piece::Begin(entry.name.clone());
        pieces.send(begin).await.map_err(closed)?;
        match &entry.contents {
            Contents::Bytes(bytes) => {
                let piece = Piece::Data(bytes.clone());
                pieces.send(piece).await.map_err(closed)?;
            }
            Contents::Blob(key) => {
                let mut contents = app.blobs.read(*key, None).await?;
                while let Some(chunk) = contents.next().await {
                    pieces.send(Piece::Data(chunk?)).await.map_err(closed)?;
                }
            }
        }
    }
    Ok(())
}

fn write(mut pieces: mpsc::Receiver<Piece>) -> anyhow::Result<(File, u64)> {
    let mut zip = ZipWriter::new(tempfile::tempfile()?);
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Begin(name) => zip.start_file(name, options)?,
            Piece::Data(bytes) => zip.write_all(&bytes)?,
        }
    }
    let mut file = zip.finish()?;
    let size = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    Ok((file, size))
}

impl Zip {
    /// The contents, in chunks.
    pub fn into_stream(
        self,
    ) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> + Send + 'static {
        let file = tokio::fs::File::from_std(self.file);
        futures_util::stream::try_unfold(file, |mut file| async move {
            let mut chunk = bytes::BytesMut::with_capacity(CHUNK_BYTES);
            let read = file.read_buf(&mut chunk).await?;
            Ok((read > 0).then(|| (chunk.freeze(), file)))
        })
    }

    /// Stores the zip as a blob. Returns its SHA-256 in hex.
    pub async fn keep(self, app: &Domain, key: BlobKey) -> Result<String> {
        let mut upload: Upload = app.blobs.create(key).await?;
        let mut digest = Sha256::new();
        let mut chunks = std::pin::pin!(self.into_stream());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(Error::internal)?;
            digest.update(&chunk);
            upload.write(chunk).await?;
        }
        upload.finish().await?;
        Ok(hex(&digest.finalize()))
    }
}

/// Makes the names of the files of one folder distinct: the second `name.ext` becomes `name (2).ext`.
pub fn distinct(names: &[&str]) -> Vec<String> {
    let mut taken = std::collections::HashSet::new();
    let mut distinct = Vec::with_capacity(names.len());
    for name in names {
        let name = safe(name);
        let (stem, extension) = match name.rfind('.') {
            Some(at) if at > 0 => name.split_at(at),
            _ => (name.as_str(), ""),
        };
        let numbered = (2..).map(|n| format!("{stem} ({n}){extension}"));
        let free = std::iter::once(name.clone())
            .chain(numbered)
            .find(|name| !taken.contains(&name.to_lowercase()));
        let free = free.unwrap_or_else(|| name.clone());
        taken.insert(free.to_lowercase());
        distinct.push(free);
    }
    distinct
}

/// The longest name in bytes. Most systems allow 255, and a number may follow.
const MAX_NAME_BYTES: usize = 200;

/// Makes a name safe: on no system does it lead out of its folder.
pub fn safe(name: &str) -> String {
    let mut safe: String = name
        .chars()
        .map(|c| match c {
            '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
            c if c.is_control() || is_hidden(c) => '_',
            c => c,
        })
        .collect();
    let trimmed = safe.trim_matches(|c: char| c == '.' || c.is_whitespace());
    if trimmed.len() != safe.len() {
        safe = trimmed.to_owned();
    }
    if safe.len() > MAX_NAME_BYTES {
        // The name is cut before its extension, which tells the type of the file.
        let dot = safe.rfind('.').filter(|dot| safe.len() - dot <= 16);
        let extension = dot.map_or_else(String::new, |dot| safe.split_off(dot));
        safe.truncate(safe.floor_char_boundary(MAX_NAME_BYTES - extension.len()));
        safe.push_str(&extension);
    }
    if safe.is_empty() {
        safe.push('_');
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_before_their_extension() {
        let name = safe(&format!("{}.docx", "😀".repeat(100)));
        assert_eq!(name, format!("{}.docx", "😀".repeat(48)));
        assert_eq!(safe(&"я".repeat(300)), "я".repeat(100));
    }

    #[test]
    fn names_are_distinct_and_stay_in_their_folder() {
        let names = [
            "a.pdf",
            "a.pdf",
            "A.PDF",
            "../../etc/passwd",
            "b",
            "b",
            ".hidden",
            "a (2).pdf",
            "",
        ];
        assert_eq!(
            distinct(&names),
            [
                "a.pdf",
                "a (2).pdf",
                "A (3).PDF",
                "_.._etc_passwd",
                "b",
                "b (2)",
                "hidden",
                "a (2) (2).pdf",
                "_"
            ]
        );
    }
}
