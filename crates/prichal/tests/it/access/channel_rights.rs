//! Rights of channels: roles, capabilities and routes (`docs/access.md`).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    harness::websocket_client::WebsocketClient,
    harness::{
        channel_workspace::{ChannelWorkspace, CreatedChannel, POINTS, SCRIPTS, TYPES},
        receiver::{Receiver, Reply},
    },
};

const CAPABILITIES: [&str; 5] = ["rest", "subscr", "svcscript", "msg", "test"];

/// The capabilities that a channel may set up.
async fn opened(era: &ChannelWorkspace, channel: &CreatedChannel) -> Vec<String> {
    let mut client = WebsocketClient::open(&era.hub, channel).await;
    let wanted = CAPABILITIES.map(|key| json!({ "key": key }));
    let answer = client.ask("setup", json!({ "capabilities": wanted })).await;
    let list = answer["capabilities"].as_array().expect("a list").iter();
    let open = list.filter(|one| one["result"] == "ok");
    open.map(|one| one["key"].as_str().expect("a key").to_owned())
        .collect()
}

#[tokio::test]
async fn the_configuration_of_a_channel_sets_its_capabilities() {
    let era = ChannelWorkspace::new().await;
    let route =
        |capability: &str| json!({ "methods": ["WEBSOCKET"], "url": format!("/ws#{capability}") });
    let role = async |name: &str, routes: Value| {
        let body = json!({ "name": name, "routes": routes });
        era.space.post("/roles", body).await.ok().str("id")
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
    era.space.delete(&format!("/roles/{gone}")).await.ok();

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
        let channel = era.channel(&format!("c{n}"), json!({ "opts": opts })).await;
        assert_eq!(opened(&era, &channel).await, expected, "{opts}");
    }
}

/// The token of a hook opens only the channel's own script.
#[tokio::test]
async fn a_token_of_a_hook_is_no_administrators() {
    let era = ChannelWorkspace::new().await;
    era.script("other", "entities.create('companies', { name: 'made' })")
        .await;
    let channel = era.channel("sock", json!({})).await;
    let mut client = WebsocketClient::with(&era.hub, &channel, &["msg", "test"]).await;
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
    assert_eq!(era.space.get("/companies").await.ok()["count"], 0);
    let check = format!("/rest/v1/service/integration_tokens/{}", channel.token);
    let member = era.hub.token("acme", "member").await.at("");
    for path in [POINTS, SCRIPTS, TYPES, &check] {
        assert_eq!(member.get(path).await.status, 403, "{path}");
        assert_eq!(
            era.token_holder(&channel).get(path).await.status,
            401,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_script_has_no_administrators_rights_unless_it_says_so() {
    let era = ChannelWorkspace::new().await;
    let role = era
        .space
        .post("/roles", json!({ "name": "r" }))
        .await
        .ok()
        .str("id");
    let user = era
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
    let before = era.space.get("/users").await.ok().text;
    for (n, change) in changes.iter().enumerate() {
        let code = format!("s{n}");
        let made = era.sync_channel(&code, change).await;
        let refused = era.hook(&made, json!({})).await;
        assert_eq!(refused.status, 500, "{change}");
        let run = &era.runs(&code).await[0];
        let error = run["error"].as_str().unwrap_or_default();
        assert!(error.contains("Only an administrator"), "{change}: {run}");
        // The same where the script goes on.
        let caught = format!(
            "try {{ {change}; respond(200, {{}}, 'done') }} catch (e) {{ respond(200, {{}}, 'refused') }}"
        );
        let made = era.sync_channel(&format!("c{n}"), &caught).await;
        assert_eq!(era.hook(&made, json!({})).await.ok().text, "refused");
    }
    assert_eq!(era.space.get("/users").await.ok().text, before);

    let made = era.sync_channel("able", &changes[0]).await;
    assert_eq!(era.hook(&made, json!({})).await.status, 500);
    let id = era.look_up(SCRIPTS, json!("able")).await.ok()[0].clone();
    let path = format!("{SCRIPTS}/{}", id.as_str().expect("an id"));
    era.change(&path, json!({ "opts": { "as_admin": true } }))
        .await
        .ok();
    era.hook(&made, json!({})).await.ok();
    let users = era.space.get("/users").await.ok();
    let evil = users["items"]
        .as_array()
        .expect("items")
        .iter()
        .find(|one| one["login"] == "evil");
    assert_eq!(evil.expect("made")["isAdmin"], true);
    era.change(&path, json!({ "opts": { "as_admin": null } }))
        .await
        .ok();
    assert_eq!(era.hook(&made, json!({})).await.status, 500);
}

fn rest(operation: &str, classpath: &str, id: Option<&str>, content: Value) -> Value {
    json!({ "qid": 1, "operation": operation, "classpath": classpath, "id": id, "content": content })
}

#[tokio::test]
async fn a_channel_changes_nothing_that_grants_rights() {
    let era = ChannelWorkspace::new().await;
    let secret = "a-remote-secret";
    let other = era
        .channel("other", json!({ "token_remote": secret }))
        .await;
    let able = era.open("able", json!({}), &["rest"]).await;
    let (points, scripts, types) = (&POINTS[9..], &SCRIPTS[9..], &TYPES[9..]);
    let source = |text: &str| json!({ "language": "javascript", "source": text });
    let script = json!({ "code": "high", "name": "high", "scriptdata": source("1"), "opts": { "as_admin": true } });
    let high = era.rest.post(SCRIPTS, script).await.ok().str("id");
    let low = era.script("low", "1").await;
    let user = era
        .space
        .post("/users", json!({ "login": "u" }))
        .await
        .ok()
        .str("id");
    let sock = era.open("sock", json!({}), &["rest"]).await;
    let mut client = WebsocketClient::with(&era.hub, &sock, &["rest"]).await;

    let kind = json!({ "type": "elsewhere", "url": "https://mine.example" });
    era.rest.post(TYPES, kind).await.ok();
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
        // The members that decide where the tokens and messages of a channel without rights go.
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
    // Everything else can be changed within the rights of the role.
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

/// No route of a websocket's `rest` changes another channel or shows its tokens.
#[tokio::test]
async fn no_route_lets_a_channel_at_another() {
    let era = ChannelWorkspace::new().await;
    let echo = Receiver::start(|call| {
        let sent = call.header("authorization").unwrap_or_default();
        Reply::Body(sent.as_bytes().to_vec())
    });
    let echo = echo.await;
    let source =
        "console.log(JSON.stringify(request)); throw new Error(request.entity.token_remote)";
    era.script("telling", source).await;
    let remote = ["a-remote-secret", "another \"secret\""];
    let members = json!({
        "token_remote": remote[0], "token_remote2": remote[1], "recv_svcscriptcode": "telling", "url": echo.url,
        "opts": { "issync": true },
    });
    let victim = era.open("victim", members, &["rest"]).await;
    let kind = json!({ "type": "kind" });
    let kind = era.rest.post(TYPES, kind).await.ok().str("id");
    let low = era.script("low", "1").await;
    let kept = era.script("kept", "1").await;
    let newer = json!({ "scriptdata": { "source": "2" } });
    era.change(&format!("/rest/v1/service/svcscripts/{kept}"), newer)
        .await
        .ok();
    let by_token = format!("/rest/v1/service/integration_tokens/{}", victim.token);
    assert_eq!(era.hook(&victim, json!({})).await.status, 500);
    let run = era.runs("telling").await[0]["id"].clone();
    let run = run.as_str().expect("an id");
    let own = format!("{POINTS}/{}", victim.id);
    era.rest.post(&format!("{own}/send"), json!({})).await.ok();
    era.wait_until_drained().await;

    let attacker = era.open("attacker", json!({}), &["rest"]).await;
    let mut client = WebsocketClient::with(&era.hub, &attacker, &["rest"]).await;
    let before = era.rest.get(&own).await.ok();
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
        ("GET", runs, &of(run, "/request"), nothing.clone(), true),
        ("POST", runs, &of(run, "/retry"), json!({}), true),
        (
            "GET",
            points,
            &of(&victim.id, "/sockets"),
            nothing.clone(),
            true,
        ),
        (
            "GET",
            scripts,
            &of(&kept, "/versions/1"),
            nothing.clone(),
            true,
        ),
        (
            "GET",
            scripts,
            &of(&kept, "/versions"),
            nothing.clone(),
            true,
        ),
        ("POST", scripts, &of(&kept, "/try"), json!({}), false),
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
        let more_template = more.replace("/versions/1", "/versions/{number}");
        walked.insert(format!("{verb} {path}{template}{more_template}"));
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
        assert_eq!(era.rest.get(&own).await.ok().text, before.text, "{what}");
    }
    walked.retain(|one| !one.starts_with("LOOKUP"));
    let described = era.hub.operations(&["/rest/v1/"]).await;
    assert_eq!(walked, described, "each route has a row");
    assert_eq!(era.rest.get(&by_token).await.ok().status, 200);
}
