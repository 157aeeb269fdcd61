//! The collections: create, read, change, delete, restore, list.

use serde_json::{Value, json};

use super::{UNKNOWN_ID, events, hub_and_space};

#[tokio::test]
async fn the_documented_company() {
    let (_hub, space) = hub_and_space().await;
    let body = json!({
        "inn": "6658000000", "kpp": "665801001", "name": "Ромашка", "regionCode": "66", "description": "цветы",
        "phones": [{ "type": "work", "value": "83432220000" }], "emails": [{ "type": "unknown", "value": "a@example.com" }],
    });
    let made = space.post("/companies", body.clone()).await.ok();
    for member in ["inn", "kpp", "name", "regionCode", "description"] {
        assert_eq!(made[member], body[member], "{member}");
    }
    assert_eq!(made["phones"][0]["value"], "83432220000");
    assert!(
        made["phones"][0]["id"]
            .as_str()
            .is_some_and(|id| id.len() == 36 && id != UNKNOWN_ID)
    );
    for (member, empty) in [
        ("messengerContacts", json!([])),
        ("tags", json!([])),
        ("customFields", json!({})),
    ] {
        assert_eq!(made[member], empty, "{member}");
    }
    assert_eq!(made["updateInfo"]["createdWith"], "WebApp");
    let last = made
        .json
        .as_object()
        .expect("an object")
        .keys()
        .next_back()
        .expect("members");
    assert_eq!(last, "id", "the id comes last");
    assert_eq!(
        space
            .get(&format!("/companies/{}", made.str("id")))
            .await
            .ok()
            .json,
        made.json
    );
}

#[tokio::test]
async fn every_collection_takes_reads_changes_deletes_and_restores() {
    let (_hub, space) = hub_and_space().await;
    let cases = [
        (
            "users",
            json!({ "login": "ivanov", "firstName": "Иван", "lastName": "Иванов" }),
            json!({ "op": "replace", "path": "/lastname", "value": "Петров" }),
        ),
        (
            "groups",
            json!({ "name": "g" }),
            json!({ "op": "replace", "path": "/name", "value": "h" }),
        ),
        (
            "roles",
            json!({ "name": "r" }),
            json!({ "op": "replace", "path": "/name", "value": "h" }),
        ),
        (
            "companies",
            json!({ "name": "c" }),
            json!({ "op": "Replace", "path": "/Name", "value": "h" }),
        ),
        (
            "contacts",
            json!({ "position": "p" }),
            json!({ "op": "replace", "path": "/position", "value": "h" }),
        ),
        (
            "deals",
            json!({ "name": "d", "stageId": 3 }),
            json!({ "op": "replace", "path": "/stageId", "value": 4 }),
        ),
        (
            "tasks",
            json!({ "text": "t" }),
            json!({ "op": "replace", "path": "/isCompleted", "value": true }),
        ),
        (
            "notifications",
            json!({ "text": "n" }),
            json!({ "op": "replace", "path": "/text", "value": "h" }),
        ),
        (
            "catalog-items",
            json!({ "name": "i" }),
            json!({ "op": "replace", "path": "/name", "value": "h" }),
        ),
    ];
    for (collection, body, change) in cases {
        let before = events(&space).await.len();
        let made = space.post(&format!("/{collection}"), body).await.ok();
        let path = format!("/{collection}/{}", made.str("id"));
        let list = space.get(&format!("/{collection}")).await.ok();
        assert_eq!(
            (&list["count"], &list["items"][0]),
            (&json!(1), &made.json),
            "{collection}"
        );
        let changed = space.patch(&path, json!([change])).await.ok();
        assert_eq!(changed["id"], made["id"]);
        assert_ne!(changed.json, made.json, "{collection}");
        for _ in 0..2 {
            assert_eq!(
                space.delete(&path).await.ok().json,
                json!("OK"),
                "{collection}"
            );
        }
        for gone in [space.get(&path).await, space.patch(&path, json!([])).await] {
            assert_eq!(
                (gone.status, &gone["status"]),
                (409, &json!("notFound")),
                "{collection}: {}",
                gone.text
            );
        }
        assert_eq!(space.get(&format!("/{collection}")).await.ok()["count"], 0);
        let restored = space.post(&format!("{path}/restore"), json!({})).await.ok();
        assert_eq!(restored["id"], made["id"]);
        assert_eq!(space.get(&format!("/{collection}")).await.ok()["count"], 1);
        let kinds: Vec<Value> = events(&space).await[before..]
            .iter()
            .map(|event| event["changeData"]["type"].clone())
            .collect();
        assert_eq!(
            kinds,
            ["create", "patch", "delete", "restore"],
            "{collection}: deleting twice is one event"
        );
    }
    let unknown = space.get("/unicorns").await;
    assert_eq!(unknown.status, 404, "{}", unknown.text);
}

#[tokio::test]
async fn the_documented_user_gets_its_defaults() {
    let (_hub, space) = hub_and_space().await;
    let body = json!({ "login": "petrov@example.com", "firstName": "Пётр", "middleName": "Петрович", "lastName": "Петров", "settings": { "regionCode": "66" }, "isAdmin": true });
    let user = space.post("/users", body).await.ok();
    assert_eq!(user["name"], "Петров Пётр Петрович");
    assert_eq!(
        (&user["status"], &user["isAuthorized"], &user["isAdmin"]),
        (&json!("inactive"), &json!(false), &json!(true))
    );
    assert_eq!(user["settings"]["regionCode"], "66");
    assert_eq!(
        user["settings"]["notifications"]["types"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
    assert_eq!(user["groupId"], "00000000-0000-0000-0000-000000000000");
    let refused = space.post("/users", json!({ "firstName": "x" })).await;
    assert_eq!(refused.status, 400);
    assert!(refused["errors"]["login"].is_array(), "{}", refused.text);
}

#[tokio::test]
async fn lists_are_stable_under_paging() {
    let (_hub, space) = hub_and_space().await;
    let mut ids = Vec::new();
    for n in 0..7 {
        ids.push(
            space
                .post("/deals", json!({ "name": n.to_string() }))
                .await
                .ok()
                .str("id"),
        );
    }
    let mut seen = Vec::new();
    for offset in [0, 3, 6, 9] {
        let page = space
            .get(&format!("/deals?offset={offset}&limit=3"))
            .await
            .ok();
        assert_eq!(page["count"], 7, "the total");
        seen.extend(
            page["items"]
                .as_array()
                .expect("items")
                .iter()
                .map(|item| item["id"].as_str().expect("an id").to_owned()),
        );
        space
            .post("/deals", json!({ "name": "meanwhile" }))
            .await
            .ok();
        let newest = space.get("/deals?limit=1000").await.ok()["items"]
            .as_array()
            .expect("items")
            .last()
            .expect("one")["id"]
            .clone();
        space
            .delete(&format!("/deals/{}", newest.as_str().expect("an id")))
            .await
            .ok();
    }
    assert_eq!(seen, ids, "in the order of creation, each once");
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        ("offset=-1", "offset"),
        ("offset=1.5", "offset"),
    ] {
        let refused = space.get(&format!("/deals?{query}")).await;
        assert_eq!(refused.status, 400, "{query}");
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
async fn settings_do_not_grow_without_end() {
    let (_hub, space) = hub_and_space().await;
    let declare = |id: &str| {
        let field = json!({ "id": id, "name": "x".repeat(600_000) });
        json!([{ "op": "add", "path": "/customFields/deal", "value": field }])
    };
    space.patch("/settings", declare("one")).await.ok();
    let refused = space.patch("/settings", declare("two")).await;
    assert_eq!(
        (refused.status, &refused["status"]),
        (409, &json!("invalidArgs")),
        "{}",
        refused.text
    );
    let kept = space.get("/settings").await.ok();
    assert_eq!(
        kept["customFields"]["deal"].as_array().map(Vec::len),
        Some(1),
        "nothing was written"
    );
}
