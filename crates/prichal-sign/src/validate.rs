//! The validator: 21 steps, in order, for every signer.
//!
//! It fetches nothing and reads no clock. Missing evidence is listed in the report; the caller provides it and
//! validates again.

#![expect(
    clippy::similar_names,
    reason = "content and context are the words for it"
)]

mod archive;
mod authority;
mod best_time;
mod context;
mod counter_signature;
mod document;
mod log;
mod path;
mod request;
mod revocation;
mod signer;
mod status;
mod time_stamp;

use crate::certificate::Certificate;
use crate::cms::{SignerId, SignerInfo};
use crate::error::ReadError;
use crate::hash::Hash;
use crate::identity::Facts;
use crate::oid;
use crate::policy::Policy;
use crate::reason::{Reason, plural, reason};
use crate::report::{Report, SignerReport, SubIndication as Sub, Unchecked, Verdict};
use crate::time::Time;
use context::Context;
use document::{Document, unreadable};
use log::Log;
pub use request::{Expected, Material, OcspAnswer, Request, Required};
use signer::{Checked, Kind, Subject};
use subtle::ConstantTimeEq;

/// Validates a signature.
pub fn validate(request: &Request<'_>, material: &Material) -> Report {
    let document = match Document::read(request.signature, &request.limits) {
        Ok(document) => document,
        Err(error) => return unreadable_report(request, error),
    };
    let (policy, at) = (request.policy, request.at);
    let context = Context::new(&document, material, request);
    let mut shared = Log::default();
    check_structure(policy, &document, &mut shared);
    check_content(&context, request, &document, &mut shared);
    let content = context.content();

    let mut signers = Vec::new();
    let mut deciding = Vec::new();
    for index in 0..document.data.signers.len() {
        let report = one_signer(&context, &document, index, content, shared.clone());
        let required = match (&request.expected.required, &report.found) {
            (None, _) => true,
            (Some(required), Some(found)) => required.is(found, &Facts::of(found)),
            (Some(_), None) => false,
        };
        if required {
            deciding.push((report.report.verdict, report.report.sub_indication));
        }
        signers.push(report.report);
    }
    let (verdict, sub_indication, reason) = match worst(&deciding) {
        _ if signers.is_empty() => {
            let reason = reason!("the signature has no signer");
            (Verdict::TotalFailed, Some(Sub::FormatFailure), Some(reason))
        }
        None => {
            let reason = reason!("the required signer did not sign");
            (
                Verdict::Indeterminate,
                Some(Sub::SigConstraintsFailure),
                Some(reason),
            )
        }
        Some((verdict, sub)) => (verdict, sub, None),
    };
    Report {
        verdict,
        sub_indication,
        policy: policy.id.clone(),
        at,
        signers,
        needs: context.needs(),
        newer: context.newer(),
        has_more_needs: context.has_more_needs(),
        reason: reason.map(Reason::into_text),
        unreadable: None,
        work: context.work(),
    }
}

/// The result of the signers with the highest weight, and of equal ones the first.
fn worst(signers: &[(Verdict, Option<Sub>)]) -> Option<(Verdict, Option<Sub>)> {
    let weight = |(_, sub): &&(Verdict, Option<Sub>)| sub.map_or(0, Sub::weight);
    signers.iter().rev().max_by_key(weight).copied()
}

fn unreadable_report(request: &Request<'_>, error: ReadError) -> Report {
    Report {
        verdict: Verdict::TotalFailed,
        sub_indication: Some(Sub::FormatFailure),
        policy: request.policy.id.clone(),
        at: request.at,
        signers: Vec::new(),
        needs: Vec::new(),
        newer: Vec::new(),
        has_more_needs: false,
        reason: Some(error.to_string()),
        unreadable: Some(error),
        work: 0,
    }
}

/// Steps 1 and 2. Unreadable input was reported before.
fn check_structure(policy: &Policy, document: &Document, log: &mut Log) {
    let data = &document.data;
    log.pass(1, reason!("one well-formed SignedData within the limits"));
    let certificates = data
        .certificates
        .iter()
        .filter_map(|c| unreadable("a certificate", &c.value));
    let revocation = data
        .revocation
        .iter()
        .filter_map(|r| unreadable("revocation data", &r.value));
    for reason in certificates.chain(revocation) {
        log.warn(1, reason!("skipped {reason}"));
    }
    if data.padding > 0 {
        let count = data.padding;
        log.warn(
            1,
            plural!(
                count,
                "skipped 1 zero byte after the signature",
                "skipped {count} zero bytes after the signature"
            ),
        );
    }
    let expected = data.expected_version();
    check_version(
        policy,
        "SignedData",
        data.version,
        expected,
        &[1, 3, 4, 5],
        log,
    );
    let count = data.signers.len();
    log.pass(
        2,
        plural!(
            count,
            "SignedData with 1 signer",
            "SignedData with {count} signers"
        ),
    );
}

/// Checks a version. A version that RFC 5652 does not define is refused. One that does not match the members is
/// reported with the severity of structural faults, because many tools write it.
fn check_version(
    policy: &Policy,
    what: &str,
    version: u64,
    expected: u64,
    known: &[u64],
    log: &mut Log,
) {
    if !known.contains(&version) {
        let reason = reason!("{what} has the version {version}");
        log.fail(2, Sub::FormatFailure, reason);
    } else if version != expected {
        let reason = reason!("{what} has the version {version}, not {expected}");
        log.rule(policy.structure, 2, Sub::FormatFailure, reason);
    }
}

/// The part of step 2 for one signer.
fn check_signer_version(policy: &Policy, signer: &SignerInfo, log: &mut Log) {
    let expected = match signer.id {
        SignerId::IssuerAndSerial { .. } => 1,
        SignerId::KeyId(_) => 3,
    };
    let version = signer.version;
    check_version(policy, "SignerInfo", version, expected, &[1, 3], log);
}

/// Step 3: finds the signed content and compares it with the given content.
fn check_content(context: &Context<'_>, request: &Request<'_>, document: &Document, log: &mut Log) {
    let data = &document.data;
    if data.content_type != *oid::DATA && !request.policy.other_content {
        log.fail(
            3,
            Sub::SigConstraintsFailure,
            reason!("the content type {} is not accepted", data.content_type),
        );
    }
    let attached = data.content.as_deref();
    let other = |attached: &[u8]| match (request.content, request.content_sha256) {
        (Some(given), _) => !bool::from(attached.ct_eq(given)),
        (None, Some(given)) => context.digest(Hash::Sha256, attached) != given,
        (None, None) => false,
    };
    match (attached, request.content) {
        (Some(attached), _) if other(attached) => {
            log.fail(
                3,
                Sub::HashFailure,
                reason!("the attached content differs from the given content"),
            );
        }
        (Some(attached), _) => {
            let size = attached.len();
            let reason = plural!(size, "attached, 1 byte", "attached, {size} bytes");
            log.pass(3, reason);
        }
        (None, Some(given)) => {
            let size = given.len();
            let reason = plural!(size, "detached, 1 byte", "detached, {size} bytes");
            log.pass(3, reason);
        }
        (None, None) => {
            log.fail(
                3,
                Sub::SignedDataNotFound,
                reason!("the signature is detached and no content was given"),
            );
        }
    }
}

struct Judged<'a> {
    report: SignerReport,
    found: Option<&'a Certificate>,
}

fn one_signer<'a>(
    context: &Context<'a>,
    document: &'a Document,
    index: usize,
    content: Option<&[u8]>,
    mut log: Log,
) -> Judged<'a> {
    let info = &document.data.signers[index];
    let parts = &document.parts[index];
    check_signer_version(context.policy, info, &mut log);
    for reason in &parts.unreadable {
        log.warn(1, reason!("skipped {reason}"));
    }
    let subject = Subject {
        kind: Kind::Document,
        signer: info,
        content_type: &document.data.content_type,
        content,
    };
    let checked = signer::check(context, &subject, &mut log);
    let mut evidence = Vec::new();
    let times = best_time::check(
        context,
        document,
        index,
        content,
        checked.as_ref(),
        &mut evidence,
        &mut log,
    );
    let mut judged = at_time(context, checked.as_ref(), times.at, &log);
    // If the only missing piece is the revocation data of a time-stamp that would cure the failure, the verdict is
    // "try later".
    if let Some(waiting) = times.waiting
        && judged.log.weight() > Sub::TryLater.weight()
    {
        for (step, reason) in waiting.reasons {
            log.fail(step, Sub::TryLater, reason);
        }
        let later = at_time(context, checked.as_ref(), waiting.at, &log);
        if later.log.weight() == Sub::TryLater.weight() {
            judged = later;
        }
    }
    let mut log = judged.log;
    evidence.extend(judged.evidence);
    let best_time = judged.at;
    let counter_signatures = counter_signature::check(context, document, index, &mut log);
    let algorithm = checked.as_ref().and_then(|c| c.algorithm.clone());
    log.pass(
        21,
        reason!(
            "policy {}, checked at {}, judged at {best_time}, evidence: {}",
            context.policy.id,
            context.at,
            evidence.len()
        ),
    );
    let (verdict, sub_indication) = log.verdict();
    Judged {
        report: SignerReport {
            verdict,
            sub_indication,
            certificate: checked.as_ref().map(|c| Facts::of(c.certificate)),
            steps: log.steps(),
            best_time,
            time_stamped_at: times.stamped,
            algorithm,
            signing_time: checked.as_ref().and_then(|c| c.signing_time),
            path: judged.path,
            unchecked: judged.unchecked,
            evidence,
            counter_signatures,
        },
        found: checked.map(|c| c.certificate),
    }
}

/// The steps that depend on the best signature time.
struct AtTime {
    at: Time,
    log: Log,
    path: Vec<String>,
    evidence: Vec<String>,
    unchecked: Vec<Unchecked>,
}

fn at_time<'a>(
    context: &Context<'a>,
    checked: Option<&Checked<'a>>,
    at: Time,
    so_far: &Log,
) -> AtTime {
    let mut judged = AtTime {
        at,
        log: so_far.clone(),
        path: Vec::new(),
        evidence: Vec::new(),
        unchecked: Vec::new(),
    };
    let log = &mut judged.log;
    let Some(checked) = checked else {
        for step in [14, 15, 16, 17, 18] {
            log.skip(step, reason!("the signer's certificate was not found"));
        }
        return judged;
    };
    let accepts = |hash| context.policy.accepts_hash(hash, at);
    signer::check_strength(context, checked, accepts, log);
    let path = check_path(context, checked.certificate, at, log);
    let facts = Facts::of(checked.certificate);
    let identified = authority::check(context, checked.certificate, &facts, log);
    let chain = path.as_deref().unwrap_or_default();
    let known = status::check(context, chain, at, &mut judged.evidence, log);
    judged.path = chain.iter().map(|c| c.subject.to_string()).collect();
    let duties = [
        (identified, Unchecked::Identity),
        (known, Unchecked::Revocation),
    ];
    let missed = duties.into_iter().filter(|(met, _)| !met);
    judged.unchecked = missed.map(|(_, duty)| duty).collect();
    judged
}

/// Step 14. A path is returned even if it has problems, so that its revocation can be checked.
fn check_path<'a>(
    context: &Context<'a>,
    certificate: &'a Certificate,
    at: Time,
    log: &mut Log,
) -> Option<Vec<&'a Certificate>> {
    let path = match path::build(context, certificate, at) {
        Ok(path) => path,
        Err(none) => {
            context.need_issuer(none.last);
            if context.issuer_is_unreachable(none.last) && !none.is_incomplete {
                let reason = reason!("{} and could not be fetched", none.reason);
                log.fail(14, Sub::TryLater, reason);
            } else {
                log.fail(14, Sub::NoCertificateChainFound, none.reason);
            }
            return None;
        }
    };
    for warning in path.warnings {
        log.warn(14, warning);
    }
    for (sub, reason) in path.problems {
        log.fail(14, sub, reason);
    }
    if !log.failed(14) {
        let names: Vec<String> = path
            .certificates
            .iter()
            .map(|c| c.subject.to_string())
            .collect();
        log.pass(14, reason!("{}", names.join(" <- ")));
    }
    Some(path.certificates)
}
