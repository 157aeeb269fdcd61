//! Deliveries that fail: retries on the documented clock, and webhooks that are switched off.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};

use super::hub_with_hook;
use crate::harness::{
    hub::Hub,
    integration::{Integration, company},
    receiver::{Receiver, Reply},
};

/// The waits after each failure, and then no more: `30 s, 1, 5, 15 min, 1, 1, 1 h`.
#[tokio::test]
async fn a_failed_event_comes_again_on_the_documented_clock_and_others_go_on() {
    let failing = Arc::new(Mutex::new(String::new()));
    let name = failing.clone();
    let receiver = Receiver::start(move |call| {
        if call.new_member("name") == *name.lock().expect("no panic").as_str() {
            Reply::WrongEcho
        } else {
            Reply::Good
        }
    })
    .await;
    "bad".clone_into(&mut failing.lock().expect("no panic"));
    let (hub, space, integration, _) = hub_with_hook(&receiver).await;
    company(&space, "bad").await;
    let first = receiver.next().await;
    company(&space, "good").await;
    assert_eq!(
        receiver.next().await.new_member("name"),
        "good",
        "the next event is sent although the first failed"
    );
    let mut seen = 2;
    for (n, wait) in [30, 60, 300, 900, 3600, 3600, 3600].into_iter().enumerate() {
        integration.attempts(seen).await;
        hub.advance(Duration::from_secs(wait - 1));
        // One delivered event each time keeps the webhook enabled and shows that time has passed.
        company(&space, &format!("between {n}")).await;
        assert_eq!(
            receiver.next().await.new_member("name"),
            format!("between {n}"),
            "not before its time"
        );
        integration.attempts(seen + 1).await;
        hub.advance(Duration::from_secs(1));
        let again = receiver.next().await;
        assert_eq!(again.event_id(), first.event_id());
        assert_eq!(
            again.header("webhook-id"),
            first.header("webhook-id"),
            "the same message"
        );
        assert_ne!(
            again.header("x-xcom-integration-echo"),
            first.header("x-xcom-integration-echo"),
            "a fresh echo"
        );
        seen += 2;
    }
    let attempts = integration.attempts(seen).await;
    let of_bad: Vec<&Value> = attempts
        .iter()
        .filter(|attempt| attempt["eventId"] == first.event_id())
        .collect();
    assert_eq!(of_bad.len(), 8);
    assert_eq!(
        (&of_bad[0]["status"], &of_bad[0]["attempt"]),
        (&json!("exhausted"), &json!(8))
    );
    assert!(
        of_bad[1..]
            .iter()
            .all(|attempt| attempt["status"] == "deferred")
    );
    hub.advance(Duration::from_hours(24));
    company(&space, "last").await;
    assert_eq!(
        receiver.next().await.new_member("name"),
        "last",
        "no ninth call"
    );
    let feed = space.get("/events?limit=1000").await.ok();
    let listed = feed["items"]
        .as_array()
        .expect("items")
        .iter()
        .any(|event| event["id"] == first.event_id());
    assert!(listed, "still in the feed");
}

#[tokio::test]
async fn failures_of_receivers_are_distinguished() {
    let elsewhere = Receiver::good().await;
    let target = elsewhere.url.clone();
    let replies: Vec<(&str, Reply, Option<u16>)> = vec![
        ("500", Reply::Status(500), Some(500)),
        ("204", Reply::Echoed(204), Some(204)),
        ("201", Reply::Echoed(201), Some(201)),
        ("no echo", Reply::NoEcho, Some(200)),
        ("wrong echo", Reply::WrongEcho, Some(200)),
        ("redirect", Reply::Redirect(target), Some(301)),
        ("close", Reply::Close, None),
        ("noise", Reply::Noise, None),
        ("silence", Reply::Silence, None),
    ];
    let script: HashMap<String, Reply> = replies
        .iter()
        .map(|(name, reply, _)| ((*name).to_owned(), reply.clone()))
        .collect();
    let receiver = Receiver::start(move |call| {
        script[call.new_member("name").as_str().expect("a name")].clone()
    })
    .await;
    let (hub, space, integration, _) = hub_with_hook(&receiver).await;
    for (count, (name, _, status)) in replies.iter().enumerate() {
        company(&space, name).await;
        receiver.next().await;
        if *name == "silence" {
            hub.advance(Duration::from_secs(10));
        }
        let attempts = integration.attempts(count + 1).await;
        let attempt = attempts
            .iter()
            .find(|attempt| attempt["attempt"] == 1)
            .expect("the newest");
        assert_eq!(attempt["status"], "deferred", "{name}");
        assert_eq!(attempt["httpStatus"], json!(status), "{name}: {attempt}");
        assert!(
            attempt["error"]
                .as_str()
                .is_some_and(|error| !error.is_empty()),
            "{name}: {attempt}"
        );
        if *name == "500" {
            assert_eq!(attempt["answer"], "sorry");
        }
        if *name == "redirect" {
            let error = attempt["error"].as_str().expect("an error");
            assert!(error.contains(&elsewhere.url), "{error}");
        }
    }
    assert_eq!(elsewhere.waiting(), 0, "redirects are not followed");
}

/// An endless body is read only as far as it is stored. The delivery counts as good.
#[tokio::test]
async fn an_endless_answer_ends_with_the_call() {
    let receiver = Receiver::start(|_| Reply::Endless).await;
    let (_hub, space, integration, _) = hub_with_hook(&receiver).await;
    company(&space, "one").await;
    receiver.next().await;
    let attempts = integration.attempts(1).await;
    assert!(
        attempts[0]["answer"]
            .as_str()
            .is_some_and(|answer| answer.len() <= 1024 && answer.starts_with("wave"))
    );
}

#[tokio::test]
async fn five_failures_show_and_a_success_clears_them() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let (hub, space, integration, _) = hub_with_hook(&receiver).await;
    for n in 1..=4 {
        company(&space, "x").await;
        integration.attempts(n).await;
    }
    assert_eq!(integration.status().await, "active");
    company(&space, "x").await;
    integration.wait_for_status("hasErrors").await;
    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_secs(30));
    integration.wait_for_status("active").await;
    let feed = space.get("/events?limit=1000").await.ok();
    let statuses: Vec<String> = feed["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|event| {
            event["changeData"]["new"]["status"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    assert!(
        statuses.contains(&"hasErrors".to_owned()),
        "the feed shows it too: {statuses:?}"
    );
}

#[tokio::test]
async fn three_exhausted_events_in_a_row_switch_the_hook_off() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let hub = Hub::with(|config| {
        config.retry_schedule = prichal_core::retry::Schedule(vec![Duration::from_secs(30)]);
    })
    .await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let hook = integration.subscribe().await;
    for n in 1..=3 {
        company(&space, "x").await;
        integration.attempts(2 * n - 1).await;
        hub.advance(Duration::from_secs(30));
        integration.attempts(2 * n).await;
    }
    integration.wait_for_status("failed").await;
    let instance = space.get(&integration.instance()).await.ok();
    assert_eq!(instance["webHooks"][0]["disabled"], true);
    let before = integration.attempts(6).await.len();
    company(&space, "unheard").await;

    // Enabled again it starts at the end, and a success makes the instance active.
    receiver.answer(|_| Reply::Good);
    while receiver.waiting() > 0 {
        receiver.next().await;
    }
    let enable =
        json!([{ "op": "replace", "path": format!("/webHooks/{hook}/disabled"), "value": false }]);
    integration.patch(enable).await.ok();
    company(&space, "heard").await;
    assert_eq!(receiver.next().await.new_member("name"), "heard");
    integration.wait_for_status("active").await;
    assert_eq!(integration.attempts(before + 1).await.len(), before + 1);
}

#[tokio::test]
async fn a_hundred_failures_over_an_hour_switch_the_hook_off() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let (hub, space, integration, _) = hub_with_hook(&receiver).await;
    for n in 0..60 {
        company(&space, &format!("{n}")).await;
    }
    integration.attempts(60).await;
    assert_ne!(integration.status().await, "failed", "all within a moment");
    hub.advance(Duration::from_secs(30));
    integration.attempts(120).await;
    assert_ne!(
        integration.status().await,
        "failed",
        "more than a hundred, but not over an hour"
    );
    hub.advance(Duration::from_hours(1));
    integration.wait_for_status("failed").await;
}
