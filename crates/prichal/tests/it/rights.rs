//! Rights: what grants them, who may change that, and what is open where nothing is said (`docs/access.md`).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    dock::{Dock, Made, POINTS, SCRIPTS, TYPES},
    hub::{Answer, Caller, Hub},
    partner::Partner,
    receiver::{Receiver, Reply},
    sockets::Client,
    subscriber::{BIN, company},
};

const CAPABILITIES: [&str; 5] = ["rest", "subscr", "svcscript", "msg", "test"];

/// The capabilities that a channel may set up.
async fn opened(dock: &Dock, channel: &Made) -> Vec<String> {
    let mut client = Client::open(&dock.hub, channel).await;
    let wanted = CAPABILITIES.map(|key| json!({ "key": key }));
    let answer = client.ask("setup", json!({ "capabilities": wanted })).await;
    let list = answer["capabilities"].as_array().expect("a list").iter();
    let open = list.filter(|one| one["result"] == "ok");
    open.map(|one| one["key"].as_str().expect("a key").to_owned())
        .collect()
}

#[tokio::test]
async fn what_a_channel_may_by_its_configuration() {
    let dock = Dock::new().await;
    let route =
        |capability: &str| json!({ "methods": ["WEBSOCKET"], "url": format!("/ws#{capability}") });
    let role = async |name: &str, routes: Value| {
        let body = json!({ "name": name, "routes": routes });
        dock.space.post("/roles", body).await.ok().str("id")
    };
    role("tester", json!([route("test")])).await;
    role("starter", json!([route("svcscript")])).await;
    role("all", json!([{ "methods": ["*"], "url": "/ws#*" }])).await;
    role("empty", json!([])).await;
    role("null", Value::Null).await;
    role(
        "broken",
        json!([{ "methods": [], "url": "*" }, { "url": "*" }, { "methods": ["*"] }]),
    )
    .await;
    let gone = role("gone", json!([{ "methods": ["*"], "url": "*" }])).await;
    dock.space.delete(&format!("/roles/{gone}")).await.ok();

    let plain = ["msg", "test"].as_slice();
    let table = [
        (json!({}), plain),
        (json!({ "roles": null }), plain),
        (json!({ "roles": [] }), plain),
        (json!({ "filter_capabilities": null }), plain),
        (
            json!({ "filter_capabilities": ["rest", "test"] }),
            &["test"],
        ),
        (json!({ "filter_capabilities": [] }), &[]),
        (json!({ "filter_capabilities": ["unknown"] }), &[]),
        (json!({ "roles": ["unknown"] }), &[]),
        (json!({ "roles": ["All"] }), &[]),
        (json!({ "roles": ["gone"] }), &[]),
        (json!({ "roles": ["empty"] }), &[]),
        (json!({ "roles": ["null"] }), &[]),
        (json!({ "roles": ["broken"] }), &[]),
        (json!({ "roles": ["tester"] }), &["test"]),
        (json!({ "roles": ["tester", "gone", "empty"] }), &["test"]),
        (
            json!({ "roles": ["tester", "starter"] }),
            &["svcscript", "test"],
        ),
        (json!({ "roles": ["all"] }), CAPABILITIES.as_slice()),
        (
            json!({ "roles": ["all"], "filter_capabilities": ["rest"] }),
            &["rest"],
        ),
        (json!({ "roles": ["all"], "filter_capabilities": [] }), &[]),
    ];
    for (n, (opts, expected)) in table.into_iter().enumerate() {
        let channel = dock
            .channel(&format!("c{n}"), json!({ "opts": opts }))
            .await;
        assert_eq!(opened(&dock, &channel).await, expected, "{opts}");
    }
}

/// With the token of a hook nothing is reached but the channel's own script.
#[tokio::test]
async fn a_token_of_a_hook_is_no_administrators() {
    let dock = Dock::new().await;
    dock.script("other", "entities.create('companies', { name: 'made' })")
        .await;
    let channel = dock.channel("sock", json!({})).await;
    let mut client = Client::with(&dock.hub, &channel, &["msg", "test"]).await;
    for (method, params) in [
        (
            "rest",
            json!({ "operation": "read", "classpath": "service/integration_points" }),
        ),
        ("start_svcscript", json!({ "code": "other" })),
        ("subscribe", json!({ "id": 1 })),
    ] {
        let refused = client.ask(method, params).await;
        assert_eq!(refused["errorcode"], 1403, "{method}: {refused}");
    }
    assert_eq!(dock.space.get("/companies").await.ok()["count"], 0);
    let check = format!("/rest/v1/service/integration_tokens/{}", channel.token);
    let member = dock.hub.token("acme", "member").await.at("");
    for path in [POINTS, SCRIPTS, TYPES, &check] {
        assert_eq!(member.get(path).await.status, 403, "{path}");
        assert_eq!(dock.holder(&channel).get(path).await.status, 401, "{path}");
    }
}

/// Everybody who may enter the workspace over HTTP, and whether he is an administrator.
async fn callers(hub: &Hub, name: &str, space: &Caller) -> Vec<(&'static str, Caller, bool)> {
    let user = space
        .post("/users", json!({ "login": "clerk" }))
        .await
        .ok()
        .str("id");
    let partner = Partner::install(space, "Partner", "https://partner.example").await;
    let key = space.access_key(&partner.access_key().await);
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
async fn administrators_alone_change_what_grants_rights() {
    let dock = Dock::new().await;
    let space = &dock.space;
    let routes = json!([{ "methods": ["*"], "url": "*" }]);
    for (who, caller, may) in callers(&dock.hub, "acme", space).await {
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

        // Roles, whatever they hold.
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

        // Settings, and what is over workspaces.
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
        // The rest is anybody's.
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
    // Another integration's secrets and settings are not an integration's.
    let one = Partner::install(space, "One", "https://one.example").await;
    let other = Partner::install(space, "Other", "https://other.example").await;
    let key = space.access_key(&one.access_key().await);
    let secret = json!([{ "op": "add", "path": "/secrets", "value": { "id": "a", "value": "b" } }]);
    allowed(
        &key.patch(&other.instance(), secret).await,
        false,
        "another's secrets",
    );
}

#[tokio::test]
async fn a_script_has_no_administrators_rights_unless_it_says_so() {
    let dock = Dock::new().await;
    let role = dock
        .space
        .post("/roles", json!({ "name": "r" }))
        .await
        .ok()
        .str("id");
    let user = dock
        .space
        .post("/users", json!({ "login": "u" }))
        .await
        .ok()
        .str("id");
    let changes = [
        "entities.create('users', { login: 'evil', isAdmin: true })".to_owned(),
        "entities.create('users', { login: 'evil', permissions: ['DOCUMENT_SIGN'] })".to_owned(),
        "entities.create('roles', { name: 'evil' })".to_owned(),
        format!(
            "entities.patch('users', '{user}', [{{ op: 'replace', path: '/isAdmin', value: true }}])"
        ),
        format!(
            "entities.patch('roles', '{role}', [{{ op: 'replace', path: '/routes', value: [] }}])"
        ),
        format!("entities.link({{ roleId: '{role}', userId: '{user}' }})"),
    ];
    let before = dock.space.get("/users").await.ok().text;
    for (n, change) in changes.iter().enumerate() {
        let code = format!("s{n}");
        let made = dock.sync(&code, change).await;
        let refused = dock.hook(&made, json!({})).await;
        assert_eq!(refused.status, 500, "{change}");
        let run = &dock.runs(&code).await[0];
        let error = run["error"].as_str().unwrap_or_default();
        assert!(error.contains("Only an administrator"), "{change}: {run}");
        // The same where the script goes on.
        let caught = format!(
            "try {{ {change}; respond(200, {{}}, 'done') }} catch (e) {{ respond(200, {{}}, 'refused') }}"
        );
        let made = dock.sync(&format!("c{n}"), &caught).await;
        assert_eq!(dock.hook(&made, json!({})).await.ok().text, "refused");
    }
    assert_eq!(dock.space.get("/users").await.ok().text, before);

    let made = dock.sync("able", &changes[0]).await;
    assert_eq!(dock.hook(&made, json!({})).await.status, 500);
    let id = dock.look_up(SCRIPTS, json!("able")).await.ok()[0].clone();
    let path = format!("{SCRIPTS}/{}", id.as_str().expect("an id"));
    dock.change(&path, json!({ "opts": { "as_admin": true } }))
        .await
        .ok();
    dock.hook(&made, json!({})).await.ok();
    let users = dock.space.get("/users").await.ok();
    let evil = users["items"]
        .as_array()
        .expect("items")
        .iter()
        .find(|one| one["login"] == "evil");
    assert_eq!(evil.expect("made")["isAdmin"], true);
    dock.change(&path, json!({ "opts": { "as_admin": null } }))
        .await
        .ok();
    assert_eq!(dock.hook(&made, json!({})).await.status, 500);
}

fn rest(operation: &str, classpath: &str, id: Option<&str>, content: Value) -> Value {
    json!({ "qid": 1, "operation": operation, "classpath": classpath, "id": id, "content": content })
}

#[tokio::test]
async fn a_channel_changes_nothing_that_grants_rights() {
    let dock = Dock::new().await;
    let secret = "a-remote-secret";
    let other = dock
        .channel("other", json!({ "token_remote": secret }))
        .await;
    let able = dock.open("able", json!({}), &["rest"]).await;
    let (points, scripts, types) = (&POINTS[9..], &SCRIPTS[9..], &TYPES[9..]);
    let source = |text: &str| json!({ "language": "javascript", "source": text });
    let script = json!({ "code": "high", "name": "high", "scriptdata": source("1"), "opts": { "as_admin": true } });
    let high = dock.rest.post(SCRIPTS, script).await.ok().str("id");
    let low = dock.script("low", "1").await;
    let user = dock
        .space
        .post("/users", json!({ "login": "u" }))
        .await
        .ok()
        .str("id");
    let sock = dock.open("sock", json!({}), &["rest"]).await;
    let mut client = Client::with(&dock.hub, &sock, &["rest"]).await;

    let kind = json!({ "type": "elsewhere", "url": "https://mine.example" });
    dock.rest.post(TYPES, kind).await.ok();
    let change = |members: Value| rest("update", points, Some(&other.id), members);
    let point = |opts: Value| json!({ "code": "new", "type": "public", "opts": opts });
    for asked in [
        rest("create", points, None, point(json!({ "roles": ["able"] }))),
        rest("create", points, None, point(json!({ "userid": user }))),
        rest(
            "create",
            points,
            None,
            point(json!({ "ip_mask": ["0.0.0.0/0"] })),
        ),
        rest(
            "create",
            points,
            None,
            point(json!({ "filter_capabilities": ["rest"] })),
        ),
        rest(
            "update",
            points,
            Some(&other.id),
            json!({ "opts": { "roles": ["able"] } }),
        ),
        rest(
            "update",
            points,
            Some(&other.id),
            json!({ "opts": { "userid": user } }),
        ),
        rest(
            "update",
            points,
            Some(&sock.id),
            json!({ "opts": { "roles": [] } }),
        ),
        rest(
            "update",
            points,
            Some(&sock.id),
            json!({ "opts": { "roles": null } }),
        ),
        rest(
            "update",
            points,
            Some(&able.id),
            json!({ "send_svcscriptcode": "low" }),
        ),
        rest("delete", points, Some(&able.id), Value::Null),
        // Of a channel without rights, what decides where its tokens and messages go.
        change(json!({ "url": "https://mine.example" })),
        change(json!({ "token_remote": "mine" })),
        change(json!({ "token_remote2": "mine" })),
        change(json!({ "recv_svcscriptcode": "low" })),
        change(json!({ "recv_svcscriptcode_ws": "low" })),
        change(json!({ "send_svcscriptcode": "low" })),
        change(json!({ "send_svcscriptcode_ws": "low" })),
        change(json!({ "type": "elsewhere" })),
        rest(
            "create",
            &format!("{points}/{}/rotate_token", other.id),
            None,
            json!({}),
        ),
        rest("create", types, None, json!({ "type": "public" })),
        rest(
            "create",
            scripts,
            None,
            json!({ "code": "s", "name": "s", "scriptdata": source("1"), "opts": { "as_admin": true } }),
        ),
        rest(
            "update",
            scripts,
            Some(&high),
            json!({ "scriptdata": source("2") }),
        ),
        rest(
            "update",
            scripts,
            Some(&high),
            json!({ "opts": { "as_admin": false } }),
        ),
        rest(
            "update",
            scripts,
            Some(&low),
            json!({ "opts": { "as_admin": true } }),
        ),
        rest("delete", scripts, Some(&high), Value::Null),
    ] {
        let refused = client.ask("rest", asked.clone()).await;
        assert_eq!(refused["errorcode"], 1403, "{asked}: {refused}");
    }
    // All else is changed within what the role opens.
    for asked in [
        rest("create", points, None, point(json!({ "title": "x" }))),
        rest(
            "update",
            points,
            Some(&other.id),
            json!({ "opts": { "title": "x" } }),
        ),
        rest(
            "update",
            scripts,
            Some(&low),
            json!({ "scriptdata": source("2") }),
        ),
        rest("delete", scripts, Some(&low), Value::Null),
    ] {
        let answer = client.ask("rest", asked.clone()).await;
        assert_eq!(answer["result"], "ok", "{asked}: {answer}");
    }
    // Tokens of others may have other rights.
    let one = client
        .ask("rest", rest("read", points, Some(&other.id), Value::Null))
        .await;
    let all = client
        .ask("rest", rest("read", points, None, Value::Null))
        .await;
    for seen in [&one, &all] {
        let text = seen.to_string();
        assert!(
            !text.contains(&other.token) && !text.contains(&able.token),
            "{text}"
        );
        assert!(!text.contains(secret), "{text}");
    }
    assert_eq!(one["content"]["token_local"], "***");
    assert!(all.to_string().contains(&sock.token), "its own are its own");
    let guess = json!({ "qid": 1, "operation": "read", "classpath": points, "filter": { "token_remote": secret } });
    assert_eq!(client.ask("rest", guess).await["content"], json!([]));
}

/// Documents are in the log of the workspace; who may not look at them does not hear of them.
#[tokio::test]
async fn of_documents_only_those_hear_who_may_view_them() {
    let hub = Hub::start().await;
    let acme = company(&hub, "acme", BIN).await;
    let space = hub.token("acme", "admin").await;
    let dock = Dock {
        rest: space.at(""),
        space,
        hub,
    };
    let (hub, space) = (&dock.hub, &dock.space);
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
    let partner = Partner::install(space, "Partner", "https://partner.example").await;
    let key = space.access_key(&partner.access_key().await);
    let mut channels = Vec::new();
    for (code, user) in [("seeing", &viewer), ("blind", &other)] {
        let members = json!({ "opts": { "userid": user } });
        channels.push(dock.open(code, members, &["subscr"]).await);
    }
    let mut clients = Vec::new();
    for channel in &channels {
        let mut client = Client::with(hub, channel, &["subscr"]).await;
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
        // Offsets are the same for everybody: page by page, nothing is missed and nothing comes twice.
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

/// A key that somebody else has used is new.
#[tokio::test]
async fn a_first_answer_is_its_callers_alone() {
    let dock = Dock::new().await;
    let mut made = Vec::new();
    let mut callers = callers(&dock.hub, "acme", &dock.space).await;
    callers.push((
        "another administrator",
        dock.hub.token("acme", "admin").await,
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
        Partner::install(&dock.space, "P", "https://p.example")
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

/// Every route that a websocket's `rest` reaches, at a channel that has rights: none changes it or shows its tokens.
#[tokio::test]
async fn no_route_lets_a_channel_at_another() {
    let dock = Dock::new().await;
    let echo = Receiver::start(|call| {
        let sent = call.header("authorization").unwrap_or_default();
        Reply::Body(sent.as_bytes().to_vec())
    });
    let echo = echo.await;
    let source =
        "console.log(JSON.stringify(request)); throw new Error(request.entity.token_remote)";
    dock.script("telling", source).await;
    let remote = ["a-remote-secret", "another \"secret\""];
    let members = json!({
        "token_remote": remote[0], "token_remote2": remote[1], "recv_svcscriptcode": "telling", "url": echo.url,
        "opts": { "issync": true },
    });
    let victim = dock.open("victim", members, &["rest"]).await;
    let kind = json!({ "type": "kind" });
    let kind = dock.rest.post(TYPES, kind).await.ok().str("id");
    let low = dock.script("low", "1").await;
    let by_token = format!("/rest/v1/service/integration_tokens/{}", victim.token);
    assert_eq!(dock.hook(&victim, json!({})).await.status, 500);
    let run = dock.runs("telling").await[0]["id"].clone();
    let run = run.as_str().expect("an id");
    let own = format!("{POINTS}/{}", victim.id);
    dock.rest.post(&format!("{own}/send"), json!({})).await.ok();
    dock.drained().await;

    let attacker = dock.open("attacker", json!({}), &["rest"]).await;
    let mut client = Client::with(&dock.hub, &attacker, &["rest"]).await;
    let before = dock.rest.get(&own).await.ok();
    let source = json!({ "language": "javascript", "source": "2" });
    let script = json!({ "code": "s", "name": "s", "scriptdata": source });
    let (points, types, scripts) = (
        "integration_points",
        "integration_point_types",
        "svcscripts",
    );
    let (runs, nothing) = ("svcscript_runtimes", Value::Null);
    let of = |id: &str, more: &str| (id.to_owned(), more.to_owned());
    let (all, there) = (of("", ""), of(&victim.id, ""));
    let rows = [
        ("GET", points, &all, nothing.clone(), true),
        (
            "POST",
            points,
            &all,
            json!({ "code": "n", "type": "public" }),
            true,
        ),
        ("LOOKUP", points, &all, json!("victim"), true),
        ("GET", points, &there, nothing.clone(), true),
        ("PATCH", points, &there, json!({ "code": "mine" }), false),
        ("DELETE", points, &there, nothing.clone(), false),
        (
            "POST",
            points,
            &of(&victim.id, "/rotate_token"),
            json!({}),
            false,
        ),
        ("POST", points, &of(&victim.id, "/send"), json!({}), true),
        (
            "GET",
            points,
            &of(&victim.id, "/deliveries"),
            nothing.clone(),
            true,
        ),
        ("GET", types, &all, nothing.clone(), true),
        ("POST", types, &all, json!({ "type": "public" }), false),
        ("LOOKUP", types, &all, json!("kind"), true),
        ("GET", types, &of(&kind, ""), nothing.clone(), true),
        (
            "PATCH",
            types,
            &of(&kind, ""),
            json!({ "url": "https://mine.example" }),
            false,
        ),
        ("DELETE", types, &of(&kind, ""), nothing.clone(), false),
        ("GET", scripts, &all, nothing.clone(), true),
        ("POST", scripts, &all, script, true),
        ("LOOKUP", scripts, &all, json!("low"), true),
        ("GET", scripts, &of(&low, ""), nothing.clone(), true),
        (
            "PATCH",
            scripts,
            &of(&low, ""),
            json!({ "name": "lower" }),
            true,
        ),
        ("DELETE", scripts, &of(&low, ""), nothing.clone(), true),
        ("GET", runs, &all, nothing.clone(), true),
        ("POST", runs, &all, json!({ "code": "telling" }), true),
        ("GET", runs, &of(run, ""), nothing.clone(), true),
        ("POST", runs, &of(run, "/retry"), json!({}), true),
        (
            "GET",
            "integration_tokens",
            &of(&victim.token, ""),
            nothing.clone(),
            true,
        ),
    ];
    let mut walked = BTreeSet::new();
    for (verb, collection, (id, more), content, may) in rows {
        let path = format!("/rest/v1/service/{collection}");
        let name = if collection == "integration_tokens" {
            "token"
        } else {
            "id"
        };
        let template = if id.is_empty() {
            String::new()
        } else {
            format!("/{{{name}}}")
        };
        walked.insert(format!("{verb} {path}{template}{more}"));
        let operation = match verb {
            "GET" => "read",
            "POST" => "create",
            "PATCH" => "update",
            "DELETE" => "delete",
            _ => "lookup",
        };
        let slash = if id.is_empty() { "" } else { "/" };
        let asked = rest(
            operation,
            &format!("{path}{slash}{id}{more}"),
            None,
            content,
        );
        let answer = client.ask("rest", asked).await;
        let what = format!("{verb} {path}{template}{more}: {answer}");
        if may {
            assert_eq!(answer["result"], "ok", "{what}");
        } else {
            assert_eq!(answer["errorcode"], 1403, "{what}");
        }
        for token in [victim.token.as_str(), remote[0], "another"] {
            assert!(!answer.to_string().contains(token), "{what}");
        }
        assert_eq!(dock.rest.get(&own).await.ok().text, before.text, "{what}");
    }
    walked.retain(|one| !one.starts_with("LOOKUP"));
    let described = dock.hub.operations(&["/rest/v1/"]).await;
    assert_eq!(walked, described, "each route has a row");
    assert_eq!(dock.rest.get(&by_token).await.ok().status, 200);
}
