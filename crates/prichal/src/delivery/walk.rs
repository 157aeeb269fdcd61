//! Walks carried to their end: by the request that waits, or by the server after it.

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

/// The most works that are looked up at once.
const MOST: i64 = 100;

/// Does a workspace's work of one kind to the end. It goes on when nobody waits for it any more.
pub async fn finish(app: &Delivery, workspace: WorkspaceId, kind: Kind) -> Result<()> {
    let list = move |conn: &mut Conn| store::list_of(conn, workspace, kind, MOST);
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

/// Does what requests have left. One that fails does not keep the others.
pub async fn resume(app: &Delivery) -> Result<()> {
    let list = |conn: &mut Conn| store::list(conn, MOST);
    let mut outcome = Ok(());
    for walk in app.db.read(list).await? {
        let done = carry_on(app, &walk).await;
        outcome = outcome.and(done);
    }
    outcome
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

/// Does some of a work, and names the workspaces whose webhooks that has changed. `None` once it is done.
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
    store::settle(tx, &walk, last.as_deref())?;
    Ok(Some(told))
}

/// What is removed, or is found no more once it is done, needs no mark.
fn again(more: bool) -> Option<String> {
    more.then(String::new)
}
