//! The wire format: media types, paths, languages, idempotency keys, rates.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::*;
use crate::harness::document_exchange::{BINS, PDF, Side, text};

#[tokio::test]
async fn bodies_under_every_media_type() {
    let scene = Scene::new().await;
    let us = &scene.us;
    for json_operation in json_operations(&us.employee, BINS[1], UNUSED_ID, UNUSED_ID) {
        let good = us
            .api
            .post(&json_operation.path, json_operation.body.clone())
            .await;
        for kind in [
            "application/json-patch+json",
            "application/json; charset=utf-8",
            "text/json",
            "application/vnd.some+json",
            "text/plain",
        ] {
            let caller = us.api.clone().header("content-type", kind);
            let answer = caller
                .post(&json_operation.path, json_operation.body.clone())
                .await;
            assert_eq!(
                answer.status, good.status,
                "{} {kind}: {}",
                json_operation.path, answer.text
            );
            assert_eq!(
                answer.text.len(),
                good.text.len(),
                "{} {kind}",
                json_operation.path
            );
        }
    }
    let caller = us.api.clone().header("content-type", "");
    caller.post(OUTBOX, json!({})).await.ok();
    // As printed in the guide's examples.
    sent(
        &us.api,
        OUTBOX,
        "{ \"skip\": 0, \"documentStatuses\": [\"DRAFT\",], }",
    )
    .await
    .ok();
}

#[tokio::test]
async fn answers_under_the_media_type_that_is_liked() {
    let scene = Scene::new().await;
    let us = &scene.us;
    let json_type = "application/json; charset=utf-8";
    for (accept, kind) in [
        ("text/plain", "text/plain; charset=utf-8"),
        ("application/json", json_type),
        ("text/json", "text/json; charset=utf-8"),
        ("*/*", json_type),
        ("text/html, text/plain;q=0.5", "text/plain; charset=utf-8"),
        ("image/png", json_type),
    ] {
        let caller = us.api.clone().header("accept", accept);
        let good = caller.post(OUTBOX, json!({})).await.ok();
        let page = json!({ "response": { "pageItems": [], "skip": 0, "top": 10, "totalSize": 0 }, "errors": null });
        exactly(&good, page);
        let unseen = caller.get(&format!("{STATUS}{UNUSED_ID}")).await;
        let wrong = caller.post(OUTBOX, json!({ "top": 0 })).await;
        let nowhere = caller.get("/api/v3/sync/nowhere").await;
        let stranger = caller
            .clone()
            .bearer("x")
            .get(&format!("{STATUS}{UNUSED_ID}"))
            .await;
        for (answer, status) in [
            (&good, 200),
            (&unseen, 404),
            (&wrong, 400),
            (&nowhere, 404),
            (&stranger, 401),
        ] {
            assert_eq!(answer.status, status, "{}", answer.text);
            let given = answer.header("content-type").expect("a type");
            let bare = |text: &str| text.split(';').next().unwrap_or_default().to_owned();
            assert_eq!(bare(given), bare(kind), "{accept}: {status}");
        }
    }
}

#[tokio::test]
async fn paths_in_another_spelling() {
    let scene = Scene::new().await;
    let us = &scene.us;
    let document = us.draft().await;
    let good = us.api.get(&format!("{STATUS}{document}")).await.ok();
    for path in [
        format!("//api//v3/sync/single/document//GetDocumentStatusByDocumentId//{document}/"),
        format!(
            "/API/V3/SYNC/SINGLE/DOCUMENT/GETDOCUMENTSTATUSBYDOCUMENTID/{}",
            document.to_uppercase()
        ),
        format!("/api/v3/sync/single/document/getdocumentstatusbydocumentid/{document}?x=1"),
    ] {
        assert_eq!(us.api.get(&path).await.ok().text, good.text, "{path}");
    }
    for path in BY_ID {
        let path = format!("{path}{UNUSED_ID}");
        let answer = us.api.get(&path).await;
        for other in [
            format!("{path}/"),
            path.replace('/', "//"),
            path.to_uppercase(),
        ] {
            let other = us.api.get(&other).await;
            assert_eq!((other.status, &other.text), (answer.status, &answer.text));
        }
    }
    for json_operation in json_operations(&us.employee, BINS[1], UNUSED_ID, UNUSED_ID) {
        let answer = us
            .api
            .post(&json_operation.path, json_operation.body.clone())
            .await;
        for path in [
            format!("{}/", json_operation.path),
            json_operation.path.replace('/', "//"),
            json_operation.path.to_uppercase(),
        ] {
            let other = us.api.post(&path, json_operation.body.clone()).await;
            assert_eq!(
                (other.status, other.text.len()),
                (answer.status, answer.text.len()),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn errors_in_three_languages() {
    let scene = Scene::new().await;
    let us = &scene.us;
    let body = json!({ "documentMetadata": { "documentName": 7 } });
    let mut seen = BTreeMap::new();
    for (language, expected) in [
        (None, "Поле documentMetadata.documentDate обязательно."),
        (
            Some("ru"),
            "Поле documentMetadata.documentDate обязательно.",
        ),
        (
            Some("fr"),
            "Поле documentMetadata.documentDate обязательно.",
        ),
        (Some("kk"), "documentMetadata.documentDate өрісі міндетті."),
        (
            Some("en-US,en;q=0.9"),
            "The field documentMetadata.documentDate is required.",
        ),
    ] {
        let caller = language.map_or_else(
            || us.api.clone(),
            |language| us.api.clone().header("accept-language", language),
        );
        invalid(&caller.post(CREATE, body.clone()).await, expected);
        // Every refusal is in that language.
        let stranger = caller.clone().bearer("x");
        let other = json!({ "documentId": UNUSED_ID, "employeeId": us.employee });
        let key = caller.clone().header("idempotency-key", "");
        let answers = [
            stranger.post(CREATE, json!({})).await,
            sent(&caller, CREATE, "{").await,
            sent(&caller, CREATE, "").await,
            sent(&caller, OUTBOX, "{").await,
            caller.post(RECALL, other).await,
            caller.get("/api/v3/sync/nowhere").await,
            caller.get(CREATE).await,
            caller.get(&format!("{STATUS}x")).await,
            sent(&caller, CONTENT, "").await,
            key.post(CREATE, us.metadata(&[])).await,
        ];
        for (n, answer) in answers.iter().enumerate() {
            let language = language.filter(|one| *one != "fr").unwrap_or("ru");
            let told = reason(answer);
            let latin = told.chars().filter(char::is_ascii_alphabetic).count();
            let all = told.chars().filter(|c| c.is_alphabetic()).count();
            let english = latin == all;
            assert_eq!(
                english,
                language.starts_with("en"),
                "{n} {language}: {told}"
            );
            seen.entry(n).or_insert_with(Vec::new).push(told);
        }
    }
    for (n, told) in seen {
        assert_eq!(told[0], told[1]);
        assert_eq!(told[0], told[2]);
        assert_ne!(told[0], told[3], "{n}");
    }
}

#[tokio::test]
async fn a_request_that_is_sent_again() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let keyed = |company: &Company, key: &str| company.api.clone().header("idempotency-key", key);
    let again = async |company: &Company, path: &str, body: Value| {
        let caller = keyed(company, &format!("key of {path}"));
        let first = caller.post(path, body.clone()).await.ok();
        let second = caller.post(path, body.clone()).await.ok();
        assert_eq!(
            (&first.text, first.header("content-type")),
            (&second.text, second.header("content-type")),
            "{path}"
        );
        let mut other = body;
        other["something"] = json!("else");
        let refused = caller.post(path, other).await;
        invalid(&refused, "Idempotency-Key");
        first
    };
    let sign = async |company: &Company, generated: &Answer| {
        company
            .signature(&company.sign(&company.download(generated).await, true))
            .await
    };
    let saving = |company: &Company, document: &str, blob: &str, generated: &Answer| {
        json!({
            "documentId": document, "signedByEmployeeId": company.employee,
            "signatureBinaryContent": { "blobId": blob },
            "idempotencyTicket": generated["idempotencyTicket"],
        })
    };

    // Uploads.
    let mut keys = us.clone();
    keys.api = keyed(us, "upload");
    let first = keys
        .upload(CONTENT, "documentContent", "a.pdf", PDF)
        .await
        .ok();
    assert_eq!(
        keys.upload(CONTENT, "documentContent", "a.pdf", PDF)
            .await
            .ok()
            .text,
        first.text
    );
    for (name, bytes) in [("b.pdf", PDF), ("a.pdf", b"%PDF-2".as_slice())] {
        let other = keys.upload(CONTENT, "documentContent", name, bytes).await;
        invalid(&other, "Idempotency-Key");
    }
    let blob = text(&first["response"]["blobId"]);

    // The whole life of one document.
    let document = again(us, CREATE, us.metadata(&[&blob])).await.str("id");
    let list = us.api.post(OUTBOX, json!({})).await.ok();
    assert_eq!(list["response"]["totalSize"], 1);
    again(us, QUICK, us.to(&document, &[&them.bin])).await;
    let asked = json!({ "documentId": document, "signedByEmployeeId": us.employee });
    let generated = again(us, OUTBOX_CONTENT, asked).await;
    let blob = sign(us, &generated).await;
    again(us, OUTBOX_SIGN, saving(us, &document, &blob, &generated)).await;
    let nodes = json!([{ "order": 0, "employeeId": them.employee, "requiredAction": "APPROVE" }]);
    let head = json!({ "documentId": document, "employeeId": them.employee });
    let mut route = head.clone();
    route["route"] = json!({ "internal": { "nodes": nodes } });
    again(them, INBOX_ROUTE, route).await;
    let mut act = head.clone();
    act["action"] = json!("APPROVE");
    again(them, ACTION, act).await;
    let asked = json!({ "documentId": document, "signedByEmployeeId": them.employee });
    let generated = again(them, INBOX_CONTENT, asked).await;
    let blob = sign(them, &generated).await;
    again(them, INBOX_SIGN, saving(them, &document, &blob, &generated)).await;
    assert_eq!(us.status(&document).await, "FINISHED");

    // The rest.
    let blob = us.content("b.pdf", PDF).await;
    let internal = again(us, INTERNAL, us.metadata(&[&blob])).await.str("id");
    let nodes = json!([{ "order": 0, "employeeId": us.employee, "requiredAction": "APPROVE" }]);
    let route = json!({ "documentId": internal, "employeeId": us.employee, "nodes": nodes });
    again(us, INTERNAL_ROUTE, route).await;
    let document = us.sent(&[&them.bin]).await;
    again(
        us,
        RECALL,
        json!({ "documentId": document, "employeeId": us.employee }),
    )
    .await;
    let document = us.sent(&[&them.bin]).await;
    again(
        them,
        REJECT,
        json!({ "documentId": document, "employeeId": them.employee }),
    )
    .await;
    let document = us.draft().await;
    let mut body = us.to(&document, &[&them.bin]);
    body["route"]["external"]["isSignRequiredBySender"] = json!(true);
    again(us, ROUTE, body).await;
    them.quick_sign(Side::Inbox, &document).await.ok();
    again(
        us,
        DECLINE,
        json!({ "documentId": document, "employeeId": us.employee }),
    )
    .await;
    for (path, _) in BULK {
        let started = again(
            us,
            path,
            json!({ "operations": [{ "data": {} }, { "data": {} }] }),
        )
        .await;
        assert_eq!(started["operations"].as_array().map(Vec::len), Some(2));
    }
    let list = us.api.post(OPERATIONS, json!({})).await.ok();
    assert_eq!(list["response"]["totalSize"], 18, "each element once");

    // A key applies to a company and a path for a day. A refusal does not use it up.
    let key = "the same everywhere";
    let body = us.metadata(&[&blob]);
    let bad = us.metadata(&[UNUSED_ID]);
    assert_eq!(keyed(us, key).post(CREATE, bad).await.status, 404);
    let first = keyed(us, key)
        .post(CREATE, body.clone())
        .await
        .ok()
        .str("id");
    assert_ne!(
        keyed(us, key)
            .post(INTERNAL, body.clone())
            .await
            .ok()
            .str("id"),
        first
    );
    let theirs = them.metadata(&[&them.content("c.pdf", PDF).await]);
    assert_ne!(
        keyed(them, key).post(CREATE, theirs).await.ok().str("id"),
        first
    );
    let mixed = CREATE.to_uppercase();
    assert_eq!(
        keyed(us, key)
            .post(&mixed, body.clone())
            .await
            .ok()
            .str("id"),
        first
    );
    scene
        .exchange
        .hub
        .advance(Duration::from_hours(24) + Duration::from_secs(1));
    assert_ne!(
        keyed(us, key).post(CREATE, body).await.ok().str("id"),
        first
    );
    for bad in [String::new(), "k".repeat(256)] {
        invalid(
            &keyed(us, &bad).post(CREATE, us.metadata(&[&blob])).await,
            "Idempotency-Key",
        );
    }
}

#[tokio::test]
async fn a_token_has_so_many_requests() {
    let exchange = DocumentExchange::with(|config| {
        config.rate_limit = prichal::config::Rate {
            most: 3,
            period: Duration::from_mins(1),
        };
    })
    .await;
    let us = exchange.company(0).await;
    let left = |answer: &Answer| {
        ["limit", "remaining", "reset"].map(|name| {
            let text = answer.header(&format!("x-ratelimit-{name}"));
            text.expect("a header").parse::<i64>().expect("a number")
        })
    };
    assert_eq!(left(&us.api.post(OUTBOX, json!({})).await.ok()), [3, 2, 60]);
    exchange.hub.advance(Duration::from_secs(10));
    let refused_one = us.api.post(CREATE, json!({})).await;
    assert_eq!((refused_one.status, left(&refused_one)), (400, [3, 1, 50]));
    assert_eq!(
        left(&us.api.get(&format!("{STATUS}{UNUSED_ID}")).await),
        [3, 0, 50]
    );
    let english = us.api.clone().header("accept-language", "en");
    for (caller, word) in [(&us.api, "запросов"), (&english, "requests")] {
        for path in [OUTBOX, CREATE, CONTENT] {
            let over = caller.post(path, json!({})).await;
            refused(&over, 429, "UNKNOWN", word);
            assert_eq!(left(&over), [3, 0, 50]);
            assert_eq!(over.header("retry-after"), Some("50"));
        }
    }
    // Other companies have their own count, and unknown callers are not counted.
    let other = exchange.hub.token(&us.name, "admin").await.at("");
    assert_eq!(left(&other.post(OUTBOX, json!({})).await.ok()), [3, 2, 60]);
    let anybody = exchange.hub.anonymous();
    for _ in 0..5 {
        let answer = anybody.post(OUTBOX, json!({})).await;
        assert_eq!(
            (answer.status, answer.header("x-ratelimit-limit")),
            (401, None)
        );
    }
    exchange.hub.advance(Duration::from_secs(50));
    assert_eq!(left(&us.api.post(OUTBOX, json!({})).await.ok()), [3, 2, 60]);
}
