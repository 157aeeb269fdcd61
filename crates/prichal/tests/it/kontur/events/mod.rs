//! Events of a workspace's own types: their registry, publishing, and delivery (`docs/contracts/prichal.md §5`).

mod deliveries;
mod publishing;
mod types;

use serde_json::{Value, json};

use crate::harness::hub::Caller;

/// An order type with one version, which needs a `sum`.
async fn order_type(space: &Caller) {
    let body =
        json!({ "name": "order.created", "versions": [{ "version": 1, "schema": order() }] });
    space.post("/event-types", body).await.ok();
}

fn order() -> Value {
    json!({
        "type": "object",
        "required": ["sum"],
        "properties": { "sum": { "type": "number", "minimum": 0 } }
    })
}

/// The events of own types in the feed.
async fn published(space: &Caller) -> Vec<Value> {
    let page = space.get("/events?eventTypes=*&limit=1000").await.ok();
    page["items"].as_array().expect("items").clone()
}
