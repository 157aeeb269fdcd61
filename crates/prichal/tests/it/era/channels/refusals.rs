//! Refused requests, and the bounds of a workspace.

use reqwest::Method;
use serde_json::json;

use super::{UNKNOWN_ID, at, example};
use crate::harness::channel_workspace::{ChannelWorkspace, POINTS, SCRIPTS, TYPES};

#[tokio::test]
async fn bad_input_is_named() {
    let era = ChannelWorkspace::new().await;
    let id = era.rest.post(POINTS, example()).await.ok().str("id");
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
            json!({ "code": "x", "type": "t", "opts": { "userid": UNKNOWN_ID } }),
            "opts.userid",
        ),
        (
            json!({ "code": "x", "type": "t", "opts": { "ip_mask": ["x"] } }),
            "opts.ip_mask",
        ),
        (json!({ "code": "x", "type": "t", "id": "x" }), "id"),
        (json!([]), "JSON object"),
    ] {
        let refused = era.rest.post(POINTS, body.clone()).await;
        assert_eq!(
            (refused.status, &refused["error_code"]),
            (400, &json!(1400)),
            "{body}"
        );
        let message = refused.str("error_message");
        assert!(message.contains(name), "{body}: {message}");
    }
    for (body, name) in [
        (json!({ "id": UNKNOWN_ID }), "id"),
        (json!({ "token_local": "x" }), "token_local"),
        (json!({ "code": null }), "code"),
        (json!({ "opts": { "colour": 1 } }), "opts.colour"),
    ] {
        let refused = era.change(&at(&id), body.clone()).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        assert!(
            refused.str("error_message").contains(name),
            "{}",
            refused.text
        );
    }
    for body in ["{", "", "\"x\""] {
        let refused = era.rest.send(Method::POST, POINTS, Some(body.into())).await;
        assert_eq!(refused["error_code"], 1400, "{body}");
    }
    assert_eq!(era.look_up(POINTS, json!(7)).await["error_code"], 1400);
    for id in [UNKNOWN_ID, "x"] {
        let path = format!("{POINTS}/{id}");
        assert_eq!(era.rest.get(&path).await["error_code"], 1404);
        assert_eq!(era.change(&at(id), json!({})).await["error_code"], 1404);
        assert_eq!(era.rest.delete(&path).await["error_code"], 1404);
    }
    let put = era.rest.put(POINTS, example()).await;
    assert_eq!((put.status, &put["error_code"]), (405, &json!(1405)));
    let route = era.rest.get("/rest/v1/service/nothing").await;
    assert_eq!((route.status, &route["error_code"]), (404, &json!(1404)));
    let large = json!({ "code": "x", "type": "t", "url": "u".repeat(1 << 20) });
    assert_eq!(era.rest.post(POINTS, large).await["error_code"], 1413);
}

#[tokio::test]
async fn invalid_json_is_refused_with_its_type() {
    let era = ChannelWorkspace::new().await;
    let id = era.rest.post(POINTS, example()).await.ok().str("id");
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
        let caller = era.rest.clone().header("content-type", kind);
        let answer = caller.send(Method::POST, POINTS, Some(body.into())).await;
        assert_eq!(answer.status, status, "{kind}: {body}: {}", answer.text);
        assert!(status == 200 || answer["error_code"] == 1000 + status);
    }
    let xml = era.rest.clone().header("content-type", "application/xml");
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
async fn unknown_verbs_of_a_path_are_refused() {
    let era = ChannelWorkspace::new().await;
    let made = era.rest.post(POINTS, example()).await.ok();
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
        let refused = era.rest.send(verb, path, None).await;
        assert_eq!(
            (refused.status, &refused["error_code"]),
            (405, &json!(1405)),
            "{method} {path}"
        );
    }
    assert_eq!(era.rest.get(&one).await.ok().text, made.text);
}

#[tokio::test]
async fn channels_and_scripts_of_a_workspace_are_bounded() {
    let era = ChannelWorkspace::new().await;
    let source = format!("// {}\n1", "x".repeat(200_000));
    let script = |n: u32| {
        let data = json!({ "language": "javascript", "source": source });
        json!({ "code": format!("s{n}"), "name": "s", "scriptdata": data })
    };
    let mut last = String::new();
    for n in 0..83 {
        last = era.rest.post(SCRIPTS, script(n)).await.ok().str("id");
    }
    let refused = era.rest.post(SCRIPTS, script(83)).await;
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
    let refused = era.change(&format!("{SCRIPTS}/{last}"), longer).await;
    assert_eq!(
        refused["error_code"], 1400,
        "one has 262 144 characters at the most"
    );
    let longer = json!({ "opts": { "variables": { "x": "y".repeat(300_000) } } });
    let refused = era.change(&format!("{SCRIPTS}/{last}"), longer).await;
    assert_eq!(refused["error_code"], 1409);
    // A refusal leaves nothing behind, and a deletion makes room again.
    let kept = era.rest.get(&format!("{SCRIPTS}?mask=code")).await.ok();
    assert_eq!(kept.json.as_array().map(Vec::len), Some(83));
    assert_eq!(
        era.rest.delete(&format!("{SCRIPTS}/{last}")).await.status,
        204
    );
    era.rest.post(SCRIPTS, script(83)).await.ok();
    let long = json!({ "code": "x", "type": "t", "url": "u".repeat(2049) });
    let refused = era.rest.post(POINTS, long).await;
    assert!(
        refused.str("error_message").contains("url"),
        "{}",
        refused.text
    );
}

#[tokio::test]
async fn refusals_show_no_secret_and_name_the_member() {
    let era = ChannelWorkspace::new().await;
    let made = era.rest.post(POINTS, example()).await.ok();
    for token in [
        json!("secretABC\u{0}"),
        json!(1_234_567),
        json!({ "x": "secretABC" }),
    ] {
        for name in ["token_remote", "token_remote2"] {
            let mut body = json!({ "code": "x", "type": "t" });
            body[name] = token.clone();
            let refused = era.rest.post(POINTS, body).await;
            assert_eq!(refused["error_code"], 1400, "{token}");
            let said = refused.str("error_message");
            assert!(said.contains(name), "{said}");
            assert!(!said.contains("ABC") && !said.contains("1234567"), "{said}");
        }
    }
    let broken = era.rest.get(&format!("{POINTS}/%ff")).await;
    assert_eq!((broken.status, &broken["error_code"]), (400, &json!(1400)));
    for answer in [
        era.look_up(POINTS, json!("ABCDE")).await,
        era.look_up(POINTS, json!("missing")).await,
        era.rest.put(POINTS, json!({})).await,
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
        let answer = era.rest.get(&format!("{path}?limit={limit}")).await;
        assert_eq!(answer.status, status, "{limit}");
    }
}
