//! Servers that are killed under load: no acknowledged change, call, hook or bulk element is lost.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use prichal::cli::pbx::{
    plan::{self, Chaos},
    play::{self, Player},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{
    channel_workspace::RUNS,
    hub::{Caller, Database, anonymous_at, eventually, spawn},
    integration::Integration,
    receiver::{Receiver, Reply},
    server_process::{LOG, ServerProcess, children, free_address, whole_feed},
};

/// The promise: every acknowledged change is in the feed exactly once, in order, and reaches the receiver at least
/// once, whenever the process is killed.
#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_it_loses_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = Database::new();
    let receiver = Receiver::good().await;
    let mut server = ServerProcess::start(folder.path(), &database).await;
    assert_eq!(
        server
            .admin()
            .post("/admin/v1/workspaces", json!({ "name": "acme" }))
            .await
            .status,
        201
    );
    let token = server
        .admin()
        .post(
            "/admin/v1/workspaces/acme/tokens",
            json!({ "name": "t", "role": "admin" }),
        )
        .await;
    let space = server
        .admin()
        .bearer(&token.str("token"))
        .at("/api/v1/acme");
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    integration.subscribe().await;

    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..3 {
        let here = anonymous_at(&server.url)
            .bearer(&token.str("token"))
            .at("/api/v1/acme");
        let mut load = JoinSet::new();
        for n in 0..16 {
            let space = here.clone();
            load.spawn(async move {
                let mut made = Vec::new();
                for turn in 0..10_000 {
                    let body = json!({ "name": format!("{round}-{n}-{turn}") });
                    match space.try_post("/companies", body).await {
                        Some(answer) if answer.status == 200 => made.push(answer.str("id")),
                        Some(answer) => assert_eq!(answer.status, 503, "{}", answer.text),
                        None => break,
                    }
                }
                made
            });
        }
        // Kills the server in the middle of the load.
        receiver.take(200).await;
        server.kill();
        acknowledged.extend(load.join_all().await.concat());
        server = ServerProcess::start(folder.path(), &database).await;
    }
    assert!(
        acknowledged.len() >= 300,
        "there was something to lose: {}",
        acknowledged.len()
    );

    let space = anonymous_at(&server.url)
        .bearer(&token.str("token"))
        .at("/api/v1/acme");
    let feed = whole_feed(&space).await;
    let mut listed: HashMap<String, usize> = HashMap::new();
    for event in &feed {
        if let Some(id) = event["entityIds"]["companyId"].as_str() {
            *listed.entry(id.to_owned()).or_default() += 1;
        }
    }
    assert!(
        acknowledged.iter().all(|id| listed.get(id) == Some(&1)),
        "each acknowledged change is in the feed exactly once"
    );
    let offsets: Vec<&str> = feed
        .iter()
        .map(|event| event["offset"].as_str().expect("an offset"))
        .collect();
    assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]));

    // Each at least once. Calls that were received above, while waiting for the load, count too.
    eventually("every event reaches the receiver", || async {
        let mut ids = listed.keys();
        ids.all(|id| receiver.ever_saw(id)).then_some(())
    })
    .await;
    assert_eq!(server.terminate(), Some(0), "a clean stop");
}

/// The integration may have dialled before the server was killed: a call request sent again under its key is not
/// passed on a second time.
#[tokio::test]
async fn killed_while_it_dials_it_does_not_dial_again() {
    let receiver = Receiver::start(|_| Reply::Silence).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = Database::new();
    let listen = free_address();
    let server = ServerProcess::start_at(&listen, folder.path(), &database).await;
    let admin = server.admin();
    let made = admin.post("/admin/v1/workspaces", json!({ "name": "acme" }));
    assert_eq!(made.await.status, 201);
    let space = admin.at("/api/v1/acme");
    let pbx = Integration::install(&space, "pbx", &receiver.url).await;
    let features = json!({ "call": true });
    pbx.patch(json!([{ "op": "replace", "path": "/features", "value": features }]))
        .await
        .ok();
    let caller = space.clone().header("idempotency-key", "1");
    let wish = json!({ "clientPhone": "79997775533" });
    let (lost, call) = tokio::join!(
        caller.try_post("/communications/call", wish.clone()),
        async {
            let call = receiver.next().await;
            server.kill();
            call
        }
    );
    assert!(lost.is_none());
    receiver.answer(|_| Reply::Good);

    let _server = ServerProcess::start_at(&listen, folder.path(), &database).await;
    let again = caller.post("/communications/call", wish).await;
    assert_eq!(
        (again.status, &again["status"]),
        (409, &json!("notAnswered"))
    );
    let id = again.header("x-xcom-communicationid");
    assert_eq!(id, call.json()["communicationId"].as_str());
    assert_eq!(receiver.waiting(), 0);
}

/// Messages about calls during repeated kills: accepted ones are kept, so that each call is right in the end.
#[tokio::test(flavor = "multi_thread")]
async fn killed_among_calls_it_loses_no_call() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = Database::new();
    let listen = free_address();
    let mut server = ServerProcess::start_at(&listen, folder.path(), &database).await;
    let made = server
        .admin()
        .post("/admin/v1/workspaces", json!({ "name": "acme" }))
        .await;
    assert_eq!(made.status, 201);
    let token = server
        .admin()
        .post(
            "/admin/v1/workspaces/acme/tokens",
            json!({ "name": "t", "role": "admin" }),
        )
        .await;
    let token = token["token"].as_str().expect("a token").to_owned();
    let mut pbx = play::Server {
        client: reqwest::Client::new(),
        url: server.url.clone(),
        workspace: "acme".into(),
        api_key: String::new(),
    };
    pbx.api_key = play::install(&pbx, &token, "pbx", "http://127.0.0.1:9")
        .await
        .expect("installed");
    let begin = prichal::platform::clock::Clock::System.now();
    let calls: Vec<plan::Call> = (0..300)
        .map(|n| plan::Call::random(9, n, begin, &[]))
        .collect();
    let chaos = Chaos {
        shuffle: 0.5,
        duplicate: 0.2,
        drop: 0.2,
        delay: Duration::from_millis(5),
    };
    let player = Player::new(pbx.clone(), chaos, Duration::from_millis(20)).await;
    let player = Arc::new(player.expect("an access key"));
    let telling = {
        let (player, calls) = (player.clone(), calls.clone());
        spawn(async move { player.tell_all(calls, 16, 1).await })
    };
    for count in [20, 60, 100] {
        eventually(&format!("{count} calls are told"), || async {
            (player.tally().calls >= count).then_some(())
        })
        .await;
        let is_first = count == 20;
        assert!(
            !is_first || !telling.is_finished(),
            "all was told before the first kill"
        );
        server.kill();
        server = ServerProcess::start_at(&listen, folder.path(), &database).await;
    }
    telling.await.expect("no panic");
    let tally = player.tally();
    assert_eq!(tally.complaints, [] as [&str; 0]);
    let wrong = play::verify(&pbx, &token, "pbx", &calls)
        .await
        .expect("read");
    assert_eq!(wrong, [] as [&str; 0]);
}

/// Hooks answered during repeated kills: each is run, and the changes of its script are made once. The script
/// processes end with the server.
#[tokio::test(flavor = "multi_thread")]
async fn killed_among_hooks_it_runs_them_all() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = Database::new();
    let listen = free_address();
    let mut server = ServerProcess::start_at(&listen, folder.path(), &database).await;
    let made = server
        .admin()
        .post("/admin/v1/workspaces", json!({ "name": "acme" }))
        .await;
    assert_eq!(made.status, 201);
    let body = json!({ "name": "t", "role": "admin" });
    let token = server
        .admin()
        .post("/admin/v1/workspaces/acme/tokens", body)
        .await
        .str("token");
    let rest = anonymous_at(&server.url).bearer(&token);
    let source = "entities.create('companies', {name: request.body.name})";
    let data = json!({ "language": "javascript", "source": source });
    let script = json!({ "code": "s", "name": "s", "scriptdata": data });
    rest.post("/rest/v1/service/svcscripts", script).await.ok();
    let channel = json!({ "code": "c", "type": "public", "recv_svcscriptcode": "s" });
    let channel = rest
        .post("/rest/v1/service/integration_points", channel)
        .await
        .ok();
    let channel = channel.str("token_local");

    let mut accepted: Vec<String> = Vec::new();
    for round in 0..3 {
        let mut load = JoinSet::new();
        let count = Arc::new(AtomicUsize::new(0));
        for n in 0..8 {
            let hooks = anonymous_at(&server.url).bearer(&channel);
            let count = count.clone();
            load.spawn(async move {
                let mut names = Vec::new();
                for turn in 0..10_000 {
                    let name = format!("{round}-{n}-{turn}");
                    match hooks.try_post("/exec", json!({ "name": name })).await {
                        Some(answer) if answer.status == 200 => {
                            names.push(name);
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                        Some(answer) => assert_eq!(answer.status, 503, "{}", answer.text),
                        None => break,
                    }
                }
                names
            });
        }
        eventually("many hooks are accepted", || async {
            (count.load(Ordering::Relaxed) >= 100).then_some(())
        })
        .await;
        let workers = children(server.child.id());
        server.kill();
        accepted.extend(load.join_all().await.concat());
        let is_gone = |id: &u32| !Path::new(&format!("/proc/{id}/cwd")).exists();
        eventually("nothing is left of its processes", || async {
            workers.iter().all(is_gone).then_some(())
        })
        .await;
        server = ServerProcess::start_at(&listen, folder.path(), &database).await;
    }
    assert!(
        accepted.len() >= 100,
        "there was something to lose: {}",
        accepted.len()
    );

    let space = anonymous_at(&server.url).bearer(&token).at("/api/v1/acme");
    let queued = format!("{RUNS}?limit=1&filter=%7B%22status%22%3A%22queued%22%7D");
    eventually("no hook waits", || async {
        let waiting = space.at("").get(&queued).await.ok();
        (waiting.text == "[]").then_some(())
    })
    .await;
    let mut made: HashMap<String, usize> = HashMap::new();
    for event in whole_feed(&space).await {
        if let Some(name) = event["changeData"]["new"]["name"].as_str() {
            *made.entry(name.to_owned()).or_default() += 1;
        }
    }
    for name in &accepted {
        assert_eq!(made.get(name), Some(&1), "{name}");
    }
}

/// The states of these elements of a bulk call.
async fn bulk_states(api: &Caller, call: &str, elements: &[Value]) -> Vec<Value> {
    let ids = elements.iter().map(|one| &one["operationId"]);
    let asked: Vec<Value> = ids.map(|id| json!({ "operationId": id })).collect();
    let body = json!({ "operations": asked });
    let answer = api.post(&format!("{call}/status"), body).await.ok();
    answer["operations"].as_array().expect("a list").clone()
}

fn is_completed(element: &Value) -> bool {
    element["operationStatus"] == "CompletedWithOk"
}

/// Bulk calls answered during repeated kills: each element ends once, as its companion shows.
#[tokio::test(flavor = "multi_thread")]
async fn killed_among_bulk_calls_each_element_ends_once() {
    const CALL: &str = "/api/v3/async/bulk/external/outbox/document/create";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = Database::new();
    let listen = free_address();
    let mut server = ServerProcess::start_at(&listen, folder.path(), &database).await;
    let workspace = json!({ "name": "acme", "bin": "971240001315" });
    let made = server.admin().post("/admin/v1/workspaces", workspace).await;
    assert_eq!(made.status, 201);
    let body = json!({ "name": "t", "role": "admin" });
    let token = server
        .admin()
        .post("/admin/v1/workspaces/acme/tokens", body)
        .await
        .str("token");
    let api = anonymous_at(&server.url).bearer(&token);
    let user = json!({ "login": "head", "isAdmin": true });
    api.at("/api/v1/acme").post("/users", user).await.ok();
    let form = "--x\r\nContent-Disposition: form-data; name=\"documentContent\"; filename=\"a.txt\"\r\n\r\ntext\r\n--x--\r\n";
    let blob = api
        .clone()
        .header("content-type", "multipart/form-data; boundary=x")
        .send(
            reqwest::Method::POST,
            "/api/v3/sync/blobs/document-content",
            Some(form.into()),
        )
        .await
        .ok();
    let blob = blob["response"]["blobId"].clone();

    let mut told: Vec<Value> = Vec::new();
    for round in 0..3 {
        let elements: Vec<Value> = (0..500)
            .map(|n| {
                let metadata = json!({
                    "documentName": "n", "documentNumber": format!("{round}-{n}"), "documentDate": 1, "documentGroup": "HR",
                });
                let contents = json!([{ "blobId": blob }]);
                json!({ "data": { "documentMetadata": metadata, "documentBinaryContents": contents } })
            })
            .collect();
        let answer = api.post(CALL, json!({ "operations": elements })).await.ok();
        let started = answer["operations"].as_array().expect("a list");
        told.extend(started.clone());
        // The first kill comes at once, the others in the middle of the elements.
        eventually("some elements have ended", || async {
            let ended = bulk_states(&api, CALL, started).await;
            let ended = ended.iter().filter(|one| is_completed(one)).count();
            (ended >= 50 * round).then_some(())
        })
        .await;
        server.kill();
        server = ServerProcess::start_at(&listen, folder.path(), &database).await;
    }
    let mut ids = Vec::new();
    for chunk in told.chunks(500) {
        let ended = eventually("all elements end", || async {
            let told = bulk_states(&api, CALL, chunk).await;
            told.iter().all(is_completed).then_some(told)
        })
        .await;
        ids.extend(ended.iter().map(|one| one["data"]["id"].to_string()));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 1500, "each is another document");
    let path = "/api/v3/sync/external/documents-query/outbox";
    let found = api.post(path, json!({ "top": 1 })).await.ok();
    assert_eq!(
        found["response"]["totalSize"], 1500,
        "and there are no others"
    );
}

/// A run that kills the server does so at most three times. All other work goes on, and an administrator can release
/// the run.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_kills_the_server_is_held_after_three_deaths() {
    let receiver = Receiver::start(|call| match call.path.as_str() {
        "/poison" => Reply::Silence,
        _ => Reply::Good,
    })
    .await;
    let (folder, database) = (
        tempfile::tempdir().expect("a temporary folder"),
        Database::new(),
    );
    let listen = free_address();
    let mut server = ServerProcess::start_at(&listen, folder.path(), &database).await;
    let admin = server.admin();
    let made = admin.post("/admin/v1/workspaces", json!({ "name": "acme" }));
    assert_eq!(made.await.status, 201);
    let token = json!({ "name": "t", "role": "admin" });
    let token = admin.post("/admin/v1/workspaces/acme/tokens", token).await;
    let space = anonymous_at(&server.url).bearer(&token.str("token"));
    let source = "await fetch(request.entity.url)";
    let script = json!({ "code": "s", "name": "s", "scriptdata": { "language": "javascript", "source": source } });
    space.post("/rest/v1/service/svcscripts", script).await.ok();
    let mut holders = Vec::new();
    for code in ["poison", "good"] {
        let url = format!("{}/{code}", receiver.url);
        let channel =
            json!({ "code": code, "type": "public", "recv_svcscriptcode": "s", "url": url });
        let points = "/rest/v1/service/integration_points";
        let channel = space.post(points, channel).await.ok();
        holders.push(anonymous_at(&server.url).bearer(&channel.str("token_local")));
    }
    holders[0].post("/exec", json!({})).await.ok();
    for _ in 0..3 {
        assert_eq!(receiver.next().await.path, "/poison");
        server.kill();
        server = ServerProcess::start_at(&listen, folder.path(), &database).await;
    }

    let held = || async {
        let list = admin.get("/admin/v1/quarantine?workspace=acme&kind=run");
        list.await.ok()["items"].as_array().expect("a list").clone()
    };
    eventually("it is held", || async {
        (held().await.len() == 1).then_some(())
    })
    .await;
    let item = held().await[0].clone();
    assert_eq!((&item["deaths"], &item["kind"]), (&json!(3), &json!("run")));
    let log = std::fs::read_to_string(folder.path().join(LOG)).expect("a log");
    assert!(log.contains("the item is in quarantine"), "{log}");
    let metrics = admin.get("/metrics").await.text;
    assert!(metrics.contains("prichal_quarantined 1"), "{metrics}");
    holders[1].post("/exec", json!({})).await.ok();
    assert_eq!(receiver.next().await.path, "/good");
    assert_eq!(receiver.waiting(), 0, "what is held is not tried");

    receiver.answer(|_| Reply::Good);
    let id = item["id"].as_str().expect("an id");
    let path = format!("/admin/v1/quarantine/{id}/release");
    assert_eq!(admin.post(&path, json!({})).await.status, 204);
    assert_eq!(receiver.next().await.path, "/poison");
    assert_eq!(held().await, Vec::<Value>::new());
    assert_eq!(admin.post(&path, json!({})).await.status, 404);
}
