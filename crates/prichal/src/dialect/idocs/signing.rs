//! Signing: the content is issued with a ticket, and the signature comes back with that ticket
//! (`docs/contracts/idocs.md §1.7`).

use bytes::Bytes;
use prichal_core::{
    document::{Direction, Document, Operation as Step, limits::MAX_SIGNERS},
    id::generate,
    time::Timestamp,
};
use prichal_sign::{Limits, SignedData, SubIndication};
use prichal_store::{
    Conn, Tx,
    certificate::{self, Certificate, signer_holder},
    document as store,
    document_blob::{self, DocumentBlob, Kind as BlobKind},
    signature::{self, Check, Link, Proof, Signature},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    caller::{Company, Employee},
    documents::BlobRef,
    language::Localized,
    member::{ID, bodies},
    prepared::{Prepared, invalid, lock_document, missing, no_blob, performer, refused},
};
use crate::{
    domain::document::{
        check::{self, Checked, Decision, ExpectedSigner, Question, Rules},
        content,
        dossier::key,
        recheck::{self, is_financial},
        record,
        ticket::{self, Refusal},
    },
    error::{Code, Error, Result},
};

bodies! {
    /// The request for the content to sign.
    pub(super) struct ContentRequest as GenerateSignContentVM {
        /// The document.
        document: Uuid = "documentId";
        /// The employee who is to sign.
        signer: Uuid = "signedByEmployeeId";
    }

    /// A signature of a document.
    pub(super) struct SubmittedSignature as AddQuickSignatureVM {
        /// The document.
        document: Uuid = "documentId";
        /// The employee who has signed.
        signer: Uuid = "signedByEmployeeId";
        /// The uploaded signature.
        blob: BlobRef = "signatureBinaryContent";
        /// The ticket of the content that was signed. Without one, the only valid ticket counts.
        ticket: Option<Uuid> = "idempotencyTicket", ID;
    }
}

/// The content to sign: a zip of the document's files.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SignContentResponse)]
pub(super) struct SignContent {
    /// The document.
    document_id: Uuid,
    /// The URL of the zip. The download needs the token.
    #[schema(
        example = "https://prichal.example.kz/api/v3/sync/sign-content/download/0190a6a5-0000-7000-8000-000000000000"
    )]
    download_link: String,
    /// The end of link and ticket, in seconds since 1970.
    dispose_on: i64,
    /// The ticket to send with the signature.
    idempotency_ticket: Uuid,
}

/// Prepares the content to sign. Its zip is built once for a document, so that all signers sign the same bytes.
pub(super) async fn content(
    company: &Company,
    request: &ContentRequest,
    side: Direction,
) -> Result<Prepared<SignContent>> {
    let ContentRequest {
        document: id,
        signer,
    } = *request;
    let made = make_zip(company, id, signer, side).await?;
    let company = company.clone();
    Ok(Prepared::new(move |tx| {
        let employee = company.employee(tx.conn()?, signer, "DOCUMENT_SIGN")?;
        let document = lock_document(tx, &company, id)?;
        may_sign(&company, &document, &employee, side)?;
        let zip = content::store(tx, &document, made.as_ref())?
            .ok_or_else(|| Error::internal("the content to sign was not made"))?;
        let dispose_on = company.now + company.app.config.sign_ticket_ttl;
        let ticket = generate(company.now);
        let link = Link {
            workspace: company.id(),
            id: generate(company.now),
            document: id,
            blob: (document.sender.company, zip),
            dispose_on,
            ticket: Some(ticket),
            employee: Some(employee.id),
            signature: None,
            live: true,
        };
        signature::insert_link(tx, &link)?;
        Ok(SignContent {
            document_id: id,
            download_link: download_link(&company, link.id),
            dispose_on: dispose_on.secs(),
            idempotency_ticket: ticket,
        })
    }))
}

/// The URL of a download link.
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

/// Builds the zip of a document that has none yet.
async fn make_zip(
    company: &Company,
    id: Uuid,
    signer: Uuid,
    side: Direction,
) -> Result<Option<DocumentBlob>> {
    let asked = company.clone();
    let read = move |conn: &mut Conn| {
        let employee = asked.employee(conn, signer, "DOCUMENT_SIGN")?;
        let document = store::find(conn, asked.id(), id)?;
        let document = document.ok_or_else(|| missing(&asked, id))?;
        may_sign(&asked, &document, &employee, side)?;
        let originals = content::find_originals(conn, &document, asked.now)?;
        Ok::<_, Error>(originals.map(|originals| (document, originals)))
    };
    let Some((document, originals)) = company.app.db.read(read).await? else {
        return Ok(None);
    };
    let zip = content::build(
        &company.app,
        company.id(),
        &document,
        &originals,
        company.now,
    )
    .await?;
    Ok(Some(zip))
}

/// Checks a signature, and prepares the step of the document.
pub(super) async fn save(
    company: &Company,
    submitted: SubmittedSignature,
    side: Direction,
) -> Result<Prepared<()>> {
    let Some(mut taken) = check_signature(company, submitted, side).await? else {
        return Ok(Prepared::new(|_| Ok(())));
    };
    let company = company.clone();
    Ok(Prepared::new(move |tx| {
        taken.write(tx, &company, &Step::Sign(side))
    }))
}

/// A valid signature that is not written yet.
pub(super) struct CheckedSignature {
    submitted: SubmittedSignature,
    ticket: Uuid,
    blob: DocumentBlob,
    attached: bool,
    iin: Option<String>,
    /// The end of the certificate.
    ends_at: Option<Timestamp>,
    proofs: Vec<Proof>,
    check: Check,
}

/// True if the signature contains its content. Refuses a signature with too many signers. The signature may be long,
/// so a blocking thread reads it.
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
    if signers > MAX_SIGNERS {
        let word = check::word(&SubIndication::SigConstraintsFailure);
        let why = format!("{word}: {signers} have signed, more than {MAX_SIGNERS}");
        return Err(invalid(why));
    }
    Ok(attached)
}

/// The data that the check of a signature needs.
struct SigningContext {
    link: Link,
    blob: DocumentBlob,
    zip: DocumentBlob,
    rules: Rules,
    document: Document,
    iin: Option<String>,
}

/// Checks a signature and its ticket. Returns `None` if the ticket was used with the same signature before.
pub(super) async fn check_signature(
    company: &Company,
    submitted: SubmittedSignature,
    side: Direction,
) -> Result<Option<CheckedSignature>> {
    let asked = company.clone();
    let (document, signer, blob, ticket) = (
        submitted.document,
        submitted.signer,
        submitted.blob.id,
        submitted.ticket,
    );
    let read = move |conn: &mut Conn| {
        let context = find_context(conn, &asked, document, signer, blob, ticket)?;
        if let Some(context) = &context {
            let employee = asked.employee(conn, signer, "DOCUMENT_SIGN")?;
            may_sign(&asked, &context.document, &employee, side)?;
        }
        Ok::<_, Error>(context)
    };
    let Some(found) = company.app.db.read(read).await? else {
        return Ok(None);
    };
    let bytes = found.blob.size + found.zip.size;
    let _room = check::room(&company.app, company.id(), bytes).await;
    let signature = company.app.blobs.read_whole(key(&found.blob)).await?;
    let attached = is_attached(&signature).await?;
    let (content, content_sha256) = check::content(&company.app, attached, &found.zip).await?;
    let signer = ExpectedSigner::of(&found.document, company.id(), company.bin(), found.iin);
    let individual = signer.individual;
    let question = Question {
        signature,
        content,
        content_sha256,
        signer,
        financial: is_financial(found.document.group),
        received_at: company.now,
        public_work: None,
    };
    let checked = check::check(&company.app, &found.rules, question).await?;
    let decision = check::decide(&found.rules, &checked, individual);
    let Checked { report, proofs, .. } = checked;
    let due_at = match decision {
        Decision::Accepted => None,
        Decision::Later => recheck::next(1, company.now),
        Decision::Away(why) => return Err(Error::refused(Code::IssuerUnreachable, why)),
        Decision::Refused(why) => return Err(invalid(why)),
    };
    let facts = report.signers.first();
    let facts = facts.and_then(|signer| signer.certificate.as_ref());
    let iin = facts.and_then(|facts| Some(facts.iin.as_ref()?.as_str().to_owned()));
    let ends_at = facts.map(|facts| Timestamp::from_micros(facts.not_after.unix() * 1_000_000));
    Ok(Some(CheckedSignature {
        submitted,
        ticket: found.link.ticket.unwrap_or_default(),
        blob: found.blob,
        attached,
        iin,
        ends_at,
        proofs,
        check: check::outcome(&report, 1, due_at)?,
    }))
}

/// Finds ticket, signature and content. Returns `None` if the ticket was used with the same signature.
fn find_context(
    conn: &mut Conn,
    company: &Company,
    id: Uuid,
    signer: Uuid,
    blob: Uuid,
    ticket: Option<Uuid>,
) -> Result<Option<SigningContext>> {
    let employee = company.employee(conn, signer, "DOCUMENT_SIGN")?;
    let document = store::find(conn, company.id(), id)?;
    let document = document.ok_or_else(|| missing(company, id))?;
    let found = document_blob::find(conn, company.id(), blob, company.now)?;
    let blob = found.ok_or_else(|| no_blob(company, blob))?;
    if blob.kind != BlobKind::Signature {
        return Err(company.refuse(&NOT_SIGNATURE, &[&blob.id.to_string()]));
    }
    let question = ticket::Question {
        company: company.id(),
        employee: employee.id,
        document: id,
        ticket,
        signature: &blob,
        now: company.now,
    };
    let found = ticket::find(conn, &question)?.map_err(|refusal| {
        let wording = match refusal {
            Refusal::Unknown => &NO_TICKET,
            Refusal::Foreign => &OTHER_TICKET,
            Refusal::Used => &USED_TICKET,
            Refusal::Expired => &OLD_TICKET,
        };
        company.refuse(wording, &[])
    })?;
    let Some(link) = found else { return Ok(None) };
    let zip = document_blob::find(conn, link.blob.0, link.blob.1, company.now)?;
    let rules = Rules::find(conn, company.id())?;
    if rules.check_iin != Some(false) && employee.iin().is_none() {
        // The certificate could be compared with no number.
        return Err(company.refuse(&NO_IIN, &[employee.name()]));
    }
    Ok(Some(SigningContext {
        zip: zip.ok_or_else(|| Error::internal("the content to sign is not there"))?,
        rules,
        iin: employee.iin().map(str::to_owned),
        link,
        blob,
        document,
    }))
}

impl CheckedSignature {
    /// Writes the signature and the step of the document. Of two concurrent calls the first one wins.
    pub(super) fn write(&mut self, tx: &mut Tx<'_>, company: &Company, step: &Step) -> Result<()> {
        let SubmittedSignature {
            document: id,
            signer,
            blob: BlobRef { id: blob },
            ..
        } = self.submitted;
        let employee = company.employee(tx.conn()?, signer, "DOCUMENT_SIGN")?;
        let mut document = lock_document(tx, company, id)?;
        let used = ticket::used_with(
            tx.conn()?,
            company.id(),
            self.ticket,
            &self.blob.sha256,
            company.now,
        )?;
        if used {
            // A concurrent repetition has written it: this call gets the same answer.
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
        if let Some(ends_at) = self.ends_at {
            let seen = Certificate {
                workspace: company.id(),
                holder: signer_holder(employee.id),
                name: employee.name().to_owned(),
                ends_at,
                seen_at: company.now,
            };
            certificate::put(tx, &seen)?;
        }
        signature::put_proofs(tx, &signature, &self.proofs)?;
        let performer = performer(company, &employee);
        record::update(tx, &document, &changes, &performer)?;
        record::tell_route(tx, &document, Some(&before), &performer);
        Ok(())
    }
}

const NO_IIN: Localized = Localized::new(
    "У сотрудника {} не указан ИИН, подпись не с чем сверить.",
    "{} қызметкерінің ЖСН көрсетілмеген, қолтаңбаны салыстыратын ештеңе жоқ.",
    "The employee {} has no IIN, so there is nothing to compare the signature with.",
);
const NOT_SIGNATURE: Localized = Localized::new(
    "Файл {} загружен не как подпись.",
    "{} файлы қолтаңба ретінде жүктелмеген.",
    "The file {} was not uploaded as a signature.",
);
const NO_TICKET: Localized = Localized::new(
    "Поле idempotencyTicket: билет не найден, запросите содержимое для подписи.",
    "idempotencyTicket өрісі: билет табылмады, қол қоюға арналған мазмұнды сұраңыз.",
    "The field idempotencyTicket: there is no such ticket, ask for the content to sign.",
);
const OTHER_TICKET: Localized = Localized::new(
    "Поле idempotencyTicket: билет выдан для другого документа или сотрудника.",
    "idempotencyTicket өрісі: билет басқа құжатқа немесе қызметкерге берілген.",
    "The field idempotencyTicket: the ticket is for another document or employee.",
);
const USED_TICKET: Localized = Localized::new(
    "Поле idempotencyTicket: билет уже использован с другой подписью.",
    "idempotencyTicket өрісі: билет басқа қолтаңбамен қолданылған.",
    "The field idempotencyTicket: the ticket was used with another signature.",
);
const OLD_TICKET: Localized = Localized::new(
    "Поле idempotencyTicket: срок билета истёк или его сменил новый.",
    "idempotencyTicket өрісі: билеттің мерзімі өтті немесе оны жаңасы алмастырды.",
    "The field idempotencyTicket: the ticket has expired or was replaced by a newer one.",
);
