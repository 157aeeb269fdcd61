//! Channels (`docs/contracts/era.md §4, §5, §13`): the six verbs, as the vendor prints them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::dock::{Dock, POINTS, SCRIPTS, TYPES};

const NOBODY: &str = "00000000-0000-0000-0000-000000000001";

fn example() -> Value {
    json!({
        "code": "ABCDE", "type": "public", "url": "http://trapper.com",
        "recv_svcscriptcode": "ws_hook", "send_svcscriptcode": "send_to_web",
    })
}

fn at(id: &str) -> String {
    format!("{POINTS}/{id}")
}

fn error(code: u32, message: &str) -> Value {
    json!({ "error_code": code, "error_message": message })
}

#[tokio::test]
async fn the_page_of_the_vendor() {
    let dock = Dock::new().await;
    let made = dock.rest.post(POINTS, example()).await.ok();
    let (id, token) = (made.str("id"), made.str("token_local"));
    assert!(token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit()));
    let whole = |id: &str, token: &str, remote: &str, lwt: &str| {
        format!(
            concat!(
                r#"{{"id":"{}","code":"ABCDE","type":"public","token_local":"{}","token_remote":"{}","token_remote2":"","#,
                r#""url":"http://trapper.com","recv_svcscriptcode":"ws_hook","recv_svcscriptcode_ws":"","#,
                r#""send_svcscriptcode":"send_to_web","send_svcscriptcode_ws":"","#,
                r#""opts":{{"title":"","comment":"","allow_files_api":false,"issync":false}},"#,
                r#""ext":{{"ct":"2026-01-01T00:00:00.00Z","lwt":"{}"}}}}"#
            ),
            id, token, remote, lwt
        )
    };
    let begun = "2026-01-01T00:00:00.00Z";
    assert_eq!(made.text, whole(&id, &token, "", begun));
    assert_eq!(
        made.header("content-type"),
        Some("application/json; charset=utf-8")
    );

    dock.hub.advance(std::time::Duration::from_millis(12_345));
    let changed = dock
        .change(&at(&id), json!({ "token_remote": "00ea293c29f9dc30" }))
        .await
        .ok();
    let later = "2026-01-01T00:00:12.34Z";
    let after = whole(&id, &token, "00ea293c29f9dc30", later);
    assert_eq!(changed.text, after);
    let path = format!("{POINTS}/{id}");
    assert_eq!(dock.rest.get(&path).await.ok().text, after);
    let list = dock
        .rest
        .get(&format!("{POINTS}?offset=0&limit=2"))
        .await
        .ok();
    let in_list = after.replace(r#""comment":"","#, "");
    assert_eq!(list.text, format!("[{in_list}]"));

    for key in [id.as_str(), "ABCDE", &token] {
        let found = dock.look_up(POINTS, json!(key)).await.ok();
        assert_eq!(found.json, json!([id]), "{key}");
    }
    let missed = dock
        .look_up(POINTS, json!("82ddc7c68623726346a78371173e2f8d"))
        .await;
    assert_eq!(
        (missed.status, missed.text.as_str()),
        (
            404,
            r#"{"error_code":1404,"error_message":"Lookup failed"}"#
        )
    );
    let overridden = dock.rest.clone().header("x-http-method-override", "LOOKUP");
    let found = overridden
        .send(Method::POST, POINTS, Some(b"\"ABCDE\"".to_vec()))
        .await
        .ok();
    assert_eq!(found.json, json!([id]));

    for _ in 0..2 {
        let gone = dock.rest.delete(&path).await;
        assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    }
    assert_eq!(dock.rest.get(&path).await.status, 404);
    assert_eq!(dock.look_up(POINTS, json!("ABCDE")).await.status, 404);
    // Code and id are free again, and what was read can be sent: the token alone is another.
    let sent: Value = serde_json::from_str(&after).expect("JSON");
    let again = dock.rest.post(POINTS, sent.clone()).await.ok();
    assert_eq!(again.str("id"), id);
    assert_ne!(again.str("token_local"), token);
    assert_eq!(dock.rest.post(POINTS, sent).await["error_code"], 1409);
}

#[tokio::test]
async fn an_id_may_be_chosen() {
    let dock = Dock::new().await;
    let mut body = example();
    body["id"] = "B4680FBE-016C-D86F-1D6B-50E54938780C".into();
    let made = dock.rest.post(POINTS, body.clone()).await.ok();
    assert_eq!(made["id"], "b4680fbe-016c-d86f-1d6b-50e54938780c");
    body["code"] = "other".into();
    assert_eq!(dock.rest.post(POINTS, body).await["error_code"], 1409);
    assert_eq!(
        dock.rest.post(POINTS, example()).await["error_code"],
        1409,
        "the code is taken"
    );
    let other = dock
        .rest
        .post(POINTS, json!({ "code": "two", "type": "public" }))
        .await
        .ok()
        .str("id");
    assert_eq!(
        dock.change(&at(&other), json!({ "code": "ABCDE" })).await["error_code"],
        1409
    );
    dock.change(
        &at(&other),
        json!({ "code": "two", "opts": { "title": "T" } }),
    )
    .await
    .ok();
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_masked() {
    let dock = Dock::new().await;
    for (code, kind, title) in [
        ("c", "public", "x"),
        ("a", "telegram", "x"),
        ("b", "public", "y"),
    ] {
        dock.rest
            .post(
                POINTS,
                json!({ "code": code, "type": kind, "opts": { "title": title } }),
            )
            .await
            .ok();
        dock.hub.advance(std::time::Duration::from_secs(1));
    }
    let list = |query: &str| {
        let encoded: String = query.to_owned();
        let rest = dock.rest.clone();
        async move {
            rest.get(&format!("{POINTS}?mask=code&{encoded}"))
                .await
                .ok()
                .text
        }
    };
    let codes = |codes: &[&str]| {
        let items: Vec<Value> = codes.iter().map(|code| json!({ "code": code })).collect();
        Value::Array(items).to_string()
    };
    assert_eq!(list("").await, codes(&["c", "a", "b"]), "the oldest first");
    assert_eq!(
        list("order=%5B%22code%22%5D").await,
        codes(&["a", "b", "c"])
    );
    assert_eq!(
        list("order=%5B%22type%22%2C%7B%22code%22%3A%22desc%22%7D%5D").await,
        codes(&["c", "b", "a"])
    );
    assert_eq!(
        list("filter=%7B%22type%22%3A%22public%22%7D").await,
        codes(&["c", "b"])
    );
    assert_eq!(
        list("filter=%7B%22type%22%3A%22public%22%2C%22opts.title%22%3A%22y%22%7D").await,
        codes(&["b"])
    );
    assert_eq!(list("offset=1&limit=1").await, codes(&["a"]));
    // What was never set is what it would be.
    for unset in [
        "opts.recv_timeout%22%3A0",
        "opts.roles%22%3A%5B%5D",
        "opts.issync%22%3Afalse",
    ] {
        let all = list(&format!("filter=%7B%22{unset}%7D")).await;
        assert_eq!(all, codes(&["c", "a", "b"]), "{unset}");
    }
    assert_eq!(list("offset=7").await, "[]");
    let flat = dock
        .rest
        .get(&format!("{POINTS}?mask=code,opts.title&flat=true&limit=1"))
        .await
        .ok();
    assert_eq!(flat.text, r#"[{"code":"c","opts.title":"x"}]"#);
    for (query, name) in [
        ("mask=colour", "mask"),
        ("filter=%7B", "filter"),
        ("filter=%7B%22colour%22%3A1%7D", "filter"),
        ("filter=%7B%22code%22%3A902%7D", "code must be a text"),
        ("filter=%7B%22code%22%3Anull%7D", "code must be a text"),
        (
            "filter=%7B%22opts.issync%22%3A%22x%22%7D",
            "opts.issync must be true or false",
        ),
        (
            "filter=%7B%22opts.recv_timeout%22%3A1.5%7D",
            "opts.recv_timeout must be a whole number",
        ),
        ("order=code", "order"),
        ("offset=-1", "offset"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("flat=maybe", "flat"),
    ] {
        let refused = dock.rest.get(&format!("{POINTS}?{query}")).await;
        assert_eq!(
            (refused.status, &refused["error_code"]),
            (400, &json!(1400)),
            "{query}"
        );
        let message = refused.str("error_message");
        assert!(message.contains(name), "{message}");
    }
}

#[tokio::test]
async fn bad_input_is_named() {
    let dock = Dock::new().await;
    let id = dock.rest.post(POINTS, example()).await.ok().str("id");
    for (body, name) in [
        (json!({ "type": "t" }), "code"),
        (json!({ "code": "x" }), "type"),
        (json!({ "code": 1, "type": "t" }), "code"),
        (json!({ "code": "x", "type": "t", "colour": 1 }), "colour"),
        (
            json!({ "code": "x", "type": "t", "opts": { "recv_timeout": 61 } }),
            "opts.recv_timeout",
        ),
        (
            json!({ "code": "x", "type": "t", "opts": { "userid": NOBODY } }),
            "opts.userid",
        ),
        (
            json!({ "code": "x", "type": "t", "opts": { "ip_mask": ["x"] } }),
            "opts.ip_mask",
        ),
        (json!({ "code": "x", "type": "t", "id": "x" }), "id"),
        (json!([]), "Object"),
    ] {
        let refused = dock.rest.post(POINTS, body.clone()).await;
        assert_eq!(
            (refused.status, &refused["error_code"]),
            (400, &json!(1400)),
            "{body}"
        );
        let message = refused.str("error_message");
        assert!(message.contains(name), "{body}: {message}");
    }
    for (body, name) in [
        (json!({ "id": NOBODY }), "id"),
        (json!({ "token_local": "x" }), "token_local"),
        (json!({ "code": null }), "code"),
        (json!({ "opts": { "colour": 1 } }), "opts.colour"),
    ] {
        let refused = dock.change(&at(&id), body.clone()).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        assert!(
            refused.str("error_message").contains(name),
            "{}",
            refused.text
        );
    }
    for body in ["{", "", "\"x\""] {
        let refused = dock
            .rest
            .send(Method::POST, POINTS, Some(body.into()))
            .await;
        assert_eq!(refused["error_code"], 1400, "{body}");
    }
    assert_eq!(dock.look_up(POINTS, json!(7)).await["error_code"], 1400);
    for id in [NOBODY, "x"] {
        let path = format!("{POINTS}/{id}");
        assert_eq!(dock.rest.get(&path).await["error_code"], 1404);
        assert_eq!(dock.change(&at(id), json!({})).await["error_code"], 1404);
        assert_eq!(dock.rest.delete(&path).await["error_code"], 1404);
    }
    let put = dock.rest.put(POINTS, example()).await;
    assert_eq!((put.status, &put["error_code"]), (405, &json!(1405)));
    let route = dock.rest.get("/rest/v1/service/nothing").await;
    assert_eq!((route.status, &route["error_code"]), (404, &json!(1404)));
    let large = json!({ "code": "x", "type": "t", "url": "u".repeat(1 << 20) });
    assert_eq!(dock.rest.post(POINTS, large).await["error_code"], 1413);
}

#[tokio::test]
async fn channels_are_their_workspaces_own() {
    let dock = Dock::new().await;
    let made = dock.rest.post(POINTS, example()).await.ok();
    let path = format!("{POINTS}/{}", made.str("id"));
    let nobody = dock.hub.anybody().get(&path).await;
    assert_eq!(
        (nobody.status, nobody.json),
        (401, error(1401, "Unauthorized"))
    );
    let other = dock.hub.workspace("other").await.at("");
    assert_eq!(other.get(&path).await.status, 404);
    assert_eq!(other.get(POINTS).await.ok().text, "[]");
    let verb = Method::from_bytes(b"LOOKUP").expect("a verb");
    assert_eq!(
        other
            .send(verb, POINTS, Some(b"\"ABCDE\"".to_vec()))
            .await
            .status,
        404
    );
    other.post(POINTS, example()).await.ok();
    let member = dock.hub.token("acme", "member").await.at("");
    assert_eq!(member.get(&path).await["error_code"], 1403);
    assert_eq!(
        dock.hub.admin().get(POINTS).await["error_code"],
        1403,
        "whose?"
    );
}

#[tokio::test]
async fn changes_are_in_the_feed_without_tokens() {
    let dock = Dock::new().await;
    let mut body = example();
    body["token_remote"] = "far secret".into();
    let made = dock.rest.post(POINTS, body).await.ok();
    let id = made.str("id");
    dock.change(&at(&id), json!({ "opts": { "title": "T" } }))
        .await
        .ok();
    dock.change(&at(&id), json!({ "opts": { "title": "T" } }))
        .await
        .ok();
    dock.rest.delete(&format!("{POINTS}/{id}")).await;
    let feed = dock.space.get("/events").await.ok();
    let items = feed["items"].as_array().expect("items");
    let changes: Vec<&Value> = items
        .iter()
        .map(|item| &item["changeData"]["type"])
        .collect();
    assert_eq!(changes, ["create", "patch", "delete"]);
    assert_eq!(items[0]["entityIds"], json!({ "integrationPointId": id }));
    assert_eq!(items[1]["changeData"]["new"]["opts"]["title"], "T");
    assert!(!feed.text.contains("far secret") && !feed.text.contains(&made.str("token_local")));
}

#[tokio::test]
async fn tokens_say_whose_they_are() {
    let dock = Dock::new().await;
    let made = dock.rest.post(POINTS, example()).await.ok();
    let (id, token) = (made.str("id"), made.str("token_local"));
    let path = format!("/rest/v1/service/integration_tokens/{token}");
    let found = dock.rest.get(&path).await.ok();
    let expected = format!(
        r#"{{"domain":"acme","integration_point":{{"id":"{id}","_links":{{"self":{{"href":"{POINTS}/{id}"}}}}}}}}"#
    );
    assert_eq!(found.text, expected);
    let other = dock.hub.workspace("other").await.at("");
    let missed = other.get(&path).await;
    assert_eq!(missed.header("content-type"), Some("application/json"));
    assert_eq!(
        (missed.status, missed.json),
        (404, error(1404, "Token not found"))
    );
    dock.rest.delete(&format!("{POINTS}/{id}")).await;
    assert_eq!(dock.rest.get(&path).await.status, 404, "at once");
}

/// What `mask` takes according to the vendor's page, and where it is found in an entity.
const MASKED: [(&str, &str); 15] = [
    ("id", "id"),
    ("code", "code"),
    ("type", "type"),
    ("tokenlocal", "token_local"),
    ("tokenremote", "token_remote"),
    ("tokenremote2", "token_remote2"),
    ("recv_svcscriptcode", "recv_svcscriptcode"),
    ("recv_svcscriptcode_ws", "recv_svcscriptcode_ws"),
    ("send_svcscriptcode", "send_svcscriptcode"),
    ("send_svcscriptcode_ws", "send_svcscriptcode_ws"),
    ("opts.title", "opts"),
    ("opts.allow_files_api", "opts"),
    ("opts.issync", "opts"),
    ("ext.lwt", "ext"),
    ("ext.ct", "ext"),
];

#[tokio::test]
async fn a_mask_takes_the_names_of_the_page_and_those_of_the_entity() {
    let dock = Dock::new().await;
    let made = dock.rest.post(POINTS, example()).await.ok();
    let one = at(&made.str("id"));
    let masked = |mask: &str, flat: bool| {
        let (rest, one) = (dock.rest.clone(), one.clone());
        let query = format!("?mask={mask}&flat={flat}");
        async move {
            let alone = rest.get(&format!("{one}{query}")).await.ok();
            let list = rest.get(&format!("{POINTS}{query}")).await.ok();
            assert_eq!(list.text, format!("[{}]", alone.text), "{query}");
            alone.json
        }
    };
    for (name, member) in MASKED {
        let value = match name.split_once('.') {
            Some((outer, inner)) => json!({ inner: made[outer][inner] }),
            None => made[member].clone(),
        };
        assert_eq!(
            masked(name, false).await,
            json!({ member: value }),
            "{name}"
        );
        if member == name.replace("token", "token_") {
            let other = masked(member, false).await;
            assert_eq!(other, json!({ member: value }), "{member}");
        }
    }
    let all = masked("url,%20opts", false).await;
    assert_eq!(
        all,
        json!({ "url": "http://trapper.com", "opts": made["opts"] })
    );
    let flat = masked("opts,ext.ct", true).await;
    let ct = &made["ext"]["ct"];
    assert_eq!(
        flat,
        json!({ "opts.title": "", "opts.comment": "", "opts.allow_files_api": false, "opts.issync": false, "ext.ct": ct })
    );
    let whole = dock.rest.get(&format!("{one}?flat=1")).await.ok();
    assert_eq!(whole["ext.lwt"], *ct);
    assert_eq!(whole["token_local"], made["token_local"]);
    let refused = dock.rest.get(&format!("{one}?mask=opts.colour")).await;
    assert_eq!(refused["error_code"], 1400);
    assert!(refused.str("error_message").contains("mask"));
}

#[tokio::test]
async fn a_patch_merges_opts_and_ext_and_replaces_the_rest() {
    let dock = Dock::new().await;
    let user = dock
        .space
        .post("/users", json!({ "login": "ivan" }))
        .await
        .ok();
    let user = user.str("id");
    let opts = json!({
        "title": "T", "comment": "C", "allow_files_api": true, "issync": true, "recv_timeout": 60,
        "roles": ["a", "b"], "userid": user, "ip_mask": ["10.0.0.0/8", "::1"], "filter_capabilities": ["rest"],
    });
    let mut body = example();
    body["opts"] = opts.clone();
    body["ext"] =
        json!({ "ct": "1999-01-01T00:00:00.00Z", "lwt": 7, "shop": { "id": 7 }, "tag": "x" });
    let made = dock.rest.post(POINTS, body).await.ok();
    assert_eq!(made["opts"], opts);
    let begun = "2026-01-01T00:00:00.00Z";
    assert_eq!(
        made["ext"],
        json!({ "ct": begun, "lwt": begun, "shop": { "id": 7 }, "tag": "x" }),
        "whatever a client likes, but the times"
    );
    let one = at(&made.str("id"));
    dock.hub.advance(std::time::Duration::from_secs(1));
    let patch = json!({
        "url": "", "opts": { "roles": ["c"], "title": "" },
        "ext": { "tag": "y", "ct": "1999-01-01T00:00:00.00Z" },
    });
    let changed = dock.change(&one, patch).await.ok();
    let mut expected = opts;
    expected["roles"] = json!(["c"]);
    expected["title"] = "".into();
    assert_eq!((&changed["opts"], &changed["url"]), (&expected, &json!("")));
    assert_eq!(
        changed["ext"],
        json!({ "ct": begun, "lwt": "2026-01-01T00:00:01.00Z", "shop": { "id": 7 }, "tag": "y" })
    );
    // What was read can be sent; nothing has changed then, not even the time of change.
    dock.hub.advance(std::time::Duration::from_secs(1));
    let again = dock.change(&one, changed.json.clone()).await.ok();
    assert_eq!(again.text, changed.text);
    for (timeout, status) in [
        (json!(0), 200),
        (json!(-1), 400),
        (json!(61), 400),
        (json!(1.5), 400),
        (json!("x"), 400),
    ] {
        let answer = dock
            .change(&one, json!({ "opts": { "recv_timeout": timeout } }))
            .await;
        assert_eq!(answer.status, status, "{timeout}: {}", answer.text);
        assert!(status == 200 || answer.str("error_message").contains("opts.recv_timeout"));
    }
}

#[tokio::test]
async fn a_key_is_looked_up_as_it_is_but_for_ids() {
    let dock = Dock::new().await;
    let made = dock.rest.post(POINTS, example()).await.ok();
    let (id, token) = (made.str("id"), made.str("token_local"));
    // A code that is another's id: a key may mean several.
    let double = dock
        .rest
        .post(POINTS, json!({ "code": id, "type": "t" }))
        .await
        .ok();
    let both = dock.look_up(POINTS, json!(id)).await.ok();
    assert_eq!(both.json, json!([id, double["id"]]));
    let upper = dock.look_up(POINTS, json!(id.to_uppercase())).await.ok();
    assert_eq!(upper.json, json!([id]), "ids have no case, codes have");
    for key in ["abcde", "ABCD", "ABCDE ", "", &token.to_uppercase()] {
        let missed = dock.look_up(POINTS, json!(key)).await;
        assert_eq!(
            (missed.status, missed.json),
            (404, error(1404, "Lookup failed")),
            "{key}"
        );
    }
    for key in [
        json!(7),
        json!(null),
        json!(["ABCDE"]),
        json!({ "code": "ABCDE" }),
    ] {
        let refused = dock.look_up(POINTS, key.clone()).await;
        assert_eq!(
            (refused.status, &refused["error_code"]),
            (400, &json!(1400)),
            "{key}"
        );
    }
}

#[tokio::test]
async fn a_list_has_a_hundred_when_nothing_is_said_and_its_order_stays() {
    let dock = Dock::new().await;
    for n in 0..101 {
        let body = json!({ "code": format!("c{n}"), "type": "t" });
        dock.rest.post(POINTS, body).await.ok();
    }
    let list = |query: &str| {
        let (rest, path) = (dock.rest.clone(), format!("{POINTS}?mask=id&{query}"));
        async move {
            rest.get(&path)
                .await
                .ok()
                .json
                .as_array()
                .expect("a list")
                .clone()
        }
    };
    let (first, rest) = (list("").await, list("offset=100").await);
    assert_eq!((first.len(), rest.len()), (100, 1));
    let all = list("limit=1000").await;
    assert_eq!(
        [first, rest].concat(),
        all,
        "made at one time, they go by their ids"
    );
    let mut sorted = all.clone();
    sorted.sort_by_key(|one| one["id"].as_str().expect("an id").to_owned());
    assert_eq!(all, sorted);
    assert!(list("limit=0").await.is_empty());
}

#[tokio::test]
async fn what_is_no_json_is_refused_by_its_type() {
    let dock = Dock::new().await;
    let id = dock.rest.post(POINTS, example()).await.ok().str("id");
    for (kind, body, status) in [
        ("application/json", r#"{"code":"a","type":"t"}"#, 200),
        (
            "Application/JSON; charset=UTF-8",
            r#"{"code":"b","type":"t"}"#,
            200,
        ),
        (
            "application/vnd.api+json",
            r#"{"code":"c","type":"t"}"#,
            200,
        ),
        (
            "text/plain;charset=UTF-8",
            r#"{"code":"d","type":"t"}"#,
            200,
        ),
        (
            "application/x-www-form-urlencoded",
            r#"{"code":"e","type":"t","url":"x?a=1&data=2"}"#,
            200,
        ),
        (
            "application/x-www-form-urlencoded; charset=utf-8",
            "x=1&data=%7B%22code%22%3A%22f%22%2C%22type%22%3A%22t%22%7D",
            200,
        ),
        ("application/xml", r#"{"code":"g","type":"t"}"#, 415),
        (
            "multipart/form-data; boundary=x",
            r#"{"code":"h","type":"t"}"#,
            415,
        ),
        ("application/x-www-form-urlencoded", "code=i&type=t", 400),
    ] {
        let caller = dock.rest.clone().header("content-type", kind);
        let answer = caller.send(Method::POST, POINTS, Some(body.into())).await;
        assert_eq!(answer.status, status, "{kind}: {body}: {}", answer.text);
        assert!(status == 200 || answer["error_code"] == 1000 + status);
    }
    let xml = dock.rest.clone().header("content-type", "application/xml");
    let verb = Method::from_bytes(b"LOOKUP").expect("a verb");
    for (method, path) in [
        (Method::PATCH, at(&id)),
        (verb, POINTS.to_owned()),
        (Method::POST, format!("{}/send", at(&id))),
    ] {
        let refused = xml.send(method.clone(), &path, Some(b"{}".to_vec())).await;
        assert_eq!(refused["error_code"], 1415, "{method}: {}", refused.text);
    }
}

#[tokio::test]
async fn verbs_that_a_path_does_not_know_are_said_to_be_wrong() {
    let dock = Dock::new().await;
    let made = dock.rest.post(POINTS, example()).await.ok();
    let (one, token) = (at(&made.str("id")), made.str("token_local"));
    let token = format!("/rest/v1/service/integration_tokens/{token}");
    for (method, path) in [
        ("PUT", POINTS),
        ("DELETE", POINTS),
        ("PATCH", POINTS),
        ("CLEAR", POINTS),
        ("POST", &one),
        ("PUT", &one),
        ("LOOKUP", &one),
        ("POST", &token),
        ("DELETE", &token),
        ("LOOKUP", &token),
        ("PUT", SCRIPTS),
        ("PUT", TYPES),
    ] {
        let verb = Method::from_bytes(method.as_bytes()).expect("a verb");
        let refused = dock.rest.send(verb, path, None).await;
        assert_eq!(
            (refused.status, &refused["error_code"]),
            (405, &json!(1405)),
            "{method} {path}"
        );
    }
    assert_eq!(dock.rest.get(&one).await.ok().text, made.text);
}

#[tokio::test]
async fn what_a_workspace_has_of_channels_and_scripts_has_an_end() {
    let dock = Dock::new().await;
    let source = format!("// {}\n1", "x".repeat(200_000));
    let script = |n: u32| {
        let data = json!({ "language": "javascript", "source": source });
        json!({ "code": format!("s{n}"), "name": "s", "scriptdata": data })
    };
    let mut last = String::new();
    for n in 0..83 {
        last = dock.rest.post(SCRIPTS, script(n)).await.ok().str("id");
    }
    let refused = dock.rest.post(SCRIPTS, script(83)).await;
    assert_eq!(
        (refused.status, &refused["error_code"]),
        (409, &json!(1409))
    );
    assert!(
        refused.str("error_message").contains("16 MiB"),
        "{}",
        refused.text
    );
    let longer = json!({ "scriptdata": { "source": format!("{source}{source}") } });
    let refused = dock.change(&format!("{SCRIPTS}/{last}"), longer).await;
    assert_eq!(refused["error_code"], 1400, "one has 256 KiB at the most");
    let longer = json!({ "opts": { "variables": { "x": "y".repeat(300_000) } } });
    let refused = dock.change(&format!("{SCRIPTS}/{last}"), longer).await;
    assert_eq!(refused["error_code"], 1409);
    // What is refused has left nothing behind, and there is room again when one goes.
    let kept = dock.rest.get(&format!("{SCRIPTS}?mask=code")).await.ok();
    assert_eq!(kept.json.as_array().map(Vec::len), Some(83));
    assert_eq!(
        dock.rest.delete(&format!("{SCRIPTS}/{last}")).await.status,
        204
    );
    dock.rest.post(SCRIPTS, script(83)).await.ok();
    let long = json!({ "code": "x", "type": "t", "url": "u".repeat(2049) });
    let refused = dock.rest.post(POINTS, long).await;
    assert!(
        refused.str("error_message").contains("url"),
        "{}",
        refused.text
    );
}

#[tokio::test]
async fn types_fix_what_their_channels_are() {
    let dock = Dock::new().await;
    let kind = json!({ "type": "bot", "url": "https://bot.example", "recv_svcscriptcode": "hear", "issync": true,
        "recv_timeout": 5, "quota": 2 });
    let made = dock.rest.post(TYPES, kind).await.ok();
    let id = made.str("id");
    let expected = format!(
        concat!(
            r#"{{"id":"{}","type":"bot","recv_svcscriptcode":"hear","recv_svcscriptcode_ws":"","recv_timeout":5,"#,
            r#""send_svcscriptcode":"","send_svcscriptcode_ws":"","url":"https://bot.example","issync":true,"quota":2,"#,
            r#""ext":{{"ct":"2026-01-01T00:00:00.00Z","lwt":"2026-01-01T00:00:00.00Z"}}}}"#
        ),
        id
    );
    assert_eq!(made.text, expected);
    let point = |code: &str, more: Value| {
        let mut body = json!({ "code": code, "type": "bot" });
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let rest = dock.rest.clone();
        async move { rest.post(POINTS, body).await }
    };
    let one = point("one", json!({ "send_svcscriptcode": "own" }))
        .await
        .ok();
    assert_eq!(
        (&one["url"], &one["recv_svcscriptcode"]),
        (&json!("https://bot.example"), &json!("hear"))
    );
    assert_eq!(
        (&one["opts"]["issync"], &one["opts"]["recv_timeout"]),
        (&json!(true), &json!(5))
    );
    for (more, name) in [
        (json!({ "url": "https://other.example" }), "url"),
        (json!({ "recv_svcscriptcode": "own" }), "recv_svcscriptcode"),
        (json!({ "opts": { "issync": false } }), "opts.issync"),
    ] {
        let refused = point("bad", more).await;
        assert_eq!(refused["error_code"], 1400);
        assert!(
            refused.str("error_message").contains(name),
            "{}",
            refused.text
        );
    }
    let path = format!("{POINTS}/{}", one.str("id"));
    assert_eq!(
        dock.change(&path, json!({ "url": "https://other.example" }))
            .await["error_code"],
        1400
    );
    dock.change(&path, one.json.clone()).await.ok();
    point("two", json!({})).await.ok();
    assert_eq!(
        point("three", json!({})).await["error_code"],
        1409,
        "the quota"
    );
    // What the type says anew holds for all of them.
    let changed = dock
        .change(
            &format!("{TYPES}/{id}"),
            json!({ "url": "https://new.example", "quota": 3 }),
        )
        .await
        .ok();
    assert_eq!(changed["url"], "https://new.example");
    assert_eq!(
        dock.rest.get(&path).await.ok()["url"],
        "https://new.example"
    );
    point("three", json!({})).await.ok();
    for body in [
        json!({ "type": "other" }),
        json!({ "id": path }),
        json!({ "quota": -1 }),
    ] {
        assert_eq!(
            dock.change(&format!("{TYPES}/{id}"), body.clone()).await["error_code"],
            1400,
            "{body}"
        );
    }
    assert_eq!(
        dock.rest.post(TYPES, json!({ "type": "bot" })).await["error_code"],
        1409
    );
    let found = dock.look_up(TYPES, json!("bot")).await.ok();
    assert_eq!(found.json, json!([id]));
    assert_eq!(
        dock.rest
            .get(&format!("{TYPES}?mask=type,quota"))
            .await
            .ok()
            .text,
        r#"[{"type":"bot","quota":3}]"#
    );
    assert_eq!(dock.rest.delete(&format!("{TYPES}/{id}")).await.status, 204);
    assert_eq!(
        dock.rest.get(&format!("{TYPES}/{id}")).await["error_code"],
        1404
    );
    dock.change(&path, json!({ "url": "https://free.example" }))
        .await
        .ok();
}

#[tokio::test]
async fn refusals_show_no_secret_and_name_what_there_is() {
    let dock = Dock::new().await;
    let made = dock.rest.post(POINTS, example()).await.ok();
    for token in [
        json!("secretABC\u{0}"),
        json!(1_234_567),
        json!({ "x": "secretABC" }),
    ] {
        for name in ["token_remote", "token_remote2"] {
            let mut body = json!({ "code": "x", "type": "t" });
            body[name] = token.clone();
            let refused = dock.rest.post(POINTS, body).await;
            assert_eq!(refused["error_code"], 1400, "{token}");
            let said = refused.str("error_message");
            assert!(said.contains(name), "{said}");
            assert!(!said.contains("ABC") && !said.contains("1234567"), "{said}");
        }
    }
    let broken = dock.rest.get(&format!("{POINTS}/%ff")).await;
    assert_eq!((broken.status, &broken["error_code"]), (400, &json!(1400)));
    for answer in [
        dock.look_up(POINTS, json!("ABCDE")).await,
        dock.look_up(POINTS, json!("missing")).await,
        dock.rest.put(POINTS, json!({})).await,
    ] {
        assert_eq!(
            answer.header("allow"),
            Some("GET,HEAD,POST,LOOKUP"),
            "{}",
            answer.text
        );
    }
    let path = format!("{}/deliveries", at(&made.str("id")));
    for (limit, status) in [("1000", 200), ("1001", 400), ("-1", 400)] {
        let answer = dock.rest.get(&format!("{path}?limit={limit}")).await;
        assert_eq!(answer.status, status, "{limit}");
    }
}
