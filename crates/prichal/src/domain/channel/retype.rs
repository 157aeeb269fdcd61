//! Channels take over the members that their type fixes when the type is created or changed.

use prichal_core::{
    event::{EntityKind, NewEvent, Origin},
    id::EventId,
    schema::Object,
};
use prichal_store::{
    Tx, channel,
    resource::{self, Kind},
    walk::{self as store, Walk},
};

use super::{close, open, type_of};
use crate::{
    domain::walk::{self, WalkOrigin},
    error::Result,
    platform::vault::Vault,
};

/// Queues a walk over the channels of a type, if there are any.
pub fn begin(tx: &mut Tx<'_>, origin: &Origin, name: &str) -> Result<()> {
    let some = channel::list_of_type_for_update(tx, origin.workspace, name, "", 1)?;
    if some.is_empty() {
        return Ok(());
    }
    let begun = WalkOrigin::of(origin);
    walk::begin(tx, origin.workspace, store::Kind::Type, name, &begun)
}

/// Updates some channels of a type and returns the name of the last one. A type that was deleted fixes no members.
pub fn bite(vault: &Vault, tx: &mut Tx<'_>, walk: &Walk, most: i64) -> Result<Option<String>> {
    let origin = walk::detail::<WalkOrigin>(walk)?.origin(walk.workspace);
    let found = resource::find_by_code(tx.conn()?, walk.workspace, Kind::ChannelType, &walk.item)?;
    let Some(row) = found else { return Ok(None) };
    let kind = type_of(&row)?;
    let (name, last) = (&walk.item, &walk.last);
    let rows = channel::list_of_type_for_update(tx, walk.workspace, name, last, most)?;
    for row in &rows {
        let before = open(vault, row)?;
        let mut after = before.clone();
        after.bind(&kind, &Object::new())?;
        if after == before {
            continue;
        }
        after.updated_at = origin.at.max(before.updated_at);
        channel::update(tx, &close(vault, walk.workspace, &after)?)?;
        tx.append(NewEvent::patch(
            EventId::generate(origin.at),
            &origin,
            (EntityKind::IntegrationPoint, after.id),
            before.snapshot(),
            after.snapshot(),
        ));
    }
    Ok(rows.last().map(|row| row.id.to_string()))
}
