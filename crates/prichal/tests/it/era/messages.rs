//! Messages that channels send (`docs/contracts/era.md §8`): with a script, without one, and again after a failure.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    channel_workspace::{ChannelWorkspace, POINTS},
    hub::eventually,
    receiver::{Receiver, Reply},
};

async fn attempts(era: &ChannelWorkspace, id: &str, count: usize) -> Vec<Value> {
    eventually("attempts", || async {
        let list = era
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
    let era = ChannelWorkspace::new().await;
    let receiver = Receiver::start(|_| Reply::Status(503)).await;
    let members = json!({ "url": format!("{}/in", receiver.url), "token_remote": "far" });
    let channel = era.channel("out", members).await;
    let path = format!("{POINTS}/{}/send", channel.id);
    let sent = era.rest.post(&path, json!({ "text": "hi" })).await.ok();
    let id = sent.str("id");
    let call = receiver.next().await;
    assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/in"));
    assert_eq!(
        (call.json(), call.header("authorization")),
        (json!({ "text": "hi" }), Some("Bearer far"))
    );
    assert_eq!(call.header("webhook-id"), Some(id.as_str()));
    let found = attempts(&era, &channel.id, 1).await;
    assert_eq!(
        (&found[0]["status"], &found[0]["httpStatus"]),
        (&json!("deferred"), &json!(503))
    );
    assert_eq!(
        (&found[0]["attempt"], &found[0]["eventId"]),
        (&json!(1), &json!(id))
    );
    receiver.answer(|_| Reply::Status(204));
    era.hub.advance(Duration::from_secs(30));
    let again = receiver.next().await;
    assert_eq!(
        again.header("webhook-id"),
        Some(id.as_str()),
        "the receiver knows it by its id"
    );
    let found = attempts(&era, &channel.id, 2).await;
    assert_eq!(
        (&found[0]["status"], &found[0]["attempt"]),
        (&json!("delivered"), &json!(2))
    );
    let filtered = era
        .rest
        .get(&format!(
            "{POINTS}/{}/deliveries?status=deferred&limit=1",
            channel.id
        ))
        .await
        .ok();
    assert_eq!(filtered["count"], 1);
    // The body is sent unchanged.
    let exact = br#"{"n": 12345678901234567890123, "p": 1.10}"#.to_vec();
    era.rest
        .send(reqwest::Method::POST, &path, Some(exact.clone()))
        .await
        .ok();
    assert_eq!(receiver.next().await.body.as_bytes(), exact);
    // The same key, the same message.
    let keyed = era.rest.clone().header("idempotency-key", "once");
    let first = keyed.post(&path, json!({ "n": 1 })).await.ok().str("id");
    assert_eq!(
        keyed.post(&path, json!({ "n": 1 })).await.ok().str("id"),
        first
    );
    receiver.next().await;
    let nothing = era.channel("none", json!({})).await;
    let refused = era
        .rest
        .post(&format!("{POINTS}/{}/send", nothing.id), json!({}))
        .await;
    assert_eq!(refused["error_code"], 1400);
    let member = era.hub.token("acme", "member").await.at("");
    assert_eq!(member.post(&path, json!({})).await["error_code"], 1403);
    let other = era.hub.workspace("other").await.at("");
    assert_eq!(other.post(&path, json!({})).await["error_code"], 1404);
    assert_eq!(
        other
            .get(&format!("{POINTS}/{}/deliveries", channel.id))
            .await["error_code"],
        1404
    );
}

/// The newest call of the log, with what was sent and what came back.
async fn logged(era: &ChannelWorkspace, query: &str) -> Value {
    let list = era.space.get(&format!("/deliveries?{query}&limit=1")).await;
    let id = list.ok()["items"][0]["id"].as_str().map(str::to_owned);
    let path = format!("/deliveries/{}", id.expect("a call"));
    era.space.get(&path).await.ok().json
}

fn header(lines: &Value, name: &str) -> Option<String> {
    let mut lines = lines.as_array().expect("headers").iter();
    let found = lines.find(|line| line["name"] == name)?;
    found["value"].as_str().map(str::to_owned)
}

/// The log shows the call of a message as it shows those of webhooks, and a resend tries the message again.
#[tokio::test]
async fn a_message_is_logged_and_sent_again_on_request() {
    const TOKEN: &str = "a-long-remote-token";
    let era = ChannelWorkspace::new().await;
    let receiver = Receiver::start(|_| Reply::Status(503)).await;
    let members = json!({ "url": format!("{}/in", receiver.url), "token_remote": TOKEN });
    let channel = era.channel("out", members).await;
    let path = format!("{POINTS}/{}/send", channel.id);
    let text = json!({ "text": "hi", "echo": TOKEN });
    let first = era.rest.post(&path, text).await.ok().str("id");
    receiver.next().await;
    attempts(&era, &channel.id, 1).await;
    let call = logged(&era, "source=channel").await;
    let sent = &call["sent"];
    assert_eq!(
        header(&sent["headers"], "authorization").as_deref(),
        Some("***")
    );
    assert_eq!(header(&sent["headers"], "webhook-id"), Some(first.clone()));
    assert_eq!(sent["body"], r#"{"text":"hi","echo":"***"}"#, "{call}");
    assert!(sent["signedText"].is_null(), "it is not signed: {call}");
    assert!(!call.to_string().contains(TOKEN), "{call}");
    assert!(
        header(&call["received"]["headers"], "content-length").is_some(),
        "{call}"
    );
    for part in ["resolveMs", "connectMs", "firstByteMs", "totalMs"] {
        assert!(call["timings"][part].is_number(), "{part}: {call}");
    }

    // One message, at once; the clock stands still.
    let again = format!("/deliveries/{}/resend", call["id"].as_str().expect("an id"));
    let begun = era.space.post(&again, json!({})).await;
    assert_eq!(
        (begun.status, &begun["selected"]),
        (202, &json!(1)),
        "{}",
        begun.text
    );
    assert_eq!(
        receiver.next().await.header("webhook-id"),
        Some(first.as_str())
    );
    attempts(&era, &channel.id, 2).await;
    // All that have failed.
    let second = era.rest.post(&path, json!("x")).await.ok().str("id");
    receiver.next().await;
    attempts(&era, &channel.id, 3).await;
    receiver.answer(|_| Reply::Status(204));
    let failed = json!({ "webHookId": channel.id, "status": "deferred" });
    let mut counted = failed.clone();
    counted["preview"] = json!(true);
    assert_eq!(era.space.post("/resends", counted).await.ok()["count"], 2);
    let begun = era.space.post("/resends", failed).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    let calls = receiver.take(2).await;
    let mut ids: Vec<&str> = calls
        .iter()
        .filter_map(|call| call.header("webhook-id"))
        .collect();
    ids.sort_unstable();
    let mut expected = [first.as_str(), second.as_str()];
    expected.sort_unstable();
    assert_eq!(ids, expected);
    attempts(&era, &channel.id, 5).await;
    let path = format!("/resends/{}", begun.str("id"));
    let done = era.space.get(&path).await.ok();
    assert_eq!(
        (&done["state"], &done["selected"]),
        (&json!("done"), &json!(2))
    );

    // A message that was delivered is not kept.
    let refused = era.space.post(&again, json!({})).await;
    assert_eq!(refused.status, 400);
    assert!(
        refused.text.contains("was delivered or has expired"),
        "{}",
        refused.text
    );
    let none = json!({ "webHookId": channel.id, "status": "delivered", "preview": true });
    assert_eq!(era.space.post("/resends", none).await.ok()["count"], 0);
}

#[tokio::test]
async fn the_call_of_a_script_that_sends_is_logged() {
    let era = ChannelWorkspace::new().await;
    let receiver = Receiver::start(|_| Reply::Status(200)).await;
    let source = "await fetch(request.entity.url, {method: 'POST', headers: {'X-Api-Key': 'hidden', 'X-Kind': 'a'},
        body: {message: request.body}});";
    era.script("sender", source).await;
    let members = json!({ "url": format!("{}/in", receiver.url), "send_svcscriptcode": "sender" });
    let channel = era.channel("out", members).await;
    let path = format!("{POINTS}/{}/send", channel.id);
    era.rest.post(&path, json!({ "n": 1 })).await.ok();
    receiver.next().await;
    attempts(&era, &channel.id, 1).await;
    let call = logged(&era, "source=channel&status=delivered").await;
    let sent = &call["sent"];
    assert_eq!(
        header(&sent["headers"], "x-api-key").as_deref(),
        Some("***")
    );
    assert_eq!(header(&sent["headers"], "x-kind").as_deref(), Some("a"));
    assert_eq!(sent["body"], r#"{"message":{"n":1}}"#, "{call}");
    assert!(call["timings"]["firstByteMs"].is_number(), "{call}");
}

#[tokio::test]
async fn a_message_is_given_up_after_the_last_wait() {
    let era = ChannelWorkspace::new().await;
    let receiver = Receiver::start(|_| Reply::Close).await;
    let channel = era.channel("out", json!({ "url": receiver.url })).await;
    era.rest
        .post(&format!("{POINTS}/{}/send", channel.id), json!("x"))
        .await
        .ok();
    for (n, wait) in [30, 60, 300, 900, 3600, 3600, 3600].into_iter().enumerate() {
        attempts(&era, &channel.id, n + 1).await;
        era.hub.advance(Duration::from_secs(wait));
    }
    let found = attempts(&era, &channel.id, 8).await;
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
async fn a_script_sends_messages_on_request() {
    let era = ChannelWorkspace::new().await;
    let receiver = Receiver::start(|_| Reply::Status(200)).await;
    let source = "
        const answer = await fetch(request.entity.url, {method: 'POST', body: {message: request.body, by: request.method}});
        if (!answer.ok) throw new Error('refused')";
    era.script("send_to_web", source).await;
    let members = json!({ "url": receiver.url, "send_svcscriptcode": "send_to_web" });
    let channel = era.channel("out", members).await;
    era.rest
        .post(&format!("{POINTS}/{}/send", channel.id), json!({ "n": 1 }))
        .await
        .ok();
    assert_eq!(
        receiver.next().await.json(),
        json!({ "message": { "n": 1 }, "by": "SEND" })
    );
    let found = attempts(&era, &channel.id, 1).await;
    assert_eq!(
        (&found[0]["status"], &found[0]["httpStatus"]),
        (&json!("delivered"), &json!(200))
    );
    receiver.answer(|_| Reply::Status(400));
    era.rest
        .post(&format!("{POINTS}/{}/send", channel.id), json!({ "n": 2 }))
        .await
        .ok();
    receiver.next().await;
    let found = attempts(&era, &channel.id, 2).await;
    assert_eq!(
        (&found[0]["status"], &found[0]["httpStatus"]),
        (&json!("deferred"), &json!(400))
    );
    let run = era.run("send_to_web", "deferred").await;
    assert_eq!(
        (
            &run["kind"],
            &run["error"].as_str().expect("an error").contains("refused")
        ),
        (&json!("send"), &true)
    );

    // The script of a hook sends messages at the end of its run, or later if it says so.
    receiver.answer(|_| Reply::Status(200));
    era.script("relay", "channel.send({relayed: request.body}); channel.send({later: true}, {delay: 60}); if (request.body.bad) throw 1").await;
    let path = format!("{POINTS}/{}", channel.id);
    era.change(
        &path,
        json!({ "recv_svcscriptcode": "relay", "opts": { "issync": true } }),
    )
    .await
    .ok();
    assert_eq!(
        era.hook(&channel, json!({ "bad": true })).await.status,
        500,
        "and nothing is sent"
    );
    era.hook(&channel, json!({ "n": 3 })).await.ok();
    assert_eq!(
        receiver.next().await.json()["message"],
        json!({ "relayed": { "n": 3 } })
    );
    attempts(&era, &channel.id, 3).await;
    era.hub.advance(Duration::from_mins(1));
    let two = [
        receiver.next().await.json()["message"].clone(),
        receiver.next().await.json()["message"].clone(),
    ];
    assert!(
        two.contains(&json!({ "later": true })) && two.contains(&json!({ "n": 2 })),
        "{two:?}"
    );

    // Chains of messages are bounded.
    era.script("echo", "channel.send(request.body + 1)").await;
    let echo = era
        .channel("echo", json!({ "send_svcscriptcode": "echo" }))
        .await;
    era.rest
        .post(&format!("{POINTS}/{}/send", echo.id), json!(0))
        .await
        .ok();
    let last = era.run("echo", "deferred").await;
    assert!(
        last["error"]
            .as_str()
            .is_some_and(|error| error.contains("at most 16 runs")),
        "{last}"
    );
    assert_eq!(era.runs("echo").await.len(), 17);
}
