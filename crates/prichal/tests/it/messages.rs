//! What channels send (`reference/era.md` §8): with a script, without one, again when it fails.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    dock::{Dock, POINTS, SCRIPTS, TYPES},
    hub::eventually,
    receiver::{Receiver, Reply},
};

async fn attempts(dock: &Dock, id: &str, count: usize) -> Vec<Value> {
    eventually("attempts", || async {
        let list = dock
            .rest
            .get(&format!("{POINTS}/{id}/deliveries"))
            .await
            .ok();
        let items = list["items"].as_array().expect("items").clone();
        (items.len() >= count).then_some(items)
    })
    .await
}

#[tokio::test]
async fn a_message_is_posted_and_tried_again() {
    let dock = Dock::new().await;
    let receiver = Receiver::start(|_| Reply::Status(503)).await;
    let members = json!({ "url": format!("{}/in", receiver.url), "token_remote": "far" });
    let channel = dock.channel("out", members).await;
    let path = format!("{POINTS}/{}/send", channel.id);
    let sent = dock.rest.post(&path, json!({ "text": "hi" })).await.ok();
    let id = sent.str("id");
    let call = receiver.next().await;
    assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/in"));
    assert_eq!(
        (call.json(), call.header("authorization")),
        (json!({ "text": "hi" }), Some("Bearer far"))
    );
    assert_eq!(call.header("webhook-id"), Some(id.as_str()));
    let found = attempts(&dock, &channel.id, 1).await;
    assert_eq!(
        (&found[0]["status"], &found[0]["httpStatus"]),
        (&json!("deferred"), &json!(503))
    );
    assert_eq!(
        (&found[0]["attempt"], &found[0]["eventId"]),
        (&json!(1), &json!(id))
    );
    receiver.answer(|_| Reply::Status(204));
    dock.hub.advance(Duration::from_secs(30));
    let again = receiver.next().await;
    assert_eq!(
        again.header("webhook-id"),
        Some(id.as_str()),
        "the receiver knows it by its id"
    );
    let found = attempts(&dock, &channel.id, 2).await;
    assert_eq!(
        (&found[0]["status"], &found[0]["attempt"]),
        (&json!("delivered"), &json!(2))
    );
    let filtered = dock
        .rest
        .get(&format!(
            "{POINTS}/{}/deliveries?status=deferred&limit=1",
            channel.id
        ))
        .await
        .ok();
    assert_eq!(filtered["count"], 1);
    // The same key, the same message.
    let keyed = dock.rest.clone().header("idempotency-key", "once");
    let first = keyed.post(&path, json!({ "n": 1 })).await.ok().str("id");
    assert_eq!(
        keyed.post(&path, json!({ "n": 1 })).await.ok().str("id"),
        first
    );
    receiver.next().await;
    let nothing = dock.channel("none", json!({})).await;
    let refused = dock
        .rest
        .post(&format!("{POINTS}/{}/send", nothing.id), json!({}))
        .await;
    assert_eq!(refused["error_code"], 1400);
    let member = dock.hub.token("acme", "member").await.at("");
    assert_eq!(member.post(&path, json!({})).await["error_code"], 1403);
    let other = dock.hub.workspace("other").await.at("");
    assert_eq!(other.post(&path, json!({})).await["error_code"], 1404);
    assert_eq!(
        other
            .get(&format!("{POINTS}/{}/deliveries", channel.id))
            .await["error_code"],
        1404
    );
}

#[tokio::test]
async fn a_message_is_given_up_after_the_last_wait() {
    let dock = Dock::new().await;
    let receiver = Receiver::start(|_| Reply::Close).await;
    let channel = dock.channel("out", json!({ "url": receiver.url })).await;
    dock.rest
        .post(&format!("{POINTS}/{}/send", channel.id), json!("x"))
        .await
        .ok();
    for (n, wait) in [30, 60, 300, 900, 3600, 3600, 3600].into_iter().enumerate() {
        attempts(&dock, &channel.id, n + 1).await;
        dock.hub.advance(Duration::from_secs(wait));
    }
    let found = attempts(&dock, &channel.id, 8).await;
    assert_eq!(found[0]["status"], "exhausted");
    assert!(
        found[0]["error"]
            .as_str()
            .is_some_and(|error| error.contains("closed")),
        "{}",
        found[0]
    );
}

#[tokio::test]
async fn a_script_sends_what_others_ask_it_to() {
    let dock = Dock::new().await;
    let receiver = Receiver::start(|_| Reply::Status(200)).await;
    let source = "
        const answer = await fetch(request.entity.url, {method: 'POST', body: {message: request.body, by: request.method}});
        if (!answer.ok) throw new Error('refused')";
    dock.script("send_to_web", source).await;
    let members = json!({ "url": receiver.url, "send_svcscriptcode": "send_to_web" });
    let channel = dock.channel("out", members).await;
    dock.rest
        .post(&format!("{POINTS}/{}/send", channel.id), json!({ "n": 1 }))
        .await
        .ok();
    assert_eq!(
        receiver.next().await.json(),
        json!({ "message": { "n": 1 }, "by": "SEND" })
    );
    let found = attempts(&dock, &channel.id, 1).await;
    assert_eq!(
        (&found[0]["status"], &found[0]["httpStatus"]),
        (&json!("delivered"), &json!(200))
    );
    receiver.answer(|_| Reply::Status(400));
    dock.rest
        .post(&format!("{POINTS}/{}/send", channel.id), json!({ "n": 2 }))
        .await
        .ok();
    receiver.next().await;
    let found = attempts(&dock, &channel.id, 2).await;
    assert_eq!(
        (&found[0]["status"], &found[0]["httpStatus"]),
        (&json!("deferred"), &json!(400))
    );
    let run = dock.run("send_to_web", "deferred").await;
    assert_eq!(
        (
            &run["kind"],
            &run["error"].as_str().expect("an error").contains("refused")
        ),
        (&json!("send"), &true)
    );

    // A hook sends by its channel: with the end of its run, and later when it says so.
    receiver.answer(|_| Reply::Status(200));
    dock.script("relay", "channel.send({relayed: request.body}); channel.send({later: true}, {delay: 60}); if (request.body.bad) throw 1").await;
    let path = format!("{POINTS}/{}", channel.id);
    dock.change(
        &path,
        json!({ "recv_svcscriptcode": "relay", "opts": { "issync": true } }),
    )
    .await
    .ok();
    assert_eq!(
        dock.hook(&channel, json!({ "bad": true })).await.status,
        500,
        "and nothing is sent"
    );
    dock.hook(&channel, json!({ "n": 3 })).await.ok();
    assert_eq!(
        receiver.next().await.json()["message"],
        json!({ "relayed": { "n": 3 } })
    );
    attempts(&dock, &channel.id, 3).await;
    dock.hub.advance(Duration::from_mins(1));
    let two = [
        receiver.next().await.json()["message"].clone(),
        receiver.next().await.json()["message"].clone(),
    ];
    assert!(
        two.contains(&json!({ "later": true })) && two.contains(&json!({ "n": 2 })),
        "{two:?}"
    );

    // Messages that lead to messages end somewhere.
    dock.script("echo", "channel.send(request.body + 1)").await;
    let echo = dock
        .channel("echo", json!({ "send_svcscriptcode": "echo" }))
        .await;
    dock.rest
        .post(&format!("{POINTS}/{}/send", echo.id), json!(0))
        .await
        .ok();
    let last = dock.run("echo", "deferred").await;
    assert!(
        last["error"]
            .as_str()
            .is_some_and(|error| error.contains("more than 16 times")),
        "{last}"
    );
    assert_eq!(dock.runs("echo").await.len(), 17);
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
    let verb = reqwest::Method::from_bytes(b"LOOKUP").expect("a verb");
    let found = dock
        .rest
        .send(verb, TYPES, Some(b"\"bot\"".to_vec()))
        .await
        .ok();
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
async fn scripts_have_the_six_verbs() {
    let dock = Dock::new().await;
    let data = json!({ "language": "javascript", "source": "respond(200)" });
    let body = json!({ "code": "ws_hook", "name": "Hook", "scriptdata": data, "opts": { "variables": { "a": 1 } } });
    let made = dock.rest.post(SCRIPTS, body.clone()).await.ok();
    let id = made.str("id");
    let path = format!("{SCRIPTS}/{id}");
    let expected = format!(
        concat!(
            r#"{{"id":"{}","code":"ws_hook","name":"Hook","scriptdata":{{"language":"javascript","source":"respond(200)"}},"#,
            r#""projectid":"","lwt":"2026-01-01T00:00:00.00Z","opts":{{"title":"","comment":"","loglevel":0,"variables":{{"a":1}}}},"#,
            r#""ext":{{"ct":"2026-01-01T00:00:00.00Z","lwt":"2026-01-01T00:00:00.00Z"}}}}"#
        ),
        id
    );
    assert_eq!(made.text, expected);
    assert_eq!(dock.rest.get(&path).await.ok().text, expected);
    dock.change(&path, made.json.clone()).await.ok();
    let list = dock.rest.get(SCRIPTS).await.ok();
    assert_eq!(
        (&list[0]["code"], &list[0]["scriptdata"]),
        (&json!("ws_hook"), &Value::Null),
        "lists leave sources out"
    );
    let masked = dock
        .rest
        .get(&format!("{SCRIPTS}?mask=code,scriptdata.source&flat=true"))
        .await
        .ok();
    assert_eq!(
        masked.text,
        r#"[{"code":"ws_hook","scriptdata.source":"respond(200)"}]"#
    );
    let verb = reqwest::Method::from_bytes(b"LOOKUP").expect("a verb");
    for key in [id.as_str(), "ws_hook"] {
        let key = json!(key).to_string().into_bytes();
        assert_eq!(
            dock.rest
                .send(verb.clone(), SCRIPTS, Some(key))
                .await
                .ok()
                .json,
            json!([id])
        );
    }
    assert_eq!(dock.rest.post(SCRIPTS, body).await["error_code"], 1409);
    for (source, place) in [("let x = ;", "line 1"), ("\n\n foo(", "line 3")] {
        let data = json!({ "scriptdata": { "source": source } });
        let refused = dock.change(&path, data).await;
        assert_eq!(refused["error_code"], 1400);
        let message = refused.str("error_message");
        assert!(
            message.contains("scriptdata.source") && message.contains(place),
            "{message}"
        );
    }
    assert_eq!(
        dock.rest.get(&path).await.ok().text,
        expected,
        "nothing has changed"
    );
    assert_eq!(dock.rest.delete(&path).await.status, 204);
    assert_eq!(dock.rest.delete(&path).await.status, 204);
    assert_eq!(dock.rest.get(&path).await["error_code"], 1404);
    let feed = dock.space.get("/events").await.ok();
    let items = feed["items"].as_array().expect("items");
    assert_eq!(items[0]["entityIds"], json!({ "svcscriptId": id }));
    assert!(
        !feed.text.contains("respond(200)"),
        "the feed has no sources"
    );
    let other = dock.hub.workspace("other").await.at("");
    assert_eq!(other.get(&path).await["error_code"], 1404);
    let member = dock.hub.token("acme", "member").await.at("");
    assert_eq!(member.get(SCRIPTS).await["error_code"], 1403);
}
