//! The checks find what they are for.

use axum::{Router, http::header, response::Html, routing::get};
use tokio::{net::TcpListener, task::JoinSet};

use crate::browser::{Browser, NARROW};

const POLICY: &str =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; base-uri 'none'";
const GOOD: &str = "<!doctype html><html lang=en><title>Good</title><link rel=icon href=data:,>\
    <main><h1>Good</h1><p>Nothing is wrong.</main>";
const BAD: &str = "<!doctype html><html><title>Bad</title><link rel=icon href=data:,>\
    <script>document.title = 'ran'</script><script src=/bad.js></script>\
    <h1>Bad</h1><img src=data:,><pre>0123456789 0123456789 0123456789 0123456789 0123456789 0123456789";

/// Serves both pages under the policy, and a script that fails.
async fn serve() -> (String, JoinSet<()>) {
    let page = |text: &'static str| {
        get(move || async move { ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(text)) })
    };
    let script = || async { ([(header::CONTENT_TYPE, "text/javascript")], "missing()") };
    let router = Router::new()
        .route("/good", page(GOOD))
        .route("/bad", page(BAD))
        .route("/bad.js", get(script));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        axum::serve(listener, router).await.expect("it serves");
    });
    (url, serving)
}

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn the_checks_find_faults_of_a_page() {
    let (url, _serving) = serve().await;
    let browser = Browser::start().await;
    browser.open(&format!("{url}/good")).await;
    browser.inspect("self-test").await;

    browser.open(&format!("{url}/bad")).await;
    browser.resize(NARROW).await;
    let faults = browser.find_faults().await.join("\n");
    for fault in [
        "html-has-lang",
        "landmark-one-main",
        "image-alt",
        "wider than",
    ] {
        assert!(faults.contains(fault), "{fault} in {faults}");
    }
    let log = browser.take_log().await.join("\n");
    for fault in ["Content Security Policy", "missing is not defined"] {
        assert!(log.contains(fault), "{fault} in {log}");
    }
    assert_eq!(browser.client.title().await.expect("a title"), "Bad");
    browser.end().await;
}

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn keys_tabs_and_colours_reach_a_page() {
    let (url, _serving) = serve().await;
    let browser = Browser::start().await;
    browser.open(&format!("{url}/good")).await;
    let listen =
        "window.seen = ''; addEventListener('keydown', (event) => { window.seen += event.key; });";
    browser.run(listen, vec![]).await;
    browser.press("gd?").await;
    assert_eq!(browser.run("return window.seen", vec![]).await, "gd?");
    browser.set_colour_scheme("dark").await;
    let is_dark = "return matchMedia('(prefers-color-scheme: dark)').matches";
    assert_eq!(browser.run(is_dark, vec![]).await, true);
    let first = browser.tab().await;
    browser.open_tab(&format!("{url}/good?2")).await;
    assert_eq!(browser.path().await, "/good?2");
    browser.enter(&first).await;
    assert_eq!(browser.path().await, "/good");
    assert_eq!(browser.run("return navigator.language", vec![]).await, "en");
    browser.end().await;
}
