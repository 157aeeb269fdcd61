//! The settings of a webhook's calls: headers, time-out, schedule, success, `Retry-After`, 410, signatures.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};

use super::{
    expected_signature, hub_with_hook, schedules::next_tick_is_set, settings::change,
    signing_secrets,
};
use crate::harness::{
    document_subscriber::subscribed,
    integration::{company, schedule_hook},
    receiver::{Call, Receiver, Reply},
};

#[tokio::test]
async fn each_call_has_the_headers_of_the_settings() {
    let receiver = Receiver::good().await;
    let (_hub, space, integration, hook) = hub_with_hook(&receiver).await;
    let headers = json!({
        "X-Own-Tenant": "acme",
        "X-Own-Token": {"value": "5f0c9a", "secret": true},
        "User-Agent": "acme/1",
    });
    change(&space, &hook, json!({ "headers": headers }))
        .await
        .ok();
    company(&space, "one").await;
    let check = |call: &Call| {
        assert_eq!(call.header("x-own-tenant"), Some("acme"));
        assert_eq!(call.header("x-own-token"), Some("5f0c9a"));
        assert_eq!(call.header("user-agent"), Some("acme/1"));
        assert!(call.header("webhook-signature").is_some());
        assert!(call.header("x-xcom-integration-echo").is_some());
    };
    check(&receiver.next().await);
    let test = format!("{}/webHooks/{hook}/test", integration.instance());
    let tested = space.post(&test, json!({})).await.ok();
    assert_eq!(tested["status"], "delivered");
    check(&receiver.next().await);
    let attempts = integration.attempts(1).await;
    assert!(!json!(attempts).to_string().contains("5f0c9a"));

    // A change holds from the next call on.
    let headers = json!({"X-Own-Token": null, "X-Own-Tenant": "other"});
    change(&space, &hook, json!({ "headers": headers }))
        .await
        .ok();
    company(&space, "two").await;
    let call = receiver.next().await;
    assert_eq!(call.header("x-own-tenant"), Some("other"));
    assert_eq!(call.header("x-own-token"), None);
}

#[tokio::test]
async fn ticks_of_a_schedule_obey_the_settings() {
    let receiver = Receiver::start(|_| Reply::Status(204)).await;
    let (hub, space, integration, _) = hub_with_hook(&receiver).await;
    let tick = integration
        .add_hook(schedule_hook("/tick", "00:01:00"))
        .await;
    let settings = json!({"success": "2xx", "headers": {"X-Own-Tenant": "acme"}});
    change(&space, &tick, settings).await.ok();
    for _ in 0..6 {
        hub.advance(Duration::from_mins(1));
        let call = receiver.next().await;
        assert_eq!(call.header("x-own-tenant"), Some("acme"));
        next_tick_is_set(&hub, 60).await;
    }
    assert_eq!(integration.status().await, "active", "204 is a success");
}

#[tokio::test]
async fn a_call_has_the_time_of_its_settings() {
    let receiver = Receiver::start(|_| Reply::Silence).await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    change(
        &space,
        &hook,
        json!({"timeout": "3s", "retrySchedule": ["5s", "5m"]}),
    )
    .await
    .ok();
    company(&space, "one").await;
    for (count, wait) in [(1, 5), (2, 300), (3, 0)] {
        receiver.next().await;
        hub.advance(Duration::from_secs(3));
        let attempts = integration.attempts(count).await;
        let error = attempts[0]["error"].as_str().expect("an error");
        assert!(error.contains("timed out"), "{error}");
        assert_eq!(attempts[0]["durationMs"], 3000);
        hub.advance(Duration::from_secs(wait));
    }
    let attempts = integration.attempts(3).await;
    let statuses: Vec<&Value> = attempts.iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, ["exhausted", "deferred", "deferred"]);
}

#[tokio::test]
async fn any_2xx_acknowledges_a_call_if_the_settings_say_so() {
    let receiver = Receiver::start(|_| Reply::Status(204)).await;
    let (_hub, space, integration, hook) = hub_with_hook(&receiver).await;
    company(&space, "with echo").await;
    assert_eq!(integration.attempts(1).await[0]["status"], "deferred");
    change(&space, &hook, json!({"success": "2xx"})).await.ok();
    company(&space, "without").await;
    assert_eq!(integration.attempts(2).await[0]["status"], "delivered");
    let elsewhere = receiver.url.clone();
    receiver.answer(move |_| Reply::Redirect(elsewhere.clone()));
    company(&space, "elsewhere").await;
    let attempts = integration.attempts(3).await;
    assert_eq!(attempts[0]["status"], "deferred");
    let error = attempts[0]["error"].as_str().expect("an error");
    assert!(error.contains("not 2xx"), "{error}");
}

/// 429 with a wait of 90 seconds, and the connection stays open for another call.
const PATIENCE: Reply = Reply::Raw {
    bytes: "HTTP/1.1 429 X\r\nretry-after: 90\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    close: true,
};

#[tokio::test]
async fn a_receiver_may_ask_for_patience() {
    let receiver = Receiver::start(|_| PATIENCE).await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    change(&space, &hook, json!({"success": "2xx"})).await.ok();
    company(&space, "one").await;
    let first = receiver.next().await;
    integration.attempts(1).await;
    receiver.answer(|_| Reply::Status(200));
    hub.advance(Duration::from_secs(89));
    company(&space, "between").await;
    let between = receiver.next().await;
    assert_eq!(between.new_member("name"), "between", "not before its time");
    integration.attempts(2).await;
    hub.advance(Duration::from_secs(1));
    assert_eq!(receiver.next().await.event_id(), first.event_id());

    // Without the settings the documented waits hold.
    change(&space, &hook, json!({"success": null})).await.ok();
    integration.attempts(3).await;
    receiver.answer(|_| PATIENCE);
    company(&space, "two").await;
    let second = receiver.next().await;
    integration.attempts(4).await;
    hub.advance(Duration::from_secs(30));
    assert_eq!(receiver.next().await.event_id(), second.event_id());
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_not_called_again() {
    let receiver = Receiver::start(|_| Reply::Status(410)).await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    company(&space, "one").await;
    assert_eq!(integration.attempts(1).await[0]["status"], "deferred");
    assert_eq!(integration.status().await, "active");
    change(&space, &hook, json!({"success": "2xx"})).await.ok();
    company(&space, "two").await;
    integration.wait_for_status("failed").await;
    let source = space.get(&format!("/webhooks/{hook}")).await.ok();
    assert_eq!(source["status"], "disabled");
    let attempts = integration.attempts(2).await;
    assert_eq!(attempts[0]["status"], "exhausted");
    let instance = space.get(&integration.instance()).await.ok();
    let hooks = &instance["webHooks"];
    assert_eq!(
        (&hooks[0]["disabled"], &hooks[0]["settings"]),
        (&json!(true), &json!({"success": "2xx"}))
    );
    hub.advance(Duration::from_hours(1));
    let other = integration.subscribe().await;
    receiver.answer(|_| Reply::Good);
    receiver.take(2).await;
    let heard = company(&space, "three").await;
    let call = receiver.next().await;
    assert_eq!(call.new_member("id"), heard, "of {other}");
    assert_eq!(receiver.waiting(), 0);
}

#[tokio::test]
async fn calls_are_signed_in_the_versions_of_the_settings() {
    let receiver = Receiver::good().await;
    let (_hub, space, integration, hook) = hub_with_hook(&receiver).await;
    change(&space, &hook, json!({"signature": ["v1", "v1a"]}))
        .await
        .ok();
    let path = format!("/webhooks/{hook}/public-key");
    let public_key = space.get(&path).await.ok().str("publicKey");
    let key = public_key.strip_prefix("whpk_").expect("a public key");
    let key = UnparsedPublicKey::new(&ED25519, STANDARD.decode(key).expect("base64"));
    let verify = |call: &Call, signature: &str| {
        let (id, at) = (call.header("webhook-id"), call.header("webhook-timestamp"));
        let (id, at) = (id.expect("an id"), at.expect("a time"));
        let signature = signature.strip_prefix("v1a,").expect("the version");
        let signature = STANDARD.decode(signature).expect("base64");
        let text = format!("{id}.{at}.{}", call.body);
        key.verify(text.as_bytes(), &signature).expect("a good one");
    };
    company(&space, "one").await;
    let call = receiver.next().await;
    let header = call.header("webhook-signature").expect("signatures");
    let parts: Vec<&str> = header.split(' ').collect();
    let [secret] = &signing_secrets(&integration).await[..] else {
        panic!("one secret");
    };
    assert_eq!(parts.len(), 2, "{header}");
    assert_eq!(parts[0], expected_signature(secret, &call));
    verify(&call, parts[1]);

    // Both secrets sign while one replaces the other.
    let new = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let rotate = json!([{"op": "replace", "path": "/secrets/webhook.signingSecret", "value": new}]);
    integration.patch(rotate).await.ok();
    // The webhook hears of the new secret soon after the answer.
    let (mut call, mut signatures, mut calls) = (call.clone(), 2, 0);
    while signatures == 2 && calls < 100 {
        calls += 1;
        company(&space, &format!("two {calls}")).await;
        call = receiver.next().await;
        let header = call.header("webhook-signature").expect("signatures");
        signatures = header.split(' ').count();
    }
    let header = call.header("webhook-signature").expect("signatures");
    let parts: Vec<&str> = header.split(' ').collect();
    assert_eq!(parts.len(), 3, "{header}");
    assert_eq!(parts[0], expected_signature(new, &call));
    assert_eq!(parts[1], expected_signature(secret, &call));
    verify(&call, parts[2]);

    change(&space, &hook, json!({"signature": ["v1a"]}))
        .await
        .ok();
    company(&space, "three").await;
    let call = receiver.next().await;
    verify(&call, call.header("webhook-signature").expect("one"));
}

#[tokio::test]
async fn the_hook_of_documents_has_headers_and_a_time_of_its_own() {
    let receiver = Receiver::start(|_| Reply::Silence).await;
    let (hub, acme, _) = subscribed(&receiver).await;
    let space = acme.caller.at("/api/v1/acme");
    let sources = space.get("/webhooks").await.ok();
    let id = sources["items"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let secret = json!({"value": "5f0c9a", "secret": true});
    let settings = json!({"timeout": "3s", "headers": {"X-Own-Token": secret}});
    let changed = change(&space, &id, settings).await.ok();
    assert!(!changed.text.contains("5f0c9a"));
    acme.draft(&hub, "1").await;
    assert_eq!(receiver.next().await.header("x-own-token"), Some("5f0c9a"));
    hub.advance(Duration::from_secs(3));
    let attempts = acme.attempts(1).await;
    assert_eq!(attempts[0]["durationMs"], 3000);
    change(&space, &id, json!({"headers": null})).await.ok();
    hub.advance(Duration::from_secs(10));
    assert_eq!(receiver.next().await.header("x-own-token"), None);
    hub.advance(Duration::from_secs(3));
    acme.attempts(2).await;
}
