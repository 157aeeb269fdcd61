//! Alerts: what somebody has to know (`docs/contracts/prichal.md §6.5`).

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::hub_with_hook;
use crate::harness::{
    hub::{Caller, Hub, eventually},
    integration::{Integration, company, entity_hook},
    receiver::{Receiver, Reply},
};

pub(super) async fn alerts(space: &Caller, query: &str) -> Vec<Value> {
    let page = space.get(&format!("/alerts{query}")).await.ok();
    let items = page["items"].as_array().expect("items").clone();
    assert_eq!(page["count"], items.len());
    items
}

pub(super) async fn set(space: &Caller, settings: Value) {
    let body = settings.to_string().into_bytes();
    space
        .send(Method::PATCH, "/alert-settings", Some(body))
        .await
        .ok();
}

/// Switches a webhook off or on.
pub(super) async fn switch(integration: &Integration, hook: &str, disabled: bool) {
    let path = format!("/webHooks/{hook}/disabled");
    let operation = json!({ "op": "replace", "path": path, "value": disabled });
    integration.patch(json!([operation])).await.ok();
}

#[tokio::test]
async fn settings_are_checked_and_kept() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let defaults = space.get("/alert-settings").await.ok();
    assert_eq!(defaults["kinds"]["failing"]["minutes"], 15);
    assert_eq!(defaults["silenceMinutes"], 60);
    let patch = async |space: &Caller, body: Value| {
        let body = body.to_string().into_bytes();
        space
            .send(Method::PATCH, "/alert-settings", Some(body))
            .await
    };
    let changed = patch(
        &space,
        json!({
            "kinds": {"failing": {"minutes": 5}},
            "mail": {"recipients": ["oncall@example.com"], "digestHour": 9, "zone": "Asia/Almaty"},
        }),
    )
    .await
    .ok();
    assert_eq!(changed["kinds"]["failing"]["minutes"], 5);
    assert_eq!(changed["kinds"]["failing"]["enabled"], true);
    for (body, member) in [
        (json!({"silenceMinutes": 1441}), "silenceMinutes"),
        (
            json!({"kinds": {"lag": {"seconds": 1}}}),
            "kinds.lag.seconds",
        ),
        (
            json!({"mail": {"recipients": ["me"]}}),
            "mail.recipients[0]",
        ),
        (json!({"mail": {"zone": "Mars"}}), "mail.zone"),
    ] {
        let refused = patch(&space, body).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        assert!(refused.text.contains(member), "{}", refused.text);
    }
    let hub = hub.restart().await;
    let space = hub.adopt(&space);
    assert_eq!(space.get("/alert-settings").await.ok().json, changed.json);
    let restored = patch(&space, json!({"kinds": null, "mail": null}))
        .await
        .ok();
    assert_eq!(restored.json, defaults.json);

    // Neither members nor other workspaces.
    let member = hub.token("acme", "member").await;
    for path in ["/alert-settings", "/alerts"] {
        assert_eq!(member.get(path).await.status, 403);
    }
    let other = hub.workspace("other").await;
    patch(&other, json!({"silenceMinutes": 1})).await.ok();
    assert_eq!(
        space.get("/alert-settings").await.ok()["silenceMinutes"],
        60
    );
}

#[tokio::test]
async fn a_webhook_that_is_switched_off_is_an_event() {
    let receiver = Receiver::good().await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    let watcher = Receiver::good().await;
    let watching = Integration::install(&space, "watcher", &watcher.url).await;
    let filter = json!([{ "eventTypes": ["prichal.alert.*"] }]);
    watching.add_hook(entity_hook("/alerts", filter)).await;
    // A receiver of all own types gets no alerts, nor does one of all changes.
    let all = json!([{ "eventTypes": ["*"] }, { "entityType": "deal" }]);
    watching.add_hook(entity_hook("/own", all)).await;

    switch(&integration, &hook, true).await;
    let call = watcher.next().await;
    assert_eq!(call.path, "/alerts");
    let event = call.json();
    assert_eq!(event["eventType"], "prichal.alert.switchedOff");
    assert_eq!(event["entity"], format!("webhook:{hook}"));
    let alert = &event["data"];
    assert_eq!(alert["state"], "open");
    assert_eq!(alert["source"]["id"], hook.as_str());
    assert_eq!(alert["source"]["integrationId"], integration.id.as_str());
    assert_eq!(alert["details"]["switchedOffBy"], "WebApp");

    let listed = alerts(&space, "?state=open&kind=switchedOff").await;
    assert_eq!(listed, std::slice::from_ref(alert));
    for query in [
        "?state=over",
        "?kind=lag",
        "?sourceId=00000000-0000-0000-0000-000000000001",
    ] {
        assert_eq!(alerts(&space, query).await, [] as [Value; 0], "{query}");
    }
    let path = format!("/alerts/{}", alert["id"].as_str().expect("an id"));
    assert_eq!(space.get(&path).await.ok().json, *alert);
    let acknowledged = space
        .post(&format!("{path}/acknowledge"), json!({}))
        .await
        .ok();
    assert_eq!(acknowledged["acknowledgedAt"], "2026-01-01T00:00:00+00:00");

    // The feed shows it to administrators who ask for it, and to no member.
    let feed = "/events?eventTypes=prichal.alert.*";
    assert_eq!(space.get(feed).await.ok()["items"][0]["id"], event["id"]);
    assert_eq!(space.get("/events?eventTypes=*").await.ok()["count"], 0);
    let member = hub.token("acme", "member").await;
    assert_eq!(member.get(feed).await.ok()["count"], 0);

    // Another workspace sees nothing.
    let other = hub.workspace("other").await;
    assert_eq!(alerts(&other, "").await, [] as [Value; 0]);
    assert_eq!(other.get(&path).await.status, 409);
    let foreign = other.post(&format!("{path}/acknowledge"), json!({})).await;
    assert_eq!(foreign.status, 409);

    // It outlives a restart.
    let hub = hub.restart().await;
    let space = hub.adopt(&space);
    assert_eq!(alerts(&space, "").await, [acknowledged.json]);
    assert_eq!(watcher.waiting(), 0);
}

/// The kinds, states and sources of all events about alerts, in order.
async fn told(space: &Caller) -> Vec<[String; 3]> {
    let feed = "/events?eventTypes=prichal.alert.*&limit=1000";
    let page = space.get(feed).await.ok();
    let items = page["items"].as_array().expect("items").iter();
    items
        .map(|event| {
            let alert = &event["data"];
            let source = alert["source"]["id"].as_str();
            let source = source.or(alert["source"]["name"].as_str());
            [alert["kind"].as_str(), alert["state"].as_str(), source]
                .map(|text| text.expect("a text").to_owned())
        })
        .collect()
}

/// Moves the clock on until these events about alerts, and no others, were told.
pub(super) async fn wait_told(hub: &Hub, space: &Caller, step: Duration, expected: &[[&str; 3]]) {
    let what = format!("these alerts: {expected:?}");
    let all = async {
        eventually(&what, || async {
            let told = told(space).await;
            (told.len() >= expected.len()).then_some(told)
        })
        .await
    };
    assert_eq!(hub.advance_until(step, all).await, expected);
}

pub(super) const MINUTE: Duration = Duration::from_mins(1);
/// A step in which a call has time to be answered.
pub(super) const MOMENT: Duration = Duration::from_secs(2);

/// Waits until the last call of a webhook has succeeded.
async fn wait_until_working(space: &Caller, hook: &str) {
    eventually("it works", || async {
        let state = space.get(&format!("/webhooks/{hook}/state")).await.ok();
        (state["state"] == "working" && state.get("failingSince").is_none()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_webhook_that_fails_is_told_once_and_flaps_in_silence() {
    let receiver = Receiver::good().await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    let kinds = json!({"failing": {"minutes": 5}, "lag": {"enabled": false}});
    set(&space, json!({"kinds": kinds, "silenceMinutes": 1440})).await;
    receiver.answer(|_| Reply::Status(503));
    company(&space, "a").await;
    integration.attempts(1).await;
    let failing = |state| ["failing", state, hook.as_str()];
    // With a longer step a retry may end without an answer, whose status is told.
    wait_told(&hub, &space, MOMENT, &[failing("open")]).await;
    let [alert] = &alerts(&space, "?state=open").await[..] else {
        panic!("one alert is open")
    };
    assert_eq!(alert["since"], "2026-01-01T00:00:00+00:00");
    assert_eq!(alert["details"]["httpStatus"], 503);
    let message = alert["message"].as_str().expect("a message");
    assert!(
        message.starts_with("The webhook `/callbacks` of listener has failed for "),
        "{message}"
    );

    // It is not told again after a restart, and over when the webhook has worked for some time.
    let hub = hub.restart().await;
    let space = hub.adopt(&space);
    receiver.answer(|_| Reply::Good);
    company(&space, "b").await;
    wait_until_working(&space, &hook).await;
    let over = [failing("open"), failing("over")];
    wait_told(&hub, &space, MOMENT, &over).await;
    let [ended] = &alerts(&space, "").await[..] else {
        panic!("there is one alert")
    };
    assert_eq!(
        (&ended["id"], &ended["state"]),
        (&alert["id"], &json!("over"))
    );

    // It fails again at once, and with it another one, which is told before.
    receiver.answer(|_| Reply::Status(500));
    let other = Integration::install(&space, "other", &receiver.url).await;
    let second = other.subscribe().await;
    company(&space, "c").await;
    other.attempts(1).await;
    let step = Duration::from_mins(20);
    let two = [
        failing("open"),
        failing("over"),
        ["failing", "open", &second],
    ];
    wait_told(&hub, &space, MINUTE, &two).await;
    let all = [&two[..], &[failing("open")]].concat();
    wait_told(&hub, &space, step, &all).await;
    let open = alerts(&space, "?state=open").await;
    assert_eq!(open.len(), 2);
}

#[tokio::test]
async fn a_lag_is_told_by_number_and_by_age() {
    let receiver = Receiver::start(|_| Reply::Status(503)).await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    let kinds = json!({
        "failing": {"enabled": false},
        "lag": {"events": 4, "seconds": 120},
    });
    set(&space, json!({"kinds": kinds, "silenceMinutes": 0})).await;
    for name in ["a", "b", "c", "d"] {
        company(&space, name).await;
    }
    integration.attempts(4).await;
    let lag = |state| ["lag", state, hook.as_str()];
    wait_told(&hub, &space, MINUTE, &[lag("open")]).await;
    let alert = &alerts(&space, "?kind=lag").await[0];
    assert_eq!(alert["details"]["lagEvents"], 4);
    receiver.answer(|_| Reply::Good);
    wait_told(&hub, &space, MOMENT, &[lag("open"), lag("over")]).await;

    // One event that cannot be delivered is enough, if it waits for long.
    receiver.answer(|call| match call.new_member("name").as_str() {
        Some("bad") => Reply::Status(503),
        _ => Reply::Good,
    });
    company(&space, "bad").await;
    company(&space, "good").await;
    let again = [lag("open"), lag("over"), lag("open")];
    wait_told(&hub, &space, MOMENT, &again).await;
    let alert = &alerts(&space, "?state=open").await[0];
    assert_eq!(alert["details"]["lagEvents"], 1);
    assert!(
        alert["details"]["lagSeconds"].as_i64() >= Some(120),
        "{alert}"
    );
    // Given up: nothing waits any more.
    let done = [&again[..], &[lag("over")]].concat();
    wait_told(&hub, &space, MINUTE, &done).await;
}

#[tokio::test]
async fn nobody_is_told_of_what_is_off_or_muted() {
    let receiver = Receiver::start(|_| Reply::Status(503)).await;
    let (hub, space, integration, muted) = hub_with_hook(&receiver).await;
    let loud = integration
        .add_hook(entity_hook("/loud", json!([{ "entityType": "company" }])))
        .await;
    set(
        &space,
        json!({"muted": [muted], "kinds": {"lag": {"enabled": false}}}),
    )
    .await;
    company(&space, "a").await;
    integration.attempts(2).await;
    let open = ["failing", "open", loud.as_str()];
    wait_told(&hub, &space, MINUTE, &[open]).await;
    // An open alert is over when its kind is switched off, and nothing else begins.
    set(&space, json!({"kinds": {"failing": {"enabled": false}}})).await;
    let over = ["failing", "over", loud.as_str()];
    wait_told(&hub, &space, MINUTE, &[open, over]).await;
}

#[tokio::test]
async fn an_alert_about_an_alert_webhook_goes_to_others_only() {
    let bad = Receiver::start(|_| Reply::Status(503)).await;
    let good = Receiver::good().await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let filter = json!([{ "eventTypes": ["prichal.alert.*"] }, { "entityType": "company" }]);
    let failing = Integration::install(&space, "failing", &bad.url).await;
    let hook = failing
        .add_hook(entity_hook("/alerts", filter.clone()))
        .await;
    let working = Integration::install(&space, "working", &good.url).await;
    working.add_hook(entity_hook("/alerts", filter)).await;
    set(&space, json!({"kinds": {"lag": {"enabled": false}}})).await;
    company(&space, "a").await;
    failing.attempts(1).await;
    assert_eq!(good.next().await.new_member("name"), "a");
    let open = ["failing", "open", hook.as_str()];
    wait_told(&hub, &space, MINUTE, &[open]).await;
    let told = good.next().await.json();
    assert_eq!(told["data"]["source"]["id"], hook.as_str());
    // The other one has got the alert, and this one was never called with it.
    let attempts = failing.attempts(1).await;
    let events: Vec<_> = attempts.iter().map(|one| &one["eventId"]).collect();
    assert!(!events.contains(&&told["id"]), "{events:?}");
}

#[tokio::test]
async fn a_webhook_that_is_removed_has_no_alert_any_more() {
    let receiver = Receiver::start(|_| Reply::Status(503)).await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    set(&space, json!({"kinds": {"lag": {"enabled": false}}})).await;
    company(&space, "a").await;
    integration.attempts(1).await;
    let open = ["failing", "open", hook.as_str()];
    wait_told(&hub, &space, MINUTE, &[open]).await;
    let removal = json!([{ "op": "remove", "path": format!("/webHooks/{hook}") }]);
    integration.patch(removal).await.ok();
    let over = ["failing", "over", hook.as_str()];
    wait_told(&hub, &space, MINUTE, &[open, over]).await;
}
