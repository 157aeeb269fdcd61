//! Decoding of requests: content codings, character sets, forms, and the leniency of the vendors' servers.

use std::io::Write as _;

use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    channel_workspace::{ChannelWorkspace, CreatedChannel},
    hub::{Answer, Caller, Hub},
    telephony_exchange::{CLIENT, TelephonyExchange, started},
};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut coder = GzEncoder::new(Vec::new(), Compression::fast());
    coder.write_all(bytes).expect("into memory");
    coder.finish().expect("into memory")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut coder = ZlibEncoder::new(Vec::new(), Compression::fast());
    coder.write_all(bytes).expect("into memory");
    coder.finish().expect("into memory")
}

fn bare_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut coder = DeflateEncoder::new(Vec::new(), Compression::fast());
    coder.write_all(bytes).expect("into memory");
    coder.finish().expect("into memory")
}

/// One block that is not compressed (RFC 7932 §9.2), and the end.
fn brotli(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a short text");
    let head = ((length - 1) << 4) | (1 << 20);
    let mut coded = head.to_le_bytes()[..3].to_vec();
    coded.extend(bytes);
    coded.push(0x03);
    coded
}

async fn post(caller: &Caller, path: &str, coding: &str, body: Vec<u8>) -> Answer {
    let caller = caller.clone().header("content-encoding", coding);
    caller.send(Method::POST, path, Some(body)).await
}

async fn hook(era: &ChannelWorkspace, channel: &CreatedChannel, kind: &str, body: &[u8]) -> Value {
    let holder = era.token_holder(channel).header("content-type", kind);
    let body = Some(body.to_vec());
    holder.send(Method::POST, "/exec", body).await.ok().json
}

#[tokio::test]
async fn coded_bodies_are_decoded_everywhere() {
    let era = ChannelWorkspace::new().await;
    let see = "respond(200, {}, {body: request.body, text: request.text, coding: request.headers['content-encoding']})";
    let channel = era.sync_channel("c", see).await;
    let holder = era.token_holder(&channel);
    let text = br#"{"name":"a"}"#;
    for (coding, body) in [
        ("gzip", gzip(text)),
        ("X-GZIP", gzip(text)),
        ("deflate", zlib(text)),
        ("deflate", bare_deflate(text)),
        ("br", brotli(text)),
        ("identity", text.to_vec()),
        ("gzip, br, deflate", zlib(&brotli(&gzip(text)))),
    ] {
        let made = post(&era.space, "/companies", coding, body.clone()).await;
        assert_eq!(made.ok()["name"], "a", "{coding}");
        let seen = post(&holder, "/exec", coding, body).await.ok().json;
        let expected = json!({ "body": { "name": "a" }, "text": "{\"name\":\"a\"}" });
        assert_eq!(seen, expected, "{coding}");
    }
    let damaged = post(&era.space, "/companies", "gzip", text.to_vec()).await;
    assert_eq!(damaged.status, 400, "{}", damaged.text);
    assert!(
        damaged.text.contains("Content-Encoding"),
        "{}",
        damaged.text
    );
    let admin = era.hub.admin();
    for (caller, path) in [
        (&era.space, "/companies"),
        (&holder, "/exec"),
        (&admin, "/admin/v1/workspaces"),
        (
            &era.space.at(""),
            "/api/v3/sync/references/company-employees",
        ),
    ] {
        let unknown = post(caller, path, "zstd", text.to_vec()).await;
        assert!(
            [415, 400].contains(&unknown.status),
            "{path}: {}",
            unknown.text
        );
        if unknown.status == 415 {
            assert!(unknown.text.contains("zstd"), "{path}: {}", unknown.text);
        }
    }
}

#[tokio::test]
async fn bombs_do_not_go_off() {
    let era = ChannelWorkspace::new().await;
    let channel = era.sync_channel("c", "respond(200, {}, 1)").await;
    let zeros = vec![b' '; 50 << 20];
    let bomb = gzip(&zeros);
    assert!(bomb.len() < 1 << 20);
    for (coding, body) in [("gzip", bomb.clone()), ("gzip, gzip", gzip(&bomb))] {
        let refused = post(&era.space, "/companies", coding, body.clone()).await;
        assert_eq!(refused.str("status"), "bodyTooLarge");
        let refused = post(&era.token_holder(&channel), "/exec", coding, body).await;
        assert_eq!(refused.status, 413, "{}", refused.text);
    }
}

#[tokio::test]
async fn half_of_a_surrogate_pair_is_a_replacement_character() {
    let era = ChannelWorkspace::new().await;
    let body = br#"{"name":"a\ud83d", "email": "\ud83d\ude00"}"#;
    let made = era
        .space
        .send(Method::POST, "/companies", Some(body.to_vec()))
        .await;
    assert_eq!(made.ok()["name"], "a\u{fffd}");
    let script = "kv.set('last', request.body); respond(200, {}, kv.get('last'))";
    let channel = era.sync_channel("c", script).await;
    let seen = hook(&era, &channel, "application/json", body).await;
    assert_eq!(seen, json!({ "name": "a\u{fffd}", "email": "😀" }));
    let admin = era.hub.admin();
    let refused = admin
        .send(
            Method::POST,
            "/admin/v1/workspaces",
            Some(br#"{"name":"ab\ud83d"}"#.to_vec()),
        )
        .await;
    assert_eq!(refused.status, 400, "{}", refused.text);
}

#[tokio::test]
async fn hooks_see_forms_queries_and_texts_of_any_character_set() {
    let era = ChannelWorkspace::new().await;
    let see = "respond(200, {}, {body: request.body, query: request.query, text: request.text})";
    let channel = era.sync_channel("c", see).await;
    let holder = era.token_holder(&channel);
    let seen = holder.get("/exec?tag=a&tag=b&one=1").await.ok();
    assert_eq!(seen["query"], json!({ "tag": ["a", "b"], "one": "1" }));

    let form = "event=ONCRMDEALADD&data[FIELDS][ID]=5&leads[0][id]=1";
    let kind = "application/x-www-form-urlencoded";
    let seen = hook(&era, &channel, kind, form.as_bytes()).await;
    let expected = json!({ "event": "ONCRMDEALADD", "data": { "FIELDS": { "ID": "5" } }, "leads": [{ "id": "1" }] });
    assert_eq!((&seen["body"], &seen["text"]), (&expected, &json!(form)));
    let old = "application/x-www-form-urlencoded; charset=windows-1251";
    let seen = hook(&era, &channel, old, b"a=%B8&b=\xb8").await;
    assert_eq!(seen["body"], json!({ "a": "ё", "b": "ё" }));
    let parts = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n";
    let seen = hook(
        &era,
        &channel,
        "multipart/form-data; boundary=x",
        parts.as_bytes(),
    )
    .await;
    assert_eq!(seen["body"], json!({ "a": "1" }));

    let old = "application/json; charset=windows-1251";
    let seen = hook(&era, &channel, old, b"[\"\xb8\"]").await;
    assert_eq!(
        (&seen["body"], &seen["text"]),
        (&json!(["ё"]), &json!("[\"ё\"]"))
    );
    let wide: Vec<u8> = "\u{feff}{\"a\":1}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let seen = hook(&era, &channel, "application/json", &wide).await;
    assert_eq!(seen["body"], json!({ "a": 1 }));
    let made = era.space.send(
        Method::POST,
        "/companies",
        Some(br#"{"name":"x"}"#.to_vec()),
    );
    made.await.ok();
    let wide: Vec<u8> = "\u{feff}{\"name\":\"ё\"}"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    let made = era
        .space
        .send(Method::POST, "/companies", Some(wide))
        .await
        .ok();
    assert_eq!(made["name"], "ё");
}

#[tokio::test]
async fn lenient_reading_follows_the_vendors_reader_and_names_faults() {
    let exchange = TelephonyExchange::new().await;
    let user = exchange
        .space
        .post("/users", json!({ "login": "a@x.kz" }))
        .await
        .ok()
        .str("id");
    let mut body = started("1");
    body["communicationId"] = json!("");
    body["clientPhone"] = json!(CLIENT.parse::<u64>().expect("digits"));
    body["externalId"] = json!(12345);
    body["externalVatsPhone"] = Value::Null;
    exchange.send("call-started", body).await.ok();
    for id in [
        "",
        &user.replace('-', ""),
        &format!("{{{user}}}"),
        &user.to_uppercase(),
    ] {
        let mut body = crate::harness::telephony_exchange::event("12345", "A", "appeared", 1);
        body["to"] = json!({ "type": "User", "userId": id });
        exchange.send("call-event", body).await.ok();
    }
    let mut body = started("2");
    body["direction"] = json!("sideways");
    let refused = exchange.send("call-started", body).await;
    assert_eq!(refused.status, 400);
    assert!(
        refused["errors"]["direction"].is_array(),
        "{}",
        refused.text
    );

    let text = "{ // a comment\n \"NAME\": 5, \"ownerId\": \"\", /* and */ \"tags\": [1, true,], }";
    let made = exchange
        .space
        .send(Method::POST, "/companies", Some(text.into()))
        .await
        .ok();
    assert_eq!(
        (&made["name"], &made["tags"]),
        (&json!("5"), &json!(["1", "true"]))
    );
    let text = json!({ "login": "b@x.kz", "isAdmin": "True" });
    assert_eq!(
        exchange.space.post("/users", text).await.ok()["isAdmin"],
        true
    );
}

#[tokio::test]
async fn paths_and_names_are_taken_in_any_case() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let made = space
        .post("/companies", json!({ "name": "a" }))
        .await
        .ok()
        .str("id");
    let at = space.at("");
    for path in [
        "/API/V1/acme/Companies/",
        "//api//v1//acme//companies?Limit=1&OFFSET=0",
        "/api/v1/ACME/COMPANIES",
    ] {
        assert_eq!(at.get(path).await.ok()["count"], 1, "{path}");
    }
    for id in [
        made.to_uppercase(),
        made.replace('-', ""),
        format!("%7B{made}%7D"),
    ] {
        let found = at.get(&format!("/api/v1/acme/Companies/{id}")).await.ok();
        assert_eq!(found.str("id"), made);
    }
    assert_eq!(
        at.get("/api/v1/acme/EVENTS/?Limit=1").await.ok()["count"],
        1
    );
    for kind in [
        "text/json",
        "text/plain; charset=ANSI_X3.4-1968",
        "application/json; charset=whatever",
    ] {
        let caller = space.clone().header("content-type", kind);
        caller.post("/companies", json!({ "name": "b" })).await.ok();
    }
    let form = "--x\r\nContent-Disposition: form-data; name=\"FILE\"; filename=\"a.txt\"\r\n\r\nhi\r\n--x--\r\n";
    let caller = space
        .clone()
        .header("content-type", "Multipart/Form-Data; boundary=x");
    caller
        .send(Method::POST, "/Files", Some(form.into()))
        .await
        .ok();
}

#[tokio::test]
async fn our_own_api_is_strict() {
    let hub = Hub::start().await;
    for body in [
        r#"{"name": "acme",}"#,
        r#"{"name": "acme"} // one"#,
        r#"{"name": "acme", "title": 5}"#,
    ] {
        let body = Some(body.into());
        let refused = hub
            .admin()
            .send(Method::POST, "/admin/v1/workspaces", body)
            .await;
        assert_eq!(refused.status, 400, "{}", refused.text);
    }
    assert_eq!(hub.admin().get("/Admin/v1/workspaces").await.status, 404);
}
