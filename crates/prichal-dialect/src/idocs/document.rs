//! The models of a document, as one company sees it (`docs/contracts/idocs.md §1.3`).
//!
//! Their members equal those of the log's snapshot.

use prichal_core::{
    document::{Document, Status, snapshot},
    id::WorkspaceId,
};
use serde_json::Value;

/// `DocumentBaseVM`.
pub fn base(document: &Document, viewer: WorkspaceId, status: Status) -> Value {
    snapshot::members(document, viewer, status)
}

/// `DocumentExtendedVM`; `None` if the company does not see the document.
pub fn extended(document: &Document, viewer: WorkspaceId) -> Option<Value> {
    let mut model = base(document, viewer, document.status(viewer)?);
    model["documentRoute"] = snapshot::route(document, viewer);
    Some(model)
}
