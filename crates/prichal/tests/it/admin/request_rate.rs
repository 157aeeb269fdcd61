//! The quota of requests in a second.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    channel_workspace::{ChannelWorkspace, POINTS},
    document_subscriber,
    hub::{ADMIN_TOKEN, Hub},
};

const QUOTA: &str = "/admin/v1/workspaces/acme/quota";

#[tokio::test]
async fn a_workspace_is_refused_beyond_its_requests_of_a_second() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let other = hub.workspace("other").await;
    for _ in 0..50 {
        space.get("/companies").await.ok();
    }
    let quota = json!({ "requestsPerSecond": 5, "files": 1000 });
    let shown = hub.admin().put(QUOTA, quota).await.ok();
    assert_eq!(shown["requestsPerSecond"], 5);
    assert_eq!(shown["files"]["allowed"], 1000);
    for _ in 0..5 {
        space.get("/companies").await.ok();
    }
    let refused = space.get("/companies").await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("1"))
    );
    assert_eq!(refused["status"], "tooManyRequests");
    assert!(
        refused
            .text
            .contains("5 requests of a workspace in a second"),
        "{}",
        refused.text
    );
    // Another workspace and the operator are not concerned.
    other.get("/companies").await.ok();
    space
        .clone()
        .bearer(ADMIN_TOKEN)
        .get("/companies")
        .await
        .ok();
    hub.advance(Duration::from_millis(400));
    space.get("/companies").await.ok();
    space.get("/companies").await.ok();
    assert_eq!(space.get("/companies").await.status, 429);
    // Without a quota of its own, the server's setting holds, which is none.
    let shown = hub.admin().put(QUOTA, json!({})).await.ok();
    assert_eq!(shown["requestsPerSecond"], Value::Null);
    for _ in 0..20 {
        space.get("/companies").await.ok();
    }
    for bad in [json!(-1), json!("5"), json!(1.5)] {
        let bad = hub
            .admin()
            .put(QUOTA, json!({ "requestsPerSecond": bad }))
            .await;
        assert_eq!(bad.status, 400, "{}", bad.text);
    }
}

#[tokio::test]
async fn each_dialect_refuses_in_its_own_words() {
    let era = ChannelWorkspace::new().await;
    let channel = era.channel("one", json!({})).await;
    era.hub
        .admin()
        .put(QUOTA, json!({ "requestsPerSecond": 1 }))
        .await
        .ok();
    era.rest.get(POINTS).await.ok();
    let refused = era.rest.get(POINTS).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("1"))
    );
    assert!(refused["error_code"].is_i64(), "{}", refused.text);
    let hook = era
        .hub
        .anonymous()
        .post(&format!("/hook/{}", channel.token), json!({}))
        .await;
    assert_eq!((hook.status, hook.header("retry-after")), (429, Some("1")));

    let company = document_subscriber::company(&era.hub, "papers", document_subscriber::BIN).await;
    let path = "/admin/v1/workspaces/papers/quota";
    era.hub
        .admin()
        .put(path, json!({ "requestsPerSecond": 1 }))
        .await
        .ok();
    company.caller.get(document_subscriber::SUBSCRIPTION).await;
    let refused = company.caller.get(document_subscriber::SUBSCRIPTION).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("1"))
    );
    assert!(refused["errors"].is_array(), "{}", refused.text);
}

#[tokio::test]
async fn the_server_may_have_a_quota_for_all() {
    let hub = Hub::with(|config| config.quotas.requests = 2).await;
    let space = hub.workspace("acme").await;
    space.get("/companies").await.ok();
    space.get("/companies").await.ok();
    assert_eq!(space.get("/companies").await.status, 429);
    hub.admin()
        .put(QUOTA, json!({ "requestsPerSecond": 0 }))
        .await
        .ok();
    for _ in 0..10 {
        space.get("/companies").await.ok();
    }
}
