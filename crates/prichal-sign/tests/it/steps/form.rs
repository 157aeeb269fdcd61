//! Steps 1 and 2: the encoding and the outer structure.

use super::{
    CONTENT, Case, Status, Sub, accepted, attached, authority, reason, refused, refused_as_a_whole,
    signer,
};
use crate::NOW;
use prichal_sign::testing::{Cms, Signer, der, indefinite};
use prichal_sign::{Limits, ReadError, Request, validate};

#[test]
fn step_01_format_accepts_der_ber_pem_and_base64() {
    use std::fmt::Write;
    let authority = authority();
    let der = attached(&signer(&authority));
    let report = accepted(1, &Case::new(&authority, der.clone()));
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
        assert_eq!(accepted(1, &Case::new(&authority, form)), report);
    }
    // Indefinite lengths down to the signed attributes, and the content in segments.
    for depth in 1..=4 {
        let ber = indefinite(&der, depth);
        assert_ne!(ber, der);
        accepted(1, &Case::new(&authority, ber));
    }
}

#[test]
fn step_01_format_accepts_an_unreadable_certificate_beside_the_right_one_with_a_warning() {
    let authority = authority();
    let mut cms = Cms::attached(CONTENT, &[&signer(&authority)]);
    cms.certificates.push(der::sequence(&[&der::null()]));
    Case::new(&authority, cms.encode()).warns(1);
}

#[test]
fn step_01_format_refuses_unreadable_bytes_with_a_distinct_error() {
    let authority = authority();
    let good = attached(&signer(&authority));
    let trailing = [good.clone(), vec![0, 0, 1]].concat();
    let much = [good.clone(), vec![0; (1 << 20) + 1]].concat();
    let truncated = good[..good.len() - 1].to_vec();
    // A further member inside of the outer sequence.
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
        much,
        truncated,
        longer,
        deep,
        vec![],
        b"no signature".to_vec(),
    ] {
        let report = refused_as_a_whole(&Case::new(&authority, bytes), Sub::FormatFailure);
        assert!(report.unreadable.is_some());
    }
}

/// A signature in the space that a PDF reserves for it.
#[test]
fn step_01_format_accepts_zeros_after_it_with_a_warning() {
    let authority = authority();
    let good = attached(&signer(&authority));
    for form in [good.clone(), indefinite(&good, 3)] {
        for count in [1, 4096, 1 << 20] {
            let padded = [form.clone(), vec![0; count]].concat();
            let report = Case::new(&authority, padded).warns(1);
            let bytes = if count == 1 { "byte" } else { "bytes" };
            assert!(reason(&report, 1).contains(&format!("{count} zero {bytes}")));
        }
    }
}

#[test]
fn step_01_format_refuses_input_beyond_the_limits() {
    let authority = authority();
    let bytes = attached(&signer(&authority));
    let policy = prichal_sign::Policy::kz();
    let mut request = Request::new(&bytes, &policy, NOW);
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
    let report = refused_as_a_whole(&Case::new(&authority, many.encode()), Sub::FormatFailure);
    assert!(matches!(report.unreadable, Some(ReadError::TooMany { .. })));
}

#[test]
fn step_02_signed_data_refuses_no_signer() {
    let authority = authority();
    let mut cms = Cms::attached(CONTENT, &[&signer(&authority)]);
    cms.signers.clear();
    let report = refused_as_a_whole(&Case::new(&authority, cms.encode()), Sub::FormatFailure);
    assert!(report.unreadable.is_none());
}

#[test]
fn step_02_signed_data_refuses_another_content_type() {
    let compressed = der::sequence(&[
        &der::oid("1.2.840.113549.1.9.16.1.9"),
        &der::element(0xa0, &der::null()),
    ]);
    let case = Case::new(&authority(), compressed);
    let report = refused_as_a_whole(&case, Sub::FormatFailure);
    assert!(matches!(
        report.unreadable,
        Some(ReadError::ContentType { .. })
    ));
}

#[test]
fn step_02_signed_data_accepts_the_version_that_its_members_ask_for() {
    let authority = authority();
    let mut by_id = signer(&authority);
    accepted(2, &Case::new(&authority, attached(&by_id)));
    by_id.by_key_id = true;
    accepted(2, &Case::new(&authority, attached(&by_id)));
}

#[test]
fn step_02_signed_data_accepts_inconsistent_versions_with_a_warning() {
    let authority = authority();
    let mut cms = Cms::attached(CONTENT, &[&signer(&authority)]);
    for version in [3, 4, 5] {
        cms.version = version;
        Case::new(&authority, cms.encode()).warns(2);
    }
    for (by_key_id, version) in [(false, 3), (true, 1)] {
        let mut signer = signer(&authority);
        signer.by_key_id = by_key_id;
        signer.version = Some(version);
        Case::new(&authority, attached(&signer)).warns(2);
    }
}

#[test]
fn step_02_signed_data_refuses_undefined_versions() {
    let authority = authority();
    let mut cms = Cms::attached(CONTENT, &[&signer(&authority)]);
    for version in [0, 2, 6, 99] {
        cms.version = version;
        refused(2, &Case::new(&authority, cms.encode()), Sub::FormatFailure);
        let mut signer = signer(&authority);
        signer.version = Some(version);
        let case = Case::new(&authority, attached(&signer));
        refused(2, &case, Sub::FormatFailure);
    }
}

#[test]
fn step_02_signed_data_refuses_only_the_signer_with_an_undefined_version() {
    let authority = authority();
    let mut other = Signer::new(&authority.signer, CONTENT, NOW.plus(-30));
    other.version = Some(99);
    let bytes = Cms::attached(CONTENT, &[&signer(&authority), &other]).encode();
    let report = Case::new(&authority, bytes).report();
    let statuses: Vec<Status> = report.signers.iter().map(|s| s.steps[1].status).collect();
    assert_eq!(statuses, [Status::Passed, Status::Failed]);
}
