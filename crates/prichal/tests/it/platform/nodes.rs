//! Several nodes on one PostgreSQL, with and without a bus. SQLite has one node only.

use std::{collections::HashSet, time::Duration};

use serde_json::json;

use crate::harness::{
    document_exchange::{DocumentExchange, PDF},
    hub::{Hub, Installation, eventually},
    integration::{Integration, company},
    receiver::{Receiver, Reply},
};

/// Two nodes, and an integration that is subscribed to companies.
async fn two_nodes(installation: &Installation, receiver: &Receiver) -> (Hub, Hub, Integration) {
    let first = installation.start().await;
    let space = first.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    integration.subscribe().await;
    company(&space, "before").await;
    assert_eq!(
        receiver.next().await.new_member("name"),
        "before",
        "the first node has the webhook"
    );
    let second = installation.second_node().start().await;
    (first, second, integration)
}

/// Moves the clock on in steps until the question has an answer.
async fn as_time_passes<T, F: Future<Output = Option<T>>>(
    hub: &Hub,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    eventually(what, || {
        hub.advance(Duration::from_millis(250));
        ask()
    })
    .await
}

#[tokio::test]
#[ignore = "needs PostgreSQL and NATS; ./test has them"]
async fn events_of_one_node_are_delivered_by_the_other() {
    let receiver = Receiver::good().await;
    let installation = Installation::new(|_| ());
    let (first, second, integration) = two_nodes(&installation, &receiver).await;
    let elsewhere = second.adopt(&integration.space);
    for n in 0..20 {
        company(&elsewhere, &n.to_string()).await;
    }
    as_time_passes(&first, "the calls", || async {
        (receiver.waiting() == 20).then_some(())
    })
    .await;
    let names: HashSet<_> = receiver
        .take(20)
        .await
        .iter()
        .map(|call| call.new_member("name").to_string())
        .collect();
    assert_eq!(names.len(), 20, "each once");
}

#[tokio::test]
#[ignore = "needs PostgreSQL and NATS; ./test has them"]
async fn a_node_that_dies_is_taken_over_from() {
    let receiver = Receiver::good().await;
    let installation = Installation::new(|_| ());
    let (first, second, integration) = two_nodes(&installation, &receiver).await;
    let elsewhere = second.adopt(&integration.space);
    first.kill();
    for n in 0..20 {
        company(&elsewhere, &n.to_string()).await;
    }
    as_time_passes(&second, "the calls", || async {
        (receiver.waiting() >= 20).then_some(())
    })
    .await;
    let names: HashSet<_> = receiver
        .take(20)
        .await
        .iter()
        .map(|call| call.new_member("name").to_string())
        .collect();
    assert_eq!(names.len(), 20);
}

#[tokio::test]
#[ignore = "needs PostgreSQL and NATS; ./test has them"]
async fn a_node_that_stops_hands_over_and_repeats_nothing() {
    let receiver = Receiver::start(|call| {
        if call.new_member("name") == "bad" {
            Reply::Status(500)
        } else {
            Reply::Good
        }
    })
    .await;
    let installation = Installation::new(|_| ());
    let (first, second, integration) = two_nodes(&installation, &receiver).await;
    company(&integration.space, "bad").await;
    receiver.next().await;
    integration.attempts(2).await;
    let elsewhere = second.adopt(&integration.space);
    first.stop().await;
    company(&elsewhere, "after").await;
    as_time_passes(&second, "the call", || async {
        (receiver.waiting() >= 1).then_some(())
    })
    .await;
    assert_eq!(receiver.next().await.new_member("name"), "after");
    receiver.answer(|_| Reply::Good);
    second.advance(Duration::from_secs(40));
    as_time_passes(&second, "the retry", || async {
        (receiver.waiting() >= 1).then_some(())
    })
    .await;
    assert_eq!(receiver.next().await.new_member("name"), "bad");
}

/// The manual clock stands still, so that no node polls: the news came over the bus.
#[tokio::test]
#[ignore = "needs PostgreSQL and NATS; ./test has them"]
async fn the_bus_wakes_the_other_node_at_once() {
    let bus = std::env::var("PRICHAL_TEST_NATS").expect("PRICHAL_TEST_NATS names a server");
    let receiver = Receiver::good().await;
    let installation = Installation::new(move |config| config.bus_url = Some(bus.clone().into()));
    let (_first, second, integration) = two_nodes(&installation, &receiver).await;
    let elsewhere = second.adopt(&integration.space);
    company(&elsewhere, "told").await;
    assert_eq!(receiver.next().await.new_member("name"), "told");
}

/// The manual clock stands still here, too: what is sent again on request does not wait for a poll of the webhook's node.
#[tokio::test]
#[ignore = "needs PostgreSQL and NATS; ./test has them"]
async fn the_bus_wakes_the_other_node_for_what_is_sent_again() {
    let bus = std::env::var("PRICHAL_TEST_NATS").expect("PRICHAL_TEST_NATS names a server");
    let receiver = Receiver::good().await;
    let installation = Installation::new(move |config| config.bus_url = Some(bus.clone().into()));
    let (_first, second, integration) = two_nodes(&installation, &receiver).await;
    let call = &integration.attempts(1).await[0];
    let elsewhere = second.adopt(&integration.space);
    let id = call["id"].as_str().expect("an id");
    let resend = format!("/deliveries/{id}/resend");
    assert_eq!(elsewhere.post(&resend, json!({})).await.status, 202);
    let again = receiver.next().await;
    assert_eq!(again.header("x-prichal-replay"), Some("true"));
}

#[tokio::test]
#[ignore = "needs PostgreSQL and NATS; ./test has them"]
async fn revocations_reach_the_other_node() {
    let receiver = Receiver::good().await;
    let installation = Installation::new(|_| ());
    let (first, second, integration) = two_nodes(&installation, &receiver).await;
    let key = integration.access_key().await;
    let elsewhere = second.adopt(&integration.space.access_key(&key));
    elsewhere.get("/companies").await.ok();
    integration
        .space
        .post(
            &format!("/integrations/{}/uninstall", integration.id),
            json!({}),
        )
        .await
        .ok();
    as_time_passes(&first, "the key dies there", || async {
        (elsewhere.get("/companies").await.status == 401).then_some(())
    })
    .await;
    let made = second.adopt(&second.token("acme", "member").await);
    made.get("/companies").await.ok();
    let listed = first
        .admin()
        .get("/admin/v1/workspaces/acme/tokens")
        .await
        .ok();
    for token in listed["items"].as_array().expect("items") {
        let path = format!(
            "/admin/v1/workspaces/acme/tokens/{}",
            token["id"].as_str().expect("an id")
        );
        assert_eq!(first.admin().delete(&path).await.status, 204);
    }
    as_time_passes(&first, "the token dies there", || async {
        (made.get("/companies").await.status == 401).then_some(())
    })
    .await;
}

/// Bulk elements that one node accepted and did not begin are done by another.
#[tokio::test]
#[ignore = "needs PostgreSQL; ./test has it"]
async fn elements_queued_on_one_node_are_done_by_the_other() {
    const CALL: &str = "/api/v3/async/bulk/external/outbox/document/create";
    let exchange = DocumentExchange::new().await;
    let mut us = exchange.company(0).await;
    let blob = us.content("a.pdf", PDF).await;
    let second = exchange.hub.installation.second_node().start().await;
    let elements: Vec<_> = (0..400)
        .map(|_| json!({ "data": us.metadata(&[&blob]) }))
        .collect();
    let started = us
        .api
        .post(CALL, json!({ "operations": elements }))
        .await
        .ok();
    exchange.hub.kill();
    us.api = second.adopt(&us.api);
    let ended = as_time_passes(&second, "another node does the rest", || async {
        let ids: Vec<_> = started["operations"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| json!({ "operationId": one["operationId"] }))
            .collect();
        let answer = us
            .api
            .post(&format!("{CALL}/status"), json!({ "operations": ids }))
            .await
            .ok();
        let told = answer["operations"].as_array().expect("a list").clone();
        told.iter()
            .all(|one| one["operationStatus"] == "CompletedWithOk")
            .then_some(told)
    })
    .await;
    let documents: HashSet<_> = ended
        .iter()
        .map(|one| one["data"]["id"].to_string())
        .collect();
    assert_eq!(documents.len(), 400);
    let path = "/api/v3/sync/external/documents-query/outbox";
    let found = us.api.post(path, json!({ "top": 1 })).await.ok();
    assert_eq!(found["response"]["totalSize"], 400, "each once");
}

#[tokio::test]
#[ignore = "needs PostgreSQL and NATS; ./test has them"]
async fn the_audit_log_has_the_acts_of_both_nodes() {
    let installation = Installation::new(|_| ());
    let first = installation.start().await;
    let space = first.workspace("acme").await;
    let second = installation.second_node().start().await;
    let elsewhere = second.adopt(&space);
    for space in [&space, &elsewhere] {
        let settings = space.patch(
            "/settings",
            json!([{ "op": "replace", "path": "/phoneRegion", "value": "KZ" }]),
        );
        settings.await.ok();
        let body = json!({ "name": "mine" });
        let refused = space.at("").post("/admin/v1/workspaces", body).await;
        assert_eq!(refused.status, 403);
    }
    for space in [&space, &elsewhere] {
        eventually("the records of both nodes", || async {
            let page = space.get("/audit?actorKind=token").await.ok();
            let items = page["items"].as_array().expect("items").clone();
            let count = |action: &str| items.iter().filter(|one| one["action"] == action).count();
            let both = (
                count("settings.patch_settings"),
                count("administration.create_workspace"),
            );
            (items.len() == 4 && both == (2, 2)).then_some(())
        })
        .await;
    }
}
