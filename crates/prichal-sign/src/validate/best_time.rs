//! Steps 12, 13 and 19: when the signature is proven to have existed.

use super::context::Context;
use super::document::Document;
use super::log::Log;
use super::signer::Checked;
use super::{archive, time_stamp};
use crate::report::SubIndication as Sub;
use crate::time::Time;

/// The earliest time that a valid time-stamp proves, else the moment of checking.
pub(super) fn check(
    context: &Context<'_>,
    document: &Document,
    index: usize,
    content: Option<&[u8]>,
    checked: Option<&Checked<'_>>,
    evidence: &mut Vec<String>,
    log: &mut Log,
) -> Time {
    let info = &document.data.signers[index];
    let parts = &document.parts[index];
    let mut times: Vec<Time> = Vec::new();
    let mut take = |step: u8, outcome: time_stamp::Outcome, log: &mut Log| {
        for warning in outcome.warnings {
            log.warn(step, warning);
        }
        match (outcome.time, outcome.failure) {
            (Some(time), _) => {
                log.pass(step, outcome.label.clone());
                evidence.push(outcome.label);
                evidence.extend(outcome.evidence);
                Some(time)
            }
            (None, Some((sub, reason))) => {
                log.fail(step, sub, format!("{}: {reason}", outcome.label));
                None
            }
            (None, None) => None,
        }
    };
    // Archive time-stamps first: they prove that the others existed.
    for archive in &parts.archive {
        let outcome = archive::check(context, document, info, content, archive);
        times.extend(take(19, outcome, log));
    }
    for form in &parts.other_time_stamps {
        log.warn(19, format!("{form} is not verified"));
    }
    if parts.archive.is_empty() && parts.other_time_stamps.is_empty() {
        log.skip(19, "there is no archive time-stamp");
    }
    let proof = times.iter().copied().min().unwrap_or(context.at);
    for token in &parts.time_stamps {
        let outcome = time_stamp::check(context, token, &info.signature, proof);
        times.extend(take(13, outcome, log));
    }
    // Earlier than the signature, so these prove nothing about when it was made at the latest.
    let mut begun: Option<Time> = None;
    for token in &parts.content_time_stamps {
        let Some(content) = content else { continue };
        let outcome = time_stamp::check(context, token, content, proof);
        begun = begun.max(take(13, outcome, log));
    }
    if parts.time_stamps.is_empty() && parts.content_time_stamps.is_empty() {
        log.skip(13, "there is no time-stamp");
    }
    let best = times.iter().copied().min();
    if let (Some(begun), Some(best)) = (begun, best)
        && begun > best
    {
        let reason = format!("the content was stamped at {begun}, the signature at {best}");
        log.fail(12, Sub::TimestampOrderFailure, reason);
    }
    if let (Some(begun), Some(checked)) = (begun, checked)
        && begun > checked.certificate.not_after
    {
        let reason = format!("the content was stamped at {begun}, after the certificate expired");
        log.fail(12, Sub::Expired, reason);
    }
    check_claim(context, checked, best, log);
    let (best, source) = match (best, context.existed_at) {
        (Some(best), known) if known.is_none_or(|known| best <= known) => {
            (best, "the earliest valid time-stamp")
        }
        (_, Some(known)) => (known, "when the caller had it already"),
        (_, None) => (context.at, "the moment of checking"),
    };
    log.pass(12, format!("{best}, {source}"));
    best
}

/// The signer's own signing time is a claim: it is looked at, and nothing rests on it.
fn check_claim(
    context: &Context<'_>,
    checked: Option<&Checked<'_>>,
    best: Option<Time>,
    log: &mut Log,
) {
    let Some(checked) = checked else { return };
    let Some(claim) = checked.signing_time else {
        return;
    };
    let certificate = checked.certificate;
    if claim < certificate.not_before || claim > certificate.not_after {
        log.warn(
            12,
            format!("the claimed signing time {claim} is outside of the certificate's validity"),
        );
    }
    let latest = best.unwrap_or(context.at).plus(context.policy.clock_skew);
    if claim > latest {
        let what = if best.is_some() {
            "the time-stamp"
        } else {
            "the moment of checking"
        };
        log.warn(
            12,
            format!("the claimed signing time {claim} is after {what}"),
        );
    }
}
