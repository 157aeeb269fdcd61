//! Quotas of workspaces, and the refusals when they are used up.

use std::time::Duration;

use futures_util::StreamExt as _;
use prichal_core::id::WorkspaceId;
use prichal_store::usage::{self, Bytes, Kind};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    dock::{Dock, POINTS, RUNS},
    exchange::{Exchange, PDF},
    hub::{Answer, Caller, Hub, Log, eventually},
    partner::company,
};

async fn set(hub: &Hub, workspace: &str, quotas: Value) -> Answer {
    let path = format!("/admin/v1/workspaces/{workspace}/quota");
    let answer = hub.admin().put(&path, quotas).await.ok();
    // Counts of a workspace are at most a second old.
    hub.advance(Duration::from_secs(2));
    answer
}

async fn shown(hub: &Hub, workspace: &str) -> Answer {
    let path = format!("/admin/v1/workspaces/{workspace}/usage");
    hub.admin().get(&path).await.ok()
}

async fn upload(space: &Caller, content: &str) -> Answer {
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n{content}\r\n--b--\r\n"
    );
    let caller = space
        .clone()
        .header("content-type", "multipart/form-data; boundary=b");
    let body = Some(body.into_bytes());
    caller.send(reqwest::Method::POST, "/files", body).await
}

#[tokio::test]
async fn entities_and_events_are_refused_when_they_are_used_up() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let other = hub.workspace("other").await;
    let id = company(&space, "first").await;
    let before = shown(&hub, "acme").await;
    let used = before["entities"]["used"].as_i64().expect("a number");
    assert!(used > 0 && before["events"]["used"].as_i64() > Some(used));
    assert_eq!(before["files"]["allowed"], json!(256_i64 << 30));
    for (kind, allowed) in [("entities", used), ("events", 1)] {
        let answer = set(&hub, "acme", json!({ kind: allowed })).await;
        assert_eq!(answer[kind]["allowed"], allowed);
        let refused = space.post("/companies", json!({ "name": "second" })).await;
        assert_eq!(
            (refused.status, &refused["status"]),
            (409, &json!("quotaExceeded")),
            "{}",
            refused.text
        );
        let detail = refused["invalidConstraints"][kind].as_str();
        let detail = detail.expect("which quota");
        assert!(detail.contains(&format!("of {allowed} bytes")), "{detail}");
        let renaming = json!([{ "op": "replace", "path": "/name", "value": "x" }]);
        let path = format!("/companies/{id}");
        assert_eq!(space.patch(&path, renaming).await.status, 409);
        space.get(&path).await.ok();
        company(&other, "elsewhere").await;
    }
    space.delete(&format!("/companies/{id}")).await.ok();
    set(&hub, "acme", json!({ "entities": 0, "events": null })).await;
    company(&space, "again").await;
    for bad in [
        json!({ "entities": -1 }),
        json!({ "events": "x" }),
        json!({ "disk": 1 }),
    ] {
        let path = "/admin/v1/workspaces/acme/quota";
        let refused = hub.admin().put(path, bad.clone()).await;
        let named = bad.as_object().and_then(|bad| bad.keys().next());
        assert_eq!(refused.status, 400);
        assert_eq!(
            refused["errors"][0]["field"].as_str(),
            named.map(String::as_str)
        );
    }
    assert_eq!(
        space
            .at("")
            .get("/admin/v1/workspaces/acme/usage")
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn files_are_counted_until_they_are_removed() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    set(&hub, "acme", json!({ "files": 10 })).await;
    upload(&space, "12345678").await.ok();
    hub.advance(Duration::from_secs(2));
    let refused = upload(&space, "12345").await;
    assert_eq!(
        (refused.status, &refused["status"]),
        (409, &json!("quotaExceeded"))
    );
    assert_eq!(shown(&hub, "acme").await["files"]["used"], 8);
    eventually("the file ends", || async {
        hub.advance(Duration::from_hours(12));
        (shown(&hub, "acme").await["files"]["used"] == 0).then_some(())
    })
    .await;
    upload(&space, "12345").await.ok();
}

/// The form of an upload that says how long it is, and of which nothing has come yet.
async fn begin(hub: &Hub, space: &Caller, length: usize) -> TcpStream {
    let address = hub.url.strip_prefix("http://").expect("a URL");
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let token = space.bearer_token();
    let head = format!(
        "POST /api/v1/acme/files HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\
         Content-Type: multipart/form-data; boundary=edge\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 100");
    stream
}

/// Uploads that go on at the same time do not all fit into the same room, and one that is refused leaves nothing.
#[tokio::test]
async fn files_that_are_coming_in_count() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    set(&hub, "acme", json!({ "files": 60_000 })).await;
    let coming = begin(&hub, &space, 50_000).await;
    let content = "x".repeat(20_000);
    assert_eq!(upload(&space, &content).await.status, 409);
    drop(coming);
    eventually("the other one is over", || async {
        (upload(&space, &content).await.status == 200).then_some(())
    })
    .await;
    // Too long by less than a form may have around its file: known when it has come.
    assert_eq!(upload(&space, &"x".repeat(41_000)).await.status, 409);
    let blobs = hub.app.blobs.list(None);
    assert_eq!(blobs.count().await, 1);
}

#[tokio::test]
async fn each_dialect_says_what_is_used_up() {
    let dock = Dock::new().await;
    let made = dock.sync("one", "respond(200)").await;
    dock.hook(&made, json!({})).await.ok();
    set(&dock.hub, "acme", json!({ "runs": 1 })).await;
    let hook = dock.hook(&made, json!({})).await;
    assert_eq!((hook.status, &hook["error_code"]), (409, &json!(1409)));
    assert!(hook.text.contains("The quota of runs"), "{}", hook.text);
    let more = dock
        .rest
        .post(POINTS, json!({ "code": "x", "type": "public" }))
        .await;
    assert_eq!(more.status, 409, "{}", more.text);
    let path = format!("{POINTS}/{}/rotate_token", made.id);
    dock.rest.post(&path, json!({})).await.ok();

    let exchange = Exchange::new().await;
    let company = exchange.company(0).await;
    let draft = company.draft().await;
    set(&exchange.hub, &company.name, json!({ "files": 1 })).await;
    let path = "/api/v3/sync/blobs/document-content";
    let refused = company.upload(path, "documentContent", "b.pdf", PDF).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    let said = refused["errors"][0]["errorDescription"].as_str();
    assert!(said.is_some_and(|said| said.contains("The quota of files")));
    assert_eq!(company.status(&draft).await, "DRAFT");
}

/// Neither a header that means nothing nor the name of a workspace lifts a quota.
#[tokio::test]
async fn a_quota_holds_however_a_request_is_written() {
    let dock = Dock::new().await;
    let made = dock
        .channel("one", json!({ "url": "http://127.0.0.1:9/x" }))
        .await;
    company(&dock.space, "first").await;
    set(&dock.hub, "acme", json!({ "entities": 1 })).await;
    let send = format!("{POINTS}/{}/send", made.id);
    let retry = format!("{RUNS}/{}/retry", made.id);
    let point = json!({ "code": "two", "type": "public" });
    let start = json!({ "code": "none" });
    for (verb, path, body, status) in [
        ("x", POINTS, &point, 409),
        ("", POINTS, &point, 409),
        ("GET", POINTS, &point, 409),
        ("LOOKUP", POINTS, &json!("one"), 200),
        ("lookup", POINTS, &json!("one"), 200),
        ("LOOKUP", &send, &json!({}), 409),
        ("x", &send, &json!({}), 409),
        ("LOOKUP", RUNS, &start, 409),
        ("LOOKUP", &retry, &json!({}), 409),
    ] {
        let caller = dock.rest.clone().header("x-http-method-override", verb);
        let answer = caller.post(path, body.clone()).await;
        assert_eq!(answer.status, status, "{verb} {path}: {}", answer.text);
    }
    for name in [
        "files-ltd",
        "settings-ltd",
        "integrations",
        "private-integrations",
    ] {
        let space = dock.hub.workspace(name).await;
        company(&space, "first").await;
        set(&dock.hub, name, json!({ "entities": 1 })).await;
        let refused = space.post("/companies", json!({ "name": "x" })).await;
        assert_eq!(refused.status, 409, "{name}: {}", refused.text);
        space.patch("/settings", json!([])).await.ok();
    }
}

async fn used(hub: &Hub, workspace: WorkspaceId) -> Bytes {
    let read = move |conn: &mut prichal_store::Conn| usage::find(conn, workspace);
    let found = hub.app.db.read::<_, prichal_store::Error>(read).await;
    found.expect("the store answers").used
}

#[tokio::test]
async fn what_was_counted_is_what_is_there() {
    let dock = Dock::new().await;
    let found = dock.hub.admin().get("/admin/v1/workspaces/acme").await.ok();
    let workspace = WorkspaceId::parse(&found.str("id")).expect("an id");
    let id = company(&dock.space, "a").await;
    let path = format!("/companies/{id}");
    let renaming = json!([{ "op": "replace", "path": "/name", "value": "a longer name, and ж" }]);
    dock.space.patch(&path, renaming).await.ok();
    dock.space.delete(&path).await.ok();
    let path = format!("{path}/restore");
    dock.space.post(&path, json!({})).await.ok();
    let file = upload(&dock.space, "12345").await.ok().str("fileId");
    dock.space
        .post(
            "/companies",
            json!({ "name": "with a file", "files": [file] }),
        )
        .await
        .ok();
    let good = dock
        .queued("good", "console.log('done'); respond(200)")
        .await;
    let bad = dock.queued("bad", "throw new Error('no')").await;
    for made in [&good, &bad] {
        dock.hook(made, json!({ "n": "x".repeat(100) })).await.ok();
    }
    dock.run("good", "finished").await;
    dock.run("bad", "deferred").await;
    dock.hub.advance(Duration::from_secs(40));
    dock.drained().await;
    let ground = dock.hub.stop().await;
    let hub = ground.start().await;
    let counted = used(&hub, workspace).await;
    assert!(Kind::ALL.iter().all(|kind| counted.get(*kind) > 0));
    let ground = hub.stop().await;
    // As if the store were from before anything was counted.
    ground.execute(
        "DROP TABLE usage; DELETE FROM migration WHERE version = (SELECT max(version) FROM migration)",
    );
    let hub = ground.start().await;
    assert_eq!(used(&hub, workspace).await, counted);
}

#[tokio::test]
async fn a_quota_that_is_nearly_used_up_is_told() {
    let log = Log::new();
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    company(&space, "a").await;
    let used = shown(&hub, "acme").await["entities"]["used"].as_i64();
    let used = used.expect("a number");
    set(&hub, "acme", json!({ "entities": used + used / 10 })).await;
    let metrics = hub.anybody().get("/metrics").await.ok().text;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("prichal_quota_used_ratio{"))
        .expect("a metric");
    assert!(line.contains("quota=\"entities\""), "{line}");
    assert!(log.has("a quota is used up to 80 %"));
    assert!(log.has("event=\"quota_changed\""));
}
