//! Step 15: the holder's authority and identity.

use super::{CONTENT, Case, Sub, accepted, attached, authority, reason, refused, show, signer};
use crate::NOW;
use prichal_sign::Policy;
use prichal_sign::testing::{Authority, Draft, Key, Signer, name};

const HEAD: &str = "1.2.398.3.3.4.1.2.1";
const ORGANISATION: &str = "1.2.398.3.3.4.1.2";
const INDIVIDUAL: &str = "1.2.398.3.3.4.1.1";
const FINANCE: &str = "1.2.398.3.3.4.1.2.3";

/// A signature by a signer made from the draft.
fn signed_by(authority: &Authority, draft: Draft) -> Vec<u8> {
    let identity = draft.issued_by(&authority.issuer);
    attached(&Signer::new(&identity, CONTENT, NOW.plus(-60)))
}

fn role(purposes: &[&'static str]) -> Case {
    let authority = authority();
    let draft = Draft {
        purposes: purposes.to_vec(),
        ..Draft::signer("Role", Key::p256("role"))
    };
    Case::new(&authority, signed_by(&authority, draft))
}

#[test]
fn step_15_signer_authority_accepts_the_roles_that_may_sign() {
    for purposes in [
        &[ORGANISATION, HEAD][..],
        &[ORGANISATION, "1.2.398.3.3.4.1.2.2"],
        &["1.2.398.3.17.3.1.2", "1.2.398.3.17.3.1.4"],
        &[INDIVIDUAL],
    ] {
        accepted(15, &role(purposes));
    }
    let mut finance = role(&[ORGANISATION, FINANCE]);
    finance.expected.financial = true;
    accepted(15, &finance);
}

#[test]
fn step_15_signer_authority_refuses_other_roles() {
    for purposes in [
        &[ORGANISATION][..],
        &[ORGANISATION, FINANCE],
        &[ORGANISATION, "1.2.398.3.3.4.1.2.4"],
        &[ORGANISATION, "1.2.398.3.3.4.1.2.5"],
        &["1.2.398.3.3.4.1.2.6"],
        &["1.3.6.1.5.5.7.3.4"],
        &[],
    ] {
        let mut case = role(purposes);
        refused(15, &case, Sub::ChainConstraintsFailure);
        // Other policies know no roles.
        case.policy = Policy::eu_baseline();
        accepted(15, &case);
    }
    let mut individual = role(&[INDIVIDUAL]);
    individual.expected.bin = Some("971240001315".to_owned());
    refused(15, &individual, Sub::ChainConstraintsFailure);
}

/// A sole trader, with an IIN in the place of a company's BIN.
fn trader() -> Case {
    let authority = authority();
    let draft = Draft {
        subject: name(&[("CN", "Trader"), ("serialNumber", "IIN061211600012")]),
        purposes: vec![INDIVIDUAL],
        ..Draft::signer("Trader", Key::p256("trader"))
    };
    Case::new(&authority, signed_by(&authority, draft))
}

#[test]
fn step_15_signer_authority_accepts_the_expected_holder() {
    let authority = authority();
    let mut case = Case::new(&authority, attached(&signer(&authority)));
    case.expected.bin = Some("971240001315".to_owned());
    case.expected.iin = Some("061211600012".to_owned());
    accepted(15, &case);
    let mut trader = trader();
    trader.expected.bin = Some("061211600012".to_owned());
    accepted(15, &trader);
}

#[test]
fn step_15_signer_authority_refuses_another_holder() {
    let authority = authority();
    let mut case = Case::new(&authority, attached(&signer(&authority)));
    case.expected.inn = Some("7707083893".to_owned());
    refused(15, &case, Sub::SigConstraintsFailure);
    case.expected.inn = None;
    case.expected.bin = Some("940140000385".to_owned());
    refused(15, &case, Sub::SigConstraintsFailure);
    // In the test policy it is only a warning.
    case.policy = Policy::test();
    case.warns(15);
    let mut trader = trader();
    trader.expected.bin = Some("971240001315".to_owned());
    refused(15, &trader, Sub::ChainConstraintsFailure);
}

#[test]
fn step_15_signer_authority_refuses_a_key_for_authentication() {
    let authority = authority();
    let draft = Draft {
        key_usage: Some(0xa0),
        ..Draft::signer("Login", Key::p256("login"))
    };
    let mut case = Case::new(&authority, signed_by(&authority, draft));
    refused(15, &case, Sub::ChainConstraintsFailure);
    // The European baseline only warns.
    case.policy = Policy::eu_baseline();
    case.warns(15);
}

#[test]
fn step_15_signer_authority_refuses_keys_for_services() {
    let authority = authority();
    for identity in [&authority.time_stamper, &authority.responder] {
        let signer = Signer::new(identity, CONTENT, NOW.plus(-60));
        let mut case = Case::new(&authority, attached(&signer));
        case.policy = Policy::test();
        refused(15, &case, Sub::ChainConstraintsFailure);
    }
}

#[test]
fn step_15_signer_authority_refuses_an_authority() {
    let authority = authority();
    let draft = Draft {
        authority: Some(None),
        ..Draft::signer("CA", Key::p256("ca"))
    };
    refused(
        15,
        &Case::new(&authority, signed_by(&authority, draft)),
        Sub::ChainConstraintsFailure,
    );
}

#[test]
fn step_15_signer_authority_accepts_a_russian_tax_number_in_either_attribute() {
    let authority = Authority::new(Key::ru);
    for (attribute, value) in [("INNLE", "7707083893"), ("INN", "007707083893")] {
        let draft = Draft {
            subject: name(&[("CN", "ООО Тест"), (attribute, value)]),
            ..Draft::new("x", Key::ru("company"))
        };
        let mut case = Case::new(&authority, signed_by(&authority, draft));
        case.policy = Policy::ru();
        case.expected.inn = Some("7707083893".to_owned());
        let report = accepted(15, &case);
        let facts = report.signers[0].certificate.as_ref().unwrap();
        assert_eq!(facts.inn.as_ref().unwrap().as_str(), "7707083893");
        assert_eq!(facts.key_algorithm, "GOST R 34.10-2012 256");
    }
}

#[test]
fn step_15_signer_authority_accepts_a_certificate_without_numbers_with_a_warning() {
    let authority = authority();
    for (subject, word) in [
        (name(&[("CN", "Nobody")]), "neither an IIN nor a BIN"),
        (
            name(&[("CN", "Nobody"), ("serialNumber", "IIN061211600012")]),
            "has no BIN",
        ),
    ] {
        let draft = Draft {
            subject,
            ..Draft::signer("Nobody", Key::p256("nobody"))
        };
        let mut case = Case::new(&authority, signed_by(&authority, draft));
        case.policy = Policy::kz();
        let report = case.warns(15);
        assert!(reason(&report, 15).contains(word), "{}", show(&report));
    }
}

/// A signer with these parts in its name.
fn named(parts: &[(&str, &str)], policy: Policy) -> Case {
    let authority = authority();
    let draft = Draft {
        subject: name(parts),
        ..Draft::signer("Named", Key::p256("named"))
    };
    let mut case = Case::new(&authority, signed_by(&authority, draft));
    case.policy = policy;
    case
}

const IIN: (&str, &str) = ("serialNumber", "IIN061211600012");
const BIN: (&str, &str) = ("OU", "BIN971240001315");

#[test]
fn step_15_signer_authority_accepts_the_same_number_twice() {
    let mut case = named(&[IIN, IIN, BIN, BIN], Policy::kz());
    case.expected.bin = Some("971240001315".to_owned());
    case.expected.iin = Some("061211600012".to_owned());
    accepted(15, &case);
    // The BIN may be in either place.
    let elsewhere = ("serialNumber", "BIN971240001315");
    accepted(15, &named(&[IIN, BIN, elsewhere], Policy::kz()));
}

#[test]
fn step_15_signer_authority_refuses_two_different_numbers() {
    for parts in [
        &[IIN, ("serialNumber", "IIN200140000501"), BIN][..],
        &[IIN, BIN, ("OU", "BIN940140000385")],
        &[IIN, ("serialNumber", "BIN940140000385"), BIN],
        &[IIN, BIN, ("OU", "BIN1")],
    ] {
        let report = refused(15, &named(parts, Policy::kz()), Sub::SigConstraintsFailure);
        assert!(reason(&report, 15).contains("two different"));
    }
}

#[test]
fn step_15_signer_authority_refuses_the_first_of_two_numbers_as_the_expected_one() {
    let parts = [IIN, BIN, ("OU", "BIN940140000385")];
    for (expected, policy) in [
        ("971240001315", Policy::kz()),
        ("940140000385", Policy::kz()),
        ("971240001315", Policy::eu_baseline()),
        ("940140000385", Policy::eu_baseline()),
        // A holder with a BIN is not a sole trader.
        ("061211600012", Policy::eu_baseline()),
    ] {
        let mut case = named(&parts, policy);
        case.expected.bin = Some(expected.to_owned());
        let report = refused(15, &case, Sub::SigConstraintsFailure);
        assert_eq!(report.signers[0].certificate.as_ref().unwrap().bin, None);
    }
}
