//! Whole validations. `steps` goes through the checklist; the other modules test single subjects in depth.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod family;
mod hostile;
mod mutation;
mod openssl;
mod policy;
mod report;
mod revocation;
mod several;
mod steps;
mod try_later;

use prichal_sign::testing::{Authority, Cms, Key, NOW, Signer};
use prichal_sign::{
    Crl, Expected, Material, Ocsp, OcspAnswer, Policy, Report, Request, STEPS, Status,
    SubIndication as Sub, Time, Verdict, validate,
};

const CONTENT: &[u8] = b"%PDF-1.7 the document";

/// A validation with all its inputs.
struct Case {
    signature: Vec<u8>,
    content: Option<Vec<u8>>,
    policy: Policy,
    material: Material,
    at: Time,
    existed_at: Option<Time>,
    expected: Expected,
}

impl Case {
    /// An attached signature of the authority's signer under `kz`, with current lists.
    fn new(authority: &Authority, signature: Vec<u8>) -> Self {
        Self {
            signature,
            content: None,
            policy: Policy::kz(),
            material: authority.material(),
            at: NOW,
            existed_at: None,
            expected: Expected::default(),
        }
    }

    fn report(&self) -> Report {
        let report = validate(
            &Request {
                content: self.content.as_deref(),
                expected: self.expected.clone(),
                existed_at: self.existed_at,
                ..Request::new(&self.signature, &self.policy, self.at)
            },
            &self.material,
        );
        for signer in &report.signers {
            let numbers: Vec<u8> = signer.steps.iter().map(|s| s.step).collect();
            assert_eq!(numbers, (1..=21).collect::<Vec<u8>>());
        }
        report
    }

    #[track_caller]
    fn passes(&self) -> Report {
        let report = self.report();
        assert_eq!(
            verdict(&report),
            (Verdict::TotalPassed, None),
            "{}",
            show(&report)
        );
        report
    }

    /// Asserts that the verdict has this sub-indication and that this step of the first signer failed.
    #[track_caller]
    fn fails(&self, step: u8, sub: Sub) -> Report {
        let report = self.report();
        let expected = (sub.verdict(), Some(sub));
        assert_eq!(verdict(&report), expected, "{}", show(&report));
        assert_eq!(status(&report, step), Status::Failed, "{}", show(&report));
        report
    }

    /// Asserts that the signature passes with a warning at this step.
    #[track_caller]
    fn warns(&self, step: u8) -> Report {
        let report = self.passes();
        assert_eq!(status(&report, step), Status::Warned, "{}", show(&report));
        report
    }
}

fn verdict(report: &Report) -> (Verdict, Option<Sub>) {
    (report.verdict, report.sub_indication)
}

fn status(report: &Report, step: u8) -> Status {
    report.signers[0].steps[usize::from(step) - 1].status
}

fn reason(report: &Report, step: u8) -> &str {
    &report.signers[0].steps[usize::from(step) - 1].reason
}

fn show(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap()
}

/// The authority of most tests. Its keys are the fastest ones.
fn authority() -> Authority {
    Authority::new(Key::p256)
}

fn signer(authority: &Authority) -> Signer {
    Signer::new(&authority.signer, CONTENT, NOW.plus(-60))
}

fn attached(signer: &Signer) -> Vec<u8> {
    Cms::attached(CONTENT, &[signer]).encode()
}

fn crl(bytes: &[u8]) -> Crl {
    Crl::read(bytes).unwrap()
}

fn ocsp(bytes: &[u8]) -> OcspAnswer {
    OcspAnswer {
        response: Ocsp::read(bytes).unwrap(),
        nonce: None,
    }
}
