//! Step 15: whether the holder of the certificate may sign this, and is who the caller expects.

use super::context::Context;
use super::log::Log;
use crate::certificate::Certificate;
use crate::certificate::extension::KeyUsage;
use crate::identity::{Bin, Facts, Iin, Inn, Role, is_ambiguous};
use crate::oid::{self, Oid};
use crate::policy::{Roles, Severity};
use crate::report::SubIndication as Sub;

/// Says whether the identity is the expected one.
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
            "the key may not sign at all",
        );
    } else if !usage.is_some_and(KeyUsage::non_repudiation) {
        log.rule(
            policy.non_repudiation,
            15,
            Sub::ChainConstraintsFailure,
            "the key usage lacks nonRepudiation",
        );
    }
    if certificate.is_ca() {
        let reason = "the signer is a certification authority";
        log.fail(15, Sub::ChainConstraintsFailure, reason);
    }
    if !purposes.is_empty() && purposes.iter().all(service) {
        let reason = "the key is for time-stamps or OCSP responses only";
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
                let reason = format!("the certificate has two different {kind}s");
                log.fail(15, Sub::SigConstraintsFailure, reason);
            }
        }
        let is_company = facts.roles.contains(&Role::Organisation);
        if facts.iin.is_none() && facts.bin.is_none() {
            log.warn(
                15,
                "the certificate has neither IIN nor BIN: it does not say who signs",
            );
        } else if is_company && facts.bin.is_none() {
            log.warn(15, "the certificate is of a company and has no BIN");
        }
    }
    let identified = check_identity(context, certificate, facts, log);
    if !log.failed(15) {
        log.pass(15, "the certificate allows it");
    }
    identified
}

/// Whether a person's or a taxpayer's number is expected, and all that is expected holds. The number of a
/// company alone says nothing about who has signed for it.
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
        // A sole trader's IIN stands where a BIN is asked for.
        let trader = what == "BIN"
            && facts.bin.is_none()
            && !is_ambiguous(&certificate.subject, "BIN")
            && facts
                .iin
                .as_ref()
                .is_some_and(|iin| iin.as_str() == expected);
        if found != Some(expected.as_str()) && !trader {
            let found = found.unwrap_or("none");
            let reason = format!("the {what} is {found}, not {expected}");
            let severity = rule.unwrap_or(context.policy.identity);
            log.rule(severity, 15, Sub::SigConstraintsFailure, reason);
            identified = false;
        }
    }
    identified
}

/// Who may sign for whom in Kazakhstan.
fn role_problem(context: &Context<'_>, facts: &Facts) -> Option<String> {
    let has = |role| facts.roles.contains(&role);
    if has(Role::FirstHead) || has(Role::Signer) {
        return None;
    }
    if has(Role::Finance) {
        if context.expected.financial {
            return None;
        }
        return Some("the holder may sign financial documents only".to_owned());
    }
    if has(Role::Individual) && !has(Role::Organisation) {
        // A sole trader has no BIN: the IIN stands where one is asked for.
        let asked = context.expected.bin_rule != Some(Severity::Ignore);
        let organisation = context.expected.bin.as_ref().filter(|_| asked);
        let own = |bin: &String| facts.iin.as_ref().is_some_and(|iin| iin.as_str() == bin);
        if organisation.is_none_or(own) {
            return None;
        }
        return Some("the holder signs as an individual, not for an organisation".to_owned());
    }
    if facts.roles.is_empty() {
        return Some("the certificate names no role".to_owned());
    }
    let roles: Vec<String> = facts
        .roles
        .iter()
        .map(|role| format!("{role:?}").to_lowercase())
        .collect();
    Some(format!(
        "the roles {} do not allow signing documents",
        roles.join(", ")
    ))
}
