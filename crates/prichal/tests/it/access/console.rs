//! Signing in at the console over HTTP, and what each role reaches there (`docs/access.md`).

use std::time::Duration;

use prichal::platform::vault::hex;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::hub::{ADMIN_TOKEN, Answer, Caller, Hub, Installation};

const SIGN_IN: &str = "/console/sign-in";

/// A browser that sends what a page of this server sends.
pub(super) fn browser(hub: &Hub) -> Caller {
    hub.anonymous()
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept-language", "en")
}

pub(super) fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    form.finish().into_bytes()
}

pub(super) async fn submit(browser: &Caller, path: &str, fields: &[(&str, &str)]) -> Answer {
    browser.send(Method::POST, path, Some(form(fields))).await
}

/// A person with a session: a browser with its cookie.
pub(super) struct Person {
    pub(super) browser: Caller,
    secret: String,
}

impl Person {
    pub(super) async fn sign_in(hub: &Hub, credential: &str) -> Self {
        let browser = browser(hub);
        let answer = submit(&browser, SIGN_IN, &[("credential", credential)]).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        let cookie = answer.header("set-cookie").expect("a cookie").to_owned();
        for part in ["Path=/console", "HttpOnly", "SameSite=Lax"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        let pair = cookie.split(';').next().expect("a pair");
        let secret = pair.strip_prefix("prichal_session=").expect("the session");
        Self {
            browser: browser.header("cookie", pair),
            secret: secret.to_owned(),
        }
    }

    /// The token that the forms of the session have.
    pub(super) fn form_token(&self) -> String {
        let hash = Sha256::digest(format!("prichal console form\n{}", self.secret));
        hex(&hash)
    }

    async fn act(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.form_token();
        let fields = [fields, &[("_form", token.as_str())]].concat();
        submit(&self.browser, path, &fields).await
    }

    /// True if the session is not over.
    async fn is_signed_in(&self) -> bool {
        let answer = self.browser.get("/console").await;
        let to = answer.header("location").unwrap_or_default().to_owned();
        !to.starts_with(SIGN_IN)
    }
}

pub(super) async fn link(hub: &Hub, body: Value) -> String {
    let made = hub.admin().post("/admin/v1/login-links", body).await;
    made.str("url")
}

#[tokio::test]
async fn a_person_signs_in_by_a_link_and_out_again() {
    let hub = Hub::start().await;
    hub.workspace("acme").await;
    hub.workspace("other").await;
    let url = link(&hub, json!({ "workspace": "acme" })).await;
    let person = Person::sign_in(&hub, &url).await;
    person.browser.get("/console/acme/deliveries").await.ok();
    assert_eq!(person.browser.get("/console/other").await.status, 404);
    assert_eq!(person.browser.get("/console/nowhere").await.status, 404);

    let again = submit(&browser(&hub), SIGN_IN, &[("credential", &url)]).await;
    assert_eq!(again.status, 401, "a used link");
    let stolen = submit(&person.browser, "/console/sign-out", &[]).await;
    assert_eq!(stolen.status, 403, "a form without its token");
    assert!(person.is_signed_in().await);
    let out = person.act("/console/sign-out", &[]).await;
    assert_eq!(out.status, 303, "{}", out.text);
    assert!(!person.is_signed_in().await);

    let log = hub.admin().get("/admin/v1/audit?action=console.*").await;
    let log = log.ok().json;
    let records = log["items"].as_array().expect("the records");
    let facts = |record: &Value| {
        assert_eq!(record["actor"]["kind"], "session", "{record}");
        if record["action"] == "console.sign_in" {
            assert_eq!(record["object"]["kind"], "loginLink", "{record}");
            assert_eq!(record["address"], "127.0.0.1", "{record}");
        } else if record["result"] == "done" {
            let object = json!({ "kind": "session", "id": record["actor"]["id"] });
            assert_eq!(record["object"], object, "{record}");
        }
        assert!(record["workspaceId"].is_string(), "{record}");
        ["action", "status"].map(|name| record[name].clone())
    };
    let found: Vec<_> = records.iter().map(facts).collect();
    let expected = [
        ("console.sign_out", 303),
        ("console.sign_out", 403),
        ("console.sign_in", 401),
        ("console.sign_in", 303),
    ];
    assert_eq!(
        found,
        expected.map(|(action, status)| [json!(action), json!(status)])
    );
}

#[tokio::test]
async fn forms_of_other_origins_are_refused() {
    let hub = Hub::start().await;
    let url = link(&hub, json!({})).await;
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://evil.example"),
        ("x-nothing", "neither header"),
    ] {
        let foreign = hub
            .anonymous()
            .header("content-type", "application/x-www-form-urlencoded")
            .header(name, value);
        let answer = submit(&foreign, SIGN_IN, &[("credential", &url)]).await;
        assert_eq!(answer.status, 403, "{name}: {}", answer.text);
    }
    assert!(Person::sign_in(&hub, &url).await.is_signed_in().await);
}

#[tokio::test]
async fn guesses_are_slowed_down_and_a_valid_link_is_not() {
    let hub = Hub::with(|config| {
        config.guess_limit = prichal::config::Rate {
            most: 5,
            period: Duration::from_mins(1),
        };
    })
    .await;
    let url = link(&hub, json!({})).await;
    let browser = browser(&hub);
    for (n, guess) in ["#a-guess", "a-guess"]
        .into_iter()
        .cycle()
        .take(8)
        .enumerate()
    {
        let expected = if n < 5 { 401 } else { 429 };
        let answer = submit(&browser, SIGN_IN, &[("credential", guess)]).await;
        assert_eq!(answer.status, expected, "guess {n}: {}", answer.text);
    }
    assert!(Person::sign_in(&hub, &url).await.is_signed_in().await);
}

#[tokio::test]
async fn a_pasted_token_has_its_own_rights() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let operator = Person::sign_in(&hub, ADMIN_TOKEN).await;
    let listed = hub.admin().get("/admin/v1/sessions").await.ok();
    assert_eq!(listed["items"][0]["address"], "127.0.0.1");
    operator.browser.get("/console/acme/deliveries").await.ok();
    operator.browser.get("/console/server").await.ok();
    let audit = "/console/server/audit";
    let page = operator.browser.get(audit).await.ok();
    assert!(page.text.contains("administration.create_workspace"));
    let export = format!("{audit}/export?workspace=acme&action=administration.*");
    let lines = operator.browser.get(&export).await.ok().text;
    let actions: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a record")["action"].clone())
        .collect();
    let expected = ["create_token", "create_workspace"];
    assert_eq!(
        actions,
        expected.map(|name| format!("administration.{name}"))
    );
    let admin = Person::sign_in(&hub, &space.bearer_token()).await;
    admin.browser.get("/console/acme/deliveries").await.ok();
    assert_ne!(admin.browser.get("/console/server").await.status, 200);
    for path in [audit, &export] {
        assert_eq!(admin.browser.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_cookie_survives_a_kill_and_is_no_credential_elsewhere() {
    let installation = Installation::new(|_| ());
    let hub = installation.start().await;
    hub.workspace("acme").await;
    let url = link(&hub, json!({ "workspace": "acme" })).await;
    let person = Person::sign_in(&hub, &url).await;
    hub.kill();
    let hub = installation.start().await;
    let person = Person {
        browser: hub.adopt(&person.browser),
        ..person
    };
    person.browser.get("/console/acme/deliveries").await.ok();
    for path in [
        "/api/v1/acme/settings",
        "/rest/v1/service/integration_points",
        "/api/v3/references/document-types",
        "/admin/v1/workspaces",
    ] {
        let by_cookie = person.browser.get(path).await;
        assert!(
            [401, 404].contains(&by_cookie.status),
            "{path}: {}",
            by_cookie.text
        );
        let by_secret = hub.anonymous().bearer(&person.secret).get(path).await;
        assert!(
            [401, 404].contains(&by_secret.status),
            "{path}: {}",
            by_secret.text
        );
    }
}

#[tokio::test]
async fn unknown_pages_are_those_of_the_console() {
    let hub = Hub::start().await;
    hub.workspace("acme").await;
    let url = link(&hub, json!({ "workspace": "acme" })).await;
    let person = Person::sign_in(&hub, &url).await;
    for browser in [&person.browser, &browser(&hub)] {
        for (path, to) in [
            ("/console/", "/console"),
            ("/console/acme/", "/console/acme"),
            ("/console/acme///", "/console/acme"),
            (
                "/console/acme/calls/?missed=true",
                "/console/acme/calls?missed=true",
            ),
            ("/console/acme/deliveries/1/", "/console/acme/deliveries/1"),
            ("/console/server/", "/console/server"),
            ("/console/sign-in/?next=/", "/console/sign-in?next=/"),
            ("/console/acme/nowhere/", "/console/acme/nowhere"),
            ("/console//evil.example/", "/console//evil.example"),
        ] {
            for method in [Method::GET, Method::POST] {
                let moved = browser.send(method.clone(), path, None).await;
                assert_eq!(moved.status, 308, "{method} {path}: {}", moved.text);
                assert_eq!(moved.header("location"), Some(to), "{path}");
            }
        }
        for path in [
            "/console/acme/nowhere",
            "/console/acme/calls/1/2/3",
            "/console//acme",
            "/console/acme//calls",
            "/console/server/nowhere",
        ] {
            for method in [Method::GET, Method::PUT] {
                let missing = browser.send(method.clone(), path, None).await;
                assert_eq!(missing.status, 404, "{method} {path}: {}", missing.text);
                let kind = missing.header("content-type");
                assert_eq!(kind, Some("text/html; charset=utf-8"), "{path}");
                assert!(missing.text.contains("no such page"), "{}", missing.text);
                assert!(missing.header("content-security-policy").is_some());
            }
        }
    }
    // A workspace has any name, so strangers are asked who they are.
    let unknown = person.browser.get("/console/nowhere").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text.contains("no such page"), "{}", unknown.text);
    // Paths beside the console are those of the API.
    let beside = person.browser.get("/consoles/").await;
    assert_eq!(beside.status, 404);
    assert!(beside.text.starts_with('{'), "{}", beside.text);
}
