//! Entities, batches, links (`docs/contracts/prichal.md §5`, `docs/contracts/kontur.md §3, §4.8, §5`).

use serde_json::{Value, json};

use crate::hub::{Answer, Caller, Hub};

const NOBODY: &str = "00000000-0000-0000-0000-000000000001";

async fn hub_and_space() -> (Hub, Caller) {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    (hub, space)
}

async fn events(space: &Caller) -> Vec<Value> {
    space.get("/events?limit=1000").await.ok()["items"]
        .as_array()
        .expect("items")
        .clone()
}

/// The parts of a failed patch that say which operations were wrong.
fn patch_error(answer: &Answer, list: &str) -> Value {
    assert_eq!(answer.status, 409, "{}", answer.text);
    assert_eq!(
        (&answer["isSuccessful"], &answer["responseCode"]),
        (&json!(false), &json!("conflict"))
    );
    assert_eq!(answer["errorInfo"]["status"], "invalidArgs");
    assert_eq!(
        answer["errorInfo"]["message"],
        "Patch contains invalid operations"
    );
    answer["errorInfo"][list].clone()
}

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
            .is_some_and(|id| id.len() == 36 && id != NOBODY)
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
    let unknown = json!({ "items": [{ "name": "x" }, { "links": { "companyIds": [NOBODY] } }] });
    let refused = space.post("/contacts/create", unknown).await;
    assert_eq!(
        (refused.status, &refused["message"]),
        (409, &json!(format!("Company {NOBODY} not found")))
    );
    assert_eq!(
        space.get("/contacts").await.ok()["count"],
        2,
        "nothing was written"
    );
}

#[tokio::test]
async fn a_patch_is_all_or_nothing() {
    let (_hub, space) = hub_and_space().await;
    let body = json!({ "name": "c", "phones": [{ "type": "work", "value": "1" }, { "type": "work", "value": "2" }] });
    let made = space.post("/companies", body).await.ok();
    let path = format!("/companies/{}", made.str("id"));
    let phone = made["phones"][0]["id"].as_str().expect("an id").to_owned();
    let before = events(&space).await.len();

    let wrong = |list: &'static str, operation: Value| {
        let (space, path) = (space.clone(), path.clone());
        async move {
            let good = json!({ "op": "replace", "path": "/name", "value": "changed" });
            let answer = space.patch(&path, json!([good, operation])).await;
            let mut refused = patch_error(&answer, list);
            let reason = refused[0].as_object_mut().map(|one| one.remove("reason"));
            assert!(
                matches!(reason, Some(Some(Value::String(_)))),
                "{}",
                answer.text
            );
            assert_eq!(refused, json!([operation]), "{}", answer.text);
        }
    };
    wrong(
        "invalidPaths",
        json!({ "op": "replace", "path": "/id", "value": NOBODY }),
    )
    .await;
    wrong(
        "invalidPaths",
        json!({ "op": "replace", "path": "/updateInfo/createdAt", "value": "x" }),
    )
    .await;
    wrong(
        "invalidPaths",
        json!({ "op": "replace", "path": "/nothing", "value": 1 }),
    )
    .await;
    wrong(
        "invalidPaths",
        json!({ "op": "remove", "path": "/phones/0" }),
    )
    .await;
    wrong(
        "invalidPaths",
        json!({ "op": "add", "path": "/phones/-", "value": { "value": "3" } }),
    )
    .await;
    wrong(
        "invalidPaths",
        json!({ "op": "remove", "path": format!("/phones/{NOBODY}") }),
    )
    .await;
    wrong(
        "invalidPaths",
        json!({ "op": "move", "path": "/name", "from": "/inn" }),
    )
    .await;
    wrong(
        "invalidPaths",
        json!({ "op": "test", "path": "/name", "value": "c" }),
    )
    .await;
    wrong(
        "invalidValueTypes",
        json!({ "op": "replace", "path": "/name", "value": 7 }),
    )
    .await;
    wrong(
        "invalidValueTypes",
        json!({ "op": "replace", "path": "/phones", "value": "x" }),
    )
    .await;
    assert_eq!(space.get(&path).await.ok().json, made.json, "untouched");
    assert_eq!(events(&space).await.len(), before);

    let operations = json!([
        { "op": "Add", "path": "/Phones", "value": { "id": "00000000-0000-0000-0000-000000000000", "type": "work", "value": "3" } },
        { "op": "replace", "path": format!("/phones/{phone}/value"), "value": "one" },
        { "op": "remove", "path": format!("/PHONES/{}", made["phones"][1]["id"].as_str().expect("an id")) },
        { "op": "REPLACE", "path": "/tags", "value": ["a", "b"] },
    ]);
    let changed = space.patch(&path, operations).await.ok();
    let phones: Vec<_> = changed["phones"]
        .as_array()
        .expect("phones")
        .iter()
        .map(|phone| phone["value"].clone())
        .collect();
    assert_eq!(phones, ["one", "3"]);
    assert!(
        changed["phones"][1]["id"]
            .as_str()
            .is_some_and(|id| !id.starts_with("00000000-0000-0000-0000"))
    );
    assert_eq!(changed["tags"], json!(["a", "b"]));
    assert_eq!(
        changed["updateInfo"]["createdAt"],
        made["updateInfo"]["createdAt"]
    );
    let new = events(&space).await[before..].to_vec();
    assert_eq!(new.len(), 1, "one event for the whole patch");
    assert_eq!(new[0]["changeData"]["old"]["phones"], made["phones"]);
    assert_eq!(new[0]["changeData"]["new"]["phones"], changed["phones"]);
    assert!(new[0]["changeData"]["new"].get("updateInfo").is_none());

    let nothing = space
        .patch(
            &path,
            json!([{ "op": "replace", "path": "/name", "value": "c" }]),
        )
        .await
        .ok();
    assert_eq!(nothing.json, changed.json, "no change is no change");
    assert_eq!(events(&space).await.len(), before + 1);
    for (body, field) in [
        (json!({}), "operations"),
        (json!({ "operations": 7 }), "operations"),
        (json!([]), ""),
    ] {
        let refused = space
            .send(
                reqwest::Method::PATCH,
                &path,
                Some(body.to_string().into_bytes()),
            )
            .await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        assert!(
            refused["errors"]
                .as_object()
                .is_some_and(|errors| errors.keys().any(|key| key.starts_with(field))),
            "{body}: {}",
            refused.text
        );
    }
}

#[tokio::test]
async fn links_join_two_ends_once() {
    let (_hub, space) = hub_and_space().await;
    let make = |collection: &str, body: Value| {
        let (space, path) = (space.clone(), format!("/{collection}"));
        async move { space.post(&path, body).await.ok().str("id") }
    };
    let (company, deal, contact) = (
        make("companies", json!({})).await,
        make("deals", json!({})).await,
        make("contacts", json!({})).await,
    );
    let before = events(&space).await.len();
    let link = json!({ "companyId": company, "dealId": deal });
    for _ in 0..2 {
        assert_eq!(
            space.post("/links", link.clone()).await.ok().json,
            json!("OK")
        );
    }
    let linked = json!({ "companyId": company, "contactId": contact });
    space.post("/links", linked.clone()).await.ok();
    assert_eq!(
        space.get(&format!("/contacts/{contact}")).await.ok()["links"]["companyIds"],
        json!([company])
    );
    let delete = |body: Value| {
        let space = space.clone();
        async move {
            space
                .send(
                    reqwest::Method::DELETE,
                    "/links",
                    Some(body.to_string().into_bytes()),
                )
                .await
        }
    };
    for _ in 0..2 {
        assert_eq!(delete(link.clone()).await.ok().json, json!("OK"));
    }
    let new = events(&space).await[before..].to_vec();
    let shapes: Vec<_> = new
        .iter()
        .map(|event| {
            (
                event["type"].as_str().expect("a type"),
                event["entityIds"].clone(),
            )
        })
        .collect();
    assert_eq!(
        shapes,
        [
            ("link", link.clone()),
            ("link", linked),
            ("unlink", link.clone())
        ]
    );
    assert!(new.iter().all(|event| event.get("changeData").is_none()));

    for bad in [
        json!({}),
        json!({ "companyId": company }),
        json!({ "companyId": company, "dealId": deal, "contactId": contact }),
        json!({ "companyId": company, "unicornId": deal }),
        json!({ "companyId": company, "CompanyId": company }),
        json!({ "companyId": company, "companyID": deal }),
        json!({ "companyId": "x", "dealId": deal }),
        json!({ "companyId": 7, "dealId": deal }),
    ] {
        for refused in [
            space.post("/links", bad.clone()).await,
            delete(bad.clone()).await,
        ] {
            assert_eq!(refused.status, 400, "{bad}: {}", refused.text);
        }
    }
    let unknown = space
        .post("/links", json!({ "companyId": company, "dealId": NOBODY }))
        .await;
    assert_eq!(
        (unknown.status, &unknown["status"], &unknown["message"]),
        (
            409,
            &json!("notFound"),
            &json!(format!("Deal {NOBODY} not found"))
        )
    );
}

#[tokio::test]
async fn links_inside_a_contact_are_written_and_changed() {
    let (_hub, space) = hub_and_space().await;
    let one = space
        .post("/companies", json!({ "name": "one" }))
        .await
        .ok()
        .str("id");
    let two = space
        .post("/companies", json!({ "name": "two" }))
        .await
        .ok()
        .str("id");
    let contact = space
        .post("/contacts", json!({ "links": { "companyIds": [one] } }))
        .await
        .ok();
    let path = format!("/contacts/{}", contact.str("id"));
    let before = events(&space).await.len();
    let changed = space
        .patch(
            &path,
            json!([{ "op": "replace", "path": "/links/companyIds", "value": [two] }]),
        )
        .await
        .ok();
    assert_eq!(changed["links"]["companyIds"], json!([two]));
    let kinds: Vec<Value> = events(&space).await[before..]
        .iter()
        .map(|event| event["type"].clone())
        .collect();
    assert!(
        kinds.contains(&json!("link")) && kinds.contains(&json!("unlink")),
        "{kinds:?}"
    );
    let refused = space
        .patch(
            &path,
            json!([{ "op": "replace", "path": "/links/companyIds", "value": [NOBODY] }]),
        )
        .await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert_eq!(
        space.get(&path).await.ok()["links"]["companyIds"],
        json!([two])
    );
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
async fn concurrent_patches_lose_nothing() {
    let (_hub, space) = hub_and_space().await;
    let id = space
        .post("/companies", json!({ "name": "c" }))
        .await
        .ok()
        .str("id");
    let mut patches = tokio::task::JoinSet::new();
    for n in 0..40 {
        let (space, path) = (space.clone(), format!("/companies/{id}"));
        patches.spawn(async move {
            let phone = json!({ "type": "work", "value": n.to_string() });
            space
                .patch(
                    &path,
                    json!([{ "op": "add", "path": "/phones", "value": phone }]),
                )
                .await
                .ok();
        });
    }
    while let Some(done) = patches.join_next().await {
        done.expect("no panic");
    }
    let company = space.get(&format!("/companies/{id}")).await.ok();
    assert_eq!(company["phones"].as_array().map(Vec::len), Some(40));
    let events = events(&space).await;
    for pair in events.windows(2).skip(1) {
        assert_eq!(
            pair[0]["changeData"]["new"], pair[1]["changeData"]["old"],
            "each change starts where the one before ended"
        );
    }
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
