//! E-documents: the operations on them, by single requests and by bulk calls.

pub mod archive;
pub mod bulk;
pub mod check;
pub mod content;
pub mod dossier;
pub mod evidence;
pub mod print;
pub mod public;
pub mod recheck;
pub mod record;
pub mod search;
pub mod ticket;
pub mod zip;

use prichal_core::{
    entity::Employee,
    event::EntityKind,
    id::{EntityId, UserId, WorkspaceId},
};
use prichal_store::{Conn, LoggedEvent, entity};

use crate::error::Result;

/// Removes events about documents, unless the user may view documents. Without a user, they are always removed.
pub fn hide_events(
    conn: &mut Conn,
    workspace: WorkspaceId,
    user: Option<UserId>,
    events: &mut Vec<LoggedEvent>,
) -> Result<()> {
    let is_about = |event: &LoggedEvent| {
        let mut kinds = event.entities().iter().map(|(kind, _)| kind);
        kinds.any(|kind| matches!(kind, EntityKind::Document | EntityKind::Route))
    };
    if events.iter().any(is_about) && !may_view(conn, workspace, user)? {
        events.retain(|event| !is_about(event));
    }
    Ok(())
}

/// True if the user may view documents. Without a user, nobody may.
pub fn may_view(conn: &mut Conn, workspace: WorkspaceId, user: Option<UserId>) -> Result<bool> {
    let Some(user) = user else { return Ok(false) };
    let found = entity::find(conn, workspace, EntityKind::User, EntityId(user.0))?;
    let employee = found.filter(|user| user.deleted_at.is_none());
    let employee = employee.and_then(|user| Employee::read(&user.members));
    Ok(employee.is_some_and(|employee| employee.may("DOCUMENT_VIEW")))
}
