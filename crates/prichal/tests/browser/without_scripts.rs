//! The console without JavaScript: links and forms do all that matters.

use std::time::Duration;

use serde_json::json;

use crate::{
    browser::Browser,
    harness::{
        hub::Hub,
        integration::{Integration, company},
        receiver::{Receiver, Reply},
    },
    select::{button, row},
};

const LIST: &str = "/console/acme/deliveries";

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn a_failed_call_is_found_and_sent_again_without_scripts() {
    let receiver = Receiver::start(|_| Reply::Status(503)).await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    integration.subscribe().await;
    company(&space, "Horns and Hooves").await;
    integration.attempts(1).await;
    let browser = Browser::start().await;
    let none = json!({ "value": true });
    browser
        .devtools("Emulation.setScriptExecutionDisabled", none)
        .await;
    browser.sign_in(&hub.url, &space.bearer_token(), LIST).await;
    // The element of live updates has no button, since it makes it itself.
    assert_eq!(browser.count(&button("Pause")).await, 0);
    // The driver takes the folded filters for hidden, also on wide screens, which show them.
    let shown = format!("{}{LIST}?status=deferred", hub.url);
    browser.open(&shown).await;
    browser
        .wait_for_path("the filter", |path| path.contains("status=deferred"))
        .await;
    browser
        .click(&format!("{}//a", row("will be retried")))
        .await;
    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_secs(1));
    browser.click(&button("Send again")).await;
    browser
        .wait_for_text("The event is being sent again.")
        .await;
    integration.attempts(2).await;
    browser.client.refresh().await.expect("it reloads");
    browser
        .find("//li[contains(normalize-space(), 'delivered')]")
        .await;
    browser.click("//button[@lang='kk']").await;
    browser.find("/html[@lang='kk']").await;
    browser.click("//button[@lang='en']").await;
    browser.click("//details[@class='account']/summary").await;
    browser.click(&button("Sign out")).await;
    browser.find(&button("Sign in")).await;
    browser.end().await;
}
