//! Step 11: the attribute that names the signing certificate (RFC 5035 §2).

use super::{Kind, Subject};
use crate::certificate::Certificate;
use crate::cms::SignerInfo;
use crate::cms::attribute::{self, CertificateId};
use crate::hash::Hash;
use crate::oid;
use crate::policy::Severity;
use crate::reason::reason;
use crate::report::SubIndication as Sub;
use crate::validate::context::Context;
use crate::validate::log::Log;
use subtle::ConstantTimeEq;

/// True if an attribute of either version names this certificate.
pub(super) fn means(signer: &SignerInfo, certificate: &Certificate) -> bool {
    let attributes = [
        (oid::SIGNING_CERTIFICATE_V2, 2),
        (oid::SIGNING_CERTIFICATE, 1),
    ];
    attributes.iter().any(|(kind, version)| {
        let value = signer.signed_values(kind).next();
        let ids = value.and_then(|value| attribute::certificate_ids(value, *version).ok());
        let first = ids.as_ref().and_then(|ids| ids.first());
        first.is_some_and(|id| {
            hash_of(id, *version).is_some_and(|hash| hash.digest(certificate.raw()) == id.digest)
        })
    })
}

/// The hash of an id: the named one, or the default of its version.
fn hash_of(id: &CertificateId, version: u8) -> Option<Hash> {
    match (&id.hash, version) {
        (Some(algorithm), _) => Hash::from_algorithm(algorithm),
        (None, 1) => Some(Hash::Sha1),
        (None, _) => Some(Hash::Sha256),
    }
}

/// Checks that the first id of each such attribute names this certificate.
pub(super) fn check(
    context: &Context<'_>,
    subject: &Subject<'_>,
    certificate: &Certificate,
    log: &mut Log,
) {
    let signer = subject.signer;
    let mut found = false;
    for (kind, version) in [
        (oid::SIGNING_CERTIFICATE_V2, 2),
        (oid::SIGNING_CERTIFICATE, 1),
    ] {
        let Some(value) = signer.signed_values(kind).next() else {
            continue;
        };
        found = true;
        let Ok(ids) = attribute::certificate_ids(value, version) else {
            log.fail(
                11,
                Sub::FormatFailure,
                reason!("the signing certificate attribute is malformed"),
            );
            continue;
        };
        match ids.first() {
            Some(id) => check_certificate_id(id, version, certificate, log),
            None => log.fail(
                11,
                Sub::FormatFailure,
                reason!("the signing certificate attribute is empty"),
            ),
        }
    }
    if found {
        return;
    }
    // RFC 3161 §2.4.2 requires the attribute in time-stamps.
    let severity = match subject.kind {
        Kind::Document => context.policy.no_signing_certificate,
        Kind::TimeStamp => Severity::Fail,
        Kind::CounterSignature => Severity::Warn,
    };
    let reason = reason!("there is no signing certificate attribute");
    log.rule(severity, 11, Sub::SigConstraintsFailure, reason);
}

fn check_certificate_id(id: &CertificateId, version: u8, certificate: &Certificate, log: &mut Log) {
    let Some(hash) = hash_of(id, version) else {
        let reason = reason!("the hash of the signing certificate attribute is unknown");
        log.fail(11, Sub::CryptoConstraintsFailure, reason);
        return;
    };
    if !bool::from(hash.digest(certificate.raw()).ct_eq(&id.digest)) {
        log.fail(
            11,
            Sub::NoSigningCertificateFound,
            reason!("the signing certificate attribute names another certificate"),
        );
    } else if !id.issuer_serial_matches(certificate) {
        log.fail(
            11,
            Sub::NoSigningCertificateFound,
            reason!("the signing certificate attribute names another issuer or serial number"),
        );
    } else if matches!(hash, Hash::Md5 | Hash::Sha1) {
        log.warn(
            11,
            reason!("the certificate is named by its {} only", hash.name()),
        );
    } else {
        log.pass(11, reason!("{} of the certificate matches", hash.name()));
    }
}
