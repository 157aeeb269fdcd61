//! Mails to the people of a workspace.
//!
//! The transaction that begins or ends an alert notes that it is to be told. [`notice`] makes a mail to each recipient of
//! that, [`digest`] a mail of each day, and [`sender`] hands them over to the SMTP server.

pub mod digest;
pub mod notice;
pub mod sender;

use prichal_core::{
    alert::is_alert,
    id::WorkspaceId,
    mail::{COUNTED, Text},
    time::Timestamp,
};
use prichal_store::{
    LoggedEvent, Tx,
    mail::{self as store, Kind},
};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    domain::Domain,
    error::{Code, Error, RateLimit, Result},
    platform::smtp,
};

/// The maximum number of test mails of a workspace in an hour.
const MAX_TESTS: u32 = 5;

/// Wakes the sender after a commit with an alert, which has noted what is to be told.
pub fn committed(outbox: &Notify, events: &[LoggedEvent]) {
    if events.iter().any(|event| is_alert(&event.head)) {
        outbox.notify_one();
    }
}

/// True if a mail can be addressed like this.
pub fn is_address(text: &str) -> bool {
    smtp::address(text).is_some()
}

/// Queues a mail to each recipient with the transaction. Without an SMTP server there are no mails. Returns the ids of
/// those that were queued; the others were more than a workspace may have in an hour.
pub fn queue(
    app: &Domain,
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    (kind, text): (Kind, &Text),
    recipients: &[String],
    now: Timestamp,
) -> Result<Vec<Uuid>> {
    if app.smtp.is_none() || recipients.is_empty() {
        return Ok(Vec::new());
    }
    let most = i64::try_from(app.config.mails_per_hour).unwrap_or(i64::MAX);
    let queued = store::queue(tx, workspace, kind, text, recipients, now, most)?;
    let left_out = u64::try_from(recipients.len() - queued.len()).unwrap_or(0);
    let wake = app.outbox.clone();
    tx.after_commit(move || {
        if left_out > 0 {
            metrics::counter!("prichal_mails_total", "outcome" => "left_out").increment(left_out);
        }
        wake.notify_one();
    });
    Ok(queued)
}

/// Queues a mail that an administrator has asked for. Returns its id.
pub fn queue_test(
    app: &Domain,
    tx: &mut Tx<'_>,
    (workspace, name): (WorkspaceId, &str),
    recipient: &str,
    now: Timestamp,
) -> Result<Uuid> {
    if app.smtp.is_none() {
        let message = "This server sends no mails: it has no `smtp-url`.";
        return Err(Error::refused(Code::NotSupported, message.to_owned()));
    }
    let most = i64::from(MAX_TESTS);
    let tests = store::count_of(tx.conn()?, workspace, Kind::Test, now - COUNTED, most)?;
    let recipients = [recipient.to_owned()];
    let queued = if tests < most {
        let text = Text::test(name);
        queue(app, tx, workspace, (Kind::Test, &text), &recipients, now)?
    } else {
        Vec::new()
    };
    queued.first().copied().ok_or_else(too_many)
}

fn too_many() -> Error {
    let seconds = i64::try_from(COUNTED.as_secs()).unwrap_or(i64::MAX);
    Error::TooMany {
        seconds,
        limit: RateLimit::TestMails {
            most: MAX_TESTS,
            period: COUNTED,
        },
    }
}
