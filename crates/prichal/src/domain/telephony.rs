//! Telephony: what becomes of the messages about calls (`docs/contracts/kontur.md §6`).
//!
//! * [`take`] finds the call that a message is about and adds the message to its evidence. Which call
//!   results is decided in [`prichal_core::call`], which needs no store.
//! * [`record`] writes what has changed: the row, its links, its events. All in the transaction that
//!   found the call, so that a message that is answered is kept.
//! * [`phones`] knows what belongs to a number; [`owners`] keeps it when contacts are written, and links
//!   the calls that came before.
//! * [`dial`] passes a user's wish to call or to hang up on to an integration.
//! * [`redirect`] says who is responsible for a caller.
//! * [`rekey`] keys numbers anew when the rules or the region have changed.
//! * [`watch`] gives calls up that nobody ends.
//! * [`live`] tells users about the calls on their line.

pub mod call_stream;
pub mod dial;
pub mod ingest;
pub mod owners;
pub mod phones;
pub mod record;
pub mod redirect;
pub mod rekey;
pub mod timeouts;

use prichal_core::{
    event::EntityKind,
    id::{EntityId, WorkspaceId},
};
use prichal_store::{Conn, entity};
use serde_json::Value;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    domain::listeners::Listeners,
    error::{Error, Result},
};

/// What runs beside the requests.
#[derive(Default)]
pub struct Telephony {
    pub watch: timeouts::Alarm,
    pub live: Listeners,
    /// Some numbers have to be keyed anew.
    pub rekey: Notify,
}

/// A message names a call that is not there.
pub fn not_found(id: &str) -> Error {
    let shown: String = id.chars().take(100).collect();
    Error::refused(
        "communicationNotFound",
        format!("Communication not found. Id: {shown}"),
    )
}

/// The members of an entity that is not deleted.
fn living(
    conn: &mut Conn,
    workspace: WorkspaceId,
    kind: EntityKind,
    id: Uuid,
) -> Result<Option<(Value, entity::Entity)>> {
    let found = entity::find(conn, workspace, kind, EntityId(id))?;
    let Some(found) = found.filter(|found| found.deleted_at.is_none()) else {
        return Ok(None);
    };
    let members = serde_json::from_str(&found.members).map_err(Error::internal)?;
    Ok(Some((members, found)))
}

/// The group of a user, from its members.
pub fn group_of(members: &Value) -> Option<Uuid> {
    let group = prichal_core::id::parse(members.get("groupId")?.as_str()?)?;
    (!group.is_nil()).then_some(group)
}
