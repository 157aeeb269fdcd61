//! Removal of expired data. Each removal is bounded and repeated until none is left. Several nodes may run it at the
//! same time.
//!
//! Files are removed in this order: first the row, in a transaction that finds no other row for its blob, then the
//! blob. A file that is being bound keeps its row, because both transactions hold the row's lock; and a blob without
//! a row cannot be bound. A node that dies in between leaves an orphan, a blob without a row, as does one that dies
//! between an upload and its row. Orphans are found later.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use prichal_core::{id::WorkspaceId, time::Timestamp};
use prichal_store::{
    Conn, Tx, alert, audit, bulk, certificate, channel,
    delivery::{self, dead_letter, log, resend},
    delivery_stats,
    document_blob::{self, DocumentBlob},
    event::removal,
    evidence,
    file::{self, File},
    idempotency, integration, live_ticket, login_link, mail,
    quarantine::{self, Item, Kind},
    resource,
    retention::{self, Kind as History},
    run, session, signature,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::App,
    delivery::{job, target::integrations},
    domain::journal,
    error::{Error, Result},
    http::idempotency::KEY_LIFETIME,
    platform::{
        blobs::{BlobEntry, BlobKey},
        quota,
    },
};

/// The interval of looking for expired files, which are removed within a minute.
const FILE_INTERVAL: Duration = Duration::from_secs(20);
/// The interval of removing everything else.
const FULL_INTERVAL: Duration = Duration::from_hours(1);
/// The delay before another pass after a failure.
const RETRY_DELAY: Duration = Duration::from_mins(5);
/// The maximum number of rows or blobs that one step removes.
const MAX_PER_STEP: u16 = 200;
/// The maximum number of files that are removed at the same time.
const MAX_CONCURRENT_REMOVALS: usize = 16;

/// The time for which the temporary id of a bound file leads to its permanent one (`prichal_store::file::bind`).
const BOUND_ID_LIFETIME: Duration = Duration::from_hours(48);
/// The lifetime of elements of bulk calls, expired links, sessions that are over, and the rows of deleted channels, types
/// and scripts.
const HISTORY_LIFETIME: Duration = Duration::from_hours(30 * 24);
const DAY: Duration = Duration::from_hours(24);
/// The time for which a mail is kept, sent or not.
const MAIL_LIFETIME: Duration = Duration::from_hours(7 * 24);
/// The maximum duration of an upload. An unfinished older one is abandoned.
const MAX_UPLOAD_TIME: Duration = Duration::from_hours(6);
/// The age from which a blob without a row is an orphan. It is well above the longest upload, because S3 dates a blob
/// from the beginning of its upload.
const ORPHAN_AGE: Duration = Duration::from_hours(24);
/// The time for which a revocation outlives its keys, for differing clocks and for keys from before a restart with a
/// shorter lifetime.
const REVOCATION_MARGIN: Duration = Duration::from_hours(24);

/// Removes expired data regularly until `stop`.
pub async fn run(app: App, stop: CancellationToken) -> anyhow::Result<()> {
    let mut next = app.clock.now();
    let pass = async {
        loop {
            let began = app.clock.now();
            let _ = logged(quota::watch(&app).await);
            if next <= began {
                let swept = sweep(&app).await;
                next = began
                    + if swept.is_ok() {
                        FULL_INTERVAL
                    } else {
                        RETRY_DELAY
                    };
            } else {
                let _ = remove_ended(&app).await;
            }
            app.clock.sleep_until(began + FILE_INTERVAL).await;
        }
    };
    // A long job delays no removal.
    let jobs = async {
        loop {
            let began = app.clock.now();
            let _ = logged(job::resume(&app).await);
            app.clock.sleep_until(began + FILE_INTERVAL).await;
        }
    };
    // Both may be interrupted anywhere: the next pass continues.
    stop.run_until_cancelled(futures_util::future::join(pass, jobs))
        .await;
    Ok(())
}

fn logged<T>(done: Result<T>) -> Result<T> {
    done.inspect_err(|error| {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "cannot remove expired data"
        );
    })
}

/// The steps by their numbers in the journal, which must not change. A background job has 15, and an item of its own.
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
    Deleted = 16,
    Quarters,
    Alerts,
    Mails,
    Sessions,
    Audit,
    Events,
}

/// Runs a step, unless it is in quarantine. A failure is logged.
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
        Some(_guard) => logged(work.await),
        None => Ok(()),
    }
}

/// Removes all expired data. A failed step is logged and does not stop the others; the first failure is returned.
pub async fn sweep(app: &App) -> Result<()> {
    let (now, most) = (app.clock.now(), i64::from(MAX_PER_STEP));
    let before = now - HISTORY_LIFETIME;
    let ended = remove_ended(app).await;
    let bound = forget(app, ANY, move |tx| {
        file::forget_bound(tx, now - BOUND_ID_LIFETIME, most)
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
    let attempts = step(app, Step::Attempts, forget_attempts(app)).await;
    let runs = step(app, Step::Runs, forget_runs(app)).await;
    let audit = step(app, Step::Audit, forget_audit(app)).await;
    let events = step(app, Step::Events, forget_events(app)).await;
    let answers = forget(app, ANY, move |tx| {
        idempotency::forget_answers(tx, now - KEY_LIFETIME, most)
    });
    let answers = step(app, Step::Answers, answers).await;
    let tickets = forget(app, ANY, move |tx| live_ticket::forget(tx, now, most));
    let tickets = step(app, Step::Tickets, tickets).await;
    let sessions = forget(app, ANY, move |tx| {
        Ok(login_link::forget(tx, before, most)? + session::forget(tx, before, most)?)
    });
    let sessions = step(app, Step::Sessions, sessions).await;
    let keys_over = now - app.config.access_key_ttl - REVOCATION_MARGIN;
    let revoked = forget(app, ANY, move |tx| {
        integration::forget_revoked(tx, keys_over, most)
    });
    let revoked = step(app, Step::Revoked, revoked).await;
    let unfinished = async {
        Ok(app
            .blobs
            .sweep_unfinished(now - MAX_UPLOAD_TIME)
            .await
            .map(drop)?)
    };
    let unfinished = step(app, Step::Unfinished, unfinished).await;
    let orphans = step(app, Step::Orphans, remove_orphans(app, now - ORPHAN_AGE)).await;
    let suspects = forget(app, ANY, move |tx| quarantine::forget(tx, before, most));
    let suspects = step(app, Step::Suspects, suspects).await;
    let deleted = forget(app, ANY, move |tx| {
        Ok(channel::forget(tx, before, most)? + resource::forget(tx, before, most)?)
    });
    let deleted = step(app, Step::Deleted, deleted).await;
    let quarters = forget(app, ANY, move |tx| delivery_stats::forget(tx, now, most));
    let quarters = step(app, Step::Quarters, quarters).await;
    let alerts = forget(app, ANY, move |tx| {
        Ok(alert::forget(tx, now, most)? + certificate::forget(tx, before, most)?)
    });
    let alerts = step(app, Step::Alerts, alerts).await;
    let mails = forget(app, ANY, move |tx| {
        mail::forget(tx, now - MAIL_LIFETIME, most)
    });
    let mails = step(app, Step::Mails, mails).await;
    ended
        .and(bound)
        .and(elements)
        .and(links)
        .and(evidence)
        .and(attempts)
        .and(runs)
        .and(audit)
        .and(events)
        .and(answers)
        .and(tickets)
        .and(sessions)
        .and(revoked)
        .and(unfinished)
        .and(orphans)
        .and(suspects)
        .and(deleted)
        .and(quarters)
        .and(alerts)
        .and(mails)
}

/// The workspace whose writer handles data of no single workspace.
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

/// Lists workspaces with history from before a time, that have no time of their own, at most so many.
type ListOld = fn(&mut Conn, Timestamp, i64) -> prichal_store::Result<Vec<WorkspaceId>>;

/// Removes a kind of history: of each workspace what is older than its own time, or else than `ttl`.
async fn forget_history<Removal: Future<Output = Result<()>>>(
    app: &App,
    kind: History,
    ttl: Duration,
    old: ListOld,
    remove: impl Fn(WorkspaceId, Timestamp) -> Removal,
) -> Result<()> {
    let (now, step) = (app.clock.now(), i64::from(MAX_PER_STEP));
    let before = now - ttl;
    loop {
        let read = move |conn: &mut Conn| old(conn, before, step);
        let workspaces = app.db.read(read).await?;
        if workspaces.is_empty() {
            break;
        }
        for workspace in workspaces {
            remove(workspace, before).await?;
        }
    }
    let (mut after, server) = (ANY, i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
    loop {
        let read = move |conn: &mut Conn| retention::list(conn, kind, after, step);
        let own = app.db.read(read).await?;
        let Some((last, _)) = own.last() else {
            return Ok(());
        };
        after = *last;
        for (workspace, days) in own {
            let kept = days.effective(server, DAY.as_secs().cast_signed());
            let kept = Duration::from_secs(kept.cast_unsigned());
            remove(workspace, now - kept).await?;
        }
    }
}

/// Removes old attempts, what came of them, and the oldest ones of workspaces whose log is too large.
async fn forget_attempts(app: &App) -> Result<()> {
    let ttl = app.config.delivery_log_ttl;
    let old = move |workspace, before| async move {
        forget_logged(app, workspace, log::last_before(before)).await?;
        forget(app, workspace, move |tx| {
            forget_outcomes(tx, Some(workspace), before)
        })
        .await
    };
    forget_history(app, History::Deliveries, ttl, log::with_rows_before, old).await?;
    let most = app.config.delivery_log_bytes;
    if most > 0 {
        shrink_logs(app, most).await?;
    }
    let before = app.clock.now() - ttl;
    forget_earlier_attempts(app, before).await?;
    forget(app, ANY, move |tx| forget_outcomes(tx, None, before)).await
}

/// Removes what came of attempts: dead letters and resends.
fn forget_outcomes(
    tx: &mut Tx<'_>,
    workspace: Option<WorkspaceId>,
    before: Timestamp,
) -> prichal_store::Result<u64> {
    let step = i64::from(MAX_PER_STEP);
    Ok(dead_letter::forget(tx, workspace, before, step)?
        + resend::forget(tx, workspace, before, step)?)
}

/// Removes old records of the audit log.
async fn forget_audit(app: &App) -> Result<()> {
    let (step, ttl) = (i64::from(MAX_PER_STEP), app.config.audit_log_ttl);
    let before = app.clock.now() - ttl;
    let old = move |workspace, before| async move {
        forget(app, workspace, move |tx| {
            audit::forget(tx, Some(workspace), before, step)
        })
        .await
    };
    forget_history(app, History::Audit, ttl, audit::with_records_before, old).await?;
    forget(app, ANY, move |tx| audit::forget(tx, None, before, step)).await
}

/// Removes old events. One workspace that is served badly delays no other for long, because each step is bounded.
async fn forget_events(app: &App) -> Result<()> {
    let (now, page) = (app.clock.now(), i64::from(MAX_PER_STEP));
    if let Some(ttl) = app.config.event_ttl {
        let (mut after, before) = (ANY, now - ttl);
        loop {
            let read =
                move |conn: &mut Conn| removal::with_events_before(conn, before, after, page);
            let workspaces = app.db.read(read).await?;
            let Some(last) = workspaces.last() else { break };
            after = *last;
            for workspace in workspaces {
                forget_events_of(app, workspace, before).await?;
            }
        }
    }
    let ttl = app.config.event_ttl;
    let server = ttl.and_then(|ttl| i64::try_from(ttl.as_secs()).ok());
    let mut after = ANY;
    loop {
        let read = move |conn: &mut Conn| retention::list(conn, History::Events, after, page);
        let own = app.db.read(read).await?;
        let Some((last, _)) = own.last() else { break };
        after = *last;
        for (workspace, days) in own {
            let kept = days.effective(server.unwrap_or(i64::MAX), DAY.as_secs().cast_signed());
            let kept = Duration::from_secs(kept.cast_unsigned());
            forget_events_of(app, workspace, now - kept).await?;
        }
    }
    let mut after = ANY;
    loop {
        let next = move |conn: &mut Conn| removal::next_with_kept_events(conn, after);
        let Some(workspace) = app.db.read(next).await? else {
            return Ok(());
        };
        after = workspace;
        forget_kept_events_of(app, workspace).await?;
    }
}

/// Removes those of a workspace's kept events that nothing names any more. A step that removes none only reads.
async fn forget_kept_events_of(app: &App, workspace: WorkspaceId) -> Result<()> {
    let (mut after, page) = (0, i64::from(MAX_PER_STEP));
    loop {
        let look = move |conn: &mut Conn| removal::look_at_kept(conn, workspace, after, page);
        let step = app.db.read(look).await?;
        let Some(last) = step.last else { return Ok(()) };
        if step.has_unnamed {
            let remove = move |tx: &mut Tx<'_>| removal::forget_kept(tx, workspace, after, page);
            app.db.write(workspace, remove).await?;
        }
        after = last;
    }
}

/// Removes a workspace's events from before a time, as far as nothing needs them.
async fn forget_events_of(app: &App, workspace: WorkspaceId, before: Timestamp) -> Result<()> {
    let (now, step) = (app.clock.now(), i64::from(MAX_PER_STEP));
    let last = move |conn: &mut Conn| removal::last_before(conn, workspace, before);
    if let Some(last) = app.db.read(last).await? {
        app.flush(workspace).await?;
        forget(app, workspace, move |tx| {
            removal::forget(tx, workspace, last, now - HISTORY_LIFETIME, step)
        })
        .await?;
    }
    let is_noted = move |conn: &mut Conn| removal::is_first_noted(conn, workspace, before);
    if app.db.read(is_noted).await? {
        return Ok(());
    }
    let note = move |tx: &mut Tx<'_>| removal::note_first(tx, workspace, now);
    Ok(app.db.write(workspace, note).await?)
}

/// Removes the oldest part of delivery logs that have more than `most` bytes.
async fn shrink_logs(app: &App, most: i64) -> Result<()> {
    let step = i64::from(MAX_PER_STEP);
    loop {
        let large = move |conn: &mut Conn| log::larger_than(conn, most, step);
        let workspaces = app.db.read(large).await?;
        if workspaces.is_empty() {
            return Ok(());
        }
        for workspace in workspaces {
            let start = move |conn: &mut Conn| log::start_of_newest(conn, workspace, most);
            if let Some(last) = app.db.read(start).await? {
                forget_logged(app, workspace, last).await?;
            }
        }
    }
}

/// Removes a workspace's part of the delivery log up to `last`.
async fn forget_logged(app: &App, workspace: WorkspaceId, last: Uuid) -> Result<()> {
    let step = i64::from(MAX_PER_STEP);
    forget(app, workspace, move |tx| {
        log::forget(tx, workspace, last, step)
    })
    .await
}

/// Removes attempts of earlier versions made before `before`, one instance after the other.
async fn forget_earlier_attempts(app: &App, before: Timestamp) -> Result<()> {
    let step = i64::from(MAX_PER_STEP);
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

/// Removes old runs, one workspace after the other.
async fn forget_runs(app: &App) -> Result<()> {
    let (step, ttl) = (i64::from(MAX_PER_STEP), app.config.run_ttl);
    let old = move |workspace, before| async move {
        forget(app, workspace, move |tx| {
            run::forget(tx, workspace, before, step)
        })
        .await
    };
    forget_history(app, History::Runs, ttl, run::with_runs_before, old).await
}

/// Removes uploads for documents that were not used in time, and expired archives.
async fn remove_ended_of_documents(app: &App) -> Result<()> {
    loop {
        let now = app.clock.now();
        let read =
            move |conn: &mut Conn| document_blob::list_ended(conn, now, i64::from(MAX_PER_STEP));
        let ended = app.db.read(read).await?;
        if ended.is_empty() {
            return Ok(());
        }
        stream::iter(ended.into_iter().map(Ok))
            .try_for_each_concurrent(MAX_CONCURRENT_REMOVALS, |blob| {
                remove_of_document(app, blob, now)
            })
            .await?;
    }
}

async fn remove_of_document(app: &App, row: DocumentBlob, now: Timestamp) -> Result<()> {
    let (workspace, blob) = (row.workspace, row.blob);
    let removed = move |tx: &mut Tx<'_>| Ok::<_, Error>(document_blob::delete(tx, &row, now)?);
    remove_if(app, workspace, blob, removed).await
}

/// Removes expired records and their blobs.
async fn remove_ended(app: &App) -> Result<()> {
    let documents = step(app, Step::Documents, remove_ended_of_documents(app)).await;
    let files = step(app, Step::Files, remove_ended_files(app)).await;
    documents.and(files)
}

/// Removes expired temporary files.
async fn remove_ended_files(app: &App) -> Result<()> {
    loop {
        let now = app.clock.now();
        let ended = app
            .db
            .read(move |conn| file::list_ended(conn, now, i64::from(MAX_PER_STEP)))
            .await?;
        if ended.is_empty() {
            return Ok(());
        }
        stream::iter(ended.into_iter().map(Ok))
            .try_for_each_concurrent(MAX_CONCURRENT_REMOVALS, |file| remove_file(app, file))
            .await?;
    }
}

async fn remove_file(app: &App, file: File) -> Result<()> {
    let (workspace, blob) = (file.workspace, file.blob);
    let removed = move |tx: &mut Tx<'_>| Ok::<_, Error>(file::delete(tx, &file)?);
    remove_if(app, workspace, blob, removed).await
}

/// Removes a blob if a write finds that no row names it.
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

/// Removes blobs written before `before` that no row names.
async fn remove_orphans(app: &App, before: Timestamp) -> Result<()> {
    let old = app
        .blobs
        .list(None)
        .try_filter(|blob| std::future::ready(blob.modified < before));
    let mut steps = old.try_chunks(usize::from(MAX_PER_STEP));
    while let Some(step) = steps.next().await {
        let step = step.map_err(|error| error.1)?;
        for orphan in app.db.read(move |conn| nameless(conn, step)).await? {
            app.blobs.delete(orphan).await?;
            tracing::info!(workspace = %orphan.workspace, blob = %orphan, "removed orphaned blob {orphan}");
        }
    }
    Ok(())
}

/// The blobs that no row names.
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
