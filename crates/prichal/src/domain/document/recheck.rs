//! Repeated checks of signatures whose verdict is not final, by any node.

use std::time::Duration;

use futures_util::{TryStreamExt as _, stream};
use prichal_core::{
    document::Group,
    event::EntityKind,
    id::{EntityId, WorkspaceId},
    time::Timestamp,
};
use prichal_sign::Verdict;
use prichal_store::{
    Conn, Tx, document, document_blob, entity,
    quarantine::{Item, Kind},
    signature::{self, Check, Signature},
    tenant,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    check::{self, Checked, ExpectedSigner, Question, Rules},
    record,
};
use crate::{
    domain::{Domain, journal},
    error::{Error, Result},
    platform::blobs::BlobKey,
};

/// The longest wait between two reads of due checks.
const POLL_INTERVAL: Duration = Duration::from_secs(30);
/// The minimum wait between these reads while a suspect waits for its turn.
const SUSPECT_INTERVAL: Duration = Duration::from_secs(1);
/// The maximum number of checks of one read.
const BATCH: i64 = 16;
/// The maximum number of checks of one read for one company.
const MAX_PER_COMPANY: i64 = 4;
/// The waits before the second, third, … check. The last wait is repeated.
const RETRY_DELAYS: [Duration; 5] = [
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_hours(1),
    Duration::from_hours(6),
];
/// The maximum number of checks of a signature, which take about a month. Then its verdict stays.
const MAX_CHECKS: i64 = 120;

/// The signatures that one write marks as due.
const REARM_BATCH: i64 = 500;

/// Marks all undecided signatures of a company as due, since its rules have changed.
pub async fn rearm(app: &Domain, company: WorkspaceId) -> Result<()> {
    let now = app.clock.now();
    loop {
        let write = move |tx: &mut Tx<'_>| signature::rearm(tx, company, now, REARM_BATCH);
        if app.db.write(company, write).await? == 0 {
            return Ok(());
        }
    }
}

/// The time of the next check of a signature, after `checks` of them. `None` after the last.
pub fn next(checks: i64, now: Timestamp) -> Option<Timestamp> {
    let last = RETRY_DELAYS.len() - 1;
    let place = usize::try_from(checks - 1).unwrap_or(0).min(last);
    (checks < MAX_CHECKS).then(|| now + RETRY_DELAYS[place])
}

/// Checks due signatures until `stop`.
pub async fn run(app: Domain, stop: CancellationToken) -> anyhow::Result<()> {
    let work = async {
        loop {
            let now = app.clock.now();
            let mut wake = now + POLL_INTERVAL;
            match check_due(&app, now).await {
                Ok((next, has_suspect)) => {
                    // A suspect stays due while it waits for its turn.
                    let soonest = if has_suspect {
                        now + SUSPECT_INTERVAL
                    } else {
                        now
                    };
                    wake = next.map_or(wake, |next| next.clamp(soonest, wake));
                }
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot check due signatures"
                ),
            }
            // The first wait of a new signature is longer than this.
            app.clock.sleep_until(wake).await;
        }
    };
    // A check may be interrupted anywhere, since it is repeated until its result is written.
    stop.run_until_cancelled(work).await;
    Ok(())
}

/// Checks the signatures that are due now. Returns the next due time, and true if a suspect is among them.
async fn check_due(app: &Domain, now: Timestamp) -> Result<(Option<Timestamp>, bool)> {
    let due = app
        .db
        .read(move |conn| signature::list_due(conn, now, BATCH, MAX_PER_COMPANY))
        .await?;
    let (suspects, due): (Vec<_>, Vec<_>) = due
        .into_iter()
        .partition(|signature| app.journal.is_suspect(&item(signature)));
    let has_suspect = !suspects.is_empty();
    for signature in suspects {
        let (at, item) = (app.clone(), item(&signature));
        let work = async move {
            let check = tenant::scope(Some(signature.company), check_one(&at, signature));
            if let Some(Err(error)) = at.stopping.run_until_cancelled(check).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot check a due signature"
                );
            }
        };
        journal::spawn(app, item, work);
    }
    // Slow evidence for one company must not delay the checks of others.
    stream::iter(due.into_iter().map(Ok))
        .try_for_each_concurrent(None, |signature| {
            tenant::scope(Some(signature.company), check_one(app, signature))
        })
        .await?;
    let next = app.db.read(signature::next_due).await?;
    Ok((next, has_suspect))
}

async fn check_one(app: &Domain, signature: Signature) -> Result<()> {
    let Some(_guard) = journal::begin(app, item(&signature)).await else {
        return Ok(());
    };
    if let Err(error) = recheck(app, signature.clone()).await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            workspace = %signature.company,
            document.id = %signature.document,
            "cannot repeat the check of a signature of document {}",
            signature.document
        );
        put_off(app, signature).await?;
    }
    Ok(())
}

fn item(signature: &Signature) -> Item {
    Item {
        kind: Kind::Recheck,
        workspace: signature.company,
        parent: Uuid::nil(),
        id: signature.id,
        seq: 0,
    }
}

/// Postpones a signature whose check has failed, so that it does not delay others.
async fn put_off(app: &Domain, signature: Signature) -> Result<()> {
    let checks = signature.check.checks + 1;
    let check = Check {
        checks,
        due_at: next(checks, app.clock.now()),
        ..signature.check.clone()
    };
    let company = signature.company;
    let write = move |tx: &mut Tx<'_>| signature::record_outcome(tx, &signature, &check);
    app.db.write(company, write).await?;
    Ok(())
}

async fn recheck(app: &Domain, signature: Signature) -> Result<()> {
    let checks = signature.check.checks + 1;
    let looked = look(app, &signature).await?;
    let now = app.clock.now();
    let (mut check, proofs, rules) = match looked {
        Some((checked, rules)) => {
            let waits = checked.waits();
            let Checked { report, proofs, .. } = checked;
            let due_at = waits.then(|| next(checks, now)).flatten();
            let check = check::outcome(&report, checks, due_at)?;
            (check, proofs, Some(rules))
        }
        // The document was deleted, so the check ends.
        None => (
            Check {
                checks,
                due_at: None,
                ..signature.check.clone()
            },
            Vec::new(),
            None,
        ),
    };
    let undecided = check::word(&Verdict::Indeterminate);
    app.db
        .write(signature.company, move |tx| {
            // The rules may have changed since the check began, and with them its result.
            if let Some(rules) = &rules
                && check.verdict == undecided
                && Rules::find(tx.conn()?, signature.company)? != *rules
            {
                check.due_at = Some(now);
            }
            if !signature::record_outcome(tx, &signature, &check)? {
                return Ok::<_, Error>(());
            }
            signature::put_proofs(tx, &signature, &proofs)?;
            // The end of the checks is an event of its own, even if the verdict is the same.
            if check.verdict == signature.check.verdict && check.due_at.is_some() {
                return Ok(());
            }
            if let Some(document) = document::find_any(tx.conn()?, signature.document)? {
                let told = Signature {
                    check: check.clone(),
                    ..signature.clone()
                };
                record::tell_signature(tx, &document, &told, now);
            }
            Ok(())
        })
        .await
}

async fn look(app: &Domain, signature: &Signature) -> Result<Option<(Checked, Rules)>> {
    let (wanted, now) = (signature.clone(), app.clock.now());
    let found = app
        .db
        .read(move |conn| {
            let Some(document) = document::find_any(conn, wanted.document)? else {
                return Ok(None);
            };
            let rules = Rules::find(conn, wanted.company)?;
            let iin = iin(conn, &wanted)?;
            let sender = document.sender.company;
            let zip = document::zip(conn, document.id)?;
            let zip = match zip {
                Some(zip) => document_blob::find(conn, sender, zip, now)?,
                None => None,
            };
            let blob = document_blob::find(conn, wanted.company, wanted.blob, now)?;
            Ok::<_, Error>(
                zip.zip(blob)
                    .map(|(zip, blob)| (document, rules, iin, zip, blob)),
            )
        })
        .await?;
    let Some((document, rules, iin, zip, blob)) = found else {
        return Ok(None);
    };
    let key = |blob: &document_blob::DocumentBlob| BlobKey {
        workspace: blob.workspace,
        id: blob.blob,
    };
    let signer = ExpectedSigner::of(&document, signature.company, &signature.bin, iin);
    let size = blob.size + zip.size;
    let _room = check::room(app, signature.company, size).await;
    let bytes = app.blobs.read_whole(key(&blob)).await?;
    let (content, content_sha256) = check::content(app, signature.attached, &zip).await?;
    let question = Question {
        signature: bytes,
        content,
        content_sha256,
        signer,
        financial: is_financial(document.group),
        received_at: signature.signed_on,
        public_work: None,
    };
    let checked = check::check(app, &rules, question).await?;
    Ok(Some((checked, rules)))
}

/// The IIN of the employee who has signed, from his user's record and not from the certificate.
fn iin(conn: &mut Conn, signature: &Signature) -> Result<Option<String>> {
    let id = EntityId(signature.employee.0);
    let Some(found) = entity::find(conn, signature.company, EntityKind::User, id)? else {
        return Ok(None);
    };
    let members: Value = serde_json::from_str(&found.members).map_err(Error::internal)?;
    let iin = members["iin"].as_str().filter(|iin| !iin.is_empty());
    Ok(iin.map(str::to_owned))
}

/// True for documents for which the right to sign financial documents suffices.
pub fn is_financial(group: Group) -> bool {
    matches!(group, Group::Accounting | Group::Financial)
}
