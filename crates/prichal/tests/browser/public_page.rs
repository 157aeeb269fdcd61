//! The public page of a document, without a session.

use crate::{
    browser::Browser,
    harness::document_exchange::{DocumentExchange, PDF, Side},
    select::button,
};

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn everybody_sees_who_signed_a_document() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let document = us.sent(&[&them.bin]).await;
    them.quick_sign(Side::Inbox, &document).await.ok();
    let browser = Browser::start().await;
    browser
        .open(&format!("{}/check/{document}", exchange.hub.url))
        .await;
    browser.wait_for_text("Компания 1").await;
    browser.inspect("check").await;
    browser.end().await;
}

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn a_file_is_hashed_in_the_browser_and_its_document_asked_for() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let document = us.sent(&[&them.bin]).await;
    them.quick_sign(Side::Inbox, &document).await.ok();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("contract <img src=x>.pdf");
    std::fs::write(&file, PDF).expect("a file");
    let browser = Browser::start().await;
    for language in ["ru", "kk", "en"] {
        browser
            .open(&format!("{}/check?lang={language}", exchange.hub.url))
            .await;
        browser.find(&format!("/html[@lang='{language}']")).await;
        browser.inspect(&format!("{language}-check-empty")).await;
    }
    browser.choose_file("//input[@id='drop-file']", &file).await;
    browser.find("//p[@id='drop-status'][string()]").await;
    browser
        .fill(
            "//form[@id='compare-form']//input[@name='document']",
            &document,
        )
        .await;
    // Only the hash is sent.
    browser.click(&button("Compare")).await;
    browser
        .wait_for_text("Original No. 1 of this document")
        .await;
    browser.choose_file("//input[@id='drop-file']", &file).await;
    browser.wait_for_text("contract <img src=x>.pdf").await;
    browser.inspect("check-dropped").await;
    browser.end().await;
}
