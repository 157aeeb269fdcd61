//! `/admin/v1/backups`: reports of backups, and the time of the newest.

use std::time::Duration;

use serde_json::json;

use crate::harness::hub::{Caller, Hub, Installation};

const BACKUPS: &str = "/admin/v1/backups";
const METRIC: &str = "prichal_last_backup_timestamp_seconds ";

/// The value of the metric; `None` if there is none.
async fn measured(hub: &Hub) -> Option<String> {
    let metrics = hub.admin().get("/metrics").await.ok().text;
    let mut lines = metrics.lines();
    lines.find_map(|line| line.strip_prefix(METRIC).map(str::to_owned))
}

async fn notes(admin: &Caller) -> Vec<String> {
    let page = admin.get(BACKUPS).await.ok();
    let items = page["items"].as_array().expect("items").iter();
    items
        .map(|one| one["note"].as_str().unwrap_or("-").to_owned())
        .collect()
}

#[tokio::test]
async fn a_reported_backup_is_known_after_a_restart() {
    let installation = Installation::new(|_| ());
    let hub = installation.start().await;
    let admin = hub.admin();
    assert_eq!(measured(&hub).await, None);
    assert_eq!(admin.get(BACKUPS).await.ok().text, r#"{"items":[]}"#);

    hub.advance(Duration::from_hours(1));
    let bare = admin.post(BACKUPS, json!({})).await;
    assert_eq!(bare.status, 201, "{}", bare.text);
    assert_eq!(bare["at"], bare["reportedAt"]);
    assert!(bare["bytes"].is_null() && bare["note"].is_null());
    let earlier =
        json!({ "at": "2026-01-01T00:30:00+00:00", "bytes": 73_400_320, "note": "ночной" });
    let earlier = admin.post(BACKUPS, earlier).await;
    assert_eq!(earlier.status, 201, "{}", earlier.text);
    assert_eq!(
        (&earlier["bytes"], &earlier["note"]),
        (&json!(73_400_320), &json!("ночной"))
    );
    assert_eq!(
        notes(&admin).await,
        ["-", "ночной"],
        "the newest state first"
    );
    let first = measured(&hub).await.expect("a time");
    assert_eq!(first, "1767229200");

    let record = admin
        .get("/admin/v1/audit?action=administration.report_backup&limit=1")
        .await
        .ok();
    assert_eq!(
        record["items"][0]["object"],
        json!({ "kind": "backup", "id": earlier["id"] })
    );
    hub.kill();
    let hub = installation.start().await;
    assert_eq!(notes(&hub.admin()).await, ["-", "ночной"]);
    assert_eq!(measured(&hub).await, Some(first));
}

#[tokio::test]
async fn few_reports_are_kept() {
    let hub = Hub::start().await;
    let admin = hub.admin();
    for n in 0..25 {
        hub.advance(Duration::from_mins(1));
        let report = json!({ "note": n.to_string() });
        assert_eq!(admin.post(BACKUPS, report).await.status, 201);
    }
    let expected: Vec<String> = (5..25).rev().map(|n| n.to_string()).collect();
    assert_eq!(notes(&admin).await, expected);
}

#[tokio::test]
async fn wrong_reports_are_refused() {
    let hub = Hub::start().await;
    let admin = hub.admin();
    for (body, member) in [
        (json!({ "at": "2026-01-01T00:01:01Z" }), "at"),
        (json!({ "at": "yesterday" }), "at"),
        (json!({ "bytes": -1 }), "bytes"),
        (json!({ "bytes": "many" }), "bytes"),
        (json!({ "note": "x".repeat(201) }), "note"),
    ] {
        let refused = admin.post(BACKUPS, body.clone()).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        assert!(refused.text.contains(member), "{body}: {}", refused.text);
    }
    let ahead = json!({ "at": "2026-01-01T00:00:59Z" });
    assert_eq!(admin.post(BACKUPS, ahead).await.status, 201);
    let space = hub.workspace("acme").await.at("");
    assert_eq!(space.get(BACKUPS).await.status, 403);
    assert_eq!(space.post(BACKUPS, json!({})).await.status, 403);
    assert_eq!(notes(&admin).await, ["-"]);
}
