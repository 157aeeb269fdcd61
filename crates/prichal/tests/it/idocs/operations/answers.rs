//! The exact answer of each operation that succeeds.

use serde_json::{Value, json};

use super::*;
use crate::harness::document_exchange::{PDF, Side, text, unzip};

/// The row of `GET /admin/v1/workspaces/{ws}`.
async fn id_of(scene: &Scene, company: &Company) -> String {
    let path = format!("/admin/v1/workspaces/{}", company.name);
    scene.exchange.hub.admin().get(&path).await.ok().str("id")
}

fn base(id: &str, author: &str, status: &str, direction: &str) -> Value {
    json!({
        "id": id, "documentName": "Договор поставки", "documentNumber": "17/1", "documentDate": NOW,
        "documentGroup": "Legal", "documentAuthorEmployeeId": author, "createdOn": NOW,
        "documentStatus": status, "documentDirection": direction,
    })
}

fn state(status: &str, completed: Option<i64>, reason: Option<&str>) -> Value {
    json!({ "status": status, "completedOn": completed, "rejectMetadata": { "rejectReason": reason } })
}

fn wrapped(response: Value) -> Value {
    json!({ "response": response, "errors": null })
}

fn page(items: Value, skip: i64, top: i64, total: i64) -> Value {
    wrapped(json!({ "pageItems": items, "skip": skip, "top": top, "totalSize": total }))
}

#[tokio::test]
async fn a_document_between_companies() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let theirs = id_of(&scene, them).await;

    let uploaded = us
        .upload(CONTENT, "documentContent", "договор.pdf", PDF)
        .await;
    let blob = text(&uploaded["response"]["blobId"]);
    exactly(
        &uploaded,
        wrapped(json!({
            "blobId": blob, "fileName": "договор.pdf", "extension": ".pdf", "mimeType": "application/pdf",
            "fileLength": 1, "createdOn": NOW,
        })),
    );
    let created = us.api.post(CREATE, us.metadata(&[&blob])).await;
    let id = created.str("id");
    exactly(&created, base(&id, &us.employee, "DRAFT", "Outbox"));

    let mut document = base(&id, &us.employee, "DRAFT", "Outbox");
    document["documentRoute"] = json!({
        "external": { "nodes": [] }, "internal": { "routeActionOrderingType": "NONE", "nodes": [] },
    });
    let one = format!("{ONE_OUTBOX}{id}");
    exactly(&us.api.get(&one).await, wrapped(document.clone()));

    // The full route, with an employee of ours in it.
    let clerk = scene.clerk("clerk", &["DOCUMENT_APPROVE"]).await;
    let route = json!({
        "documentId": id, "employeeId": us.employee,
        "route": {
            "external": {
                "routeOrderType": "SEQUENTIAL", "isSignRequiredBySender": true,
                "nodes": [{
                    "order": 3, "counterpartyBin": them.bin, "comment": "прошу", "isIndividual": false,
                    "counterpartyEmails": ["a@example.kz"], "isSignRequiredByCounterparty": true,
                }],
            },
            "internal": {
                "routeActionOrderingType": "PARALLEL",
                "nodes": [{ "order": 2, "employeeId": clerk, "requiredAction": "APPROVE" }],
            },
        },
    });
    exactly(&us.api.post(ROUTE, route).await, json!({}));
    let node = json!({
        "order": 3, "counterpartyCompanyBin": them.bin, "counterpartyCompanyId": theirs, "comment": "прошу",
        "isIndividual": false, "counterpartyCompanyEmails": ["a@example.kz"], "isSignRequired": true,
        "state": state("NotStarted", None, None),
    });
    let inside = json!({
        "order": 2, "employeeId": clerk, "requiredAction": "APPROVE", "state": state("Active", None, None),
    });
    document["documentStatus"] = json!("IN_PROCESS_BY_SENDER");
    document["documentRoute"] = json!({
        "external": { "nodes": [node] },
        "internal": { "routeActionOrderingType": "PARALLEL", "nodes": [inside] },
    });
    exactly(&us.api.get(&one).await, wrapped(document.clone()));

    let approve = json!({ "documentId": id, "employeeId": clerk, "action": "APPROVE" });
    exactly(&us.api.post(ACTION, approve).await, json!({}));
    let status = us.api.get(&format!("{STATUS}{id}")).await;
    exactly(&status, json!({ "documentStatus": "SENT_BY_SENDER" }));

    // The recipient sees the document without our employees.
    let mut arrived = base(&id, &us.employee, "IN_NEW", "Inbox");
    let mut node = node;
    node["state"] = state("Active", None, None);
    arrived["documentRoute"] = json!({
        "external": { "nodes": [node] }, "internal": { "routeActionOrderingType": "NONE", "nodes": [] },
    });
    let theirs = format!("{ONE_INBOX}{id}");
    exactly(&them.api.get(&theirs).await, wrapped(arrived.clone()));
    exactly(
        &them.api.post(INBOX, json!({})).await,
        page(json!([arrived]), 0, 10, 1),
    );
    exactly(
        &them.api.post(OUTBOX, json!({ "skip": 0, "top": 5 })).await,
        page(json!([]), 0, 5, 0),
    );

    let route = json!({
        "documentId": id, "employeeId": them.employee,
        "route": { "internal": {
            "routeActionOrderingType": "SEQUENTIAL",
            "nodes": [{ "order": 1, "employeeId": them.employee, "requiredAction": "SIGN" }],
        } },
    });
    exactly(&them.api.post(INBOX_ROUTE, route).await, json!({}));
    arrived["documentStatus"] = json!("IN_PROCESS_BY_RECIPIENT");
    arrived["documentRoute"]["internal"] = json!({
        "routeActionOrderingType": "SEQUENTIAL",
        "nodes": [{
            "order": 1, "employeeId": them.employee, "requiredAction": "SIGN", "state": state("Active", None, None),
        }],
    });
    exactly(&them.api.get(&theirs).await, wrapped(arrived));

    // Signing, first by the recipient.
    let generated = them.generate(Side::Inbox, &id).await;
    let (link, ticket) = (
        generated.str("downloadLink"),
        generated.str("idempotencyTicket"),
    );
    exactly(
        &generated,
        json!({ "documentId": id, "downloadLink": link, "disposeOn": NOW + 3600, "idempotencyTicket": ticket }),
    );
    let (host, own) = link.split_once(DOWNLOAD).expect("our path");
    assert!(host.starts_with("http://"), "{link}");
    assert!(uuid::Uuid::parse_str(own).is_ok(), "{link}");
    let zip = them.download(&generated).await;
    let files: Vec<String> = unzip(&zip).into_iter().map(|(name, _)| name).collect();
    assert_eq!(files, ["договор.pdf"]);
    let cms = them.sign(&zip, true);
    let uploaded = them
        .upload(SIGNATURE, "signatureContent", "подпись.CMS", &cms)
        .await;
    let blob = text(&uploaded["response"]["blobId"]);
    exactly(
        &uploaded,
        wrapped(json!({
            "blobId": blob, "fileName": "подпись.CMS", "extension": ".cms",
            "mimeType": "application/pkcs7-mime", "fileLength": cms.len().div_ceil(1024), "createdOn": NOW,
        })),
    );
    let saved = them.save(Side::Inbox, &id, &blob, &ticket).await.ok();
    assert_eq!(saved.text, "");
    assert_eq!(us.status(&id).await, "WAITING_FOR_SENDER");
    assert_eq!(them.status(&id).await, "FINISHED_BY_COMPANY");
    let saved = us.quick_sign(Side::Outbox, &id).await.ok();
    assert_eq!(saved.text, "");
    assert_eq!(us.status(&id).await, "FINISHED");

    document["documentStatus"] = json!("FINISHED");
    document["documentRoute"]["external"]["nodes"][0]["state"] =
        state("CompletedWithOk", Some(NOW), None);
    document["documentRoute"]["internal"]["nodes"][0]["state"] =
        state("CompletedWithOk", Some(NOW), None);
    exactly(
        &us.api.post(OUTBOX, json!({})).await,
        page(json!([document]), 0, 10, 1),
    );

    let signatures = us.api.get(&format!("{SIGNATURES}{id}")).await.ok();
    let all = signatures.as_array().expect("a list");
    assert_eq!(all.len(), 2);
    for (one, company) in all.iter().zip([them, us]) {
        let report = one["report"].clone();
        assert_eq!(report["verdict"], "TOTAL_PASSED");
        assert_eq!(report["signers"][0]["certificate"]["bin"], company.bin);
        assert_eq!(
            report["signers"][0]["steps"].as_array().map(Vec::len),
            Some(21)
        );
        let expected = json!({
            "signedOn": NOW, "companyBin": company.bin, "employeeId": company.employee, "iin": company.iin,
            "attached": true, "report": report,
        });
        assert_eq!(one.to_string(), expected.to_string());
    }
    for (path, kind, start, extension) in [
        (PRINT_FORM, "application/pdf", b"%PDF".as_slice(), "pdf"),
        (ARCHIVE, "application/zip", b"PK\x03\x04", "zip"),
    ] {
        let file = us.api.get(&format!("{path}{id}")).await.ok();
        assert_eq!(file.header("content-type"), Some(kind));
        assert!(file.bytes.starts_with(start), "{path}");
        let length = file.bytes.len().to_string();
        assert_eq!(file.header("content-length"), Some(length.as_str()));
        let disposition = file.header("content-disposition").expect("a name");
        assert!(disposition.starts_with("attachment;"), "{disposition}");
        assert!(
            disposition.contains(&format!(".{extension}")),
            "{disposition}"
        );
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
    }
}

#[tokio::test]
async fn an_internal_document() {
    let scene = Scene::new().await;
    let us = &scene.us;
    let blob = us.content("приказ.txt", "текст".as_bytes()).await;
    let created = us.api.post(INTERNAL, us.metadata(&[&blob])).await;
    let id = created.str("id");
    exactly(&created, base(&id, &us.employee, "DRAFT", "Outbox"));
    let nodes = json!([{ "order": 0, "employeeId": us.employee, "requiredAction": "APPROVE" }]);
    let route = us.act(INTERNAL_ROUTE, &id, json!({ "nodes": nodes })).await;
    exactly(&route, json!({}));
    let refuse = us
        .act(
            ACTION,
            &id,
            json!({ "action": "REJECT", "reason": "не то" }),
        )
        .await;
    exactly(&refuse, json!({}));
    let status = us.api.get(&format!("{STATUS}{id}")).await;
    exactly(&status, json!({ "documentStatus": "REJECTED_BY_EMPLOYEE" }));
    let mut document = base(&id, &us.employee, "REJECTED_BY_EMPLOYEE", "Outbox");
    document["documentRoute"] = json!({
        "external": { "nodes": [] },
        "internal": { "routeActionOrderingType": "NONE", "nodes": [{
            "order": 0, "employeeId": us.employee, "requiredAction": "APPROVE",
            "state": state("CompletedWithFail", Some(NOW), Some("не то")),
        }] },
    });
    exactly(
        &us.api.get(&format!("{ONE_OUTBOX}{id}")).await,
        wrapped(document),
    );
    for path in [PRINT_FORM, ARCHIVE] {
        us.api.get(&format!("{path}{id}")).await.ok();
    }
    // The lists contain documents between companies.
    for path in [OUTBOX, INBOX] {
        exactly(
            &us.api.post(path, json!({})).await,
            page(json!([]), 0, 10, 0),
        );
    }
}

#[tokio::test]
async fn the_verbs_that_the_vendor_leaves_out() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let draft = us.draft().await;
    exactly(&us.api.delete(&format!("{DRAFT}{draft}")).await, json!({}));
    assert_eq!(us.status(&draft).await, "404");

    let document = us.sent(&[&them.bin]).await;
    let done = us
        .act(RECALL, &document, json!({ "reason": "ошибка" }))
        .await;
    exactly(&done, json!({}));
    let document = us.sent(&[&them.bin]).await;
    let done = them
        .act(REJECT, &document, json!({ "reason": "нет" }))
        .await;
    exactly(&done, json!({}));
    let document = us.draft().await;
    let mut body = us.to(&document, &[&them.bin]);
    body["route"]["external"]["isSignRequiredBySender"] = json!(true);
    us.api.post(ROUTE, body).await.ok();
    them.quick_sign(Side::Inbox, &document).await.ok();
    let done = us.act(DECLINE, &document, json!({ "reason": "нет" })).await;
    exactly(&done, json!({}));
}

#[tokio::test]
async fn references() {
    let scene = Scene::new().await;
    let us = &scene.us;
    let user = json!({
        "login": "clerk", "firstName": "Айгуль", "lastName": "Сериковна", "position": "бухгалтер",
        "email": "a@example.kz", "permissions": ["DOCUMENT_SIGN", "DOCUMENT_VIEW"],
    });
    let clerk = scene.space().post("/users", user).await.ok();
    let clerk = (clerk.str("id"), clerk.str("name"));
    let head = json!({
        "id": us.employee, "nationalIdentificationNumber": us.iin, "firstName": "Иван", "lastName": "Иванов",
        "fullName": "Иванов Иван", "position": null, "email": null, "createdOn": NOW,
    });
    let other = json!({
        "id": clerk.0, "nationalIdentificationNumber": null, "firstName": "Айгуль", "lastName": "Сериковна",
        "fullName": clerk.1, "position": "бухгалтер", "email": "a@example.kz", "createdOn": NOW,
    });
    let all = us.api.post(EMPLOYEES, json!({})).await;
    exactly(&all, page(json!([head, other]), 0, 10, 2));
    let second = us.api.post(EMPLOYEES, json!({ "skip": 1, "top": 1 })).await;
    exactly(&second, page(json!([other]), 1, 1, 2));

    let granted = us.api.get(&format!("{PERMISSION}{}", clerk.0)).await;
    exactly(
        &granted,
        wrapped(
            json!({ "employeeId": clerk.0, "accountPermissions": ["DOCUMENT_VIEW", "DOCUMENT_SIGN"] }),
        ),
    );
    let everything = us
        .api
        .get(&format!("{PERMISSION}{}", us.employee))
        .await
        .ok();
    let everything = everything["response"]["accountPermissions"].as_array();
    assert_eq!(everything.map(Vec::len), Some(9));

    // With and without a body.
    let id = id_of(&scene, us).await;
    for body in [None, Some(b"{}".to_vec()), Some(b"not asked for".to_vec())] {
        let token = us.api.send(Method::POST, TOKEN, body).await;
        let own = text(&token["response"]["id"]);
        assert!(uuid::Uuid::parse_str(&own).is_ok(), "{own}");
        exactly(
            &token,
            wrapped(json!({
                "id": own, "companyId": id, "companyBin": us.bin, "companyName": "ТОО «Компания 0»",
            })),
        );
    }

    let known = us
        .api
        .post(
            COUNTERPARTIES,
            json!({ "bins": [scene.them.bin, "020240000555"] }),
        )
        .await;
    exactly(
        &known,
        json!([
            { "bin": scene.them.bin, "isRegistered": true, "companyName": "ТОО «Компания 1»" },
            { "bin": "020240000555", "isRegistered": false, "companyName": null },
        ]),
    );

    let lists = [
        "Accounting Financial Legal Constitutive HR Paperwork Purchase Warehouse Organizational General",
        "NONE DRAFT IN_PROCESS IN_PROCESS_BY_SENDER REJECTED_BY_SENDER_EMPLOYEE SENT_BY_SENDER \
         RECALLED_BY_SENDER IN_NEW IN_PROCESS_BY_RECIPIENT REJECTED_BY_RECIPIENT_EMPLOYEE FINISHED \
         REJECTED_BY_RECIPIENT REJECTED_BY_COMPANY WAITING_FOR_SENDER REJECTED_BY_SENDER \
         REJECTED_BY_EMPLOYEE FINISHED_BY_COMPANY FINISHED_EDITABLE",
        "SIGN APPROVE INFORM REJECT",
        "DOCUMENT_CREATE DOCUMENT_VIEW ROUTE_CREATE DOCUMENT_SIGN DOCUMENT_APPROVE DOCUMENT_REJECT \
         DOCUMENT_DOWNLOAD EMPLOYEE_VIEW WEBHOOK_MANAGE",
    ];
    for (path, words) in ENUM_MEMBERS.into_iter().zip(lists) {
        let first = usize::from(path.ends_with("groups"));
        let expected: Vec<Value> = words
            .split_whitespace()
            .enumerate()
            .map(|(n, name)| json!({ "name": name, "value": n + first }))
            .collect();
        exactly(&us.api.get(path).await, Value::Array(expected));
    }
}

#[tokio::test]
async fn a_signature_of_nothing_here() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    let scene = Scene::new().await;
    let us = &scene.us;
    let verify = async |signature: &[u8], content: Option<&[u8]>, policy: Option<&str>| {
        let body = json!({
            "signature": STANDARD.encode(signature), "content": content.map(|bytes| STANDARD.encode(bytes)),
            "policy": policy,
        });
        us.api.post(VERIFY, body).await.ok()
    };
    let report = verify(&us.sign(b"abc", true), None, None).await;
    assert_eq!(report["verdict"], "TOTAL_PASSED", "{}", report.text);
    let members: Vec<&String> = report.as_object().expect("an object").keys().collect();
    assert_eq!(members[..2], ["verdict", "subIndication"]);
    assert_eq!(report["policy"], "kz");
    assert_eq!(report["signers"][0]["certificate"]["bin"], us.bin);
    assert_eq!(report["signers"][0]["certificate"]["iin"], us.iin);
    let report = verify(&us.sign(b"abc", false), Some(b"abc"), Some("test")).await;
    assert_eq!(
        (&report["verdict"], &report["policy"]),
        (&json!("TOTAL_PASSED"), &json!("test"))
    );
    let report = verify(&us.sign(b"abc", false), Some(b"abd"), None).await;
    assert_eq!(
        (&report["verdict"], &report["subIndication"]),
        (&json!("TOTAL_FAILED"), &json!("HASH_FAILURE"))
    );
    let report = verify(&us.sign(b"abc", false), None, None).await;
    assert_ne!(report["verdict"], "TOTAL_PASSED");
    let report = verify(b"nonsense", None, None).await;
    assert_eq!(
        (&report["verdict"], &report["subIndication"]),
        (&json!("TOTAL_FAILED"), &json!("FORMAT_FAILURE"))
    );
    let refused = us.api.post(VERIFY, json!({ "signature": "%%%" })).await;
    invalid(&refused, "signature");
    let refused = us
        .api
        .post(VERIFY, json!({ "signature": "AAAA", "content": "%" }))
        .await;
    invalid(&refused, "content");
    let refused = us
        .api
        .post(VERIFY, json!({ "signature": "AAAA", "policy": "mars" }))
        .await;
    invalid(&refused, "policy");
}

#[tokio::test]
async fn the_description_of_the_api() {
    let scene = Scene::new().await;
    let anybody = scene.exchange.hub.anonymous();
    for path in ["/healthz", "/readyz", "/swagger/index.html"] {
        assert_eq!(anybody.get(path).await.status, 200, "{path}");
    }
    let described = anybody.get("/swagger/v3/swagger.json").await.ok();
    let paths = described["paths"].as_object().expect("paths");
    let described = |path: &str| {
        let known = paths.keys().any(|known| known == path);
        assert!(known, "{path}");
    };
    for json_operation in json_operations(UNUSED_ID, UNUSED_ID, UNUSED_ID, UNUSED_ID) {
        described(&json_operation.path);
    }
    for path in BY_ID {
        if path != PERMISSION {
            described(&format!("{path}{{id}}"));
        }
    }
    let vendors = paths.keys().filter(|path| path.starts_with("/api/v3/"));
    assert!(vendors.count() >= 42);
}
