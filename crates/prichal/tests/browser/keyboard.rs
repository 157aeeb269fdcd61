//! The console without a pointer.

use fantoccini::key::Key;

use crate::{
    browser::Browser,
    harness::{
        hub::Hub,
        integration::{Integration, company},
        receiver::{Receiver, Reply},
    },
    select::{heading, link},
};

/// The text of the element that has the focus.
const FOCUSED: &str = "return document.activeElement.textContent.trim()";

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn a_call_is_found_and_sent_again_by_keys_alone() {
    let receiver = Receiver::start(|_| Reply::Status(503)).await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    integration.subscribe().await;
    for name in ["a", "b"] {
        company(&space, name).await;
    }
    integration.attempts(2).await;
    let browser = Browser::start().await;
    let start = "/console/acme/integrations";
    browser.open(&format!("{}{start}", hub.url)).await;
    browser.find("//input[@name='credential']").await;
    browser.press(&space.bearer_token()).await;
    browser.press_key(Key::Enter).await;
    browser
        .wait_for_path("the page that was asked for", |path| path == start)
        .await;

    browser.press("gd").await;
    browser.find(&heading("Deliveries")).await;
    browser.press_key(Key::Tab).await;
    assert_eq!(browser.run(FOCUSED, vec![]).await, "Skip to the content");
    browser.press_key(Key::Enter).await;
    let skipped = browser
        .run("return document.activeElement.id", vec![])
        .await;
    assert_eq!(skipped, "content");

    let row = "return [...document.querySelectorAll('[data-row]')].indexOf(document.activeElement)";
    for (key, place) in [("j", 0), ("j", 1), ("j", 1), ("k", 0), ("k", 0)] {
        browser.press(key).await;
        assert_eq!(browser.run(row, vec![]).await, place, "{key}");
    }
    browser.press("?").await;
    browser.find("//dialog[@open]").await;
    browser.inspect("keys").await;
    browser.press_key(Key::Escape).await;
    browser.wait_until_gone("//dialog[@open]").await;

    browser.press("/").await;
    // Letters go into the field now.
    browser.press("503").await;
    browser.press_key(Key::Enter).await;
    browser
        .wait_for_path("the filter", |path| path.contains("=503"))
        .await;
    // The row under the cursor is asked about, and the question leads back.
    browser.press("jr").await;
    browser.wait_for_text("Events to be sent again: 1.").await;
    browser.inspect("delivery-resend").await;
    browser.click(&link("Cancel")).await;
    browser
        .wait_for_path("the list", |path| path.contains("=503"))
        .await;
    browser.press("j").await;
    browser.press_key(Key::Enter).await;
    browser.find(&heading("What happened")).await;
    receiver.answer(|_| Reply::Good);
    hub.advance(std::time::Duration::from_secs(1));
    browser.press("r").await;
    browser
        .wait_for_text("The event is being sent again.")
        .await;
    browser
        .find("//li[contains(normalize-space(), 'delivered')]")
        .await;
    browser.end().await;
}
