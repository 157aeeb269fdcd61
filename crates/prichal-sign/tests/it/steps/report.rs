//! Steps 20 and 21: duplicate signers, and the report itself.

use super::{CONTENT, Case, Sub, accepted, attached, authority, reason, refused, signer};
use crate::NOW;
use prichal_sign::testing::{Cms, Draft, Key, Signer};

#[test]
fn step_20_signers_accepts_two_in_any_order() {
    let authority = authority();
    let one = signer(&authority);
    let draft = Draft::signer("Second", Key::p256("second"));
    let identity = draft.issued_by(&authority.issuer);
    let two = Signer::new(&identity, CONTENT, NOW.plus(-60));
    for signers in [[&one, &two], [&two, &one]] {
        let bytes = Cms::attached(CONTENT, &signers).encode();
        assert_eq!(accepted(20, &Case::new(&authority, bytes)).signers.len(), 2);
    }
}

#[test]
fn step_20_signers_accepts_two_signatures_of_one_with_a_warning() {
    let authority = authority();
    let (one, again) = (
        signer(&authority),
        Signer::new(&authority.signer, CONTENT, NOW.plus(-30)),
    );
    Case::new(&authority, Cms::attached(CONTENT, &[&one, &again]).encode()).warns(20);
}

#[test]
fn step_20_signers_refuses_the_same_one_twice() {
    let authority = authority();
    let one = signer(&authority);
    let bytes = Cms::attached(CONTENT, &[&one, &one]).encode();
    refused(20, &Case::new(&authority, bytes), Sub::FormatFailure);
}

#[test]
fn step_21_report_accepts_the_same_question_with_the_same_answer() {
    let authority = authority();
    let case = Case::new(&authority, attached(&signer(&authority)));
    let report = accepted(21, &case);
    assert_eq!(case.report(), report);
    assert!(reason(&report, 21).contains("policy kz"));
    assert_eq!(report.signers[0].path.len(), 3);
    assert_eq!(report.signers[0].evidence.len(), 2);
}

/// The step never fails. Another clock or policy is another question, and the report names the one that was asked.
#[test]
fn step_21_report_refuses_to_answer_for_another_clock() {
    let authority = authority();
    let mut case = Case::new(&authority, attached(&signer(&authority)));
    let now = accepted(21, &case);
    case.at = NOW.plus(1);
    let later = accepted(21, &case);
    assert_ne!(later, now);
    assert_eq!((now.at, later.at), (NOW, NOW.plus(1)));
    assert!(reason(&later, 21).contains(&NOW.plus(1).to_string()));
    // The lists that were current have expired.
    case.at = NOW.plus(2 * 86_400);
    refused(17, &case, Sub::TryLater);
}
