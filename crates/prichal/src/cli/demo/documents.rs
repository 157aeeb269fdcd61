//! Two companies and their documents: a contract that both have signed, and an act that waits for a signature.
//!
//! Both trust one root, made for this run. It signs the certificates of their employees and is trusted by no other
//! server.

use std::path::Path;

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use prichal_core::time::Timestamp;
use prichal_sign::{
    Time,
    testing::{Cms, Draft, Identity, Key, Signer, name},
};
use serde_json::json;

use super::{
    caller::{Caller, File, member},
    pdf,
};
use crate::platform::vault::random_token;

/// The name of the root, which every report and page about a signature shows.
const ROOT: &str = "Prichal demonstration root, trusted in this demonstration only";
/// The lifetime of the certificates, in seconds, before and after the start.
const VALID_BEFORE: i64 = 3600;
const VALID_AFTER: i64 = 365 * 86_400;

/// A company with an employee who signs for it.
pub(super) struct Company {
    /// The workspace.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) bin: &'static str,
    /// The employee: login, first and last name, and IIN.
    pub(super) employee: [&'static str; 4],
}

pub(super) const COMPANIES: [Company; 2] = [
    Company {
        name: "demo",
        title: "Pier Trade LLP",
        bin: "971240001315",
        employee: ["ahmet", "Ahmet", "Akhmetov", "061211600012"],
    },
    Company {
        name: "partner",
        title: "Steppe Logistics LLP",
        bin: "940140000385",
        employee: ["bota", "Bota", "Botayeva", "200140000501"],
    },
];

/// A company's side of the exchange.
struct Side<'a> {
    company: &'a Company,
    /// The company's token at the root of the API.
    api: &'a Caller,
    /// The employee's id and certificate.
    employee: String,
    signer: Identity,
}

/// Lets the companies exchange their documents. Each caller is a company's, at the root of the API. The employees' keys
/// and certificates are put into the folder, for whoever signs by hand.
pub(super) async fn seed(
    admin: &Caller,
    callers: [&Caller; 2],
    folder: &Path,
    now: Timestamp,
) -> Result<()> {
    let root = lasting(Draft::authority(ROOT, new_key()), now).self_signed();
    let mut sides = Vec::new();
    for (company, api) in COMPANIES.iter().zip(callers) {
        let side = Side::new(admin, company, api, &root, now).await?;
        let Identity { key, der } = &side.signer;
        let file = folder.join(format!("{}.pem", company.employee[0]));
        std::fs::write(file, private_pem(key)? + &pem("CERTIFICATE", der))?;
        sides.push(side);
    }
    let [ours, theirs] = &sides[..] else {
        anyhow::bail!("there are not two companies");
    };
    let contract = ours
        .draft("Supply contract", "17/1", "Legal", theirs, now)
        .await?;
    ours.sign("outbox", &contract, now).await?;
    theirs.sign("inbox", &contract, now).await?;
    let act = theirs
        .draft("Act of completed works", "4", "Accounting", ours, now)
        .await?;
    theirs.sign("outbox", &act, now).await
}

fn new_key() -> Key {
    Key::p256(&random_token())
}

/// Valid from shortly before `now`.
fn lasting(draft: Draft, now: Timestamp) -> Draft {
    let now = Time::from_unix(now.secs());
    Draft {
        not_before: now.plus(-VALID_BEFORE),
        not_after: now.plus(VALID_AFTER),
        ..draft
    }
}

impl<'a> Side<'a> {
    async fn new(
        admin: &Caller,
        company: &'a Company,
        api: &'a Caller,
        root: &Identity,
        now: Timestamp,
    ) -> Result<Self> {
        let policy = json!({ "policy": "test", "trustAnchors": [pem("CERTIFICATE", &root.der)] });
        let path = format!("/admin/v1/workspaces/{}/signature-policy", company.name);
        admin.put(&path, policy).await?;
        let [login, first, last, iin] = company.employee;
        let user = json!({
            "login": login, "firstName": first, "lastName": last, "position": "Director", "isAdmin": true, "iin": iin,
            "status": "active",
        });
        let path = format!("/api/v1/{}/users", company.name);
        let subject = name(&[
            ("CN", &format!("{last} {first}")),
            ("SN", last),
            ("serialNumber", &format!("IIN{iin}")),
            ("C", "KZ"),
            ("O", company.title),
            ("OU", &format!("BIN{}", company.bin)),
        ]);
        let draft = Draft {
            subject,
            ..lasting(Draft::new(last, new_key()), now)
        };
        Ok(Self {
            company,
            api,
            employee: api.create(&path, user).await?,
            signer: draft.issued_by(root),
        })
    }

    /// Creates a document for the other company, and returns its id.
    async fn draft(
        &self,
        title: &str,
        number: &str,
        group: &str,
        other: &Self,
        now: Timestamp,
    ) -> Result<String> {
        let lines = [
            &format!("{title} No. {number}"),
            "",
            &format!("between {}, BIN {},", self.company.title, self.company.bin),
            &format!("and {}, BIN {}.", other.company.title, other.company.bin),
            "",
            "Made up for a demonstration. Companies, people and signatures are not real.",
        ];
        let bytes = pdf::page(&lines);
        let file = File {
            name: "document.pdf",
            media_type: "application/pdf",
            bytes: &bytes,
        };
        let path = "/api/v3/sync/blobs/document-content";
        let blob = self.api.upload(path, "documentContent", &file).await?;
        let document = json!({
            "documentMetadata": {
                "documentName": title, "documentNumber": number, "documentDate": now.secs(), "documentGroup": group,
                "documentAuthorEmployeeId": self.employee,
            },
            "documentBinaryContents": [{ "blobId": member(&blob["response"], "blobId")? }],
        });
        let path = "/api/v3/sync/external/outbox/document/create";
        let id = self.api.create(path, document).await?;
        let nodes = json!([{ "order": 0, "counterpartyBin": other.company.bin, "requiredActionType": "SIGN" }]);
        let route = json!({
            "documentId": id, "employeeId": self.employee, "route": { "external": { "nodes": nodes } },
        });
        let path = "/api/v3/sync/external/outbox/route/quick-route/create";
        self.api.post(path, route).await?;
        Ok(id)
    }

    /// Signs a document in the company's `outbox` or `inbox`.
    async fn sign(&self, side: &str, document: &str, now: Timestamp) -> Result<()> {
        let api = format!("/api/v3/sync/external/{side}/signature");
        let body = json!({ "documentId": document, "signedByEmployeeId": self.employee });
        let path = format!("{api}/content-to-sign/generate");
        let ticket = self.api.post(&path, body).await?;
        let content = self.api.download(&member(&ticket, "downloadLink")?).await?;
        let signer = Signer::new(&self.signer, &content, Time::from_unix(now.secs()));
        let signature = Cms::attached(&content, &[&signer]).encode();
        let file = File {
            name: "signature.cms",
            media_type: "application/pkcs7-signature",
            bytes: &signature,
        };
        let path = "/api/v3/sync/blobs/document-signature-content";
        let blob = self.api.upload(path, "signatureContent", &file).await?;
        let body = json!({
            "documentId": document, "signedByEmployeeId": self.employee,
            "signatureBinaryContent": { "blobId": member(&blob["response"], "blobId")? },
            "idempotencyTicket": ticket["idempotencyTicket"],
        });
        self.api
            .post(&format!("{api}/quick-sign/save"), body)
            .await
            .map(drop)
    }
}

/// A P-256 key as `ECPrivateKey` (RFC 5915).
fn private_pem(key: &Key) -> Result<String> {
    let Key::Ec { secret, .. } = key else {
        anyhow::bail!("a signer's key is on no curve");
    };
    let secret: &[u8; 32] = secret
        .as_slice()
        .try_into()
        .context("a key of another length")?;
    let der = [
        &[0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20][..],
        &secret[..],
        // The curve: 1.2.840.10045.3.1.7.
        &[
            0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
        ],
    ];
    Ok(pem("EC PRIVATE KEY", &der.concat()))
}

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}
