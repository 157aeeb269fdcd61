//! Every family of keys, from the root to the time-stamp.

use super::{CONTENT, Case, signer};
use prichal_sign::testing::{Authority, Cms, Key, NOW, Signer, TimeStamp};
use prichal_sign::{EcCurve, GostStandard, Hash, Policy, SubIndication as Sub, Verdict};

fn whole_life(key: impl Fn(&str) -> Key, algorithm: &str) {
    let authority = Authority::new(key);
    let mut signer = signer(&authority);
    let stamp = TimeStamp::new(&authority.time_stamper, &signer.signature(), NOW.plus(-50));
    signer.unsigned.push(stamp.attribute());
    let mut case = Case::new(&authority, Cms::detached(&[&signer]).encode());
    case.content = Some(CONTENT.to_vec());
    let report = case.passes();
    assert_eq!(report.signers[0].algorithm.as_deref(), Some(algorithm));
    assert_eq!(report.signers[0].best_time, NOW.plus(-50));

    case.content = Some(b"another document".to_vec());
    case.fails(7, Sub::HashFailure);

    let mut value = signer.signature();
    let middle = value.len() / 2;
    value[middle] ^= 1;
    signer.value = Some(value);
    signer.unsigned.clear();
    let mut case = Case::new(&authority, Cms::detached(&[&signer]).encode());
    case.content = Some(CONTENT.to_vec());
    let report = case.fails(8, Sub::SigCryptoFailure);
    assert_eq!(report.verdict, Verdict::TotalFailed);
}

#[test]
fn ecdsa_on_every_curve() {
    whole_life(Key::p256, "ECDSA with SHA-256");
    whole_life(|w| Key::ec(EcCurve::P384, w), "ECDSA with SHA-384");
    whole_life(|w| Key::ec(EcCurve::P521, w), "ECDSA with SHA-512");
}

#[test]
fn ed25519() {
    whole_life(Key::ed25519, "Ed25519");
}

#[test]
fn rsa_with_both_paddings() {
    whole_life(
        |word| Key::rsa(word == "issuer"),
        "RSA PKCS#1 v1.5 with SHA-256",
    );
    whole_life(
        |word| {
            if word == "signer" {
                Key::rsa_pss()
            } else {
                Key::rsa(true)
            }
        },
        "RSA-PSS with SHA-256",
    );
}

#[test]
fn kazakh_gost_of_both_sizes() {
    whole_life(Key::kz, "GOST 34.10 (KZ) with Streebog-512");
    whole_life(Key::kz_256, "GOST 34.10 (KZ) with Streebog-256");
}

#[test]
fn gost_inside_and_rsa_outside_as_the_national_authority_does_it() {
    let key = |word: &str| match word {
        "time" | "root" => Key::rsa(word == "root"),
        other => Key::kz(other),
    };
    whole_life(key, "GOST 34.10 (KZ) with Streebog-512");
}

#[test]
fn russian_gost_on_every_curve() {
    for oid in [
        "1.2.643.7.1.2.1.1.1",
        "1.2.643.7.1.2.1.1.2",
        "1.2.643.7.1.2.1.1.3",
        "1.2.643.7.1.2.1.1.4",
        "1.2.643.2.2.35.2",
        "1.2.643.2.2.36.0",
        "1.2.643.2.2.36.1",
        "1.2.643.7.1.2.1.2.1",
        "1.2.643.7.1.2.1.2.2",
        "1.2.643.7.1.2.1.2.3",
    ] {
        let authority = Authority::new(|word| Key::gost(GostStandard::Russia2012, oid, word));
        let mut case = Case::new(&authority, super::attached(&signer(&authority)));
        case.policy = Policy::ru();
        case.passes();
    }
}

#[test]
fn the_byte_order_belongs_to_the_algorithm() {
    for key in [Key::kz, Key::ru] {
        let authority = Authority::new(key);
        let mut signer = signer(&authority);
        let mut value = signer.signature();
        value.reverse();
        signer.value = Some(value);
        Case::new(&authority, super::attached(&signer)).fails(8, Sub::SigCryptoFailure);
    }
}

#[test]
fn a_key_of_one_country_does_not_sign_with_the_identifiers_of_the_other() {
    let authority = Authority::new(Key::kz);
    let russian = Key::gost(GostStandard::Russia2012, "1.2.643.7.1.2.1.2.1", "signer");
    let mut signer = signer(&authority);
    signer.signature_algorithm = Some(russian.signature_algorithm(Hash::Streebog512));
    Case::new(&authority, super::attached(&signer)).fails(10, Sub::SigCryptoFailure);
}

#[test]
fn the_legacy_kazakh_standard_needs_an_early_time_stamp() {
    // The time-stamp uses the legacy standard as well: it was withdrawn, not broken.
    let authority = Authority::new(Key::kz_2004);
    let bare = signer(&authority);
    let mut case = Case::new(&authority, super::attached(&bare));
    case.fails(10, Sub::CryptoConstraintsFailureNoPoe);
    case.policy = Policy::test();
    case.passes();

    for (stamped, passes) in [
        ("2025-07-26T12:00:00Z", true),
        ("2025-07-28T12:00:00Z", false),
    ] {
        let at = prichal_sign::Time::parse(stamped).unwrap();
        let mut signer = Signer::new(&authority.signer, CONTENT, at);
        let stamp = TimeStamp::new(&authority.time_stamper, &signer.signature(), at);
        signer.unsigned.push(stamp.attribute());
        let mut case = Case::new(&authority, super::attached(&signer));
        // The current lists are signed with the legacy key, too.
        case.material = authority.without_lists();
        for issuer in [&authority.root, &authority.issuer] {
            let list = prichal_sign::testing::CrlDraft::new(at.plus(60)).signed_by(issuer);
            case.material.crls.push(super::crl(&list));
        }
        let report = case.report();
        assert_eq!(
            report.verdict == Verdict::TotalPassed,
            passes,
            "{}",
            super::show(&report)
        );
        if !passes {
            assert_eq!(
                report.sub_indication,
                Some(Sub::CryptoConstraintsFailureNoPoe)
            );
        }
    }
}
