//! Step 21: the report itself.

use super::revocation::serial;
use super::{Case, attached, authority, signer};
use prichal_sign::SubIndication;
use prichal_sign::testing::{CrlDraft, NOW};
use serde_json::{Value, json};

#[test]
fn the_report_has_the_members_of_the_contract() {
    let authority = authority();
    let mut case = Case::new(&authority, attached(&signer(&authority)));
    case.material.crls.remove(1);
    let report: Value = serde_json::to_value(case.report()).unwrap();
    assert_eq!(report["verdict"], "INDETERMINATE");
    assert_eq!(report["subIndication"], "TRY_LATER");
    assert_eq!(report["policy"], "kz");
    assert_eq!(report["at"], "2026-06-01T12:00:00Z");
    let signer = &report["signers"][0];
    let certificate = &signer["certificate"];
    assert_eq!(
        *certificate,
        json!({
            "subject": certificate["subject"],
            "issuer": "CN=Issuer",
            "serial": certificate["serial"],
            "name": "ТЕСТОВ ТЕСТ",
            "iin": "061211600012",
            "bin": "971240001315",
            "inn": null,
            "roles": ["organisation", "first-head"],
            "keyAlgorithm": "EC P-256",
            "notBefore": "2025-01-01T00:00:00Z",
            "notAfter": "2028-01-01T00:00:00Z",
        })
    );
    assert_eq!(
        signer["steps"][16],
        json!({
            "step": 17,
            "name": "revocation-status",
            "status": "failed",
            "reason": signer["steps"][16]["reason"],
        })
    );
    assert_eq!(report["needs"][0]["kind"], "crl");
}

#[test]
fn the_worst_failure_decides_and_among_equals_the_earliest_step() {
    let authority = authority();
    let mut signer = signer(&authority);
    signer.remove("1.2.840.113549.1.9.3");
    signer.value = Some(vec![0; 70]);
    let mut case = Case::new(&authority, attached(&signer));
    case.expected.bin = Some("940140000385".to_owned());
    // Steps 5 and 8 give TOTAL_FAILED, step 15 only INDETERMINATE.
    let report = case.report();
    assert_eq!(report.sub_indication, Some(SubIndication::FormatFailure));
    let mut case = Case::new(&authority, attached(&super::signer(&authority)));
    case.expected.bin = Some("940140000385".to_owned());
    let list = CrlDraft {
        entries: vec![(serial(&authority.signer), NOW.plus(-7200), Some(1))],
        ..CrlDraft::new(NOW.plus(-60))
    };
    case.material
        .crls
        .push(super::crl(&list.signed_by(&authority.issuer)));
    let report = case.report();
    assert_eq!(report.sub_indication, Some(SubIndication::Revoked));
}

/// The number of a company alone does not identify the person who signed for it.
#[test]
fn the_number_of_a_company_does_not_identify_the_signer() {
    let authority = authority();
    let facts = prichal_sign::Facts::of(&authority.signer.certificate());
    let bin = facts.bin.map(|bin| bin.as_str().to_owned());
    let iin = facts.iin.map(|iin| iin.as_str().to_owned());
    let unchecked = prichal_sign::Unchecked::Identity;
    for (bin, iin, expected) in [
        (None, None, vec![unchecked]),
        (bin.clone(), None, vec![unchecked]),
        (None, iin.clone(), vec![]),
        (bin, iin, vec![]),
    ] {
        let mut case = Case::new(&authority, attached(&signer(&authority)));
        (case.expected.bin, case.expected.iin) = (bin, iin);
        assert_eq!(case.passes().signers[0].unchecked, expected);
    }
}
