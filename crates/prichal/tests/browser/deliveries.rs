//! Deliveries: a call that failed is found, understood and sent again.

use std::time::Duration;

use prichal_core::retry::Schedule;
use serde_json::json;

use crate::{
    browser::Browser,
    harness::{
        hub::{Caller, Hub},
        integration::{Integration, company},
        receiver::{Receiver, Reply},
    },
    select::{button, field, heading, link, row},
};

const SECOND: Duration = Duration::from_secs(1);
const LIST: &str = "/console/acme/deliveries";

/// A workspace whose integration listens to companies, and a browser that shows its deliveries.
struct Scene {
    hub: Hub,
    space: Caller,
    integration: Integration,
    receiver: Receiver,
    browser: Browser,
}

impl Scene {
    /// Events of this receiver are given up after two calls, 30 seconds apart.
    async fn new(receiver: Receiver) -> Self {
        let hub = Hub::with(|config| {
            config.retry_schedule = Schedule(vec![Duration::from_secs(30)]);
        })
        .await;
        let space = hub.workspace("acme").await;
        let integration = Integration::install(&space, "listener", &receiver.url).await;
        integration.subscribe().await;
        let browser = Browser::start().await;
        let token = space.bearer_token();
        browser.sign_in(&hub.url, &token, LIST).await;
        Self {
            hub,
            space,
            integration,
            receiver,
            browser,
        }
    }
}

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn a_call_appears_while_the_list_is_open() {
    let scene = Scene::new(Receiver::good().await).await;
    let browser = &scene.browser;
    browser.wait_for_text("There were no calls yet.").await;
    browser.inspect("deliveries-empty").await;
    company(&scene.space, "Horns and Hooves").await;
    browser.find_live(&scene.hub, &row("delivered")).await;
    browser.click(&button("Pause")).await;
    company(&scene.space, "Hooves and Horns").await;
    let paused = "//live-list[contains(., 'Paused; new: ') and not(contains(., 'new: 0'))]";
    browser.find_live(&scene.hub, paused).await;
    assert_eq!(browser.count(&row("delivered")).await, 1);
    browser.click(&button("Resume")).await;
    browser
        .find_live(&scene.hub, &format!("{}[2]", row("delivered")))
        .await;
    browser.inspect("deliveries").await;
    scene.browser.end().await;
}

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn a_failed_call_is_read_sent_again_and_turns_green() {
    let scene = Scene::new(Receiver::start(|_| Reply::Status(503)).await).await;
    let browser = &scene.browser;
    company(&scene.space, "Horns and Hooves").await;
    scene.integration.attempts(1).await;
    browser.client.refresh().await.expect("it reloads");
    browser
        .click(&format!("{}//a", row("will be retried")))
        .await;
    browser.find(&heading("What happened")).await;
    let shown = browser.text().await;
    for text in ["503", "What to do", "Next attempt", "Horns and Hooves"] {
        assert!(shown.contains(text), "{text} in {shown}");
    }
    browser.inspect("delivery-failed").await;

    scene.receiver.answer(|_| Reply::Good);
    scene.hub.advance(SECOND);
    browser.click(&button("Send again")).await;
    browser
        .wait_for_text("The event is being sent again.")
        .await;
    // The page shows the new attempt by itself.
    let delivered = "//li[contains(normalize-space(), 'delivered')]//a";
    browser.find_live(&scene.hub, delivered).await;
    browser.click(delivered).await;
    browser
        .wait_for_text("The receiver has accepted the event.")
        .await;
    browser.inspect("delivery-delivered").await;
    scene.browser.end().await;
}

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn calls_that_match_a_filter_are_counted_and_sent_again() {
    let answer = |call: &crate::harness::receiver::Call| {
        if call.body.contains("good") {
            Reply::Good
        } else {
            Reply::Status(503)
        }
    };
    let scene = Scene::new(Receiver::start(answer).await).await;
    let browser = &scene.browser;
    for name in ["a", "good", "b"] {
        company(&scene.space, name).await;
    }
    scene.integration.attempts(3).await;
    scene.hub.advance(Duration::from_secs(30));
    scene.integration.attempts(5).await;

    let status = browser.find(&field("State")).await;
    status.select_by_label("given up").await.expect("an option");
    browser.click(&button("Show")).await;
    browser
        .wait_for_path("the filter", |path| path.contains("status=exhausted"))
        .await;
    assert_eq!(browser.count("//tbody/tr").await, 2);
    browser.inspect("deliveries-filtered").await;
    browser.click(&link("Resend all matching")).await;
    browser.wait_for_text("Events to be sent again: 2.").await;
    browser.inspect("deliveries-resend").await;

    scene.receiver.answer(|_| Reply::Good);
    scene.hub.advance(SECOND);
    browser.click(&button("Send again")).await;
    browser
        .wait_for_text("The events are being sent again.")
        .await;
    // The page of the progress follows it to the end.
    browser.find(&heading("Resend")).await;
    let all = scene.integration.attempts(7);
    let attempts = scene.hub.advance_until(SECOND, all).await;
    let delivered = attempts.iter().filter(|one| one["status"] == "delivered");
    assert_eq!(delivered.count(), 3);
    let done = "//dd[contains(., 'sent: 2 of 2')][progress[@value='2' and @max='2']]";
    browser.find_live(&scene.hub, done).await;
    browser.wait_for_text("everything was sent").await;
    assert_eq!(browser.count(&button("Cancel the resend")).await, 0);
    browser.inspect("deliveries-progress").await;
    browser.click("//main//a[.='Deliveries']").await;
    browser
        .wait_for_path("the filter", |path| path.contains("status=exhausted"))
        .await;
    scene.browser.end().await;
}

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn a_resend_that_waits_is_cancelled() {
    let scene = Scene::new(Receiver::start(|_| Reply::Status(503)).await).await;
    let browser = &scene.browser;
    company(&scene.space, "a").await;
    scene.integration.attempts(1).await;
    // The events of a webhook that is switched off wait.
    let hooks = scene.space.get(&scene.integration.instance()).await.ok();
    let hook = hooks["webHooks"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let path = format!("/webHooks/{hook}/disabled");
    let off = json!([{ "op": "replace", "path": path, "value": true }]);
    scene.integration.patch(off).await.ok();
    let list = format!("{}{LIST}?status=deferred", scene.hub.url);
    browser.open(&list).await;
    browser.click(&link("Resend all matching")).await;
    scene.hub.advance(SECOND);
    browser.click(&button("Send again")).await;
    browser.wait_for_text("sent: 0 of 1").await;
    browser.click(&button("Cancel the resend")).await;
    browser.wait_for_text("The resend is cancelled").await;
    assert_eq!(browser.count(&button("Cancel the resend")).await, 0);
    scene.browser.end().await;
}

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn what_was_received_is_compared_with_what_was_sent() {
    let scene = Scene::new(Receiver::good().await).await;
    let browser = &scene.browser;
    company(&scene.space, "Horns and Hooves").await;
    let call = scene.receiver.next().await;
    let instance = scene.space.get(&scene.integration.instance()).await.ok();
    let secret = instance["secrets"][0]["values"][0].as_str();
    let secret = secret.expect("a signing secret").to_owned();
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let line = |name: &str| format!("{name}: {}", call.header(name).expect("a header"));
    let headers = names.map(line).join("\n");
    browser
        .find_live(&scene.hub, &format!("{}//a", row("delivered")))
        .await;
    browser.click(&format!("{}//a", row("delivered"))).await;
    browser
        .find("//pre[@id='curl'][contains(., 'curl ')]")
        .await;
    for (body, verdict) in [
        (call.body.clone(), "The signature is right for this secret."),
        (call.body.replace("Horns", "Hoofs"), "The body differs."),
    ] {
        browser.fill(&field("Secret (whsec_…)"), &secret).await;
        browser.fill("//textarea[@name='headers']", &headers).await;
        browser.fill("//textarea[@name='body']", &body).await;
        browser.click(&button("Compare")).await;
        browser.wait_for_text(verdict).await;
        let page = browser.client.source().await.expect("a page");
        assert!(!page.contains(&secret), "the secret is kept nowhere");
    }
    browser.inspect("delivery-compared").await;
    scene.browser.end().await;
}
