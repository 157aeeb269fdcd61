//! Which failures can be retried: a signature waits only where nothing else is wrong with any signer.

use super::{CONTENT, Case, Sub, authority, crl, show, verdict};
use prichal_sign::testing::{
    Authority, Cms, CrlDraft, Draft, Identity, Key, NOW, OcspDraft, Signer, TimeStamp, extension,
};
use prichal_sign::{Additions, Cause, NeedKind, Status, Verdict, with_evidence};

/// What may be wrong with a signature, each with whether it can be retried.
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
fn a_signature_waits_only_where_all_that_is_wrong_can_be_retried() {
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
                // There is a path, and every other duty is met.
                assert!(!report.signers[0].path.is_empty());
                let steps = &report.signers[0].steps;
                let failed = steps.iter().filter(|step| step.status == Status::Failed);
                assert_eq!(failed.map(|step| step.step).collect::<Vec<_>>(), [17]);
            }
        }
    }
}

/// Two signers: one that waits hides none that is bad, in whatever order.
#[test]
fn of_several_signers_each_must_wait() {
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

/// An issuer whose server was asked in vain may be found later. One that nobody was asked for may not.
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
    assert!(report.signers[0].path.is_empty(), "nobody vouches for it");
    case.material.unreachable = vec!["http://pki.gov.kz/other.cer".to_owned()];
    case.fails(14, Sub::NoCertificateChainFound);
    case.material.unreachable.push(ISSUER.to_owned());
    let report = case.fails(14, Sub::TryLater);
    assert!(report.signers[0].path.is_empty());
    // What else is wrong is not hidden by it.
    case.expected.iin = Some("200140000501".to_owned());
    let report = case.report();
    assert_eq!(report.sub_indication, Some(Sub::SigConstraintsFailure));
}

/// Whatever is appended, the signers' own needs are there, and come first.
#[test]
fn needs_of_what_is_appended_crowd_out_none_of_the_signers() {
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

/// Responses about the signer by responders that nobody has made one, more than are tried.
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

/// No junk in a signature keeps a list from being looked at; where there is none, to wait is no answer.
#[test]
fn junk_in_a_signature_hides_no_revocation() {
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

/// The attribute of long-term signatures with these responses in it.
fn revocation_values(responses: &[Vec<u8>]) -> Vec<u8> {
    use prichal_sign::testing::{attribute, der};
    let basic = responses
        .iter()
        .map(|response| prichal_sign::Ocsp::read(response).unwrap().raw().to_vec());
    let list = der::sequence(&[&basic.collect::<Vec<_>>().concat()]);
    let value = der::sequence(&[&der::element(0xa1, &list)]);
    attribute("1.2.840.113549.1.9.16.2.24", &value)
}

/// More signers than there is room for needs: that one is not among them is said.
#[test]
fn a_need_that_finds_no_room_is_told() {
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
        assert_eq!(report.is_crowded, crowded);
    }
}

/// A signature that was proven with what the caller brought proves itself once that is in it.
#[test]
fn a_signature_with_its_evidence_proves_itself() {
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
