//! The audit log: each act has one record with its actor, and nobody else's secrets.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    channel_workspace::{ChannelWorkspace, POINTS, SCRIPTS},
    document_exchange::DocumentExchange,
    document_subscriber,
    hub::{ADMIN_TOKEN, Answer, Caller, Database, Hub, Installation, eventually, spawn},
    integration::Integration,
    server_process::ServerProcess,
};

const AUDIT: &str = "/admin/v1/audit";
const NDJSON: &str = "application/x-ndjson";

async fn items(caller: &Caller, path: &str) -> Vec<Value> {
    let page = caller.get(path).await.ok();
    page["items"].as_array().expect("items").clone()
}

/// The records of an action, newest first.
async fn of_action(hub: &Hub, action: &str) -> Vec<Value> {
    items(&hub.admin(), &format!("{AUDIT}?action={action}")).await
}

#[tokio::test]
async fn an_act_has_one_record_with_all_that_is_asked_about_it() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let body = json!({ "name": "listener", "version": "1.0", "baseUrl": "https://c.example" });
    let agent = space.clone().header("user-agent", "curl/8\t of Ann");
    let made = agent.post("/private-integrations", body).await.ok();
    let found = items(&space, "/audit?action=integrations.*").await;
    let [record] = &found[..] else {
        panic!("one record: {found:?}")
    };
    let token = &items(
        &space.at("").bearer(ADMIN_TOKEN),
        "/admin/v1/workspaces/acme/tokens",
    )
    .await[0];
    assert_eq!(record["action"], "integrations.create_private_integration");
    assert_eq!(
        record["actor"],
        json!({ "kind": "token", "id": token["id"], "name": "test" })
    );
    assert_eq!(
        record["object"],
        json!({ "kind": "integration", "id": made["id"] })
    );
    assert_eq!(record["address"], "127.0.0.1");
    assert_eq!(record["userAgent"], "curl/8 of Ann");
    assert_eq!(
        record["requestId"],
        made.header("x-request-id").expect("an id")
    );
    assert_eq!(
        (&record["result"], &record["status"]),
        (&json!("done"), &json!(200))
    );
    assert_eq!(record["at"], "2026-01-01T00:00:00+00:00");

    // The operator's acts on the workspace are there as well, and its creation.
    let all = items(&space, "/audit").await;
    let actions: Vec<_> = all
        .iter()
        .map(|one| one["action"].as_str().expect("a name"))
        .collect();
    assert_eq!(
        actions,
        [
            "integrations.create_private_integration",
            "administration.create_token",
            "administration.create_workspace",
        ]
    );
    assert_eq!(all[1]["actor"], json!({ "kind": "operator" }));
    assert_eq!(
        all[1]["object"],
        json!({ "kind": "token", "id": token["id"] })
    );
    assert_eq!(all[2]["object"]["id"], all[2]["workspaceId"]);
    // A repetition that changes nothing is an act as well; a read is none.
    space.get("/integrations").await.ok();
    assert_eq!(items(&space, "/audit").await.len(), 3);
}

#[tokio::test]
async fn refusals_name_their_actor() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let member = hub.token("acme", "member").await;
    let refused = member.patch("/settings", json!([])).await;
    assert_eq!(refused.status, 403);
    let refused = member
        .at("")
        .post("/admin/v1/workspaces", json!({ "name": "mine" }))
        .await;
    assert_eq!(refused.status, 403);
    let bad = space.put("/event-types/a.b", json!({ "name": 7 })).await;
    assert_eq!(bad.status, 400);
    space.anonymous_put().await;
    let found = items(&space, "/audit?result=refused").await;
    let shown: Vec<_> = found
        .iter()
        .map(|one| {
            (
                one["action"].as_str().expect("a name"),
                one["status"].as_i64().expect("a status"),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("events.put_event_type", 400),
            ("administration.create_workspace", 403),
            ("settings.patch_settings", 403),
        ]
    );

    // An expired token is known.
    let until = "2026-01-01T00:01:00Z";
    let body = json!({ "name": "short", "role": "admin", "expiresAt": until });
    let short = hub.token_with("acme", body).await;
    hub.advance(Duration::from_secs(61));
    assert_eq!(short.patch("/settings", json!([])).await.status, 401);
    let found = items(&space, "/audit?result=refused&limit=1").await;
    assert_eq!(
        (&found[0]["status"], &found[0]["actor"]["name"]),
        (&json!(401), &json!("short"))
    );

    // Reads and the work of every day are not recorded when they are refused.
    assert_eq!(member.get("/webhooks").await.status, 403);
    assert_eq!(
        member
            .post("/companies", json!({ "name": {} }))
            .await
            .status,
        400
    );
    assert_eq!(items(&space, "/audit?result=refused").await.len(), 4);

    // A token that is refused again and again does not fill the log.
    for _ in 0..100 {
        member.patch("/settings", json!([])).await;
    }
    let count = items(&space, "/audit?result=refused&limit=1000")
        .await
        .len();
    assert!((50..70).contains(&count), "{count}");
}

impl Caller {
    /// A change without credentials.
    async fn anonymous_put(&self) {
        let refused = self
            .clone()
            .bearer("nobody-knows-this")
            .put("/ui-settings", json!({}))
            .await;
        assert_eq!(refused.status, 401);
    }
}

#[tokio::test]
async fn the_work_of_every_day_is_left_to_the_feed_unless_it_changes_rights() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let before = items(&space, "/audit").await.len();
    let made = space
        .post("/companies", json!({ "name": "one" }))
        .await
        .ok();
    let path = format!("/companies/{}", made.str("id"));
    space
        .patch(
            &path,
            json!([{ "op": "replace", "path": "/name", "value": "two" }]),
        )
        .await
        .ok();
    space.delete(&path).await.ok();
    let user = space
        .post("/users", json!({ "name": "Ann", "login": "ann" }))
        .await
        .ok();
    assert_eq!(items(&space, "/audit").await.len(), before);

    let path = format!("/users/{}", user.str("id"));
    let grant = json!([{ "op": "add", "path": "/permissions", "value": "DOCUMENT_VIEW" }]);
    space.patch(&path, grant).await.ok();
    let role = space.post("/roles", json!({ "name": "boss" })).await.ok();
    let link = json!({ "userId": user["id"], "roleId": role["id"] });
    space.post("/links", link).await.ok();
    let found = items(&space, "/audit").await;
    let shown: Vec<_> = found[..found.len() - before]
        .iter()
        .map(|one| {
            (
                one["action"].as_str().expect("a name"),
                one["object"]["kind"].as_str().expect("a kind"),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("entities.create_link", "user"),
            ("entities.create_role", "role"),
            ("entities.patch_user", "user"),
        ]
    );
    assert_eq!(found[2]["object"]["id"], user["id"]);

    // Everything that the operator does is recorded.
    let operator = space.clone().bearer(ADMIN_TOKEN);
    operator
        .post("/companies", json!({ "name": "three" }))
        .await
        .ok();
    let found = items(&space, "/audit?limit=1").await;
    assert_eq!(found[0]["action"], "entities.create_company");
    assert_eq!(found[0]["actor"]["kind"], "operator");
    assert_eq!(found[0]["object"]["kind"], "company");
}

#[tokio::test]
async fn secrets_are_in_no_record() {
    let era = ChannelWorkspace::new().await;
    let hub = &era.hub;
    let mut secrets = vec![
        ADMIN_TOKEN.to_owned(),
        era.space.bearer_token(),
        "a-wrong-token-a-wrong-token".to_owned(),
    ];
    let wrong = hub.anonymous().bearer("a-wrong-token-a-wrong-token");
    wrong.get("/admin/v1/workspaces").await;
    let made = hub
        .admin()
        .post(
            "/admin/v1/workspaces/acme/tokens",
            json!({ "name": "t", "role": "member" }),
        )
        .await;
    let secret = made.str("token");
    // A token in the place of an id, and in the place of a name.
    hub.admin()
        .delete(&format!("/admin/v1/workspaces/acme/tokens/{secret}"))
        .await;
    era.space
        .put(&format!("/event-types/{secret}"), json!({}))
        .await;
    era.space.delete(&format!("/event-types/{secret}")).await;
    era.rest.delete(&format!("{SCRIPTS}/{secret}")).await;
    hub.admin()
        .delete(&format!("/admin/v1/workspaces/{secret}"))
        .await;
    secrets.push(secret);
    let integration = Integration::install(&era.space, "mine", "https://c.example").await;
    secrets.push(integration.access_key().await);
    integration
        .patch(json!([{ "op": "add", "path": "/secrets", "value": { "id": "pin", "value": "pin-4711-pin" } }]))
        .await
        .ok();
    secrets.push("pin-4711-pin".to_owned());
    let channel = era
        .channel("one", json!({ "token_remote": "far-away-token" }))
        .await;
    secrets.extend([channel.token.clone(), "far-away-token".to_owned()]);
    hub.anonymous()
        .post(&format!("/hook/{}", channel.token), json!({}))
        .await;
    let path = format!("{POINTS}/{}/rotate_token", channel.id);
    let rotated = era.rest.post(&path, json!({})).await.ok();
    secrets.push(rotated.str("token_local"));
    era.rest
        .get(&format!(
            "/rest/v1/service/integration_tokens/{}",
            channel.token
        ))
        .await;
    let company = document_subscriber::company(hub, "papers", document_subscriber::BIN).await;
    let subscribed = company
        .subscribe("https://a.example/hook?key=in-the-query")
        .await
        .ok();
    let path = format!("{}/rotate-secret", document_subscriber::SUBSCRIPTION);
    let again = company.caller.post(&path, json!({})).await.ok();
    secrets.extend([
        subscribed.str("secret"),
        again.str("secret"),
        "in-the-query".to_owned(),
    ]);
    let ticket = era
        .space
        .post("/stream/ticket?topics=events", json!({}))
        .await
        .ok();
    secrets.push(ticket.str("ticket"));

    let export = hub
        .admin()
        .header("accept", NDJSON)
        .get(AUDIT)
        .await
        .ok()
        .text;
    let actions = [
        "administration.create_token",
        "administration.delete_token",
        "administration.delete_workspace",
        "events.put_event_type",
        "events.delete_event_type",
        "channels.delete_svcscript",
        "channels.create_integration_point",
        "channels.rotate_token",
        "integrations.install_integration",
        "integrations.create_api_key",
        "integrations.patch_instance",
        "authorization.authorize_private_integration",
        "documents.put_subscription",
        "documents.rotate_subscription_secret",
    ];
    for action in actions {
        assert!(
            export.contains(&format!("\"{action}\"")),
            "{action} in {export}"
        );
    }
    assert!(
        !export.contains("hook_post"),
        "hooks are in the log of runs"
    );
    for secret in &secrets {
        assert!(!export.contains(secret), "{secret} in {export}");
    }
}

#[tokio::test]
async fn another_workspace_sees_nothing_and_members_neither() {
    let hub = Hub::start().await;
    let (one, other) = (hub.workspace("one").await, hub.workspace("other").await);
    one.patch("/alert-settings", json!({})).await;
    assert_eq!(
        hub.token("one", "member").await.get("/audit").await.status,
        403
    );
    assert_eq!(other.at("/api/v1/one").get("/audit").await.status, 403);
    assert_eq!(one.at("").get(AUDIT).await.status, 403);
    // The refusal belongs to the workspace of the token.
    other.at("/api/v1/one").patch("/settings", json!([])).await;
    let refused = items(&other, "/audit?action=settings.patch_settings").await;
    assert_eq!(refused.len(), 1);
    assert!(
        items(&one, "/audit?action=settings.patch_settings")
            .await
            .is_empty()
    );
    let all = items(&hub.admin(), &format!("{AUDIT}?workspace=one&limit=1000")).await;
    let own = items(&one, "/audit?limit=1000").await;
    assert_eq!(all, own);
    let named = hub.admin().get(&format!("{AUDIT}?workspace=nobody")).await;
    assert_eq!(named.status, 404);
}

#[tokio::test]
async fn filters_pages_and_exports_agree() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let user = space
        .post("/users", json!({ "name": "Ann", "login": "ann" }))
        .await
        .ok();
    for n in 0..5 {
        hub.advance(Duration::from_mins(1));
        let body = json!({ "name": format!("t{n}"), "role": "admin", "userId": user["id"] });
        let token = hub.token_with("acme", body).await;
        let path = format!("/event-types/type{n}");
        let body =
            json!({ "name": format!("type{n}"), "versions": [{ "version": 1, "schema": {} }] });
        token.put(&path, body).await;
    }
    let get = async |query: &str| items(&space, &format!("/audit?{query}")).await;
    let all = get("limit=1000").await;
    let of_user = get(&format!("userId={}", user.str("id"))).await;
    assert_eq!(of_user.len(), 5);
    let actor = of_user[2]["actor"]["id"].as_str().expect("an id");
    assert_eq!(get(&format!("actorId={actor}")).await, of_user[2..3]);
    assert_eq!(
        get(&format!("objectId={actor}&objectKind=token"))
            .await
            .len(),
        1
    );
    assert_eq!(get("action=events.*").await, of_user);
    assert_eq!(get("action=events").await.len(), 0);
    assert_eq!(get("actorKind=operator").await.len() + 5, all.len());
    assert_eq!(get("address=127.0.0.1").await, all);
    assert_eq!(get("address=127.0.0.2").await.len(), 0);
    let period = "from=2026-01-01T00:02:00Z&to=2026-01-01T00:04:00Z";
    assert_eq!(
        get(&format!("{period}&action=events.*")).await,
        of_user[2..4]
    );
    for bad in [
        "result=maybe",
        "actorKind=x",
        "cursor=7",
        "order=up",
        "from=now",
        "limit=0",
    ] {
        assert_eq!(
            space.get(&format!("/audit?{bad}")).await.status,
            400,
            "{bad}"
        );
    }

    // Pages have everything once, in both orders. The last seconds are not there oldest first.
    let mut ascending = all.clone();
    ascending.reverse();
    assert!(get("order=asc&from=2026-01-01T00:05:00Z").await.is_empty());
    hub.advance(Duration::from_secs(11));
    for (order, expected) in [("desc", &all), ("asc", &ascending)] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = space
                .get(&format!("/audit?order={order}&limit=2{cursor}"))
                .await
                .ok();
            seen.extend(page["items"].as_array().expect("items").clone());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(&seen, expected, "{order}");
        let export = space.clone().header("accept", NDJSON);
        let lines = export.get(&format!("/audit?order={order}")).await.ok().text;
        let lines: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(&lines, expected, "{order}");
    }
}

/// Tokens are made until the server is killed. Afterwards each token has its record, and each record its token.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_no_record_of_a_change() {
    let (folder, database) = (tempfile::tempdir().expect("a folder"), Database::new());
    let mut server = ServerProcess::start(folder.path(), &database).await;
    let made = server
        .admin()
        .post("/admin/v1/workspaces", json!({ "name": "acme" }))
        .await;
    assert_eq!(made.status, 201);
    let tokens = "/admin/v1/workspaces/acme/tokens";
    let mut acknowledged = Vec::new();
    for round in 1..4 {
        let admin = server.admin();
        let making = spawn(async move {
            let mut made = Vec::new();
            let body = json!({ "name": "t", "role": "member" });
            while let Some(token) = admin.try_post(tokens, body.clone()).await {
                if token.status == 201 {
                    made.push(token.str("id"));
                }
            }
            made
        });
        let admin = server.admin();
        eventually("tokens are made", || async {
            let page = admin.get(&format!("{tokens}?limit=1")).await.ok();
            (page["count"].as_i64() >= Some(round * 10)).then_some(())
        })
        .await;
        server.kill();
        acknowledged.extend(making.await.expect("it ends"));
        server = ServerProcess::start(folder.path(), &database).await;
    }
    let listed = items(&server.admin(), &format!("{tokens}?limit=1000")).await;
    let records = items(
        &server.admin(),
        &format!("{AUDIT}?action=administration.create_token&limit=1000"),
    )
    .await;
    let mut there: Vec<&str> = listed.iter().filter_map(|one| one["id"].as_str()).collect();
    let mut recorded: Vec<&str> = records
        .iter()
        .filter_map(|one| one["object"]["id"].as_str())
        .collect();
    there.sort_unstable();
    recorded.sort_unstable();
    assert_eq!(there, recorded);
    assert!(
        acknowledged
            .iter()
            .all(|id| recorded.contains(&id.as_str()))
    );
}

#[tokio::test]
async fn records_are_there_after_a_sudden_end() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let installation = hub.installation.clone();
    let made: Answer = space
        .post(
            "/private-integrations",
            json!({ "name": "x", "version": "1.0", "baseUrl": "https://c.example" }),
        )
        .await
        .ok();
    hub.kill();
    let hub = installation.start().await;
    let space = hub.adopt(&space);
    space.get("/integrations").await.ok();
    let found = items(&space, &format!("/audit?objectId={}", made.str("id"))).await;
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn a_document_is_signed_by_somebody() {
    let exchange = DocumentExchange::new().await;
    let company = exchange.company(0).await;
    let id = company.draft().await;
    let path = format!("/api/v3/sync/external/outbox/document/{id}");
    company.api.at("").delete(&path).await.ok();
    let found = of_action(&exchange.hub, "documents.*").await;
    let shown: Vec<_> = found
        .iter()
        .map(|one| (one["action"].clone(), one["object"].clone()))
        .collect();
    let object = json!({ "kind": "document", "id": id });
    assert_eq!(shown, [(json!("documents.delete_draft"), object)]);
}

#[tokio::test]
async fn records_end_with_their_time() {
    let hub = Hub::with(|config| config.audit_log_ttl = Duration::from_hours(24)).await;
    let space = hub.workspace("acme").await;
    assert_eq!(items(&space, "/audit").await.len(), 2);
    hub.advance(Duration::from_hours(25));
    hub.token("acme", "member").await;
    eventually("the old records are gone", || async {
        (items(&space, "/audit").await.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_long_log_is_paged_as_quickly_as_a_short_one() {
    let installation = Installation::new(|_| ());
    let hub = installation.start().await;
    let space = hub.workspace("acme").await;
    let of = items(&space, "/audit?limit=1").await[0]["workspaceId"]
        .as_str()
        .expect("an id")
        .to_owned();
    let sql = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
         INSERT INTO audit (id, workspace, actor, action, object, object_id, result)
         SELECT '019b7600-0000-7000-8000-000000' || CAST(100000 + i AS TEXT), '{of}', 'node', 'server.test', 'thing',
           CASE WHEN i = 50000 THEN 'needle' ELSE 'hay' END, 'done' FROM n"
    );
    installation.execute(&sql);
    // A rare action is not found on the first page, which ends after a bounded number of rows.
    let page = space.get("/audit?action=server.rare").await.ok();
    assert_eq!(page["count"], 0);
    assert!(page["next"].is_string(), "{}", page.text);
    // A rare object is found at once.
    let found = items(&space, "/audit?objectId=needle").await;
    assert_eq!(found.len(), 1);
    let export = space.clone().header("accept", NDJSON);
    let lines = export.get("/audit?action=server.test").await.ok().text;
    assert_eq!(lines.lines().count(), 100_000);
}
