//! The changes of a workspace, as an open console hears them.

use std::time::Duration;

use serde_json::json;

use super::sessions::{link, sign_in};
use crate::harness::{
    event_stream::EventStream,
    hub::{Caller, Hub},
};

/// A browser that is signed in to the workspace with a role.
async fn browser(hub: &Hub, space: &Caller, role: &str) -> Caller {
    let link = link(space, "/login-links", json!({ "role": role })).await;
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
