//! The roles `viewer` and `integrator` (`docs/access.md`), at every operation of the API's description.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    channel_workspace::{ChannelWorkspace, POINTS},
    document_subscriber::BIN,
    hub::{Caller, Hub},
    integration::Integration,
};

/// The credentials of other kinds: an API key, an access key, the token of a channel, or none.
const OF_OTHERS: [&str; 6] = [
    "/api/v1/authorization/",
    "/callbacks/telephony/",
    "/exec",
    "/hook/",
    "/ws/",
    "/check/",
];

/// The POSTs that write nothing.
const READING: [&str; 7] = [
    "/documents-query/outbox",
    "/documents-query/inbox",
    "/references/company-employees",
    "/references/company-token",
    "/references/counterparties/check",
    "/signature/verify",
    "/bulk/operations",
];

/// The operations of a description: method and path.
fn operations(document: &str) -> Vec<(Method, String)> {
    let file = format!(
        "{}/../../docs/openapi/{document}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(file).expect("a description");
    let api: Value = serde_json::from_str(&text).expect("JSON");
    let mut found = Vec::new();
    for (path, item) in api["paths"].as_object().expect("paths") {
        for verb in ["get", "head", "post", "put", "patch", "delete"] {
            if item.get(verb).is_some() {
                let method = verb.to_uppercase().parse().expect("a method");
                found.push((method, path.clone()));
            }
        }
    }
    assert!(found.len() > 10, "{document}");
    found
}

/// A workspace with a thing of each kind that has secrets.
struct Populated {
    _hub: Hub,
    space: Caller,
    viewer: Caller,
    integration: Integration,
    hook: String,
    channel: String,
    secrets: Vec<String>,
}

impl Populated {
    async fn new() -> Self {
        // Else refusals of the documents' API are 400.
        let hub = Hub::with(|config| config.edo_strict_codes = true).await;
        let body = json!({ "name": "acme", "bin": BIN, "companyName": "Acme" });
        let made = hub.admin().post("/admin/v1/workspaces", body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let space = hub.token("acme", "admin").await;
        let integration = Integration::install(&space, "Partner", "http://127.0.0.1:9").await;
        let hook = integration.subscribe().await;
        let pin = json!({ "id": "pin", "value": "a-secret-of-an-instance" });
        let pin = json!([{ "op": "add", "path": "/secrets", "value": pin }]);
        integration.patch(pin).await.ok();
        let era = ChannelWorkspace {
            rest: space.at(""),
            space: space.clone(),
            hub,
        };
        let remote =
            json!({ "token_remote": "a-secret-of-a-receiver", "url": "http://127.0.0.1:9/" });
        let channel = era.channel("c", remote).await;
        let subscription =
            "/api/1/webhooks/document-events/subscription/document-status-changed-event";
        let body = json!({ "url": "http://127.0.0.1:9/documents" });
        let subscribed = era.rest.put(subscription, body).await;
        let instance = space.get(&integration.instance()).await.ok();
        let signing = instance["secrets"][0]["value"].as_str().expect("a secret");
        let mut secrets = vec![
            "a-secret-of-an-instance".to_owned(),
            "a-secret-of-a-receiver".to_owned(),
            signing.to_owned(),
            channel.token.clone(),
        ];
        secrets.extend(subscribed["secret"].as_str().map(str::to_owned));
        let viewer = era.hub.token("acme", "viewer").await;
        Self {
            _hub: era.hub,
            space,
            viewer,
            integration,
            hook,
            channel: channel.id,
            secrets,
        }
    }

    /// A path of this workspace: of things that are there, or else of such that are not.
    fn path(&self, template: &str) -> String {
        let of_channel = template.contains("integration_points");
        let of_hook = template.contains("/webhooks/{id}");
        let id = match template {
            _ if of_channel => &self.channel,
            _ if of_hook => &self.hook,
            _ => &self.integration.id,
        };
        let query = if template.ends_with("/ui-settings") {
            "?key=theme"
        } else if template.ends_with("/stream") {
            "?topics=deliveries"
        } else {
            ""
        };
        let mut path = String::new();
        for segment in template.split('/').skip(1) {
            path.push('/');
            path.push_str(match segment {
                "{ws}" => "acme",
                "{collection}" => "deals",
                "{id}" => id,
                "{hookId}" => &self.hook,
                other if other.starts_with('{') => "0190a6a5-0000-7000-8000-000000000001",
                other => other,
            });
        }
        path + query
    }
}

/// The status and the text of an answer; streams have no text.
async fn ask(caller: &Caller, method: &Method, path: &str) -> (u16, String) {
    let caller = caller.at("");
    if path.contains("/stream?") || path.ends_with("/live") {
        return (caller.stream(path).await.status().as_u16(), String::new());
    }
    let body = (!method.is_safe()).then(|| b"{}".to_vec());
    let answer = caller.send(method.clone(), path, body).await;
    (answer.status, answer.text)
}

#[tokio::test]
async fn a_viewer_reads_what_an_administrator_reads_and_changes_nothing() {
    let all = Populated::new().await;
    let (mut shown, mut hidden) = (String::new(), String::new());
    let mut asked = 0;
    for (method, template) in ["kontur", "era", "idocs"].map(operations).concat() {
        // A page for everybody, and a sign-in for those whom a provider confirms.
        if ["/check", "/api/v1/{ws}/oidc"].contains(&template.as_str()) {
            continue;
        }
        let path = all.path(&template);
        let what = format!("{method} {path}");
        let (status, text) = ask(&all.viewer, &method, &path).await;
        let is_reading =
            READING.iter().any(|end| template.ends_with(end)) || template.ends_with("/status");
        let is_foreign = OF_OTHERS.iter().any(|of| template.contains(of));
        asked += 1;
        if !method.is_safe() && !is_reading && !is_foreign {
            assert_eq!(status, 403, "{what}: {text}");
            continue;
        }
        if is_foreign {
            assert!([401, 403, 404].contains(&status), "{what}: {status} {text}");
            continue;
        }
        let (by_admin, whole) = ask(&all.space, &method, &path).await;
        assert_eq!(status, by_admin, "{what}: {text}");
        assert!(by_admin < 500, "{what}: {whole}");
        shown += &whole;
        hidden += &text;
    }
    assert!(asked > 150, "{asked}");
    for secret in &all.secrets {
        assert!(!hidden.contains(secret), "a viewer has read {secret}");
    }
    for secret in &all.secrets[..4] {
        assert!(shown.contains(secret), "an administrator reads {secret}");
    }
    for (method, template) in operations("admin") {
        let path = all.path(&template);
        let (status, text) = ask(&all.viewer, &method, &path).await;
        assert_eq!(status, 403, "{method} {path}: {text}");
    }
}

#[tokio::test]
async fn a_viewer_looks_channels_up() {
    let all = Populated::new().await;
    let verb = Method::from_bytes(b"LOOKUP").expect("a verb");
    let viewer = all.viewer.at("");
    let found = viewer.send(verb, POINTS, Some(b"\"c\"".to_vec())).await;
    assert_eq!(found.status, 200, "{}", found.text);
    let list = viewer.get(POINTS).await.ok();
    assert_eq!(list[0]["token_local"], "***", "{}", list.text);
}

/// A workspace with two integrations, each with a webhook, and an integrator of the first.
struct Pair {
    hub: Hub,
    own: Integration,
    other: Integration,
    own_hook: String,
    other_hook: String,
    integrator: Caller,
}

impl Pair {
    async fn new() -> Self {
        let hub = Hub::start().await;
        let space = hub.workspace("acme").await;
        let own = Integration::install(&space, "Own", "http://127.0.0.1:9").await;
        let other = Integration::install(&space, "Other", "http://127.0.0.1:9").await;
        let own_hook = own.subscribe().await;
        let other_hook = other.subscribe().await;
        let body = json!({ "name": "Aigerim", "role": "integrator", "integrations": [own.id] });
        let integrator = hub.token_with("acme", body).await;
        Self {
            hub,
            own,
            other,
            own_hook,
            other_hook,
            integrator,
        }
    }
}

fn ids(list: &Value, member: &str) -> Vec<String> {
    let items = list["items"].as_array().expect("items").iter();
    items
        .map(|item| item[member].as_str().expect("an id").to_owned())
        .collect()
}

#[tokio::test]
async fn an_integrator_sees_the_own_integrations_alone() {
    let pair = Pair::new().await;
    let (who, own) = (&pair.integrator, vec![pair.own.id.clone()]);
    for (path, member) in [
        ("/integrations/instances", "id"),
        ("/integrations", "id"),
        ("/webhooks", "integrationId"),
    ] {
        let list = who.get(path).await.ok();
        assert_eq!(ids(&list, member), own, "{path}");
        assert_eq!(list["count"], 1, "{path}");
    }
    let instance = who.get(&pair.own.instance()).await.ok();
    let signing = instance["secrets"][0]["value"].as_str().expect("a secret");
    assert!(signing.starts_with("whsec_"), "{signing}");
    assert_eq!(who.get(&pair.other.instance()).await.status, 409);
    for below in ["", "/state"] {
        let path = |hook: &str| format!("/webhooks/{hook}{below}");
        who.get(&path(&pair.own_hook)).await.ok();
        assert_eq!(
            who.get(&path(&pair.other_hook)).await.status,
            409,
            "{below}"
        );
    }
    for path in ["/alerts", "/mails", "/sessions", "/stream?topics=events"] {
        assert_eq!(who.stream(path).await.status().as_u16(), 403, "{path}");
    }
    let channels = who.at("").get(POINTS).await;
    assert_eq!(channels.status, 403, "{}", channels.text);
    let documents = who.at("").get("/api/v3/references/document-types").await;
    assert!(
        documents.text.contains("PERMISSION_ERROR"),
        "{}",
        documents.text
    );
}

#[tokio::test]
async fn an_integrator_acts_for_the_own_integrations_alone() {
    let pair = Pair::new().await;
    let who = &pair.integrator;
    let pin = json!([{ "op": "add", "path": "/secrets", "value": { "id": "pin", "value": "1234-5678" } }]);
    who.patch(&pair.own.instance(), pin.clone()).await.ok();
    assert_eq!(who.patch(&pair.other.instance(), pin).await.status, 403);
    let test = |one: &Integration, hook: &str| format!("{}/webHooks/{hook}/test", one.instance());
    let tested = who.post(&test(&pair.own, &pair.own_hook), json!({})).await;
    assert_eq!(tested.status, 200, "{}", tested.text);
    let tested = who
        .post(&test(&pair.other, &pair.other_hook), json!({}))
        .await;
    assert_eq!(tested.status, 403, "{}", tested.text);
    for (path, body) in [
        ("/private-integrations", json!({})),
        ("/login-links", json!({})),
        ("/event-types", json!({})),
    ] {
        let answer = who.post(path, body).await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.text);
    }
    let install = format!("/integrations/{}/install", pair.own.id);
    assert_eq!(who.post(&install, json!({})).await.status, 403);
}

#[tokio::test]
async fn an_integrator_of_several_names_the_one_whose_calls_are_listed() {
    let pair = Pair::new().await;
    let both = json!([pair.own.id, pair.other.id]);
    let body = json!({ "name": "both", "role": "integrator", "integrations": both });
    let both = pair.hub.token_with("acme", body).await;
    pair.integrator.get("/deliveries").await.ok();
    let refused = both.get("/deliveries").await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    for one in [&pair.own, &pair.other] {
        let path = format!("/deliveries?integrationId={}", one.id);
        both.get(&path).await.ok();
        let expected = if one.id == pair.own.id { 200 } else { 403 };
        assert_eq!(pair.integrator.get(&path).await.status, expected);
    }
}

#[tokio::test]
async fn only_an_integrator_has_integrations_and_they_are_of_the_workspace() {
    let pair = Pair::new().await;
    let foreign = pair.hub.workspace("other").await;
    let foreign = Integration::install(&foreign, "Foreign", "http://127.0.0.1:9").await;
    for (role, integrations) in [
        ("integrator", json!([])),
        ("integrator", Value::Null),
        ("integrator", json!([foreign.id])),
        ("viewer", json!([pair.own.id])),
        ("admin", json!([pair.own.id])),
    ] {
        let body = json!({ "name": "x", "role": role, "integrations": integrations });
        let path = "/admin/v1/workspaces/acme/tokens";
        let answer = pair.hub.admin().post(path, body).await;
        assert_eq!(answer.status, 400, "{role}: {}", answer.text);
    }
}
