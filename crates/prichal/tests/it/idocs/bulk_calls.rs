//! Bulk calls (`docs/contracts/idocs.md §1.6`).

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    document_exchange::{DocumentExchange, PDF, Side, V3, code, reason, text, unzip},
    hub::{CapturedLog, eventually},
};

const CREATE: &str = "/api/v3/async/bulk/external/outbox/document/create";
const QUICK: &str = "/api/v3/async/bulk/external/outbox/route/quick-route/create";
const CONTENT: &str = "/api/v3/async/bulk/external/outbox/signature/content-to-sign/generate";
const SIGN: &str = "/api/v3/async/bulk/external/outbox/signature/quick-sign/save";
const INBOX_CONTENT: &str = "/api/v3/async/bulk/external/inbox/signature/content-to-sign/generate";
const INBOX_SIGN: &str = "/api/v3/async/bulk/external/inbox/signature/quick-sign/save";
const DOWNLOAD: &str = "/api/v3/async/documents/download/bulk-download";

fn bulk(elements: impl IntoIterator<Item = Value>) -> Value {
    let elements: Vec<Value> = elements
        .into_iter()
        .map(|data| json!({ "data": data }))
        .collect();
    json!({ "operations": elements })
}

fn statuses(ended: &[Value]) -> Vec<&str> {
    ended
        .iter()
        .map(|one| one["operationStatus"].as_str().expect("a word"))
        .collect()
}

#[tokio::test]
async fn many_documents_go_through_all_bulk_calls() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let blob = us.content("a.pdf", PDF).await;
    let started = us
        .api
        .post(CREATE, bulk((0..5).map(|_| us.metadata(&[&blob]))))
        .await
        .ok();
    let first = &started["operations"][0];
    let expected = json!({
        "operationId": first["operationId"], "createdOn": 1_767_225_600, "completedOn": null,
        "operationStatus": "Created", "data": {}, "operationErrors": null,
    });
    assert_eq!(first.to_string(), expected.to_string());
    let created = us.ended(CREATE, &started).await;
    assert_eq!(statuses(&created), ["CompletedWithOk"; 5]);
    let ids: Vec<String> = created.iter().map(|one| text(&one["data"]["id"])).collect();
    assert_eq!(created[0]["data"]["documentStatus"], "DRAFT");

    let routes = us
        .api
        .post(QUICK, bulk(ids.iter().map(|id| us.to(id, &[&them.bin]))))
        .await
        .ok();
    let ended = us.ended(QUICK, &routes).await;
    assert_eq!(statuses(&ended), ["CompletedWithOk"; 5]);
    assert_eq!(ended[0]["data"], json!({}));

    for (company, generate, sign) in [(&us, CONTENT, SIGN), (&them, INBOX_CONTENT, INBOX_SIGN)] {
        let asked = ids
            .iter()
            .map(|id| json!({ "documentId": id, "signedByEmployeeId": company.employee }));
        let generated = company.api.post(generate, bulk(asked)).await.ok();
        let mut signatures = Vec::new();
        for one in company.ended(generate, &generated).await {
            let link = text(&one["data"]["downloadLink"]);
            let zip = company
                .api
                .get(&link[link.find("/api").expect("a path")..])
                .await
                .ok()
                .bytes;
            let blob = company.signature(&company.sign(&zip, true)).await;
            signatures.push(json!({
                "documentId": one["data"]["documentId"], "signedByEmployeeId": company.employee,
                "signatureBinaryContent": { "blobId": blob }, "idempotencyTicket": one["data"]["idempotencyTicket"],
            }));
        }
        let signed = company.api.post(sign, bulk(signatures)).await.ok();
        assert_eq!(
            statuses(&company.ended(sign, &signed).await),
            ["CompletedWithOk"; 5]
        );
    }
    for id in &ids {
        assert_eq!(
            (us.status(id).await, them.status(id).await),
            ("FINISHED".into(), "FINISHED".into())
        );
    }

    let asked = us
        .api
        .post(DOWNLOAD, bulk([json!({ "documentId": ids[0] })]))
        .await
        .ok();
    let archives = us.ended(DOWNLOAD, &asked).await;
    let link = text(&archives[0]["data"]["downloadLink"]);
    let archive = us
        .api
        .get(&link[link.find("/api").expect("a path")..])
        .await
        .ok();
    assert_eq!(unzip(&archive.bytes)[0].0, "original/a.pdf");
    let foreign = them
        .api
        .get(&link[link.find("/api").expect("a path")..])
        .await;
    assert_eq!(
        (foreign.status, code(&foreign).as_str()),
        (404, "RESOURCE_NOT_FOUND")
    );

    let list = us
        .api
        .post(&format!("{V3}/sync/bulk/operations"), json!({ "top": 3 }))
        .await
        .ok();
    assert_eq!(list["response"]["totalSize"], 21);
    assert_eq!(
        list["response"]["pageItems"].as_array().map(Vec::len),
        Some(3)
    );
    assert_eq!(
        list["response"]["pageItems"][0]["operationId"], archives[0]["operationId"],
        "newest first"
    );
}

#[tokio::test]
async fn one_bad_element_harms_no_other() {
    let log = CapturedLog::new();
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let blob = us.content("a.pdf", PDF).await;
    let good = us.metadata(&[&blob]);
    let foreign = us.metadata(&[&them.content("b.pdf", PDF).await]);
    let mut nameless = good.clone();
    nameless["documentMetadata"]["documentName"] = json!(7);
    let mut stranger = good.clone();
    stranger["documentMetadata"]["documentAuthorEmployeeId"] = json!(them.employee);
    let mut body = bulk([good.clone(), foreign, nameless, stranger, good]);
    body["operations"]
        .as_array_mut()
        .expect("a list")
        .push(json!("nonsense"));
    let started = us.api.post(CREATE, body).await.ok();
    let ended = us.ended(CREATE, &started).await;
    let refused = "CompletedWithProcessingError";
    let expected = [
        "CompletedWithOk",
        refused,
        refused,
        refused,
        "CompletedWithOk",
        refused,
    ];
    assert_eq!(statuses(&ended), expected);
    let codes: Vec<&Value> = ended
        .iter()
        .map(|one| &one["operationErrors"][0]["errorCode"])
        .collect();
    assert_eq!(codes[1], "RESOURCE_NOT_FOUND");
    assert_eq!(
        (codes[2], codes[3]),
        (&json!("VALIDATION_ERROR"), &json!("PERMISSION_ERROR"))
    );
    assert!(
        text(&ended[2]["operationErrors"][0]["errorDescription"])
            .contains("documentMetadata.documentName")
    );
    let forbidden = ["event=\"forbidden\"", "actor=\"token:", "workspace="];
    assert_eq!(log.count(&forbidden), 1);

    // The wrong companion, another company, an empty list.
    let id = started["operations"][0]["operationId"].clone();
    let ask = json!({ "operations": [{ "operationId": id }, { "operationId": "0193f6d2-7c1a-7b3e-9f00-5d2c8a41e6b7" }] });
    for answer in [
        us.api
            .post(&format!("{QUICK}/status"), ask.clone())
            .await
            .ok(),
        them.api
            .post(&format!("{CREATE}/status"), ask.clone())
            .await
            .ok(),
    ] {
        assert_eq!(answer["operations"][0]["operationStatus"], "NotFound");
        assert_eq!(answer["operations"][1]["operationStatus"], "NotFound");
        assert_eq!(answer["operations"][0]["operationId"], id);
    }
    for body in [
        json!({}),
        json!({ "operations": 7 }),
        bulk((0..1001).map(|_| json!(null))),
    ] {
        let refused = us.api.post(CREATE, body).await;
        assert_eq!(
            (refused.status, code(&refused).as_str()),
            (400, "VALIDATION_ERROR")
        );
        assert!(reason(&refused).contains("operations"), "{}", refused.text);
    }
    let bad = us
        .api
        .post(
            &format!("{CREATE}/status"),
            json!({ "operations": [{ "operationId": "x" }] }),
        )
        .await;
    assert!(
        reason(&bad).contains("operations[0].operationId"),
        "{}",
        bad.text
    );
}

#[tokio::test]
async fn queued_elements_go_on_after_a_crash() {
    let exchange = DocumentExchange::new().await;
    let mut us = exchange.company(0).await;
    let blob = us.content("a.pdf", PDF).await;
    let started = us
        .api
        .post(CREATE, bulk((0..300).map(|_| us.metadata(&[&blob]))))
        .await
        .ok();
    let installation = exchange.hub.installation.clone();
    exchange.hub.kill();
    let hub = installation.start().await;
    us.api = hub.adopt(&us.api);
    let ended = us.ended(CREATE, &started).await;
    assert_eq!(statuses(&ended), vec!["CompletedWithOk"; 300]);
    let path = format!("{V3}/sync/external/documents-query/outbox");
    let found = us.api.post(&path, json!({ "top": 1 })).await.ok();
    assert_eq!(found["response"]["totalSize"], 300, "each once");
    let document = text(&ended[0]["data"]["id"]);
    assert_eq!(us.status(&document).await, "DRAFT");
    let generated = us.generate(Side::Outbox, &document).await;
    assert_eq!(generated.status, 400, "it has no route");
    eventually("it is still the same", || async {
        (us.status(&document).await == "DRAFT").then_some(())
    })
    .await;
}

/// Elements that could not be claimed are claimed later without another call.
#[tokio::test]
async fn a_claim_that_fails_is_made_again() {
    let log = CapturedLog::new();
    let exchange = DocumentExchange::new().await;
    let us = exchange.company(0).await;
    let blob = us.content("a.pdf", PDF).await;
    let installation = &exchange.hub.installation;
    installation.execute("ALTER TABLE bulk RENAME COLUMN owner TO elsewhere");
    let element = us.metadata(&[&blob]);
    let started = us.api.post(CREATE, bulk([element])).await.ok();
    eventually("a claim fails", || async {
        log.has("cannot claim elements of bulk calls").then_some(())
    })
    .await;
    installation.execute("ALTER TABLE bulk RENAME COLUMN elsewhere TO owner");
    exchange.hub.advance(Duration::from_secs(1));
    let ended = us.ended(CREATE, &started).await;
    assert_eq!(statuses(&ended), ["CompletedWithOk"]);
}

/// A company's element does not wait for thousands of another company.
#[tokio::test(flavor = "multi_thread")]
async fn companies_take_turns() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let (ours, theirs) = (
        us.content("a.pdf", PDF).await,
        them.content("a.pdf", PDF).await,
    );
    let mut last = Value::Null;
    for _ in 0..4 {
        let many = bulk((0..1000).map(|_| us.metadata(&[&ours])));
        last = us.api.post(CREATE, many).await.ok().json;
    }
    let one = bulk([them.metadata(&[&theirs])]);
    let started = them.api.post(CREATE, one).await.ok();
    assert_eq!(
        statuses(&them.ended(CREATE, &started).await),
        ["CompletedWithOk"]
    );
    let asked =
        json!({ "operations": [{ "operationId": last["operations"][999]["operationId"] }] });
    let path = format!("{CREATE}/status");
    let waiting = us.api.post(&path, asked).await.ok();
    assert_eq!(waiting["operations"][0]["operationStatus"], "Created");
}
