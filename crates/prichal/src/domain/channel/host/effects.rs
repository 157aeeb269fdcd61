//! The writing of a run's changes.

use prichal_core::{
    event::{EntityKind, NewEvent, Origin},
    id::{EntityId, EventId, WorkspaceId},
};
use prichal_store::{Tx, kv, run};
use serde_json::json;

use super::{Effect, Effects};
use crate::{
    domain::{
        Domain,
        entity::{EntityRef, edit, link},
    },
    error::{Code, Error, Result},
};

/// The maximum number of values of a channel.
const MAX_KEYS: i64 = 10_000;

impl Effects {
    /// The size of the changes in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// True if the run sends messages.
    pub fn sends(&self) -> bool {
        self.sent > 0
    }

    /// Writes the changes in the channel's name, and returns the entities whose rights they have changed.
    pub fn write(
        &self,
        app: &Domain,
        tx: &mut Tx<'_>,
        origin: &Origin,
        channel: Option<EntityId>,
    ) -> Result<Vec<EntityRef>> {
        let (workspace, mut changed) = (origin.workspace, Vec::new());
        let mut has_more = false;
        let channel = self.living(tx, workspace, channel)?;
        if let Some(channel) = channel.filter(|_| !self.seen.is_empty() && !self.list.is_empty()) {
            self.check_seen(tx, workspace, channel)?;
        }
        for effect in &self.list {
            match effect {
                Effect::Keep { key, value } => {
                    let Some(channel) = channel else { continue };
                    match value {
                        None => kv::remove(tx, workspace, channel, key)?,
                        Some(value) => has_more |= kv::put(tx, workspace, channel, key, value)?,
                    }
                }
                Effect::Send(run) => run::insert(tx, run, None),
                Effect::Create(draft) => {
                    changed.extend(draft.write(tx, origin, self.authority)?.rights);
                }
                Effect::Patch {
                    entity_ref,
                    operations,
                    settings,
                } => {
                    let (check, authority) = (app.config.identifier_check, self.authority);
                    let done = edit::patch(
                        tx,
                        origin,
                        check,
                        *entity_ref,
                        operations,
                        settings,
                        authority,
                    )?;
                    changed.extend(done.rights);
                }
                Effect::Link(ends) => {
                    changed.extend(link::link(tx, *ends, origin, self.authority)?);
                }
                Effect::Publish { name, data } => {
                    let Some(channel) = channel else { continue };
                    let about = (EntityKind::IntegrationPoint, channel.0);
                    let event = json!({ "name": name, "data": data });
                    let new = json!({ "id": channel, "event": event }).to_string();
                    let id = EventId::generate(origin.at);
                    tx.append(NewEvent::published(id, origin, about, new));
                }
            }
        }
        // Checked once for all changes, since it reads the key of each value.
        if let Some(channel) = channel.filter(|_| has_more)
            && kv::count(tx.conn()?, workspace, channel)? > MAX_KEYS
        {
            let what = format!("A channel may keep at most {MAX_KEYS} values");
            return Err(Error::refused(Code::LimitReached, what));
        }
        Ok(changed)
    }

    /// The channel, locked if the changes concern it. `None` if it was deleted: its values and its events go with it, also
    /// if there is another channel with its id.
    fn living(
        &self,
        tx: &mut Tx<'_>,
        workspace: WorkspaceId,
        channel: Option<EntityId>,
    ) -> Result<Option<EntityId>> {
        let concerns =
            |effect: &Effect| matches!(effect, Effect::Keep { .. } | Effect::Publish { .. });
        let Some(id) = channel.filter(|_| self.list.iter().any(concerns)) else {
            return Ok(channel);
        };
        let found = prichal_store::channel::find_for_update(tx, workspace, id)?;
        let found = found.filter(|found| {
            found.deleted_at.is_none() && Some(found.created_at) == self.channel_created_at
        });
        Ok(found.map(|_| id))
    }

    /// Refuses if another node has changed the values since they were read. Runs of one node hold a lock instead.
    fn check_seen(&self, tx: &mut Tx<'_>, workspace: WorkspaceId, channel: EntityId) -> Result<()> {
        prichal_store::channel::find_for_update(tx, workspace, channel)?;
        for (key, seen) in &self.seen {
            if kv::find(tx.conn()?, workspace, channel, key)? != *seen {
                let what = "Another run has changed the values of the channel meanwhile";
                return Err(Error::refused(Code::Overtaken, what));
            }
        }
        Ok(())
    }
}
