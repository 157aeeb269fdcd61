//! Steps 12, 13 and 19: time-stamps and the best signature time.

use super::{
    CONTENT, Case, Status, Sub, Time, accepted, attached, authority, crl, dropped, reason, refused,
    signer, status,
};
use crate::NOW;
use crate::revocation::serial;
use prichal_sign::Policy;
use prichal_sign::testing::{
    Authority, Cms, CrlDraft, Draft, Key, Signer, TimeStamp, attribute, der, extension,
};

fn stamped(authority: &Authority, change: impl FnOnce(&mut TimeStamp)) -> Vec<u8> {
    let mut signer = signer(authority);
    let mut stamp = TimeStamp::new(&authority.time_stamper, &signer.signature(), NOW.plus(-50));
    change(&mut stamp);
    signer.unsigned.push(stamp.attribute());
    attached(&signer)
}

#[test]
fn step_12_signature_time_accepts_the_earliest_valid_time_stamp() {
    let authority = authority();
    let mut twice = signer(&authority);
    for age in [30, 50, 40] {
        let stamp = TimeStamp::new(&authority.time_stamper, &twice.signature(), NOW.plus(-age));
        twice.unsigned.push(stamp.attribute());
    }
    let report = accepted(12, &Case::new(&authority, attached(&twice)));
    assert_eq!(report.signers[0].best_time, NOW.plus(-50));
    let bare = accepted(12, &Case::new(&authority, attached(&signer(&authority))));
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
        case.material.crls.push(crl(&list));
        if passes {
            case.passes();
        } else {
            refused(14, &case, Sub::OutOfBoundsNoPoe);
        }
    }
}

#[test]
fn step_12_signature_time_accepts_an_impossible_claim_with_a_warning() {
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
fn step_13_time_stamp_accepts_a_valid_one() {
    let authority = authority();
    accepted(13, &Case::new(&authority, stamped(&authority, |_| {})));
}

#[test]
fn step_13_time_stamp_refuses_one_of_another_signature() {
    let authority = authority();
    let other = Signer::new(&authority.signer, b"another document", NOW.plus(-60));
    let value = other.signature();
    let bytes = stamped(&authority, |stamp| {
        *stamp = TimeStamp::new(&authority.time_stamper, &value, NOW.plus(-50));
    });
    dropped(13, &Case::new(&authority, bytes));
    // The imprint covers the signature value, not the content.
    let bytes = stamped(&authority, |stamp| {
        *stamp = TimeStamp::new(&authority.time_stamper, CONTENT, NOW.plus(-50));
    });
    let mut case = Case::new(&authority, bytes);
    dropped(13, &case);
    case.policy = Policy::test();
    dropped(13, &case);
}

#[test]
fn step_13_time_stamp_refuses_broken_ones() {
    let authority = authority();
    let wrong_value = stamped(&authority, |stamp| {
        stamp.change = |signer| signer.value = Some(signer.identity.key.sign(signer.hash, b"else"));
    });
    dropped(13, &Case::new(&authority, wrong_value));
    let wrong_digest = stamped(&authority, |stamp| {
        stamp.change = |signer| signer.replace("1.2.840.113549.1.9.4", &der::octets(&[0; 32]));
    });
    dropped(13, &Case::new(&authority, wrong_digest));
    let no_certificate_id = stamped(&authority, |stamp| {
        stamp.change = |signer| signer.remove("1.2.840.113549.1.9.16.2.47");
    });
    dropped(13, &Case::new(&authority, no_certificate_id));
    let no_token = stamped(&authority, |stamp| {
        stamp.content_type = "1.2.840.113549.1.7.1";
    });
    dropped(13, &Case::new(&authority, no_token));
    let mut garbage = signer(&authority);
    garbage
        .unsigned
        .push(attribute("1.2.840.113549.1.9.16.2.14", &der::null()));
    dropped(13, &Case::new(&authority, attached(&garbage)));
    let future = stamped(&authority, |stamp| stamp.time = NOW.plus(3600));
    dropped(13, &Case::new(&authority, future));
}

#[test]
fn step_13_time_stamp_refuses_keys_not_certified_for_it_alone() {
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
        dropped(13, &Case::new(&authority, bytes));
    }
}

#[test]
fn step_13_time_stamp_refuses_authorities_and_unknown_critical_extensions() {
    let authority = authority();
    let draft = Draft {
        authority: Some(None),
        ..Draft::time_stamper("Time 2", Key::p256("time 2"))
    };
    let identity = draft.issued_by(&authority.issuer);
    let bytes = stamped(&authority, |stamp| stamp.authority = identity);
    dropped(13, &Case::new(&authority, bytes));
    for (critical, passes) in [(false, true), (true, false)] {
        let bytes = stamped(&authority, |stamp| {
            stamp.extensions = vec![extension("1.2.3.4.5", critical, &der::null())];
        });
        let case = Case::new(&authority, bytes);
        if passes {
            case.passes();
        } else {
            dropped(13, &case);
        }
    }
}

#[test]
fn step_13_time_stamp_refuses_a_certificate_that_was_not_valid_then() {
    let authority = authority();
    let draft = |from: i64, to: i64| Draft {
        not_before: NOW.plus(from),
        not_after: NOW.plus(to),
        ..Draft::time_stamper("Time 2", Key::p256("time 2"))
    };
    let over = draft(-86_400, -3600).issued_by(&authority.issuer);
    let bytes = stamped(&authority, |stamp| stamp.authority = over);
    dropped(13, &Case::new(&authority, bytes));
    // Expired now, but valid then.
    let since = draft(-86_400, -30).issued_by(&authority.issuer);
    let bytes = stamped(&authority, |stamp| stamp.authority = since);
    let mut case = Case::new(&authority, bytes);
    let list = CrlDraft::new(NOW.plus(-40)).signed_by(&authority.issuer);
    case.material.crls.push(crl(&list));
    case.passes();
    let stranger = Authority::new(|word| Key::p256(&format!("stranger {word}")));
    let bytes = stamped(&authority, |stamp| stamp.authority = stranger.time_stamper);
    dropped(13, &Case::new(&authority, bytes));
}

#[test]
fn step_13_time_stamp_refuses_a_compromised_key() {
    let authority = authority();
    let number = serial(&authority.time_stamper);
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
        case.material.crls[1] = crl(&list.signed_by(&authority.issuer));
        if passes {
            case.passes();
        } else {
            dropped(13, &case);
        }
    }
}

#[test]
fn step_13_time_stamp_refuses_policies_that_are_not_listed() {
    let authority = authority();
    let mut case = Case::new(&authority, stamped(&authority, |_| {}));
    case.policy.time_stamp_policies = vec!["1.2.398.3.3.2.6.4".to_owned()];
    case.passes();
    case.policy.time_stamp_policies = vec!["1.2.398.3.3.2.6.2".to_owned()];
    dropped(13, &case);
}

/// A content time-stamp of the given age, for a signature that is 50 seconds old.
fn content_stamped(stamped: &[u8], age: i64) -> Case {
    let authority = authority();
    let mut signer = signer(&authority);
    let before = TimeStamp::new(&authority.time_stamper, stamped, NOW.plus(-age));
    signer.add(attribute("1.2.840.113549.1.9.16.2.20", &before.encode()));
    let stamp = TimeStamp::new(&authority.time_stamper, &signer.signature(), NOW.plus(-50));
    signer.unsigned.push(stamp.attribute());
    Case::new(&authority, attached(&signer))
}

#[test]
fn step_12_signature_time_accepts_content_that_was_stamped_before() {
    accepted(12, &content_stamped(CONTENT, 90));
}

#[test]
fn step_12_signature_time_refuses_content_that_was_stamped_after() {
    let case = content_stamped(CONTENT, 20);
    refused(12, &case, Sub::TimestampOrderFailure);
}

#[test]
fn step_13_time_stamp_refuses_one_of_other_content() {
    let report = content_stamped(b"else", 90).warns(13);
    assert!(reason(&report, 13).contains("does not count"));
}

#[test]
fn step_12_signature_time_refuses_content_that_was_stamped_after_the_certificate_expired() {
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
            // An expired certificate fails the path step as well.
            case.fails(12, Sub::Expired);
        } else {
            refused(14, &case, Sub::OutOfBoundsNoPoe);
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
fn step_19_archive_time_stamp_accepts_one_over_everything() {
    let authority = authority();
    accepted(19, &Case::new(&authority, archived(&authority, |_, _| {})));
}

#[test]
fn step_19_archive_time_stamp_accepts_parts_added_later() {
    let authority = authority();
    let more = archived(&authority, |cms, _| {
        cms.certificates.push(authority.issuer.der.clone());
    });
    accepted(19, &Case::new(&authority, more));
}

#[test]
fn step_19_archive_time_stamp_refuses_missing_or_altered_parts() {
    let authority = authority();
    let fewer = archived(&authority, |cms, _| cms.revocation.clear());
    dropped(19, &Case::new(&authority, fewer));
    let other_stamp = archived(&authority, |_, signer| {
        let stamp = TimeStamp::new(&authority.time_stamper, &signer.signature(), NOW.plus(-49));
        signer.unsigned[0] = stamp.attribute();
    });
    dropped(19, &Case::new(&authority, other_stamp));
    let other_value = archived(&authority, |_, signer| {
        signer.add(attribute("1.2.840.113549.1.9.16.2.99", &der::null()));
    });
    let report = Case::new(&authority, other_value).warns(19);
    assert!(reason(&report, 19).contains("imprint"));
}

#[test]
fn step_19_archive_time_stamp_accepts_older_forms_with_a_warning() {
    let authority = authority();
    for kind in ["1.2.840.113549.1.9.16.2.27", "1.2.840.113549.1.9.16.2.48"] {
        let mut signer = signer(&authority);
        let token = TimeStamp::new(&authority.time_stamper, b"whatever", NOW.plus(-40));
        signer.unsigned.push(attribute(kind, &token.encode()));
        let report = Case::new(&authority, attached(&signer)).warns(19);
        assert!(reason(&report, 19).contains("not verified"));
    }
}

/// Appended attributes do not change the verdict on the signature.
#[test]
fn unreadable_unsigned_attributes_are_ignored() {
    let authority = authority();
    let oid = |kind| der::oid(kind);
    let stamp = "1.2.840.113549.1.9.16.2.14";
    let many = |count: usize| der::null().repeat(count);
    for appended in [
        attribute(stamp, &der::sequence(&[&der::null()])),
        attribute(stamp, &many(300)),
        attribute("1.2.840.113549.1.9.6", &der::null()),
        attribute("1.2.840.113549.1.9.16.2.23", &der::null()),
        attribute("1.2.840.113549.1.9.16.2.24", &der::null()),
        der::null(),
        der::sequence(&[&oid(stamp)]),
        der::sequence(&[&der::null(), &der::null()]),
        attribute("1.2.3", &der::null()).repeat(300),
    ] {
        let mut signer = signer(&authority);
        signer.unsigned.push(appended);
        let report = Case::new(&authority, attached(&signer)).passes();
        let warned = [1, 13, 20].map(|step| status(&report, step) == Status::Warned);
        assert!(warned.contains(&true), "{}", super::show(&report));
    }
}

/// A time-stamp without revocation data of its authority proves nothing yet. If the signature is valid without it, it
/// is not needed. If it could cure a failure, the verdict is "try later".
#[test]
fn a_pending_time_stamp_matters_only_if_it_could_cure_a_failure() {
    let authority = authority();
    let other = Authority::new(|word| Key::p256(&format!("other {word}")));
    let stamped = |identity: &prichal_sign::testing::Identity, content: &[u8]| {
        let mut signer = Signer::new(identity, CONTENT, NOW.plus(-7200));
        let mut stamp = TimeStamp::new(&other.time_stamper, &signer.signature(), NOW.plus(-3600));
        if content != CONTENT {
            stamp = TimeStamp::new(&other.time_stamper, content, NOW.plus(-3600));
        }
        signer.unsigned.push(stamp.attribute());
        let mut case = Case::new(&authority, attached(&signer));
        case.material.anchors.push(other.root.certificate());
        case.material.certificates.push(other.issuer.certificate());
        case
    };
    let case = stamped(&authority.signer, CONTENT);
    let report = dropped(13, &case);
    assert!(reason(&report, 13).contains("no usable revocation data"));
    assert!(!report.needs.is_empty());

    let draft = Draft {
        not_after: NOW.plus(-60),
        ..Draft::signer("Old", Key::p256("old"))
    };
    let old = draft.issued_by(&authority.issuer);
    let list = CrlDraft::new(NOW.plus(-1800)).signed_by(&authority.issuer);
    let mut case = stamped(&old, CONTENT);
    case.material.crls.push(crl(&list));
    let report = refused(13, &case, Sub::TryLater);
    assert_eq!(report.signers[0].best_time, NOW.plus(-3600));
    // A failure that it could not cure stays.
    case.expected.bin = Some("940140000385".to_owned());
    assert_eq!(case.report().sub_indication, Some(Sub::OutOfBoundsNoPoe));
    let mut foreign = stamped(&old, b"something else");
    foreign.material.crls.push(crl(&list));
    refused(14, &foreign, Sub::OutOfBoundsNoPoe);
    // An untrusted authority stays untrusted, so waiting does not help.
    let mut stranger = stamped(&old, CONTENT);
    stranger.material.crls.push(crl(&list));
    stranger.material.anchors.pop();
    refused(14, &stranger, Sub::OutOfBoundsNoPoe);
}
