//! The images of the documentation: `PRICHAL_WRITE_DOCS=1 scripts/browser documentation` makes them anew.

use std::{fs, path::Path, time::Duration};

use crate::{
    browser::Browser,
    seed::{Seeded, Texts},
    select::row,
};

/// The size of an image in pixels, and its maximum in bytes.
const WIDTH: u32 = 1200;
const MAX_HEIGHT: u32 = 800;
const MAX_BYTES: usize = 150_000;
/// The time that the browser's viewer of files may take.
const VIEWER_TIME: Duration = Duration::from_secs(3);

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
        if writes && browser.count("//iframe").await > 0 {
            // The viewer of a file tells nobody when it has drawn it.
            tokio::time::sleep(VIEWER_TIME).await;
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
