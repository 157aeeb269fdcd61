//! The task that hands the mails of the outbox over to the SMTP server, one after the other on one connection.

use std::{pin::pin, time::Duration};

use prichal_core::{
    id::WorkspaceId,
    mail::{Text, next_attempt},
    time::Timestamp,
};
use prichal_store::{
    Conn, Tx,
    mail::{self as store, Kind, Mail, Outcome, Status},
    workspace,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    domain::{Domain, mail::notice},
    error::Result,
    platform::smtp::{Fault, Letter, Session, Smtp},
};

/// The longest wait between two reads of the outbox. A mail of a node that has died is found then.
const POLL_INTERVAL: Duration = Duration::from_mins(1);
/// The wait after a failed connection or an error of the store, so that neither is flooded.
const PAUSE: Duration = Duration::from_secs(30);
/// The timeout for a connection with its login.
const CONNECT_TIMEOUT: Duration = Duration::from_mins(1);
/// The timeout for handing one mail over. Some servers look at a mail for long before they take it.
const SEND_TIMEOUT: Duration = Duration::from_mins(2);
/// The time for which a mail belongs to the node that has taken it.
const LEASE: Duration = Duration::from_mins(5);
/// The time that a stop leaves to the mail in progress. A mail that is dropped is sent again.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum number of mails on one connection. Servers have limits of their own.
const MAX_ON_ONE: usize = 50;

/// The workspace whose writer takes mails of all.
const ANY: WorkspaceId = WorkspaceId(Uuid::nil());

/// Sends due mails until `stop`.
pub async fn run(app: Domain, stop: CancellationToken) -> anyhow::Result<()> {
    let Some(server) = &app.smtp else {
        stop.cancelled().await;
        return Ok(());
    };
    while !stop.is_cancelled() {
        let next = match send_due(&app, server, &stop).await {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot read the outbox of mails"
                );
                Next::Pause(app.clock.now() + PAUSE)
            }
        };
        let latest = app.clock.now() + POLL_INTERVAL;
        match next {
            Next::Pause(end) => {
                tokio::select! {
                    () = app.clock.sleep_until(end) => {}
                    () = stop.cancelled() => {}
                }
            }
            Next::Due(next) => {
                let wake = next.map_or(latest, |next| next.min(latest));
                tokio::select! {
                    () = app.outbox.notified() => {}
                    () = app.clock.sleep_until(wake) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }
    Ok(())
}

/// The end of the sender's wait.
enum Next {
    /// The time of the next mail, or a new mail.
    Due(Option<Timestamp>),
    /// The end of the pause after a failed connection, whatever comes meanwhile.
    Pause(Timestamp),
}

/// Sends the mails that are due.
async fn send_due(app: &Domain, server: &Smtp, stop: &CancellationToken) -> Result<Next> {
    notice::expand(app).await?;
    let mut session: Option<(Session<'_>, usize)> = None;
    let mut next = None;
    while !stop.is_cancelled() {
        let now = app.clock.now();
        let claim = move |tx: &mut Tx<'_>| store::claim(tx, now, now + LEASE);
        let Some(mut mail) = app.db.write(ANY, claim).await? else {
            next = app.db.read(store::next_due).await?;
            break;
        };
        if mail.kind == Kind::Rest {
            complete(app, &mut mail).await?;
        }
        let (mut open, sent) = match session.take() {
            Some((open, sent)) => (open, sent),
            None => match within(app, stop, CONNECT_TIMEOUT, server.connect()).await {
                Ok(open) => (open, 0),
                Err(fault) => {
                    // The mail is innocent, but its schedule bounds the attempts anyway.
                    let end = app.clock.now() + PAUSE;
                    record(app, mail, Err(fault)).await?;
                    return Ok(Next::Pause(end));
                }
            },
        };
        let letter = Letter {
            id: mail.id,
            to: &mail.recipient,
            subject: &mail.subject,
            body: &mail.body,
            written_at: mail.created_at,
        };
        let done = within(app, stop, SEND_TIMEOUT, open.send(&letter)).await;
        let (is_open, is_full) = (done.is_ok(), sent + 1 >= MAX_ON_ONE);
        record(app, mail, done).await?;
        if is_open && is_full {
            quit(app, open).await;
        } else if is_open {
            session = Some((open, sent + 1));
        }
    }
    if let Some((open, _)) = session {
        quit(app, open).await;
    }
    Ok(Next::Due(next))
}

/// Ends a connection politely, unless the server is slow.
async fn quit(app: &Domain, open: Session<'_>) {
    tokio::select! {
        () = open.quit() => {}
        () = app.clock.sleep(PAUSE) => {}
        () = app.abort.cancelled() => {}
    }
}

/// Writes the text of a mail that stands for others.
async fn complete(app: &Domain, mail: &mut Mail) -> Result<()> {
    let id = mail.workspace.to_string();
    let find = move |conn: &mut Conn| workspace::find(conn, &id);
    let found = app.db.read(find).await?;
    let name = found.map(|workspace| workspace.name).unwrap_or_default();
    let text = Text::left_out(&name, mail.left_out);
    (mail.subject, mail.body) = (text.subject, text.body);
    Ok(())
}

/// Runs an attempt within its time.
async fn within<T>(
    app: &Domain,
    stop: &CancellationToken,
    timeout: Duration,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = app.clock.sleep(timeout) => {
            let seconds = timeout.as_secs();
            let reason = format!("the SMTP server has not answered within {seconds} seconds");
            return Err(Fault::Temporary(reason));
        }
        () = stop.cancelled() => {}
    }
    let rest = tokio::time::timeout(STOP_TIMEOUT, work).await;
    rest.unwrap_or_else(|_| {
        let reason = "the attempt was interrupted by a stop of this server";
        Err(Fault::Temporary(reason.to_owned()))
    })
}

/// Stores the outcome of an attempt.
async fn record(app: &Domain, mail: Mail, done: Result<String, Fault>) -> Result<()> {
    let now = app.clock.now();
    let outcome = judge(mail.attempts, done, now);
    let word = match outcome.status {
        Status::Sent => "sent",
        Status::Waiting => "deferred",
        Status::Failed => "failed",
    };
    metrics::counter!("prichal_mails_total", "outcome" => word).increment(1);
    let Mail { workspace, id, .. } = mail;
    if outcome.status != Status::Sent {
        // The reason may repeat the address.
        tracing::debug!(%workspace, mail.id = %id, reason = outcome.answer, "mail {id} was not sent");
        tracing::warn!(%workspace, mail.id = %id, outcome = word, attempts = mail.attempts, "mail {id} was not sent: GET /mails of its workspace has the reason");
    }
    let write = move |tx: &mut Tx<'_>| store::record(tx, &mail, &outcome, now);
    app.db.write(workspace, write).await?;
    Ok(())
}

/// The outcome of attempt number `attempts`, counted from 1.
fn judge(attempts: i64, done: Result<String, Fault>, now: Timestamp) -> Outcome {
    let (answer, due_at) = match done {
        Ok(answer) => {
            return Outcome {
                status: Status::Sent,
                due_at: None,
                answer,
            };
        }
        Err(Fault::Temporary(reason)) => (reason, next_attempt(attempts, now)),
        Err(Fault::Permanent(reason)) => (reason, None),
    };
    Outcome {
        status: due_at.map_or(Status::Failed, |_| Status::Waiting),
        due_at,
        answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_of_attempts() {
        let now = Timestamp::from_micros(0);
        let temporary = || Err(Fault::Temporary("later".to_owned()));
        let permanent = || Err(Fault::Permanent("never".to_owned()));
        for (attempts, done, status, wait) in [
            (1, Ok("250 OK".to_owned()), Status::Sent, None),
            (9, Ok("250 OK".to_owned()), Status::Sent, None),
            (1, temporary(), Status::Waiting, Some(60)),
            (2, temporary(), Status::Waiting, Some(300)),
            (8, temporary(), Status::Waiting, Some(8 * 3600)),
            (9, temporary(), Status::Failed, None),
            (1, permanent(), Status::Failed, None),
        ] {
            let outcome = judge(attempts, done, now);
            let due_at = wait.map(|wait| now + Duration::from_secs(wait));
            assert_eq!(
                (outcome.status, outcome.due_at),
                (status, due_at),
                "{attempts}"
            );
            assert!(!outcome.answer.is_empty());
        }
    }
}
