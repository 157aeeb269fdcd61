//! Webhooks from the change to the receiver (`docs/contracts/prichal.md §6`, `docs/contracts/kontur.md §9`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::Semaphore;

use crate::{
    hub::{Caller, Hub, eventually},
    partner::{Partner, company, entity_hook, schedule_hook},
    receiver::{Call, Receiver, Reply},
};

/// A server with one workspace and one partner who hears of companies.
async fn hub_with_hook(receiver: &Receiver) -> (Hub, Caller, Partner, String) {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let partner = Partner::install(&space, "listener", &receiver.url).await;
    let hook = partner.subscribe().await;
    (hub, space, partner, hook)
}

fn expected_signature(secret: &str, call: &Call) -> String {
    let key = STANDARD
        .decode(secret.strip_prefix("whsec_").expect("a signing secret"))
        .expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length");
    let (id, at) = (
        call.header("webhook-id").expect("an id"),
        call.header("webhook-timestamp").expect("a time"),
    );
    mac.update(format!("{id}.{at}.{}", call.body).as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

async fn signing_secrets(partner: &Partner) -> Vec<String> {
    let instance = partner.space.get(&partner.instance()).await.ok();
    let secrets = instance["secrets"].as_array().expect("secrets").clone();
    let signing = secrets
        .iter()
        .find(|secret| secret["id"] == "webhook.signingSecret")
        .expect("a signing secret");
    let values = signing["values"]
        .as_array()
        .cloned()
        .unwrap_or_else(|| vec![signing["value"].clone()]);
    values
        .iter()
        .map(|value| value.as_str().expect("text").to_owned())
        .collect()
}

#[tokio::test]
async fn a_change_reaches_the_receiver_as_the_feed_shows_it() {
    let receiver = Receiver::good().await;
    let (_hub, space, partner, _) = hub_with_hook(&receiver).await;
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
    let secrets = signing_secrets(&partner).await;
    assert_eq!(
        call.header("webhook-signature"),
        Some(expected_signature(&secrets[0], &call).as_str())
    );
    let by_key = space.access_key(call.header("x-xcom-accesskey").expect("an access key"));
    by_key.get(&partner.instance()).await.ok();
    assert!(
        call.header("x-xcom-integration-echo")
            .is_some_and(|echo| echo.len() >= 16)
    );
    assert!(call.header("x-prichal-replay").is_none());

    let attempts = partner.attempts(1).await;
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
    let (_hub, space, partner, _) = hub_with_hook(&receiver).await;
    let old = signing_secrets(&partner).await.remove(0);
    let new = format!("whsec_{}", STANDARD.encode([7; 32]));
    let value = json!({ "id": "webhook.signingSecret", "value": new, "values": [old, new] });
    let replaced = partner.patch(
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
async fn only_what_the_filter_asks_for_is_sent() {
    let receiver = Receiver::good().await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let partner = Partner::install(&space, "listener", &receiver.url).await;
    let items = json!([{ "eventType": "change", "entityType": "company", "changeType": "patch" }, { "entityType": "contact" }]);
    partner.add_hook(entity_hook("callbacks", items)).await;
    partner.add_hook(entity_hook("/nothing", json!([]))).await;
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
    partner.attempts(3).await;
    assert_eq!(receiver.waiting(), 0);
}

fn change(call: &Call) -> String {
    let event = call.json();
    let ids = event["entityIds"].as_object().expect("ids");
    let kind = ids
        .keys()
        .next()
        .and_then(|member| member.strip_suffix("Id"))
        .expect("an id");
    format!(
        "{kind} {}",
        event["changeData"]["type"].as_str().expect("a change")
    )
}

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
    let (hub, space, partner, _) = hub_with_hook(&receiver).await;
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
        partner.attempts(seen).await;
        hub.advance(Duration::from_secs(wait - 1));
        // One good event each time, so that nothing is switched off and time is seen to have passed.
        company(&space, &format!("between {n}")).await;
        assert_eq!(
            receiver.next().await.new_member("name"),
            format!("between {n}"),
            "not before its time"
        );
        partner.attempts(seen + 1).await;
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
    let attempts = partner.attempts(seen).await;
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
async fn what_a_receiver_can_do_wrong_is_told_apart() {
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
    let (hub, space, partner, _) = hub_with_hook(&receiver).await;
    for (count, (name, _, status)) in replies.iter().enumerate() {
        company(&space, name).await;
        receiver.next().await;
        if *name == "silence" {
            hub.advance(Duration::from_secs(10));
        }
        let attempts = partner.attempts(count + 1).await;
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

/// An endless body is read as far as it is kept, and no further: the answer itself was good.
#[tokio::test]
async fn an_endless_answer_ends_with_the_call() {
    let receiver = Receiver::start(|_| Reply::Endless).await;
    let (_hub, space, partner, _) = hub_with_hook(&receiver).await;
    company(&space, "one").await;
    receiver.next().await;
    let attempts = partner.attempts(1).await;
    assert!(
        attempts[0]["answer"]
            .as_str()
            .is_some_and(|answer| answer.len() <= 1024 && answer.starts_with("wave"))
    );
}

#[tokio::test]
async fn five_failures_show_and_a_success_clears_them() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let (hub, space, partner, _) = hub_with_hook(&receiver).await;
    for n in 1..=4 {
        company(&space, "x").await;
        partner.attempts(n).await;
    }
    assert_eq!(partner.status().await, "active");
    company(&space, "x").await;
    partner.becomes("hasErrors").await;
    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_secs(30));
    partner.becomes("active").await;
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
    let partner = Partner::install(&space, "listener", &receiver.url).await;
    let hook = partner.subscribe().await;
    for n in 1..=3 {
        company(&space, "x").await;
        partner.attempts(2 * n - 1).await;
        hub.advance(Duration::from_secs(30));
        partner.attempts(2 * n).await;
    }
    partner.becomes("failed").await;
    let instance = space.get(&partner.instance()).await.ok();
    assert_eq!(instance["webHooks"][0]["disabled"], true);
    let before = partner.attempts(6).await.len();
    company(&space, "unheard").await;

    // Enabled again it starts at the end, and a success makes the instance active.
    receiver.answer(|_| Reply::Good);
    while receiver.waiting() > 0 {
        receiver.next().await;
    }
    let enable =
        json!([{ "op": "replace", "path": format!("/webHooks/{hook}/disabled"), "value": false }]);
    partner.patch(enable).await.ok();
    company(&space, "heard").await;
    assert_eq!(receiver.next().await.new_member("name"), "heard");
    partner.becomes("active").await;
    assert_eq!(partner.attempts(before + 1).await.len(), before + 1);
}

#[tokio::test]
async fn a_hundred_failures_over_an_hour_switch_the_hook_off() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let (hub, space, partner, _) = hub_with_hook(&receiver).await;
    for n in 0..60 {
        company(&space, &format!("{n}")).await;
    }
    partner.attempts(60).await;
    assert_ne!(partner.status().await, "failed", "all within a moment");
    hub.advance(Duration::from_secs(30));
    partner.attempts(120).await;
    assert_ne!(
        partner.status().await,
        "failed",
        "more than a hundred, but not over an hour"
    );
    hub.advance(Duration::from_hours(1));
    partner.becomes("failed").await;
}

#[tokio::test]
async fn never_two_calls_at_once_for_one_entity_and_many_for_many() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let receiver = Receiver::start(move |_| Reply::Held(held.clone())).await;
    let (_hub, space, partner, _) = hub_with_hook(&receiver).await;
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
    partner.attempts(6).await;
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
    let sleeper = Partner::install(&space, "sleeper", &slow.url).await;
    sleeper.subscribe().await;
    let runner = Partner::install(&space, "runner", &quick.url).await;
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
async fn a_paused_instance_hears_nothing_and_misses_what_passed() {
    let receiver = Receiver::good().await;
    let (_hub, space, partner, _) = hub_with_hook(&receiver).await;
    company(&space, "before").await;
    assert_eq!(receiver.next().await.new_member("name"), "before");
    space
        .post(&format!("{}/pause", partner.instance()), json!({}))
        .await
        .ok();
    assert_eq!(partner.status().await, "paused");
    company(&space, "while paused").await;
    space
        .post(&format!("{}/resume", partner.instance()), json!({}))
        .await
        .ok();
    assert_eq!(partner.status().await, "active");
    company(&space, "after").await;
    assert_eq!(receiver.next().await.new_member("name"), "after");
}

/// What was deferred before a pause is tried again after it; so is a replay asked for meanwhile.
#[tokio::test]
async fn a_pause_loses_nothing_that_waited() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let (hub, space, partner, hook) = hub_with_hook(&receiver).await;
    company(&space, "deferred").await;
    receiver.next().await;
    partner.attempts(1).await;
    let pause = format!("{}/pause", partner.instance());
    space.post(&pause, json!({})).await.ok();
    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_mins(1));
    let replay = format!("{}/webHooks/{hook}/replay", partner.instance());
    let from = json!({ "fromOffset": "00000000-0000-0000-0000-000000000000" });
    let asked = space.post(&replay, from).await;
    assert_eq!((asked.status, &asked["count"]), (202, &json!(1)));
    let resume = format!("{}/resume", partner.instance());
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
    let (_hub, space, partner, _) = hub_with_hook(&receiver).await;
    let other = Partner::install(&space, "witness", &receiver.url).await;
    other
        .add_hook(entity_hook(
            "/witness",
            json!([{ "entityType": "company" }]),
        ))
        .await;
    let gone = space
        .post(
            &format!("/integrations/{}/uninstall", partner.id),
            json!({}),
        )
        .await
        .ok();
    assert_eq!(gone.json, json!("OK"));
    company(&space, "x").await;
    assert_eq!(receiver.next().await.path, "/witness");
    other.attempts(1).await;
    assert_eq!(receiver.waiting(), 0);
    let instance = space.get(&partner.instance()).await.ok();
    assert_eq!(
        (&instance["status"], &instance["webHooks"]),
        (&json!("notConfigured"), &json!([]))
    );
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
    let (hub, space, partner, _) = hub_with_hook(&receiver).await;
    company(&space, "late").await;
    receiver.next().await;
    for n in 0..20 {
        company(&space, &format!("{n}")).await;
    }
    receiver.take(20).await;
    partner.attempts(21).await;
    let hub = hub.restart().await;
    let space = hub.adopt(&space);
    let partner = Partner {
        space: space.clone(),
        id: partner.id,
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
    partner.attempts(23).await;
}

/// A call that lingers does not hold the cursor back: after a crash only what was really in flight
/// comes again.
#[tokio::test]
async fn what_lingers_is_passed_and_comes_again_after_a_restart() {
    let receiver = Receiver::start(|call| {
        if call.new_member("name") == "stuck" {
            Reply::Silence
        } else {
            Reply::Good
        }
    })
    .await;
    let (hub, space, partner, _) = hub_with_hook(&receiver).await;
    company(&space, "stuck").await;
    receiver.next().await;
    for n in 0..5 {
        company(&space, &format!("{n}")).await;
    }
    receiver.take(5).await;
    partner.attempts(5).await;
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
    let attempts = partner.attempts(6).await;
    assert_eq!(
        attempts[0]["error"]
            .as_str()
            .map(|error| error.contains("timed out")),
        Some(true)
    );
    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_secs(30));
    assert_eq!(receiver.next().await.new_member("name"), "stuck");
    partner.attempts(7).await;
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
        let partner =
            Partner::install(&space, &format!("p{n}"), &format!("http://{host}:{port}")).await;
        partner.subscribe().await;
        company(&space, "x").await;
        let attempts = partner.attempts(1).await;
        assert_eq!(attempts[0]["status"], "deferred", "{host}");
        let error = attempts[0]["error"].as_str().expect("a reason");
        assert!(error.starts_with("refused"), "{host}: {error}");
    }
    assert_eq!(receiver.waiting(), 0);
}

#[tokio::test]
async fn replay_sends_a_stretch_again_beside_the_main_line() {
    let receiver = Receiver::good().await;
    let (_hub, space, partner, hook) = hub_with_hook(&receiver).await;
    for n in 0..30 {
        company(&space, &format!("{n}")).await;
    }
    space
        .post("/deals", json!({ "name": "not asked for" }))
        .await
        .ok();
    let mut calls = receiver.take(30).await;
    calls.sort_by_key(|call| call.json()["offset"].as_str().map(str::to_owned));
    let offset = |n: usize| calls[n].json()["offset"].clone();
    let path = format!("{}/webHooks/{hook}/replay", partner.instance());
    let answer = space
        .post(
            &path,
            json!({ "fromOffset": offset(9), "toOffset": offset(19) }),
        )
        .await;
    assert_eq!(
        (answer.status, &answer["count"]),
        (202, &json!(10)),
        "{}",
        answer.text
    );
    let mut again = receiver.take(10).await;
    again.sort_by_key(|call| call.json()["offset"].as_str().map(str::to_owned));
    for (call, first) in again.iter().zip(&calls[10..=19]) {
        assert_eq!(call.body, first.body);
        assert_eq!(call.header("x-prichal-replay"), Some("true"));
    }
    let all = space.post(&path, json!({ "fromOffset": offset(27) })).await;
    assert_eq!(
        (all.status, &all["count"]),
        (202, &json!(2)),
        "up to the end, and only what the filter asks for"
    );
    receiver.take(2).await;
    // One asked for twice is sent once.
    let keyed = space.clone().header("idempotency-key", "again");
    for _ in 0..2 {
        let answer = keyed.post(&path, json!({ "fromOffset": offset(28) })).await;
        assert_eq!((answer.status, &answer["count"]), (202, &json!(1)));
    }
    receiver.take(1).await;
    partner.attempts(43).await;
    for (body, field) in [
        (json!({}), "fromOffset"),
        (json!({ "fromOffset": "x" }), "fromOffset"),
        (
            json!({ "fromOffset": offset(1), "toOffset": 7 }),
            "toOffset",
        ),
        (
            json!({ "fromOffset": offset(2), "toOffset": offset(1) }),
            "toOffset",
        ),
    ] {
        let refused = space.post(&path, body).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        assert!(
            refused["errors"]
                .as_object()
                .is_some_and(|errors| errors.contains_key(field)),
            "{}",
            refused.text
        );
    }
}

#[tokio::test]
async fn a_failed_replay_is_tried_again() {
    let receiver = Receiver::good().await;
    let (hub, space, partner, hook) = hub_with_hook(&receiver).await;
    company(&space, "one").await;
    let first = receiver.next().await;
    receiver.answer(|_| Reply::Status(500));
    let zero = "00000000-0000-0000-0000-000000000000";
    let path = format!("{}/webHooks/{hook}/replay", partner.instance());
    let answer = space.post(&path, json!({ "fromOffset": zero })).await;
    assert_eq!(
        (answer.status, &answer["count"]),
        (202, &json!(1)),
        "{}",
        answer.text
    );
    receiver.next().await;
    partner.attempts(2).await;
    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_secs(30));
    let again = receiver.next().await;
    assert_eq!(
        (again.event_id(), again.header("x-prichal-replay")),
        (first.event_id(), Some("true"))
    );
    partner.attempts(3).await;
}

#[tokio::test]
async fn a_test_call_is_answered_with_its_attempt_and_counts_for_nothing() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let (_hub, space, partner, hook) = hub_with_hook(&receiver).await;
    let path = format!("{}/webHooks/{hook}/test", partner.instance());
    for _ in 0..6 {
        let attempt = space.post(&path, json!({})).await.ok();
        assert_eq!(attempt["httpStatus"], 500);
        assert_eq!(attempt["webHookId"], hook.as_str());
        receiver.next().await;
    }
    assert_eq!(partner.status().await, "active");
    receiver.answer(|_| Reply::Good);
    let attempt = space.post(&path, json!({})).await.ok();
    assert_eq!(
        (&attempt["status"], &attempt["error"]),
        (&json!("delivered"), &Value::Null)
    );
    let call = receiver.next().await;
    let feed = space.get("/events?limit=1000").await.ok();
    assert!(
        feed["items"]
            .as_array()
            .expect("items")
            .iter()
            .all(|event| event["id"] != call.json()["id"])
    );
}

#[tokio::test]
async fn attempts_can_be_searched() {
    let receiver = Receiver::start(|call| {
        if call.new_member("name") == "bad" {
            Reply::Status(500)
        } else {
            Reply::Good
        }
    })
    .await;
    let (_hub, space, partner, hook) = hub_with_hook(&receiver).await;
    let other = partner
        .add_hook(entity_hook("/deals", json!([{ "entityType": "deal" }])))
        .await;
    for name in ["a", "bad", "b"] {
        company(&space, name).await;
    }
    space.post("/deals", json!({ "name": "d" })).await.ok();
    let all = partner.attempts(4).await;
    let bad = all
        .iter()
        .find(|attempt| attempt["status"] == "deferred")
        .expect("the failed one");
    let list = |query: String| {
        let (space, path) = (
            space.clone(),
            format!("{}/deliveries?{query}", partner.instance()),
        );
        async move { space.get(&path).await }
    };
    let ids = |items: &Value| {
        items
            .as_array()
            .expect("items")
            .iter()
            .map(|item| item["id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        ids(&list("status=deferred".into()).await.ok()["items"]),
        [bad["id"].clone()]
    );
    assert_eq!(
        list(format!("webHookId={other}")).await.ok()["items"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    assert_eq!(
        list(format!("webHookId={hook}")).await.ok()["items"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
    let event = bad["eventId"].as_str().expect("an id").to_owned();
    assert_eq!(
        ids(&list(format!("eventId={event}")).await.ok()["items"]),
        [bad["id"].clone()]
    );
    let newest = list("limit=1".into()).await.ok();
    assert_eq!(ids(&newest["items"]), [all[0]["id"].clone()]);
    let before = newest["items"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        ids(&list(format!("before={before}")).await.ok()["items"]),
        all[1..]
            .iter()
            .map(|item| item["id"].clone())
            .collect::<Vec<_>>()
    );
    for (query, field) in [
        ("status=lost", "status"),
        ("webHookId=x", "webHookId"),
        ("eventId=x", "eventId"),
        ("before=x", "before"),
        ("limit=0", "limit"),
    ] {
        let refused = list(query.into()).await;
        assert_eq!(refused.status, 400, "{query}: {}", refused.text);
        assert!(
            refused["errors"]
                .as_object()
                .is_some_and(|errors| errors.contains_key(field)),
            "{query}: {}",
            refused.text
        );
    }
}

#[tokio::test]
async fn schedule_hooks_are_called_once_per_period() {
    let receiver = Receiver::good().await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let partner = Partner::install(&space, "clockwork", &receiver.url).await;
    partner
        .add_hook(schedule_hook("communications/sync", "00:05:00"))
        .await;
    let secrets = signing_secrets(&partner).await;
    for _ in 0..3 {
        hub.advance(Duration::from_secs(299));
        // A test call shows that the clock has been looked at meanwhile.
        assert_eq!(receiver.waiting(), 0);
        hub.advance(Duration::from_secs(1));
        let call = receiver.next().await;
        assert_eq!(
            (call.method.as_str(), call.path.as_str(), call.body.as_str()),
            ("POST", "/communications/sync", "{}")
        );
        assert_eq!(
            call.header("webhook-signature"),
            Some(expected_signature(&secrets[0], &call).as_str())
        );
        next_tick_is_set(&hub).await;
    }
    // Ticks that nobody made do not pile up.
    hub.advance(Duration::from_hours(1));
    receiver.next().await;
    next_tick_is_set(&hub).await;
    hub.advance(Duration::from_mins(5));
    receiver.next().await;
    next_tick_is_set(&hub).await;
    assert_eq!(receiver.waiting(), 0);
}

/// Waits until the next tick stands at a whole period again: until then the call is not over.
async fn next_tick_is_set(hub: &Hub) {
    eventually("the next tick", || async {
        let next = hub
            .app
            .db
            .read(prichal_store::webhook::next_tick)
            .await
            .ok()??;
        let since = next.since(crate::hub::START).as_secs();
        (since.is_multiple_of(300)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn failed_ticks_show_and_a_good_one_clears_them() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let partner = Partner::install(&space, "clockwork", &receiver.url).await;
    partner
        .add_hook(schedule_hook("setup/upgrade", "00:05:00"))
        .await;
    for _ in 0..5 {
        hub.advance(Duration::from_mins(5));
        receiver.next().await;
        next_tick_is_set(&hub).await;
    }
    partner.becomes("hasErrors").await;
    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_mins(5));
    partner.becomes("active").await;
}

#[tokio::test]
async fn a_new_version_is_told_at_once() {
    let receiver = Receiver::good().await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let partner = Partner::install(&space, "upgrader", &receiver.url).await;
    partner
        .add_hook(schedule_hook("setup/upgrade", "1.00:00:00"))
        .await;
    let manifest = json!({ "name": "upgrader", "version": "2.0", "baseUrl": receiver.url });
    space
        .put(&format!("/integrations/{}/manifest", partner.id), manifest)
        .await
        .ok();
    assert_eq!(receiver.next().await.path, "/setup/upgrade");
}
