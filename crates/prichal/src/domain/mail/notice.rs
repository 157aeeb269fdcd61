//! Notices: alerts that have begun or are over, and were not mailed yet. A notice is written with its alert. The mails
//! take its place in one transaction, so each recipient gets one, on however many nodes this runs.

use std::time::Duration;

use prichal_core::{alert::Alert, id::WorkspaceId, mail::Text};
use prichal_store::{
    Conn, Tx, alert as alerts,
    mail::{self as store, Kind, Notice},
    workspace,
};

use super::queue;
use crate::{
    domain::{Domain, alert},
    error::Result,
};

/// The age from which a notice is news no more: there was no SMTP server when it was written.
const MAX_AGE: Duration = Duration::from_hours(24);
/// The maximum number of notices of one read.
const BATCH: i64 = 100;

/// Queues the mails of all notices.
pub(super) async fn expand(app: &Domain) -> Result<()> {
    loop {
        let read = move |conn: &mut Conn| store::list_notices(conn, BATCH);
        let found = app.db.read(read).await?;
        if found.is_empty() {
            return Ok(());
        }
        for (workspace, notice) in found {
            let at = app.clone();
            let write = move |tx: &mut Tx<'_>| expand_one(&at, tx, workspace, &notice);
            app.db.write(workspace, write).await?;
        }
    }
}

fn expand_one(
    app: &Domain,
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    notice: &Notice,
) -> Result<()> {
    // Another node may have come first.
    if !store::take_notice(tx, workspace, notice)? {
        return Ok(());
    }
    let now = app.clock.now();
    let found = alerts::find(tx.conn()?, workspace, notice.alert)?;
    let named = workspace::find(tx.conn()?, &workspace.to_string())?;
    let (Some(found), Some(named)) = (found, named) else {
        return Ok(());
    };
    if now.since(notice.written_at) > MAX_AGE {
        return Ok(());
    }
    let told = Alert {
        // It may be over by now, which the next notice tells.
        over_at: found.over_at.filter(|_| notice.is_over),
        ..found
    };
    let text = Text::alert(&named.name, &told, &app.config.public_url());
    let recipients = alert::settings(tx.conn()?, workspace)?.mail.recipients;
    queue(app, tx, workspace, (Kind::Alert, &text), &recipients, now)?;
    Ok(())
}
