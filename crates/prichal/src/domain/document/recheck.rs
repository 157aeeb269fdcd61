//! Signatures that could not be checked to the end are checked again, by any node, until they are.

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

/// How often the store is asked what is due, at the least.
const LOOK: Duration = Duration::from_secs(30);
/// How many are taken at once.
const BITE: i64 = 16;
/// How many of them may be of one company.
const SHARE: i64 = 4;
/// The waits before the second, third, … check; the last one is repeated.
const WAITS: [Duration; 5] = [
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_hours(1),
    Duration::from_hours(6),
];
/// After this many it stays as it is: a month of tries.
const MOST: i64 = 120;

/// How many signatures one write has checked again.
const STEP: i64 = 500;

/// Has all signatures of a company that are not decided checked again: by its new rules they may be.
pub async fn rearm(app: &Domain, company: WorkspaceId) -> Result<()> {
    let now = app.clock.now();
    loop {
        let write = move |tx: &mut Tx<'_>| signature::rearm(tx, company, now, STEP);
        if app.db.write(company, write).await? == 0 {
            return Ok(());
        }
    }
}

/// When a signature that was checked so many times is to be checked again.
pub fn next(checks: i64, now: Timestamp) -> Option<Timestamp> {
    let last = WAITS.len() - 1;
    let place = usize::try_from(checks - 1).unwrap_or(0).min(last);
    (checks < MOST).then(|| now + WAITS[place])
}

/// Checks what is due until `stop`.
pub async fn run(app: Domain, stop: CancellationToken) -> anyhow::Result<()> {
    let work = async {
        loop {
            let now = app.clock.now();
            let mut wake = now + LOOK;
            match turn(&app, now).await {
                Ok(next) => wake = next.map_or(wake, |next| next.clamp(now, wake)),
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "signatures could not be checked again"
                ),
            }
            // The first wait of a new one is longer than this.
            app.clock.sleep_until(wake).await;
        }
    };
    // It may be cut off anywhere: what was not written is checked again.
    stop.run_until_cancelled(work).await;
    Ok(())
}

/// Checks what is due now. Says when the next is.
async fn turn(app: &Domain, now: Timestamp) -> Result<Option<Timestamp>> {
    let due = app
        .db
        .read(move |conn| signature::list_due(conn, now, BITE, SHARE))
        .await?;
    // One whose evidence is long in coming holds up no other company's.
    stream::iter(due.into_iter().map(Ok))
        .try_for_each_concurrent(None, |signature| {
            tenant::scope(Some(signature.company), one(app, signature))
        })
        .await?;
    app.db.read(signature::next_due).await.map_err(Error::from)
}

async fn one(app: &Domain, signature: Signature) -> Result<()> {
    let Some(_flight) = journal::begin(app, item(&signature)).await else {
        return Ok(());
    };
    if let Err(error) = again(app, signature.clone()).await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            document.id = %signature.document,
            "a signature could not be checked again"
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

/// One that could not be checked holds up no other.
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

async fn again(app: &Domain, signature: Signature) -> Result<()> {
    let checks = signature.check.checks + 1;
    let looked = look(app, &signature).await?;
    let now = app.clock.now();
    let (mut check, proofs, rules) = match looked {
        Some((checked, rules)) => {
            let again = checked.waits();
            let Checked { report, proofs, .. } = checked;
            let due_at = again.then(|| next(checks, now)).flatten();
            let check = check::outcome(&report, checks, due_at)?;
            (check, proofs, Some(rules))
        }
        // The document is gone: there is nothing to check it for.
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
            // Other rules since then may come to something else.
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
            // That it will not be checked again is news, whatever the verdict is called.
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
    };
    let checked = check::check(app, &rules, question).await?;
    Ok(Some((checked, rules)))
}

/// The IIN of the employee who has signed. That of the certificate says nothing about him.
fn iin(conn: &mut Conn, signature: &Signature) -> Result<Option<String>> {
    let id = EntityId(signature.employee.0);
    let Some(found) = entity::find(conn, signature.company, EntityKind::User, id)? else {
        return Ok(None);
    };
    let members: Value = serde_json::from_str(&found.members).map_err(Error::internal)?;
    let iin = members["iin"].as_str().filter(|iin| !iin.is_empty());
    Ok(iin.map(str::to_owned))
}

/// Documents that holders of the right to sign financial ones may sign.
pub fn is_financial(group: Group) -> bool {
    matches!(group, Group::Accounting | Group::Financial)
}
