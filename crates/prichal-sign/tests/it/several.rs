//! Step 20: several signers and counter-signatures.

use super::{CONTENT, Case, authority, signer, status};
use prichal_sign::testing::{
    Authority, Cms, Draft, Identity, Key, NOW, Signer, attribute, der, name,
};
use prichal_sign::{Required, Status, SubIndication as Sub, Verdict};

const COUNTER: &str = "1.2.840.113549.1.9.6";

fn second(authority: &Authority) -> Identity {
    let draft = Draft {
        subject: name(&[
            ("CN", "Second"),
            ("serialNumber", "IIN200140000501"),
            ("OU", "BIN940140000385"),
        ]),
        ..Draft::signer("Second", Key::p256("second"))
    };
    draft.issued_by(&authority.issuer)
}

#[test]
fn all_signers_must_pass_unless_one_is_named() {
    let authority = authority();
    let first = signer(&authority);
    let mut other = Signer::new(&second(&authority), CONTENT, NOW.plus(-60));
    let both = |other: &Signer| Cms::attached(CONTENT, &[&first, other]).encode();
    let report = Case::new(&authority, both(&other)).passes();
    assert_eq!(report.signers.len(), 2);
    other.value = Some(vec![0; 70]);
    for signers in [[&first, &other], [&other, &first]] {
        let mut case = Case::new(&authority, Cms::attached(CONTENT, &signers).encode());
        let report = case.report();
        assert_eq!(
            super::verdict(&report),
            (Verdict::TotalFailed, Some(Sub::SigCryptoFailure))
        );
        case.expected.required = Some(Required::Bin("971240001315".to_owned()));
        let report = case.passes();
        let failed = report
            .signers
            .iter()
            .filter(|s| s.verdict == Verdict::TotalFailed);
        assert_eq!(failed.count(), 1);
        case.expected.required = Some(Required::Iin("200140000501".to_owned()));
        assert_eq!(case.report().verdict, Verdict::TotalFailed);
        let print = authority.signer.certificate().fingerprint();
        case.expected.required = Some(Required::Certificate(print.to_uppercase()));
        case.passes();
        case.expected.required = Some(Required::Inn("7707083893".to_owned()));
        let report = case.report();
        assert_eq!(
            super::verdict(&report),
            (Verdict::Indeterminate, Some(Sub::SigConstraintsFailure))
        );
    }
}

#[test]
fn counter_signatures_are_reported_and_do_not_change_the_verdict() {
    let authority = authority();
    let notary = second(&authority);
    let check = |change: fn(&mut Signer)| {
        let mut signer = signer(&authority);
        let mut counter = Signer::counter(&notary, &signer.signature());
        change(&mut counter);
        signer.unsigned.push(attribute(COUNTER, &counter.encode()));
        let mut cms = Cms::attached(CONTENT, &[&signer]);
        cms.certificates.push(notary.der.clone());
        Case::new(&authority, cms.encode()).passes()
    };
    let report = check(|_| {});
    let counted = &report.signers[0].counter_signatures;
    assert_eq!(counted.len(), 1);
    assert_eq!(counted[0].verdict, Verdict::TotalPassed);
    assert_eq!(
        counted[0].certificate.as_ref().unwrap().name.as_deref(),
        Some("Second")
    );
    assert_eq!(status(&report, 20), Status::Passed);
    for (change, sub) in [
        (
            (|c| {
                c.add(attribute(
                    "1.2.840.113549.1.9.3",
                    &der::oid("1.2.840.113549.1.7.1"),
                ));
            }) as fn(&mut Signer),
            Sub::FormatFailure,
        ),
        (
            (|c| c.value = Some(vec![1; 70])) as fn(&mut Signer),
            Sub::SigCryptoFailure,
        ),
        (
            |c| c.replace("1.2.840.113549.1.9.4", &[4, 1, 0]),
            Sub::HashFailure,
        ),
    ] {
        let report = check(change);
        let counted = &report.signers[0].counter_signatures;
        assert_eq!(counted[0].sub_indication, Some(sub));
        assert_eq!(status(&report, 20), Status::Warned);
    }
}
