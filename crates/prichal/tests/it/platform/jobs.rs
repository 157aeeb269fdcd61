//! Background jobs: requests that change many rows in batches, and are completed after a crash.

use std::time::Duration;

use serde_json::json;

use crate::harness::{
    channel_workspace::{ChannelWorkspace, CreatedChannel, POINTS, TYPES},
    hub::{Caller, CapturedLog, Hub, eventually},
};

/// The addresses of all channels.
async fn urls(era: &ChannelWorkspace) -> Vec<String> {
    let path = format!("{POINTS}?mask=url&limit=1000");
    let listed = era.rest.get(&path).await.ok();
    let points = listed.json.as_array().expect("a list").iter();
    let url = |point: &serde_json::Value| point["url"].as_str().unwrap_or_default().to_owned();
    points.map(url).collect()
}

async fn points(era: &ChannelWorkspace, count: usize, kind: &str) -> Vec<CreatedChannel> {
    let mut made = Vec::new();
    for n in 0..count {
        let members = json!({ "type": kind, "url": "https://own.example" });
        made.push(era.channel(&format!("{kind}{n}"), members).await);
    }
    made
}

#[tokio::test]
async fn all_channels_of_a_type_take_over_its_fixed_fields() {
    let era = ChannelWorkspace::new().await;
    points(&era, 230, "bot").await;
    points(&era, 2, "other").await;
    let kind = json!({ "type": "bot", "url": "https://one.example" });
    let kind = era.rest.post(TYPES, kind).await.ok().str("id");
    let path = format!("{TYPES}/{kind}");
    for url in ["https://one.example", "https://two.example"] {
        era.change(&path, json!({ "url": url })).await.ok();
        let found = urls(&era).await;
        let count = |wanted: &str| found.iter().filter(|found| *found == wanted).count();
        assert_eq!((count(url), count("https://own.example")), (230, 2));
    }
    // The feed has each change once, with the tokens masked and as they are.
    let (mut changes, mut offset) = (0, "00000000-0000-0000-0000-000000000000".to_owned());
    loop {
        let path = format!("/events?limit=1000&offset={offset}");
        let page = era.space.get(&path).await.ok();
        changes += page.text.matches("https://two.example").count();
        offset = page.str("lastOffset");
        if page["hasMore"] != true {
            break;
        }
    }
    assert_eq!(changes, 230);
}

/// A process that dies between two batches leaves the rest of the job to the next process.
#[tokio::test]
async fn a_background_job_is_completed_after_a_crash() {
    let era = ChannelWorkspace::new().await;
    points(&era, 3, "bot").await;
    let kind = json!({ "type": "bot", "recv_timeout": 5 });
    era.rest.post(TYPES, kind).await.ok();
    let installation = era.hub.stop().await;
    // The store after the transaction of a request, before the first batch.
    installation.execute(
        r#"UPDATE resource SET members = replace(members, '"url":""', '"url":"https://new.example"') WHERE kind = 'channel_type';
           INSERT INTO walk (workspace, kind, item, detail, last)
           SELECT id, 'type', 'bot', '{"user":null,"with":"WebApp","at":1767225600000000}', '' FROM workspace"#,
    );
    let hub = installation.start().await;
    let rest = hub.adopt(&era.rest);
    eventually(
        "the channels have the fixed fields of their type",
        || async {
            let path = format!("{POINTS}?mask=url");
            let listed = rest.get(&path).await.ok().text;
            (listed.matches("https://new.example").count() == 3).then_some(())
        },
    )
    .await;
}

/// Jobs that fail each time, more than a page of them, do not keep the others waiting.
#[tokio::test]
async fn jobs_that_fail_for_ever_block_no_other() {
    let era = ChannelWorkspace::new().await;
    points(&era, 3, "bot").await;
    let kind = json!({ "type": "bot", "recv_timeout": 5 });
    era.rest.post(TYPES, kind).await.ok();
    let installation = era.hub.stop().await;
    installation.execute(
        r#"UPDATE resource SET members = replace(members, '"url":""', '"url":"https://new.example"') WHERE kind = 'channel_type';
           INSERT INTO walk (workspace, kind, item, detail, last)
           WITH RECURSIVE damaged (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM damaged WHERE n < 249)
           SELECT id, 'type', 'a' || CAST(n AS TEXT), 'no JSON', '' FROM workspace, damaged;
           INSERT INTO walk (workspace, kind, item, detail, last)
           SELECT id, 'type', 'bot', '{"user":null,"with":"WebApp","at":1767225600000000}', '' FROM workspace"#,
    );
    let hub = installation.start().await;
    let rest = hub.adopt(&era.rest);
    eventually("the channels have what their type fixes", || async {
        let path = format!("{POINTS}?mask=url");
        let listed = rest.get(&path).await.ok().text;
        (listed.matches("https://new.example").count() == 3).then_some(())
    })
    .await;
}

/// A request waits for its own job. A job of another type that fails each time does not fail it.
#[tokio::test]
async fn a_job_that_fails_fails_no_other_request() {
    let era = ChannelWorkspace::new().await;
    points(&era, 3, "bot").await;
    era.hub.installation.execute(
        "INSERT INTO walk (workspace, kind, item, detail, last) SELECT id, 'type', 'a', 'no JSON', '' FROM workspace",
    );
    let kind = json!({ "type": "bot", "url": "https://new.example" });
    let kind = era.rest.post(TYPES, kind).await.ok().str("id");
    let count = |urls: Vec<String>, url: &str| urls.iter().filter(|one| *one == url).count();
    assert_eq!(count(urls(&era).await, "https://new.example"), 3);
    let path = format!("{TYPES}/{kind}");
    let other = json!({ "url": "https://other.example" });
    era.change(&path, other).await.ok();
    assert_eq!(count(urls(&era).await, "https://other.example"), 3);
    assert_eq!(era.rest.delete(&path).await.status, 204);
}

/// A change that grants rights is in the security log before its job, during which the client may hang up.
#[tokio::test]
async fn a_change_is_in_the_security_log_before_its_job() {
    let log = CapturedLog::new();
    let era = ChannelWorkspace::new().await;
    points(&era, 3, "bot").await;
    let kind = json!({ "type": "bot", "recv_timeout": 5 });
    let kind = era.rest.post(TYPES, kind).await.ok().str("id");
    let object = format!("object=\"integration_point_type:{kind}\"");
    let recorded = || log.count(&["event=\"rights_changed\"", &object]);
    assert_eq!(recorded(), 1);
    // No job completes any more.
    era.hub
        .installation
        .execute("UPDATE channel SET members = 'no JSON'");
    let url = json!({ "url": "https://new.example" });
    let changed = era.change(&format!("{TYPES}/{kind}"), url).await;
    assert_eq!((changed.status, recorded()), (500, 2));
}

/// Panics unless the table is empty.
fn assert_empty(installation: &crate::harness::hub::Installation, table: &str) {
    // The check constraint fails if the count is not zero.
    installation.execute(&format!(
        "CREATE TABLE probe_{table} (n BIGINT CHECK (n = 0)); INSERT INTO probe_{table} SELECT count(*) FROM {table}; DROP TABLE probe_{table}"
    ));
}

#[tokio::test]
async fn all_values_of_a_deleted_channel_are_removed() {
    let era = ChannelWorkspace::new().await;
    let source = "for (let n = 0; n < 350; n++) kv.set('k' + n, n); respond(200)";
    let made = era.sync_channel("keeper", source).await;
    era.hook(&made, json!({})).await.ok();
    let path = format!("{POINTS}/{}", made.id);
    assert_eq!(era.rest.delete(&path).await.status, 204);
    assert_empty(&era.hub.installation, "kv");
    assert_empty(&era.hub.installation, "walk");
}

#[tokio::test]
async fn the_rows_of_a_deleted_workspace_are_removed() {
    let era = ChannelWorkspace::new().await;
    let made = era
        .sync_channel("keeper", "kv.set('a', 1); respond(200)")
        .await;
    points(&era, 150, "bot").await;
    era.hook(&made, json!({})).await.ok();
    let sends = json!({ "url": "http://127.0.0.1:9/none" });
    let sends = era.channel("sends", sends).await;
    let path = format!("{POINTS}/{}", sends.id);
    let message = format!("{path}/send");
    era.rest.post(&message, json!({})).await.ok();
    eventually("an attempt", || async {
        let attempts = era.rest.get(&format!("{path}/deliveries")).await.ok();
        (attempts["count"] == 1).then_some(())
    })
    .await;
    let gone = era.hub.admin().delete("/admin/v1/workspaces/acme").await;
    assert_eq!(gone.status, 204);
    assert_eq!(era.hook(&made, json!({})).await.status, 401);
    for table in [
        "channel", "resource", "run", "kv", "attempt", "token", "walk",
    ] {
        assert_empty(&era.hub.installation, table);
    }
}

/// Each workspace that has the integration installed gets one event for a new manifest.
#[tokio::test]
async fn a_new_manifest_is_applied_to_every_instance() {
    let hub = Hub::start().await;
    let owner = hub.workspace("owner").await;
    let manifest = |version: &str| json!({ "name": "Shared", "version": version, "baseUrl": format!("https://{version}.example/") });
    let made = owner.post("/integrations", manifest("1.0")).await.ok();
    let id = made.str("id");
    let mut spaces = vec![owner.clone()];
    for n in 0..45 {
        spaces.push(hub.workspace(&format!("space{n}")).await);
    }
    for space in &spaces {
        let path = format!("/integrations/{id}/install");
        space.post(&path, json!({})).await.ok();
    }
    let path = format!("/integrations/{id}/manifest");
    owner.put(&path, manifest("2.0")).await.ok();
    for space in &spaces {
        let feed = space.get("/events?limit=1000").await.ok();
        let items = feed["items"].as_array().expect("a list").iter();
        let told = items.filter(|event| event.to_string().contains("https://2.0.example/"));
        assert_eq!(told.count(), 1, "{}", feed.text);
    }
}

/// A job that runs late finds instances that were made after its manifest. They get no event of the change.
#[tokio::test]
async fn a_late_job_leaves_new_instances_alone() {
    let hub = Hub::start().await;
    let owner = hub.workspace("owner").await;
    let manifest = json!({ "name": "Shared", "version": "2.0", "baseUrl": "https://2.0.example/" });
    let made = owner.post("/integrations", manifest).await.ok();
    let id = made.str("id");
    let late = hub.workspace("late").await;
    let install = format!("/integrations/{id}/install");
    owner.post(&install, json!({})).await.ok();
    hub.advance(Duration::from_mins(2));
    late.post(&install, json!({})).await.ok();
    let installation = hub.stop().await;
    installation.execute(&format!(
        r#"INSERT INTO walk (workspace, kind, item, detail, last) SELECT id, 'manifest', '{id}:1',
             '{{"begun":{{"user":null,"with":"WebApp","at":1767225600000000}},"base_url":"https://1.0.example/","version":"2.0"}}', ''
           FROM workspace WHERE name = 'owner'"#
    ));
    let hub = installation.start().await;
    let told = |space: Caller| async move {
        let feed = space.get("/events?limit=1000").await.ok();
        feed.text.contains("https://1.0.example/")
    };
    let (owner, late) = (hub.adopt(&owner), hub.adopt(&late));
    eventually("the job is done", || async {
        told(owner.clone()).await.then_some(())
    })
    .await;
    eventually("it is gone", || async {
        let list = |conn: &mut prichal_store::Conn| prichal_store::job::list(conn, None, 1);
        let left = hub.app.db.read(list).await.expect("a look");
        left.is_empty().then_some(())
    })
    .await;
    assert!(!told(late).await);
}

/// Channels cannot grow beyond their limit by way of their type.
#[tokio::test]
async fn a_type_whose_channels_would_be_too_large_is_refused() {
    let era = ChannelWorkspace::new().await;
    points(&era, 200, "bot").await;
    let pad = "x".repeat(83_000);
    era.hub.installation.execute(&format!(
        r#"UPDATE channel SET members = replace(members, '"url":"https://own.example"', '"url":"https://own.example","pad":"{pad}"')"#
    ));
    let long = format!("https://long.example/{}", "x".repeat(1900));
    let refused = era
        .rest
        .post(TYPES, json!({ "type": "bot", "url": long }))
        .await;
    assert!((400..500).contains(&refused.status), "{}", refused.text);
    assert!(refused.text.contains("16 MiB"), "{}", refused.text);
    let kind = json!({ "type": "bot", "url": "https://new.example" });
    let kind = era.rest.post(TYPES, kind).await.ok().str("id");
    let path = format!("{TYPES}/{kind}");
    let refused = era.change(&path, json!({ "url": long })).await;
    assert!(refused.text.contains("16 MiB"), "{}", refused.text);
}
