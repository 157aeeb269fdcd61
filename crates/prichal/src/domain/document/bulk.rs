//! Bulk calls: elements that wait in the store are done one by one, by any node. What an element does and
//! that it is done are written in one transaction, so that each is done once, however often it is begun.

use std::{collections::HashMap, time::Duration};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use prichal_core::id::WorkspaceId;
use prichal_store::{
    Tx,
    bulk::{self as store, Capacity, Claimed, Element},
    quarantine::{Item, Kind},
    tenant,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    domain::{Domain, journal},
    error::{Error, Result},
    platform::{
        security::{self, Actor},
        writes,
    },
};

/// How many elements are worked at once.
const TOGETHER: usize = 160;
/// How many of one workspace, so that the rest is there for others at once.
const SHARE: usize = 128;
/// How much room makes a claim worth its write.
const BITE: usize = 32;
/// How often a store that others share is asked for more, at the least.
const LOOK: Duration = Duration::from_secs(1);
/// How long to wait after the server's own fault, and how many tries an element has then.
const PAUSE: Duration = Duration::from_secs(1);
const TRIES: i64 = 3;

/// The words of the vendor's for how far an element is.
pub const CREATED: &str = "Created";
pub const IN_PROCESSING: &str = "InProcessing";
pub const NOT_FOUND: &str = "NotFound";
const REFUSED: &str = "CompletedWithProcessingError";
pub const FAILED: &str = "CompletedWithProcessingException";
const DONE: &str = "CompletedWithOk";

/// What is to be written for an element; gives what its caller is told.
pub type Work = Box<dyn FnMut(&mut Tx<'_>) -> Result<Value> + Send>;

/// Who knows what elements mean.
pub trait BulkHandler: Clone + Send + Sync + 'static {
    /// Prepares an element.
    fn prepare(&self, element: Element) -> BoxFuture<'static, Result<Work>>;
    /// Who has asked for it, as the security log names him.
    fn actor(&self, element: &Element) -> Option<Actor>;
    /// Says what went wrong with it, and whether that was the server's fault.
    fn describe(&self, element: &Element, error: &Error) -> (Value, bool);
}

/// Works until `stop`; then what has been begun is finished.
pub async fn run(
    app: Domain,
    handler: impl BulkHandler,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let shared = app.db.engine() == prichal_store::Engine::Postgres;
    let node = app.node;
    let nobody = WorkspaceId(Uuid::nil());
    while let Err(error) = app
        .db
        .write(nobody, move |tx| store::release(tx, node, !shared))
        .await
    {
        log(&error.into());
        tokio::select! {
            () = app.clock.sleep(PAUSE) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
    let mut working = FuturesUnordered::new();
    let mut capacity = Capacity {
        free: count(TOGETHER),
        max_per_workspace: count(SHARE),
        in_progress: HashMap::new(),
        after: nobody,
        over: Vec::new(),
    };
    let (mut more, mut next_minute) = (true, None);
    loop {
        // In bites: a claim is a write of its own.
        if more && capacity.free >= count(BITE) && !stop.is_cancelled() {
            (capacity.over, next_minute) = writes::all_over(&app);
            let Some(claimed) = claim(&app, &capacity).await else {
                // What waits is in the store, and nobody else would say so again.
                tokio::select! {
                    () = app.clock.sleep(PAUSE) => {}
                    () = stop.cancelled() => {}
                    Some(of) = working.next(), if !working.is_empty() => { leave(&mut capacity, of); }
                }
                continue;
            };
            more = claimed.more;
            capacity.after = claimed.last.unwrap_or(capacity.after);
            for element in claimed.elements {
                capacity.free -= 1;
                *capacity.in_progress.entry(element.workspace).or_default() += 1;
                let workspace = Some(element.workspace);
                let work = work(app.clone(), handler.clone(), element, stop.clone());
                working.push(Box::pin(tenant::scope(workspace, work)));
            }
            if more {
                continue;
            }
        }
        if working.is_empty() && stop.is_cancelled() {
            return Ok(());
        }
        tokio::select! {
            Some(of) = working.next(), if !working.is_empty() => more |= leave(&mut capacity, of),
            () = app.bulk.notified() => more = true,
            () = app.clock.sleep(LOOK), if shared => more = true,
            () = app.clock.sleep_until(next_minute.unwrap_or_default()), if next_minute.is_some() => {
                next_minute = None;
                more = true;
            }
            () = stop.cancelled(), if !stop.is_cancelled() => {}
        }
    }
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// An element of a workspace has ended. True when that makes room for a claim.
fn leave(capacity: &mut Capacity, of: WorkspaceId) -> bool {
    capacity.free += 1;
    let in_progress = capacity.in_progress.entry(of).or_default();
    *in_progress -= 1;
    let now = *in_progress;
    if now == 0 {
        capacity.in_progress.remove(&of);
    }
    now == capacity.max_per_workspace / 2 || capacity.free == count(BITE)
}

/// Takes elements over. Nothing when the store failed.
async fn claim(app: &Domain, capacity: &Capacity) -> Option<Claimed> {
    let (node, now, capacity) = (app.node, app.clock.now().secs(), capacity.clone());
    let nobody = WorkspaceId(Uuid::nil());
    let claimed = app
        .db
        .write(nobody, move |tx| {
            store::claim(tx, node, now, IN_PROCESSING, &capacity)
        })
        .await;
    claimed.map_err(|error| log(&error.into())).ok()
}

/// Does an element, and says whose it was.
async fn work(
    app: Domain,
    handler: impl BulkHandler,
    element: Element,
    stop: CancellationToken,
) -> WorkspaceId {
    let workspace = element.workspace;
    // Noted for the next claim: what is claimed is done.
    let _ = writes::over(&app, workspace);
    let item = Item {
        kind: Kind::Bulk,
        workspace,
        parent: Uuid::nil(),
        id: element.id,
        seq: 0,
    };
    if let Some(_flight) = journal::begin(&app, item).await {
        let actor = handler.actor(&element);
        let work = carry_out(app.clone(), handler, element, stop);
        security::by(&app, None, actor, work).await;
    }
    workspace
}

/// Does an element, again after a fault of the server's.
async fn carry_out(
    app: Domain,
    handler: impl BulkHandler,
    element: Element,
    stop: CancellationToken,
) {
    let mut tries = element.tries;
    loop {
        let failed = match attempt(&app, &handler, element.clone()).await {
            Ok(()) => return,
            Err(error) => error,
        };
        let (said, is_fault) = handler.describe(&element, &failed);
        if is_fault {
            log(&failed);
        } else {
            security::refused(&failed, Some(element.workspace));
        }
        if !is_fault || tries >= TRIES {
            let status = if is_fault { FAILED } else { REFUSED };
            let ended = Element {
                status: status.to_owned(),
                errors: Some(Value::Array(vec![said]).to_string()),
                ..element.clone()
            };
            match settle(&app, ended, None).await {
                Ok(_) => return,
                Err(error) => log(&error),
            }
        }
        tries += 1;
        tokio::select! {
            () = app.clock.sleep(PAUSE) => {}
            // Whoever starts next goes on with it.
            () = stop.cancelled() => return,
        }
    }
}

async fn attempt(app: &Domain, handler: &impl BulkHandler, element: Element) -> Result<()> {
    let work = handler.prepare(element.clone()).await?;
    let done = Element {
        status: DONE.to_owned(),
        ..element
    };
    settle(app, done, Some(work)).await?;
    Ok(())
}

/// Writes the work of an element and that it has ended. An element that is no longer ours is left alone.
async fn settle(app: &Domain, mut element: Element, mut work: Option<Work>) -> Result<bool> {
    let (node, now) = (app.node, app.clock.now().secs());
    let lost = || Error::refused("lost", "another node has it");
    let written = app
        .db
        .write(element.workspace, move |tx| {
            if let Some(work) = &mut work {
                element.result = match work(tx)? {
                    Value::Null => None,
                    result => Some(result.to_string()),
                };
            }
            element.completed_on = Some(now);
            // After the work, so that whatever it has written goes with it.
            if store::complete(tx, node, &element)? {
                Ok(())
            } else {
                Err(lost())
            }
        })
        .await;
    match written {
        Ok(()) => Ok(true),
        Err(Error::Refused(refusal)) if refusal.status == "lost" => Ok(false),
        Err(error) => Err(error),
    }
}

fn log(error: &Error) {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "a bulk call cannot go on"
    );
}
