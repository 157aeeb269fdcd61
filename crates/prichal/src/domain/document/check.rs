//! Checking signatures: by which policy, with what evidence, and what follows from the verdict
//! (`docs/contracts/idocs.md §1.7, §4.6`).

use bytes::Bytes;
use prichal_core::{document::Document, id::WorkspaceId, time::Timestamp};
use prichal_sign::{
    Certificate, Expected, Limits, Material, Policy, Report, Request, Severity, SignerReport,
    Status, SubIndication, Time, Verdict, validate,
};
use prichal_store::{
    Conn,
    document_blob::DocumentBlob,
    signature::{self as store, Check, Proof},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{archive::key, evidence::Search};
use crate::{
    domain::Domain,
    error::{Error, Result},
    platform::share::Permit,
};

/// What signatures of a workspace are checked with, as its administrator has set it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// The name of a preset.
    pub policy: String,
    /// PEM. Beside the preset's own.
    pub trust_anchors: Vec<String>,
    /// Whether the certificate's BIN must be the company's. Set, it is a duty or none, whatever the
    /// policy says; otherwise as the policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_bin: Option<bool>,
    /// The same of its IIN and the employee's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_iin: Option<bool>,
    pub indeterminate: Indeterminate,
}

/// What becomes of a signature that cannot be checked to the end yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Indeterminate {
    Accept,
    Refuse,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            policy: "kz".to_owned(),
            trust_anchors: Vec::new(),
            check_bin: None,
            check_iin: None,
            indeterminate: Indeterminate::Accept,
        }
    }
}

impl Rules {
    /// The rules of a workspace.
    pub fn find(conn: &mut Conn, workspace: WorkspaceId) -> Result<Self> {
        let kept = store::find_policy(conn, workspace)?;
        kept.map_or_else(
            || Ok(Self::default()),
            |kept| serde_json::from_str(&kept).map_err(Error::internal),
        )
    }

    /// As they are shown: a switch that is not set is null, for it is then as the policy says.
    pub fn shown(&self) -> Value {
        json!({
            "policy": self.policy,
            "trustAnchors": self.trust_anchors,
            "checkBin": self.check_bin,
            "checkIin": self.check_iin,
            "indeterminate": self.indeterminate,
        })
    }

    /// The policy, and the certificates that are trusted beside its own.
    fn prepare(&self) -> Result<(Policy, Vec<Certificate>)> {
        let policy = Policy::preset(&self.policy)
            .ok_or_else(|| Error::internal("a signature policy has an unknown name"))?;
        let mut anchors = Vec::new();
        for pem in &self.trust_anchors {
            anchors.extend(Certificate::read_all(pem.as_bytes()).map_err(Error::internal)?);
        }
        Ok((policy, anchors))
    }
}

/// What another number than the expected one means.
fn duty(switch: Option<bool>) -> Option<Severity> {
    switch.map(|on| if on { Severity::Fail } else { Severity::Ignore })
}

/// One signature, what it signs, and who should have signed.
#[derive(Clone, Debug)]
pub struct Question {
    pub signature: Bytes,
    /// What is signed, unless only what lies inside is to be looked at.
    pub content: Option<Bytes>,
    /// The SHA-256 of it in its place, where it lies inside.
    pub content_sha256: Option<[u8; 32]>,
    pub signer: ExpectedSigner,
    /// Holders of the right to sign financial documents may sign.
    pub financial: bool,
    /// When this server took the signature in.
    pub received_at: Timestamp,
}

/// Whose signature it should be.
#[derive(Clone, Debug, Default)]
pub struct ExpectedSigner {
    pub bin: Option<String>,
    pub iin: Option<String>,
    /// A person who signs for no company (`docs/contracts/idocs.md §8`).
    pub individual: bool,
}

impl ExpectedSigner {
    /// That of a company's employee; of a recipient who is a person, his own.
    pub fn of(document: &Document, company: WorkspaceId, bin: &str, iin: Option<String>) -> Self {
        let recipient = document.recipient(company);
        match recipient.filter(|recipient| recipient.individual) {
            Some(person) => Self {
                bin: None,
                iin: Some(person.party.bin.clone()),
                individual: true,
            },
            None => Self {
                bin: Some(bin.to_owned()),
                iin,
                individual: false,
            },
        }
    }
}

/// What a check came to.
#[derive(Debug)]
pub struct Checked {
    pub report: Report,
    /// What had to be fetched for the verdict.
    pub proofs: Vec<Proof>,
    /// Whether every address was asked that the signers need, were it in vain.
    pub is_asked: bool,
}

impl Checked {
    /// Whether a further check may come to something else.
    pub fn waits(&self) -> bool {
        !self.is_asked || self.report.sub_indication.is_some_and(waits)
    }
}

/// Checks a signature with all the evidence that can be had.
pub async fn check(app: &Domain, rules: &Rules, question: Question) -> Result<Checked> {
    let (policy, anchors) = rules.prepare()?;
    let expected = Expected {
        bin: question.signer.bin.clone(),
        iin: question.signer.iin.clone(),
        bin_rule: duty(rules.check_bin),
        iin_rule: duty(rules.check_iin),
        financial: question.financial,
        ..Expected::default()
    };
    let mut search = Search::new(app, anchors, &policy);
    let mut report;
    loop {
        let now = app.clock.now();
        let work = (question.clone(), policy.clone(), expected.clone());
        let material = std::mem::take(&mut search.material);
        (report, search.material) = tokio::task::spawn_blocking(move || {
            let (question, policy, expected) = work;
            let report = judge(&question, &policy, expected, now, &material);
            (report, material)
        })
        .await
        .map_err(Error::internal)?;
        if !search.next(&report).await {
            break;
        }
    }
    let is_asked = search.has_asked(&report);
    let proofs = search.used(&report);
    Ok(Checked {
        report,
        proofs,
        is_asked,
    })
}

/// The longest report that is kept, in bytes.
const LONGEST_REPORT: usize = 256 << 10;
/// What is left of each text and of each list of a longer one.
const SHORT_TEXT: usize = 120;
const SHORT_LIST: usize = 21;

/// A report as it is kept. A long one is cut, so that who made the signature does not say how much is kept of it.
fn kept(report: &Report) -> Result<String> {
    let whole = serde_json::to_string(report).map_err(Error::internal)?;
    if whole.len() <= LONGEST_REPORT {
        return Ok(whole);
    }
    let mut value = serde_json::to_value(report).map_err(Error::internal)?;
    value["shortened"] = true.into();
    let mut longest = SHORT_TEXT;
    loop {
        shorten(&mut value, longest);
        let text = serde_json::to_string(&value).map_err(Error::internal)?;
        // Where every character is written as six, there are still too many.
        if text.len() <= LONGEST_REPORT || longest <= 1 {
            return Ok(text);
        }
        longest /= 2;
    }
}

/// Cuts each text to `longest` characters, and each list.
fn shorten(value: &mut Value, longest: usize) {
    match value {
        Value::String(text) if text.chars().count() > longest => {
            *text = text.chars().take(longest).chain(['…']).collect();
        }
        Value::Array(list) => {
            list.truncate(SHORT_LIST);
            list.iter_mut().for_each(|one| shorten(one, longest));
        }
        Value::Object(members) => {
            // Anybody can append these; what they come to stands in the steps.
            members.remove("counterSignatures");
            members.values_mut().for_each(|one| shorten(one, longest));
        }
        _ => {}
    }
}

/// The outcome of a check as it is kept with the signature.
pub fn outcome(report: &Report, checks: i64, due_at: Option<Timestamp>) -> Result<Check> {
    let kept = kept(report)?;
    let brief = Brief::of(&serde_json::from_str(&kept).map_err(Error::internal)?);
    Ok(Check {
        verdict: word(&report.verdict),
        report: kept,
        brief: Some(serde_json::to_string(&brief).map_err(Error::internal)?),
        checks,
        due_at,
    })
}

/// How much room the lists and responses of a check take, in MiB: as much as those of the Kazakh authority.
const EVIDENCE: usize = 8;

/// Keeps room in memory, of a workspace's share, for so many bytes of contents, and for the evidence of their check, until it is
/// dropped. Taken before they are read.
pub async fn room(app: &Domain, workspace: WorkspaceId, bytes: i64) -> Permit {
    let most = 128;
    let wanted =
        usize::try_from(bytes >> 20).map_or(most, |whole| whole.saturating_add(EVIDENCE).min(most));
    app.checks.take(workspace, wanted).await
}

/// What a signature should be of: the contents, or where they lie inside of it, their SHA-256.
pub async fn content(
    app: &Domain,
    attached: bool,
    zip: &DocumentBlob,
) -> Result<(Option<Bytes>, Option<[u8; 32]>)> {
    if !attached {
        return Ok((Some(app.blobs.read_whole(key(zip)).await?), None));
    }
    let digest = unhex(&zip.sha256).ok_or_else(|| Error::internal("a digest is malformed"))?;
    Ok((None, Some(digest)))
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

fn judge(
    question: &Question,
    policy: &Policy,
    expected: Expected,
    now: Timestamp,
    material: &Material,
) -> Report {
    let at = Time::from_unix(now.secs());
    let request = Request {
        signature: &question.signature,
        content: question.content.as_deref(),
        content_sha256: question.content_sha256,
        policy,
        at,
        existed_at: Some(Time::from_unix(question.received_at.secs())).filter(|then| *then < at),
        expected,
        limits: Limits::SIGNATURE,
    };
    validate(&request, material)
}

/// What follows from a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Accepted,
    /// Nothing speaks against it, a trusted authority vouches for the signer, but not all that were asked
    /// have answered: it is checked again.
    Later,
    /// The server that would say who vouches for the signer cannot be reached, or one that knows of
    /// revocation was not even asked. Anybody can make a certificate that names such a server, and a signature
    /// that takes up all the time, so nothing is taken for now; it may be tried again.
    Away(String),
    /// Why, beginning with the sub-indication.
    Refused(String),
}

/// Decides by a report, under the rules of the workspace. A person signs with no company's certificate.
pub fn decide(rules: &Rules, checked: &Checked, individual: bool) -> Decision {
    let report = &checked.report;
    let certificates = report
        .signers
        .iter()
        .filter_map(|one| one.certificate.as_ref());
    if individual
        && rules.check_bin != Some(false)
        && certificates.clone().any(|one| one.bin.is_some())
    {
        let word = word(&SubIndication::SigConstraintsFailure);
        return Decision::Refused(format!("{word}: the certificate is a company's"));
    }
    let away = || {
        let word = word(&SubIndication::TryLater);
        Decision::Away(format!(
            "{word}: not every server that the signers' certificates name could be asked"
        ))
    };
    if report.verdict == Verdict::TotalPassed {
        return if checked.is_asked {
            Decision::Accepted
        } else {
            away()
        };
    }
    // Each signer is either good or waits: one that waits hides none that is bad.
    let bad = |one: &&SignerReport| one.sub_indication.is_some_and(|sub| !waits(sub));
    if let Some(bad) = report.signers.iter().find(bad) {
        let signer = std::slice::from_ref(bad);
        return Decision::Refused(reason(report, bad.sub_indication, signer));
    }
    let why = reason(report, report.sub_indication, &report.signers);
    if report.signers.is_empty() || !report.sub_indication.is_some_and(waits) {
        return Decision::Refused(why);
    }
    if report.signers.iter().any(|one| one.path.is_empty()) {
        return Decision::Away(why);
    }
    if !checked.is_asked {
        return away();
    }
    match rules.indeterminate {
        Indeterminate::Accept => Decision::Later,
        Indeterminate::Refuse => Decision::Refused(why),
    }
}

/// It is said only where every failure of the signer can be retried.
fn waits(sub: SubIndication) -> bool {
    sub == SubIndication::TryLater
}

/// The sub-indication and the first thing that is wrong with these signers.
fn reason(
    report: &Report,
    sub_indication: Option<SubIndication>,
    signers: &[SignerReport],
) -> String {
    let word = sub_indication.map_or_else(
        || word(&report.verdict),
        |sub_indication| word(&sub_indication),
    );
    let failed = signers.iter().flat_map(|signer| &signer.steps);
    let failed = failed.filter(|step| step.status == Status::Failed);
    let why = failed
        .map(|step| step.reason.as_str())
        .next()
        .or(report.reason.as_deref())
        .unwrap_or("the signature could not be verified");
    format!("{word}: {why}")
}

/// Duties that a kept report passes over: the signers' numbers, and revocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unchecked {
    pub identity: bool,
    pub revocation: bool,
}

impl Unchecked {
    pub fn of(report: &Value) -> Self {
        let signers = report["signers"].as_array();
        let signers = || signers.into_iter().flatten();
        let lacks = |word: &str, step: usize| {
            signers().any(|one| match one["unchecked"].as_array() {
                Some(said) => said.iter().any(|said| said == word),
                // Reports of earlier versions have the steps alone.
                None => one["steps"][step - 1]["status"] == "warned",
            })
        };
        Self {
            identity: lacks("identity", 15),
            revocation: lacks("revocation", 17),
        }
    }
}

/// The longest name that is told in brief, in characters.
const LONGEST_NAME: usize = 256;

/// What anybody may know of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brief {
    /// As the first signer's certificate names him.
    pub signer: String,
    pub unchecked: Unchecked,
}

impl Brief {
    pub fn of(report: &Value) -> Self {
        let signer = report.pointer("/signers/0/certificate/name");
        let signer = signer.and_then(Value::as_str).unwrap_or_default();
        Self {
            signer: signer.chars().take(LONGEST_NAME).collect(),
            unchecked: Unchecked::of(report),
        }
    }
}

/// A word of EN 319 102-1 as it is written.
pub fn word(value: &impl Serialize) -> String {
    let text = serde_json::to_value(value).unwrap_or_default();
    text.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::{config::Config, platform::clock::Clock};

    fn unread(reason: String) -> Report {
        Report {
            verdict: Verdict::TotalFailed,
            sub_indication: Some(SubIndication::FormatFailure),
            policy: "kz".to_owned(),
            at: Time::from_unix(0),
            signers: Vec::new(),
            needs: Vec::new(),
            newer: Vec::new(),
            has_more_needs: false,
            reason: Some(reason),
            unreadable: None,
        }
    }

    #[test]
    fn a_report_is_kept_whole_or_cut() {
        let whole = unread("ж".repeat(LONGEST_REPORT / 2 - 200));
        let text = kept(&whole).unwrap();
        assert_eq!(text, serde_json::to_string(&whole).unwrap());
        let long = unread("ж".repeat(LONGEST_REPORT / 2));
        let cut: Value = serde_json::from_str(&kept(&long).unwrap()).unwrap();
        assert_eq!(cut["shortened"], true);
        assert_eq!(cut["reason"], format!("{}…", "ж".repeat(SHORT_TEXT)));
        assert_eq!(cut["verdict"], "TOTAL_FAILED");
        let Check { report, brief, .. } = outcome(&long, 1, None).unwrap();
        assert_eq!(report, cut.to_string());
        let brief: Brief = serde_json::from_str(&brief.unwrap()).unwrap();
        assert_eq!(brief, Brief::of(&cut));
    }

    #[test]
    fn what_is_cut_keeps_its_form() {
        let text = "й".repeat(1000);
        let step = json!({ "step": 1, "status": "failed", "reason": text });
        let signer = json!({
            "verdict": "INDETERMINATE", "steps": vec![step; 30], "counterSignatures": [{ "reason": text }],
            "certificate": { "name": text, "bin": null }, "path": vec![text.as_str(); 40], "short": "й".repeat(SHORT_TEXT),
        });
        let mut report = json!({ "signers": vec![signer; 300], "at": 7, "flag": true });
        shorten(&mut report, SHORT_TEXT);
        let signers = report["signers"].as_array().unwrap();
        assert_eq!(signers.len(), SHORT_LIST);
        let one = &signers[20];
        assert_eq!(one["steps"].as_array().unwrap().len(), SHORT_LIST);
        assert_eq!(one["path"].as_array().unwrap().len(), SHORT_LIST);
        let cut = format!("{}…", "й".repeat(SHORT_TEXT));
        assert_eq!(
            one["steps"][20],
            json!({ "step": 1, "status": "failed", "reason": cut })
        );
        assert_eq!(one["certificate"], json!({ "name": cut, "bin": null }));
        assert_eq!(one["short"], "й".repeat(SHORT_TEXT));
        assert_eq!(one.get("counterSignatures"), None);
        assert_eq!((&report["at"], &report["flag"]), (&json!(7), &json!(true)));
        let brief = Brief::of(&json!({ "signers": [{ "certificate": { "name": text } }] }));
        assert_eq!(brief.signer, "й".repeat(LONGEST_NAME));
    }

    #[tokio::test]
    async fn room_is_counted_in_mebibytes() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::for_data_dir(dir.path().join("data"));
        let app = crate::app::open(config, Clock::System).await.unwrap();
        let all = app.checks.free();
        let of = |n| WorkspaceId(uuid::Uuid::from_u128(n));
        let mib = 1 << 20;
        for (bytes, taken) in [
            (0, 8),
            (mib - 1, 8),
            (mib, 9),
            (70 * mib, 78),
            (120 * mib, 128),
            // Whatever it is, it gets in once there is most of the room.
            (200 * mib, 128),
            (i64::MAX, 128),
        ] {
            let kept = room(&app, of(1), bytes).await;
            assert_eq!(all - app.checks.free(), taken, "{bytes}");
            drop(kept);
        }
        let large = [room(&app, of(1), 70 * mib), room(&app, of(1), 70 * mib)];
        let mut kept = futures_util::future::join_all(large).await;
        let third = room(&app, of(1), 70 * mib).now_or_never();
        assert!(third.is_none(), "its share is not enough");
        kept.push(room(&app, of(2), 70 * mib).await);
        let fourth = room(&app, of(3), 70 * mib).now_or_never();
        assert!(fourth.is_none(), "it waits");
        kept.pop();
        assert!(room(&app, of(3), 70 * mib).now_or_never().is_some());
    }
}
