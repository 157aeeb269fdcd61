//! The log of attempts, replays and test calls.

use std::time::Duration;

use serde_json::{Value, json};

use super::hub_with_hook;
use crate::harness::{
    hub::eventually,
    integration::{company, entity_hook},
    receiver::{Receiver, Reply},
};

#[tokio::test]
async fn replay_sends_a_stretch_again_beside_the_main_line() {
    let receiver = Receiver::good().await;
    let (_hub, space, integration, hook) = hub_with_hook(&receiver).await;
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
    let path = format!("{}/webHooks/{hook}/replay", integration.instance());
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
    integration.attempts(43).await;
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

/// A stretch may be given by times. It is counted before it is sent, and what is left of it is told.
#[tokio::test]
async fn a_replay_by_times_is_counted_first_and_followed_to_its_end() {
    let receiver = Receiver::good().await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    for name in ["a", "b", "c", "d"] {
        company(&space, name).await;
        space.post("/deals", json!({ "name": name })).await.ok();
        hub.advance(Duration::from_mins(1));
    }
    receiver.take(4).await;
    integration.attempts(4).await;
    let path = format!("{}/webHooks/{hook}/replay", integration.instance());
    let list = format!("{path}s");
    let period = json!({ "from": "2026-01-01T00:01:00Z", "to": "2026-01-01T00:03:00Z" });
    let mut preview = period.clone();
    preview["preview"] = json!(true);
    let counted = space.post(&path, preview).await;
    assert_eq!(
        (counted.status, &counted.json),
        (200, &json!({ "count": 2, "remaining": 4 }))
    );
    assert_eq!(receiver.waiting(), 0, "it is only counted");
    assert_eq!(space.get(&list).await.ok()["count"], 0);

    // While the webhook is off, the replay waits.
    let disabled = |value: bool| json!([{ "op": "replace", "path": format!("/webHooks/{hook}/disabled"), "value": value }]);
    integration.patch(disabled(true)).await.ok();
    let begun = space.post(&path, period).await;
    assert_eq!((begun.status, &begun["count"]), (202, &json!(2)));
    let waiting = space.get(&list).await.ok();
    assert_eq!(
        waiting["items"],
        json!([{ "id": begun["id"], "remaining": 4, "createdAt": "2026-01-01T00:04:00+00:00" }])
    );
    integration.patch(disabled(false)).await.ok();
    let names = receiver.take(2).await.into_iter().map(|call| {
        assert_eq!(call.header("x-prichal-replay"), Some("true"));
        call.json()["changeData"]["new"]["name"].clone()
    });
    let mut names: Vec<String> = names.map(|name| name.to_string()).collect();
    names.sort();
    assert_eq!(names, ["\"b\"", "\"c\""]);
    eventually("it is over", || async {
        (space.get(&list).await.ok()["count"] == 0).then_some(())
    })
    .await;

    for (body, field) in [
        (json!({ "preview": true }), "fromOffset"),
        (json!({ "from": "yesterday" }), "from"),
        (
            json!({ "from": "2026-01-01T00:01:00Z", "fromOffset": NIL }),
            "from",
        ),
        (
            json!({ "fromOffset": NIL, "to": "2026-01-01T00:01:00Z", "toOffset": NIL }),
            "to",
        ),
        (
            json!({ "from": "2026-01-01T00:03:00Z", "to": "2026-01-01T00:01:00Z" }),
            "to",
        ),
    ] {
        let refused = space.post(&path, body.clone()).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        assert!(
            refused["errors"][field].is_array(),
            "{body}: {}",
            refused.text
        );
    }
    // A period without events sends nothing.
    let none = space
        .post(&path, json!({ "from": "2026-01-02T00:00:00Z" }))
        .await;
    assert_eq!(
        (none.status, &none.json),
        (202, &json!({ "count": 0, "remaining": 0 }))
    );
    // Others do not see the webhook.
    let member = hub.token("acme", "member").await;
    assert_eq!(member.get(&list).await.status, 403);
}

const NIL: &str = "00000000-0000-0000-0000-000000000000";

#[tokio::test]
async fn a_failed_replay_is_tried_again() {
    let receiver = Receiver::good().await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    company(&space, "one").await;
    let first = receiver.next().await;
    receiver.answer(|_| Reply::Status(500));
    let zero = "00000000-0000-0000-0000-000000000000";
    let path = format!("{}/webHooks/{hook}/replay", integration.instance());
    let answer = space.post(&path, json!({ "fromOffset": zero })).await;
    assert_eq!(
        (answer.status, &answer["count"]),
        (202, &json!(1)),
        "{}",
        answer.text
    );
    receiver.next().await;
    integration.attempts(2).await;
    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_secs(30));
    let again = receiver.next().await;
    assert_eq!(
        (again.event_id(), again.header("x-prichal-replay")),
        (first.event_id(), Some("true"))
    );
    integration.attempts(3).await;
}

#[tokio::test]
async fn a_test_call_is_answered_with_its_attempt_and_counts_for_nothing() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let (_hub, space, integration, hook) = hub_with_hook(&receiver).await;
    let path = format!("{}/webHooks/{hook}/test", integration.instance());
    for _ in 0..6 {
        let attempt = space.post(&path, json!({})).await.ok();
        assert_eq!(attempt["httpStatus"], 500);
        assert_eq!(attempt["webHookId"], hook.as_str());
        receiver.next().await;
    }
    assert_eq!(integration.status().await, "active");
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
    let (_hub, space, integration, hook) = hub_with_hook(&receiver).await;
    let other = integration
        .add_hook(entity_hook("/deals", json!([{ "entityType": "deal" }])))
        .await;
    for name in ["a", "bad", "b"] {
        company(&space, name).await;
    }
    space.post("/deals", json!({ "name": "d" })).await.ok();
    let all = integration.attempts(4).await;
    let bad = all
        .iter()
        .find(|attempt| attempt["status"] == "deferred")
        .expect("the failed one");
    let list = |query: String| {
        let (space, path) = (
            space.clone(),
            format!("{}/deliveries?{query}", integration.instance()),
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
