//! Steps 16 to 18: the evidence, its consequences and its origin.

use super::{
    CONTENT, Case, Status, Sub, accepted, attached, authority, crl, ocsp, reason, refused, signer,
    status,
};
use crate::NOW;
use crate::revocation::{list_with, serial, with_list, with_response};
use prichal_sign::testing::{Cms, CrlDraft, Draft, Key, OcspDraft, TimeStamp, attribute, der};
use prichal_sign::{NeedKind, Policy};

#[test]
fn step_16_revocation_evidence_accepts_a_current_list_of_the_issuer() {
    let authority = authority();
    accepted(16, &with_list(&authority, &CrlDraft::new(NOW.plus(-60))));
}

#[test]
fn step_16_revocation_evidence_accepts_responses_of_the_issuer_and_of_its_responder() {
    let authority = authority();
    let good = OcspDraft::good(&authority.signer, NOW.plus(-60));
    let delegated = good.signed_by(&authority.responder, &authority.issuer);
    let report = accepted(16, &with_response(&authority, &delegated));
    assert!(reason(&report, 16).contains("OCSP"));
    let direct = good.signed_by(&authority.issuer, &authority.issuer);
    accepted(16, &with_response(&authority, &direct));
    let by_key = OcspDraft {
        by_key_hash: true,
        hash_of_ids: prichal_sign::Hash::Sha256,
        ..good.clone()
    };
    let by_key = by_key.signed_by(&authority.responder, &authority.issuer);
    accepted(16, &with_response(&authority, &by_key));
    let bare = good.basic(&authority.responder, &authority.issuer);
    accepted(16, &with_response(&authority, &bare));
}

/// A signature with a time-stamp of this age, checked with a list that is two hours old and valid for a day.
fn listed_two_hours_ago(age: i64) -> Case {
    let authority = authority();
    let mut signer = signer(&authority);
    let stamp = TimeStamp::new(&authority.time_stamper, &signer.signature(), NOW.plus(-age));
    signer.unsigned.push(stamp.attribute());
    let mut case = with_list(&authority, &CrlDraft::new(NOW.plus(-7200)));
    case.signature = attached(&signer);
    case
}

#[test]
fn step_16_revocation_evidence_accepts_a_list_that_is_current_at_the_time_stamp() {
    // Before the time-stamp and after it.
    accepted(16, &listed_two_hours_ago(3600));
    accepted(16, &listed_two_hours_ago(9000));
}

/// Asserts that the evidence was refused for this reason and that there was no other.
#[track_caller]
fn evidence_refused(case: &Case, why: &str) {
    let report = refused(17, case, Sub::TryLater);
    assert_eq!(status(&report, 16), Status::Warned);
    assert!(reason(&report, 16).contains("not accepted"));
    assert!(reason(&report, 16).contains(why));
}

#[test]
fn step_16_revocation_evidence_refuses_lists_that_are_stale_or_from_the_future() {
    let authority = authority();
    let stale = CrlDraft::new(NOW.plus(-2 * 86_400));
    evidence_refused(&with_list(&authority, &stale), "");
    let future = CrlDraft::new(NOW.plus(3600));
    evidence_refused(&with_list(&authority, &future), "");
}

#[test]
fn step_16_revocation_evidence_refuses_forged_lists() {
    let authority = authority();
    let fresh = CrlDraft::new(NOW.plus(-60));
    let mut forged = with_list(&authority, &fresh);
    let issuer = authority.issuer.certificate();
    let bytes = fresh.signed(issuer.subject.raw(), &Key::p256("forger"));
    *forged.material.crls.last_mut().unwrap() = crl(&bytes);
    evidence_refused(&forged, "its signature is invalid");
}

#[test]
fn step_16_revocation_evidence_refuses_responses_of_others() {
    let authority = authority();
    let good = OcspDraft::good(&authority.signer, NOW.plus(-60));
    let clerk = good.signed_by(&authority.time_stamper, &authority.issuer);
    evidence_refused(&with_response(&authority, &clerk), "responder");
}

#[test]
fn step_17_revocation_status_accepts_a_certificate_on_no_list() {
    let authority = authority();
    accepted(17, &Case::new(&authority, attached(&signer(&authority))));
}

#[test]
fn step_17_revocation_status_accepts_a_negative_serial_number_beside_the_positive_one() {
    // -1 is one octet; 255 is the same octet after a zero.
    let mut authority = authority();
    let draft = Draft {
        serial_octets: Some(vec![0xff]),
        ..Draft::signer("Negative", Key::p256("negative"))
    };
    authority.signer = draft.issued_by(&authority.issuer);
    let mut list = CrlDraft::new(NOW.plus(-60));
    list.entries = vec![(255, NOW.plus(-7200), Some(1))];
    accepted(17, &with_list(&authority, &list));
    // And the other way round.
    let draft = Draft {
        serial: 255,
        ..Draft::signer("Positive", Key::p256("positive"))
    };
    authority.signer = draft.issued_by(&authority.issuer);
    refused(17, &with_list(&authority, &list), Sub::Revoked);
}

#[test]
fn step_17_revocation_status_accepts_a_revocation_after_the_caller_had_the_signature() {
    let authority = authority();
    let mut list = CrlDraft::new(NOW.plus(-60));
    let serial = u64::from_str_radix(&authority.signer.certificate().serial_hex(), 16).unwrap();
    list.entries = vec![(serial, NOW.plus(-1800), Some(1))];
    let mut case = with_list(&authority, &list);
    refused(17, &case, Sub::Revoked);
    case.existed_at = Some(NOW.plus(-3600));
    let report = case.passes();
    assert_eq!(report.signers[0].best_time, NOW.plus(-3600));
    // The caller's word covers the time up to then, not later.
    case.existed_at = Some(NOW.plus(-900));
    refused(17, &case, Sub::Revoked);
}

/// A signature with a time-stamp of this age. A newer list lifted a hold an hour ago.
fn lifted_an_hour_ago(age: i64, delta: bool) -> Case {
    let authority = authority();
    let mut signer = signer(&authority);
    let stamp = TimeStamp::new(&authority.time_stamper, &signer.signature(), NOW.plus(-age));
    signer.unsigned.push(stamp.attribute());
    let held = CrlDraft {
        this_update: NOW.plus(-10_000),
        next_update: Some(NOW.plus(86_400)),
        ..list_with(&authority, NOW.plus(-20_000), Some(6))
    };
    let mut newer = CrlDraft {
        number: 2,
        ..CrlDraft::new(NOW.plus(-3600))
    };
    if delta {
        newer.delta_of = Some(1);
        newer.entries = vec![(serial(&authority.signer), NOW.plus(-3600), Some(8))];
    }
    let mut case = with_list(&authority, &held);
    let newer = newer.signed_by(&authority.issuer);
    case.material.crls.push(crl(&newer));
    case.signature = attached(&signer);
    case
}

#[test]
fn step_17_revocation_status_accepts_a_hold_lifted_before() {
    for delta in [false, true] {
        accepted(17, &lifted_an_hour_ago(1800, delta));
    }
}

#[test]
fn step_17_revocation_status_refuses_a_hold_lifted_later() {
    for delta in [false, true] {
        refused(17, &lifted_an_hour_ago(7200, delta), Sub::Revoked);
    }
}

#[test]
fn step_17_revocation_status_refuses_an_unknown_status() {
    let authority = authority();
    let mut case = Case::new(&authority, attached(&signer(&authority)));
    case.material.crls.clear();
    for policy in [Policy::kz(), Policy::ru(), Policy::eu_baseline()] {
        case.policy = policy;
        let report = refused(17, &case, Sub::TryLater);
        assert_eq!(report.needs.len(), 2);
    }
    // In the test policy it is only a warning.
    case.policy = Policy::test();
    assert_eq!(case.warns(17).needs.len(), 2);
}

#[test]
fn step_17_revocation_status_refuses_an_intermediate_of_unknown_status() {
    let authority = authority();
    let mut case = Case::new(&authority, attached(&signer(&authority)));
    case.material.crls.remove(0);
    let report = refused(17, &case, Sub::TryLater);
    assert_eq!(report.needs[0].subject, "CN=Issuer");
}

/// A signer that was revoked an hour ago, with a time-stamp of this age.
fn revoked_and_stamped(age: i64) -> Case {
    let authority = authority();
    let mut signer = signer(&authority);
    let stamp = TimeStamp::new(&authority.time_stamper, &signer.signature(), NOW.plus(-age));
    signer.unsigned.push(stamp.attribute());
    let list = list_with(&authority, NOW.plus(-3600), Some(1));
    let mut case = with_list(&authority, &list);
    case.signature = attached(&signer);
    case
}

#[test]
fn step_17_revocation_status_accepts_a_revocation_after_the_time_stamp() {
    let report = accepted(17, &revoked_and_stamped(7200));
    assert!(reason(&report, 17).contains("was revoked at"));
}

#[test]
fn step_17_revocation_status_refuses_an_earlier_revocation() {
    refused(17, &revoked_and_stamped(1800), Sub::Revoked);
    let authority = authority();
    // A hold, reason 6, is a revocation.
    for code in [None, Some(1), Some(5), Some(6)] {
        let list = list_with(&authority, NOW.plus(-7200), code);
        refused(17, &with_list(&authority, &list), Sub::Revoked);
    }
}

#[test]
fn step_17_revocation_status_refuses_signers_of_a_revoked_authority() {
    let authority = authority();
    let mut case = Case::new(&authority, attached(&signer(&authority)));
    let list = CrlDraft {
        entries: vec![(serial(&authority.issuer), NOW.plus(-7200), Some(2))],
        ..CrlDraft::new(NOW.plus(-60))
    };
    case.material.crls[0] = crl(&list.signed_by(&authority.root));
    refused(17, &case, Sub::RevokedCaNoPoe);
}

#[test]
fn step_18_evidence_order_accepts_embedded_data_first() {
    let authority = authority();
    let list = CrlDraft::new(NOW.plus(-600)).signed_by(&authority.issuer);
    let root_list = CrlDraft::new(NOW.plus(-600)).signed_by(&authority.root);
    let response = OcspDraft::good(&authority.signer, NOW.plus(-60));
    let basic = response.basic(&authority.responder, &authority.issuer);
    let response = response.signed_by(&authority.responder, &authority.issuer);

    let mut in_set = Cms::attached(CONTENT, &[&signer(&authority)]);
    in_set.revocation.push(root_list.clone());
    in_set.add_ocsp(&response);

    let mut with_values = signer(&authority);
    let crls = der::element(0xa0, &der::sequence(&[&list, &root_list]));
    let values = der::sequence(&[&crls]);
    with_values
        .unsigned
        .push(attribute("1.2.840.113549.1.9.16.2.24", &values));

    let mut with_basic = signer(&authority);
    let crls = der::element(0xa0, &der::sequence(&[&root_list]));
    let responses = der::element(0xa1, &der::sequence(&[&basic]));
    let values = der::sequence(&[&crls, &responses]);
    with_basic
        .unsigned
        .push(attribute("1.2.840.113549.1.9.16.2.24", &values));

    for bytes in [
        in_set.encode(),
        attached(&with_values),
        attached(&with_basic),
    ] {
        let mut case = Case::new(&authority, bytes);
        // With and without evidence of the caller.
        let fresh = OcspDraft::good(&authority.signer, NOW);
        let fresh = fresh.signed_by(&authority.responder, &authority.issuer);
        case.material.ocsp.push(ocsp(&fresh));
        let report = accepted(18, &case);
        assert!(!reason(&report, 18).contains("given by the caller"));
        case.material = authority.without_lists();
        let report = accepted(18, &case);
        assert!(report.needs.is_empty());
    }
}

#[test]
fn step_18_evidence_order_refuses_hosts_that_are_not_listed() {
    let mut authority = authority();
    let draft = Draft {
        crl_url: Some("http://crl.pki.gov.kz/nca_gost_2022.crl".to_owned()),
        ocsp_url: Some("http://169.254.169.254/ocsp".to_owned()),
        ..Draft::signer("Signer", Key::p256("signer"))
    };
    authority.signer = draft.issued_by(&authority.issuer);
    let mut case = Case::new(&authority, attached(&signer(&authority)));
    case.material.crls.remove(1);
    let report = refused(17, &case, Sub::TryLater);
    assert_eq!(status(&report, 18), Status::Warned);
    let kinds: Vec<(NeedKind, bool)> = report.needs.iter().map(|n| (n.kind, n.allowed)).collect();
    assert_eq!(kinds, [(NeedKind::Ocsp, false), (NeedKind::Crl, true)]);
    assert!(report.needs[0].request.is_some());
    assert!(report.needs[1].request.is_none());
}
