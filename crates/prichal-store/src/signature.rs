//! Signing: links to downloads and to content to be signed, signatures, and the validation policy of a workspace.

use prichal_core::{
    id::{UserId, WorkspaceId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    Conn, Result, Row, Tx,
    quarantine::{Kind, not_held},
    usage,
    value::{Value, params},
};

/// A temporary download link. A link with a ticket offers content to be signed, for one document and one employee.
#[derive(Clone, Debug)]
pub struct Link {
    pub workspace: WorkspaceId,
    pub id: Uuid,
    pub document: Uuid,
    /// The [`crate::document_blob::DocumentBlob`], which may belong to another workspace.
    pub blob: (WorkspaceId, Uuid),
    pub dispose_on: Timestamp,
    pub ticket: Option<Uuid>,
    pub employee: Option<UserId>,
    /// The blob of the signature that was submitted with the ticket.
    pub signature: Option<Uuid>,
    /// False once a newer ticket has replaced this one.
    pub live: bool,
}

const LINK: &str =
    "workspace, id, document, blob_workspace, blob, dispose_on, ticket, employee, signature, live";

/// Adds a link. A ticket replaces the earlier tickets of its signer for the document.
pub fn insert_link(tx: &mut Tx<'_>, link: &Link) -> Result<()> {
    if link.ticket.is_some() {
        tx.run(
            "UPDATE document_link SET live = 0 WHERE workspace = $1 AND document = $2 AND employee = $3 AND live = 1",
            params![link.workspace, link.document, link.employee],
        )?;
    }
    let sql = format!(
        "INSERT INTO document_link ({LINK}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
    );
    tx.run(
        &sql,
        params![
            link.workspace,
            link.id,
            link.document,
            link.blob.0,
            link.blob.1,
            link.dispose_on,
            link.ticket,
            link.employee,
            link.signature,
            link.live
        ],
    )?;
    usage::add_bare(tx, link.workspace, 1);
    Ok(())
}

pub fn find_link(conn: &mut Conn, workspace: WorkspaceId, id: Uuid) -> Result<Option<Link>> {
    let sql = format!("SELECT {LINK} FROM document_link WHERE workspace = $1 AND id = $2");
    conn.query_one(&sql, params![workspace, id], read_link)
}

pub fn find_ticket(conn: &mut Conn, workspace: WorkspaceId, ticket: Uuid) -> Result<Option<Link>> {
    let sql = format!("SELECT {LINK} FROM document_link WHERE workspace = $1 AND ticket = $2");
    conn.query_one(&sql, params![workspace, ticket], read_link)
}

/// Finds the current ticket of a signer, used or not.
pub fn live_ticket(
    conn: &mut Conn,
    workspace: WorkspaceId,
    document: Uuid,
    employee: UserId,
    now: Timestamp,
) -> Result<Option<Link>> {
    let sql = format!(
        "SELECT {LINK} FROM document_link WHERE workspace = $1 AND document = $2 AND employee = $3 AND live = 1 AND dispose_on > $4"
    );
    conn.query_one(&sql, params![workspace, document, employee, now], read_link)
}

/// Marks a ticket as used with a signature. Returns false if it was used already.
pub fn use_ticket(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    ticket: Uuid,
    signature: Uuid,
) -> Result<bool> {
    let used = tx.changes_one(
        "UPDATE document_link SET signature = $3 WHERE workspace = $1 AND ticket = $2 AND signature IS NULL",
        params![workspace, ticket, signature],
    )?;
    Ok(used)
}

/// Deletes links that expired before `before`, at most `limit`.
pub fn forget_links(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    usage::remove(
        tx,
        &usage::DOCUMENT_LINKS,
        "(workspace, id) IN (SELECT workspace, id FROM document_link WHERE dispose_on < $1 LIMIT $2)",
        params![before, limit],
    )
}

fn read_link(row: &Row<'_>) -> Result<Link> {
    Ok(Link {
        workspace: WorkspaceId(row.uuid(0)?),
        id: row.uuid(1)?,
        document: row.uuid(2)?,
        blob: (WorkspaceId(row.uuid(3)?), row.uuid(4)?),
        dispose_on: row.time(5)?,
        ticket: row.maybe_uuid(6)?,
        employee: row.maybe_uuid(7)?.map(UserId),
        signature: row.maybe_uuid(8)?,
        live: row.get::<i64>(9)? == 1,
    })
}

/// A signature of a document.
#[derive(Clone, Debug)]
pub struct Signature {
    pub document: Uuid,
    pub id: Uuid,
    /// The signer's company, and its BIN.
    pub company: WorkspaceId,
    pub bin: String,
    pub employee: UserId,
    /// The IIN from the certificate.
    pub iin: Option<String>,
    /// A blob of the signer's company.
    pub blob: Uuid,
    /// True if the signed content is embedded in the signature.
    pub attached: bool,
    pub signed_on: Timestamp,
    pub check: Check,
}

/// The outcome of the last check of a signature.
#[derive(Clone, Debug)]
pub struct Check {
    /// The indication, such as `TOTAL_PASSED`.
    pub verdict: String,
    /// The whole report, as JSON.
    pub report: String,
    /// The public summary of the check, JSON. None for rows from before it was stored.
    pub brief: Option<String>,
    /// The number of checks so far.
    pub checks: i64,
    /// The time of the next check; None if there is none.
    pub due_at: Option<Timestamp>,
}

const SIGNATURE: &str = "document, id, company, bin, employee, iin, blob, attached, signed_on, verdict, report, checks, due_at, brief";

pub fn insert(tx: &mut Tx<'_>, signature: &Signature) -> Result<()> {
    let Signature {
        document,
        id,
        company,
        bin,
        employee,
        iin,
        blob,
        attached,
        signed_on,
        check,
    } = signature;
    let sql = format!(
        "INSERT INTO document_signature ({SIGNATURE}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
    );
    tx.run(
        &sql,
        params![
            *document,
            *id,
            *company,
            bin,
            *employee,
            iin.as_deref(),
            *blob,
            *attached,
            *signed_on,
            &check.verdict,
            &check.report,
            check.checks,
            check.due_at,
            check.brief.as_deref()
        ],
    )?;
    usage::add(tx, *company, &[&check.report]);
    Ok(())
}

/// Lists the signatures of a document in the order of their submission.
pub fn list(conn: &mut Conn, document: Uuid) -> Result<Vec<Signature>> {
    let sql = format!("SELECT {SIGNATURE} FROM document_signature WHERE document = $1 ORDER BY id");
    conn.query(&sql, params![document], read)
}

/// Finds a signature of a company that is due for another check.
pub fn find_due(conn: &mut Conn, company: WorkspaceId, id: Uuid) -> Result<Option<Signature>> {
    let sql = format!(
        "SELECT {SIGNATURE} FROM document_signature WHERE company = $1 AND id = $2 AND due_at IS NOT NULL"
    );
    conn.query_one(&sql, params![company, id], read)
}

/// Replaces the report of the last check of a signature.
pub fn set_report(tx: &mut Tx<'_>, signature: &Signature, report: &str) -> Result<()> {
    let row = params![signature.document, signature.id];
    let one = "document = $1 AND id = $2";
    usage::change(tx, &usage::SIGNATURES, one, row, |tx| {
        tx.run(
            "UPDATE document_signature SET report = $3 WHERE document = $1 AND id = $2 AND checks = $4",
            params![
                signature.document,
                signature.id,
                report,
                signature.check.checks
            ],
        )
    })
}

/// Lists signatures that are due for another check, at most `limit` and at most `share` of one company. Companies
/// take turns.
pub fn list_due(conn: &mut Conn, now: Timestamp, limit: i64, share: i64) -> Result<Vec<Signature>> {
    let due = format!(
        "SELECT document, id FROM (
           SELECT document, id, due_at, row_number() OVER (PARTITION BY company ORDER BY due_at) AS turn
           FROM document_signature WHERE due_at <= $1 AND {}) AS due
         WHERE turn <= $3 ORDER BY turn, due_at LIMIT $2",
        not_held(Kind::Recheck, "document_signature")
    );
    let sql = format!("SELECT {SIGNATURE} FROM document_signature WHERE (document, id) IN ({due})");
    conn.query(&sql, params![now, limit, share], read)
}

/// Returns the time at which the next signature is due for another check.
pub fn next_due(conn: &mut Conn) -> Result<Option<Timestamp>> {
    let sql = format!(
        "SELECT min(due_at) FROM document_signature WHERE due_at IS NOT NULL AND {}",
        not_held(Kind::Recheck, "document_signature")
    );
    let found = conn.query_one(&sql, &[], |row| row.get::<Option<i64>>(0))?;
    Ok(found.flatten().map(Timestamp::from_micros))
}

/// Counts the signatures that wait for another check.
pub fn count_due(conn: &mut Conn) -> Result<i64> {
    let sql = "SELECT count(*) FROM document_signature WHERE due_at IS NOT NULL";
    Ok(conn.query_one(sql, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Stores the outcome of a repeated check. Returns false if another node has stored one meanwhile.
pub fn record_outcome(tx: &mut Tx<'_>, signature: &Signature, check: &Check) -> Result<bool> {
    let row = params![signature.document, signature.id];
    let one = "document = $1 AND id = $2";
    usage::change(tx, &usage::SIGNATURES, one, row, |tx| {
        tx.changes_one(
            "UPDATE document_signature SET verdict = $3, report = $4, checks = $5, due_at = $6, brief = $8
             WHERE document = $1 AND id = $2 AND checks = $7",
            params![
                signature.document,
                signature.id,
                &check.verdict,
                &check.report,
                check.checks,
                check.due_at,
                signature.check.checks,
                check.brief.as_deref()
            ],
        )
    })
}

/// Schedules another check of a company's undecided signatures that have none scheduled, at most `limit`. Returns
/// their number.
pub fn rearm(tx: &mut Tx<'_>, company: WorkspaceId, now: Timestamp, limit: i64) -> Result<u64> {
    tx.execute(
        "UPDATE document_signature SET due_at = $2, checks = 0 WHERE (document, id) IN (
           SELECT document, id FROM document_signature
           WHERE company = $1 AND verdict = 'INDETERMINATE' AND due_at IS NULL LIMIT $3)",
        params![company, now, limit],
    )
}

/// A signature without its report, which may be long.
#[derive(Clone, Debug)]
pub struct Brief {
    pub id: Uuid,
    pub company: WorkspaceId,
    pub bin: String,
    pub signed_on: Timestamp,
    pub verdict: String,
    pub brief: Option<String>,
    /// The file, as it was submitted.
    pub blob: Uuid,
    /// True if the signed content is embedded in the signature.
    pub attached: bool,
}

/// Lists the signatures of a document without their reports, in the order of their submission.
pub fn list_briefs(conn: &mut Conn, document: Uuid) -> Result<Vec<Brief>> {
    let sql =
        "SELECT id, company, bin, signed_on, verdict, brief, blob, attached FROM document_signature
         WHERE document = $1 ORDER BY id";
    conn.query(sql, params![document], |row| {
        Ok(Brief {
            id: row.uuid(0)?,
            company: WorkspaceId(row.uuid(1)?),
            bin: row.get(2)?,
            signed_on: row.time(3)?,
            verdict: row.get(4)?,
            brief: row.get(5)?,
            blob: row.uuid(6)?,
            attached: row.get::<i64>(7)? == 1,
        })
    })
}

/// The report on one signature.
pub fn find_report(conn: &mut Conn, document: Uuid, id: Uuid) -> Result<Option<String>> {
    let sql = "SELECT report FROM document_signature WHERE document = $1 AND id = $2";
    conn.query_one(sql, params![document, id], |row| row.get(0))
}

/// A revocation list, an OCSP response or a certificate that supports the verdict on a signature and is not embedded
/// in the signature.
#[derive(Clone, Debug)]
pub struct Proof {
    /// `crl`, `ocsp` or `issuer`.
    pub kind: String,
    /// In hex.
    pub sha256: String,
    pub body: Vec<u8>,
}

/// Replaces the evidence that the last check of a signature used.
pub fn put_proofs(tx: &mut Tx<'_>, signature: &Signature, proofs: &[Proof]) -> Result<()> {
    tx.execute(
        "DELETE FROM signature_proof WHERE document = $1 AND signature = $2",
        params![signature.document, signature.id],
    )?;
    for proof in proofs {
        put_proof(tx, proof)?;
        tx.run(
            "INSERT INTO signature_proof (document, signature, proof) VALUES ($1, $2, $3)",
            params![signature.document, signature.id, &proof.sha256],
        )?;
    }
    Ok(())
}

/// Large revocation lists support many signatures, so an existing row is not sent again.
fn put_proof(tx: &mut Tx<'_>, proof: &Proof) -> Result<()> {
    let sql = "SELECT kind FROM proof WHERE sha256 = $1";
    let known = tx
        .conn()?
        .query_one(sql, params![&proof.sha256], |row| row.get::<String>(0))?;
    if known.is_some() {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO proof (sha256, kind, body) VALUES ($1, $2, $3) ON CONFLICT (sha256) DO NOTHING",
        &[
            Value::from(&proof.sha256),
            Value::from(&proof.kind),
            Value::from(proof.body.as_slice()),
        ],
    )?;
    Ok(())
}

/// Lists the evidence that the last check of a signature used.
pub fn list_proofs(conn: &mut Conn, signature: &Signature) -> Result<Vec<Proof>> {
    conn.query(
        "SELECT kind, sha256, body FROM proof WHERE sha256 IN
           (SELECT proof FROM signature_proof WHERE document = $1 AND signature = $2)
         ORDER BY kind, sha256",
        params![signature.document, signature.id],
        |row| {
            Ok(Proof {
                kind: row.get(0)?,
                sha256: row.get(1)?,
                body: row.get(2)?,
            })
        },
    )
}

fn read(row: &Row<'_>) -> Result<Signature> {
    Ok(Signature {
        document: row.uuid(0)?,
        id: row.uuid(1)?,
        company: WorkspaceId(row.uuid(2)?),
        bin: row.get(3)?,
        employee: UserId(row.uuid(4)?),
        iin: row.get(5)?,
        blob: row.uuid(6)?,
        attached: row.get::<i64>(7)? == 1,
        signed_on: row.time(8)?,
        check: Check {
            verdict: row.get(9)?,
            report: row.get(10)?,
            checks: row.get(11)?,
            due_at: row.get::<Option<i64>>(12)?.map(Timestamp::from_micros),
            brief: row.get(13)?,
        },
    })
}

/// Finds the validation policy of a workspace, as JSON. None means the default policy.
pub fn find_policy(conn: &mut Conn, workspace: WorkspaceId) -> Result<Option<String>> {
    let sql = "SELECT body FROM signature_policy WHERE workspace = $1";
    conn.query_one(sql, params![workspace], |row| row.get(0))
}

pub fn put_policy(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    body: &str,
    now: Timestamp,
) -> Result<()> {
    tx.run(
        "INSERT INTO signature_policy (workspace, body, updated_at) VALUES ($1, $2, $3)
         ON CONFLICT (workspace) DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at",
        params![workspace, body, now],
    )?;
    Ok(())
}
