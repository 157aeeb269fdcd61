//! The public page on which everybody checks a document or a signature, `/check`. It needs no session. The server gives
//! it the facts; nothing of a document but its number, its date and its signers is among them.

use std::fmt::Write as _;

use askama::Template;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use prichal_core::time::Timestamp;

use crate::{
    answer,
    language::Language,
    page::Bare,
    parts::{Choice, State, Tone, choices, visible},
    words::{self, fill},
};

/// The sources of everything that the page may load (CSP level 3).
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The policies that a visitor may choose.
pub const POLICIES: [&str; 3] = ["kz", "ru", "eu-baseline"];

/// The page.
#[derive(Debug)]
pub struct Page {
    pub language: Language,
    pub subject: Subject,
    /// The hashes that were sent, each with the part of the document that has it.
    pub compared: Vec<Compared>,
    pub outcome: Option<Outcome>,
    /// The policy that is chosen in the form.
    pub policy: String,
    /// The maximum size of an upload in MiB.
    pub max_mib: usize,
}

/// The document that the page is about.
#[derive(Debug)]
pub enum Subject {
    Any,
    /// A document was asked for that is not there, or is not public.
    Missing,
    Document(Box<Document>),
}

#[derive(Debug)]
pub struct Document {
    pub id: String,
    pub number: String,
    pub date: Timestamp,
    pub state: DocumentState,
    pub signatures: Vec<Signature>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentState {
    Finished,
    /// Refused or taken back.
    Ended,
    Unfinished,
}

/// A hash that a visitor has sent.
#[derive(Debug)]
pub struct Compared {
    pub sha256: String,
    pub part: Part,
}

/// The part of a document that a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Original(usize),
    SignedContent,
    Signature(usize),
    Nothing,
    /// The text is no SHA-256.
    NoHash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Valid,
    Invalid,
    Undecided,
}

/// A signature with its verdict. Empty texts and absent times are not shown.
#[derive(Debug)]
pub struct Signature {
    /// The file of an upload.
    pub file: String,
    pub verdict: Verdict,
    pub signer: String,
    pub company: String,
    pub bin: String,
    pub issuer: String,
    pub accepted_at: Option<Timestamp>,
    pub claimed_at: Option<Timestamp>,
    pub stamped_at: Option<Timestamp>,
    pub checked_at: Option<Timestamp>,
    /// The name of the policy.
    pub policy: String,
    pub lacks_identity: bool,
    pub lacks_revocation: bool,
    /// The reason for a verdict without steps.
    pub reason: String,
    pub steps: Vec<Step>,
    /// The missing evidence that would decide more.
    pub wanting: Vec<String>,
}

/// A step of the check.
#[derive(Debug)]
pub struct Step {
    /// The number, from 1.
    pub number: u8,
    pub status: StepStatus,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepStatus {
    Passed,
    Warned,
    Failed,
    Skipped,
}

/// The outcome of an upload.
#[derive(Debug)]
pub enum Outcome {
    Checked {
        /// The SHA-256 of the file.
        sha256: String,
        signatures: Vec<Signature>,
    },
    Refused(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NoFile,
    TooLarge,
    Unreadable,
    NoSignatures,
    /// Too many uploads from one address; the seconds until another is taken.
    TooMany(i64),
    Busy,
}

impl Refusal {
    const fn status(self) -> StatusCode {
        match self {
            Self::NoFile | Self::Unreadable | Self::NoSignatures => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The seconds to wait before a repetition.
    const fn wait(self) -> Option<i64> {
        match self {
            Self::TooMany(seconds) => Some(seconds),
            Self::Busy => Some(60),
            _ => None,
        }
    }

    fn text(self, w: &words::Check) -> String {
        match self {
            Self::NoFile => w.no_file.to_owned(),
            Self::TooLarge => w.too_large.to_owned(),
            Self::Unreadable => w.unreadable.to_owned(),
            Self::NoSignatures => w.no_signatures.to_owned(),
            Self::TooMany(seconds) => fill(w.too_many, &[&seconds]),
            Self::Busy => w.busy.to_owned(),
        }
    }
}

impl Page {
    /// The answer with the page: 404 for a document that is missing.
    pub fn into_response(self) -> Response {
        let refusal = match self.outcome {
            Some(Outcome::Refused(refusal)) => Some(refusal),
            _ => None,
        };
        let status = match (&self.subject, refusal) {
            (Subject::Missing, _) => StatusCode::NOT_FOUND,
            (_, Some(refusal)) => refusal.status(),
            _ => StatusCode::OK,
        };
        let mut response = answer::page(&CheckPage::new(&self));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
            (header::REFERRER_POLICY, "no-referrer"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(seconds) = refusal.and_then(Refusal::wait) {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

#[derive(Template)]
#[template(path = "check.html")]
struct CheckPage<'a> {
    bare: Bare,
    w: &'static words::Check,
    is_missing: bool,
    document: Option<DocumentView<'a>>,
    compared: Vec<ComparedView<'a>>,
    report: Option<ReportView<'a>>,
    refused: Option<String>,
    policies: Vec<Choice>,
    upload_how: String,
}

struct DocumentView<'a> {
    id: &'a str,
    number: String,
    date: String,
    state: &'static str,
    signatures: Vec<SignatureView>,
}

struct ComparedView<'a> {
    sha256: &'a str,
    tone: Tone,
    text: String,
    /// More about a file that is no part of the document.
    more: &'static str,
}

struct ReportView<'a> {
    sha256: &'a str,
    signatures: Vec<SignatureView>,
}

struct SignatureView {
    state: State,
    signer: String,
    /// The names of facts with their values.
    facts: Vec<(&'static str, String)>,
    /// The times, each with its name, as RFC 3339 and for people.
    times: Vec<(&'static str, String, String)>,
    unchecked: Vec<&'static str>,
    reason: String,
    steps_title: String,
    steps: Vec<StepView>,
    wanting: Vec<String>,
}

struct StepView {
    number: u8,
    name: &'static str,
    state: State,
    reason: String,
}

impl<'a> CheckPage<'a> {
    fn new(page: &'a Page) -> Self {
        let w = words::Check::of(page.language);
        let steps = words::Steps::of(page.language);
        let document = match &page.subject {
            Subject::Document(document) => Some(DocumentView::new(document, w, steps)),
            Subject::Any | Subject::Missing => None,
        };
        let (report, refused) = match &page.outcome {
            Some(Outcome::Checked { sha256, signatures }) => {
                let signatures = signatures
                    .iter()
                    .map(|one| SignatureView::new(one, w, steps));
                let report = ReportView {
                    sha256,
                    signatures: signatures.collect(),
                };
                (Some(report), None)
            }
            Some(Outcome::Refused(refusal)) => (None, Some(refusal.text(w))),
            None => (None, None),
        };
        let policies = POLICIES.map(|name| (name, policy(name, w)));
        Self {
            bare: Bare::new(page.language, w.title),
            w,
            is_missing: matches!(page.subject, Subject::Missing),
            document,
            compared: page
                .compared
                .iter()
                .map(|one| ComparedView::new(one, w))
                .collect(),
            report,
            refused,
            policies: choices(&page.policy, policies),
            upload_how: fill(w.upload_how, &[&page.max_mib]),
        }
    }
}

impl<'a> DocumentView<'a> {
    fn new(document: &'a Document, w: &'static words::Check, steps: &'static words::Steps) -> Self {
        let signatures = document.signatures.iter();
        Self {
            id: &document.id,
            number: visible(&document.number),
            date: day(document.date),
            state: match document.state {
                DocumentState::Finished => w.finished,
                DocumentState::Ended => w.ended,
                DocumentState::Unfinished => w.unfinished,
            },
            signatures: signatures
                .map(|one| SignatureView::new(one, w, steps))
                .collect(),
        }
    }
}

impl<'a> ComparedView<'a> {
    fn new(one: &'a Compared, w: &'static words::Check) -> Self {
        let (tone, text) = match one.part {
            Part::Original(n) => (Tone::Good, fill(w.is_original, &[&n])),
            Part::SignedContent => (Tone::Good, w.is_content.to_owned()),
            Part::Signature(n) => (Tone::Good, fill(w.is_signature, &[&n])),
            Part::Nothing => (Tone::Bad, w.is_nothing.to_owned()),
            Part::NoHash => (Tone::Bad, w.bad_hash.to_owned()),
        };
        Self {
            sha256: &one.sha256,
            tone,
            text,
            more: match one.part {
                Part::Nothing => w.nothing_text,
                _ => "",
            },
        }
    }
}

impl SignatureView {
    fn new(one: &Signature, w: &'static words::Check, steps: &'static words::Steps) -> Self {
        let (tone, word) = match one.verdict {
            Verdict::Valid => (Tone::Good, w.valid),
            Verdict::Invalid => (Tone::Bad, w.invalid),
            Verdict::Undecided => (Tone::Waiting, w.undecided),
        };
        let known = |text: &str, unknown: &str| {
            let text = visible(text);
            if text.is_empty() {
                unknown.to_owned()
            } else {
                text
            }
        };
        let company = visible(format!("{} {}", one.company, one.bin).trim());
        let facts = [
            (w.file, visible(&one.file)),
            (w.company, company),
            (w.issuer, known(&one.issuer, w.unknown_issuer)),
            (w.policy, policy(&one.policy, w).to_owned()),
        ];
        let times = [
            (w.accepted_at, one.accepted_at),
            (w.claimed_at, one.claimed_at),
            (w.stamped_at, one.stamped_at),
            (w.checked_at, one.checked_at),
        ];
        let unchecked = [
            (one.lacks_identity, w.no_identity),
            (one.lacks_revocation, w.no_revocation),
        ];
        let steps: Vec<StepView> = one
            .steps
            .iter()
            .map(|step| StepView::new(step, w, steps))
            .collect();
        Self {
            state: State { tone, word },
            signer: known(&one.signer, w.unknown_signer),
            facts: facts
                .into_iter()
                .filter(|(_, text)| !text.is_empty())
                .collect(),
            times: times
                .into_iter()
                .filter_map(|(name, at)| Some((name, at?.to_millis(), moment(at?))))
                .collect(),
            unchecked: unchecked
                .into_iter()
                .filter_map(|(lacks, text)| lacks.then_some(text))
                .collect(),
            reason: visible(&one.reason),
            steps_title: fill(w.steps, &[&steps.len()]),
            steps,
            wanting: one.wanting.iter().map(|text| visible(text)).collect(),
        }
    }
}

impl StepView {
    fn new(step: &Step, w: &'static words::Check, names: &'static words::Steps) -> Self {
        let (tone, word) = match step.status {
            StepStatus::Passed => (Tone::Good, w.passed),
            StepStatus::Warned => (Tone::Waiting, w.warned),
            StepStatus::Failed => (Tone::Bad, w.failed),
            StepStatus::Skipped => (Tone::Off, w.skipped),
        };
        Self {
            number: step.number,
            name: step_name(step.number, names),
            state: State { tone, word },
            reason: visible(&step.reason),
        }
    }
}

/// The name of a policy for people.
fn policy<'a>(name: &'a str, w: &'static words::Check) -> &'a str {
    match name {
        "kz" => w.policy_kz,
        "ru" => w.policy_ru,
        "eu-baseline" => w.policy_eu,
        "test" => w.policy_test,
        other => other,
    }
}

/// The name of a step by its number; empty for a number that no step has.
fn step_name(number: u8, names: &'static words::Steps) -> &'static str {
    let all = [
        names.format,
        names.signed_data,
        names.content,
        names.signer_certificate,
        names.signed_attributes,
        names.content_type,
        names.message_digest,
        names.signature_value,
        names.attribute_confusion,
        names.algorithms,
        names.signing_certificate,
        names.signature_time,
        names.time_stamp,
        names.certificate_path,
        names.signer_authority,
        names.revocation_evidence,
        names.revocation_status,
        names.evidence_order,
        names.archive_time_stamp,
        names.signers,
        names.report,
    ];
    let at = usize::from(number).checked_sub(1);
    at.and_then(|at| all.get(at)).copied().unwrap_or_default()
}

/// A day in UTC.
fn day(at: Timestamp) -> String {
    let text = at.to_millis();
    text.get(..10).unwrap_or_default().to_owned()
}

/// A time with its zone. Visitors may be anywhere, so it is UTC.
fn moment(at: Timestamp) -> String {
    let text = at.to_millis();
    let mut shown = day(at);
    let _ = write!(shown, " {} UTC", text.get(11..19).unwrap_or_default());
    shown
}

#[cfg(test)]
mod tests;
