//! The console in a real browser: Chromium, driven over WebDriver, at the real server on the engine that
//! `PRICHAL_TEST_ENGINE` names. `scripts/browser` installs the browser, and names its driver in
//! `PRICHAL_TEST_CHROMEDRIVER` and axe-core in `PRICHAL_TEST_AXE`.

mod browser;
mod calls;
mod crawl;
mod deliveries;
mod documentation;
mod documents;
mod events;
#[path = "../it/harness/mod.rs"]
#[expect(dead_code, reason = "most of it serves the tests over HTTP")]
#[expect(
    clippy::needless_pass_by_value,
    reason = "JSON is written where it is passed"
)]
mod harness;
mod inspection;
mod integrations;
mod keyboard;
mod languages;
mod outage;
mod pages;
mod public_page;
mod roles;
mod scripts;
mod seed;
mod select;
mod self_test;
mod sign_in;
mod signing_program;
mod without_scripts;
