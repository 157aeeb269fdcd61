//! Scripts: a run that failed is read, its script is edited and tried on the same request, saved, and run again.

use fantoccini::key::Key;
use serde_json::json;

use crate::{
    browser::Browser,
    harness::channel_workspace::ChannelWorkspace,
    select::{button, heading, link, row},
};

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn a_script_is_edited_and_run_on_a_past_request() {
    let era = ChannelWorkspace::new().await;
    let source = "console.log('an order has come'); throw new Error('the order has no lines')";
    let channel = era.sync_channel("orders", source).await;
    era.hook(&channel, json!({ "order": "A-2" })).await;
    let browser = Browser::start().await;
    let token = era.space.bearer_token();
    let page = "/console/acme/channels";
    browser.sign_in(&era.hub.url, &token, page).await;
    browser.click(&link("Runs")).await;
    browser.click(&format!("{}//a", row("failed"))).await;
    for text in ["the order has no lines", "an order has come"] {
        browser.wait_for_text(text).await;
    }
    browser.inspect("run-failed").await;

    browser
        .click(&link("Try with the script as it is now"))
        .await;
    browser.find(&heading("Try it on a past request")).await;
    let editor = browser.find("//*[@role='textbox']").await;
    editor.click().await.expect("it takes the focus");
    let everything = format!("{}a{}", char::from(Key::Control), char::from(Key::Null));
    let written = editor.send_keys(&(everything + "request.body.order")).await;
    written.expect("it takes keys");
    browser.click(&button("Try without effect")).await;
    browser
        .wait_for_text("It would have changed nothing.")
        .await;
    browser.find("//pre[contains(., 'A-2')]").await;
    browser.inspect("script-tried").await;
    browser.click(&button("Save")).await;
    browser.wait_for_text("Saved.").await;

    browser.click(&link("Runs")).await;
    browser.click(&format!("{}//a", row("failed"))).await;
    browser
        .click(&button("Run again, with the script as it is now"))
        .await;
    era.run("orders", "finished").await;
    browser.wait_for_text("finished").await;
    browser.inspect("run-again").await;
    browser.end().await;
}
