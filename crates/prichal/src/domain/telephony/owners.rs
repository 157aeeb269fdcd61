//! The owners of numbers: stored when contacts and companies are written, and linked with earlier calls.

use prichal_core::event::{Author, Entity, Origin};
use prichal_store::{Tx, communication, entity, phone as store};

use super::{
    phones::{has_phones, keys, region},
    record,
};
use crate::error::{Error, Result};

/// The maximum number of earlier calls that are linked with an owner of new numbers.
const MAX_LINKED_CALLS: usize = 500;

/// Stores the numbers of a changed contact or company, and links it with the calls of its new numbers. Other kinds of
/// entity have no numbers.
pub fn note(tx: &mut Tx<'_>, origin: &Origin, written: &entity::Entity) -> Result<()> {
    if !has_phones(written.kind) {
        return Ok(());
    }
    let keys = if written.deleted_at.is_some() {
        Vec::new()
    } else {
        let members = serde_json::from_str(&written.members).map_err(Error::internal)?;
        keys(
            written.kind,
            &members,
            region(tx.conn()?, origin.workspace)?,
        )
    };
    let end = (written.kind, written.id.0);
    let fresh = store::put(tx, origin.workspace, end.0, end.1, &keys)?;
    link_older_calls(tx, origin, end, &fresh)
}

/// The same for a new entity, with the keys of its numbers.
pub fn note_first(tx: &mut Tx<'_>, origin: &Origin, end: Entity, keys: &[String]) -> Result<()> {
    store::put_first(tx, origin.workspace, end.0, end.1, keys);
    link_older_calls(tx, origin, end, keys)
}

fn link_older_calls(tx: &mut Tx<'_>, origin: &Origin, end: Entity, fresh: &[String]) -> Result<()> {
    let system = Origin {
        author: Author::system(),
        ..origin.clone()
    };
    let mut room = MAX_LINKED_CALLS;
    for key in fresh {
        if room == 0 {
            break;
        }
        let most = i64::try_from(room).map_err(Error::internal)?;
        let calls = communication::list_unlinked(tx.conn()?, origin.workspace, key, most)?;
        room -= calls.len();
        for id in calls {
            record::link_owner(tx, &system, id, end)?;
        }
    }
    Ok(())
}
