//! Signing in and out.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    browser::Browser,
    harness::hub::Hub,
    select::{button, field},
};

impl Browser {
    /// Signs in with a token, and comes to the page at this path or to one below, where it leads.
    pub(crate) async fn sign_in(&self, url: &str, token: &str, path: &str) {
        self.open(&format!("{url}{path}")).await;
        self.wait_for_path("the form to sign in", |path| {
            path.starts_with("/console/sign-in")
        })
        .await;
        self.fill(&field("Link or token"), token).await;
        self.click(&button("Sign in")).await;
        self.wait_for_path(path, |now| now.starts_with(path)).await;
    }
}

/// The address of a new one-time link.
pub(crate) async fn link(hub: &Hub, body: Value) -> String {
    let made = hub.admin().post("/admin/v1/login-links", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let url = made.str("url");
    // The server of the test listens at another port than its settings say.
    let (_, path) = url.split_once("/console/").expect("a page of the console");
    format!("{}/console/{path}", hub.url)
}

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn a_link_signs_in_once_and_for_ten_minutes() {
    let hub = Hub::start().await;
    hub.workspace("acme").await;
    let administrator = json!({ "workspace": "acme", "role": "admin" });
    let link_once = link(&hub, administrator.clone()).await;
    let (_, secret) = link_once.split_once('#').expect("a secret");
    let (first, second) = (Browser::start().await, Browser::start().await);
    first.open(&link_once).await;
    first
        .wait_for_path("a page of the workspace", |path| {
            path.starts_with("/console/acme")
        })
        .await;
    // The secret is neither in the address nor in the browser's history.
    first.client.back().await.expect("it goes back");
    let address = first.client.current_url().await.expect("an address");
    assert!(!address.as_str().contains(secret), "{address}");
    let cookies = first.run("return document.cookie", vec![]).await;
    assert_eq!(cookies, "", "scripts cannot read the session");

    let refusal = "The link was used, has expired or is wrong";
    second.open(&link_once).await;
    second.wait_for_text(refusal).await;
    second.expect_errors("401").await;
    second.inspect("sign-in-refused").await;
    let late = link(&hub, administrator).await;
    hub.advance(Duration::from_mins(10));
    // Another fragment alone would not load the page anew.
    second.open("about:blank").await;
    second.open(&late).await;
    second.wait_for_text(refusal).await;
    second.expect_errors("401").await;
    second
        .open(&format!("{}/console/acme/deliveries", hub.url))
        .await;
    second
        .wait_for_path("the form to sign in", |path| {
            path == "/console/sign-in?next=%2Fconsole%2Facme%2Fdeliveries"
        })
        .await;
    first.end().await;
    second.end().await;
}

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn a_link_replaces_a_session_by_the_button_alone() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    hub.workspace("other").await;
    let browser = Browser::start().await;
    let page = "/console/acme/deliveries";
    browser.sign_in(&hub.url, &space.bearer_token(), page).await;
    let foreign = link(&hub, json!({ "workspace": "other" })).await;
    browser.open(&foreign).await;
    browser.wait_for_text("You are signed in as").await;
    browser.click("//a[text()='Stay in this session']").await;
    browser
        .wait_for_path("the workspace of the session", |path| {
            path.starts_with("/console/acme")
        })
        .await;
    browser.open("about:blank").await;
    browser.open(&foreign).await;
    browser.click(&button("Sign in")).await;
    browser
        .wait_for_path("the workspace of the link", |path| {
            path.starts_with("/console/other")
        })
        .await;
    browser.end().await;
}

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn signing_out_ends_the_session_in_all_tabs() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let browser = Browser::start().await;
    let page = "/console/acme/deliveries";
    browser.sign_in(&hub.url, &space.bearer_token(), page).await;
    let first = browser.tab().await;
    browser.open_tab(&format!("{}{page}", hub.url)).await;
    browser.click("//details[@class='account']/summary").await;
    browser.click(&button("Sign out")).await;
    browser.find(&button("Sign in")).await;
    browser.enter(&first).await;
    browser.open(&format!("{}{page}", hub.url)).await;
    browser.find(&button("Sign in")).await;
    browser.end().await;
}
