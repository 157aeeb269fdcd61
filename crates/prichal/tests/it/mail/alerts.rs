//! Mails about alerts, and the daily digest.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{mail, plain_at};
use crate::harness::{
    hub::{Answer, Caller, Hub, Installation, eventually},
    integration::{Integration, company},
    receiver::{Receiver, Reply},
    smtp_receiver::{Received, Say, SmtpReceiver},
};

const MINUTE: Duration = Duration::from_mins(1);
/// A step of the clock that leaves a mail in flight its time.
const STEP: Duration = Duration::from_secs(20);

async fn set(space: &Caller, settings: Value) -> Answer {
    let body = settings.to_string().into_bytes();
    space
        .send(Method::PATCH, "/alert-settings", Some(body))
        .await
}

/// Switches a webhook off or on.
async fn switch(integration: &Integration, hook: &str, disabled: bool) {
    let path = format!("/webHooks/{hook}/disabled");
    let operation = json!({ "op": "replace", "path": path, "value": disabled });
    integration.patch(json!([operation])).await.ok();
}

/// Moves the clock on until a workspace has this number of alerts in a state.
async fn wait_for(hub: &Hub, space: &Caller, state: &str, count: usize) {
    let path = format!("/alerts?state={state}");
    let all = eventually("alerts", || async {
        (space.get(&path).await.ok()["count"] == count).then_some(())
    });
    hub.advance_until(STEP, all).await;
}

fn to(mails: &[Received]) -> Vec<String> {
    let mut all: Vec<_> = mails.iter().filter_map(|mail| mail.header("To")).collect();
    all.sort();
    all
}

/// Waits until no mail of a workspace waits, and returns all.
async fn settled(space: &Caller, count: usize) -> Vec<Value> {
    eventually("the mails", || async {
        let all = space.get("/mails").await.ok();
        let items = all["items"].as_array().expect("items").clone();
        let is_settled = items.iter().all(|mail| mail["status"] != "waiting");
        (is_settled && items.len() == count).then_some(items)
    })
    .await
}

async fn hub_with(server: &SmtpReceiver) -> Hub {
    let url = server.url.clone();
    Hub::with(move |config| {
        plain_at(config, &url);
        config.public_url = Some("https://hub.example".to_owned());
    })
    .await
}

#[tokio::test]
async fn a_failing_webhook_is_one_mail_to_each_and_its_recovery_another() {
    let (server, receiver) = (SmtpReceiver::plain().await, Receiver::good().await);
    let hub = hub_with(&server).await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    integration.subscribe().await;
    let recipients = ["a@example.com", "b@example.com"];
    set(
        &space,
        json!({
            "kinds": {"failing": {"minutes": 5}, "lag": {"enabled": false}},
            "mail": {"recipients": recipients},
        }),
    )
    .await
    .ok();
    receiver.answer(|_| Reply::Status(503));
    company(&space, "a").await;
    integration.attempts(1).await;
    wait_for(&hub, &space, "open", 1).await;
    settled(&space, 2).await;
    let mails = server.received();
    assert_eq!(to(&mails), recipients);
    let alert = space.get("/alerts").await.ok()["items"][0].clone();
    let message = alert["message"].as_str().expect("a message");
    for mail in &mails {
        assert_eq!(mail.subject(), format!("[acme] {message}"));
        let body = mail.body();
        for part in [
            format!("{message}.\n"),
            "Since: 2026-01-01 00:00 UTC\n".to_owned(),
            "About: webhook listener, id ".to_owned(),
            // A call that is open when the clock moves is timed out, so the last error may have no status.
            format!(
                "error: {}\n",
                alert["details"]["error"].as_str().expect("a reason")
            ),
            "What to do: ".to_owned(),
            format!(
                "GET https://hub.example/api/v1/acme/alerts/{}\n",
                alert["id"].as_str().expect("an id")
            ),
        ] {
            assert!(body.contains(&part), "{part} in {body}");
        }
    }

    receiver.answer(|_| Reply::Good);
    company(&space, "b").await;
    wait_for(&hub, &space, "over", 1).await;
    let all = settled(&space, 4).await;
    assert!(
        all.iter()
            .all(|mail| mail["kind"] == "alert" && mail["status"] == "sent")
    );
    let mails = &server.received()[2..];
    assert_eq!(to(mails), recipients);
    for mail in mails {
        assert_eq!(mail.subject(), format!("[acme] Over: {message}"));
        assert!(mail.body().starts_with("It is over: "), "{}", mail.body());
    }
    hub.advance(30 * MINUTE);
    company(&space, "c").await;
    assert_eq!(server.received().len(), 4);
}

#[tokio::test]
async fn without_recipients_there_are_no_mails() {
    let (server, receiver) = (SmtpReceiver::plain().await, Receiver::good().await);
    let hub = hub_with(&server).await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let hook = integration.subscribe().await;
    switch(&integration, &hook, true).await;
    for address in [
        "me",
        "a@127.0.0.1",
        "a@[::1]",
        "a@example.com\r\nBcc: b@c.d",
        "A <a@b.c>",
    ] {
        let settings = json!({"mail": {"recipients": ["good@example.com", address]}});
        let refused = set(&space, settings).await;
        assert_eq!(refused.status, 400, "{address}: {}", refused.text);
        assert!(
            refused.text.contains("mail.recipients[1]"),
            "{}",
            refused.text
        );
    }
    let settings = json!({"mail": {"recipients": ["a@example.com"]}});
    set(&space, settings).await.ok();
    // The alert from before has no mail; its end and the next one have.
    switch(&integration, &hook, false).await;
    wait_for(&hub, &space, "over", 1).await;
    let all = settled(&space, 1).await;
    let subject = all[0]["subject"].as_str().expect("a subject");
    assert!(subject.starts_with("[acme] Over: "), "{subject}");
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn an_alert_is_told_after_a_kill_before_its_mail_was_sent() {
    let (server, receiver) = (SmtpReceiver::plain().await, Receiver::good().await);
    let url = server.url.clone();
    let installation = Installation::new(move |config| plain_at(config, &url));
    let hub = installation.start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let hook = integration.subscribe().await;
    let settings = json!({"mail": {"recipients": ["a@example.com"]}});
    set(&space, settings).await.ok();
    server.answer(|_, _| Say::Nothing);
    switch(&integration, &hook, true).await;
    hub.kill();
    server.answer(|_, _| Say::Usual);
    let hub = installation.start().await;
    let space = hub.adopt(&space);
    hub.advance(6 * MINUTE);
    let all = settled(&space, 1).await;
    assert_eq!(all[0]["status"], "sent");
    assert_eq!(server.received().len(), 1);
    let subject = server.received()[0].subject();
    assert!(subject.contains("was switched off by"), "{subject}");
}

#[tokio::test]
async fn mails_beyond_the_limit_of_an_hour_are_counted_in_one() {
    let (server, receiver) = (SmtpReceiver::plain().await, Receiver::good().await);
    let url = server.url.clone();
    let hub = Hub::with(move |config| {
        plain_at(config, &url);
        config.mails_per_hour = 3;
    })
    .await;
    let space = hub.workspace("acme").await;
    let recipients = ["a@example.com", "b@example.com"];
    set(&space, json!({"mail": {"recipients": recipients}}))
        .await
        .ok();
    for n in 0..3 {
        let name = format!("i{n}");
        let integration = Integration::install(&space, &name, &receiver.url).await;
        let hook = integration.subscribe().await;
        switch(&integration, &hook, true).await;
        eventually("its mails", || async {
            let all = space.get("/mails").await.ok();
            let items = all["items"].as_array().expect("items");
            let told = items
                .iter()
                .map(|mail| mail["leftOut"].as_i64().unwrap_or(1));
            (told.sum::<i64>() == 2 * (n + 1)).then_some(())
        })
        .await;
    }
    let sent = server.mails(3).await;
    assert_eq!(
        to(&sent),
        ["a@example.com", "a@example.com", "b@example.com"]
    );
    let metrics = hub.anonymous().get("/metrics").await.ok().text;
    assert!(metrics.contains("prichal_mails_total{outcome=\"left_out\"}"));
    hub.advance(61 * MINUTE);
    settled(&space, 5).await;
    let rest = &server.received()[3..];
    assert_eq!(to(rest), recipients);
    for mail in rest {
        let count = if mail.header("To").as_deref() == Some("a@example.com") {
            "1 mail was"
        } else {
            "2 mails were"
        };
        assert_eq!(mail.subject(), format!("[acme] {count} left out"));
        assert!(
            mail.body().contains("GET /api/v1/acme/mails"),
            "{}",
            mail.body()
        );
    }
}

#[tokio::test]
async fn a_digest_tells_once_a_day_of_what_there_is() {
    let (server, receiver) = (SmtpReceiver::plain().await, Receiver::good().await);
    let hub = hub_with(&server).await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let hook = integration.subscribe().await;
    // Nine o'clock in Almaty is four o'clock of UTC.
    let settings = |to: &str, always: bool| json!({"mail": {"recipients": [to], "digestHour": 9, "zone": "Asia/Almaty", "digestAlways": always}});
    set(&space, settings("acme@example.com", false)).await.ok();
    let other = hub.workspace("other").await;
    set(&other, settings("other@example.com", true)).await.ok();

    hub.advance(239 * MINUTE);
    assert_eq!(server.received().len(), 0);
    hub.advance(MINUTE);
    settled(&other, 1).await;
    let [first] = server.received().try_into().expect("one digest");
    assert_eq!(first.header("To").as_deref(), Some("other@example.com"));
    assert_eq!(first.subject(), "[other] Daily digest: nothing is open");
    let period = "From 2026-01-01 00:00 UTC to 2026-01-01 04:00 UTC.\n";
    assert!(first.body().starts_with(period), "{}", first.body());

    receiver.answer(|_| Reply::Status(500));
    company(&space, "a").await;
    integration.attempts(1).await;
    switch(&integration, &hook, true).await;
    settled(&space, 1).await;
    // The figures of failed calls are written within a minute.
    hub.advance(5 * MINUTE);
    hub.advance(1435 * MINUTE);
    settled(&other, 2).await;
    let all = settled(&space, 2).await;
    assert_eq!(all[0]["kind"], "digest");
    let mails = server.received();
    let digest = mails
        .iter()
        .find(|mail| mail.subject() == "[acme] Daily digest: 1 open alert")
        .expect("a digest");
    let body = digest.body();
    for part in [
        "From 2026-01-01 04:00 UTC to 2026-01-02 04:00 UTC.\n",
        "Open alerts:\n- since 2026-01-01 04:00 UTC: The webhook `/callbacks` of listener was switched off",
        "Alerts that began: 1\n",
        "Calls that failed: 1\n",
        "GET https://hub.example/api/v1/acme/alerts\n",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }

    // Neither a restart nor a change of the settings repeats it.
    let hub = hub.restart().await;
    let (space, other) = (hub.adopt(&space), hub.adopt(&other));
    set(&other, settings("other@example.com", false)).await.ok();
    hub.advance(MINUTE);
    let id = super::test_mail(&space, "marker@example.com").await;
    mail(&space, &id, |mail| mail["status"] == "sent").await;
    settled(&space, 3).await;
    settled(&other, 2).await;
    // No hour, no digest.
    set(&space, json!({"mail": {"digestHour": null}}))
        .await
        .ok();
    hub.advance(Duration::from_hours(48));
    let id = super::test_mail(&space, "marker@example.com").await;
    mail(&space, &id, |mail| mail["status"] == "sent").await;
    let all = settled(&space, 4).await;
    assert!(all.iter().filter(|mail| mail["kind"] == "digest").count() == 1);
}
