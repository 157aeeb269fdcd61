//! Steps 4, 8, 10, 11 and 15: certificate, signature value, algorithms, and what the holder may do.

use super::{CONTENT, Case, attached, authority, signer, status};
use prichal_sign::testing::{
    Authority, Cms, Draft, Identity, Key, NOW, Signer, attribute, der, name,
};
use prichal_sign::{Hash, NeedKind, Policy, Status, SubIndication as Sub};

const SIGNING_CERTIFICATE: &str = "1.2.840.113549.1.9.16.2.12";
const SIGNING_CERTIFICATE_V2: &str = "1.2.840.113549.1.9.16.2.47";
const HEAD: &str = "1.2.398.3.3.4.1.2.1";

/// A signature by a signer made for the occasion.
fn signed_by(authority: &Authority, draft: Draft) -> Vec<u8> {
    let identity = draft.issued_by(&authority.issuer);
    attached(&Signer::new(&identity, CONTENT, NOW.plus(-60)))
}

#[test]
fn without_the_certificate_it_is_never_valid() {
    let authority = authority();
    let mut cms = Cms::attached(CONTENT, &[&signer(&authority)]);
    cms.certificates.clear();
    let mut case = Case::new(&authority, cms.encode());
    let report = case.fails(4, Sub::NoSigningCertificateFound);
    assert_eq!(report.needs[0].kind, NeedKind::Certificate);
    assert!(report.signers[0].certificate.is_none());
    case.policy = Policy::test();
    case.fails(4, Sub::NoSigningCertificateFound);
    case.material
        .certificates
        .push(authority.signer.certificate());
    case.passes();
}

#[test]
fn the_certificate_may_be_named_by_its_key_id() {
    let authority = authority();
    let mut by_id = signer(&authority);
    by_id.by_key_id = true;
    Case::new(&authority, attached(&by_id)).passes();
    let mut cms = Cms::attached(CONTENT, &[&by_id]);
    cms.certificates = vec![authority.time_stamper.der.clone()];
    Case::new(&authority, cms.encode()).fails(4, Sub::NoSigningCertificateFound);
}

#[test]
fn another_certificate_with_the_same_issuer_and_serial_does_not_hide_the_right_one() {
    let authority = authority();
    let impostor = Draft {
        serial: Draft::signer("ТЕСТОВ ТЕСТ", Key::p256("x")).serial,
        ..Draft::signer("Impostor", Key::p256("impostor"))
    };
    let issuer = authority.issuer.certificate();
    let impostor = impostor.signed(issuer.subject.raw(), &Key::p256("not the issuer"));
    let mut cms = Cms::attached(CONTENT, &[&signer(&authority)]);
    cms.certificates.insert(0, impostor.der);
    let report = Case::new(&authority, cms.encode()).passes();
    let facts = report.signers[0].certificate.as_ref().unwrap();
    assert_eq!(facts.name.as_deref(), Some("ТЕСТОВ ТЕСТ"));
}

#[test]
fn a_stranger_who_certifies_the_signers_key_is_not_in_the_way() {
    let authority = authority();
    let issuer = authority.issuer.certificate();
    let twin = Draft {
        serial: Draft::signer("ТЕСТОВ ТЕСТ", Key::p256("x")).serial,
        ..Draft::signer("Twin", Key::p256("signer"))
    };
    let twin = twin.signed(issuer.subject.raw(), &Key::p256("stranger"));
    let mut cms = Cms::attached(CONTENT, &[&signer(&authority)]);
    cms.certificates.insert(0, twin.der);
    Case::new(&authority, cms.encode()).passes();
}

#[test]
fn attributes_out_of_order_warn_and_altered_ones_fail() {
    let authority = authority();
    let mut unsorted = signer(&authority);
    let list = unsorted.attributes.as_mut().unwrap();
    list.sort();
    list.reverse();
    unsorted.unsorted = true;
    Case::new(&authority, attached(&unsorted)).warns(8);

    // Signed over the sorted set, sent in another order.
    let mut sent = signer(&authority);
    sent.value = Some(sent.signature());
    sent.attributes = unsorted.attributes.clone();
    sent.unsorted = true;
    Case::new(&authority, attached(&sent)).warns(8);

    let mut altered = signer(&authority);
    altered.value = Some(altered.signature());
    altered.replace(
        "1.2.840.113549.1.9.5",
        &der::element(0x17, b"260101000000Z"),
    );
    Case::new(&authority, attached(&altered)).fails(8, Sub::SigCryptoFailure);
}

#[test]
fn a_signature_over_the_implicit_tag_is_wrong() {
    let authority = authority();
    let mut signer = signer(&authority);
    let mut list = signer.attributes.clone().unwrap();
    list.sort();
    let as_sent = der::element(0xa0, &list.concat());
    signer.value = Some(signer.identity.key.sign(Hash::Sha256, &as_sent));
    Case::new(&authority, attached(&signer)).fails(8, Sub::SigCryptoFailure);
}

#[test]
fn digest_signature_and_key_must_agree() {
    let authority = authority();
    let mut mixed = signer(&authority);
    mixed.signature_algorithm = Some(Key::p256("x").signature_algorithm(Hash::Sha512));
    Case::new(&authority, attached(&mixed)).fails(10, Sub::SigCryptoFailure);
    let mut foreign = signer(&authority);
    foreign.signature_algorithm = Some(Key::rsa(true).signature_algorithm(Hash::Sha256));
    Case::new(&authority, attached(&foreign)).fails(10, Sub::SigCryptoFailure);
    let kazakh = Authority::new(Key::kz);
    let mut half = signer(&kazakh);
    half.value = Some(half.signature());
    let half = half.with_hash(Hash::Streebog256);
    Case::new(&kazakh, attached(&half)).fails(10, Sub::SigCryptoFailure);
}

#[test]
fn unknown_algorithms_are_not_judged_wrong() {
    let authority = authority();
    let mut unknown = signer(&authority);
    unknown.signature_algorithm = Some(der::sequence(&[&der::oid("1.2.3.4.5")]));
    Case::new(&authority, attached(&unknown)).fails(10, Sub::CryptoConstraintsFailure);
    let mut digest = signer(&authority);
    digest.digest_oid = "1.2.3.4.6";
    Case::new(&authority, attached(&digest)).fails(7, Sub::CryptoConstraintsFailure);
}

#[test]
fn the_salt_of_pss_has_the_length_that_is_named() {
    let mixed = |word: &str| match word {
        "signer" => Key::rsa_pss(),
        other => Key::p256(other),
    };
    let authority = Authority::new(mixed);
    let named = |salt: u8, mask: &str| {
        let mut signer = signer(&authority);
        let hash = |dotted: &str| der::sequence(&[&der::oid(dotted), &der::null()]);
        let mask = der::sequence(&[&der::oid("1.2.840.113549.1.1.8"), &hash(mask)]);
        let parameters = der::sequence(&[
            &der::element(0xa0, &hash("2.16.840.1.101.3.4.2.1")),
            &der::element(0xa1, &mask),
            &der::element(0xa2, &der::integer(&[salt])),
        ]);
        let algorithm = der::sequence(&[&der::oid("1.2.840.113549.1.1.10"), &parameters]);
        signer.signature_algorithm = Some(algorithm);
        Case::new(&authority, attached(&signer))
    };
    named(32, "2.16.840.1.101.3.4.2.1").passes();
    named(31, "2.16.840.1.101.3.4.2.1").fails(8, Sub::SigCryptoFailure);
    named(32, "2.16.840.1.101.3.4.2.3").fails(10, Sub::CryptoConstraintsFailure);
}

#[test]
fn weak_hashes_are_refused_for_new_signatures() {
    let mixed = |word: &str| {
        if word == "signer" {
            Key::rsa(false)
        } else {
            Key::p256(word)
        }
    };
    let authority = Authority::new(mixed);
    for (hash, sub) in [
        (Hash::Sha1, Sub::CryptoConstraintsFailureNoPoe),
        (Hash::Md5, Sub::CryptoConstraintsFailure),
    ] {
        let weak = signer(&authority).with_hash(hash);
        let mut case = Case::new(&authority, attached(&weak));
        case.fails(10, sub);
        case.policy = Policy::test();
        case.fails(10, sub);
    }
    let strong = signer(&authority).with_hash(Hash::Sha512);
    Case::new(&authority, attached(&strong)).passes();
}

#[test]
fn short_rsa_keys_are_refused() {
    let authority = authority();
    let bytes = signed_by(&authority, Draft::signer("Short", Key::rsa_1024()));
    let mut case = Case::new(&authority, bytes);
    case.fails(10, Sub::CryptoConstraintsFailure);
    case.policy.rsa_bits = 1024;
    case.passes();
}

#[test]
fn the_algorithm_protection_attribute_must_agree() {
    let authority = authority();
    let protect = |hash: &str| {
        let mut signer = signer(&authority);
        let digest = der::sequence(&[&der::oid(hash)]);
        let mut algorithm = signer.algorithm();
        algorithm[0] = 0xa1;
        let value = der::sequence(&[&digest, &algorithm]);
        signer.add(attribute("1.2.840.113549.1.9.52", &value));
        attached(&signer)
    };
    Case::new(&authority, protect("2.16.840.1.101.3.4.2.1")).passes();
    Case::new(&authority, protect("1.3.14.3.2.26")).fails(10, Sub::SigCryptoFailure);
}

#[test]
fn the_signing_certificate_attribute_means_the_certificate() {
    let authority = authority();
    let mut other = signer(&authority);
    other.remove(SIGNING_CERTIFICATE_V2);
    other.add(Signer::signing_certificate(&authority.time_stamper));
    Case::new(&authority, attached(&other)).fails(11, Sub::NoSigningCertificateFound);

    let id = |issuer: &Identity, serial: &[u8]| {
        let digest = der::octets(&Hash::Sha512.digest(&authority.signer.der));
        let algorithm = der::sequence(&[&der::oid("2.16.840.1.101.3.4.2.3")]);
        let directory = der::element(0xa4, issuer.certificate().subject.raw());
        let pair = der::sequence(&[&der::sequence(&[&directory]), &der::integer(serial)]);
        let ids = der::sequence(&[&der::sequence(&[&algorithm, &digest, &pair])]);
        let mut signer = signer(&authority);
        signer.replace(SIGNING_CERTIFICATE_V2, &der::sequence(&[&ids]));
        attached(&signer)
    };
    let serial = authority.signer.certificate().serial;
    Case::new(&authority, id(&authority.issuer, &serial)).passes();
    let wrong_serial = id(&authority.issuer, &[1, 2, 3]);
    Case::new(&authority, wrong_serial).fails(11, Sub::NoSigningCertificateFound);
    let wrong_issuer = id(&authority.root, &serial);
    Case::new(&authority, wrong_issuer).fails(11, Sub::NoSigningCertificateFound);
}

#[test]
fn a_missing_signing_certificate_attribute_warns_and_version_1_names_by_sha_1() {
    let authority = authority();
    let mut missing = signer(&authority);
    missing.remove(SIGNING_CERTIFICATE_V2);
    Case::new(&authority, attached(&missing)).warns(11);
    let digest = der::octets(&Hash::Sha1.digest(&authority.signer.der));
    let ids = der::sequence(&[&der::sequence(&[&digest])]);
    missing.add(attribute(SIGNING_CERTIFICATE, &der::sequence(&[&ids])));
    Case::new(&authority, attached(&missing)).warns(11);
    let mut strict = Case::new(&authority, {
        missing.remove(SIGNING_CERTIFICATE);
        attached(&missing)
    });
    strict.policy.no_signing_certificate = prichal_sign::Severity::Fail;
    strict.fails(11, Sub::SigConstraintsFailure);
}

#[test]
fn a_key_for_authentication_does_not_sign_documents() {
    let authority = authority();
    let draft = Draft {
        key_usage: Some(0xa0),
        ..Draft::signer("Login", Key::p256("login"))
    };
    let mut case = Case::new(&authority, signed_by(&authority, draft));
    case.fails(15, Sub::ChainConstraintsFailure);
    case.policy = Policy::eu_baseline();
    case.warns(15);
}

#[test]
fn keys_for_services_do_not_sign_documents() {
    let authority = authority();
    for identity in [&authority.time_stamper, &authority.responder] {
        let signer = Signer::new(identity, CONTENT, NOW.plus(-60));
        let mut case = Case::new(&authority, attached(&signer));
        case.policy = Policy::test();
        case.fails(15, Sub::ChainConstraintsFailure);
    }
}

#[test]
fn an_authority_does_not_sign_documents() {
    let authority = authority();
    let draft = Draft {
        authority: Some(None),
        ..Draft::signer("CA", Key::p256("ca"))
    };
    Case::new(&authority, signed_by(&authority, draft)).fails(15, Sub::ChainConstraintsFailure);
}

#[test]
fn roles_decide_who_may_sign_for_whom() {
    let authority = authority();
    let role = |purposes: &[&'static str]| {
        let draft = Draft {
            purposes: purposes.to_vec(),
            ..Draft::signer("Role", Key::p256("role"))
        };
        Case::new(&authority, signed_by(&authority, draft))
    };
    let organisation = "1.2.398.3.3.4.1.2";
    for purposes in [
        &[organisation, HEAD][..],
        &[organisation, "1.2.398.3.3.4.1.2.2"],
        &["1.2.398.3.17.3.1.2", "1.2.398.3.17.3.1.4"],
        &["1.2.398.3.3.4.1.1"],
    ] {
        role(purposes).passes();
    }
    for purposes in [
        &[organisation][..],
        &[organisation, "1.2.398.3.3.4.1.2.3"],
        &[organisation, "1.2.398.3.3.4.1.2.4"],
        &[organisation, "1.2.398.3.3.4.1.2.5"],
        &["1.2.398.3.3.4.1.2.6"],
        &["1.3.6.1.5.5.7.3.4"],
        &[],
    ] {
        let mut case = role(purposes);
        case.fails(15, Sub::ChainConstraintsFailure);
        case.policy = Policy::eu_baseline();
        case.passes();
    }
    let mut finance = role(&[organisation, "1.2.398.3.3.4.1.2.3"]);
    finance.expected.financial = true;
    finance.passes();
    let mut individual = role(&["1.2.398.3.3.4.1.1"]);
    individual.expected.bin = Some("971240001315".to_owned());
    individual.fails(15, Sub::ChainConstraintsFailure);
    // A sole trader's IIN stands where a BIN is asked for.
    let draft = Draft {
        subject: name(&[("CN", "Trader"), ("serialNumber", "IIN061211600012")]),
        purposes: vec!["1.2.398.3.3.4.1.1"],
        ..Draft::signer("Trader", Key::p256("trader"))
    };
    let mut trader = Case::new(&authority, signed_by(&authority, draft));
    trader.expected.bin = Some("061211600012".to_owned());
    trader.passes();
    trader.expected.bin = Some("971240001315".to_owned());
    trader.fails(15, Sub::ChainConstraintsFailure);
}

#[test]
fn the_holder_is_who_the_caller_expects() {
    let authority = authority();
    let mut case = Case::new(&authority, attached(&signer(&authority)));
    case.expected.bin = Some("971240001315".to_owned());
    case.expected.iin = Some("061211600012".to_owned());
    case.passes();
    case.expected.bin = Some("940140000385".to_owned());
    case.fails(15, Sub::SigConstraintsFailure);
    case.policy = Policy::test();
    case.warns(15);
    let mut inn = Case::new(&authority, attached(&signer(&authority)));
    inn.expected.inn = Some("7707083893".to_owned());
    inn.fails(15, Sub::SigConstraintsFailure);
}

#[test]
fn russian_names_carry_the_tax_number() {
    let authority = Authority::new(Key::ru);
    for (attribute, value) in [("INNLE", "7707083893"), ("INN", "007707083893")] {
        let draft = Draft {
            subject: name(&[("CN", "ООО Тест"), (attribute, value)]),
            ..Draft::new("x", Key::ru("company"))
        };
        let mut case = Case::new(&authority, signed_by(&authority, draft));
        case.policy = Policy::ru();
        case.expected.inn = Some("7707083893".to_owned());
        let report = case.passes();
        let facts = report.signers[0].certificate.as_ref().unwrap();
        assert_eq!(facts.inn.as_ref().unwrap().as_str(), "7707083893");
        assert_eq!(facts.key_algorithm, "GOST R 34.10-2012 256");
        assert_eq!(status(&report, 15), Status::Passed);
    }
}

#[test]
fn a_certificate_that_does_not_say_who_signs_is_warned_of() {
    let authority = authority();
    for (subject, word) in [
        (name(&[("CN", "Nobody")]), "neither IIN nor BIN"),
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
        let report = case.passes();
        let step = &report.signers[0].steps[14];
        assert_eq!(step.status, Status::Warned);
        assert!(step.reason.contains(word), "{}", step.reason);
    }
}
