//! Credentials of callers (`docs/contracts/prichal.md §3`, `docs/contracts/kontur.md §4.1`).

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    hub::{Caller, Hub},
    integration::{Integration, company},
};

async fn hub_with_integration() -> (Hub, Caller, Integration) {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration =
        Integration::install(&space, "ws.connector", "https://connector.example").await;
    (hub, space, integration)
}

async fn api_key(integration: &Integration) -> String {
    integration
        .space
        .post(
            &format!("/integrations/{}/api-key", integration.id),
            json!({}),
        )
        .await
        .ok()
        .str("apiKey")
}

const AUTH_PRIVATE: &str = "/api/v1/authorization/authorize-private-integration";
const AUTH_PUBLIC: &str = "/api/v1/authorization/authorize-integration";

#[tokio::test]
async fn an_api_key_gives_an_access_key_for_twenty_minutes() {
    let (hub, space, integration) = hub_with_integration().await;
    let key = api_key(&integration).await;
    let caller = hub.anonymous().header("X-XCOM-Integration-ApiKey", &key);
    let answer = caller
        .send(reqwest::Method::POST, AUTH_PRIVATE, None)
        .await
        .ok();
    assert_eq!(answer["workspace"]["name"], "acme");
    assert!(answer["workspace"]["updateInfo"]["createdAt"].is_string());
    assert_eq!(answer["integrationInstance"]["id"], integration.id.as_str());
    assert_eq!(answer["integrationInstance"]["status"], "active");

    let by_key = space.access_key(&answer.str("accessKey"));
    by_key.get(&integration.instance()).await.ok();
    company(&by_key, "made by the integration").await;
    let feed = by_key.get("/events").await.ok();
    let newest = feed["items"]
        .as_array()
        .expect("items")
        .last()
        .expect("an event")
        .clone();
    assert_eq!(
        newest["createInfo"]["createdWith"],
        "Integration.ws.connector"
    );
    assert_eq!(newest["createInfo"].get("createdByUserId"), None);

    hub.advance(Duration::from_secs(20 * 60 - 1));
    by_key.get(&integration.instance()).await.ok();
    hub.advance(Duration::from_secs(1));
    let late = by_key.get(&integration.instance()).await;
    assert_eq!((late.status, late.json), (401, json!("Unauthorized")));
}

#[tokio::test]
async fn malformed_keys_are_refused() {
    let (hub, space, integration) = hub_with_integration().await;
    let key = integration.access_key().await;
    let mut forged = key.clone().into_bytes();
    let middle = forged.len() / 2;
    forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).expect("text");
    for bad in [
        forged.as_str(),
        "",
        "x",
        &key[..key.len() - 1],
        &"A".repeat(10_000),
    ] {
        let answer = space.access_key(bad).get(&integration.instance()).await;
        assert_eq!(
            (answer.status, &answer.json),
            (401, &json!("Unauthorized")),
            "{bad}"
        );
        assert!(answer.header("x-request-id").is_some());
    }
    for bad in ["", "x", "Basic YTpi"] {
        let answer = hub
            .anonymous()
            .header("authorization", bad)
            .get("/api/v1/acme/companies")
            .await;
        assert_eq!(
            (answer.status, &answer.json),
            (401, &json!("Unauthorized")),
            "{bad}"
        );
    }
    for (headers, status) in [
        (vec![], 401),
        (vec![("x-xcom-integration-apikey", "unknown")], 401),
    ] {
        let mut caller = hub.anonymous();
        for (name, value) in headers {
            caller = caller.header(name, value);
        }
        let answer = caller.post(AUTH_PRIVATE, json!({})).await;
        assert_eq!(
            (answer.status, answer.json),
            (status, json!("Unauthorized"))
        );
    }
}

#[tokio::test]
async fn uninstalling_kills_keys_at_once_and_for_good() {
    let (hub, space, integration) = hub_with_integration().await;
    let api = hub
        .anonymous()
        .header("x-xcom-integration-apikey", &api_key(&integration).await);
    let access = api
        .post(AUTH_PRIVATE, json!({}))
        .await
        .ok()
        .str("accessKey");
    let by_key = space.access_key(&access);
    by_key.get("/companies").await.ok();
    space
        .post(
            &format!("/integrations/{}/uninstall", integration.id),
            json!({}),
        )
        .await
        .ok();
    assert_eq!(by_key.get("/companies").await.status, 401);
    let refused = api.post(AUTH_PRIVATE, json!({})).await;
    assert_eq!(
        (refused.status, &refused["status"], &refused["message"]),
        (
            409,
            &json!("notInstalled"),
            &json!("Integration not installed")
        )
    );

    space
        .post(
            &format!("/integrations/{}/install", integration.id),
            json!({}),
        )
        .await
        .ok();
    assert_eq!(
        by_key.get("/companies").await.status,
        401,
        "the key of an earlier install stays dead"
    );
    let fresh = api
        .post(AUTH_PRIVATE, json!({}))
        .await
        .ok()
        .str("accessKey");
    space.access_key(&fresh).get("/companies").await.ok();
    let hub = hub.restart().await;
    assert_eq!(
        hub.adopt(&by_key).get("/companies").await.status,
        401,
        "after a restart, too"
    );
    hub.adopt(&space.access_key(&fresh))
        .get("/companies")
        .await
        .ok();
}

#[tokio::test]
async fn a_new_api_key_replaces_the_old() {
    let (hub, _, integration) = hub_with_integration().await;
    let (old, new) = (api_key(&integration).await, api_key(&integration).await);
    assert_eq!(
        hub.anonymous()
            .header("x-xcom-integration-apikey", &old)
            .post(AUTH_PRIVATE, json!({}))
            .await
            .status,
        401
    );
    hub.anonymous()
        .header("x-xcom-integration-apikey", &new)
        .post(AUTH_PRIVATE, json!({}))
        .await
        .ok();
}

#[tokio::test]
async fn a_public_integration_is_authorized_by_its_secret() {
    let hub = Hub::start().await;
    let maker = hub.workspace("maker").await;
    let manifest =
        json!({ "name": "Megafon", "version": "1.0", "baseUrl": "https://megafon.example" });
    let id = maker.post("/integrations", manifest).await.ok().str("id");
    let key = maker
        .post(&format!("/integrations/{id}/api-key"), json!({}))
        .await
        .ok()
        .str("apiKey");
    let spaces = [hub.workspace("one").await, hub.workspace("two").await];
    for (n, space) in spaces.iter().enumerate() {
        let instance = space
            .post(&format!("/integrations/{id}/install"), json!({}))
            .await
            .ok();
        assert_eq!(instance["status"], "notConfigured");
        let refused = space
            .post(&format!("/integrations/{id}/api-key"), json!({}))
            .await;
        assert_eq!(
            (refused.status, &refused["status"]),
            (403, &json!("forbidden")),
            "only where it was made"
        );
        let value = json!({ "id": "token", "value": format!("secret-{n}"), "values": [format!("old-{n}"), format!("secret-{n}")] });
        let path = format!("/integrations/instances/{id}");
        space
            .patch(
                &path,
                json!([{ "op": "add", "path": "/secrets", "value": value }]),
            )
            .await
            .ok();
    }
    let api = hub.anonymous().header("x-xcom-integration-apikey", &key);
    for (n, name) in ["one", "two"].into_iter().enumerate() {
        for secret in [format!("token=secret-{n}"), format!("token=old-{n}")] {
            let answer = api
                .clone()
                .header("X-XCOM-Integration-Secret", &secret)
                .post(AUTH_PUBLIC, json!({}))
                .await
                .ok();
            assert_eq!(answer["workspace"]["name"], name, "{secret}");
        }
    }
    for bad in [
        "token=wrong",
        "other=secret-0",
        "secret-0",
        "token",
        "",
        "token=",
    ] {
        let answer = api
            .clone()
            .header("x-xcom-integration-secret", bad)
            .post(AUTH_PUBLIC, json!({}))
            .await;
        assert_eq!(
            (answer.status, answer.json),
            (401, json!("Unauthorized")),
            "{bad}"
        );
    }
    assert_eq!(api.post(AUTH_PUBLIC, json!({})).await.status, 401);

    let clash = json!([{ "op": "add", "path": "/secrets", "value": { "id": "token", "value": "secret-0" } }]);
    let three = hub.workspace("three").await;
    three
        .post(&format!("/integrations/{id}/install"), json!({}))
        .await
        .ok();
    let refused = three
        .patch(&format!("/integrations/instances/{id}"), clash)
        .await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(
        refused.text.contains("invalidConstraints"),
        "{}",
        refused.text
    );

    spaces[0]
        .post(&format!("/integrations/{id}/uninstall"), json!({}))
        .await
        .ok();
    let gone = api
        .clone()
        .header("x-xcom-integration-secret", "token=secret-0")
        .post(AUTH_PUBLIC, json!({}))
        .await;
    assert_eq!((gone.status, gone.json), (401, json!("Unauthorized")));
}

#[tokio::test]
async fn another_workspaces_credentials_tell_nothing() {
    let (hub, space, integration) = hub_with_integration().await;
    let stranger = hub.workspace("stranger").await;
    let id = company(&space, "hidden").await;
    let key = integration.access_key().await;
    let outside = [stranger.clone(), stranger.access_key(&key)];
    let (from_inside, from_key) = (
        outside[0].at("/api/v1/acme"),
        outside[1].at("/api/v1/stranger"),
    );
    for caller in [from_inside, from_key] {
        let mut texts = Vec::new();
        for path in [
            format!("/companies/{id}"),
            "/companies/00000000-0000-0000-0000-000000000001".to_owned(),
            integration.instance(),
            "/events".to_owned(),
        ] {
            let answer = caller.get(&path).await;
            assert_eq!(
                (answer.status, &answer["status"]),
                (403, &json!("forbidden")),
                "{path}"
            );
            texts.push(answer.text);
        }
        texts.dedup();
        assert_eq!(texts.len(), 1, "the same for what is there and what is not");
    }
    let nowhere = stranger.at("/api/v1/nowhere").get("/companies").await;
    assert_eq!(
        nowhere.status, 403,
        "a workspace that is not there looks like a foreign one"
    );
    let admin = hub.admin().get("/api/v1/nowhere/companies").await;
    assert_eq!((admin.status, &admin["status"]), (409, &json!("notFound")));
    stranger.delete(&format!("/companies/{id}")).await;
    space.get(&format!("/companies/{id}")).await.ok();
}

#[tokio::test]
async fn members_may_work_but_not_manage() {
    let (hub, space, integration) = hub_with_integration().await;
    let member = hub.token("acme", "member").await;
    company(&member, "fine").await;
    member.get(&integration.instance()).await.ok();
    let manifest = json!({ "name": "other", "version": "1.0", "baseUrl": "https://x.example" });
    let refusals = [
        member.post("/private-integrations", manifest).await,
        member
            .post(
                &format!("/integrations/{}/uninstall", integration.id),
                json!({}),
            )
            .await,
        member
            .post(
                &format!("/integrations/{}/api-key", integration.id),
                json!({}),
            )
            .await,
        member
            .post(&format!("{}/pause", integration.instance()), json!({}))
            .await,
        member.patch(&integration.instance(), json!([])).await,
        member.patch("/settings", json!([])).await,
    ];
    for refused in refusals {
        assert_eq!(
            (refused.status, &refused["status"]),
            (403, &json!("forbidden")),
            "{}",
            refused.text
        );
    }
    let secret =
        json!([{ "op": "add", "path": "/secrets", "value": { "id": "token", "value": "abc" } }]);
    space.patch(&integration.instance(), secret).await.ok();
    let shown = |instance: &Value| instance["secrets"].to_string();
    assert!(shown(&space.get(&integration.instance()).await.ok()).contains("abc"));
    assert!(
        !shown(&member.get(&integration.instance()).await.ok()).contains("abc"),
        "masked"
    );
    let own = space.access_key(&integration.access_key().await);
    assert!(shown(&own.get(&integration.instance()).await.ok()).contains("abc"));
    let other = Integration::install(&space, "another", "https://another.example").await;
    let foreign = space.access_key(&other.access_key().await);
    assert!(!shown(&foreign.get(&integration.instance()).await.ok()).contains("abc"));
    assert_eq!(
        foreign
            .patch(&integration.instance(), json!([]))
            .await
            .status,
        403
    );
    let feed = space.get("/events?limit=1000").await.ok();
    assert!(
        !feed.text.contains("\"abc\""),
        "secrets in the feed are masked"
    );
}

#[tokio::test]
async fn a_token_ends_when_it_expires_or_is_revoked() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let path = "/admin/v1/workspaces/acme/tokens";
    let body =
        json!({ "name": "short", "role": "member", "expiresAt": "2026-01-01T00:10:00+00:00" });
    let made = hub.admin().post(path, body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let short = space.clone().bearer(&made.str("token"));
    short.get("/companies").await.ok();
    hub.advance(Duration::from_mins(10));
    assert_eq!(short.get("/companies").await.status, 401);

    let listed = hub.admin().get(path).await.ok();
    assert!(
        !listed.text.contains(&made.str("token")),
        "tokens are shown once"
    );
    assert_eq!(listed["count"], 2);
    let id = listed["items"][0]["id"].as_str().expect("an id").to_owned();
    space.get("/companies").await.ok();
    for _ in 0..2 {
        assert_eq!(
            hub.admin().delete(&format!("{path}/{id}")).await.status,
            204,
            "twice gives the first answer"
        );
    }
    assert_eq!(space.get("/companies").await.status, 401);
    assert_eq!(
        hub.admin()
            .delete(&format!("{path}/00000000-0000-0000-0000-000000000009"))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn no_secret_is_in_an_answer_that_nobody_asked_for_it() {
    let (hub, space, integration) = hub_with_integration().await;
    let key = integration.access_key().await;
    let answers = [
        hub.anonymous()
            .bearer("wrong-token-wrong-token")
            .get("/api/v1/acme/companies")
            .await,
        space.access_key(&key).get("/companies/not-an-id").await,
        hub.anonymous().get("/metrics").await,
        hub.anonymous().get("/readyz").await,
    ];
    for answer in answers {
        for secret in [
            crate::harness::hub::ADMIN_TOKEN,
            key.as_str(),
            "wrong-token",
        ] {
            assert!(!answer.text.contains(secret), "{}", answer.text);
        }
    }
}
