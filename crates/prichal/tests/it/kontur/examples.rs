//! The examples that the vendor prints, as printed. Only ids and tokens are replaced, and a misprint (a missing or
//! surplus bracket) is corrected.

use reqwest::Method;
use serde_json::json;

use crate::harness::{
    hub::{Caller, Hub},
    integration::{Integration, company},
    receiver::Receiver,
};

/// A call with the headers that the examples print.
async fn patch(space: &Caller, path: &str, body: &str) -> crate::harness::hub::Answer {
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
    let integration = Integration::install(&space, "seed", "https://my-integration.ru").await;
    let body = r#"{"operations":[{"op":"add","path":"/webHooks","value":
    {
    "id":"00000000-0000-0000-0000-000000000000",
    "relativeUrl":"setup/upgrade",
    "triggerType":"schedule",
    "filter":{"items":[]
    },
    "schedule":{"period":"00:05:00"},"disabled":false}}]}"#;
    patch(&space, &integration.instance(), body).await.ok();
    let by_key = space.access_key(&integration.access_key().await);
    let instance = by_key.get(&integration.instance()).await.ok();
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
    let integration = Integration::install(&space, "seed", "https://elsewhere.example").await;
    let body = r#"{
        "operations" : [
        { "op" : "Add", "path" : "/IntegrationInstance", "value" : {"id":"a5aad3c1-777b-4ae5-8ca1-60b94c0423e5","relativeUrl":"RECEIVER/callbacks","triggerType":"entityEvent","filter":{"items":[{"eventType":"change","entityType":"company","changeType":"patch"},{"entityType":"contact"}]},"schedule":{},"disabled":false}
        }
    ]
    }"#
    .replace("RECEIVER", &receiver.url);
    let answer = patch(&space, &integration.instance(), &body).await.ok();
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

/// `call-started`, its answer and its error, with ids put in.
#[tokio::test]
async fn telephony_page_live_messages() {
    let hub = Hub::start().await;
    let space = hub.workspace("my-workspace").await;
    let integration = Integration::install(&space, "Megafon", "https://my-integration.ru").await;
    let line = space
        .access_key(&integration.access_key().await)
        .at("/api/v1/my-workspace/communications/callbacks/telephony");
    let send = |name: &'static str, body: String| {
        let line = line.clone();
        async move { line.send(Method::POST, name, Some(body.into_bytes())).await }
    };
    let started = r#"{
    "timestamp": "2022-03-22T10:38:35.6152798+00:00",
    "externalId": "333...434",
    "externalVatsPhone": "79229929292",
    "clientPhone": "79997775533",
    "direction": "inbound"
    }"#;
    let call = send("/call-started", started.to_owned()).await.ok();
    let members: Vec<&String> = call.json.as_object().expect("an object").keys().collect();
    assert_eq!(
        members,
        [
            "updateInfo",
            "links",
            "externalId",
            "externalCreatedAt",
            "type",
            "direction",
            "status",
            "integrationId",
            "data",
            "assignedToGroupId",
            "id"
        ]
    );
    assert_eq!(call["externalId"], "Megafon/333...434");
    assert_eq!(call["updateInfo"]["createdWith"], "Integration.Megafon");
    let id = call.str("id");
    let event = r#"{
    "communicationId": "ID",
    "externalId": "Megafon/333...434",
    "externalCallItemId": "262...280",
    "realtimeCallItemId": "262...280",
    "timestamp": "2022-03-17T10:19:05.5106605+00:00",
    "type": "appeared",
    "from": {
        "type": "client",
    },
    "to": {
        "type": "user",
        "userId": "ae900000-0000-0000-0000-00000000053d"
    }
    }"#;
    let answer = send("/call-event", event.replace("ID", &id)).await.ok();
    assert_eq!(answer.text, "\"OK\"");
    let unknown = "43500000-0000-0000-0000-00000000068e";
    let answer = send("/call-event", event.replace("ID", unknown)).await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (
            409,
            r#"{"status":"communicationNotFound","message":"Communication not found. Id: 43500000-0000-0000-0000-00000000068e"}"#
        )
    );
    let finished = r#"{
    "timestamp": "2022-03-22T10:41:19.8948611+00:00",
    "communicationId": "ID",
    "externalId": "Megafon/333...434",
    "externalVatsPhone": "79229929292",
    "clientPhone": "79997775533",
    "direction": "inbound"
    }"#;
    send("/call-finished", finished.replace("ID", &id))
        .await
        .ok();
    let failed = r#"{
    "communicationId": "ID",
    "externalId": "Megafon/644...384",
    "externalCallItemId": "644...384",
    "recordingFileId": "a7500000-0000-0000-0000-000000000f3a"
    }"#;
    let answer = send("/call-failed", failed.replace("ID", &id)).await.ok();
    assert_eq!(answer.text, "\"OK\"");
    let answer = send("/call-recording", failed.replace("ID", &id)).await;
    assert_eq!(answer.status, 409);
}

#[tokio::test]
async fn telephony_page_history() {
    let hub = Hub::start().await;
    let space = hub.workspace("my-workspace").await;
    let integration = Integration::install(&space, "Megafon", "https://my-integration.ru").await;
    let line = space
        .access_key(&integration.access_key().await)
        .at("/api/v1/my-workspace/communications");
    let registered = r#"{
    "externalVatsPhone": "79229929292",
    "clientPhone": "79997775533",
    "items": [
        {
            "id": "143...68e",
            "from": {
                "type": "client",
            },
            "to": {
                "type": "user",
                "userId": "ae900000-0000-0000-0000-00000000053d"
            },
            "recordings": [
                {
                    "fileId": "ceb00000-0000-0000-0000-00000000045e",
                    "fileName": "ceb4...45e",
                    "contentType": "audio/mpeg",
                    "contentLength": "9216"
                }
            ],
            "startedAt": "2022-03-18T07:27:54.6911428+00:00",
            "finishedAt": "2022-03-18T07:27:59.0622478+00:00"
        }
    ],
    "externalCreatedAt": "2022-03-17T10:18:58.998205+00:00",
    "externalId": "262...280",
    "direction": "outbound"
    }"#;
    let body = Some(registered.as_bytes().to_vec());
    let answer = line
        .send(Method::POST, "/callbacks/telephony/register-call", body)
        .await
        .ok();
    assert_eq!(answer.text, "\"OK\"");
    let call = &line.get("").await.ok()["items"][0];
    assert_eq!(
        (
            &call["externalId"],
            &call["externalCreatedAt"],
            &call["direction"],
            &call["status"]
        ),
        (
            &json!("Megafon/262...280"),
            &json!("2022-03-17T10:18:58.998205+00:00"),
            &json!("outbound"),
            &json!("sealed")
        )
    );
    let leg = json!({
        "id": "143...68e", "from": { "type": "client" }, "to": { "type": "user" }, "recordings": [],
        "startedAt": "2022-03-18T07:27:54.6911428+00:00", "finishedAt": "2022-03-18T07:27:59.0622478+00:00"
    });
    assert_eq!(
        call["data"]["call"]["items"],
        json!([leg]),
        "nobody has that user id or that file"
    );
    let redirect = line
        .get("/callbacks/telephony/call-redirect?phoneNumber=791229929292")
        .await
        .ok();
    assert_eq!(redirect.text, r#"{"userIds":[]}"#);
}

#[tokio::test]
async fn telephony_page_system_calls() {
    let hub = Hub::start().await;
    let space = hub.workspace("my-worksapce").await;
    let receiver = Receiver::good().await;
    let integration = Integration::install(&space, "Megafon", &receiver.url).await;
    let on = json!({ "call": true, "hangup": true, "sendSms": false });
    integration
        .patch(json!([{ "op": "replace", "path": "/features", "value": on }]))
        .await
        .ok();
    let wish = r#"{
    "communicationId": "30a00000-0000-0000-0000-000000000b4e",
    "fromUserId": "3f600000-0000-0000-0000-0000000005c4",
    "toUserId": "44d00000-0000-0000-0000-00000000052a",
    "clientPhone": "79997775533"
    }"#;
    let post = |path: &'static str, body: &str| {
        let (space, body) = (space.clone(), body.as_bytes().to_vec());
        async move { space.send(Method::POST, path, Some(body)).await }
    };
    let answer = post("/communications/call", wish).await.ok();
    assert_eq!(answer.text, "\"OK\"");
    let call = receiver.next().await;
    let sent: serde_json::Value = serde_json::from_str(wish).expect("JSON");
    assert_eq!(
        (call.json(), call.path.as_str()),
        (sent, "/api/v1/my-worksapce/communications/call")
    );
    assert!(
        call.header("X-XCOM-AccessKey").is_some()
            && call.header("X-XCOM-Integration-Echo").is_some()
    );
    let again = post("/communications/call", wish).await;
    assert_eq!(again.status, 409, "the id is taken");
    let hang_up = r#"{
    "realtimeCallItemId": "7dg...us1",
    "userId": "4a400000-0000-0000-0000-00000000086b"
    }"#;
    let unknown = post("/communications/hangup", hang_up).await;
    assert_eq!(
        (unknown.status, &unknown["status"]),
        (409, &json!("communicationNotFound"))
    );
}
