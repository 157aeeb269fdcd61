//! Alerts of kinds that are not about webhooks that fail or lag.

use std::time::Duration;

use prichal_sign::{Time, testing::Draft};
use serde_json::{Value, json};

use super::{
    alerts::{MINUTE, MOMENT, alerts, set, switch, wait_told},
    hub_with_hook,
    settings::change,
};
use crate::harness::{
    channel_workspace::{ChannelWorkspace, POINTS},
    document_exchange::{DocumentExchange, Side},
    document_subscriber::{DAY, SUBSCRIPTION, subscribed},
    event_stream::EventStream,
    hub::{Hub, Installation, START, eventually},
    integration::{Integration, company},
    receiver::{Receiver, Reply},
    tls_front::TlsFront,
};

#[tokio::test]
async fn a_script_that_fails_is_told() {
    let era = ChannelWorkspace::new().await;
    set(&era.space, json!({"kinds": {"script": {"minutes": 0}}})).await;
    let channel = era.queued_channel("bad", "throw new Error('sorry')").await;
    era.hook(&channel, json!({})).await.ok();
    era.run("bad", "deferred").await;
    let told = async |expected: &[[&str; 3]]| {
        wait_told(&era.hub, &era.space, MINUTE, expected).await;
    };
    let script = era.rest.get("/rest/v1/service/svcscripts").await.ok()[0].clone();
    let id = script["id"].as_str().expect("an id").to_owned();
    let open = ["script", "open", id.as_str()];
    told(&[open]).await;
    let alert = &alerts(&era.space, "?state=open").await[0];
    assert_eq!(alert["source"]["name"], "bad");
    let message = alert["message"].as_str().expect("a message");
    assert!(message.contains("sorry"), "{message}");
    // The next run succeeds.
    let source = json!({"scriptdata": {"language": "javascript", "source": "1"}});
    let path = format!("/rest/v1/service/svcscripts/{id}");
    era.change(&path, source).await.ok();
    era.hook(&channel, json!({})).await.ok();
    era.run("bad", "finished").await;
    told(&[open, ["script", "over", &id]]).await;
}

#[tokio::test]
async fn the_script_of_a_webhook_is_told_apart_from_its_receiver() {
    let receiver = Receiver::good().await;
    let era = ChannelWorkspace::new().await;
    era.script("shape", "throw new Error('no shape')").await;
    let integration = Integration::install(&era.space, "listener", &receiver.url).await;
    let hook = integration.subscribe().await;
    change(&era.space, &hook, json!({"script": "shape"}))
        .await
        .ok();
    set(&era.space, json!({"kinds": {"lag": {"enabled": false}}})).await;
    company(&era.space, "a").await;
    integration.attempts(1).await;
    let open = ["script", "open", hook.as_str()];
    wait_told(&era.hub, &era.space, MINUTE, &[open]).await;
    let alert = &alerts(&era.space, "").await[0];
    let error = alert["details"]["error"].as_str().expect("a text");
    assert!(
        error.starts_with("the script failed: Error: no shape"),
        "{error}"
    );
}

#[tokio::test]
async fn a_channel_that_fails_and_lags_is_told() {
    let outside = Receiver::start(|_| Reply::Status(503)).await;
    let era = ChannelWorkspace::new().await;
    let kinds = json!({"failing": {"minutes": 5}, "lag": {"seconds": 900}});
    set(&era.space, json!({ "kinds": kinds })).await;
    let channel = era.channel("out", json!({"url": outside.url})).await;
    let path = format!("{POINTS}/{}/send", channel.id);
    era.rest.post(&path, json!({"text": "hello"})).await.ok();
    outside.next().await;
    let id = channel.id.as_str();
    let both = [["failing", "open", id], ["lag", "open", id]];
    wait_told(&era.hub, &era.space, MINUTE, &both).await;
    let deleted = era.rest.delete(&format!("{POINTS}/{id}")).await;
    assert_eq!(deleted.status, 204);
    let over = [&both[..], &[["failing", "over", id], ["lag", "over", id]]].concat();
    wait_told(&era.hub, &era.space, MINUTE, &over).await;
}

#[tokio::test]
async fn a_subscription_that_is_paused_is_told() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let (hub, acme, _) = subscribed(&receiver).await;
    let space = acme.caller.at("/api/v1/acme");
    let off = json!({"failing": {"enabled": false}, "lag": {"enabled": false}});
    set(&space, json!({ "kinds": off })).await;
    acme.draft(&hub, "1").await;
    acme.attempts(1).await;
    hub.advance(5 * DAY);
    let paused = async {
        eventually("the pause", || async {
            let shown = acme.subscription().await;
            (shown["status"] == "paused").then_some(shown.str("subscriptionId"))
        })
        .await
    };
    let id = hub.advance_until(MINUTE, paused).await;
    let open = ["paused", "open", id.as_str()];
    wait_told(&hub, &space, MINUTE, &[open]).await;
    let [alert] = &alerts(&space, "").await[..] else {
        panic!("one alert")
    };
    assert_eq!(alert["source"]["type"], "documentHook");
    receiver.answer(|_| Reply::Good);
    acme.subscribe(&receiver.url).await.ok();
    assert_eq!(acme.caller.get(SUBSCRIPTION).await.ok()["status"], "active");
    wait_told(&hub, &space, MINUTE, &[open, ["paused", "over", &id]]).await;
}

#[tokio::test]
async fn a_quota_that_is_nearly_used_up_is_told() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let quota = async |files: Value| {
        let path = "/admin/v1/workspaces/acme/quota";
        hub.admin()
            .put(path, json!({ "entities": files }))
            .await
            .ok();
    };
    for n in 0..10 {
        company(&space, &format!("{n} {}", "x".repeat(200))).await;
    }
    let usage = hub
        .admin()
        .get("/admin/v1/workspaces/acme/usage")
        .await
        .ok();
    let used = usage["entities"]["used"].as_i64().expect("a number");
    quota(json!(used * 10 / 9)).await;
    let open = ["quota", "open", "entities"];
    wait_told(&hub, &space, MINUTE, &[open]).await;
    let alert = &alerts(&space, "").await[0];
    assert!((89..=90).contains(&alert["details"]["usedPercent"].as_i64().expect("a number")));
    quota(json!(used * 2)).await;
    wait_told(&hub, &space, MINUTE, &[open, ["quota", "over", "entities"]]).await;
}

#[tokio::test]
async fn the_operator_is_told_of_the_disk() {
    let hub = Hub::with(|config| config.operator_workspace = Some("ops".to_owned())).await;
    let space = hub.workspace("ops").await;
    let other = hub.workspace("other").await;
    set(&space, json!({"kinds": {"disk": {"freePercent": 99}}})).await;
    set(&other, json!({"kinds": {"disk": {"freePercent": 99}}})).await;
    let node = hub.app.node.to_string();
    let open = ["disk", "open", node.as_str()];
    wait_told(&hub, &space, MINUTE, &[open]).await;
    let alert = &alerts(&space, "").await[0];
    assert!(alert["details"]["freeBytes"].is_i64(), "{alert}");
    set(&space, json!({"kinds": {"disk": {"freePercent": 1}}})).await;
    wait_told(&hub, &space, MINUTE, &[open, ["disk", "over", &node]]).await;
    assert_eq!(alerts(&other, "").await, [] as [Value; 0]);
}

#[tokio::test]
async fn certificates_that_end_soon_are_told() {
    let receiver = Receiver::good().await;
    let front = TlsFront::start(&receiver, None).await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    set(&space, json!({"kinds": {"certificate": {"days": 30}}})).await;
    let integration = Integration::install(&space, "bot", &front.url).await;
    let hook = integration.subscribe().await;
    let mut params = rcgen::CertificateParams::new([]).expect("no names");
    params.not_after = rcgen::date_time_ymd(2026, 1, 20);
    let key = rcgen::KeyPair::generate().expect("a key");
    let made = params.self_signed(&key).expect("a certificate");
    let settings = json!({
        "clientCertificate": {"certificate": made.pem(), "key": key.serialize_pem()},
        "serverFingerprint": front.fingerprint,
    });
    change(&space, &hook, settings).await.ok();
    let open = ["certificate", "open", hook.as_str()];
    wait_told(&hub, &space, MINUTE, &[open]).await;
    let [alert] = &alerts(&space, "").await[..] else {
        panic!("one alert")
    };
    assert_eq!(alert["details"]["endsAt"], "2026-01-20T00:00:00+00:00");
    let message = alert["message"].as_str().expect("a message");
    assert_eq!(
        message,
        "The client certificate of the webhook `/callbacks` of bot ends on 2026-01-20"
    );
    change(&space, &hook, json!({"clientCertificate": null}))
        .await
        .ok();
    wait_told(
        &hub,
        &space,
        MINUTE,
        &[open, ["certificate", "over", &hook]],
    )
    .await;
}

#[tokio::test]
async fn the_certificate_of_a_receiver_is_seen_when_it_is_called() {
    let receiver = Receiver::good().await;
    let front = TlsFront::until(&receiver, (2026, 1, 20)).await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "bot", &front.url).await;
    let hook = integration.subscribe().await;
    let pin = json!({"serverFingerprint": front.fingerprint});
    change(&space, &hook, pin).await.ok();
    company(&space, "a").await;
    receiver.next().await;
    integration.attempts(1).await;
    let host = front.url.trim_start_matches("https://");
    let open = ["certificate", "open", host];
    wait_told(&hub, &space, MINUTE, &[open]).await;
    let alert = &alerts(&space, "?kind=certificate").await[0];
    assert_eq!(alert["source"], json!({"type": "receiver", "name": host}));
    assert_eq!(alert["details"]["endsAt"], "2026-01-20T00:00:00+00:00");
    // A month after its end nobody needs to know any more.
    let step = Duration::from_hours(6);
    wait_told(&hub, &space, step, &[open, ["certificate", "over", host]]).await;
}

#[tokio::test]
async fn the_certificate_of_a_signer_is_told() {
    let exchange = DocumentExchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    us.signer = Draft {
        not_after: Time::from_unix(START.secs() + 10 * 86_400),
        ..DocumentExchange::signer_draft(&us.bin, &us.iin)
    }
    .issued_by(&exchange.authority.issuer);
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    us.quick_sign(Side::Outbox, &document).await.ok();
    let space = us.api.at(&format!("/api/v1/{}", us.name));
    let open = ["certificate", "open", us.employee.as_str()];
    wait_told(&exchange.hub, &space, MINUTE, &[open]).await;
    let alert = &alerts(&space, "").await[0];
    assert_eq!(alert["source"]["type"], "signer");
    assert_eq!(alert["details"]["endsAt"], "2026-01-11T00:00:00+00:00");
    // Nobody else is told.
    let other = them.api.at(&format!("/api/v1/{}", them.name));
    assert_eq!(alerts(&other, "").await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_script_is_run_with_each_alert() {
    let era = ChannelWorkspace::new().await;
    let source = "const alert = startparam(1); alert.kind + ' ' + alert.state";
    era.script("tell", source).await;
    set(&era.space, json!({"script": "tell", "silenceMinutes": 0})).await;
    let integration = Integration::install(&era.space, "shop", "http://127.0.0.1:1").await;
    let hook = integration.subscribe().await;
    for disabled in [true, false] {
        switch(&integration, &hook, disabled).await;
        let count = if disabled { 1 } else { 2 };
        let begun = async {
            eventually("a run for each alert", || async {
                let runs = era.runs("tell").await;
                (runs.len() == count && runs[0]["status"] != "queued").then_some(())
            })
            .await;
        };
        era.hub.advance_until(MOMENT, begun).await;
        let run = era.run("tell", "finished").await;
        let state = if disabled { "open" } else { "over" };
        assert_eq!(run["result"], format!("switchedOff {state}"));
    }
}

#[tokio::test]
async fn a_stream_shows_alerts_to_administrators() {
    let receiver = Receiver::good().await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    let mut stream = EventStream::open(&space, "/stream?topics=alerts").await;
    let mut all = EventStream::open(&space, "/stream?topics=events").await;
    let member = hub.token("acme", "member").await;
    let refused = member.get("/stream?topics=alerts").await;
    assert_eq!(refused.status, 403);
    let mut of_member = EventStream::open(&member, "/stream?topics=events").await;
    switch(&integration, &hook, true).await;
    let told = stream.next().await;
    assert_eq!(
        (told.name.as_str(), &told.data["data"]["kind"]),
        ("alert", &json!("switchedOff"))
    );
    assert_eq!(all.next().await.name, "event", "the instance has changed");
    assert_eq!(all.next().await.name, "alert");
    assert_eq!(of_member.next().await.name, "event");
    company(&space, "after").await;
    let next = of_member.next().await;
    assert_eq!(
        next.data["changeData"]["new"]["name"], "after",
        "no alert before it"
    );
}

#[tokio::test]
#[ignore = "needs PostgreSQL; ./test has it"]
async fn several_nodes_begin_an_alert_once() {
    let receiver = Receiver::start(|_| Reply::Status(503)).await;
    let installation = Installation::new(|_| ());
    let first = installation.start().await;
    let space = first.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let hook = integration.subscribe().await;
    let second = installation.second_node().start().await;
    set(&space, json!({"kinds": {"lag": {"enabled": false}}})).await;
    company(&space, "a").await;
    integration.attempts(1).await;
    let open = ["failing", "open", hook.as_str()];
    wait_told(&first, &space, MINUTE, &[open]).await;
    receiver.answer(|_| Reply::Good);
    company(&space, "b").await;
    let over = ["failing", "over", hook.as_str()];
    wait_told(&second, &space, MINUTE, &[open, over]).await;
    first.stop().await;
    second.stop().await;
}
