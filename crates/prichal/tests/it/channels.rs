//! Channels (`reference/era.md` §4, §5, §13): the six verbs, as the vendor prints them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::hub::{Answer, Caller, Hub};

const POINTS: &str = "/rest/v1/service/integration_points";
const NOBODY: &str = "00000000-0000-0000-0000-000000000001";

struct Lab {
    hub: Hub,
    /// An administrator of the workspace, at its entities.
    space: Caller,
    /// The same at the channels.
    rest: Caller,
}

impl Lab {
    async fn new() -> Self {
        let hub = Hub::start().await;
        let space = hub.workspace("acme").await;
        let rest = space.at("");
        Self { hub, space, rest }
    }

    async fn make(&self, body: Value) -> Answer {
        self.rest.post(POINTS, body).await
    }

    async fn change(&self, id: &str, body: Value) -> Answer {
        let body = Some(body.to_string().into_bytes());
        self.rest
            .send(Method::PATCH, &format!("{POINTS}/{id}"), body)
            .await
    }

    async fn look_up(&self, key: Value) -> Answer {
        let verb = Method::from_bytes(b"LOOKUP").expect("a verb");
        let body = Some(key.to_string().into_bytes());
        self.rest.send(verb, POINTS, body).await
    }
}

fn example() -> Value {
    json!({
        "code": "ABCDE", "type": "public", "url": "http://trapper.com",
        "recv_svcscriptcode": "ws_hook", "send_svcscriptcode": "send_to_web",
    })
}

fn error(code: u32, message: &str) -> Value {
    json!({ "error_code": code, "error_message": message })
}

#[tokio::test]
async fn the_page_of_the_vendor() {
    let lab = Lab::new().await;
    let made = lab.make(example()).await.ok();
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

    lab.hub.advance(std::time::Duration::from_millis(12_345));
    let changed = lab
        .change(&id, json!({ "token_remote": "00ea293c29f9dc30" }))
        .await
        .ok();
    let later = "2026-01-01T00:00:12.34Z";
    let after = whole(&id, &token, "00ea293c29f9dc30", later);
    assert_eq!(changed.text, after);
    let path = format!("{POINTS}/{id}");
    assert_eq!(lab.rest.get(&path).await.ok().text, after);
    let list = lab
        .rest
        .get(&format!("{POINTS}?offset=0&limit=2"))
        .await
        .ok();
    let in_list = after.replace(r#""comment":"","#, "");
    assert_eq!(list.text, format!("[{in_list}]"));

    for key in [id.as_str(), "ABCDE", &token] {
        let found = lab.look_up(json!(key)).await.ok();
        assert_eq!(found.json, json!([id]), "{key}");
    }
    let missed = lab.look_up(json!("82ddc7c68623726346a78371173e2f8d")).await;
    assert_eq!(
        (missed.status, missed.text.as_str()),
        (
            404,
            r#"{"error_code":1404,"error_message":"Lookup failed"}"#
        )
    );
    let overridden = lab.rest.clone().header("x-http-method-override", "LOOKUP");
    let found = overridden
        .send(Method::POST, POINTS, Some(b"\"ABCDE\"".to_vec()))
        .await
        .ok();
    assert_eq!(found.json, json!([id]));

    for _ in 0..2 {
        let gone = lab.rest.delete(&path).await;
        assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    }
    assert_eq!(lab.rest.get(&path).await.status, 404);
    assert_eq!(lab.look_up(json!("ABCDE")).await.status, 404);
    // Code and id are free again, and what was read can be sent: the token alone is another.
    let sent: Value = serde_json::from_str(&after).expect("JSON");
    let again = lab.make(sent.clone()).await.ok();
    assert_eq!(again.str("id"), id);
    assert_ne!(again.str("token_local"), token);
    assert_eq!(lab.make(sent).await["error_code"], 1409);
}

#[tokio::test]
async fn an_id_may_be_chosen() {
    let lab = Lab::new().await;
    let mut body = example();
    body["id"] = "B4680FBE-016C-D86F-1D6B-50E54938780C".into();
    let made = lab.make(body.clone()).await.ok();
    assert_eq!(made["id"], "b4680fbe-016c-d86f-1d6b-50e54938780c");
    body["code"] = "other".into();
    assert_eq!(lab.make(body).await["error_code"], 1409);
    assert_eq!(
        lab.make(example()).await["error_code"],
        1409,
        "the code is taken"
    );
    let other = lab
        .make(json!({ "code": "two", "type": "public" }))
        .await
        .ok()
        .str("id");
    assert_eq!(
        lab.change(&other, json!({ "code": "ABCDE" })).await["error_code"],
        1409
    );
    lab.change(&other, json!({ "code": "two", "opts": { "title": "T" } }))
        .await
        .ok();
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_masked() {
    let lab = Lab::new().await;
    for (code, kind, title) in [
        ("c", "public", "x"),
        ("a", "telegram", "x"),
        ("b", "public", "y"),
    ] {
        lab.make(json!({ "code": code, "type": kind, "opts": { "title": title } }))
            .await
            .ok();
        lab.hub.advance(std::time::Duration::from_secs(1));
    }
    let list = |query: &str| {
        let encoded: String = query.to_owned();
        let rest = lab.rest.clone();
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
    assert_eq!(list("offset=7").await, "[]");
    let flat = lab
        .rest
        .get(&format!("{POINTS}?mask=code,opts.title&flat=true&limit=1"))
        .await
        .ok();
    assert_eq!(flat.text, r#"[{"code":"c","opts.title":"x"}]"#);
    for (query, name) in [
        ("mask=colour", "mask"),
        ("filter=%7B", "filter"),
        ("filter=%7B%22colour%22%3A1%7D", "filter"),
        ("order=code", "order"),
        ("offset=-1", "offset"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("flat=maybe", "flat"),
    ] {
        let refused = lab.rest.get(&format!("{POINTS}?{query}")).await;
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
    let lab = Lab::new().await;
    let id = lab.make(example()).await.ok().str("id");
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
        let refused = lab.make(body.clone()).await;
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
        let refused = lab.change(&id, body.clone()).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        assert!(
            refused.str("error_message").contains(name),
            "{}",
            refused.text
        );
    }
    for body in ["{", "", "\"x\""] {
        let refused = lab.rest.send(Method::POST, POINTS, Some(body.into())).await;
        assert_eq!(refused["error_code"], 1400, "{body}");
    }
    assert_eq!(lab.look_up(json!(7)).await["error_code"], 1400);
    for id in [NOBODY, "x"] {
        let path = format!("{POINTS}/{id}");
        assert_eq!(lab.rest.get(&path).await["error_code"], 1404);
        assert_eq!(lab.change(id, json!({})).await["error_code"], 1404);
        assert_eq!(lab.rest.delete(&path).await["error_code"], 1404);
    }
    let put = lab.rest.put(POINTS, example()).await;
    assert_eq!((put.status, &put["error_code"]), (405, &json!(1405)));
    let route = lab.rest.get("/rest/v1/service/nothing").await;
    assert_eq!((route.status, &route["error_code"]), (404, &json!(1404)));
    let large = json!({ "code": "x", "type": "t", "url": "u".repeat(1 << 20) });
    assert_eq!(lab.make(large).await["error_code"], 1413);
}

#[tokio::test]
async fn channels_are_their_workspaces_own() {
    let lab = Lab::new().await;
    let made = lab.make(example()).await.ok();
    let path = format!("{POINTS}/{}", made.str("id"));
    let nobody = lab.hub.anybody().get(&path).await;
    assert_eq!(
        (nobody.status, nobody.json),
        (401, error(1401, "Unauthorized"))
    );
    let other = lab.hub.workspace("other").await.at("");
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
    let member = lab.hub.token("acme", "member").await.at("");
    assert_eq!(member.get(&path).await["error_code"], 1403);
    assert_eq!(
        lab.hub.admin().get(POINTS).await["error_code"],
        1403,
        "whose?"
    );
}

#[tokio::test]
async fn changes_are_in_the_feed_without_tokens() {
    let lab = Lab::new().await;
    let mut body = example();
    body["token_remote"] = "far secret".into();
    let made = lab.make(body).await.ok();
    let id = made.str("id");
    lab.change(&id, json!({ "opts": { "title": "T" } }))
        .await
        .ok();
    lab.change(&id, json!({ "opts": { "title": "T" } }))
        .await
        .ok();
    lab.rest.delete(&format!("{POINTS}/{id}")).await;
    let feed = lab.space.get("/events").await.ok();
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
    let lab = Lab::new().await;
    let made = lab.make(example()).await.ok();
    let (id, token) = (made.str("id"), made.str("token_local"));
    let path = format!("/rest/v1/service/integration_tokens/{token}");
    let found = lab.rest.get(&path).await.ok();
    let expected = format!(
        r#"{{"domain":"acme","integration_point":{{"id":"{id}","_links":{{"self":{{"href":"{POINTS}/{id}"}}}}}}}}"#
    );
    assert_eq!(found.text, expected);
    let other = lab.hub.workspace("other").await.at("");
    let missed = other.get(&path).await;
    assert_eq!(
        (missed.status, missed.json),
        (404, error(1404, "Token not found"))
    );
    lab.rest.delete(&format!("{POINTS}/{id}")).await;
    assert_eq!(lab.rest.get(&path).await.status, 404, "at once");
}
