//! Steps 16, 17 and 18: the consequences of the evidence for a path.

use super::context::Context;
use super::log::Log;
use super::revocation::{self, State};
use crate::certificate::Certificate;
use crate::reason::reason;
use crate::report::SubIndication as Sub;
use crate::time::Time;

/// Checks the first certificate of the path and each intermediate. Returns true if the status of all of them is
/// known.
pub(super) fn check<'a>(
    context: &Context<'a>,
    chain: &[&'a Certificate],
    at: Time,
    evidence: &mut Vec<String>,
    log: &mut Log,
) -> bool {
    if chain.len() < 2 {
        let anchored = chain.first().is_some_and(|c| context.is_anchor(c));
        let reason = if anchored {
            reason!("the certificate itself is pinned")
        } else {
            reason!("without a path no revocation data can be trusted")
        };
        for step in [16, 17, 18] {
            log.skip(step, reason.clone());
        }
        return false;
    }
    let mut known = true;
    for index in 0..chain.len() - 1 {
        let certificate = chain[index];
        let name = &certificate.subject;
        let outcome = revocation::status(context, &chain[index..], at);
        for warning in outcome.warnings {
            log.warn(16, warning);
        }
        if let Some(used) = &outcome.used {
            log.pass(16, reason!("{name}: {}", used.label));
            let origin = if used.embedded {
                reason!("{name}: embedded in the signature")
            } else {
                reason!("{name}: given by the caller")
            };
            log.pass(18, origin);
            evidence.push(format!("{name}: {}", used.label));
        }
        // Refused evidence is reported only if there is none better.
        if outcome.state == State::Unknown {
            for refused in outcome.refused.reasons() {
                log.warn(16, reason!("{name}: not accepted: {refused}"));
            }
        }
        // The signer chose this evidence. Newer evidence is considered as well if it can be fetched.
        if outcome.is_chosen && !context.is_appended() {
            context.need_newer(certificate, chain[index + 1], outcome.is_old);
        }
        // "Try later" would not help here, and would let a signer hide a revocation behind junk.
        if outcome.is_incomplete {
            let reason = reason!("the revocation data for {name} exceeds the limit");
            log.fail(17, Sub::PolicyProcessingError, reason);
        }
        match outcome.state {
            State::Good => log.pass(17, reason!("{name} is not revoked")),
            State::RevokedLater(revocation) => log.pass(
                17,
                reason!("{name} was revoked at {}, after {at}", revocation.at),
            ),
            State::Revoked(revocation) => {
                let sub = if index == 0 {
                    Sub::Revoked
                } else {
                    Sub::RevokedCaNoPoe
                };
                let reason = reason!(
                    "{name} was revoked at {}: {}",
                    revocation.at,
                    revocation.word()
                );
                log.fail(17, sub, reason);
            }
            State::Unknown => {
                missing_revocation(context, &chain[index..], log);
                known = false;
            }
        }
    }
    known
}

fn missing_revocation(context: &Context<'_>, chain: &[&Certificate], log: &mut Log) {
    let [certificate, issuer, ..] = chain else {
        return;
    };
    let name = &certificate.subject;
    context.need_revocation(certificate, issuer);
    log.rule(
        context.policy.no_revocation_data,
        17,
        Sub::TryLater,
        reason!("no usable revocation data for {name}"),
    );
    let extensions = &certificate.extensions;
    let points = extensions.crl_points.iter().flat_map(|point| &point.uris);
    let refused: Vec<&str> = (extensions.ocsp_uris.iter().chain(points))
        .map(String::as_str)
        .filter(|url| !context.policy.may_fetch(url))
        .collect();
    if refused.is_empty() {
        log.skip(18, reason!("{name}: no evidence available"));
    } else {
        log.warn(
            18,
            reason!(
                "{name}: hosts not allowed by the policy: {}",
                refused.join(", ")
            ),
        );
    }
}
