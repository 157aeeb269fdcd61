//! The answers and refusals of each operation of the vendor's list and of our additions (`docs/contracts/idocs.md
//! §1.2, §1.10`).

mod answers;
mod bulk;
mod documents;
mod matrix;
mod permissions;
mod public;
mod refusals;
mod routes;
mod signing;
mod uploads;
mod wire;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    document_exchange::{
        ACTION, CREATE, Company, DECLINE, DocumentExchange, INBOX_ROUTE, INTERNAL, INTERNAL_ROUTE,
        QUICK, RECALL, REJECT, ROUTE, code, reason,
    },
    hub::{Answer, Caller},
};

const CONTENT: &str = "/api/v3/sync/blobs/document-content";
const SIGNATURE: &str = "/api/v3/sync/blobs/document-signature-content";
const OUTBOX_CONTENT: &str = "/api/v3/sync/external/outbox/signature/content-to-sign/generate";
const INBOX_CONTENT: &str = "/api/v3/sync/external/inbox/signature/content-to-sign/generate";
const OUTBOX_SIGN: &str = "/api/v3/sync/external/outbox/signature/quick-sign/save";
const INBOX_SIGN: &str = "/api/v3/sync/external/inbox/signature/quick-sign/save";
const OUTBOX: &str = "/api/v3/sync/external/documents-query/outbox";
const INBOX: &str = "/api/v3/sync/external/documents-query/inbox";
const EMPLOYEES: &str = "/api/v3/sync/references/company-employees";
const TOKEN: &str = "/api/v3/sync/references/company-token";
const COUNTERPARTIES: &str = "/api/v3/sync/references/counterparties/check";
const VERIFY: &str = "/api/v3/sync/signature/verify";
const OPERATIONS: &str = "/api/v3/sync/bulk/operations";

/// Paths that an id is added to.
const ONE_OUTBOX: &str = "/api/v3/sync/external/documents-query/single/outbox/";
const ONE_INBOX: &str = "/api/v3/sync/external/documents-query/single/inbox/";
const STATUS: &str = "/api/v3/sync/single/document/GetDocumentStatusByDocumentId/";
const PRINT_FORM: &str = "/api/v3/sync/single/document/GetDocumentPrintFormByDocumentId/";
const ARCHIVE: &str = "/api/v3/sync/single/document/GetDocumentArchiveByDocumentId/";
const SIGNATURES: &str = "/api/v3/sync/single/document/signatures/";
const DOWNLOAD: &str = "/api/v3/sync/sign-content/download/";
const PERMISSION: &str = "/api/v3/sync/references/company-employees/permission/";
const DRAFT: &str = "/api/v3/sync/external/outbox/document/";

/// Paths that read an object by the id at their end.
const BY_ID: [&str; 8] = [
    ONE_OUTBOX, ONE_INBOX, STATUS, PRINT_FORM, ARCHIVE, SIGNATURES, DOWNLOAD, PERMISSION,
];

/// Bulk calls, and the operation that each has for its elements.
const BULK: [(&str, &str); 9] = [
    ("/api/v3/async/bulk/external/outbox/document/create", CREATE),
    ("/api/v3/async/bulk/external/outbox/route/create", ROUTE),
    (
        "/api/v3/async/bulk/external/outbox/route/quick-route/create",
        QUICK,
    ),
    (
        "/api/v3/async/bulk/external/outbox/signature/content-to-sign/generate",
        OUTBOX_CONTENT,
    ),
    (
        "/api/v3/async/bulk/external/outbox/signature/quick-sign/save",
        OUTBOX_SIGN,
    ),
    (
        "/api/v3/async/bulk/external/inbox/route/create",
        INBOX_ROUTE,
    ),
    (
        "/api/v3/async/bulk/external/inbox/signature/content-to-sign/generate",
        INBOX_CONTENT,
    ),
    (
        "/api/v3/async/bulk/external/inbox/signature/quick-sign/save",
        INBOX_SIGN,
    ),
    (BULK_DOWNLOAD, ""),
];
const BULK_DOWNLOAD: &str = "/api/v3/async/documents/download/bulk-download";

/// Lists of words.
const ENUM_MEMBERS: [&str; 4] = [
    "/api/v3/sync/references/document-groups",
    "/api/v3/sync/references/statuses",
    "/api/v3/sync/references/route-actions",
    "/api/v3/sync/references/permissions",
];

/// An unused id.
const UNUSED_ID: &str = "0193f6d2-7c1a-7b3e-9f00-5d2c8a41e6b7";
/// The time of everything in a test that does not move the clock.
const NOW: i64 = 1_767_225_600;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Id,
    Int,
    Flag,
    Word,
    Object,
    List,
}

/// A member of a body: its path, its type, and true if it is required.
type Member = (&'static str, Kind, bool);

/// An operation that takes JSON, with a valid body.
struct JsonOperation {
    path: String,
    body: Value,
    members: Vec<Member>,
    /// The permission that an employee needs, if any.
    permission: Option<&'static str>,
}

fn json_operation(
    path: &str,
    permission: Option<&'static str>,
    body: Value,
    members: &[Member],
) -> JsonOperation {
    JsonOperation {
        path: path.to_owned(),
        body,
        members: members.to_vec(),
        permission,
    }
}

const ACTOR_MEMBERS: [Member; 2] = [
    ("documentId", Kind::Id, true),
    ("employeeId", Kind::Id, true),
];
const SIGNER_MEMBERS: [Member; 2] = [
    ("documentId", Kind::Id, true),
    ("signedByEmployeeId", Kind::Id, true),
];
const NEW_MEMBERS: [Member; 8] = [
    ("documentMetadata", Kind::Object, true),
    ("documentMetadata.documentName", Kind::Text, true),
    ("documentMetadata.documentNumber", Kind::Text, true),
    ("documentMetadata.documentDate", Kind::Int, true),
    ("documentMetadata.documentGroup", Kind::Word, true),
    ("documentMetadata.documentAuthorEmployeeId", Kind::Id, false),
    ("documentBinaryContents", Kind::List, true),
    ("documentBinaryContents[0].blobId", Kind::Id, true),
];
const EXTERNAL_MEMBERS: [Member; 13] = [
    ("route", Kind::Object, true),
    ("route.external", Kind::Object, true),
    ("route.external.routeOrderType", Kind::Word, false),
    ("route.external.isSignRequiredBySender", Kind::Flag, false),
    ("route.external.isSenderPayer", Kind::Flag, false),
    ("route.external.nodes", Kind::List, true),
    ("route.external.nodes[0].order", Kind::Int, false),
    ("route.external.nodes[0].counterpartyBin", Kind::Text, true),
    ("route.external.nodes[0].comment", Kind::Text, false),
    ("route.external.nodes[0].isIndividual", Kind::Flag, false),
    (
        "route.external.nodes[0].counterpartyEmails",
        Kind::List,
        false,
    ),
    (
        "route.external.nodes[0].isSignRequiredByCounterparty",
        Kind::Flag,
        false,
    ),
    ("route.external.nodes[0].orgUnitId", Kind::Id, false),
];
const INTERNAL_MEMBERS: [Member; 5] = [
    ("route.internal.routeActionOrderingType", Kind::Word, false),
    ("route.internal.nodes", Kind::List, true),
    ("route.internal.nodes[0].order", Kind::Int, false),
    ("route.internal.nodes[0].employeeId", Kind::Id, true),
    ("route.internal.nodes[0].requiredAction", Kind::Word, true),
];
const PAGE_MEMBERS: [Member; 2] = [("skip", Kind::Int, false), ("top", Kind::Int, false)];

/// All operations that take JSON, about a document and a blob, by an employee.
fn json_operations(employee: &str, bin: &str, document: &str, blob: &str) -> Vec<JsonOperation> {
    let new = json!({
        "documentMetadata": {
            "documentName": "Договор", "documentNumber": "1", "documentDate": NOW, "documentGroup": "Legal",
            "documentAuthorEmployeeId": employee,
        },
        "documentBinaryContents": [{ "blobId": blob }],
    });
    let head = |more: Value| {
        let mut body = json!({ "documentId": document, "employeeId": employee });
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        body
    };
    let external = json!({
        "routeOrderType": "PARALLEL", "isSignRequiredBySender": false, "isSenderPayer": true,
        "nodes": [{
            "order": 1, "counterpartyBin": bin, "comment": "вот", "isIndividual": false,
            "counterpartyEmails": ["a@example.kz"], "isSignRequiredByCounterparty": true, "orgUnitId": UNUSED_ID,
        }],
    });
    let internal = json!({
        "routeActionOrderingType": "SEQUENTIAL",
        "nodes": [{ "order": 1, "employeeId": employee, "requiredAction": "APPROVE" }],
    });
    let asked = json!({ "documentId": document, "signedByEmployeeId": employee });
    let mut saved = asked.clone();
    saved["signatureBinaryContent"] = json!({ "blobId": blob });
    saved["idempotencyTicket"] = json!(UNUSED_ID);
    let mut full = external.clone();
    full["isSignRequiredBySender"] = json!(true);
    let ended = head(json!({ "reason": "так" }));
    let query = json!({
        "documentStatuses": ["DRAFT"], "documentDateFrom": 1, "documentDateTo": 2, "documentAuthorId": employee,
        "skip": 0, "top": 1,
    });

    let with = |parts: &[&[Member]]| parts.concat();
    let reason = [("reason", Kind::Text, false)];
    let blob = [
        ("signatureBinaryContent", Kind::Object, true),
        ("signatureBinaryContent.blobId", Kind::Id, true),
        ("idempotencyTicket", Kind::Id, false),
    ];
    let quick = with(&[&ACTOR_MEMBERS, &EXTERNAL_MEMBERS]);
    let whole = with(&[
        &ACTOR_MEMBERS,
        &EXTERNAL_MEMBERS,
        &[("route.internal", Kind::Object, false)],
        &INTERNAL_MEMBERS,
    ]);
    let whole: Vec<Member> = whole
        .into_iter()
        .map(|(name, kind, required)| (name, kind, required && name != "route.internal.nodes"))
        .collect();
    let arrived = with(&[
        &ACTOR_MEMBERS,
        &[
            ("route", Kind::Object, true),
            ("route.internal", Kind::Object, true),
        ],
        &INTERNAL_MEMBERS,
    ]);
    let inside: Vec<Member> = with(&[
        &ACTOR_MEMBERS,
        &[
            ("routeActionOrderingType", Kind::Word, false),
            ("nodes", Kind::List, true),
            ("nodes[0].order", Kind::Int, false),
            ("nodes[0].employeeId", Kind::Id, true),
            ("nodes[0].requiredAction", Kind::Word, true),
        ],
    ]);
    let saving = with(&[&SIGNER_MEMBERS, &blob]);
    let acting = with(&[&ACTOR_MEMBERS, &reason, &[("action", Kind::Word, true)]]);
    let ending = with(&[&ACTOR_MEMBERS, &reason]);
    let asking = with(&[
        &PAGE_MEMBERS,
        &[
            ("documentStatuses", Kind::List, false),
            ("documentStatuses[0]", Kind::Word, true),
            ("documentDateFrom", Kind::Int, false),
            ("documentDateTo", Kind::Int, false),
            ("documentAuthorId", Kind::Id, false),
        ],
    ]);
    let create = Some("DOCUMENT_CREATE");
    let route = Some("ROUTE_CREATE");
    let sign = Some("DOCUMENT_SIGN");
    let refuse = Some("DOCUMENT_REJECT");
    let view = Some("DOCUMENT_VIEW");
    let mut all = vec![
        json_operation(CREATE, create, new.clone(), &NEW_MEMBERS),
        json_operation(INTERNAL, create, new, &NEW_MEMBERS),
        json_operation(
            ROUTE,
            route,
            head(json!({ "route": { "external": full, "internal": internal } })),
            &whole,
        ),
        json_operation(
            QUICK,
            route,
            head(json!({ "route": { "external": external } })),
            &quick,
        ),
        json_operation(
            INBOX_ROUTE,
            route,
            head(json!({ "route": { "internal": internal } })),
            &arrived,
        ),
        json_operation(INTERNAL_ROUTE, route, head(internal), &inside),
        json_operation(OUTBOX_CONTENT, sign, asked.clone(), &SIGNER_MEMBERS),
        json_operation(INBOX_CONTENT, sign, asked, &SIGNER_MEMBERS),
        json_operation(OUTBOX_SIGN, sign, saved.clone(), &saving),
        json_operation(INBOX_SIGN, sign, saved, &saving),
        json_operation(
            ACTION,
            Some("DOCUMENT_APPROVE"),
            head(json!({ "action": "APPROVE", "reason": "так" })),
            &acting,
        ),
        json_operation(RECALL, refuse, ended.clone(), &ending),
        json_operation(REJECT, refuse, ended.clone(), &ending),
        json_operation(DECLINE, refuse, ended, &ending),
        json_operation(OUTBOX, view, query.clone(), &asking),
        json_operation(INBOX, view, query, &asking),
        json_operation(
            EMPLOYEES,
            Some("EMPLOYEE_VIEW"),
            json!({ "skip": 0, "top": 1 }),
            &PAGE_MEMBERS,
        ),
        json_operation(
            OPERATIONS,
            view,
            json!({ "skip": 0, "top": 1 }),
            &PAGE_MEMBERS,
        ),
        json_operation(
            COUNTERPARTIES,
            view,
            json!({ "bins": [bin] }),
            &[("bins", Kind::List, false), ("bins[0]", Kind::Text, true)],
        ),
        json_operation(
            VERIFY,
            view,
            json!({ "signature": "AAAA", "content": "AAAA", "policy": "kz" }),
            &[
                ("signature", Kind::Text, true),
                ("content", Kind::Text, false),
                ("policy", Kind::Text, false),
            ],
        ),
    ];
    for (path, single) in BULK {
        let permission = all
            .iter()
            .find(|json_operation| json_operation.path == single);
        let permission = permission.map_or(Some("DOCUMENT_DOWNLOAD"), |json_operation| {
            json_operation.permission
        });
        let started = json!({ "operations": [{ "data": null }] });
        all.push(json_operation(
            path,
            permission,
            started,
            &[("operations", Kind::List, true)],
        ));
        let asked = json!({ "operations": [{ "operationId": UNUSED_ID }] });
        let members = [
            ("operations", Kind::List, true),
            ("operations[0].operationId", Kind::Id, true),
        ];
        all.push(json_operation(
            &format!("{path}/status"),
            permission,
            asked,
            &members,
        ));
    }
    all
}

/// The value in a body at a path in the notation of errors.
fn at<'a>(body: &'a mut Value, path: &str) -> &'a mut Value {
    let pointer = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
    body.pointer_mut(&pointer)
        .unwrap_or_else(|| panic!("there is no {path}"))
}

/// Two companies that can exchange documents.
struct Scene {
    exchange: DocumentExchange,
    us: Company,
    them: Company,
}

impl Scene {
    async fn new() -> Self {
        Self::strict(false).await
    }

    async fn strict(strict: bool) -> Self {
        let exchange = DocumentExchange::with(move |config| {
            config.edo_strict_codes = strict;
            // Calls of every operation with wrong tokens take many requests.
            config.guess_limit.most = 0;
        })
        .await;
        let (us, them) = (exchange.company(0).await, exchange.company(1).await);
        Self { exchange, us, them }
    }

    /// The caller of our company under `/api/v1`.
    fn space(&self) -> Caller {
        self.us.api.at(&format!("/api/v1/{}", self.us.name))
    }

    /// One more employee of ours.
    async fn clerk(&self, login: &str, permissions: &[&str]) -> String {
        let user = json!({ "login": login, "permissions": permissions });
        self.space().post("/users", user).await.ok().str("id")
    }

    /// A caller with the token of an employee of ours.
    async fn by(&self, employee: &str) -> Caller {
        let hub = &self.exchange.hub;
        hub.user_token(&self.us.name, employee).await.at("")
    }
}

/// The members of an answer, in their order, with nothing between them.
#[track_caller]
fn exactly(answer: &Answer, expected: Value) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.text, expected.to_string());
}

/// Checks a refusal in the envelope and a name in its text.
#[track_caller]
fn refused(answer: &Answer, status: u16, word: &str, names: &str) {
    assert_eq!(answer.status, status, "{names}: {}", answer.text);
    assert_eq!(code(answer), word, "{names}: {}", answer.text);
    assert!(answer.header("x-request-id").is_some(), "{names}");
    assert!(reason(answer).contains(names), "{names}: {}", answer.text);
    // The first of all faults is the one that is meant.
    let errors = answer["errors"].as_array().expect("errors").iter();
    let errors: Vec<Value> = errors
        .map(|error| {
            json!({
                "errorCode": word, "errorDescription": error["errorDescription"],
                "errorDocumentationLink": null,
            })
        })
        .collect();
    let expected = json!({ "response": null, "errors": errors });
    assert_eq!(answer.text, expected.to_string());
}

#[track_caller]
fn invalid(answer: &Answer, names: &str) {
    refused(answer, 400, "VALIDATION_ERROR", names);
}

/// Sends text as it is.
async fn sent(caller: &Caller, path: &str, body: &str) -> Answer {
    caller
        .send(Method::POST, path, Some(body.as_bytes().to_vec()))
        .await
}
