//! Certificate policies along a path (RFC 5280 §6.1). The tree is reduced to the set of policies that are valid at
//! the current depth. The outcome depends on nothing else, because the caller accepts every policy.

use crate::certificate::Certificate;
use crate::oid::{self, Oid};
use crate::reason::{Reason, reason};
use std::collections::BTreeSet;

/// The reason for which the path has no valid policy although one is required.
pub(super) fn violation(chain: &[&Certificate]) -> Option<Reason> {
    if let Some(reason) = maps_any_policy(chain) {
        return Some(reason);
    }
    let length = chain.len() as u64;
    let mut explicit = length + 1;
    let mut inhibit_any = length + 1;
    let mut inhibit_mapping = length + 1;
    // `None` as long as every policy is valid.
    let mut valid: Option<BTreeSet<String>> = None;
    // From below the anchor down to the leaf. The anchor's own extensions bind nobody (RFC 5280 §6.1.1).
    for (index, certificate) in chain.iter().enumerate().rev().skip(1) {
        let leaf = index == 0;
        let own = &certificate.extensions;
        valid = Some(match &own.policies {
            Some(policies) => {
                let any_counts = inhibit_any > 0 || (!leaf && certificate.self_issued());
                let any = any_counts && policies.iter().any(|p| p.as_str() == oid::ANY_POLICY);
                let named = policies.iter().map(ToString::to_string);
                let named: BTreeSet<String> = named.filter(|p| p != oid::ANY_POLICY).collect();
                match (valid, any) {
                    (None, true) => {
                        valid = None;
                        step(
                            &mut explicit,
                            &mut inhibit_any,
                            &mut inhibit_mapping,
                            certificate,
                        );
                        continue;
                    }
                    (None, false) => named,
                    (Some(before), true) => before,
                    (Some(before), false) => before.intersection(&named).cloned().collect(),
                }
            }
            None => BTreeSet::new(),
        });
        if explicit == 0 && valid.as_ref().is_some_and(BTreeSet::is_empty) {
            return Some(reason!(
                "{} has no policy that is valid on its path",
                certificate.subject
            ));
        }
        if !leaf && let Some(policies) = &mut valid {
            map(policies, &own.policy_mappings, inhibit_mapping > 0);
        }
        step(
            &mut explicit,
            &mut inhibit_any,
            &mut inhibit_mapping,
            certificate,
        );
        if leaf && own.require_explicit_policy == Some(0) {
            explicit = 0;
        }
    }
    let none = valid.is_some_and(|policies| policies.is_empty());
    (explicit == 0 && none).then(|| reason!("the path has no valid certificate policy"))
}

/// RFC 5280 §6.1.4 a: nothing is mapped from or to the policy that stands for every other.
fn maps_any_policy(chain: &[&Certificate]) -> Option<Reason> {
    let any = |policy: &Oid| *policy == *oid::ANY_POLICY;
    let between = chain.iter().skip(1).rev().skip(1);
    let found = between.into_iter().find(|certificate| {
        let mut pairs = certificate.extensions.policy_mappings.iter();
        pairs.any(|(issuer, subject)| any(issuer) || any(subject))
    })?;
    Some(reason!("{} maps anyPolicy", found.subject))
}

/// RFC 5280 §6.1.4 b: each valid policy gives way to all that it is mapped to, or to none where mapping is
/// inhibited.
fn map(policies: &mut BTreeSet<String>, mappings: &[(Oid, Oid)], allowed: bool) {
    let before = policies.clone();
    for (issuer, _) in mappings {
        policies.remove(issuer.as_str());
    }
    let mapped = mappings
        .iter()
        .filter(|(issuer, _)| before.contains(issuer.as_str()));
    if allowed {
        policies.extend(mapped.map(|(_, subject)| subject.to_string()));
    }
}

/// Counts down for each certificate that is not self-issued, then takes the certificate's own
/// smaller numbers (RFC 5280 §6.1.4 h to j).
fn step(explicit: &mut u64, any: &mut u64, mapping: &mut u64, certificate: &Certificate) {
    let own = &certificate.extensions;
    for (counter, limit) in [
        (explicit, own.require_explicit_policy),
        (any, own.inhibit_any_policy),
        (mapping, own.inhibit_policy_mapping),
    ] {
        if !certificate.self_issued() {
            *counter = counter.saturating_sub(1);
        }
        if let Some(limit) = limit {
            *counter = (*counter).min(limit);
        }
    }
}
