//! The search of the log (`docs/contracts/prichal.md §6.4`).

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::hub::{Caller, Hub};

/// The names of the entities of a page's events, the newest first, and the page.
async fn search(space: &Caller, query: &str) -> (Vec<String>, Value) {
    let page = space.get(&format!("/log{query}")).await.ok().json;
    let items = page["items"].as_array().expect("items");
    assert_eq!(page["count"], items.len(), "{query}");
    let name = |item: &Value| {
        item["changeData"]["new"]["name"]
            .as_str()
            .map(str::to_owned)
    };
    (items.iter().filter_map(name).collect(), page)
}

async fn create(space: &Caller, path: &str, name: &str) -> String {
    let made = space.post(path, json!({ "name": name })).await.ok().json;
    made["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn the_log_is_read_from_its_end() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    for name in ["a", "b", "c", "d", "e"] {
        create(&space, "/companies", name).await;
    }
    let (all, page) = search(&space, "").await;
    assert_eq!(all, ["e", "d", "c", "b", "a"]);
    assert!(
        page.get("next").is_none() && page.get("previous").is_none(),
        "{page}"
    );
    let (first, page) = search(&space, "?limit=2").await;
    assert_eq!(first, ["e", "d"]);
    let next = page["next"].as_str().expect("older events");
    let (second, page) = search(&space, &format!("?limit=2&before={next}")).await;
    assert_eq!(second, ["c", "b"]);
    let previous = page["previous"].as_str().expect("newer events");
    let (back, page) = search(&space, &format!("?limit=2&after={previous}")).await;
    assert_eq!(back, ["e", "d"]);
    assert!(page.get("previous").is_none(), "{page}");
    let next = page["next"].as_str().expect("older events");
    let (again, page) = search(&space, &format!("?limit=2&before={next}")).await;
    assert_eq!(again, ["c", "b"]);
    let next = page["next"].as_str().expect("older events");
    let (last, page) = search(&space, &format!("?limit=2&before={next}")).await;
    assert_eq!(last, ["a"]);
    assert!(page.get("next").is_none(), "{page}");
    // An event by its offset is the same as in the list.
    let one = &page["items"][0];
    let offset = one["offset"].as_str().expect("an offset");
    assert_eq!(&space.get(&format!("/log/{offset}")).await.ok().json, one);
}

#[tokio::test]
async fn an_offset_of_another_log_selects_within_the_bounds() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    create(&space, "/companies", "a").await;
    for foreign in [
        "e3e70682-c209-1cac-a29f-6fbed82c07cd",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ] {
        let past = "from=2000-01-01T00:00:00Z&to=2000-01-01T00:00:00Z";
        for query in [
            format!("?after={foreign}"),
            format!("?before={foreign}"),
            format!("?after={foreign}&before={foreign}"),
        ] {
            let (found, _) = search(&space, &query).await;
            assert!(found.len() <= 1, "{query}: {found:?}");
            let (found, _) = search(&space, &format!("{query}&{past}")).await;
            assert!(found.is_empty(), "{query}: {found:?}");
        }
    }
}

#[tokio::test]
async fn criteria_select_events() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let company = create(&space, "/companies", "old").await;
    hub.advance(Duration::from_hours(1));
    create(&space, "/contacts", "person").await;
    let patch = json!([{"op": "replace", "path": "/name", "value": "renamed"}]);
    space
        .patch(&format!("/companies/{company}"), patch)
        .await
        .ok();
    for (query, names) in [
        ("?entityType=company", &["renamed", "old"][..]),
        ("?entityType=Contact", &["person"]),
        (&format!("?entityId={company}"), &["renamed", "old"]),
        (&format!("?entityType=contact&entityId={company}"), &[]),
        ("?changeType=patch", &["renamed"]),
        ("?eventType=link", &[]),
        ("?customType=*", &[]),
        ("?from=2026-01-01T00:30:00Z", &["renamed", "person"]),
        ("?to=2026-01-01T00:30:00Z", &["old"]),
        ("?from=2026-01-01T02:00:00Z", &[]),
        (
            "?from=2025-01-01T00:00:00Z&to=2027-01-01T00:00:00Z",
            &["renamed", "person", "old"],
        ),
    ] {
        assert_eq!(search(&space, query).await.0, names, "{query}");
    }
    for wrong in [
        "?entityType=ship",
        "?from=yesterday",
        "?before=1",
        "?limit=0",
        "?customType=a..b",
    ] {
        assert_eq!(
            space.get(&format!("/log{wrong}")).await.status,
            400,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn another_workspaces_events_do_not_exist() {
    let hub = Hub::start().await;
    let (space, other) = (hub.workspace("acme").await, hub.workspace("beta").await);
    create(&other, "/companies", "theirs").await;
    assert_eq!(search(&space, "").await.0, Vec::<String>::new());
    let page = search(&other, "").await.1;
    let offset = page["items"][0]["offset"].as_str().expect("an offset");
    let found = space.get(&format!("/log/{offset}")).await;
    assert_eq!(found.json["status"], "notFound", "{}", found.text);
}
