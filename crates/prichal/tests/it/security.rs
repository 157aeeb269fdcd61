//! The security log: one line for each event on which trust rests, with who and what, and without a secret.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    dock::{Dock, POINTS, SCRIPTS},
    exchange::Exchange,
    hub::{ADMIN_TOKEN, Ground, Log},
    partner::Partner,
    sockets::Client,
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

/// The lines of the log that say that the rights of this object have changed.
fn changes(log: &Log, object: &str) -> usize {
    let object = format!("object=\"{object}\"");
    log.count(&["event=\"rights_changed\"", "address=\"127.0.0.1\"", &object])
}

#[tokio::test]
async fn rights_have_a_line_by_whatever_way_they_come() {
    let log = Log::new();
    let dock = Dock::new().await;
    let space = &dock.space;
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
    let log = Log::new();
    let dock = Dock::new().await;
    let source = "entities.create('users', { login: 'evil', isAdmin: true })";
    let data = json!({ "language": "javascript", "source": source });
    let script =
        json!({ "code": "able", "name": "able", "scriptdata": data, "opts": { "as_admin": true } });
    let id = dock.rest.post(SCRIPTS, script).await.ok().str("id");
    assert_eq!(changes(&log, &format!("service_script:{id}")), 1);
    let opts = json!({ "opts": { "issync": true }, "recv_svcscriptcode": "able" });
    let channel = dock.channel("able", opts).await;
    assert_eq!(
        changes(&log, &format!("integration_point:{}", channel.id)),
        1
    );
    dock.hook(&channel, json!({})).await.ok();
    let actor = format!("actor=\"channel:{}\"", channel.id);
    let made = ["event=\"rights_changed\"", "object=\"user:", &actor];
    assert_eq!(log.count(&made), 1);

    let low = dock.sync("low", source).await;
    assert_eq!(dock.hook(&low, json!({})).await.status, 500);
    let actor = format!("actor=\"channel:{}\"", low.id);
    assert_eq!(log.count(&["event=\"forbidden\"", &actor]), 1);
}

#[tokio::test]
async fn what_a_websocket_is_refused_has_a_line_and_its_guesses_count() {
    let log = Log::new();
    let dock = Dock::new().await;
    let routes = json!([
        { "methods": ["WEBSOCKET"], "url": "/ws#rest" },
        { "methods": ["GET"], "url": "/rest/v1/service/integration_tokens/*" },
        { "methods": ["*"], "url": "/rest/v1/service/integration_points" },
    ]);
    let role = json!({ "name": "narrow", "routes": routes });
    dock.space.post("/roles", role).await.ok();
    let members = json!({ "opts": { "roles": ["narrow"] } });
    let channel = dock.channel("sock", members.clone()).await;
    let mut client = Client::with(&dock.hub, &channel, &["rest"]).await;
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
    let log = Log::new();
    let dock = Dock::new().await;
    let partner = Partner::install(&dock.space, "mine", "https://c.example").await;
    let object = format!("object=\"integration:{}\"", partner.id);
    assert_eq!(log.count(&["event=\"integration_installed\"", &object]), 1);
    partner.subscribe().await;
    assert_eq!(log.count(&["event=\"hook_changed\"", &object]), 1);

    let company = subscriber::company(&dock.hub, "papers", subscriber::BIN).await;
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
    let path = format!("{}/rotate-secret", subscriber::SUBSCRIPTION);
    for _ in 0..2 {
        keyed.post(&path, json!({})).await.ok();
    }
    assert_eq!(log.count(&["event=\"hook_secret_rotated\""]), 1);
    company.caller.delete(subscriber::SUBSCRIPTION).await;
    assert_eq!(log.count(&changed), 3);

    // Another address in the manifest; a pause, and its end.
    let hooks = ["event=\"hook_changed\"", object.as_str()];
    let manifest = format!("/integrations/{}/manifest", partner.id);
    for (version, url, count) in [
        ("1.1", "https://c.example", 1),
        ("1.1", "https://d.example", 2),
        ("1.2", "https://d.example", 2),
    ] {
        let body = json!({ "name": "mine", "version": version, "baseUrl": url });
        dock.space.put(&manifest, body).await.ok();
        assert_eq!(log.count(&hooks), count, "{version} {url}");
    }
    for (what, count) in [("pause", 3), ("pause", 3), ("resume", 4), ("resume", 4)] {
        let path = format!("{}/{what}", partner.instance());
        dock.space.post(&path, json!({})).await.ok();
        assert_eq!(log.count(&hooks), count, "{what}");
    }
}

/// A public integration that its maker leads elsewhere has a line in each workspace where it is installed.
#[tokio::test]
async fn settings_and_public_manifests_have_lines() {
    let log = Log::new();
    let dock = Dock::new().await;
    let other = dock.hub.workspace("other").await;
    let manifest = |url: &str| json!({ "name": "bridge", "version": "1.0", "baseUrl": url });
    let made = dock
        .space
        .post("/integrations", manifest("https://a.example"));
    let id = made.await.ok().str("id");
    for space in [&dock.space, &other] {
        let path = format!("/integrations/{id}/install");
        space.post(&path, json!({})).await.ok();
    }
    let path = format!("/integrations/{id}/manifest");
    dock.space
        .put(&path, manifest("https://b.example"))
        .await
        .ok();
    let object = format!("object=\"integration:{id}\"");
    for name in ["acme", "other"] {
        let path = format!("/admin/v1/workspaces/{name}");
        let id = dock.hub.admin().get(&path).await.ok().str("id");
        let workspace = format!("workspace=\"{id}\"");
        let words = ["event=\"hook_changed\"", object.as_str(), &workspace];
        assert_eq!(log.count(&words), 1, "{name}");
    }

    let changed = ["event=\"settings_changed\"", "object=\"workspace\""];
    let region = json!([{ "op": "replace", "path": "/phoneRegion", "value": "KZ" }]);
    dock.space.patch("/settings", region).await.ok();
    assert_eq!(log.count(&changed), 1);
    let partner = Partner::install(&dock.space, "mine", "https://c.example").await;
    let setting = json!({ "id": "line", "value": "secret-line" });
    partner
        .patch(json!([{ "op": "add", "path": "/settings", "value": setting }]))
        .await
        .ok();
    let object = format!("object=\"integration:{}\"", partner.id);
    assert_eq!(log.count(&["event=\"settings_changed\"", &object]), 1);
    assert!(!log.has("secret-line"));
}
