//! The bounds of a webhook's settings: rate, calls at once, strict order.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{hub_with_hook, settings::change};
use crate::harness::{
    document_subscriber::subscribed,
    hub::{Caller, Hub, Installation},
    integration::{Integration, company},
    receiver::{Call, Receiver, Reply},
};

const SECOND: Duration = Duration::from_secs(1);

fn names(calls: &[Call]) -> Vec<Value> {
    calls.iter().map(|call| call.new_member("name")).collect()
}

/// Renames a company.
async fn rename(space: &Caller, id: &str, name: &str) {
    let operations = json!([{"op": "replace", "path": "/name", "value": name}]);
    space
        .patch(&format!("/companies/{id}"), operations)
        .await
        .ok();
}

/// A receiver that refuses the calls with these names.
async fn refusing(names: &[&str]) -> (Receiver, Arc<Mutex<HashSet<String>>>) {
    let refused: HashSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let refused = Arc::new(Mutex::new(refused));
    let script = refused.clone();
    let receiver = Receiver::start(move |call| {
        let name = call.new_member("name");
        let name = name.as_str().unwrap_or_default();
        if script.lock().expect("no panic").contains(name) {
            Reply::Status(503)
        } else {
            Reply::Good
        }
    });
    (receiver.await, refused)
}

#[tokio::test]
async fn a_rate_holds_across_a_crash_and_delays_no_other_webhook() {
    let (receiver, other) = (Receiver::good().await, Receiver::good().await);
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    let neighbour = Integration::install(&space, "neighbour", &other.url).await;
    neighbour.subscribe().await;
    let limit = json!({"rateLimit": {"count": 2, "per": "second"}});
    change(&space, &hook, limit).await.ok();
    for n in 0..9 {
        company(&space, &n.to_string()).await;
    }
    other.take(9).await;
    assert_eq!(names(&receiver.take(2).await), ["0", "1"]);
    integration.attempts(2).await;
    assert_eq!(receiver.waiting(), 0);

    hub.advance(SECOND);
    assert_eq!(names(&receiver.take(2).await), ["2", "3"]);
    integration.attempts(4).await;
    let installation = hub.installation.clone();
    hub.kill();
    let hub = installation.start().await;
    let (space, neighbour) = (hub.adopt(&space), hub.adopt(&neighbour.space));
    company(&neighbour, "9").await;
    other.next().await;
    hub.advance(SECOND / 2);
    company(&space, "10").await;
    other.next().await;
    assert_eq!(receiver.waiting(), 0, "the calls before the crash count");
    hub.advance(SECOND / 2);
    assert_eq!(names(&receiver.take(2).await), ["4", "5"]);

    // Without the limit, all that waits is sent at once.
    change(&space, &hook, json!({"rateLimit": null})).await.ok();
    let rest = names(&receiver.take(5).await);
    let rest: HashSet<&str> = rest.iter().filter_map(Value::as_str).collect();
    assert_eq!(rest, HashSet::from(["6", "7", "8", "9", "10"]));
}

#[tokio::test]
async fn retries_count_and_neither_lane_starves() {
    let (receiver, refused) = refusing(&["0", "1", "2", "3"]).await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    let settings = json!({"rateLimit": {"count": 2, "per": "second"}, "retrySchedule": ["2s"]});
    change(&space, &hook, settings).await.ok();
    for n in 0..24 {
        company(&space, &n.to_string()).await;
    }
    let mut seen = Vec::new();
    for round in 0..14 {
        let calls = receiver.take(2).await;
        integration.attempts(2 * (round + 1)).await;
        assert_eq!(receiver.waiting(), 0, "{round}");
        seen.extend(names(&calls));
        if round == 1 {
            refused.lock().expect("no panic").clear();
        }
        hub.advance(SECOND);
    }
    let places = |name: &str| {
        let places = seen.iter().enumerate();
        let places = places.filter(|(_, one)| *one == name);
        places.map(|(place, _)| place).collect::<Vec<_>>()
    };
    for n in 0..24 {
        let times = if n < 4 { 2 } else { 1 };
        assert_eq!(places(&n.to_string()).len(), times, "{seen:?}");
    }
    // Retries and new events take turns.
    assert!(places("0")[1] < places("23")[0], "{seen:?}");
}

#[tokio::test]
async fn no_more_calls_run_at_once_than_the_settings_allow() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let receiver = Receiver::start(move |_| Reply::Held(held.clone())).await;
    let (_hub, space, integration, hook) = hub_with_hook(&receiver).await;
    change(&space, &hook, json!({"maxConcurrency": 3}))
        .await
        .ok();
    for n in 0..9 {
        company(&space, &n.to_string()).await;
    }
    receiver.take(3).await;
    gate.add_permits(9);
    integration.attempts(9).await;
    assert_eq!(receiver.most_open(), 3);
}

#[tokio::test]
async fn one_call_at_once_keeps_the_order_of_all_events() {
    let (receiver, refused) = refusing(&["a"]).await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    change(&space, &hook, json!({"maxConcurrency": 1}))
        .await
        .ok();
    for name in ["a", "b", "c"] {
        company(&space, name).await;
    }
    for (wait, count) in [(30, 1), (60, 2)] {
        assert_eq!(receiver.next().await.new_member("name"), "a");
        integration.attempts(count).await;
        assert_eq!(receiver.waiting(), 0);
        hub.advance(Duration::from_secs(wait - 1));
        company(&space, &format!("behind {count}")).await;
        if count == 2 {
            refused.lock().expect("no panic").clear();
        }
        hub.advance(SECOND);
    }
    let rest = names(&receiver.take(5).await);
    assert_eq!(rest, ["a", "b", "c", "behind 1", "behind 2"]);
    assert_eq!(receiver.most_open(), 1);

    // With `order`, a failure holds back the events of its entity alone.
    change(&space, &hook, json!({"order": "entity"})).await.ok();
    refused.lock().expect("no panic").insert("d".to_owned());
    company(&space, "d").await;
    company(&space, "e").await;
    assert_eq!(names(&receiver.take(2).await), ["d", "e"]);
}

#[tokio::test]
async fn an_entity_keeps_its_order_across_a_crash() {
    let (receiver, refused) = refusing(&["a1", "a2"]).await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    change(&space, &hook, json!({"order": "entity"})).await.ok();
    let a = company(&space, "a1").await;
    assert_eq!(receiver.next().await.new_member("name"), "a1");
    integration.attempts(1).await;
    rename(&space, &a, "a2").await;
    let b = company(&space, "b1").await;
    rename(&space, &b, "b2").await;
    rename(&space, &a, "a3").await;
    assert_eq!(names(&receiver.take(2).await), ["b1", "b2"]);
    integration.attempts(3).await;

    let installation = hub.installation.clone();
    hub.kill();
    let hub = installation.start().await;
    let (space, integration) = at(&hub, &integration);
    company(&space, "c1").await;
    assert_eq!(receiver.next().await.new_member("name"), "c1");
    integration.attempts(4).await;
    refused.lock().expect("no panic").remove("a1");
    hub.advance(Duration::from_secs(30));
    // The second event of the entity fails, and the third waits for it.
    assert_eq!(names(&receiver.take(2).await), ["a1", "a2"]);
    integration.attempts(6).await;
    company(&space, "c2").await;
    assert_eq!(receiver.next().await.new_member("name"), "c2");
    integration.attempts(7).await;
    assert_eq!(receiver.waiting(), 0);
    refused.lock().expect("no panic").clear();
    hub.advance(Duration::from_secs(30));
    assert_eq!(names(&receiver.take(2).await), ["a2", "a3"]);
    integration.attempts(9).await;

    // Without the setting, the next event overtakes one that fails.
    change(&space, &hook, json!({"order": null})).await.ok();
    refused.lock().expect("no panic").insert("a4".to_owned());
    rename(&space, &a, "a4").await;
    assert_eq!(receiver.next().await.new_member("name"), "a4");
    integration.attempts(10).await;
    rename(&space, &a, "a5").await;
    assert_eq!(receiver.next().await.new_member("name"), "a5");
}

/// The same integration at this server.
fn at(hub: &Hub, integration: &Integration) -> (Caller, Integration) {
    let space = hub.adopt(&integration.space);
    let integration = Integration {
        space: space.clone(),
        id: integration.id.clone(),
    };
    (space, integration)
}

#[tokio::test]
async fn a_replay_keeps_the_rate_and_the_order() {
    let (receiver, refused) = refusing(&[]).await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    for n in 0..5 {
        company(&space, &n.to_string()).await;
    }
    receiver.take(5).await;
    integration.attempts(5).await;
    hub.advance(Duration::from_mins(1));
    let settings = json!({"maxConcurrency": 1, "rateLimit": {"count": 3, "per": "minute"}});
    change(&space, &hook, settings).await.ok();
    refused.lock().expect("no panic").insert("1".to_owned());
    let replay = format!("{}/webHooks/{hook}/replay", integration.instance());
    let zero = "00000000-0000-0000-0000-000000000000";
    let begun = space.post(&replay, json!({ "fromOffset": zero })).await;
    assert_eq!((begun.status, &begun["count"]), (202, &json!(5)));
    assert_eq!(names(&receiver.take(2).await), ["0", "1"]);
    integration.attempts(7).await;
    assert_eq!(receiver.waiting(), 0, "the third waits for the second");
    refused.lock().expect("no panic").clear();
    hub.advance(Duration::from_secs(30));
    assert_eq!(names(&receiver.take(1).await), ["1"]);
    integration.attempts(8).await;
    assert_eq!(receiver.waiting(), 0, "three in a minute");
    hub.advance(Duration::from_secs(30));
    assert_eq!(names(&receiver.take(2).await), ["2", "3"]);
    hub.advance(Duration::from_mins(1));
    let last = receiver.next().await;
    assert_eq!(last.new_member("name"), "4");
    assert_eq!(last.header("x-prichal-replay"), Some("true"));
}

#[tokio::test]
async fn the_hook_of_documents_keeps_a_rate() {
    let receiver = Receiver::start(|_| Reply::Status(200)).await;
    let (hub, acme, _) = subscribed(&receiver).await;
    let space = acme.caller.at("/api/v1/acme");
    let sources = space.get("/webhooks").await.ok();
    let id = sources["items"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let limit = json!({"rateLimit": {"count": 1, "per": "minute"}});
    change(&space, &id, limit).await.ok();
    for number in ["1", "2", "3"] {
        acme.draft(&hub, number).await;
    }
    for count in 1..=3 {
        receiver.next().await;
        acme.attempts(count).await;
        assert_eq!(receiver.waiting(), 0);
        hub.advance(Duration::from_mins(1));
    }
}

/// A webhook that waits for its rate needs no call of another to go on, and a stop of the server does not wait for it.
#[tokio::test]
async fn a_stop_does_not_wait_for_the_rate() {
    let receiver = Receiver::good().await;
    let installation = Installation::new(|_| {});
    let hub = installation.start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let hook = integration.subscribe().await;
    let limit = json!({"rateLimit": {"count": 1, "per": "minute"}});
    change(&space, &hook, limit).await.ok();
    for name in ["0", "1"] {
        company(&space, name).await;
    }
    receiver.next().await;
    integration.attempts(1).await;
    let hub = hub.restart().await;
    hub.advance(Duration::from_mins(1));
    assert_eq!(receiver.next().await.new_member("name"), "1");
}
