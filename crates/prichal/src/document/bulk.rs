//! Bulk calls: elements that wait in the store are done one by one, by any node. What an element does and
//! that it is done are written in one transaction, so that each is done once, however often it is begun.

use std::time::Duration;

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use prichal_store::{
    Tx,
    bulk::{self as store, Element},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    error::{Error, Result},
};

/// How many elements are worked at once.
const TOGETHER: usize = 128;
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
const FAILED: &str = "CompletedWithProcessingException";
const DONE: &str = "CompletedWithOk";

/// What is to be written for an element; gives what its caller is told.
pub type Work = Box<dyn FnMut(&mut Tx<'_>) -> Result<Value> + Send>;

/// Who knows what elements mean.
pub trait Hands: Clone + Send + Sync + 'static {
    /// Prepares an element.
    fn prepare(&self, app: App, element: Element) -> BoxFuture<'static, Result<Work>>;
    /// Says what went wrong with it, and whether that was the server's fault.
    fn describe(&self, element: &Element, error: &Error) -> (Value, bool);
}

/// Works until `stop`; then what has been begun is finished.
pub async fn run(app: App, hands: impl Hands, stop: CancellationToken) -> anyhow::Result<()> {
    let shared = app.db.engine() == prichal_store::Engine::Postgres;
    let node = app.node;
    let nobody = prichal_core::id::WorkspaceId(uuid::Uuid::nil());
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
    let mut more = true;
    loop {
        // In bites: a claim is a write of its own.
        let room = TOGETHER - working.len();
        if more && room >= TOGETHER / 2 && !stop.is_cancelled() {
            let Some(claimed) = claim(&app, room).await else {
                // What waits is in the store, and nobody else would say so again.
                tokio::select! {
                    () = app.clock.sleep(PAUSE) => {}
                    () = stop.cancelled() => {}
                    Some(()) = working.next(), if !working.is_empty() => {}
                }
                continue;
            };
            more = claimed.len() == room;
            working.extend(
                claimed.into_iter().map(|element| {
                    Box::pin(work(app.clone(), hands.clone(), element, stop.clone()))
                }),
            );
            if more {
                continue;
            }
        }
        if working.is_empty() && stop.is_cancelled() {
            return Ok(());
        }
        tokio::select! {
            Some(()) = working.next(), if !working.is_empty() => {}
            () = app.bulk.notified() => more = true,
            () = app.clock.sleep(LOOK), if shared => more = true,
            () = stop.cancelled(), if !stop.is_cancelled() => {}
        }
    }
}

/// Takes elements over. Nothing when the store failed.
async fn claim(app: &App, room: usize) -> Option<Vec<Element>> {
    let (node, now) = (app.node, app.clock.now().secs());
    let limit = i64::try_from(room).unwrap_or(1);
    let nobody = prichal_core::id::WorkspaceId(uuid::Uuid::nil());
    let claimed = app
        .db
        .write(nobody, move |tx| {
            store::claim(tx, node, now, IN_PROCESSING, limit)
        })
        .await;
    claimed.map_err(|error| log(&error.into())).ok()
}

/// Does an element, again after a fault of the server's.
async fn work(app: App, hands: impl Hands, element: Element, stop: CancellationToken) {
    let mut tries = element.tries;
    loop {
        let failed = match attempt(&app, &hands, element.clone()).await {
            Ok(()) => return,
            Err(error) => error,
        };
        let (said, is_fault) = hands.describe(&element, &failed);
        if is_fault {
            log(&failed);
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

async fn attempt(app: &App, hands: &impl Hands, element: Element) -> Result<()> {
    let work = hands.prepare(app.clone(), element.clone()).await?;
    let done = Element {
        status: DONE.to_owned(),
        ..element
    };
    settle(app, done, Some(work)).await?;
    Ok(())
}

/// Writes the work of an element and that it has ended. An element that is no longer ours is left alone.
async fn settle(app: &App, mut element: Element, mut work: Option<Work>) -> Result<bool> {
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
            if store::settle(tx, node, &element)? {
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
