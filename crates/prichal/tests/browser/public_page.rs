//! The public page of a document, without a session.

use crate::{
    browser::Browser,
    harness::document_exchange::{DocumentExchange, Side},
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
