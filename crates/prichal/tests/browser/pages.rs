//! Every page: accessible, quiet, in its place on a telephone, and safe from what others have written.

use serde_json::json;

use crate::{
    browser::Browser,
    harness::hub::ADMIN_TOKEN,
    seed::{Seeded, Texts},
    select::row,
};

/// The sections of a workspace.
pub(crate) const SECTIONS: [&str; 8] = [
    "now",
    "deliveries",
    "events",
    "calls",
    "documents",
    "channels",
    "integrations",
    "settings",
];

/// Inspects the pages of a section, as an administrator of the workspace sees them.
async fn inspect_section(section: &str) {
    let seeded = Seeded::new(&Texts::default()).await;
    let (url, start) = (&seeded.exchange.hub.url, seeded.page(section));
    let browser = Browser::start().await;
    browser
        .sign_in(url, &seeded.us.api.bearer_token(), &start)
        .await;
    browser
        .crawl(url, &start, async |name| browser.inspect(name).await)
        .await;
    browser.end().await;
}

/// A test for each section, so that they run side by side.
macro_rules! sections {
    ($($section:ident)*) => {
        $(
            #[tokio::test]
            #[ignore = "needs Chromium; ./test has it"]
            async fn $section() {
                inspect_section(stringify!($section)).await;
            }
        )*

        #[test]
        fn every_section_has_a_test() {
            assert_eq!(SECTIONS, [$(stringify!($section)),*]);
        }
    };
}

sections! { now deliveries events calls documents channels integrations settings }

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn pages_of_the_server() {
    let seeded = Seeded::new(&Texts::default()).await;
    let url = &seeded.exchange.hub.url;
    let browser = Browser::start().await;
    browser.open(&format!("{url}/console/sign-in")).await;
    browser.inspect("sign-in").await;
    browser.sign_in(url, ADMIN_TOKEN, "/console").await;
    browser.inspect("workspaces").await;
    browser
        .crawl(url, "/console/server", async |name| {
            browser.inspect(name).await;
        })
        .await;
    // The chart is drawn once there are two samples.
    browser.open(&format!("{url}/console/server")).await;
    browser
        .find_live(&seeded.exchange.hub, "//server-chart//canvas")
        .await;
    browser.inspect("server-chart").await;
    browser
        .open(&format!("{url}/console/company-0/nowhere"))
        .await;
    browser.expect_errors("404").await;
    browser.inspect("not-found").await;
    browser.end().await;
}

/// Marks that would be elements or handlers if a page did not escape them.
const MARKUP: &str =
    r#"<img src=x onerror=alert(1)></script><script>alert(2)</script>"'&amp;{{7*7}}"#;
/// A text that turns the direction of those behind it.
const TURNED: &str = "\u{202e}gnp.exe";

/// Elements that were made of texts.
const FIND_MADE: &str = "
return [...document.querySelectorAll('img[src=x], script:not([src])')].map((one) => one.outerHTML.slice(0, 200));
";

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn texts_of_others_stay_texts() {
    let seeded = Seeded::new(&Texts {
        company: format!("company {MARKUP}{TURNED}"),
        script: format!("script {MARKUP}"),
        log_line: format!("line {MARKUP}"),
        answer: format!("answer {MARKUP}"),
        file: "file <img src=x onerror=alert(3)>.pdf".to_owned(),
        document: format!("document {MARKUP}"),
    })
    .await;
    let url = &seeded.exchange.hub.url;
    let browser = Browser::start().await;
    let token = seeded.us.api.bearer_token();
    browser.sign_in(url, &token, &seeded.page("now")).await;
    let shown = std::cell::RefCell::new(String::new());
    // A failed call shows the receiver's answer.
    for section in SECTIONS.into_iter().chain(["deliveries?status=deferred"]) {
        let check = async |name: &str| {
            let made = browser.run(FIND_MADE, vec![]).await;
            assert_eq!(made, json!([]), "{name}");
            let text = browser.text().await;
            shown.borrow_mut().push_str(&text);
        };
        browser.crawl(url, &seeded.page(section), check).await;
        browser.assert_no_errors().await;
    }
    for (list, opened) in [
        ("documents?folder=drafts", row("draft")),
        ("calls", row("answered")),
    ] {
        browser.open(&format!("{url}{}", seeded.page(list))).await;
        browser.click(&format!("{opened}//a")).await;
        // Both show the name of a file.
        browser
            .find("//main//*[contains(text(), 'file <img src=x onerror=alert(3)>')]")
            .await;
        let made = browser.run(FIND_MADE, vec![]).await;
        assert_eq!(made, json!([]), "{list}");
    }
    let shown = shown.into_inner();
    for kind in ["company", "script", "line", "answer", "document"] {
        let text = format!("{kind} {MARKUP}");
        assert!(shown.contains(&text), "no page shows {text}");
    }
    browser.end().await;
}
