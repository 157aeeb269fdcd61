//! The server goes away and comes back while pages are open.

use crate::{
    browser::Browser,
    harness::{
        hub::Hub,
        integration::{Integration, company},
        receiver::Receiver,
    },
    select::row,
};

const LIST: &str = "/console/acme/deliveries";

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn an_open_list_survives_a_restart_of_the_server() {
    let receiver = Receiver::good().await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    integration.subscribe().await;
    let browser = Browser::start().await;
    browser.sign_in(&hub.url, &space.bearer_token(), LIST).await;
    company(&space, "before").await;
    browser.find_live(&hub, &row("delivered")).await;

    let address = hub.url.trim_start_matches("http://").to_owned();
    let hub = hub.stop().await.start_at(&address).await;
    // The session is in the store, and the page's stream connects again by itself.
    company(&hub.adopt(&space), "after").await;
    browser
        .find_live(&hub, &format!("{}[2]", row("delivered")))
        .await;
    browser.client.refresh().await.expect("it reloads");
    assert_eq!(browser.count(&row("delivered")).await, 2);
    browser.allow_errors("ERR_").await;
    browser.end().await;
}
