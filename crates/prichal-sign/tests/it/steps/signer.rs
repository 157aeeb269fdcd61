//! Steps 4, 8, 10 and 11: the signer's certificate, the signature value, the algorithms.

use super::{
    CONTENT, Case, Status, Sub, accepted, attached, authority, reason, refused, signer, status,
};
use crate::NOW;
use prichal_sign::testing::{
    Authority, Cms, Draft, Identity, Key, Signer, attribute, der, indefinite,
};
use prichal_sign::{Certificate, Hash, NeedKind, Policy, Severity, Time};

const SIGNING_CERTIFICATE: &str = "1.2.840.113549.1.9.16.2.12";
const SIGNING_CERTIFICATE_V2: &str = "1.2.840.113549.1.9.16.2.47";
const SHA_256: &str = "2.16.840.1.101.3.4.2.1";
const SHA_512: &str = "2.16.840.1.101.3.4.2.3";

/// A signature by a signer made from the draft.
fn signed_by(authority: &Authority, draft: Draft) -> Vec<u8> {
    let identity = draft.issued_by(&authority.issuer);
    attached(&Signer::new(&identity, CONTENT, NOW.plus(-60)))
}

fn rsa_signer(word: &str) -> Key {
    if word == "signer" {
        Key::rsa(false)
    } else {
        Key::p256(word)
    }
}

#[test]
fn step_04_signer_certificate_accepts_an_embedded_or_a_known_one() {
    let authority = authority();
    let mut cms = Cms::attached(CONTENT, &[&signer(&authority)]);
    accepted(4, &Case::new(&authority, cms.encode()));
    cms.certificates.clear();
    let mut case = Case::new(&authority, cms.encode());
    let known = authority.signer.certificate();
    case.material.certificates.push(known);
    accepted(4, &case);
}

#[test]
fn step_04_signer_certificate_accepts_one_that_its_key_id_names() {
    let authority = authority();
    let mut by_id = signer(&authority);
    by_id.by_key_id = true;
    accepted(4, &Case::new(&authority, attached(&by_id)));
}

#[test]
fn step_04_signer_certificate_accepts_a_key_id_in_segments() {
    let authority = authority();
    let mut by_id = signer(&authority);
    by_id.by_key_id = true;
    let (a, b) = (
        &authority.signer.key_id()[..9],
        &authority.signer.key_id()[9..],
    );
    let whole = der::element(0x80, &[a, b].concat());
    let pieces = der::element(0xa0, &[der::octets(a), der::octets(b)].concat());
    let part = by_id.signed_part();
    let place = part.windows(whole.len()).position(|w| w == whole).unwrap();
    let (before, after) = (&part[..place], &part[place + whole.len()..]);
    let mut cms = Cms::attached(CONTENT, &[&by_id]);
    cms.signers = vec![der::sequence(&[before, &pieces, after])];
    accepted(4, &Case::new(&authority, cms.encode()));
}

#[test]
fn step_04_signer_certificate_refuses_none() {
    let authority = authority();
    let mut by_id = signer(&authority);
    by_id.by_key_id = true;
    for signer in [signer(&authority), by_id] {
        for others in [vec![], vec![authority.time_stamper.der.clone()]] {
            let mut cms = Cms::attached(CONTENT, &[&signer]);
            cms.certificates = others;
            let mut case = Case::new(&authority, cms.encode());
            let report = refused(4, &case, Sub::NoSigningCertificateFound);
            assert_eq!(report.needs[0].kind, NeedKind::Certificate);
            assert!(report.signers[0].certificate.is_none());
            case.policy = Policy::test();
            refused(4, &case, Sub::NoSigningCertificateFound);
        }
    }
}

#[test]
fn step_04_signer_certificate_accepts_the_right_one_behind_a_namesake() {
    let authority = authority();
    let impostor = Draft {
        serial: Draft::signer("ТЕСТОВ ТЕСТ", Key::p256("x")).serial,
        ..Draft::signer("Impostor", Key::p256("impostor"))
    };
    let issuer = authority.issuer.certificate();
    let impostor = impostor.signed(issuer.subject.raw(), &Key::p256("not the issuer"));
    let mut cms = Cms::attached(CONTENT, &[&signer(&authority)]);
    cms.certificates.insert(0, impostor.der);
    let report = accepted(4, &Case::new(&authority, cms.encode()));
    let facts = report.signers[0].certificate.as_ref().unwrap();
    assert_eq!(facts.name.as_deref(), Some("ТЕСТОВ ТЕСТ"));
}

#[test]
fn step_04_signer_certificate_accepts_the_right_one_behind_one_with_the_same_id() {
    let authority = authority();
    let issuer = authority.issuer.certificate();
    let twin = Draft {
        serial: Draft::signer("ТЕСТОВ ТЕСТ", Key::p256("x")).serial,
        ..Draft::signer("Twin", Key::p256("signer"))
    };
    let twin = twin.signed(issuer.subject.raw(), &Key::p256("stranger"));
    let mut cms = Cms::attached(CONTENT, &[&signer(&authority)]);
    cms.certificates.insert(0, twin.der);
    accepted(4, &Case::new(&authority, cms.encode()));
}

#[test]
fn step_08_signature_value_accepts_a_valid_one() {
    let authority = authority();
    accepted(8, &Case::new(&authority, attached(&signer(&authority))));
}

#[test]
fn step_08_signature_value_accepts_attributes_in_ber_with_a_warning() {
    let authority = authority();
    let signer = signer(&authority);
    let mut cms = Cms::attached(CONTENT, &[&signer]);
    cms.signers = vec![indefinite(&signer.encode(), 3)];
    Case::new(&authority, cms.encode()).warns(8);
}

#[test]
fn step_08_signature_value_refuses_one_over_the_implicit_tag() {
    let authority = authority();
    let mut signer = signer(&authority);
    let mut list = signer.attributes.clone().unwrap();
    list.sort();
    let as_sent = der::element(0xa0, &list.concat());
    signer.value = Some(signer.identity.key.sign(Hash::Sha256, &as_sent));
    refused(
        8,
        &Case::new(&authority, attached(&signer)),
        Sub::SigCryptoFailure,
    );
}

/// The signer, with its attributes out of order.
fn unsorted(authority: &Authority) -> Signer {
    let mut unsorted = signer(authority);
    let list = unsorted.attributes.as_mut().unwrap();
    list.sort();
    list.reverse();
    unsorted.unsorted = true;
    unsorted
}

#[test]
fn step_08_signature_value_accepts_attributes_out_of_order_with_a_warning() {
    let authority = authority();
    let unsorted = unsorted(&authority);
    Case::new(&authority, attached(&unsorted)).warns(8);
    // Signed over the sorted set, sent in another order.
    let mut sent = unsorted.clone();
    sent.value = Some(signer(&authority).signature());
    Case::new(&authority, attached(&sent)).warns(8);
}

#[test]
fn step_08_signature_value_refuses_one_over_other_attributes() {
    let authority = authority();
    let mut altered = signer(&authority);
    altered.value = Some(altered.signature());
    altered.replace(
        "1.2.840.113549.1.9.5",
        &der::element(0x17, b"260101000000Z"),
    );
    let case = Case::new(&authority, attached(&altered));
    refused(8, &case, Sub::SigCryptoFailure);
}

#[test]
fn step_08_signature_value_refuses_one_over_other_content() {
    let authority = authority();
    let mut bare = signer(&authority);
    bare.attributes = None;
    bare.content = b"not what is attached".to_vec();
    let mut case = Case::new(&authority, attached(&bare));
    case.policy = Policy::test();
    refused(8, &case, Sub::SigCryptoFailure);
}

#[test]
fn step_10_algorithms_accepts_strong_ones_that_agree() {
    accepted(
        10,
        &Case::new(&authority(), attached(&signer(&authority()))),
    );
    let authority = Authority::new(rsa_signer);
    let strong = signer(&authority).with_hash(Hash::Sha512);
    accepted(10, &Case::new(&authority, attached(&strong)));
}

#[test]
fn step_10_algorithms_refuses_digest_signature_and_key_that_disagree() {
    let authority = authority();
    let mut mixed = signer(&authority);
    mixed.signature_algorithm = Some(Key::p256("x").signature_algorithm(Hash::Sha512));
    refused(
        10,
        &Case::new(&authority, attached(&mixed)),
        Sub::SigCryptoFailure,
    );
    let mut foreign = signer(&authority);
    foreign.signature_algorithm = Some(Key::rsa(true).signature_algorithm(Hash::Sha256));
    refused(
        10,
        &Case::new(&authority, attached(&foreign)),
        Sub::SigCryptoFailure,
    );
    let kazakh = Authority::new(Key::kz);
    let mut half = signer(&kazakh);
    half.value = Some(half.signature());
    let half = half.with_hash(Hash::Streebog256);
    refused(
        10,
        &Case::new(&kazakh, attached(&half)),
        Sub::SigCryptoFailure,
    );
}

#[test]
fn step_10_algorithms_refuses_weak_hashes_for_new_signatures() {
    let authority = Authority::new(rsa_signer);
    for (hash, sub) in [
        (Hash::Sha1, Sub::CryptoConstraintsFailureNoPoe),
        (Hash::Md5, Sub::CryptoConstraintsFailure),
    ] {
        let weak = signer(&authority).with_hash(hash);
        let mut case = Case::new(&authority, attached(&weak));
        refused(10, &case, sub);
        case.policy = Policy::test();
        refused(10, &case, sub);
    }
}

#[test]
fn step_10_algorithms_refuses_short_rsa_keys() {
    let authority = authority();
    let bytes = signed_by(&authority, Draft::signer("Short", Key::rsa_1024()));
    let mut case = Case::new(&authority, bytes);
    refused(10, &case, Sub::CryptoConstraintsFailure);
    case.policy.rsa_bits = 1024;
    accepted(10, &case);
}

#[test]
fn step_10_algorithms_refuses_a_small_rsa_exponent_where_the_policy_does() {
    // Not every exponent has an inverse for these primes.
    let found = [3_u8, 5, 7, 11, 17].into_iter();
    let mut found =
        found.filter_map(|exponent| Some((exponent, Key::rsa_with_exponent(&[exponent])?)));
    let (exponent, key) = found.next().unwrap();
    let authority = Authority::new(|word| match word {
        "signer" | "issuer" => key.clone(),
        other => Key::p256(other),
    });
    let mut case = Case::new(&authority, attached(&signer(&authority)));
    let report = case.fails(10, Sub::CryptoConstraintsFailure);
    assert!(reason(&report, 10).contains(&format!("exponent is {exponent}")));
    assert!(reason(&report, 14).contains(&format!("CN=Issuer is {exponent}")));
    assert_eq!(
        status(&report, 8),
        Status::Passed,
        "it is right all the same"
    );
    case.policy = Policy::test();
    case.warns(10);
}

/// Made with OpenSSL: the authority's exponent is 2^64 + 1, the signer's 2^40 + 15.
#[test]
fn step_10_algorithms_accepts_long_rsa_exponents() {
    let authority = authority();
    let mut case = Case::new(
        &authority,
        include_bytes!("../rsa/long-exponent.cms.pem").to_vec(),
    );
    let anchor = Certificate::read(include_bytes!("../rsa/long-exponent.crt.pem")).unwrap();
    case.material.anchors = vec![anchor];
    case.policy = Policy::test();
    case.at = Time::parse("2027-01-01T00:00:00Z").unwrap();
    accepted(10, &case);
    case.content = Some(b"another document\n".to_vec());
    case.fails(3, Sub::HashFailure);
}

#[test]
fn step_10_algorithms_refuses_unknown_ones_as_indeterminate() {
    let authority = authority();
    let mut unknown = signer(&authority);
    unknown.signature_algorithm = Some(der::sequence(&[&der::oid("1.2.3.4.5")]));
    let case = Case::new(&authority, attached(&unknown));
    refused(10, &case, Sub::CryptoConstraintsFailure);
}

/// Signed with PSS, SHA-256 and a salt of 32 octets; the parameters may differ.
fn pss(salt: u8, mask: &str) -> Case {
    let authority = Authority::new(|word| match word {
        "signer" => Key::rsa_pss(),
        other => Key::p256(other),
    });
    let mut signer = signer(&authority);
    let hash = |dotted: &str| der::sequence(&[&der::oid(dotted), &der::null()]);
    let mask = der::sequence(&[&der::oid("1.2.840.113549.1.1.8"), &hash(mask)]);
    let parameters = der::sequence(&[
        &der::element(0xa0, &hash(SHA_256)),
        &der::element(0xa1, &mask),
        &der::element(0xa2, &der::integer(&[salt])),
    ]);
    let algorithm = der::sequence(&[&der::oid("1.2.840.113549.1.1.10"), &parameters]);
    signer.signature_algorithm = Some(algorithm);
    Case::new(&authority, attached(&signer))
}

#[test]
fn step_10_algorithms_accepts_the_parameters_of_pss() {
    accepted(10, &pss(32, SHA_256));
}

#[test]
fn step_10_algorithms_refuses_another_mask_of_pss() {
    refused(10, &pss(32, SHA_512), Sub::CryptoConstraintsFailure);
}

#[test]
fn step_08_signature_value_refuses_another_salt_of_pss() {
    refused(8, &pss(31, SHA_256), Sub::SigCryptoFailure);
}

fn protected(hash: &str) -> Case {
    let authority = authority();
    let mut signer = signer(&authority);
    let digest = der::sequence(&[&der::oid(hash)]);
    let mut algorithm = signer.algorithm();
    algorithm[0] = 0xa1;
    let value = der::sequence(&[&digest, &algorithm]);
    signer.add(attribute("1.2.840.113549.1.9.52", &value));
    Case::new(&authority, attached(&signer))
}

#[test]
fn step_10_algorithms_accepts_the_protection_attribute_that_agrees() {
    accepted(10, &protected(SHA_256));
}

#[test]
fn step_10_algorithms_refuses_a_protection_attribute_of_others() {
    refused(10, &protected("1.3.14.3.2.26"), Sub::SigCryptoFailure);
}

/// Names the signer's certificate by SHA-512, issuer and serial number.
fn named(authority: &Authority, issuer: &Identity, serial: &[u8]) -> Case {
    let digest = der::octets(&Hash::Sha512.digest(&authority.signer.der));
    let algorithm = der::sequence(&[&der::oid(SHA_512)]);
    let directory = der::element(0xa4, issuer.certificate().subject.raw());
    let pair = der::sequence(&[&der::sequence(&[&directory]), &der::integer(serial)]);
    let ids = der::sequence(&[&der::sequence(&[&algorithm, &digest, &pair])]);
    let mut signer = signer(authority);
    signer.replace(SIGNING_CERTIFICATE_V2, &der::sequence(&[&ids]));
    Case::new(authority, attached(&signer))
}

#[test]
fn step_11_signing_certificate_accepts_the_one_that_signed() {
    let authority = authority();
    accepted(11, &Case::new(&authority, attached(&signer(&authority))));
    let serial = authority.signer.certificate().serial;
    accepted(11, &named(&authority, &authority.issuer, &serial));
}

#[test]
fn step_11_signing_certificate_refuses_another_one() {
    let authority = authority();
    let mut other = signer(&authority);
    other.remove(SIGNING_CERTIFICATE_V2);
    other.add(Signer::signing_certificate(&authority.time_stamper));
    let serial = authority.signer.certificate().serial;
    for case in [
        Case::new(&authority, attached(&other)),
        named(&authority, &authority.issuer, &[1, 2, 3]),
        named(&authority, &authority.root, &serial),
    ] {
        refused(11, &case, Sub::NoSigningCertificateFound);
    }
}

#[test]
fn step_11_signing_certificate_accepts_none_and_sha_1_with_a_warning() {
    let authority = authority();
    let mut missing = signer(&authority);
    missing.remove(SIGNING_CERTIFICATE_V2);
    Case::new(&authority, attached(&missing)).warns(11);
    let digest = der::octets(&Hash::Sha1.digest(&authority.signer.der));
    let ids = der::sequence(&[&der::sequence(&[&digest])]);
    missing.add(attribute(SIGNING_CERTIFICATE, &der::sequence(&[&ids])));
    Case::new(&authority, attached(&missing)).warns(11);
}

#[test]
fn step_11_signing_certificate_refuses_none_where_the_policy_does() {
    let authority = authority();
    let mut missing = signer(&authority);
    missing.remove(SIGNING_CERTIFICATE_V2);
    let mut strict = Case::new(&authority, attached(&missing));
    strict.policy.no_signing_certificate = Severity::Fail;
    refused(11, &strict, Sub::SigConstraintsFailure);
}
