//! Unusual answers of receivers: a confirmation that arrived counts, and the attempt records the answer.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    channel_workspace::{ChannelWorkspace, POINTS},
    hub::{Hub, eventually},
    integration::{Integration, company},
    receiver::{Receiver, Reply},
};

/// The attempt after the receiver's answer.
async fn attempt(reply: Reply) -> Value {
    let waits = matches!(reply, Reply::Raw { close: false, .. });
    let receiver = Receiver::start(move |_| reply.clone()).await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    integration.subscribe().await;
    company(&space, "one").await;
    receiver.next().await;
    if waits {
        hub.advance(Duration::from_secs(10));
    }
    integration.attempts(1).await.remove(0)
}

const fn raw(bytes: &'static str, close: bool) -> Reply {
    Reply::Raw { bytes, close }
}

#[tokio::test]
async fn a_confirmation_counts_whatever_its_body_does() {
    for (name, reply) in [
        ("half of the body", Reply::Half),
        (
            "a body without an end",
            raw(
                "HTTP/1.1 200 OK\r\nX-Xcom-Integration-Echo: {echo}\r\n\r\nOK",
                false,
            ),
        ),
        (
            "a bad chunk",
            raw(
                "HTTP/1.1 200 OK\r\nX-Xcom-Integration-Echo: {echo}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                true,
            ),
        ),
        (
            "no gzip",
            raw(
                "HTTP/1.1 200 OK\r\nX-Xcom-Integration-Echo: {echo}\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nOK",
                true,
            ),
        ),
        (
            "two lengths",
            raw(
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\nX-Xcom-Integration-Echo: {echo}\r\n\r\nOK",
                true,
            ),
        ),
        (
            "an odd cookie and a folded line",
            raw(
                "HTTP/1.1 200\r\nSet-Cookie: a=\x01\r\nX-Folded: a\r\n b\r\nX-Xcom-Integration-Echo : {echo}\r\nContent-Length: 0\r\n\r\n",
                true,
            ),
        ),
    ] {
        let attempt = attempt(reply).await;
        assert_eq!(attempt["status"], "delivered", "{name}: {attempt}");
        assert_eq!(attempt["httpStatus"], 200, "{name}: {attempt}");
        assert_eq!(attempt["error"], Value::Null, "{name}: {attempt}");
    }
}

#[tokio::test]
async fn an_attempt_keeps_the_status_that_was_seen() {
    let cut = raw("HTTP/1.1 500 X\r\nContent-Length: 40\r\n\r\nshort", true);
    let attempt = attempt(cut).await;
    assert_eq!(
        (
            &attempt["status"],
            &attempt["httpStatus"],
            &attempt["answer"]
        ),
        (&json!("deferred"), &json!(500), &json!("short"))
    );
    let error = attempt["error"].as_str().expect("an error");
    assert!(error.contains("500") && error.contains("closed"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_named_without_its_secrets() {
    let place = "https://login.example/enter?token=secret".to_owned();
    let attempt = attempt(Reply::Redirect(place)).await;
    let error = attempt["error"].as_str().expect("an error");
    assert!(error.contains("https://login.example/enter"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_message_whose_answer_breaks_off_was_sent() {
    let era = ChannelWorkspace::new().await;
    let receiver = Receiver::start(|_| Reply::Half).await;
    let channel = era.channel("out", json!({ "url": receiver.url })).await;
    let path = format!("{POINTS}/{}", channel.id);
    era.rest
        .post(&format!("{path}/send"), json!({ "text": "hi" }))
        .await
        .ok();
    receiver.next().await;
    let sent = eventually("an attempt", || async {
        let list = era.rest.get(&format!("{path}/deliveries")).await.ok();
        list["items"].as_array()?.first().cloned()
    })
    .await;
    assert_eq!(
        (&sent["status"], &sent["httpStatus"]),
        (&json!("delivered"), &json!(200))
    );
}

#[tokio::test]
async fn a_script_sees_the_status_of_an_answer_that_breaks_off() {
    let era = ChannelWorkspace::new().await;
    let receiver = Receiver::start(|_| Reply::Half).await;
    let source = "
        const answer = await fetch(request.entity.url, {method: 'POST', body: {}});
        let why; try { await answer.text() } catch (error) { why = error.message }
        respond(200, {}, [answer.status, why])";
    let channel = era.sync_channel("fetch", source).await;
    let path = format!("{POINTS}/{}", channel.id);
    era.change(&path, json!({ "url": receiver.url })).await.ok();
    let answer = era.hook(&channel, json!({})).await.ok();
    assert_eq!(answer[0], 200);
    let why = answer[1].as_str().expect("a text");
    assert!(why.contains("closed"), "{why}");
}
