//! The registry of event types.

use serde_json::{Value, json};

use super::{order, order_type};
use crate::harness::{
    hub::{Hub, Installation, eventually, on_postgres},
    integration::Integration,
};

#[tokio::test]
async fn a_type_is_added_read_replaced_and_deleted() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let schema = json!({ "properties": { "note": { "const": null } }, "x-team": "shop" });
    let body = json!({
        "name": "order.created", "description": "An order.", "publishers": ["members"],
        "versions": [{ "version": 1, "schema": schema, "examples": [{ "note": null }] }]
    });
    let made = space.post("/event-types", body.clone()).await.ok();
    assert_eq!(made["versions"], body["versions"], "nulls are kept");
    assert_eq!(made["deprecated"], false);
    assert_eq!(made["updateInfo"]["createdWith"], "WebApp");
    let read = space.get("/event-types/order.created").await.ok();
    assert_eq!(read.json, made.json);

    let taken = space.post("/event-types", body.clone()).await;
    assert_eq!(
        (taken.status, taken.str("status").as_str()),
        (409, "alreadyExists")
    );
    hub.advance(std::time::Duration::from_secs(1));
    let contents = json!({ "deprecated": true, "versions": [
        { "version": 1, "schema": schema }, { "version": 2, "schema": {} }] });
    let replaced = space
        .put("/event-types/order.created", contents.clone())
        .await
        .ok();
    assert_eq!(replaced["deprecated"], true);
    assert_eq!(
        replaced["updateInfo"]["createdAt"],
        made["updateInfo"]["createdAt"]
    );
    assert_ne!(
        replaced["updateInfo"]["updatedAt"],
        made["updateInfo"]["updatedAt"]
    );
    hub.advance(std::time::Duration::from_secs(1));
    let again = space.put("/event-types/order.created", contents).await.ok();
    assert_eq!(again.json, replaced.json, "a repetition changes nothing");
    space
        .put(
            "/event-types/a.b",
            json!({ "versions": [{ "version": 1, "schema": {} }] }),
        )
        .await
        .ok();

    let list = space.get("/event-types").await.ok();
    let names: Vec<&Value> = list["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(
        (&list["count"], names),
        (&json!(2), vec![&json!("a.b"), &json!("order.created")])
    );
    let second = space.get("/event-types?offset=1&limit=1").await.ok();
    assert_eq!(second["items"][0]["name"], "order.created");

    for _ in 0..2 {
        let gone = space.delete("/event-types/order.created").await.ok();
        assert_eq!(gone.text, "\"OK\"");
    }
    let missing = space.get("/event-types/order.created").await;
    assert_eq!(
        (missing.status, missing.str("status").as_str()),
        (409, "notFound")
    );
}

#[tokio::test]
async fn administrators_write_members_read_strangers_see_nothing() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let other = hub.workspace("other").await;
    order_type(&space).await;
    let member = hub.token("acme", "member").await;
    let integration = Integration::install(&space, "shop", "https://127.0.0.1:9").await;
    let by_key = space.access_key(&integration.access_key().await);
    for reader in [&member, &by_key] {
        reader.get("/event-types").await.ok();
        reader.get("/event-types/order.created").await.ok();
        let contents = json!({ "versions": [{ "version": 1, "schema": {} }] });
        let named = json!({ "name": "mine", "versions": [{ "version": 1, "schema": {} }] });
        assert_eq!(reader.post("/event-types", named).await.status, 403);
        let replaced = reader.put("/event-types/order.created", contents).await;
        assert_eq!(replaced.status, 403);
        assert_eq!(
            reader.delete("/event-types/order.created").await.status,
            403
        );
    }
    assert_eq!(other.get("/event-types").await.ok()["count"], 0);
    assert_eq!(other.get("/event-types/order.created").await.status, 409);
    let stranger = other.at("/api/v1/acme");
    assert_eq!(stranger.get("/event-types").await.status, 403);
}

#[tokio::test]
async fn hostile_types_are_refused_by_the_name_of_the_member() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let mut deep = json!({});
    for _ in 0..100 {
        deep = json!({ "not": deep });
    }
    let version = |schema: Value| json!([{ "version": 1, "schema": schema }]);
    for (name, versions, member) in [
        ("prichal.started", version(json!({})), "name"),
        ("company created", version(json!({})), "name"),
        (
            "a",
            version(json!({ "$ref": "http://127.0.0.1:1/a.json" })),
            "versions[0].schema",
        ),
        (
            "a",
            version(json!({ "$ref": "file:///etc/passwd" })),
            "versions[0].schema",
        ),
        (
            "a",
            version(json!({ "pattern": "(x{1000}){1000}" })),
            "versions[0].schema",
        ),
        ("a", version(deep), "versions[0].schema"),
        (
            "a",
            version(json!({ "title": "x".repeat(70_000) })),
            "versions[0].schema",
        ),
        (
            "a",
            version(json!({ "propertees": {} })),
            "versions[0].schema",
        ),
        (
            "a",
            json!([{ "version": 1, "schema": order(), "examples": [{ "sum": -1 }] }]),
            "versions[0].examples[0].sum",
        ),
        ("a", json!([]), "versions"),
        (
            "a",
            json!([{ "version": 1, "schema": [] }]),
            "versions[0].schema",
        ),
    ] {
        let body = json!({ "name": name, "versions": versions });
        let refused = space.post("/event-types", body).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        let errors = refused["errors"].as_object().expect("errors");
        assert!(errors.contains_key(member), "{member}: {}", refused.text);
    }
    assert_eq!(space.get("/event-types").await.ok()["count"], 0);
}

#[tokio::test]
async fn a_schema_without_end_refuses_events_and_keeps_the_server() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let endless = json!({ "$ref": "#" });
    let mut defs = json!({ "d40": true });
    for n in 0..40 {
        let next = json!({ "$ref": format!("#/$defs/d{}", n + 1) });
        defs[format!("d{n}")] = json!({ "anyOf": [{ "allOf": [next, false] }, next] });
    }
    let doubling = json!({ "$defs": defs, "$ref": "#/$defs/d0" });
    for (name, schema) in [("endless", endless), ("doubling", doubling)] {
        let body = json!({ "name": name, "versions": [{ "version": 1, "schema": schema }] });
        space.post("/event-types", body).await.ok();
        let refused = space
            .post("/events", json!({ "type": name, "data": {} }))
            .await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        assert!(refused["errors"]["data"].is_array(), "{}", refused.text);
    }
    order_type(&space).await;
    let event = json!({ "type": "order.created", "data": { "sum": 1 } });
    space.post("/events", event).await.ok();
}

#[tokio::test]
async fn a_changed_type_counts_at_once_also_on_another_node() {
    let installation = Installation::new(|_| ());
    let hub = installation.start().await;
    let space = hub.workspace("acme").await;
    let second = if on_postgres() {
        Some(installation.second_node().start().await)
    } else {
        None
    };
    let elsewhere = second
        .as_ref()
        .map_or(space.clone(), |second| second.adopt(&space));
    order_type(&space).await;
    let event = json!({ "type": "order.created", "data": { "sum": 1 } });
    elsewhere.post("/events", event.clone()).await.ok();
    let stricter = json!({ "versions": [{ "version": 1, "schema": { "required": ["id"] } }] });
    space.put("/event-types/order.created", stricter).await.ok();
    let refused = elsewhere.post("/events", event.clone()).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    space.delete("/event-types/order.created").await.ok();
    let refused = elsewhere.post("/events", event.clone()).await;
    assert!(refused["errors"]["type"].is_array(), "{}", refused.text);
    // A type of the same name is another one.
    order_type(&space).await;
    elsewhere.post("/events", event).await.ok();
    eventually("the feed has both", || async {
        (super::published(&space).await.len() == 2).then_some(())
    })
    .await;
}
