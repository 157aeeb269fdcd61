//! Walks, work on many rows in small transactions, carried to their end by a request or by the server after it.

use prichal_core::id::{EntityId, WorkspaceId};
use prichal_store::{
    Conn, Tx, delivery, kv, tenant,
    walk::{self as store, BITE, Kind, Walk},
    workspace,
};

use crate::{
    delivery::Delivery,
    domain::{
        channel::retype,
        instance::manifest,
        walk::{Told, damaged, integration},
    },
    error::{Error, Result},
    platform::security::{self, Event},
};

/// The size of a page of walks.
const PAGE: i64 = 100;

/// Carries a workspace's walks of one kind to their end, also if the request that waits for them is dropped.
pub async fn finish(app: &Delivery, workspace: WorkspaceId, kind: Kind) -> Result<()> {
    let list = move |conn: &mut Conn| store::list_of(conn, workspace, kind, PAGE);
    let walks = app.db.read(list).await?;
    if walks.is_empty() {
        return Ok(());
    }
    let at = app.clone();
    let work = async move {
        for walk in walks {
            carry_on(&at, &walk).await?;
        }
        Ok(())
    };
    let work = tenant::scope(tenant::current(), security::carried(work));
    app.background.spawn(work).await.map_err(Error::internal)?
}

/// Carries on the walks that requests left. A failed walk does not stop the others.
pub async fn resume(app: &Delivery) -> Result<()> {
    let (mut outcome, mut after) = (Ok(()), None);
    loop {
        let list = move |conn: &mut Conn| store::list(conn, after.as_ref(), PAGE);
        let walks = app.db.read(list).await?;
        for walk in &walks {
            let done = carry_on(app, walk).await;
            outcome = outcome.and(done);
        }
        let is_last = i64::try_from(walks.len()).is_ok_and(|count| count < PAGE);
        after = walks.into_iter().next_back();
        if is_last {
            return outcome;
        }
    }
}

async fn carry_on(app: &Delivery, walk: &Walk) -> Result<()> {
    loop {
        let (at, this) = (app.clone(), walk.clone());
        let write = move |tx: &mut Tx<'_>| bite(&at, tx, &this);
        let Some(told) = app.db.write(walk.workspace, write).await? else {
            return Ok(());
        };
        for workspace in told.workspaces {
            if told.are_moved {
                let object = format!("integration:{}", integration(walk)?);
                security::record(Event::HookChanged, Some(workspace), &object);
            }
            app.dispatch.hooks_changed(workspace);
        }
        match walk.kind {
            Kind::Type => app.channels.forget_channels(),
            Kind::Manifest => app.dispatch.ticks_changed(),
            _ => {}
        }
    }
}

/// Does one transaction's worth of a walk. Returns the workspaces whose webhooks it changed, or `None` once the walk
/// is complete.
fn bite(app: &Delivery, tx: &mut Tx<'_>, walk: &Walk) -> Result<Option<Told>> {
    let Some(walk) = store::find_for_update(tx, walk)? else {
        return Ok(None);
    };
    let mut told = Told::default();
    let last = match walk.kind {
        Kind::Type => retype::bite(&app.vault, tx, &walk, BITE)?,
        Kind::Manifest => {
            told = manifest::bite(&app.vault, tx, &walk)?;
            told.workspaces.last().map(ToString::to_string)
        }
        Kind::Workspace => again(workspace::clear(tx, walk.workspace, BITE)?),
        Kind::Kept => {
            let channel = EntityId::parse(&walk.item).ok_or_else(damaged)?;
            again(kv::remove_some(tx, walk.workspace, channel, BITE)? > 0)
        }
        Kind::Waiting | Kind::Due => again(delivery::go_on(tx, &walk)?),
    };
    store::advance(tx, &walk, last.as_deref())?;
    Ok(Some(told))
}

/// The mark of a walk that needs none, because it finds only the rows that are left.
fn again(more: bool) -> Option<String> {
    more.then(String::new)
}
