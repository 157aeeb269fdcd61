//! Step 14: the path to a pinned anchor.

use super::{CONTENT, Case, attached, authority, signer};
use prichal_sign::testing::{
    Authority, Cms, CrlDraft, Draft, Identity, Key, NOW, Signer, der, extension, name,
};
use prichal_sign::{Certificate, NeedKind, Policy, Severity, SubIndication as Sub, Verdict};

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
        case.material.crls.push(super::crl(&list));
    }
    case
}

fn root() -> Identity {
    Draft::authority("Root", Key::p256("root")).self_signed()
}

fn issued(draft: Draft, issuer: &Identity) -> Identity {
    draft.issued_by(issuer)
}

#[test]
fn only_pinned_certificates_are_anchors() {
    let authority = authority();
    let mut case = Case::new(&authority, {
        let mut cms = Cms::attached(CONTENT, &[&signer(&authority)]);
        // The embedded root is not trusted for being there.
        cms.certificates
            .extend([authority.issuer.der.clone(), authority.root.der.clone()]);
        cms.encode()
    });
    case.passes();
    case.material.anchors.clear();
    let report = case.fails(14, Sub::NoCertificateChainFound);
    assert_eq!(report.needs[0].kind, NeedKind::Issuer);
    case.policy = Policy::test();
    case.fails(14, Sub::NoCertificateChainFound);
}

#[test]
fn certificates_that_contradict_themselves_are_unreadable() {
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
fn a_policy_pins_anchors_by_their_hash() {
    let authority = authority();
    let mut cms = Cms::attached(CONTENT, &[&signer(&authority)]);
    cms.certificates
        .extend([authority.issuer.der.clone(), authority.root.der.clone()]);
    let mut case = Case::new(&authority, cms.encode());
    case.material.anchors.clear();
    case.fails(14, Sub::NoCertificateChainFound);
    let print = authority.root.certificate().fingerprint();
    case.policy.anchors.push(print.to_uppercase());
    case.passes();
    *case.policy.anchors.last_mut().unwrap() = authority.time_stamper.certificate().fingerprint();
    case.fails(14, Sub::NoCertificateChainFound);
}

#[test]
fn a_missing_issuer_is_asked_for_where_the_certificate_says() {
    let root = root();
    let issuer = issued(Draft::authority("Issuer", Key::p256("issuer")), &root);
    let draft = Draft {
        issuer_url: Some("http://pki.gov.kz/cert/nca.cer".to_owned()),
        ..Draft::signer("Signer", Key::p256("signer"))
    };
    let signer = issued(draft, &issuer);
    let mut case = below(&[&root], &signer);
    let report = case.fails(14, Sub::NoCertificateChainFound);
    assert_eq!(report.needs.len(), 1);
    assert_eq!(
        report.needs[0].url.as_deref(),
        Some("http://pki.gov.kz/cert/nca.cer")
    );
    assert!(report.needs[0].allowed);
    case = below(&[&root, &issuer], &signer);
    case.passes();
}

#[test]
fn every_issuer_of_a_name_is_tried() {
    // Two roots and three intermediates share their names; only one chain holds.
    let root_a = root();
    let root_b = Draft::authority("Root", Key::p256("other root")).self_signed();
    let wrong = issued(Draft::authority("Issuer", Key::p256("wrong")), &root_b);
    let mut plain = Draft::authority("Issuer", Key::p256("issuer"));
    plain.key_ids = false;
    let right = issued(plain, &root_a);
    let signer = issued(Draft::signer("Signer", Key::p256("signer")), &right);
    for order in [[&root_b, &wrong, &right], [&root_b, &right, &wrong]] {
        let mut case = below(&order, &signer);
        case.fails(14, Sub::NoCertificateChainFound);
        case.material.anchors.push(root_a.certificate());
        let list = CrlDraft::new(NOW.plus(-60)).signed_by(&root_a);
        case.material.crls.push(super::crl(&list));
        case.passes();
    }
}

#[test]
fn a_link_with_a_wrong_signature_does_not_hold() {
    let root = root();
    let issuer = issued(Draft::authority("Issuer", Key::p256("issuer")), &root);
    let draft = Draft::signer("Signer", Key::p256("signer"));
    let forged = draft.signed(issuer.certificate().subject.raw(), &Key::p256("forger"));
    below(&[&root, &issuer], &forged).fails(14, Sub::NoCertificateChainFound);
}

#[test]
fn validity_is_judged_at_the_best_time() {
    let root = root();
    let issuer = issued(Draft::authority("Issuer", Key::p256("issuer")), &root);
    let expired = Draft {
        not_after: NOW.plus(-86_400),
        ..Draft::signer("Expired", Key::p256("expired"))
    };
    below(&[&root, &issuer], &issued(expired, &issuer)).fails(14, Sub::OutOfBoundsNoPoe);
    let early = Draft {
        not_before: NOW.plus(86_400),
        ..Draft::signer("Early", Key::p256("early"))
    };
    let report = below(&[&root, &issuer], &issued(early, &issuer)).fails(14, Sub::NotYetValid);
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
fn only_authorities_issue() {
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
        below(&[&root, &issuer], &signer).fails(14, Sub::CertificateChainGeneralFailure);
    }
}

#[test]
fn path_length_constraints_hold() {
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
            case.passes();
        } else {
            case.fails(14, Sub::CertificateChainGeneralFailure);
        }
    }
}

#[test]
fn paths_are_not_endless() {
    let mut chain = vec![root()];
    for level in 0..9 {
        let draft = Draft::authority(&format!("CA {level}"), Key::p256(&level.to_string()));
        let next = issued(draft, &chain[level]);
        chain.push(next);
    }
    let signer = issued(Draft::signer("Signer", Key::p256("signer")), &chain[9]);
    let mut case = below(&chain.iter().collect::<Vec<_>>(), &signer);
    case.fails(14, Sub::NoCertificateChainFound);
    case.policy.path_length = 9;
    case.passes();
}

#[test]
fn authorities_that_certify_each_other_end_the_search() {
    let (a_key, b_key) = (Key::p256("a"), Key::p256("b"));
    let (a_name, b_name) = (name(&[("CN", "A")]), name(&[("CN", "B")]));
    let a_by_b = Draft::authority("A", a_key.clone()).signed(&b_name, &b_key);
    let b_by_a = Draft::authority("B", b_key).signed(&a_name, &a_key);
    let signer = Draft::signer("Signer", Key::p256("signer")).signed(&a_name, &a_key);
    let mut case = below(&[&root(), &a_by_b, &b_by_a], &signer);
    case.material.crls.clear();
    case.fails(14, Sub::NoCertificateChainFound);
}

#[test]
fn unknown_critical_extensions_break_the_path() {
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
            case.passes();
        } else {
            case.fails(14, Sub::CertificateChainGeneralFailure);
        }
    }
}

#[test]
fn name_constraints_bind_the_names_below() {
    let root = root();
    let allow = |country: &str| {
        let base = der::element(0xa4, &name(&[("C", country)]));
        let permitted = der::element(0xa0, &der::sequence(&[&base]));
        let mut draft = Draft::authority("Issuer", Key::p256("issuer"));
        let value = der::sequence(&[&permitted]);
        draft.extensions.push(extension("2.5.29.30", true, &value));
        issued(draft, &root)
    };
    let subject = name(&[("C", "KZ"), ("CN", "Signer")]);
    for (country, inside) in [("KZ", true), ("DE", false)] {
        let issuer = allow(country);
        let draft = Draft {
            subject: subject.clone(),
            ..Draft::signer("Signer", Key::p256("signer"))
        };
        let mut case = below(&[&root, &issuer], &issued(draft, &issuer));
        if inside {
            case.passes();
        } else {
            case.warns(14);
            case.policy.name_constraints = Severity::Fail;
            case.fails(14, Sub::ChainConstraintsFailure);
        }
    }
}

#[test]
fn a_required_certificate_policy_must_reach_the_signer() {
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
            case.passes();
        } else {
            case.fails(14, Sub::ChainConstraintsFailure);
        }
    }
}

#[test]
fn weak_hashes_and_short_keys_above_the_signer_count() {
    let root = root();
    let draft = Draft {
        hash: Some(prichal_sign::Hash::Sha1),
        ..Draft::authority("Issuer", Key::rsa(true))
    };
    let issuer = issued(draft, &root);
    let signer = issued(Draft::signer("Signer", Key::p256("signer")), &issuer);
    below(&[&root, &issuer], &signer).fails(14, Sub::CryptoConstraintsFailureNoPoe);
    let short = issued(Draft::authority("Issuer", Key::rsa_1024()), &root);
    let signer = issued(Draft::signer("Signer", Key::p256("signer")), &short);
    below(&[&root, &short], &signer).fails(14, Sub::CryptoConstraintsFailure);
}

#[test]
fn a_pinned_signer_needs_no_issuer() {
    let own = Draft::signer("Self", Key::p256("self")).self_signed();
    let case = below(&[&own], &own);
    case.passes();
    let stranger = Authority::new(Key::p256);
    below(&[&own], &stranger.signer).fails(14, Sub::NoCertificateChainFound);
}
