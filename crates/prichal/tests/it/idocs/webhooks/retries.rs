//! Status webhooks that fail, wait, hang or are cut off (`docs/contracts/idocs.md §3.4`).

use std::{sync::Arc, time::Duration};

use prichal_core::document::Status;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::harness::{
    document_subscriber::{DAY, SUBSCRIPTION, pair, signature, status_event, subscribed},
    hub::eventually,
    receiver::{Receiver, Reply},
};

#[tokio::test]
async fn failed_calls_are_retried_on_the_schedule_of_documents() {
    const WAITS: [u64; 10] = [
        10,
        60,
        5 * 60,
        30 * 60,
        2 * 3600,
        6 * 3600,
        12 * 3600,
        24 * 3600,
        24 * 3600,
        24 * 3600,
    ];
    let receiver = Receiver::start(|_| Reply::Status(503)).await;
    let (hub, acme, secret) = subscribed(&receiver).await;
    acme.draft(&hub, "1").await;
    let first = receiver.next().await;
    let mut due = 1_767_225_600;
    for (wait, done) in WAITS.into_iter().zip(1..) {
        let attempts = acme.attempts(done).await;
        assert_eq!(attempts[0]["status"], "deferred");
        assert_eq!(attempts[0]["error"], "the answer was 503, not 2xx");
        assert_eq!(attempts[0]["answer"], "sorry");
        // The timestamp shows that it did not come early.
        hub.advance(Duration::from_secs(wait - 1));
        acme.attempts(done).await;
        hub.advance(Duration::from_secs(1));
        due += wait;
        let call = receiver.next().await;
        assert_eq!(call.json()["attempt"], done + 1);
        let at = call.header("x-idocs-timestamp").expect("a time");
        assert_eq!(at, due.to_string());
        assert_eq!(call.json()["eventId"], first.json()["eventId"]);
        assert_eq!(
            call.header("x-idocs-signature"),
            Some(signature(&secret, &call).as_str()),
            "of the body as it is now"
        );
    }
    let attempts = acme.attempts(11).await;
    assert_eq!(
        (&attempts[0]["status"], &attempts[0]["attempt"]),
        (&json!("exhausted"), &json!(11))
    );
    assert_eq!(acme.subscription().await["status"], "active");
}

#[tokio::test]
async fn a_refusal_is_tried_again_three_times_and_a_redirect_is_not_followed() {
    let receiver = Receiver::start(|_| Reply::Status(404)).await;
    let (hub, acme, _) = subscribed(&receiver).await;
    acme.draft(&hub, "1").await;
    for done in 1..=4 {
        receiver.next().await;
        let attempts = acme.attempts(done).await;
        let status = if done < 4 { "deferred" } else { "exhausted" };
        assert_eq!(attempts[0]["status"], status, "{done}");
        hub.advance(Duration::from_mins(5));
    }
    let place = format!("{}/elsewhere", receiver.url);
    receiver.answer(move |_| Reply::Redirect(place.clone()));
    acme.draft(&hub, "2").await;
    assert_eq!(status_event(&receiver.next().await), pair("2", "DRAFT"));
    let attempts = acme.attempts(5).await;
    assert_eq!(
        (&attempts[0]["status"], &attempts[0]["httpStatus"]),
        (&json!("deferred"), &json!(301))
    );
    receiver.answer(|_| Reply::Status(429));
    for done in 6..=10 {
        hub.advance(DAY);
        receiver.next().await;
        assert_eq!(acme.attempts(done).await[0]["status"], "deferred");
    }

    let listed = acme
        .caller
        .get(&format!("{SUBSCRIPTION}/deliveries?status=exhausted"))
        .await
        .ok();
    assert_eq!(listed["count"], 1);
    let event = attempts[0]["eventId"].as_str().expect("an id");
    let path = format!("{SUBSCRIPTION}/deliveries?eventId={event}&limit=4");
    let page = acme.caller.get(&path).await.ok();
    assert_eq!(page["count"], 4);
    let last = page["items"][3]["id"].as_str().expect("an id");
    let rest = acme.caller.get(&format!("{path}&before={last}")).await.ok();
    assert_eq!(rest["count"], 2);
    assert_eq!(rest["items"][1]["attempt"], 1);
    // A search for a text looks at the body of each attempt.
    for (text, count) in [
        (event, 6),
        ("document-status-changed", 10),
        ("changeData", 0),
    ] {
        let name = &acme.name;
        let path = format!("/api/v1/{name}/deliveries?source=documentHook&text={text}");
        let found = acme.caller.at("").get(&path).await.ok();
        assert_eq!(found["count"], count, "{}", found.text);
    }
    for bad in ["status=gone", "eventId=7", "before=x", "limit=0", "limit=x"] {
        let path = format!("{SUBSCRIPTION}/deliveries?{bad}");
        let refused = acme.caller.get(&path).await;
        let text = refused["errors"][0]["errorDescription"].to_string();
        let name = bad.split('=').next().expect("a name");
        assert!(refused.status == 400 && text.contains(name), "{text}");
    }
}

/// The later events of a document wait with its deferred one. Events of other documents do not.
#[tokio::test]
async fn a_documents_events_keep_their_order_whatever_fails() {
    let receiver = Receiver::start(|call| {
        let failing = status_event(call) == pair("1", "DRAFT");
        if failing {
            Reply::Status(500)
        } else {
            Reply::Good
        }
    })
    .await;
    let (hub, acme, _) = subscribed(&receiver).await;
    let one = acme.draft(&hub, "1").await;
    receiver.next().await;
    acme.attempts(1).await;
    acme.send(&hub, &one).await;
    let finished = (Some(Status::SentBySender), Status::Finished);
    acme.append_event(&hub, &one, finished.0, finished.1).await;
    let two = acme.draft(&hub, "2").await;
    acme.send(&hub, &two).await;
    let calls = receiver.take(2).await;
    assert_eq!(status_event(&calls[0]), pair("2", "DRAFT"));
    assert_eq!(status_event(&calls[1]), pair("2", "SENT_BY_SENDER"));
    acme.attempts(3).await;
    hub.advance(Duration::from_secs(10));
    assert_eq!(status_event(&receiver.next().await), pair("1", "DRAFT"));
    acme.attempts(4).await;
    let hub = hub.restart().await;
    let acme = acme.at(&hub);
    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_mins(1));
    let calls = receiver.take(3).await;
    let told: Vec<_> = calls.iter().map(status_event).collect();
    let expected = ["DRAFT", "SENT_BY_SENDER", "FINISHED"].map(|status| pair("1", status));
    assert_eq!(told, expected);
    let attempts = acme.attempts(7).await;
    assert_eq!(attempts.len(), 7, "waiting is no attempt");
    assert_eq!(attempts[0]["attempt"], 1);
}

/// A call that hangs gets a deferred row after a second, and still holds the turn of its document.
#[tokio::test]
async fn a_call_that_hangs_holds_its_document_back_and_nothing_else() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let receiver = Receiver::start(move |call| {
        if status_event(call) == pair("1", "DRAFT") {
            Reply::Held(held.clone())
        } else {
            Reply::Good
        }
    })
    .await;
    let (hub, acme, _) = subscribed(&receiver).await;
    let one = acme.draft(&hub, "1").await;
    receiver.next().await;
    acme.send(&hub, &one).await;
    acme.draft(&hub, "2").await;
    assert_eq!(status_event(&receiver.next().await), pair("2", "DRAFT"));
    acme.attempts(1).await;
    hub.advance(Duration::from_secs(2));
    acme.draft(&hub, "3").await;
    assert_eq!(status_event(&receiver.next().await), pair("3", "DRAFT"));
    acme.attempts(2).await;
    assert_eq!(receiver.waiting(), 0);
    gate.add_permits(1);
    assert_eq!(
        status_event(&receiver.next().await),
        pair("1", "SENT_BY_SENDER")
    );
    let attempts = acme.attempts(4).await;
    assert_eq!(attempts.len(), 4, "each was told once");
}

#[tokio::test]
async fn a_hook_that_failed_for_five_days_waits_and_goes_on_without_a_loss() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let (hub, acme, _) = subscribed(&receiver).await;
    for day in 0..=4 {
        acme.draft(&hub, &day.to_string()).await;
        receiver.next().await;
        let so_far = acme.attempts(1).await.len();
        assert_eq!(acme.subscription().await["status"], "active", "{day}");
        hub.advance(DAY);
        acme.attempts(so_far + 1).await;
    }
    // By now every further failure pauses it.
    let paused = eventually("the pause", || async {
        acme.draft(&hub, "more").await;
        let shown = acme.subscription().await;
        (shown["status"] == "paused").then_some(shown)
    })
    .await;
    let on = paused["pausedOn"].as_i64().expect("a time");
    assert!(on >= 1_767_225_600 + 5 * 86_400, "{on}");
    let documents = acme.draft(&hub, "while paused").await;
    hub.advance(DAY * 30);
    acme.send(&hub, &documents).await;
    let hub = hub.restart().await;
    let acme = acme.at(&hub);
    assert_eq!(acme.subscription().await["status"], "paused");
    while receiver.waiting() > 0 {
        receiver.next().await;
    }

    receiver.answer(|_| Reply::Good);
    let again = acme.subscribe(&receiver.url).await.ok();
    assert_eq!(
        (&again["status"], &again["pausedOn"], again.get("secret")),
        (&json!("active"), &Value::Null, None)
    );
    // The log of attempts shows each event as delivered or given up.
    let history = acme.caller.get("?top=100").await.ok();
    let events = history["pageItems"].as_array().expect("items").clone();
    eventually("all is told", || async {
        let attempts = acme.attempts(0).await;
        let settled = |event: &Value| {
            attempts.iter().any(|attempt| {
                attempt["eventId"] == event["eventId"] && attempt["status"] != "deferred"
            })
        };
        events.iter().all(settled).then_some(())
    })
    .await;
    let mut last = None;
    while receiver.waiting() > 0 {
        let call = receiver.next().await;
        if status_event(&call).0 == "while paused" {
            last = Some(status_event(&call).1);
        }
    }
    assert_eq!(last.as_deref(), Some("SENT_BY_SENDER"));
    assert_eq!(acme.subscription().await["status"], "active");
}

#[tokio::test]
async fn a_new_url_gets_the_events_that_were_not_delivered() {
    let bad = Receiver::start(|_| Reply::Status(500)).await;
    let good = Receiver::good().await;
    let (hub, acme, secret) = subscribed(&bad).await;
    acme.draft(&hub, "1").await;
    bad.next().await;
    acme.attempts(1).await;
    acme.subscribe(&good.url).await.ok();
    let call = good.next().await;
    assert_eq!(status_event(&call), pair("1", "DRAFT"));
    assert_eq!(call.json()["attempt"], 2);
    assert_eq!(
        call.header("x-idocs-signature"),
        Some(signature(&secret, &call).as_str()),
        "the secret stays"
    );
    acme.draft(&hub, "2").await;
    assert_eq!(status_event(&good.next().await), pair("2", "DRAFT"));
    acme.attempts(3).await;

    assert_eq!(acme.caller.delete(SUBSCRIPTION).await.status, 204);
    acme.draft(&hub, "3").await;
    acme.subscribe(&good.url).await.ok();
    acme.draft(&hub, "4").await;
    assert_eq!(
        status_event(&good.next().await),
        pair("4", "DRAFT"),
        "a new subscription begins at the end of the log"
    );
    assert_eq!(bad.waiting(), 0);
}

#[tokio::test]
async fn a_restart_loses_nothing() {
    let receiver = Receiver::start(|call| {
        if status_event(call).0 == "bad" {
            Reply::Status(500)
        } else {
            Reply::Good
        }
    })
    .await;
    let (hub, acme, _) = subscribed(&receiver).await;
    acme.draft(&hub, "good").await;
    acme.draft(&hub, "bad").await;
    receiver.take(2).await;
    acme.attempts(2).await;
    let hub = hub.restart().await;
    let acme = acme.at(&hub);
    acme.draft(&hub, "after").await;
    assert_eq!(status_event(&receiver.next().await), pair("after", "DRAFT"));
    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_secs(10));
    let call = receiver.next().await;
    assert_eq!(
        (status_event(&call), &call.json()["attempt"]),
        (pair("bad", "DRAFT"), &json!(2))
    );
    acme.attempts(4).await;
    assert_eq!(receiver.waiting(), 0);
}

/// A call that is open when the server is killed comes again.
#[tokio::test]
async fn a_killed_server_repeats_the_calls_in_flight() {
    let receiver = Receiver::start(|_| Reply::Silence).await;
    let (hub, acme, _) = subscribed(&receiver).await;
    let document = acme.draft(&hub, "1").await;
    acme.send(&hub, &document).await;
    receiver.next().await;
    let installation = hub.installation.clone();
    hub.kill();
    receiver.answer(|_| Reply::Good);
    installation.clock.advance(Duration::from_secs(10));
    let hub = installation.start().await;
    let acme = acme.at(&hub);
    // The store may be read first.
    eventually("both calls", || async {
        hub.advance(Duration::from_millis(250));
        (receiver.waiting() == 2).then_some(())
    })
    .await;
    let calls: Vec<_> = receiver.take(2).await.iter().map(status_event).collect();
    assert_eq!(calls, [pair("1", "DRAFT"), pair("1", "SENT_BY_SENDER")]);
    acme.attempts(2).await;
}

/// A receiver that accepts events at the first, second or third try gets every status of a document, in order.
#[tokio::test]
async fn an_unsteady_receiver_hears_everything_in_order() {
    let receiver = Receiver::start(|call| {
        let body = call.json();
        if body["attempt"].as_i64() <= body["sequence"].as_i64().map(|n| n % 3) {
            Reply::Status(500)
        } else {
            Reply::Good
        }
    })
    .await;
    let (hub, acme, _) = subscribed(&receiver).await;
    let mut documents = Vec::new();
    for n in 0..20 {
        documents.push(acme.draft(&hub, &n.to_string()).await);
    }
    for document in &documents {
        acme.send(&hub, document).await;
    }
    for document in &documents {
        let (before, now) = (Some(Status::SentBySender), Status::Finished);
        acme.append_event(&hub, document, before, now).await;
    }
    let delivered = eventually("60 deliveries", || async {
        hub.advance(Duration::from_secs(2));
        let path = format!("{SUBSCRIPTION}/deliveries?status=delivered&limit=1000");
        let listed = acme.caller.get(&path).await.ok();
        (listed["count"] == 60).then(|| listed["items"].as_array().expect("items").clone())
    })
    .await;
    assert_eq!(delivered.len(), 60);
    let feed = acme.caller.at("/api/v3/sync/external/events");
    let feed = feed.get("?limit=1000").await.ok();
    let items = feed["items"].as_array().expect("items");
    // The log of attempts is newest first.
    let order: Vec<&Value> = delivered
        .iter()
        .rev()
        .map(|attempt| &attempt["eventId"])
        .collect();
    for document in &documents {
        let of = |item: &&Value| item["documentId"] == json!(document.id);
        let events: Vec<usize> = items
            .iter()
            .filter(of)
            .map(|item| {
                let at = order.iter().position(|event| **event == item["eventId"]);
                at.expect("it was delivered")
            })
            .collect();
        assert_eq!(events.len(), 3);
        assert!(events.is_sorted(), "{events:?}");
    }
}
