//! The users that a caller is redirected to: those responsible for the active deals of the number
//! (`docs/contracts/kontur.md §7`).

use prichal_core::{
    event::{Entity, EntityKind},
    id::{IntegrationId, WorkspaceId},
    phone,
};
use prichal_store::{Conn, communication, entity};
use serde_json::Value;
use uuid::Uuid;

use super::{living, phones, record};
use crate::error::Result;

/// Finds the users by the number of the client. An unknown number has none.
pub fn by_phone(conn: &mut Conn, workspace: WorkspaceId, number: &str) -> Result<Vec<Uuid>> {
    let keys = phone::keys(number, phones::region(conn, workspace)?);
    let ends = phones::matches(conn, workspace, &keys)?;
    responsible(conn, workspace, &ends)
}

/// Finds the users by a registered call. Its links count, including corrections by users. `None` if there is no such
/// call.
pub fn by_call(
    conn: &mut Conn,
    workspace: WorkspaceId,
    integration: IntegrationId,
    external_id: &str,
) -> Result<Option<Vec<Uuid>>> {
    let found = communication::find_external(conn, workspace, integration, external_id)?;
    let Some(found) = found.filter(|found| found.deleted_at.is_none()) else {
        return Ok(None);
    };
    let me = (EntityKind::Communication, found.id.0);
    let mut ends: Vec<Entity> = entity::links(conn, workspace, me)?;
    let cut = record::parse_links(&found.cut_links);
    let deals = phones::active_deals(conn, workspace, &ends)?;
    // A deal that a user has unlinked from the call does not come back through its contact.
    ends = deals
        .iter()
        .map(|deal| (EntityKind::Deal, deal.id.0))
        .filter(|end| !cut.contains(end))
        .collect();
    responsible(conn, workspace, &ends).map(Some)
}

fn responsible(conn: &mut Conn, workspace: WorkspaceId, ends: &[Entity]) -> Result<Vec<Uuid>> {
    let mut users: Vec<Uuid> = Vec::new();
    for deal in phones::active_deals(conn, workspace, ends)? {
        let user = deal.members.get("assignedToUserId").and_then(Value::as_str);
        let Some(user) = user.and_then(prichal_core::id::parse) else {
            continue;
        };
        if !users.contains(&user) && is_at_work(conn, workspace, user)? {
            users.push(user);
        }
    }
    Ok(users)
}

/// True if calls can be sent to a user, who has to exist and to be active and not hidden.
fn is_at_work(conn: &mut Conn, workspace: WorkspaceId, user: Uuid) -> Result<bool> {
    let Some((members, _)) = living(conn, workspace, EntityKind::User, user)? else {
        return Ok(false);
    };
    let is_hidden = members.get("isHidden").and_then(Value::as_bool) == Some(true);
    let is_inactive = members.get("status").and_then(Value::as_str) == Some("inactive");
    Ok(!is_hidden && !is_inactive)
}
