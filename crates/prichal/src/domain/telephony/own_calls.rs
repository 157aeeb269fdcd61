//! The calls that an employee sees: the own ones (`docs/access.md`).

use prichal_core::{
    event::EntityKind,
    id::{EntityId, UserId, WorkspaceId},
};
use prichal_store::{Conn, LoggedEvent, communication};
use uuid::Uuid;

use crate::error::Result;

/// True if the caller sees the call. `own` is the user whose calls alone it sees; with `None` it sees all.
pub fn shows(
    conn: &mut Conn,
    workspace: WorkspaceId,
    own: Option<UserId>,
    call: EntityId,
) -> Result<bool> {
    match own {
        None => Ok(true),
        Some(user) => Ok(!communication::list_own(conn, workspace, user, &[call.0])?.is_empty()),
    }
}

/// Leaves out the items about calls that are not the user's own. `call` tells the call of an item.
pub fn retain<T>(
    conn: &mut Conn,
    workspace: WorkspaceId,
    user: UserId,
    items: &mut Vec<T>,
    call: impl Fn(&T) -> Option<Uuid>,
) -> Result<()> {
    let mut calls: Vec<Uuid> = items.iter().filter_map(&call).collect();
    calls.sort_unstable();
    calls.dedup();
    if calls.is_empty() {
        return Ok(());
    }
    let shown = communication::list_own(conn, workspace, user, &calls)?;
    items.retain(|item| call(item).is_none_or(|call| shown.contains(&call)));
    Ok(())
}

/// Leaves out the events about calls that the caller does not see.
pub fn hide_events(
    conn: &mut Conn,
    workspace: WorkspaceId,
    own: Option<UserId>,
    events: &mut Vec<LoggedEvent>,
) -> Result<()> {
    match own {
        None => Ok(()),
        Some(user) => retain(conn, workspace, user, events, |event| {
            call_of(&event.head.entities)
        }),
    }
}

/// The call among the entities of an event.
pub fn call_of(entities: &[(EntityKind, Uuid)]) -> Option<Uuid> {
    let mut calls = entities.iter();
    let found = calls.find(|(kind, _)| *kind == EntityKind::Communication);
    found.map(|(_, id)| *id)
}
