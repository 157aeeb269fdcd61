//! Calls: a call that comes in is seen in every tab.

use std::time::Duration;

use serde_json::json;

use crate::{
    browser::Browser,
    harness::telephony_exchange::{CLIENT, TelephonyExchange, event, finished, started},
};

/// A browser opens six connections to a server at most (HTTP/1.1), so a stream in each tab would block the seventh.
const TABS: usize = 7;

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn a_call_pops_up_in_all_of_seven_tabs() {
    let pbx = TelephonyExchange::new().await;
    let contact =
        json!({ "name": "Horns and Hooves", "phones": [{ "type": "work", "value": CLIENT }] });
    pbx.make("contacts", contact).await;
    let url = &pbx.hub.url;
    let page = "/console/my-workspace/calls";
    let browser = Browser::start().await;
    browser.sign_in(url, &pbx.space.bearer_token(), page).await;
    let mut tabs = vec![browser.tab().await];
    for _ in 1..TABS {
        tabs.push(browser.open_tab(&format!("{url}{page}")).await);
    }

    let mut body = started("1");
    body["timestamp"] = json!(pbx.hub.app.clock.now().to_string());
    pbx.send("call-started", body).await.ok();
    pbx.send("call-event", event("1", "leg", "appeared", 1))
        .await
        .ok();
    let card = "//article[contains(normalize-space(), 'Horns and Hooves')]";
    for tab in &tabs {
        browser.enter(tab).await;
        browser.find_live(&pbx.hub, card).await;
    }
    browser.inspect("calls-live").await;

    // The tab that holds the stream closes, and another one takes it over.
    browser.enter(&tabs.remove(0)).await;
    browser.client.close_window().await.expect("it closes");
    pbx.send("call-finished", finished("1", 30)).await.ok();
    for tab in &tabs {
        browser.enter(tab).await;
        let gone = browser.wait_until_gone(card);
        pbx.hub.advance_until(Duration::from_millis(50), gone).await;
        // Each tab still reaches the server.
        browser.client.refresh().await.expect("it reloads");
    }
    browser.end().await;
}
