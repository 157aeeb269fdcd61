//! The changes of a workspace, as an open console hears them.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use super::sessions::{link, sign_in};
use crate::harness::{
    channel_workspace::ChannelWorkspace,
    document_subscriber::{BIN, company},
    event_stream::EventStream,
    hub::{Caller, Hub},
    integration::Integration,
    telephony_exchange::TelephonyExchange,
};

/// A browser that is signed in to the workspace with a role.
async fn browser(hub: &Hub, space: &Caller, role: &str) -> Caller {
    browser_of(hub, space, json!({ "role": role })).await
}

/// A browser that is signed in to the workspace as somebody.
async fn browser_of(hub: &Hub, space: &Caller, body: Value) -> Caller {
    let link = link(space, "/login-links", body).await;
    let secret = sign_in(&hub.app, &link).await.expect("signed in");
    let cookie = format!("prichal_session={secret}");
    hub.anonymous().at("").header("cookie", &cookie)
}

/// The next block of a stream with this field, without those before, and the value of the field.
pub(super) async fn field(stream: &mut EventStream, name: &str) -> String {
    loop {
        let block = stream.block().await.expect("the stream goes on");
        let found = block.lines().find_map(|line| line.strip_prefix(name));
        if let Some(value) = found {
            return value.trim().to_owned();
        }
    }
}

#[tokio::test]
async fn a_console_hears_which_topics_change() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let admin = browser(&hub, &space, "admin").await;
    let path = "/console/acme/live";
    let mut of_admin = EventStream::open(&admin, path).await;
    let first = field(&mut of_admin, "id:").await;

    space.post("/companies", json!({ "name": "a" })).await.ok();
    hub.advance(Duration::from_secs(1));
    assert_eq!(field(&mut of_admin, "data:").await, "events");

    // A second has to pass until the next one, which then has all that changed meanwhile.
    space.post("/companies", json!({ "name": "b" })).await.ok();
    hub.advance(Duration::from_secs(1));
    assert_eq!(field(&mut of_admin, "data:").await, "events");

    // One that comes back hears at once what it has missed.
    drop(of_admin);
    let mut again = EventStream::open(&admin, &format!("{path}?after={first}")).await;
    assert_eq!(field(&mut again, "data:").await, "events");
    hub.advance(Duration::from_secs(15));
    assert_eq!(again.block().await.as_deref(), Some(":"), "silence");
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let viewer = browser(&hub, &space, "viewer").await;
    let mut stream = EventStream::open(&viewer, "/console/acme/live").await;
    field(&mut stream, "id:").await;
    let sessions = space.get("/sessions").await.ok().json;
    let id = sessions["items"][0]["id"]
        .as_str()
        .expect("a session")
        .to_owned();
    assert_eq!(space.delete(&format!("/sessions/{id}")).await.status, 204);
    hub.advance(Duration::from_secs(15));
    assert_eq!(field(&mut stream, "event:").await, "end");
    stream.end().await;
    let refused = viewer.stream("/console/acme/live").await;
    assert_eq!(refused.status(), 303, "to the sign-in");
}

#[tokio::test]
async fn another_workspace_is_not_followed() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    hub.workspace("beta").await;
    let admin = browser(&hub, &space, "admin").await;
    assert_eq!(admin.stream("/console/beta/live").await.status(), 404);
}

/// The topics that a stream tells until it has nothing more to tell.
async fn told(hub: &Hub, stream: &mut EventStream) -> BTreeSet<String> {
    let mut topics = BTreeSet::new();
    for _ in 0..10 {
        hub.advance(Duration::from_secs(15));
        let block = stream.block().await.expect("the stream goes on");
        let data = block.lines().find_map(|line| line.strip_prefix("data: "));
        let Some(data) = data else { break };
        topics.extend(data.split(' ').map(str::to_owned));
    }
    topics
}

/// The topics that a stream tells until it has told of these.
async fn told_of(hub: &Hub, stream: &mut EventStream, expected: &str) -> BTreeSet<String> {
    let mut heard = BTreeSet::new();
    for _ in 0..20 {
        heard.extend(told(hub, stream).await);
        if heard.is_superset(&topics(expected)) {
            break;
        }
    }
    heard
}

fn topics(names: &str) -> BTreeSet<String> {
    names.split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn each_session_hears_of_the_topics_that_it_may_read() {
    let hub = Hub::with(|config| config.rate_limit.most = 0).await;
    let acme = company(&hub, "acme", BIN).await;
    let space = hub.token("acme", "admin").await;
    let integration = Integration::install(&space, "Partner", "http://127.0.0.1:9").await;
    let hook = integration.subscribe().await;
    let api = space.access_key(&integration.access_key().await);
    let era = ChannelWorkspace {
        rest: space.at(""),
        space: space.clone(),
        hub,
    };
    let channel = era.sync_channel("failing", "throw new Error('no')").await;
    let rights = json!({ "login": "dana", "permissions": ["DOCUMENT_VIEW"] });
    let reader = space.post("/users", rights).await.ok().str("id");
    let clerk = json!({ "login": "clerk", "permissions": [] });
    let clerk = space.post("/users", clerk).await.ok().str("id");
    let everything = "alerts calls deliveries documents events runs states";
    let mut open = Vec::new();
    for (body, expected) in [
        (json!({ "role": "admin" }), everything),
        (json!({ "role": "viewer" }), everything),
        (
            json!({ "role": "integrator", "integrations": [integration.id] }),
            "deliveries events states",
        ),
        (json!({ "userId": reader }), "calls documents"),
        (json!({ "userId": clerk }), "calls"),
    ] {
        let browser = browser_of(&era.hub, &space, body).await;
        let mut stream = EventStream::open(&browser, "/console/acme/live").await;
        field(&mut stream, "id:").await;
        open.push((browser, stream, expected));
    }

    era.hook(&channel, json!({})).await;
    era.run("failing", "failed").await;
    acme.draft(&era.hub, "1").await;
    let pbx = TelephonyExchange {
        hub: era.hub,
        space,
        integration,
        api,
    };
    pbx.started("1").await.ok();
    let body = json!({ "name": "Horns" });
    pbx.space.post("/companies", body).await.ok();
    pbx.integration.attempts(1).await;
    let off = format!("/webHooks/{hook}/disabled");
    let off = json!([{ "op": "replace", "path": off, "value": true }]);
    pbx.integration.patch(off).await.ok();
    // An alert comes with the next look at the states.
    let hub = &pbx.hub;
    let (_, stream, _) = &mut open[0];
    let mut heard = BTreeSet::new();
    while heard != topics(everything) {
        hub.advance(Duration::from_secs(5));
        let data = field(stream, "data:").await;
        heard.extend(data.split(' ').map(str::to_owned));
    }
    for (_, stream, expected) in open.iter_mut().skip(1) {
        assert_eq!(told_of(hub, stream, expected).await, topics(expected));
    }

    // Pages know as much as the stream.
    let mut marks = Vec::new();
    for (browser, _, _) in &open[3..] {
        let page = browser.get("/console/acme/calls").await.ok();
        let (_, rest) = page.text.split_once("data-live-after=\"").expect("a mark");
        let mark = rest.split('"').next().expect("a mark");
        let counts = mark.split('.').skip(1).map(|count| count != "0");
        marks.push(counts.collect::<Vec<_>>());
    }
    assert_eq!(marks[0], [false, true, true, false, false, false, false]);
    assert_eq!(marks[1], [false, true, false, false, false, false, false]);

    // A right counts for an open page as well, once it is given and until it is taken.
    let path = format!("/users/{clerk}");
    let (_, stream, _) = open.last_mut().expect("the clerk");
    for (permissions, expected) in [
        (json!(["DOCUMENT_VIEW"]), "calls documents"),
        (json!([]), "calls"),
    ] {
        let operation = json!([{ "op": "replace", "path": "/permissions", "value": permissions }]);
        pbx.space.patch(&path, operation).await.ok();
        told(hub, stream).await;
        acme.draft(hub, "2").await;
        pbx.started(expected).await.ok();
        assert_eq!(told_of(hub, stream, expected).await, topics(expected));
    }
}
