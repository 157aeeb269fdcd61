//! Step 15: the holder's authority to sign, and the holder's identity.

use super::context::Context;
use super::log::Log;
use crate::certificate::Certificate;
use crate::certificate::extension::KeyUsage;
use crate::identity::{Bin, Facts, Iin, Inn, Role, is_ambiguous};
use crate::oid::{self, Oid};
use crate::policy::{Roles, Severity};
use crate::reason::{Reason, reason};
use crate::report::SubIndication as Sub;

/// Checks the role and the identity. Returns true if the identity is the expected one.
pub(super) fn check(
    context: &Context<'_>,
    certificate: &Certificate,
    facts: &Facts,
    log: &mut Log,
) -> bool {
    let policy = context.policy;
    let usage = certificate.extensions.key_usage;
    let purposes = certificate.extensions.extended_key_usage.as_ref();
    let purposes = purposes.map_or(&[][..], |usage| &usage.purposes);
    let service =
        |purpose: &Oid| *purpose == *oid::KP_TIME_STAMPING || *purpose == *oid::KP_OCSP_SIGNING;
    if usage.is_some_and(|usage| !usage.digital_signature() && !usage.non_repudiation()) {
        log.fail(
            15,
            Sub::ChainConstraintsFailure,
            reason!("the key usage does not allow signing"),
        );
    } else if !usage.is_some_and(KeyUsage::non_repudiation) {
        log.rule(
            policy.non_repudiation,
            15,
            Sub::ChainConstraintsFailure,
            reason!("the key usage lacks nonRepudiation"),
        );
    }
    if certificate.is_ca() {
        let reason = reason!("the signer is a certification authority");
        log.fail(15, Sub::ChainConstraintsFailure, reason);
    }
    if !purposes.is_empty() && purposes.iter().all(service) {
        let reason = reason!("the key is for time-stamps or OCSP responses only");
        log.fail(15, Sub::ChainConstraintsFailure, reason);
    }
    if policy.roles == Roles::Kazakhstan
        && let Some(reason) = role_problem(context, facts)
    {
        log.rule(policy.role, 15, Sub::ChainConstraintsFailure, reason);
    }
    if policy.roles == Roles::Kazakhstan {
        for kind in ["IIN", "BIN"] {
            if is_ambiguous(&certificate.subject, kind) {
                let reason = reason!("the certificate has two different {kind}s");
                log.fail(15, Sub::SigConstraintsFailure, reason);
            }
        }
        let is_company = facts.roles.contains(&Role::Organisation);
        if facts.iin.is_none() && facts.bin.is_none() {
            log.warn(
                15,
                reason!("the certificate has neither an IIN nor a BIN, so it does not identify the signer"),
            );
        } else if is_company && facts.bin.is_none() {
            log.warn(15, reason!("the certificate of a company has no BIN"));
        }
    }
    let identified = check_identity(context, certificate, facts, log);
    if !log.failed(15) {
        log.pass(15, reason!("the certificate allows this signature"));
    }
    identified
}

/// Checks the expected numbers. Returns true if the number of a person or a taxpayer was expected and all expected
/// numbers match. The number of a company alone does not identify the person who signed for it.
fn check_identity(
    context: &Context<'_>,
    certificate: &Certificate,
    facts: &Facts,
    log: &mut Log,
) -> bool {
    let expected = context.expected;
    let (bin, iin) = (facts.bin.as_ref().map(Bin::as_str), facts.iin.as_ref());
    let mut identified = expected.iin.is_some() || expected.inn.is_some();
    for (what, rule, expected, found) in [
        ("BIN", expected.bin_rule, &expected.bin, bin),
        (
            "IIN",
            expected.iin_rule,
            &expected.iin,
            iin.map(Iin::as_str),
        ),
        (
            "INN",
            None,
            &expected.inn,
            facts.inn.as_ref().map(Inn::as_str),
        ),
    ] {
        let Some(expected) = expected else { continue };
        // The IIN of a sole trader takes the place of the BIN.
        let trader = what == "BIN"
            && facts.bin.is_none()
            && !is_ambiguous(&certificate.subject, "BIN")
            && facts
                .iin
                .as_ref()
                .is_some_and(|iin| iin.as_str() == expected);
        if found != Some(expected.as_str()) && !trader {
            let reason = match found {
                Some(found) => reason!("the {what} is {found}, not {expected}"),
                None => reason!("the certificate has no {what}, expected is {expected}"),
            };
            let severity = rule.unwrap_or(context.policy.identity);
            log.rule(severity, 15, Sub::SigConstraintsFailure, reason);
            identified = false;
        }
    }
    identified
}

/// The reason for which the holder's roles do not allow this signature, in Kazakhstan.
fn role_problem(context: &Context<'_>, facts: &Facts) -> Option<Reason> {
    let has = |role| facts.roles.contains(&role);
    if has(Role::FirstHead) || has(Role::Signer) {
        return None;
    }
    if has(Role::Finance) {
        if context.expected.financial {
            return None;
        }
        return Some(reason!(
            "the role of the holder allows financial documents only"
        ));
    }
    if has(Role::Individual) && !has(Role::Organisation) {
        // A sole trader has no BIN, so the IIN takes its place.
        let asked = context.expected.bin_rule != Some(Severity::Ignore);
        let organisation = context.expected.bin.as_ref().filter(|_| asked);
        let own = |bin: &String| facts.iin.as_ref().is_some_and(|iin| iin.as_str() == bin);
        if organisation.is_none_or(own) {
            return None;
        }
        return Some(reason!(
            "the certificate is an individual's, not an organisation's"
        ));
    }
    if facts.roles.is_empty() {
        return Some(reason!("the certificate names no role"));
    }
    let roles: Vec<String> = facts
        .roles
        .iter()
        .map(|role| format!("{role:?}").to_lowercase())
        .collect();
    Some(reason!(
        "the roles {} do not allow signing documents",
        roles.join(", ")
    ))
}
