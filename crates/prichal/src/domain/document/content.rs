//! The content to sign: a zip of a document's originals, built once, so that all signers sign the same bytes.

use prichal_core::{
    document::Document,
    id::{WorkspaceId, generate},
    time::Timestamp,
};
use prichal_store::{
    Conn, Tx, document as documents,
    document_blob::{self, DocumentBlob, Kind},
};
use uuid::Uuid;

use super::{
    dossier::key,
    zip::{self, Contents, Entry},
};
use crate::{
    domain::Domain,
    error::{Error, Result},
    platform::blobs::BlobKey,
};

/// The originals of a document; `None` if their zip exists already.
pub fn find_originals(
    conn: &mut Conn,
    document: &Document,
    now: Timestamp,
) -> Result<Option<Vec<DocumentBlob>>> {
    if documents::zip(conn, document.id)?.is_some() {
        return Ok(None);
    }
    let originals = document.contents.iter().map(|content| {
        let found = document_blob::find(conn, document.sender.company, *content, now)?;
        found.ok_or_else(|| Error::internal("an original of a document is missing"))
    });
    originals.collect::<Result<_>>().map(Some)
}

/// Builds the zip, and puts it into the blob store of the sender. The work counts for the company that asks.
pub async fn build(
    app: &Domain,
    company: WorkspaceId,
    document: &Document,
    originals: &[DocumentBlob],
    now: Timestamp,
) -> Result<DocumentBlob> {
    let sender = document.sender.company;
    let names: Vec<&str> = originals.iter().map(|one| one.name.as_str()).collect();
    let entries: Vec<Entry> = zip::distinct(&names)
        .into_iter()
        .zip(originals)
        .map(|(name, original)| Entry {
            name,
            contents: Contents::Blob(key(original)),
        })
        .collect();
    let built = zip::build(app, company, &entries).await?;
    let blob = BlobKey::generate(sender, now);
    let size = i64::try_from(built.size).map_err(Error::internal)?;
    let sha256 = built.keep(app, blob).await?;
    Ok(DocumentBlob {
        workspace: sender,
        id: generate(now),
        kind: Kind::Zip,
        blob: blob.id,
        name: format!("{}.zip", document.id),
        size,
        sha256,
        created_at: now,
        expires_at: None,
    })
}

/// Stores the zip, and returns the id of the first one. A second one, built at the same time, is an orphan, which
/// retention removes.
pub fn store(
    tx: &mut Tx<'_>,
    document: &Document,
    made: Option<&DocumentBlob>,
) -> Result<Option<Uuid>> {
    if let Some(known) = documents::zip(tx.conn()?, document.id)? {
        return Ok(Some(known));
    }
    let Some(made) = made else { return Ok(None) };
    document_blob::insert(tx, made)?;
    Ok(documents::keep_zip(tx, document.id, made.id)?)
}
