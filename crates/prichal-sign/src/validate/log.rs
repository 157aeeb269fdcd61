//! Collects what the steps find and makes the verdict of it.

use crate::policy::Severity;
use crate::report::{STEPS, Status, Step, SubIndication, Verdict};

/// What one check found.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub step: u8,
    pub status: Status,
    pub sub_indication: Option<SubIndication>,
    pub reason: String,
}

/// The findings about one signature, in the order they were made.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    findings: Vec<Finding>,
}

impl Log {
    pub(super) fn pass(&mut self, step: u8, reason: impl Into<String>) {
        self.add(step, Status::Passed, None, reason.into());
    }

    pub(super) fn skip(&mut self, step: u8, reason: impl Into<String>) {
        self.add(step, Status::Skipped, None, reason.into());
    }

    pub(super) fn warn(&mut self, step: u8, reason: impl Into<String>) {
        self.add(step, Status::Warned, None, reason.into());
    }

    pub(super) fn fail(&mut self, step: u8, sub: SubIndication, reason: impl Into<String>) {
        self.add(step, Status::Failed, Some(sub), reason.into());
    }

    /// A broken rule, as severe as the policy says.
    pub(super) fn rule(
        &mut self,
        severity: Severity,
        step: u8,
        sub: SubIndication,
        reason: impl Into<String>,
    ) {
        match severity {
            Severity::Fail => self.fail(step, sub, reason),
            Severity::Warn => self.warn(step, reason),
            Severity::Ignore => self.skip(step, format!("{} (ignored)", reason.into())),
        }
    }

    fn add(&mut self, step: u8, status: Status, sub: Option<SubIndication>, reason: String) {
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

    /// The failure that decides: of the worst verdict the one of the earliest step.
    pub(super) fn deciding(&self) -> Option<&Finding> {
        let verdict = |f: &Finding| f.sub_indication.map(SubIndication::verdict);
        let worst = self.failures().map(verdict).max()?;
        self.failures()
            .filter(|f| verdict(f) == worst)
            .min_by_key(|f| f.step)
    }

    pub(super) fn verdict(&self) -> (Verdict, Option<SubIndication>) {
        match self.deciding().and_then(|f| f.sub_indication) {
            Some(sub) => (sub.verdict(), Some(sub)),
            None => (Verdict::TotalPassed, None),
        }
    }

    /// All 21 steps. One without a finding was not reached.
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
        let mut reasons: Vec<&str> = Vec::new();
        // What decides comes first.
        for wanted in [
            Status::Failed,
            Status::Warned,
            Status::Passed,
            Status::Skipped,
        ] {
            for finding in findings().filter(|f| f.status == wanted) {
                if !reasons.contains(&finding.reason.as_str()) {
                    reasons.push(&finding.reason);
                }
            }
        }
        if reasons.is_empty() {
            reasons.push("not reached");
        }
        Step {
            step,
            name,
            status,
            reason: reasons.join("; "),
        }
    }
}
