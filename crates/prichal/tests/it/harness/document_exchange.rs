//! Companies that exchange documents: each with an employee and a certificate to sign with.

use std::io::Read as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prichal::config::Config;
use prichal_sign::{
    Time,
    testing::{Authority, Cms, CrlDraft, Draft, Identity, Key, Signer, name},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::hub::{Answer, Caller, Hub, START, eventually};

pub(crate) const V3: &str = "/api/v3";
pub(crate) const CREATE: &str = "/api/v3/sync/external/outbox/document/create";
pub(crate) const ROUTE: &str = "/api/v3/sync/external/outbox/route/create";
pub(crate) const QUICK: &str = "/api/v3/sync/external/outbox/route/quick-route/create";
pub(crate) const INTERNAL: &str = "/api/v3/sync/internal/document/create";
pub(crate) const INTERNAL_ROUTE: &str = "/api/v3/sync/internal/route/create";
pub(crate) const ACTION: &str = "/api/v3/sync/internal/route/action";
pub(crate) const RECALL: &str = "/api/v3/sync/external/outbox/document/recall";
pub(crate) const DECLINE: &str = "/api/v3/sync/external/outbox/document/reject";
pub(crate) const REJECT: &str = "/api/v3/sync/external/inbox/document/reject";
pub(crate) const INBOX_ROUTE: &str = "/api/v3/sync/external/inbox/route/create";

/// Numbers of companies and people with valid check digits.
pub(crate) const BINS: [&str; 4] = [
    "971240001315",
    "940140000385",
    "941240000193",
    "020240000555",
];
pub(crate) const IINS: [&str; 3] = ["061211600012", "200140000501", "200140000513"];

/// A contract of one page, which viewers show.
pub(crate) const PDF: &[u8] = include_bytes!("contract.pdf");

/// The side of a document that acts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Outbox,
    Inbox,
}

impl Side {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Outbox => "outbox",
            Self::Inbox => "inbox",
        }
    }
}

pub(crate) struct DocumentExchange {
    pub(crate) hub: Hub,
    pub(crate) authority: Authority,
}

/// A company with one employee, who may do everything.
#[derive(Clone)]
pub(crate) struct Company {
    pub(crate) name: String,
    pub(crate) bin: String,
    /// At `/api/v3` and everywhere else.
    pub(crate) api: Caller,
    pub(crate) employee: String,
    pub(crate) iin: String,
    pub(crate) signer: Identity,
    issuers: Vec<Vec<u8>>,
    lists: Vec<Vec<u8>>,
}

impl DocumentExchange {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        let hub = Hub::with(move |config| {
            config.rate_limit.most = 0;
            change(config);
        })
        .await;
        Self {
            hub,
            authority: Authority::new(Key::p256),
        }
    }

    /// Company number `n` of [`BINS`], whose employee has number `n` of [`IINS`].
    pub(crate) async fn company(&self, n: usize) -> Company {
        let (title, bin) = (format!("company-{n}"), BINS[n]);
        let made = self
            .hub
            .admin()
            .post(
                "/admin/v1/workspaces",
                json!({ "name": title, "bin": bin, "companyName": format!("ТОО «Компания {n}»") }),
            )
            .await;
        assert_eq!(made.status, 201, "{}", made.text);
        self.trust(&title, json!({})).await;
        let space = self.hub.token(&title, "admin").await;
        let iin = IINS[n % IINS.len()];
        let user = json!({ "login": "head", "lastName": "Иванов", "firstName": "Иван", "isAdmin": true, "iin": iin });
        let employee = space.post("/users", user).await.ok().str("id");
        Company {
            api: space.at(""),
            name: title,
            bin: bin.to_owned(),
            employee,
            iin: iin.to_owned(),
            signer: self.signer(bin, iin),
            issuers: vec![self.authority.issuer.der.clone()],
            lists: self.lists(),
        }
    }

    /// Sets the rules for a company's signatures, and trusts the test authority.
    pub(crate) async fn trust(&self, workspace: &str, rules: Value) {
        let mut body = json!({ "policy": "kz", "trustAnchors": [pem(&self.authority.root.der)] });
        for (name, value) in rules.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let path = format!("/admin/v1/workspaces/{workspace}/signature-policy");
        self.hub.admin().put(&path, body).await.ok();
    }

    /// The certificate of a company's first head.
    pub(crate) fn signer(&self, bin: &str, iin: &str) -> Identity {
        Self::signer_draft(bin, iin).issued_by(&self.authority.issuer)
    }

    /// The certificate of a person without a company.
    pub(crate) fn individual(&self, iin: &str) -> Identity {
        let number = format!("IIN{iin}");
        let subject = name(&[
            ("CN", "ИВАНОВ ИВАН"),
            ("serialNumber", &number),
            ("C", "KZ"),
        ]);
        Draft {
            subject,
            purposes: vec!["1.3.6.1.5.5.7.3.4", "1.2.398.3.3.4.1.1"],
            ..Draft::signer("ИВАНОВ ИВАН", Key::p256(&number))
        }
        .issued_by(&self.authority.issuer)
    }

    /// The same before it is issued.
    pub(crate) fn signer_draft(bin: &str, iin: &str) -> Draft {
        let (bin, iin) = (format!("BIN{bin}"), format!("IIN{iin}"));
        let subject = name(&[
            ("CN", "ИВАНОВ ИВАН"),
            ("SN", "ИВАНОВ"),
            ("serialNumber", &iin),
            ("C", "KZ"),
            ("O", "ТОО \"Компания\""),
            ("OU", &bin),
        ]);
        Draft {
            subject,
            ..Draft::signer("ИВАНОВ ИВАН", Key::p256(&bin))
        }
    }

    /// Lists of both authorities, nothing revoked.
    pub(crate) fn lists(&self) -> Vec<Vec<u8>> {
        let issued = Time::from_unix(START.secs() - 3600);
        [&self.authority.root, &self.authority.issuer]
            .map(|one| CrlDraft::new(issued).signed_by(one))
            .to_vec()
    }
}

pub(crate) fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("base64"))
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

impl Company {
    /// Uploads a file in a form.
    pub(crate) async fn upload(&self, path: &str, part: &str, file: &str, bytes: &[u8]) -> Answer {
        let boundary = "a-boundary-of-the-test";
        let mut body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"{file}\"\r\nContent-Type: application/pdf\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(bytes);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let form = format!("multipart/form-data; boundary={boundary}");
        self.api
            .clone()
            .header("content-type", &form)
            .send(Method::POST, path, Some(body))
            .await
    }

    /// Uploads an original.
    pub(crate) async fn content(&self, file: &str, bytes: &[u8]) -> String {
        let path = "/api/v3/sync/blobs/document-content";
        let answer = self.upload(path, "documentContent", file, bytes).await.ok();
        text(&answer["response"]["blobId"])
    }

    /// Uploads a signature.
    pub(crate) async fn signature(&self, bytes: &[u8]) -> String {
        let path = "/api/v3/sync/blobs/document-signature-content";
        let answer = self
            .upload(path, "signatureContent", "a.cms", bytes)
            .await
            .ok();
        text(&answer["response"]["blobId"])
    }

    pub(crate) fn metadata(&self, blobs: &[&str]) -> Value {
        let contents: Vec<Value> = blobs.iter().map(|blob| json!({ "blobId": blob })).collect();
        json!({
            "documentMetadata": {
                "documentName": "Договор поставки", "documentNumber": "17/1", "documentDate": 1_767_225_600,
                "documentGroup": "Legal", "documentAuthorEmployeeId": self.employee,
            },
            "documentBinaryContents": contents,
        })
    }

    /// A new draft with one original.
    pub(crate) async fn draft(&self) -> String {
        let blob = self.content("договор.pdf", PDF).await;
        let body = self.metadata(&[&blob]);
        self.api.post(CREATE, body).await.ok().str("id")
    }

    pub(crate) fn to(&self, document: &str, bins: &[&str]) -> Value {
        let nodes: Vec<Value> = bins
            .iter()
            .map(|bin| json!({ "order": 0, "counterpartyBin": bin, "isSignRequiredByCounterparty": true }))
            .collect();
        json!({
            "documentId": document, "employeeId": self.employee,
            "route": { "external": { "routeOrderType": "PARALLEL", "nodes": nodes } },
        })
    }

    /// Gives a document a quick route.
    pub(crate) async fn quick_route(&self, document: &str, bins: &[&str]) -> Answer {
        self.api.post(QUICK, self.to(document, bins)).await
    }

    /// Asks for the content to sign.
    pub(crate) async fn generate(&self, side: Side, document: &str) -> Answer {
        let path = format!(
            "/api/v3/sync/external/{}/signature/content-to-sign/generate",
            side.name()
        );
        let body = json!({ "documentId": document, "signedByEmployeeId": self.employee });
        self.api.post(&path, body).await
    }

    /// The zip behind a link.
    pub(crate) async fn download(&self, generated: &Answer) -> Vec<u8> {
        let link = generated.str("downloadLink");
        let path = link.find("/api/v3").map(|at| &link[at..]).expect("a path");
        let answer = self.api.get(path).await.ok();
        assert_eq!(answer.header("content-type"), Some("application/zip"));
        answer.bytes
    }

    /// Signs bytes: the chain and lists are inside.
    pub(crate) fn sign(&self, content: &[u8], attached: bool) -> Vec<u8> {
        self.sign_as(&self.signer, content, attached)
    }

    pub(crate) fn sign_as(&self, who: &Identity, content: &[u8], attached: bool) -> Vec<u8> {
        let signer = Signer::new(who, content, Time::from_unix(START.secs()));
        let mut cms = if attached {
            Cms::attached(content, &[&signer])
        } else {
            Cms::detached(&[&signer])
        };
        cms.certificates.extend(self.issuers.clone());
        cms.revocation.clone_from(&self.lists);
        cms.encode()
    }

    /// Puts this issuer into all later signatures.
    pub(crate) fn set_issuer(&mut self, issuer: &Identity) {
        self.issuers = vec![issuer.der.clone()];
    }

    /// Puts these revocation lists into all later signatures.
    pub(crate) fn bring_lists(&mut self, lists: Vec<Vec<u8>>) {
        self.lists = lists;
    }

    /// Leaves revocation lists out of all later signatures.
    pub(crate) fn forget_lists(&mut self) {
        self.lists.clear();
    }

    /// Leaves all certificates but the signer's out of later signatures.
    pub(crate) fn forget_issuers(&mut self) {
        self.issuers.clear();
    }

    /// Submits a signature.
    pub(crate) async fn save(
        &self,
        side: Side,
        document: &str,
        blob: &str,
        ticket: &str,
    ) -> Answer {
        let path = format!(
            "/api/v3/sync/external/{}/signature/quick-sign/save",
            side.name()
        );
        let body = json!({
            "documentId": document, "signedByEmployeeId": self.employee,
            "signatureBinaryContent": { "blobId": blob }, "idempotencyTicket": ticket,
        });
        self.api.post(&path, body).await
    }

    /// Signs a document from one side, in three steps.
    pub(crate) async fn quick_sign(&self, side: Side, document: &str) -> Answer {
        let generated = self.generate(side, document).await.ok();
        let zip = self.download(&generated).await;
        let blob = self.signature(&self.sign(&zip, true)).await;
        self.save(side, document, &blob, &generated.str("idempotencyTicket"))
            .await
    }

    /// A document that has been sent to another company.
    pub(crate) async fn sent(&self, bins: &[&str]) -> String {
        let document = self.draft().await;
        self.quick_route(&document, bins).await.ok();
        self.quick_sign(Side::Outbox, &document).await.ok();
        document
    }

    pub(crate) async fn status(&self, document: &str) -> String {
        let path = format!("/api/v3/sync/single/document/GetDocumentStatusByDocumentId/{document}");
        let answer = self.api.get(&path).await;
        if answer.status == 404 {
            return "404".to_owned();
        }
        answer.ok().str("documentStatus")
    }

    /// Posts an action on a document by the employee, with further members.
    pub(crate) async fn act(&self, path: &str, document: &str, more: Value) -> Answer {
        let mut body = json!({ "documentId": document, "employeeId": self.employee });
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        self.api.post(path, body).await
    }

    /// Waits until bulk elements have ended, and returns the companion's answer.
    pub(crate) async fn ended(&self, path: &str, started: &Answer) -> Vec<Value> {
        let ids: Vec<Value> = started["operations"]
            .as_array()
            .expect("operations")
            .iter()
            .map(|one| json!({ "operationId": one["operationId"] }))
            .collect();
        let path = format!("{path}/status");
        eventually("the bulk call ends", || async {
            let answer = self
                .api
                .post(&path, json!({ "operations": ids }))
                .await
                .ok();
            let told = answer["operations"].as_array().expect("operations").clone();
            told.iter()
                .all(|one| !one["completedOn"].is_null())
                .then_some(told)
        })
        .await
    }
}

pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value}"))
        .to_owned()
}

/// The vendor's code of the first error.
pub(crate) fn code(answer: &Answer) -> String {
    assert_eq!(answer["response"], Value::Null, "{}", answer.text);
    text(&answer["errors"][0]["errorCode"])
}

/// The text of the first error.
pub(crate) fn reason(answer: &Answer) -> String {
    text(&answer["errors"][0]["errorDescription"])
}

/// The files of a zip, in their order.
pub(crate) fn unzip(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("a zip");
    (0..archive.len())
        .map(|n| {
            let mut file = archive.by_index(n).expect("a file");
            let mut contents = Vec::new();
            file.read_to_end(&mut contents).expect("readable");
            let name = file.name().expect("a name").into_owned();
            (name, contents)
        })
        .collect()
}
