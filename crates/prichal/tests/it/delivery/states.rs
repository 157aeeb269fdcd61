//! The state of what calls receivers (`docs/contracts/prichal.md §6.4`).

use std::time::Duration;

use serde_json::{Value, json};

use super::hub_with_hook;
use crate::harness::{
    channel_workspace::ChannelWorkspace,
    document_subscriber::{BIN, company as subscriber},
    hub::{Caller, Hub, eventually},
    integration::{Integration, company, schedule_hook},
    receiver::{Receiver, Reply},
};

async fn state(space: &Caller, id: &str) -> Value {
    let path = format!("/webhooks/{id}/state");
    space.get(&path).await.ok().json
}

/// Waits until the state is as `holds` says.
async fn wait(space: &Caller, id: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || async {
        Some(state(space, id).await).filter(|state| holds(state))
    })
    .await
}

/// The sums of all quarters: delivered and failed.
fn sums(state: &Value) -> (i64, i64) {
    let quarters = state["quarters"].as_array().expect("quarters");
    assert_eq!(quarters.len(), 96);
    let sum = |member: &str| {
        let each = quarters.iter().map(|quarter| quarter[member].as_i64());
        each.map(|count| count.expect("a number")).sum()
    };
    (sum("delivered"), sum("failed"))
}

#[tokio::test]
async fn a_webhook_works_fails_and_recovers() {
    let receiver = Receiver::good().await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    let new = state(&space, &hook).await;
    assert_eq!(new["state"], "idle");
    assert_eq!((&new["lagEvents"], &new["waiting"]), (&json!(0), &json!(0)));
    assert_eq!(sums(&new), (0, 0));
    assert!(new.get("successRate").is_none() && new.get("lastSuccessAt").is_none());

    company(&space, "good").await;
    receiver.next().await;
    let working = wait(&space, &hook, "it works", |state| sums(state) == (1, 0)).await;
    assert_eq!(working["state"], "working");
    assert_eq!(working["successRate"], 1.0);
    let last = &working["quarters"][95];
    assert_eq!(last["startsAt"], "2026-01-01T00:00:00+00:00");
    assert!(
        last["averageMs"].is_i64() && last["maxMs"].is_i64(),
        "{last}"
    );

    receiver.answer(|_| Reply::Status(503));
    let events = ["a", "b", "c"];
    for name in events {
        company(&space, name).await;
        receiver.next().await;
    }
    let failing = wait(&space, &hook, "it fails", |state| state["waiting"] == 3).await;
    assert_eq!(failing["state"], "failing");
    assert_eq!(failing["failingSince"], "2026-01-01T00:00:00+00:00");
    assert_eq!(failing["lastHttpStatus"], 503);
    assert_eq!(failing["nextTryAt"], "2026-01-01T00:00:30+00:00");
    assert_eq!(failing["lagEvents"], 3);
    assert!(
        failing["lastError"]
            .as_str()
            .is_some_and(|error| error.contains("503"))
    );
    assert_eq!(sums(&failing), (1, 3));
    assert_eq!(failing["successRate"], 0.25);

    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_secs(30));
    receiver.take(3).await;
    let works = |state: &Value| state["waiting"] == 0 && sums(state) == (4, 3);
    let recovered = wait(&space, &hook, "it works again", works).await;
    assert_eq!(recovered["state"], "working");
    assert_eq!(recovered["lagSeconds"], 0);
    assert!(recovered.get("failingSince").is_none());
    assert_eq!(recovered["lastErrorAt"], "2026-01-01T00:00:00+00:00");
    assert_eq!(recovered["lastSuccessAt"], "2026-01-01T00:00:30+00:00");

    // The figures outlive a restart, and go on.
    company(&space, "d").await;
    receiver.next().await;
    integration.attempts(8).await;
    let hub = hub.restart().await;
    let space = hub.adopt(&space);
    let restarted = state(&space, &hook).await;
    assert_eq!(sums(&restarted), (5, 3));
    hub.advance(Duration::from_mins(20));
    assert_eq!(state(&space, &hook).await["state"], "idle");
    company(&space, "e").await;
    receiver.next().await;
    let counted = |state: &Value| sums(state) == (6, 3);
    let later = wait(&space, &hook, "a second quarter", counted).await;
    assert_eq!(later["quarters"][94]["delivered"], 5);
    assert_eq!(later["quarters"][95]["delivered"], 1);

    // A day later nothing of it is shown.
    hub.advance(Duration::from_hours(24));
    let day = state(&space, &hook).await;
    assert_eq!(sums(&day), (0, 0));
    assert_eq!(day["lastSuccessAt"], later["lastSuccessAt"]);
    assert_eq!(day["state"], "idle");
}

#[tokio::test]
async fn a_list_has_the_states_of_all_sources() {
    let receiver = Receiver::good().await;
    let (_hub, space, _, hook) = hub_with_hook(&receiver).await;
    let listed = async |query: &str| {
        let list = space.get(&format!("/webhooks{query}")).await.ok().json;
        list["items"][0].clone()
    };
    company(&space, "good").await;
    receiver.next().await;
    receiver.answer(|_| Reply::Status(503));
    company(&space, "bad").await;
    receiver.next().await;
    let full = wait(&space, &hook, "it fails", |state| sums(state) == (1, 1)).await;
    for query in ["", "?state=false"] {
        assert!(listed(query).await.get("state").is_none(), "{query}");
    }
    let state = &listed("?state=True").await["state"];
    for member in [
        "state",
        "failingSince",
        "lagEvents",
        "lagSeconds",
        "waiting",
        "nextTryAt",
        "lastSuccessAt",
        "lastError",
        "lastHttpStatus",
    ] {
        assert_eq!(state[member], full[member], "{member}");
    }
    let hours = state["hours"].as_array().expect("hours");
    assert_eq!(hours.len(), 24);
    assert_eq!(hours[23], json!({"delivered": 1, "failed": 1}));
    assert_eq!(hours[0], json!({"delivered": 0, "failed": 0}));
    let wrong = space.get("/webhooks?state=2").await;
    assert_eq!(wrong.status, 400);
    assert!(
        wrong
            .text
            .contains("The value '2' of 'state' is not true or false.")
    );
}

#[tokio::test]
async fn a_webhook_that_calls_nobody_says_why() {
    let receiver = Receiver::good().await;
    let (_hub, space, integration, hook) = hub_with_hook(&receiver).await;
    let pause = format!("{}/pause", integration.instance());
    space.post(&pause, json!({})).await.ok();
    assert_eq!(state(&space, &hook).await["state"], "paused");
    space
        .post(&pause.replace("pause", "resume"), json!({}))
        .await
        .ok();
    let disabled = format!("/webHooks/{hook}/disabled");
    integration
        .patch(json!([{ "op": "replace", "path": disabled, "value": true }]))
        .await
        .ok();
    assert_eq!(state(&space, &hook).await["state"], "switchedOff");
}

#[tokio::test]
async fn the_lag_counts_wanted_events() {
    let receiver = Receiver::start(|_| Reply::Silence).await;
    let (hub, space, _, hook) = hub_with_hook(&receiver).await;
    company(&space, "slow").await;
    receiver.next().await;
    space
        .post("/contacts", json!({ "name": "not wanted" }))
        .await
        .ok();
    hub.advance(Duration::from_millis(500));
    let behind = state(&space, &hook).await;
    assert_eq!(behind["lagEvents"], 1, "the call is not over");
    assert_eq!(behind["state"], "working");
}

#[tokio::test]
async fn every_source_has_a_state() {
    let receiver = Receiver::good().await;
    let channels = ChannelWorkspace::new().await;
    let space = &channels.space;
    let integration = Integration::install(space, "ticking", &receiver.url).await;
    let ticking = integration
        .add_hook(schedule_hook("/tick", "00:05:00"))
        .await;
    channels.hub.advance(Duration::from_mins(5));
    receiver.next().await;
    let called = |state: &Value| sums(state) == (1, 0);
    let found = wait(space, &ticking, "a tick", called).await;
    assert_eq!(found["state"], "working");
    assert!(found["nextTryAt"].is_string());

    let target = Receiver::start(|_| Reply::Status(500)).await;
    channels.script("say", "channel.send({ a: 1 })").await;
    let members = json!({
        "url": target.url, "recv_svcscriptcode": "say", "opts": { "issync": true },
    });
    let channel = channels.channel("sender", members).await;
    assert_eq!(state(space, &channel.id).await["state"], "idle");
    channels.hook(&channel, json!({})).await;
    target.next().await;
    let failed = |state: &Value| {
        state["state"] == "failing" && state["waiting"] == 1 && sums(state) == (0, 1)
    };
    let found = wait(space, &channel.id, "a failed message", failed).await;
    assert!(found["failingSince"].is_string() && found["nextTryAt"].is_string());
    target.answer(|_| Reply::Good);
    channels.hub.advance(Duration::from_secs(30));
    target.next().await;
    let sent = |state: &Value| sums(state) == (1, 1);
    let found = wait(space, &channel.id, "it was sent", sent).await;
    assert_eq!(found["state"], "working");
}

#[tokio::test]
async fn the_subscription_to_documents_has_a_state() {
    let receiver = Receiver::good().await;
    let hub = Hub::start().await;
    let acme = subscriber(&hub, "acme", BIN).await;
    acme.subscribe(&receiver.url).await.ok();
    let space = hub.token("acme", "admin").await;
    let sources = space.get("/webhooks").await.ok();
    let id = sources["items"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let document = acme.draft(&hub, "1").await;
    acme.send(&hub, &document).await;
    receiver.next().await;
    let called = |state: &Value| sums(state).0 > 0;
    let found = wait(&space, &id, "a call", called).await;
    assert_eq!(found["state"], "working");
}

#[tokio::test]
async fn only_administrators_see_states() {
    let receiver = Receiver::good().await;
    let (hub, _, _, hook) = hub_with_hook(&receiver).await;
    let path = format!("/webhooks/{hook}/state");
    let member = hub.token("acme", "member").await;
    assert_eq!(member.get(&path).await.status, 403);
    let other = hub.workspace("other").await;
    let unknown = other.get(&path).await;
    assert_eq!(
        (unknown.status, unknown.str("status").as_str()),
        (409, "notFound")
    );
}
