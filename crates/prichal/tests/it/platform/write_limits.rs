//! The limit of bytes that a workspace may write in a minute.

use std::{sync::Arc, time::Duration};

use prichal_store::bulk;
use reqwest::Method;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::harness::{
    channel_workspace::{ChannelWorkspace, SCRIPTS},
    document_exchange::{CREATE, Company, DocumentExchange, PDF},
    hub::{Answer, Hub, eventually},
    receiver::{Receiver, Reply},
};

#[tokio::test]
async fn a_workspace_that_has_written_too_much_waits() {
    let hub = Hub::with(|config| config.write_bytes_per_minute = 100_000).await;
    let (much, little) = (hub.workspace("much").await, hub.workspace("little").await);
    let long = json!({ "name": "x".repeat(900) });
    let mut made = 0;
    let refused = loop {
        let answer = much.post("/companies", long.clone()).await;
        if answer.status != 200 {
            break answer;
        }
        made += 1;
        assert!(made < 1000, "it goes on for ever");
    };
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("60"))
    );
    assert_eq!(refused["status"], "tooManyRequests");
    // The same refusal in the other dialects.
    let script = json!({ "code": "s" });
    let refused = much.at("").post(SCRIPTS, script.clone()).await;
    assert_eq!(
        (refused.status, &refused["error_code"]),
        (429, &json!(1429))
    );
    // Reads and other workspaces go on.
    let listed = much.get("/companies?limit=1000").await.ok();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(made));
    little.post("/companies", long.clone()).await.ok();
    hub.advance(Duration::from_secs(59));
    assert_eq!(much.post("/companies", long.clone()).await.status, 429);
    hub.advance(Duration::from_secs(1));
    much.post("/companies", long).await.ok();
}

/// A hook is charged for its run and for the writes of its script, with every method.
#[tokio::test]
async fn hooks_of_any_method_count() {
    let era =
        ChannelWorkspace::at(Hub::with(|config| config.write_bytes_per_minute = 50_000).await)
            .await;
    let source = "for (let n = 0; n < 30; n++) entities.create('companies', {name: 'x'.repeat(900)}); respond(200)";
    let channel = era.sync_channel("bot", source).await;
    let path = format!("/hook/{}", channel.token);
    let anybody = era.hub.anonymous();
    let mut answered = 0;
    while anybody.get(&path).await.status == 200 {
        answered += 1;
        assert!(answered < 20, "it goes on for ever");
    }
    assert!(answered > 0);
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST] {
        let refused = anybody.send(method.clone(), &path, None).await;
        assert_eq!(refused.status, 429, "{method}");
    }
    era.hub.advance(Duration::from_mins(1));
    assert_eq!(anybody.get(&path).await.status, 200);
}

/// Accepted work waits for the next minute. The work of others goes on.
#[tokio::test]
async fn runs_of_a_workspace_that_has_written_too_much_wait() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let receiver = Receiver::start(move |call| match call.path.as_str() {
        "/much" => Reply::Held(held.clone()),
        _ => Reply::Good,
    })
    .await;
    let era =
        ChannelWorkspace::at(Hub::with(|config| config.write_bytes_per_minute = 100_000).await)
            .await;
    let source = "await fetch(request.entity.url); for (let n = 0; n < 30; n++) entities.create('companies', {name: 'x'.repeat(900)});";
    era.script("c", source).await;
    let url = |name: &str| format!("{}/{name}", receiver.url);
    let members = json!({ "recv_svcscriptcode": "c", "url": url("much") });
    let channel = era.channel("much", members).await;
    // More than the runs that go on at once.
    for _ in 0..30 {
        era.hook(&channel, json!({})).await.ok();
    }
    receiver.next().await;
    gate.add_permits(1000);
    eventually("it has written too much", || async {
        (era.hook(&channel, json!({})).await.status == 429).then_some(())
    })
    .await;
    let ChannelWorkspace { hub, space, rest } = era;
    let other = ChannelWorkspace {
        space: hub.workspace("other").await,
        rest: hub.token("other", "admin").await.at(""),
        hub,
    };
    other.script("d", "await fetch(request.entity.url)").await;
    let members = json!({ "recv_svcscriptcode": "d", "url": url("little") });
    let little = other.channel("little", members).await;
    for _ in 0..3 {
        other.hook(&little, json!({})).await.ok();
    }
    other.wait_until_drained().await;
    let hub = other.hub;
    let era = ChannelWorkspace { hub, space, rest };
    let ended = async || {
        let runs = era.runs("c").await;
        let ended = runs.iter().filter(|run| run["status"] == "finished");
        (ended.count(), runs.len())
    };
    let (some, all) = ended().await;
    assert!(some < 20 && all >= 30, "{some} of {all}");
    era.hub.advance(Duration::from_mins(1));
    eventually("more of them end", || async {
        (ended().await.0 > some).then_some(())
    })
    .await;
}

/// Elements that were accepted before are not taken up until the next minute.
#[tokio::test]
async fn elements_of_a_company_that_has_written_too_much_wait() {
    let exchange = DocumentExchange::with(|config| config.write_bytes_per_minute = 400_000).await;
    let (much, little) = (exchange.company(0).await, exchange.company(1).await);
    let path = "/api/v3/async/bulk/external/outbox/document/create";
    let start = async |company: &Company, count: usize| {
        let blob = company.content("a.pdf", PDF).await;
        let element = json!({ "data": company.metadata(&[&blob]) });
        let elements = vec![element; count];
        let asked = json!({ "operations": elements });
        company.api.post(path, asked).await.ok()
    };
    let one_done = async |company: &Company, started: &Answer| {
        let ask = json!({ "operations": started["operations"] });
        let told = company.api.post(&format!("{path}/status"), ask).await.ok();
        told["operations"][0]["operationStatus"] == "CompletedWithOk"
    };
    let waiting = async || {
        let waiting = exchange.hub.app.db.read(bulk::count_waiting).await;
        waiting.expect("read")
    };
    start(&much, 600).await;
    let one = start(&little, 1).await;
    eventually("the other's is done", || async {
        one_done(&little, &one).await.then_some(())
    })
    .await;
    assert!(waiting().await > 300);
    eventually("all are done some time", || async {
        exchange.hub.advance(Duration::from_mins(1));
        (waiting().await == 0).then_some(())
    })
    .await;
}

/// Hooks count as writes with every method, look-ups by POST do not.
#[tokio::test]
async fn writes_are_recognized_by_operation_not_by_method() {
    let hub = Hub::with(|config| config.write_bytes_per_minute = 100_000).await;
    let era = ChannelWorkspace::at(hub).await;
    let channel = era.sync_channel("s", "respond(200)").await;
    era.token_holder(&channel).get("/exec").await.ok();
    let long = json!({ "name": "x".repeat(900) });
    let full = async || era.space.post("/companies", long.clone()).await.status == 429;
    let mut made = 0;
    while !full().await {
        made += 1;
        assert!(made < 1000, "it goes on for ever");
    }
    assert_eq!(era.token_holder(&channel).get("/exec").await.status, 429);
    let found = era.look_up(SCRIPTS, json!("s")).await.ok();
    let overridden = era.rest.clone().header("x-http-method-override", "LOOKUP");
    let again = overridden.post(SCRIPTS, json!("s")).await.ok();
    assert_eq!(found.text, again.text);
}

/// Calls that only read go on, although they are POSTs; every other POST waits.
#[tokio::test]
async fn queries_go_on_when_too_much_was_written() {
    let exchange = DocumentExchange::with(|config| config.write_bytes_per_minute = 200_000).await;
    let us = exchange.company(0).await;
    let draft = us.draft().await;
    let blob = us.content("b.pdf", PDF).await;
    let metadata = us.metadata(&[&blob]);
    let mut made = 0;
    while us.api.post(CREATE, metadata.clone()).await.status != 429 {
        made += 1;
        assert!(made < 1000, "it goes on for ever");
    }
    let operations = exchange.hub.operations(&["/api/v3/"]).await;
    let mut reading = 0;
    for operation in operations {
        let Some(path) = operation.strip_prefix("POST ") else {
            continue;
        };
        let only_reads = path.ends_with("/status")
            || path.contains("/documents-query/")
            || path.contains("/references/")
            || path.ends_with("/signature/verify")
            || path.ends_with("/bulk/operations");
        reading += usize::from(only_reads);
        let answer = us.api.post(path, json!({})).await;
        assert_eq!(answer.status != 429, only_reads, "{path}: {}", answer.text);
    }
    assert!(reading > 15, "{reading}");
    assert_eq!(us.status(&draft).await, "DRAFT");
}
