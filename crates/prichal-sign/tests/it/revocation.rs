//! Steps 16 to 18 in depth: accepted lists and responses, and their consequences.

use super::{CONTENT, Case, attached, authority, crl, ocsp, reason, signer};
use prichal_sign::testing::{
    Authority, CrlDraft, Draft, Identity, Key, NOW, OcspDraft, Signer, TimeStamp, der, extension,
};
use prichal_sign::{Ocsp, OcspAnswer, Severity, SubIndication as Sub, Time};

pub(crate) fn serial(identity: &Identity) -> u64 {
    let bytes = identity.certificate().serial;
    bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b))
}

/// A case with this list as the only evidence about the signer.
pub(crate) fn with_list(authority: &Authority, list: &CrlDraft) -> Case {
    let mut case = Case::new(authority, attached(&signer(authority)));
    case.material.crls.remove(1);
    case.material
        .crls
        .push(crl(&list.signed_by(&authority.issuer)));
    case
}

/// A case with this response as the only evidence about the signer.
pub(crate) fn with_response(authority: &Authority, response: &[u8]) -> Case {
    let mut case = Case::new(authority, attached(&signer(authority)));
    case.material.crls.remove(1);
    case.material.ocsp.push(ocsp(response));
    case
}

pub(crate) fn list_with(authority: &Authority, at: Time, code: Option<u8>) -> CrlDraft {
    CrlDraft {
        entries: vec![(1, at, None), (serial(&authority.signer), at, code)],
        ..CrlDraft::new(NOW.plus(-60))
    }
}

#[test]
fn a_new_key_of_the_authority_may_sign_lists_and_a_namesake_may_not() {
    let authority = authority();
    let fresh = CrlDraft::new(NOW.plus(-60));
    let new = Draft::authority("Issuer", Key::p256("new issuer"));
    let certified = new.clone().issued_by(&authority.root);
    let mut case = with_list(&authority, &fresh);
    *case.material.crls.last_mut().unwrap() = crl(&fresh.signed_by(&certified));
    case.fails(17, Sub::TryLater);
    case.material.certificates.push(certified.certificate());
    case.passes();
    // Even a pinned authority, if it belongs to another family.
    let namesake = new.self_signed();
    case.material.certificates.pop();
    case.material.anchors.push(namesake.certificate());
    case.fails(17, Sub::TryLater);
}

#[test]
fn an_old_key_that_certified_the_new_one_may_sign_lists() {
    // Root, old key, new key certified by the old one, signer. All lists are signed with the old key.
    let mut authority = authority();
    let renewed = Draft::authority("Issuer", Key::p256("renewed")).issued_by(&authority.issuer);
    let draft = Draft::signer("Signer", Key::p256("signer"));
    authority.signer = draft.issued_by(&renewed);
    let list = CrlDraft::new(NOW.plus(-60));
    let mut case = with_list(&authority, &list);
    case.fails(14, Sub::NoCertificateChainFound);
    case.material.certificates.push(renewed.certificate());
    case.passes();
    let foreign = list.signed(
        authority.issuer.certificate().subject.raw(),
        &Key::p256("else"),
    );
    *case.material.crls.last_mut().unwrap() = crl(&foreign);
    case.fails(17, Sub::TryLater);
}

#[test]
fn a_list_of_a_crl_signing_key_is_accepted() {
    let authority = authority();
    let list = CrlDraft::new(NOW.plus(-60));
    for (key_usage, passes) in [
        (Some(0x02), true),
        (Some(0x82), true),
        (Some(0xc0), false),
        (None, false),
    ] {
        let draft = Draft {
            authority: None,
            key_usage,
            ..Draft::authority("Issuer", Key::p256("lists"))
        };
        let identity = draft.issued_by(&authority.root);
        let mut case = with_list(&authority, &list);
        *case.material.crls.last_mut().unwrap() = crl(&list.signed_by(&identity));
        case.material.certificates.push(identity.certificate());
        if passes {
            case.passes();
        } else {
            case.fails(17, Sub::TryLater);
        }
    }
}

#[test]
fn a_list_of_a_revoked_or_expired_key_is_refused() {
    let authority = authority();
    let list = CrlDraft::new(NOW.plus(-60));
    let check = |not_after: Time, revoked_at: Option<Time>| {
        let draft = Draft {
            authority: None,
            key_usage: Some(0x02),
            not_after,
            serial: 7,
            ..Draft::authority("Issuer", Key::p256("lists"))
        };
        let identity = draft.issued_by(&authority.root);
        let mut case = with_list(&authority, &list);
        *case.material.crls.last_mut().unwrap() = crl(&list.signed_by(&identity));
        case.material.certificates.push(identity.certificate());
        if let Some(at) = revoked_at {
            let root_list = CrlDraft {
                entries: vec![(serial(&identity), at, Some(1))],
                ..CrlDraft::new(NOW.plus(-60))
            };
            case.material.crls[0] = crl(&root_list.signed_by(&authority.root));
        }
        case
    };
    let later = NOW.plus(86_400);
    check(later, None).passes();
    check(NOW.plus(-90), None).fails(17, Sub::TryLater);
    check(later, Some(NOW.plus(-90))).fails(17, Sub::TryLater);
}

#[test]
fn a_list_of_a_key_without_the_crl_sign_usage_is_refused() {
    let root = Draft::authority("Root", Key::p256("root")).self_signed();
    let draft = Draft {
        key_usage: Some(0x04),
        ..Draft::authority("Issuer", Key::p256("issuer"))
    };
    let mut authority = authority();
    authority.issuer = draft.issued_by(&root);
    authority.root = root;
    let report = with_list(&authority, &CrlDraft::new(NOW.plus(-60))).fails(17, Sub::TryLater);
    assert!(reason(&report, 16).contains("may not sign lists"));
}

#[test]
fn a_list_without_next_update_has_the_severity_of_the_policy() {
    let authority = authority();
    let open = CrlDraft {
        next_update: None,
        ..CrlDraft::new(NOW.plus(-60))
    };
    let mut case = with_list(&authority, &open);
    case.warns(16);
    case.policy.no_next_update = Severity::Fail;
    case.fails(17, Sub::TryLater);
}

#[test]
fn a_list_for_other_types_of_certificates_is_not_used() {
    let authority = authority();
    for (scope, passes) in [(0x81, true), (0x82, false), (0x85, false), (0x84, false)] {
        let value = der::sequence(&[&der::element(scope, &[0xff])]);
        let list = CrlDraft {
            extensions: vec![extension("2.5.29.28", true, &value)],
            ..CrlDraft::new(NOW.plus(-60))
        };
        let case = with_list(&authority, &list);
        if passes {
            case.passes();
        } else {
            case.fails(17, Sub::TryLater);
        }
    }
    // A list of key compromises alone cannot rule out other reasons.
    let some = der::sequence(&[&der::element(0x83, &[6, 0x40])]);
    let some = CrlDraft {
        extensions: vec![extension("2.5.29.28", true, &some)],
        ..list_with(&authority, NOW.plus(-60), Some(1))
    };
    with_list(&authority, &some).fails(17, Sub::Revoked);
    let none = CrlDraft {
        entries: Vec::new(),
        ..some
    };
    with_list(&authority, &none).fails(17, Sub::TryLater);
    // An unknown critical entry extension, about this certificate or another.
    for (entry, sub) in [
        (serial(&authority.signer), Sub::TryLater),
        (1, Sub::Revoked),
    ] {
        let mut list = CrlDraft {
            entries: vec![(entry, NOW.plus(-7200), Some(1))],
            entry_extensions: vec![extension("1.2.3.4.5", true, &der::null())],
            ..CrlDraft::new(NOW.plus(-60))
        };
        if sub == Sub::Revoked {
            list.entry_extensions.clear();
            list.entries
                .push((serial(&authority.signer), NOW.plus(-7200), None));
        }
        with_list(&authority, &list).fails(17, sub);
    }
    let unknown = CrlDraft {
        extensions: vec![extension("1.2.3.4.5", true, &der::null())],
        ..CrlDraft::new(NOW.plus(-60))
    };
    with_list(&authority, &unknown).fails(17, Sub::TryLater);
}

#[test]
fn a_list_of_another_distribution_point_is_not_used() {
    let mut authority = authority();
    let draft = Draft {
        crl_url: Some("http://crl.example.kz/a.crl".to_owned()),
        ..Draft::signer("Signer", Key::p256("signer"))
    };
    authority.signer = draft.issued_by(&authority.issuer);
    for (url, passes) in [
        ("http://crl.example.kz/a.crl", true),
        ("http://crl.example.kz/b.crl", false),
    ] {
        let name = der::element(0xa0, &der::element(0x86, url.as_bytes()));
        let value = der::sequence(&[&der::element(0xa0, &name)]);
        let list = CrlDraft {
            extensions: vec![extension("2.5.29.28", true, &value)],
            ..CrlDraft::new(NOW.plus(-60))
        };
        let case = with_list(&authority, &list);
        if passes {
            case.passes();
        } else {
            case.fails(17, Sub::TryLater);
        }
    }
}

#[test]
fn deltas_extend_the_right_base_only() {
    let authority = authority();
    let base = CrlDraft {
        number: 5,
        ..CrlDraft::new(NOW.plus(-7200))
    };
    let delta = |of: u64, number: u64| CrlDraft {
        number,
        delta_of: Some(of),
        ..CrlDraft::new(NOW.plus(-60))
    };
    let with = |base: &CrlDraft, delta: &CrlDraft| {
        let mut case = with_list(&authority, base);
        case.material
            .crls
            .push(crl(&delta.signed_by(&authority.issuer)));
        case
    };
    with(&base, &delta(5, 6)).passes();
    // Revoked since the base.
    let revoked = CrlDraft {
        entries: vec![(serial(&authority.signer), NOW.plus(-600), Some(1))],
        ..delta(5, 6)
    };
    with(&base, &revoked).fails(17, Sub::Revoked);
    // A stale base becomes current through its delta, but not through the delta of another base.
    let stale = CrlDraft {
        number: 5,
        ..CrlDraft::new(NOW.plus(-3 * 86_400))
    };
    with(&stale, &delta(5, 6)).passes();
    let report = with(&stale, &delta(6, 7)).fails(17, Sub::TryLater);
    assert!(reason(&report, 16).contains("does not continue"));
    // A delta alone proves nothing.
    with_list(&authority, &delta(5, 6)).fails(17, Sub::TryLater);
    // A lifted hold.
    let held = CrlDraft {
        entries: vec![(serial(&authority.signer), NOW.plus(-9000), Some(6))],
        ..stale
    };
    let lifted = CrlDraft {
        entries: vec![(serial(&authority.signer), NOW.plus(-600), Some(8))],
        ..delta(5, 6)
    };
    with(&held, &lifted).passes();
}

#[test]
fn a_list_after_the_expiry_of_the_certificate_proves_nothing() {
    let authority = authority();
    let end = NOW.plus(-10 * 86_400);
    let draft = Draft {
        not_after: end,
        ..Draft::signer("Old", Key::p256("old"))
    };
    let identity = draft.issued_by(&authority.issuer);
    let stamped_at = end.plus(-86_400);
    let mut signer = Signer::new(&identity, CONTENT, stamped_at);
    let stamp = TimeStamp::new(&authority.time_stamper, &signer.signature(), stamped_at);
    signer.unsigned.push(stamp.attribute());
    let check = |this_update: Time, extensions: Vec<Vec<u8>>| {
        let list = CrlDraft {
            extensions,
            ..CrlDraft::new(this_update)
        };
        let mut case = with_list(&authority, &list);
        case.signature = attached(&signer);
        // The current list is for the time-stamp's own certificate.
        case.policy.no_time_stamp_revocation_data = Severity::Ignore;
        case
    };
    // A list from between time-stamp and expiry is proof, although it was superseded long ago.
    check(stamped_at.plus(3600), vec![]).passes();
    check(NOW.plus(-60), vec![]).fails(17, Sub::TryLater);
    let keeps = extension("2.5.29.60", false, &der::element(0x18, b"20200101000000Z"));
    check(NOW.plus(-60), vec![keeps]).passes();
}

#[test]
fn responses_of_others_are_refused() {
    let authority = authority();
    let good = OcspDraft::good(&authority.signer, NOW.plus(-60));
    // Issued by the same authority, but not authorised as a responder.
    let clerk = good.signed_by(&authority.time_stamper, &authority.issuer);
    with_response(&authority, &clerk).fails(17, Sub::TryLater);
    // A responder of another authority.
    let stranger = Authority::new(|word| Key::p256(&format!("stranger {word}")));
    let foreign = good.signed_by(&stranger.responder, &authority.issuer);
    let report = with_response(&authority, &foreign).fails(17, Sub::TryLater);
    assert!(reason(&report, 16).contains("responder"));
    // About another certificate, or about a certificate of another issuer.
    let about_other = OcspDraft::good(&authority.time_stamper, NOW.plus(-60));
    let about_other = about_other.signed_by(&authority.responder, &authority.issuer);
    with_response(&authority, &about_other).fails(17, Sub::TryLater);
    let other_issuer = good.signed_by(&authority.responder, &stranger.issuer);
    with_response(&authority, &other_issuer).fails(17, Sub::TryLater);
    // An altered one.
    let mut altered = good.signed_by(&authority.responder, &authority.issuer);
    let place = altered.windows(2).position(|w| w == [0x80, 0]).unwrap();
    altered[place] = 0x82;
    with_response(&authority, &altered).fails(17, Sub::TryLater);
}

#[test]
fn a_response_is_accepted_while_the_responders_certificate_is_valid() {
    let mut authority = authority();
    for (end, passes) in [(NOW.plus(-30), true), (NOW.plus(-90), false)] {
        let draft = Draft {
            not_after: end,
            ..Draft::responder("Responder", Key::p256("responder"))
        };
        authority.responder = draft.issued_by(&authority.issuer);
        let good = OcspDraft::good(&authority.signer, NOW.plus(-60));
        let bytes = good.signed_by(&authority.responder, &authority.issuer);
        let case = with_response(&authority, &bytes);
        if passes {
            case.passes();
        } else {
            case.fails(17, Sub::TryLater);
        }
    }
}

#[test]
fn a_response_of_a_revoked_responder_is_refused() {
    let mut authority = authority();
    let draft = Draft {
        extensions: Vec::new(),
        ..Draft::responder("Responder", Key::p256("responder"))
    };
    authority.responder = draft.issued_by(&authority.issuer);
    let number = serial(&authority.responder);
    let good = OcspDraft::good(&authority.signer, NOW.plus(-60));
    let mut case = with_response(
        &authority,
        &good.signed_by(&authority.responder, &authority.issuer),
    );
    case.passes();
    // The list is too old to prove the signer good, but it revokes the responder.
    let list = CrlDraft {
        entries: vec![(number, NOW.plus(-5 * 86_400), Some(1))],
        ..CrlDraft::new(NOW.plus(-3 * 86_400))
    };
    case.material
        .crls
        .push(crl(&list.signed_by(&authority.issuer)));
    case.fails(17, Sub::TryLater);
}

#[test]
fn the_status_in_a_response_decides() {
    let authority = authority();
    let mut draft = OcspDraft::good(&authority.signer, NOW.plus(-60));
    draft.answers[0].revoked = Some((NOW.plus(-3600), Some(1)));
    let sign = |draft: &OcspDraft| draft.signed_by(&authority.responder, &authority.issuer);
    with_response(&authority, &sign(&draft)).fails(17, Sub::Revoked);
    draft.answers[0].revoked = None;
    draft.answers[0].unknown = true;
    with_response(&authority, &sign(&draft)).fails(17, Sub::TryLater);
}

#[test]
fn responses_must_be_fresh() {
    let authority = authority();
    let sign = |draft: &OcspDraft| draft.signed_by(&authority.responder, &authority.issuer);
    let old = OcspDraft::good(&authority.signer, NOW.plus(-7200));
    with_response(&authority, &sign(&old)).fails(17, Sub::TryLater);
    let future = OcspDraft::good(&authority.signer, NOW.plus(3600));
    with_response(&authority, &sign(&future)).fails(17, Sub::TryLater);
    for (age, passes) in [(299, true), (301, false)] {
        let mut open = OcspDraft::good(&authority.signer, NOW.plus(-age));
        open.answers[0].next_update = None;
        let case = with_response(&authority, &sign(&open));
        if passes {
            case.passes();
        } else {
            case.fails(17, Sub::TryLater);
        }
    }
}

#[test]
fn a_requested_nonce_is_required() {
    let authority = authority();
    for (given, passes) in [
        (Some(vec![1, 2, 3]), true),
        (Some(vec![9]), false),
        (None, false),
    ] {
        let draft = OcspDraft {
            nonce: given,
            ..OcspDraft::good(&authority.signer, NOW)
        };
        let bytes = draft.signed_by(&authority.responder, &authority.issuer);
        let mut case = with_response(&authority, &bytes);
        case.material.ocsp = vec![OcspAnswer {
            response: Ocsp::read(&bytes).unwrap(),
            nonce: Some(vec![1, 2, 3]),
        }];
        if passes {
            case.passes();
        } else {
            case.fails(17, Sub::TryLater);
        }
    }
}
