//! Step 14: the path to a pinned anchor.

use super::{CONTENT, Case, Sub, accepted, attached, authority, crl, refused, signer};
use crate::NOW;
use prichal_sign::testing::{
    Authority, Cms, CrlDraft, Draft, Identity, Key, Signer, der, extension, name,
};
use prichal_sign::{Certificate, NeedKind, Policy, Severity, Verdict};

/// A case for a signer below these authorities, root first, with lists of all of them.
fn below(chain: &[&Identity], signer: &Identity) -> Case {
    let bytes = attached(&Signer::new(signer, CONTENT, NOW.plus(-60)));
    let mut case = Case::new(&authority(), bytes);
    case.material = prichal_sign::Material::default();
    for (index, identity) in chain.iter().enumerate() {
        if index == 0 {
            case.material.anchors.push(identity.certificate());
        } else {
            case.material.certificates.push(identity.certificate());
        }
        let list = CrlDraft::new(NOW.plus(-60)).signed_by(identity);
        case.material.crls.push(crl(&list));
    }
    case
}

/// A root, an issuer, and a signer below them.
fn chain() -> [Identity; 3] {
    let root = root();
    let issuer = issued(Draft::authority("Issuer", Key::p256("issuer")), &root);
    let signer = issued(Draft::signer("Signer", Key::p256("signer")), &issuer);
    [root, issuer, signer]
}

fn root() -> Identity {
    Draft::authority("Root", Key::p256("root")).self_signed()
}

fn issued(draft: Draft, issuer: &Identity) -> Identity {
    draft.issued_by(issuer)
}

#[test]
fn step_14_certificate_path_accepts_one_that_ends_at_an_anchor() {
    let [root, issuer, signer] = chain();
    let report = accepted(14, &below(&[&root, &issuer], &signer));
    assert_eq!(report.signers[0].path.len(), 3);
}

#[test]
fn step_14_certificate_path_refuses_anchors_that_are_not_pinned() {
    let authority = authority();
    let mut case = Case::new(&authority, {
        let mut cms = Cms::attached(CONTENT, &[&signer(&authority)]);
        // The embedded root is not trusted.
        cms.certificates
            .extend([authority.issuer.der.clone(), authority.root.der.clone()]);
        cms.encode()
    });
    accepted(14, &case);
    case.material.anchors.clear();
    let report = refused(14, &case, Sub::NoCertificateChainFound);
    assert_eq!(report.needs[0].kind, NeedKind::Issuer);
    case.policy = Policy::test();
    refused(14, &case, Sub::NoCertificateChainFound);
}

#[test]
fn inconsistent_certificates_are_unreadable() {
    let good = Draft::signer("Signer", Key::p256("signer"));
    assert!(Certificate::read(&good.clone().self_signed().der).is_ok());
    let two_algorithms = Draft {
        outer_algorithm: Some(Key::p256("x").signature_algorithm(prichal_sign::Hash::Sha512)),
        ..good.clone()
    };
    assert!(Certificate::read(&two_algorithms.self_signed().der).is_err());
    let mut twice = good;
    twice
        .extensions
        .push(extension("2.5.29.15", true, &[3, 2, 1, 0xc0]));
    assert!(Certificate::read(&twice.self_signed().der).is_err());
}

#[test]
fn step_14_certificate_path_accepts_anchors_that_the_policy_pins_by_their_hash() {
    let authority = authority();
    let mut cms = Cms::attached(CONTENT, &[&signer(&authority)]);
    cms.certificates
        .extend([authority.issuer.der.clone(), authority.root.der.clone()]);
    let mut case = Case::new(&authority, cms.encode());
    case.material.anchors.clear();
    refused(14, &case, Sub::NoCertificateChainFound);
    let print = authority.root.certificate().fingerprint();
    case.policy.anchors.push(print.to_uppercase());
    accepted(14, &case);
    *case.policy.anchors.last_mut().unwrap() = authority.time_stamper.certificate().fingerprint();
    refused(14, &case, Sub::NoCertificateChainFound);
}

#[test]
fn step_14_certificate_path_refuses_a_missing_issuer_and_says_where_it_is() {
    let root = root();
    let issuer = issued(Draft::authority("Issuer", Key::p256("issuer")), &root);
    let draft = Draft {
        issuer_url: Some("http://pki.gov.kz/cert/nca.cer".to_owned()),
        ..Draft::signer("Signer", Key::p256("signer"))
    };
    let signer = issued(draft, &issuer);
    let mut case = below(&[&root], &signer);
    let report = refused(14, &case, Sub::NoCertificateChainFound);
    assert_eq!(report.needs.len(), 1);
    assert_eq!(
        report.needs[0].url.as_deref(),
        Some("http://pki.gov.kz/cert/nca.cer")
    );
    assert!(report.needs[0].allowed);
    case = below(&[&root, &issuer], &signer);
    accepted(14, &case);
}

#[test]
fn step_14_certificate_path_accepts_the_only_valid_chain_among_equal_names() {
    // Two roots and three intermediates share their names. Only one chain is valid.
    let root_a = root();
    let root_b = Draft::authority("Root", Key::p256("other root")).self_signed();
    let wrong = issued(Draft::authority("Issuer", Key::p256("wrong")), &root_b);
    let mut plain = Draft::authority("Issuer", Key::p256("issuer"));
    plain.key_ids = false;
    let right = issued(plain, &root_a);
    let signer = issued(Draft::signer("Signer", Key::p256("signer")), &right);
    for order in [[&root_b, &wrong, &right], [&root_b, &right, &wrong]] {
        let mut case = below(&order, &signer);
        refused(14, &case, Sub::NoCertificateChainFound);
        case.material.anchors.push(root_a.certificate());
        let list = CrlDraft::new(NOW.plus(-60)).signed_by(&root_a);
        case.material.crls.push(crl(&list));
        accepted(14, &case);
    }
}

#[test]
fn step_14_certificate_path_refuses_a_link_with_a_wrong_signature() {
    let [root, issuer, _] = chain();
    let draft = Draft::signer("Signer", Key::p256("signer"));
    let forged = draft.signed(issuer.certificate().subject.raw(), &Key::p256("forger"));
    refused(
        14,
        &below(&[&root, &issuer], &forged),
        Sub::NoCertificateChainFound,
    );
}

#[test]
fn step_14_certificate_path_refuses_certificates_that_are_not_valid_at_the_best_time() {
    // Expired certificates are dropped from lists, so step 17 fails as well.
    let [root, issuer, _] = chain();
    let expired = Draft {
        not_after: NOW.plus(-86_400),
        ..Draft::signer("Expired", Key::p256("expired"))
    };
    below(&[&root, &issuer], &issued(expired, &issuer)).fails(14, Sub::OutOfBoundsNoPoe);
    let early = Draft {
        not_before: NOW.plus(86_400),
        ..Draft::signer("Early", Key::p256("early"))
    };
    let report = refused(
        14,
        &below(&[&root, &issuer], &issued(early, &issuer)),
        Sub::NotYetValid,
    );
    assert_eq!(report.verdict, Verdict::TotalFailed);
    let old_issuer = Draft {
        not_after: NOW.plus(-86_400),
        ..Draft::authority("Issuer", Key::p256("issuer"))
    };
    let old_issuer = issued(old_issuer, &root);
    let signer = issued(Draft::signer("Signer", Key::p256("signer")), &old_issuer);
    below(&[&root, &old_issuer], &signer).fails(14, Sub::OutOfBoundsNoPoe);
}

#[test]
fn step_14_certificate_path_refuses_issuers_that_are_not_authorities() {
    let root = root();
    for draft in [
        // No basic constraints at all.
        Draft {
            authority: None,
            ..Draft::authority("Issuer", Key::p256("issuer"))
        },
        // A key that may not sign certificates.
        Draft {
            key_usage: Some(0xc0),
            ..Draft::authority("Issuer", Key::p256("issuer"))
        },
    ] {
        let issuer = issued(draft, &root);
        let signer = issued(Draft::signer("Signer", Key::p256("signer")), &issuer);
        // A key that may not sign certificates may not sign lists either, so step 17 fails as well.
        below(&[&root, &issuer], &signer).fails(14, Sub::CertificateChainGeneralFailure);
    }
}

#[test]
fn step_14_certificate_path_refuses_more_authorities_than_are_allowed() {
    let root = root();
    for (limit, passes) in [(0, false), (1, true)] {
        let draft = Draft {
            authority: Some(Some(limit)),
            ..Draft::authority("Upper", Key::p256("upper"))
        };
        let upper = issued(draft, &root);
        let lower = issued(Draft::authority("Lower", Key::p256("lower")), &upper);
        let signer = issued(Draft::signer("Signer", Key::p256("signer")), &lower);
        let case = below(&[&root, &upper, &lower], &signer);
        if passes {
            accepted(14, &case);
        } else {
            refused(14, &case, Sub::CertificateChainGeneralFailure);
        }
    }
}

#[test]
fn step_14_certificate_path_refuses_an_endless_path() {
    let mut chain = vec![root()];
    for level in 0..9 {
        let draft = Draft::authority(&format!("CA {level}"), Key::p256(&level.to_string()));
        let next = issued(draft, &chain[level]);
        chain.push(next);
    }
    let signer = issued(Draft::signer("Signer", Key::p256("signer")), &chain[9]);
    let mut case = below(&chain.iter().collect::<Vec<_>>(), &signer);
    refused(14, &case, Sub::NoCertificateChainFound);
    case.policy.path_length = 9;
    accepted(14, &case);
}

#[test]
fn step_14_certificate_path_refuses_authorities_that_certify_each_other() {
    let (a_key, b_key) = (Key::p256("a"), Key::p256("b"));
    let (a_name, b_name) = (name(&[("CN", "A")]), name(&[("CN", "B")]));
    let a_by_b = Draft::authority("A", a_key.clone()).signed(&b_name, &b_key);
    let b_by_a = Draft::authority("B", b_key).signed(&a_name, &a_key);
    let signer = Draft::signer("Signer", Key::p256("signer")).signed(&a_name, &a_key);
    let mut case = below(&[&root(), &a_by_b, &b_by_a], &signer);
    case.material.crls.clear();
    refused(14, &case, Sub::NoCertificateChainFound);
}

#[test]
fn step_14_certificate_path_refuses_unknown_critical_extensions() {
    let root = root();
    for (critical, passes) in [(false, true), (true, false)] {
        let mut draft = Draft::authority("Issuer", Key::p256("issuer"));
        draft
            .extensions
            .push(extension("1.2.3.4.5", critical, &der::null()));
        let issuer = issued(draft, &root);
        let signer = issued(Draft::signer("Signer", Key::p256("signer")), &issuer);
        let case = below(&[&root, &issuer], &signer);
        if passes {
            accepted(14, &case);
        } else {
            refused(14, &case, Sub::CertificateChainGeneralFailure);
        }
    }
}

#[test]
fn step_14_certificate_path_refuses_a_required_certificate_policy_that_is_lost() {
    let root = root();
    let policies = |oid: &str| {
        let value = der::sequence(&[&der::sequence(&[&der::oid(oid)])]);
        extension("2.5.29.32", false, &value)
    };
    let require = extension(
        "2.5.29.36",
        true,
        &der::sequence(&[&der::element(0x80, &[0])]),
    );
    for (own, passes) in [("1.2.398.3.3.2.1", true), ("1.2.398.3.3.2.3", false)] {
        let mut upper = Draft::authority("Issuer", Key::p256("issuer"));
        upper.extensions = vec![policies("1.2.398.3.3.2.1"), require.clone()];
        let issuer = issued(upper, &root);
        let mut draft = Draft::signer("Signer", Key::p256("signer"));
        draft.extensions.push(policies(own));
        let mut case = below(&[&root, &issuer], &issued(draft, &issuer));
        case.policy.certificate_policies = Severity::Fail;
        if passes {
            accepted(14, &case);
        } else {
            refused(14, &case, Sub::ChainConstraintsFailure);
        }
    }
}

#[test]
fn step_14_certificate_path_refuses_weak_hashes_and_short_keys_above_the_signer() {
    let root = root();
    let draft = Draft {
        hash: Some(prichal_sign::Hash::Sha1),
        ..Draft::authority("Issuer", Key::rsa(true))
    };
    let issuer = issued(draft, &root);
    let signer = issued(Draft::signer("Signer", Key::p256("signer")), &issuer);
    refused(
        14,
        &below(&[&root, &issuer], &signer),
        Sub::CryptoConstraintsFailureNoPoe,
    );
    let short = issued(Draft::authority("Issuer", Key::rsa_1024()), &root);
    let signer = issued(Draft::signer("Signer", Key::p256("signer")), &short);
    refused(
        14,
        &below(&[&root, &short], &signer),
        Sub::CryptoConstraintsFailure,
    );
}

#[test]
fn step_14_certificate_path_accepts_a_pinned_signer_without_issuer() {
    let own = Draft::signer("Self", Key::p256("self")).self_signed();
    let case = below(&[&own], &own);
    accepted(14, &case);
    let stranger = Authority::new(Key::p256);
    refused(
        14,
        &below(&[&own], &stranger.signer),
        Sub::NoCertificateChainFound,
    );
}

/// A signer under the policy `own` that requires a policy, below an authority of the policy `1.2.3.1` with these
/// mappings.
fn mapped(mappings: &[(&str, &str)], own: &str) -> Case {
    let policies = |oid: &str| {
        let value = der::sequence(&[&der::sequence(&[&der::oid(oid)])]);
        extension("2.5.29.32", false, &value)
    };
    let pairs = mappings.iter();
    let pairs =
        pairs.map(|(issuer, subject)| der::sequence(&[&der::oid(issuer), &der::oid(subject)]));
    let pairs = der::sequence(&[&pairs.collect::<Vec<_>>().concat()]);
    let required = der::sequence(&[&der::element(0x80, &[0])]);
    let mut upper = Draft::authority("Issuer", Key::p256("issuer"));
    upper.extensions = vec![
        policies("1.2.3.1"),
        extension("2.5.29.33", true, &pairs),
        extension("2.5.29.36", true, &required),
    ];
    let root = root();
    let issuer = issued(upper, &root);
    let mut draft = Draft::signer("Signer", Key::p256("signer"));
    draft.extensions.push(policies(own));
    let mut case = below(&[&root, &issuer], &issued(draft, &issuer));
    case.policy.certificate_policies = Severity::Fail;
    case
}

const ONE_TO_MANY: [(&str, &str); 3] = [
    ("1.2.3.1", "1.2.3.2"),
    ("1.2.3.1", "1.2.3.3"),
    ("1.2.3.9", "1.2.3.4"),
];

#[test]
fn step_14_certificate_path_accepts_each_policy_that_one_is_mapped_to() {
    for own in ["1.2.3.2", "1.2.3.3"] {
        accepted(14, &mapped(&ONE_TO_MANY, own));
    }
}

#[test]
fn step_14_certificate_path_refuses_policies_that_none_is_mapped_to() {
    for own in ["1.2.3.1", "1.2.3.4"] {
        refused(14, &mapped(&ONE_TO_MANY, own), Sub::ChainConstraintsFailure);
    }
}

#[test]
fn step_14_certificate_path_refuses_mappings_from_and_to_any_policy() {
    const ANY: &str = "2.5.29.32.0";
    for pair in [(ANY, "1.2.3.1"), ("1.2.3.8", ANY)] {
        let case = mapped(&[("1.2.3.1", "1.2.3.1"), pair], "1.2.3.1");
        refused(14, &case, Sub::ChainConstraintsFailure);
    }
}

/// A signer with the country Kazakhstan, below an authority that is constrained to this country.
fn constrained(country: &str) -> Case {
    let base = der::element(0xa4, &name(&[("C", country)]));
    let permitted = der::element(0xa0, &der::sequence(&[&base]));
    let value = der::sequence(&[&permitted]);
    let mut draft = Draft::authority("Issuer", Key::p256("issuer"));
    draft.extensions.push(extension("2.5.29.30", true, &value));
    let root = root();
    let issuer = issued(draft, &root);
    let draft = Draft {
        subject: name(&[("C", "KZ"), ("CN", "Signer")]),
        ..Draft::signer("Signer", Key::p256("signer"))
    };
    below(&[&root, &issuer], &issued(draft, &issuer))
}

#[test]
fn step_14_certificate_path_accepts_names_within_the_constraints() {
    accepted(14, &constrained("KZ"));
}

#[test]
fn step_14_certificate_path_accepts_names_outside_of_the_constraints_with_a_warning() {
    for policy in [Policy::eu_baseline(), Policy::test()] {
        let mut case = constrained("DE");
        case.policy = policy;
        case.warns(14);
    }
}

#[test]
fn step_14_certificate_path_refuses_names_outside_of_the_constraints_in_national_trees() {
    for policy in [Policy::kz(), Policy::ru()] {
        let mut case = constrained("DE");
        case.policy = policy;
        refused(14, &case, Sub::ChainConstraintsFailure);
    }
}
