//! The memory budget that all requests share.

use std::time::Duration;

use prichal::http::connection::STALL_TIMEOUT;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{
    channel_workspace::ChannelWorkspace,
    hub::{Caller, CapturedLog, Hub, eventually},
};

const KIB: usize = 1 << 10;

/// Sends bytes over a connection of their own.
async fn connect(hub: &Hub, bytes: &[u8]) -> TcpStream {
    let address = hub.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("it accepts");
    stream.write_all(bytes).await.expect("it reads");
    stream
}

fn head(line: &str, caller: &Caller, more: &str) -> Vec<u8> {
    let token = caller.bearer_token();
    format!("{line} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{more}\r\n")
        .into_bytes()
}

/// A request that declares a megabyte and sends this many bytes.
fn half_sent(caller: &Caller, workspace: &str, bytes: usize) -> Vec<u8> {
    let line = format!("POST /api/v1/{workspace}/companies");
    let mut all = head(&line, caller, "content-length: 1000000\r\n");
    all.resize(all.len() + bytes, b' ');
    all
}

async fn holds(hub: &Hub, least: usize) {
    eventually("memory is held", || async {
        (hub.app.memory.used() >= least).then_some(())
    })
    .await;
}

async fn holds_nothing(hub: &Hub) {
    eventually("nothing is held any more", || async {
        (hub.app.memory.used() == 0).then_some(())
    })
    .await;
}

/// A company of about 850 KB.
fn large(name: usize) -> Value {
    let fields = (0..950).map(|n| (format!("k{n}"), "y".repeat(890).into()));
    let fields: serde_json::Map<String, Value> = fields.collect();
    json!({ "name": name.to_string(), "customFields": fields })
}

#[tokio::test]
async fn half_sent_bodies_count_their_received_bytes_up_to_a_share() {
    let log = CapturedLog::new();
    let hub = Hub::with(|config| config.memory_budget = 1024 * KIB).await;
    let (one, other) = (hub.workspace("one").await, hub.workspace("other").await);
    let stream = connect(&hub, &half_sent(&one, "one", 200 * KIB)).await;
    holds(&hub, 200 * KIB).await;
    assert!(hub.app.memory.used() < 300 * KIB);

    let body = format!("{{\"name\":\"a\"{}}}", " ".repeat(100 * KIB)).into_bytes();
    let refused = one
        .send(reqwest::Method::POST, "/companies", Some(body.clone()))
        .await;
    assert_eq!(
        (refused.status, refused.str("status")),
        (503, "busy".to_owned())
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Clients may cause that any number of times.
    let again = one.send(reqwest::Method::POST, "/companies", Some(body.clone()));
    assert_eq!(again.await.status, 503);
    assert_eq!(log.count(&["WARN", "turned requests away"]), 1);
    assert!(!log.has("ERROR"));
    let taken = other
        .send(reqwest::Method::POST, "/companies", Some(body.clone()))
        .await;
    taken.ok();

    drop(stream);
    holds_nothing(&hub).await;
    one.send(reqwest::Method::POST, "/companies", Some(body))
        .await
        .ok();
    holds_nothing(&hub).await;
}

#[tokio::test]
async fn a_body_that_stops_coming_is_given_up() {
    let hub = Hub::start().await;
    let caller = hub.workspace("acme").await;
    let mut stream = connect(&hub, &half_sent(&caller, "acme", 100 * KIB)).await;
    holds(&hub, 100 * KIB).await;
    eventually("the body is given up", || async {
        hub.advance(Duration::from_secs(15));
        (hub.app.memory.used() == 0).then_some(())
    })
    .await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 408");
}

/// A quick beginning does not entitle to a slow end.
#[tokio::test]
async fn a_body_that_comes_too_slowly_is_given_up() {
    let hub = Hub::start().await;
    let mut sent =
        b"POST /check HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=edge\r\n\
        content-length: 16000000\r\n\r\n"
            .to_vec();
    sent.resize(sent.len() + 4096 * KIB, b' ');
    let stream = connect(&hub, &sent).await;
    holds(&hub, 4096 * KIB).await;
    let start = hub.app.clock.now();
    let mut answer = [0; 12];
    eventually("the body is given up", || {
        // It is never silent.
        let _ = stream.try_write(b" ");
        hub.advance(Duration::from_secs(1));
        let is_answered = stream
            .try_read(&mut answer)
            .is_ok_and(|length| length == 12);
        std::future::ready(is_answered.then_some(()))
    })
    .await;
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert!(hub.app.clock.now().since(start) >= Duration::from_secs(25));
    holds_nothing(&hub).await;
}

#[tokio::test]
async fn the_body_of_a_request_without_credentials_is_not_read() {
    let hub = Hub::start().await;
    hub.workspace("acme").await;
    let nobody = hub.anonymous().bearer("nobody");
    let mut stream = connect(&hub, &half_sent(&nobody, "acme", 20 * KIB)).await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 401");
    assert_eq!(hub.app.memory.used(), 0);
}

#[tokio::test]
async fn a_long_list_is_whole_and_is_held_in_pieces() {
    let hub = Hub::start().await;
    let caller = hub.workspace("acme").await;
    for n in 0..30 {
        caller.post("/companies", large(n)).await.ok();
    }
    let all = caller.get("/companies?limit=1000").await.ok();
    assert_eq!(all["count"], 30);
    let names = all["items"].as_array().expect("items").iter();
    let names: Vec<String> = names.map(|item| item["name"].to_string()).collect();
    let expected: Vec<String> = (0..30).map(|n| format!("\"{n}\"")).collect();
    assert_eq!(names, expected);
    let some = caller.get("/companies?offset=3&limit=4").await.ok();
    assert_eq!(some["items"].as_array().expect("items").len(), 4);
    assert_eq!(some["items"][3]["name"], "6");
    holds_nothing(&hub).await;

    // Unread lists hold one piece each, until they time out.
    let request = head("GET /api/v1/acme/companies?limit=1000", &caller, "");
    let mut unread = Vec::new();
    for _ in 0..4 {
        unread.push(connect(&hub, &request).await);
    }
    holds(&hub, 1024 * KIB).await;
    assert!(hub.app.memory.used() < 16 * 1024 * KIB);
    eventually("clients that do not read are given up", || async {
        hub.advance(STALL_TIMEOUT);
        (hub.app.memory.used() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_answer_without_room_is_refused_in_the_dialect() {
    let hub = Hub::with(|config| config.memory_budget = 2048 * KIB).await;
    let caller = hub.workspace("acme").await;
    let made = caller.post("/companies", large(1)).await.ok().str("id");
    let streams = [
        connect(&hub, &half_sent(&caller, "acme", 500 * KIB)).await,
        connect(&hub, &half_sent(&caller, "acme", 5 * KIB)).await,
    ];
    holds(&hub, 500 * KIB).await;
    let refused = caller.get(&format!("/companies/{made}")).await;
    assert_eq!(
        (refused.status, refused.str("status")),
        (503, "busy".to_owned())
    );
    // A committed change is answered.
    let operation = json!([{ "op": "replace", "path": "/name", "value": "b" }]);
    let changed = caller.patch(&format!("/companies/{made}"), operation).await;
    assert_eq!(changed.ok()["name"], "b");
    drop(streams);
    holds_nothing(&hub).await;
    caller.get(&format!("/companies/{made}")).await.ok();
}

/// A websocket of a channel, and the beginning of a message that does not end.
async fn begun(era: &ChannelWorkspace, token: &str, bytes: usize) -> TcpStream {
    let mut all = format!(
        "GET /ws/token/v1/{token} HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    .into_bytes();
    // A text that goes on, masked with zeros.
    all.extend([0x01, 0xff]);
    all.extend((bytes as u64).to_be_bytes());
    all.extend([0; 4]);
    all.resize(all.len() + bytes, b' ');
    connect(&era.hub, &all).await
}

#[tokio::test]
async fn fragments_of_messages_are_counted_and_have_to_end() {
    let hub = Hub::with(|config| config.memory_budget = 1024 * KIB).await;
    let era = ChannelWorkspace::at(hub).await;
    let channel = era.channel("c", json!({})).await;
    let mut first = begun(&era, &channel.token, 200 * KIB).await;
    holds(&era.hub, 200 * KIB).await;
    let mut second = begun(&era, &channel.token, 100 * KIB).await;
    let mut said = Vec::new();
    // The connection is reset after the goodbye: its message was not read.
    let _ = second.read_to_end(&mut said).await;
    let why = String::from_utf8_lossy(&said).into_owned();
    assert!(why.contains("the server has no memory for it now"), "{why}");

    eventually("the message is given up", || async {
        era.hub.advance(Duration::from_secs(30));
        (era.hub.app.memory.used() == 0).then_some(())
    })
    .await;
    let mut said = Vec::new();
    let _ = first.read_to_end(&mut said).await;
    let why = String::from_utf8_lossy(&said);
    assert!(why.contains("a message does not end"), "{why}");
}

#[tokio::test]
async fn an_address_has_so_many_connections() {
    let hub = Hub::with(|config| config.connections_per_address = 2).await;
    let first = connect(&hub, b"").await;
    let _second = connect(&hub, b"").await;
    let closed = |mut stream: TcpStream| async move {
        let health = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
        let sent = stream.write_all(health).await;
        let mut answer = [0; 12];
        sent.is_err() || stream.read_exact(&mut answer).await.is_err()
    };
    assert!(closed(connect(&hub, b"").await).await);
    drop(first);
    eventually("there is a place again", || async {
        (!closed(connect(&hub, b"").await).await).then_some(())
    })
    .await;
}

/// A connection from another address of this machine.
async fn connect_from(hub: &Hub, address: [u8; 4]) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind((address, 0).into())
        .expect("an address of this machine");
    let to = hub.url.strip_prefix("http://").expect("a URL");
    let to = to.parse().expect("an address");
    socket.connect(to).await.expect("it listens")
}

/// Sends a request over a connection; false if it is closed.
async fn is_served(stream: &mut TcpStream) -> bool {
    let health = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    if stream.write_all(health).await.is_err() {
        return false;
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok") {
        let mut part = [0; 512];
        match stream.read(&mut part).await {
            Ok(count) if count > 0 => answer.extend_from_slice(&part[..count]),
            _ => return false,
        }
    }
    true
}

/// A crowd of connections locks out no other address: the address with the most loses its idlest one.
#[tokio::test]
async fn a_crowd_of_connections_locks_out_no_address() {
    let hub = Hub::with(|config| config.connections = 8).await;
    let (one, other, newcomer) = ([127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 4]);
    let mut many = Vec::new();
    for _ in 0..6 {
        let mut stream = connect_from(&hub, one).await;
        assert!(is_served(&mut stream).await);
        many.push(stream);
    }
    // The first was used since, so that the second is the idlest.
    assert!(is_served(&mut many[0]).await);
    let mut few = Vec::new();
    for _ in 0..3 {
        let mut stream = connect_from(&hub, other).await;
        assert!(is_served(&mut stream).await);
        few.push(stream);
    }
    // Nine connections for eight places, of which the harness holds at most one.
    assert!(!is_served(&mut many[1]).await);
    let mut stream = connect_from(&hub, newcomer).await;
    assert!(is_served(&mut stream).await);
    for kept in few.iter_mut().chain([&mut many[0]]) {
        assert!(is_served(kept).await);
    }
}

/// A quiet stream of events is an answer in progress: idle connections of its address go first.
#[tokio::test]
async fn an_answer_that_streams_is_not_displaced_before_idle_connections() {
    let hub = Hub::with(|config| config.connections = 5).await;
    let space = hub.workspace("acme").await;
    let user = space
        .post("/users", json!({ "login": "a@x.kz" }))
        .await
        .ok()
        .str("id");
    let user = hub.user_token("acme", &user).await;
    let mut events = connect_from(&hub, [127, 0, 0, 5]).await;
    let follow = head("GET /api/v1/acme/communications/live", &user, "");
    events.write_all(&follow).await.expect("it reads");
    let mut opening = Vec::new();
    while !String::from_utf8_lossy(&opening).contains(": listening") {
        assert!(events.read_buf(&mut opening).await.expect("it goes on") > 0);
    }
    let mut idle = Vec::new();
    for _ in 0..3 {
        let mut stream = connect_from(&hub, [127, 0, 0, 5]).await;
        assert!(is_served(&mut stream).await);
        idle.push(stream);
    }
    // Six connections for five places, of which the harness holds at most one.
    let mut newcomers = Vec::new();
    for last in [6, 7] {
        let mut stream = connect_from(&hub, [127, 0, 0, last]).await;
        assert!(is_served(&mut stream).await);
        newcomers.push(stream);
    }
    assert!(!is_served(&mut idle[0]).await, "the idlest has gone");
    let mut more = [0; 1];
    let next = tokio::time::timeout(Duration::ZERO, events.read(&mut more)).await;
    assert!(
        !matches!(next, Ok(Ok(0) | Err(_))),
        "the stream goes on: {next:?}"
    );
}

/// If all addresses have as many connections, the idlest of all goes, whatever its address.
#[tokio::test]
async fn an_upload_is_not_displaced_before_silent_connections_of_other_addresses() {
    let hub = Hub::with(|config| config.connections = 5).await;
    let caller = hub.workspace("acme").await;
    let mut upload = connect_from(&hub, [127, 0, 0, 200]).await;
    let begun = half_sent(&caller, "acme", 100 * KIB);
    upload.write_all(&begun).await.expect("it reads");
    holds(&hub, 100 * KIB).await;
    let mut silent = Vec::new();
    for last in 10..13 {
        let mut stream = connect_from(&hub, [127, 0, 0, last]).await;
        assert!(is_served(&mut stream).await);
        silent.push(stream);
    }
    for last in 13..16 {
        let mut newcomer = connect_from(&hub, [127, 0, 0, last]).await;
        assert!(is_served(&mut newcomer).await);
        silent.push(newcomer);
    }
    assert!(!is_served(&mut silent[0]).await, "the idlest has gone");
    let sent = upload.write_all(&vec![b' '; 1_000_000 - 100 * KIB]).await;
    assert!(sent.is_ok(), "{sent:?}");
    let mut answer = [0; 12];
    let read = upload.read_exact(&mut answer).await;
    assert!(
        read.is_ok() && answer.starts_with(b"HTTP/1.1 4"),
        "{read:?}"
    );
}

#[tokio::test]
async fn memory_in_use_is_shown() {
    let hub = Hub::start().await;
    let caller = hub.workspace("acme").await;
    let _stream = connect(&hub, &half_sent(&caller, "acme", 100 * KIB)).await;
    holds(&hub, 100 * KIB).await;
    let shown = hub.admin().get("/metrics").await.text;
    let line = shown.lines().find(|line| line.contains("use=\"body\""));
    let line = line.expect("it is shown");
    assert!(line.starts_with("prichal_memory_budget_bytes"), "{line}");
}
