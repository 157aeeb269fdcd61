//! The feed (`docs/contracts/kontur.md §4.7, §8`): no change is ever missed.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::hub::{Caller, Hub, Installation, on_postgres, spawn};

const NIL_ID: &str = "00000000-0000-0000-0000-000000000000";

async fn page(space: &Caller, offset: &str, limit: usize) -> Value {
    space
        .get(&format!("/events?offset={offset}&limit={limit}"))
        .await
        .ok()
        .json
}

/// Reads the feed as the vendor's document prescribes, until `done` is true and the end is reached.
async fn follow(space: Caller, done: Arc<AtomicBool>) -> Vec<Value> {
    let (mut seen, mut offset) = (Vec::new(), NIL_ID.to_owned());
    loop {
        let ending = done.load(Ordering::Acquire);
        let page = page(&space, &offset, 7).await;
        let items = page["items"].as_array().expect("items").clone();
        assert_eq!(page["count"], items.len());
        if items.is_empty() {
            assert_eq!(
                (&page["firstOffset"], &page["lastOffset"], &page["hasMore"]),
                (&json!(offset), &json!(offset), &json!(false))
            );
        } else {
            assert_eq!(
                (&page["firstOffset"], &page["lastOffset"]),
                (&items[0]["offset"], &items[items.len() - 1]["offset"])
            );
        }
        let more = page["hasMore"] == true;
        assert!(
            !more || items.len() == 7,
            "a full page is what there is more behind"
        );
        page["lastOffset"]
            .as_str()
            .expect("an offset")
            .clone_into(&mut offset);
        seen.extend(items);
        if ending && !more {
            return seen;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polling_reader_sees_every_event_once_under_concurrent_writers() {
    let installation = Installation::new(|_| ());
    let hub = installation.start().await;
    let space = hub.workspace("acme").await;
    let mut writers = vec![space.clone()];
    let second = if on_postgres() {
        Some(installation.second_node().start().await)
    } else {
        None
    };
    if let Some(second) = &second {
        writers.push(second.adopt(&space));
    }
    let done = Arc::new(AtomicBool::new(false));
    let reader = spawn(follow(space.clone(), done.clone()));
    let mut writing = JoinSet::new();
    for n in 0..12_usize {
        let space = writers[n % writers.len()].clone();
        writing.spawn(async move {
            let mut made = Vec::new();
            for turn in 0..15 {
                let body = json!({ "name": format!("{n}-{turn}") });
                made.push(
                    space
                        .post(["/companies", "/deals", "/groups"][turn % 3], body)
                        .await
                        .ok()
                        .str("id"),
                );
            }
            made
        });
    }
    let mut made: Vec<String> = writing.join_all().await.concat();
    done.store(true, Ordering::Release);
    let seen = reader.await.expect("the reader ends");
    let mut ids: Vec<String> = seen
        .iter()
        .map(|event| {
            event["changeData"]["new"]["id"]
                .as_str()
                .expect("an id")
                .to_owned()
        })
        .collect();
    ids.sort();
    made.sort();
    assert_eq!(ids, made, "each once, none missing");
    let offsets: Vec<&str> = seen
        .iter()
        .map(|event| event["offset"].as_str().expect("an offset"))
        .collect();
    assert!(
        offsets.windows(2).all(|pair| pair[0] < pair[1]),
        "strictly growing"
    );
}

#[tokio::test]
async fn the_shape_of_a_page() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let empty = space.get("/events").await.ok();
    assert_eq!(
        empty.json,
        json!({ "count": 0, "items": [], "firstOffset": NIL_ID, "lastOffset": NIL_ID, "hasMore": false })
    );
    let made = space.post("/companies", json!({ "name": "c" })).await.ok();
    let feed = space.get(&format!("/events?offset={NIL_ID}")).await.ok();
    let event = &feed["items"][0];
    assert_eq!(
        (&event["type"], &event["changeData"]["type"]),
        (&json!("change"), &json!("create"))
    );
    assert_eq!(event["entityIds"], json!({ "companyId": made["id"] }));
    assert!(event["changeData"].get("old").is_none());
    let mut snapshot = made.json.clone();
    let members = snapshot.as_object_mut().expect("an object");
    members.remove("updateInfo");
    members.remove("links");
    assert_eq!(
        event["changeData"]["new"], snapshot,
        "the model without updateInfo and links, which have events of their own"
    );
    let first = event["changeData"]["new"]
        .as_object()
        .expect("an object")
        .keys()
        .next()
        .expect("members");
    assert_eq!(first, "id", "the id comes first in snapshots");
    assert_eq!(event["createInfo"]["createdWith"], "WebApp");
    assert_eq!(
        event["createInfo"]["createdAt"],
        made["updateInfo"]["createdAt"]
    );
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    for n in 0..3 {
        space
            .post("/companies", json!({ "name": n.to_string() }))
            .await
            .ok();
    }
    for (query, field) in [
        ("offset=x", "offset"),
        ("offset=7", "offset"),
        ("limit=0", "limit"),
        ("limit=-3", "limit"),
        ("limit=many", "limit"),
    ] {
        let refused = space.get(&format!("/events?{query}")).await;
        assert_eq!(refused.status, 400, "{query}: {}", refused.text);
        assert!(
            refused["errors"]
                .as_object()
                .is_some_and(|errors| errors.contains_key(field)),
            "{}",
            refused.text
        );
    }
    let all = page(&space, NIL_ID, 1_000_000).await;
    assert_eq!(all["count"], 3, "a limit above the most is the most");
    let one = page(&space, NIL_ID, 1).await;
    assert_eq!((&one["count"], &one["hasMore"]), (&json!(1), &json!(true)));
    let last = all["lastOffset"].as_str().expect("an offset").to_owned();
    let beyond = page(&space, &last, 10).await;
    assert_eq!(
        (&beyond["count"], &beyond["hasMore"], &beyond["lastOffset"]),
        (&json!(0), &json!(false), &json!(last))
    );
    let exact = page(&space, NIL_ID, 3).await;
    assert_eq!(
        (&exact["count"], &exact["hasMore"]),
        (&json!(3), &json!(false)),
        "hasMore is honest at the edge"
    );
}

#[tokio::test]
async fn the_feed_outlives_the_server() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    space.post("/companies", json!({ "name": "c" })).await.ok();
    let before = space.get("/events").await.ok().text;
    let hub = hub.restart().await;
    assert_eq!(hub.adopt(&space).get("/events").await.ok().text, before);
}
