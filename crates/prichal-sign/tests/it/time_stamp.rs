//! Steps 12, 13 and 19: time-stamps and the best signature time.

use super::{CONTENT, Case, attached, authority, reason, signer, status};
use prichal_sign::testing::{
    Authority, Cms, CrlDraft, Draft, Key, NOW, Signer, TimeStamp, attribute, der, extension,
};
use prichal_sign::{Policy, Status, SubIndication as Sub, Time};

fn stamped(authority: &Authority, change: impl FnOnce(&mut TimeStamp)) -> Vec<u8> {
    let mut signer = signer(authority);
    let mut stamp = TimeStamp::new(&authority.time_stamper, &signer.signature(), NOW.plus(-50));
    change(&mut stamp);
    signer.unsigned.push(stamp.attribute());
    attached(&signer)
}

#[test]
fn the_earliest_valid_time_stamp_is_the_best_time() {
    let authority = authority();
    let mut twice = signer(&authority);
    for age in [30, 50, 40] {
        let stamp = TimeStamp::new(&authority.time_stamper, &twice.signature(), NOW.plus(-age));
        twice.unsigned.push(stamp.attribute());
    }
    let report = Case::new(&authority, attached(&twice)).passes();
    assert_eq!(report.signers[0].best_time, NOW.plus(-50));
    let bare = Case::new(&authority, attached(&signer(&authority))).passes();
    assert_eq!(bare.signers[0].best_time, NOW);
    assert_eq!(status(&bare, 13), Status::Skipped);
}

#[test]
fn a_time_stamp_outlives_the_signers_certificate() {
    let authority = authority();
    let end = NOW.plus(-86_400);
    let draft = Draft {
        not_after: end,
        ..Draft::signer("Old", Key::p256("old"))
    };
    let identity = draft.issued_by(&authority.issuer);
    let list = CrlDraft::new(end.plus(-60)).signed_by(&authority.issuer);
    for (age, passes) in [(3600, true), (-3600, false)] {
        let mut signer = Signer::new(&identity, CONTENT, end.plus(-7200));
        let stamp = TimeStamp::new(&authority.time_stamper, &signer.signature(), end.plus(-age));
        signer.unsigned.push(stamp.attribute());
        let mut case = Case::new(&authority, attached(&signer));
        case.material.crls.push(super::crl(&list));
        if passes {
            case.passes();
        } else {
            case.fails(14, Sub::OutOfBoundsNoPoe);
        }
    }
}

#[test]
fn the_claimed_time_is_only_a_claim() {
    let authority = authority();
    let early = Time::parse("2020-01-01T00:00:00Z").unwrap();
    let signer = Signer::new(&authority.signer, CONTENT, early);
    let report = Case::new(&authority, attached(&signer)).warns(12);
    assert_eq!(report.signers[0].signing_time, Some(early));
    assert_eq!(report.signers[0].best_time, NOW);
    let late = Signer::new(&authority.signer, CONTENT, NOW.plus(86_400));
    Case::new(&authority, attached(&late)).warns(12);
}

#[test]
fn a_token_of_another_signature_fails() {
    let authority = authority();
    let other = Signer::new(&authority.signer, b"another document", NOW.plus(-60));
    let value = other.signature();
    let bytes = stamped(&authority, |stamp| {
        *stamp = TimeStamp::new(&authority.time_stamper, &value, NOW.plus(-50));
    });
    Case::new(&authority, bytes).fails(13, Sub::HashFailure);
    // The imprint is of the signature value, not of the content.
    let bytes = stamped(&authority, |stamp| {
        *stamp = TimeStamp::new(&authority.time_stamper, CONTENT, NOW.plus(-50));
    });
    let mut case = Case::new(&authority, bytes);
    case.fails(13, Sub::HashFailure);
    case.policy = Policy::test();
    case.fails(13, Sub::HashFailure);
}

#[test]
fn a_broken_token_is_not_passed_over() {
    let authority = authority();
    let wrong_value = stamped(&authority, |stamp| {
        stamp.change = |signer| signer.value = Some(signer.identity.key.sign(signer.hash, b"else"));
    });
    Case::new(&authority, wrong_value).fails(13, Sub::SigCryptoFailure);
    let wrong_digest = stamped(&authority, |stamp| {
        stamp.change = |signer| signer.replace("1.2.840.113549.1.9.4", &der::octets(&[0; 32]));
    });
    Case::new(&authority, wrong_digest).fails(13, Sub::HashFailure);
    let no_certificate_id = stamped(&authority, |stamp| {
        stamp.change = |signer| signer.remove("1.2.840.113549.1.9.16.2.47");
    });
    Case::new(&authority, no_certificate_id).fails(13, Sub::SigConstraintsFailure);
    let no_token = stamped(&authority, |stamp| {
        stamp.content_type = "1.2.840.113549.1.7.1";
    });
    Case::new(&authority, no_token).fails(13, Sub::FormatFailure);
    let mut garbage = signer(&authority);
    garbage
        .unsigned
        .push(attribute("1.2.840.113549.1.9.16.2.14", &der::null()));
    Case::new(&authority, attached(&garbage)).fails(13, Sub::FormatFailure);
    let future = stamped(&authority, |stamp| stamp.time = NOW.plus(3600));
    Case::new(&authority, future).fails(13, Sub::TimestampOrderFailure);
}

#[test]
fn time_stamps_are_for_keys_certified_for_them_alone() {
    let authority = authority();
    let stamping = "1.3.6.1.5.5.7.3.8";
    for (purposes, critical) in [
        (vec![stamping], false),
        (vec![stamping, "1.3.6.1.5.5.7.3.4"], true),
        (vec![], true),
    ] {
        let draft = Draft {
            purposes,
            purposes_critical: critical,
            ..Draft::time_stamper("Time 2", Key::p256("time 2"))
        };
        let identity = draft.issued_by(&authority.issuer);
        let bytes = stamped(&authority, |stamp| stamp.authority = identity);
        Case::new(&authority, bytes).fails(13, Sub::ChainConstraintsFailure);
    }
}

#[test]
fn an_authority_does_not_stamp_and_unknown_duties_are_refused() {
    let authority = authority();
    let draft = Draft {
        authority: Some(None),
        ..Draft::time_stamper("Time 2", Key::p256("time 2"))
    };
    let identity = draft.issued_by(&authority.issuer);
    let bytes = stamped(&authority, |stamp| stamp.authority = identity);
    Case::new(&authority, bytes).fails(13, Sub::ChainConstraintsFailure);
    for (critical, passes) in [(false, true), (true, false)] {
        let bytes = stamped(&authority, |stamp| {
            stamp.extensions = vec![extension("1.2.3.4.5", critical, &der::null())];
        });
        let case = Case::new(&authority, bytes);
        if passes {
            case.passes();
        } else {
            case.fails(13, Sub::FormatFailure);
        }
    }
}

#[test]
fn the_stampers_certificate_must_be_valid_then() {
    let authority = authority();
    let draft = |from: i64, to: i64| Draft {
        not_before: NOW.plus(from),
        not_after: NOW.plus(to),
        ..Draft::time_stamper("Time 2", Key::p256("time 2"))
    };
    let over = draft(-86_400, -3600).issued_by(&authority.issuer);
    let bytes = stamped(&authority, |stamp| stamp.authority = over);
    Case::new(&authority, bytes).fails(13, Sub::OutOfBoundsNoPoe);
    // Over by now, but not then.
    let since = draft(-86_400, -30).issued_by(&authority.issuer);
    let bytes = stamped(&authority, |stamp| stamp.authority = since);
    let mut case = Case::new(&authority, bytes);
    let list = CrlDraft::new(NOW.plus(-40)).signed_by(&authority.issuer);
    case.material.crls.push(super::crl(&list));
    case.passes();
    let stranger = Authority::new(|word| Key::p256(&format!("stranger {word}")));
    let bytes = stamped(&authority, |stamp| stamp.authority = stranger.time_stamper);
    Case::new(&authority, bytes).fails(13, Sub::NoCertificateChainFound);
}

#[test]
fn a_compromised_stamper_spoils_earlier_tokens_too() {
    let authority = authority();
    let bytes = authority.time_stamper.certificate().serial;
    let number = bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b));
    let signature = stamped(&authority, |_| {});
    for (at, code, passes) in [
        (NOW.plus(-10), Some(5), true),
        (NOW.plus(-10), Some(1), false),
        (NOW.plus(-10), None, false),
        (NOW.plus(-3600), Some(5), false),
    ] {
        let list = CrlDraft {
            entries: vec![(number, at, code)],
            ..CrlDraft::new(NOW.plus(-5))
        };
        let mut case = Case::new(&authority, signature.clone());
        case.material.crls[1] = super::crl(&list.signed_by(&authority.issuer));
        if passes {
            case.passes();
        } else {
            case.fails(13, Sub::Revoked);
        }
    }
}

#[test]
fn policies_of_time_stamps_may_be_limited() {
    let authority = authority();
    let mut case = Case::new(&authority, stamped(&authority, |_| {}));
    case.policy.time_stamp_policies = vec!["1.2.398.3.3.2.6.4".to_owned()];
    case.passes();
    case.policy.time_stamp_policies = vec!["1.2.398.3.3.2.6.2".to_owned()];
    case.fails(13, Sub::SigConstraintsFailure);
}

#[test]
fn content_time_stamps_are_checked_and_come_before_the_signature() {
    let authority = authority();
    let with = |stamped: &[u8], age: i64| {
        let mut signer = signer(&authority);
        let before = TimeStamp::new(&authority.time_stamper, stamped, NOW.plus(-age));
        signer.add(attribute("1.2.840.113549.1.9.16.2.20", &before.encode()));
        let stamp = TimeStamp::new(&authority.time_stamper, &signer.signature(), NOW.plus(-50));
        signer.unsigned.push(stamp.attribute());
        Case::new(&authority, attached(&signer))
    };
    with(CONTENT, 90).passes();
    with(CONTENT, 20).fails(12, Sub::TimestampOrderFailure);
    with(b"else", 90).fails(13, Sub::HashFailure);
}

#[test]
fn content_that_was_stamped_after_the_end_of_the_certificate_was_signed_too_late() {
    let authority = authority();
    for (end, late) in [(NOW.plus(-30), false), (NOW.plus(-90), true)] {
        let draft = Draft {
            not_after: end,
            ..Draft::signer("Old", Key::p256("old"))
        };
        let identity = draft.issued_by(&authority.issuer);
        let mut signer = Signer::new(&identity, CONTENT, NOW.plus(-60));
        let before = TimeStamp::new(&authority.time_stamper, CONTENT, NOW.plus(-60));
        signer.add(attribute("1.2.840.113549.1.9.16.2.20", &before.encode()));
        let case = Case::new(&authority, attached(&signer));
        if late {
            case.fails(12, Sub::Expired);
        } else {
            case.fails(14, Sub::OutOfBoundsNoPoe);
        }
    }
}

fn archived(authority: &Authority, change: impl FnOnce(&mut Cms, &mut Signer)) -> Vec<u8> {
    let mut signer = signer(authority);
    let stamp = TimeStamp::new(&authority.time_stamper, &signer.signature(), NOW.plus(-50));
    signer.unsigned.push(stamp.attribute());
    let mut cms = Cms::attached(CONTENT, &[&signer]);
    cms.revocation
        .push(CrlDraft::new(NOW.plus(-45)).signed_by(&authority.issuer));
    let archive = TimeStamp::archive(
        &authority.time_stamper,
        &cms,
        &signer,
        CONTENT,
        NOW.plus(-40),
    );
    signer.unsigned.push(archive);
    change(&mut cms, &mut signer);
    cms.signers = vec![signer.encode()];
    cms.encode()
}

#[test]
fn an_archive_time_stamp_is_verified_over_its_pieces() {
    let authority = authority();
    let report = Case::new(&authority, archived(&authority, |_, _| {})).passes();
    assert_eq!(status(&report, 19), Status::Passed);
    // What is added later is not covered and does no harm.
    let more = archived(&authority, |cms, _| {
        cms.certificates.push(authority.issuer.der.clone());
    });
    Case::new(&authority, more).passes();
    // What was covered may not be gone or altered.
    let fewer = archived(&authority, |cms, _| cms.revocation.clear());
    Case::new(&authority, fewer).fails(19, Sub::FormatFailure);
    let other_stamp = archived(&authority, |_, signer| {
        let stamp = TimeStamp::new(&authority.time_stamper, &signer.signature(), NOW.plus(-49));
        signer.unsigned[0] = stamp.attribute();
    });
    Case::new(&authority, other_stamp).fails(19, Sub::FormatFailure);
    let other_value = archived(&authority, |_, signer| {
        signer.add(attribute("1.2.840.113549.1.9.16.2.99", &der::null()));
    });
    let report = Case::new(&authority, other_value).report();
    assert_eq!(status(&report, 19), Status::Failed);
    assert!(reason(&report, 19).contains("imprint"));
}

#[test]
fn elder_archive_forms_are_named_and_not_verified() {
    let authority = authority();
    for kind in ["1.2.840.113549.1.9.16.2.27", "1.2.840.113549.1.9.16.2.48"] {
        let mut signer = signer(&authority);
        let token = TimeStamp::new(&authority.time_stamper, b"whatever", NOW.plus(-40));
        signer.unsigned.push(attribute(kind, &token.encode()));
        let report = Case::new(&authority, attached(&signer)).warns(19);
        assert!(reason(&report, 19).contains("not verified"));
    }
}
