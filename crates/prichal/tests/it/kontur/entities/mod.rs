//! Entities, batches, links (`docs/contracts/prichal.md §5`, `docs/contracts/kontur.md §3, §4.8, §5`).

mod batches;
mod collections;
mod links;
mod patches;

use serde_json::{Value, json};

use crate::harness::hub::{Answer, Caller, Hub};

const UNKNOWN_ID: &str = "00000000-0000-0000-0000-000000000001";

async fn hub_and_space() -> (Hub, Caller) {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    (hub, space)
}

async fn events(space: &Caller) -> Vec<Value> {
    space.get("/events?limit=1000").await.ok()["items"]
        .as_array()
        .expect("items")
        .clone()
}

/// The members of a refused patch that name the wrong operations.
fn patch_error(answer: &Answer, list: &str) -> Value {
    assert_eq!(answer.status, 409, "{}", answer.text);
    assert_eq!(
        (&answer["isSuccessful"], &answer["responseCode"]),
        (&json!(false), &json!("conflict"))
    );
    assert_eq!(answer["errorInfo"]["status"], "invalidArgs");
    assert_eq!(
        answer["errorInfo"]["message"],
        "Patch contains invalid operations"
    );
    answer["errorInfo"][list].clone()
}
