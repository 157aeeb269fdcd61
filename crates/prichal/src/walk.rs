//! Work that a request begins on many rows: it is done in bites, so that no write of another waits for all of it.
//!
//! The transaction of the request keeps the work, and each bite how far it is. The request waits until it is done; when
//! it, or the process, ends before that, the work goes on by itself ([`resume`]).

use prichal_core::{
    event::{Author, Origin},
    id::{EntityId, IntegrationId, UserId, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{
    Conn, Tx, delivery, kv, tenant,
    walk::{self as store, BITE, Kind, Walk},
    workspace,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    app::App,
    channel::retype,
    error::{Error, Result},
    instance::manifest,
    security::{self, Event},
};

/// The most works that are looked up at once.
const MOST: i64 = 100;

/// Who began the work, and when.
#[derive(Serialize, Deserialize)]
pub struct Begun {
    user: Option<Uuid>,
    with: String,
    at: i64,
}

impl Begun {
    pub fn of(origin: &Origin) -> Self {
        Self {
            user: origin.author.user.map(|user| user.0),
            with: origin.author.with.clone(),
            at: origin.at.micros(),
        }
    }

    pub fn origin(self, workspace: WorkspaceId) -> Origin {
        Origin {
            workspace,
            author: Author {
                user: self.user.map(UserId),
                with: self.with,
            },
            at: Timestamp::from_micros(self.at),
        }
    }
}

/// Keeps the work that a transaction leaves to others.
pub fn begin(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    kind: Kind,
    item: &str,
    detail: &impl Serialize,
) -> Result<()> {
    let detail = serde_json::to_string(detail).map_err(Error::internal)?;
    Ok(store::begin(tx, workspace, kind, item, &detail)?)
}

/// The rest that a work goes by.
pub fn detail<'a, T: Deserialize<'a>>(walk: &'a Walk) -> Result<T> {
    serde_json::from_str(&walk.detail).map_err(Error::internal)
}

/// Does a workspace's work of one kind to the end. It goes on when nobody waits for it any more.
pub async fn finish(app: &App, workspace: WorkspaceId, kind: Kind) -> Result<()> {
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
pub async fn resume(app: &App) -> Result<()> {
    let list = |conn: &mut Conn| store::list(conn, MOST);
    let mut outcome = Ok(());
    for walk in app.db.read(list).await? {
        let done = carry_on(app, &walk).await;
        outcome = outcome.and(done);
    }
    outcome
}

async fn carry_on(app: &App, walk: &Walk) -> Result<()> {
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

/// The workspaces whose webhooks a bite has changed.
#[derive(Default)]
pub struct Told {
    pub workspaces: Vec<WorkspaceId>,
    /// True if the webhooks have another base URL.
    pub are_moved: bool,
}

/// Does some of a work, and names the workspaces whose webhooks that has changed. `None` once it is done.
fn bite(app: &App, tx: &mut Tx<'_>, walk: &Walk) -> Result<Option<Told>> {
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

fn damaged() -> Error {
    Error::internal("a walk is damaged")
}

/// The integration that a work is about.
pub fn integration(walk: &Walk) -> Result<IntegrationId> {
    let (id, _) = walk.item.split_once(':').ok_or_else(damaged)?;
    IntegrationId::parse(id).ok_or_else(damaged)
}
