//! Whose number it is: kept when contacts and companies are written, and told to the calls that came
//! before.

use prichal_core::event::{Author, Entity, Origin};
use prichal_store::{Tx, communication, entity, phone as store};

use super::{
    phones::{has_phones, keys, region},
    record,
};
use crate::error::{Error, Result};

/// How many older calls are linked at once with somebody whose numbers have become known.
const OLDER_CALLS: usize = 500;

/// Keeps the numbers of a contact or company that was changed, and links the calls of numbers that are
/// new with it. Nothing for other kinds.
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
    tell_older_calls(tx, origin, end, &fresh)
}

/// The same for an entity that was only now inserted, with the keys of its numbers.
pub fn note_first(tx: &mut Tx<'_>, origin: &Origin, end: Entity, keys: &[String]) -> Result<()> {
    store::put_first(tx, origin.workspace, end.0, end.1, keys);
    tell_older_calls(tx, origin, end, keys)
}

fn tell_older_calls(tx: &mut Tx<'_>, origin: &Origin, end: Entity, fresh: &[String]) -> Result<()> {
    let system = Origin {
        author: Author::system(),
        ..origin.clone()
    };
    let mut room = OLDER_CALLS;
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
