//! The keys of numbers are recomputed after a change of the rules for keys or of a workspace's region.
//!
//! Each batch is a transaction that also stores the progress, so the work goes on after a restart. Meanwhile, numbers
//! that are not recomputed yet are found by their old keys. Links and events do not change.

use std::time::Duration;

use prichal_core::{
    event::EntityKind,
    id::WorkspaceId,
    phone::{RULES, Region},
};
use prichal_store::{
    Conn, Tx, communication, entity,
    phone::{self as store, DONE, Progress},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{phones, record::CallRecord};
use crate::{
    domain::Domain,
    error::{Error, Result},
};

/// The maximum number of rows of one batch.
const BATCH: i64 = 100;
/// The maximum number of workspaces of one read.
const WORKSPACE_BATCH: i64 = 100;
/// The wait after an error of the store.
const RETRY_DELAY: Duration = Duration::from_secs(10);
/// The kinds that have numbers, in the order of keying.
const KINDS: [EntityKind; 3] = [
    EntityKind::Company,
    EntityKind::Contact,
    EntityKind::Communication,
];

/// Recomputes keys until `stop`.
pub async fn run(app: Domain, stop: CancellationToken) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        let worked = tokio::select! {
            worked = catch_up(&app) => worked,
            () = stop.cancelled() => break,
        };
        let again = async {
            match &worked {
                Ok(()) => app.telephony.rekey.notified().await,
                Err(error) => {
                    tracing::error!(
                        error = error as &dyn std::error::Error,
                        "cannot recompute the keys of phone numbers"
                    );
                    app.clock.sleep_until(app.clock.now() + RETRY_DELAY).await;
                }
            }
        };
        tokio::select! {
            () = again => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(())
}

/// Recomputes the keys of all workspaces that are behind. A failure in one does not stop the others.
async fn catch_up(app: &Domain) -> Result<()> {
    let (mut after, mut failed) = (None, Ok(()));
    loop {
        let look = move |conn: &mut Conn| {
            let rules = format!("{RULES}:");
            Ok::<_, Error>(store::list_behind(conn, &rules, after, WORKSPACE_BATCH)?)
        };
        let behind = app.db.read(look).await?;
        let Some(last) = behind.last().copied() else {
            return failed;
        };
        for workspace in behind {
            if let Err(error) = key_all(app, workspace).await {
                failed = Err(error);
            }
        }
        after = Some(last);
    }
}

async fn key_all(app: &Domain, workspace: WorkspaceId) -> Result<()> {
    while !app
        .db
        .write(workspace, move |tx| step(tx, workspace))
        .await?
    {}
    Ok(())
}

fn rules(region: Region) -> String {
    format!("{RULES}:{}", region.name())
}

/// Starts a workspace over, after its region has changed.
pub fn begin(tx: &mut Tx<'_>, workspace: WorkspaceId, region: Region) -> Result<()> {
    store::set_progress(tx, workspace, &first(region))?;
    Ok(())
}

fn first(region: Region) -> Progress {
    Progress {
        rules: rules(region),
        kind: KINDS[0].name().to_owned(),
        id: Uuid::nil(),
    }
}

/// Recomputes a batch of a workspace. True after the last one.
fn step(tx: &mut Tx<'_>, workspace: WorkspaceId) -> Result<bool> {
    let kept = store::progress(tx, workspace)?;
    let region = phones::region(tx.conn()?, workspace)?;
    let mut progress = kept
        .filter(|progress| progress.rules == rules(region))
        .unwrap_or_else(|| first(region));
    while let Some(kind) = KINDS.into_iter().find(|kind| kind.name() == progress.kind) {
        let last = match kind {
            EntityKind::Communication => key_calls(tx, workspace, progress.id, region)?,
            _ => key_owners(tx, workspace, kind, progress.id, region)?,
        };
        if let Some(last) = last {
            progress.id = last;
            break;
        }
        let next = KINDS.iter().skip_while(|other| **other != kind).nth(1);
        next.map_or(DONE, |next| next.name())
            .clone_into(&mut progress.kind);
        progress.id = Uuid::nil();
    }
    store::set_progress(tx, workspace, &progress)?;
    Ok(progress.kind == DONE)
}

/// Recomputes the keys of some contacts or companies, and returns the last id. `None` if there are no more.
fn key_owners(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    kind: EntityKind,
    after: Uuid,
    region: Region,
) -> Result<Option<Uuid>> {
    let some = entity::list_after_for_update(tx, workspace, kind, after, BATCH)?;
    for (id, members) in &some {
        let members = serde_json::from_str(members).map_err(Error::internal)?;
        let keys = phones::keys(kind, &members, region);
        store::put(tx, workspace, kind, *id, &keys)?;
    }
    Ok(some.last().map(|(id, _)| *id))
}

fn key_calls(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    after: Uuid,
    region: Region,
) -> Result<Option<Uuid>> {
    let some = communication::list_after_for_update(tx, workspace, after, BATCH)?;
    let last = some.last().map(|row| row.id.0);
    for row in some {
        let found = CallRecord::of(row)?;
        let key = phones::of_call(&found.call, region).into_iter().next();
        if key != found.phone() {
            communication::set_phone(tx, workspace, found.row.id, key.as_deref())?;
        }
    }
    Ok(last)
}
