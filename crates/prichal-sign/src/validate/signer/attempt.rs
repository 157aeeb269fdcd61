//! Steps 8 and 10: the signature value with the key of one candidate certificate.

use super::Subject;
use crate::certificate::Certificate;
use crate::hash::Hash;
use crate::key::{KeyError, PublicKey};
use crate::reason::{Reason, reason};
use crate::report::SubIndication as Sub;
use crate::scheme::{Scheme, SchemeError};
use crate::validate::context::Context;
use crate::validate::log::Log;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Valid over the bytes as received.
    AsReceived,
    /// Valid only over the attributes in DER order.
    Reordered,
    Wrong,
    /// There is no message to verify.
    NoMessage,
    /// The key, the identifiers or the budget do not allow a verification.
    Impossible(Sub, Reason),
}

impl Outcome {
    fn exhausted() -> Self {
        let reason = reason!("the number of keys and signatures exceeds the limit");
        Self::Impossible(Sub::PolicyProcessingError, reason)
    }
}

pub(super) struct Attempt<'a> {
    pub certificate: &'a Certificate,
    pub key: Option<PublicKey>,
    pub scheme: Option<Scheme>,
    pub outcome: Outcome,
}

impl<'a> Attempt<'a> {
    pub(super) fn of(
        context: &Context<'a>,
        subject: &Subject<'_>,
        digest: Option<Hash>,
        certificate: &'a Certificate,
    ) -> Self {
        let mut attempt = Self {
            certificate,
            key: None,
            scheme: None,
            outcome: Outcome::Wrong,
        };
        let signer = subject.signer;
        if !context.spend(1) {
            attempt.outcome = Outcome::exhausted();
            return attempt;
        }
        let key = match certificate.public_key() {
            Ok(key) => key,
            Err(error) => {
                attempt.outcome = Outcome::Impossible(key_failure(&error), Reason::from(&error));
                return attempt;
            }
        };
        if !context.spend(key.cost() - 1) {
            attempt.outcome = Outcome::exhausted();
            return attempt;
        }
        // With Ed25519 the digest of the attributes is independent of the scheme (RFC 8419 §3).
        let beside = digest.filter(|_| !matches!(key, PublicKey::Ed25519(_)));
        let scheme = match Scheme::resolve(&signer.signature_algorithm, beside, &key) {
            Ok(scheme) => scheme,
            Err(error) => {
                attempt.outcome = Outcome::Impossible(scheme_failure(&error), Reason::from(&error));
                attempt.key = Some(key);
                return attempt;
            }
        };
        let verify = |message: &[u8]| match scheme.hash() {
            Some(hash) => {
                scheme.verify_digest(&key, &context.digest(hash, message), &signer.signature)
            }
            None => scheme.verify(&key, message, &signer.signature),
        };
        attempt.outcome = match (&signer.signed, subject.content) {
            (Some(signed), _) => {
                let received = signed.as_received();
                if verify(&received) {
                    Outcome::AsReceived
                } else {
                    match signed.as_der() {
                        Ok(der) if der != received && verify(&der) => Outcome::Reordered,
                        _ => Outcome::Wrong,
                    }
                }
            }
            (None, Some(content)) if verify(content) => Outcome::AsReceived,
            (None, Some(_)) => Outcome::Wrong,
            (None, None) => Outcome::NoMessage,
        };
        attempt.key = Some(key);
        attempt.scheme = Some(scheme);
        attempt
    }

    pub(super) fn report(&self, context: &Context<'_>, subject: &Subject<'_>, log: &mut Log) {
        let name = self.scheme.map(Scheme::name).unwrap_or_default();
        match &self.outcome {
            Outcome::AsReceived => {
                log.pass(8, reason!("valid: {name}"));
                let signed = subject.signer.signed.as_ref();
                if signed.is_some_and(|s| s.as_der().is_ok_and(|der| der != s.as_received())) {
                    log.rule(
                        context.policy.structure,
                        8,
                        Sub::FormatFailure,
                        reason!("the signed attributes are not in DER"),
                    );
                }
            }
            Outcome::Reordered => log.rule(
                context.policy.structure,
                8,
                Sub::FormatFailure,
                reason!("valid only over the signed attributes in DER order, not as received"),
            ),
            Outcome::Wrong => {
                log.fail(
                    8,
                    Sub::SigCryptoFailure,
                    reason!("the signature value is invalid: {name}"),
                );
            }
            Outcome::NoMessage => log.skip(8, reason!("there is no content to verify")),
            Outcome::Impossible(sub, reason) => {
                log.fail(10, *sub, reason.clone());
                log.skip(8, reason!("the algorithms do not allow a verification"));
            }
        }
        if let (Some(scheme), Some(key)) = (self.scheme, &self.key) {
            log.pass(10, reason!("{}, key {}", scheme.name(), key.name()));
        }
    }
}

/// An unknown algorithm leaves the verdict open; a contradiction is a failure.
fn key_failure(error: &KeyError) -> Sub {
    match error {
        KeyError::Unknown(_)
        | KeyError::UnknownCurve(_)
        | KeyError::ModulusSize(_)
        | KeyError::Exponent
        | KeyError::ExponentSize(_) => Sub::CryptoConstraintsFailure,
        KeyError::Malformed | KeyError::NotOnCurve => Sub::SigCryptoFailure,
    }
}

fn scheme_failure(error: &SchemeError) -> Sub {
    match error {
        SchemeError::Unknown(_) | SchemeError::NoDigest(_) | SchemeError::Pss(_) => {
            Sub::CryptoConstraintsFailure
        }
        SchemeError::Key { .. } | SchemeError::Digest { .. } => Sub::SigCryptoFailure,
    }
}
