//! Batches, and requests that are sent again under their key.

use serde_json::json;

use super::{UNKNOWN_ID, events, hub_and_space};

#[tokio::test]
async fn a_batch_is_all_or_nothing_and_answers_by_key() {
    let (_hub, space) = hub_and_space().await;
    let company = space
        .post("/companies", json!({ "name": "c" }))
        .await
        .ok()
        .str("id");
    let before = events(&space).await.len();
    let items = json!({ "items": [
        { "batchItemKey": "first", "name": "Анна", "position": "директор", "links": { "companyIds": [company] } },
        { "name": "Борис" },
    ] });
    let made = space.post("/contacts/create", items).await.ok();
    let items = made["items"].as_object().expect("a map");
    assert_eq!(items.len(), 2);
    assert_eq!(items["first"]["links"]["companyIds"], json!([company]));
    let (key, second) = items
        .iter()
        .find(|(key, _)| *key != "first")
        .expect("the other");
    assert_ne!(second["id"], key.as_str());
    let new = events(&space).await[before..].to_vec();
    assert_eq!(
        new.iter()
            .map(|event| event["type"].as_str().expect("a type"))
            .collect::<Vec<_>>(),
        ["change", "link", "change"]
    );

    for (bad, field) in [
        (
            json!({ "items": [{ "name": "x" }, { "name": [] }] }),
            "items[1].name",
        ),
        (
            json!({ "items": [{ "batchItemKey": "k" }, { "batchItemKey": "k" }] }),
            "items[1].batchItemKey",
        ),
        (json!({ "items": {} }), "items"),
        (json!({}), "items"),
    ] {
        let refused = space.post("/contacts/create", bad.clone()).await;
        assert_eq!(refused.status, 400, "{bad}: {}", refused.text);
        assert!(
            refused["errors"]
                .as_object()
                .is_some_and(|errors| errors.contains_key(field)),
            "{bad}: {}",
            refused.text
        );
    }
    let unknown =
        json!({ "items": [{ "name": "x" }, { "links": { "companyIds": [UNKNOWN_ID] } }] });
    let refused = space.post("/contacts/create", unknown).await;
    assert_eq!(
        (refused.status, &refused["message"]),
        (409, &json!(format!("Company {UNKNOWN_ID} not found")))
    );
    assert_eq!(
        space.get("/contacts").await.ok()["count"],
        2,
        "nothing was written"
    );
}

#[tokio::test]
async fn the_same_key_gets_the_first_answer() {
    let (hub, space) = hub_and_space().await;
    let keyed = space.clone().header("Idempotency-Key", "order-7");
    let first = keyed
        .post("/companies", json!({ "name": "once" }))
        .await
        .ok();
    let again = keyed
        .post("/companies", json!({ "name": "once" }))
        .await
        .ok();
    assert_eq!(first.text, again.text);
    assert_eq!(space.get("/companies").await.ok()["count"], 1);
    let other = keyed.post("/companies", json!({ "name": "twice" })).await;
    assert_eq!(other.status, 409, "{}", other.text);
    keyed
        .post("/deals", json!({ "name": "another path" }))
        .await
        .ok();
    hub.workspace("other")
        .await
        .header("idempotency-key", "order-7")
        .post("/companies", json!({ "name": "another workspace" }))
        .await
        .ok();
    hub.advance(std::time::Duration::from_hours(25));
    let later = keyed
        .post("/companies", json!({ "name": "twice" }))
        .await
        .ok();
    assert_ne!(later["id"], first["id"]);
    // A refusal is not remembered: corrected, the request goes through.
    let fresh = space.clone().header("idempotency-key", "fresh");
    assert_eq!(fresh.post("/users", json!({})).await.status, 400);
    fresh.post("/users", json!({ "login": "now" })).await.ok();
    let long = space
        .clone()
        .header("idempotency-key", &"k".repeat(300))
        .post("/companies", json!({}))
        .await;
    assert_eq!(long.status, 400);
}

#[tokio::test]
async fn a_restore_is_done_once_under_its_key() {
    let (_hub, space) = hub_and_space().await;
    let id = space
        .post("/deals", json!({ "name": "d" }))
        .await
        .ok()
        .str("id");
    let path = format!("/deals/{id}");
    let keyed = space.clone().header("Idempotency-Key", "restore-7");
    space.delete(&path).await.ok();
    let first = keyed.post(&format!("{path}/restore"), json!({})).await.ok();
    space.delete(&path).await.ok();
    let before = events(&space).await.len();
    let again = keyed.post(&format!("{path}/restore"), json!({})).await.ok();
    assert_eq!(first.text, again.text);
    assert_eq!(events(&space).await.len(), before);
    assert_eq!(space.get("/deals").await.ok()["count"], 0, "still deleted");
}
