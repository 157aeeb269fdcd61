//! The security log: one line for each security event, with its actor and its object, without a secret.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    harness::websocket_client::WebsocketClient,
    harness::{
        channel_workspace::{ChannelWorkspace, POINTS, SCRIPTS},
        document_exchange::DocumentExchange,
        document_subscriber,
        hub::{ADMIN_TOKEN, CapturedLog, Installation},
        integration::Integration,
    },
};

#[tokio::test]
async fn the_events_have_lines() {
    let log = CapturedLog::new();
    let era = ChannelWorkspace::new().await;
    let hub = &era.hub;
    let mut secrets = vec![ADMIN_TOKEN.to_owned(), era.space.bearer_token()];
    hub.anonymous()
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
    let integration = Integration::install(&era.space, "mine", "https://c.example").await;
    secrets.push(integration.access_key().await);
    integration
        .patch(json!([{ "op": "add", "path": "/secrets", "value": { "id": "pin", "value": "pin-4711-pin" } }]))
        .await
        .ok();
    secrets.push("pin-4711-pin".to_owned());
    let channel = era
        .channel("one", json!({ "token_remote": "far-away-token" }))
        .await;
    secrets.extend([channel.token.clone(), "far-away-token".to_owned()]);
    let path = format!("{POINTS}/{}/rotate_token", channel.id);
    secrets.push(
        era.rest
            .post(&path, json!({}))
            .await
            .ok()
            .str("token_local"),
    );
    era.space
        .post(
            "/users",
            json!({ "name": "Ann", "login": "ann", "isAdmin": true }),
        )
        .await
        .ok();
    era.space
        .post(
            &format!("/integrations/{}/uninstall", integration.id),
            json!({}),
        )
        .await
        .ok();
    let policy = json!({ "policy": "test" });
    let policies = "/admin/v1/workspaces/acme/signature-policy";
    hub.admin().put(policies, policy).await.ok();
    let company = document_subscriber::company(hub, "papers", document_subscriber::BIN).await;
    let subscribed = company.subscribe("https://a.example/hook").await.ok();
    let path = format!("{}/rotate-secret", document_subscriber::SUBSCRIPTION);
    let rotated = company.caller.post(&path, json!({})).await.ok();
    secrets.extend([subscribed.str("secret"), rotated.str("secret")]);
    for _ in 0..31 {
        hub.anonymous()
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
    let metrics = hub.anonymous().get("/metrics").await.ok().text;
    assert!(metrics.contains("prichal_security_events_total{event=\"token_revoked\"}"));
}

#[tokio::test]
async fn deleted_documents_and_rotated_admin_tokens_have_lines() {
    let log = CapturedLog::new();
    let exchange = DocumentExchange::new().await;
    let company = exchange.company(0).await;
    let id = company.draft().await;
    let path = format!("/api/v3/sync/external/outbox/document/{id}");
    company.api.at("").delete(&path).await.ok();
    assert!(log.has("event=\"document_deleted\""));
    assert!(log.has(&format!("object=\"document:{id}\"")));

    let installation = Installation::new(|config| config.admin_token = None);
    let hub = installation.start().await;
    let file = installation.data_dir().join("admin-token");
    let first = std::fs::read_to_string(file).expect("kept");
    let admin = hub.anonymous().bearer(first.trim());
    let turned = admin
        .post("/admin/v1/admin-token/rotate", json!({}))
        .await
        .ok();
    assert!(log.has("event=\"admin_token_rotated\""));
    assert!(!log.has(&turned.str("token")) && !log.has(first.trim()));
    hub.advance(Duration::from_secs(1));
}

/// The number of log lines about changed rights of this object.
fn changes(log: &CapturedLog, object: &str) -> usize {
    let object = format!("object=\"{object}\"");
    log.count(&["event=\"rights_changed\"", "address=\"127.0.0.1\"", &object])
}

#[tokio::test]
async fn rights_have_a_line_by_whatever_way_they_come() {
    let log = CapturedLog::new();
    let era = ChannelWorkspace::new().await;
    let space = &era.space;
    let keyed = space.clone().header("idempotency-key", "one");
    let body = json!({ "login": "a", "IsAdmin": true });
    let user = keyed.post("/users", body.clone()).await.ok().str("id");
    keyed.post("/users", body).await.ok();
    assert_eq!(changes(&log, &format!("user:{user}")), 1, "told once");

    let items = json!([
        { "batchItemKey": "b", "login": "b", "permissions": ["DOCUMENT_VIEW"] },
        { "batchItemKey": "c", "login": "c" },
    ]);
    let batch = space
        .post("/users/create", json!({ "items": items }))
        .await
        .ok();
    let id = |key: &str| {
        batch["items"][key]["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    };
    assert_eq!(changes(&log, &format!("user:{}", id("b"))), 1);
    let plain = id("c");
    assert_eq!(changes(&log, &format!("user:{plain}")), 0);
    let replace =
        |path: &str, value: Value| json!([{ "op": "replace", "path": path, "value": value }]);
    let path = format!("/users/{plain}");
    space
        .patch(&path, replace("/position", json!("clerk")))
        .await
        .ok();
    assert_eq!(changes(&log, &format!("user:{plain}")), 0);
    space
        .patch(&path, replace("/permissions", json!(["DOCUMENT_VIEW"])))
        .await
        .ok();
    assert_eq!(changes(&log, &format!("user:{plain}")), 1);

    let role = space
        .post("/roles", json!({ "name": "r" }))
        .await
        .ok()
        .str("id");
    let path = format!("/roles/{role}");
    let object = format!("role:{role}");
    for _ in 0..2 {
        space.delete(&path).await.ok();
    }
    assert_eq!(changes(&log, &object), 2);
    for _ in 0..2 {
        space.post(&format!("{path}/restore"), json!({})).await.ok();
    }
    assert_eq!(changes(&log, &object), 3);
    let ends = json!({ "roleId": role, "userId": plain });
    for _ in 0..2 {
        space.post("/links", ends.clone()).await.ok();
    }
    assert_eq!(changes(&log, &object), 4);
}

#[tokio::test]
async fn scripts_and_channels_that_have_rights_have_lines() {
    let log = CapturedLog::new();
    let era = ChannelWorkspace::new().await;
    let source = "entities.create('users', { login: 'evil', isAdmin: true })";
    let data = json!({ "language": "javascript", "source": source });
    let script =
        json!({ "code": "able", "name": "able", "scriptdata": data, "opts": { "as_admin": true } });
    let id = era.rest.post(SCRIPTS, script).await.ok().str("id");
    assert_eq!(changes(&log, &format!("service_script:{id}")), 1);
    let opts = json!({ "opts": { "issync": true }, "recv_svcscriptcode": "able" });
    let channel = era.channel("able", opts).await;
    assert_eq!(
        changes(&log, &format!("integration_point:{}", channel.id)),
        1
    );
    era.hook(&channel, json!({})).await.ok();
    let actor = format!("actor=\"channel:{}\"", channel.id);
    let made = ["event=\"rights_changed\"", "object=\"user:", &actor];
    assert_eq!(log.count(&made), 1);

    let low = era.sync_channel("low", source).await;
    assert_eq!(era.hook(&low, json!({})).await.status, 500);
    let actor = format!("actor=\"channel:{}\"", low.id);
    assert_eq!(log.count(&["event=\"forbidden\"", &actor]), 1);
}

#[tokio::test]
async fn refused_websocket_requests_are_logged_and_guesses_counted() {
    let log = CapturedLog::new();
    let era = ChannelWorkspace::new().await;
    let routes = json!([
        { "methods": ["WEBSOCKET"], "url": "/ws#rest" },
        { "methods": ["GET"], "url": "/rest/v1/service/integration_tokens/*" },
        { "methods": ["*"], "url": "/rest/v1/service/integration_points" },
    ]);
    let role = json!({ "name": "narrow", "routes": routes });
    era.space.post("/roles", role).await.ok();
    let members = json!({ "opts": { "roles": ["narrow"] } });
    let channel = era.channel("sock", members.clone()).await;
    let mut client = WebsocketClient::with(&era.hub, &channel, &["rest"]).await;
    let actor = format!("actor=\"channel:{}\"", channel.id);
    let refused = ["event=\"forbidden\"", "address=\"127.0.0.1\"", &actor];
    let wanted = json!({ "capabilities": [{ "key": "svcscript" }] });
    client.ask("setup", wanted).await;
    assert_eq!(log.count(&refused), 1);
    let read = |classpath: &str| json!({ "operation": "read", "classpath": classpath });
    client.ask("rest", read("service/svcscripts")).await;
    assert_eq!(log.count(&refused), 2);
    let mut content = members;
    content["code"] = json!("more");
    content["type"] = json!("public");
    let create = json!({ "operation": "create", "classpath": "service/integration_points", "content": content });
    assert_eq!(client.ask("rest", create).await["errorcode"], 1403);
    assert_eq!(log.count(&refused), 3);

    let guess = read("service/integration_tokens/00000000000000000000000000000000");
    for _ in 0..30 {
        assert_eq!(client.ask("rest", guess.clone()).await["errorcode"], 1404);
    }
    assert_eq!(client.ask("rest", guess).await["errorcode"], 1429);
    assert_eq!(log.count(&["event=\"throttled\"", &actor]), 1);
}

#[tokio::test]
async fn installations_and_addresses_of_hooks_have_lines() {
    let log = CapturedLog::new();
    let era = ChannelWorkspace::new().await;
    let integration = Integration::install(&era.space, "mine", "https://c.example").await;
    let object = format!("object=\"integration:{}\"", integration.id);
    assert_eq!(log.count(&["event=\"integration_installed\"", &object]), 1);
    integration.subscribe().await;
    assert_eq!(log.count(&["event=\"hook_changed\"", &object]), 1);

    let company = document_subscriber::company(&era.hub, "papers", document_subscriber::BIN).await;
    for url in [
        "https://a.example",
        "https://a.example",
        "https://b.example",
    ] {
        company.subscribe(url).await.ok();
    }
    let changed = ["event=\"hook_changed\"", "object=\"document_hook\""];
    assert_eq!(log.count(&changed), 2);
    let keyed = company.caller.clone().header("idempotency-key", "one");
    let path = format!("{}/rotate-secret", document_subscriber::SUBSCRIPTION);
    for _ in 0..2 {
        keyed.post(&path, json!({})).await.ok();
    }
    assert_eq!(log.count(&["event=\"hook_secret_rotated\""]), 1);
    company
        .caller
        .delete(document_subscriber::SUBSCRIPTION)
        .await;
    assert_eq!(log.count(&changed), 3);

    // Another address in the manifest; a pause, and its end.
    let hooks = ["event=\"hook_changed\"", object.as_str()];
    let manifest = format!("/integrations/{}/manifest", integration.id);
    for (version, url, count) in [
        ("1.1", "https://c.example", 1),
        ("1.1", "https://d.example", 2),
        ("1.2", "https://d.example", 2),
    ] {
        let body = json!({ "name": "mine", "version": version, "baseUrl": url });
        era.space.put(&manifest, body).await.ok();
        assert_eq!(log.count(&hooks), count, "{version} {url}");
    }
    for (what, count) in [("pause", 3), ("pause", 3), ("resume", 4), ("resume", 4)] {
        let path = format!("{}/{what}", integration.instance());
        era.space.post(&path, json!({})).await.ok();
        assert_eq!(log.count(&hooks), count, "{what}");
    }
}

/// A new base address of a public integration is logged for each workspace where it is installed.
#[tokio::test]
async fn settings_and_public_manifests_have_lines() {
    let log = CapturedLog::new();
    let era = ChannelWorkspace::new().await;
    let other = era.hub.workspace("other").await;
    let manifest = |url: &str| json!({ "name": "bridge", "version": "1.0", "baseUrl": url });
    let made = era
        .space
        .post("/integrations", manifest("https://a.example"));
    let id = made.await.ok().str("id");
    for space in [&era.space, &other] {
        let path = format!("/integrations/{id}/install");
        space.post(&path, json!({})).await.ok();
    }
    let path = format!("/integrations/{id}/manifest");
    era.space
        .put(&path, manifest("https://b.example"))
        .await
        .ok();
    let object = format!("object=\"integration:{id}\"");
    for name in ["acme", "other"] {
        let path = format!("/admin/v1/workspaces/{name}");
        let id = era.hub.admin().get(&path).await.ok().str("id");
        let workspace = format!("workspace=\"{id}\"");
        let words = ["event=\"hook_changed\"", object.as_str(), &workspace];
        assert_eq!(log.count(&words), 1, "{name}");
    }

    let changed = ["event=\"settings_changed\"", "object=\"workspace\""];
    let region = json!([{ "op": "replace", "path": "/phoneRegion", "value": "KZ" }]);
    era.space.patch("/settings", region).await.ok();
    assert_eq!(log.count(&changed), 1);
    let integration = Integration::install(&era.space, "mine", "https://c.example").await;
    let setting = json!({ "id": "line", "value": "secret-line" });
    integration
        .patch(json!([{ "op": "add", "path": "/settings", "value": setting }]))
        .await
        .ok();
    let object = format!("object=\"integration:{}\"", integration.id);
    assert_eq!(log.count(&["event=\"settings_changed\"", &object]), 1);
    assert!(!log.has("secret-line"));
}
