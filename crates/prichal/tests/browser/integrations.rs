//! Integrations: a webhook's filter is tried on past events, the webhook is added and called, gets earlier events, and a
//! key is issued.

use serde_json::json;

use crate::{
    browser::Browser,
    harness::{
        hub::Hub,
        integration::{Integration, company, entity_hook},
        receiver::Receiver,
    },
    select::{button, field, link, row},
};

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn a_webhook_is_tried_added_and_called() {
    let receiver = Receiver::good().await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    for name in ["a", "b", "c"] {
        company(&space, name).await;
    }
    let browser = Browser::start().await;
    let list = "/console/acme/integrations";
    browser.sign_in(&hub.url, &space.bearer_token(), list).await;
    browser.click(&link("listener")).await;
    browser.fill(&field("Address"), "/orders").await;
    let entity = browser.find(&field("Entity")).await;
    entity.select_by_value("company").await.expect("an option");
    browser.click(&button("How many would match")).await;
    browser.wait_for_text("would match: 3.").await;
    browser.inspect("integration-counted").await;
    // The draft is still there.
    browser.click(&button("Add")).await;
    browser.wait_for_text("The webhooks are changed.").await;
    browser.find(&row("/orders")).await;
    browser.click(&button("Test call")).await;
    browser.wait_for_text("The test call was accepted").await;
    assert_eq!(receiver.next().await.path, "/orders");

    browser.click(&button("Pause")).await;
    browser
        .wait_for_text("The integration is paused; events wait.")
        .await;
    assert_eq!(integration.status().await, "paused");
    browser.click(&button("Resume")).await;
    browser.wait_for_text("The integration works again.").await;

    browser.click(&button("Issue a new key")).await;
    let key = browser.find("//pre[@id='key']").await;
    let key = key.text().await.expect("a text");
    let clipboard = json!({ "origin": hub.url, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    browser
        .devtools("Browser.grantPermissions", clipboard)
        .await;
    browser.click(&button("Copy")).await;
    browser.find(&button("Copied")).await;
    let read = "const done = arguments[0]; navigator.clipboard.readText().then(done, String);";
    let copied = browser.client.execute_async(read, vec![]).await;
    assert_eq!(copied.expect("a text"), key);
    browser.client.refresh().await.expect("it reloads");
    assert!(!browser.text().await.contains(&key), "it is shown once");
    browser.end().await;
}

/// Sets the beginning of the period. Keys for a field of a time depend on the browser's region.
const SET_FROM: &str = "document.querySelector('[name=from]').value = arguments[0]";

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn events_from_before_a_webhook_are_counted_and_sent() {
    let receiver = Receiver::good().await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    for name in ["a", "b", "c"] {
        company(&space, name).await;
    }
    space
        .post("/contacts", json!({ "name": "not wanted" }))
        .await
        .ok();
    let companies = json!([{ "entityType": "company" }]);
    integration.add_hook(entity_hook("/late", companies)).await;
    let browser = Browser::start().await;
    let list = "/console/acme/integrations";
    browser.sign_in(&hub.url, &space.bearer_token(), list).await;
    browser.click(&link("listener")).await;
    browser.click(&link("Replay events…")).await;
    browser
        .run(SET_FROM, vec![json!("2025-12-31T00:00:00")])
        .await;
    browser.click(&button("Count")).await;
    browser.wait_for_text("Of these the webhook gets: 3.").await;
    browser.inspect("integration-replay").await;
    assert_eq!(receiver.waiting(), 0, "they are only counted");
    browser.click(&button("Send them again")).await;
    for call in receiver.take(3).await {
        assert_eq!(call.path, "/late");
        assert_eq!(call.header("x-prichal-replay"), Some("true"));
    }
    let done = "//section[@data-over][contains(., 'everything was sent')]";
    browser.find_live(&hub, done).await;
    browser.find("//progress[@value=@max]").await;
    browser.inspect("integration-replayed").await;
    browser.end().await;
}
