//! The look at a page that every page has to pass: accessible by the rules of axe-core, quiet in the console, without
//! a scroll bar to the side on a telephone. It keeps screenshots in `target/console-screenshots/`.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::browser::{Browser, NARROW, WIDE, setting};

static AXE: LazyLock<String> = LazyLock::new(|| {
    let file = setting("PRICHAL_TEST_AXE");
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"))
});

/// Runs axe-core and calls back with its findings, each with the elements that it is about.
const RUN_AXE: &str = "
const done = arguments[arguments.length - 1];
const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
axe.run(document, { runOnly: { type: 'tag', values: tags }, resultTypes: ['violations'] }).then(
  ({ violations }) => done(violations.map(({ id, help, nodes }) =>
    `${id}: ${help}: ${nodes.slice(0, 5).map(({ html, any }) =>
      `${html.slice(0, 200)} ${any.map(({ message }) => message).join(' ')}`).join(' | ')}`)),
  (error) => done([String(error)]));
";

/// The width that does not fit, with the first elements that are too wide for the page. What scrolls by itself fits.
const FIND_OVERFLOW: &str = "
const root = document.documentElement;
const width = root.clientWidth;
if (root.scrollWidth <= width) return [];
const scrolls = (one) => one !== root && one !== document.body && getComputedStyle(one).overflowX !== 'visible';
const isInside = (one) => one && (scrolls(one) || isInside(one.parentElement));
const wide = [...document.body.querySelectorAll('*')]
  .filter((one) => one.getBoundingClientRect().right > width + 1 && !isInside(one.parentElement));
return [`${root.scrollWidth} px are wider than ${width} px`,
  ...wide.slice(0, 5).map((one) => one.outerHTML.slice(0, 200))];
";

/// The screenshots are beside the folder that Cargo gives to these tests.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("console-screenshots")
}

impl Browser {
    /// Looks at the page that is open: light, dark, and on a telephone. Keeps the screenshots under this name.
    pub(crate) async fn inspect(&self, name: &str) {
        self.view(name).await;
        self.assert_no_errors().await;
    }

    /// The same for a page that may log errors.
    pub(crate) async fn view(&self, name: &str) {
        let mut findings = Vec::new();
        for (view, scheme, width) in [
            ("light", "light", WIDE),
            ("dark", "dark", WIDE),
            ("narrow", "light", NARROW),
        ] {
            self.set_colour_scheme(scheme).await;
            self.resize(width).await;
            self.save_screenshot(&format!("{name}-{view}"), width).await;
            let found = self.find_faults().await;
            findings.extend(found.iter().map(|one| format!("{view}: {one}")));
        }
        self.set_colour_scheme("light").await;
        self.resize(WIDE).await;
        let path = self.path().await;
        assert!(findings.is_empty(), "{name}, {path}: {findings:#?}");
    }

    /// The findings of axe-core, and elements beyond the page's width.
    pub(crate) async fn find_faults(&self) -> Vec<String> {
        self.run(&AXE, vec![]).await;
        let found = self.client.execute_async(RUN_AXE, vec![]).await;
        let found = found.expect("axe-core runs");
        let overflow = self.run(FIND_OVERFLOW, vec![]).await;
        let lists = [found, overflow];
        let lines = lists.iter().filter_map(Value::as_array).flatten();
        lines
            .map(|line| line.as_str().unwrap_or_default().to_owned())
            .collect()
    }

    async fn save_screenshot(&self, name: &str, width: u32) {
        let folder = folder();
        fs::create_dir_all(&folder).expect("a folder");
        let image = self.screenshot(width, MAX_HEIGHT).await;
        fs::write(folder.join(name).with_extension("png"), image).expect("it is written");
    }

    /// The whole page as a PNG, down to a height.
    pub(crate) async fn screenshot(&self, width: u32, max_height: u32) -> Vec<u8> {
        // A sticky element stays at the top of the image.
        let measure = "scrollTo(0, 0); return document.documentElement.scrollHeight";
        let height = self.run(measure, vec![]).await;
        let height = height.as_u64().expect("a height").min(max_height.into());
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let wish = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let image = self.devtools("Page.captureScreenshot", wish).await;
        let image = image["data"].as_str().expect("an image");
        STANDARD.decode(image).expect("base64")
    }
}

/// The height in pixels at which screenshots of long pages end.
const MAX_HEIGHT: u32 = 4000;
