//! Deliveries while instances pause and leave, and while servers stop and start.

use std::time::Duration;

use serde_json::json;

use super::hub_with_hook;
use crate::harness::{
    hub::{Hub, eventually},
    integration::{Integration, company, entity_hook, schedule_hook},
    receiver::{Receiver, Reply},
};

#[tokio::test]
async fn a_paused_instance_gets_no_events_of_that_time() {
    let receiver = Receiver::good().await;
    let (_hub, space, integration, _) = hub_with_hook(&receiver).await;
    company(&space, "before").await;
    assert_eq!(receiver.next().await.new_member("name"), "before");
    space
        .post(&format!("{}/pause", integration.instance()), json!({}))
        .await
        .ok();
    assert_eq!(integration.status().await, "paused");
    company(&space, "while paused").await;
    space
        .post(&format!("{}/resume", integration.instance()), json!({}))
        .await
        .ok();
    assert_eq!(integration.status().await, "active");
    company(&space, "after").await;
    assert_eq!(receiver.next().await.new_member("name"), "after");
}

/// Replays of a receiver that takes none pile up to a limit.
#[tokio::test]
async fn the_unfinished_replays_of_a_webhook_are_bounded() {
    let receiver = Receiver::good().await;
    let (_hub, space, integration, hook) = hub_with_hook(&receiver).await;
    company(&space, "told").await;
    receiver.next().await;
    integration.attempts(1).await;
    let pause = format!("{}/pause", integration.instance());
    space.post(&pause, json!({})).await.ok();
    let replay = format!("{}/webHooks/{hook}/replay", integration.instance());
    let from = json!({ "fromOffset": "00000000-0000-0000-0000-000000000000" });
    for _ in 0..100 {
        let asked = space.post(&replay, from.clone()).await;
        assert_eq!((asked.status, &asked["count"]), (202, &json!(1)));
    }
    let refused = space.post(&replay, from.clone()).await;
    assert_eq!(
        (refused.status, &refused["status"]),
        (409, &json!("tooMany")),
        "{}",
        refused.text
    );
    assert!(refused.text.contains("100 replays"), "{}", refused.text);
    let resume = format!("{}/resume", integration.instance());
    space.post(&resume, json!({})).await.ok();
    receiver.take(100).await;
    integration.attempts(101).await;
    assert_eq!(space.post(&replay, from).await.status, 202);
    receiver.next().await;
}

/// Deferred deliveries are retried after a pause, and so is a replay that was requested during it.
#[tokio::test]
async fn a_pause_loses_nothing_that_waited() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    company(&space, "deferred").await;
    receiver.next().await;
    integration.attempts(1).await;
    let pause = format!("{}/pause", integration.instance());
    space.post(&pause, json!({})).await.ok();
    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_mins(1));
    let replay = format!("{}/webHooks/{hook}/replay", integration.instance());
    let from = json!({ "fromOffset": "00000000-0000-0000-0000-000000000000" });
    let asked = space.post(&replay, from).await;
    assert_eq!((asked.status, &asked["count"]), (202, &json!(1)));
    let resume = format!("{}/resume", integration.instance());
    space.post(&resume, json!({})).await.ok();
    let (one, two) = (receiver.next().await, receiver.next().await);
    assert_eq!(one.event_id(), two.event_id());
    let replayed = [&one, &two].map(|call| call.header("x-prichal-replay").is_some());
    assert!(
        replayed.contains(&true) && replayed.contains(&false),
        "{replayed:?}"
    );
}

#[tokio::test]
async fn uninstalling_ends_it() {
    let receiver = Receiver::good().await;
    let (_hub, space, integration, _) = hub_with_hook(&receiver).await;
    let other = Integration::install(&space, "witness", &receiver.url).await;
    other
        .add_hook(entity_hook(
            "/witness",
            json!([{ "entityType": "company" }]),
        ))
        .await;
    let gone = space
        .post(
            &format!("/integrations/{}/uninstall", integration.id),
            json!({}),
        )
        .await
        .ok();
    assert_eq!(gone.json, json!("OK"));
    company(&space, "x").await;
    assert_eq!(receiver.next().await.path, "/witness");
    other.attempts(1).await;
    assert_eq!(receiver.waiting(), 0);
    let instance = space.get(&integration.instance()).await.ok();
    assert_eq!(
        (&instance["status"], &instance["webHooks"]),
        (&json!("notConfigured"), &json!([]))
    );
}

/// All waiting events of a webhook are gone with it before the request is answered.
#[tokio::test]
async fn the_events_of_a_removed_webhook_are_gone() {
    const COUNT: i64 = 230;
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    let waiting = || async {
        let depth = prichal_store::delivery::queue_depth;
        hub.app.db.read(depth).await.expect("a look").0
    };
    for n in 0..COUNT {
        company(&space, &format!("{n}")).await;
    }
    eventually("all wait", || async {
        (waiting().await == COUNT).then_some(())
    })
    .await;
    let remove = json!([{ "op": "remove", "path": format!("/webHooks/{hook}") }]);
    integration.patch(remove).await.ok();
    assert_eq!(waiting().await, 0);
    // A hook with the same id is a new one, and starts at the end of the feed.
    receiver.answer(|_| Reply::Good);
    let waiting = receiver.waiting();
    receiver.take(waiting).await;
    let mut again = entity_hook("/again", json!([{ "entityType": "company" }]));
    again["id"] = json!(hook);
    assert_eq!(integration.add_hook(again).await, hook);
    hub.advance(Duration::from_hours(1));
    company(&space, "after").await;
    let call = receiver.next().await;
    assert_eq!(
        (&*call.path, call.new_member("name")),
        ("/again", json!("after"))
    );
}

#[tokio::test]
async fn an_uninstalled_integration_leaves_no_events() {
    const COUNT: i64 = 230;
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let (hub, space, integration, _) = hub_with_hook(&receiver).await;
    let waiting = || async {
        let depth = prichal_store::delivery::queue_depth;
        hub.app.db.read(depth).await.expect("a look").0
    };
    for n in 0..COUNT {
        company(&space, &format!("{n}")).await;
    }
    eventually("all wait", || async {
        (waiting().await == COUNT).then_some(())
    })
    .await;
    let path = format!("/integrations/{}/uninstall", integration.id);
    space.post(&path, json!({})).await.ok();
    assert_eq!(waiting().await, 0);
}

#[tokio::test]
async fn a_graceful_restart_repeats_nothing_and_loses_nothing() {
    let receiver = Receiver::start(|call| {
        if call.new_member("name") == "late" {
            Reply::Status(503)
        } else {
            Reply::Good
        }
    })
    .await;
    let (hub, space, integration, _) = hub_with_hook(&receiver).await;
    company(&space, "late").await;
    receiver.next().await;
    for n in 0..20 {
        company(&space, &format!("{n}")).await;
    }
    receiver.take(20).await;
    integration.attempts(21).await;
    let hub = hub.restart().await;
    let space = hub.adopt(&space);
    let integration = Integration {
        space: space.clone(),
        id: integration.id,
    };
    company(&space, "after").await;
    assert_eq!(
        receiver.next().await.new_member("name"),
        "after",
        "nothing comes twice"
    );
    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_secs(30));
    assert_eq!(
        receiver.next().await.new_member("name"),
        "late",
        "what was deferred is still due"
    );
    integration.attempts(23).await;
}

/// A lingering call does not hold the cursor back: after a crash only the calls in flight are repeated.
#[tokio::test]
async fn a_lingering_call_does_not_hold_the_cursor_back() {
    let receiver = Receiver::start(|call| {
        if call.new_member("name") == "stuck" {
            Reply::Silence
        } else {
            Reply::Good
        }
    })
    .await;
    let (hub, space, integration, _) = hub_with_hook(&receiver).await;
    company(&space, "stuck").await;
    receiver.next().await;
    for n in 0..5 {
        company(&space, &format!("{n}")).await;
    }
    receiver.take(5).await;
    integration.attempts(5).await;
    hub.advance(Duration::from_secs(2));
    eventually("the cursor passes", || async {
        hub.app
            .db
            .read(prichal_store::delivery::queue_depth)
            .await
            .is_ok_and(|(depth, _)| depth == 1)
            .then_some(())
    })
    .await;
    hub.advance(Duration::from_secs(8));
    let attempts = integration.attempts(6).await;
    assert_eq!(
        attempts[0]["error"]
            .as_str()
            .map(|error| error.contains("timed out")),
        Some(true)
    );
    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_secs(30));
    assert_eq!(receiver.next().await.new_member("name"), "stuck");
    integration.attempts(7).await;
    eventually("the queue is empty", || async {
        hub.app
            .db
            .read(prichal_store::delivery::queue_depth)
            .await
            .is_ok_and(|(depth, _)| depth == 0)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_new_version_is_announced_at_once() {
    let receiver = Receiver::good().await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "upgrader", &receiver.url).await;
    integration
        .add_hook(schedule_hook("setup/upgrade", "1.00:00:00"))
        .await;
    let manifest = json!({ "name": "upgrader", "version": "2.0", "baseUrl": receiver.url });
    space
        .put(
            &format!("/integrations/{}/manifest", integration.id),
            manifest,
        )
        .await
        .ok();
    assert_eq!(receiver.next().await.path, "/setup/upgrade");
}
