//! Steps 3, 5, 6, 7 and 9: the content and the signed attributes.

use super::{CONTENT, Case, Sub, accepted, attached, authority, refused, signer};
use crate::NOW;
use prichal_sign::testing::{Authority, Cms, Signer, attribute, der};
use prichal_sign::{Hash, Policy};

const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
const SIGNING_TIME: &str = "1.2.840.113549.1.9.5";
const TEXT: &str = "1.2.840.113549.1.9.16.1.99";

fn of_type_text(authority: &Authority, change: impl FnOnce(&mut Signer)) -> Case {
    let mut signer = Signer::of_type(&authority.signer, CONTENT, TEXT, Some(NOW));
    change(&mut signer);
    let mut cms = Cms::attached(CONTENT, &[&signer]);
    cms.content_type = TEXT;
    cms.version = 3;
    Case::new(authority, cms.encode())
}

#[test]
fn step_03_content_accepts_detached_content_that_is_given() {
    let authority = authority();
    let mut case = Case::new(&authority, Cms::detached(&[&signer(&authority)]).encode());
    case.content = Some(CONTENT.to_vec());
    accepted(3, &case);
}

#[test]
fn step_03_content_refuses_a_detached_signature_alone() {
    let authority = authority();
    let case = Case::new(&authority, Cms::detached(&[&signer(&authority)]).encode());
    refused(3, &case, Sub::SignedDataNotFound);
}

#[test]
fn step_03_content_accepts_attached_content_beside_the_same_bytes() {
    let authority = authority();
    let mut case = Case::new(&authority, attached(&signer(&authority)));
    accepted(3, &case);
    case.content = Some(CONTENT.to_vec());
    accepted(3, &case);
}

#[test]
fn step_03_content_refuses_attached_content_beside_other_bytes() {
    let authority = authority();
    let mut case = Case::new(&authority, attached(&signer(&authority)));
    case.content = Some(b"something else".to_vec());
    refused(3, &case, Sub::HashFailure);
}

#[test]
fn step_03_content_accepts_another_type_where_the_policy_does() {
    let mut case = of_type_text(&authority(), |_| {});
    case.policy = Policy::eu_baseline();
    accepted(3, &case);
}

#[test]
fn step_03_content_refuses_another_type_elsewhere() {
    let case = of_type_text(&authority(), |_| {});
    refused(3, &case, Sub::SigConstraintsFailure);
}

#[test]
fn step_05_signed_attributes_accepts_each_once_with_one_value() {
    let authority = authority();
    accepted(5, &Case::new(&authority, attached(&signer(&authority))));
}

#[test]
fn step_05_signed_attributes_accepts_none_with_a_warning_in_trials() {
    let authority = authority();
    let mut bare = signer(&authority);
    bare.attributes = None;
    let mut case = Case::new(&authority, attached(&bare));
    case.policy = Policy::test();
    case.warns(5);
}

#[test]
fn step_05_signed_attributes_accepts_unsigned_twins_with_a_warning() {
    let authority = authority();
    let of = |kind: &str| {
        let mut signer = signer(&authority);
        signer.unsigned = vec![attribute(kind, &der::null())];
        Case::new(&authority, attached(&signer))
    };
    for kind in [
        CONTENT_TYPE,
        MESSAGE_DIGEST,
        SIGNING_TIME,
        "1.2.840.113549.1.9.16.2.12",
        "1.2.840.113549.1.9.16.2.47",
    ] {
        for policy in [Policy::kz(), Policy::ru(), Policy::eu_baseline()] {
            let mut case = of(kind);
            case.policy = policy;
            case.warns(5);
        }
    }
    accepted(5, &of("1.2.3.4.5"));
}

#[test]
fn step_05_signed_attributes_refuses_none() {
    let authority = authority();
    let mut bare = signer(&authority);
    bare.attributes = None;
    let case = Case::new(&authority, attached(&bare));
    refused(5, &case, Sub::FormatFailure);
    let mut typed = of_type_text(&authority, |signer| signer.attributes = None);
    typed.policy = Policy::test();
    refused(5, &typed, Sub::FormatFailure);
}

#[test]
fn step_05_signed_attributes_refuses_one_that_comes_twice() {
    let authority = authority();
    for kind in [
        CONTENT_TYPE,
        MESSAGE_DIGEST,
        SIGNING_TIME,
        "1.2.840.113549.1.9.16.2.47",
    ] {
        let mut twice = signer(&authority);
        let wanted = der::oid(kind);
        let mut own = twice.attributes.iter().flatten();
        let own = own.find(|raw| raw.windows(wanted.len()).any(|window| window == wanted));
        let own = own.unwrap().clone();
        twice.add(own);
        let case = Case::new(&authority, attached(&twice));
        refused(5, &case, Sub::FormatFailure);
    }
}

#[test]
fn step_05_signed_attributes_refuses_two_values() {
    let authority = authority();
    let mut two_values = signer(&authority);
    let digest = der::octets(&Hash::Sha256.digest(CONTENT));
    two_values.replace(MESSAGE_DIGEST, &digest.repeat(2));
    let case = Case::new(&authority, attached(&two_values));
    refused(5, &case, Sub::FormatFailure);
}

#[test]
fn step_05_signed_attributes_refuses_a_missing_content_type_or_digest() {
    let authority = authority();
    for kind in [CONTENT_TYPE, MESSAGE_DIGEST] {
        let mut missing = signer(&authority);
        missing.remove(kind);
        let case = Case::new(&authority, attached(&missing));
        refused(5, &case, Sub::FormatFailure);
    }
}

#[test]
fn step_06_content_type_accepts_the_type_of_the_content() {
    let authority = authority();
    accepted(6, &Case::new(&authority, attached(&signer(&authority))));
    let mut typed = of_type_text(&authority, |_| {});
    typed.policy = Policy::eu_baseline();
    accepted(6, &typed);
}

#[test]
fn step_06_content_type_refuses_another_type() {
    let authority = authority();
    for value in [der::oid(TEXT), der::null()] {
        let mut other = signer(&authority);
        other.replace(CONTENT_TYPE, &value);
        let case = Case::new(&authority, attached(&other));
        refused(6, &case, Sub::FormatFailure);
    }
}

#[test]
fn step_07_message_digest_accepts_that_of_the_content() {
    let authority = authority();
    accepted(7, &Case::new(&authority, attached(&signer(&authority))));
}

#[test]
fn step_07_message_digest_refuses_that_of_other_content() {
    let authority = authority();
    let other = Hash::Sha256.digest(b"else");
    let short = &Hash::Sha256.digest(CONTENT)[..16];
    for digest in [&other, short] {
        let mut signer = signer(&authority);
        signer.replace(MESSAGE_DIGEST, &der::octets(digest));
        let case = Case::new(&authority, attached(&signer));
        refused(7, &case, Sub::HashFailure);
    }
}

#[test]
fn step_07_message_digest_refuses_an_unknown_algorithm() {
    let authority = authority();
    let mut unknown = signer(&authority);
    unknown.digest_oid = "1.2.3.4.6";
    let case = Case::new(&authority, attached(&unknown));
    case.fails(7, Sub::CryptoConstraintsFailure);
}

/// A signature over the content without attributes, under the only policy that allows it.
fn without_attributes(authority: &Authority, content: &[u8]) -> Case {
    let mut bare = signer(authority);
    bare.attributes = None;
    bare.content = content.to_vec();
    let mut case = Case::new(authority, Cms::attached(content, &[&bare]).encode());
    case.policy = Policy::test();
    case
}

#[test]
fn step_09_attribute_confusion_accepts_a_set_without_a_digest() {
    let authority = authority();
    let harmless = der::element(0x31, &attribute(TEXT, &der::null()));
    accepted(9, &without_attributes(&authority, &harmless));
    accepted(9, &Case::new(&authority, attached(&signer(&authority))));
}

#[test]
fn step_09_attribute_confusion_refuses_attributes_as_content() {
    // The attributes of a valid signature, presented as the content of a signature without attributes.
    let authority = authority();
    let mut list = signer(&authority).attributes.unwrap();
    list.sort();
    let set = der::element(0x31, &list.concat());
    refused(9, &without_attributes(&authority, &set), Sub::FormatFailure);
}
