//! The pages that each role is led to: none is refused, and all are quiet.

use serde_json::json;

use crate::{
    browser::Browser,
    seed::{Seeded, Texts},
    sign_in::link,
};

/// The addresses of the menu.
const SECTIONS: &str =
    "return [...document.querySelectorAll('nav.sections a')].map((link) => link.pathname)";

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn each_role_sees_what_its_menu_offers() {
    let seeded = Seeded::new(&Texts::default()).await;
    let hub = &seeded.exchange.hub;
    let installed = seeded.space.get("/integrations?limit=100").await.ok();
    let installed = installed["items"].as_array().expect("items").iter();
    let own = installed
        .filter(|one| one["name"] == "crm")
        .map(|one| one["id"].clone());
    let own: Vec<_> = own.collect();
    for (role, who, hidden) in [
        ("viewer", json!({ "role": "viewer" }), "New channel"),
        (
            "integrator",
            json!({ "role": "integrator", "integrations": own }),
            "warehouse",
        ),
        (
            "employee",
            json!({ "userId": seeded.us.employee }),
            "Show the secrets",
        ),
    ] {
        let browser = Browser::start().await;
        let mut body = who;
        body["workspace"] = json!(seeded.us.name);
        browser.open(&link(hub, body).await).await;
        let home = format!("/console/{}", seeded.us.name);
        browser
            .wait_for_path("a page of the workspace", |path| path.starts_with(&home))
            .await;
        let sections = browser.run(SECTIONS, vec![]).await;
        let sections = sections.as_array().expect("a list").clone();
        assert!(!sections.is_empty(), "{role}");
        for section in sections {
            let section = section.as_str().expect("a path");
            let check = async |name: &str| {
                // A link that leads to a refusal is an error in the browser's log.
                browser.assert_no_errors().await;
                let faults = browser.find_faults().await;
                assert!(faults.is_empty(), "{role}, {name}: {faults:#?}");
                let text = browser.text().await;
                assert!(!text.contains(hidden), "{role}, {name}: {text}");
            };
            browser.crawl(&hub.url, section, check).await;
        }
        browser.end().await;
    }
}
