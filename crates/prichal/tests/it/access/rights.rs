//! Rights over HTTP: the entities that grant them, and the callers who may change those (`docs/access.md`).

use serde_json::{Value, json};

use crate::{
    harness::websocket_client::WebsocketClient,
    harness::{
        channel_workspace::ChannelWorkspace,
        document_subscriber::{BIN, company},
        hub::{Answer, Caller, Hub},
        integration::Integration,
    },
};

/// Every kind of caller of the workspace; true for those who are administrators.
async fn callers(hub: &Hub, name: &str, space: &Caller) -> Vec<(&'static str, Caller, bool)> {
    let user = space
        .post("/users", json!({ "login": "clerk" }))
        .await
        .ok()
        .str("id");
    let integration = Integration::install(space, "Partner", "https://partner.example").await;
    let key = space.access_key(&integration.access_key().await);
    vec![
        ("administrator", hub.token(name, "admin").await, true),
        ("member", hub.token(name, "member").await, false),
        (
            "member who is a user",
            hub.user_token(name, &user).await,
            false,
        ),
        ("integration", key, false),
    ]
}

fn allowed(answer: &Answer, may: bool, what: &str) {
    let expected = if may { 200 } else { 403 };
    assert_eq!(answer.status, expected, "{what}: {}", answer.text);
}

#[tokio::test]
async fn only_administrators_change_members_that_grant_rights() {
    let era = ChannelWorkspace::new().await;
    let space = &era.space;
    let routes = json!([{ "methods": ["*"], "url": "*" }]);
    for (who, caller, may) in callers(&era.hub, "acme", space).await {
        let user = |more: Value| {
            let mut body = json!({ "login": format!("{who}-{more}") });
            for (name, value) in more.as_object().expect("an object") {
                body[name] = value.clone();
            }
            body
        };
        let made = async |collection: &str, body: Value| {
            space
                .post(&format!("/{collection}"), body)
                .await
                .ok()
                .str("id")
        };
        let replace =
            |path: &str, value: Value| json!([{ "op": "replace", "path": path, "value": value }]);

        // Users, alone and in a batch.
        for rights in [
            json!({ "isAdmin": true }),
            json!({ "permissions": ["DOCUMENT_SIGN"] }),
            json!({ "accessRights": [{ "id": "deals", "level": 2 }] }),
            json!({ "iin": "061211600012" }),
            json!({ "ISADMIN": true }),
        ] {
            let what = format!("{who} makes a user with {rights}");
            allowed(
                &caller.post("/users", user(rights.clone())).await,
                may,
                &what,
            );
            let batch = json!({ "items": [user(json!({})), user(rights)] });
            allowed(&caller.post("/users/create", batch).await, may, &what);
        }
        let plain = made("users", json!({ "login": format!("{who} plain") })).await;
        for (path, value) in [
            ("/isAdmin", json!(true)),
            ("/IsAdmin", json!(true)),
            ("/permissions", json!(["DOCUMENT_VIEW"])),
            ("/accessRights", json!([{ "id": "deals", "level": 2 }])),
            ("/iin", json!("061211600012")),
        ] {
            let answer = caller
                .patch(&format!("/users/{plain}"), replace(path, value))
                .await;
            allowed(&answer, may, &format!("{who} changes {path}"));
        }
        let able = made(
            "users",
            json!({ "login": format!("{who} able"), "isAdmin": true }),
        )
        .await;
        let able = format!("/users/{able}");
        allowed(
            &caller.delete(&able).await,
            may,
            &format!("{who} deletes one with rights"),
        );
        space.delete(&able).await.ok();
        let answer = caller.post(&format!("{able}/restore"), json!({})).await;
        allowed(&answer, may, &format!("{who} restores one with rights"));

        // Roles with any content.
        let role = json!({ "name": format!("{who} role"), "routes": routes });
        allowed(
            &caller.post("/roles", role.clone()).await,
            may,
            &format!("{who} makes a role"),
        );
        let batch = json!({ "items": [role] });
        allowed(
            &caller.post("/roles/create", batch).await,
            may,
            &format!("{who} makes roles"),
        );
        let role = made("roles", json!({ "name": format!("{who} narrow") })).await;
        let at = format!("/roles/{role}");
        for (path, value) in [("/routes", routes.clone()), ("/name", json!("wide"))] {
            let answer = caller.patch(&at, replace(path, value)).await;
            allowed(&answer, may, &format!("{who} changes a role's {path}"));
        }
        let ends = json!({ "roleId": role, "userId": plain });
        allowed(
            &caller.post("/links", ends.clone()).await,
            may,
            &format!("{who} links a role"),
        );
        let unlinked = caller.send(
            reqwest::Method::DELETE,
            "/links",
            Some(ends.to_string().into_bytes()),
        );
        allowed(&unlinked.await, may, &format!("{who} unlinks a role"));
        allowed(
            &caller.delete(&at).await,
            may,
            &format!("{who} deletes a role"),
        );
        space.delete(&at).await.ok();
        let answer = caller.post(&format!("{at}/restore"), json!({})).await;
        allowed(&answer, may, &format!("{who} restores a role"));

        // Settings, and the administration above workspaces.
        let fields = json!([{ "op": "add", "path": "/customFields/company", "value": { "id": who, "type": "text" } }]);
        let answer = caller.patch("/settings", fields).await;
        assert_eq!(
            answer.status == 403,
            !may,
            "{who} changes settings: {}",
            answer.text
        );
        let admin = caller.at("/admin/v1/workspaces/acme");
        for answer in [
            admin
                .post("/tokens", json!({ "name": "x", "role": "admin" }))
                .await,
            admin
                .put("/signature-policy", json!({ "policy": "test" }))
                .await,
        ] {
            assert!(matches!(answer.status, 401 | 403), "{who}: {}", answer.text);
        }
        // Everything else is open to every caller.
        caller
            .post(
                "/users",
                user(json!({ "isAdmin": false, "permissions": [] })),
            )
            .await
            .ok();
        let answer = caller
            .patch(&format!("/users/{plain}"), replace("/position", json!("x")))
            .await;
        allowed(&answer, true, who);
    }
    // The secrets and settings of another integration are closed.
    let one = Integration::install(space, "One", "https://one.example").await;
    let other = Integration::install(space, "Other", "https://other.example").await;
    let key = space.access_key(&one.access_key().await);
    let secret = json!([{ "op": "add", "path": "/secrets", "value": { "id": "a", "value": "b" } }]);
    allowed(
        &key.patch(&other.instance(), secret).await,
        false,
        "another's secrets",
    );
}

/// Documents are in the log of the workspace. A caller without the permission to view them does not get their events.
#[tokio::test]
async fn of_documents_only_those_hear_who_may_view_them() {
    let hub = Hub::start().await;
    let acme = company(&hub, "acme", BIN).await;
    let space = hub.token("acme", "admin").await;
    let era = ChannelWorkspace {
        rest: space.at(""),
        space,
        hub,
    };
    let (hub, space) = (&era.hub, &era.space);
    let user = async |login: &str, permissions: Value| {
        let body = json!({ "login": login, "permissions": permissions });
        space.post("/users", body).await.ok().str("id")
    };
    let viewer = user("viewer", json!(["DOCUMENT_VIEW"])).await;
    let others = json!([
        "DOCUMENT_CREATE",
        "DOCUMENT_SIGN",
        "DOCUMENT_DOWNLOAD",
        "EMPLOYEE_VIEW"
    ]);
    let other = user("other", others).await;
    let left = user("left", json!(["DOCUMENT_VIEW"])).await;
    let by_left = hub.user_token("acme", &left).await;
    space.delete(&format!("/users/{left}")).await.ok();
    assert_eq!(by_left.get("/events").await.status, 401);
    let integration = Integration::install(space, "Partner", "https://partner.example").await;
    let key = space.access_key(&integration.access_key().await);
    let mut channels = Vec::new();
    for (code, user) in [("seeing", &viewer), ("blind", &other)] {
        let members = json!({ "opts": { "userid": user } });
        channels.push(era.open(code, members, &["subscr"]).await);
    }
    let mut clients = Vec::new();
    for channel in &channels {
        let mut client = WebsocketClient::with(hub, channel, &["subscr"]).await;
        let subscribed = client
            .ask("subscribe", json!({ "qid": 1, "id": "all" }))
            .await;
        assert_eq!(subscribed["result"], "ok");
        clients.push(client);
    }
    let begin = space.get("/events?limit=1000").await.ok().str("lastOffset");
    let document = acme.draft(hub, "secret-17").await;
    acme.send(hub, &document).await;
    space
        .post("/companies", json!({ "name": "between" }))
        .await
        .ok();
    acme.draft(hub, "secret-18").await;

    for (who, caller, sees) in [
        ("administrator", space.clone(), true),
        ("integration", key, true),
        ("viewer", hub.user_token("acme", &viewer).await, true),
        ("other", hub.user_token("acme", &other).await, false),
        ("member", hub.token("acme", "member").await, false),
    ] {
        let all = caller.get(&format!("/events?offset={begin}")).await.ok();
        assert_eq!(all["count"], if sees { 4 } else { 1 }, "{who}");
        assert_eq!(all.text.contains("secret-"), sees, "{who}");
        // Offsets are the same for every reader: page by page, no event is missing or repeated.
        let (mut offset, mut names, mut pages) = (begin.clone(), Vec::new(), 0);
        loop {
            let page = caller
                .get(&format!("/events?limit=1&offset={offset}"))
                .await
                .ok();
            let items = page["items"].as_array().expect("items");
            assert_eq!(page["count"], items.len());
            names.extend(items.iter().map(|item| item["entityIds"].clone()));
            offset = page.str("lastOffset");
            pages += 1;
            if page["hasMore"] != true {
                break;
            }
        }
        assert_eq!((pages, names.len()), (4, if sees { 4 } else { 1 }), "{who}");
        assert_eq!(offset, all.str("lastOffset"), "{who}");
    }
    let [seeing, blind] = clients.try_into().ok().expect("two");
    for (mut client, expected) in [(seeing, 4), (blind, 1)] {
        let mut told = Vec::new();
        for _ in 0..expected {
            told.push(client.next().await.to_string());
        }
        assert!(told.iter().any(|text| text.contains("between")));
        assert_eq!(
            told.iter().any(|text| text.contains("secret-")),
            expected == 4
        );
    }
}

/// An idempotency key used by another caller is new.
#[tokio::test]
async fn a_first_answer_is_its_callers_alone() {
    let era = ChannelWorkspace::new().await;
    let mut made = Vec::new();
    let mut callers = callers(&era.hub, "acme", &era.space).await;
    callers.push((
        "another administrator",
        era.hub.token("acme", "admin").await,
        true,
    ));
    for (who, caller, _) in &callers {
        let caller = caller.clone().header("idempotency-key", "one");
        let post = || caller.post("/companies", json!({ "name": "same" }));
        let (first, again) = (post().await.ok(), post().await.ok());
        assert_eq!(first.text, again.text, "{who}");
        assert!(!made.contains(&first.str("id")), "{who}");
        made.push(first.str("id"));
    }
    let secret = format!(
        "/integrations/{}/api-key",
        Integration::install(&era.space, "P", "https://p.example")
            .await
            .id
    );
    let admin = callers[0].1.clone().header("idempotency-key", "two");
    let shown = admin.post(&secret, json!({})).await.ok().str("apiKey");
    for (who, caller, may) in &callers {
        let answer = caller
            .clone()
            .header("idempotency-key", "two")
            .post(&secret, json!({}))
            .await;
        assert_eq!(
            answer.text.contains(&shown),
            *who == "administrator",
            "{who}"
        );
        allowed(&answer, *may, who);
    }
}
