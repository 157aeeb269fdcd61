//! Step 14: a path from a certificate to a pinned anchor (RFC 5280 §6). Every candidate issuer with a matching name
//! is tried, because authorities change keys under one name.

mod policy_tree;

use super::context::Context;
use crate::certificate::Certificate;
use crate::certificate::general_name::GeneralName;
use crate::key::PublicKey;
use crate::oid;
use crate::policy::Severity;
use crate::reason::{Reason, reason};
use crate::report::SubIndication as Sub;
use crate::scheme::Scheme;
use crate::time::Time;

/// A path with valid signatures.
#[derive(Clone)]
pub(super) struct Path<'a> {
    /// From the certificate in question to the anchor, both included.
    pub certificates: Vec<&'a Certificate>,
    /// The problems of the path.
    pub problems: Vec<(Sub, Reason)>,
    pub warnings: Vec<Reason>,
}

/// The failure to find a path.
pub(super) struct NoPath<'a> {
    /// The certificate without an issuer, at the end of the longest attempt.
    pub last: &'a Certificate,
    pub reason: Reason,
    /// True if the search was cut off by its limits.
    pub is_incomplete: bool,
}

struct Search<'c, 'a> {
    context: &'c Context<'a>,
    at: Time,
    chain: Vec<&'a Certificate>,
    best: Option<Path<'a>>,
    deepest: usize,
    dead_end: NoPath<'a>,
    /// The number of branches so far, which bounds the search among cross-signed authorities.
    branches: usize,
}

const MAX_BRANCHES: usize = 2_000;

/// Finds the best path for `leaf` at the time `at`, preferably one without problems.
pub(super) fn build<'a>(
    context: &Context<'a>,
    leaf: &'a Certificate,
    at: Time,
) -> Result<Path<'a>, NoPath<'a>> {
    let mut search = Search {
        context,
        at,
        chain: vec![leaf],
        best: None,
        deepest: 0,
        dead_end: NoPath {
            last: leaf,
            reason: Reason::default(),
            is_incomplete: false,
        },
        branches: 0,
    };
    search.extend();
    search.best.ok_or(search.dead_end)
}

impl<'a> Search<'_, 'a> {
    fn extend(&mut self) {
        let Some(&last) = self.chain.last() else {
            return;
        };
        if self.context.is_anchor(last) {
            self.finish();
            return;
        }
        // The anchor is not counted as an intermediate.
        if self.chain.len() > self.context.policy.path_length + 1 {
            let limit = self.context.policy.path_length;
            self.note(
                last,
                reason!("the path has more than {limit} intermediates"),
            );
            return;
        }
        let rank = |candidate: &Certificate| key_id_rank(last, candidate);
        let candidates = self.context.issuers(last, rank);
        if candidates.is_empty() {
            self.note(
                last,
                reason!("no certificate of the issuer {} is available", last.issuer),
            );
            return;
        }
        for &candidate in candidates.iter() {
            let repeated = self.chain.iter().any(|c| {
                *c == candidate
                    || (c.subject.same(&candidate.subject) && c.spki() == candidate.spki())
            });
            if repeated {
                let name = &candidate.subject;
                let reason = reason!("{name} is self-issued and not a trusted root");
                self.note(last, reason);
                continue;
            }
            self.branches += 1;
            let left = self.branches <= MAX_BRANCHES && self.context.branch();
            if !left || self.context.exhausted() {
                self.dead_end.is_incomplete = true;
                self.note(last, reason!("the path search exceeded its limit"));
                return;
            }
            if !self.context.signed_by(last, candidate) {
                self.dead_end.is_incomplete |= self.context.exhausted();
                self.note(
                    last,
                    reason!(
                        "the signature of {} does not verify with the key of {}",
                        last.subject,
                        candidate.subject
                    ),
                );
                continue;
            }
            self.chain.push(candidate);
            self.extend();
            self.chain.pop();
            if self
                .best
                .as_ref()
                .is_some_and(|best| best.problems.is_empty())
            {
                return;
            }
        }
    }

    /// Records the reason for which the search ended here, if no earlier attempt came further up.
    fn note(&mut self, last: &'a Certificate, reason: Reason) {
        if self.chain.len() >= self.deepest {
            self.deepest = self.chain.len();
            self.dead_end.last = last;
            self.dead_end.reason = reason;
        }
    }

    fn finish(&mut self) {
        let path = judge(self.context, &self.chain, self.at);
        // A time-stamp can cure problems of validity periods, so paths with only such problems come first.
        let rank = |path: &Path<'_>| {
            let other = path
                .problems
                .iter()
                .filter(|(sub, _)| *sub != Sub::OutOfBoundsNoPoe);
            (other.count(), path.problems.len())
        };
        if self
            .best
            .as_ref()
            .is_none_or(|best| rank(&path) < rank(best))
        {
            self.best = Some(path);
        }
    }
}

/// 0 if the key ids match, 1 if one is missing, 2 if they differ.
fn key_id_rank(child: &Certificate, issuer: &Certificate) -> u8 {
    let Some(wanted) = &child.extensions.authority_key_id else {
        return 1;
    };
    if let (Some(wanted), Some(own)) = (&wanted.key, &issuer.extensions.subject_key_id) {
        return if wanted == own { 0 } else { 2 };
    }
    let Some(serial) = &wanted.serial else {
        return 1;
    };
    let issuer_named = wanted.issuer.iter().any(|name| match name {
        GeneralName::Directory(name) => name.same(&issuer.issuer),
        _ => false,
    });
    if *serial == issuer.serial && issuer_named {
        0
    } else {
        2
    }
}

fn judge<'a>(context: &Context<'a>, chain: &[&'a Certificate], at: Time) -> Path<'a> {
    let mut path = Path {
        certificates: chain.to_vec(),
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    let length = chain.len();
    for (index, certificate) in chain.iter().enumerate() {
        let anchor = index + 1 == length;
        judge_validity(certificate, index == 0, at, &mut path);
        if index > 0 {
            judge_authority(certificate, &chain[1..index], anchor, &mut path);
        }
        if !anchor {
            let issuer = chain[index + 1];
            judge_algorithms(context, certificate, issuer, at, &mut path);
            if key_id_rank(certificate, issuer) == 2 {
                let name = &certificate.subject;
                path.warnings
                    .push(reason!("the key ids of {name} and of its issuer differ"));
            }
        }
        if index > 0 {
            judge_key(context, certificate, &mut path);
        }
        for unknown in &certificate.extensions.unknown_critical {
            let name = &certificate.subject;
            let reason = reason!("{name} has an unknown critical extension: {unknown}");
            path.problems
                .push((Sub::CertificateChainGeneralFailure, reason));
        }
    }
    for reason in name_violations(chain) {
        rule(context.policy.name_constraints, reason, &mut path);
    }
    if let Some(reason) = policy_tree::violation(chain) {
        rule(context.policy.certificate_policies, reason, &mut path);
    }
    path
}

/// Checks the key of an authority. The signer's key is checked with the signature.
fn judge_key(context: &Context<'_>, certificate: &Certificate, path: &mut Path<'_>) {
    let Ok(key @ PublicKey::Rsa { .. }) = certificate.public_key() else {
        return;
    };
    let name = &certificate.subject;
    if key.bits() < context.policy.rsa_bits {
        let reason = reason!("the RSA key of {name} is too short");
        path.problems.push((Sub::CryptoConstraintsFailure, reason));
    }
    if let Some(exponent) = key.small_exponent() {
        let reason = reason!("the RSA exponent of {name} is {exponent}, smaller than 65537");
        match context.policy.small_rsa_exponent {
            Severity::Fail => path.problems.push((Sub::CryptoConstraintsFailure, reason)),
            Severity::Warn => path.warnings.push(reason),
            Severity::Ignore => {}
        }
    }
}

fn rule(severity: Severity, reason: Reason, path: &mut Path<'_>) {
    match severity {
        Severity::Fail => path.problems.push((Sub::ChainConstraintsFailure, reason)),
        Severity::Warn => path.warnings.push(reason),
        Severity::Ignore => {}
    }
}

fn judge_validity(certificate: &Certificate, leaf: bool, at: Time, path: &mut Path<'_>) {
    let name = &certificate.subject;
    if at > certificate.not_after {
        let reason = reason!("{name} expired at {}, before {at}", certificate.not_after);
        path.problems.push((Sub::OutOfBoundsNoPoe, reason));
    }
    if at < certificate.not_before {
        let sub = if leaf {
            Sub::NotYetValid
        } else {
            Sub::CertificateChainGeneralFailure
        };
        let reason = reason!(
            "{name} is valid from {} only, after {at}",
            certificate.not_before
        );
        path.problems.push((sub, reason));
    }
}

/// Checks that this certificate may issue others. `below` are the certificates between it and the leaf.
fn judge_authority(
    certificate: &Certificate,
    below: &[&Certificate],
    anchor: bool,
    path: &mut Path<'_>,
) {
    let name = &certificate.subject;
    let mut problem = |reason: Reason| {
        path.problems
            .push((Sub::CertificateChainGeneralFailure, reason));
    };
    // An anchor of version 1 has no extensions that mark it as an authority. Being pinned is enough.
    if !(certificate.is_ca() || anchor && certificate.version == 1) {
        problem(reason!("{name} is not a certification authority"));
    }
    if certificate
        .extensions
        .key_usage
        .is_some_and(|usage| !usage.cert_sign())
    {
        problem(reason!(
            "the key usage of {name} does not allow signing certificates"
        ));
    }
    let limit = certificate
        .extensions
        .basic_constraints
        .and_then(|b| b.path_length);
    let used = below.iter().filter(|c| !c.self_issued()).count();
    if let Some(limit) = limit
        && used as u64 > limit
    {
        problem(reason!(
            "{name} allows {limit} authorities below it, and the path has {used}"
        ));
    }
}

fn judge_algorithms(
    context: &Context<'_>,
    certificate: &Certificate,
    issuer: &Certificate,
    at: Time,
    path: &mut Path<'_>,
) {
    let Ok(key) = issuer.public_key() else {
        return;
    };
    let scheme = Scheme::resolve(&certificate.signature_algorithm, None, &key);
    let Some(hash) = scheme.ok().and_then(Scheme::hash) else {
        return;
    };
    if context.policy.accepts_hash(hash, at) {
        return;
    }
    let sub = if context.policy.once_accepted(hash) {
        Sub::CryptoConstraintsFailureNoPoe
    } else {
        Sub::CryptoConstraintsFailure
    };
    let reason = reason!("{} is signed with {}", certificate.subject, hash.name());
    path.problems.push((sub, reason));
}

/// Violations of name constraints (RFC 5280 §4.2.1.10). The constraints of each authority apply to every certificate
/// below it.
fn name_violations(chain: &[&Certificate]) -> Vec<Reason> {
    let mut violations = Vec::new();
    for (index, authority) in chain.iter().enumerate().skip(1) {
        let Some(constraints) = &authority.extensions.name_constraints else {
            continue;
        };
        for (below, certificate) in chain[..index].iter().enumerate() {
            if below > 0 && certificate.self_issued() {
                continue;
            }
            for name in names(certificate) {
                let verdicts = |list: &[GeneralName]| -> Vec<bool> {
                    list.iter().filter_map(|base| name.within(base)).collect()
                };
                let permitted = verdicts(&constraints.permitted);
                let outside = !permitted.is_empty() && !permitted.contains(&true);
                let unknown = matches!(name, GeneralName::Other(_));
                let excluded = verdicts(&constraints.excluded);
                if outside || excluded.contains(&true) || (unknown && !excluded.is_empty()) {
                    violations.push(reason!(
                        "the names of {} violate the name constraints of {}",
                        certificate.subject,
                        authority.subject
                    ));
                    break;
                }
            }
        }
    }
    violations
}

/// All names of a certificate. E-mail attributes of the subject count as e-mail names.
fn names(certificate: &Certificate) -> Vec<GeneralName> {
    let mut names = certificate.extensions.subject_alt_names.clone();
    if !certificate.subject.is_empty() {
        names.push(GeneralName::Directory(certificate.subject.clone()));
    }
    let emails = certificate.subject.values(oid::EMAIL);
    names.extend(emails.map(|email| GeneralName::Email(email.to_owned())));
    names
}
