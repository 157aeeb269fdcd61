//! Calls to the outside through a forward proxy.

use std::{sync::Arc, time::Duration};

use prichal::config::{Config, HostPattern};
use serde_json::{Value, json};

use crate::harness::{
    channel_workspace::{ChannelWorkspace, POINTS},
    forward_proxy::{Connect, ForwardProxy, Tunnel},
    hub::{CapturedLog, Hub, eventually},
    integration::{Integration, company},
    receiver::{Call, Receiver, Reply},
};

/// Spellings of hosts in the operator's own network. `localhost` is in the hosts file of every system.
const INSIDE: [&str; 30] = [
    "127.0.0.1",
    "127.1",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "127.0.0.1.",
    "0.0.0.0",
    "0",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[::ffff:0:127.0.0.1]",
    "localhost",
    "LOCALHOST",
    "127。0。0。1",
    "①②⑦.0.0.1",
    "%31%32%37.0.0.1",
    "169.254.169.254",
    "100.100.100.200",
    "[fd00:ec2::254]",
    "192.168.0.1",
    "10.0.0.1",
    "255.255.255.255",
];

fn patterns(texts: &[&str]) -> Vec<HostPattern> {
    let parse = |text: &&str| HostPattern::parse(text).expect("a pattern");
    texts.iter().map(parse).collect()
}

/// A server whose calls take a way through the proxy, with more settings.
async fn hub_behind(
    proxy: &ForwardProxy,
    change: impl Fn(&mut Config) + Send + Sync + 'static,
) -> Hub {
    let url = proxy.url.clone();
    Hub::with(move |config| {
        config.egress_proxy = Some(url.clone().into());
        change(config);
    })
    .await
}

fn address(receiver: &Receiver) -> String {
    receiver.url.trim_start_matches("http://").to_owned()
}

/// The error of a test call, or nothing after a success.
async fn error_of_test(integration: &Integration, hook: &str) -> Value {
    let path = format!("{}/webHooks/{hook}/test", integration.instance());
    let tested = integration.space.post(&path, json!({})).await.ok();
    tested["error"].clone()
}

#[tokio::test]
async fn calls_of_every_kind_go_through_the_proxy() {
    let (proxy, receiver) = (ForwardProxy::open().await, Receiver::good().await);
    let era = ChannelWorkspace::at(hub_behind(&proxy, |_| ()).await).await;
    let integration = Integration::install(&era.space, "listener", &receiver.url).await;
    integration.subscribe().await;
    company(&era.space, "A").await;
    assert_eq!(receiver.next().await.path, "/callbacks");
    assert_eq!(proxy.destinations(), [address(&receiver)]);

    let channel = era.channel("out", json!({ "url": receiver.url })).await;
    let send = format!("{POINTS}/{}/send", channel.id);
    era.rest.post(&send, json!({ "text": "hi" })).await.ok();
    assert_eq!(receiver.next().await.json(), json!({ "text": "hi" }));
    assert_eq!(proxy.destinations().len(), 2);

    receiver.answer(|_| Reply::Body(b"{}".to_vec()));
    let script = "respond((await fetch(request.entity.url, { method: 'POST', body: '1' })).status)";
    let channel = era.sync_channel("in", script).await;
    let path = format!("{POINTS}/{}", channel.id);
    era.change(&path, json!({ "url": receiver.url })).await.ok();
    era.hook(&channel, json!({})).await.ok();
    assert_eq!(receiver.next().await.body, "1");
    assert_eq!(proxy.destinations().len(), 3);
}

#[tokio::test]
async fn a_connection_through_the_proxy_is_used_again() {
    let (proxy, receiver) = (ForwardProxy::open().await, Receiver::good().await);
    let hub = hub_behind(&proxy, |_| ()).await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    integration.subscribe().await;
    for n in 0..5 {
        company(&space, &n.to_string()).await;
        receiver.next().await;
        integration.attempts(n + 1).await;
    }
    assert_eq!(proxy.destinations(), [address(&receiver)]);
    let head = &proxy.seen()[0].head;
    let host = address(&receiver);
    let expected = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    assert_eq!(*head, expected);
}

#[tokio::test]
async fn a_failure_of_the_proxy_is_a_failed_attempt() {
    let receiver = Receiver::good().await;
    let answers = Arc::new(std::sync::Mutex::new(""));
    let shared = answers.clone();
    let proxy =
        ForwardProxy::start(
            move |connect: &Connect| match *shared.lock().expect("no panic") {
                "" => Tunnel::To(connect.destination.clone()),
                bytes => Tunnel::Say(bytes),
            },
        )
        .await;
    let hub = hub_behind(&proxy, |_| ()).await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let hook = integration.subscribe().await;
    for (bytes, words) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\nno",
            "the proxy wants credentials (407)",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\n\r\n",
            "the proxy denies this destination (403)",
        ),
        (
            "HTTP/1.0 502 Bad Gateway\r\n\r\n<h1>502</h1>",
            "the proxy cannot reach the host (502)",
        ),
        ("HTTP/1.1 302 Found\r\n\r\n", "the proxy answered 302"),
        (
            "HTTP/1.1 200 OK\r\n\r\nearly",
            "the answer of the proxy is not one to CONNECT",
        ),
        (
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "the answer of the proxy is not one to CONNECT",
        ),
        ("HTTP/1.1 20", "the proxy closed the connection"),
    ] {
        *answers.lock().expect("no panic") = bytes;
        let error = error_of_test(&integration, &hook).await;
        assert_eq!(error, format!("no connection through the proxy: {words}"));
    }
    company(&space, "A").await;
    let attempts = integration.attempts(1).await;
    assert_eq!(attempts[0]["status"], "deferred");
    let error = attempts[0]["error"].as_str().expect("a reason");
    assert!(error.contains("the proxy closed"), "{error}");
    assert_eq!(receiver.waiting(), 0);
    *answers.lock().expect("no panic") = "";
    hub.advance(Duration::from_secs(30));
    assert_eq!(receiver.next().await.path, "/callbacks");
}

#[tokio::test]
async fn a_proxy_that_is_away_is_named() {
    let away = ForwardProxy::open().await.url.clone();
    let hub = Hub::with(move |config| config.egress_proxy = Some(away.clone().into())).await;
    let space = hub.workspace("acme").await;
    let receiver = Receiver::good().await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let hook = integration.subscribe().await;
    assert_eq!(
        error_of_test(&integration, &hook).await,
        "no connection through the proxy: refused by the proxy"
    );
}

#[tokio::test]
async fn the_proxy_gets_its_credentials_and_nobody_else_does() {
    let log = CapturedLog::new();
    let expected = "Proxy-Authorization: Basic bHVpczpodW50ZXIy\r\n";
    let proxy = ForwardProxy::start(move |connect: &Connect| {
        if connect.head.contains(expected) && connect.destination.ends_with(":81") {
            Tunnel::Say("HTTP/1.1 407 No\r\n\r\n")
        } else {
            Tunnel::To(connect.destination.clone())
        }
    })
    .await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("credentials");
    std::fs::write(&file, "luis:hunter2\n").expect("written");
    let hub = hub_behind(&proxy, move |config| {
        config.egress_proxy_credentials_file = Some(file.clone());
    })
    .await;
    let space = hub.workspace("acme").await;
    let receiver = Receiver::good().await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let hook = integration.subscribe().await;
    assert_eq!(error_of_test(&integration, &hook).await, Value::Null);
    assert!(proxy.seen()[0].head.contains(expected));
    let call = receiver.next().await;
    assert_eq!(call.header("proxy-authorization"), None);

    let refused = Integration::install(&space, "refused", "http://127.0.0.1:81").await;
    let hook = refused.subscribe().await;
    assert_eq!(
        error_of_test(&refused, &hook).await,
        "no connection through the proxy: the proxy refuses the credentials (407)"
    );
    for secret in ["hunter2", "bHVpczpodW50ZXIy"] {
        assert!(!log.has(secret));
    }
}

#[tokio::test]
async fn hosts_past_the_proxy_are_called_directly() {
    let proxy = ForwardProxy::open().await;
    let hub = hub_behind(&proxy, |config| {
        config.egress_proxy_bypass = patterns(&["127.0.0.0/8", "::1"]);
    })
    .await;
    let space = hub.workspace("acme").await;
    let receiver = Receiver::good().await;
    let port = receiver.url.rsplit(':').next().expect("a port").to_owned();
    for (n, host) in ["127.0.0.1", "localhost"].iter().enumerate() {
        let url = format!("http://{host}:{port}");
        let integration = Integration::install(&space, &format!("i{n}"), &url).await;
        let hook = integration.subscribe().await;
        assert_eq!(error_of_test(&integration, &hook).await, Value::Null);
        receiver.next().await;
    }
    assert!(proxy.seen().is_empty());
}

#[tokio::test]
async fn a_proxy_that_resolves_names_reaches_only_the_listed_hosts() {
    let receiver = Receiver::good().await;
    let to = address(&receiver);
    let proxy = ForwardProxy::start(move |_: &Connect| Tunnel::To(to.clone())).await;
    let hub = hub_behind(&proxy, |config| {
        config.allow_private_targets = false;
        config.egress_proxy_resolves = patterns(&["*.crm.example", "crm.example", "10.0.0.0/8"]);
    })
    .await;
    let space = hub.workspace("acme").await;
    let unlisted = "refused: the host is not one of those that the proxy may resolve";
    for (n, (host, error)) in [
        ("bot.crm.example", None),
        ("crm.example:8080", None),
        ("bot.crm.example.", None),
        ("other.example", Some(unlisted)),
        ("notcrm.example", Some(unlisted)),
        ("8.8.8.8", Some(unlisted)),
        ("localhost", Some(unlisted)),
        // Listed or not, an address is checked.
        ("10.0.0.1", Some("refused: private address 10.0.0.1")),
    ]
    .into_iter()
    .enumerate()
    {
        let (name, url) = (format!("i{n}"), format!("http://{host}"));
        let integration = Integration::install(&space, &name, &url).await;
        let hook = integration.subscribe().await;
        let found = error_of_test(&integration, &hook).await;
        assert_eq!(found.as_str(), error, "{host}");
    }
    let calls = receiver.take(3).await;
    let hosts: Vec<_> = calls
        .iter()
        .filter_map(|call| call.header("host"))
        .collect();
    assert_eq!(
        hosts,
        ["bot.crm.example", "crm.example:8080", "bot.crm.example."]
    );
    assert_eq!(
        proxy.destinations(),
        [
            "bot.crm.example:80",
            "crm.example:8080",
            "bot.crm.example.:80"
        ]
    );
}

/// Tries to reach `port` of this machine by all doors and spellings.
async fn knock(era: &ChannelWorkspace, port: &str) {
    let urls: Vec<String> = INSIDE
        .iter()
        .map(|host| format!("http://{host}:{port}/"))
        .collect();
    let script = "
        const said = [];
        for (const url of [request.entity.url, request.entity.url.replace('http:', 'https:')]) {
          try { said.push('GOT ' + (await fetch(url)).status) } catch (error) { said.push(String(error)) }
        }
        respond(200, {}, said)";
    let channel = era.sync_channel("door", script).await;
    let path = format!("{POINTS}/{}", channel.id);
    for (n, url) in urls.iter().enumerate() {
        era.change(&path, json!({ "url": url })).await.ok();
        let fetched = era.hook(&channel, json!({})).await.ok().text;
        assert!(!fetched.contains("GOT"), "{url}: {fetched}");
        era.rest.post(&format!("{path}/send"), json!({})).await.ok();
        let found = eventually("an attempt", || async {
            let sent = era.rest.get(&format!("{path}/deliveries")).await.ok();
            let items = sent["items"].as_array().expect("items").clone();
            (items.len() > n).then(|| items[0].clone())
        })
        .await;
        let error = found["error"].as_str().expect("a reason");
        assert!(is_refused(error), "{url}: {error}");

        // Some spellings are no URL of an integration in the first place.
        let manifest = json!({ "name": format!("t{n}"), "version": "1.0", "baseUrl": url });
        let made = era.space.post("/private-integrations", manifest).await;
        if made.status == 400 {
            assert!(made.text.contains("baseUrl"), "{url}: {}", made.text);
            continue;
        }
        let integration = Integration::install(&era.space, &format!("i{n}"), url).await;
        let hook = integration.subscribe().await;
        let error = error_of_test(&integration, &hook).await;
        let error = error.as_str().expect("a reason");
        assert!(is_refused(error), "{url}: {error}");
    }
}

fn is_refused(error: &str) -> bool {
    error.starts_with("refused: ") || error.contains("could not be resolved")
}

#[tokio::test]
async fn the_guard_holds_in_front_of_a_proxy() {
    let receiver = Receiver::good().await;
    let port = receiver.url.rsplit(':').next().expect("a port");
    for resolves in [&[][..], &["*.crm.example", "0.0.0.0/0", "::/0"]] {
        let proxy = ForwardProxy::open().await;
        let hub = hub_behind(&proxy, |config| {
            config.allow_private_targets = false;
            config.egress_proxy_resolves = patterns(resolves);
            config.egress_proxy_bypass = patterns(&["127.0.0.1"]);
        })
        .await;
        knock(&ChannelWorkspace::at(hub).await, port).await;
        assert_eq!(proxy.destinations(), [""; 0]);
        assert_eq!(receiver.waiting(), 0);
    }
}

/// A real proxy, which `./test` starts: its URL, and a file with its credentials.
fn real_proxy(config: &mut Config) {
    let variable = |name: &str| std::env::var(name).expect("./test sets it");
    config.egress_proxy = Some(variable("PRICHAL_TEST_PROXY").into());
    config.egress_proxy_credentials_file = Some(variable("PRICHAL_TEST_PROXY_CREDENTIALS").into());
}

#[tokio::test]
#[ignore = "needs tinyproxy; ./test has it"]
async fn receivers_behind_a_real_proxy_get_their_calls() {
    let receiver = Receiver::good().await;
    let hub = Hub::with(real_proxy).await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let hook = integration.subscribe().await;
    for n in 0..20 {
        company(&space, &n.to_string()).await;
    }
    let calls: Vec<Call> = receiver.take(20).await;
    assert_eq!(calls[0].header("host"), Some(address(&receiver).as_str()));
    assert_eq!(calls[0].header("via"), None, "it is a tunnel");
    drop(receiver);
    let error = error_of_test(&integration, &hook).await;
    let error = error.as_str().expect("a reason");
    assert!(error.contains("proxy cannot reach the host (5"), "{error}");

    let hub = Hub::with(|config| {
        real_proxy(config);
        config.egress_proxy_credentials_file = None;
    })
    .await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", "http://127.0.0.1:9").await;
    let hook = integration.subscribe().await;
    assert_eq!(
        error_of_test(&integration, &hook).await,
        "no connection through the proxy: the proxy wants credentials (407)"
    );
}

#[tokio::test]
#[ignore = "needs tinyproxy; ./test has it"]
async fn the_guard_holds_in_front_of_a_real_proxy() {
    let receiver = Receiver::good().await;
    let port = receiver.url.rsplit(':').next().expect("a port");
    for resolves in [&[][..], &["*.crm.example", "0.0.0.0/0", "::/0"]] {
        let hub = Hub::with(|config| {
            real_proxy(config);
            config.allow_private_targets = false;
            config.egress_proxy_resolves = patterns(resolves);
        })
        .await;
        knock(&ChannelWorkspace::at(hub).await, port).await;
        assert_eq!(receiver.waiting(), 0);
    }
}
