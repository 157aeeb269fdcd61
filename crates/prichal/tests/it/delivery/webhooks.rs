//! Webhooks from the change to the receiver (`docs/contracts/prichal.md §6`, `docs/contracts/kontur.md §9`).

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use tokio::sync::Semaphore;

use super::{change, expected_signature, hub_with_hook, signing_secrets};
use crate::harness::{
    hub::Hub,
    integration::{Integration, company, entity_hook},
    receiver::{Receiver, Reply},
};

#[tokio::test]
async fn a_change_reaches_the_receiver_as_the_feed_shows_it() {
    let receiver = Receiver::good().await;
    let (_hub, space, integration, _) = hub_with_hook(&receiver).await;
    let id = company(&space, "Рога и копыта").await;
    let call = receiver.next().await;
    assert_eq!(
        (call.method.as_str(), call.path.as_str()),
        ("POST", "/callbacks")
    );
    assert!(
        call.header("content-type")
            .is_some_and(|kind| kind.starts_with("application/json"))
    );
    let feed = space.get("/events").await.ok();
    let shown = feed["items"]
        .as_array()
        .expect("items")
        .iter()
        .find(|event| event["id"] == call.json()["id"]);
    assert_eq!(shown, Some(&call.json()), "the very event of the feed");
    assert_eq!(call.new_member("id"), id.as_str());

    assert_eq!(call.header("webhook-id"), Some(call.event_id().as_str()));
    let secrets = signing_secrets(&integration).await;
    assert_eq!(
        call.header("webhook-signature"),
        Some(expected_signature(&secrets[0], &call).as_str())
    );
    let by_key = space.access_key(call.header("x-xcom-accesskey").expect("an access key"));
    by_key.get(&integration.instance()).await.ok();
    assert!(
        call.header("x-xcom-integration-echo")
            .is_some_and(|echo| echo.len() >= 16)
    );
    assert!(call.header("x-prichal-replay").is_none());

    let attempts = integration.attempts(1).await;
    assert_eq!(attempts[0]["status"], "delivered");
    assert_eq!(attempts[0]["eventId"], call.event_id());
    assert_eq!(
        (&attempts[0]["attempt"], &attempts[0]["httpStatus"]),
        (&json!(1), &json!(200))
    );
}

#[tokio::test]
async fn a_rotated_secret_signs_twice() {
    let receiver = Receiver::good().await;
    let (_hub, space, integration, _) = hub_with_hook(&receiver).await;
    let old = signing_secrets(&integration).await.remove(0);
    let new = format!("whsec_{}", STANDARD.encode([7; 32]));
    let value = json!({ "id": "webhook.signingSecret", "value": new, "values": [old, new] });
    let replaced = integration.patch(
        json!([{ "op": "replace", "path": "/secrets/webhook.signingSecret", "value": value }]),
    );
    replaced.await.ok();
    company(&space, "acme").await;
    let call = receiver.next().await;
    let signatures = call
        .header("webhook-signature")
        .expect("signatures")
        .to_owned();
    let mut signatures: Vec<&str> = signatures.split(' ').collect();
    let (one, two) = (
        expected_signature(&old, &call),
        expected_signature(&new, &call),
    );
    let mut expected = vec![one.as_str(), two.as_str()];
    signatures.sort_unstable();
    expected.sort_unstable();
    assert_eq!(signatures, expected);
}

#[tokio::test]
async fn only_events_that_match_the_filter_are_sent() {
    let receiver = Receiver::good().await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let items = json!([{ "eventType": "change", "entityType": "company", "changeType": "patch" }, { "entityType": "contact" }]);
    integration.add_hook(entity_hook("callbacks", items)).await;
    integration
        .add_hook(entity_hook("/nothing", json!([])))
        .await;
    let id = company(&space, "one").await;
    let contact = space.post("/contacts", json!({ "name": "Анна" })).await;
    assert_eq!(contact.status, 200, "{}", contact.text);
    let rename = json!([{ "op": "replace", "path": "/name", "value": "two" }]);
    space.patch(&format!("/companies/{id}"), rename).await.ok();
    space.post("/deals", json!({ "name": "no" })).await.ok();
    space
        .delete(&format!("/contacts/{}", contact.str("id")))
        .await
        .ok();
    let calls = receiver.take(3).await;
    // Calls about different entities may overtake each other; the offset tells their order.
    let mut seen: Vec<_> = calls
        .iter()
        .map(|call| {
            (
                call.json()["offset"]
                    .as_str()
                    .expect("an offset")
                    .to_owned(),
                call.path.clone(),
                change(call),
            )
        })
        .collect();
    seen.sort();
    let seen: Vec<_> = seen
        .into_iter()
        .map(|(_, path, change)| (path, change))
        .collect();
    let expected = ["contact create", "company patch", "contact delete"]
        .map(|change| ("/callbacks".to_owned(), change.to_owned()));
    assert_eq!(seen, expected);
    integration.attempts(3).await;
    assert_eq!(receiver.waiting(), 0);
}

#[tokio::test]
async fn never_two_calls_at_once_for_one_entity_and_many_for_many() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let receiver = Receiver::start(move |_| Reply::Held(held.clone())).await;
    let (_hub, space, integration, _) = hub_with_hook(&receiver).await;
    let id = company(&space, "0").await;
    for n in 1..5 {
        let rename = json!([{ "op": "replace", "path": "/name", "value": n.to_string() }]);
        space.patch(&format!("/companies/{id}"), rename).await.ok();
    }
    let other = company(&space, "other").await;
    let (first, second) = (receiver.next().await, receiver.next().await);
    assert_eq!(first.new_member("name"), "0");
    assert_eq!(
        second.new_member("id"),
        other.as_str(),
        "another entity need not wait"
    );
    for n in 1..5 {
        assert_eq!(receiver.waiting(), 0, "one at a time");
        gate.add_permits(if n == 1 { 2 } else { 1 });
        assert_eq!(
            receiver.next().await.new_member("name"),
            n.to_string(),
            "and in order"
        );
    }
    gate.add_permits(1);
    integration.attempts(6).await;
    assert_eq!(receiver.most_open(), 2);
}

#[tokio::test]
async fn a_slow_receiver_holds_up_nobody_else() {
    let (slow, quick) = (
        Receiver::start(|_| Reply::Silence).await,
        Receiver::good().await,
    );
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let sleeper = Integration::install(&space, "sleeper", &slow.url).await;
    sleeper.subscribe().await;
    let runner = Integration::install(&space, "runner", &quick.url).await;
    runner.subscribe().await;
    for n in 0..200 {
        company(&space, &format!("{n}")).await;
    }
    quick.take(200).await;
    runner.attempts(200).await;
    assert!(
        slow.most_open() <= 40,
        "its own calls are bounded: {}",
        slow.most_open()
    );
}

#[tokio::test]
async fn private_targets_are_refused_at_each_call() {
    let receiver = Receiver::good().await;
    let hub = Hub::with(|config| config.allow_private_targets = false).await;
    let space = hub.workspace("acme").await;
    let port = receiver.url.rsplit(':').next().expect("a port").to_owned();
    for (n, host) in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "2130706433",
        "169.254.169.254",
    ]
    .into_iter()
    .enumerate()
    {
        let integration =
            Integration::install(&space, &format!("p{n}"), &format!("http://{host}:{port}")).await;
        integration.subscribe().await;
        company(&space, "x").await;
        let attempts = integration.attempts(1).await;
        assert_eq!(attempts[0]["status"], "deferred", "{host}");
        let error = attempts[0]["error"].as_str().expect("a reason");
        assert!(error.starts_with("refused"), "{host}: {error}");
    }
    assert_eq!(receiver.waiting(), 0);
}
