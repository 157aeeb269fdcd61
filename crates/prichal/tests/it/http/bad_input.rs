//! Hostile and careless input: a clear refusal in the dialect, never a 500, never half a change.

use reqwest::Method;
use serde_json::json;

use crate::harness::{
    hub::{Caller, Hub},
    integration::Integration,
};

async fn hub_and_space() -> (Hub, Caller) {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    (hub, space)
}

#[tokio::test]
async fn bodies_that_are_no_json() {
    let (_hub, space) = hub_and_space().await;
    let deep = "[".repeat(100_000);
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{".to_vec(),
        b"{\"name\": \"x\",,}".to_vec(),
        b"{name: \"x\"}".to_vec(),
        b"\xff\xfe".to_vec(),
        b"{\"name\": \"\xc3\"}".to_vec(),
        b"nul".to_vec(),
        b"[1".to_vec(),
        deep.into_bytes(),
    ];
    for body in bodies {
        for (method, path) in [
            (Method::POST, "/companies"),
            (Method::POST, "/contacts/create"),
            (Method::POST, "/links"),
            (Method::PATCH, "/settings"),
            (Method::POST, "/private-integrations"),
        ] {
            let refused = space.send(method, path, Some(body.clone())).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            assert_eq!(refused.status, 400, "{path} {shown}: {}", refused.text);
            assert_eq!(refused["title"], "One or more validation errors occurred.");
            assert!(
                refused["errors"].is_object() && refused["traceId"].is_string(),
                "{}",
                refused.text
            );
            assert!(refused.header("x-request-id").is_some());
        }
    }
    assert_eq!(space.get("/companies").await.ok()["count"], 0);
}

#[tokio::test]
async fn values_of_the_wrong_type_name_their_field() {
    let (_hub, space) = hub_and_space().await;
    let cases = [
        ("companies", json!({ "name": {} }), "name"),
        ("companies", json!({ "name": ["x"] }), "name"),
        ("companies", json!({ "phones": {} }), "phones"),
        ("companies", json!({ "phones": [7] }), "phones[0]"),
        (
            "companies",
            json!({ "phones": [{ "value": [] }] }),
            "phones[0].value",
        ),
        ("companies", json!({ "tags": [{}] }), "tags[0]"),
        ("companies", json!({ "customFields": [] }), "customFields"),
        ("deals", json!({ "stageId": "x" }), "stageId"),
        ("deals", json!({ "stageId": 1.5 }), "stageId"),
        (
            "deals",
            json!({ "assignedToUserId": "x" }),
            "assignedToUserId",
        ),
        (
            "users",
            json!({ "login": "x", "isAdmin": "maybe" }),
            "isAdmin",
        ),
        (
            "users",
            json!({ "login": "x", "status": "asleep" }),
            "status",
        ),
        ("tasks", json!({ "date": "tomorrow" }), "date"),
        (
            "contacts",
            json!({ "links": { "companyIds": ["x"] } }),
            "links.companyIds[0]",
        ),
    ];
    for (collection, body, field) in cases {
        let refused = space.post(&format!("/{collection}"), body.clone()).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        assert!(
            refused["errors"]
                .as_object()
                .is_some_and(|errors| errors.contains_key(field)),
            "{body}: {}",
            refused.text
        );
    }
    for body in [json!([]), json!("x"), json!(7), json!(null)] {
        assert_eq!(
            space.post("/companies", body.clone()).await.status,
            400,
            "{body}"
        );
    }
    let fine = space
        .post(
            "/companies",
            json!({ "NAME": "case does not matter", "unknown": { "is": "ignored" } }),
        )
        .await
        .ok();
    assert_eq!(fine["name"], "case does not matter");
    assert!(fine.get("unknown").is_none());
}

#[tokio::test]
async fn text_that_databases_stumble_over() {
    let (_hub, space) = hub_and_space().await;
    for name in [
        "\u{0}",
        "a\u{0}b",
        "'; DROP TABLE entity; --",
        "\u{fffe}\u{10ffff}",
        "$1",
        "/*postgres FOR UPDATE*/",
        "😀\u{301}\u{202e}",
    ] {
        let made = space
            .post(
                "/companies",
                json!({ "name": name, "customFields": { "x": name } }),
            )
            .await;
        assert!(
            made.status == 200 || made.status == 400,
            "{name:?}: {} {}",
            made.status,
            made.text
        );
        if made.status == 200 {
            let got = space
                .get(&format!("/companies/{}", made.str("id")))
                .await
                .ok();
            assert_eq!(
                (&got["name"], &got["customFields"]["x"]),
                (&json!(name), &json!(name))
            );
        }
    }
    space.get("/events?limit=1000").await.ok();
}

#[tokio::test]
async fn sizes_and_ids_that_make_no_sense() {
    let (_hub, space) = hub_and_space().await;
    let big = json!({ "name": "x".repeat(1 << 20) });
    let refused = space.post("/companies", big).await;
    assert_eq!(
        (refused.status, &refused["status"]),
        (409, &json!("bodyTooLarge")),
        "{}",
        refused.text
    );
    let fits = json!({ "description": "x".repeat(1_000_000) });
    space.post("/companies", fits).await.ok();
    let items: Vec<_> = (0..20_000)
        .map(|n| json!({ "name": n.to_string() }))
        .collect();
    let many = space
        .post("/companies/create", json!({ "items": items }))
        .await;
    assert!([200, 400].contains(&many.status), "{}", many.text);
    for id in [
        "x",
        "7",
        "00000000-0000-0000-0000-00000000000",
        "%00",
        "..%2f..%2fetc",
        "00000000-0000-0000-0000-000000000009",
    ] {
        for refused in [
            space.get(&format!("/companies/{id}")).await,
            space.delete(&format!("/companies/{id}")).await,
            space.patch(&format!("/companies/{id}"), json!([])).await,
            space.get(&format!("/integrations/instances/{id}")).await,
            space
                .post(&format!("/integrations/{id}/install"), json!({}))
                .await,
        ] {
            assert!(
                [400, 404, 409].contains(&refused.status),
                "{id}: {} {}",
                refused.status,
                refused.text
            );
            assert!(refused.json.is_object(), "{id}: {}", refused.text);
        }
    }
    for path in ["/nothing", "/companies/a/b/c", "//", "/events/x"] {
        let refused = space.get(path).await;
        assert!(
            [404, 405, 409].contains(&refused.status),
            "{path}: {}",
            refused.status
        );
        assert!(
            refused.json.is_object() && refused.header("x-request-id").is_some(),
            "{path}: {}",
            refused.text
        );
    }
    let wrong = space.put("/companies", json!({})).await;
    assert_eq!(
        (wrong.status, wrong.json.is_object()),
        (405, true),
        "{}",
        wrong.text
    );
}

#[tokio::test]
async fn webhooks_that_make_no_sense() {
    let (_hub, space) = hub_and_space().await;
    let integration = Integration::install(&space, "listener", "https://example.com").await;
    let good = json!({ "relativeUrl": "/x", "triggerType": "entityEvent", "filter": { "items": [{ "entityType": "company" }] } });
    let with = |member: &str, value: serde_json::Value| {
        let mut hook = good.clone();
        hook[member] = value;
        hook
    };
    for (hook, list) in [
        (with("triggerType", json!("sometimes")), "invalidDatas"),
        (with("triggerType", json!(7)), "invalidValueTypes"),
        (
            with("relativeUrl", json!("ftp://example.com/")),
            "invalidDatas",
        ),
        (with("relativeUrl", json!(7)), "invalidValueTypes"),
        (with("id", json!("x")), "invalidDatas"),
        (
            with("filter", json!({ "items": [{ "entityType": "unicorn" }] })),
            "invalidDatas",
        ),
        (
            with("filter", json!({ "items": [{ "changeType": "explode" }] })),
            "invalidDatas",
        ),
        (with("filter", json!(7)), "invalidValueTypes"),
        (
            json!({ "relativeUrl": "/x", "triggerType": "schedule", "schedule": {} }),
            "invalidDatas",
        ),
        (
            json!({ "relativeUrl": "/x", "triggerType": "schedule", "schedule": { "period": "00:00:00" } }),
            "invalidDatas",
        ),
        (
            json!({ "relativeUrl": "/x", "triggerType": "schedule", "schedule": { "period": "soon" } }),
            "invalidDatas",
        ),
        (json!("x"), "invalidValueTypes"),
    ] {
        let refused = integration
            .patch(json!([{ "op": "add", "path": "/webHooks", "value": hook }]))
            .await;
        assert_eq!(refused.status, 409, "{hook}: {}", refused.text);
        assert_eq!(
            refused["errorInfo"][list].as_array().map(Vec::len),
            Some(1),
            "{hook}: {}",
            refused.text
        );
        let reason = &refused["errorInfo"][list][0]["reason"];
        assert!(reason.is_string(), "{hook}: {}", refused.text);
    }
    for (hook, why) in [
        (
            with("relativeUrl", json!("https://u:p@example.com/")),
            "password",
        ),
        (with("relativeUrl", json!("")), "relativeUrl"),
        (
            json!({ "relativeUrl": "/x", "triggerType": "schedule", "schedule": { "period": "00:00:00.5" } }),
            "schedule.period",
        ),
    ] {
        let refused = integration
            .patch(json!([{ "op": "add", "path": "/webHooks", "value": hook }]))
            .await;
        let reason = refused["errorInfo"]["invalidDatas"][0]["reason"].to_string();
        assert!(reason.contains(why), "{hook}: {}", refused.text);
    }
    assert_eq!(
        space.get(&integration.instance()).await.ok()["webHooks"],
        json!([])
    );
}

/// A client that sends its whole body before it reads gets the answer.
#[tokio::test]
async fn a_body_that_is_too_long_is_answered() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    for _ in 0..5 {
        let body = vec![b' '; 3 << 20];
        let refused = space.send(Method::POST, "/companies", Some(body)).await;
        assert_eq!(
            (refused.status, &refused["status"]),
            (409, &json!("bodyTooLarge"))
        );
    }
}

#[tokio::test]
async fn identifiers_are_checked() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let user = |iin: &str| json!({ "login": "x", "iin": iin });
    for bad in ["123", "12345678901x", "000000000000", "111111111112"] {
        let refused = space.post("/users", user(bad)).await;
        assert_eq!(refused.status, 400, "{bad}");
        assert!(refused["errors"]["iin"].is_array(), "{}", refused.text);
        let batch = json!({ "items": [user(bad)] });
        let refused = space.post("/users/create", batch).await;
        assert!(
            refused["errors"]["items[0].iin"].is_array(),
            "{}",
            refused.text
        );
    }
    let id = space
        .post("/users", json!({ "login": "x" }))
        .await
        .ok()
        .str("id");
    let patch = json!([{ "op": "add", "path": "/iin", "value": "123" }]);
    let refused = space.patch(&format!("/users/{id}"), patch).await;
    assert_eq!(refused.status, 409);
    let blamed = &refused["errorInfo"]["invalidDatas"][0];
    assert_eq!(blamed["path"], "/iin");
    assert!(
        blamed["reason"].to_string().contains("iin"),
        "{}",
        refused.text
    );
}

/// A deep path does not crash the process. A value that is patched step by step is bounded as well.
#[tokio::test]
async fn paths_and_values_have_a_depth() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let created = space.post("/companies", json!({ "name": "x" })).await.ok();
    let company = format!("/companies/{}", created.str("id"));
    let settings = "/settings";
    for parts in [41, 1000, 10_000, 200_000] {
        let path = "/customFields".to_owned() + &"/a".repeat(parts - 1);
        for (at, op) in [
            (company.as_str(), "add"),
            (&company, "remove"),
            (settings, "replace"),
        ] {
            let operations = json!([{ "op": op, "path": path, "value": 1 }]);
            let refused = space.patch(at, operations).await;
            assert_eq!(refused.status, 409, "{at} {op} {parts}");
            let reason = &refused["errorInfo"]["invalidPaths"][0]["reason"];
            assert_eq!(reason, "A path has at most 40 parts.", "{at} {op} {parts}");
        }
    }
    let value = (0..100).fold(json!(1), |inner, _| json!({ "a": inner }));
    for parts in 1..40 {
        let path = "/customFields".to_owned() + &"/a".repeat(parts);
        for value in [&json!({ "a": { "a": 1 } }), &value] {
            let operations = json!([{ "op": "add", "path": path, "value": value }]);
            space.patch(&company, operations).await;
        }
    }
    let kept = space.get(&company).await.ok();
    assert!(depth(&kept["customFields"]) <= 32, "{}", kept.text);
    // Deeper than the limit of JSON parsers.
    for text in ["[", "{\"a\":"] {
        let deep = text.repeat((1 << 20) / text.len() - 1).into_bytes();
        for path in ["/companies", "/companies/find", "/integrations/x/setup"] {
            let refused = space.send(Method::POST, path, Some(deep.clone())).await;
            assert!(
                (400..500).contains(&refused.status),
                "{path}: {}",
                refused.text
            );
        }
    }
    space.get(&company).await.ok();
}

fn depth(value: &serde_json::Value) -> usize {
    let inner: Box<dyn Iterator<Item = &serde_json::Value>> = match value {
        serde_json::Value::Array(items) => Box::new(items.iter()),
        serde_json::Value::Object(members) => Box::new(members.values()),
        _ => return 0,
    };
    1 + inner.map(depth).max().unwrap_or(0)
}

/// A null in a patch means no value, as on creation.
#[tokio::test]
async fn null_is_the_same_on_creation_and_in_a_patch() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let free = json!({ "a": null, "b": { "c": null, "d": 1 }, "e": [null, { "f": null }] });
    for kind in [
        "companies",
        "contacts",
        "deals",
        "tasks",
        "roles",
        "groups",
        "users",
    ] {
        let body = json!({ "name": "x", "login": kind, "customFields": free, "tags": null });
        let created = space.post(&format!("/{kind}"), body).await.ok();
        let empty = space
            .post(&format!("/{kind}"), json!({ "login": format!("{kind}2") }))
            .await;
        let path = format!("/{kind}/{}", empty.ok().str("id"));
        let mut operations: Vec<_> = ["a", "b", "e"]
            .map(|name| json!({ "op": "add", "path": format!("/customFields/{name}"), "value": free[name] }))
            .into();
        if created["tags"].is_array() {
            operations.push(json!({ "op": "replace", "path": "/tags", "value": null }));
        }
        let patched = space.patch(&path, json!(operations)).await.ok();
        assert_eq!(created["customFields"], patched["customFields"], "{kind}");
        assert_eq!(
            created["customFields"],
            json!({ "b": { "d": 1 }, "e": [null, {}] }),
            "{kind}"
        );
        assert_eq!(created["tags"], patched["tags"], "{kind}");
        let all = json!([{ "op": "replace", "path": "/customFields", "value": null }]);
        let patched = space.patch(&path, all).await.ok();
        assert_eq!(patched["customFields"], json!({}), "{kind}");
    }
}

#[tokio::test]
async fn there_is_no_other_version_of_the_api() {
    let hub = Hub::start().await;
    let answer = hub.admin().get("/api/v2/x").await;
    assert_eq!(answer.status, 404);
}
