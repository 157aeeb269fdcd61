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
const BACKUPS: &str = "GET /admin/v1/backups";
const AUDIT: &str = "GET /admin/v1/audit";
const AUDIT_PAGE: &str = "/console/server/audit";

fn node(id: &str) -> Value {
    json!({ "items": [
        { "id": id, "version": "0.1.0", "startedAt": "2026-11-27T10:00:00Z", "leaseUntil": "2026-11-27T16:00:05Z",
          "isAlive": true, "webhooks": 12, "answers": true },
        { "id": "n2", "version": "0.0.9", "startedAt": "2026-11-20T10:00:00Z", "isAlive": false, "webhooks": 0,
          "answers": false },
    ] })
}

fn backups(note: &str) -> Value {
    json!({ "items": [
        { "id": "b2", "at": "2026-11-27T12:59:00+00:00", "reportedAt": "2026-11-27T13:05:00+00:00", "bytes": 73_400_320,
          "note": note },
        { "id": "b1", "at": "2026-11-20T13:00:00+00:00", "reportedAt": "2026-11-20T13:05:00+00:00" },
    ] })
}

fn records(name: &str) -> Value {
    json!({ "count": 3, "next": "n2", "items": [
        { "id": "r3", "at": "2026-11-27T15:00:00Z", "workspaceId": "w1", "actor": { "kind": "token", "id": "t1", "name": name },
          "action": "webhooks.patch_webhook", "object": { "kind": "webhook", "id": "h1" }, "address": "192.0.2.7",
          "result": "refused", "status": 403 },
        { "id": "r2", "at": "2026-11-27T14:00:00Z", "workspaceId": "w2", "actor": { "kind": "session", "id": "s1" },
          "action": "documents.sign", "object": { "kind": "document" }, "result": "failed", "status": 500 },
        { "id": "r1", "at": "2026-11-27T13:00:00Z", "actor": { "kind": "operator" },
          "action": "administration.rotate_admin_token", "result": "done", "status": 200 },
    ] })
}

fn fake(role: Role) -> Fake {
    let held = json!({ "items": [{ "id": "q1", "kind": "run", "deaths": 3, "heldAt": "2026-11-27T12:00:00Z" }] });
    if role == Role::Operator {
        Fake::new(role)
            .answer(NODES, node("n1"))
            .answer(HELD, held)
            .answer(BACKUPS, backups("ночная"))
            .answer(AUDIT, records("crm"))
            .answer(
                "GET /admin/v1/workspaces",
                json!({ "count": 1, "items": [{ "id": "w1", "name": "acme", "title": "Acme" }] }),
            )
            .answer("GET /metrics", METRICS.into())
    } else {
        Fake::new(role).forbid(NODES)
    }
}

#[tokio::test]
async fn the_page_is_as_it_was() {
    snapshot("server", "/console/server", fake).await;
    let without = |role| fake(role).answer(BACKUPS, json!({ "items": [] }));
    snapshot("server-without-backup", "/console/server", without).await;
}

#[tokio::test]
async fn the_audit_log_of_the_server_is_as_it_was() {
    let path = "/console/server/audit?workspace=acme&actorId=t1&from=2026-11-27T10:00";
    snapshot("server-audit", path, fake).await;
}

#[tokio::test]
async fn the_filter_of_the_audit_log_is_in_the_address() {
    let site = fake(Role::Operator).open();
    let query = "workspace=acme&action=webhooks.*&actorKind=token&result=refused&objectId=h1&from=2026-11-27T10:00&to=2026-11-28T10:00:00Z";
    let page = site
        .get(Language::En, &format!("{AUDIT_PAGE}?{query}&cursor=n1&x=1"))
        .await;
    let asked = "workspace=acme&action=webhooks.*&actorKind=token&objectId=h1&result=refused&from=2026-11-27T10%3A00%3A00.000Z&to=2026-11-28T10%3A00%3A00.000Z";
    let lines: Vec<String> = site.sent().into_iter().map(|one| one.line).collect();
    assert_eq!(
        lines,
        [
            "GET /admin/v1/workspaces?limit=1000".to_owned(),
            format!("{AUDIT}?{asked}&cursor=n1&limit=50"),
        ]
    );
    let escaped = asked.replace('&', "&#38;");
    for link in [
        format!("{AUDIT_PAGE}?{escaped}&#38;cursor=n2"),
        format!("{AUDIT_PAGE}/export?{escaped}"),
        format!("{AUDIT_PAGE}?workspace=w2"),
        format!("{AUDIT_PAGE}?actorId=t1"),
    ] {
        assert!(page.text.contains(&format!("href=\"{link}\"")), "{link}");
    }
    let end = json!({ "count": 0, "items": [] });
    let refused = json!({ "title": "Not Found", "detail": "Workspace nobody not found." });
    for (status, answer, shown) in [
        (200, end, "Nothing matches."),
        (404, refused, "Workspace nobody not found."),
    ] {
        let site = fake(Role::Operator)
            .answer_with(AUDIT, status, answer)
            .open();
        let page = site.get(Language::En, AUDIT_PAGE).await;
        assert!(page.text.contains(shown), "{}", page.text);
    }
}

#[tokio::test]
async fn the_audit_log_of_the_server_is_exported() {
    let lines = "{\"id\":\"r2\"}\n{\"id\":\"r1\"}\n";
    let site = fake(Role::Operator).answer(AUDIT, lines.into()).open();
    let path = format!("{AUDIT_PAGE}/export?action=webhooks.*&cursor=n1&limit=1");
    let file = site.get(Language::Kk, &path).await;
    assert_eq!((file.status.as_u16(), &*file.text), (200, lines));
    assert_eq!(file.headers["content-type"], "application/x-ndjson");
    let disposition = &file.headers["content-disposition"];
    assert_eq!(disposition, "attachment; filename=\"audit.ndjson\"");
    assert_eq!(site.sent()[0].line, format!("{AUDIT}?action=webhooks.*"));

    let refused = json!({ "title": "Bad Request", "detail": "Invalid from value x." });
    let site = fake(Role::Operator).answer_with(AUDIT, 400, refused).open();
    let page = site.get(Language::En, &path).await;
    assert_eq!(page.status, 400);
    assert!(page.text.contains("Invalid from value x."), "{}", page.text);
}

#[tokio::test]
async fn only_the_operator_has_the_audit_log_of_the_server() {
    for role in Role::ALL {
        let site = fake(role).open();
        for path in [AUDIT_PAGE, "/console/server/audit/export"] {
            let page = site.get(Language::En, path).await;
            let is_shown = role == Role::Operator;
            assert_eq!(page.status == 200, is_shown, "{role:?} {path}");
            assert!(is_shown || page.status == 404, "{role:?} {path}");
            assert_eq!(site.sent().is_empty(), !is_shown, "{role:?} {path}");
        }
    }
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
    let site = fake(Role::Operator)
        .answer(BACKUPS, backups(HOSTILE))
        .open();
    check_hostile(&site.get(Language::En, "/console/server").await.text);
    let site = fake(Role::Operator).answer(AUDIT, records(HOSTILE)).open();
    let query = crate::api::query([("userId", HOSTILE), ("workspace", HOSTILE)]);
    let page = site
        .get(Language::En, &format!("{AUDIT_PAGE}{query}"))
        .await;
    check_hostile(&page.text);
}

#[test]
fn metrics_are_added_up_by_name() {
    let text = "# HELP a b\na{x=\"1\"} 2\na{x=\"2\"} 3.5\n\nh_bucket{le=\"1\"} 9\nh_count 4\nbad\n";
    let figures = Figures::parse(text);
    assert_eq!(figures.0.len(), 2);
    assert!((figures.get("a") - 5.5).abs() < 1e-9);
    assert!((figures.get("h_count") - 4.0).abs() < 1e-9);
}
