//! The six verbs, as the vendor prints them.

use reqwest::Method;
use serde_json::{Value, json};

use super::{at, error, example};
use crate::harness::channel_workspace::{ChannelWorkspace, POINTS, TYPES};

const NO_TOKEN: &str = "A workspace's token is required in the header `Authorization: Bearer`; hooks and websockets require a channel's token";

#[tokio::test]
async fn the_examples_of_the_vendor() {
    let era = ChannelWorkspace::new().await;
    let made = era.rest.post(POINTS, example()).await.ok();
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

    era.hub.advance(std::time::Duration::from_millis(12_345));
    let changed = era
        .change(&at(&id), json!({ "token_remote": "00ea293c29f9dc30" }))
        .await
        .ok();
    let later = "2026-01-01T00:00:12.34Z";
    let after = whole(&id, &token, "00ea293c29f9dc30", later);
    assert_eq!(changed.text, after);
    let path = format!("{POINTS}/{id}");
    assert_eq!(era.rest.get(&path).await.ok().text, after);
    let list = era
        .rest
        .get(&format!("{POINTS}?offset=0&limit=2"))
        .await
        .ok();
    let in_list = after.replace(r#""comment":"","#, "");
    assert_eq!(list.text, format!("[{in_list}]"));

    for key in [id.as_str(), "ABCDE", &token] {
        let found = era.look_up(POINTS, json!(key)).await.ok();
        assert_eq!(found.json, json!([id]), "{key}");
    }
    let missed = era
        .look_up(POINTS, json!("82ddc7c68623726346a78371173e2f8d"))
        .await;
    assert_eq!(
        (missed.status, missed.text.as_str()),
        (
            404,
            r#"{"error_code":1404,"error_message":"Lookup failed"}"#
        )
    );
    let overridden = era.rest.clone().header("x-http-method-override", "LOOKUP");
    let found = overridden
        .send(Method::POST, POINTS, Some(b"\"ABCDE\"".to_vec()))
        .await
        .ok();
    assert_eq!(found.json, json!([id]));

    for _ in 0..2 {
        let gone = era.rest.delete(&path).await;
        assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    }
    assert_eq!(era.rest.get(&path).await.status, 404);
    assert_eq!(era.look_up(POINTS, json!("ABCDE")).await.status, 404);
    // Code and id are free again, and the entity that was read can be sent back. Only its token is new.
    let sent: Value = serde_json::from_str(&after).expect("JSON");
    let again = era.rest.post(POINTS, sent.clone()).await.ok();
    assert_eq!(again.str("id"), id);
    assert_ne!(again.str("token_local"), token);
    assert_eq!(era.rest.post(POINTS, sent).await["error_code"], 1409);
}

#[tokio::test]
async fn an_id_may_be_chosen() {
    let era = ChannelWorkspace::new().await;
    let mut body = example();
    body["id"] = "B4680FBE-016C-D86F-1D6B-50E54938780C".into();
    let made = era.rest.post(POINTS, body.clone()).await.ok();
    assert_eq!(made["id"], "b4680fbe-016c-d86f-1d6b-50e54938780c");
    body["code"] = "other".into();
    assert_eq!(era.rest.post(POINTS, body).await["error_code"], 1409);
    assert_eq!(
        era.rest.post(POINTS, example()).await["error_code"],
        1409,
        "the code is taken"
    );
    let other = era
        .rest
        .post(POINTS, json!({ "code": "two", "type": "public" }))
        .await
        .ok()
        .str("id");
    assert_eq!(
        era.change(&at(&other), json!({ "code": "ABCDE" })).await["error_code"],
        1409
    );
    era.change(
        &at(&other),
        json!({ "code": "two", "opts": { "title": "T" } }),
    )
    .await
    .ok();
}

#[tokio::test]
async fn channels_are_their_workspaces_own() {
    let era = ChannelWorkspace::new().await;
    let made = era.rest.post(POINTS, example()).await.ok();
    let path = format!("{POINTS}/{}", made.str("id"));
    let nobody = era.hub.anonymous().get(&path).await;
    assert_eq!((nobody.status, nobody.json), (401, error(1401, NO_TOKEN)));
    let other = era.hub.workspace("other").await.at("");
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
    let member = era.hub.token("acme", "member").await.at("");
    assert_eq!(member.get(&path).await["error_code"], 1403);
    assert_eq!(
        era.hub.admin().get(POINTS).await["error_code"],
        1403,
        "whose?"
    );
}

#[tokio::test]
async fn changes_are_in_the_feed_without_tokens() {
    let era = ChannelWorkspace::new().await;
    let mut body = example();
    body["token_remote"] = "far secret".into();
    let made = era.rest.post(POINTS, body).await.ok();
    let id = made.str("id");
    era.change(&at(&id), json!({ "opts": { "title": "T" } }))
        .await
        .ok();
    era.change(&at(&id), json!({ "opts": { "title": "T" } }))
        .await
        .ok();
    era.rest.delete(&format!("{POINTS}/{id}")).await;
    let feed = era.space.get("/events").await.ok();
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
async fn tokens_name_their_channel() {
    let era = ChannelWorkspace::new().await;
    let made = era.rest.post(POINTS, example()).await.ok();
    let (id, token) = (made.str("id"), made.str("token_local"));
    let path = format!("/rest/v1/service/integration_tokens/{token}");
    let found = era.rest.get(&path).await.ok();
    let expected = format!(
        r#"{{"domain":"acme","integration_point":{{"id":"{id}","_links":{{"self":{{"href":"{POINTS}/{id}"}}}}}}}}"#
    );
    assert_eq!(found.text, expected);
    let other = era.hub.workspace("other").await.at("");
    let missed = other.get(&path).await;
    assert_eq!(missed.header("content-type"), Some("application/json"));
    assert_eq!(
        (missed.status, missed.json),
        (404, error(1404, "Token not found"))
    );
    era.rest.delete(&format!("{POINTS}/{id}")).await;
    assert_eq!(era.rest.get(&path).await.status, 404, "at once");
}

#[tokio::test]
async fn a_patch_merges_opts_and_ext_and_replaces_the_rest() {
    let era = ChannelWorkspace::new().await;
    let user = era
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
    let made = era.rest.post(POINTS, body).await.ok();
    assert_eq!(made["opts"], opts);
    let begun = "2026-01-01T00:00:00.00Z";
    assert_eq!(
        made["ext"],
        json!({ "ct": begun, "lwt": begun, "shop": { "id": 7 }, "tag": "x" }),
        "whatever a client likes, but the times"
    );
    let one = at(&made.str("id"));
    era.hub.advance(std::time::Duration::from_secs(1));
    let patch = json!({
        "url": "", "opts": { "roles": ["c"], "title": "" },
        "ext": { "tag": "y", "ct": "1999-01-01T00:00:00.00Z" },
    });
    let changed = era.change(&one, patch).await.ok();
    let mut expected = opts;
    expected["roles"] = json!(["c"]);
    expected["title"] = "".into();
    assert_eq!((&changed["opts"], &changed["url"]), (&expected, &json!("")));
    assert_eq!(
        changed["ext"],
        json!({ "ct": begun, "lwt": "2026-01-01T00:00:01.00Z", "shop": { "id": 7 }, "tag": "y" })
    );
    // An entity sent back as it was read changes nothing, not even the time of change.
    era.hub.advance(std::time::Duration::from_secs(1));
    let again = era.change(&one, changed.json.clone()).await.ok();
    assert_eq!(again.text, changed.text);
    for (timeout, status) in [
        (json!(0), 200),
        (json!(-1), 400),
        (json!(61), 400),
        (json!(1.5), 400),
        (json!("x"), 400),
    ] {
        let answer = era
            .change(&one, json!({ "opts": { "recv_timeout": timeout } }))
            .await;
        assert_eq!(answer.status, status, "{timeout}: {}", answer.text);
        assert!(status == 200 || answer.str("error_message").contains("opts.recv_timeout"));
    }
}

#[tokio::test]
async fn a_key_is_looked_up_as_it_is_but_for_ids() {
    let era = ChannelWorkspace::new().await;
    let made = era.rest.post(POINTS, example()).await.ok();
    let (id, token) = (made.str("id"), made.str("token_local"));
    // A code that equals another's id: one key may find several.
    let double = era
        .rest
        .post(POINTS, json!({ "code": id, "type": "t" }))
        .await
        .ok();
    let both = era.look_up(POINTS, json!(id)).await.ok();
    assert_eq!(both.json, json!([id, double["id"]]));
    let upper = era.look_up(POINTS, json!(id.to_uppercase())).await.ok();
    assert_eq!(upper.json, json!([id]), "ids have no case, codes have");
    for key in ["abcde", "ABCD", "ABCDE ", "", &token.to_uppercase()] {
        let missed = era.look_up(POINTS, json!(key)).await;
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
        let refused = era.look_up(POINTS, key.clone()).await;
        assert_eq!(
            (refused.status, &refused["error_code"]),
            (400, &json!(1400)),
            "{key}"
        );
    }
}

#[tokio::test]
async fn types_fix_members_of_their_channels() {
    let era = ChannelWorkspace::new().await;
    let kind = json!({ "type": "bot", "url": "https://bot.example", "recv_svcscriptcode": "hear", "issync": true,
        "recv_timeout": 5, "quota": 2 });
    let made = era.rest.post(TYPES, kind).await.ok();
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
        let rest = era.rest.clone();
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
        era.change(&path, json!({ "url": "https://other.example" }))
            .await["error_code"],
        1400
    );
    era.change(&path, one.json.clone()).await.ok();
    point("two", json!({})).await.ok();
    assert_eq!(
        point("three", json!({})).await["error_code"],
        1409,
        "the quota"
    );
    // New values of the type apply to all its channels.
    let changed = era
        .change(
            &format!("{TYPES}/{id}"),
            json!({ "url": "https://new.example", "quota": 3 }),
        )
        .await
        .ok();
    assert_eq!(changed["url"], "https://new.example");
    assert_eq!(era.rest.get(&path).await.ok()["url"], "https://new.example");
    point("three", json!({})).await.ok();
    for body in [
        json!({ "type": "other" }),
        json!({ "id": path }),
        json!({ "quota": -1 }),
    ] {
        assert_eq!(
            era.change(&format!("{TYPES}/{id}"), body.clone()).await["error_code"],
            1400,
            "{body}"
        );
    }
    assert_eq!(
        era.rest.post(TYPES, json!({ "type": "bot" })).await["error_code"],
        1409
    );
    let found = era.look_up(TYPES, json!("bot")).await.ok();
    assert_eq!(found.json, json!([id]));
    assert_eq!(
        era.rest
            .get(&format!("{TYPES}?mask=type,quota"))
            .await
            .ok()
            .text,
        r#"[{"type":"bot","quota":3}]"#
    );
    assert_eq!(era.rest.delete(&format!("{TYPES}/{id}")).await.status, 204);
    assert_eq!(
        era.rest.get(&format!("{TYPES}/{id}")).await["error_code"],
        1404
    );
    era.change(&path, json!({ "url": "https://free.example" }))
        .await
        .ok();
}
