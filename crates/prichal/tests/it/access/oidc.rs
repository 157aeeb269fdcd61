//! Signing in with the company's OpenID provider (`docs/access.md`): a real one, which ./test has.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use prichal::{
    config::{Config, OidcRight},
    platform::clock::Clock,
};
use reqwest::{Method, redirect::Policy};
use serde_json::{Value, json};

use crate::harness::{
    hub::{Answer, Caller, Hub, Installation},
    server_process::PROGRAM,
};

/// A browser at the provider: it keeps cookies and follows redirects, except to the hub.
struct Browser {
    client: reqwest::Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl Browser {
    fn new() -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none());
        Self {
            client: client.build().expect("a client"),
            cookies: Mutex::default(),
        }
    }

    /// Sends a request; the address that it leads to, and the text.
    async fn send(
        &self,
        method: Method,
        url: &str,
        form: &[(&str, &str)],
    ) -> (Option<String>, String) {
        let cookies: Vec<String> = {
            let kept = self.cookies.lock().expect("no panic");
            kept.iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect()
        };
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let request = self
            .client
            .request(method, url)
            .header("cookie", cookies.join("; "))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        let answer = request.send().await.expect("the provider answers");
        for line in answer.headers().get_all("set-cookie") {
            let pair = line
                .to_str()
                .expect("text")
                .split(';')
                .next()
                .expect("a pair");
            let (name, value) = pair.split_once('=').expect("a cookie");
            let mut kept = self.cookies.lock().expect("no panic");
            kept.insert(name.to_owned(), value.to_owned());
        }
        let to = answer.headers().get("location");
        let to = to.map(|to| to.to_str().expect("text").to_owned());
        let to = to.map(|to| {
            url::Url::parse(url)
                .expect("a url")
                .join(&to)
                .expect("a url")
                .to_string()
        });
        (to, answer.text().await.expect("a text"))
    }

    /// Follows redirects, and signs in as a person. The address at the hub, or the last page's text.
    async fn follow(&self, mut url: String, person: &str) -> Result<String, String> {
        loop {
            if url.contains("/interaction/") {
                url = format!("{url}?account={person}");
            }
            match self.send(Method::GET, &url, &[]).await {
                (Some(to), _) if to.starts_with("https://hub.test/") => return Ok(to),
                (Some(to), _) => url = to,
                (None, text) => return Err(text),
            }
        }
    }
}

pub(super) fn right(group: &str, of: Option<(&str, prichal_store::token::Role)>) -> OidcRight {
    OidcRight {
        group: group.to_owned(),
        of: of.map(|(workspace, role)| (workspace.to_owned(), role)),
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is set"))
}

/// A hub with the provider, in the provider's time, and with a workspace.
async fn hub() -> (Hub, Caller) {
    use prichal_store::token::Role;
    let (issuer, secret) = (
        variable("PRICHAL_TEST_OIDC"),
        variable("PRICHAL_TEST_OIDC_SECRET_FILE"),
    );
    let change = move |config: &mut Config| {
        config.public_url = Some("https://hub.test".to_owned());
        config.oidc_issuer = Some(issuer.clone());
        config.oidc_client_id = Some("hub".to_owned());
        config.oidc_client_secret_file = Some((&secret).into());
        config.oidc_cli_client_id = Some("cli".to_owned());
        config.oidc_rights = vec![
            right("ops", None),
            right("crm", Some(("nowhere", Role::Admin))),
            right("crm", Some(("acme", Role::Viewer))),
        ];
    };
    let mut installation = Installation::new(change);
    installation.clock = Clock::System;
    let hub = installation.start().await;
    let space = hub.workspace("acme").await;
    (hub, space)
}

/// The path at the hub of an address.
pub(super) fn at_hub(url: &str) -> &str {
    url.strip_prefix("https://hub.test").expect("the hub")
}

/// The value of a cookie that an answer sets.
pub(super) fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let lines = answer.headers.get_all("set-cookie").iter();
    let pairs = lines.filter_map(|line| line.to_str().ok()?.split(';').next());
    let found = pairs.filter_map(|pair| pair.split_once('='));
    let mut found = found.filter(|(found, value)| *found == name && !value.is_empty());
    found.next().map(|(_, value)| value.to_owned())
}

/// Begins a sign-in: the page of the provider, and a browser with the cookie.
pub(super) async fn begin(hub: &Hub) -> (String, Caller) {
    let begun = hub.anonymous().get("/console/oidc/start").await;
    assert_eq!(begun.status, 303, "{}", begun.text);
    let kept = cookie(&begun, "prichal_oidc").expect("a cookie");
    let browser = hub
        .anonymous()
        .header("cookie", &format!("prichal_oidc={kept}"));
    (
        begun.header("location").expect("a page").to_owned(),
        browser,
    )
}

/// Signs a person in; the answer of the hub.
async fn sign_in(hub: &Hub, person: &str) -> Answer {
    let (page, browser) = begin(hub).await;
    let back = Browser::new()
        .follow(page, person)
        .await
        .expect("back at the hub");
    browser.get(at_hub(&back)).await
}

pub(super) async fn sessions(hub: &Hub) -> Vec<Value> {
    let list = hub.admin().get("/admin/v1/sessions").await.ok();
    list["items"].as_array().expect("sessions").clone()
}

#[tokio::test]
#[ignore = "needs an OpenID provider; ./test has one"]
async fn a_person_has_the_rights_of_the_groups() {
    let (hub, space) = hub().await;
    let user = json!({ "login": "ada.l", "name": "Ada L", "email": "ADA@acme.example" });
    let user = space.post("/users", user).await.ok().str("id");
    let answer = sign_in(&hub, "ada").await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    let secret = cookie(&answer, "__Secure-prichal_session").expect("a session");
    let browser = hub
        .anonymous()
        .header("cookie", &format!("__Secure-prichal_session={secret}"));
    let page = browser.get("/console/acme/deliveries").await;
    assert_eq!(page.status, 200, "{}", page.text);
    let ada = sessions(&hub).await.remove(0);
    assert_eq!(
        (&ada["role"], &ada["userId"]),
        (&json!("viewer"), &json!(user))
    );

    let signed_in = "/audit?action=console.sign_in";
    let records = space.get(signed_in).await.ok();
    assert_eq!(records["items"][0]["actor"]["name"], "Ada", "{records:?}");

    let answer = sign_in(&hub, "root").await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    assert_eq!(sessions(&hub).await[0]["workspaceId"], Value::Null);

    // An address that is not verified names no user, and a person without a right does not sign in.
    let answer = sign_in(&hub, "eve").await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    assert_eq!(sessions(&hub).await[0]["userId"], Value::Null);
    let answer = sign_in(&hub, "bob").await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert_eq!(cookie(&answer, "__Secure-prichal_session"), None);
    assert_eq!(sessions(&hub).await.len(), 3);
    let refused = "/admin/v1/audit?action=console.sign_in&result=refused";
    let refused = hub.admin().get(refused).await.ok().json;
    let actor = json!({ "kind": "session", "name": "Bob" });
    assert_eq!(refused["items"][0]["actor"], actor, "{refused}");
}

#[tokio::test]
#[ignore = "needs an OpenID provider; ./test has one"]
async fn an_answer_of_the_provider_counts_once_and_for_its_browser() {
    let (hub, _) = hub().await;
    let (page, browser) = begin(&hub).await;
    let back = Browser::new()
        .follow(page, "ada")
        .await
        .expect("back at the hub");
    let path = at_hub(&back);
    let (_, other) = begin(&hub).await;
    for (what, who, path) in [
        ("no cookie", &hub.anonymous(), path.to_owned()),
        ("another browser", &other, path.to_owned()),
        ("another state", &browser, path.replace("state=", "state=x")),
        ("another code", &browser, path.replace("code=", "code=x")),
        (
            "a refusal",
            &browser,
            "/console/oidc/callback?error=access_denied".to_owned(),
        ),
    ] {
        let answer = who.get(&path).await;
        assert_eq!(answer.status, 403, "{what}: {}", answer.text);
    }
    assert_eq!(browser.get(path).await.status, 303);
    assert_eq!(browser.get(path).await.status, 403, "a used code");
    assert_eq!(sessions(&hub).await.len(), 1);
}

/// Confirms the code of a device as a person.
async fn confirm(url: &str, person: &str) {
    let browser = Browser::new();
    let (_, page) = browser.send(Method::GET, url, &[]).await;
    let value = |page: &str, name: &str| {
        let (_, rest) = page
            .split_once(&format!("name=\"{name}\" value=\""))
            .expect("a field");
        rest.split('"').next().expect("a value").to_owned()
    };
    let (device, _) = url.split_once('?').expect("a query");
    let (xsrf, code) = (value(&page, "xsrf"), value(&page, "user_code"));
    let form = [("xsrf", xsrf.as_str()), ("user_code", code.as_str())];
    let confirmed = [&form[..], &[("confirm", "yes")]].concat();
    browser.send(Method::POST, device, &form).await;
    let (to, _) = browser.send(Method::POST, device, &confirmed).await;
    if let Some(to) = to {
        let done = browser.follow(to, person).await;
        assert!(done.is_err(), "{done:?}");
    }
}

/// An ID token of a client that has no secret, by the device flow.
async fn id_token(client: &str, person: &str) -> String {
    let issuer = variable("PRICHAL_TEST_OIDC");
    let browser = Browser::new();
    let form = [("client_id", client), ("scope", "openid email profile")];
    let at = format!("{issuer}/device/auth");
    let (_, begun) = browser.send(Method::POST, &at, &form).await;
    let begun: Value = serde_json::from_str(&begun).expect("JSON");
    let text = |member: &str| begun[member].as_str().expect("a text").to_owned();
    confirm(&text("verification_uri_complete"), person).await;
    let code = text("device_code");
    let form = [
        ("client_id", client),
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", code.as_str()),
    ];
    let (_, answer) = browser
        .send(Method::POST, &format!("{issuer}/token"), &form)
        .await;
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    answer["id_token"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

#[tokio::test]
#[ignore = "needs an OpenID provider; ./test has one"]
async fn an_id_token_of_the_command_line_is_exchanged_for_a_token() {
    let (hub, _) = hub().await;
    let exchange = async |token: &str| {
        let body = json!({ "idToken": token });
        hub.anonymous().post("/api/v1/acme/oidc", body).await
    };
    let good = id_token("cli", "ada").await;
    let issued = exchange(&good).await;
    assert_eq!(issued.status, 201, "{}", issued.text);
    assert_eq!(issued["role"], "viewer");
    let caller = hub.anonymous().bearer(&issued.str("token"));
    caller.get("/api/v1/acme/settings").await.ok();
    let refused = caller
        .post("/api/v1/acme/deals", json!({ "name": "x" }))
        .await;
    assert_eq!(refused.status, 403, "{}", refused.text);

    let (head, rest) = good.split_once('.').expect("a token");
    let (claims, signature) = rest.split_once('.').expect("a signature");
    let foreign = id_token("other", "ada").await;
    let unsigned = format!("eyJhbGciOiJub25lIn0.{claims}.");
    let forged = format!(
        "{head}.{claims}.{}",
        signature.chars().rev().collect::<String>()
    );
    for (what, token, status) in [
        ("of another client", foreign.as_str(), 401),
        ("unsigned", &unsigned, 401),
        ("forged", &forged, 401),
        ("no token", "x", 401),
    ] {
        let answer = exchange(token).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
    }
    // The operator has no token, and others have no right.
    for person in ["root", "bob"] {
        let answer = exchange(&id_token("cli", person).await).await;
        assert_eq!(answer.status, 403, "{person}: {}", answer.text);
    }
}

#[tokio::test]
#[ignore = "needs an OpenID provider; ./test has one"]
async fn the_command_line_signs_in() {
    let (hub, _) = hub().await;
    let mut login = tokio::process::Command::new(PROGRAM)
        .args(["login", "acme", "--url", &hub.url])
        .env_clear()
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let said = login.stderr.take().expect("its words");
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(said));
    let line = lines.next_line().await.expect("it speaks").expect("a line");
    let page = line
        .split_whitespace()
        .find(|word| word.starts_with("http"));
    let page = page.expect("a page").to_owned();
    confirm(&page, "ada").await;
    let done = tokio::time::timeout(Duration::from_mins(1), login.wait_with_output()).await;
    let done = done.expect("it ends").expect("it ends");
    let token = String::from_utf8(done.stdout).expect("text");
    assert!(done.status.success(), "{line}");
    let caller = hub.anonymous().bearer(token.trim());
    caller.get("/api/v1/acme/settings").await.ok();
}

#[tokio::test]
async fn without_a_provider_there_is_none() {
    let hub = Hub::start().await;
    for path in [
        "/console/oidc/start",
        "/console/oidc/callback?state=a&code=b",
    ] {
        assert_eq!(hub.anonymous().get(path).await.status, 404, "{path}");
    }
    // Kontur's API answers 409 for what does not exist.
    let path = "/api/v1/acme/oidc";
    let body = json!({ "idToken": "x" });
    let answers = [
        hub.anonymous().get(path).await,
        hub.anonymous().post(path, body).await,
    ];
    for answer in answers {
        assert_eq!(answer.status, 409, "{}", answer.text);
        assert_eq!(answer["status"], "notFound", "{}", answer.text);
    }
}

#[tokio::test]
async fn a_provider_at_a_private_address_needs_to_be_allowed() {
    let hub = Hub::with(|config| {
        config.allow_private_targets = false;
        config.oidc_issuer = Some("http://127.0.0.1:9".to_owned());
        config.oidc_client_id = Some("hub".to_owned());
    })
    .await;
    let answer = hub.anonymous().get("/console/oidc/start").await;
    assert_eq!(answer.status, 503, "{}", answer.text);
}
