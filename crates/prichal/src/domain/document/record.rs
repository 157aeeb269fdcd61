//! Writing the changes of a document: the document itself, each company's view of it, and the events in the companies'
//! logs, all in the caller's transaction.

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

/// The time after which an upload that no document uses is deleted.
pub const UNUSED_UPLOAD_TTL: Duration = Duration::from_hours(7 * 24);

/// The employee who performs an operation, with the company and the time.
#[derive(Clone, Debug)]
pub struct Performer {
    pub company: WorkspaceId,
    pub employee: UserId,
    pub by: ChangeAuthor,
    pub at: Timestamp,
}

impl Performer {
    /// The origin of an event in a company's log. An employee of another company is no user of it, so the system is the
    /// author there.
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

/// Adds a document as a draft of its sender.
pub fn create(tx: &mut Tx<'_>, document: &Document, performer: &Performer) -> Result<()> {
    store::insert(tx, document)?;
    let viewer = document.sender.company;
    if let Some(status) = document.status(viewer) {
        let new = snapshot(document, viewer, status, Some(&performer.by), None);
        let origin = performer.origin(viewer);
        let entity = (EntityKind::Document, document.id);
        tx.append(NewEvent::create(
            EventId::generate(performer.at),
            &origin,
            entity,
            new,
        ));
    }
    Ok(())
}

/// Writes a changed document, and an event into the log of each company that sees it.
pub fn update(
    tx: &mut Tx<'_>,
    document: &Document,
    changes: &[Change],
    performer: &Performer,
) -> Result<()> {
    store::update(tx, document, changes)?;
    let entity = (EntityKind::Document, document.id);
    for change in changes {
        let Change {
            viewer,
            previous,
            status,
        } = *change;
        let (id, origin) = (EventId::generate(performer.at), performer.origin(viewer));
        let reason = document.reason(viewer);
        let new = snapshot(document, viewer, status, Some(&performer.by), reason);
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

/// Writes the present route into the log of the company that has acted.
pub fn tell_route(
    tx: &mut Tx<'_>,
    document: &Document,
    before: Option<&Document>,
    performer: &Performer,
) {
    let shown = |document: &Document| {
        let route = snapshot::route(document, performer.company);
        json!({ "id": document.id, "documentId": document.id, "documentRoute": route }).to_string()
    };
    let (id, origin) = (
        EventId::generate(performer.at),
        performer.origin(performer.company),
    );
    let entity = (EntityKind::Route, document.id);
    tx.append(match before {
        None => NewEvent::create(id, &origin, entity, shown(document)),
        Some(before) => NewEvent::patch(id, &origin, entity, shown(before), shown(document)),
    });
}

/// Deletes a draft and the files that were made of it for signing. Its originals count as unused uploads again, unless
/// another document uses them.
pub fn delete(tx: &mut Tx<'_>, document: &Document, performer: &Performer) -> Result<()> {
    let viewer = document.sender.company;
    if let Some(zip) = store::zip(tx.conn()?, document.id)? {
        document_blob::end(tx, viewer, zip, performer.at)?;
    }
    for content in &document.contents {
        document_blob::release(tx, viewer, *content, performer.at + UNUSED_UPLOAD_TTL)?;
    }
    store::delete_draft(tx, document)?;
    if let Some(status) = document.status(viewer) {
        let old = snapshot(document, viewer, status, None, None);
        let (id, origin) = (EventId::generate(performer.at), performer.origin(viewer));
        let entity = (EntityKind::Document, document.id);
        tx.append(NewEvent::delete(id, &origin, entity, old));
    }
    Ok(())
}

/// Writes the result of a further check of a signature into the logs of all companies that see the document.
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
