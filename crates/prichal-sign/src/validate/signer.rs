//! Steps 4 to 11: one `SignerInfo` against its content. The same rules apply to documents, time-stamp tokens and
//! counter-signatures.

mod attempt;
mod attribute;
mod certificate_id;

use super::context::Context;
use super::log::Log;
use crate::certificate::Certificate;
use crate::cms::attribute::signing_time;
use crate::cms::{SignerId, SignerInfo};
use crate::hash::Hash;
use crate::key::PublicKey;
use crate::oid::{self, Oid};
use crate::reason::reason;
use crate::report::SubIndication as Sub;
use crate::scheme::Scheme;
use crate::time::Time;
use attempt::{Attempt, Outcome};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Document,
    TimeStamp,
    CounterSignature,
}

/// The signature to check.
pub(super) struct Subject<'a> {
    pub kind: Kind,
    pub signer: &'a SignerInfo,
    pub content_type: &'a Oid,
    /// `None` if the content is missing, which was reported before.
    pub content: Option<&'a [u8]>,
}

/// The results that later steps use.
pub(super) struct Checked<'a> {
    pub certificate: &'a Certificate,
    pub algorithm: Option<String>,
    /// The hashes that the strength of the signature depends on.
    pub hashes: Vec<Hash>,
    pub rsa_bits: Option<usize>,
    /// An RSA exponent below 65537.
    pub small_exponent: Option<u64>,
    pub signing_time: Option<Time>,
}

/// Runs steps 4 to 11 except for the strength of the algorithms, which depends on the best signature time. Returns
/// None if the signer's certificate is not available.
pub(super) fn check<'a>(
    context: &Context<'a>,
    subject: &Subject<'_>,
    log: &mut Log,
) -> Option<Checked<'a>> {
    let signer = subject.signer;
    attribute::check_attributes(context, subject, log);
    attribute::check_content_type(subject, log);
    let digest = Hash::from_algorithm(&signer.digest_algorithm);
    attribute::check_message_digest(context, subject, digest, log);
    attribute::check_confusion(subject, log);

    let mut candidates: Vec<&'a Certificate> = context
        .all()
        .filter(|certificate| signer.id.matches(certificate))
        .collect();
    if candidates.is_empty() {
        let wanted = match &signer.id {
            SignerId::IssuerAndSerial { issuer, serial } => {
                reason!(
                    "issuer {issuer}, serial {}",
                    crate::certificate::hex(serial)
                )
            }
            SignerId::KeyId(id) => reason!("subject key id {}", crate::certificate::hex(id)),
        };
        log.fail(
            4,
            Sub::NoSigningCertificateFound,
            reason!("no certificate with {wanted} is embedded or given"),
        );
        context.need_signer(wanted.as_str());
        for step in [8, 10, 11] {
            log.skip(step, reason!("the signer's certificate was not found"));
        }
        return None;
    }

    // The certificate that the signer named comes first, because others may have the same key and serial number.
    candidates.sort_by_key(|certificate| !certificate_id::means(signer, certificate));
    let mut attempts: Vec<Attempt<'a>> = Vec::new();
    for certificate in candidates {
        let attempt = Attempt::of(context, subject, digest, certificate);
        let right = attempt.outcome == Outcome::AsReceived;
        attempts.push(attempt);
        if right {
            break;
        }
    }
    let attempt = attempts
        .iter()
        .find(|a| a.outcome == Outcome::AsReceived)
        .or_else(|| attempts.iter().find(|a| a.outcome == Outcome::Reordered))
        .or_else(|| attempts.first())?;
    let certificate = attempt.certificate;
    log.pass(
        4,
        reason!(
            "{} (serial {})",
            certificate.subject,
            certificate.serial_hex()
        ),
    );
    attempt.report(context, subject, log);
    attribute::check_protection(signer, log);
    certificate_id::check(context, subject, certificate, log);

    let scheme_hash = attempt.scheme.and_then(Scheme::hash);
    let mut hashes: Vec<Hash> = digest.into_iter().chain(scheme_hash).collect();
    hashes.dedup();
    Some(Checked {
        certificate,
        algorithm: attempt.scheme.map(Scheme::name),
        hashes,
        rsa_bits: match &attempt.key {
            Some(key @ PublicKey::Rsa { .. }) => Some(key.bits()),
            _ => None,
        },
        small_exponent: attempt.key.as_ref().and_then(PublicKey::small_exponent),
        signing_time: signer
            .signed_values(oid::SIGNING_TIME)
            .next()
            .and_then(|value| signing_time(value).ok()),
    })
}

/// The second half of step 10: the strength of the algorithms at the proven time of the signature.
pub(super) fn check_strength(
    context: &Context<'_>,
    checked: &Checked<'_>,
    accepts: impl Fn(Hash) -> bool,
    log: &mut Log,
) {
    let policy = context.policy;
    for hash in &checked.hashes {
        if accepts(*hash) {
            continue;
        }
        let name = hash.name();
        if policy.once_accepted(*hash) {
            log.fail(
                10,
                Sub::CryptoConstraintsFailureNoPoe,
                reason!("{name} is accepted only with an earlier proof of existence"),
            );
        } else {
            log.fail(
                10,
                Sub::CryptoConstraintsFailure,
                reason!("{name} is not accepted"),
            );
        }
    }
    if let Some(bits) = checked.rsa_bits
        && bits < policy.rsa_bits
    {
        log.fail(
            10,
            Sub::CryptoConstraintsFailure,
            reason!(
                "the RSA key has {bits} bits, fewer than {}",
                policy.rsa_bits
            ),
        );
    }
    if let Some(exponent) = checked.small_exponent {
        log.rule(
            policy.small_rsa_exponent,
            10,
            Sub::CryptoConstraintsFailure,
            reason!("the RSA exponent is {exponent}, smaller than 65537"),
        );
    }
}
