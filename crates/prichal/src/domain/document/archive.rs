//! The archive of a document: originals, print form, signatures, evidence, and a manifest of them all
//! (`docs/contracts/idocs.md §7`). The same state gives the same bytes.

use std::{borrow::Cow, collections::BTreeSet};

use bytes::Bytes;
use prichal_core::document::Document;
use prichal_sign::{Additions, Limits, ReadError, SignedData, unarmor, with_evidence};
use prichal_store::{
    Conn,
    document_blob::DocumentBlob,
    signature::{self, Proof, Signature},
};
use serde_json::{Value, json};

use super::{
    check,
    dossier::{Dossier, key},
    print,
    zip::{Contents, Entry, Zip, build, distinct, safe},
};
use crate::{
    domain::Domain,
    error::{Error, Result},
    platform::vault::sha256_hex,
};

/// The memory for evidence and extended signatures while an archive is made, in bytes.
const MAX_EVIDENCE_BYTES: i64 = 64 << 20;

/// Builds the archive.
pub async fn archive(app: &Domain, dossier: &Dossier) -> Result<Zip> {
    let form = print::form(app, dossier).await?;
    // Evidence and extended signatures are in memory while the archive is made.
    let _room = check::room(app, dossier.viewer, MAX_EVIDENCE_BYTES).await;
    let files = files(app, dossier, form).await?;
    let manifest = manifest(dossier, &files);
    let mut entries: Vec<Entry> = files.into_iter().map(|file| file.entry).collect();
    entries.push(Entry {
        name: "manifest.json".to_owned(),
        contents: Contents::Bytes(manifest.into()),
    });
    build(app, dossier.viewer, &entries).await
}

/// A file of the archive, with its entry in the manifest.
struct ArchiveFile {
    entry: Entry,
    size: i64,
    /// In hex.
    sha256: String,
}

impl ArchiveFile {
    fn blob(name: String, blob: &DocumentBlob) -> Self {
        Self {
            entry: Entry {
                name,
                contents: Contents::Blob(key(blob)),
            },
            size: blob.size,
            sha256: blob.sha256.clone(),
        }
    }

    fn bytes(name: String, bytes: Bytes) -> Self {
        Self {
            size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            sha256: sha256_hex(&bytes),
            entry: Entry {
                name,
                contents: Contents::Bytes(bytes),
            },
        }
    }
}

async fn files(app: &Domain, dossier: &Dossier, form: Bytes) -> Result<Vec<ArchiveFile>> {
    let names: Vec<&str> = dossier
        .originals
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let names = distinct(&names).into_iter();
    let mut files: Vec<ArchiveFile> = names
        .zip(&dossier.originals)
        .map(|(name, original)| ArchiveFile::blob(format!("original/{name}"), original))
        .collect();
    let name = format!("print-form/{}.pdf", safe(&dossier.document.number));
    files.push(ArchiveFile::bytes(name, form));
    let mut known = BTreeSet::new();
    for (n, (signature, blob)) in (1..).zip(&dossier.signatures) {
        let proofs = proofs(app, signature).await?;
        match completed(app, blob, &proofs).await? {
            Some(whole) => {
                files.push(ArchiveFile::bytes(signature_name(n, signature), whole));
                files.push(ArchiveFile::blob(received_name(n), blob));
            }
            None => files.push(ArchiveFile::blob(signature_name(n, signature), blob)),
        }
        let new = proofs.into_iter();
        let new = new.filter(|proof| known.insert(proof.sha256.clone()));
        files.extend(new.map(|proof| ArchiveFile::bytes(proof_name(&proof), proof.body.into())));
        if let (false, Some(zip)) = (signature.attached, &dossier.zip) {
            files.push(ArchiveFile::blob(content_name(n), zip));
        }
        let report = Bytes::from(signature.check.report.clone());
        files.push(ArchiveFile::bytes(
            format!("evidence/report-{n}.json"),
            report,
        ));
    }
    Ok(files)
}

/// The evidence behind the verdict on a signature that the signature itself does not contain.
async fn proofs(app: &Domain, signature: &Signature) -> Result<Vec<Proof>> {
    let signature = signature.clone();
    let look = move |conn: &mut Conn| signature::list_proofs(conn, &signature);
    app.db.read(look).await.map_err(Error::from)
}

/// The longest signature that is completed, in bytes, since this is done in memory. For a longer one, the archive has
/// the evidence as files beside it.
const MAX_COMPLETED_BYTES: i64 = 16 << 20;

/// The signature in DER or BER, extended with its evidence, so that it can be verified by itself and by programs that
/// read no text. `None` if it is so already.
async fn completed(app: &Domain, blob: &DocumentBlob, proofs: &[Proof]) -> Result<Option<Bytes>> {
    if blob.size > MAX_COMPLETED_BYTES {
        return Ok(None);
    }
    let bodies = |kind: &str| {
        let like = proofs.iter().filter(|proof| proof.kind == kind);
        like.map(|proof| proof.body.clone()).collect()
    };
    let more = Additions {
        certificates: bodies("issuer"),
        lists: bodies("crl"),
        responses: bodies("ocsp"),
    };
    let has_proofs = !proofs.is_empty();
    let signature = app.blobs.read_whole(key(blob)).await?;
    let complete = move || {
        if !has_proofs {
            let decoded = unarmor(&signature, Limits::SIGNATURE.size)?;
            let is_text = matches!(decoded, Cow::Owned(_));
            return Ok(is_text.then(|| decoded.into_owned().into()));
        }
        let extended = with_evidence(&signature, &more)?;
        // Extended beyond the limits of readers, the signature could not be read again.
        let is_readable = SignedData::read(&extended, &Limits::SIGNATURE).is_ok();
        Ok::<_, ReadError>(is_readable.then(|| Bytes::from(extended)))
    };
    tokio::task::spawn_blocking(complete)
        .await
        .map_err(Error::internal)?
        .map_err(Error::internal)
}

/// The name of the signature as it was submitted, if the archive also has it completed.
fn received_name(n: usize) -> String {
    format!("evidence/signature-{n}-as-received.cms")
}

fn proof_name(proof: &Proof) -> String {
    let ending = match proof.kind.as_str() {
        "crl" => "crl",
        "ocsp" => "ors",
        _ => "cer",
    };
    let print = proof.sha256.get(..16).unwrap_or_default();
    format!("evidence/{}-{print}.{ending}", proof.kind)
}

fn signature_name(n: usize, signature: &Signature) -> String {
    let whose = Some(&signature.bin)
        .filter(|bin| !bin.is_empty())
        .or(signature.iin.as_ref());
    format!(
        "signatures/{n}-{}.cms",
        whose.map_or("unknown", String::as_str)
    )
}

fn content_name(n: usize) -> String {
    format!("evidence/signed-content-{n}.zip")
}

/// The manifest: a list of all other files.
fn manifest(dossier: &Dossier, files: &[ArchiveFile]) -> String {
    let Document {
        id,
        number,
        name,
        created_on,
        ..
    } = &dossier.document;
    let files: Vec<Value> = files
        .iter()
        .map(|file| json!({ "path": file.entry.name, "size": file.size, "sha256": file.sha256 }))
        .collect();
    let signatures: Vec<Value> = (1..)
        .zip(&dossier.signatures)
        .map(|(n, (one, _))| {
            json!({
                "path": signature_name(n, one),
                "signedContent": (!one.attached).then(|| content_name(n)),
                "attached": one.attached,
                "signedOn": one.signed_on.secs(),
                "companyBin": one.bin,
                "iin": one.iin,
                "verdict": one.check.verdict,
            })
        })
        .collect();
    let manifest = json!({
        "documentId": id,
        "number": number,
        "name": name,
        "createdOn": created_on,
        "status": dossier.status.name(),
        "files": files,
        "signatures": signatures,
    });
    serde_json::to_string_pretty(&manifest).unwrap_or_default()
}
