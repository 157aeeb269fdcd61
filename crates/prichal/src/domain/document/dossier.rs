//! A document with all that belongs to it, as one company sees it: the source of its archive and its print form.

use std::collections::BTreeMap;

use prichal_core::{
    document::{Document, Status},
    event::EntityKind,
    id::{EntityId, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{
    Conn,
    document_blob::{self, DocumentBlob},
    entity,
    signature::{self, Signature},
    workspace,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    platform::blobs::BlobKey,
};

/// A document with its files and signatures, as one company sees it.
#[derive(Clone, Debug)]
pub struct Dossier {
    pub document: Document,
    pub viewer: WorkspaceId,
    pub status: Status,
    pub originals: Vec<DocumentBlob>,
    /// The zip of the originals that was signed, if there are several.
    pub zip: Option<DocumentBlob>,
    pub signatures: Vec<(Signature, DocumentBlob)>,
    /// The names of the companies, and of the viewer's own employees on the route.
    pub companies: BTreeMap<WorkspaceId, String>,
    pub employees: BTreeMap<Uuid, String>,
}

impl Dossier {
    /// Reads all parts. `None` if the company does not see the document.
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
            companies.insert(company, company_name(conn, company)?);
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

    /// The time of the document's last change, in seconds since 1970.
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

/// The name of a company; empty if it has none, or is not registered here.
pub fn company_name(conn: &mut Conn, company: WorkspaceId) -> Result<String> {
    let found = workspace::find(conn, &company.to_string())?;
    let name = found.and_then(|one| one.company_name.or(one.title));
    Ok(name.unwrap_or_default())
}

/// The key of the contents of a document's blob.
pub fn key(blob: &DocumentBlob) -> BlobKey {
    BlobKey {
        workspace: blob.workspace,
        id: blob.blob,
    }
}
