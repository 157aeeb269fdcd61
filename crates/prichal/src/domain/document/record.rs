//! Writing what becomes of a document: the document itself, what each company sees of it, and the events
//! in their logs, all in the caller's transaction.

use std::time::Duration;

use prichal_core::{
    document::{
        Change, Document,
        snapshot::{self, ChangeAuthor, snapshot},
    },
    event::{Author, EntityKind, NewEvent, Origin},
    id::{EventId, UserId, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{Tx, document as store, document_blob, signature::Signature};
use serde_json::json;

use crate::error::Result;

/// How long an upload waits for something that uses it.
pub const UNUSED: Duration = Duration::from_hours(7 * 24);

/// Who does it, for which company, and when.
#[derive(Clone, Debug)]
pub struct Doer {
    pub company: WorkspaceId,
    pub employee: UserId,
    pub by: ChangeAuthor,
    pub at: Timestamp,
}

impl Doer {
    /// The stamp of what happens in a company's log. Nobody of another company is a user of it.
    fn origin(&self, workspace: WorkspaceId) -> Origin {
        let own = workspace == self.company;
        Origin {
            workspace,
            author: if own {
                Author::web_app(Some(self.employee))
            } else {
                Author::system()
            },
            at: self.at,
        }
    }
}

/// Adds a document, a draft of its sender's.
pub fn create(tx: &mut Tx<'_>, document: &Document, doer: &Doer) -> Result<()> {
    store::insert(tx, document)?;
    let viewer = document.sender.company;
    if let Some(status) = document.status(viewer) {
        let new = snapshot(document, viewer, status, Some(&doer.by), None);
        let origin = doer.origin(viewer);
        let entity = (EntityKind::Document, document.id);
        tx.append(NewEvent::create(
            EventId::generate(doer.at),
            &origin,
            entity,
            new,
        ));
    }
    Ok(())
}

/// Writes what a document has become, and tells every company what it sees now.
pub fn update(tx: &mut Tx<'_>, document: &Document, changes: &[Change], doer: &Doer) -> Result<()> {
    store::update(tx, document, changes)?;
    let entity = (EntityKind::Document, document.id);
    for change in changes {
        let Change {
            viewer,
            previous,
            status,
        } = *change;
        let (id, origin) = (EventId::generate(doer.at), doer.origin(viewer));
        let reason = document.reason(viewer);
        let new = snapshot(document, viewer, status, Some(&doer.by), reason);
        tx.append(match previous {
            None => NewEvent::create(id, &origin, entity, new),
            Some(previous) => {
                let old = snapshot(document, viewer, previous, None, None);
                NewEvent::patch(id, &origin, entity, old, new)
            }
        });
    }
    Ok(())
}

/// Tells the log of the company that has acted what its route is now.
pub fn tell_route(tx: &mut Tx<'_>, document: &Document, before: Option<&Document>, doer: &Doer) {
    let shown = |document: &Document| {
        let route = snapshot::route(document, doer.company);
        json!({ "id": document.id, "documentId": document.id, "documentRoute": route }).to_string()
    };
    let (id, origin) = (EventId::generate(doer.at), doer.origin(doer.company));
    let entity = (EntityKind::Route, document.id);
    tx.append(match before {
        None => NewEvent::create(id, &origin, entity, shown(document)),
        Some(before) => NewEvent::patch(id, &origin, entity, shown(before), shown(document)),
    });
}

/// Removes a draft, and what was made of it to be signed. Its originals wait again for something that uses
/// them, unless others do.
pub fn delete(tx: &mut Tx<'_>, document: &Document, doer: &Doer) -> Result<()> {
    let viewer = document.sender.company;
    if let Some(zip) = store::zip(tx.conn()?, document.id)? {
        document_blob::end(tx, viewer, zip, doer.at)?;
    }
    for content in &document.contents {
        document_blob::release(tx, viewer, *content, doer.at + UNUSED)?;
    }
    store::delete_draft(tx, document)?;
    if let Some(status) = document.status(viewer) {
        let old = snapshot(document, viewer, status, None, None);
        let (id, origin) = (EventId::generate(doer.at), doer.origin(viewer));
        let entity = (EntityKind::Document, document.id);
        tx.append(NewEvent::delete(id, &origin, entity, old));
    }
    Ok(())
}

/// Tells everybody who sees a document what a further check of a signature has come to.
pub fn tell_signature(tx: &mut Tx<'_>, document: &Document, signature: &Signature, at: Timestamp) {
    let report: serde_json::Value =
        serde_json::from_str(&signature.check.report).unwrap_or_default();
    let shown = json!({
        "id": document.id,
        "documentId": document.id,
        "signature": {
            "id": signature.id,
            "companyBin": signature.bin,
            "employeeId": signature.employee,
            "verdict": signature.check.verdict,
            "subIndication": report.get("subIndication"),
        },
    });
    for viewer in document.viewers() {
        let origin = Origin {
            workspace: viewer,
            author: Author::system(),
            at,
        };
        let entity = (EntityKind::Route, document.id);
        let id = EventId::generate(at);
        tx.append(NewEvent::published(id, &origin, entity, shown.to_string()));
    }
}
