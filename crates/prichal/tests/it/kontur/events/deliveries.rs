//! Events of own types, at the receivers of webhooks and at websockets.

use std::{sync::Arc, time::Duration};

use prichal_core::retry::Schedule;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{order_type, published};
use crate::harness::{
    channel_workspace::ChannelWorkspace,
    hub::{Caller, Hub, eventually},
    integration::{Integration, company, entity_hook},
    receiver::{Call, Receiver, Reply},
    websocket_client::WebsocketClient,
};

async fn hub_with_types() -> (Hub, Caller) {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    order_type(&space).await;
    for name in ["order.paid", "shop.opened"] {
        let body = json!({ "name": name, "versions": [{ "version": 1, "schema": {} }] });
        space.post("/event-types", body).await.ok();
    }
    (hub, space)
}

async fn publish(space: &Caller, name: &str, entity: &str, sum: i64) -> String {
    let event = json!({ "type": name, "entity": entity, "data": { "sum": sum } });
    let answer = space.post("/events", event).await.ok();
    answer["items"][0]["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn webhooks_get_the_types_that_they_ask_for() {
    let receiver = Receiver::good().await;
    let (_hub, space) = hub_with_types().await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    integration.add_hook(entity_hook("/all", json!([{}]))).await;
    integration
        .add_hook(entity_hook(
            "/orders",
            json!([{ "eventTypes": ["order.*"] }]),
        ))
        .await;
    let one = json!([{ "eventTypes": ["order.paid", "shop.*"], "entities": ["order:1", "vip:*"] },
        { "entityType": "company" }]);
    integration
        .add_hook(entity_hook("/some", one.clone()))
        .await;
    let instance = space.get(&integration.instance()).await.ok();
    assert_eq!(instance["webHooks"][2]["filter"]["items"], one);

    let made = publish(&space, "order.created", "order:1", 1).await;
    let paid = publish(&space, "order.paid", "order:1", 2).await;
    let other = publish(&space, "order.paid", "order:2", 3).await;
    let vip = publish(&space, "shop.opened", "vip:7", 4).await;
    company(&space, "acme").await;
    let calls = receiver.take(9).await;
    let at = |path: &str| {
        let mut seen: Vec<Value> = calls
            .iter()
            .filter(|call| call.path == path)
            .map(Call::json)
            .collect();
        seen.sort_by_key(|event| event["offset"].to_string());
        seen
    };
    let ids = |path: &str| {
        at(path)
            .iter()
            .map(|event| event["id"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("/orders"), [made.clone(), paid.clone(), other]);
    assert_eq!(ids("/some")[..2], [paid, vip]);
    assert_eq!(at("/some")[2]["type"], "change");
    assert!(
        at("/all").iter().all(|event| event["type"] == "change"),
        "`{{}}` means the vendor's events"
    );
    assert_eq!(
        at("/all").len(),
        3,
        "two webhooks were added, and a company"
    );

    let feed = published(&space).await;
    let call = calls
        .iter()
        .find(|call| call.event_id() == made)
        .expect("the call");
    assert!(feed.contains(&call.json()), "the very event of the feed");
    assert_eq!(call.header("webhook-id"), Some(made.as_str()));
    assert!(
        call.header("webhook-signature").is_some()
            && call.header("x-xcom-integration-echo").is_some()
    );
    eventually("nothing else is sent", || async {
        (receiver.waiting() == 0).then_some(())
    })
    .await;
}

/// The number of calls that a list with this query has.
async fn count(space: &Caller, list: &str, query: &str) -> Value {
    let page = space.get(&format!("/{list}?{query}")).await.ok();
    page["count"].clone()
}

#[tokio::test]
async fn the_log_is_filtered_by_own_types_and_by_ids_of_the_publisher() {
    let receiver = Receiver::start(|_| Reply::Status(503)).await;
    let hub = Hub::with(|config| config.retry_schedule = Schedule(Vec::new())).await;
    let space = hub.workspace("acme").await;
    order_type(&space).await;
    for name in ["order.paid", "shop.opened"] {
        let body = json!({ "name": name, "versions": [{ "version": 1, "schema": {} }] });
        space.post("/event-types", body).await.ok();
    }
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    // Three events that are given up in a row would switch a webhook off.
    for name in ["order.created", "order.paid"] {
        let own = json!([{ "eventTypes": [name] }]);
        integration.add_hook(entity_hook("/own", own)).await;
    }
    let all = json!([{ "entityType": "company" }]);
    integration.add_hook(entity_hook("/all", all)).await;
    // As a time, these ids are of the years 10 000 and 1970.
    let chosen = [
        "f47ac10b-58cc-4372-a567-0e02b2c3d479",
        "00000000-0000-4000-8000-000000000001",
    ];
    for id in chosen {
        let event = json!({ "id": id, "type": "order.created", "data": { "sum": 1 } });
        space.post("/events", event).await.ok();
        receiver.next().await;
    }
    let paid = publish(&space, "order.paid", "order:1", 2).await;
    receiver.next().await;
    company(&space, "one").await;
    receiver.next().await;
    integration.attempts(4).await;

    for list in ["deliveries", "dead-letters"] {
        for (query, expected) in [
            ("eventType=custom".to_owned(), 3),
            ("eventType=change".to_owned(), 1),
            ("customType=order.created".to_owned(), 2),
            ("customType=order.*".to_owned(), 3),
            ("customType=*".to_owned(), 3),
            ("customType=shop.opened".to_owned(), 0),
            ("eventType=custom&customType=order.paid".to_owned(), 1),
            ("eventType=change&customType=order.paid".to_owned(), 0),
            (format!("eventId={}", chosen[0]), 1),
            (format!("eventId={}", chosen[1]), 1),
            (format!("eventId={paid}"), 1),
            (format!("eventId={paid}&customType=order.created"), 0),
        ] {
            assert_eq!(
                count(&space, list, &query).await,
                expected,
                "{list} {query}"
            );
        }
        let found = space.get(&format!("/{list}?customType=order.paid")).await;
        let found = &found.ok()["items"][0];
        assert_eq!(
            (&found["eventType"], &found["customType"], &found["eventId"]),
            (&json!("custom"), &json!("order.paid"), &json!(paid))
        );
        for bad in ["", "order.", ".*", "a*", "%00"] {
            let refused = space.get(&format!("/{list}?customType={bad}")).await;
            let expected = if bad.is_empty() { 200 } else { 400 };
            assert_eq!(refused.status, expected, "{bad}: {}", refused.text);
        }
    }
    let attempts = format!("integrations/instances/{}/deliveries", integration.id);
    for id in chosen {
        let query = format!("eventId={id}");
        assert_eq!(count(&space, &attempts, &query).await, 1);
    }

    receiver.answer(|_| Reply::Good);
    let resend = json!({ "customType": "order.created", "status": "exhausted" });
    let mut counted = resend.clone();
    counted["preview"] = json!(true);
    assert_eq!(space.post("/resends", counted).await.ok()["count"], 2);
    assert_eq!(space.post("/resends", resend).await.status, 202);
    for call in receiver.take(2).await {
        assert!(chosen.contains(&call.event_id().as_str()));
        assert_eq!(call.header("x-prichal-replay"), Some("true"));
    }
    eventually("settled", || async {
        (count(&space, "dead-letters", "").await == 2).then_some(())
    })
    .await;
    assert_eq!(receiver.waiting(), 0, "no other event was sent");
}

#[tokio::test]
async fn the_calls_for_an_event_are_found_whatever_its_id_is() {
    let (_hub, space) = hub_with_types().await;
    let receiver = Receiver::good().await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let items = json!([{ "eventTypes": ["*"] }]);
    integration.add_hook(entity_hook("/all", items)).await;
    // Ids without a time, and from the past and the future.
    for (n, id) in [
        "f47ac10b-58cc-4372-a567-0e02b2c3d479",
        "00000000-0000-4000-8000-000000000001",
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
    ]
    .into_iter()
    .enumerate()
    {
        let event = json!({ "id": id, "type": "order.paid", "data": { "sum": n } });
        space.post("/events", event).await.ok();
        receiver.next().await;
        integration.attempts(n + 1).await;
        let found = space.get(&format!("/deliveries?eventId={id}")).await.ok();
        assert_eq!(found["count"], 1, "{id}: {}", found.text);
        let path = format!("{}/deliveries?eventId={id}", integration.instance());
        let found = space.get(&path).await.ok();
        assert_eq!(found["items"][0]["eventId"], id, "{}", found.text);
        let again = json!({ "eventId": id, "preview": true });
        assert_eq!(space.post("/resends", again).await.ok()["count"], 1);
    }
}

#[tokio::test]
async fn an_attempt_repeats_the_bytes_of_the_one_before() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let (hub, space) = hub_with_types().await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let hook = integration
        .add_hook(entity_hook("/orders", json!([{ "eventTypes": ["*"] }])))
        .await;
    publish(&space, "order.created", "order:1", 1).await;
    let first = receiver.next().await;
    integration.attempts(1).await;
    receiver.answer(|_| Reply::Good);
    let second = hub
        .advance_until(Duration::from_secs(5), receiver.next())
        .await;
    assert_eq!(
        (&second.body, second.event_id()),
        (&first.body, first.event_id())
    );
    integration.attempts(2).await;
    // A replay sends it again, too.
    let path = format!("{}/webHooks/{hook}/replay", integration.instance());
    let zero = "00000000-0000-0000-0000-000000000000";
    let replay = space.post(&path, json!({ "fromOffset": zero })).await;
    assert_eq!(
        (replay.status, &replay["count"]),
        (202, &json!(1)),
        "{}",
        replay.text
    );
    let third = receiver.next().await;
    assert_eq!(third.body, first.body);
    let test = space
        .post(
            &format!("{}/webHooks/{hook}/test", integration.instance()),
            json!({}),
        )
        .await
        .ok();
    assert_eq!(test["status"], "delivered");
    assert_eq!(receiver.next().await.json()["type"], "custom");
}

#[tokio::test]
async fn events_of_an_entity_wait_for_each_other_and_others_do_not() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let receiver = Receiver::start(move |_| Reply::Held(held.clone())).await;
    let (_hub, space) = hub_with_types().await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    integration
        .add_hook(entity_hook("/orders", json!([{ "eventTypes": ["*"] }])))
        .await;
    let first = publish(&space, "order.created", "order:1", 1).await;
    let second = publish(&space, "order.paid", "order:1", 2).await;
    let other = publish(&space, "order.paid", "order:2", 3).await;
    let lone = json!({ "type": "shop.opened", "data": {} });
    space
        .post("/events", json!({ "items": [lone, lone] }))
        .await
        .ok();
    let open = receiver.take(4).await;
    let ids: Vec<String> = open.iter().map(Call::event_id).collect();
    assert!(ids.contains(&first) && ids.contains(&other) && !ids.contains(&second));
    gate.add_permits(100);
    assert_eq!(receiver.next().await.event_id(), second);
}

#[tokio::test]
async fn filters_that_mix_the_kinds_of_events_are_refused() {
    let receiver = Receiver::good().await;
    let (_hub, space) = hub_with_types().await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    for item in [
        json!({ "eventTypes": ["order.*"], "entityType": "company" }),
        json!({ "eventTypes": [] }),
        json!({ "entities": ["order:1"] }),
        json!({ "eventTypes": ["order*"] }),
        json!({ "eventType": "custom" }),
        json!({ "entityType": "custom" }),
    ] {
        let hook = entity_hook("/x", json!([item]));
        let refused = integration
            .patch(json!([{ "op": "add", "path": "/webHooks", "value": hook }]))
            .await;
        assert_eq!(refused.status, 409, "{item}: {}", refused.text);
    }
}

#[tokio::test]
async fn websockets_get_the_types_that_they_subscribe_to() {
    let era = ChannelWorkspace::new().await;
    let space = era.space.clone();
    order_type(&space).await;
    let user = space
        .post("/users", json!({ "login": "anna" }))
        .await
        .ok()
        .str("id");
    let channel = era
        .open("sock", json!({ "opts": { "userid": user } }), &["subscr"])
        .await;
    let mut client = WebsocketClient::with(&era.hub, &channel, &["subscr"]).await;
    client
        .ask("subscribe", json!({ "qid": 1, "id": "all" }))
        .await;
    let own = json!({ "qid": 2, "id": "own", "events": ["customevents.order.*"] });
    let asked = client.ask("subscribe", own).await;
    assert_eq!(asked["result"], "ok", "{asked}");
    let wrong = json!({ "qid": 3, "id": "x", "events": ["customevents.*.x"] });
    assert_eq!(client.ask("subscribe", wrong).await["result"], "error");
    publish(&space, "order.created", "order:1", 1).await;
    company(&space, "acme").await;
    let (custom, change) = (client.next().await, client.next().await);
    let told = |frame: &Value| {
        ["id", "class", "type"].map(|name| frame[1][name].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(told(&custom), ["own", "customevents", "order.created"]);
    assert_eq!(custom[1]["data"], published(&space).await[0]);
    assert_eq!(told(&change), ["all", "modelevents", "data_changed"]);
}

#[tokio::test]
async fn a_filter_is_tried_on_recent_events() {
    let (_hub, space) = hub_with_types().await;
    let deal = space.post("/deals", json!({ "name": "one" })).await.ok();
    publish(&space, "order.created", "order:1", 1).await;
    publish(&space, "order.paid", "order:2", 2).await;
    let tried = async |items: Value| {
        let body = json!({ "items": items });
        space.post("/webhooks/match", body).await
    };
    let feed = space.get("/events?limit=1000").await.ok();
    let entities = feed["items"].as_array().expect("items").len();
    let all = tried(json!([{}])).await.ok();
    assert_eq!(
        (&all["tried"], &all["matched"]),
        (&json!(entities + 2), &json!(entities))
    );
    for (items, matched) in [
        (json!([]), 0),
        (json!([{ "entityType": "deal" }]), 1),
        (json!([{ "entityType": "deal", "changeType": "delete" }]), 0),
        (json!([{ "eventTypes": ["order.*"] }]), 2),
        (
            json!([{ "eventTypes": ["order.*"], "entities": ["order:2"] }]),
            1,
        ),
    ] {
        let found = tried(items.clone()).await.ok();
        assert_eq!(found["matched"], matched, "{items}");
        assert_eq!(found.get("lastOffset").is_some(), matched > 0, "{items}");
    }
    let found = tried(json!([{ "entityType": "deal" }])).await.ok();
    let mut events = feed["items"].as_array().expect("items").iter();
    let event = events.find(|event| event["entityIds"]["dealId"] == deal["id"]);
    assert_eq!(
        found["lastOffset"],
        event.expect("the deal's event")["offset"]
    );
    let wrong = tried(json!([{ "eventTypes": ["order.*"], "entityType": "deal" }])).await;
    assert_eq!(wrong.status, 400);
}
