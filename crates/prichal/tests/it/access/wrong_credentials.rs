//! Wrong credentials: an address with too many of them has to wait, and others are not locked out.

use std::time::Duration;

use prichal_core::network::Network;
use serde_json::json;

use crate::harness::{
    channel_workspace::ChannelWorkspace,
    hub::{Answer, Caller, Hub},
    integration::Integration,
};

const AUTH_PUBLIC: &str = "/api/v1/authorization/authorize-integration";

/// Sends wrong credentials until they are refused unchecked.
async fn exhaust(hub: &Hub, from: &str) {
    for n in 0..31 {
        let wrong = hub.anonymous().bearer(&format!("wrong-{n}"));
        let wrong = wrong.header("x-forwarded-for", from);
        let answer = wrong.get("/api/v1/acme/companies").await;
        let expected = if n < 30 { 401 } else { 429 };
        assert_eq!(answer.status, expected, "{n}: {}", answer.text);
    }
}

async fn hub_behind_a_proxy() -> (Hub, Caller) {
    let hub = Hub::with(|config| {
        config.trusted_proxies = Network::parse("127.0.0.1").into_iter().collect();
    })
    .await;
    let space = hub.workspace("acme").await;
    (hub, space)
}

#[track_caller]
fn waits(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 429, "{}", answer.text);
    let after = answer.header("retry-after").expect("Retry-After");
    after.parse().expect("seconds")
}

#[tokio::test]
async fn wrong_credentials_wait_in_the_words_of_each_dialect() {
    let (hub, space) = hub_behind_a_proxy().await;
    let from = "192.0.2.7";
    exhaust(&hub, from).await;
    let wrong = hub
        .anonymous()
        .bearer("wrong")
        .header("x-forwarded-for", from);
    let crm = wrong.get("/api/v1/acme/companies").await;
    assert_eq!(waits(&crm), 2);
    assert_eq!(crm["status"], "tooManyRequests");
    let admin = wrong.get("/admin/v1/workspaces").await;
    assert_eq!(waits(&admin), 4);
    assert_eq!(admin["status"], 429);
    for path in [
        "/exec",
        "/hook/wrong",
        "/ws/token/v1/wrong",
        "/rest/v1/service/svcscripts",
    ] {
        let era = wrong.get(path).await;
        waits(&era);
        assert_eq!(era["error_code"], 1429, "{path}");
    }
    let edo = wrong.get("/api/v3/sync/references/statuses").await;
    waits(&edo);
    assert!(edo["errors"][0]["errorDescription"].is_string());
    let key = hub.anonymous().header("x-forwarded-for", from);
    let key = key.header("x-xcom-accesskey", "wrong");
    waits(&key.get("/api/v1/acme/companies").await);
    let key = hub.anonymous().header("x-forwarded-for", from);
    let key = key.header("x-xcom-integration-apikey", "wrong");
    waits(&key.post(AUTH_PUBLIC, json!({})).await);
    waits(&wrong.get("/api/v1/acme/no-such-route").await);

    // A valid token is accepted although the address has to wait. Other addresses are not affected.
    let right = space.clone().header("x-forwarded-for", from);
    right.get("/companies").await.ok();
    let elsewhere = hub.anonymous().bearer("wrong");
    let elsewhere = elsewhere.header("x-forwarded-for", "192.0.2.8");
    let answer = elsewhere.get("/api/v1/acme/companies").await;
    assert_eq!(answer.status, 401);
    // A request without credentials is no guess.
    let none = hub.anonymous().header("x-forwarded-for", from);
    assert_eq!(none.get("/api/v1/acme/companies").await.status, 401);
    hub.advance(Duration::from_mins(31));
    assert_eq!(wrong.get("/api/v1/acme/companies").await.status, 401);
}

#[tokio::test]
async fn a_token_whose_time_is_over_is_no_guess() {
    let (hub, space) = hub_behind_a_proxy().await;
    let ends = json!({ "name": "t", "role": "admin", "expiresAt": "2026-01-01T00:01:00Z" });
    let path = "/admin/v1/workspaces/acme/tokens";
    let token = hub.admin().post(path, ends).await.str("token");
    let integration = Integration::install(&space, "mine", "https://c.example").await;
    let key = integration.access_key().await;
    hub.advance(Duration::from_mins(21));
    for _ in 0..20 {
        for late in [space.clone().bearer(&token), space.access_key(&key)] {
            assert_eq!(late.get("/companies").await.status, 401);
        }
    }
}

#[tokio::test]
async fn a_customer_of_ipv6_is_one_address() {
    let (hub, _) = hub_behind_a_proxy().await;
    exhaust(&hub, "2001:db8::1").await;
    let wrong = hub.anonymous().bearer("wrong");
    let same = wrong.clone().header("x-forwarded-for", "2001:db8::2:3");
    waits(&same.get("/api/v1/acme/companies").await);
    let other = wrong.header("x-forwarded-for", "2001:db8:0:1::1");
    assert_eq!(other.get("/api/v1/acme/companies").await.status, 401);
}

#[tokio::test]
async fn the_administrator_cannot_be_locked_out() {
    let (hub, _) = hub_behind_a_proxy().await;
    let from = "192.0.2.9";
    exhaust(&hub, from).await;
    // An address that has not sent the token before, as after a restart.
    let admin = hub.admin().header("x-forwarded-for", from);
    admin.get("/admin/v1/workspaces").await.ok();
    let wrong = hub.anonymous().bearer("wrong");
    let wrong = wrong.header("x-forwarded-for", from);
    waits(&wrong.get("/admin/v1/workspaces").await);
}

async fn bridge(space: &Caller) -> (String, String) {
    let manifest = json!({ "name": "bridge", "version": "1.0", "baseUrl": "https://b.example" });
    let id = space.post("/integrations", manifest).await.ok().str("id");
    let path = format!("/integrations/{id}/api-key");
    let key = space.post(&path, json!({})).await.ok().str("apiKey");
    (id, key)
}

/// Installs an integration with the secrets that identify the workspace.
async fn install(space: &Caller, id: &str, values: &[String]) -> Answer {
    let path = format!("/integrations/{id}/install");
    space.post(&path, json!({})).await.ok();
    let value = json!({ "id": "token", "value": values[0], "values": values });
    let instance = format!("/integrations/instances/{id}");
    let known = space.get(&instance).await.ok()["secrets"].clone();
    let (op, path) = if known == json!([]) {
        ("add", "/secrets")
    } else {
        ("replace", "/secrets/token")
    };
    let operation = json!([{ "op": op, "path": path, "value": value }]);
    space.patch(&instance, operation).await
}

#[tokio::test]
async fn secrets_of_an_integration_are_not_tried_out() {
    let (hub, space) = hub_behind_a_proxy().await;
    let (id, key) = bridge(&space).await;
    install(&space, &id, &["4711".to_owned()]).await.ok();
    let with = |secret: &str, from: &str| {
        let caller = hub.anonymous().header("x-xcom-integration-apikey", &key);
        let caller = caller.header("x-forwarded-for", from);
        caller.header("x-xcom-integration-secret", &format!("token={secret}"))
    };
    with("4711", "192.0.2.1")
        .post(AUTH_PUBLIC, json!({}))
        .await
        .ok();
    for n in 0..31 {
        for from in ["192.0.2.1", "192.0.2.2"] {
            with(&n.to_string(), from)
                .post(AUTH_PUBLIC, json!({}))
                .await;
        }
    }
    let known = with("4711", "192.0.2.1").post(AUTH_PUBLIC, json!({})).await;
    known.ok();
    waits(&with("4711", "192.0.2.2").post(AUTH_PUBLIC, json!({})).await);
    with("4711", "192.0.2.3")
        .post(AUTH_PUBLIC, json!({}))
        .await
        .ok();
}

#[tokio::test]
async fn installations_reveal_few_secrets_of_others() {
    let (hub, space) = hub_behind_a_proxy().await;
    let (id, _) = bridge(&space).await;
    install(&space, &id, &["4711".to_owned()]).await.ok();
    let curious = hub.workspace("curious").await;
    let mut refused = None;
    for n in 0..20 {
        let values: Vec<String> = (0..10).map(|m| format!("{}", n * 10 + m)).collect();
        let answer = install(&curious, &id, &values).await;
        if answer.status != 200 {
            refused = Some((n, answer));
            break;
        }
    }
    let (n, answer) = refused.expect("refused in the end");
    assert_eq!(n, 6, "sixty values in an hour");
    assert!(waits(&answer) <= 3600);
    let honest = hub.workspace("honest").await;
    let taken = install(&honest, &id, &["4711".to_owned()]).await;
    assert_eq!(taken.status, 409, "{}", taken.text);
    assert!(taken.text.contains("invalidConstraints"));
}

#[tokio::test]
async fn tokens_of_channels_are_not_tried_out_from_inside() {
    let era = ChannelWorkspace::new().await;
    let path = "/rest/v1/service/integration_tokens/00000000000000000000000000000000";
    for _ in 0..30 {
        assert_eq!(era.rest.get(path).await.status, 404);
    }
    waits(&era.rest.get(path).await);
}

#[tokio::test]
async fn tickets_are_counted_however_their_name_is_written() {
    for name in ["ticket", "%74icket", "Ticket"] {
        let (hub, _) = hub_behind_a_proxy().await;
        let path = format!("/api/v1/acme/communications/live?{name}=wrong");
        for _ in 0..30 {
            assert_eq!(hub.anonymous().get(&path).await.status, 401, "{name}");
        }
        waits(&hub.anonymous().get(&path).await);
    }
}
