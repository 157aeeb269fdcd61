//! Daily digests: one mail to each recipient of a workspace that wants one, at its hour.

use std::time::Duration;

use prichal_core::{
    alert::{State, settings::AlertSettings},
    id::WorkspaceId,
    mail::{
        Text,
        alert::{Digest, MAX_LISTED},
    },
    time::Timestamp,
};
use prichal_store::{
    Conn, Tx,
    alert::{self as alerts, Filter},
    delivery::dead_letter,
    delivery_stats,
    mail::{self as store, Kind},
    workspace,
};
use tokio_util::sync::CancellationToken;

use super::queue;
use crate::{
    domain::{Domain, alert},
    error::Result,
};

/// The longest wait between two reads of due digests. A changed setting counts by then.
const POLL_INTERVAL: Duration = Duration::from_mins(1);
/// The maximum number of workspaces of one read.
const BATCH: i64 = 100;

/// Plans the next digest of a workspace after a change of its settings.
pub fn plan(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    settings: &AlertSettings,
    now: Timestamp,
) -> Result<()> {
    let mail = &settings.mail;
    let digest = mail.digest.as_ref().filter(|_| !mail.recipients.is_empty());
    match digest {
        Some(digest) => store::plan_digest(tx, workspace, now, digest.next(now))?,
        None => store::drop_digest(tx, workspace)?,
    }
    Ok(())
}

/// Queues due digests until `stop`.
pub async fn run(app: Domain, stop: CancellationToken) -> anyhow::Result<()> {
    let work = async {
        loop {
            let next = match queue_due(&app).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "cannot make daily digests"
                    );
                    None
                }
            };
            let latest = app.clock.now() + POLL_INTERVAL;
            let wake = next.map_or(latest, |next| next.min(latest));
            app.clock.sleep_until(wake).await;
        }
    };
    // A digest and its next time are one transaction, which is repeated after an interruption.
    stop.run_until_cancelled(work).await;
    Ok(())
}

/// Queues the digests that are due. Returns the time of the next one.
async fn queue_due(app: &Domain) -> Result<Option<Timestamp>> {
    loop {
        let now = app.clock.now();
        let read = move |conn: &mut Conn| store::digests_due(conn, now, BATCH);
        let due = app.db.read(read).await?;
        if due.is_empty() {
            return Ok(app.db.read(store::next_digest).await?);
        }
        for workspace in due {
            let at = app.clone();
            let write = move |tx: &mut Tx<'_>| queue_one(&at, tx, workspace, now);
            app.db.write(workspace, write).await?;
        }
    }
}

fn queue_one(app: &Domain, tx: &mut Tx<'_>, workspace: WorkspaceId, now: Timestamp) -> Result<()> {
    // Another node may have made it since.
    let Some(from) = store::lock_due_digest(tx, workspace, now)? else {
        return Ok(());
    };
    let settings = alert::settings(tx.conn()?, workspace)?;
    let found = workspace::find(tx.conn()?, &workspace.to_string())?;
    let (Some(found), Some(wanted)) = (found, &settings.mail.digest) else {
        return Ok(store::drop_digest(tx, workspace)?);
    };
    let digest = gather(tx.conn()?, workspace, from, now)?;
    if settings.mail.digest_always || !digest.is_empty() {
        let text = Text::digest(&found.name, &digest, &app.config.public_url());
        let recipients = &settings.mail.recipients;
        queue(app, tx, workspace, (Kind::Digest, &text), recipients, now)?;
    }
    Ok(store::finish_digest(tx, workspace, now, wanted.next(now))?)
}

fn gather(
    conn: &mut Conn,
    workspace: WorkspaceId,
    from: Timestamp,
    to: Timestamp,
) -> Result<Digest> {
    let most = i64::try_from(MAX_LISTED + 1).unwrap_or(i64::MAX);
    let open = Filter {
        state: Some(State::Open),
        ..Filter::default()
    };
    Ok(Digest {
        from,
        to,
        open: alerts::list(conn, workspace, &open, most)?,
        over: alerts::list_over(conn, workspace, from, to, most)?,
        failed: delivery_stats::count_failed(conn, workspace, from)?,
        given_up: dead_letter::count_since(conn, workspace, from)?,
    })
}
