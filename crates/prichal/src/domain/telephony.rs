//! Telephony: calls, and the messages of exchanges about them (`docs/contracts/kontur.md §6`).
//!
//! * [`ingest`] finds the call of a message and adds the message to its evidence. The call that results is decided in
//!   [`prichal_core::call`], without the store.
//! * [`record`] writes a changed call with its links and events, in the transaction that has found it. So an answered
//!   message is stored.
//! * [`own_calls`] tells the calls that an employee sees.
//! * [`phones`] finds the entities of a number. [`owners`] stores the numbers of contacts when these are written, and
//!   links earlier calls with them.
//! * [`dial`] passes a user's request to call or to hang up on to an integration.
//! * [`redirect`] finds the users who are responsible for a caller.
//! * [`rekey`] recomputes the keys of numbers when the rules or the region have changed.
//! * [`timeouts`] gives up calls without an end.
//! * [`call_stream`] tells users about the calls on their line.

pub mod call_stream;
pub mod dial;
pub mod ingest;
pub mod own_calls;
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
    error::{Code, Error, Result},
};

/// The state of telephony on this node.
#[derive(Default)]
pub struct Telephony {
    pub deadline: timeouts::Deadline,
    pub call_streams: Listeners,
    /// Wakes the task that recomputes the keys of numbers.
    pub rekey: Notify,
}

/// The error about a message for an unknown call.
pub fn not_found(id: &str) -> Error {
    let shown: String = id.chars().take(100).collect();
    Error::refused(
        Code::CommunicationNotFound,
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
