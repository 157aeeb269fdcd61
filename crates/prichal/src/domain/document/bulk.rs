//! Bulk calls: any node performs the stored elements one by one. The effect of an element and its result are written in
//! one transaction, so that each element is performed once, however often it is begun.

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
    error::{Code, Error, Result},
    platform::{
        audit::{self, Act},
        security::{self, Actor},
        writes,
    },
};

/// The maximum number of elements at the same time.
const MAX_CONCURRENT_ELEMENTS: usize = 160;
/// The maximum number of elements of one workspace at the same time, so that others need not wait.
const MAX_CONCURRENT_ELEMENTS_PER_WORKSPACE: usize = 128;
/// The minimum number of free places for a claim. A claim of fewer elements is not worth its write.
const MIN_CLAIM: usize = 32;
/// The interval between reads of a store that other nodes share.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The wait after an internal error, and the maximum number of tries of an element.
const RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_TRIES: i64 = 3;

/// The states of an element, as they are stored and shown.
pub const CREATED: &str = "Created";
pub const IN_PROCESSING: &str = "InProcessing";
pub const NOT_FOUND: &str = "NotFound";
const REFUSED: &str = "CompletedWithProcessingError";
pub const FAILED: &str = "CompletedWithProcessingException";
const DONE: &str = "CompletedWithOk";

/// All states of an element.
pub const STATUSES: [&str; 6] = [NOT_FOUND, CREATED, IN_PROCESSING, REFUSED, FAILED, DONE];

/// The write of an element. Returns the result for its caller, as JSON; `None` stands for no result.
pub type Work = Box<dyn FnMut(&mut Tx<'_>) -> Result<Option<String>> + Send>;

/// The meaning of elements, which the dialect knows.
pub trait BulkHandler: Clone + Send + Sync + 'static {
    /// Prepares an element.
    fn prepare(&self, element: Element) -> BoxFuture<'static, Result<Work>>;
    /// The requester of an element, as the security log names it.
    fn actor(&self, element: &Element) -> Option<Actor>;
    /// The act of an element, if the audit log records it.
    fn act(&self, element: &Element) -> Option<Act>;
    /// The errors of an element in the words of the dialect. The flag is true for an internal error.
    fn describe(&self, element: &Element, error: &Error) -> (Vec<Value>, bool);
}

/// Performs elements until `stop`, then finishes those that have begun.
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
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "cannot release the elements of bulk calls after a restart"
        );
        tokio::select! {
            () = app.clock.sleep(RETRY_DELAY) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
    let mut working = FuturesUnordered::new();
    let mut capacity = Capacity {
        free: count(MAX_CONCURRENT_ELEMENTS),
        max_per_workspace: count(MAX_CONCURRENT_ELEMENTS_PER_WORKSPACE),
        in_progress: HashMap::new(),
        after: nobody,
        over: Vec::new(),
    };
    let (mut more, mut next_minute) = (true, None);
    loop {
        // A claim is a write of its own, so it waits until several elements fit.
        if more && capacity.free >= count(MIN_CLAIM) && !stop.is_cancelled() {
            (capacity.over, next_minute) = writes::all_over(&app);
            let Some(claimed) = claim(&app, &capacity).await else {
                // Elements are still queued in the store, and no further wake-up would come for them.
                tokio::select! {
                    () = app.clock.sleep(RETRY_DELAY) => {}
                    () = stop.cancelled() => {}
                    Some(of) = working.next(), if !working.is_empty() => { leave(&mut capacity, of); }
                }
                continue;
            };
            more = claimed.more;
            capacity.after = claimed.last.unwrap_or(capacity.after);
            for element in claimed.elements {
                let (workspace, item) = (element.workspace, item(&element));
                let work = work(app.clone(), handler.clone(), element, stop.clone());
                let work = tenant::scope(Some(workspace), work);
                if app.journal.is_suspect(&item) {
                    // It waits for its turn, and takes no room meanwhile: others are claimed in its place.
                    app.background.spawn(work);
                    more = true;
                    continue;
                }
                capacity.free -= 1;
                *capacity.in_progress.entry(workspace).or_default() += 1;
                working.push(Box::pin(work));
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
            () = app.clock.sleep(POLL_INTERVAL), if shared => more = true,
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

/// Notes the end of an element. True if there is room for a claim now.
fn leave(capacity: &mut Capacity, of: WorkspaceId) -> bool {
    capacity.free += 1;
    let in_progress = capacity.in_progress.entry(of).or_default();
    *in_progress -= 1;
    let now = *in_progress;
    if now == 0 {
        capacity.in_progress.remove(&of);
    }
    now == capacity.max_per_workspace / 2 || capacity.free == count(MIN_CLAIM)
}

/// Claims elements. `None` after an error of the store.
async fn claim(app: &Domain, capacity: &Capacity) -> Option<Claimed> {
    let (node, now, capacity) = (app.node, app.clock.now().secs(), capacity.clone());
    let nobody = WorkspaceId(Uuid::nil());
    let claimed = app
        .db
        .write(nobody, move |tx| {
            store::claim(tx, node, now, IN_PROCESSING, &capacity)
        })
        .await;
    claimed
        .inspect_err(|error| {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "cannot claim elements of bulk calls"
            );
        })
        .ok()
}

/// The journal's item of an element.
fn item(element: &Element) -> Item {
    Item {
        kind: Kind::Bulk,
        workspace: element.workspace,
        parent: Uuid::nil(),
        id: element.id,
        seq: 0,
    }
}

/// Performs an element, and returns its workspace.
async fn work(
    app: Domain,
    handler: impl BulkHandler,
    element: Element,
    stop: CancellationToken,
) -> WorkspaceId {
    let workspace = element.workspace;
    // A workspace over its write limit is left out by the next claim. This element was claimed already and is
    // performed.
    let _ = writes::over(&app, workspace);
    if let Some(_guard) = journal::begin(&app, item(&element)).await {
        let (actor, act) = (handler.actor(&element), handler.act(&element));
        let work = carry_out(app.clone(), handler, element, stop);
        security::by(&app, None, actor, act, work).await;
    }
    workspace
}

/// Performs an element, with retries after internal errors.
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
            log(&failed, &element);
        } else {
            security::refused(&failed, Some(element.workspace));
        }
        if !is_fault || tries >= MAX_TRIES {
            let status = if is_fault { FAILED } else { REFUSED };
            audit::set_refused();
            let ended = Element {
                status: status.to_owned(),
                errors: Some(Value::Array(said).to_string()),
                ..element.clone()
            };
            match write_result(&app, ended, None).await {
                Ok(_) => return,
                Err(error) => log(&error, &element),
            }
        }
        tries += 1;
        tokio::select! {
            () = app.clock.sleep(RETRY_DELAY) => {}
            // The next start, or another node, goes on with it.
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
    write_result(app, done, Some(work)).await?;
    Ok(())
}

/// Writes the effect of an element together with its result. An element that another node has claimed meanwhile is left
/// alone.
async fn write_result(app: &Domain, mut element: Element, mut work: Option<Work>) -> Result<bool> {
    let (node, now) = (app.node, app.clock.now().secs());
    let lost = || Error::refused(Code::LeaseLost, "another node has it");
    let written = app
        .db
        .write(element.workspace, move |tx| {
            if let Some(work) = &mut work {
                element.result = work(tx)?;
            }
            element.completed_on = Some(now);
            // The result is written last: if the element is another node's, the effect is rolled back with it.
            if store::complete(tx, node, &element)? {
                Ok(())
            } else {
                Err(lost())
            }
        })
        .await;
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.is(Code::LeaseLost) => Ok(false),
        Err(error) => Err(error),
    }
}

fn log(error: &Error, element: &Element) {
    tracing::error!(
        error = error as &dyn std::error::Error,
        workspace = %element.workspace,
        element.id = %element.id,
        "cannot perform element {} of a bulk call",
        element.id
    );
}
