//! Patches: all operations of one are done, or none.

use serde_json::{Value, json};

use super::{UNKNOWN_ID, events, hub_and_space, patch_error};

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
        json!({ "op": "replace", "path": "/id", "value": UNKNOWN_ID }),
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
        json!({ "op": "remove", "path": format!("/phones/{UNKNOWN_ID}") }),
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
