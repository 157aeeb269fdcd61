//! The public page on which everybody checks a document or a signature, `/check`. It needs no session. The server gives
//! it the facts; nothing of a document but its number, its date and its signers is among them.

mod commands;
mod verdict;

use std::fmt::Write as _;

use askama::Template;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use prichal_core::time::Timestamp;

use self::{commands::Commands, verdict::Sentence};
use crate::{
    answer,
    language::Language,
    page::Bare,
    parts::{Choice, State, Tone, choices, visible},
    reasons::translate,
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
    /// The policy by which an upload was checked, and which is chosen in the form.
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
#[derive(Clone, Debug)]
pub struct Signature {
    /// The file of an upload.
    pub file: String,
    pub verdict: Verdict,
    /// The reason for a verdict other than valid, in the words of EN 319 102-1, such as `HASH_FAILURE`.
    pub indication: String,
    /// The kind of the file, if it is no signature.
    pub instead: Option<FileKind>,
    pub signer: String,
    pub company: String,
    pub bin: String,
    /// True if the document's signature contains the signed content.
    pub is_attached: bool,
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
    pub wanting: Vec<Need>,
}

/// Evidence that is missing.
#[derive(Clone, Debug)]
pub struct Need {
    /// The kind, such as `crl`.
    pub kind: String,
    /// The name whose evidence it is.
    pub subject: String,
}

impl Need {
    pub(crate) fn text(&self, language: Language) -> String {
        let subject = visible(&self.subject);
        let sentence = words::Needs::of(language).find(&self.kind);
        sentence.map_or_else(
            || format!("{}: {subject}", visible(&self.kind)),
            |sentence| fill(sentence, &[&subject]),
        )
    }
}

/// A step of the check.
#[derive(Clone, Debug)]
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

/// The kind of a file that was uploaded in the place of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Text,
    Pdf,
    /// A document of an office program.
    Office,
    Zip,
    Image,
    Xml,
    Certificate,
    /// A private key, or a container of one.
    Key,
    /// The signed content, beside a signature in the place of the content.
    Content,
    Other,
}

/// The outcome of an upload.
#[derive(Debug)]
pub enum Outcome {
    Checked {
        /// The SHA-256 of the file.
        sha256: String,
        basis: Basis,
        signatures: Vec<Signature>,
    },
    Refused(Refusal),
}

/// The rules by which an upload was checked, and its relation to a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The rules that the visitor has chosen. No document is known.
    Chosen,
    /// The same. The upload names the document with this id, but signs other content than that document.
    ChosenForOther(String),
    /// The rules of the document's sender. The upload signs the document's content.
    Sender,
    /// The same, but the upload signs other content than the document.
    SenderOfOther,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NoFile,
    TooLarge,
    Unreadable,
    /// The file is no signature.
    NoSignature(FileKind),
    /// The archive has no signatures.
    NoSignatures,
    /// Too many uploads from one address; the seconds until another is taken.
    TooMany(i64),
    Busy,
}

impl Refusal {
    const fn status(self) -> StatusCode {
        match self {
            Self::NoFile | Self::Unreadable | Self::NoSignature(_) | Self::NoSignatures => {
                StatusCode::BAD_REQUEST
            }
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
            Self::NoSignature(kind) => verdict::instead(kind, w),
            Self::NoSignatures => format!("{} {}", w.no_signatures, w.what_to_drop),
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
    commands: Commands,
}

struct DocumentView<'a> {
    id: &'a str,
    number: String,
    date: String,
    state: &'static str,
    verdict: Option<Sentence>,
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
    /// The rules of the check, in a sentence.
    rules: String,
    /// A warning about the relation of the upload to a document.
    warning: &'static str,
    /// The address of the page of the document that the upload is of, or says that it is of.
    document: Option<String>,
    verdict: Option<Sentence>,
    signatures: Vec<SignatureView>,
}

struct SignatureView {
    state: State,
    verdict: String,
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
        let document = match &page.subject {
            Subject::Document(document) => Some(DocumentView::new(document, page.language)),
            Subject::Any | Subject::Missing => None,
        };
        let (report, refused) = match &page.outcome {
            Some(Outcome::Checked {
                sha256,
                basis,
                signatures,
            }) => {
                let report = ReportView {
                    verdict: verdict::of_all(signatures, page.language),
                    signatures: signatures
                        .iter()
                        .map(|one| SignatureView::new(one, page.language))
                        .collect(),
                    ..ReportView::new(sha256, basis, page, w)
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
            commands: match &page.subject {
                Subject::Document(document) => Commands::of(document),
                Subject::Any | Subject::Missing => Commands::of_any(),
            },
        }
    }
}

impl<'a> DocumentView<'a> {
    fn new(document: &'a Document, language: Language) -> Self {
        let w = words::Check::of(language);
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
            verdict: verdict::of_all(&document.signatures, language),
            signatures: signatures
                .map(|one| SignatureView::new(one, language))
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

impl<'a> ReportView<'a> {
    /// The report without its signatures.
    fn new(sha256: &'a str, basis: &Basis, page: &Page, w: &'static words::Check) -> Self {
        let (rules, warning) = match basis {
            Basis::Chosen => (w.by_chosen, ""),
            Basis::ChosenForOther(_) => (w.by_chosen, w.other_archive),
            Basis::Sender => (w.by_sender, ""),
            Basis::SenderOfOther => (w.by_sender, w.other_content),
        };
        let document = match (basis, &page.subject) {
            (Basis::ChosenForOther(id), _) => Some(id),
            (_, Subject::Document(document)) => Some(&document.id),
            (_, Subject::Any | Subject::Missing) => None,
        };
        let language = page.language.code();
        Self {
            sha256,
            rules: fill(rules, &[&policy(&page.policy, w)]),
            warning,
            document: document.map(|id| format!("/check/{id}?lang={language}")),
            verdict: None,
            signatures: Vec::new(),
        }
    }
}

impl SignatureView {
    fn new(one: &Signature, language: Language) -> Self {
        let w = words::Check::of(language);
        let (tone, word) = match one.verdict {
            _ if one.instead.is_some() => (Tone::Bad, w.no_signature),
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
            .map(|step| StepView::new(step, language))
            .collect();
        Self {
            state: State { tone, word },
            verdict: verdict::of(one, language),
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
            reason: if one.instead.is_none() {
                visible(&translate(&one.reason, language))
            } else {
                String::new()
            },
            steps_title: fill(w.steps, &[&steps.len()]),
            steps,
            wanting: one.wanting.iter().map(|need| need.text(language)).collect(),
        }
    }
}

impl StepView {
    fn new(step: &Step, language: Language) -> Self {
        let w = words::Check::of(language);
        let (tone, word) = match step.status {
            StepStatus::Passed => (Tone::Good, w.passed),
            StepStatus::Warned => (Tone::Waiting, w.warned),
            StepStatus::Failed => (Tone::Bad, w.failed),
            StepStatus::Skipped => (Tone::Off, w.skipped),
        };
        Self {
            number: step.number,
            name: words::Steps::of(language).by_number(step.number),
            state: State { tone, word },
            reason: visible(&translate(&step.reason, language)),
        }
    }
}

/// The name of a policy for people.
pub(crate) fn policy<'a>(name: &'a str, w: &'static words::Check) -> &'a str {
    match name {
        "kz" => w.policy_kz,
        "ru" => w.policy_ru,
        "eu-baseline" => w.policy_eu,
        "test" => w.policy_test,
        other => other,
    }
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
