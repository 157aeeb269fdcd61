//! Checks of signatures: the policy, the evidence, and the decision that follows from the verdict
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
use serde_json::Value;

use super::{dossier::key, evidence::Search};
use crate::{
    domain::Domain,
    error::{Error, Result},
    platform::share::Permit,
};

/// The signature policy of a workspace, as its administrator has set it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// The name of a preset.
    pub policy: String,
    /// Trusted certificates in PEM, besides the preset's own.
    pub trust_anchors: Vec<String>,
    /// True if the certificate's BIN must be the company's. `None` leaves that to the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_bin: Option<bool>,
    /// The same for its IIN and the employee's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_iin: Option<bool>,
    pub indeterminate: Indeterminate,
}

/// The treatment of a signature whose verdict is not final yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Indeterminate {
    Accept,
    Refuse,
}

impl Indeterminate {
    pub const ALL: [Self; 2] = [Self::Accept, Self::Refuse];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Refuse => "refuse",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
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
    /// Reads the rules of a workspace.
    pub fn find(conn: &mut Conn, workspace: WorkspaceId) -> Result<Self> {
        let kept = store::find_policy(conn, workspace)?;
        kept.map_or_else(
            || Ok(Self::default()),
            |kept| serde_json::from_str(&kept).map_err(Error::internal),
        )
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

/// The severity of a wrong number.
fn duty(switch: Option<bool>) -> Option<Severity> {
    switch.map(|on| if on { Severity::Fail } else { Severity::Ignore })
}

/// A signature to check, with its content and the expected signer.
#[derive(Clone, Debug)]
pub struct Question {
    pub signature: Bytes,
    /// The signed content. `None` if only the content inside of the signature is to be checked.
    pub content: Option<Bytes>,
    /// The expected SHA-256 of the content inside of the signature.
    pub content_sha256: Option<[u8; 32]>,
    pub signer: ExpectedSigner,
    /// True if the right to sign financial documents suffices.
    pub financial: bool,
    /// The time at which this server received the signature.
    pub received_at: Timestamp,
    /// The public-key operations that anybody may have spent on it; `None` for a user. A signature of anybody must not
    /// lead to other hosts than those that the policy lists by name.
    pub public_work: Option<usize>,
}

/// The expected signer.
#[derive(Clone, Debug, Default)]
pub struct ExpectedSigner {
    pub bin: Option<String>,
    pub iin: Option<String>,
    /// True for a person who signs for no company (`docs/contracts/idocs.md §8`).
    pub individual: bool,
}

impl ExpectedSigner {
    /// The signer of a company is its employee. A recipient who is a person signs for himself.
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

/// The result of a check.
#[derive(Debug)]
pub struct Checked {
    pub report: Report,
    /// The fetched evidence behind the verdict.
    pub proofs: Vec<Proof>,
    /// True if all addresses that the signers need were asked, with or without success.
    pub is_asked: bool,
    /// The public-key operations of all validations.
    pub work: usize,
}

impl Checked {
    /// True if a further check may have another result.
    pub fn waits(&self) -> bool {
        !self.is_asked || self.report.sub_indication.is_some_and(waits)
    }
}

/// Checks a signature with all evidence that can be fetched.
pub async fn check(app: &Domain, rules: &Rules, question: Question) -> Result<Checked> {
    let (mut policy, anchors) = rules.prepare()?;
    let is_public = question.public_work.is_some();
    if is_public {
        policy.fetch_hosts.retain(|host| host != "*");
    }
    let expected = Expected {
        bin: question.signer.bin.clone(),
        iin: question.signer.iin.clone(),
        bin_rule: duty(rules.check_bin),
        iin_rule: duty(rules.check_iin),
        financial: question.financial,
        ..Expected::default()
    };
    let may_ask_private = app.config.allow_private_targets && !is_public;
    let mut search = Search::new(app, anchors, &policy, may_ask_private);
    let mut report;
    let mut work = 0;
    loop {
        let now = app.clock.now();
        let left = question.public_work;
        let left = left.map_or(usize::MAX, |most| most.saturating_sub(work));
        let inputs = (question.clone(), policy.clone(), expected.clone());
        let material = std::mem::take(&mut search.material);
        (report, search.material) = tokio::task::spawn_blocking(move || {
            let (question, policy, expected) = inputs;
            let report = judge(&question, &policy, expected, now, &material, left);
            (report, material)
        })
        .await
        .map_err(Error::internal)?;
        work += report.work;
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
        work,
    })
}

/// The longest report that is kept, in bytes.
const MAX_REPORT_BYTES: usize = 256 << 10;
/// The characters of each text and the elements of each list that remain in a longer report.
const CUT_TEXT_CHARS: usize = 120;
const CUT_LIST_ITEMS: usize = 21;

/// The report as text for the store. A long one is cut, so that the signature's author does not control its size.
fn kept(report: &Report) -> Result<String> {
    let whole = serde_json::to_string(report).map_err(Error::internal)?;
    if whole.len() <= MAX_REPORT_BYTES {
        return Ok(whole);
    }
    let mut value = serde_json::to_value(report).map_err(Error::internal)?;
    value["shortened"] = true.into();
    let mut longest = CUT_TEXT_CHARS;
    loop {
        shorten(&mut value, longest);
        let text = serde_json::to_string(&value).map_err(Error::internal)?;
        // With six bytes for each escaped character, the text may still be too long.
        if text.len() <= MAX_REPORT_BYTES || longest <= 1 {
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
            list.truncate(CUT_LIST_ITEMS);
            list.iter_mut().for_each(|one| shorten(one, longest));
        }
        Value::Object(members) => {
            // Anybody can append counter-signatures. Their outcome is in the steps.
            members.remove("counterSignatures");
            members.values_mut().for_each(|one| shorten(one, longest));
        }
        _ => {}
    }
}

/// The outcome of a check as it is stored with the signature.
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

/// The memory for the revocation lists and responses of a check in MiB, by the size of those of the Kazakh authority.
const EVIDENCE_MIB: usize = 8;

/// Reserves memory from a workspace's share for `bytes` of contents and for the evidence of their check, until the
/// permit is dropped. It is taken before the contents are read.
pub async fn room(app: &Domain, workspace: WorkspaceId, bytes: i64) -> Permit {
    let most = 128;
    let wanted = usize::try_from(bytes >> 20)
        .map_or(most, |whole| whole.saturating_add(EVIDENCE_MIB).min(most));
    app.checks.take(workspace, wanted).await
}

/// The content that a signature should sign, or its SHA-256 if the signature contains it.
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
    work: usize,
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
        work,
    };
    validate(&request, material)
}

/// The decision that follows from a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Accepted,
    /// The signer's certificate chains to a trusted root and all answers are in favour, but some servers have not
    /// answered. The signature is checked again later.
    Later,
    /// The signature is not accepted for now and may be submitted again: the server with the issuer's certificate
    /// cannot be reached, or there was no time to ask one for revocation. Anybody can make a certificate that names a
    /// dead server, or a signature that uses up the time, so a later check would not be enough.
    Away(String),
    /// The reason, beginning with the sub-indication.
    Refused(String),
}

/// Decides by a report and the rules of the workspace. A person must not sign with a company's certificate.
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
    // All signers have to be good or undecided: an undecided signer must not hide a bad one.
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

/// True for a sub-indication that is given only if every failure of the signer can be retried.
fn waits(sub: SubIndication) -> bool {
    sub == SubIndication::TryLater
}

/// The sub-indication and the first fault of these signers.
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

/// The checks that a stored report has left out: the signers' numbers, and revocation.
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
                // Reports of earlier versions have only the steps.
                None => one["steps"][step - 1]["status"] == "warned",
            })
        };
        Self {
            identity: lacks("identity", 15),
            revocation: lacks("revocation", 17),
        }
    }
}

/// The longest name in [`Brief`], in characters.
const MAX_NAME_CHARS: usize = 256;

/// The public part of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brief {
    /// The name in the first signer's certificate.
    pub signer: String,
    pub unchecked: Unchecked,
    /// The name of the policy. Empty in summaries of earlier versions, which have none of the following members.
    #[serde(default)]
    pub policy: String,
    /// The reason for a verdict other than `TOTAL_PASSED`, such as `TRY_LATER`. Summaries of earlier versions have none.
    #[serde(default)]
    pub indication: String,
    /// The issuer of the first signer's certificate. Empty if the signer is his own issuer.
    #[serde(default)]
    pub issuer: String,
    /// The time of the check, and the one that a time-stamp proves; RFC 3339, empty if there is none.
    #[serde(default)]
    pub checked_at: String,
    #[serde(default)]
    pub stamped_at: String,
}

impl Brief {
    pub fn of(report: &Value) -> Self {
        let text = |path: &str| {
            let found = report.pointer(path).and_then(Value::as_str);
            let found = found.unwrap_or_default().chars();
            found.take(MAX_NAME_CHARS).collect::<String>()
        };
        let issuer = text("/signers/0/certificate/issuer");
        let is_own = issuer == text("/signers/0/certificate/subject");
        Self {
            signer: text("/signers/0/certificate/name"),
            unchecked: Unchecked::of(report),
            policy: text("/policy"),
            indication: text("/subIndication"),
            issuer: if is_own { String::new() } else { issuer },
            checked_at: text("/at"),
            stamped_at: text("/signers/0/timeStampedAt"),
        }
    }
}

/// The name of an indication of EN 319 102-1.
pub fn word(value: &impl Serialize) -> String {
    let text = serde_json::to_value(value).unwrap_or_default();
    text.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use futures_util::FutureExt as _;

    use serde_json::json;

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
            work: 0,
        }
    }

    #[test]
    fn a_report_is_kept_whole_or_cut() {
        let whole = unread("ж".repeat(MAX_REPORT_BYTES / 2 - 200));
        let text = kept(&whole).unwrap();
        assert_eq!(text, serde_json::to_string(&whole).unwrap());
        let long = unread("ж".repeat(MAX_REPORT_BYTES / 2));
        let cut: Value = serde_json::from_str(&kept(&long).unwrap()).unwrap();
        assert_eq!(cut["shortened"], true);
        assert_eq!(cut["reason"], format!("{}…", "ж".repeat(CUT_TEXT_CHARS)));
        assert_eq!(cut["verdict"], "TOTAL_FAILED");
        let Check { report, brief, .. } = outcome(&long, 1, None).unwrap();
        assert_eq!(report, cut.to_string());
        let brief: Brief = serde_json::from_str(&brief.unwrap()).unwrap();
        assert_eq!(brief, Brief::of(&cut));
    }

    #[test]
    fn a_cut_report_keeps_its_structure() {
        let text = "й".repeat(1000);
        let step = json!({ "step": 1, "status": "failed", "reason": text });
        let signer = json!({
            "verdict": "INDETERMINATE", "steps": vec![step; 30], "counterSignatures": [{ "reason": text }],
            "certificate": { "name": text, "bin": null }, "path": vec![text.as_str(); 40], "short": "й".repeat(CUT_TEXT_CHARS),
        });
        let mut report = json!({ "signers": vec![signer; 300], "at": 7, "flag": true });
        shorten(&mut report, CUT_TEXT_CHARS);
        let signers = report["signers"].as_array().unwrap();
        assert_eq!(signers.len(), CUT_LIST_ITEMS);
        let one = &signers[20];
        assert_eq!(one["steps"].as_array().unwrap().len(), CUT_LIST_ITEMS);
        assert_eq!(one["path"].as_array().unwrap().len(), CUT_LIST_ITEMS);
        let cut = format!("{}…", "й".repeat(CUT_TEXT_CHARS));
        assert_eq!(
            one["steps"][20],
            json!({ "step": 1, "status": "failed", "reason": cut })
        );
        assert_eq!(one["certificate"], json!({ "name": cut, "bin": null }));
        assert_eq!(one["short"], "й".repeat(CUT_TEXT_CHARS));
        assert_eq!(one.get("counterSignatures"), None);
        assert_eq!((&report["at"], &report["flag"]), (&json!(7), &json!(true)));
        let brief = Brief::of(&json!({ "signers": [{ "certificate": { "name": text } }] }));
        assert_eq!(brief.signer, "й".repeat(MAX_NAME_CHARS));
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
            // A check larger than the share is admitted as soon as the whole share is free.
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
