//! Channels take over the members that their type fixes when the type is created or changed.

use prichal_core::{
    event::{EntityKind, NewEvent, Origin},
    id::EventId,
    schema::Object,
};
use prichal_store::{
    Tx, channel,
    job::{self as store, Job},
    resource::{self, Kind},
};

use super::{close, open, type_of};
use crate::{
    domain::job::{self, JobOrigin},
    error::Result,
    platform::vault::Vault,
};

/// Begins a job that updates the channels of a type, if there are any.
pub fn begin(tx: &mut Tx<'_>, origin: &Origin, name: &str) -> Result<()> {
    let some = channel::list_of_type_for_update(tx, origin.workspace, name, "", 1)?;
    if some.is_empty() {
        return Ok(());
    }
    let begun = JobOrigin::of(origin);
    job::begin(tx, origin.workspace, store::Kind::ApplyType, name, &begun)
}

/// Updates a batch of at most `most` channels of a type, and returns the id of the last one. A type that was deleted
/// fixes no members.
pub fn run_batch(vault: &Vault, tx: &mut Tx<'_>, job: &Job, most: i64) -> Result<Option<String>> {
    let origin = job::detail::<JobOrigin>(job)?.origin(job.workspace);
    let found = resource::find_by_code(tx.conn()?, job.workspace, Kind::ChannelType, &job.item)?;
    let Some(row) = found else { return Ok(None) };
    let kind = type_of(&row)?;
    let (name, last) = (&job.item, &job.last);
    let rows = channel::list_of_type_for_update(tx, job.workspace, name, last, most)?;
    for row in &rows {
        let before = open(vault, row)?;
        let mut after = before.clone();
        after.bind(&kind, &Object::new())?;
        if after == before {
            continue;
        }
        after.updated_at = origin.at.max(before.updated_at);
        channel::update(tx, &close(vault, job.workspace, &after)?)?;
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
