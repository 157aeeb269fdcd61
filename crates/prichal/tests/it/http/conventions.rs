//! Requirements of HTTP for the answers of every dialect.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{
    channel_workspace::ChannelWorkspace,
    hub::{Hub, WAIT_TIMEOUT},
    telephony_exchange::TelephonyExchange,
};

/// Sends these bytes and returns the answer, up to the end of the connection or of an answer without a body.
async fn raw(hub: &Hub, request: &str) -> String {
    let address = hub.url.strip_prefix("http://").expect("a URL");
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut answer = Vec::new();
    let read = async {
        while stream
            .read_buf(&mut answer)
            .await
            .is_ok_and(|read| read > 0)
        {}
    };
    tokio::time::timeout(WAIT_TIMEOUT, read)
        .await
        .expect("it closes");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_request_names_one_host() {
    let hub = Hub::start().await;
    for (head, status) in [
        ("HTTP/1.1\r\nHost: a.example", 200),
        ("HTTP/1.1\r\nHost: [::1]:80", 200),
        ("HTTP/1.0", 200),
        ("HTTP/1.1", 400),
        ("HTTP/1.1\r\nHost: a.example\r\nHost: a.example", 400),
        ("HTTP/1.1\r\nHost: a.example\r\nHost: b.example", 400),
        ("HTTP/1.1\r\nHost: ", 400),
        ("HTTP/1.1\r\nHost: a b", 400),
        ("HTTP/1.1\r\nHost: user@a.example", 400),
    ] {
        let answer = raw(
            &hub,
            &format!("GET /metrics {head}\r\nConnection: close\r\n\r\n"),
        )
        .await;
        let seen = answer.split(' ').nth(1).expect("a status");
        assert_eq!(seen, status.to_string(), "{head}: {answer}");
    }
}

#[tokio::test]
async fn the_operator_says_which_hosts_there_are() {
    let hub = Hub::with(|config| {
        config.allowed_hosts = vec!["hub.example".to_owned(), "[::1]".to_owned()];
    })
    .await;
    for (path, host, status) in [
        ("/docs/", "hub.example", 200),
        ("/docs/", "HUB.example:8080", 200),
        ("/docs/", "[::1]:8080", 200),
        ("/docs/", "evil.example", 400),
        ("/metrics", "127.0.0.1", 400),
        ("/api/v1/acme/companies", "evil.example", 400),
        ("/api/v1/acme/companies", "hub.example", 401),
        ("/readyz", "10.0.0.7", 200),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = raw(&hub, &request).await;
        let seen = answer.split(' ').nth(1).expect("a status");
        assert_eq!(seen, status.to_string(), "{path} {host}: {answer}");
    }
}

#[tokio::test]
async fn a_401_names_the_expected_credentials() {
    let hub = Hub::start().await;
    for path in [
        "/api/v1/acme/companies",
        "/api/v1/acme/communications/live",
        "/api/v3/sync/references/counterparties",
        "/api/1/webhooks/document-events/subscription/document-status-changed-event",
        "/rest/v1/service/integration_points",
        "/admin/v1/workspaces",
        "/hook/nobodys-token",
        "/exec",
        "/api/v1/nowhere",
    ] {
        let bare = hub.anonymous().get(path).await;
        assert_eq!(bare.status, 401, "{path}: {}", bare.text);
        let wanted = bare.header("www-authenticate");
        assert_eq!(wanted, Some("Bearer realm=\"prichal\""), "{path}");
        let wrong = hub.anonymous().bearer("wrong").get(path).await;
        let wanted = wrong.header("www-authenticate").unwrap_or_default();
        assert!(wanted.ends_with("error=\"invalid_token\""), "{path}");
        for answer in [bare, wrong] {
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
}

#[tokio::test]
async fn answers_with_a_token_are_not_cached() {
    let hub = Hub::start().await;
    hub.workspace("acme").await;
    let body = json!({ "name": "x", "role": "member" });
    let tokens = "/admin/v1/workspaces/acme/tokens";
    let made = hub.admin().post(tokens, body).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.header("cache-control"), Some("no-store"));
    assert_eq!(made.header("x-content-type-options"), Some("nosniff"));
    let gone = hub
        .admin()
        .delete(&format!("{tokens}/{}", made.str("id")))
        .await;
    assert_eq!(gone.status, 204);
    assert_eq!(
        (gone.header("content-type"), gone.header("content-length")),
        (None, None)
    );
}

#[tokio::test]
async fn unchanged_content_is_answered_with_304() {
    let pbx = TelephonyExchange::new().await;
    let file = pbx.upload("a.mp3").await;
    let space = pbx.api.clone();
    for (caller, path) in [
        (space, format!("/files/{file}")),
        (pbx.hub.anonymous(), "/docs/openapi.json".to_owned()),
        (pbx.hub.anonymous(), "/docs/".to_owned()),
        (pbx.hub.anonymous(), "/docs/swagger-ui-bundle.js".to_owned()),
        (pbx.hub.anonymous(), "/swagger/v3/swagger.json".to_owned()),
    ] {
        let first = caller.get(&path).await.ok();
        let tag = first.header("etag").expect("a tag").to_owned();
        assert!(!first.bytes.is_empty());
        let known = format!("\"other\", W/{tag}");
        let again = caller.clone().header("if-none-match", &known);
        for method in [Method::GET, Method::HEAD] {
            let answer = again.send(method, &path, None).await;
            assert_eq!((answer.status, answer.bytes.len()), (304, 0), "{path}");
            assert_eq!(answer.header("etag"), Some(tag.as_str()));
            assert_eq!(answer.header("content-type"), None);
            assert_eq!(answer.header("content-length"), None);
        }
        let other = caller.header("if-none-match", "\"other\"").get(&path).await;
        assert_eq!(other.ok().bytes, first.bytes);
    }
}

#[tokio::test]
async fn pages_are_not_framed_and_load_only_their_own() {
    let hub = Hub::start().await;
    for path in ["/docs/", "/swagger/", "/docs/swagger-initializer.js"] {
        let page = hub.anonymous().get(path).await.ok();
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(policy.contains("default-src 'none'"), "{policy}");
    }
    let page = hub.anonymous().get("/docs/").await.ok().text;
    assert!(
        !page.contains("<script>") && !page.contains("https://"),
        "{page}"
    );
    let check = hub.anonymous().get("/check/nothing").await;
    let policy = check.header("content-security-policy").expect("a policy");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
}

/// Every operation that takes a body, with a value for each of its parameters.
async fn operations(hub: &Hub) -> Vec<(String, String, Value)> {
    let api = hub.anonymous().get("/docs/openapi.json").await.ok();
    let mut found = Vec::new();
    for (path, item) in api["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            if ["post", "put", "patch"].contains(&method.as_str()) {
                let parts = path.split('/').map(|part| match part {
                    "{ws}" => "acme",
                    part if part.starts_with('{') => "0190a6a5-0000-7000-8000-000000000000",
                    part => part,
                });
                let path = parts.collect::<Vec<_>>().join("/");
                found.push((method.to_uppercase(), path, operation["security"].clone()));
            }
        }
    }
    assert!(found.len() > 50, "{}", found.len());
    // Its token is in the path, so the description asks for no other.
    let hook = "/hook/nobodys-token".to_owned();
    found.push(("POST".to_owned(), hook, Value::Null));
    found
}

#[tokio::test]
async fn a_refused_request_gets_no_100_continue() {
    // Each operation is called with a wrong token.
    let hub = Hub::with(|config| config.guess_limit.most = 0).await;
    hub.workspace("acme").await;
    let stranger = "Authorization: Bearer wrong\r\n";
    for (method, path, security) in operations(&hub).await {
        if [json!([]), json!([{}])].contains(&security) {
            continue;
        }
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\n{stranger}Expect: 100-continue\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\n"
        );
        let address = hub.url.strip_prefix("http://").expect("a URL");
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = [0; 12];
        let read = tokio::time::timeout(WAIT_TIMEOUT, stream.read_exact(&mut answer)).await;
        read.expect("in time").expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 401", "{method} {path}");
    }
}

#[tokio::test]
async fn a_declared_body_that_is_too_long_gets_no_100_continue() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let token = space.bearer_token();
    for (method, path, _) in operations(&hub).await {
        if path.starts_with("/admin/") {
            continue;
        }
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nExpect: 100-continue\r\nContent-Length: 99999999999\r\nContent-Type: multipart/form-data; boundary=edge\r\n\r\n"
        );
        let address = hub.url.strip_prefix("http://").expect("a URL");
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = [0; 10];
        let read = tokio::time::timeout(WAIT_TIMEOUT, stream.read_exact(&mut answer)).await;
        read.expect("in time").expect("an answer");
        assert_ne!(&answer, b"HTTP/1.1 1", "{method} {path}");
    }
}

#[tokio::test]
async fn a_script_does_not_rule_the_origin() {
    let era = ChannelWorkspace::new().await;
    for header in [
        "Set-Cookie",
        "Access-Control-Allow-Origin",
        "Clear-Site-Data",
    ] {
        let code = header.to_lowercase();
        let source = format!("respond(200, {{'{header}': 'x'}}, 'hi')");
        let channel = era.sync_channel(&code, &source).await;
        let answer = era.hook(&channel, json!({})).await;
        assert_eq!((answer.status, answer.header(header)), (500, None));
    }
    let channel = era
        .sync_channel(
            "empty",
            "respond(204, {'Content-Type': 'text/plain'}, 'hi')",
        )
        .await;
    let answer = era.hook(&channel, json!({})).await;
    assert_eq!((answer.status, answer.bytes.len()), (204, 0));
    assert_eq!(answer.header("content-type"), None);
}

#[tokio::test]
async fn named_origins_may_read_live_cards() {
    let hub =
        Hub::with(|config| config.allowed_origins = vec!["https://crm.example".to_owned()]).await;
    let space = hub.workspace("acme").await;
    let user = space
        .post("/users", json!({ "login": "a@x.kz" }))
        .await
        .ok()
        .str("id");
    let user = hub.user_token("acme", &user).await;
    let from = |origin: &str| user.clone().header("origin", origin);
    let answer = from("https://crm.example")
        .stream("/communications/live")
        .await;
    let allowed = answer.headers().get("access-control-allow-origin");
    assert_eq!(
        allowed.map(reqwest::header::HeaderValue::as_bytes),
        Some(&b"https://crm.example"[..])
    );
    let answer = from("https://evil.example")
        .stream("/communications/live")
        .await;
    assert_eq!(answer.headers().get("access-control-allow-origin"), None);
    assert_eq!(answer.headers()["vary"], "Origin");
    let answer = from("https://crm.example").get("/companies").await.ok();
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let asks = |origin: &str| from(origin).header("access-control-request-method", "GET");
    let allowed = asks("https://crm.example");
    let answer = allowed
        .send(Method::OPTIONS, "/communications/live", None)
        .await;
    assert_eq!(answer.status, 204);
    assert!(
        answer
            .header("access-control-allow-headers")
            .is_some_and(|names| names.contains("Authorization"))
    );
    let answer = asks("https://evil.example")
        .send(Method::OPTIONS, "/communications/live", None)
        .await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_ticket_opens_the_live_cards_once() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let other = hub.workspace("other").await;
    let user = space
        .post("/users", json!({ "login": "a@x.kz" }))
        .await
        .ok()
        .str("id");
    let caller = hub.user_token("acme", &user).await;
    let ticket = async || {
        let given = caller
            .post("/communications/live/ticket", json!({}))
            .await
            .ok();
        assert!(given.str("expiresAt").starts_with("2026-01-01T00:"));
        assert_eq!(given.header("cache-control"), Some("no-store"));
        format!("/communications/live?ticket={}", given.str("ticket"))
    };
    let bare = hub.anonymous().at("/api/v1/acme");
    let enter = async |path: &str| bare.stream(path).await.status().as_u16();

    let first = ticket().await;
    let elsewhere = hub.anonymous().at("/api/v1/other").stream(&first).await;
    assert_eq!(elsewhere.status(), 401, "it is for one workspace");
    let mut answer = bare.stream(&first).await;
    assert_eq!(answer.status(), 200);
    let opening = answer.chunk().await.expect("it goes on").expect("more");
    assert!(opening.starts_with(b": listening"));
    assert_eq!(enter(&first).await, 401, "it is used up");
    assert_eq!(enter("/communications/live?ticket=none").await, 401);
    assert_eq!(enter("/communications/live").await, 401);
    let second = ticket().await;
    assert_eq!(
        bare.get(&second.replace("/live?", "?")).await.status,
        401,
        "it opens nothing else"
    );
    assert_eq!(enter(&format!("{second}&lastEventId=x")).await, 400);

    let late = ticket().await;
    hub.advance(Duration::from_secs(61));
    assert_eq!(enter(&late).await, 401, "its minute is over");

    let many = [(); 17].map(|()| ());
    let mut tickets = Vec::new();
    for () in many {
        hub.advance(Duration::from_millis(1));
        tickets.push(ticket().await);
    }
    assert_eq!(enter(&tickets[0]).await, 401, "the oldest made room");
    assert_eq!(enter(&tickets[1]).await, 200);

    let dying = ticket().await;
    let tokens = "/admin/v1/workspaces/acme/tokens";
    let list = hub.admin().get(tokens).await.ok();
    let of_user = list["items"].as_array().expect("items").iter();
    let token = of_user
        .filter(|token| token["userId"] == user.as_str())
        .find_map(|token| token["id"].as_str())
        .expect("a token");
    hub.admin().delete(&format!("{tokens}/{token}")).await;
    assert_eq!(enter(&dying).await, 401, "it dies with its token");
    while answer.chunk().await.expect("a clean end").is_some() {}
    assert_eq!(
        other
            .post("/communications/live/ticket", json!({}))
            .await
            .status,
        403,
        "no user, no line"
    );
}
