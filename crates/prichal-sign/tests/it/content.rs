//! Steps 3, 5, 6, 7 and 9: the content and the signed attributes.

use super::{CONTENT, Case, attached, authority, signer};
use prichal_sign::testing::{Cms, Signer, attribute, der};
use prichal_sign::{Hash, Policy, SubIndication as Sub};

const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
const TEXT: &str = "1.2.840.113549.1.9.16.1.99";

#[test]
fn a_detached_signature_needs_its_content() {
    let authority = authority();
    let mut case = Case::new(&authority, Cms::detached(&[&signer(&authority)]).encode());
    case.fails(3, Sub::SignedDataNotFound);
    case.content = Some(CONTENT.to_vec());
    case.passes();
}

#[test]
fn attached_and_given_content_must_be_equal() {
    let authority = authority();
    let mut case = Case::new(&authority, attached(&signer(&authority)));
    case.content = Some(CONTENT.to_vec());
    case.passes();
    case.content = Some(b"something else".to_vec());
    case.fails(3, Sub::HashFailure);
}

#[test]
fn other_content_types_need_a_policy_that_allows_them_and_signed_attributes() {
    let authority = authority();
    let mut typed = Signer::of_type(&authority.signer, CONTENT, TEXT, Some(super::NOW));
    let encode = |signer: &Signer| {
        let mut cms = Cms::attached(CONTENT, &[signer]);
        cms.content_type = TEXT;
        cms.version = 3;
        cms.encode()
    };
    let mut case = Case::new(&authority, encode(&typed));
    case.fails(3, Sub::SigConstraintsFailure);
    case.policy = Policy::eu_baseline();
    case.passes();
    typed.attributes = None;
    case.policy = Policy::test();
    case.signature = encode(&typed);
    case.fails(5, Sub::FormatFailure);
}

#[test]
fn no_signed_attributes_is_for_trials_only() {
    let authority = authority();
    let mut bare = signer(&authority);
    bare.attributes = None;
    let mut case = Case::new(&authority, attached(&bare));
    case.fails(5, Sub::FormatFailure);
    case.policy = Policy::test();
    case.warns(5);
    case.content = None;
    bare.content = b"not what is attached".to_vec();
    case.signature = attached(&bare);
    case.fails(8, Sub::SigCryptoFailure);
}

#[test]
fn attributes_come_once_with_one_value() {
    let authority = authority();
    for kind in [
        CONTENT_TYPE,
        MESSAGE_DIGEST,
        "1.2.840.113549.1.9.5",
        "1.2.840.113549.1.9.16.2.47",
    ] {
        let original = signer(&authority);
        let wanted = der::oid(kind);
        let own = original
            .attributes
            .iter()
            .flatten()
            .find(|raw| raw.windows(wanted.len()).any(|window| window == wanted));
        let mut twice = original.clone();
        twice.add(own.unwrap().clone());
        Case::new(&authority, attached(&twice)).fails(5, Sub::FormatFailure);
    }
    let mut two_values = signer(&authority);
    let digest = der::octets(&Hash::Sha256.digest(CONTENT));
    two_values.replace(MESSAGE_DIGEST, &digest.repeat(2));
    Case::new(&authority, attached(&two_values)).fails(5, Sub::FormatFailure);
    for kind in [CONTENT_TYPE, MESSAGE_DIGEST] {
        let mut missing = signer(&authority);
        missing.remove(kind);
        Case::new(&authority, attached(&missing)).fails(5, Sub::FormatFailure);
    }
}

#[test]
fn the_content_type_attribute_names_the_content() {
    let authority = authority();
    let mut other = signer(&authority);
    other.replace(CONTENT_TYPE, &der::oid(TEXT));
    Case::new(&authority, attached(&other)).fails(6, Sub::FormatFailure);
}

#[test]
fn the_message_digest_is_of_the_content() {
    let authority = authority();
    let mut other = signer(&authority);
    other.replace(MESSAGE_DIGEST, &der::octets(&Hash::Sha256.digest(b"else")));
    Case::new(&authority, attached(&other)).fails(7, Sub::HashFailure);
    let mut short = signer(&authority);
    short.replace(
        MESSAGE_DIGEST,
        &der::octets(&Hash::Sha256.digest(CONTENT)[..16]),
    );
    Case::new(&authority, attached(&short)).fails(7, Sub::HashFailure);
}

#[test]
fn content_that_is_a_set_of_attributes_is_refused() {
    let authority = authority();
    let good = signer(&authority);
    // The attributes of a right signature, handed out as the content of one without attributes.
    let mut list = good.attributes.clone().unwrap();
    list.sort();
    let set = der::element(0x31, &list.concat());
    let mut bare = good.clone();
    bare.attributes = None;
    bare.content.clone_from(&set);
    let mut case = Case::new(&authority, Cms::attached(&set, &[&bare]).encode());
    case.policy = Policy::test();
    case.fails(9, Sub::FormatFailure);
    let harmless = der::element(0x31, &attribute(TEXT, &der::null()));
    bare.content.clone_from(&harmless);
    case.signature = Cms::attached(&harmless, &[&bare]).encode();
    case.passes();
}
