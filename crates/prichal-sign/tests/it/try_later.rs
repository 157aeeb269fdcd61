//! Failures that can be retried: the verdict is "try later" only if no signer has another failure.

use super::{CONTENT, Case, Sub, authority, crl, show, verdict};
use prichal_sign::testing::{
    Authority, Cms, CrlDraft, Draft, Identity, Key, NOW, OcspDraft, Signer, TimeStamp, extension,
};
use prichal_sign::{Additions, Cause, NeedKind, Status, Verdict, with_evidence};

/// Failures of a signature, each with true if it can be retried.
const FAULTS: [(&str, bool); 7] = [
    ("the signer's list is not at hand", true),
    ("the list about the authority is not at hand", true),
    ("a stranger's certificate", false),
    ("another company's BIN", false),
    ("a wrong value", false),
    ("a role that may not sign", false),
    ("a hash that is not accepted", false),
];

fn with_faults(faults: u32, stamped: bool) -> Case {
    let has = |fault: usize| faults & 1 << fault != 0;
    let (authority, evil) = (
        authority(),
        Authority::new(|word| Key::p256(&format!("evil {word}"))),
    );
    let realm = if has(2) { &evil } else { &authority };
    let mut draft = Draft::signer("ТЕСТОВ ТЕСТ", Key::p256("signer"));
    if has(5) {
        draft.purposes = vec!["1.3.6.1.5.5.7.3.4", "1.2.398.3.3.4.1.1"];
    }
    let mut signer = Signer::new(&draft.issued_by(&realm.issuer), CONTENT, NOW.plus(-60));
    if has(6) {
        signer = signer.with_hash(prichal_sign::Hash::Sha1);
    }
    if has(4) {
        signer.value = Some(vec![0x30, 6, 2, 1, 1, 2, 1, 1]);
    }
    let waiting = Authority::new(|word| Key::p256(&format!("waiting {word}")));
    if stamped {
        let stamp = TimeStamp::new(&waiting.time_stamper, &signer.signature(), NOW.plus(-30));
        signer.unsigned.push(stamp.attribute());
    }
    let mut cms = Cms::attached(CONTENT, &[&signer]);
    cms.certificates.push(realm.issuer.der.clone());
    let mut case = Case::new(&authority, cms.encode());
    case.material.anchors.push(waiting.root.certificate());
    case.material
        .certificates
        .push(waiting.issuer.certificate());
    case.material.crls.clear();
    let mut list = |missing: bool, by: &Identity| {
        if !missing {
            let list = CrlDraft::new(NOW.plus(-3600)).signed_by(by);
            case.material.crls.push(crl(&list));
        }
    };
    list(has(1), &authority.root);
    list(has(0), &realm.issuer);
    case.expected.bin = Some(
        if has(3) {
            "940140000385"
        } else {
            "971240001315"
        }
        .to_owned(),
    );
    case
}

#[test]
fn try_later_requires_that_every_failure_can_be_retried() {
    for stamped in [false, true] {
        for faults in 0..1 << FAULTS.len() {
            let report = with_faults(faults, stamped).report();
            let there = FAULTS.iter().enumerate();
            let there = there.filter(|(at, _)| faults & 1 << at != 0);
            let there: Vec<_> = there.map(|(_, fault)| *fault).collect();
            let waits = !there.is_empty() && there.iter().all(|(_, retryable)| *retryable);
            let sub = report.signers[0].sub_indication;
            assert_eq!(
                sub == Some(Sub::TryLater),
                waits,
                "{there:?}: {}",
                show(&report)
            );
            assert_eq!(report.sub_indication, sub);
            assert_eq!(
                sub.is_none(),
                there.is_empty(),
                "{there:?}: {}",
                show(&report)
            );
            if waits {
                // There is a path, and every other requirement is met.
                assert!(!report.signers[0].path.is_empty());
                let steps = &report.signers[0].steps;
                let failed = steps.iter().filter(|step| step.status == Status::Failed);
                assert_eq!(failed.map(|step| step.step).collect::<Vec<_>>(), [17]);
            }
        }
    }
}

/// With two signers, one to be retried does not hide a bad one, in either order.
#[test]
fn try_later_requires_that_no_signer_has_another_failure() {
    let (authority, evil) = (
        authority(),
        Authority::new(|word| Key::p256(&format!("evil {word}"))),
    );
    let waits = Signer::new(&authority.signer, CONTENT, NOW.plus(-60));
    let bad = Signer::new(&evil.signer, CONTENT, NOW.plus(-60));
    for signers in [[&waits, &bad], [&bad, &waits]] {
        let mut case = Case::new(&authority, Cms::attached(CONTENT, &signers).encode());
        case.material.crls.clear();
        let report = case.report();
        let expected = (Verdict::Indeterminate, Some(Sub::NoCertificateChainFound));
        assert_eq!(verdict(&report), expected, "{}", show(&report));
    }
}

const AIA: &str = "1.3.6.1.5.5.7.1.1";
const ISSUER: &str = "http://pki.gov.kz/issuer.cer";

/// An issuer whose server did not answer can be retried. An issuer with an address that was not tried cannot.
#[test]
fn an_issuer_that_could_not_be_fetched_can_be_retried() {
    let authority = authority();
    let access = |url: &str| {
        use prichal_sign::testing::der::{element, oid, sequence};
        let place = sequence(&[&oid("1.3.6.1.5.5.7.48.2"), &element(0x86, url.as_bytes())]);
        extension(AIA, false, &sequence(&[&place]))
    };
    let draft = Draft {
        extensions: vec![access(ISSUER)],
        ..Draft::signer("Far", Key::p256("far"))
    };
    let identity = draft.issued_by(&authority.issuer);
    let signer = Signer::new(&identity, CONTENT, NOW.plus(-60));
    let mut case = Case::new(&authority, super::attached(&signer));
    case.material.certificates.clear();
    let report = case.fails(14, Sub::NoCertificateChainFound);
    let need = &report.needs[0];
    assert_eq!(
        (need.kind, need.cause),
        (NeedKind::Issuer, Cause::SignersPath)
    );
    assert!(need.allowed && need.url.as_deref() == Some(ISSUER));
    assert!(
        report.signers[0].path.is_empty(),
        "no path leads to an anchor"
    );
    case.material.unreachable = vec!["http://pki.gov.kz/other.cer".to_owned()];
    case.fails(14, Sub::NoCertificateChainFound);
    case.material.unreachable.push(ISSUER.to_owned());
    let report = case.fails(14, Sub::TryLater);
    assert!(report.signers[0].path.is_empty());
    // Another failure is not hidden by it.
    case.expected.iin = Some("200140000501".to_owned());
    let report = case.report();
    assert_eq!(report.sub_indication, Some(Sub::SigConstraintsFailure));
}

/// Appended parts do not displace the signers' own needs, which come first.
#[test]
fn needs_of_appended_parts_do_not_displace_the_signers() {
    use prichal_sign::testing::der::{element, oid, sequence};
    let (authority, evil) = (
        authority(),
        Authority::new(|word| Key::p256(&format!("evil {word}"))),
    );
    let mut signer = Signer::new(&authority.signer, CONTENT, NOW.plus(-60));
    let value = signer.signature();
    let mut cms = Cms::attached(CONTENT, &[&signer]);
    for at in 0..60_u8 {
        let places = (0..20_u8).map(|n| {
            let url = format!("http://pki.gov.kz/{at}/{n}");
            sequence(&[&oid("1.3.6.1.5.5.7.48.2"), &element(0x86, url.as_bytes())])
        });
        let draft = Draft {
            extensions: vec![extension(
                AIA,
                false,
                &element(0x30, &places.collect::<Vec<_>>().concat()),
            )],
            ..Draft::time_stamper(&format!("Evil {at}"), Key::p256("evil time"))
        };
        let identity = draft.issued_by(&evil.issuer);
        let stamp = TimeStamp::new(&identity, &value, NOW.plus(-30));
        signer.unsigned.push(stamp.attribute());
    }
    cms.signers = vec![signer.encode()];
    let mut case = Case::new(&authority, cms.encode());
    case.material.crls.clear();
    let report = case.report();
    assert_eq!(
        report.sub_indication,
        Some(Sub::TryLater),
        "{}",
        show(&report)
    );
    let own = report
        .needs
        .iter()
        .take_while(|need| need.cause == Cause::Signer);
    assert_eq!(own.count(), 2);
    assert!(report.needs.len() > 100 && report.needs.len() <= 256);
    assert!(report.needs.is_sorted_by_key(|need| need.cause));
}

/// More responses about the signer than the limit, from unauthorised responders.
fn junk(authority: &Authority) -> Vec<Vec<u8>> {
    let name = authority.issuer.certificate().subject.raw().to_vec();
    let made = |n: u8| {
        let draft = Draft {
            serial: 1000 + u64::from(n),
            ..Draft::responder("Junk", Key::p256("junk"))
        };
        draft.signed(&name, &Key::p256("junk")).der
    };
    let responder = Draft::responder("Junk", Key::p256("junk")).signed(&name, &Key::p256("junk"));
    let draft = OcspDraft {
        more_certificates: (0..15).map(made).collect(),
        ..OcspDraft::good(&authority.signer, NOW.plus(-60))
    };
    vec![draft.signed_by(&responder, &authority.issuer); 130]
}

/// Junk in a signature does not keep a list from being used. Without a list, the answer is not "try later".
#[test]
fn embedded_junk_does_not_hide_a_revocation() {
    let authority = authority();
    let serial = u64::from_str_radix(&authority.signer.certificate().serial_hex(), 16).unwrap();
    let mut revoked = CrlDraft::new(NOW.plus(-3600));
    revoked.entries = vec![(serial, NOW.plus(-7200), Some(1))];
    let revoked = revoked.signed_by(&authority.issuer);
    let good = CrlDraft::new(NOW.plus(-3600)).signed_by(&authority.issuer);
    let root = CrlDraft::new(NOW.plus(-3600)).signed_by(&authority.root);
    let junk = junk(&authority);
    // Among the signature's own data, and appended to it.
    for appended in [false, true] {
        for (list, expected) in [
            (Some(&revoked), Some(Sub::Revoked)),
            (Some(&good), None),
            (None, Some(Sub::PolicyProcessingError)),
        ] {
            let mut signer = Signer::new(&authority.signer, CONTENT, NOW.plus(-60));
            if appended {
                signer.unsigned.push(revocation_values(&junk));
            }
            let mut cms = Cms::attached(CONTENT, &[&signer]);
            cms.certificates.push(authority.issuer.der.clone());
            for response in junk.iter().filter(|_| !appended) {
                cms.add_ocsp(response);
            }
            let mut case = Case::new(&authority, cms.encode());
            case.material.crls = vec![crl(&root)];
            case.material.crls.extend(list.map(|list| crl(list)));
            let report = case.report();
            assert_eq!(report.sub_indication, expected, "{}", show(&report));
            let steps = serde_json::to_string(&report).unwrap();
            assert!(steps.len() < 20_000, "{}", steps.len());
            for policy in [
                prichal_sign::Policy::eu_baseline(),
                prichal_sign::Policy::test(),
            ] {
                case.policy = policy;
                assert_eq!(case.report().sub_indication, expected);
            }
        }
    }
}

/// Responses whose responder is looked for among all certificates of a signature, more than are looked at.
#[test]
fn the_search_for_responders_ends() {
    let authority = authority();
    let key = Key::p256("nobody's");
    let draft = OcspDraft {
        by_key_hash: true,
        with_certificate: false,
        ..OcspDraft::good(&authority.signer, NOW.plus(-60))
    };
    let responder = Draft::responder("Nobody", key).issued_by(&authority.root);
    let response = draft.signed_by(&responder, &authority.issuer);
    let other = Key::p256("other");
    let certificates: Vec<Vec<u8>> = (0..200)
        .map(|n| {
            let draft = Draft {
                serial: 3000 + n,
                ..Draft::responder("Other", other.clone())
            };
            draft.issued_by(&authority.root).der
        })
        .collect();
    let good = CrlDraft::new(NOW.plus(-3600)).signed_by(&authority.issuer);
    let root = CrlDraft::new(NOW.plus(-3600)).signed_by(&authority.root);
    for (count, list, expected) in [
        (10, None, Some(Sub::TryLater)),
        (130, None, Some(Sub::PolicyProcessingError)),
        // A list that the caller brings is tried after the bound on the signature's own, too.
        (130, Some(&good), None),
    ] {
        let signer = Signer::new(&authority.signer, CONTENT, NOW.plus(-60));
        let mut cms = Cms::attached(CONTENT, &[&signer]);
        cms.certificates.push(authority.issuer.der.clone());
        cms.certificates.extend(certificates.iter().cloned());
        for _ in 0..count {
            cms.add_ocsp(&response);
        }
        let mut case = Case::new(&authority, cms.encode());
        case.material.crls = vec![crl(&root)];
        case.material.crls.extend(list.map(|list| crl(list)));
        let report = case.report();
        assert_eq!(report.sub_indication, expected, "{}", show(&report));
    }
}

/// A list in the signature is used without a question while it is less than an hour old. A newer list in the
/// caller's material comes before it.
#[test]
fn newer_lists_are_looked_for_where_they_are_at_hand() {
    let authority = authority();
    let draft = Draft {
        crl_url: Some("http://pki.gov.kz/issuer.crl".to_owned()),
        ..Draft::signer("Near", Key::p256("near"))
    };
    let identity = draft.issued_by(&authority.issuer);
    let signer = Signer::new(&identity, CONTENT, NOW.plus(-60));
    for (ago, asks) in [(1800, false), (3601, true)] {
        let mut cms = Cms::attached(CONTENT, &[&signer]);
        cms.certificates.push(authority.issuer.der.clone());
        for by in [&authority.root, &authority.issuer] {
            cms.revocation
                .push(CrlDraft::new(NOW.plus(-ago)).signed_by(by));
        }
        let mut case = Case::new(&authority, cms.encode());
        case.material.crls.clear();
        let report = case.passes();
        assert_eq!(report.needs.is_empty(), !asks, "{ago}");
        assert_eq!(report.newer.is_empty(), asks, "{ago}");
        let all = report.needs.iter().chain(&report.newer);
        let urls: Vec<_> = all.map(|need| need.url.as_deref()).collect();
        assert_eq!(urls, [Some("http://pki.gov.kz/issuer.crl")]);
        // A newer one that is at hand is enough.
        case.material.crls = vec![crl(
            &CrlDraft::new(NOW.plus(-60)).signed_by(&authority.issuer)
        )];
        let report = case.passes();
        assert!(report.needs.is_empty() && report.newer.is_empty());
    }
}

/// The attribute of long-term signatures with these responses.
fn revocation_values(responses: &[Vec<u8>]) -> Vec<u8> {
    use prichal_sign::testing::{attribute, der};
    let basic = responses
        .iter()
        .map(|response| prichal_sign::Ocsp::read(response).unwrap().raw().to_vec());
    let list = der::sequence(&[&basic.collect::<Vec<_>>().concat()]);
    let value = der::sequence(&[&der::element(0xa1, &list)]);
    attribute("1.2.840.113549.1.9.16.2.24", &value)
}

/// More signers than the limit of needs. The report says that needs are missing.
#[test]
fn the_report_tells_that_needs_are_missing() {
    let authority = authority();
    for (count, crowded) in [(10_u8, false), (130, true)] {
        let signers: Vec<Signer> = (0..count)
            .map(|n| {
                let draft = Draft {
                    serial: 2000 + u64::from(n),
                    crl_url: Some(format!("http://pki.gov.kz/{n}.crl")),
                    ..Draft::signer("Many", Key::p256("many"))
                };
                Signer::new(&draft.issued_by(&authority.issuer), CONTENT, NOW.plus(-60))
            })
            .collect();
        let signers: Vec<&Signer> = signers.iter().collect();
        let mut case = Case::new(&authority, Cms::attached(CONTENT, &signers).encode());
        case.material.crls.clear();
        let report = case.report();
        assert_eq!(report.sub_indication, Some(Sub::TryLater));
        assert_eq!(report.has_more_needs, crowded);
    }
}

/// A signature that passed with the caller's evidence passes alone once that evidence is embedded.
#[test]
fn a_signature_with_embedded_evidence_passes_alone() {
    let authority = authority();
    let signer = Signer::new(&authority.signer, CONTENT, NOW.plus(-60));
    let der = super::attached(&signer);
    let response = OcspDraft::good(&authority.signer, NOW.plus(-60));
    let response = response.signed_by(&authority.responder, &authority.issuer);
    let list = |by: &Identity| CrlDraft::new(NOW.plus(-3600)).signed_by(by);
    let more = Additions {
        certificates: vec![authority.issuer.der.clone(), authority.signer.der.clone()],
        lists: vec![list(&authority.root)],
        responses: vec![response],
    };
    for form in [der.clone(), prichal_sign::testing::indefinite(&der, 3)] {
        let mut case = Case::new(&authority, form.clone());
        case.material.certificates.clear();
        case.material.crls.clear();
        case.fails(14, Sub::NoCertificateChainFound);
        case.signature = with_evidence(&form, &more).unwrap();
        let report = case.passes();
        assert_eq!(report.signers[0].evidence.len(), 2);
        let again = with_evidence(
            &case.signature,
            &Additions {
                responses: Vec::new(),
                ..more.clone()
            },
        );
        assert_eq!(again.unwrap().len(), case.signature.len(), "nothing twice");
    }
    assert!(with_evidence(b"no signature", &more).is_err());
}
