//! Step 13: time-stamp tokens, each of which is a signature of its own (RFC 3161 §2.4.2).

use super::context::Context;
use super::log::Log;
use super::path;
use super::revocation::{self, State};
use super::signer::{self, Kind, Subject};
use crate::certificate::Certificate;
use crate::error::ReadError;
use crate::hash::Hash;
use crate::oid;
use crate::reason::{Reason, reason};
use crate::report::SubIndication as Sub;
use crate::time::Time;
use crate::tsp::Token;
use subtle::ConstantTimeEq;

/// The outcome of a token.
pub(super) struct Outcome {
    /// The time of the token, if it is valid.
    pub time: Option<Time>,
    /// The time of the token, if nothing but revocation data is missing.
    pub waits: Option<Time>,
    pub failure: Option<(Sub, Reason)>,
    pub warnings: Vec<Reason>,
    pub evidence: Vec<String>,
    /// The token's name in the report.
    pub label: Reason,
}

impl Outcome {
    /// The outcome of a token that was refused without a validation.
    pub(super) fn refused(label: Reason, sub: Sub, reason: Reason) -> Self {
        Self {
            time: None,
            waits: None,
            failure: Some((sub, reason)),
            warnings: Vec::new(),
            evidence: Vec::new(),
            label,
        }
    }
}

/// Validates a token over `stamped`. The token is known to exist at `proof`, which decides on weak algorithms.
pub(super) fn check(
    context: &Context<'_>,
    token: &Result<Token, ReadError>,
    stamped: &[u8],
    proof: Time,
) -> Outcome {
    let token = match token {
        Ok(token) => token,
        Err(error) => {
            let reason = reason!("the token is unreadable: {error}");
            return Outcome::refused(reason!("unreadable time-stamp"), Sub::FormatFailure, reason);
        }
    };
    let mut log = Log::default();
    let mut outcome = Outcome {
        time: None,
        waits: None,
        failure: None,
        warnings: Vec::new(),
        evidence: Vec::new(),
        label: reason!("time-stamp of {}", token.time),
    };
    check_imprint(context, token, stamped, proof, &mut log);
    if token.time > context.at.plus(context.policy.clock_skew) {
        log.fail(
            13,
            Sub::TimestampOrderFailure,
            reason!("its time is in the future"),
        );
    }
    let accepted = &context.policy.time_stamp_policies;
    if !accepted.is_empty()
        && !accepted
            .iter()
            .any(|policy| token.policy == *policy.as_str())
    {
        let reason = reason!("its policy {} is not accepted", token.policy);
        log.fail(13, Sub::SigConstraintsFailure, reason);
    }
    check_signature(context, token, proof, &mut log, &mut outcome);
    match log.deciding() {
        Some(finding) => {
            let sub = finding.sub_indication.unwrap_or(Sub::SigConstraintsFailure);
            outcome.waits = (sub == Sub::TryLater).then_some(token.time);
            outcome.failure = Some((sub, finding.reason.clone()));
        }
        None => outcome.time = Some(token.time),
    }
    outcome
}

fn check_imprint(context: &Context<'_>, token: &Token, stamped: &[u8], proof: Time, log: &mut Log) {
    let Some(hash) = Hash::from_algorithm(&token.imprint_hash) else {
        let reason = reason!(
            "the hash {} of its message imprint is unknown",
            token.imprint_hash.oid
        );
        log.fail(13, Sub::CryptoConstraintsFailure, reason);
        return;
    };
    if !bool::from(context.digest(hash, stamped).ct_eq(&token.imprint)) {
        log.fail(
            13,
            Sub::HashFailure,
            reason!("its message imprint does not match"),
        );
    } else if !accepts(context, token, hash, proof) {
        let reason = reason!("its message imprint uses {}", hash.name());
        log.fail(13, Sub::CryptoConstraintsFailureNoPoe, reason);
    }
}

/// True if a hash of the token is acceptable for a token that is proven to exist at `proof`.
fn accepts(context: &Context<'_>, token: &Token, hash: Hash, proof: Time) -> bool {
    context
        .policy
        .accepts_hash_of_time_stamp(hash, proof, token.time)
}

fn check_signature(
    context: &Context<'_>,
    token: &Token,
    proof: Time,
    log: &mut Log,
    outcome: &mut Outcome,
) {
    let [signer] = token.data.signers.as_slice() else {
        let count = token.data.signers.len();
        log.fail(
            13,
            Sub::FormatFailure,
            reason!("it has {count} signers instead of one"),
        );
        return;
    };
    let subject = Subject {
        kind: Kind::TimeStamp,
        signer,
        content_type: &token.data.content_type,
        content: token.data.content.as_deref(),
    };
    let Some(checked) = signer::check(context, &subject, log) else {
        return;
    };
    signer::check_strength(
        context,
        &checked,
        |hash| accepts(context, token, hash, proof),
        log,
    );
    let authority = checked.certificate;
    outcome.label = reason!("time-stamp of {} by {}", token.time, authority.subject);
    check_purpose(authority, log);
    let path = match path::build(context, authority, token.time) {
        Ok(path) => path,
        Err(none) => {
            context.need_issuer(none.last);
            log.fail(14, Sub::NoCertificateChainFound, none.reason);
            return;
        }
    };
    outcome.warnings.extend(path.warnings);
    for (sub, reason) in path.problems {
        log.fail(14, sub, reason);
    }
    for index in 0..path.certificates.len() - 1 {
        check_revocation(
            context,
            &path.certificates[index..],
            token.time,
            log,
            outcome,
        );
    }
}

/// RFC 3161 §2.3: the extended key usage is timeStamping alone, and critical.
fn check_purpose(authority: &Certificate, log: &mut Log) {
    let usage = authority.extensions.extended_key_usage.as_ref();
    let fits = usage.is_some_and(|usage| {
        usage.critical && usage.purposes.len() == 1 && usage.purposes[0] == *oid::KP_TIME_STAMPING
    });
    if !fits {
        log.fail(
            13,
            Sub::ChainConstraintsFailure,
            reason!(
                "the extended key usage of {} is not timeStamping alone and critical",
                authority.subject
            ),
        );
    }
    if authority.is_ca() {
        log.fail(
            13,
            Sub::ChainConstraintsFailure,
            reason!("its signer is a certification authority"),
        );
    }
}

fn check_revocation<'a>(
    context: &Context<'a>,
    chain: &[&'a Certificate],
    at: Time,
    log: &mut Log,
    outcome: &mut Outcome,
) {
    let name = &chain[0].subject;
    let found = revocation::status(context, chain, at);
    outcome
        .evidence
        .extend(found.used.map(|used| format!("{name}: {}", used.label)));
    outcome.warnings.extend(found.warnings);
    if found.is_incomplete {
        let reason = reason!("the revocation data for {name} exceeds the limit");
        log.fail(17, Sub::PolicyProcessingError, reason);
    }
    match found.state {
        State::Good => {}
        State::Revoked(revocation) => {
            let reason = reason!(
                "{name} was revoked at {}: {}",
                revocation.at,
                revocation.word()
            );
            log.fail(17, Sub::Revoked, reason);
        }
        // RFC 3161 §4, item 1: earlier tokens stay valid only if the reason rules out a compromise of the key.
        State::RevokedLater(revocation) if matches!(revocation.reason, Some(0 | 3 | 4 | 5)) => {}
        State::RevokedLater(revocation) => {
            let reason = reason!(
                "{name} was revoked at {}, and the key may have been compromised: {}",
                revocation.at,
                revocation.word()
            );
            log.fail(17, Sub::Revoked, reason);
        }
        State::Unknown => {
            if let Some(issuer) = chain.get(1) {
                let need = || context.need_revocation(chain[0], issuer);
                // The token of a trusted authority may decide about the signer.
                if log.weight() <= Sub::TryLater.weight() {
                    context.own(need);
                } else {
                    need();
                }
            }
            let mut reason = reason!("no usable revocation data for {name}");
            for refused in found.refused.reasons() {
                reason = reason!("{reason}; {refused}");
            }
            let severity = context.policy.no_time_stamp_revocation_data;
            match severity {
                crate::policy::Severity::Fail => log.fail(17, Sub::TryLater, reason),
                crate::policy::Severity::Warn => outcome.warnings.push(reason),
                crate::policy::Severity::Ignore => {}
            }
        }
    }
}
