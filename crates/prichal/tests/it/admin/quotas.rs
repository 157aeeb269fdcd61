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

use crate::harness::{
    channel_workspace::{ChannelWorkspace, POINTS, RUNS, SCRIPTS, TYPES},
    document_exchange::{CREATE, DocumentExchange, PDF, QUICK, REJECT, ROUTE, V3},
    hub::{Answer, Caller, CapturedLog, Hub, eventually},
    integration::{Integration, company, entity_hook},
    websocket_client::WebsocketClient,
};

async fn set(hub: &Hub, workspace: &str, quotas: Value) -> Answer {
    let path = format!("/admin/v1/workspaces/{workspace}/quota");
    let answer = hub.admin().put(&path, quotas).await.ok();
    // The server caches counts for up to a second.
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
        let path = format!("/companies/{id}");
        let rename = |name: &str| json!([{ "op": "replace", "path": "/name", "value": name }]);
        let longer = space.patch(&path, rename("a longer name")).await;
        assert_eq!(
            (longer.status, &longer["status"]),
            (409, &json!("quotaExceeded"))
        );
        // A smaller entity needs less of the one, and an event more of the other.
        let shorter = space.patch(&path, rename("x")).await.status;
        assert_eq!(shorter, if kind == "entities" { 200 } else { 409 });
        space.patch(&path, rename("y")).await;
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

/// Begins an upload that declares its length, and sends none of its content.
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

/// Concurrent uploads reserve their sizes. A refused one leaves no file.
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
async fn each_dialect_names_the_exhausted_quota() {
    let era = ChannelWorkspace::new().await;
    let made = era.sync_channel("one", "respond(200)").await;
    era.hook(&made, json!({})).await.ok();
    set(&era.hub, "acme", json!({ "runs": 1 })).await;
    let hook = era.hook(&made, json!({})).await;
    assert_eq!((hook.status, &hook["error_code"]), (409, &json!(1409)));
    assert!(hook.text.contains("The quota of runs"), "{}", hook.text);
    let more = era
        .rest
        .post(POINTS, json!({ "code": "x", "type": "public" }))
        .await;
    assert_eq!(more.status, 409, "{}", more.text);
    let path = format!("{POINTS}/{}/rotate_token", made.id);
    era.rest.post(&path, json!({})).await.ok();

    let exchange = DocumentExchange::new().await;
    let company = exchange.company(0).await;
    let draft = company.draft().await;
    set(&exchange.hub, &company.name, json!({ "files": 1 })).await;
    let path = "/api/v3/sync/blobs/document-content";
    let refused = company.upload(path, "documentContent", "b.pdf", PDF).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    let said = refused["errors"][0]["errorDescription"].as_str();
    assert!(said.is_some_and(|said| said.contains("Квота") && said.contains("files, занято ")));
    assert_eq!(company.status(&draft).await, "DRAFT");
}

/// Meaningless headers and unusual names of workspaces do not lift a quota.
#[tokio::test]
async fn a_quota_holds_however_a_request_is_written() {
    let era = ChannelWorkspace::new().await;
    let made = era
        .channel("one", json!({ "url": "http://127.0.0.1:9/x" }))
        .await;
    company(&era.space, "first").await;
    set(&era.hub, "acme", json!({ "entities": 1 })).await;
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
        let caller = era.rest.clone().header("x-http-method-override", verb);
        let answer = caller.post(path, body.clone()).await;
        assert_eq!(answer.status, status, "{verb} {path}: {}", answer.text);
    }
    for name in [
        "files-ltd",
        "settings-ltd",
        "integrations",
        "private-integrations",
    ] {
        let space = era.hub.workspace(name).await;
        company(&space, "first").await;
        set(&era.hub, name, json!({ "entities": 1 })).await;
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
async fn counted_usage_equals_stored_usage() {
    let era = ChannelWorkspace::new().await;
    let found = era.hub.admin().get("/admin/v1/workspaces/acme").await.ok();
    let workspace = WorkspaceId::parse(&found.str("id")).expect("an id");
    let id = company(&era.space, "a").await;
    let path = format!("/companies/{id}");
    let renaming = json!([{ "op": "replace", "path": "/name", "value": "a longer name, and ж" }]);
    era.space.patch(&path, renaming).await.ok();
    era.space.delete(&path).await.ok();
    let path = format!("{path}/restore");
    era.space.post(&path, json!({})).await.ok();
    let file = upload(&era.space, "12345").await.ok().str("fileId");
    era.space
        .post(
            "/companies",
            json!({ "name": "with a file", "files": [file] }),
        )
        .await
        .ok();
    let good = era
        .queued_channel("good", "console.log('done'); respond(200)")
        .await;
    let bad = era.queued_channel("bad", "throw new Error('no')").await;
    for made in [&good, &bad] {
        era.hook(made, json!({ "n": "x".repeat(100) })).await.ok();
    }
    era.run("good", "finished").await;
    era.run("bad", "deferred").await;
    era.hub.advance(Duration::from_secs(40));
    era.wait_until_drained().await;
    let installation = era.hub.stop().await;
    let hub = installation.start().await;
    let counted = used(&hub, workspace).await;
    assert!(Kind::ALL.iter().all(|kind| counted.get(*kind) > 0));
    let installation = hub.stop().await;
    // The store as it was before usage was counted.
    installation.execute("UPDATE usage SET records = 1");
    installation.execute(counting(include_str!(
        "../../../../prichal-store/migrations/0017_records.sql"
    )));
    installation.execute(recounting(include_str!(
        "../../../../prichal-store/migrations/0020_deleted.sql"
    )));
    let hub = installation.start().await;
    let again = used(&hub, workspace).await;
    assert_eq!(again.get(Kind::Records), counted.get(Kind::Records));
    let installation = hub.stop().await;
    installation.execute("DELETE FROM usage");
    installation.execute(counting(include_str!(
        "../../../../prichal-store/migrations/0013_usage.sql"
    )));
    let hub = installation.start().await;
    let again = used(&hub, workspace).await;
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Records) {
        assert_eq!(again.get(kind), counted.get(kind), "{}", kind.name());
    }
}

/// The statement of a migration that counts the existing rows.
fn counting(migration: &str) -> &str {
    &migration[migration.find("INSERT INTO usage").expect("it counts")..]
}

/// The statement of a migration that counts other rows as well.
fn recounting(migration: &str) -> &str {
    let counts = &migration[migration.find("UPDATE usage").expect("it counts")..];
    &counts[..counts.find(';').expect("it ends")]
}

/// Every stored record is counted until it is removed.
#[tokio::test]
async fn all_that_is_kept_counts() {
    let era = ChannelWorkspace::new().await;
    let records = async || {
        let shown = shown(&era.hub, "acme").await;
        shown["records"]["used"].as_i64().expect("a number")
    };
    let script = era.script("s", "respond(200)").await;
    let made = era.channel("c", json!({})).await;
    let before = records().await;
    // A script and a channel: the count grows with their length.
    let source = "x".repeat(5000);
    let data =
        json!({ "scriptdata": { "language": "javascript", "source": format!("// {source}") } });
    let path = format!("{SCRIPTS}/{script}");
    era.change(&path, data).await.ok();
    assert!(records().await - before > 4900);
    // The earlier version is kept and counts.
    let data = json!({ "scriptdata": { "language": "javascript", "source": "//" } });
    era.change(&path, data).await.ok();
    assert!(records().await - before > 4900);
    let path = format!("{POINTS}/{}", made.id);
    let before = records().await;
    era.change(&path, json!({ "ext": { "note": "x".repeat(3000) } }))
        .await
        .ok();
    assert!(records().await - before >= 3000);

    // Values stored by scripts, until they are removed.
    let source = "const { n } = request.body; kv.set('k', n ? 'x'.repeat(n) : null); respond(200)";
    let keeper = era.sync_channel("keeper", source).await;
    let before = records().await;
    for (n, more) in [(4000, 4000..4200), (1000, 1000..1200), (0, 0..1)] {
        era.hook(&keeper, json!({ "n": n })).await.ok();
        assert!(more.contains(&(records().await - before)), "{n}");
    }

    // Settings, remembered answers, links.
    let before = records().await;
    let setting = json!({ "key": "k", "value": "x".repeat(2000) });
    era.space.put("/ui-settings", setting.clone()).await.ok();
    era.space.put("/ui-settings", setting).await.ok();
    let now = records().await;
    assert!((2000..2300).contains(&(now - before)), "{}", now - before);
    let once = era.space.clone().header("idempotency-key", "one");
    let body = json!({ "name": "x".repeat(500) });
    let first = once.post("/companies", body).await.ok().str("id");
    assert!(records().await - now > 500);
    let contact = era.space.post("/contacts", json!({ "name": "C" })).await;
    let contact = contact.ok().str("id");
    let before = records().await;
    let ends = json!({ "companyId": first, "contactId": contact });
    era.space.post("/links", ends.clone()).await.ok();
    era.space.post("/links", ends.clone()).await.ok();
    assert_eq!(records().await - before, 200);
    let ends = Some(ends.to_string().into_bytes());
    let cut = era.space.send(reqwest::Method::DELETE, "/links", ends);
    cut.await.ok();
    assert_eq!(records().await, before);
    assert_eq!(
        era.rest
            .delete(&format!("{POINTS}/{}", keeper.id))
            .await
            .status,
        204
    );
    eventually("answers are forgotten", || async {
        era.hub.advance(Duration::from_hours(30));
        (records().await < before).then_some(())
    })
    .await;
}

/// At the quota of records none can be added, but existing ones can become smaller.
#[tokio::test]
async fn records_can_become_smaller_at_their_quota() {
    let era = ChannelWorkspace::new().await;
    let made = era
        .channel("c", json!({ "ext": { "note": "x".repeat(500) } }))
        .await;
    era.space
        .put("/ui-settings", json!({ "key": "k", "value": "long" }))
        .await
        .ok();
    set(&era.hub, "acme", json!({ "records": 10 })).await;
    let path = format!("{POINTS}/{}", made.id);
    let longer = json!({ "ext": { "note": "x".repeat(600) } });
    let refused = era.change(&path, longer).await;
    assert_eq!(
        (refused.status, &refused["error_code"]),
        (409, &json!(1409))
    );
    era.change(&path, json!({ "ext": { "note": "" } }))
        .await
        .ok();
    let value = |value: &str| json!({ "key": "k", "value": value });
    let refused = era.space.put("/ui-settings", value("longer")).await;
    assert_eq!(
        (refused.status, &refused["status"]),
        (409, &json!("quotaExceeded"))
    );
    era.space.put("/ui-settings", value("s")).await.ok();
    for (path, body) in [
        ("/companies", json!({ "name": "x" })),
        (
            "/private-integrations",
            json!({ "name": "I", "version": "v1", "baseUrl": "https://i.example" }),
        ),
    ] {
        let refused = era.space.post(path, body).await;
        assert_eq!(refused.status, 409, "{path}: {}", refused.text);
    }
    assert_eq!(upload(&era.space, "1").await.status, 409);
    assert_eq!(era.rest.delete(&path).await.status, 204);
}

/// A deleted channel, type or script counts for no more than its row, and for nothing after 30 days.
#[tokio::test]
async fn deletion_makes_room() {
    let era = ChannelWorkspace::new().await;
    let records = async || {
        let shown = shown(&era.hub, "acme").await;
        shown["records"]["used"].as_i64().expect("a number")
    };
    let before = records().await;
    let note = "x".repeat(5000);
    let source = json!({ "language": "javascript", "source": format!("// {note}") });
    let mut paths = Vec::new();
    for (collection, body) in [
        (
            SCRIPTS,
            json!({ "code": "s", "name": "s", "scriptdata": source }),
        ),
        (TYPES, json!({ "type": "t", "ext": { "note": note } })),
        (
            POINTS,
            json!({ "code": "c", "type": "t", "ext": { "note": note } }),
        ),
    ] {
        let earlier = records().await;
        let id = era.rest.post(collection, body).await.ok().str("id");
        assert!(records().await - earlier > 5000, "{collection}");
        let path = format!("{collection}/{id}");
        for _ in 0..2 {
            assert_eq!(era.rest.delete(&path).await.status, 204, "{path}");
        }
        paths.push(path);
        let rest = records().await - earlier;
        assert!(rest <= 200, "{collection}: {rest}");
    }
    let feed = era.space.get("/events?limit=1000").await.ok().text;
    // The channel as it was made, and as it was deleted.
    assert_eq!(feed.matches(&note).count(), 2);
    eventually("the rows are forgotten", || async {
        era.hub.advance(Duration::from_hours(72));
        (records().await == before).then_some(())
    })
    .await;
    for path in paths {
        assert_eq!(era.rest.delete(&path).await.status, 404, "{path}");
    }
}

/// At an exhausted quota no script begins, neither for a frame of a websocket nor for a message that was queued before.
#[tokio::test]
async fn scripts_do_not_begin_beyond_a_quota() {
    let era = ChannelWorkspace::new().await;
    let source = "kv.set('k' + request.body.n, 'x'.repeat(1000)); channel.send({ n: 2 }, { delay: 60 }); respond(200)";
    era.script("chain", source).await;
    let members = json!({ "recv_svcscriptcode": "chain", "recv_svcscriptcode_ws": "chain", "send_svcscriptcode": "chain", "opts": { "issync": true } });
    let made = era.open("sock", members, &["msg", "svcscript"]).await;
    era.hook(&made, json!({ "n": 1 })).await.ok();
    let mut client = WebsocketClient::with(&era.hub, &made, &["msg", "svcscript"]).await;
    set(&era.hub, "acme", json!({ "records": 10 })).await;
    let before = shown(&era.hub, "acme").await;
    let start = json!({ "qid": 1, "code": "chain" });
    for (method, asked) in [("start_svcscript", start), ("any", json!({ "qid": 1 }))] {
        let answer = client.ask(method, asked).await;
        assert_eq!(
            (&answer["result"], &answer["errorcode"]),
            (&json!("error"), &json!(1409)),
            "{answer}"
        );
    }
    assert_eq!(shown(&era.hub, "acme").await.text, before.text);
    era.hub.advance(Duration::from_mins(1));
    let run = era.run("chain", "deferred").await;
    let error = run.to_string();
    assert!(error.contains("The quota of records is used up"), "{error}");
    // It goes on where there is room again.
    set(&era.hub, "acme", json!({ "records": null })).await;
    era.hub.advance(Duration::from_secs(30));
    era.run("chain", "queued").await;
}

/// At the quotas of records and events an instance can become smaller, and be paused and uninstalled.
#[tokio::test]
async fn an_instance_grows_within_the_quotas() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let made = Integration::install(&space, "I", "https://i.example").await;
    let setting = |id: &str, length: usize| json!([{ "op": "add", "path": "/settings", "value": { "id": id, "value": "x".repeat(length) } }]);
    let value = |length: usize| json!([{ "op": "replace", "path": "/settings/a/value", "value": "x".repeat(length) }]);
    for id in ["a", "b"] {
        made.patch(setting(id, 1000)).await.ok();
    }
    let with_key = |key: &str| made.space.clone().header("idempotency-key", key);
    let path = |action: &str| format!("/integrations/instances/{}/{action}", made.id);
    let install = format!("/integrations/{}/install", made.id);
    set(&hub, "acme", json!({ "records": 10 })).await;
    let hook = json!([{ "op": "add", "path": "/webHooks", "value": entity_hook("/a", json!([])) }]);
    let refused = [
        made.patch(value(2000)).await,
        made.patch(hook).await,
        with_key("1").post(&install, json!({})).await,
        with_key("1").post(&path("pause"), json!({})).await,
    ];
    for refused in refused {
        assert_eq!(
            (refused.status, &refused["status"]),
            (409, &json!("quotaExceeded")),
            "{}",
            refused.text
        );
    }
    space.post(&install, json!({})).await.ok();
    made.patch(value(500)).await.ok();
    set(&hub, "acme", json!({ "events": 10 })).await;
    assert_eq!(made.patch(value(400)).await.status, 409);
    let removal = json!([{ "op": "remove", "path": "/settings/b" }]);
    made.patch(removal).await.ok();
    space.post(&path("pause"), json!({})).await.ok();
    let resumed = space.post(&path("resume"), json!({})).await;
    assert_eq!(resumed.status, 409, "{}", resumed.text);
    let path = format!("/integrations/{}/uninstall", made.id);
    space.post(&path, json!({})).await.ok();
}

/// At the quota of events every call that writes documents is refused in the words of its dialect, elements that were
/// queued before included. Calls that end a document are not.
#[tokio::test]
async fn documents_are_charged_however_they_are_made() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let draft = us.draft().await;
    let sent = us.sent(&[&them.bin]).await;
    let blob = us.content("b.pdf", PDF).await;
    for company in [&us, &them] {
        set(&exchange.hub, &company.name, json!({ "events": 1 })).await;
    }
    let bulk = |data: &Value| json!({ "operations": [{ "data": data }] });
    let (metadata, route) = (us.metadata(&[&blob]), us.to(&draft, &[&them.bin]));
    let sign = json!({ "documentId": draft, "signedByEmployeeId": us.employee });
    let load = json!({ "documentId": draft });
    let content = "signature/content-to-sign/generate";
    for (path, body) in [
        (CREATE.to_owned(), metadata.clone()),
        (QUICK.to_owned(), route.clone()),
        (ROUTE.to_owned(), route.clone()),
        (format!("{V3}/sync/external/outbox/{content}"), sign.clone()),
        (
            format!("{V3}/async/bulk/external/outbox/document/create"),
            bulk(&metadata),
        ),
        (
            format!("{V3}/async/bulk/external/outbox/route/quick-route/create"),
            bulk(&route),
        ),
        (
            format!("{V3}/async/bulk/external/outbox/{content}"),
            bulk(&sign),
        ),
        (
            format!("{V3}/async/documents/download/bulk-download"),
            bulk(&load),
        ),
    ] {
        let refused = us.api.post(&path, body).await;
        assert_eq!(refused.status, 400, "{path}: {}", refused.text);
        let said = &refused["errors"][0];
        assert_eq!(said["errorCode"], "VALIDATION_ERROR", "{path}");
        let words = said["errorDescription"].as_str().unwrap_or_default();
        assert!(
            words.contains("Квота") && words.contains("events"),
            "{path}: {words}"
        );
    }
    assert_eq!(us.status(&draft).await, "DRAFT");
    them.act(REJECT, &sent, json!({ "reason": "no" }))
        .await
        .ok();
    let path = format!("{V3}/sync/external/outbox/document/{draft}");
    let gone = us.api.delete(&path).await;
    assert!(gone.status < 300, "{}", gone.text);
}

#[tokio::test]
async fn a_nearly_exhausted_quota_is_reported() {
    let log = CapturedLog::new();
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    company(&space, "a").await;
    let used = shown(&hub, "acme").await["entities"]["used"].as_i64();
    let used = used.expect("a number");
    set(&hub, "acme", json!({ "entities": used + used / 10 })).await;
    let metrics = hub.anonymous().get("/metrics").await.ok().text;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("prichal_quota_used_ratio{"))
        .expect("a metric");
    assert!(line.contains("quota=\"entities\""), "{line}");
    assert!(log.has("has used 80 % of its quota of"));
    assert!(log.has("event=\"quota_changed\""));
}
