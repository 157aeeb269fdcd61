//! Publishing: checks, rights, idempotency.

use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{order_type, published};
use crate::harness::{
    hub::{Database, Hub, Installation, anonymous_at, on_postgres},
    integration::Integration,
    server_process::ServerProcess,
};

const ID: &str = "0190a6a5-0d4c-7c61-9c55-0a2b3c4d5e6f";

#[tokio::test]
async fn an_event_is_in_the_feed_as_it_was_published() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    order_type(&space).await;
    let company = space
        .post("/companies", json!({ "name": "one" }))
        .await
        .ok();
    let event = r#"{ "type": "order.created", "timestamp": "2022-03-22T13:38:35+03:00",
        "entity": "order:4711", "data": { "sum": 1.10, "note": null, "b": { "a": [null] } } }"#;
    let mut event: Value = serde_json::from_str(event).expect("JSON");
    event["id"] = ID.into();
    let answer = space.post("/events", event.clone()).await.ok();
    let receipt = json!({ "id": ID, "type": "order.created", "version": 1 });
    assert_eq!(answer.json, json!({ "count": 1, "items": [receipt] }));

    let page = space.get("/events?eventTypes=order.*").await.ok();
    let shown = &page["items"][0];
    assert_eq!(page["count"], 1);
    let names: Vec<&String> = shown.as_object().expect("an event").keys().collect();
    assert_eq!(
        names,
        [
            "id",
            "offset",
            "type",
            "eventType",
            "version",
            "timestamp",
            "entity",
            "data",
            "createInfo"
        ]
    );
    assert_eq!(
        [
            &shown["id"],
            &shown["type"],
            &shown["eventType"],
            &shown["timestamp"],
            &shown["entity"],
            &shown["data"]
        ],
        [
            &event["id"],
            &json!("custom"),
            &event["type"],
            &event["timestamp"],
            &event["entity"],
            &event["data"]
        ]
    );
    assert!(
        page.text.contains(r#""sum":1.10,"note":null"#),
        "{}",
        page.text
    );

    // Readers that know the vendor's events alone get no others, and pass by.
    space
        .post("/companies", json!({ "name": "two" }))
        .await
        .ok();
    let vendors = space.get("/events?limit=1000").await.ok();
    let items = vendors["items"].as_array().expect("items");
    assert!(items.iter().all(|event| event["type"] != "custom"));
    assert_eq!(
        items.last().expect("an event")["changeData"]["new"]["name"],
        "two"
    );
    assert_eq!(vendors["hasMore"], false);
    let from = items
        .iter()
        .find(|event| event["entityIds"]["companyId"] == company["id"]);
    let from = from.expect("the first company")["offset"]
        .as_str()
        .expect("an offset");
    let next = space
        .get(&format!("/events?limit=1&offset={from}"))
        .await
        .ok();
    assert_eq!(next["items"][0]["changeData"]["new"]["name"], "two");
    for (query, count) in [("order.created,x", 1), ("order", 0), ("*", 1)] {
        let page = space.get(&format!("/events?eventTypes={query}")).await.ok();
        assert_eq!(
            (&page["count"], &page["hasMore"]),
            (&json!(count), &json!(false)),
            "{query}"
        );
        assert_eq!(
            page["lastOffset"], vendors["lastOffset"],
            "the end of the log"
        );
    }
    assert_eq!(space.get("/events?eventTypes=a*").await.status, 400);
}

#[tokio::test]
async fn pages_pass_long_stretches_of_other_events() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    order_type(&space).await;
    let items: Vec<Value> = (0..25)
        .map(|n| json!({ "type": "order.created", "data": { "sum": n } }))
        .collect();
    for name in ["a", "b"] {
        space.post("/companies", json!({ "name": name })).await.ok();
        space.post("/events", json!({ "items": items })).await.ok();
    }
    for (query, expected) in [("", 2), ("&eventTypes=*", 50)] {
        let (mut offset, mut seen) = ("00000000-0000-0000-0000-000000000000".to_owned(), 0);
        loop {
            let page = space
                .get(&format!("/events?limit=10&offset={offset}{query}"))
                .await
                .ok();
            seen += page["items"].as_array().expect("items").len();
            if page["hasMore"] == false {
                break;
            }
            assert_ne!(page["lastOffset"], json!(offset), "it goes on");
            offset = page.str("lastOffset");
        }
        assert_eq!(seen, expected, "{query}");
    }
}

#[tokio::test]
async fn a_batch_is_published_as_a_whole_or_not_at_all() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    order_type(&space).await;
    let item = |sum: Value| json!({ "type": "order.created", "data": { "sum": sum } });
    let mut items: Vec<Value> = (0..1000).map(|n| item(json!(n))).collect();
    items[3] = item(json!("much"));
    items[7] = json!({ "type": "order.paid", "data": {} });
    items[9] = json!({ "type": "order.created", "version": 2, "data": { "sum": 1 } });
    let refused = space.post("/events", json!({ "items": items })).await;
    assert_eq!(refused.status, 400);
    let errors = &refused["errors"];
    assert_eq!(
        errors["items[3].data.sum"],
        json!(["The items[3].data.sum must be a number."])
    );
    assert!(errors["items[7].type"].is_array() && errors["items[9].version"].is_array());
    assert_eq!(published(&space).await, [Value::Null; 0]);

    for n in [3, 7, 9] {
        items[n] = item(json!(n));
    }
    let answer = space.post("/events", json!({ "items": items })).await.ok();
    assert_eq!(answer["count"], 1000);
    let all = published(&space).await;
    let sums: Vec<i64> = all
        .iter()
        .filter_map(|event| event["data"]["sum"].as_i64())
        .collect();
    assert_eq!(
        sums,
        (0..1000).collect::<Vec<_>>(),
        "in the order of the request"
    );
    let ids: Vec<&Value> = answer["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(
        ids,
        all.iter().map(|event| &event["id"]).collect::<Vec<_>>()
    );

    items.push(item(json!(1)));
    let most = space.post("/events", json!({ "items": items })).await;
    assert!(most["errors"]["items"].is_array(), "{}", most.text);
}

#[tokio::test]
async fn hostile_bodies_are_refused_by_the_name_of_the_member() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let free = json!({ "name": "free", "versions": [{ "version": 1, "schema": {} }] });
    space.post("/event-types", free).await.ok();
    let mut deep = json!({});
    for _ in 0..40 {
        deep = json!({ "a": deep });
    }
    for (event, member) in [
        (json!([]), ""),
        (json!({ "items": {} }), "items"),
        (json!({ "items": [] }), "items"),
        (json!({ "items": [[]] }), "items[0]"),
        (json!({ "data": {} }), "type"),
        (json!({ "type": "free" }), "data"),
        (json!({ "type": "free", "data": "x" }), "data"),
        (json!({ "type": "free", "data": deep }), "data"),
        (
            json!({ "type": "free", "data": { "x": "y".repeat(300_000) } }),
            "data",
        ),
        (json!({ "type": "free", "data": {}, "id": "42" }), "id"),
        (
            json!({ "type": "free", "data": {}, "version": 0 }),
            "version",
        ),
        (
            json!({ "type": "free", "data": {}, "timestamp": "noon" }),
            "timestamp",
        ),
        (
            json!({ "type": "free", "data": {}, "entity": "e".repeat(256) }),
            "entity",
        ),
        (json!({ "type": "f".repeat(129), "data": {} }), "type"),
    ] {
        let refused = space.post("/events", event).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        assert!(
            refused["errors"][member].is_array(),
            "{member}: {}",
            refused.text
        );
    }
    let large = json!({ "items": vec![json!({ "type": "free", "data": { "x": "y".repeat(250_000) } }); 5] });
    assert_eq!(
        space.post("/events", large).await.str("status"),
        "bodyTooLarge"
    );
    let odd =
        json!({ "type": "free", "entity": "a b", "data": { "\u{0}": "\u{0}", "ы": [1e300] } });
    space.post("/events", odd.clone()).await.ok();
    assert_eq!(published(&space).await[0]["data"], odd["data"]);
}

#[tokio::test]
async fn a_repetition_is_answered_as_the_first_time() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let other = hub.workspace("other").await;
    order_type(&space).await;
    order_type(&other).await;
    let event =
        json!({ "id": ID, "type": "order.created", "data": { "sum": 1, "a": { "x": 1, "y": 2 } } });
    let first = space.post("/events", event.clone()).await.ok();
    // A newer version would be the one of an event that names none.
    let two = json!({ "versions": [{ "version": 1, "schema": {} }, { "version": 2, "schema": { "required": ["new"] } }] });
    space.put("/event-types/order.created", two).await.ok();
    let same = json!({ "type": "order.created", "id": ID.to_uppercase(), "data": { "a": { "y": 2.0, "x": 1 }, "sum": 1 } });
    assert_eq!(space.post("/events", same).await.ok().json, first.json);
    space.delete("/event-types/order.created").await.ok();
    assert_eq!(
        space.post("/events", event.clone()).await.ok().json,
        first.json
    );
    order_type(&space).await;
    for change in [
        json!({ "data": { "sum": 2 } }),
        json!({ "entity": "e" }),
        json!({ "version": 1 }),
    ] {
        let mut changed = event.clone();
        for (name, value) in change.as_object().expect("members") {
            changed[name] = value.clone();
        }
        let batch =
            json!({ "items": [{ "type": "order.created", "data": { "sum": 5 } }, changed] });
        let refused = space.post("/events", batch).await;
        assert_eq!(
            (refused.status, refused.str("status").as_str()),
            (409, "alreadyExists")
        );
        assert!(
            refused.str("message").contains("items[1].id"),
            "{}",
            refused.text
        );
    }
    assert_eq!(published(&space).await.len(), 1);
    // Another workspace's id is not known here.
    let changed = json!({ "id": ID, "type": "order.created", "data": { "sum": 9 } });
    other.post("/events", changed).await.ok();
    assert_eq!(published(&other).await.len(), 1);

    // Within one request.
    let id = Uuid::from_u128(77).to_string();
    let one = |sum: i64| json!({ "id": id, "type": "order.created", "data": { "sum": sum } });
    let refused = space
        .post("/events", json!({ "items": [one(1), one(2)] }))
        .await;
    assert_eq!(refused.str("status"), "alreadyExists");
    let twice = space
        .post("/events", json!({ "items": [one(1), one(1)] }))
        .await
        .ok();
    assert_eq!(twice["items"][0], twice["items"][1]);
    assert_eq!(published(&space).await.len(), 2);

    let keyed = space.clone().header("idempotency-key", "k");
    let anonymous = json!({ "type": "order.created", "data": { "sum": 3 } });
    let first = keyed.post("/events", anonymous.clone()).await.ok();
    space.delete("/event-types/order.created").await.ok();
    assert_eq!(keyed.post("/events", anonymous).await.ok().json, first.json);
    let conflict = keyed
        .post("/events", json!({ "type": "x", "data": {} }))
        .await;
    assert_eq!(conflict.str("status"), "idempotencyConflict");
    assert_eq!(published(&space).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn simultaneous_events_with_one_id_are_one_event() {
    let installation = Installation::new(|_| ());
    let hub = installation.start().await;
    let space = hub.workspace("acme").await;
    let second = if on_postgres() {
        Some(installation.second_node().start().await)
    } else {
        None
    };
    order_type(&space).await;
    let mut senders = vec![space.clone()];
    senders.extend(second.as_ref().map(|second| second.adopt(&space)));
    for round in 0..5_u128 {
        let mut work = JoinSet::new();
        for n in 0..16_usize {
            let space = senders[n % senders.len()].clone();
            work.spawn(async move {
                // Half of them have their ids in the other order.
                let mut items: Vec<Value> = (0..4_u128)
                    .map(|m| {
                        let id = Uuid::from_u128(1 + round * 10 + m);
                        json!({ "id": id, "type": "order.created", "data": { "sum": u64::try_from(m).ok() } })
                    })
                    .collect();
                if n / 2 % 2 == 1 {
                    items.reverse();
                }
                space.post("/events", json!({ "items": items })).await.ok();
            });
        }
        work.join_all().await;
    }
    let all = published(&space).await;
    assert_eq!(all.len(), 20, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_simultaneous_events_with_one_id_and_two_contents_one_wins() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    order_type(&space).await;
    let mut work = JoinSet::new();
    for n in 0..16_u32 {
        let space = space.clone();
        let event = json!({ "id": ID, "type": "order.created", "data": { "sum": n } });
        work.spawn(async move { (n, space.post("/events", event).await) });
    }
    let answers = work.join_all().await;
    let won: Vec<u32> = answers
        .iter()
        .filter(|(_, answer)| answer.status == 200)
        .map(|(n, _)| *n)
        .collect();
    assert!(
        answers
            .iter()
            .all(|(_, answer)| matches!(answer.status, 200 | 409))
    );
    let all = published(&space).await;
    assert_eq!((won.len(), all.len()), (1, 1));
    assert_eq!(all[0]["data"]["sum"], won[0]);
}

#[tokio::test]
async fn a_right_to_publish_exists_only_if_it_was_granted() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let member = hub.token("acme", "member").await;
    let user = space
        .post("/users", json!({ "login": "anna" }))
        .await
        .ok()
        .str("id");
    let anna = hub.user_token("acme", &user).await;
    let shop = Integration::install(&space, "shop", "https://127.0.0.1:9").await;
    let crm = Integration::install(&space, "crm", "https://127.0.0.1:9").await;
    let by_shop = space.access_key(&shop.access_key().await);
    let by_crm = space.access_key(&crm.access_key().await);
    let admin = hub.admin().at("/api/v1/acme");
    let event = json!({ "type": "order.created", "data": { "sum": 1 } });
    for (publishers, expected) in [
        (json!([]), [200, 200, 403, 403, 403, 403]),
        (json!(["members"]), [200, 200, 200, 200, 403, 403]),
        (json!([shop.id]), [200, 200, 403, 403, 200, 403]),
        (json!([user, crm.id]), [200, 200, 403, 200, 403, 200]),
    ] {
        let contents =
            json!({ "publishers": publishers, "versions": [{ "version": 1, "schema": {} }] });
        space.put("/event-types/order.created", contents).await.ok();
        let mut statuses = Vec::new();
        for caller in [&admin, &space, &member, &anna, &by_shop, &by_crm] {
            statuses.push(caller.post("/events", event.clone()).await.status);
        }
        assert_eq!(statuses, expected, "{publishers}");
    }
    let shown = published(&member).await;
    let authors: Vec<&Value> = shown
        .iter()
        .map(|event| &event["createInfo"]["createdWith"])
        .collect();
    assert!(authors.contains(&&json!("Integration.shop")));
    assert!(
        shown
            .iter()
            .any(|event| event["createInfo"]["createdByUserId"] == user.as_str())
    );
    // The right is asked for before a key's first answer is given again.
    let keyed = by_crm.clone().header("idempotency-key", "k");
    keyed.post("/events", event.clone()).await.ok();
    let none = json!({ "versions": [{ "version": 1, "schema": {} }] });
    space.put("/event-types/order.created", none).await.ok();
    assert_eq!(keyed.post("/events", event.clone()).await.status, 403);
    let stranger = hub.workspace("other").await.at("/api/v1/acme");
    assert_eq!(stranger.post("/events", event).await.status, 403);
}

#[tokio::test]
async fn events_count_towards_the_quota_and_the_write_limit() {
    let hub = Hub::with(|config| config.write_bytes_per_minute = 300_000).await;
    let space = hub.workspace("acme").await;
    order_type(&space).await;
    let event =
        json!({ "type": "order.created", "data": { "sum": 1, "text": "x".repeat(200_000) } });
    space.post("/events", event.clone()).await.ok();
    space.post("/events", event.clone()).await.ok();
    assert_eq!(space.post("/events", event.clone()).await.status, 429);
    hub.advance(std::time::Duration::from_mins(1));
    let quotas = json!({ "events": 1000 });
    let path = "/admin/v1/workspaces/acme/quota";
    hub.admin().put(path, quotas).await.ok();
    hub.advance(std::time::Duration::from_secs(2));
    let refused = space.post("/events", event).await;
    assert_eq!(refused.str("status"), "quotaExceeded", "{}", refused.text);
}

/// An event whose answer was lost is sent again, and is one event.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_events_come_each_is_there_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = Database::new();
    let mut server = ServerProcess::start(folder.path(), &database).await;
    let admin = server.admin();
    let made = admin
        .post("/admin/v1/workspaces", json!({ "name": "acme" }))
        .await;
    assert_eq!(made.status, 201);
    order_type(&admin.at("/api/v1/acme")).await;
    let token = admin.bearer_token();
    let mut expected = 0;
    for round in 0..3_u128 {
        let here = anonymous_at(&server.url).bearer(&token).at("/api/v1/acme");
        let mut load = JoinSet::new();
        for n in 0..8_u128 {
            let space = here.clone();
            load.spawn(async move {
                let mut sent = Vec::new();
                for turn in 0..10_000_u128 {
                    let items: Vec<Value> = (0..5_u128)
                        .map(|m| {
                            let id = Uuid::from_u128(1 + (((round * 8 + n) * 10_000 + turn) * 5 + m));
                            json!({ "id": id, "type": "order.created", "entity": format!("{n}"), "data": { "sum": u64::try_from(turn).ok() } })
                        })
                        .collect();
                    let body = json!({ "items": items });
                    sent.push(body.clone());
                    match space.try_post("/events", body).await {
                        Some(answer) => assert_eq!(answer.status, 200, "{}", answer.text),
                        None => break,
                    }
                    if turn == 20 && n == 0 {
                        return (sent, true);
                    }
                }
                (sent, false)
            });
        }
        // The first sender stops after some requests, and the server is killed then.
        let mut all = Vec::new();
        while let Some(done) = load.join_next().await {
            let (sent, is_signal) = done.expect("no panic");
            all.extend(sent);
            if is_signal {
                break;
            }
        }
        server.kill();
        all.extend(load.join_all().await.into_iter().flat_map(|(sent, _)| sent));
        server = ServerProcess::start(folder.path(), &database).await;
        let space = anonymous_at(&server.url).bearer(&token).at("/api/v1/acme");
        for body in &all {
            space.post("/events", body.clone()).await.ok();
        }
        expected += all.len() * 5;
    }
    let space = anonymous_at(&server.url).bearer(&token).at("/api/v1/acme");
    let (mut offset, mut ids, mut count) =
        (Uuid::nil().to_string(), std::collections::HashSet::new(), 0);
    loop {
        let page = space
            .get(&format!("/events?eventTypes=*&limit=1000&offset={offset}"))
            .await
            .ok();
        for event in page["items"].as_array().expect("items") {
            count += 1;
            ids.insert(event["id"].clone());
        }
        if page["hasMore"] == false {
            break;
        }
        offset = page.str("lastOffset");
    }
    assert_eq!((ids.len(), count), (expected, expected), "each once");
    assert_eq!(server.terminate(), Some(0), "a clean stop");
}
