//! Bulk calls of each kind, each with an element that is bad.

use serde_json::{Value, json};

use super::*;
use crate::harness::{
    document_exchange::{PDF, Side, text},
    hub::eventually,
};

fn bulk(elements: &[Value]) -> Value {
    let elements: Vec<Value> = elements
        .iter()
        .map(|data| json!({ "data": data }))
        .collect();
    json!({ "operations": elements })
}

/// Waits until the elements have ended, and checks the companion's answer against a pattern.
async fn ended(company: &Company, path: &str, elements: &[Value]) -> Vec<Value> {
    let started = company.api.post(path, bulk(elements)).await.ok();
    let operations = started["operations"].as_array().expect("operations");
    let expected: Vec<Value> = operations
        .iter()
        .map(|one| {
            json!({
                "operationId": one["operationId"], "createdOn": NOW, "completedOn": null,
                "operationStatus": "Created", "data": {}, "operationErrors": null,
            })
        })
        .collect();
    exactly(&started, json!({ "operations": expected }));
    assert_eq!(operations.len(), elements.len());
    company.ended(path, &started).await
}

fn done(one: &Value, data: &Value) {
    let expected = json!({
        "operationId": one["operationId"], "createdOn": NOW, "completedOn": NOW,
        "operationStatus": "CompletedWithOk", "data": data, "operationErrors": null,
    });
    assert_eq!(one.to_string(), expected.to_string());
}

fn failed(one: &Value, word: &str, names: &str) {
    let errors = one["operationErrors"].as_array().expect("errors");
    let told = text(&errors[0]["errorDescription"]);
    assert!(told.contains(names), "{names}: {one}");
    let errors: Vec<Value> = errors
        .iter()
        .map(|error| {
            json!({
                "errorCode": word, "errorDescription": error["errorDescription"],
                "errorDocumentationLink": null,
            })
        })
        .collect();
    let expected = json!({
        "operationId": one["operationId"], "createdOn": NOW, "completedOn": NOW,
        "operationStatus": "CompletedWithProcessingError", "data": {},
        "operationErrors": errors,
    });
    assert_eq!(one.to_string(), expected.to_string());
}

#[tokio::test]
async fn each_kind_with_a_bad_element() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let path = |of: &str| {
        let found = BULK.into_iter().find(|(_, one)| *one == of);
        found.expect("a bulk call").0
    };
    let clerk = scene.clerk("clerk", &["DOCUMENT_VIEW"]).await;
    let blob = us.content("a.pdf", PDF).await;
    let foreign = them.draft().await;

    let good = us.metadata(&[&blob]);
    let mut nul = good.clone();
    nul["documentMetadata"]["documentName"] = json!("a\u{0}b");
    let mut stranger = good.clone();
    stranger["documentMetadata"]["documentAuthorEmployeeId"] = json!(clerk);
    let all = ended(
        us,
        path(CREATE),
        &[
            good.clone(),
            nul,
            us.metadata(&[UNUSED_ID]),
            stranger,
            json!({}),
            json!("text"),
            good.clone(),
        ],
    )
    .await;
    let id = text(&all[0]["data"]["id"]);
    let expected = json!({
        "id": id, "documentName": "Договор поставки", "documentNumber": "17/1", "documentDate": NOW,
        "documentGroup": "Legal", "documentAuthorEmployeeId": us.employee, "createdOn": NOW,
        "documentStatus": "DRAFT", "documentDirection": "Outbox",
    });
    done(&all[0], &expected);
    failed(&all[1], "VALIDATION_ERROR", "documentMetadata.documentName");
    failed(&all[2], "RESOURCE_NOT_FOUND", UNUSED_ID);
    failed(&all[3], "PERMISSION_ERROR", "DOCUMENT_CREATE");
    failed(&all[4], "VALIDATION_ERROR", "documentMetadata");
    failed(&all[5], "VALIDATION_ERROR", "data");
    let other = text(&all[6]["data"]["id"]);
    assert_ne!(id, other);

    let bad = |all: &[Value]| {
        failed(&all[1], "RESOURCE_NOT_FOUND", &foreign);
        failed(&all[2], "VALIDATION_ERROR", "documentId");
    };
    let mut unpaid = us.to(&other, &[&them.bin]);
    unpaid["route"]["external"]["isSenderPayer"] = json!(false);
    let all = ended(
        us,
        path(QUICK),
        &[
            us.to(&id, &[&them.bin]),
            us.to(&foreign, &[&them.bin]),
            us.to("x", &[&them.bin]),
            unpaid,
        ],
    )
    .await;
    done(&all[0], &json!({}));
    bad(&all);
    failed(&all[3], "BILLING_ERROR", "isSenderPayer");

    let all = ended(
        us,
        path(ROUTE),
        &[
            us.to(&other, &[&them.bin]),
            us.to(&foreign, &[&them.bin]),
            us.to("x", &[&them.bin]),
            us.to(&other, &[&us.bin]),
        ],
    )
    .await;
    done(&all[0], &json!({}));
    bad(&all);
    failed(&all[3], "VALIDATION_ERROR", "counterpartyBin");
    assert_eq!(us.status(&other).await, "SENT_BY_SENDER");

    let asked = |company: &Company, id: &str| json!({ "documentId": id, "signedByEmployeeId": company.employee });
    let saved = |company: &Company, id: &str, blob: &str, ticket: &Value| {
        json!({
            "documentId": id, "signedByEmployeeId": company.employee,
            "signatureBinaryContent": { "blobId": blob }, "idempotencyTicket": ticket,
        })
    };
    let nodes = json!([{ "order": 0, "employeeId": them.employee, "requiredAction": "APPROVE" }]);
    let route = |id: &str| json!({ "documentId": id, "employeeId": them.employee, "route": { "internal": { "nodes": nodes } } });
    for company in [us, them] {
        let (side, generate, sign) = if company.bin == us.bin {
            (Side::Outbox, OUTBOX_CONTENT, OUTBOX_SIGN)
        } else {
            let hidden = us.draft().await;
            let all = ended(
                them,
                path(INBOX_ROUTE),
                &[route(&other), route(&hidden), route("x")],
            )
            .await;
            done(&all[0], &json!({}));
            failed(&all[1], "RESOURCE_NOT_FOUND", &hidden);
            failed(&all[2], "VALIDATION_ERROR", "documentId");
            assert_eq!(them.status(&other).await, "IN_PROCESS_BY_RECIPIENT");
            (Side::Inbox, INBOX_CONTENT, INBOX_SIGN)
        };
        let hidden = if side == Side::Outbox {
            foreign.clone()
        } else {
            us.draft().await
        };
        let all = ended(
            company,
            path(generate),
            &[
                asked(company, &id),
                asked(company, &hidden),
                asked(company, "x"),
                json!(null),
            ],
        )
        .await;
        let data = &all[0]["data"];
        let expected = json!({
            "documentId": id, "downloadLink": data["downloadLink"], "disposeOn": NOW + 3600,
            "idempotencyTicket": data["idempotencyTicket"],
        });
        done(&all[0], &expected);
        failed(&all[1], "RESOURCE_NOT_FOUND", &hidden);
        failed(&all[2], "VALIDATION_ERROR", "documentId");
        failed(&all[3], "VALIDATION_ERROR", "data");

        let link = text(&data["downloadLink"]);
        let link = &link[link.find("/api").expect("a path")..];
        let zip = company.api.get(link).await.ok().bytes;
        let wrong = company
            .signature(&company.sign(b"something else", true))
            .await;
        let right = company.signature(&company.sign(&zip, true)).await;
        let ticket = &data["idempotencyTicket"];
        let all = ended(
            company,
            path(sign),
            &[
                saved(company, &id, &wrong, ticket),
                saved(company, &hidden, &right, ticket),
                saved(company, &id, UNUSED_ID, ticket),
                saved(company, &id, &right, &json!("x")),
            ],
        )
        .await;
        failed(&all[0], "VALIDATION_ERROR", "HASH_FAILURE");
        failed(&all[1], "RESOURCE_NOT_FOUND", &hidden);
        failed(&all[2], "RESOURCE_NOT_FOUND", UNUSED_ID);
        failed(&all[3], "VALIDATION_ERROR", "idempotencyTicket");
        let all = ended(company, path(sign), &[saved(company, &id, &right, ticket)]).await;
        done(&all[0], &json!({}));
    }
    assert_eq!(us.status(&id).await, "FINISHED");

    let all = ended(
        us,
        BULK_DOWNLOAD,
        &[
            json!({ "documentId": id }),
            json!({ "documentId": id, "employeeId": us.employee }),
            json!({ "documentId": id, "employeeId": clerk }),
            json!({ "documentId": foreign }),
            json!({ "documentId": 7 }),
        ],
    )
    .await;
    for one in &all[..2] {
        let expected = json!({
            "documentId": id, "downloadLink": one["data"]["downloadLink"], "disposeOn": NOW + 3600,
        });
        done(one, &expected);
        let link = text(&one["data"]["downloadLink"]);
        let archive = us
            .api
            .get(&link[link.find("/api").expect("a path")..])
            .await
            .ok();
        let direct = us.api.get(&format!("{ARCHIVE}{id}")).await.ok();
        assert_eq!(archive.bytes, direct.bytes);
        assert_eq!(archive.header("content-type"), Some("application/zip"));
    }
    failed(&all[2], "PERMISSION_ERROR", "DOCUMENT_DOWNLOAD");
    failed(&all[3], "RESOURCE_NOT_FOUND", &foreign);
    failed(&all[4], "VALIDATION_ERROR", "documentId");

    // The list contains all of the company's elements without data, newest first, and no others.
    let list = us.api.post(OPERATIONS, json!({ "top": 100 })).await.ok();
    let items = list["response"]["pageItems"].as_array().expect("items");
    assert_eq!(list["response"]["totalSize"], items.len());
    assert!(
        items.iter().all(|one| one["data"] == json!({})),
        "{}",
        list.text
    );
    let newest: Vec<&Value> = all.iter().map(|one| &one["operationId"]).collect();
    for id in newest {
        assert!(items[..5].iter().any(|one| one["operationId"] == *id));
    }
    let theirs = them.api.post(OPERATIONS, json!({ "top": 100 })).await.ok();
    assert_ne!(
        theirs["response"]["totalSize"],
        list["response"]["totalSize"]
    );
}

#[tokio::test]
async fn errors_of_elements_are_in_the_callers_language_and_elements_end_after_a_month() {
    let scene = Scene::new().await;
    let us = &scene.us;
    let path = BULK[0].0;
    let english = us.api.clone().header("accept-language", "en");
    let started = english.post(path, bulk(&[json!({})])).await.ok();
    let all = us.ended(path, &started).await;
    failed(&all[0], "VALIDATION_ERROR", "is required");
    let ids = json!({ "operations": [{ "operationId": started["operations"][0]["operationId"] }] });
    let asked = format!("{path}/status");
    for (wrong, _) in &BULK[1..] {
        let told = us
            .api
            .post(&format!("{wrong}/status"), ids.clone())
            .await
            .ok();
        let expected = json!({ "operations": [{
            "operationId": started["operations"][0]["operationId"], "createdOn": null, "completedOn": null,
            "operationStatus": "NotFound", "data": {}, "operationErrors": null,
        }] });
        exactly(&told, expected);
    }
    exactly(
        &us.api.post(path, json!({ "operations": [] })).await,
        json!({ "operations": [] }),
    );
    exactly(
        &us.api.post(&asked, json!({ "operations": [] })).await,
        json!({ "operations": [] }),
    );
    let many: Vec<Value> = (0..1001)
        .map(|_| json!({ "operationId": UNUSED_ID }))
        .collect();
    invalid(
        &us.api.post(&asked, json!({ "operations": many })).await,
        "operations",
    );
    let hub = &scene.exchange.hub;
    hub.advance(std::time::Duration::from_hours(24 * 30 + 1));
    prichal::retention::sweep(&hub.app).await.expect("swept");
    eventually("it is forgotten", || async {
        let told = us.api.post(&asked, ids.clone()).await.ok();
        (told["operations"][0]["operationStatus"] == "NotFound").then_some(())
    })
    .await;
}
