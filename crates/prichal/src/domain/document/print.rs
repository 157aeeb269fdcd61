//! The print form of a document (`docs/contracts/idocs.md §7`).

use bytes::Bytes;
use prichal_core::document::{self as core, NodeState, Recipient};
use prichal_print::{self as paper, print_form};
use prichal_store::{document_blob::DocumentBlob, signature::Signature};
use serde_json::Value;

use super::{
    check,
    dossier::{Dossier, key},
};
use crate::{
    domain::Domain,
    error::{Error, Result},
};

/// The UTC offset of Kazakhstan in minutes. The country has one time zone since 2024.
const KAZAKHSTAN_UTC_OFFSET: i16 = 300;

/// The maximum number of bytes of text originals that are shown, all together.
const MAX_TEXT_BYTES: i64 = 16 << 20;

/// Makes the PDF. Its bytes stay the same as long as the document does not change.
pub async fn form(app: &Domain, dossier: &Dossier) -> Result<Bytes> {
    // Texts and the form are in memory while it is drawn, so the number of forms at a time is bounded.
    let _room = check::room(app, dossier.viewer, MAX_TEXT_BYTES).await;
    let mut texts = Vec::new();
    let mut room = MAX_TEXT_BYTES;
    for original in &dossier.originals {
        let shown = original.name.to_ascii_lowercase().ends_with(".txt") && original.size <= room;
        texts.push(if shown {
            room -= original.size;
            Some(text(&app.blobs.read_whole(key(original)).await?))
        } else {
            None
        });
    }
    let dossier = dossier.clone();
    let address = check_address(app, &dossier);
    tokio::task::spawn_blocking(move || draw(&dossier, &texts, &address))
        .await
        .map_err(Error::internal)?
}

/// The address of the public page that shows the signatures.
pub fn check_address(app: &Domain, dossier: &Dossier) -> String {
    format!("{}/check/{}", app.config.public_url(), dossier.document.id)
}

/// Decodes a text file as UTF-8, or else as Windows-1251.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}').to_owned(),
        Err(_) => encoding_rs::WINDOWS_1251
            .decode_without_bom_handling(bytes)
            .0
            .into_owned(),
    }
}

fn draw(dossier: &Dossier, texts: &[Option<String>], address: &str) -> Result<Bytes> {
    let document = &dossier.document;
    let id = document.id.to_string();
    let reports: Vec<Value> = dossier
        .signatures
        .iter()
        .map(|(one, _)| serde_json::from_str(&one.check.report).unwrap_or_default())
        .collect();
    let facts: Vec<Facts> = reports.iter().map(Facts::of).collect();
    let company = |of| dossier.companies.get(&of).map_or("", String::as_str);
    let form = paper::PrintForm {
        utc_offset: KAZAKHSTAN_UTC_OFFSET,
        made: dossier.changed_on(),
        check_url: address,
        document: paper::Document {
            id: &id,
            name: &document.name,
            number: &document.number,
            date: document.date,
            group: group(document.group),
            status: status(dossier.status),
            created: document.created_on,
        },
        sender: paper::Party {
            name: company(document.sender.company),
            bin: &document.sender.bin,
        },
        recipients: document
            .recipients()
            .iter()
            .map(|one| paper::Party {
                name: company(one.party.company),
                bin: &one.party.bin,
            })
            .collect(),
        route: route(dossier),
        signatures: dossier
            .signatures
            .iter()
            .zip(&facts)
            .map(|((one, _), facts)| facts.stamp(one, company(one.company)))
            .collect(),
        files: dossier
            .originals
            .iter()
            .zip(texts)
            .map(|(original, text)| file(original, text.as_deref()))
            .collect(),
        ..paper::PrintForm::default()
    };
    print_form(&form).map(Bytes::from).map_err(Error::internal)
}

fn file<'a>(original: &'a DocumentBlob, text: Option<&'a str>) -> paper::OriginalFile<'a> {
    paper::OriginalFile {
        name: &original.name,
        size: u64::try_from(original.size).unwrap_or(0),
        sha256: &original.sha256,
        text,
    }
}

/// The viewer's own employees, then the companies.
fn route(dossier: &Dossier) -> Vec<paper::Step<'_>> {
    let inside = dossier.document.internal(dossier.viewer);
    let employees = inside.into_iter().flat_map(|all| &all.nodes);
    let employees = employees.map(|node| paper::Step {
        order: u32::try_from(node.order).unwrap_or(0),
        participant: dossier
            .employees
            .get(&node.employee.0)
            .map_or("", String::as_str),
        action: action(node.action),
        ..step(&node.state)
    });
    let companies = dossier.document.recipients().iter();
    let companies = companies.map(|one| company(one, dossier));
    if dossier.viewer == dossier.document.sender.company {
        employees.chain(companies).collect()
    } else {
        companies.chain(employees).collect()
    }
}

fn company<'a>(one: &'a Recipient, dossier: &'a Dossier) -> paper::Step<'a> {
    paper::Step {
        order: u32::try_from(one.order).unwrap_or(0),
        participant: dossier
            .companies
            .get(&one.party.company)
            .map_or("", String::as_str),
        detail: &one.party.bin,
        action: if one.sign_required {
            paper::Action::Sign
        } else {
            paper::Action::Inform
        },
        ..step(&one.state)
    }
}

fn step(state: &NodeState) -> paper::Step<'_> {
    paper::Step {
        state: match state.status {
            core::NodeStatus::NotStarted => paper::StepState::NotStarted,
            core::NodeStatus::Active => paper::StepState::Active,
            core::NodeStatus::Done => paper::StepState::Completed,
            core::NodeStatus::Refused => paper::StepState::Failed,
        },
        completed: state.completed_on,
        comment: state.reason.as_deref().unwrap_or_default(),
        ..paper::Step::default()
    }
}

/// The facts about the first signer in a report.
struct Facts<'a> {
    report: &'a Value,
    roles: String,
}

impl<'a> Facts<'a> {
    fn of(report: &'a Value) -> Self {
        let roles = report.pointer("/signers/0/certificate/roles");
        let roles = roles.and_then(Value::as_array).into_iter().flatten();
        let roles: Vec<&str> = roles.filter_map(Value::as_str).collect();
        Self {
            report,
            roles: roles.join(", "),
        }
    }

    fn text(&self, path: &str) -> &'a str {
        self.report
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn time(&self, path: &str) -> Option<i64> {
        let time = prichal_sign::Time::parse(self.text(path))?;
        Some(time.unix())
    }

    /// The time of the signature's time-stamp.
    fn stamped(&self) -> Option<i64> {
        // Reports of earlier versions have only the step.
        let passed = self.text("/signers/0/steps/12/status") == "passed";
        self.time("/signers/0/timeStampedAt")
            .or_else(|| passed.then(|| self.time("/signers/0/bestTime")).flatten())
    }

    fn stamp(&'a self, signature: &'a Signature, company: &'a str) -> paper::Signature<'a> {
        let unchecked = check::Unchecked::of(self.report);
        paper::Signature {
            signer: self.text("/signers/0/certificate/name"),
            iin: signature.iin.as_deref().unwrap_or_default(),
            organisation: company,
            bin: &signature.bin,
            role: &self.roles,
            serial: self.text("/signers/0/certificate/serial"),
            issuer: self.text("/signers/0/certificate/issuer"),
            valid_from: self.time("/signers/0/certificate/notBefore"),
            valid_until: self.time("/signers/0/certificate/notAfter"),
            algorithm: self.text("/signers/0/algorithm"),
            signed: Some(signature.signed_on.secs()),
            time_stamped: self.stamped(),
            identity_unchecked: unchecked.identity,
            revocation_unchecked: unchecked.revocation,
            verdict: match signature.check.verdict.as_str() {
                "TOTAL_PASSED" => paper::Verdict::Passed,
                "TOTAL_FAILED" => paper::Verdict::Failed,
                _ => paper::Verdict::Indeterminate,
            },
            sub_indication: self.text("/subIndication"),
        }
    }
}

macro_rules! same {
    ($function:ident $kind:ident $($value:ident)*) => {
        fn $function(value: core::$kind) -> paper::$kind {
            match value {
                $(core::$kind::$value => paper::$kind::$value,)*
            }
        }
    };
}

same!(group Group Accounting Financial Legal Constitutive Hr Paperwork Purchase Warehouse Organizational General);
same!(action Action Sign Approve Inform Reject);
same!(status Status None Draft InProcess InProcessBySender RejectedBySenderEmployee SentBySender RecalledBySender
    InNew InProcessByRecipient RejectedByRecipientEmployee Finished RejectedByRecipient RejectedByCompany
    WaitingForSender RejectedBySender RejectedByEmployee FinishedByCompany FinishedEditable);
