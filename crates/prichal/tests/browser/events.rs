//! Events: one appears while the list is open, and shows what has changed.

use serde_json::json;

use crate::{
    browser::Browser,
    harness::{
        hub::Hub,
        integration::{Integration, company},
        receiver::Receiver,
    },
    select::{button, heading, row},
};

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn an_event_appears_and_shows_what_has_changed() {
    let receiver = Receiver::good().await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    integration.subscribe().await;
    let id = company(&space, "Horns and Hooves").await;
    let browser = Browser::start().await;
    let list = "/console/acme/events";
    browser.sign_in(&hub.url, &space.bearer_token(), list).await;
    browser.find(&row("company: created")).await;
    browser.click(&button("Pause")).await;
    let change = json!([{ "op": "replace", "path": "/name", "value": "Horns, Hooves and Sons" }]);
    space.patch(&format!("/companies/{id}"), change).await.ok();
    browser
        .find_live(&hub, "//live-list[contains(., 'Paused; new: ')]")
        .await;
    assert_eq!(browser.count(&row("company: changed")).await, 0);
    browser.click(&button("Resume")).await;
    browser.find_live(&hub, &row("company: changed")).await;

    integration.attempts(2).await;
    browser
        .click(&format!("{}//a[@data-row]", row("company: changed")))
        .await;
    browser.find(&heading("What has changed")).await;
    for (mark, name) in [
        ("removed", "Horns and Hooves"),
        ("added", "Horns, Hooves and Sons"),
    ] {
        let value = format!("//code[@class='{mark}'][contains(., '{name}')]");
        assert_eq!(browser.count(&value).await, 1, "{mark}");
    }
    // The webhook that wanted it, and what came of the call.
    browser
        .find("//li[contains(normalize-space(), 'delivered')]")
        .await;
    browser.end().await;
}
