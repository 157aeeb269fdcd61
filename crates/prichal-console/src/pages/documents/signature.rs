//! Signatures: each in one sentence, with the steps of its validation.

use serde::Deserialize;

use super::model::moment;
use crate::{
    check,
    language::Language,
    moment::Moment,
    parts::{State, Tone, visible},
    reasons::translate,
    visit::Visit,
    words::{self, fill},
};

/// The refusal of a signature in the reader's language. The API has it as `HASH_FAILURE: …`. `None` for another refusal.
pub(super) fn refusal(message: &str, language: Language) -> Option<String> {
    let (name, reason) = message.split_once(": ")?;
    let words = words::Indications::of(language).find(name)?;
    let w = words::Documents::of(language);
    let reason = visible(&translate(reason, language));
    Some(fill(w.not_accepted, &[&words, &reason]))
}

/// A signature (`GET /api/v3/sync/single/document/signatures/{id}`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Signature {
    signed_on: i64,
    pub(super) company_bin: String,
    report: Report,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    #[serde(default)]
    verdict: String,
    #[serde(default)]
    sub_indication: Option<String>,
    #[serde(default)]
    policy: String,
    #[serde(default)]
    signers: Vec<Signer>,
    #[serde(default)]
    needs: Vec<Need>,
}

#[derive(Deserialize)]
struct Signer {
    #[serde(default)]
    certificate: Option<Certificate>,
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(default)]
    unchecked: Vec<String>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    #[serde(default)]
    name: Option<String>,
    subject: String,
    issuer: String,
    serial: String,
    #[serde(default)]
    not_after: Option<String>,
}

#[derive(Deserialize)]
struct Step {
    step: i64,
    name: String,
    status: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct Need {
    kind: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    subject: Option<String>,
}

/// A signature as it is shown.
pub(super) struct Shown {
    pub(super) state: State,
    pub(super) sentence: String,
    pub(super) at: Moment,
    /// The checks that the verdict does not cover, in words.
    pub(super) unchecked: Vec<String>,
    pub(super) signers: Vec<ShownSigner>,
    pub(super) needs: Vec<String>,
}

pub(super) struct ShownSigner {
    pub(super) summary: String,
    /// Names and values of the certificate.
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) steps: Vec<ShownStep>,
}

pub(super) struct ShownStep {
    pub(super) number: i64,
    pub(super) name: String,
    pub(super) state: State,
    pub(super) reason: String,
}

impl Signature {
    /// The signature of a company with this name.
    pub(super) fn show(&self, company: &str, visit: &Visit, w: &'static words::Documents) -> Shown {
        let (report, language) = (&self.report, visit.language);
        let (tone, word) = match &*report.verdict {
            "TOTAL_PASSED" => (Tone::Good, w.valid),
            "TOTAL_FAILED" => (Tone::Bad, w.invalid),
            _ => (Tone::Waiting, w.undecided),
        };
        let names: Vec<String> = report.signers.iter().filter_map(Signer::name).collect();
        let mut verdict = word.to_owned();
        if let Some(reason) = &report.sub_indication {
            let words = words::Indications::of(language).find(reason);
            let words = words.map_or_else(|| visible(reason), str::to_owned);
            verdict = format!("{verdict} ({words})");
        }
        Shown {
            state: State { tone, word },
            sentence: fill(
                w.signature,
                &[
                    &names.join(", "),
                    &company,
                    &verdict,
                    &visible(check::policy(&report.policy, words::Check::of(language))),
                ],
            ),
            at: moment(self.signed_on, visit),
            unchecked: report.unchecked(w),
            signers: report
                .signers
                .iter()
                .map(|one| one.show(w, language))
                .collect(),
            needs: report.needs.iter().map(|one| one.show(language)).collect(),
        }
    }
}

impl Report {
    /// The checks that a policy has left out for any signer, each once.
    fn unchecked(&self, w: &words::Documents) -> Vec<String> {
        let mut found: Vec<&str> = Vec::new();
        for word in self.signers.iter().flat_map(|one| &one.unchecked) {
            if !found.contains(&word.as_str()) {
                found.push(word);
            }
        }
        let sentence = |word: &&str| match *word {
            "identity" => w.not_identity.to_owned(),
            "revocation" => w.not_revocation.to_owned(),
            other => fill(w.not_other, &[&visible(other)]),
        };
        found.iter().map(sentence).collect()
    }
}

impl Signer {
    fn name(&self) -> Option<String> {
        let certificate = self.certificate.as_ref()?;
        let name = certificate.name.as_deref();
        Some(visible(name.unwrap_or(&certificate.subject)))
    }

    fn show(&self, w: &'static words::Documents, language: Language) -> ShownSigner {
        let count = |status: &str| self.steps.iter().filter(|one| one.status == status).count();
        let counts: [usize; 4] = ["passed", "warned", "failed", "skipped"].map(count);
        let [passed, warned, failed, skipped] = counts;
        let facts = self.certificate.as_ref().map(|one| one.facts(w));
        ShownSigner {
            summary: fill(
                w.steps,
                &[&self.steps.len(), &passed, &warned, &failed, &skipped],
            ),
            facts: facts.unwrap_or_default(),
            steps: self.steps.iter().map(|one| one.show(w, language)).collect(),
        }
    }
}

impl Certificate {
    fn facts(&self, w: &'static words::Documents) -> Vec<(&'static str, String)> {
        let mut facts = vec![
            (
                w.certificate,
                format!("{} ({})", visible(&self.subject), self.serial),
            ),
            (w.issuer, visible(&self.issuer)),
        ];
        if let Some(end) = &self.not_after {
            facts.push((w.valid_until, visible(end)));
        }
        facts
    }
}

impl Step {
    fn show(&self, w: &'static words::Documents, language: Language) -> ShownStep {
        let (tone, word) = match &*self.status {
            "passed" => (Tone::Good, w.passed),
            "warned" => (Tone::Waiting, w.warned),
            "failed" => (Tone::Bad, w.failed),
            _ => (Tone::Off, w.skipped),
        };
        ShownStep {
            number: self.step,
            name: words::Steps::of(language)
                .by_name(&self.name)
                .map_or_else(|| visible(&self.name), str::to_owned),
            state: State { tone, word },
            reason: visible(&translate(&self.reason, language)),
        }
    }
}

impl Need {
    fn show(&self, language: Language) -> String {
        let need = check::Need {
            kind: self.kind.clone(),
            subject: self.subject.clone().unwrap_or_default(),
        };
        let text = need.text(language);
        match &self.url {
            Some(url) => format!("{text}, {}", visible(url)),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_signatures_are_told_in_words() {
        let message = "HASH_FAILURE: the SHA-256 of the content differs from the signed digest";
        assert_eq!(
            refusal(message, Language::Ru).as_deref(),
            Some(
                "Подпись не принята: подписан другой файл, или этот изменён после подписания \
                 (SHA-256 содержимого отличается от подписанного хеша)."
            )
        );
        let other = "The document is finished: nobody can sign it";
        assert_eq!(refusal(other, Language::En), None);
    }
}
