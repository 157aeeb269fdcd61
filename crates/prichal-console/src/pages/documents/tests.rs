use axum::body::Body;
use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::{
    Language, Role,
    testing::{Fake, HOSTILE, check_hostile, request, snapshot},
};

const LIST: &str = "GET /documents/v1/documents";
const ONE: &str = "GET /documents/v1/documents/1";
const SIGNATURES: &str = "GET /api/v3/sync/single/document/signatures/1";
const HISTORY: &str = "GET /api/1/webhooks/document-events/1";
const EMPLOYEES: &str = "POST /api/v3/sync/references/company-employees";
const PAGE: &str = "/console/acme/documents";
const AHMET: &str = "01a21db1-17b8-7260-96d1-65ea8b485ab6";
const DANA: &str = "01a21db1-17dc-75cd-a1bd-f084f3fc59cb";

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("an answer")
}

fn list() -> Value {
    json(include_str!("../../../tests/answers/documents.json"))
}

fn one() -> Value {
    json(include_str!("../../../tests/answers/document.json"))
}

fn signatures() -> Value {
    json(include_str!(
        "../../../tests/answers/document-signatures.json"
    ))
}

/// The API of a company with a signed document.
fn fake(role: Role) -> Fake {
    let history = json(include_str!("../../../tests/answers/document-history.json"));
    let employees = json(include_str!("../../../tests/answers/employees.json"));
    let fake = Fake::new(role)
        .answer(LIST, list())
        .answer(ONE, one())
        .answer(SIGNATURES, signatures())
        .answer(HISTORY, history)
        .answer(EMPLOYEES, employees);
    match role {
        Role::Integrator => fake.forbid(LIST).forbid(ONE),
        Role::Employee => fake.forbid(EMPLOYEES),
        _ => fake,
    }
}

/// A draft with an internal route, on which everything is to be done.
fn draft(role: Role) -> Fake {
    let node = |order, employee, action, status| {
        json!({
            "order": order, "employeeId": employee, "requiredAction": action,
            "state": { "status": status, "completedOn": null, "rejectMetadata": { "rejectReason": null } },
        })
    };
    let mut document = one();
    document["documentStatus"] = json!("IN_PROCESS_BY_SENDER");
    document["isQuickRoute"] = json!(false);
    document["isSignedBySender"] = json!(false);
    document["documentRoute"]["internal"] = json!({
        "routeActionOrderingType": "SEQUENTIAL",
        "nodes": [
            node(0, DANA, "APPROVE", "CompletedWithOk"),
            node(1, AHMET, "SIGN", "Active"),
            node(2, AHMET, "INFORM", "NotStarted"),
        ],
    });
    document["documentRoute"]["external"]["nodes"][0]["state"]["status"] = json!("NotStarted");
    document["files"][0]["fileName"] = json!("contract.docx");
    document["steps"] = json!([
        "SIGN",
        "APPROVE",
        "REFUSE",
        "RECALL",
        "ROUTE",
        "INBOX_ROUTE",
        "DELETE"
    ]);
    fake(role)
        .answer(ONE, document)
        .answer(SIGNATURES, json!([]))
}

#[tokio::test]
async fn pages_are_as_they_were() {
    snapshot("documents", PAGE, fake).await;
    let empty = |role| fake(role).answer(LIST, json!({ "items": [], "next": null }));
    snapshot("documents-empty", PAGE, empty).await;
    let path =
        "/console/acme/documents?folder=waiting&employee=01a21db1-17b8-7260-96d1-65ea8b485ab6";
    snapshot("documents-waiting", path, empty).await;
    snapshot("document", "/console/acme/documents/1?done=signed", fake).await;
    let path = "/console/acme/documents/1?ticket=7&link=8";
    snapshot("document-to-sign", path, draft).await;
    snapshot("document-new", "/console/acme/documents/new", fake).await;
}

#[tokio::test]
async fn criteria_go_to_the_api() {
    let site = fake(Role::Admin).open();
    let path = "/console/acme/documents?folder=sent&text=17%2F1&from=2026-01-01&to=2026-01-31&employee=e&before=9.1";
    let page = site.get(Language::En, path).await;
    assert_eq!(page.status, StatusCode::OK);
    let sent = site.sent();
    assert_eq!(
        sent[0].line,
        "GET /documents/v1/documents?folder=sent&text=17%2F1&documentDateFrom=1767225600\
         &documentDateTo=1769903999&employeeId=e&limit=50&before=9.1"
    );
    // A date that cannot be read is refused by the API, and stays in the form.
    let refused = json!({ "response": null, "errors": [{ "errorCode": "VALIDATION_ERROR", "errorDescription": "No date." }] });
    let site = fake(Role::Admin).answer_with(LIST, 400, refused).open();
    let page = site
        .get(Language::En, "/console/acme/documents?from=soon")
        .await;
    assert!(page.main().contains("No date.") && page.main().contains("value=\"soon\""));
}

#[tokio::test]
async fn what_a_policy_leaves_out_is_said_with_each_verdict() {
    let mut all = signatures();
    all[0]["report"]["signers"][0]["unchecked"] = json!(["identity", "revocation", "moon phase"]);
    let site = fake(Role::Viewer).answer(SIGNATURES, all).open();
    let page = site.get(Language::En, "/console/acme/documents/1").await;
    for (sentence, times) in [
        ("whether the certificate was revoked", 2),
        ("this employee&#39;s (BIN, IIN)", 1),
        ("moon phase", 1),
        ("Steps of the check: 21; passed", 2),
    ] {
        assert_eq!(page.main().matches(sentence).count(), times, "{sentence}");
    }
    // A viewer has no forms that change anything.
    assert!(!page.main().contains("method=\"post\""));
}

#[tokio::test]
async fn steps_are_sent_for_the_chosen_employee() {
    let ok = json!({});
    for (step, line, action) in [
        (
            "approve",
            "POST /api/v3/sync/internal/route/action",
            Some("APPROVE"),
        ),
        (
            "refuse",
            "POST /api/v3/sync/internal/route/action",
            Some("REJECT"),
        ),
        (
            "reject",
            "POST /api/v3/sync/external/inbox/document/reject",
            None,
        ),
        (
            "decline",
            "POST /api/v3/sync/external/outbox/document/reject",
            None,
        ),
        (
            "recall",
            "POST /api/v3/sync/external/outbox/document/recall",
            None,
        ),
        (
            "delete",
            "DELETE /api/v3/sync/external/outbox/document/1",
            None,
        ),
    ] {
        let site = draft(Role::Admin).answer(line, ok.clone()).open();
        let path = format!("/console/acme/documents/1/do/{step}");
        let fields = [("employee", AHMET), ("reason", "late")];
        let page = site.post(Language::Ru, &path, &fields).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{step}");
        let change = site.last_change();
        assert_eq!(change.line, line);
        if step != "delete" {
            assert_eq!(change.body["employeeId"], AHMET);
            assert_eq!(change.body["reason"], "late");
            assert_eq!(change.body["action"].as_str(), action);
        }
    }
    let site = draft(Role::Admin).open();
    let page = site
        .post(Language::Ru, "/console/acme/documents/1/do/burn", &[])
        .await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_refused_step_is_explained_with_the_input_kept() {
    let refused = json!({ "response": null, "errors": [{ "errorCode": "VALIDATION_ERROR", "errorDescription": "Too late." }] });
    let line = "POST /api/v3/sync/external/outbox/document/recall";
    let site = draft(Role::Admin).answer_with(line, 400, refused).open();
    let path = "/console/acme/documents/1/do/recall";
    let page = site
        .post(
            Language::En,
            path,
            &[("employee", AHMET), ("reason", "my reason")],
        )
        .await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert!(page.main().contains("Too late.") && page.main().contains("my reason"));
}

#[tokio::test]
async fn routes_are_quick_full_or_internal() {
    const QUICK: &str = "POST /api/v3/sync/external/outbox/route/quick-route/create";
    const FULL: &str = "POST /api/v3/sync/external/outbox/route/create";
    const INSIDE: &str = "POST /api/v3/sync/internal/route/create";
    const INBOX: &str = "POST /api/v3/sync/external/inbox/route/create";
    let fake = || {
        [QUICK, FULL, INSIDE, INBOX]
            .into_iter()
            .fold(draft(Role::Admin), |fake, line| {
                fake.answer(line, json!({}))
            })
    };
    let to = ("recipients", "940140000385 a@b.kz\r\n\r\n020240000555");
    let signs = ("senderSigns", "on");
    for (fields, line) in [
        (vec![("kind", "outbox"), to, signs], QUICK),
        (vec![("kind", "outbox"), to], FULL),
        (
            vec![("kind", "outbox"), to, signs, ("approver", DANA)],
            FULL,
        ),
        (vec![("kind", "internal"), ("approver", DANA)], INSIDE),
        (vec![("kind", "inbox"), ("approver", DANA)], INBOX),
    ] {
        let site = fake().open();
        let page = site
            .post(Language::Kk, "/console/acme/documents/1/route", &fields)
            .await;
        assert_eq!(page.status, StatusCode::SEE_OTHER);
        let change = site.last_change();
        assert_eq!(change.line, line);
        let text = change.body.to_string();
        assert_eq!(text.contains(DANA), fields.contains(&("approver", DANA)));
        if matches!(line, QUICK | FULL) {
            let nodes = &change.body["route"]["external"]["nodes"];
            assert_eq!(nodes[0]["counterpartyEmails"], json!(["a@b.kz"]));
            assert_eq!(nodes[1]["counterpartyBin"], "020240000555");
        }
    }
}

/// A form with a file, as browsers send it.
fn form(path: &str, fields: &[(&str, &str)], file: &str) -> http::Request<Body> {
    let mut text = String::new();
    for (name, value) in fields {
        text.push_str(&format!(
            "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        ));
    }
    text.push_str(&format!(
        "--b\r\nContent-Disposition: form-data; name=\"{file}\"; filename=\"a.cms\"\r\n\r\n{{}}\r\n--b--\r\n"
    ));
    let (mut parts, _) = request(Method::POST, Language::En, path).into_parts();
    let kind = "multipart/form-data; boundary=b";
    for (name, value) in [("sec-fetch-site", "same-origin"), ("content-type", kind)] {
        parts.headers.insert(name, value.parse().expect("a header"));
    }
    http::Request::from_parts(parts, Body::from(text))
}

#[tokio::test]
async fn a_signature_is_uploaded_with_its_ticket() {
    const CONTENT: &str = "POST /api/v3/sync/external/outbox/signature/content-to-sign/generate";
    const BLOB: &str = "POST /api/v3/sync/blobs/document-signature-content";
    const SAVE: &str = "POST /api/v3/sync/external/outbox/signature/quick-sign/save";
    let link = "http://hub/api/v3/sync/sign-content/download/8";
    let site = draft(Role::Employee)
        .answer(
            CONTENT,
            json!({ "downloadLink": link, "idempotencyTicket": "7" }),
        )
        .answer(BLOB, json!({ "response": { "blobId": "b1" } }))
        .answer(SAVE, Value::String(String::new()))
        .open();
    let path = "/console/acme/documents/1/content";
    let page = site
        .post(
            Language::En,
            path,
            &[("employee", AHMET), ("side", "outbox")],
        )
        .await;
    assert_eq!(
        page.location(),
        format!("/console/acme/documents/1?employee={AHMET}&ticket=7&link=8#sign")
    );
    let page = site
        .get(Language::En, page.location().trim_end_matches("#sign"))
        .await;
    let policy = page.headers[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .expect("a policy");
    assert!(policy.contains("connect-src 'self' wss://127.0.0.1:13579;"));

    let token = crate::form::token("the-secret-of-a-session");
    let fields = [
        ("_form", &*token),
        ("employee", AHMET),
        ("side", "outbox"),
        ("ticket", "7"),
    ];
    let path = "/console/acme/documents/1/sign";
    let page = site.send(form(path, &fields, "signatureContent")).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert!(page.location().ends_with("done=signed"));
    let change = site.last_change();
    assert_eq!(change.line, SAVE);
    assert_eq!(
        change.body,
        json!({
            "documentId": "1", "signedByEmployeeId": AHMET,
            "signatureBinaryContent": { "blobId": "b1" }, "idempotencyTicket": "7",
        })
    );

    // Without the token of the session nothing is sent on.
    let count = site.sent().len();
    let page = site
        .send(form(path, &fields[1..], "signatureContent"))
        .await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert_eq!(site.sent().len(), count);
}

#[tokio::test]
async fn a_refused_signature_keeps_its_ticket() {
    let away = json!({ "response": null, "errors": [{ "errorCode": "INTERNAL_SERVER_ERROR", "errorDescription": "The issuer is away." }] });
    let site = draft(Role::Admin)
        .answer_with(
            "POST /api/v3/sync/blobs/document-signature-content",
            503,
            away,
        )
        .open();
    let token = crate::form::token("the-secret-of-a-session");
    let fields = [
        ("_form", &*token),
        ("employee", AHMET),
        ("ticket", "7"),
        ("link", "8"),
    ];
    let page = site
        .send(form(
            "/console/acme/documents/1/sign",
            &fields,
            "signatureContent",
        ))
        .await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.main().contains("The issuer is away."));
    assert!(page.main().contains("name=\"ticket\" value=\"7\""));
}

#[tokio::test]
async fn a_new_document_is_uploaded_created_and_routed() {
    const BLOB: &str = "POST /api/v3/sync/blobs/document-content";
    const CREATE: &str = "POST /api/v3/sync/external/outbox/document/create";
    const QUICK: &str = "POST /api/v3/sync/external/outbox/route/quick-route/create";
    let token = crate::form::token("the-secret-of-a-session");
    let fields = [
        ("_form", &*token),
        ("name", "Договор"),
        ("number", "17/1"),
        ("date", "2026-01-01"),
        ("group", "Legal"),
        ("employee", ""),
        ("recipients", "940140000385"),
        ("senderSigns", "on"),
    ];
    let site = fake(Role::Admin)
        .answer(BLOB, json!({ "response": { "blobId": "b1" } }))
        .answer(CREATE, json!({ "id": "1" }))
        .answer(QUICK, json!({}))
        .open();
    let page = site
        .send(form(
            "/console/acme/documents/new",
            &fields,
            "documentContent",
        ))
        .await;
    assert_eq!(page.location(), "/console/acme/documents/1?done=created");
    let sent = site.sent();
    let made = sent
        .iter()
        .find(|one| one.line == CREATE)
        .expect("a document");
    assert_eq!(made.body["documentMetadata"]["documentDate"], 1_767_225_600);
    assert_eq!(made.body["documentBinaryContents"][0]["blobId"], "b1");
    // The route is set by the employee whom the API takes for the company.
    assert_eq!(site.last_change().line, QUICK);
    assert_eq!(site.last_change().body["employeeId"], AHMET);

    let refused = json!({ "response": null, "errors": [{ "errorCode": "VALIDATION_ERROR", "errorDescription": "Not a PDF." }] });
    let site = fake(Role::Admin).answer_with(BLOB, 400, refused).open();
    let page = site
        .send(form(
            "/console/acme/documents/new",
            &fields,
            "documentContent",
        ))
        .await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert!(page.main().contains("Not a PDF.") && page.main().contains("17/1"));
}

#[tokio::test]
async fn files_have_a_type_of_ours_and_run_nothing() {
    let hostile = Value::String(HOSTILE.to_owned());
    let site = fake(Role::Employee)
        .answer("GET /documents/v1/documents/1/files/2", hostile.clone())
        .answer("GET /api/v3/sync/sign-content/download/8", hostile)
        .open();
    for (path, kind, may_be_framed) in [
        ("files/2?as=x.pdf", "application/pdf", true),
        ("files/2?as=x.txt", "text/plain; charset=utf-8", true),
        ("files/2?as=x.html", "application/octet-stream", false),
        ("files/2", "application/octet-stream", false),
        ("content/8", "application/octet-stream", false),
    ] {
        let path = format!("/console/acme/documents/1/{path}");
        let page = site.get(Language::En, &path).await;
        let header = |name: &str| page.headers[name].to_str().expect("a header");
        assert_eq!(header("content-type"), kind, "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("script-src"));
        assert_eq!(
            header("x-frame-options") == "SAMEORIGIN",
            may_be_framed,
            "{path}"
        );
    }
    let missing = json!({});
    let site = fake(Role::Employee)
        .answer_with("GET /documents/v1/documents/1/files/3", 404, missing)
        .open();
    let page = site
        .get(Language::En, "/console/acme/documents/1/files/3?as=x.pdf")
        .await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn texts_from_outside_are_shown_as_text() {
    let mut all = list();
    all["items"][0]["documentName"] = json!(HOSTILE);
    all["items"][0]["sender"]["name"] = json!(HOSTILE);
    let mut document = one();
    document["documentName"] = json!(HOSTILE);
    document["rejectReason"] = json!(HOSTILE);
    document["files"][0]["fileName"] = json!(format!("{HOSTILE}.pdf"));
    document["recipients"][0]["name"] = json!(HOSTILE);
    let mut signed = signatures();
    signed[0]["report"]["signers"][0]["certificate"]["name"] = json!(HOSTILE);
    signed[0]["report"]["signers"][0]["steps"][0]["reason"] = json!(HOSTILE);
    let site = fake(Role::Admin)
        .answer(LIST, all)
        .answer(ONE, document)
        .answer(SIGNATURES, signed)
        .open();
    for path in [PAGE, "/console/acme/documents/1"] {
        check_hostile(&site.get(Language::Ru, path).await.text);
    }
}
