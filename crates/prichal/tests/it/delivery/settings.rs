//! The settings of webhooks: written in the vendor's form and in our own, listed, sealed and masked.

use prichal_core::id::{IntegrationId, WebhookId, WorkspaceId};
use prichal_store::{Conn, webhook};
use reqwest::Method;
use serde_json::{Value, json};

use super::hub_with_hook;
use crate::harness::{
    channel_workspace::ChannelWorkspace,
    document_subscriber::{BIN, company as subscriber},
    hub::{Answer, Caller, Hub, eventually},
    integration::{Integration, company, entity_hook},
    receiver::Receiver,
};

/// Changes the settings of a webhook in our own form.
pub(super) async fn change(space: &Caller, hook: &str, settings: Value) -> Answer {
    let body = json!({ "settings": settings }).to_string();
    let path = format!("/webhooks/{hook}");
    space
        .send(Method::PATCH, &path, Some(body.into_bytes()))
        .await
}

/// The key of a webhook of the first workspace.
async fn key(hub: &Hub, integration: &Integration, hook: &str) -> webhook::Key {
    let workspaces = hub.admin().get("/admin/v1/workspaces").await.ok();
    let workspace = workspaces["items"][0]["id"].as_str().expect("an id");
    webhook::Key {
        workspace: WorkspaceId::parse(workspace).expect("an id"),
        integration: IntegrationId::parse(&integration.id).expect("an id"),
        id: WebhookId::parse(hook).expect("an id"),
    }
}

/// The row of a webhook in the store: its definition, and its sealed secrets.
async fn stored(hub: &Hub, integration: &Integration, hook: &str) -> (String, Option<Vec<u8>>) {
    let key = key(hub, integration, hook).await;
    let read = move |conn: &mut Conn| webhook::find(conn, key);
    let row = hub.app.db.read(read).await.expect("a read").expect("a row");
    (row.definition, row.secrets)
}

#[tokio::test]
async fn settings_are_written_in_two_forms_and_their_secrets_sealed() {
    let receiver = Receiver::good().await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    let before = stored(&hub, &integration, &hook).await;
    assert_eq!(before.1, None);
    let at = |rest: &str| format!("/webHooks/{hook}/settings{rest}");
    let patched = integration
        .patch(json!([
            {"op": "add", "path": at("/timeout"), "value": "3s"},
            {"op": "add", "path": at("/headers/X-Tenant"), "value": "acme"},
        ]))
        .await
        .ok();
    let settings = &patched["result"]["webHooks"][0]["settings"];
    let expected = json!({"headers": {"X-Tenant": "acme"}, "timeout": "3s"});
    assert_eq!(settings, &expected);

    let secret = json!({"Authorization": {"value": "Bearer 5f0c", "secret": true}});
    let changed = change(&space, &hook, json!({"headers": secret, "success": "2xx"}));
    let changed = changed.await.ok();
    let masked = json!({
        "headers": {"X-Tenant": "acme", "Authorization": {"value": "***", "secret": true}},
        "timeout": "3s",
        "success": "2xx",
    });
    assert_eq!(changed["settings"], masked);
    assert!(!changed.text.contains("5f0c"));
    let read = space.get(&format!("/webhooks/{hook}")).await.ok();
    assert_eq!(read.json, changed.json);
    let instance = space.get(&integration.instance()).await.ok();
    assert_eq!(instance["webHooks"][0]["settings"], masked);
    let (definition, sealed) = stored(&hub, &integration, &hook).await;
    assert!(!definition.contains("5f0c"), "{definition}");
    let sealed = sealed.expect("sealed secrets");
    assert!(!sealed.windows(4).any(|four| four == b"5f0c"));

    // The change is an event of the instance, with masked secrets.
    let feed = space.get("/events?limit=1000").await.ok();
    assert!(!feed.text.contains("5f0c"));
    let last = feed["items"]
        .as_array()
        .expect("items")
        .last()
        .expect("one");
    let new = &last["changeData"]["new"]["webHooks"][0]["settings"];
    assert_eq!(new, &masked);
    let same = change(&space, &hook, json!({"success": "2xx"})).await.ok();
    assert_eq!(same.json, changed.json);
    let again = space.get("/events?limit=1000").await.ok();
    assert_eq!(again["count"], feed["count"], "no change, no event");

    // A connector that registers its webhook again leaves the settings as they are.
    let mut own = entity_hook("/callbacks", json!([{ "entityType": "company" }]));
    own["id"] = json!(hook);
    integration.add_hook(own).await;
    let kept = space.get(&format!("/webhooks/{hook}")).await.ok();
    assert_eq!(kept["settings"], masked);

    let nulls = json!({"headers": null, "timeout": null, "success": null});
    let cleared = change(&space, &hook, nulls).await.ok();
    assert_eq!(cleared["settings"], json!({}));
    assert_eq!(stored(&hub, &integration, &hook).await, before);
}

#[tokio::test]
async fn no_change_of_a_part_shows_a_secret() {
    let receiver = Receiver::good().await;
    let (_hub, space, integration, hook) = hub_with_hook(&receiver).await;
    let secret = json!({"X-Own-Token": {"value": "Bearer 5f0c", "secret": true}});
    change(&space, &hook, json!({ "headers": secret }))
        .await
        .ok();
    let at = |rest: &str| format!("/webHooks/{hook}/settings/headers{rest}");
    for operation in [
        json!({"op": "replace", "path": at("/X-Own-Token/secret"), "value": false}),
        json!({"op": "remove", "path": at("/x-own-token/secret")}),
        json!({"op": "replace", "path": at("/X-Own-Token"), "value": "***"}),
        json!({"op": "add", "path": at(""), "value": {"Host": "a", "X-Key": {"value": "7d1e", "secret": true}}}),
    ] {
        let refused = integration.patch(json!([operation])).await;
        assert_eq!(refused.status, 409, "{operation}: {}", refused.text);
        let has_secret = refused.text.contains("5f0c") || refused.text.contains("7d1e");
        assert!(!has_secret, "{}", refused.text);
    }
    let flat = change(&space, &hook, json!({"headers": {"x-own-token": "***"}})).await;
    assert_eq!(flat.status, 400, "{}", flat.text);
    let other = json!({"op": "add", "path": at("/X-Own-Tenant"), "value": "acme"});
    integration.patch(json!([other])).await.ok();
    company(&space, "a").await;
    let call = receiver.next().await;
    assert_eq!(call.header("x-own-token"), Some("Bearer 5f0c"));
    assert_eq!(call.header("x-own-tenant"), Some("acme"));
}

#[tokio::test]
async fn bad_settings_are_refused_by_name() {
    let receiver = Receiver::good().await;
    let (_hub, space, integration, hook) = hub_with_hook(&receiver).await;
    for (settings, member) in [
        (
            json!({"headers": {"X-XCOM-Integration-Echo": "1"}}),
            "settings.headers.X-XCOM-Integration-Echo",
        ),
        (
            json!({"headers": {"x-idocs-signature": "1"}}),
            "settings.headers.x-idocs-signature",
        ),
        (json!({"headers": {"Host": "1"}}), "settings.headers.Host"),
        (
            json!({"headers": {"webhook-id": "1"}}),
            "settings.headers.webhook-id",
        ),
        (
            json!({"headers": {"X-A": "1\r\nX-B: 2"}}),
            "settings.headers.X-A",
        ),
        (json!({"timeout": "2m"}), "settings.timeout"),
        (json!({"rateLimit": {"count": 1}}), "settings.rateLimit.per"),
        (json!({"maxConcurrency": 33}), "settings.maxConcurrency"),
    ] {
        let refused = change(&space, &hook, settings.clone()).await;
        assert_eq!(refused.status, 400, "{settings}: {}", refused.text);
        let errors = refused["errors"].as_object().expect("errors");
        assert!(errors.contains_key(member), "{settings}: {}", refused.text);

        let value = &settings.as_object().expect("an object");
        let (name, value) = value.iter().next().expect("a member");
        let path = format!("/webHooks/{hook}/settings/{name}");
        let operations = json!([{"op": "add", "path": path, "value": value}]);
        let refused = integration.patch(operations).await;
        assert_eq!(refused.status, 409, "{settings}: {}", refused.text);
        let last = member.rsplit('.').next().unwrap_or_default();
        assert!(refused.text.contains(last), "{settings}: {}", refused.text);
    }
    for body in [json!({}), json!({"settings": 1}), json!([])] {
        let body = body.to_string().into_bytes();
        let path = format!("/webhooks/{hook}");
        let refused = space.send(Method::PATCH, &path, Some(body)).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
    }
    let read = space.get(&format!("/webhooks/{hook}")).await.ok();
    assert_eq!(read["settings"], json!({}), "nothing was written");
}

#[tokio::test]
async fn every_source_of_a_workspace_is_in_one_list() {
    let hub = Hub::start().await;
    let acme = subscriber(&hub, "acme", BIN).await;
    let space = acme.caller.at("/api/v1/acme");
    let rest = space.at("");
    let lab = ChannelWorkspace { hub, space, rest };
    let space = &lab.space;
    let receiver = Receiver::good().await;
    let one = Integration::install(space, "one", &receiver.url).await;
    let two = Integration::install(space, "two", "https://two.example/api").await;
    let hook = one.subscribe().await;
    let mut same = entity_hook("https://other.example/x", json!([]));
    same["id"] = json!(hook);
    same["disabled"] = json!(true);
    two.add_hook(same).await;
    let channel = lab
        .channel("chat", json!({"url": "https://chat.example/in"}))
        .await;
    let url = format!("{}/documents", receiver.url);
    acme.subscribe(&url).await.ok();

    let list = space.get("/webhooks").await.ok();
    assert_eq!(list["count"], 4, "{}", list.text);
    let items = list["items"].as_array().expect("items");
    let kinds: Vec<&Value> = items.iter().map(|item| &item["source"]).collect();
    assert_eq!(kinds, ["documentHook", "webhook", "webhook", "channel"]);
    assert_eq!(items[0]["url"], url);
    let of = |id: &str| {
        let mut found = items.iter().filter(|item| item["integrationId"] == id);
        found.next().expect("a webhook").clone()
    };
    let (first, second) = (of(&one.id), of(&two.id));
    assert_eq!(first["url"], format!("{}/callbacks", receiver.url));
    assert_eq!(
        (&first["name"], &first["status"]),
        (&json!("one"), &json!("active"))
    );
    assert_eq!(second["status"], "disabled");
    assert_eq!(first["filter"]["items"][0]["entityType"], "company");
    assert_eq!(
        (&items[3]["name"], &items[3]["url"]),
        (&json!("chat"), &json!("https://chat.example/in"))
    );
    for (offset, item) in items.iter().enumerate() {
        let page = format!("/webhooks?limit=1&offset={offset}");
        let page = space.get(&page).await.ok();
        assert_eq!(page["items"], json!([item]));
    }

    // Ids of webhooks are unique in an integration only.
    let path = format!("/webhooks/{hook}");
    let refused = space.get(&path).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(
        refused["errors"]["integrationId"].is_array(),
        "{}",
        refused.text
    );
    let named = format!("{path}?integrationId={}", two.id);
    assert_eq!(space.get(&named).await.ok().json, second);
    let refused = change(space, &channel.id, json!({"timeout": "5s"})).await;
    assert_eq!(
        (refused.status, &refused["status"]),
        (409, &json!("notSupported"))
    );

    let id = items[0]["id"].as_str().expect("an id");
    let refused = change(space, id, json!({"order": "entity"})).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    let settings = json!({"timeout": "5s", "headers": {"X-Tenant": "acme"}});
    let changed = change(space, id, settings.clone()).await.ok();
    assert_eq!(
        changed["settings"],
        json!({"headers": {"X-Tenant": "acme"}, "timeout": "5s"})
    );
}

#[tokio::test]
async fn only_administrators_see_and_change_webhooks() {
    let receiver = Receiver::good().await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    let member = hub.token("acme", "member").await;
    let connector = space.access_key(&integration.access_key().await);
    let stranger = hub.workspace("other").await;
    for path in [
        "/webhooks".to_owned(),
        format!("/webhooks/{hook}"),
        format!("/webhooks/{hook}/public-key"),
    ] {
        for caller in [&member, &connector, &stranger.at("/api/v1/acme")] {
            assert_eq!(caller.get(&path).await.status, 403, "{path}");
        }
    }
    for caller in [&member, &connector, &stranger.at("/api/v1/acme")] {
        assert_eq!(change(caller, &hook, json!({})).await.status, 403);
    }
    let unknown = stranger.get(&format!("/webhooks/{hook}")).await;
    assert_eq!(
        (unknown.status, &unknown["status"]),
        (409, &json!("notFound"))
    );
    assert_eq!(stranger.get("/webhooks").await.ok()["count"], 0);
    assert_eq!(space.get("/webhooks/x").await.status, 400);
    company(&space, "heard").await;
    receiver.next().await;
}

#[tokio::test]
async fn a_webhook_gets_a_key_pair_when_it_first_needs_one() {
    let receiver = Receiver::good().await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    let path = format!("/webhooks/{hook}/public-key");
    assert_eq!(space.get(&path).await.status, 409);
    let both = json!({"signature": ["v1", "v1a"]});
    change(&space, &hook, both).await.ok();
    let key = space.get(&path).await.ok().str("publicKey");
    assert!(key.starts_with("whpk_") && key.len() == 49, "{key}");
    let (definition, sealed) = stored(&hub, &integration, &hook).await;
    assert!(sealed.is_some() && !definition.contains("seed"));
    change(&space, &hook, json!({"signature": null})).await.ok();
    assert_eq!(
        space.get(&path).await.ok().str("publicKey"),
        key,
        "it stays"
    );
}

#[tokio::test]
async fn settings_hold_at_once_after_a_crash() {
    let receiver = Receiver::good().await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    // The next server reads this event of the instance from the log, since the webhook's cursor is before it.
    change(&space, &hook, json!({"timeout": "3s"})).await.ok();
    let installation = hub.installation.clone();
    hub.kill();
    let hub = installation.start().await;
    let space = hub.adopt(&space);
    let key = key(&hub, &integration, &hook).await;
    eventually("the webhook has an owner", || async {
        let read = hub.app.db.read(move |conn| webhook::find(conn, key));
        let row = read.await.expect("a read").expect("a row");
        row.owner.filter(|owner| *owner == hub.app.node)
    })
    .await;
    for _ in 0..5 {
        space.get(&format!("/webhooks/{hook}")).await.ok();
    }
    // The clock stands, so this is answered only when the webhook is reloaded.
    change(&space, &hook, json!({"timeout": "4s"})).await.ok();
}
