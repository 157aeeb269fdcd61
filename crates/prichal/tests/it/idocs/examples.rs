//! The steps of the vendor's guide, as printed.

use reqwest::Method;
use serde_json::json;

use crate::harness::{
    document_exchange::{DocumentExchange, PDF},
    hub::Caller,
};

/// The six steps of the guide with its placeholders in angle brackets filled in, and then the steps of the other
/// company.
#[tokio::test]
async fn documents_guide_six_steps() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let plain = us.api.clone().header("accept", "text/plain");
    let printed = |caller: &Caller, path: &str, body: String| {
        let caller = caller
            .clone()
            .header("Content-Type", "application/json-patch+json");
        let path = path.to_owned();
        async move {
            caller
                .send(Method::POST, &path, Some(body.into_bytes()))
                .await
                .ok()
        }
    };
    let blob = us.content("<файл>.pdf", PDF).await;

    let body = format!(
        r#"{{
        "documentMetadata": {{
            "documentName": "<Имя документа>",
            "documentNumber": "<Номер документа>",
            "documentDate": 1767225600,
            "documentGroup": "Accounting",
            "documentAuthorEmployeeId": "{}"
        }},
        "documentBinaryContents": [
            {{
                "blobId": "{blob}"
            }}
        ]
    }}"#,
        us.employee
    );
    let created = printed(&plain, "/api/v3/sync/external/outbox/document/create", body).await;
    assert_eq!(
        created.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let document = created.str("id");
    let expected = json!({
        "id": document, "documentName": "<Имя документа>", "documentNumber": "<Номер документа>",
        "documentDate": 1_767_225_600, "documentGroup": "Accounting", "documentAuthorEmployeeId": us.employee,
        "createdOn": 1_767_225_600, "documentStatus": "DRAFT", "documentDirection": "Outbox",
    });
    assert_eq!(created.text, expected.to_string());

    let body = format!(
        r#"{{
     "documentId": "{document}",
     "employeeId": "{}",
     "route": {{
       "external": {{
         "nodes": [
           {{
             "order": 0,
             "counterpartyBin": "{}",
     "comment": "string",
     "isIndividual": false,
     "counterpartyEmails": [
         "partner@example.kz"
     ],
     "requiredActionType": "SIGN"
 }}
 ]
 }}
 }}
 }}"#,
        us.employee, them.bin
    );
    let routed = printed(
        &plain,
        "/api/v3/sync/external/outbox/route/quick-route/create",
        body,
    )
    .await;
    assert_eq!(routed.text, "");

    let asked = |document: &str, employee: &str| {
        format!(
            r#"{{
     "documentId": "{document}",
     "signedByEmployeeId": "{employee}"
 }}"#
        )
    };
    let content = "signature/content-to-sign/generate";
    let generated = printed(
        &plain,
        &format!("/api/v3/sync/external/outbox/{content}"),
        asked(&document, &us.employee),
    )
    .await;
    let zip = us.download(&generated).await;
    let signature = us.signature(&us.sign(&zip, true)).await;
    let saved = |document: &str, employee: &str, blob: &str, ticket: &str| {
        format!(
            r#"{{
     "documentId": "{document}",
     "signedByEmployeeId": "{employee}",
     "signatureBinaryContent": {{
         "blobId": "{blob}"
     }},
     "idempotencyTicket": "{ticket}"
 }}"#
        )
    };
    let any = us.api.clone().header("accept", "*/*");
    let body = saved(
        &document,
        &us.employee,
        &signature,
        &generated.str("idempotencyTicket"),
    );
    printed(
        &any,
        "/api/v3/sync/external/outbox/signature/quick-sign/save",
        body,
    )
    .await;
    assert_eq!(
        (
            us.status(&document).await.as_str(),
            them.status(&document).await.as_str()
        ),
        ("SENT_BY_SENDER", "IN_NEW")
    );

    let plain = them.api.clone().header("accept", "text/plain");
    let generated = printed(
        &plain,
        &format!("/api/v3/sync/external/inbox/{content}"),
        asked(&document, &them.employee),
    )
    .await;
    let signature = them
        .signature(&them.sign(&them.download(&generated).await, false))
        .await;
    let body = saved(
        &document,
        &them.employee,
        &signature,
        &generated.str("idempotencyTicket"),
    );
    printed(
        &plain,
        "/api/v3/sync/external/inbox/signature/quick-sign/save",
        body,
    )
    .await;
    assert_eq!(
        (
            us.status(&document).await.as_str(),
            them.status(&document).await.as_str()
        ),
        ("FINISHED", "FINISHED")
    );
}
