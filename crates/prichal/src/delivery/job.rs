//! The execution of background jobs, batch by batch: by the request that began the job, or by the server if that
//! request did not finish it.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use prichal_core::id::{EntityId, WorkspaceId};
use prichal_store::{
    Conn, Tx,
    delivery::{self, resend},
    job::{self as store, BATCH_ROWS, Items, Job, Kind},
    kv,
    quarantine::{self, Item},
    tenant, workspace,
};
use uuid::Uuid;

use crate::{
    delivery::{Delivery, target},
    domain::{
        channel::retype,
        instance::manifest,
        job::{ChangedWebhooks, damaged, integration},
        journal,
    },
    error::{Error, Result},
    platform::{
        security::{self, Event},
        vault::sha256,
    },
};

/// The size of a page of jobs.
const PAGE: u8 = 100;

/// Completes a request's own jobs, even if the request that waits for them is dropped.
pub async fn finish(
    app: &Delivery,
    workspace: WorkspaceId,
    kind: Kind,
    items: Items,
) -> Result<()> {
    let at = app.clone();
    let work = async move {
        loop {
            let items = items.clone();
            let list = move |conn: &mut Conn| {
                store::list_of(conn, workspace, kind, &items, i64::from(PAGE))
            };
            let jobs = at.db.read(list).await?;
            for job in &jobs {
                complete(&at, job).await?;
            }
            if jobs.len() < usize::from(PAGE) {
                return Ok(());
            }
        }
    };
    let work = tenant::scope(tenant::current(), security::carried(work));
    app.background.spawn(work).await.map_err(Error::internal)?
}

/// The number of jobs in the journal, among the steps of retention.
const STEP: i64 = 15;
/// The pause between two batches of the selection of a resend, in which new events are written without waiting for it.
const RESEND_PAUSE: Duration = Duration::from_millis(3);
/// The maximum number of concurrent jobs without a request.
const MAX_RESUMED: usize = 8;

/// The journal's item of a job.
pub fn item(job: &Job) -> Item {
    let hash = sha256(format!("{}:{}", job.kind.name(), job.item).as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    Item {
        kind: quarantine::Kind::Retention,
        workspace: job.workspace,
        parent: Uuid::nil(),
        id: Uuid::from_bytes(id),
        seq: STEP,
    }
}

/// Completes the jobs that requests did not finish. A failed job does not stop the others.
pub async fn resume(app: &Delivery) -> Result<()> {
    let (mut outcome, mut after) = (Ok(()), None);
    loop {
        let list = move |conn: &mut Conn| store::list(conn, after.as_ref(), i64::from(PAGE));
        let jobs = app.db.read(list).await?;
        let (suspects, others): (Vec<_>, Vec<_>) = jobs
            .iter()
            .cloned()
            .partition(|job| app.journal.is_suspect(&item(job)));
        for job in suspects {
            journal::spawn(app, item(&job), resume_suspect(app.clone(), job));
        }
        let done: Vec<Result<()>> = stream::iter(others)
            .map(|job| {
                let at = app.clone();
                async move { complete(&at, &job).await }
            })
            .buffer_unordered(MAX_RESUMED)
            .collect()
            .await;
        outcome = done.into_iter().fold(outcome, Result::and);
        let is_last = jobs.len() < usize::from(PAGE);
        after = jobs.into_iter().next_back();
        if is_last {
            return outcome;
        }
    }
}

async fn resume_suspect(app: Delivery, job: Job) {
    if let Err(error) = complete(&app, &job).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            workspace = %job.workspace,
            job.kind = job.kind.name(),
            job.item = job.item,
            "cannot complete the background job {} of {}",
            job.kind.name(),
            job.item
        );
    }
}

/// Completes a job, unless it is in quarantine.
async fn complete(app: &Delivery, job: &Job) -> Result<()> {
    let item = item(job);
    if app.journal.is_held(&item) {
        return Ok(());
    }
    let Some(_guard) = journal::begin(app, item).await else {
        // The server stops. The next start completes the job.
        return Ok(());
    };
    loop {
        let part = match job.kind {
            // The selection reads beside the writes, and its write joins one of new events.
            Kind::Resend => read_part(app, job).await?,
            _ => None,
        };
        let is_part = part.is_some();
        let (at, this) = (app.clone(), job.clone());
        let write = move |tx: &mut Tx<'_>| run_batch(&at, tx, &this, part.as_ref());
        let done = if is_part {
            app.db.write_deferred(job.workspace, write).await?
        } else {
            app.db.write(job.workspace, write).await?
        };
        let Some((changed, goes_on)) = done else {
            return Ok(());
        };
        for workspace in changed.workspaces {
            if changed.base_url_changed {
                let object = format!("integration:{}", integration(job)?);
                security::record(Event::HookChanged, Some(workspace), &object);
            }
            app.dispatch.hooks_changed(workspace);
        }
        match job.kind {
            Kind::ApplyType => app.channels.forget_channels(),
            Kind::ApplyManifest => app.dispatch.ticks_changed(),
            Kind::MakeDeferredDue => app.dispatch.check_side_queues(),
            Kind::Resend if goes_on => app.clock.sleep(RESEND_PAUSE).await,
            Kind::Resend => {
                app.dispatch.check_side_queues();
                app.channels.queue.request_poll();
            }
            _ => {}
        }
        if !goes_on {
            return Ok(());
        }
    }
}

/// Reads the next part of the selection of a resend. `None` if the job is done.
async fn read_part(app: &Delivery, job: &Job) -> Result<Option<resend::Part>> {
    let this = job.clone();
    let read = move |conn: &mut Conn| Ok::<_, Error>(resend::read_part(conn, &this, target::body)?);
    app.db.read(read).await
}

/// Runs the next batch of a job, for a resend with the `part` of its selection, and stores the progress. Returns the
/// workspaces whose webhooks the batch changed, and true unless it was the last one. `None` if the job was done before.
fn run_batch(
    app: &Delivery,
    tx: &mut Tx<'_>,
    job: &Job,
    part: Option<&resend::Part>,
) -> Result<Option<(ChangedWebhooks, bool)>> {
    let Some(job) = store::find_for_update(tx, job)? else {
        return Ok(None);
    };
    let mut changed = ChangedWebhooks::default();
    let last = match job.kind {
        Kind::ApplyType => retype::run_batch(&app.vault, tx, &job, BATCH_ROWS)?,
        Kind::ApplyManifest => {
            changed = manifest::run_batch(&app.vault, tx, &job)?;
            changed.workspaces.last().map(ToString::to_string)
        }
        Kind::ClearWorkspace => keyless(workspace::clear(tx, job.workspace, BATCH_ROWS)?),
        Kind::ClearValues => {
            let channel = EntityId::parse(&job.item).ok_or_else(damaged)?;
            keyless(kv::remove_some(tx, job.workspace, channel, BATCH_ROWS)? > 0)
        }
        Kind::RemoveDeferred | Kind::MakeDeferredDue => delivery::run_batch(tx, &job)?,
        Kind::Resend => match part {
            Some(part) => resend::add_part(tx, &job, part, app.node, app.clock.now())?,
            None => return Ok(None),
        },
    };
    store::advance(tx, &job, last.as_deref())?;
    Ok(Some((changed, last.is_some())))
}

/// The progress of a job that finds only the rows that are left, so it stores no key. `None` if no rows are left.
fn keyless(more: bool) -> Option<String> {
    more.then(String::new)
}
