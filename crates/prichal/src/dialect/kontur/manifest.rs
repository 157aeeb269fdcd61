//! The body with the manifest of an integration: `manifest.json` itself, or a zip with it in its root
//! (`docs/contracts/kontur.md §4.2`).

use std::io::{Cursor, Read};

use axum::{
    extract::{FromRequest, Request},
    http::header,
};
use bytes::Bytes;
use prichal_core::integration::{MANIFEST, Manifest};
use zip::ZipArchive;

use crate::{
    dialect::openapi::schema::{body, described, example},
    error::{Error, Result},
    http::body::Raw,
    platform::reading::parse_json,
};

/// The maximum number of entries of an archive.
const MAX_ENTRIES: usize = 1000;
/// The maximum number of bytes of all inflated entries of an archive.
const MAX_INFLATED: u64 = 16 << 20;
/// The maximum number of bytes of `manifest.json`.
const MAX_MANIFEST: u64 = 64 << 10;

described! {
    /// The manifest of an integration.
    pub(super) IntegrationManifest = body(MANIFEST).examples(example(include_str!("examples/manifest.json")));
}

/// A manifest and the bytes of its body.
pub(super) struct ManifestBody {
    pub(super) manifest: Manifest,
    pub(super) bytes: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for ManifestBody {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let is_zip = content_type
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.to_ascii_lowercase().contains("zip"));
        let Raw(bytes) = Raw::from_request(request, state).await?;
        let json = if is_zip || bytes.starts_with(b"PK\x03\x04") {
            let archive = bytes.clone();
            // Blocking, since inflating takes processor time.
            let unpacked = tokio::task::spawn_blocking(move || unpack(&archive)).await;
            let text = unpacked.map_err(Error::internal)??;
            parse_json(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text))?
        } else {
            parse_json(&bytes)?
        };
        let manifest = Manifest::read(&json)?;
        Ok(Self { manifest, bytes })
    }
}

/// Reads the one `manifest.json` in the root of an archive. Other entries are not used, but an archive that would be
/// dangerous to unpack is refused.
pub fn unpack(archive: &[u8]) -> Result<Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).map_err(unreadable)?;
    if archive.len() > MAX_ENTRIES {
        return Err(refuse(format!("it has more than {MAX_ENTRIES} entries")));
    }
    // Two entries of one name, entries that share bytes, headers that contradict the directory.
    archive.validate_header_consistency().map_err(unreadable)?;
    let mut found = None;
    let mut left = MAX_INFLATED;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(unreadable)?;
        let name = entry.name().map_err(unreadable)?.into_owned();
        if !stays_inside(&name) || entry.is_symlink() {
            return Err(refuse("an entry leads out of it"));
        }
        let is_manifest = is_root_manifest(&name);
        let limit = if is_manifest {
            left.min(MAX_MANIFEST)
        } else {
            left
        };
        // The size in an entry's header may be false, so the inflated bytes are counted.
        let mut content = Vec::new();
        let size = if is_manifest {
            let read = entry.take(limit + 1).read_to_end(&mut content);
            read.map(|size| size as u64)
        } else {
            std::io::copy(&mut entry.take(limit + 1), &mut std::io::sink())
        };
        let size = size.map_err(unreadable)?;
        if size > limit {
            return Err(refuse("it unpacks to too many bytes"));
        }
        left -= size;
        if is_manifest && found.replace(content).is_some() {
            return Err(refuse("it has more than one manifest.json in its root"));
        }
    }
    found.ok_or_else(|| refuse("it has no manifest.json in its root"))
}

/// True of a name that every system resolves to the same path, inside the folder where the archive is unpacked.
fn stays_inside(name: &str) -> bool {
    !name.starts_with('/')
        && !name.contains(['\\', ':', '\0'])
        && name.split('/').all(|part| part != "..")
}

/// Compares names as a file system might: without case, and without `.` folders.
fn is_root_manifest(name: &str) -> bool {
    let mut parts = name.split('/').filter(|part| !matches!(*part, "" | "."));
    let is_manifest = |part: &str| part.eq_ignore_ascii_case("manifest.json");
    !name.ends_with('/') && parts.next().is_some_and(is_manifest) && parts.next().is_none()
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    refuse(format!("it cannot be read ({error})"))
}

fn refuse(why: impl std::fmt::Display) -> Error {
    Error::invalid("", format!("The archive is refused: {why}."))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::io::Write as _;

    use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

    use super::*;

    const TEXT: &[u8] =
        br#"{"name": "ws.my", "version": "1.0", "baseUrl": "https://my-integration.ru"}"#;

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in entries {
            let options =
                SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
            writer.start_file(*name, options).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn refusal(archive: &[u8]) -> String {
        match unpack(archive) {
            Err(Error::Invalid(faults)) => prichal_dialect::kontur::fault::text(&faults[0]),
            other => panic!("{other:?}"),
        }
    }

    /// Overwrites every occurrence of a text with another of the same length.
    fn forged(archive: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
        let mut out = archive.to_vec();
        for at in 0..=out.len() - from.len() {
            if out[at..].starts_with(from) {
                out[at..at + from.len()].copy_from_slice(to);
            }
        }
        out
    }

    #[test]
    fn only_the_manifest_in_the_root_is_read() {
        let good = archive(&[
            ("icons/a.svg", b"<svg/>"),
            ("manifest.json", TEXT),
            ("old/manifest.json", b"{}"),
        ]);
        assert_eq!(unpack(&good).unwrap(), TEXT);
        for entries in [&[("sub/manifest.json", TEXT)][..], &[], &[("a", b"")]] {
            assert!(refusal(&archive(entries)).contains("no manifest.json"));
        }
        let two = archive(&[("manifest.json", TEXT), ("Manifest.JSON", TEXT)]);
        assert!(refusal(&two).contains("more than one"));
        let same = archive(&[("manifest.json", TEXT), ("manifest.jsox", TEXT)]);
        assert!(unpack(&same).is_ok());
        refusal(&forged(&same, b"manifest.jsox", b"manifest.json"));
    }

    #[test]
    fn entries_outside_of_the_archive_are_refused() {
        let good = archive(&[("manifest.json", TEXT), ("aa/aaaaaa", b"x")]);
        assert!(unpack(&good).is_ok());
        for bad in [
            "../aaaaaa",
            "aa/../../",
            "aa/a/../a",
            "/a/aaaaaa",
            "c:/aaaaaa",
            "..\\aaaaaa",
            "aa\\..\\aaa",
        ] {
            let bad = forged(&good, b"aa/aaaaaa", bad.as_bytes());
            refusal(&bad);
        }
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default();
        writer.add_symlink("link", "/etc/passwd", options).unwrap();
        writer.start_file("manifest.json", options).unwrap();
        writer.write_all(TEXT).unwrap();
        refusal(&writer.finish().unwrap().into_inner());
    }

    #[test]
    fn zip_bombs_are_refused() {
        let zeros = vec![0; 17 << 20];
        let bomb = archive(&[("a", &zeros), ("manifest.json", TEXT)]);
        assert!(bomb.len() < 1 << 17, "small enough to be sent");
        assert!(refusal(&bomb).contains("too many bytes"));
        let bomb = archive(&[("manifest.json", &zeros[..100 << 10])]);
        assert!(refusal(&bomb).contains("too many bytes"));
        let many: Vec<(String, &[u8])> = (0..=1000).map(|n| (n.to_string(), &b""[..])).collect();
        let many: Vec<(&str, &[u8])> = many.iter().map(|(n, c)| (n.as_str(), *c)).collect();
        assert!(refusal(&archive(&many)).contains("entries"));
    }

    #[test]
    fn damaged_archives_are_refused() {
        let good = archive(&[("manifest.json", TEXT)]);
        for bad in [
            &b""[..],
            b"PK\x03\x04",
            b"{}",
            &good[..good.len() / 2],
            &good[4..],
        ] {
            refusal(bad);
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            // Either result is right, as long as it does not panic.
            let _ = unpack(&bad);
        }
    }
}
