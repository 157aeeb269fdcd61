//! `/admin/v1` (`docs/contracts/prichal.md §4`).

use serde_json::json;

use crate::harness::{
    hub::{Answer, Hub},
    integration::Integration,
};

/// Returns true if the problem names this field.
fn names(refused: &Answer, field: &str) -> bool {
    let errors = refused["errors"].as_array();
    errors.is_some_and(|errors| {
        errors
            .iter()
            .any(|error| error["field"] == field && error["detail"].is_string())
    })
}

#[tokio::test]
async fn workspaces_come_and_go() {
    let hub = Hub::start().await;
    let admin = hub.admin();
    let body = json!({ "name": "acme", "title": "Рога и копыта", "bin": "100740005482", "companyName": "ТОО Acme" });
    let made = admin.post("/admin/v1/workspaces", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    for (member, value) in [
        ("name", "acme"),
        ("title", "Рога и копыта"),
        ("bin", "100740005482"),
        ("companyName", "ТОО Acme"),
    ] {
        assert_eq!(made[member], value);
    }
    assert!(
        made["updateInfo"]["createdAt"]
            .as_str()
            .is_some_and(|at| at.starts_with("2026-01-01T00:00:00"))
    );
    for key in ["acme".to_owned(), made.str("id")] {
        assert_eq!(
            admin
                .get(&format!("/admin/v1/workspaces/{key}"))
                .await
                .ok()
                .json,
            made.json
        );
    }
    let taken = admin
        .post("/admin/v1/workspaces", json!({ "name": "acme" }))
        .await;
    assert_eq!(
        (taken.status, taken.header("content-type")),
        (409, Some("application/problem+json"))
    );
    assert_eq!(admin.get("/admin/v1/workspaces").await.ok()["count"], 1);

    let space = hub.token("acme", "admin").await;
    space.get("/companies").await.ok();
    for _ in 0..2 {
        assert_eq!(admin.delete("/admin/v1/workspaces/acme").await.status, 204);
    }
    assert_eq!(admin.get("/admin/v1/workspaces/acme").await.status, 404);
    assert_eq!(
        space.get("/companies").await.status,
        401,
        "its tokens are gone with it"
    );
    assert_eq!(admin.delete("/admin/v1/workspaces/never").await.status, 404);
    hub.workspace("acme").await;
}

#[tokio::test]
async fn bad_input_is_a_problem_that_names_the_field() {
    let hub = Hub::start().await;
    let cases = [
        (json!({}), "name"),
        (json!({ "name": 7 }), "name"),
        (json!({ "name": "Acme" }), "name"),
        (json!({ "name": "a" }), "name"),
        (json!({ "name": "-acme" }), "name"),
        (json!({ "name": format!("a{}", "b".repeat(63)) }), "name"),
        (json!({ "name": "authorization" }), "name"),
        (json!({ "name": "acme", "bin": "123" }), "bin"),
        (json!({ "name": "acme", "bin": "100740005483" }), "bin"),
        (json!({ "name": "acme", "title": ["x"] }), "title"),
        (json!([]), ""),
    ];
    for (body, field) in cases {
        let refused = hub.admin().post("/admin/v1/workspaces", body.clone()).await;
        assert_eq!(
            (refused.status, refused.header("content-type")),
            (400, Some("application/problem+json")),
            "{body}"
        );
        assert!(names(&refused, field), "{body}: {}", refused.text);
    }
    hub.workspace("acme").await;
    let path = "/admin/v1/workspaces/acme/tokens";
    let cases = [
        (json!({ "role": "admin" }), "name"),
        (json!({ "name": "x", "role": "king" }), "role"),
        (json!({ "name": "x" }), "role"),
        (
            json!({ "name": "x", "role": "admin", "userId": "x" }),
            "userId",
        ),
        (
            json!({ "name": "x", "role": "admin", "userId": "00000000-0000-0000-0000-000000000001" }),
            "userId",
        ),
        (
            json!({ "name": "x", "role": "admin", "expiresAt": "tomorrow" }),
            "expiresAt",
        ),
        (
            json!({ "name": "x", "role": "admin", "expiresAt": "2020-01-01T00:00:00Z" }),
            "expiresAt",
        ),
    ];
    for (body, field) in cases {
        let refused = hub.admin().post(path, body.clone()).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        assert!(names(&refused, field), "{body}: {}", refused.text);
    }
    assert_eq!(
        hub.admin()
            .post(
                "/admin/v1/workspaces/none/tokens",
                json!({ "name": "x", "role": "admin" })
            )
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn only_the_administrator_comes_in() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    for caller in [hub.anonymous(), hub.anonymous().bearer("x"), space.at("")] {
        for path in [
            "/admin/v1/workspaces",
            "/admin/v1/workspaces/acme",
            "/admin/v1/nothing",
        ] {
            let refused = caller.get(path).await;
            assert!(
                refused.status == 401 || refused.status == 403,
                "{path}: {}",
                refused.status
            );
            assert_eq!(
                refused.header("content-type"),
                Some("application/problem+json")
            );
            assert!(refused.header("x-request-id").is_some());
        }
    }
    assert_eq!(hub.admin().get("/admin/v1/nothing").await.status, 404);
    assert_eq!(
        hub.admin()
            .put("/admin/v1/workspaces", json!({}))
            .await
            .status,
        405
    );
    let big = json!({ "name": "acme", "title": "x".repeat(2 << 20) });
    let refused = hub.admin().post("/admin/v1/workspaces", big).await;
    assert_eq!(
        (refused.status, refused.header("content-type")),
        (413, Some("application/problem+json"))
    );
}

#[tokio::test]
async fn the_server_tells_how_it_is() {
    let hub = Hub::start().await;
    assert_eq!(hub.anonymous().get("/healthz").await.status, 200);
    assert_eq!(hub.anonymous().get("/readyz").await.status, 200);
    hub.workspace("acme").await;
    let metrics = hub.anonymous().get("/metrics").await.ok();
    for name in [
        "prichal_commit_batch_size",
        "prichal_deferred_events",
        "prichal_request_seconds",
    ] {
        assert!(metrics.text.contains(name), "{name} in {}", metrics.text);
    }
    let spec = hub.anonymous().get("/docs/openapi.json").await.ok();
    assert_eq!(spec["openapi"], "3.1.0");
    for path in [
        "/api/v1/{ws}/events",
        "/admin/v1/workspaces",
        "/api/v1/authorization/authorize-private-integration",
    ] {
        assert!(spec["paths"][path].is_object(), "{path}");
    }
    assert_eq!(
        hub.anonymous()
            .get("/swagger/v3/swagger.json")
            .await
            .ok()
            .json,
        spec.json
    );
    let page = hub.anonymous().get("/swagger/index.html").await.ok();
    assert!(page.text.to_lowercase().contains("swagger"));
}

#[tokio::test]
async fn a_post_that_is_sent_again_gets_its_first_answer() {
    let hub = Hub::start().await;
    let admin = hub.admin().header("idempotency-key", "one");
    for (path, body) in [
        ("/admin/v1/workspaces", json!({ "name": "acme" })),
        (
            "/admin/v1/workspaces/acme/tokens",
            json!({ "name": "t", "role": "member" }),
        ),
    ] {
        let first = admin.post(path, body.clone()).await;
        let again = admin.post(path, body).await;
        assert_eq!((first.status, again.status), (201, 201), "{}", again.text);
        assert_eq!(first.text, again.text);
        let other = admin
            .post(path, json!({ "name": "other", "role": "admin" }))
            .await;
        assert_eq!(other.status, 409, "{}", other.text);
    }
    let tokens = hub
        .admin()
        .get("/admin/v1/workspaces/acme/tokens")
        .await
        .ok();
    assert_eq!(tokens["count"], 1);
}

/// The deletion of a workspace ends the access keys of all its integrations, also if their settings are long.
#[tokio::test]
async fn a_deletion_revokes_every_access_key() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let mut keys = Vec::new();
    for name in ["one", "two", "three"] {
        let made = Integration::install(&space, name, "https://i.example").await;
        let setting = json!({ "id": "s", "value": "x".repeat(900_000) });
        let settings = json!([{ "op": "add", "path": "/settings", "value": setting }]);
        made.patch(settings).await.ok();
        keys.push(made.access_key().await);
    }
    for key in &keys {
        space.access_key(key).get("/companies").await.ok();
    }
    let gone = hub.admin().delete("/admin/v1/workspaces/acme").await;
    assert_eq!(gone.status, 204);
    for key in &keys {
        let refused = space.access_key(key).get("/companies").await;
        assert_eq!(refused.status, 401, "{}", refused.text);
    }
}
