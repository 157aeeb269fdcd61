//! Steps 5, 6, 7, 9 and a part of step 10: the signed attributes.

use super::{Kind, Subject};
use crate::cms::SignerInfo;
use crate::cms::attribute;
use crate::der::{Reader, tag};
use crate::hash::Hash;
use crate::oid::{self, Oid};
use crate::reason::{plural, reason};
use crate::report::SubIndication as Sub;
use crate::validate::context::Context;
use crate::validate::log::Log;
use subtle::ConstantTimeEq;

/// The attributes that must be signed (RFC 5652 §11 and RFC 5035 §3).
const ONLY_SIGNED: [&str; 5] = [
    oid::CONTENT_TYPE,
    oid::MESSAGE_DIGEST,
    oid::SIGNING_TIME,
    oid::SIGNING_CERTIFICATE,
    oid::SIGNING_CERTIFICATE_V2,
];

/// Step 5: checks that the required attributes are signed and occur once with one value.
pub(super) fn check_attributes(context: &Context<'_>, subject: &Subject<'_>, log: &mut Log) {
    let signer = subject.signer;
    for attribute in &signer.unsigned {
        if ONLY_SIGNED.contains(&attribute.oid.as_str()) {
            let reason = reason!("the attribute {} is not signed", attribute.oid);
            log.rule(context.policy.structure, 5, Sub::FormatFailure, reason);
        }
    }
    let Some(signed) = &signer.signed else {
        if *subject.content_type != oid::DATA && subject.kind != Kind::CounterSignature {
            log.fail(
                5,
                Sub::FormatFailure,
                reason!("signed attributes are required for content other than id-data"),
            );
        } else {
            let severity = context.policy.no_signed_attributes;
            log.rule(
                severity,
                5,
                Sub::FormatFailure,
                reason!("there are no signed attributes"),
            );
        }
        return;
    };
    for kind in ONLY_SIGNED.into_iter().chain([oid::ALGORITHM_PROTECTION]) {
        let mut found = signed.list.iter().filter(|a| a.oid == kind);
        let Some(first) = found.next() else { continue };
        if found.next().is_some() {
            log.fail(
                5,
                Sub::FormatFailure,
                reason!("the attribute {kind} occurs twice"),
            );
        } else if first.count != 1 {
            let count = first.count;
            log.fail(
                5,
                Sub::FormatFailure,
                reason!("the attribute {kind} has {count} values"),
            );
        }
    }
    let present = |kind: &str| signed.list.iter().any(|a| a.oid == kind);
    if !present(oid::MESSAGE_DIGEST) {
        log.fail(
            5,
            Sub::FormatFailure,
            reason!("the message digest attribute is missing"),
        );
    }
    // RFC 5652 §11.1 and §11.4: required, but forbidden in counter-signatures.
    match (present(oid::CONTENT_TYPE), subject.kind) {
        (false, Kind::Document | Kind::TimeStamp) => {
            log.fail(
                5,
                Sub::FormatFailure,
                reason!("the content type attribute is missing"),
            );
        }
        (true, Kind::CounterSignature) => {
            log.fail(
                5,
                Sub::FormatFailure,
                reason!("a counter-signature has a content type attribute"),
            );
        }
        _ => {}
    }
    // Only the caller's policy is applied. The signer's policy is reported.
    if present(oid::SIGNATURE_POLICY) {
        log.warn(
            5,
            reason!("the signature policy that the signer names is not applied"),
        );
    }
    if !log.failed(5) {
        let count = signed.list.len();
        log.pass(
            5,
            plural!(count, "1 signed attribute", "{count} signed attributes"),
        );
    }
}

/// Step 6: compares the content type attribute with the type of the content.
pub(super) fn check_content_type(subject: &Subject<'_>, log: &mut Log) {
    let Some(value) = subject.signer.signed_values(oid::CONTENT_TYPE).next() else {
        log.skip(6, reason!("there is no content type attribute"));
        return;
    };
    let mut reader = Reader::new(value);
    let named = reader
        .expect(tag::OID, "")
        .and_then(|e| Oid::from_content(e.content));
    match named {
        Ok(named) if named == *subject.content_type => log.pass(6, reason!("{named}")),
        Ok(named) => log.fail(
            6,
            Sub::FormatFailure,
            reason!(
                "the attribute is {named}, the content type is {}",
                subject.content_type
            ),
        ),
        Err(_) => log.fail(
            6,
            Sub::FormatFailure,
            reason!("the content type attribute is malformed"),
        ),
    }
}

/// Step 7: compares the message digest attribute with the digest of the content.
pub(super) fn check_message_digest(
    context: &Context<'_>,
    subject: &Subject<'_>,
    digest: Option<Hash>,
    log: &mut Log,
) {
    let Some(value) = subject.signer.signed_values(oid::MESSAGE_DIGEST).next() else {
        log.skip(7, reason!("there is no message digest attribute"));
        return;
    };
    let Some(hash) = digest else {
        let algorithm = &subject.signer.digest_algorithm.oid;
        log.fail(
            7,
            Sub::CryptoConstraintsFailure,
            reason!("the digest algorithm {algorithm} is unknown"),
        );
        return;
    };
    let Some(content) = subject.content else {
        log.skip(7, reason!("there is no content"));
        return;
    };
    let Ok(stated) = Reader::new(value).octet_string("the message digest") else {
        log.fail(
            7,
            Sub::FormatFailure,
            reason!("the message digest attribute is malformed"),
        );
        return;
    };
    if bool::from(context.digest(hash, content).ct_eq(&stated)) {
        let (hash, size) = (hash.name(), content.len());
        log.pass(
            7,
            plural!(size, "{hash} of 1 byte", "{hash} of {size} bytes"),
        );
    } else {
        log.fail(
            7,
            Sub::HashFailure,
            reason!(
                "the {} of the content differs from the signed digest",
                hash.name()
            ),
        );
    }
}

/// Step 9: refuses content that can be confused with signed attributes.
pub(super) fn check_confusion(subject: &Subject<'_>, log: &mut Log) {
    if subject.signer.signed.is_some() {
        log.pass(9, reason!("the signature is over signed attributes"));
    } else if subject
        .content
        .is_some_and(attribute::looks_like_attributes)
    {
        log.fail(
            9,
            Sub::FormatFailure,
            reason!("the content is a set of signed attributes, and the signature has no signed attributes"),
        );
    } else {
        log.pass(9, reason!("the content is not a set of signed attributes"));
    }
}

/// Step 10: compares cmsAlgorithmProtection with the algorithms of the signer (RFC 6211 §3).
pub(super) fn check_protection(signer: &SignerInfo, log: &mut Log) {
    let Some(value) = signer.signed_values(oid::ALGORITHM_PROTECTION).next() else {
        return;
    };
    let agrees = attribute::algorithm_protection(value).is_ok_and(|(digest, signature)| {
        digest.same(&signer.digest_algorithm)
            && signature.is_some_and(|s| s.same(&signer.signature_algorithm))
    });
    if agrees {
        log.pass(10, reason!("cmsAlgorithmProtection matches"));
    } else {
        log.fail(
            10,
            Sub::SigCryptoFailure,
            reason!("cmsAlgorithmProtection differs from the algorithms of the signer"),
        );
    }
}
