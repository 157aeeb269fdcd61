//! E-documents from the wire to the disk (`docs/contracts/idocs.md §1, §2`).

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    document_exchange::{
        ACTION, BINS, CREATE, DECLINE, DocumentExchange, INBOX_ROUTE, INTERNAL, INTERNAL_ROUTE,
        PDF, RECALL, REJECT, ROUTE, Side, V3, code, pem, reason, unzip,
    },
    hub::START,
};

#[tokio::test]
async fn two_companies_sign_a_document() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let document = us.draft().await;
    assert_eq!(us.status(&document).await, "DRAFT");
    let routed = us.quick_route(&document, &[&them.bin]).await.ok();
    assert_eq!(routed.text, "");
    assert_eq!(
        (us.status(&document).await, them.status(&document).await),
        ("DRAFT".into(), "404".into())
    );

    let signed = us.quick_sign(Side::Outbox, &document).await.ok();
    assert_eq!(signed.text, "");
    assert_eq!(us.status(&document).await, "SENT_BY_SENDER");
    assert_eq!(them.status(&document).await, "IN_NEW");

    them.quick_sign(Side::Inbox, &document).await.ok();
    assert_eq!(us.status(&document).await, "FINISHED");
    assert_eq!(them.status(&document).await, "FINISHED");

    let path = format!("{V3}/sync/external/documents-query/single/inbox/{document}");
    let seen = them.api.get(&path).await.ok();
    let node = &seen["response"]["documentRoute"]["external"]["nodes"][0];
    assert_eq!(node["state"]["status"], "CompletedWithOk");
    assert_eq!(seen["response"]["documentDirection"], "Inbox");
    assert_eq!(seen["errors"], Value::Null);
    assert_eq!(us.api.get(&path).await.status, 404, "not in our inbox");

    let path = format!("{V3}/sync/single/document/signatures/{document}");
    let signatures = us.api.get(&path).await.ok();
    assert_eq!(signatures.as_array().map(Vec::len), Some(2));
    for (one, company) in signatures
        .as_array()
        .expect("a list")
        .iter()
        .zip([&us, &them])
    {
        assert_eq!(one["companyBin"], company.bin);
        assert_eq!(one["iin"], company.iin);
        assert_eq!(one["report"]["verdict"], "TOTAL_PASSED");
    }
}

#[tokio::test]
async fn the_archive_is_the_same_for_both_and_each_time() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let (one, two) = (
        us.content("a.pdf", PDF).await,
        us.content("a.pdf", b"%PDF-2").await,
    );
    let notes = us.content("заметки.txt", "Привет, әлем".as_bytes()).await;
    let body = us.metadata(&[&one, &two, &notes]);
    let document = us.api.post(CREATE, body).await.ok().str("id");
    us.quick_route(&document, &[&them.bin]).await.ok();
    // One signature detached, one attached.
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let zip = us.download(&generated).await;
    let again = us.generate(Side::Outbox, &document).await.ok();
    assert_eq!(
        us.download(&again).await,
        zip,
        "the same bytes for every ticket"
    );
    let names: Vec<String> = unzip(&zip).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a.pdf", "a (2).pdf", "заметки.txt"]);
    let blob = us.signature(&us.sign(&zip, false)).await;
    us.save(
        Side::Outbox,
        &document,
        &blob,
        &again.str("idempotencyTicket"),
    )
    .await
    .ok();
    them.quick_sign(Side::Inbox, &document).await.ok();

    let path = format!("{V3}/sync/single/document/GetDocumentArchiveByDocumentId/{document}");
    let ours = us.api.get(&path).await.ok();
    assert_eq!(us.api.get(&path).await.ok().bytes, ours.bytes);
    let theirs = unzip(&them.api.get(&path).await.ok().bytes);
    let ours = unzip(&ours.bytes);
    let names: Vec<&str> = ours.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "original/a.pdf",
        "original/a (2).pdf",
        "original/заметки.txt",
        "print-form/17_1.pdf",
        "signatures/1-971240001315.cms",
        "evidence/signed-content-1.zip",
        "evidence/report-1.json",
        "signatures/2-940140000385.cms",
        "evidence/report-2.json",
        "manifest.json",
    ];
    assert_eq!(names, expected);
    for ((name, own), (_, other)) in ours.iter().zip(&theirs) {
        if name.starts_with("original/") || name.starts_with("signatures/") {
            assert_eq!(own, other, "{name}");
        }
    }
    assert_eq!(ours[5].1, zip);
    assert!(ours[3].1.starts_with(b"%PDF-"));
    let manifest: Value = serde_json::from_slice(&ours[9].1).expect("JSON");
    assert_eq!(manifest["documentId"], document);
    assert_eq!(manifest["files"].as_array().map(Vec::len), Some(9));
    for (file, (name, contents)) in manifest["files"]
        .as_array()
        .expect("files")
        .iter()
        .zip(&ours)
    {
        assert_eq!(file["path"], *name);
        assert_eq!(file["size"], contents.len());
        assert_eq!(file["sha256"], sha256(contents));
    }
    let form = format!("{V3}/sync/single/document/GetDocumentPrintFormByDocumentId/{document}");
    let form = us.api.get(&form).await.ok();
    assert_eq!(form.header("content-type"), Some("application/pdf"));
    assert_eq!(form.bytes, ours[3].1);
}

fn sha256(bytes: &[u8]) -> String {
    prichal::platform::vault::sha256_hex(bytes)
}

#[tokio::test]
async fn a_ticket_is_for_one_signature() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let (one, other) = (us.draft().await, us.draft().await);
    for document in [&one, &other] {
        us.quick_route(document, &[&them.bin]).await.ok();
    }
    let first = us.generate(Side::Outbox, &one).await.ok();
    let zip = us.download(&first).await;
    let blob = us.signature(&us.sign(&zip, true)).await;
    let second = us.generate(Side::Outbox, &one).await.ok();
    let (first, second) = (
        first.str("idempotencyTicket"),
        second.str("idempotencyTicket"),
    );
    let save = async |document: &str, blob: &str, ticket: &str| {
        us.save(Side::Outbox, document, blob, ticket).await
    };

    let refused = save(&one, &blob, &first).await;
    assert_eq!(
        (refused.status, code(&refused).as_str()),
        (400, "VALIDATION_ERROR"),
        "replaced"
    );
    let refused = save(&other, &blob, &second).await;
    assert!(
        reason(&refused).contains("idempotencyTicket"),
        "{}",
        refused.text
    );
    let unknown = save(&one, &blob, "0193f6d2-7c1a-7b3e-9f00-5d2c8a41e6b7").await;
    assert_eq!(unknown.status, 400);
    let pdf = us.content("b.pdf", PDF).await;
    assert!(
        reason(&save(&one, &pdf, &second).await).contains(&pdf),
        "no signature"
    );

    save(&one, &blob, &second).await.ok();
    assert_eq!(us.status(&one).await, "SENT_BY_SENDER");
    save(&one, &blob, &second).await.ok();
    let equal = us.signature(&us.sign(&zip, true)).await;
    let detached = us.signature(&us.sign(&zip, false)).await;
    assert_eq!(
        save(&one, &detached, &second).await.status,
        400,
        "another signature"
    );
    save(&one, &equal, &second).await.ok();

    // Without a ticket the current one is used, until it expires.
    let zip = us
        .download(&us.generate(Side::Outbox, &other).await.ok())
        .await;
    let blob = us.signature(&us.sign(&zip, true)).await;
    let body = json!({ "documentId": other, "signedByEmployeeId": us.employee, "signatureBinaryContent": { "blobId": blob } });
    let path = format!("{V3}/sync/external/outbox/signature/quick-sign/save");
    us.api.post(&path, body.clone()).await.ok();

    let late = us.draft().await;
    us.quick_route(&late, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &late).await.ok();
    let link = generated.str("downloadLink");
    let link = &link[link.find("/api").expect("a path")..];
    let first = us.api.get(link).await.ok();
    let tag = first.header("etag").expect("a tag");
    let again = us.api.clone().header("if-none-match", tag).get(link).await;
    assert_eq!((again.status, again.bytes.len()), (304, 0));
    exchange.hub.advance(Duration::from_mins(61));
    let over = us.api.get(link).await;
    assert_eq!(
        (over.status, code(&over).as_str()),
        (410, "RESOURCE_NOT_FOUND")
    );
    let refused = save(&late, &blob, &generated.str("idempotencyTicket")).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
}

#[tokio::test]
#[ignore = "needs openssl; ./test has it"]
async fn the_archive_verifies_outside_of_prichal() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let zip = us.download(&generated).await;
    let blob = us.signature(&us.sign(&zip, false)).await;
    us.save(
        Side::Outbox,
        &document,
        &blob,
        &generated.str("idempotencyTicket"),
    )
    .await
    .ok();
    them.quick_sign(Side::Inbox, &document).await.ok();
    let path = format!("{V3}/sync/single/document/GetDocumentArchiveByDocumentId/{document}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, contents) in unzip(&us.api.get(&path).await.ok().bytes) {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        std::fs::write(file, contents).expect("written");
    }
    std::fs::write(
        folder.path().join("root.pem"),
        pem(&exchange.authority.root.der),
    )
    .expect("written");
    let verify = |signature: &str, content: &[&str]| {
        let at = START.secs().to_string();
        let output = std::process::Command::new("openssl")
            .current_dir(folder.path())
            .args([
                "cms", "-verify", "-binary", "-inform", "DER", "-in", signature, "-CAfile",
                "root.pem",
            ])
            .args(["-purpose", "any", "-attime", &at, "-out", "signed.zip"])
            .args(content)
            .output()
            .expect("openssl runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        std::fs::read(folder.path().join("signed.zip")).expect("there")
    };
    let content = ["-content", "evidence/signed-content-1.zip"];
    assert_eq!(
        verify(&format!("signatures/1-{}.cms", us.bin), &content),
        zip
    );
    assert_eq!(verify(&format!("signatures/2-{}.cms", them.bin), &[]), zip);
}

#[tokio::test]
async fn recalls_and_refusals() {
    let exchange = DocumentExchange::new().await;
    let (us, them, third) = (
        exchange.company(0).await,
        exchange.company(1).await,
        exchange.company(2).await,
    );
    let document = us.sent(&[&them.bin, &third.bin]).await;
    let refused = them.act(RECALL, &document, json!({})).await;
    assert_eq!(
        (refused.status, code(&refused).as_str()),
        (404, "RESOURCE_NOT_FOUND")
    );
    us.act(RECALL, &document, json!({ "reason": "ошибка" }))
        .await
        .ok();
    for company in [&us, &them, &third] {
        assert_eq!(company.status(&document).await, "RECALLED_BY_SENDER");
    }
    let again = us.act(RECALL, &document, json!({})).await;
    assert_eq!(
        (again.status, code(&again).as_str()),
        (400, "VALIDATION_ERROR")
    );

    let document = us.sent(&[&them.bin, &third.bin]).await;
    them.quick_sign(Side::Inbox, &document).await.ok();
    assert_eq!(them.status(&document).await, "FINISHED_BY_COMPANY");
    assert_eq!(
        us.act(RECALL, &document, json!({})).await.status,
        400,
        "somebody has signed"
    );
    third
        .act(REJECT, &document, json!({ "reason": "не та сумма" }))
        .await
        .ok();
    assert_eq!(us.status(&document).await, "REJECTED_BY_RECIPIENT");
    assert_eq!(third.status(&document).await, "REJECTED_BY_RECIPIENT");
    assert_eq!(them.status(&document).await, "REJECTED_BY_COMPANY");
    let path = format!("{V3}/sync/external/documents-query/single/outbox/{document}");
    let seen = us.api.get(&path).await.ok();
    let nodes = &seen["response"]["documentRoute"]["external"]["nodes"];
    assert_eq!(
        nodes[1]["state"]["rejectMetadata"]["rejectReason"],
        "не та сумма"
    );

    // A full route that leaves without the sender's signature.
    let document = us.draft().await;
    let mut body = us.to(&document, &[&them.bin]);
    body["route"]["external"]["isSignRequiredBySender"] = json!(true);
    assert_eq!(us.api.post(ROUTE, body.clone()).await.ok().json, json!({}));
    them.quick_sign(Side::Inbox, &document).await.ok();
    assert_eq!(us.status(&document).await, "WAITING_FOR_SENDER");
    us.act(DECLINE, &document, json!({})).await.ok();
    assert_eq!(them.status(&document).await, "REJECTED_BY_SENDER");
}

#[tokio::test]
async fn employees_act_on_internal_routes() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let space = us.api.at(&format!("/api/v1/{}", us.name));
    let clerk = json!({ "login": "clerk", "permissions": ["DOCUMENT_APPROVE", "DOCUMENT_REJECT"] });
    let clerk = space.post("/users", clerk).await.ok().str("id");
    let node = |order: i32, employee: &str, action: &str| json!({ "order": order, "employeeId": employee, "requiredAction": action });

    // An internal document, signed by one and approved by another.
    let blob = us
        .content("приказ.docx", b"PK\x03\x04[Content_Types].xml")
        .await;
    let document = us
        .api
        .post(INTERNAL, us.metadata(&[&blob]))
        .await
        .ok()
        .str("id");
    let nodes = json!([node(0, &us.employee, "SIGN"), node(1, &clerk, "APPROVE")]);
    let route = json!({ "routeActionOrderingType": "SEQUENTIAL", "nodes": nodes });
    assert_eq!(
        us.act(INTERNAL_ROUTE, &document, route).await.ok().json,
        json!({})
    );
    assert_eq!(us.status(&document).await, "IN_PROCESS");
    let approve = json!({ "documentId": document, "employeeId": clerk, "action": "APPROVE" });
    assert_eq!(
        us.api.post(ACTION, approve.clone()).await.status,
        400,
        "not his turn"
    );
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let zip = us.download(&generated).await;
    let signature = us.signature(&us.sign(&zip, true)).await;
    let sign = json!({
        "action": "SIGN", "signature": { "blobId": signature }, "idempotencyTicket": generated.str("idempotencyTicket"),
    });
    us.act(ACTION, &document, sign).await.ok();
    assert_eq!(us.api.post(ACTION, approve).await.ok().json, json!({}));
    assert_eq!(us.status(&document).await, "FINISHED_BY_COMPANY");

    // A recipient whose clerk refuses.
    let document = them.sent(&[&us.bin]).await;
    let route = json!({ "route": { "internal": { "nodes": [node(0, &clerk, "APPROVE")] } } });
    us.act(INBOX_ROUTE, &document, route).await.ok();
    assert_eq!(us.status(&document).await, "IN_PROCESS_BY_RECIPIENT");
    let early = us.generate(Side::Inbox, &document).await;
    assert_eq!(
        (early.status, code(&early).as_str()),
        (400, "VALIDATION_ERROR")
    );
    let refuse =
        json!({ "documentId": document, "employeeId": clerk, "action": "REJECT", "reason": "нет" });
    us.api.post(ACTION, refuse).await.ok();
    assert_eq!(us.status(&document).await, "REJECTED_BY_RECIPIENT_EMPLOYEE");
    assert_eq!(them.status(&document).await, "SENT_BY_SENDER");
    us.act(REJECT, &document, json!({})).await.ok();
    assert_eq!(them.status(&document).await, "REJECTED_BY_RECIPIENT");
}

#[tokio::test]
async fn a_new_company_finds_the_documents_sent_to_it_before() {
    let exchange = DocumentExchange::new().await;
    let us = exchange.company(0).await;
    let document = us.draft().await;
    let mut body = us.to(&document, &[BINS[1]]);
    let unknown = us
        .api
        .post(crate::harness::document_exchange::QUICK, body.clone())
        .await;
    assert_eq!(
        (unknown.status, code(&unknown).as_str()),
        (400, "VALIDATION_ERROR")
    );
    body["route"]["external"]["nodes"][0]["counterpartyEmails"] = json!(["a@example.kz"]);
    us.api
        .post(crate::harness::document_exchange::QUICK, body)
        .await
        .ok();
    us.quick_sign(Side::Outbox, &document).await.ok();
    let them = exchange.company(1).await;
    assert_eq!(them.status(&document).await, "IN_NEW");
    let list = format!("{V3}/sync/external/documents-query/inbox");
    let found = them.api.post(&list, json!({})).await.ok();
    assert_eq!(found["response"]["totalSize"], 1);
    them.quick_sign(Side::Inbox, &document).await.ok();
    assert_eq!(us.status(&document).await, "FINISHED");
}

#[tokio::test]
async fn only_one_of_two_wins() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    for _ in 0..3 {
        let document = us.sent(&[&them.bin]).await;
        let generated = them.generate(Side::Inbox, &document).await.ok();
        let zip = them.download(&generated).await;
        let blob = them.signature(&them.sign(&zip, true)).await;
        let ticket = generated.str("idempotencyTicket");
        let (signed, rejected, recalled) = tokio::join!(
            them.save(Side::Inbox, &document, &blob, &ticket),
            them.act(REJECT, &document, json!({})),
            us.act(RECALL, &document, json!({})),
        );
        let all = [&signed, &rejected, &recalled];
        let won = all.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(won, 1, "{:?}", all.map(|answer| &answer.text));
        for lost in all.iter().filter(|answer| answer.status != 200) {
            assert_eq!(
                (lost.status, code(lost).as_str()),
                (400, "VALIDATION_ERROR")
            );
        }
    }
}

#[tokio::test]
async fn the_same_signature_at_once_is_one_signature() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    for _ in 0..3 {
        let document = us.draft().await;
        us.quick_route(&document, &[&them.bin]).await.ok();
        let generated = us.generate(Side::Outbox, &document).await.ok();
        let zip = us.download(&generated).await;
        let blob = us.signature(&us.sign(&zip, true)).await;
        let ticket = generated.str("idempotencyTicket");
        let save = || us.save(Side::Outbox, &document, &blob, &ticket);
        let (one, two, three, four) = tokio::join!(save(), save(), save(), save());
        for answer in [one, two, three, four] {
            answer.ok();
        }
        let path = format!("{V3}/sync/single/document/signatures/{document}");
        let signatures = us.api.get(&path).await.ok();
        assert_eq!(signatures.as_array().map(Vec::len), Some(1));
    }
}

/// The token of an employee has the rights of that employee only.
#[tokio::test]
async fn employees_have_the_rights_that_they_were_given() {
    let exchange = DocumentExchange::new().await;
    let us = exchange.company(0).await;
    let space = us.api.at(&format!("/api/v1/{}", us.name));
    let clerk = json!({ "login": "clerk", "permissions": ["DOCUMENT_CREATE"] });
    let clerk = space.post("/users", clerk).await.ok().str("id");
    let his = exchange.hub.user_token(&us.name, &clerk).await;
    let api = his.at("");
    let blob = us.content("a.pdf", PDF).await;

    let mut body = us.metadata(&[&blob]);
    let refused = api.post(CREATE, body.clone()).await;
    assert_eq!(code(&refused), "PERMISSION_ERROR", "in another's name");
    body["documentMetadata"]["documentAuthorEmployeeId"] = json!(clerk);
    api.post(CREATE, body.clone()).await.ok();
    body["documentMetadata"]["documentAuthorEmployeeId"] = Value::Null;
    let made = api.post(CREATE, body).await.ok();
    assert_eq!(made["documentAuthorEmployeeId"], clerk);
    let list = format!("{V3}/sync/external/documents-query/outbox");
    assert_eq!(code(&api.post(&list, json!({})).await), "PERMISSION_ERROR");

    let mine = format!("/users/{clerk}");
    for (path, value) in [
        ("/permissions", json!(["DOCUMENT_VIEW"])),
        ("/Permissions/0", json!("DOCUMENT_VIEW")),
        ("/isAdmin", json!(true)),
        ("/iin", json!(us.iin)),
    ] {
        let operation = json!([{ "op": "replace", "path": path, "value": value }]);
        assert_eq!(his.patch(&mine, operation).await.status, 403, "{path}");
    }
    for user in [
        json!({ "login": "x", "isAdmin": true }),
        json!({ "login": "x", "permissions": ["DOCUMENT_VIEW"] }),
        json!({ "login": "x", "iin": us.iin }),
    ] {
        assert_eq!(his.post("/users", user.clone()).await.status, 403, "{user}");
        let batch = json!({ "items": [user] });
        assert_eq!(his.post("/users/create", batch).await.status, 403);
    }
    his.post("/users", json!({ "login": "y", "isAdmin": false }))
        .await
        .ok();
    let name = json!([{ "op": "replace", "path": "/firstName", "value": "Болат" }]);
    his.patch(&mine, name).await.ok();
    assert_eq!(
        code(&api.post(&list, json!({})).await),
        "PERMISSION_ERROR",
        "nothing has changed"
    );

    // An employee without the permission to act is refused on a route.
    let document = us.draft().await;
    let mut route = us.to(&document, &[BINS[1]]);
    route["route"]["external"]["nodes"][0]["counterpartyEmails"] = json!(["a@example.kz"]);
    route["route"]["internal"] =
        json!({ "nodes": [{ "order": 0, "employeeId": clerk, "requiredAction": "APPROVE" }] });
    let refused = us.api.post(ROUTE, route).await;
    assert_eq!(code(&refused), "PERMISSION_ERROR");
    assert!(
        reason(&refused).contains("DOCUMENT_APPROVE"),
        "{}",
        refused.text
    );
}
