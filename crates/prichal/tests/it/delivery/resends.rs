//! Events that are sent again on request, and those that were given up.

use std::{collections::BTreeSet, time::Duration};

use prichal_core::retry::Schedule;
use serde_json::{Value, json};

use crate::harness::{
    hub::{Caller, Hub, eventually},
    integration::{Integration, company},
    receiver::{Call, Receiver, Reply},
};

const SECOND: Duration = Duration::from_secs(1);

/// A server that gives an event up after two calls, with an integration that is subscribed to companies.
async fn hub_with_one_retry(receiver: &Receiver) -> (Hub, Caller, Integration, String) {
    let hub = Hub::with(|config| {
        config.retry_schedule = Schedule(vec![Duration::from_secs(30)]);
    })
    .await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let hook = integration.subscribe().await;
    (hub, space, integration, hook)
}

async fn wait_for_state(hub: &Hub, space: &Caller, id: &str, state: &str) -> Value {
    let path = format!("/resends/{id}");
    let reached = eventually(state, || async {
        let found = space.get(&path).await.ok().json;
        (found["state"] == state).then_some(found)
    });
    hub.advance_until(SECOND, reached).await
}

async fn dead_letters(space: &Caller, query: &str) -> Vec<Value> {
    let page = space.get(&format!("/dead-letters?{query}")).await.ok();
    page["items"].as_array().expect("items").clone()
}

/// Two events that were given up. Returns their first calls.
async fn give_up_two(
    hub: &Hub,
    space: &Caller,
    integration: &Integration,
    receiver: &Receiver,
) -> Vec<Call> {
    for name in ["a", "b"] {
        company(space, name).await;
    }
    let calls = receiver.take(2).await;
    integration.attempts(2).await;
    hub.advance(Duration::from_secs(30));
    receiver.take(2).await;
    integration.attempts(4).await;
    calls
}

#[tokio::test]
async fn given_up_events_are_sent_again_in_one_call() {
    let receiver = Receiver::start(|_| Reply::Status(503)).await;
    let (hub, space, integration, hook) = hub_with_one_retry(&receiver).await;
    let first = give_up_two(&hub, &space, &integration, &receiver).await;
    let letters = dead_letters(&space, "").await;
    assert_eq!(letters.len(), 2);
    let letter = &letters[0];
    assert_eq!(
        (&letter["attempts"], &letter["httpStatus"]),
        (&json!(2), &json!(503))
    );
    assert!(
        letter["error"]
            .as_str()
            .is_some_and(|error| error.contains("503"))
    );
    let call = format!("/deliveries/{}", letter["id"].as_str().expect("an id"));
    assert_eq!(space.get(&call).await.ok()["status"], "exhausted");
    assert_eq!(dead_letters(&space, "limit=1").await, letters[..1]);
    for (query, count) in [
        ("httpStatus=5xx", 2),
        ("httpStatus=404", 0),
        ("entityType=deal", 0),
    ] {
        assert_eq!(dead_letters(&space, query).await.len(), count, "{query}");
    }

    // A resend that fails leaves a dead letter.
    let all = json!({ "integrationId": integration.id, "webHookId": hook, "deadLetters": true });
    let mut counted = all.clone();
    counted["preview"] = json!(true);
    let preview = space.post("/resends", counted).await.ok();
    assert_eq!(
        (&preview["count"], &preview["isComplete"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(receiver.waiting(), 0, "a preview sends nothing");
    receiver.answer(|_| Reply::Good);
    hub.advance(SECOND);
    let begun = space.post("/resends", all).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    let again = receiver.take(2).await;
    for call in &again {
        let before = first
            .iter()
            .find(|one| one.event_id() == call.event_id())
            .expect("the event");
        assert_eq!(call.body, before.body);
        assert_eq!(call.header("x-prichal-replay"), Some("true"));
        assert_eq!(call.header("webhook-id"), before.header("webhook-id"));
        assert_ne!(
            call.header("webhook-timestamp"),
            before.header("webhook-timestamp")
        );
    }
    let done = wait_for_state(&hub, &space, &begun.str("id"), "done").await;
    assert_eq!(
        (&done["selected"], &done["waiting"]),
        (&json!(2), &json!(0))
    );
    eventually("settled", || async {
        dead_letters(&space, "").await.is_empty().then_some(())
    })
    .await;
    let replays = space.get("/deliveries?status=delivered").await.ok();
    assert_eq!(replays["count"], 2);
    assert_eq!(replays["items"][0]["isReplay"], true);
    assert_eq!(
        space.get("/resends").await.ok()["items"][0]["id"],
        begun["id"]
    );
}

#[tokio::test]
async fn a_resend_that_fails_stays_a_dead_letter_until_it_is_dismissed() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let (hub, space, integration, hook) = hub_with_one_retry(&receiver).await;
    give_up_two(&hub, &space, &integration, &receiver).await;
    let letter = dead_letters(&space, "").await.remove(0);
    let path = format!(
        "/deliveries/{}/resend",
        letter["id"].as_str().expect("an id")
    );
    assert_eq!(space.post(&path, json!({})).await.status, 202);
    receiver.next().await;
    integration.attempts(5).await;
    hub.advance(Duration::from_secs(30));
    receiver.next().await;
    integration.attempts(6).await;
    let letters = dead_letters(&space, &format!("webHookId={hook}")).await;
    assert_eq!(letters.len(), 2, "the event is one letter, as before");
    let renewed = &letters[0];
    assert_eq!(renewed["eventId"], letter["eventId"]);
    assert_ne!(renewed["id"], letter["id"], "its last call is another");
    let path = format!("/dead-letters/{}", renewed["id"].as_str().expect("an id"));
    let foreign = hub.workspace("other").await;
    assert_eq!(foreign.delete(&path).await.status, 409);
    let old = format!("/dead-letters/{}", letter["id"].as_str().expect("an id"));
    assert_eq!(space.delete(&old).await.status, 409, "it has a later call");
    assert_eq!(space.delete(&path).await.status, 204);
    assert_eq!(space.delete(&path).await.status, 204, "as the first time");
    assert_eq!(foreign.delete(&path).await.status, 409);
    let unknown = "/dead-letters/01890000-0000-7000-8000-000000000000";
    assert_eq!(space.delete(unknown).await.status, 409);
    assert_eq!(dead_letters(&space, "").await, letters[1..]);
    // The rest expires.
    hub.advance(Duration::from_hours(31 * 24));
    let expired = eventually("expired", || async {
        dead_letters(&space, "").await.is_empty().then_some(())
    });
    hub.advance_until(Duration::from_mins(10), expired).await;
    assert_eq!(space.get("/deliveries").await.ok()["count"], 0);
}

#[tokio::test]
async fn a_resend_is_paced_and_can_be_cancelled() {
    let receiver = Receiver::good().await;
    let (hub, space, integration, hook) = hub_with_one_retry(&receiver).await;
    let mut companies = Vec::new();
    for n in 0..20 {
        companies.push(company(&space, &format!("{n}")).await);
    }
    receiver.take(20).await;
    integration.attempts(20).await;
    let all = json!({ "webHookId": hook, "status": "delivered", "rate": 1 });
    let begun = space.post("/resends", all).await;
    let path = format!("/resends/{}", begun.str("id"));
    // As many calls as may run at once, of 20.
    receiver.take(8).await;
    let progress = space.get(&path).await.ok();
    assert_eq!(
        (&progress["state"], &progress["selected"]),
        (&json!("sending"), &json!(20))
    );
    integration.attempts(28).await;
    let cancelled = space.post(&format!("{path}/cancel"), json!({})).await.ok();
    assert_eq!(cancelled["state"], "cancelled");
    // An event about one company comes next, and none of the cancelled ones.
    let one = json!({ "entityId": companies[3], "entityType": "company" });
    let one = space.post("/resends", one).await;
    assert_eq!(one.status, 202, "{}", one.text);
    hub.advance(Duration::from_mins(1));
    let call = receiver.next().await;
    assert_eq!(call.json()["entityIds"]["companyId"], companies[3].as_str());
    wait_for_state(&hub, &space, &one.str("id"), "done").await;
    assert_eq!(space.get(&path).await.ok()["state"], "cancelled");
    // Named calls.
    let listed = space.get("/deliveries?limit=2").await.ok();
    let ids = listed["items"].as_array().expect("items").iter();
    let ids: Vec<Value> = ids.map(|item| item["id"].clone()).collect();
    let named = space.post("/resends", json!({ "deliveryIds": ids })).await;
    assert_eq!(named.status, 202, "{}", named.text);
    let selected = named["selected"].as_u64().expect("a number");
    for _ in 0..selected {
        receiver.next().await;
    }
    wait_for_state(&hub, &space, &named.str("id"), "done").await;
    assert_eq!(receiver.waiting(), 0);
}

#[tokio::test]
async fn a_resend_survives_a_crash() {
    let receiver = Receiver::good().await;
    let (hub, space, integration, hook) = hub_with_one_retry(&receiver).await;
    let mut events = BTreeSet::new();
    for n in 0..30 {
        company(&space, &format!("{n}")).await;
    }
    for call in receiver.take(30).await {
        events.insert(call.event_id());
    }
    integration.attempts(30).await;
    let all = json!({ "webHookId": hook, "rate": 8 });
    let begun = space.post("/resends", all).await.str("id");
    let mut seen = BTreeSet::new();
    for call in receiver.take(8).await {
        seen.insert(call.event_id());
    }
    let installation = hub.installation.clone();
    hub.kill();
    let hub = installation.start().await;
    let space = hub.adopt(&space);
    let rest = async {
        while seen.len() < events.len() {
            let call = receiver.next().await;
            assert_eq!(call.header("x-prichal-replay"), Some("true"));
            seen.insert(call.event_id());
        }
    };
    hub.advance_until(SECOND, rest).await;
    assert_eq!(seen, events);
    let done = wait_for_state(&hub, &space, &begun, "done").await;
    assert_eq!(
        (&done["selected"], &done["waiting"]),
        (&json!(30), &json!(0))
    );
}

#[tokio::test]
async fn refused_resends_send_nothing() {
    let receiver = Receiver::good().await;
    let (hub, space, integration, hook) = hub_with_one_retry(&receiver).await;
    company(&space, "one").await;
    receiver.next().await;
    let call = integration.attempts(1).await.remove(0)["id"].clone();
    let many: Vec<&Value> = (0..101).map(|_| &call).collect();
    for (body, field) in [
        (json!({}), "deliveryIds"),
        (json!({ "deliveryIds": [] }), "deliveryIds"),
        (json!({ "deliveryIds": many }), "deliveryIds"),
        (json!({ "deliveryIds": ["x"] }), "deliveryIds[0]"),
        (
            json!({ "deliveryIds": [call], "status": "delivered" }),
            "deliveryIds",
        ),
        (
            json!({ "deliveryIds": [call], "deadLetters": true }),
            "deliveryIds",
        ),
        (json!({ "webhook": hook }), "webhook"),
        (json!({ "status": "lost" }), "status"),
        (json!({ "status": "delivered", "rate": 0 }), "rate"),
        (json!({ "status": "delivered", "rate": 1001 }), "rate"),
        (json!({ "httpStatus": "6000" }), "httpStatus"),
        (json!({ "from": "yesterday" }), "from"),
    ] {
        let refused = space.post("/resends", body.clone()).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        let errors = refused["errors"].as_object();
        assert!(
            errors.is_some_and(|errors| errors.contains_key(field)),
            "{body}: {}",
            refused.text
        );
    }
    let named = json!({ "deliveryIds": [call] });
    let foreign = hub.workspace("other").await;
    assert_eq!(foreign.post("/resends", named.clone()).await.status, 409);
    let twice = json!({ "deliveryIds": [call, call], "preview": true });
    assert_eq!(foreign.post("/resends", twice.clone()).await.status, 409);
    assert_eq!(space.post("/resends", twice).await.ok()["count"], 1);
    let path = format!("/deliveries/{}/resend", call.as_str().expect("an id"));
    assert_eq!(foreign.post(&path, json!({})).await.status, 409);
    let member = hub.token("acme", "member").await;
    for path in ["/resends", &path] {
        assert_eq!(member.post(path, named.clone()).await.status, 403);
    }
    for path in ["/resends", "/dead-letters"] {
        assert_eq!(member.get(path).await.status, 403);
    }
    let second = Integration::install(&space, "second", &receiver.url).await;
    let second = space.access_key(&second.access_key().await);
    assert_eq!(second.post(&path, json!({})).await.status, 409);
    let of = json!({ "integrationId": integration.id });
    assert_eq!(second.post("/resends", of).await.status, 403);

    // Resends of a webhook that is off wait for it.
    let off =
        json!([{ "op": "replace", "path": format!("/webHooks/{hook}/disabled"), "value": true }]);
    integration.patch(off).await.ok();
    let mut waiting = Vec::new();
    for _ in 0..10 {
        let begun = space.post("/resends", named.clone()).await;
        assert_eq!(begun.status, 202, "{}", begun.text);
        waiting.push(begun.str("id"));
    }
    let refused = space.post("/resends", named).await;
    assert_eq!(
        (refused.status, &refused["status"]),
        (409, &json!("tooMany")),
        "{}",
        refused.text
    );
    let one = format!("/resends/{}", waiting[0]);
    assert_eq!(space.get(&one).await.ok()["state"], "sending");
    assert_eq!(foreign.get(&one).await.status, 409);
    assert_eq!(
        foreign
            .post(&format!("{one}/cancel"), json!({}))
            .await
            .status,
        409
    );
    assert_eq!(second.get(&one).await.status, 409);
    assert_eq!(receiver.waiting(), 0);
}

#[tokio::test]
async fn the_events_of_unfinished_resends_are_bounded() {
    let receiver = Receiver::good().await;
    let (hub, space, integration, hook) = hub_with_one_retry(&receiver).await;
    company(&space, "one").await;
    receiver.next().await;
    let call = integration.attempts(1).await.remove(0)["id"].clone();
    let named = json!({ "deliveryIds": [call] });
    let path = format!("/webHooks/{hook}");
    let off = json!([{ "op": "replace", "path": format!("{path}/disabled"), "value": true }]);
    integration.patch(off).await.ok();
    let resend = async || space.post("/resends", named.clone()).await;
    let mut unfinished = Vec::new();
    for _ in 0..10 {
        unfinished.push(resend().await.str("id"));
    }
    assert_eq!(resend().await.status, 409);
    // A cancelled one leaves nothing.
    let cancel = format!("/resends/{}/cancel", unfinished[0]);
    let cancelled = space.post(&cancel, json!({})).await.ok();
    assert_eq!(
        (&cancelled["state"], &cancelled["waiting"]),
        (&json!("cancelled"), &json!(0))
    );
    assert_eq!(resend().await.status, 202);
    // Those of a webhook that is removed count until they are forgotten.
    let remove = json!([{ "op": "remove", "path": path }]);
    integration.patch(remove).await.ok();
    assert_eq!(resend().await.status, 409);
    let forgotten = eventually("forgotten", || async {
        let again = resend().await;
        (again.status == 202).then_some(again)
    });
    let again = hub.advance_until(Duration::from_mins(10), forgotten).await;
    let done = wait_for_state(&hub, &space, &again.str("id"), "done").await;
    assert_eq!(done["selected"], 0, "the webhook is gone");
    assert_eq!(receiver.waiting(), 0);
}

#[tokio::test]
async fn calls_with_a_text_are_sent_again() {
    let receiver = Receiver::good().await;
    let (hub, space, integration, _) = hub_with_one_retry(&receiver).await;
    for name in ["first", "second", "third"] {
        company(&space, name).await;
    }
    receiver.take(3).await;
    integration.attempts(3).await;
    let wanted = json!({ "text": "SECOND", "status": "delivered" });
    let mut counted = wanted.clone();
    counted["preview"] = json!(true);
    let preview = space.post("/resends", counted).await.ok();
    assert_eq!(
        (&preview["count"], &preview["isComplete"]),
        (&json!(1), &json!(true))
    );
    let begun = space.post("/resends", wanted).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    let again = receiver.next().await;
    assert_eq!(again.new_member("name"), "second");
    let done = wait_for_state(&hub, &space, &begun.str("id"), "done").await;
    assert_eq!(done["selected"], 1);
    assert_eq!(receiver.waiting(), 0);

    for (body, member) in [
        (json!({ "text": "second", "deadLetters": true }), "text"),
        (json!({ "text": "  " }), "text"),
        (json!({ "text": "x".repeat(201) }), "text"),
        // An empty criterion does not select everything.
        (json!({ "text": "" }), "deliveryIds"),
        (json!({ "customType": "" }), "deliveryIds"),
    ] {
        let refused = space.post("/resends", body.clone()).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        let errors = refused["errors"].as_object().expect("errors");
        assert!(errors.contains_key(member), "{body}: {}", refused.text);
    }
}

#[tokio::test]
async fn failed_calls_of_events_that_were_delivered_later_are_left_out() {
    let receiver = Receiver::start(|_| Reply::Status(503)).await;
    let (hub, space, integration, _) = hub_with_one_retry(&receiver).await;
    company(&space, "given up").await;
    receiver.take(1).await;
    integration.attempts(1).await;
    hub.advance(Duration::from_secs(30));
    receiver.take(1).await;
    integration.attempts(2).await;
    company(&space, "delivered later").await;
    receiver.take(1).await;
    integration.attempts(3).await;
    let failed = json!({ "httpStatus": "5xx" });
    let count = async |criteria: &Value| {
        let mut counted = criteria.clone();
        counted["preview"] = json!(true);
        space.post("/resends", counted).await.ok()["count"].clone()
    };
    assert_eq!(count(&failed).await, 2, "one waits for another attempt");
    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_secs(30));
    receiver.take(1).await;
    integration.attempts(4).await;
    assert_eq!(count(&failed).await, 1);
    assert_eq!(count(&json!({ "status": "deferred" })).await, 1);
    assert_eq!(count(&json!({ "status": "delivered" })).await, 1);

    let begun = space.post("/resends", failed.clone()).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    assert_eq!(receiver.next().await.new_member("name"), "given up");
    let done = wait_for_state(&hub, &space, &begun.str("id"), "done").await;
    assert_eq!(done["selected"], 1);
    assert_eq!(receiver.waiting(), 0);
    eventually("settled", || async {
        (count(&failed).await == 0).then_some(())
    })
    .await;
}
