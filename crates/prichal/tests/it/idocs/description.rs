//! The description of the dialect in OpenAPI: it is complete, and its examples are accepted.

use serde_json::{Value, json};

use crate::harness::{
    document_exchange::{
        ACTION, CREATE, DocumentExchange, INBOX_ROUTE, INTERNAL, INTERNAL_ROUTE, PDF, QUICK,
        RECALL, REJECT, ROUTE, Side,
    },
    hub::{Answer, Caller, Hub, eventually},
};

const SUBSCRIPTION: &str =
    "/api/1/webhooks/document-events/subscription/document-status-changed-event";

async fn description(hub: &Hub) -> Value {
    let text = hub.anonymous().get("/docs/openapi.json").await.ok().text;
    serde_json::from_str(&text).expect("JSON")
}

/// Replaces members by their name, at any depth.
fn fill(value: &mut Value, known: &Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, known)),
        Value::Object(members) => {
            for (name, member) in members {
                match known.get(name) {
                    Some(known) => *member = known.clone(),
                    None => fill(member, known),
                }
            }
        }
        _ => {}
    }
}

/// The example of a call's body, with known ids in the place of invented ones.
fn example(api: &Value, path: &str, known: &Value) -> Value {
    let body = &api["paths"][path]["post"]["requestBody"]["content"]["application/json"];
    let mut example = body["example"].clone();
    assert!(example.is_object(), "{path} has an example");
    fill(&mut example, known);
    example
}

async fn send(caller: &Caller, api: &Value, path: &str, known: Value) -> Answer {
    let answer = caller.post(path, example(api, path, &known)).await;
    assert!(answer.status < 300, "{path}: {}", answer.text);
    answer
}

#[tokio::test]
async fn the_examples_of_the_guides_six_steps_are_accepted() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let api = description(&exchange.hub).await;
    let blob = us.content("договор.pdf", PDF).await;
    let known = json!({ "blobId": blob, "documentAuthorEmployeeId": us.employee });
    let document = send(&us.api, &api, CREATE, known).await.str("id");
    let known = json!({
        "documentId": document, "employeeId": us.employee, "counterpartyBin": them.bin,
    });
    // The members are those that the guide prints.
    let node = json!({
        "order": 0, "counterpartyBin": them.bin, "comment": "string", "isIndividual": false,
        "counterpartyEmails": ["partner@example.kz"], "requiredActionType": "SIGN",
    });
    let printed = json!({
        "documentId": document, "employeeId": us.employee, "route": { "external": { "nodes": [node] } },
    });
    assert_eq!(example(&api, QUICK, &known), printed);
    send(&us.api, &api, QUICK, known).await;
    for (company, side) in [(&us, Side::Outbox), (&them, Side::Inbox)] {
        let side = format!("/api/v3/sync/external/{}/signature", side.name());
        let known = json!({ "documentId": document, "signedByEmployeeId": company.employee });
        let path = format!("{side}/content-to-sign/generate");
        let generated = send(&company.api, &api, &path, known).await;
        let zip = company.download(&generated).await;
        let signature = company.signature(&company.sign(&zip, true)).await;
        let known = json!({
            "documentId": document, "signedByEmployeeId": company.employee, "blobId": signature,
            "idempotencyTicket": generated["idempotencyTicket"],
        });
        send(
            &company.api,
            &api,
            &format!("{side}/quick-sign/save"),
            known,
        )
        .await;
    }
    assert_eq!(us.status(&document).await, "FINISHED");
}

#[tokio::test]
async fn the_other_examples_are_accepted() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let api = description(&exchange.hub).await;
    for (path, end, by) in [
        (REJECT, "REJECTED_BY_RECIPIENT", &them),
        (RECALL, "RECALLED_BY_SENDER", &us),
    ] {
        let document = us.draft().await;
        let known = json!({
            "documentId": document, "employeeId": us.employee, "counterpartyBin": them.bin,
        });
        send(&us.api, &api, ROUTE, known).await;
        let known = json!({ "documentId": document, "employeeId": them.employee });
        send(&them.api, &api, INBOX_ROUTE, known.clone()).await;
        send(&them.api, &api, ACTION, known).await;
        let known = json!({ "documentId": document, "employeeId": by.employee });
        send(&by.api, &api, path, known).await;
        assert_eq!(us.status(&document).await, end);
    }
    let blob = us.content("договор.pdf", PDF).await;
    let known = json!({ "blobId": blob, "documentAuthorEmployeeId": us.employee });
    let document = send(&us.api, &api, INTERNAL, known.clone()).await.str("id");
    let on_document = json!({ "documentId": document, "employeeId": us.employee });
    send(&us.api, &api, INTERNAL_ROUTE, on_document.clone()).await;
    send(&us.api, &api, ACTION, on_document.clone()).await;
    let bulk = CREATE.replace("/sync/", "/async/bulk/");
    let started = send(&us.api, &api, &bulk, known).await;
    let known = json!({ "operationId": started["operations"][0]["operationId"] });
    eventually("the operation is completed", async || {
        let path = format!("{bulk}/status");
        let found = send(&us.api, &api, &path, known.clone()).await;
        (found["operations"][0]["operationStatus"] == "CompletedWithOk").then_some(())
    })
    .await;
    for path in [
        "/api/v3/async/documents/download/bulk-download",
        "/api/v3/sync/external/documents-query/outbox",
        "/api/v3/sync/external/documents-query/inbox",
        "/api/v3/sync/references/company-employees",
        "/api/v3/sync/references/counterparties/check",
        "/api/v3/sync/signature/verify",
        "/api/v3/sync/bulk/operations",
        SUBSCRIPTION,
        &format!("{SUBSCRIPTION}/replay"),
    ] {
        send(&us.api, &api, path, on_document.clone()).await;
    }
}

#[tokio::test]
async fn every_body_answer_error_and_parameter_is_described() {
    let hub = Hub::start().await;
    let api = description(&hub).await;
    let (mut names, mut bodies) = (Vec::new(), 0);
    for (path, item) in api["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let id = operation["operationId"].as_str().expect("a name");
            assert!(!names.contains(&id), "{id} is the name of one operation");
            names.push(id);
            if !path.starts_with("/api/v3/") && !path.starts_with("/api/1/") {
                continue;
            }
            let call = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{call}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["description"].is_string(), "{call}: {parameter}");
                assert!(
                    parameter["schema"]["type"].is_string(),
                    "{call}: {parameter}"
                );
            }
            let body = &operation["requestBody"]["content"];
            for (media_type, content) in body.as_object().into_iter().flatten() {
                bodies += 1;
                assert!(content["schema"]["$ref"].is_string(), "{call}");
                let has_example = content["example"].is_object();
                assert_eq!(has_example, media_type == "application/json", "{call}");
            }
            for (status, response) in operation["responses"].as_object().expect("answers") {
                let content = response["content"].as_object();
                for (media_type, content) in content.into_iter().flatten() {
                    let schema = content["schema"].as_object().expect("a schema");
                    let is_json = media_type == "application/json";
                    assert_eq!(
                        schema.get("format") != Some(&json!("binary")),
                        is_json,
                        "{call}"
                    );
                    assert!(!schema.is_empty(), "{call} {status}");
                }
                let is_error = !status.starts_with('2');
                assert!(!is_error || content.is_some(), "{call} {status} has a body");
            }
            for status in ["400", "401", "429", "500", "503", "default"] {
                let error = &operation["responses"][status]["content"]["application/json"];
                assert_eq!(
                    error["schema"]["$ref"], "#/components/schemas/DocumentErrors",
                    "{call}"
                );
            }
        }
    }
    assert_eq!(bodies, 42);
}
