//! Scripts: a run that failed is read, its script is edited and tried on the same request, saved, and run again.

use fantoccini::key::Key;
use serde_json::json;

use crate::{
    browser::Browser,
    harness::channel_workspace::ChannelWorkspace,
    select::{button, heading, link, row},
};

const EDITOR: &str = "//textarea[@name='source']";

/// Replaces the text in the editor, key by key.
async fn write(browser: &Browser, text: &str) {
    let editor = browser.find(EDITOR).await;
    editor.click().await.expect("it takes the focus");
    let everything = format!("{}a{}", char::from(Key::Control), char::from(Key::Null));
    editor.send_keys(&everything).await.expect("it takes keys");
    for key in text.chars() {
        editor
            .send_keys(&key.to_string())
            .await
            .expect("it takes keys");
    }
}

async fn written(browser: &Browser) -> String {
    let value = browser.find(EDITOR).await.prop("value").await;
    value.expect("a property").unwrap_or_default()
}

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
    write(&browser, "request.body.order").await;
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

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn a_script_of_several_lines_is_typed() {
    const TYPED: &str = "// The first line.
const { lines } = request.body ?? [];
for (const line of lines ?? []) {
if (!line) {
console.log('a', \"b\", `c`);
}
}
[1, [2]].length;
";
    const INDENTED: &str = "// The first line.
const { lines } = request.body ?? [];
for (const line of lines ?? []) {
  if (!line) {
    console.log('a', \"b\", `c`);
  }
}
[1, [2]].length;
";
    let era = ChannelWorkspace::new().await;
    era.sync_channel("orders", "respond(204)").await;
    let browser = Browser::start().await;
    let token = era.space.bearer_token();
    let page = "/console/acme/channels";
    browser.sign_in(&era.hub.url, &token, page).await;
    browser.click(&link("Scripts")).await;
    browser.click(&link("orders")).await;
    write(&browser, TYPED).await;
    assert_eq!(written(&browser).await, INDENTED);
    let colours = "return document.querySelector('code-editor pre').textContent";
    let shown = browser.run(colours, vec![]).await;
    assert_eq!(shown.as_str(), Some(&*format!("{INDENTED}\n")));

    // Leaving the page would lose the text, so the browser asks.
    let leave = "return dispatchEvent(new Event('beforeunload', { cancelable: true }))";
    assert_eq!(browser.run(leave, vec![]).await, json!(false));
    browser.click(&button("Save")).await;
    browser.wait_for_text("Saved.").await;
    assert_eq!(written(&browser).await, INDENTED);
    assert_eq!(browser.run(leave, vec![]).await, json!(true));
    browser.end().await;
}
