//! The images of the documentation: `PRICHAL_WRITE_DOCS=1 scripts/browser documentation` makes them anew.

use std::{fs, path::Path, sync::Mutex};

use crate::{
    browser::Browser,
    harness::hub::eventually,
    seed::{Seeded, Texts},
    select::row,
};

/// The size of an image in pixels, and its maximum in bytes.
const WIDTH: u32 = 1200;
const MAX_HEIGHT: u32 = 800;
const MAX_BYTES: usize = 150_000;
/// The minimum number of bytes of the image of a viewer that has drawn its file. An empty one is of two colours.
const MIN_DRAWN_BYTES: usize = 8000;

/// Waits until the browser's viewer of files has drawn the file. It tells nobody, so its image has to stay the same.
async fn wait_for_file(browser: &Browser) {
    let last = Mutex::new(Vec::new());
    eventually("the file is drawn", || async {
        let viewer = browser.find("//object").await;
        let image = viewer.screenshot().await.expect("an image");
        let mut last = last.lock().expect("the last image");
        let is_drawn = image.len() > MIN_DRAWN_BYTES && *last == image;
        *last = image;
        is_drawn.then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs Chromium; ./test has it"]
async fn images_of_the_console() {
    let writes = std::env::var_os("PRICHAL_WRITE_DOCS").is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/images");
    let seeded = Seeded::new(&Texts::default()).await;
    let url = &seeded.exchange.hub.url;
    let browser = Browser::start().await;
    browser.resize(WIDTH).await;
    let start = seeded.page("now");
    browser
        .sign_in(url, &seeded.us.api.bearer_token(), &start)
        .await;
    let pages = [
        ("console-now", "now", None),
        (
            "console-delivery",
            "deliveries",
            Some(row("will be retried")),
        ),
        ("console-call", "calls", Some(row("Horns and Hooves"))),
        (
            "console-document",
            "documents?folder=finished",
            Some(row("17/1")),
        ),
    ];
    for (name, page, opened) in pages {
        browser.open(&format!("{url}{}", seeded.page(page))).await;
        if let Some(row) = opened {
            browser.click(&format!("{row}//a")).await;
            browser.find("//main//dl").await;
        }
        if browser.count("//object").await > 0 {
            wait_for_file(&browser).await;
        }
        let image = browser.screenshot(WIDTH, MAX_HEIGHT).await;
        assert!(image.len() < MAX_BYTES, "{name} has {} bytes", image.len());
        let file = folder.join(name).with_extension("png");
        if writes {
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(&file, image).expect("it is written");
        }
        assert!(file.exists(), "{}", file.display());
    }
    browser.end().await;
}
