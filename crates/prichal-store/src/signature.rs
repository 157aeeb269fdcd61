//! Signing: links to what is to be signed or downloaded, the signatures themselves, and by which policy a
//! workspace has them checked.

use prichal_core::{
    id::{UserId, WorkspaceId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    Conn, Result, Row, Tx,
    quarantine::{Kind, not_held},
    value::{Value, params},
};

/// Something that can be downloaded for a while. With a ticket it is content to be signed, for one
/// document and one employee.
#[derive(Clone, Debug)]
pub struct Link {
    pub workspace: WorkspaceId,
    pub id: Uuid,
    pub document: Uuid,
    /// A [`crate::document_blob::DocumentBlob`], which may be another workspace's.
    pub blob: (WorkspaceId, Uuid),
    pub dispose_on: Timestamp,
    pub ticket: Option<Uuid>,
    pub employee: Option<UserId>,
    /// The blob of the signature that the ticket was used with.
    pub signature: Option<Uuid>,
    /// No newer ticket has taken its place.
    pub live: bool,
}

const LINK: &str =
    "workspace, id, document, blob_workspace, blob, dispose_on, ticket, employee, signature, live";

/// Adds a link. A ticket takes the place of the earlier ones of its signer.
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

/// The ticket of a signer that is good now, used or not.
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

/// Notes which signature a ticket was used with. False when it was used already.
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

/// Removes links that ended before `before`, at most `limit`.
pub fn forget_links(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM document_link WHERE (workspace, id) IN (SELECT workspace, id FROM document_link WHERE dispose_on < $1 LIMIT $2)",
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
    /// As the certificate says.
    pub iin: Option<String>,
    /// A blob of the signer's company.
    pub blob: Uuid,
    /// Whether what is signed lies inside.
    pub attached: bool,
    pub signed_on: Timestamp,
    pub check: Check,
}

/// What the last check of a signature came to.
#[derive(Clone, Debug)]
pub struct Check {
    /// `TOTAL_PASSED` and the like.
    pub verdict: String,
    /// The whole report, JSON.
    pub report: String,
    /// How many times it was checked.
    pub checks: i64,
    /// When it has to be checked again.
    pub due_at: Option<Timestamp>,
}

const SIGNATURE: &str = "document, id, company, bin, employee, iin, blob, attached, signed_on, verdict, report, checks, due_at";

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
        "INSERT INTO document_signature ({SIGNATURE}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
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
            check.due_at
        ],
    )?;
    Ok(())
}

/// The signatures of a document, in the order in which they were given.
pub fn list(conn: &mut Conn, document: Uuid) -> Result<Vec<Signature>> {
    let sql = format!("SELECT {SIGNATURE} FROM document_signature WHERE document = $1 ORDER BY id");
    conn.query(&sql, params![document], read)
}

/// A signature of a company that has to be checked again.
pub fn find_due(conn: &mut Conn, company: WorkspaceId, id: Uuid) -> Result<Option<Signature>> {
    let sql = format!(
        "SELECT {SIGNATURE} FROM document_signature WHERE company = $1 AND id = $2 AND due_at IS NOT NULL"
    );
    conn.query_one(&sql, params![company, id], read)
}

/// Writes another report of the last check of a signature.
pub fn set_report(tx: &mut Tx<'_>, signature: &Signature, report: &str) -> Result<()> {
    tx.run(
        "UPDATE document_signature SET report = $3 WHERE document = $1 AND id = $2 AND checks = $4",
        params![
            signature.document,
            signature.id,
            report,
            signature.check.checks
        ],
    )
}

/// Signatures that have to be checked again, at most `limit` and at most `share` of one company, by turns of the companies.
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

/// When the next signature has to be checked again.
pub fn next_due(conn: &mut Conn) -> Result<Option<Timestamp>> {
    let sql = format!(
        "SELECT min(due_at) FROM document_signature WHERE due_at IS NOT NULL AND {}",
        not_held(Kind::Recheck, "document_signature")
    );
    let found = conn.query_one(&sql, &[], |row| row.get::<Option<i64>>(0))?;
    Ok(found.flatten().map(Timestamp::from_micros))
}

/// How many signatures have to be checked again.
pub fn count_due(conn: &mut Conn) -> Result<i64> {
    let sql = "SELECT count(*) FROM document_signature WHERE due_at IS NOT NULL";
    Ok(conn.query_one(sql, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Writes what a further check came to. False when another node has been faster.
pub fn settle(tx: &mut Tx<'_>, signature: &Signature, check: &Check) -> Result<bool> {
    let settled = tx.changes_one(
        "UPDATE document_signature SET verdict = $3, report = $4, checks = $5, due_at = $6
         WHERE document = $1 AND id = $2 AND checks = $7",
        params![
            signature.document,
            signature.id,
            &check.verdict,
            &check.report,
            check.checks,
            check.due_at,
            signature.check.checks
        ],
    )?;
    Ok(settled)
}

/// A revocation list, a response or a certificate that the verdict on a signature rests on and that
/// the signature does not bring itself.
#[derive(Clone, Debug)]
pub struct Proof {
    /// `crl`, `ocsp` or `issuer`.
    pub kind: String,
    /// In hex.
    pub sha256: String,
    pub body: Vec<u8>,
}

/// Notes what the last check of a signature rests on, in the place of what earlier ones did.
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

/// Long lists are needed by many signatures, and go to the database once.
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

/// What the last check of a signature rests on.
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
        },
    })
}

/// The policy of a workspace, JSON; nothing: the default.
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
