//! The time for which a workspace's history is kept, by the operator and by the workspace.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::hub::{Caller, Hub, eventually};

const DAY: Duration = Duration::from_hours(24);

async fn put(caller: &Caller, path: &str, body: Value) -> Value {
    caller.put(path, body).await.ok().json
}

#[tokio::test]
async fn the_shorter_of_two_times_holds() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let path = "/admin/v1/workspaces/acme/retention";
    let kept = |days: f64, allowed: f64, own: Value| json!({ "days": days, "allowedDays": allowed, "ownDays": own });
    let shown = space.get("/retention").await.ok();
    assert_eq!(shown["deliveries"], kept(30.0, 30.0, Value::Null));
    assert_eq!(shown["runs"], kept(30.0, 30.0, Value::Null));
    assert_eq!(shown["audit"], kept(365.0, 365.0, Value::Null));
    let for_ever = json!({ "days": null, "allowedDays": null, "ownDays": null });
    assert_eq!(shown["events"], for_ever);

    let shown = put(&space, "/retention", json!({ "deliveriesDays": 7 })).await;
    assert_eq!(shown["deliveries"], kept(7.0, 30.0, json!(7)));
    let shown = put(
        &hub.admin(),
        path,
        json!({ "deliveriesDays": 3, "runsDays": 90, "auditDays": 1000 }),
    )
    .await;
    assert_eq!(shown["deliveries"], kept(3.0, 3.0, json!(7)));
    assert_eq!(shown["audit"], kept(1000.0, 1000.0, Value::Null));
    let shown = put(&space, "/retention", json!({ "runsDays": 60 })).await;
    assert_eq!(shown["runs"], kept(60.0, 90.0, json!(60)));
    assert_eq!(shown["deliveries"], kept(3.0, 3.0, Value::Null));
    assert_eq!(hub.admin().get(path).await.ok().json, shown);

    for bad in [
        json!({ "deliveriesDays": 4 }),
        json!({ "runsDays": 91 }),
        json!({ "runsDays": 0 }),
        json!({ "runsDays": "7" }),
        json!({ "auditDays": 1 }),
        json!({ "unknown": 1 }),
        json!([]),
    ] {
        assert_eq!(
            space.put("/retention", bad.clone()).await.status,
            400,
            "{bad}"
        );
    }
    assert_eq!(
        hub.admin()
            .put(path, json!({ "auditDays": 40_000 }))
            .await
            .status,
        400
    );
    assert_eq!(
        hub.token("acme", "member")
            .await
            .get("/retention")
            .await
            .status,
        403
    );
    assert_eq!(space.at("").put(path, json!({})).await.status, 403);
}

#[tokio::test]
async fn each_workspace_loses_its_records_at_its_own_time() {
    let hub = Hub::with(|config| config.audit_log_ttl = 10 * DAY).await;
    let spaces = [
        hub.workspace("short").await,
        hub.workspace("usual").await,
        hub.workspace("long").await,
    ];
    let path = |name: &str| format!("/admin/v1/workspaces/{name}/retention");
    put(&hub.admin(), &path("short"), json!({ "auditDays": 5 })).await;
    put(&hub.admin(), &path("long"), json!({ "auditDays": 20 })).await;
    let are_left = async |expected: [bool; 3]| {
        eventually("each workspace has what it keeps", || async {
            for (space, expected) in spaces.iter().zip(expected) {
                let page = space
                    .get("/audit?action=administration.create_workspace")
                    .await
                    .ok();
                if (page["count"] == 1) != expected {
                    return None;
                }
            }
            Some(())
        })
        .await;
    };
    are_left([true, true, true]).await;
    hub.advance(6 * DAY);
    are_left([false, true, true]).await;
    hub.advance(5 * DAY);
    are_left([false, false, true]).await;
    hub.advance(10 * DAY);
    are_left([false, false, false]).await;
}
