//! Webhooks whose scripts decide what is sent.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{expected_signature, settings::change, signing_secrets};
use crate::harness::{
    channel_workspace::{ChannelWorkspace, SCRIPTS},
    hub::{Caller, Hub, eventually},
    integration::{Integration, company, entity_hook, schedule_hook},
    receiver::Receiver,
};

/// An integration with a webhook for companies that has the script `shape`.
async fn scripted(era: &ChannelWorkspace, receiver: &Receiver) -> (Integration, String) {
    let integration = Integration::install(&era.space, "listener", &receiver.url).await;
    let hook = hook(&integration, "/scripted?key=7", "shape").await;
    (integration, hook)
}

async fn hook(integration: &Integration, url: &str, script: &str) -> String {
    let items = json!([{ "entityType": "company" }]);
    let hook = integration.add_hook(entity_hook(url, items)).await;
    let settings = json!({ "script": script });
    change(&integration.space, &hook, settings).await.ok();
    hook
}

/// Replaces the source of a script.
async fn rewrite(rest: &Caller, id: &str, source: &str) {
    let body = json!({ "scriptdata": { "language": "javascript", "source": source } });
    let path = format!("{SCRIPTS}/{id}");
    let body = Some(body.to_string().into_bytes());
    rest.send(Method::PATCH, &path, body).await.ok();
}

async fn preview(era: &ChannelWorkspace, hook: &str, event: Value) -> crate::harness::hub::Answer {
    era.space
        .post(&format!("/webhooks/{hook}/preview"), event)
        .await
}

const SHAPE: &str = "
    const { name } = request.body.changeData.new;
    if (name === 'unwanted') skip();
    else send({
      method: 'PUT',
      path: `/scripted/${name}?of=${request.query.key}`,
      headers: { 'X-Name': name, 'content-type': 'application/xml' },
      body: `<a>${name}</a>`,
    });";

#[tokio::test]
async fn a_script_decides_what_is_sent() {
    let receiver = Receiver::good().await;
    let era = ChannelWorkspace::new().await;
    let script = era.script("shape", SHAPE).await;
    let (integration, hook) = scripted(&era, &receiver).await;
    let secret = signing_secrets(&integration).await.remove(0);
    company(&era.space, "one").await;
    let call = receiver.next().await;
    assert_eq!(
        (call.method.as_str(), call.path.as_str()),
        ("PUT", "/scripted/one?of=7")
    );
    assert_eq!(call.body, "<a>one</a>");
    assert_eq!(call.header("x-name"), Some("one"));
    assert_eq!(call.header("content-type"), Some("application/xml"));
    let signature = expected_signature(&secret, &call);
    assert_eq!(call.header("webhook-signature"), Some(signature.as_str()));
    let feed = era.space.get("/events?limit=1000").await.ok();
    let last = feed["items"].as_array().expect("items").last().cloned();
    let last = last.expect("an event");
    assert_eq!(call.header("webhook-id"), last["id"].as_str());

    company(&era.space, "unwanted").await;
    company(&era.space, "two").await;
    assert_eq!(receiver.next().await.body, "<a>two</a>");
    let attempts = integration.attempts(2).await;
    assert_eq!(attempts.len(), 2, "a skipped event has no attempt");

    // Unchanged, and as JSON.
    rewrite(&era.rest, &script, "send()").await;
    company(&era.space, "three").await;
    let plain = receiver.next().await;
    assert_eq!(
        (plain.method.as_str(), plain.path.as_str()),
        ("POST", "/scripted?key=7")
    );
    assert_eq!(plain.new_member("name"), "three");
    rewrite(
        &era.rest,
        &script,
        "send({ body: { text: request.headers['webhook-id'] } })",
    )
    .await;
    let test = format!("{}/webHooks/{hook}/test", integration.instance());
    let tested = era.space.post(&test, json!({})).await.ok();
    assert_eq!(tested["status"], "delivered", "{}", tested.text);
    let made = receiver.next().await;
    assert_eq!(made.json(), json!({ "text": tested["eventId"] }));
    rewrite(&era.rest, &script, "skip()").await;
    let tested = era.space.post(&test, json!({})).await.ok();
    assert_eq!(tested["status"], "delivered");
    assert!(tested.str("error").contains("skips"), "{}", tested.text);
    assert_eq!(receiver.waiting(), 0);
}

#[tokio::test]
async fn the_log_shows_what_a_script_has_sent() {
    let receiver = Receiver::good().await;
    let era = ChannelWorkspace::new().await;
    era.script("shape", SHAPE).await;
    scripted(&era, &receiver).await;
    company(&era.space, "one").await;
    let call = receiver.next().await;
    let logged = eventually("the call is in the log", || async {
        let log = era.space.get("/deliveries").await.ok();
        log["items"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    let detail = era.space.get(&format!("/deliveries/{logged}")).await.ok();
    let sent = &detail["sent"];
    assert_eq!(sent["body"], "<a>one</a>");
    let (id, timestamp) = (call.header("webhook-id"), call.header("webhook-timestamp"));
    let signed = format!(
        "{}.{}.<a>one</a>",
        id.expect("an id"),
        timestamp.expect("a time")
    );
    assert_eq!(sent["signedText"], signed);
    // The text that was sent is searched, not the event.
    for (text, count) in [("%3CA%3EOne", 1), ("changeData", 0)] {
        let path = format!("/deliveries?text={text}");
        assert_eq!(era.space.get(&path).await.ok()["count"], count, "{text}");
    }
}

#[tokio::test]
async fn a_failing_script_is_a_failed_attempt() {
    let receiver = Receiver::good().await;
    let era = ChannelWorkspace::new().await;
    let script = era
        .script("shape", "console.log('seen'); throw new Error('boom')")
        .await;
    let (integration, hook) = scripted(&era, &receiver).await;
    company(&era.space, "one").await;
    let attempts = integration.attempts(1).await;
    assert_eq!(attempts[0]["status"], "deferred");
    let error = attempts[0]["error"].as_str().expect("an error");
    for part in ["the script failed: Error: boom in line 1", "seen"] {
        assert!(error.contains(part), "{error}");
    }
    rewrite(&era.rest, &script, "send({ body: 'mended' })").await;
    let mended = async {
        let call = receiver.next().await;
        (call, integration.attempts(2).await)
    };
    let (call, attempts) = era.hub.advance_until(Duration::from_secs(5), mended).await;
    assert_eq!(call.body, "mended");
    assert_eq!(
        (&attempts[0]["status"], &attempts[0]["attempt"]),
        (&json!("delivered"), &json!(2))
    );

    let test = format!("{}/webHooks/{hook}/test", integration.instance());
    for (source, why) in [
        ("1 + 1", "neither `send` nor `skip`"),
        ("send('x')", "it takes an object"),
        ("send({ url: '/x' })", "no `url`"),
        ("send({ path: 'https://other.example/' })", "another host"),
        ("send({ path: '//other.example/' })", "another host"),
        ("send({ method: 'GET' })", "the method must be"),
        (
            "send({ headers: { Host: 'x' } })",
            "`Host` is set by the server",
        ),
        (
            "send({ headers: { 'X-XCOM-AccessKey': 'x' } })",
            "set by the server",
        ),
        ("send({ headers: { 'X-A': 'a\\r\\nb: c' } })", "has a value"),
        ("send({ body: 'x'.repeat(1100000) })", "longer than"),
        (
            "const a = []; for (;;) a.push('x'.repeat(1000) + a.length)",
            "memory",
        ),
        ("kv.get('x')", "has no kv.get"),
        ("await fetch('https://one.example/')", "has no fetch"),
        ("events.publish('x')", "has no events.publish"),
    ] {
        rewrite(&era.rest, &script, source).await;
        let tested = era.space.post(&test, json!({})).await.ok();
        assert_eq!(tested["status"], "exhausted", "{source}: {}", tested.text);
        let error = tested.str("error");
        assert!(
            error.starts_with("the script failed: "),
            "{source}: {error}"
        );
        assert!(error.contains(why), "{source}: {error}");
    }
    let deleted = era.rest.delete(&format!("{SCRIPTS}/{script}")).await;
    assert_eq!(deleted.status, 204, "{}", deleted.text);
    let tested = era.space.post(&test, json!({})).await.ok();
    let error = tested.str("error");
    assert!(error.contains("there is no script `shape`"), "{error}");
    assert_eq!(receiver.waiting(), 0);
}

#[tokio::test]
async fn a_dead_letter_that_is_skipped_is_settled() {
    let receiver = Receiver::good().await;
    let era = ChannelWorkspace::new().await;
    let script = era.script("shape", "throw new Error('boom')").await;
    let (integration, hook) = scripted(&era, &receiver).await;
    let once = json!({ "retrySchedule": [] });
    change(&era.space, &hook, once).await.ok();
    company(&era.space, "one").await;
    integration.attempts(1).await;
    let letters = async || era.space.get("/dead-letters").await.ok()["count"].clone();
    assert_eq!(letters().await, 1);
    rewrite(&era.rest, &script, "skip()").await;
    let again = json!({ "deadLetters": true });
    assert_eq!(era.space.post("/resends", again).await.status, 202);
    let settled = eventually("settled", || async { (letters().await == 0).then_some(()) });
    era.hub.advance_until(Duration::from_secs(1), settled).await;
    assert_eq!(receiver.waiting(), 0);
}

#[tokio::test]
async fn a_hanging_script_delays_only_its_own_hook() {
    let receiver = Receiver::good().await;
    let era = ChannelWorkspace::new().await;
    era.script("shape", "for (;;) {}").await;
    era.script("quick", "send({ body: 'quick' })").await;
    let (hanging, _) = scripted(&era, &receiver).await;
    let other = Integration::install(&era.space, "other", &receiver.url).await;
    other.subscribe().await;
    hook(&other, "/scripted/quick", "quick").await;
    for n in 0..5 {
        company(&era.space, &format!("{n}")).await;
    }
    let calls = receiver.take(10).await;
    let quick = calls.iter().filter(|call| call.body == "quick").count();
    assert_eq!(quick, 5);
    let failed = era
        .hub
        .advance_until(Duration::from_millis(200), hanging.attempts(1))
        .await;
    let error = failed[0]["error"].as_str().expect("an error");
    assert!(error.contains("its time was over"), "{error}");
    assert_eq!(
        failed[0]["durationMs"].as_i64().map(|ms| ms >= 10_000),
        Some(true)
    );
    company(&era.space, "later").await;
    receiver.take(2).await;
}

#[tokio::test]
async fn a_restart_in_the_middle_of_a_script_loses_nothing() {
    let receiver = Receiver::good().await;
    let era = ChannelWorkspace::new().await;
    let script = era.script("shape", "for (;;) {}").await;
    let (integration, _) = scripted(&era, &receiver).await;
    for n in 0..3 {
        company(&era.space, &format!("{n}")).await;
    }
    eventually("a script at work", || async {
        (era.hub.app.scripts.running() > 0).then_some(())
    })
    .await;
    let name = "send({ body: request.body.changeData.new.name })";
    rewrite(&era.rest, &script, name).await;
    let ChannelWorkspace { hub, space, .. } = era;
    let hub: Hub = hub.restart().await;
    let work = receiver.take(3);
    let mut bodies: Vec<String> = hub
        .advance_until(Duration::from_secs(1), work)
        .await
        .into_iter()
        .map(|call| call.body)
        .collect();
    bodies.sort();
    assert_eq!(bodies, ["0", "1", "2"]);
    let integration = Integration {
        space: hub.adopt(&space),
        id: integration.id,
    };
    let attempts = integration.attempts(3).await;
    let all_delivered = |attempt: &Value| attempt["status"] == "delivered";
    assert!(attempts.iter().all(all_delivered), "{attempts:?}");
}

#[tokio::test]
async fn a_schedule_has_a_script_too() {
    let receiver = Receiver::good().await;
    let era = ChannelWorkspace::new().await;
    era.script("tick", "send({ body: { tick: request.body } })")
        .await;
    let integration = Integration::install(&era.space, "clock", &receiver.url).await;
    let hook = integration
        .add_hook(schedule_hook("/scripted", "00:01:00"))
        .await;
    change(&era.space, &hook, json!({ "script": "tick" }))
        .await
        .ok();
    let call = era
        .hub
        .advance_until(Duration::from_secs(10), receiver.next())
        .await;
    assert_eq!(call.json(), json!({ "tick": {} }));
}

#[tokio::test]
async fn a_preview_shows_what_would_be_sent() {
    let receiver = Receiver::good().await;
    let era = ChannelWorkspace::new().await;
    let script = era.script("shape", SHAPE).await;
    let (integration, hook) = scripted(&era, &receiver).await;
    company(&era.space, "one").await;
    let call = receiver.next().await;
    let feed = era.space.get("/events?limit=1000").await.ok();
    let last = feed["items"].as_array().expect("items").last().cloned();
    let offset = last.expect("an event")["offset"].clone();
    let shown = preview(&era, &hook, json!({ "offset": offset })).await.ok();
    let request = &shown["request"];
    assert_eq!(request["method"], "PUT");
    assert_eq!(
        request["url"],
        format!("{}/scripted/one?of=7", receiver.url)
    );
    assert_eq!(request["body"], call.body);
    assert_eq!(
        request["headers"]["webhook-id"],
        call.header("webhook-id").expect("an id")
    );
    assert_eq!(request["headers"]["x-xcom-accesskey"], "***");
    assert_eq!(request["headers"]["x-name"], "one");
    assert_eq!(
        (&shown["skipped"], &shown["log"]),
        (&json!(false), &json!([]))
    );

    let event = json!({ "event": { "changeData": { "new": { "name": "unwanted" } } } });
    let shown = preview(&era, &hook, event).await.ok();
    assert_eq!(shown.json, json!({ "skipped": true, "log": [] }));
    rewrite(
        &era.rest,
        &script,
        "console.log(request.body.type); send({ body: new Uint8Array([255, 0]) })",
    )
    .await;
    let shown = preview(&era, &hook, json!({})).await.ok();
    assert_eq!(shown["log"], json!(["change"]));
    assert_eq!(shown["request"]["base64"], "/wA=");
    rewrite(
        &era.rest,
        &script,
        "console.log('here'); throw new Error('boom')",
    )
    .await;
    let shown = preview(&era, &hook, json!({})).await.ok();
    assert!(shown.str("error").contains("boom"), "{}", shown.text);
    assert_eq!(
        (&shown["skipped"], &shown["log"]),
        (&json!(false), &json!(["here"]))
    );
    change(&era.space, &hook, json!({ "script": null }))
        .await
        .ok();
    let shown = preview(&era, &hook, json!({})).await.ok();
    assert_eq!(
        shown["request"]["url"],
        format!("{}/scripted?key=7", receiver.url)
    );
    assert_eq!(receiver.waiting(), 0, "nothing was sent");

    let both = preview(&era, &hook, json!({ "offset": offset, "event": {} })).await;
    assert_eq!(both.status, 400, "{}", both.text);
    let unknown = json!({ "offset": uuid::Uuid::from_u128(7) });
    assert_eq!(preview(&era, &hook, unknown).await.status, 409);
    let channel = era.channel("chat", json!({})).await;
    assert_eq!(preview(&era, &channel.id, json!({})).await.status, 409);
    let member = era.hub.token("acme", "member").await;
    let connector = era.space.access_key(&integration.access_key().await);
    for caller in [member, connector] {
        let path = format!("/webhooks/{hook}/preview");
        assert_eq!(caller.post(&path, json!({})).await.status, 403);
    }
}
