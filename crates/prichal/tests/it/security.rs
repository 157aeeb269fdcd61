//! The security log: one line for each event on which trust rests, with who and what, and without a secret.

use std::time::Duration;

use serde_json::json;

use crate::{
    dock::{Dock, POINTS},
    exchange::Exchange,
    hub::{ADMIN_TOKEN, Ground, Log},
    partner::Partner,
    subscriber,
};

#[tokio::test]
async fn the_events_have_lines() {
    let log = Log::new();
    let dock = Dock::new().await;
    let hub = &dock.hub;
    let mut secrets = vec![ADMIN_TOKEN.to_owned(), dock.space.bearer_token()];
    hub.anybody()
        .bearer("a-wrong-token")
        .get("/admin/v1/workspaces")
        .await;
    let member = hub.token("acme", "member").await;
    secrets.push(member.bearer_token());
    member.at("").get(POINTS).await;
    let made = hub
        .admin()
        .post(
            "/admin/v1/workspaces/acme/tokens",
            json!({ "name": "t", "role": "member" }),
        )
        .await;
    secrets.push(made.str("token"));
    let path = format!("/admin/v1/workspaces/acme/tokens/{}", made.str("id"));
    hub.admin().delete(&path).await;
    let partner = Partner::install(&dock.space, "mine", "https://c.example").await;
    secrets.push(partner.access_key().await);
    partner
        .patch(json!([{ "op": "add", "path": "/secrets", "value": { "id": "pin", "value": "pin-4711-pin" } }]))
        .await
        .ok();
    secrets.push("pin-4711-pin".to_owned());
    let channel = dock
        .channel("one", json!({ "token_remote": "far-away-token" }))
        .await;
    secrets.extend([channel.token.clone(), "far-away-token".to_owned()]);
    let path = format!("{POINTS}/{}/rotate_token", channel.id);
    secrets.push(
        dock.rest
            .post(&path, json!({}))
            .await
            .ok()
            .str("token_local"),
    );
    dock.space
        .post(
            "/users",
            json!({ "name": "Ann", "login": "ann", "isAdmin": true }),
        )
        .await
        .ok();
    dock.space
        .post(
            &format!("/integrations/{}/uninstall", partner.id),
            json!({}),
        )
        .await
        .ok();
    let policy = json!({ "policy": "test" });
    let policies = "/admin/v1/workspaces/acme/signature-policy";
    hub.admin().put(policies, policy).await.ok();
    let company = subscriber::company(hub, "papers", subscriber::BIN).await;
    let subscribed = company.subscribe("https://a.example/hook").await.ok();
    let path = format!("{}/rotate-secret", subscriber::SUBSCRIPTION);
    let rotated = company.caller.post(&path, json!({})).await.ok();
    secrets.extend([subscribed.str("secret"), rotated.str("secret")]);
    for _ in 0..31 {
        hub.anybody()
            .bearer("wrong-wrong")
            .get("/api/v1/acme/users")
            .await;
    }
    hub.admin().delete("/admin/v1/workspaces/papers").await;
    for event in [
        "unauthenticated",
        "forbidden",
        "throttled",
        "signed_in",
        "workspace_created",
        "workspace_deleted",
        "token_created",
        "token_revoked",
        "channel_token_rotated",
        "api_key_rotated",
        "secrets_changed",
        "hook_secret_rotated",
        "access_keys_revoked",
        "signature_policy_changed",
        "rights_changed",
    ] {
        assert!(log.has(&format!("event=\"{event}\"")), "{event}");
    }
    for words in [
        "prichal::security",
        "actor=\"admin\"",
        "actor=\"token:",
        "address=\"127.0.0.1\"",
        "request.id=",
        &format!("object=\"channel:{}\"", channel.id),
    ] {
        assert!(log.has(words), "{words}");
    }
    for secret in secrets.iter().chain(&["wrong-wrong".to_owned()]) {
        assert!(!log.has(secret), "{secret}");
    }
    let metrics = hub.anybody().get("/metrics").await.ok().text;
    assert!(metrics.contains("prichal_security_events_total{event=\"token_revoked\"}"));
}

#[tokio::test]
async fn deleted_documents_and_rotated_admin_tokens_have_lines() {
    let log = Log::new();
    let exchange = Exchange::new().await;
    let company = exchange.company(0).await;
    let id = company.draft().await;
    let path = format!("/api/v3/sync/external/outbox/document/{id}");
    company.api.at("").delete(&path).await.ok();
    assert!(log.has("event=\"document_deleted\""));
    assert!(log.has(&format!("object=\"document:{id}\"")));

    let ground = Ground::new(|config| config.admin_token = None);
    let hub = ground.start().await;
    let file = ground.data_dir().join("admin-token");
    let first = std::fs::read_to_string(file).expect("kept");
    let admin = hub.anybody().bearer(first.trim());
    let turned = admin
        .post("/admin/v1/admin-token/rotate", json!({}))
        .await
        .ok();
    assert!(log.has("event=\"admin_token_rotated\""));
    assert!(!log.has(&turned.str("token")) && !log.has(first.trim()));
    hub.advance(Duration::from_secs(1));
}
