//! Collects the findings of the steps and derives the verdict.

use crate::policy::Severity;
use crate::reason::{Reason, reason};
use crate::report::{STEPS, Status, Step, SubIndication, Verdict};
use std::collections::BTreeSet;

/// The finding of one check.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub step: u8,
    pub status: Status,
    pub sub_indication: Option<SubIndication>,
    pub reason: Reason,
}

impl Finding {
    fn weight(&self) -> u8 {
        self.sub_indication.map_or(0, SubIndication::weight)
    }
}

/// The findings about one signature, in the order of the checks.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    findings: Vec<Finding>,
}

impl Log {
    pub(super) fn pass(&mut self, step: u8, reason: Reason) {
        self.add(step, Status::Passed, None, reason);
    }

    pub(super) fn skip(&mut self, step: u8, reason: Reason) {
        self.add(step, Status::Skipped, None, reason);
    }

    pub(super) fn warn(&mut self, step: u8, reason: Reason) {
        self.add(step, Status::Warned, None, reason);
    }

    pub(super) fn fail(&mut self, step: u8, sub: SubIndication, reason: Reason) {
        self.add(step, Status::Failed, Some(sub), reason);
    }

    /// Records a broken rule with the policy's severity.
    pub(super) fn rule(
        &mut self,
        severity: Severity,
        step: u8,
        sub: SubIndication,
        reason: Reason,
    ) {
        match severity {
            Severity::Fail => self.fail(step, sub, reason),
            Severity::Warn => self.warn(step, reason),
            Severity::Ignore => self.skip(step, reason!("{reason} (ignored)")),
        }
    }

    fn add(&mut self, step: u8, status: Status, sub: Option<SubIndication>, reason: Reason) {
        self.findings.push(Finding {
            step,
            status,
            sub_indication: sub,
            reason,
        });
    }

    pub(super) fn failed(&self, step: u8) -> bool {
        self.failures().any(|f| f.step == step)
    }

    fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.status == Status::Failed)
    }

    /// The deciding failure: the earliest one of the highest weight.
    pub(super) fn deciding(&self) -> Option<&Finding> {
        let worst = self.failures().map(Finding::weight).max()?;
        self.failures()
            .filter(|f| f.weight() == worst)
            .min_by_key(|f| f.step)
    }

    /// The weight of the deciding failure; 0 without a failure.
    pub(super) fn weight(&self) -> u8 {
        self.deciding().map_or(0, Finding::weight)
    }

    pub(super) fn verdict(&self) -> (Verdict, Option<SubIndication>) {
        match self.deciding().and_then(|f| f.sub_indication) {
            Some(sub) => (sub.verdict(), Some(sub)),
            None => (Verdict::TotalPassed, None),
        }
    }

    /// All 21 steps. A step without a finding was not reached.
    pub(super) fn steps(&self) -> Vec<Step> {
        let numbered = (1..).zip(STEPS);
        numbered.map(|(step, name)| self.step(step, name)).collect()
    }

    fn step(&self, step: u8, name: &'static str) -> Step {
        let findings = || self.findings.iter().filter(|f| f.step == step);
        let status = findings()
            .map(|f| f.status)
            .max()
            .unwrap_or(Status::Skipped);
        let none = reason!("not reached");
        let mut reasons: Vec<&str> = Vec::new();
        let mut known = BTreeSet::new();
        // Failures come first.
        for wanted in [
            Status::Failed,
            Status::Warned,
            Status::Passed,
            Status::Skipped,
        ] {
            for finding in findings().filter(|f| f.status == wanted) {
                if known.insert(finding.reason.as_str()) {
                    reasons.push(finding.reason.as_str());
                }
            }
        }
        if reasons.is_empty() {
            reasons.push(none.as_str());
        }
        Step {
            step,
            name,
            status,
            reason: reasons.join("; "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn try_later_is_the_verdict_only_if_every_failure_can_be_retried(
            failures in proptest::collection::vec((1_u8..=21, prop_oneof![
                Just(SubIndication::TryLater),
                proptest::sample::select(&SubIndication::ALL[..]),
            ]), 0..6)
        ) {
            let mut log = Log::default();
            for (step, sub) in &failures {
                log.pass(*step, reason!("another part of the step is right"));
                log.fail(*step, *sub, reason!("wrong"));
            }
            let (verdict, sub) = log.verdict();
            let all_retryable = failures.iter().all(|(_, sub)| *sub == SubIndication::TryLater);
            prop_assert_eq!(sub == Some(SubIndication::TryLater), all_retryable && !failures.is_empty());
            let worst = failures.iter().map(|(_, sub)| sub.verdict()).max();
            prop_assert_eq!(verdict, worst.unwrap_or(Verdict::TotalPassed));
            // The named step is the earliest failure of the highest weight.
            let named = log.deciding().map(|f| (f.step, f.weight()));
            let expected = failures.iter().map(|(step, sub)| (*step, sub.weight()));
            let expected = expected.max_by_key(|(step, weight)| (*weight, std::cmp::Reverse(*step)));
            prop_assert_eq!(named, expected);
        }
    }
}
