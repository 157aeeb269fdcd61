//! The examples that the vendor prints, as printed; only ids and tokens are put in, and what a
//! document spoils by a slip (a bracket too many or too few) is mended.

use reqwest::Method;
use serde_json::json;

use crate::{
    hub::{Caller, Hub},
    partner::{Partner, company},
    receiver::Receiver,
};

/// A call with the headers that the examples print.
async fn patch(space: &Caller, path: &str, body: &str) -> crate::hub::Answer {
    let caller = space
        .clone()
        .header("accept", "application/json")
        .header("Content-Type", "application/json-patch+json");
    caller
        .send(Method::PATCH, path, Some(body.as_bytes().to_vec()))
        .await
}

#[tokio::test]
async fn integrations_page_registering_a_schedule() {
    let hub = Hub::start().await;
    let space = hub.workspace("my-integration").await;
    let partner = Partner::install(&space, "seed", "https://my-integration.ru").await;
    let body = r#"{"operations":[{"op":"add","path":"/webHooks","value":
    {
    "id":"00000000-0000-0000-0000-000000000000",
    "relativeUrl":"setup/upgrade",
    "triggerType":"schedule",
    "filter":{"items":[]
    },
    "schedule":{"period":"00:05:00"},"disabled":false}}]}"#;
    patch(&space, &partner.instance(), body).await.ok();
    let by_key = space.access_key(&partner.access_key().await);
    let instance = by_key.get(&partner.instance()).await.ok();
    let hook = &instance["webHooks"][0];
    let expected = json!({
        "id": hook["id"], "relativeUrl": "setup/upgrade", "triggerType": "schedule", "filter": { "items": [] },
        "schedule": { "period": "00:05:00" }, "disabled": false,
    });
    assert_eq!(
        hook.to_string(),
        expected.to_string(),
        "byte for byte, the order of members included"
    );
    let members: Vec<&str> = instance
        .json
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        members,
        [
            "updateInfo",
            "baseUrl",
            "features",
            "status",
            "secrets",
            "settings",
            "webHooks",
            "id"
        ]
    );
    let stamps: Vec<&str> = instance["updateInfo"]
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert!(
        stamps.starts_with(&["updatedAt"]) && stamps.ends_with(&["createdWith"]),
        "{stamps:?}"
    );
    let unknown = "838e0000-0000-0000-0000-00000000ed82";
    let missing = by_key
        .get(&format!("/integrations/instances/{unknown}"))
        .await;
    assert_eq!(
        (missing.status, missing.json),
        (
            409,
            json!({ "status": "notFound", "message": format!("IntegrationInstance {unknown} not found") })
        )
    );
}

#[tokio::test]
async fn integrations_page_activating() {
    let receiver = Receiver::good().await;
    let hub = Hub::start().await;
    let space = hub.workspace("ws").await;
    let manifest = json!({ "name": "seed", "version": "1.0", "baseUrl": receiver.url });
    let id = space.post("/integrations", manifest).await.ok().str("id");
    space
        .post(&format!("/integrations/{id}/install"), json!({}))
        .await
        .ok();
    let body = "{\n\"SecretKey\": null,\n\"autoRedirect\": false,\n\"autoAnswer\": false\n}";
    let done = space
        .send(
            Method::POST,
            &format!("/integrations/{id}/setup"),
            Some(body.into()),
        )
        .await
        .ok();
    assert_eq!(done.text, "\"OK\"");
}

#[tokio::test]
async fn webhooks_page_registering() {
    let receiver = Receiver::good().await;
    let hub = Hub::start().await;
    let space = hub.workspace("testswaggerspace").await;
    let partner = Partner::install(&space, "seed", "https://elsewhere.example").await;
    let body = r#"{
        "operations" : [
        { "op" : "Add", "path" : "/IntegrationInstance", "value" : {"id":"a5aad3c1-777b-4ae5-8ca1-60b94c0423e5","relativeUrl":"RECEIVER/callbacks","triggerType":"entityEvent","filter":{"items":[{"eventType":"change","entityType":"company","changeType":"patch"},{"entityType":"contact"}]},"schedule":{},"disabled":false}
        }
    ]
    }"#
    .replace("RECEIVER", &receiver.url);
    let answer = patch(&space, &partner.instance(), &body).await.ok();
    assert_eq!(
        answer["result"]["webHooks"][0]["id"],
        "a5aad3c1-777b-4ae5-8ca1-60b94c0423e5"
    );
    assert_eq!(answer["result"]["webHooks"][0]["schedule"], json!({}));
    let id = company(&space, "not asked for").await;
    space
        .patch(
            &format!("/companies/{id}"),
            json!([{ "op": "replace", "path": "/name", "value": "asked for" }]),
        )
        .await
        .ok();
    let call = receiver.next().await;
    assert_eq!(
        (call.path.as_str(), call.new_member("name")),
        ("/callbacks", json!("asked for"))
    );
}
