//! Steps 1 and 2: forms of the bytes, and the outer structure.

use super::{CONTENT, Case, attached, authority, signer};
use prichal_sign::testing::{Cms, der, indefinite};
use prichal_sign::{Limits, ReadError, Request, SubIndication as Sub, Verdict, validate};

#[test]
fn der_ber_pem_and_base64_are_one() {
    use std::fmt::Write;
    let authority = authority();
    let der = attached(&signer(&authority));
    let report = Case::new(&authority, der.clone()).passes();
    let mut text = String::new();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in der.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let sextet = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap();
            text.push(if place > chunk.len() {
                '='
            } else {
                char::from(alphabet[sextet])
            });
        }
    }
    let mut pem = String::from("-----BEGIN CMS-----\n");
    for line in text.as_bytes().chunks(64) {
        writeln!(pem, "{}", String::from_utf8_lossy(line)).unwrap();
    }
    pem.push_str("-----END CMS-----\n");
    for form in [text.into_bytes(), pem.into_bytes()] {
        assert_eq!(Case::new(&authority, form).passes(), report);
    }
    // Indefinite lengths down to the signed attributes, the content in segments.
    for depth in 1..=4 {
        let ber = indefinite(&der, depth);
        assert_ne!(ber, der);
        Case::new(&authority, ber).passes();
    }
}

#[test]
fn signed_attributes_in_ber_are_verified_as_der() {
    let authority = authority();
    let signer = signer(&authority);
    let mut cms = Cms::attached(CONTENT, &[&signer]);
    cms.signers = vec![indefinite(&signer.encode(), 3)];
    Case::new(&authority, cms.encode()).warns(8);
}

#[test]
fn unreadable_bytes_are_a_format_failure_that_the_caller_can_tell() {
    let authority = authority();
    let good = attached(&signer(&authority));
    let trailing = [good.clone(), vec![0]].concat();
    let truncated = good[..good.len() - 1].to_vec();
    let compressed = der::sequence(&[
        &der::oid("1.2.840.113549.1.9.16.1.9"),
        &der::element(0xa0, &der::null()),
    ]);
    // Something more inside of the outer sequence.
    let mut members = Vec::new();
    let mut rest = &good[4..];
    while !rest.is_empty() {
        let length = if rest[1] == 0x82 {
            4 + usize::from(rest[2]) * 256 + usize::from(rest[3])
        } else {
            2 + usize::from(rest[1])
        };
        members.push(&rest[..length]);
        rest = &rest[length..];
    }
    assert_eq!(der::sequence(&members), good);
    members.push(&[5, 0]);
    let longer = der::sequence(&members);
    let deep = [0x30, 0x80].repeat(100);
    for bytes in [
        trailing,
        truncated,
        compressed,
        longer,
        deep,
        vec![],
        b"no signature".to_vec(),
    ] {
        let report = Case::new(&authority, bytes).report();
        assert_eq!(
            super::verdict(&report),
            (Verdict::TotalFailed, Some(Sub::FormatFailure))
        );
        assert!(report.unreadable.is_some());
        assert!(report.signers.is_empty());
    }
}

#[test]
fn limits_refuse_before_anything_is_kept() {
    let authority = authority();
    let bytes = attached(&signer(&authority));
    let policy = prichal_sign::Policy::kz();
    let mut request = Request::new(&bytes, &policy, super::NOW);
    let material = authority.material();
    request.limits = Limits {
        size: 100,
        ..Limits::SIGNATURE
    };
    let report = validate(&request, &material);
    assert_eq!(report.unreadable, Some(ReadError::TooLarge { limit: 100 }));
    request.limits = Limits {
        elements: 50,
        ..Limits::SIGNATURE
    };
    let report = validate(&request, &material);
    assert!(matches!(report.unreadable, Some(ReadError::TooMany { .. })));
    request.limits = Limits {
        depth: 5,
        ..Limits::SIGNATURE
    };
    let report = validate(&request, &material);
    assert_eq!(report.unreadable, Some(ReadError::TooDeep { limit: 5 }));
    let mut many = Cms::attached(CONTENT, &[&signer(&authority)]);
    many.certificates = vec![authority.signer.der.clone(); 300];
    let report = Case::new(&authority, many.encode()).report();
    assert!(matches!(report.unreadable, Some(ReadError::TooMany { .. })));
}

#[test]
fn no_signer_is_not_valid() {
    let authority = authority();
    let mut cms = Cms::attached(CONTENT, &[&signer(&authority)]);
    cms.signers.clear();
    let report = Case::new(&authority, cms.encode()).report();
    assert_eq!(
        super::verdict(&report),
        (Verdict::TotalFailed, Some(Sub::FormatFailure))
    );
    assert!(report.unreadable.is_none());
}

#[test]
fn impossible_versions_fail_and_unusual_ones_warn() {
    let authority = authority();
    let mut cms = Cms::attached(CONTENT, &[&signer(&authority)]);
    cms.version = 3;
    Case::new(&authority, cms.encode()).warns(2);
    cms.version = 9;
    Case::new(&authority, cms.encode()).fails(2, Sub::FormatFailure);
}

#[test]
fn an_unreadable_certificate_beside_the_right_one_is_skipped() {
    let authority = authority();
    let mut cms = Cms::attached(CONTENT, &[&signer(&authority)]);
    cms.certificates.push(der::sequence(&[&der::null()]));
    Case::new(&authority, cms.encode()).warns(1);
}
