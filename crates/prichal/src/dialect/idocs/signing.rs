//! Signing: the content is handed out with a ticket, and the signature of it comes back with the ticket
//! (`docs/contracts/idocs.md §1.7`).

use bytes::Bytes;
use prichal_core::{
    document::{Direction, Document, Operation as Step},
    id::generate,
};
use prichal_sign::{Limits, SignedData, SubIndication};
use prichal_store::{
    Conn, Tx, document as store,
    document_blob::{self, DocumentBlob, Kind as BlobKind},
    signature::{self, Check, Link, Proof, Signature},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    caller::{Company, Employee},
    error_response::AWAY,
    language::Said,
    operation::{Prepared, hold, invalid, missing, no_blob, performer, refused},
    read::Fields,
};
use crate::{
    domain::document::{
        check::{self, Checked, Decision, ExpectedSigner, Question, Rules},
        dossier::key,
        recheck::{self, is_financial},
        record,
        zip::{self, Contents, Entry},
    },
    error::{Error, Result},
    platform::blobs::BlobKey,
};

/// Prepares the content: the zip is made once for a document, so that everybody signs the same bytes.
pub(super) async fn content(company: &Company, data: &Value, side: Direction) -> Result<Prepared> {
    let fields = Fields::of(data, company.language())?;
    let id = fields.need_id("documentId")?;
    let signer = fields.need_id("signedByEmployeeId")?;
    let made = make_zip(company, id, signer, side).await?;
    let company = company.clone();
    Ok(Prepared::new(move |tx| {
        let employee = company.employee(tx.conn()?, signer, "DOCUMENT_SIGN")?;
        let document = hold(tx, &company, id)?;
        may_sign(&company, &document, &employee, side)?;
        let zip = keep_zip(tx, &document, made.as_ref())?
            .ok_or_else(|| Error::internal("the content to sign was not made"))?;
        let dispose_on = company.now + company.app.config.sign_ticket_ttl;
        let link = Link {
            workspace: company.id(),
            id: generate(company.now),
            document: id,
            blob: (document.sender.company, zip),
            dispose_on,
            ticket: Some(generate(company.now)),
            employee: Some(employee.id),
            signature: None,
            live: true,
        };
        signature::insert_link(tx, &link)?;
        Ok(json!({
            "documentId": id,
            "downloadLink": download_link(&company, link.id),
            "disposeOn": dispose_on.secs(),
            "idempotencyTicket": link.ticket,
        }))
    }))
}

/// The address under which something can be downloaded.
pub(super) fn download_link(company: &Company, id: Uuid) -> String {
    let base = company.app.config.public_url();
    format!("{base}/api/v3/sync/sign-content/download/{id}")
}

fn may_sign(
    company: &Company,
    document: &Document,
    employee: &Employee,
    side: Direction,
) -> Result<()> {
    document
        .may_sign(company.actor(employee), side)
        .map_err(|refusal| refused(company, document.id, refusal))
}

/// Makes the zip of a document that has none yet.
async fn make_zip(
    company: &Company,
    id: Uuid,
    signer: Uuid,
    side: Direction,
) -> Result<Option<DocumentBlob>> {
    let asked = company.clone();
    let look = move |conn: &mut Conn| {
        let employee = asked.employee(conn, signer, "DOCUMENT_SIGN")?;
        let document = store::find(conn, asked.id(), id)?;
        let document = document.ok_or_else(|| missing(&asked, id))?;
        may_sign(&asked, &document, &employee, side)?;
        if store::zip(conn, id)?.is_some() {
            return Ok(None);
        }
        let sender = document.sender.company;
        let mut originals = Vec::new();
        for content in &document.contents {
            let found = document_blob::find(conn, sender, *content, asked.now)?;
            originals.push(found.ok_or_else(|| Error::internal("a file is not there"))?);
        }
        Ok::<_, Error>(Some((sender, originals)))
    };
    let Some((sender, originals)) = company.app.db.read(look).await? else {
        return Ok(None);
    };
    let names: Vec<&str> = originals.iter().map(|one| one.name.as_str()).collect();
    let entries: Vec<Entry> = zip::distinct(&names)
        .into_iter()
        .zip(&originals)
        .map(|(name, original)| Entry {
            name,
            contents: Contents::Blob(key(original)),
        })
        .collect();
    let built = zip::build(&company.app, company.workspace.id, &entries).await?;
    let blob = BlobKey::generate(sender, company.now);
    let length = i64::try_from(built.size).map_err(Error::internal)?;
    let sha256 = built.keep(&company.app, blob).await?;
    Ok(Some(DocumentBlob {
        workspace: sender,
        id: generate(company.now),
        kind: BlobKind::Zip,
        blob: blob.id,
        name: format!("{id}.zip"),
        size: length,
        sha256,
        created_at: company.now,
        expires_at: None,
    }))
}

/// The zip that counts: the first one. Another that was made at the same time is an orphan, which
/// retention finds.
fn keep_zip(
    tx: &mut Tx<'_>,
    document: &Document,
    made: Option<&DocumentBlob>,
) -> Result<Option<Uuid>> {
    if let Some(known) = store::zip(tx.conn()?, document.id)? {
        return Ok(Some(known));
    }
    let Some(made) = made else { return Ok(None) };
    document_blob::insert(tx, made)?;
    Ok(store::keep_zip(tx, document.id, made.id)?)
}

/// A signature on its way in.
pub(super) struct Given {
    pub(super) document: Uuid,
    pub(super) signer: Uuid,
    pub(super) blob: Uuid,
    pub(super) ticket: Option<Uuid>,
}

impl Given {
    fn read(fields: &Fields<'_>) -> Result<Self> {
        let content = fields.need_object("signatureBinaryContent")?;
        Ok(Self {
            document: fields.need_id("documentId")?,
            signer: fields.need_id("signedByEmployeeId")?,
            blob: content.need_id("blobId")?,
            ticket: fields.id("idempotencyTicket")?,
        })
    }
}

/// Takes a signature: it is checked, and then the document moves on.
pub(super) async fn save(company: &Company, data: &Value, side: Direction) -> Result<Prepared> {
    let given = Given::read(&Fields::of(data, company.language())?)?;
    let Some(mut taken) = take(company, given, side).await? else {
        return Ok(Prepared::new(|_| Ok(Value::Null)));
    };
    let company = company.clone();
    Ok(Prepared::new(move |tx| {
        taken.write(tx, &company, &Step::Sign(side))?;
        Ok(Value::Null)
    }))
}

/// A signature that has been checked.
pub(super) struct Taken {
    given: Given,
    ticket: Uuid,
    blob: DocumentBlob,
    attached: bool,
    iin: Option<String>,
    proofs: Vec<Proof>,
    check: Check,
}

/// Signers of one signature, at most.
const MOST_SIGNERS: usize = 16;

/// Whether what is signed lies inside, of a signature with not too many signers. It may be long.
async fn is_attached(signature: &Bytes) -> Result<bool> {
    let signature = signature.clone();
    let read = move || {
        let read = SignedData::read(&signature, &Limits::SIGNATURE);
        read.map_or((false, 0), |signed| {
            (signed.content.is_some(), signed.signers.len())
        })
    };
    let (attached, signers) = tokio::task::spawn_blocking(read)
        .await
        .map_err(Error::internal)?;
    if signers > MOST_SIGNERS {
        let word = check::word(&SubIndication::SigConstraintsFailure);
        let why = format!("{word}: {signers} have signed, more than {MOST_SIGNERS}");
        return Err(invalid(why));
    }
    Ok(attached)
}

/// What is known before a signature is checked.
struct Known {
    link: Link,
    blob: DocumentBlob,
    zip: DocumentBlob,
    rules: Rules,
    document: Document,
    iin: Option<String>,
}

/// Checks a signature and its ticket. Nothing when the ticket was used with the same signature before.
pub(super) async fn take(
    company: &Company,
    given: Given,
    side: Direction,
) -> Result<Option<Taken>> {
    let asked = company.clone();
    let (document, signer, blob, ticket) = (given.document, given.signer, given.blob, given.ticket);
    let look = move |conn: &mut Conn| {
        let known = look_up(conn, &asked, document, signer, blob, ticket)?;
        if let Some(known) = &known {
            let employee = asked.employee(conn, signer, "DOCUMENT_SIGN")?;
            may_sign(&asked, &known.document, &employee, side)?;
        }
        Ok::<_, Error>(known)
    };
    let Some(known) = company.app.db.read(look).await? else {
        return Ok(None);
    };
    let bytes = known.blob.size + known.zip.size;
    let _room = check::room(&company.app, company.id(), bytes).await;
    let signature = company.app.blobs.read_whole(key(&known.blob)).await?;
    let attached = is_attached(&signature).await?;
    let (content, content_sha256) = check::content(&company.app, attached, &known.zip).await?;
    let signer = ExpectedSigner::of(&known.document, company.id(), company.bin(), known.iin);
    let individual = signer.individual;
    let question = Question {
        signature,
        content,
        content_sha256,
        signer,
        financial: is_financial(known.document.group),
        received_at: company.now,
    };
    let checked = check::check(&company.app, &known.rules, question).await?;
    let decision = check::decide(&known.rules, &checked, individual);
    let Checked { report, proofs, .. } = checked;
    let due_at = match decision {
        Decision::Accepted => None,
        Decision::Later => recheck::next(1, company.now),
        Decision::Away(why) => return Err(Error::refused(AWAY, why)),
        Decision::Refused(why) => return Err(invalid(why)),
    };
    let iin = report.signers.first().and_then(|signer| {
        let facts = signer.certificate.as_ref()?;
        Some(facts.iin.as_ref()?.as_str().to_owned())
    });
    Ok(Some(Taken {
        given,
        ticket: known.link.ticket.unwrap_or_default(),
        blob: known.blob,
        attached,
        iin,
        proofs,
        check: check::outcome(&report, 1, due_at)?,
    }))
}

/// Finds ticket, signature and content. Nothing when the ticket was used with the same signature.
fn look_up(
    conn: &mut Conn,
    company: &Company,
    id: Uuid,
    signer: Uuid,
    blob: Uuid,
    ticket: Option<Uuid>,
) -> Result<Option<Known>> {
    let employee = company.employee(conn, signer, "DOCUMENT_SIGN")?;
    let document = store::find(conn, company.id(), id)?;
    let document = document.ok_or_else(|| missing(company, id))?;
    let found = document_blob::find(conn, company.id(), blob, company.now)?;
    let blob = found.ok_or_else(|| no_blob(company, blob))?;
    if blob.kind != BlobKind::Signature {
        return Err(company.refuse(&NOT_SIGNATURE, &[&blob.id.to_string()]));
    }
    let link = match ticket {
        Some(ticket) => signature::find_ticket(conn, company.id(), ticket)?,
        None => signature::live_ticket(conn, company.id(), id, employee.id, company.now)?,
    };
    let link = link.ok_or_else(|| company.refuse(&NO_TICKET, &[]))?;
    if link.document != id || link.employee != Some(employee.id) {
        return Err(company.refuse(&OTHER_TICKET, &[]));
    }
    if let Some(used) = link.signature {
        let used = document_blob::find(conn, company.id(), used, company.now)?;
        return match used {
            Some(used) if used.sha256 == blob.sha256 => Ok(None),
            _ => Err(company.refuse(&USED_TICKET, &[])),
        };
    }
    if !link.live || link.dispose_on <= company.now {
        return Err(company.refuse(&OLD_TICKET, &[]));
    }
    let zip = document_blob::find(conn, link.blob.0, link.blob.1, company.now)?;
    let rules = Rules::find(conn, company.id())?;
    if rules.check_iin != Some(false) && employee.iin().is_none() {
        // There would be nothing to compare the certificate with.
        return Err(company.refuse(&NO_IIN, &[employee.name()]));
    }
    Ok(Some(Known {
        zip: zip.ok_or_else(|| Error::internal("the content to sign is not there"))?,
        rules,
        iin: employee.iin().map(str::to_owned),
        link,
        blob,
        document,
    }))
}

impl Taken {
    /// Whether the ticket was used with the same signature in the meantime.
    fn was_used(&self, conn: &mut Conn, company: &Company) -> Result<bool> {
        let link = signature::find_ticket(conn, company.id(), self.ticket)?;
        let Some(used) = link.and_then(|link| link.signature) else {
            return Ok(false);
        };
        let used = document_blob::find(conn, company.id(), used, company.now)?;
        Ok(used.is_some_and(|used| used.sha256 == self.blob.sha256))
    }

    /// Writes the signature and what becomes of the document. Whoever else has signed in the meantime
    /// has won.
    pub(super) fn write(&mut self, tx: &mut Tx<'_>, company: &Company, step: &Step) -> Result<()> {
        let Given {
            document: id,
            signer,
            blob,
            ..
        } = self.given;
        let employee = company.employee(tx.conn()?, signer, "DOCUMENT_SIGN")?;
        let mut document = hold(tx, company, id)?;
        if self.was_used(tx.conn()?, company)? {
            // The same call was faster: this one is told the same.
            return Ok(());
        }
        let before = document.clone();
        let changes = document
            .apply(company.actor(&employee), step.clone(), company.now.secs())
            .map_err(|refusal| refused(company, id, refusal))?;
        if !signature::use_ticket(tx, company.id(), self.ticket, blob)? {
            return Err(company.refuse(&USED_TICKET, &[]));
        }
        document_blob::keep(tx, company.id(), blob, company.now)?
            .ok_or_else(|| no_blob(company, blob))?;
        let signature = Signature {
            document: id,
            id: generate(company.now),
            company: company.id(),
            bin: company.bin().to_owned(),
            employee: employee.id,
            iin: self.iin.clone(),
            blob: self.blob.id,
            attached: self.attached,
            signed_on: company.now,
            check: self.check.clone(),
        };
        signature::insert(tx, &signature)?;
        signature::put_proofs(tx, &signature, &self.proofs)?;
        let performer = performer(company, &employee);
        record::update(tx, &document, &changes, &performer)?;
        record::tell_route(tx, &document, Some(&before), &performer);
        Ok(())
    }
}

const NO_IIN: Said = Said::new(
    "У сотрудника {} не указан ИИН, подпись не с чем сверить.",
    "{} қызметкерінің ЖСН көрсетілмеген, қолтаңбаны салыстыратын ештеңе жоқ.",
    "The employee {} has no IIN, so there is nothing to compare the signature with.",
);
const NOT_SIGNATURE: Said = Said::new(
    "Файл {} загружен не как подпись.",
    "{} файлы қолтаңба ретінде жүктелмеген.",
    "The file {} was not uploaded as a signature.",
);
const NO_TICKET: Said = Said::new(
    "Поле idempotencyTicket: билет не найден, запросите содержимое для подписи.",
    "idempotencyTicket өрісі: билет табылмады, қол қоюға арналған мазмұнды сұраңыз.",
    "The field idempotencyTicket: there is no such ticket, ask for the content to sign.",
);
const OTHER_TICKET: Said = Said::new(
    "Поле idempotencyTicket: билет выдан для другого документа или сотрудника.",
    "idempotencyTicket өрісі: билет басқа құжатқа немесе қызметкерге берілген.",
    "The field idempotencyTicket: the ticket is for another document or employee.",
);
const USED_TICKET: Said = Said::new(
    "Поле idempotencyTicket: билет уже использован с другой подписью.",
    "idempotencyTicket өрісі: билет басқа қолтаңбамен қолданылған.",
    "The field idempotencyTicket: the ticket was used with another signature.",
);
const OLD_TICKET: Said = Said::new(
    "Поле idempotencyTicket: срок билета истёк или его сменил новый.",
    "idempotencyTicket өрісі: билеттің мерзімі өтті немесе оны жаңасы алмастырды.",
    "The field idempotencyTicket: the ticket has expired or was replaced by a newer one.",
);
