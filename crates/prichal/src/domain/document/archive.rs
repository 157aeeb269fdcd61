//! The archive of a document: originals, print form, signatures, evidence, and a manifest of them all
//! (`docs/contracts/idocs.md §7`). The same state gives the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prichal_core::{
    document::{Document, Status},
    event::EntityKind,
    id::{EntityId, WorkspaceId},
    time::Timestamp,
};
use prichal_sign::{Additions, Limits, ReadError, SignedData, with_evidence};
use prichal_store::{
    Conn,
    document_blob::{self, DocumentBlob},
    entity,
    signature::{self, Proof, Signature},
    workspace,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    check, print,
    zip::{Contents, Entry, Zip, build, distinct, safe},
};
use crate::{
    domain::Domain,
    error::{Error, Result},
    platform::{blobs::BlobKey, vault::sha256_hex},
};

/// All that belongs to a document, as one company sees it.
#[derive(Clone, Debug)]
pub struct Dossier {
    pub document: Document,
    pub viewer: WorkspaceId,
    pub status: Status,
    pub originals: Vec<DocumentBlob>,
    /// The originals as they were signed.
    pub zip: Option<DocumentBlob>,
    pub signatures: Vec<(Signature, DocumentBlob)>,
    /// Names of companies, and of the viewer's own employees on the route.
    pub companies: BTreeMap<WorkspaceId, String>,
    pub employees: BTreeMap<Uuid, String>,
}

impl Dossier {
    /// Gathers it. Nothing when the company does not see the document.
    pub fn gather(
        conn: &mut Conn,
        viewer: WorkspaceId,
        id: Uuid,
        now: Timestamp,
    ) -> Result<Option<Self>> {
        let Some(document) = prichal_store::document::find(conn, viewer, id)? else {
            return Ok(None);
        };
        let Some(status) = document.status(viewer) else {
            return Ok(None);
        };
        let sender = document.sender.company;
        let lost = || Error::internal("a file of a document is not there");
        let mut originals = Vec::new();
        for id in &document.contents {
            originals.push(document_blob::find(conn, sender, *id, now)?.ok_or_else(lost)?);
        }
        let zip = match prichal_store::document::zip(conn, id)? {
            Some(zip) => document_blob::find(conn, sender, zip, now)?,
            None => None,
        };
        let mut signatures = Vec::new();
        for signature in signature::list(conn, id)? {
            let blob = document_blob::find(conn, signature.company, signature.blob, now)?;
            signatures.push((signature, blob.ok_or_else(lost)?));
        }
        let mut companies = BTreeMap::new();
        let parties = document.recipients().iter().map(|one| one.party.company);
        for company in parties.chain([sender]) {
            let found = workspace::find(conn, &company.to_string())?;
            let name = found.and_then(|one| one.company_name.or(one.title));
            companies.insert(company, name.unwrap_or_default());
        }
        let mut employees = BTreeMap::new();
        for node in document.internal(viewer).iter().flat_map(|all| &all.nodes) {
            let id = node.employee.0;
            let found = entity::find(conn, viewer, EntityKind::User, EntityId(id))?;
            let members: Option<Value> =
                found.and_then(|found| serde_json::from_str(&found.members).ok());
            let name = members
                .as_ref()
                .and_then(|members| members["name"].as_str());
            employees.insert(id, name.unwrap_or_default().to_owned());
        }
        Ok(Some(Self {
            document,
            viewer,
            status,
            originals,
            zip,
            signatures,
            companies,
            employees,
        }))
    }

    /// When something last happened to the document, in seconds.
    pub fn changed_on(&self) -> i64 {
        let recipients = self.document.recipients().iter();
        let inside = self.document.internal(self.viewer).into_iter();
        let nodes = recipients
            .map(|one| &one.state)
            .chain(inside.flat_map(|all| all.nodes.iter().map(|node| &node.state)));
        let times = nodes.filter_map(|state| state.completed_on);
        let signed = self.signatures.iter().map(|(one, _)| one.signed_on.secs());
        times.chain(signed).fold(self.document.created_on, i64::max)
    }
}

const EVIDENCE: i64 = 64 << 20;

/// Builds the archive.
pub async fn archive(app: &Domain, dossier: &Dossier) -> Result<Zip> {
    let form = print::form(app, dossier).await?;
    // Evidence and signatures with it are in memory while it is made.
    let _room = check::room(app, dossier.viewer, EVIDENCE).await;
    let files = files(app, dossier, form).await?;
    let manifest = manifest(dossier, &files);
    let mut entries: Vec<Entry> = files.into_iter().map(|file| file.entry).collect();
    entries.push(Entry {
        name: "manifest.json".to_owned(),
        contents: Contents::Bytes(manifest.into()),
    });
    build(app, dossier.viewer, &entries).await
}

/// A file of the archive, and what the manifest says of it.
struct Listed {
    entry: Entry,
    size: i64,
    /// In hex.
    sha256: String,
}

impl Listed {
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

async fn files(app: &Domain, dossier: &Dossier, form: Bytes) -> Result<Vec<Listed>> {
    let names: Vec<&str> = dossier
        .originals
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let names = distinct(&names).into_iter();
    let mut files: Vec<Listed> = names
        .zip(&dossier.originals)
        .map(|(name, original)| Listed::blob(format!("original/{name}"), original))
        .collect();
    let name = format!("print-form/{}.pdf", safe(&dossier.document.number));
    files.push(Listed::bytes(name, form));
    let mut known = BTreeSet::new();
    for (n, (signature, blob)) in (1..).zip(&dossier.signatures) {
        let proofs = proofs(app, signature).await?;
        match with_proofs(app, blob, &proofs).await? {
            Some(whole) => {
                files.push(Listed::bytes(signature_name(n, signature), whole));
                files.push(Listed::blob(received_name(n), blob));
            }
            None => files.push(Listed::blob(signature_name(n, signature), blob)),
        }
        let new = proofs.into_iter();
        let new = new.filter(|proof| known.insert(proof.sha256.clone()));
        files.extend(new.map(|proof| Listed::bytes(proof_name(&proof), proof.body.into())));
        if let (false, Some(zip)) = (signature.attached, &dossier.zip) {
            files.push(Listed::blob(content_name(n), zip));
        }
        let report = Bytes::from(signature.check.report.clone());
        files.push(Listed::bytes(format!("evidence/report-{n}.json"), report));
    }
    Ok(files)
}

/// What the verdict on a signature rests on and it does not bring itself.
async fn proofs(app: &Domain, signature: &Signature) -> Result<Vec<Proof>> {
    let signature = signature.clone();
    let look = move |conn: &mut Conn| signature::list_proofs(conn, &signature);
    app.db.read(look).await.map_err(Error::from)
}

/// The longest signature that evidence is put into: it is in memory then. A longer one has it beside it.
const LONGEST_EXTENDED: i64 = 16 << 20;

/// The signature with its evidence in it, so that it is proven by itself.
async fn with_proofs(app: &Domain, blob: &DocumentBlob, proofs: &[Proof]) -> Result<Option<Bytes>> {
    if proofs.is_empty() || blob.size > LONGEST_EXTENDED {
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
    let signature = app.blobs.read_whole(key(blob)).await?;
    let extend = move || {
        let extended = with_evidence(&signature, &more)?;
        // One that is full already would be too large for who reads it.
        let is_readable = SignedData::read(&extended, &Limits::SIGNATURE).is_ok();
        Ok::<_, ReadError>(is_readable.then(|| Bytes::from(extended)))
    };
    tokio::task::spawn_blocking(extend)
        .await
        .map_err(Error::internal)?
        .map_err(Error::internal)
}

/// The signature as it was handed in, where the archive has it with its evidence.
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

/// Lists all files but itself.
fn manifest(dossier: &Dossier, files: &[Listed]) -> String {
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

/// The contents of a blob's row.
pub fn key(blob: &DocumentBlob) -> BlobKey {
    BlobKey {
        workspace: blob.workspace,
        id: blob.blob,
    }
}
