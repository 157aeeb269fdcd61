use serde_json::{Value, json};

use super::Figures;
use crate::{
    Language, Role,
    testing::{Fake, HOSTILE, check_hostile, snapshot},
};

const METRICS: &str = "prichal_deferred_events 3\nprichal_disk_free_bytes 50197323776\n\
    prichal_commit_batch_size_sum 300\nprichal_commit_batch_size_count 100\n\
    prichal_delivery_attempts_total{status=\"delivered\"} 178\nprichal_delivery_attempts_total{status=\"deferred\"} 2\n";
const NODES: &str = "GET /admin/v1/nodes";
const HELD: &str = "GET /admin/v1/quarantine";

fn node(id: &str) -> Value {
    json!({ "items": [
        { "id": id, "version": "0.1.0", "startedAt": "2026-11-27T10:00:00Z", "leaseUntil": "2026-11-27T16:00:05Z",
          "isAlive": true, "webhooks": 12, "answers": true },
        { "id": "n2", "version": "0.0.9", "startedAt": "2026-11-20T10:00:00Z", "isAlive": false, "webhooks": 0,
          "answers": false },
    ] })
}

fn fake(role: Role) -> Fake {
    let held = json!({ "items": [{ "id": "q1", "kind": "run", "deaths": 3, "heldAt": "2026-11-27T12:00:00Z" }] });
    if role == Role::Operator {
        Fake::new(role)
            .answer(NODES, node("n1"))
            .answer(HELD, held)
            .answer("GET /metrics", METRICS.into())
    } else {
        Fake::new(role).forbid(NODES)
    }
}

#[tokio::test]
async fn the_page_is_as_it_was() {
    snapshot("server", "/console/server", fake).await;
}

#[tokio::test]
async fn figures_are_for_the_chart() {
    let site = fake(Role::Operator).open();
    let page = site.get(Language::En, "/console/server/figures").await;
    let sample: Value = serde_json::from_str(&page.text).expect("JSON");
    assert_eq!(sample["calls"], 180.0);
    assert_eq!(sample["at"], 1_795_795_200);
}

#[tokio::test]
async fn work_is_released_or_given_up() {
    let site = fake(Role::Operator)
        .answer("POST /admin/v1/quarantine/q1/release", Value::Null)
        .answer("DELETE /admin/v1/quarantine/q1", Value::Null)
        .open();
    for (act, line) in [
        ("release", "POST /admin/v1/quarantine/q1/release"),
        ("drop", "DELETE /admin/v1/quarantine/q1"),
    ] {
        let page = site
            .post(
                Language::En,
                "/console/server/quarantine/q1",
                &[("act", act)],
            )
            .await;
        assert_eq!(page.location(), "/console/server?done=1");
        assert_eq!(site.last_change().line, line);
    }
}

#[tokio::test]
async fn hostile_names_are_texts() {
    let site = fake(Role::Operator).answer(NODES, node(HOSTILE)).open();
    check_hostile(&site.get(Language::En, "/console/server").await.text);
}

#[test]
fn metrics_are_added_up_by_name() {
    let text = "# HELP a b\na{x=\"1\"} 2\na{x=\"2\"} 3.5\n\nh_bucket{le=\"1\"} 9\nh_count 4\nbad\n";
    let figures = Figures::parse(text);
    assert_eq!(figures.0.len(), 2);
    assert!((figures.get("a") - 5.5).abs() < 1e-9);
    assert!((figures.get("h_count") - 4.0).abs() < 1e-9);
}
