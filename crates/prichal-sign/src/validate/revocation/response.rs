//! OCSP responses: acceptance and statements (RFC 6960 §3.2).

use super::{Kind, Statement, accept_hash, is_listed};
use crate::certificate::Certificate;
use crate::der::write;
use crate::hash::Hash;
use crate::ocsp::{Ocsp, Responder, Status};
use crate::oid;
use crate::reason::{Reason, reason};
use crate::validate::context::{Context, Source};

/// The response's statement on the certificate. None if it is about other certificates.
pub(super) fn statement<'a>(
    context: &Context<'a>,
    source: &Source<'a>,
    ocsp: &'a Ocsp,
    certificate: &Certificate,
    issuer: &'a Certificate,
) -> Result<Option<Statement>, Reason> {
    let Some(answer) = ocsp.answer(certificate, issuer) else {
        return Ok(None);
    };
    if let Some(asked) = source.nonce {
        let given = ocsp.nonce.as_deref();
        if given != Some(asked) && given != Some(&write::octets(asked)) {
            return Err(reason!("its nonce differs from that of the request"));
        }
    }
    let latest = context.at.plus(context.policy.clock_skew);
    if answer.this_update > latest || ocsp.produced_at > latest {
        return Err(reason!("its thisUpdate is in the future"));
    }
    let responder = responder(context, ocsp, issuer)?;
    accept_hash(
        context,
        responder,
        &ocsp.signature_algorithm,
        answer.this_update,
    )?;
    let revocation = match answer.status {
        Status::Good => None,
        Status::Revoked(revocation) => Some(revocation),
        Status::Unknown => return Err(reason!("the responder does not know the certificate")),
    };
    Ok(Some(Statement {
        label: ocsp.label(),
        embedded: source.embedded,
        this_update: answer.this_update,
        next_update: answer.next_update,
        revocation,
        kind: Kind::Response,
        partial: false,
        keeps_expired_since: answer.archive_cutoff,
    }))
}

/// The certificate that signed the response: the issuer's own, or that of an authorised responder (RFC 6960
/// §4.2.2.2).
fn responder<'a>(
    context: &Context<'a>,
    ocsp: &'a Ocsp,
    issuer: &'a Certificate,
) -> Result<&'a Certificate, Reason> {
    let named = |certificate: &Certificate| match &ocsp.responder {
        Responder::Name(name) => name.same(&certificate.subject),
        Responder::KeyHash(hash) => *hash == Hash::Sha1.digest(&certificate.key_bits),
    };
    if named(issuer) && context.signed_by(ocsp, issuer) {
        return Ok(issuer);
    }
    let mut reason = reason!("its responder's certificate is not available");
    let candidates = ocsp
        .certificates
        .iter()
        .chain(context.certificates.iter().copied());
    for candidate in candidates.take_while(|_| context.responder()) {
        if !named(candidate) {
            continue;
        }
        match accept_responder(context, ocsp, candidate, issuer) {
            Ok(()) => return Ok(candidate),
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

fn accept_responder<'a>(
    context: &Context<'a>,
    ocsp: &'a Ocsp,
    candidate: &'a Certificate,
    issuer: &'a Certificate,
) -> Result<(), Reason> {
    let extensions = &candidate.extensions;
    let purposes = extensions
        .extended_key_usage
        .as_ref()
        .map(|usage| &usage.purposes);
    let delegated = purposes.is_some_and(|p| p.iter().any(|p| p.as_str() == oid::KP_OCSP_SIGNING));
    if !candidate.issuer.same(&issuer.subject) || !context.signed_by(candidate, issuer) {
        return Err(reason!(
            "its responder's certificate is from another issuer"
        ));
    }
    if !delegated {
        return Err(reason!("its signer is not an authorized responder"));
    }
    if !extensions.unknown_critical.is_empty() {
        return Err(reason!(
            "its responder's certificate has an unknown critical extension"
        ));
    }
    if extensions
        .key_usage
        .is_some_and(|u| !u.digital_signature() && !u.non_repudiation())
    {
        return Err(reason!(
            "the key usage of its responder does not allow signing"
        ));
    }
    if ocsp.produced_at < candidate.not_before || ocsp.produced_at > candidate.not_after {
        return Err(reason!(
            "its responder's certificate was not valid at that time"
        ));
    }
    if !context.signed_by(ocsp, candidate) {
        return Err(reason!("its signature is invalid"));
    }
    if !extensions.ocsp_no_check && is_listed(context, candidate, issuer, ocsp.produced_at) {
        return Err(reason!("its responder's certificate is revoked"));
    }
    Ok(())
}
