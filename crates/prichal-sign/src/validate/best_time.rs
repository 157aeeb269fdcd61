//! Steps 12, 13 and 19: the best signature time, at which the signature is proven to exist.

use super::context::Context;
use super::document::Document;
use super::log::Log;
use super::signer::Checked;
use super::{archive, time_stamp};
use crate::error::ReadError;
use crate::reason::{Reason, reason};
use crate::report::SubIndication as Sub;
use crate::time::Time;
use crate::tsp::Token;

/// The proven time of a signature.
pub(super) struct BestTime {
    /// The time of the earliest valid time-stamp, else the time at which the caller had the signature, else the time
    /// of the check.
    pub at: Time,
    pub stamped: Option<Time>,
    /// The time that a time-stamp will prove once its authority's revocation data is available.
    pub waiting: Option<Waiting>,
}

/// Time-stamps that lack nothing but revocation data.
pub(super) struct Waiting {
    /// The earliest of their times.
    pub at: Time,
    /// Steps and reasons.
    pub reasons: Vec<(u8, Reason)>,
}

/// The outcomes of one signer's time-stamps. An invalid time-stamp proves no time and has no other effect, because
/// anybody can append one (EN 319 102-1 §5.5.4).
#[derive(Default)]
struct Stamps {
    times: Vec<Time>,
    waiting: Option<Waiting>,
    evidence: Vec<String>,
}

impl Stamps {
    fn add(&mut self, step: u8, outcome: time_stamp::Outcome, log: &mut Log) -> Option<Time> {
        for warning in outcome.warnings {
            log.warn(step, warning);
        }
        if let Some(time) = outcome.time {
            log.pass(step, outcome.label.clone());
            self.evidence.push(outcome.label.into_text());
            self.evidence.extend(outcome.evidence);
            return Some(time);
        }
        let (_, reason) = outcome.failure?;
        let reason = reason!("{} does not count: {reason}", outcome.label);
        log.warn(step, reason.clone());
        if let Some(at) = outcome.waits {
            let waiting = self.waiting.get_or_insert(Waiting {
                at,
                reasons: Vec::new(),
            });
            waiting.at = waiting.at.min(at);
            waiting.reasons.push((step, reason));
        }
        None
    }
}

pub(super) fn check(
    context: &Context<'_>,
    document: &Document,
    index: usize,
    content: Option<&[u8]>,
    checked: Option<&Checked<'_>>,
    evidence: &mut Vec<String>,
    log: &mut Log,
) -> BestTime {
    let (stamps, begun) = context.appended(|| judge(context, document, index, content, log));
    let best = stamps.times.iter().copied().min();
    check_content_stamp(begun, best, checked, log);
    check_claim(context, checked, best, log);
    let (at, reason) = match (best, context.existed_at) {
        (Some(best), known) if known.is_none_or(|known| best <= known) => {
            (best, reason!("{best}, the earliest valid time-stamp"))
        }
        (_, Some(known)) => {
            let reason = reason!("{known}, the time at which the caller had the signature");
            (known, reason)
        }
        (_, None) => (context.at, reason!("{}, the time of the check", context.at)),
    };
    log.pass(12, reason);
    evidence.extend(stamps.evidence);
    BestTime {
        at,
        stamped: best,
        waiting: stamps.waiting.filter(|waiting| waiting.at < at),
    }
}

/// Validates the time-stamps of the signature, and returns the latest time of the valid content time-stamps.
fn judge(
    context: &Context<'_>,
    document: &Document,
    index: usize,
    content: Option<&[u8]>,
    log: &mut Log,
) -> (Stamps, Option<Time>) {
    let info = &document.data.signers[index];
    let parts = &document.parts[index];
    let mut stamps = Stamps::default();
    // Archive time-stamps come first, because they prove the existence of the others.
    for archive in &parts.archive {
        let outcome = archive::check(context, document, info, content, archive);
        let time = stamps.add(19, outcome, log);
        stamps.times.extend(time);
    }
    for form in &parts.other_time_stamps {
        log.warn(19, reason!("{form} is not verified"));
    }
    if parts.archive.is_empty() && parts.other_time_stamps.is_empty() {
        log.skip(19, reason!("there is no archive time-stamp"));
    }
    let proof = stamps.times.iter().copied().min().unwrap_or(context.at);
    for token in &parts.time_stamps {
        let outcome = bounded(context, token, &info.signature, proof);
        let time = stamps.add(13, outcome, log);
        stamps.times.extend(time);
    }
    // Content time-stamps are older than the signature, so they give only a lower bound of its time.
    let mut begun: Option<Time> = None;
    for token in &parts.content_time_stamps {
        let Some(content) = content else { continue };
        let mut outcome = bounded(context, token, content, proof);
        outcome.waits = None;
        begun = begun.max(stamps.add(13, outcome, log));
    }
    if parts.time_stamps.is_empty() && parts.content_time_stamps.is_empty() {
        log.skip(13, reason!("there is no time-stamp"));
    }
    (stamps, begun)
}

/// Validates a token, unless there are too many.
fn bounded(
    context: &Context<'_>,
    token: &Result<Token, ReadError>,
    stamped: &[u8],
    proof: Time,
) -> time_stamp::Outcome {
    if context.stamp() {
        return time_stamp::check(context, token, stamped, proof);
    }
    let reason = reason!("there are too many time-stamps");
    time_stamp::Outcome::refused(reason!("time-stamp"), Sub::PolicyProcessingError, reason)
}

/// Checks that the content time-stamp is older than the signature.
fn check_content_stamp(
    begun: Option<Time>,
    best: Option<Time>,
    checked: Option<&Checked<'_>>,
    log: &mut Log,
) {
    let Some(begun) = begun else { return };
    if let Some(best) = best.filter(|best| begun > *best) {
        let reason =
            reason!("the content time-stamp of {begun} is later than the signature time {best}");
        log.fail(12, Sub::TimestampOrderFailure, reason);
    }
    if checked.is_some_and(|checked| begun > checked.certificate.not_after) {
        let reason = reason!(
            "the content time-stamp of {begun} is later than the expiry of the certificate"
        );
        log.fail(12, Sub::Expired, reason);
    }
}

/// Checks the signing time claimed by the signer. It is only a claim, so it gives warnings and no more.
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
            reason!(
                "the claimed signing time {claim} is outside of the certificate's validity period"
            ),
        );
    }
    let latest = best.unwrap_or(context.at).plus(context.policy.clock_skew);
    if claim > latest {
        log.warn(
            12,
            if best.is_some() {
                reason!("the claimed signing time {claim} is after the time-stamp")
            } else {
                reason!("the claimed signing time {claim} is after the time of the check")
            },
        );
    }
}
