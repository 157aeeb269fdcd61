//! The stream of a workspace (`docs/contracts/prichal.md §6.4`).

use std::time::Duration;

use prichal::domain::stream::{self, topic::Topic};
use prichal_core::id::WorkspaceId;
use serde_json::json;

use crate::harness::{
    channel_workspace::ChannelWorkspace,
    document_subscriber::{BIN, company as subscriber},
    event_stream::{EventStream, Message},
    hub::{Caller, Hub, Installation, eventually},
    integration::{Integration, company},
    receiver::{Receiver, Reply},
    telephony_exchange::TelephonyExchange,
};

const EVENTS: &str = "/stream?topics=events";

fn name_of(message: &Message) -> String {
    let name = &message.data["changeData"]["new"]["name"];
    name.as_str().unwrap_or_default().to_owned()
}

/// The next events of a stream must be about companies with these names.
async fn expect_companies(stream: &mut EventStream, names: impl IntoIterator<Item = String>) {
    for name in names {
        let message = stream.next().await;
        assert_eq!((message.name.as_str(), name_of(&message)), ("event", name));
    }
}

async fn companies(space: &Caller, numbers: std::ops::Range<u32>) {
    for n in numbers {
        company(space, &n.to_string()).await;
    }
}

fn names(numbers: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    numbers.map(|n| n.to_string())
}

async fn workspace_id(hub: &Hub, name: &str) -> WorkspaceId {
    let list = hub.admin().get("/admin/v1/workspaces").await.ok();
    let items = list["items"].as_array().expect("items").iter();
    let id = items
        .filter(|item| item["name"] == name)
        .find_map(|item| item["id"].as_str());
    WorkspaceId::parse(id.expect("a workspace")).expect("an id")
}

async fn revoke(hub: &Hub, token: &str) {
    let tokens = "/admin/v1/workspaces/acme/tokens";
    let list = hub.admin().get(tokens).await.ok();
    let found = list["items"].as_array().expect("items").iter();
    let id = found
        .filter(|item| item["name"] == token)
        .find_map(|item| item["id"].as_str());
    let path = format!("{tokens}/{}", id.expect("a token"));
    hub.admin().delete(&path).await;
}

#[tokio::test]
async fn the_log_is_followed_and_resumed_without_a_gap() {
    let hub = Hub::start().await;
    let (space, other) = (hub.workspace("acme").await, hub.workspace("other").await);
    companies(&space, 0..3).await;
    let mut stream = EventStream::open(&space, EVENTS).await;
    let opening = stream.block().await.expect("a comment");
    assert!(opening.starts_with(":\nid: "), "{opening}");
    company(&other, "not theirs").await;
    companies(&space, 3..5).await;
    let first = stream.next().await;
    assert_eq!(name_of(&first), "3");
    expect_companies(&mut stream, names(4..5)).await;
    // The feed has the same events under the same ids.
    let feed = space
        .get(&format!("/events?offset={}", first.id))
        .await
        .ok();
    assert_eq!(feed["count"], 1);
    drop(stream);
    companies(&space, 5..60).await;
    let resumed = space.clone().header("last-event-id", &first.id);
    let mut stream = EventStream::open(&resumed, EVENTS).await;
    expect_companies(&mut stream, names(4..60)).await;
    companies(&space, 60..62).await;
    expect_companies(&mut stream, names(60..62)).await;
    drop(stream);

    let hub = hub.restart().await;
    let space = hub.adopt(&space);
    let path = format!("{EVENTS}&lastEventId={}", first.id);
    let mut stream = EventStream::open(&space, &path).await;
    company(&space, "62").await;
    expect_companies(&mut stream, names(4..63)).await;
    // A large event comes whole, and those after it.
    let large = "x".repeat(100_000);
    for name in [&large, "after"] {
        company(&space, name).await;
    }
    expect_companies(&mut stream, [large, "after".to_owned()]).await;
    hub.stop().await;
    stream.end().await;
}

#[tokio::test]
async fn a_stream_ends_after_ten_minutes_and_the_next_one_misses_nothing() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let mut stream = EventStream::open(&space, EVENTS).await;
    company(&space, "0").await;
    expect_companies(&mut stream, names(0..1)).await;
    hub.advance(Duration::from_secs(599));
    company(&space, "1").await;
    let mut last = stream.next().await;
    assert_eq!(name_of(&last), "1");
    // Some of these may be sent before the end.
    companies(&space, 2..5).await;
    hub.advance(Duration::from_secs(1));
    while let Some(message) = stream.next_or_end().await {
        last = message;
    }
    let seen: u32 = name_of(&last).parse().expect("a number");
    companies(&space, 5..8).await;
    let resumed = space.clone().header("last-event-id", &last.id);
    let mut stream = EventStream::open(&resumed, EVENTS).await;
    expect_companies(&mut stream, names(seen + 1..8)).await;
    hub.advance(Duration::from_mins(10));
    stream.end().await;
}

#[tokio::test]
async fn calls_are_a_view_of_the_log() {
    let pbx = TelephonyExchange::new().await;
    let mut calls = EventStream::open(&pbx.space, "/stream?topics=calls,runs").await;
    let mut all = EventStream::open(&pbx.space, EVENTS).await;
    company(&pbx.space, "before").await;
    assert_eq!(all.next().await.name, "event");
    let id = pbx.started("1").await.ok().str("id");
    for stream in [&mut calls, &mut all] {
        let message = stream.next().await;
        assert_eq!(message.name, "call");
        assert_eq!(message.data["entityIds"]["communicationId"], json!(id));
    }
}

#[tokio::test]
async fn rights_are_needed_for_topics() {
    let hub = Hub::start().await;
    let acme = subscriber(&hub, "acme", BIN).await;
    let space = hub.token("acme", "admin").await;
    let rights = json!({ "login": "dana", "firstName": "Dana", "permissions": ["DOCUMENT_VIEW"] });
    let dana = space.post("/users", rights).await.ok().str("id");
    let (member, viewer) = (
        hub.token("acme", "member").await,
        hub.user_token("acme", &dana).await,
    );
    let integration = Integration::install(&space, "listener", "https://example.org").await;
    let key = space.access_key(&integration.access_key().await);
    let stranger = hub.workspace("other").await.at("/api/v1/acme");
    for (caller, topics, status) in [
        (&member, "documents", 403),
        (&member, "events,deliveries", 403),
        (&member, "states", 403),
        (&viewer, "runs", 403),
        (&key, "events", 403),
        (&stranger, "events", 403),
        (&hub.anonymous().at("/api/v1/acme"), "events", 401),
        (&stranger, "event", 403),
        (&hub.anonymous().at("/api/v1/acme"), "event", 401),
        (&space, "event", 400),
        (&space, "", 400),
    ] {
        let path = format!("/stream?topics={topics}");
        assert_eq!(caller.get(&path).await.status, status, "{topics}");
        let ticket = format!("/stream/ticket?topics={topics}");
        let refused = caller.post(&ticket, json!({})).await;
        assert_eq!(refused.status, status, "{topics}: {}", refused.text);
    }
    let mut admin = EventStream::open(&space, "/stream?topics=documents,states").await;
    let mut server = EventStream::open(&hub.admin().at("/api/v1/acme"), EVENTS).await;
    let mut viewers = EventStream::open(&viewer, "/stream?topics=documents").await;
    let mut members = EventStream::open(&member, EVENTS).await;
    acme.draft(&hub, "1").await;
    company(&space, "after").await;
    for stream in [&mut admin, &mut server, &mut viewers] {
        assert_eq!(stream.next().await.name, "document");
    }
    assert_eq!(name_of(&members.next().await), "after", "no document");
    // A right that is lost ends the stream.
    let operations = json!([{ "op": "replace", "path": "/permissions", "value": [] }]);
    space
        .patch(&format!("/users/{dana}"), operations)
        .await
        .ok();
    viewers.end().await;
    // So does the end of a token, and of the workspace.
    let token = hub
        .token_with("acme", json!({ "name": "short", "role": "admin" }))
        .await;
    let mut short = EventStream::open(&token, "/stream?topics=events,runs").await;
    revoke(&hub, "short").await;
    short.end().await;
    hub.admin().delete("/admin/v1/workspaces/acme").await;
    for stream in [&mut admin, &mut server, &mut members] {
        stream.end().await;
    }
}

#[tokio::test]
async fn deliveries_and_states_are_told_as_they_happen() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let hook = integration.subscribe().await;
    let topics = "/stream?topics=deliveries,states";
    let mut stream = EventStream::open(&space, topics).await;
    let other = hub.workspace("other").await;
    let mut others = EventStream::open(&other, topics).await;
    company(&space, "first").await;
    receiver.next().await;
    let mut told = stream.next().await;
    if told.name == "state" {
        // The webhook was added a moment ago.
        assert_eq!(told.data["state"], "working");
        told = stream.next().await;
    }
    assert_eq!(told.name, "delivery");
    assert_eq!(told.id, "", "it cannot be resumed from");
    assert_eq!(told.data["webHookId"], json!(hook));
    assert_eq!(told.data["status"], "deferred");
    assert_eq!(told.data["httpStatus"], 500);
    let told = stream.next().await;
    assert_eq!(told.name, "state");
    assert_eq!(told.data["id"], json!(hook));
    assert_eq!(told.data["integrationId"], json!(integration.id));
    assert_eq!(told.data["state"], "failing");
    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_secs(30));
    let told = stream.next().await;
    assert_eq!(told.data["status"], "delivered");
    let told = stream.next().await;
    assert_eq!(told.data["state"], "working");
    integration
        .patch(json!([{ "op": "replace", "path": format!("/webHooks/{hook}/disabled"), "value": true }]))
        .await
        .ok();
    loop {
        let told = stream.next().await;
        if told.data["state"] == "switchedOff" {
            break;
        }
    }
    // The other workspace gets its own messages only.
    Integration::install(&other, "listener", &receiver.url)
        .await
        .subscribe()
        .await;
    company(&other, "own").await;
    loop {
        let told = others.next().await;
        assert_ne!(told.data["webHookId"], json!(hook));
        assert_ne!(told.data["id"], json!(hook));
        if told.name == "delivery" {
            break;
        }
    }
}

#[tokio::test]
async fn runs_are_told_as_they_happen() {
    let workspace = ChannelWorkspace::new().await;
    let mut stream = EventStream::open(&workspace.space, "/stream?topics=runs").await;
    let queued = workspace
        .queued_channel("queued", "throw new Error('not today')")
        .await;
    let sync = workspace.sync_channel("sync", "kv.set('a', 1)").await;
    workspace.hook(&queued, json!({})).await;
    let told = stream.next().await;
    assert_eq!(told.data["code"], "queued");
    assert_eq!(told.data["status"], "deferred");
    assert_eq!(told.data["channelId"], json!(queued.id));
    let error = told.data["error"].as_str().expect("a reason");
    assert!(error.contains("not today"), "{error}");
    workspace.hook(&sync, json!({})).await.ok();
    let told = stream.next().await;
    let run = workspace.run("sync", "finished").await;
    assert_eq!(told.data["id"], run["id"]);
    assert_eq!(told.data["status"], "finished");
}

/// The server runs in the test's thread, so it sends nothing between two messages.
#[tokio::test]
async fn a_listener_that_is_too_slow_is_told_what_it_has_missed() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let workspace = workspace_id(&hub, "acme").await;
    let mut stream = EventStream::open(&space, "/stream?topics=runs,events").await;
    stream.block().await.expect("the comment");
    for n in 0..1000 {
        let text = || json!({ "n": n }).to_string();
        stream::tell(&hub.app, workspace, Topic::Runs, text);
    }
    let missed = stream.next().await;
    assert_eq!(missed.name, "missed");
    let count = missed.data["count"].as_i64().expect("a number");
    assert_eq!(missed.data, json!({ "topic": "runs", "count": count }));
    assert!(count > 0, "the queue is bounded");
    for n in count..1000 {
        let told = stream.next_unchecked().await;
        assert_eq!(
            (told.name.as_str(), &told.data),
            ("run", &json!({ "n": n }))
        );
    }
    // The log goes on, and was complete.
    company(&space, "after").await;
    assert_eq!(name_of(&stream.next().await), "after");
}

#[tokio::test]
async fn a_ticket_is_good_once_and_for_its_stream() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let other = hub.workspace("other").await;
    let page = hub.anonymous().at("/api/v1/acme");
    let ticket = async |topics: &str| {
        let path = format!("/stream/ticket?topics={topics}");
        space.post(&path, json!({})).await.ok().str("ticket")
    };
    let status = async |path: String| page.stream(&path).await.status().as_u16();
    let good = ticket("events,runs").await;
    let mut stream = EventStream::open(&page, &format!("/stream?ticket={good}")).await;
    company(&space, "one").await;
    assert_eq!(name_of(&stream.next().await), "one");
    assert_eq!(status(format!("/stream?ticket={good}")).await, 401, "twice");
    let narrower = ticket("events,runs").await;
    let path = format!("/stream?ticket={narrower}&topics=runs");
    assert_eq!(status(path).await, 200);
    let wider = ticket("events").await;
    let path = format!("/stream?ticket={wider}&topics=events,runs");
    assert_eq!(status(path).await, 403);
    let late = ticket("events").await;
    hub.advance(Duration::from_secs(61));
    assert_eq!(status(format!("/stream?ticket={late}")).await, 401);
    let elsewhere = ticket("events").await;
    let answer = hub.anonymous().at("/api/v1/other");
    let answer = answer.stream(&format!("/stream?ticket={elsewhere}")).await;
    assert_eq!(answer.status(), 401);
    assert_eq!(status("/stream?ticket=none".to_owned()).await, 401);
    // Tickets for live cards and for the stream are different.
    let user = space.post("/users", json!({ "login": "dana", "firstName": "Dana" }));
    let user = user.await.ok().str("id");
    let dana = hub.user_token("acme", &user).await;
    let cards = dana.post("/communications/live/ticket", json!({}));
    let cards = cards.await.ok().str("ticket");
    assert_eq!(status(format!("/stream?ticket={cards}")).await, 401);
    let events = dana.post("/stream/ticket?topics=events", json!({}));
    let events = events.await.ok().str("ticket");
    let path = format!("/communications/live?ticket={events}");
    assert_eq!(status(path).await, 401);
    // The admin token has no ticket, and a ticket ends with its token.
    let admin = hub.admin().at("/api/v1/acme");
    let refused = admin.post("/stream/ticket?topics=events", json!({})).await;
    assert_eq!(refused.status, 403);
    let short = hub
        .token_with("acme", json!({ "name": "short", "role": "admin" }))
        .await;
    let unused = short.post("/stream/ticket?topics=events", json!({}));
    let unused = unused.await.ok().str("ticket");
    revoke(&hub, "short").await;
    assert_eq!(status(format!("/stream?ticket={unused}")).await, 401);
    drop(other);
}

#[tokio::test]
async fn listeners_are_bounded() {
    let hub = Hub::with(|config| {
        config.stream_listeners = 3;
        config.stream_listeners_per_workspace = 2;
    })
    .await;
    let (acme, other) = (hub.workspace("acme").await, hub.workspace("other").await);
    let refused = async |caller: &Caller| caller.stream(EVENTS).await.status() == 409;
    let first = EventStream::open(&acme, EVENTS).await;
    let _second = EventStream::open(&acme, EVENTS).await;
    let answer = acme.get(EVENTS).await;
    assert_eq!(
        (answer.status, answer.str("status").as_str()),
        (409, "tooMany")
    );
    assert!(
        answer
            .str("message")
            .contains("stream-listeners-per-workspace")
    );
    let third = EventStream::open(&other, EVENTS).await;
    assert!(refused(&other).await, "the server is full");
    drop(third);
    eventually("the place of a stream that was closed is free", || async {
        (!refused(&other).await).then_some(())
    })
    .await;
    drop(first);
    eventually("the same in the workspace", || async {
        (!refused(&acme).await).then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL and NATS; ./test has them"]
async fn events_of_other_nodes_come_in_order() {
    let installation = Installation::new(|_| ());
    let first = installation.start().await;
    let space = first.workspace("acme").await;
    let second = installation.second_node().start().await;
    let there = second.adopt(&space);
    let mut here = EventStream::open(&space, EVENTS).await;
    let mut elsewhere = EventStream::open(&there, EVENTS).await;
    for n in 0..40_u32 {
        let by = if n % 3 == 0 { &space } else { &there };
        company(by, &n.to_string()).await;
    }
    // Without a bus the other node looks once a second.
    let look = Duration::from_millis(125);
    for stream in [&mut here, &mut elsewhere] {
        let all = expect_companies(stream, names(0..40));
        first.advance_until(look, all).await;
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL and NATS; ./test has them"]
async fn deliveries_of_other_nodes_come_over_the_bus() {
    let bus = std::env::var("PRICHAL_TEST_NATS").expect("PRICHAL_TEST_NATS names a server");
    let receiver = Receiver::good().await;
    let installation = Installation::new(move |config| config.bus_url = Some(bus.clone().into()));
    let first = installation.start().await;
    let space = first.workspace("acme").await;
    let hook = Integration::install(&space, "listener", &receiver.url).await;
    let hook = hook.subscribe().await;
    company(&space, "before").await;
    receiver.next().await;
    let second = installation.second_node().start().await;
    let there = second.adopt(&space);
    let mut stream = EventStream::open(&there, "/stream?topics=deliveries").await;
    // The first node learns of the listener at some time, and tells from then on.
    let mut told = Box::pin(stream.next());
    let told = loop {
        company(&space, "next").await;
        receiver.next().await;
        second.advance(Duration::from_secs(2));
        let wait = Duration::from_millis(200);
        if let Ok(told) = tokio::time::timeout(wait, &mut told).await {
            break told;
        }
    };
    assert_eq!(told.data["webHookId"], json!(hook));
}

#[tokio::test]
async fn pages_of_other_origins_may_follow() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let page = space.header("origin", "https://crm.example");
    let answer = page.stream(EVENTS).await;
    let allowed = answer.headers().get("access-control-allow-origin");
    assert_eq!(
        allowed.map(|value| value.to_str().ok()),
        Some(Some("https://crm.example"))
    );
}
