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
    idempotency, integration, live_ticket,
    quarantine::{self, Item, Kind},
    run, signature,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::App,
    delivery::{target::integrations, walk},
    domain::journal,
    error::{Error, Result},
    http::idempotency::REMEMBERED,
    platform::{
        blobs::{BlobEntry, BlobKey},
        quota,
    },
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
            let _ = step(&app, Step::Walks, walk::resume(&app)).await;
            if next <= began {
                let swept = sweep(&app).await;
                next = began + if swept.is_ok() { SELDOM } else { AGAIN };
            } else {
                let _ = remove_ended(&app).await;
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

/// The steps, as the journal knows them: a number once given stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Files = 1,
    Documents,
    Bound,
    Elements,
    Links,
    Evidence,
    Attempts,
    Runs,
    Answers,
    Revoked,
    Unfinished,
    Orphans,
    Suspects,
    Tickets,
    Walks,
}

/// Does a step, unless it is in quarantine. A failure is logged.
async fn step(app: &App, step: Step, work: impl Future<Output = Result<()>>) -> Result<()> {
    let item = Item {
        kind: Kind::Retention,
        workspace: ANY,
        parent: Uuid::nil(),
        id: Uuid::nil(),
        seq: step as i64,
    };
    if app.journal.is_held(&item) {
        return Ok(());
    }
    match journal::begin(app, item).await {
        Some(_flight) => logged(work.await),
        None => Ok(()),
    }
}

/// Removes everything whose time is over. A part that fails is logged and does not save the others; the
/// first failure is the answer.
pub async fn sweep(app: &App) -> Result<()> {
    let (now, most) = (app.clock.now(), i64::from(STEP));
    let before = now - ATTEMPTS;
    let ended = remove_ended(app).await;
    let bound = forget(app, ANY, move |tx| {
        file::forget_bound(tx, now - BOUND, most)
    });
    let bound = step(app, Step::Bound, bound).await;
    let elements = forget(app, ANY, move |tx| bulk::forget(tx, before.secs(), most));
    let elements = step(app, Step::Elements, elements).await;
    let links = forget(app, ANY, move |tx| {
        signature::forget_links(tx, before, most)
    });
    let links = step(app, Step::Links, links).await;
    let evidence = forget(app, ANY, move |tx| evidence::forget(tx, now, most));
    let evidence = step(app, Step::Evidence, evidence).await;
    let attempts = step(app, Step::Attempts, forget_attempts(app, before)).await;
    let runs = step(app, Step::Runs, forget_runs(app, before)).await;
    let answers = forget(app, ANY, move |tx| {
        idempotency::forget_answers(tx, now - REMEMBERED, most)
    });
    let answers = step(app, Step::Answers, answers).await;
    let tickets = forget(app, ANY, move |tx| live_ticket::forget(tx, now, most));
    let tickets = step(app, Step::Tickets, tickets).await;
    let keys_over = now - app.config.access_key_ttl - MARGIN;
    let revoked = forget(app, ANY, move |tx| {
        integration::forget_revoked(tx, keys_over, most)
    });
    let revoked = step(app, Step::Revoked, revoked).await;
    let unfinished = async { Ok(app.blobs.sweep_unfinished(now - UPLOAD).await.map(drop)?) };
    let unfinished = step(app, Step::Unfinished, unfinished).await;
    let orphans = step(app, Step::Orphans, remove_orphans(app, now - ORPHAN)).await;
    let suspects = forget(app, ANY, move |tx| quarantine::forget(tx, before, most));
    let suspects = step(app, Step::Suspects, suspects).await;
    ended
        .and(bound)
        .and(elements)
        .and(links)
        .and(evidence)
        .and(attempts)
        .and(runs)
        .and(answers)
        .and(tickets)
        .and(revoked)
        .and(unfinished)
        .and(orphans)
        .and(suspects)
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
            .read(move |conn| delivery::with_attempts_before(conn, before, step, &integrations()))
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

/// Removes what has ended by itself, with its blobs.
async fn remove_ended(app: &App) -> Result<()> {
    let documents = step(app, Step::Documents, remove_ended_of_documents(app)).await;
    let files = step(app, Step::Files, remove_ended_files(app)).await;
    documents.and(files)
}

/// Removes temporary files that have ended.
async fn remove_ended_files(app: &App) -> Result<()> {
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
