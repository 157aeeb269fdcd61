//! Revocation lists: acceptance and statements (RFC 5280 §6.3.3).

use super::{Kind, Outcome, Statement, accept_hash, is_listed};
use crate::certificate::Certificate;
use crate::certificate::extension::KeyUsage;
use crate::crl::{Crl, Revocation};
use crate::reason::{Reason, reason};
use crate::validate::context::Context;

/// Checks that the list covers the certificate and is signed by its issuer (RFC 5280 §6.3.3).
pub(super) fn accept<'a>(
    context: &Context<'a>,
    crl: &'a Crl,
    certificate: &Certificate,
    issuers: &[&'a Certificate],
) -> Result<(), Reason> {
    if crl.this_update > context.at.plus(context.policy.clock_skew) {
        return Err(reason!("its thisUpdate is in the future"));
    }
    if let Some(unknown) = crl.unknown_critical.first() {
        return Err(reason!("it has an unknown critical extension: {unknown}"));
    }
    if let Some(point) = &crl.point {
        let ca = certificate.is_ca();
        if point.indirect {
            return Err(reason!("it is an indirect list"));
        }
        if point.only_attributes || (point.only_users && ca) || (point.only_cas && !ca) {
            return Err(reason!("it is for other types of certificates"));
        }
        let points = &certificate.extensions.crl_points;
        let names = || {
            points
                .iter()
                .chain(&certificate.extensions.freshest_crl)
                .flat_map(|p| &p.names)
        };
        let shared = names().any(|name| point.point.names.contains(name));
        // A certificate without a distribution point is not covered by a list with a named one (RFC 5280 §6.3.3 b.2).
        if point.named && !shared {
            return Err(reason!("it is for another distribution point"));
        }
    }
    let signer =
        signer_of(context, crl, issuers).ok_or_else(|| reason!("its signature is invalid"))?;
    if signer
        .extensions
        .key_usage
        .is_some_and(|usage| !usage.crl_sign())
    {
        return Err(reason!("the key of {} may not sign lists", signer.subject));
    }
    accept_hash(context, signer, &crl.signature_algorithm, crl.this_update)
}

/// The key that signed the list: the issuer's own key, or another key of the same name below the same anchor.
/// Authorities change keys, and some have separate keys for lists. The same name under another anchor is another
/// authority.
fn signer_of<'a>(
    context: &Context<'a>,
    crl: &'a Crl,
    issuers: &[&'a Certificate],
) -> Option<&'a Certificate> {
    let issuer = *issuers.first()?;
    if context.signed_by(crl, issuer) {
        return Some(issuer);
    }
    let own_name = |authority: &&&Certificate| authority.subject.same(&issuer.subject);
    // The issuer, with older keys of the same name that certified its key, and the authorities above it.
    let own_keys = issuers.iter().take_while(own_name).count();
    let vouched = |candidate: &'a Certificate| {
        let mut above = issuers.iter().take(own_keys + 1);
        above.any(|authority| {
            context.signed_by(candidate, authority)
                && !is_listed(context, candidate, authority, crl.this_update)
        })
    };
    let may_sign = |candidate: &Certificate| {
        let usage = candidate.extensions.key_usage;
        let valid_then =
            candidate.not_before <= crl.this_update && crl.this_update <= candidate.not_after;
        valid_then && (candidate.is_ca() || usage.is_some_and(KeyUsage::crl_sign))
    };
    let same_name = |candidate: &&Certificate| {
        candidate.subject.same(&issuer.subject) && *candidate != issuer && may_sign(candidate)
    };
    let mut others = context.all().filter(same_name);
    // A long list is hashed only for keys that are acceptable.
    others.find(|candidate| vouched(candidate) && context.signed_by(crl, candidate))
}

pub(super) fn statement(crl: &Crl, embedded: bool, revocation: Option<Revocation>) -> Statement {
    Statement {
        label: crl.label(),
        embedded,
        this_update: crl.this_update,
        next_update: crl.next_update,
        revocation,
        kind: if crl.delta_base.is_some() {
            Kind::Delta
        } else {
            Kind::List
        },
        partial: crl.point.as_ref().is_some_and(|p| p.some_reasons),
        keeps_expired_since: crl.expired_since,
    }
}

/// Adds the statements of a full list, alone and with each delta that extends it.
pub(super) fn add_statements(
    base: &Crl,
    embedded: bool,
    deltas: &[(&Crl, bool)],
    certificate: &Certificate,
    statements: &mut Vec<Statement>,
    outcome: &mut Outcome,
) {
    let found = match base.find(&certificate.serial) {
        Ok(found) => found,
        Err(error) => {
            outcome.refused.push(reason!("{}: {error}", base.label()));
            return;
        }
    };
    statements.push(statement(base, embedded, found));
    for (delta, delta_embedded) in deltas {
        // RFC 5280 §5.2.4: the base is not older than the one named by the delta, the delta is newer, and both have
        // the same scope.
        let (Some(number), Some(newer), Some(least)) =
            (&base.number, &delta.number, &delta.delta_base)
        else {
            continue;
        };
        let scope = |crl: &Crl| crl.point.as_ref().map(|p| p.raw.clone());
        let continues = at_least(number, least) && !at_least(number, newer);
        if !continues || scope(base) != scope(delta) {
            outcome
                .refused
                .push(reason!("{}: it does not continue this list", delta.label()));
            continue;
        }
        let Ok(entry) = delta.find(&certificate.serial) else {
            continue;
        };
        let merged = match entry {
            Some(entry) if entry.reason == Some(Revocation::REMOVED) => None,
            Some(entry) => Some(entry),
            None => found,
        };
        let embedded = embedded && *delta_embedded;
        let mut said = statement(delta, embedded, merged);
        said.label = reason!("{} extending {}", delta.label(), base.label()).into_text();
        statements.push(said);
    }
}

/// Compares two big-endian numbers without leading zeros.
fn at_least(a: &[u8], b: &[u8]) -> bool {
    (a.len(), a) >= (b.len(), b)
}
