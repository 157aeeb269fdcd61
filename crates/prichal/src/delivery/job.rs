//! The execution of background jobs, batch by batch: by the request that began the job, or by the server if that
//! request did not finish it.

use prichal_core::id::{EntityId, WorkspaceId};
use prichal_store::{
    Conn, Tx, delivery,
    job::{self as store, BATCH_ROWS, Job, Kind},
    kv, tenant, workspace,
};

use crate::{
    delivery::Delivery,
    domain::{
        channel::retype,
        instance::manifest,
        job::{ChangedWebhooks, damaged, integration},
    },
    error::{Error, Result},
    platform::security::{self, Event},
};

/// The size of a page of jobs.
const PAGE: i64 = 100;

/// Completes a workspace's jobs of one kind, even if the request that waits for them is dropped.
pub async fn finish(app: &Delivery, workspace: WorkspaceId, kind: Kind) -> Result<()> {
    let list = move |conn: &mut Conn| store::list_of(conn, workspace, kind, PAGE);
    let jobs = app.db.read(list).await?;
    if jobs.is_empty() {
        return Ok(());
    }
    let at = app.clone();
    let work = async move {
        for job in jobs {
            complete(&at, &job).await?;
        }
        Ok(())
    };
    let work = tenant::scope(tenant::current(), security::carried(work));
    app.background.spawn(work).await.map_err(Error::internal)?
}

/// Completes the jobs that requests did not finish. A failed job does not stop the others.
pub async fn resume(app: &Delivery) -> Result<()> {
    let (mut outcome, mut after) = (Ok(()), None);
    loop {
        let list = move |conn: &mut Conn| store::list(conn, after.as_ref(), PAGE);
        let jobs = app.db.read(list).await?;
        for job in &jobs {
            let done = complete(app, job).await;
            outcome = outcome.and(done);
        }
        let is_last = i64::try_from(jobs.len()).is_ok_and(|count| count < PAGE);
        after = jobs.into_iter().next_back();
        if is_last {
            return outcome;
        }
    }
}

async fn complete(app: &Delivery, job: &Job) -> Result<()> {
    loop {
        let (at, this) = (app.clone(), job.clone());
        let write = move |tx: &mut Tx<'_>| run_batch(&at, tx, &this);
        let Some(changed) = app.db.write(job.workspace, write).await? else {
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
            _ => {}
        }
    }
}

/// Runs the next batch of a job and stores its progress. Returns the workspaces whose webhooks the batch changed, or
/// `None` if the job is done.
fn run_batch(app: &Delivery, tx: &mut Tx<'_>, job: &Job) -> Result<Option<ChangedWebhooks>> {
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
        Kind::RemoveDeferred | Kind::MakeDeferredDue => keyless(delivery::run_batch(tx, &job)?),
    };
    store::advance(tx, &job, last.as_deref())?;
    Ok(Some(changed))
}

/// The progress of a job that finds only the rows that are left, so it stores no key. `None` if no rows are left.
fn keyless(more: bool) -> Option<String> {
    more.then(String::new)
}
