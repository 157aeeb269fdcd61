//! The public page `/check`: the signers of a document, a comparison by SHA-256, and a check of what a visitor uploads
//! (`docs/contracts/idocs.md §1.10`). The page itself is `check.rs` of prichal-console.

mod file_kind;

use std::time::Duration;

use axum::{
    extract::{RawQuery, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use prichal_console::{
    Language,
    check::{
        Basis, Compared, Document, DocumentState, FileKind, Need, Outcome, POLICIES, Page, Part,
        Refusal, Signature, Step, StepStatus, Subject, Verdict,
    },
};
use prichal_core::{document::Status, id::parse_any, time::Timestamp};
use prichal_sign::{Report, SignerReport, SubIndication, Time, Unchecked};
use prichal_store::Conn;
use uuid::Uuid;

use self::file_kind::{instead_of_signature, is_signature};
use super::error_response::DocumentErrors;
use crate::{
    app::App,
    config::Rate,
    domain::document::{
        check::{Rules, word},
        public::{self, ArchiveFault, PublicDocument, PublicSignature, Submitted, Uploaded},
    },
    error::{Error, Result},
    http::{
        body::read_body,
        extract::Path,
        multipart::{self, Part as FormPart},
        sender,
        upload::drain,
    },
    platform::{guess::Source, vault::sha256_hex},
};

/// The maximum size of an upload in MiB, with all its files.
const MAX_UPLOAD_MIB: usize = 16;
/// The number of uploads that a network of visitors may make.
const UPLOAD_RATE: Rate = Rate {
    most: 10,
    period: Duration::from_mins(1),
};
/// The maximum number of hashes that are compared at once.
const MAX_HASHES: usize = 64;
/// The maximum number of parts of a form.
const MAX_PARTS: usize = 8;
/// The maximum number of signers of an upload that are shown.
const MAX_SIGNERS: usize = 64;
/// The maximum number of missing pieces of evidence of a signer that are named.
const MAX_NEEDS: usize = 10;
/// The maximum number of characters of a text of a report. Those of an upload are its author's.
const MAX_TEXT_CHARS: usize = 500;

/// The answer of an error that no page shows.
type Failure = DocumentErrors;

/// Show the page on which documents and signatures are checked.
///
/// A page for people. With a document it leads to that document's page.
#[utoipa::path(get, path = "/check", tag = "documents", security(()),
    params(
        ("lang" = Option<String>, Query, description = "The language: `ru`, `kk` or `en`; by default that of `Accept-Language`"),
        ("document" = Option<String>, Query, description = "The id of a document, or the address of its page"),
        ("sha256" = Option<String>, Query, description = "The SHA-256 of a file to compare with the document's")),
    responses((status = 200, body = String, content_type = "text/html"),
        (status = 303, description = "The page of the document", headers(("Location" = String, description = "Its address"))),
        (status = 404, description = "The text names no document", body = String, content_type = "text/html"),
        (status = "default", description = "A failure", body = Failure, content_type = "application/json")))]
pub(super) async fn any(RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let asked = Asked::new(query.as_deref(), &headers);
    let Some(document) = &asked.document else {
        return page(&asked, Subject::Any).into_response();
    };
    // The address of a page ends with the id.
    let id = document.trim_end_matches('/').rsplit('/').next();
    let id = id.and_then(|text| text.split(['?', '#']).next());
    let Some(id) = id.and_then(parse_any) else {
        return page(&asked, Subject::Missing).into_response();
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("lang", asked.language.code());
    for hash in &asked.hashes {
        query.append_pair("sha256", hash);
    }
    let to = format!("/check/{id}?{}", query.finish());
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

/// Show the signers of a document, as a page for people.
///
/// The page behind the QR code of a print form. Everybody who has the printed document may see it.
#[utoipa::path(get, path = "/check/{id}", tag = "documents", security(()),
    params(("id" = String, Path, description = "The id of the document"),
        ("lang" = Option<String>, Query, description = "The language: `ru`, `kk` or `en`; by default that of `Accept-Language`"),
        ("sha256" = Option<String>, Query, description = "The SHA-256 of a file to compare with the document's; may be repeated")),
    responses((status = 200, body = String, content_type = "text/html"),
        (status = 404, description = "No such document was sent", body = String, content_type = "text/html"),
        (status = "default", description = "A failure", body = Failure, content_type = "application/json")))]
pub(super) async fn of_document(
    State(app): State<App>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response> {
    let asked = Asked::new(query.as_deref(), &headers);
    let Some(id) = parse_any(&id) else {
        return Ok(page(&asked, Subject::Missing).into_response());
    };
    let (now, has_hashes) = (app.clock.now(), !asked.hashes.is_empty());
    let look = move |conn: &mut Conn| {
        let Some(found) = PublicDocument::find(conn, id)? else {
            return Ok(None);
        };
        let parts = if has_hashes {
            found.parts(conn, now)?
        } else {
            Vec::new()
        };
        Ok::<_, Error>(Some((found, parts)))
    };
    let Some((found, parts)) = app.db.read(look).await? else {
        return Ok(page(&asked, Subject::Missing).into_response());
    };
    let compared = asked.hashes.iter().map(|hash| compare(hash, &parts));
    let compared = compared.collect();
    let subject = Subject::Document(Box::new(document(&found)));
    Ok(Page {
        compared,
        ..page(&asked, subject)
    }
    .into_response())
}

/// Check a signature or an archive that a visitor uploads, and show the report as a page for people.
///
/// The upload is not stored. Of the hosts that the signature names, only those that the policy lists by name are asked.
#[utoipa::path(post, path = "/check", tag = "documents", security(()),
    params(("lang" = Option<String>, Query, description = "The language: `ru`, `kk` or `en`; by default that of `Accept-Language`")),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 200, body = String, content_type = "text/html"),
        (status = 400, description = "No file, or none that can be read", body = String, content_type = "text/html"),
        (status = 413, description = "The upload is too large", body = String, content_type = "text/html"),
        (status = 429, description = "Too many uploads", body = String, content_type = "text/html"),
        (status = 503, description = "The server is busy", body = String, content_type = "text/html"),
        (status = "default", description = "A failure", body = Failure, content_type = "application/json")))]
pub(super) async fn upload(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response> {
    let asked = Asked::new(query.as_deref(), request.headers());
    let refused = |refusal| {
        let outcome = Some(Outcome::Refused(refusal));
        Page {
            outcome,
            ..page(&asked, Subject::Any)
        }
        .into_response()
    };
    if let Some(seconds) = wait(&app, &request) {
        let (parts, body) = request.into_parts();
        drain(&app, &parts.headers, body.into_data_stream());
        return Ok(refused(Refusal::TooMany(seconds)));
    }
    let form = match Upload::read(request).await {
        Ok(form) => form,
        Err(Error::TooLarge { .. }) => return Ok(refused(Refusal::TooLarge)),
        Err(Error::Busy) => return Ok(refused(Refusal::Busy)),
        Err(error) => return Err(error),
    };
    let Some(Upload {
        file,
        content,
        document,
        policy,
    }) = form
    else {
        return Ok(refused(Refusal::NoFile));
    };
    let is_swapped = content.as_deref().is_some_and(is_signature);
    let no_signature = |kind| {
        let kind = if is_swapped { FileKind::Content } else { kind };
        refused(Refusal::NoSignature(kind))
    };
    // A zip may be an archive.
    if let Some(kind) = instead_of_signature(&file).filter(|kind| *kind != FileKind::Zip) {
        return Ok(no_signature(kind));
    }
    let sha256 = sha256_hex(&file);
    let uploaded = match public::take_apart(file, content) {
        Ok(uploaded) => uploaded,
        Err(ArchiveFault::Unreadable) => return Ok(refused(Refusal::Unreadable)),
        Err(ArchiveFault::NoSignatures) if is_swapped => return Ok(no_signature(FileKind::Zip)),
        Err(ArchiveFault::NoSignatures) => return Ok(refused(Refusal::NoSignatures)),
        Err(ArchiveFault::TooLarge) => return Ok(refused(Refusal::TooLarge)),
    };
    let (rules, basis, subject) = choose(&app, &uploaded, document, policy.as_deref()).await?;
    let signatures = check(&app, &rules, uploaded.signatures).await?;
    let outcome = Outcome::Checked {
        sha256,
        basis,
        signatures,
    };
    Ok(Page {
        outcome: Some(outcome),
        policy: rules.policy,
        ..page(&asked, subject)
    }
    .into_response())
}

/// Chooses the rules of a check: those of a document's sender if the visitor names the document, or if the archive is
/// of a document; else those that the visitor has chosen.
async fn choose(
    app: &App,
    uploaded: &Uploaded,
    asked: Option<Uuid>,
    policy: Option<&str>,
) -> Result<(Rules, Basis, Subject)> {
    let chosen = |basis| Ok((rules(policy), basis, Subject::Any));
    let Some(found) = find(app, asked.or(uploaded.document)).await? else {
        return chosen(Basis::Chosen);
    };
    let is_of_it = match &found.content_sha256 {
        Some(sha256) => public::all_sign(app, &uploaded.signatures, sha256).await?,
        None => false,
    };
    let basis = match (is_of_it, asked) {
        (true, _) => Basis::Sender,
        (false, Some(_)) => Basis::SenderOfOther,
        (false, None) => {
            return chosen(Basis::ChosenForOther(
                found.document.document.id.to_string(),
            ));
        }
    };
    let subject = Subject::Document(Box::new(document(&found.document)));
    Ok((found.rules, basis, subject))
}

/// A form with a signature or an archive.
#[derive(utoipa::ToSchema)]
#[schema(as = CheckUploadForm)]
#[expect(dead_code, reason = "it describes the form")]
struct UploadForm {
    /// A signature (DER, BER, PEM or base64), or the archive of a document. With the other members at most 16 MiB.
    #[schema(value_type = String, format = Binary)]
    file: (),
    /// The signed content, if the signature does not contain it.
    #[schema(value_type = Option<String>, format = Binary)]
    content: Option<()>,
    /// The id of a document whose sender's policy is applied.
    document: Option<String>,
    /// The policy: `kz`, `ru` or `eu-baseline`.
    policy: Option<String>,
}

/// The request of a visitor for a page.
struct Asked {
    language: Language,
    document: Option<String>,
    hashes: Vec<String>,
}

impl Asked {
    fn new(query: Option<&str>, headers: &HeaderMap) -> Self {
        let mut asked = Self {
            language: Language::of(headers),
            document: None,
            hashes: Vec::new(),
        };
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let value = value.trim();
            match &*name {
                "lang" => asked.language = Language::parse(value).unwrap_or(asked.language),
                "document" if !value.is_empty() => asked.document = Some(value.to_owned()),
                "sha256" if !value.is_empty() && asked.hashes.len() < MAX_HASHES => {
                    asked.hashes.push(hash(value));
                }
                _ => {}
            }
        }
        asked
    }
}

/// The hash of a text that a program has printed: `openssl` writes `SHA2-256(contract.pdf)= 9afd…`.
fn hash(text: &str) -> String {
    let last = text.rsplit(['=', ' ']).next().unwrap_or_default();
    let first = text.split(' ').next().unwrap_or_default();
    let found = [last, first].into_iter().find(|text| is_hash(text));
    let shown = found.unwrap_or(text).chars().take(MAX_TEXT_CHARS);
    shown.collect::<String>().to_ascii_lowercase()
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn page(asked: &Asked, subject: Subject) -> Page {
    Page {
        language: asked.language,
        subject,
        compared: Vec::new(),
        outcome: None,
        policy: POLICIES[0].to_owned(),
        max_mib: MAX_UPLOAD_MIB,
    }
}

fn compare(hash: &str, parts: &[(public::Part, String)]) -> Compared {
    let found = parts
        .iter()
        .find(|(_, sha256)| sha256.eq_ignore_ascii_case(hash));
    let part = match found {
        Some((public::Part::Original(n), _)) => Part::Original(*n),
        Some((public::Part::SignedContent, _)) => Part::SignedContent,
        Some((public::Part::Signature(n), _)) => Part::Signature(*n),
        None if is_hash(hash) => Part::Nothing,
        None => Part::NoHash,
    };
    Compared {
        sha256: hash.to_owned(),
        part,
    }
}

fn document(found: &PublicDocument) -> Document {
    let document = &found.document;
    Document {
        id: document.id.to_string(),
        number: document.number.clone(),
        date: seconds(document.date),
        state: match document.status(document.sender.company) {
            Some(Status::Finished | Status::FinishedByCompany) => DocumentState::Finished,
            _ if document.fate.is_some() => DocumentState::Ended,
            _ => DocumentState::Unfinished,
        },
        signatures: found.signatures.iter().map(signature).collect(),
    }
}

fn signature(found: &PublicSignature) -> Signature {
    let PublicSignature {
        row,
        brief,
        company,
    } = found;
    Signature {
        file: String::new(),
        verdict: match row.verdict.as_str() {
            "TOTAL_PASSED" => Verdict::Valid,
            "TOTAL_FAILED" => Verdict::Invalid,
            _ => Verdict::Undecided,
        },
        indication: brief.indication.clone(),
        instead: None,
        signer: brief.signer.clone(),
        company: company.clone(),
        bin: row.bin.clone(),
        is_attached: row.attached,
        issuer: brief.issuer.clone(),
        accepted_at: Some(row.signed_on),
        claimed_at: None,
        stamped_at: Timestamp::parse(&brief.stamped_at),
        checked_at: Timestamp::parse(&brief.checked_at),
        policy: brief.policy.clone(),
        lacks_identity: brief.unchecked.identity,
        lacks_revocation: brief.unchecked.revocation,
        reason: String::new(),
        steps: Vec::new(),
        wanting: Vec::new(),
    }
}

/// The seconds until the sender may upload again. `None` if that is now.
fn wait(app: &App, request: &Request) -> Option<i64> {
    let address = sender(app, request.headers(), request.extensions())?;
    let left = app
        .visitors
        .take(Source::of(address), UPLOAD_RATE, app.clock.now());
    left.requests.is_none().then_some(left.reset)
}

/// A form that was read.
#[derive(Default)]
struct Upload {
    file: Bytes,
    content: Option<Bytes>,
    document: Option<Uuid>,
    policy: Option<String>,
}

impl Upload {
    /// Reads a form. `None` if it has no file.
    async fn read(request: Request) -> Result<Option<Self>> {
        let content_type = request.headers().get(header::CONTENT_TYPE).cloned();
        let body = read_body(request, MAX_UPLOAD_MIB << 20).await?;
        let Some(content_type) = content_type else {
            return Ok(None);
        };
        let body = stream::iter([Ok::<_, std::io::Error>(body)]);
        // The whole body is in memory, so the future is ready at once.
        let parts = multipart::parts(&content_type, body, MAX_PARTS).now_or_never();
        let Some(Ok(parts)) = parts else {
            return Ok(None);
        };
        let mut upload = Self::default();
        for FormPart { name, data, .. } in parts {
            let text = || String::from_utf8_lossy(&data).trim().to_owned();
            match &*name {
                "document" => upload.document = parse_any(&text()),
                "policy" => upload.policy = Some(text()),
                // Browsers send a file that was not chosen as an empty one.
                _ if data.is_empty() => {}
                "file" => upload.file = data.into(),
                "content" => upload.content = Some(data.into()),
                _ => {}
            }
        }
        Ok(Some(upload).filter(|upload| !upload.file.is_empty()))
    }
}

/// A public document with the rules of its sender.
struct Found {
    document: PublicDocument,
    rules: Rules,
    /// The SHA-256 of its signed content.
    content_sha256: Option<String>,
}

async fn find(app: &App, document: Option<Uuid>) -> Result<Option<Found>> {
    let Some(id) = document else {
        return Ok(None);
    };
    let now = app.clock.now();
    let look = move |conn: &mut Conn| {
        let Some(document) = PublicDocument::find(conn, id)? else {
            return Ok(None);
        };
        let rules = Rules::find(conn, document.document.sender.company)?;
        let content_sha256 = document.content_sha256(conn, now)?;
        Ok::<_, Error>(Some(Found {
            document,
            rules,
            content_sha256,
        }))
    };
    app.db.read(look).await
}

/// The rules of a check without a document.
fn rules(policy: Option<&str>) -> Rules {
    let mut rules = Rules::default();
    if let Some(policy) = policy.filter(|policy| POLICIES.contains(policy)) {
        policy.clone_into(&mut rules.policy);
    }
    rules
}

async fn check(app: &App, rules: &Rules, submitted: Vec<Submitted>) -> Result<Vec<Signature>> {
    let kinds = submitted
        .iter()
        .map(|one| instead_of_signature(&one.signature));
    let kinds: Vec<_> = kinds.collect();
    let reports = public::check_upload(app, rules, submitted).await?;
    let mut signatures = Vec::new();
    for ((file, report), kind) in reports.iter().zip(kinds) {
        if report.signers.is_empty() {
            let reason = report.reason.as_deref().unwrap_or_default();
            signatures.push(Signature {
                verdict: verdict(report.verdict),
                indication: indication(report.sub_indication),
                instead: kind,
                reason: shown(reason),
                ..unsigned(file, report)
            });
        }
        for signer in &report.signers {
            signatures.push(reported(file, report, signer));
        }
    }
    signatures.truncate(MAX_SIGNERS);
    Ok(signatures)
}

/// A report without a signer.
fn unsigned(file: &str, report: &Report) -> Signature {
    Signature {
        file: shown(file),
        verdict: Verdict::Undecided,
        indication: String::new(),
        instead: None,
        signer: String::new(),
        company: String::new(),
        bin: String::new(),
        is_attached: false,
        issuer: String::new(),
        accepted_at: None,
        claimed_at: None,
        stamped_at: None,
        checked_at: Some(seconds(report.at.unix())),
        policy: report.policy.clone(),
        lacks_identity: false,
        lacks_revocation: false,
        reason: String::new(),
        steps: Vec::new(),
        wanting: report.needs.iter().take(MAX_NEEDS).map(need).collect(),
    }
}

fn reported(file: &str, report: &Report, signer: &SignerReport) -> Signature {
    let time = |time: Option<Time>| time.map(|time| seconds(time.unix()));
    let lacks = |one| signer.unchecked.contains(&one);
    let facts = signer.certificate.as_ref();
    let issuer = facts.filter(|facts| facts.issuer != facts.subject);
    let text = |text: Option<&String>| text.map_or_else(String::new, |text| shown(text));
    Signature {
        verdict: verdict(signer.verdict),
        indication: indication(signer.sub_indication),
        signer: text(facts.and_then(|facts| facts.name.as_ref())),
        bin: facts
            .and_then(|facts| facts.bin.as_ref())
            .map_or_else(String::new, ToString::to_string),
        issuer: text(issuer.map(|facts| &facts.issuer)),
        claimed_at: time(signer.signing_time),
        stamped_at: time(signer.time_stamped_at),
        lacks_identity: lacks(Unchecked::Identity),
        lacks_revocation: lacks(Unchecked::Revocation),
        steps: signer.steps.iter().map(step).collect(),
        ..unsigned(file, report)
    }
}

fn step(step: &prichal_sign::Step) -> Step {
    Step {
        number: step.step,
        status: match step.status {
            prichal_sign::Status::Passed => StepStatus::Passed,
            prichal_sign::Status::Warned => StepStatus::Warned,
            prichal_sign::Status::Failed => StepStatus::Failed,
            prichal_sign::Status::Skipped => StepStatus::Skipped,
        },
        reason: shown(&step.reason),
    }
}

fn indication(found: Option<SubIndication>) -> String {
    found.map_or_else(String::new, |found| word(&found))
}

const fn verdict(verdict: prichal_sign::Verdict) -> Verdict {
    match verdict {
        prichal_sign::Verdict::TotalPassed => Verdict::Valid,
        prichal_sign::Verdict::TotalFailed => Verdict::Invalid,
        prichal_sign::Verdict::Indeterminate => Verdict::Undecided,
    }
}

fn need(need: &prichal_sign::Need) -> Need {
    Need {
        kind: word(&need.kind),
        subject: shown(&need.subject),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_TEXT_CHARS).collect()
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_found_in_what_programs_print() {
        let sum = "9AFD0be38d68f845fd9fb7751864c2a7b39df9cafa3e5e7fc2edc3b7d092d194";
        for text in [
            sum.to_owned(),
            format!("SHA2-256(the contract.pdf)= {sum}"),
            format!("SHA256(a=b)={sum}"),
            format!("{sum}  contract.pdf"),
        ] {
            assert_eq!(hash(&text), sum.to_ascii_lowercase(), "{text}");
        }
        assert_eq!(hash("No Hash"), "no hash");
    }
}
