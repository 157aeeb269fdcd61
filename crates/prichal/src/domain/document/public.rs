//! The public side of documents: what everybody who has a document may know of it and check
//! (`docs/contracts/idocs.md §1.10`).

use std::{
    borrow::Cow,
    io::{Cursor, Read as _},
};

use bytes::Bytes;
use prichal_core::{
    document::{Document, Status},
    id::{WorkspaceId, parse_any},
    time::Timestamp,
};
use prichal_sign::{Limits, Report, SignedData};
use prichal_store::{Conn, document as store, document_blob, signature, workspace};
use serde_json::Value;
use uuid::Uuid;
use zip::ZipArchive;

use super::check::{Brief, ExpectedSigner, Question, Rules, check, room};
use crate::{
    domain::Domain,
    error::{Error, Result},
    platform::{share::Permit, vault::sha256_hex},
};

/// A document that is not a draft, with its signatures.
#[derive(Debug)]
pub struct PublicDocument {
    pub document: Document,
    pub signatures: Vec<PublicSignature>,
}

#[derive(Debug)]
pub struct PublicSignature {
    pub row: signature::Brief,
    pub brief: Brief,
    /// The name of the company.
    pub company: String,
}

/// The part of a document that a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// An original, by its number from 1.
    Original(usize),
    /// The zip of the originals, which is signed.
    SignedContent,
    /// A signature as it was submitted, by its number from 1.
    Signature(usize),
}

impl PublicDocument {
    /// Finds a document. Nobody but its sender may know of a draft.
    pub fn find(conn: &mut Conn, id: Uuid) -> Result<Option<Self>> {
        let Some(document) = store::find_any(conn, id)? else {
            return Ok(None);
        };
        if document.status(document.sender.company) == Some(Status::Draft) {
            return Ok(None);
        }
        let mut signatures = Vec::new();
        for row in signature::list_briefs(conn, id)? {
            let brief = brief(conn, id, &row)?;
            let found = workspace::find(conn, &row.company.to_string())?;
            let company = found.and_then(|one| one.company_name.or(one.title));
            signatures.push(PublicSignature {
                row,
                brief,
                company: company.unwrap_or_default(),
            });
        }
        Ok(Some(Self {
            document,
            signatures,
        }))
    }

    /// The SHA-256 of the content that its signers sign, in hex. `None` if that is not there any more.
    pub fn content_sha256(&self, conn: &mut Conn, now: Timestamp) -> Result<Option<String>> {
        let Some(zip) = store::zip(conn, self.document.id)? else {
            return Ok(None);
        };
        let found = document_blob::find(conn, self.document.sender.company, zip, now)?;
        Ok(found.map(|found| found.sha256))
    }

    /// The files of the document, each with its SHA-256 in hex.
    pub fn parts(&self, conn: &mut Conn, now: Timestamp) -> Result<Vec<(Part, String)>> {
        let sender = self.document.sender.company;
        let originals = (1..).zip(&self.document.contents);
        let originals = originals.map(|(n, id)| (Part::Original(n), sender, *id));
        let signatures = (1..).zip(&self.signatures);
        let signatures =
            signatures.map(|(n, one)| (Part::Signature(n), one.row.company, one.row.blob));
        let zip = store::zip(conn, self.document.id)?;
        let zip = zip.map(|id| (Part::SignedContent, sender, id));
        let mut parts = Vec::new();
        for (part, workspace, id) in originals.chain(signatures).chain(zip) {
            let found = document_blob::find(conn, workspace, id, now)?;
            parts.extend(found.map(|found| (part, found.sha256)));
        }
        Ok(parts)
    }
}

/// The summary of a signature. Rows of earlier versions have none, or a shorter one, so their report is summarized.
fn brief(conn: &mut Conn, document: Uuid, row: &signature::Brief) -> Result<Brief> {
    if let Some(kept) = &row.brief {
        let kept: Brief = serde_json::from_str(kept).map_err(Error::internal)?;
        let has_all = !kept.indication.is_empty() || row.verdict == "TOTAL_PASSED";
        if has_all && !kept.policy.is_empty() {
            return Ok(kept);
        }
    }
    let report = signature::find_report(conn, document, row.id)?;
    let report = report.and_then(|report| serde_json::from_str(&report).ok());
    Ok(Brief::of(&report.unwrap_or_default()))
}

/// The maximum number of signatures of an uploaded archive that are checked.
const MAX_SIGNATURES: usize = 16;
/// The maximum number of files of an uploaded archive.
const MAX_FILES: usize = 1000;
/// The maximum bytes of all that is read of an uploaded archive. Its text may be compressed.
const MAX_UNPACKED_BYTES: u64 = 32 << 20;

/// The maximum number of public-key operations for all signatures of an upload together.
const MAX_WORK: usize = 2_000;

/// A signature to check, with its content if that is not inside.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// Its name in the archive; empty for a file.
    pub name: String,
    pub signature: Bytes,
    pub content: Option<Bytes>,
}

/// An uploaded file as it was taken apart.
#[derive(Clone, Debug)]
pub struct Uploaded {
    /// The document that an archive's manifest names.
    pub document: Option<Uuid>,
    pub signatures: Vec<Submitted>,
}

/// The reason why an uploaded archive is not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFault {
    Unreadable,
    NoSignatures,
    TooLarge,
}

/// Takes an uploaded file apart: the archive of a document, or one signature.
pub fn take_apart(file: Bytes, content: Option<Bytes>) -> Result<Uploaded, ArchiveFault> {
    if file.starts_with(b"PK\x03\x04") {
        return unpack(&file);
    }
    Ok(Uploaded {
        document: None,
        signatures: vec![Submitted {
            name: String::new(),
            signature: file,
            content,
        }],
    })
}

/// The signatures of an archive as `archive.rs` makes it, with the content of those that do not contain it.
fn unpack(file: &[u8]) -> Result<Uploaded, ArchiveFault> {
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(|_| ArchiveFault::Unreadable)?;
    if archive.len() > MAX_FILES {
        return Err(ArchiveFault::TooLarge);
    }
    let names = archive.file_names().filter_map(Result::ok);
    let mut names: Vec<String> = names.map(Cow::into_owned).collect();
    names.retain(|name| name.starts_with("signatures/") && name.strip_suffix(".cms").is_some());
    if names.len() > MAX_SIGNATURES {
        return Err(ArchiveFault::TooLarge);
    }
    names.sort_by_key(|name| number(name).unwrap_or(usize::MAX));
    let mut left = MAX_UNPACKED_BYTES;
    let mut signatures = Vec::new();
    for name in names {
        let signature = read(&mut archive, &name, &mut left)?.ok_or(ArchiveFault::Unreadable)?;
        let content = match number(&name) {
            Some(n) => {
                let name = format!("evidence/signed-content-{n}.zip");
                read(&mut archive, &name, &mut left)?
            }
            None => None,
        };
        signatures.push(Submitted {
            name,
            signature,
            content,
        });
    }
    if signatures.is_empty() {
        return Err(ArchiveFault::NoSignatures);
    }
    let manifest = read(&mut archive, "manifest.json", &mut left)?;
    Ok(Uploaded {
        document: manifest.and_then(|text| document_of(&text)),
        signatures,
    })
}

/// The document that a manifest names.
fn document_of(manifest: &[u8]) -> Option<Uuid> {
    let manifest: Value = serde_json::from_slice(manifest).ok()?;
    parse_any(manifest["documentId"].as_str()?)
}

/// True if all these signatures sign content with this SHA-256. Anybody can name a document in a manifest; its content
/// proves that an archive is of that document.
pub async fn all_sign(app: &Domain, submitted: &[Submitted], sha256: &str) -> Result<bool> {
    let _kept = room_of(app, submitted).await?;
    let (submitted, sha256) = (submitted.to_vec(), sha256.to_owned());
    let compare = move || {
        let mut digests = submitted.iter().map(Submitted::content_sha256);
        digests.all(|digest| digest.as_deref() == Some(&*sha256))
    };
    tokio::task::spawn_blocking(compare)
        .await
        .map_err(Error::internal)
}

impl Submitted {
    /// The SHA-256 of the signed content in hex. `None` if there is no content, or no readable signature.
    fn content_sha256(&self) -> Option<String> {
        let data = SignedData::read(&self.signature, &Limits::SIGNATURE).ok()?;
        let content = data.content.as_deref().or(self.content.as_deref())?;
        Some(sha256_hex(content))
    }
}

/// The number in the name of a signature, such as 2 in `signatures/2-940140000385.cms`.
fn number(name: &str) -> Option<usize> {
    let name = name.strip_prefix("signatures/")?;
    name.split_once('-')?.0.parse().ok()
}

/// Reads a file of an archive. `None` if there is none of this name.
fn read(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    name: &str,
    left: &mut u64,
) -> Result<Option<Bytes>, ArchiveFault> {
    let Some(index) = archive.index_for_name(name) else {
        return Ok(None);
    };
    let file = archive
        .by_index(index)
        .map_err(|_| ArchiveFault::Unreadable)?;
    let mut contents = Vec::new();
    let read = file.take(*left + 1).read_to_end(&mut contents);
    let read = read.map_err(|_| ArchiveFault::Unreadable)?;
    *left = left
        .checked_sub(read as u64)
        .ok_or(ArchiveFault::TooLarge)?;
    Ok(Some(contents.into()))
}

/// Checks what somebody without credentials has uploaded, by these rules. Nothing of it is stored.
pub async fn check_upload(
    app: &Domain,
    rules: &Rules,
    submitted: Vec<Submitted>,
) -> Result<Vec<(String, Report)>> {
    check_within(app, rules, submitted, MAX_WORK).await
}

/// Checks an upload with at most so many public-key operations.
async fn check_within(
    app: &Domain,
    rules: &Rules,
    submitted: Vec<Submitted>,
    mut left: usize,
) -> Result<Vec<(String, Report)>> {
    let _kept = room_of(app, &submitted).await?;
    let mut reports = Vec::with_capacity(submitted.len());
    for one in submitted {
        let question = Question {
            signature: one.signature,
            content: one.content,
            content_sha256: None,
            signer: ExpectedSigner::default(),
            financial: false,
            received_at: app.clock.now(),
            public_work: Some(left),
        };
        let checked = check(app, rules, question).await?;
        left = left.saturating_sub(checked.work);
        reports.push((one.name, checked.report));
    }
    Ok(reports)
}

/// Reserves memory for what a visitor has uploaded. All visitors share the part of one workspace.
async fn room_of(app: &Domain, submitted: &[Submitted]) -> Result<Permit> {
    let sizes = submitted
        .iter()
        .map(|one| one.signature.len() + one.content.as_ref().map_or(0, Bytes::len));
    let size = i64::try_from(sizes.sum::<usize>()).map_err(Error::internal)?;
    Ok(room(app, WorkspaceId(Uuid::nil()), size).await)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use prichal_sign::{
        Time,
        testing::{Authority, Cms, Key, Signer},
    };
    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;
    use crate::{config::Config, platform::clock::Clock};

    fn zip(files: &[(&str, &[u8])]) -> Bytes {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, contents) in files {
            writer
                .start_file(*name, SimpleFileOptions::default())
                .expect("a file");
            writer.write_all(contents).expect("written");
        }
        writer.finish().expect("a zip").into_inner().into()
    }

    #[test]
    fn an_archive_gives_its_signatures_with_their_contents() {
        let archive = zip(&[
            ("original/a.pdf", b"pdf"),
            ("signatures/10-1.cms", b"ten"),
            ("signatures/2-940140000385.cms", b"two"),
            ("signatures/readme.txt", b"no"),
            ("evidence/signed-content-10.zip", b"content"),
            (
                "manifest.json",
                br#"{"documentId":"0190a6a5-0000-7000-8000-000000000001"}"#,
            ),
        ]);
        let found = take_apart(archive, None).expect("signatures");
        let document = found.document.map(|id| id.to_string());
        assert_eq!(
            document.as_deref(),
            Some("0190a6a5-0000-7000-8000-000000000001")
        );
        let found: Vec<_> = found
            .signatures
            .iter()
            .map(|one| (&one.name[..], &one.signature[..], one.content.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                ("signatures/2-940140000385.cms", &b"two"[..], None),
                ("signatures/10-1.cms", &b"ten"[..], Some(&b"content"[..])),
            ]
        );
        let file = take_apart(Bytes::from_static(b"0\x80"), Some(Bytes::from_static(b"c")));
        let file = file.expect("a file");
        let [one] = &file.signatures[..] else {
            panic!("{file:?}");
        };
        assert_eq!(
            (file.document, one.content.as_deref()),
            (None, Some(&b"c"[..]))
        );
        for manifest in [
            &b"no json"[..],
            b"{}",
            b"{\"documentId\":7}",
            b"{\"documentId\":\"x\"}",
        ] {
            let archive = zip(&[("signatures/1-1.cms", b"one"), ("manifest.json", manifest)]);
            let found = take_apart(archive, None).expect("signatures");
            assert_eq!(found.document, None);
        }
    }

    #[tokio::test]
    async fn the_signatures_of_an_upload_share_one_budget() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = Config::for_data_dir(dir.path().join("data"));
        let app = crate::app::open(config, Clock::System)
            .await
            .expect("a server");
        let authority = Authority::new(Key::p256);
        let at = Time::from_unix(app.clock.now().secs());
        let signer = Signer::new(&authority.signer, b"a document", at);
        let signature = Cms::attached(b"a document", &[&signer]).encode();
        let one = Submitted {
            name: String::new(),
            signature: signature.into(),
            content: None,
        };
        let work = async |most| {
            let both = vec![one.clone(), one.clone()];
            let reports = check_within(&app, &Rules::default(), both, most).await;
            let reports = reports.expect("reports");
            [&reports[0].1, &reports[1].1].map(|report| {
                let text = serde_json::to_string(report).expect("a report");
                (report.work, text.contains("exceeds the limit"))
            })
        };
        let [(spent, false), (_, false)] = work(MAX_WORK).await else {
            panic!("the budget is enough");
        };
        assert!(spent > 0);
        let [first, (_, is_refused)] = work(spent).await;
        assert_eq!((first, is_refused), ((spent, false), true));
    }

    #[test]
    fn an_archive_is_read_within_bounds() {
        let fault = |archive| take_apart(archive, None).expect_err("refused");
        assert_eq!(fault(zip(&[("a.txt", b"")])), ArchiveFault::NoSignatures);
        let broken = Bytes::from_static(b"PK\x03\x04 and no more");
        assert_eq!(fault(broken), ArchiveFault::Unreadable);
        let long = vec![0; usize::try_from(MAX_UNPACKED_BYTES).expect("a size")];
        let bomb = zip(&[("signatures/1-1.cms", &long), ("signatures/2-1.cms", b"x")]);
        assert_eq!(fault(bomb), ArchiveFault::TooLarge);
        let names: Vec<String> = (0..17).map(|n| format!("signatures/{n}-1.cms")).collect();
        let many: Vec<(&str, &[u8])> = names.iter().map(|name| (&name[..], &b"x"[..])).collect();
        assert_eq!(fault(zip(&many)), ArchiveFault::TooLarge);
    }
}
