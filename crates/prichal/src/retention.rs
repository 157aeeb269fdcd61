//! What is removed when its time is over. Each removal is bounded and repeated until nothing is left,
//! and any number of nodes may do it at the same time.
//!
//! Files go in this order: first the row, in a transaction that finds that nothing stands for its blob
//! any more, then the blob. A file that is being bound keeps its row, because both hold the row's lock;
//! and a blob without a row can't be bound. A node that dies in between leaves a blob that no row
//! names, as does one that dies between an upload and its row: an orphan, which is found later.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use prichal_core::{id::WorkspaceId, time::Timestamp};
use prichal_store::{
    Conn, Tx, bulk, delivery,
    document_blob::{self, DocumentBlob},
    evidence,
    file::{self, File},
    idempotency, integration, run, signature,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::App,
    blobs::{BlobEntry, BlobKey},
    error::{Error, Result},
    face::once::REMEMBERED,
    quota,
};

/// How often files that have ended are looked for: they go within a minute.
const OFTEN: Duration = Duration::from_secs(20);
/// How often everything else is.
const SELDOM: Duration = Duration::from_hours(1);
/// How soon everything is tried again when something of it could not be removed.
const AGAIN: Duration = Duration::from_mins(5);
/// How many rows or blobs one step removes at most.
const STEP: u16 = 200;
/// How many files are removed at the same time.
const TOGETHER: usize = 16;

/// How long a temporary id that was bound leads to its permanent one (`prichal_store::file::bind`).
const BOUND: Duration = Duration::from_hours(48);
/// Attempts at deliveries, runs of scripts, elements of bulk calls, and links whose time is over.
const ATTEMPTS: Duration = Duration::from_hours(30 * 24);
/// How long an upload may take: what is older and not finished belongs to nobody.
const UPLOAD: Duration = Duration::from_hours(6);
/// From when on a blob without a row belongs to nobody. Well above the longest upload, because S3 dates
/// a blob from when its upload began.
const ORPHAN: Duration = Duration::from_hours(24);
/// How much longer than the keys that it ends a revocation is kept: for clocks that differ, and for keys
/// from before a restart with a shorter time to live.
const MARGIN: Duration = Duration::from_hours(24);

/// Sweeps until `stop`.
pub async fn run(app: App, stop: CancellationToken) -> anyhow::Result<()> {
    let mut next = app.clock.now();
    let pass = async {
        loop {
            let began = app.clock.now();
            let _ = logged(quota::watch(&app).await);
            if next <= began {
                let swept = sweep(&app).await;
                next = began + if swept.is_ok() { SELDOM } else { AGAIN };
            } else {
                let _ = logged(remove_ended(&app).await);
            }
            app.clock.sleep_until(began + OFTEN).await;
        }
    };
    // It may be cut off anywhere: the next one goes on.
    stop.run_until_cancelled(pass).await;
    Ok(())
}

fn logged<T>(done: Result<T>) -> Result<T> {
    done.inspect_err(|error| {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "what is over could not be removed"
        );
    })
}

/// Removes everything whose time is over. A part that fails is logged and does not save the others; the
/// first failure is the answer.
pub async fn sweep(app: &App) -> Result<()> {
    let ended = logged(remove_ended(app).await);
    let now = app.clock.now();
    let step = i64::from(STEP);
    let bound = forget(app, ANY, move |tx| {
        file::forget_bound(tx, now - BOUND, step)
    });
    let bound = logged(bound.await);
    let attempts = logged(forget_attempts(app, now - ATTEMPTS).await);
    let runs = logged(forget_runs(app, now - ATTEMPTS).await);
    let answers = forget(app, ANY, move |tx| {
        idempotency::forget_answers(tx, now - REMEMBERED, step)
    });
    let answers = logged(answers.await);
    let keys_over = now - app.config.access_key_ttl - MARGIN;
    let revoked = app
        .db
        .write(ANY, move |tx| integration::forget_revoked(tx, keys_over));
    let revoked = logged(revoked.await.map_err(Error::from));
    let unfinished = app.blobs.sweep_unfinished(now - UPLOAD).await;
    let unfinished = logged(unfinished.map(drop).map_err(Error::from));
    let orphans = logged(remove_orphans(app, now - ORPHAN).await);
    let documents = logged(forget_of_documents(app, now).await);
    ended
        .and(bound)
        .and(documents)
        .and(attempts)
        .and(runs)
        .and(answers)
        .and(revoked)
        .and(unfinished)
        .and(orphans)
}

/// What belongs to no one workspace is written by the writer of this one.
const ANY: WorkspaceId = WorkspaceId(Uuid::nil());

/// Repeats a bounded removal until it finds nothing.
async fn forget(
    app: &App,
    workspace: WorkspaceId,
    step: impl Fn(&mut Tx<'_>) -> prichal_store::Result<u64> + Copy + Send + 'static,
) -> Result<()> {
    while app.db.write(workspace, step).await? > 0 {}
    Ok(())
}

/// Removes attempts from before `before`, one instance after the other.
async fn forget_attempts(app: &App, before: Timestamp) -> Result<()> {
    let step = i64::from(STEP);
    loop {
        let instances = app
            .db
            .read(move |conn| delivery::with_attempts_before(conn, before, step))
            .await?;
        if instances.is_empty() {
            return Ok(());
        }
        for (workspace, integration) in instances {
            forget(app, workspace, move |tx| {
                delivery::forget_attempts(tx, workspace, integration, before, step)
            })
            .await?;
        }
    }
}

/// Removes runs from before `before` that are over, one workspace after the other.
async fn forget_runs(app: &App, before: Timestamp) -> Result<()> {
    let step = i64::from(STEP);
    loop {
        let read = move |conn: &mut Conn| run::with_runs_before(conn, before, step);
        let workspaces = app.db.read(read).await?;
        if workspaces.is_empty() {
            return Ok(());
        }
        for workspace in workspaces {
            forget(app, workspace, move |tx| {
                run::forget(tx, workspace, before, step)
            })
            .await?;
        }
    }
}

/// Forgets what the document exchange needs no more: bulk elements that have ended, links whose time is
/// over, evidence that is of no use.
async fn forget_of_documents(app: &App, now: Timestamp) -> Result<()> {
    let (before, step) = (now - ATTEMPTS, i64::from(STEP));
    forget(app, ANY, move |tx| bulk::forget(tx, before.secs(), step)).await?;
    forget(app, ANY, move |tx| {
        signature::forget_links(tx, before, step)
    })
    .await?;
    forget(app, ANY, move |tx| evidence::forget(tx, now, step)).await
}

/// Removes uploads for documents that nobody has used in time, and archives that were there to be
/// downloaded.
async fn remove_ended_of_documents(app: &App) -> Result<()> {
    loop {
        let now = app.clock.now();
        let read = move |conn: &mut Conn| document_blob::list_ended(conn, now, i64::from(STEP));
        let ended = app.db.read(read).await?;
        if ended.is_empty() {
            return Ok(());
        }
        stream::iter(ended.into_iter().map(Ok))
            .try_for_each_concurrent(TOGETHER, |blob| remove_of_document(app, blob, now))
            .await?;
    }
}

async fn remove_of_document(app: &App, row: DocumentBlob, now: Timestamp) -> Result<()> {
    let (workspace, blob) = (row.workspace, row.blob);
    let removed = move |tx: &mut Tx<'_>| Ok::<_, Error>(document_blob::delete(tx, &row, now)?);
    remove_if(app, workspace, blob, removed).await
}

/// Removes temporary files that have ended, with their blobs.
async fn remove_ended(app: &App) -> Result<()> {
    remove_ended_of_documents(app).await?;
    loop {
        let now = app.clock.now();
        let ended = app
            .db
            .read(move |conn| file::list_ended(conn, now, i64::from(STEP)))
            .await?;
        if ended.is_empty() {
            return Ok(());
        }
        stream::iter(ended.into_iter().map(Ok))
            .try_for_each_concurrent(TOGETHER, |file| remove_file(app, file))
            .await?;
    }
}

async fn remove_file(app: &App, file: File) -> Result<()> {
    let (workspace, blob) = (file.workspace, file.blob);
    let removed = move |tx: &mut Tx<'_>| Ok::<_, Error>(file::delete(tx, &file)?);
    remove_if(app, workspace, blob, removed).await
}

/// Removes a blob when a write says that nothing stands for it any more.
async fn remove_if(
    app: &App,
    workspace: WorkspaceId,
    blob: Uuid,
    removed: impl FnMut(&mut Tx<'_>) -> Result<bool> + Send + 'static,
) -> Result<()> {
    if app.db.write(workspace, removed).await? {
        let blob = BlobKey {
            workspace,
            id: blob,
        };
        app.blobs.delete(blob).await?;
    }
    Ok(())
}

/// Removes blobs from before `before` that no row names.
async fn remove_orphans(app: &App, before: Timestamp) -> Result<()> {
    let old = app
        .blobs
        .list(None)
        .try_filter(|blob| std::future::ready(blob.modified < before));
    let mut steps = old.try_chunks(usize::from(STEP));
    while let Some(step) = steps.next().await {
        let step = step.map_err(|error| error.1)?;
        for orphan in app.db.read(move |conn| nameless(conn, step)).await? {
            app.blobs.delete(orphan).await?;
            tracing::info!(blob = %orphan, "removed a blob that no file names");
        }
    }
    Ok(())
}

/// Those of the blobs that no row names.
fn nameless(conn: &mut Conn, blobs: Vec<BlobEntry>) -> Result<Vec<BlobKey>> {
    let mut found = Vec::new();
    for BlobEntry { key, .. } in blobs {
        if !file::has_blob(conn, key.workspace, key.id)? {
            found.push(key);
        }
    }
    Ok(found)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests;
