//! The checklist: accepted and refused examples of each of the 21 steps.
//!
//! A test is named after its step. An accepted example has the status `passed` at that step (or `warned`, if the name
//! says so) and the verdict `TOTAL_PASSED`. A refused example fails at that step and at no other (unless the test
//! gives a reason), with its verdict and sub-indication. A refused time-stamp, in steps 13 and 19, is dropped and the
//! signature stands. Two steps never fail themselves: 16 reports refused evidence, 18 reports forbidden hosts, and 17
//! fails in their place.

mod content;
mod form;
mod holder;
mod path;
mod report;
mod revocation;
mod signer;
mod time;

use super::{
    CONTENT, Case, Report, STEPS, Status, Sub, Time, attached, authority, crl, ocsp, reason, show,
    signer, status,
};

/// Asserts that the step and the whole signature passed.
#[track_caller]
fn accepted(step: u8, case: &Case) -> Report {
    let report = case.passes();
    assert_eq!(status(&report, step), Status::Passed, "{}", show(&report));
    report
}

/// Asserts that this step failed and no other.
#[track_caller]
fn refused(step: u8, case: &Case, sub: Sub) -> Report {
    let report = case.fails(step, sub);
    let steps = &report.signers[0].steps;
    let failed = steps.iter().filter(|s| s.status == Status::Failed);
    assert_eq!(
        failed.map(|s| s.step).collect::<Vec<u8>>(),
        [step],
        "{}",
        show(&report)
    );
    report
}

/// Asserts that the time-stamp was dropped and the signature was judged without it.
#[track_caller]
fn dropped(step: u8, case: &Case) -> Report {
    let report = case.warns(step);
    assert!(
        reason(&report, step).contains("does not count"),
        "{}",
        show(&report)
    );
    if step == 13 {
        assert_eq!(report.signers[0].best_time, case.at, "{}", show(&report));
        assert_eq!(report.signers[0].time_stamped_at, None);
    }
    report
}

/// Asserts a verdict without a signer and without steps.
#[track_caller]
fn refused_as_a_whole(case: &Case, sub: Sub) -> Report {
    let report = case.report();
    let expected = (sub.verdict(), Some(sub));
    assert_eq!(super::verdict(&report), expected, "{}", show(&report));
    assert!(report.signers.is_empty());
    report
}

#[test]
fn every_step_has_an_accepted_and_a_refused_example() {
    let tests = [
        include_str!("steps/content.rs"),
        include_str!("steps/form.rs"),
        include_str!("steps/holder.rs"),
        include_str!("steps/path.rs"),
        include_str!("steps/report.rs"),
        include_str!("steps/revocation.rs"),
        include_str!("steps/signer.rs"),
        include_str!("steps/time.rs"),
    ];
    for (number, name) in (1..).zip(STEPS) {
        for word in ["accepts", "refuses"] {
            let start = format!("\nfn step_{number:02}_{}_{word}_", name.replace('-', "_"));
            assert!(tests.iter().any(|file| file.contains(&start)), "{start}");
        }
    }
}
