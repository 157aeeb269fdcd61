//! Chromium with a profile of its own, and its driver. Both end with the test.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use fantoccini::{
    Client, ClientBuilder, Locator,
    actions::{InputSource as _, KeyAction, KeyActions},
    elements::Element,
    error::{CmdError, ErrorStatus},
    key::Key,
    wd::{PrintConfiguration, WebDriverCompatibleCommand, WindowHandle},
};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    hub::{Hub, WAIT_TIMEOUT, eventually},
    server_process::children,
};

/// The width of a window in which pages have room, and of a telephone.
pub(crate) const WIDE: u32 = 1280;
pub(crate) const NARROW: u32 = 390;
const HEIGHT: u32 = 900;
/// The folder of downloads in a profile.
const DOWNLOADS: &str = "downloads";
/// The step of the server's clock between two looks. Consoles are told of changes once in a second of that clock.
const STEP: Duration = Duration::from_millis(50);
/// The pause between two looks at a page.
const POLL: Duration = Duration::from_millis(20);

/// The driver of a browser. Dropping it kills the driver and all processes of the browser.
struct Driver {
    process: Child,
    url: String,
}

impl Driver {
    /// Starts a driver. One that finds no free port ends at once, and another one is started.
    fn start() -> Self {
        let driver = (0..5).find_map(|_| Self::try_start());
        driver.expect("a driver that names its port")
    }

    fn try_start() -> Option<Self> {
        let program = setting("PRICHAL_TEST_CHROMEDRIVER");
        let mut process = Command::new(program)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the driver starts");
        let output = process.stdout.take().expect("its output");
        let mut lines = BufReader::new(output).lines();
        let port = lines.find_map(|line| {
            let line = line.expect("text");
            let (_, port) = line.split_once("started successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        let Some(port) = port else {
            let _ = process.wait();
            return None;
        };
        Some(Self {
            process,
            url: format!("http://127.0.0.1:{port}"),
        })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let mut processes = vec![self.process.id()];
        let mut next = 0;
        while let Some(id) = processes.get(next) {
            processes.extend(children(*id));
            next += 1;
        }
        for id in processes {
            let id = i32::try_from(id)
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            let _ = rustix::process::kill_process(
                id.expect("a process id"),
                rustix::process::Signal::KILL,
            );
        }
        let _ = self.process.wait();
    }
}

/// The value of a variable that `./test` sets.
pub(crate) fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; ./test sets it"))
}

/// A browser with one window at first.
pub(crate) struct Browser {
    pub(crate) client: Client,
    _driver: Driver,
    profile: tempfile::TempDir,
    /// Set by [`Browser::end`].
    has_ended: bool,
}

impl Drop for Browser {
    fn drop(&mut self) {
        assert!(
            self.has_ended || std::thread::panicking(),
            "the test did not call `end`, which looks at the console's errors"
        );
    }
}

/// A command of chromedriver that is not in the standard.
#[derive(Debug)]
struct DriverCommand {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for DriverCommand {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        let session = session.unwrap_or_default();
        base.join(&format!("session/{session}/{}", self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// The text of a PDF, without line breaks and spaces, which depend on its layout.
pub(crate) fn pdf_text(pdf: &[u8]) -> String {
    let document = lopdf::Document::load_mem(pdf).expect("a PDF");
    let pages: Vec<u32> = document.get_pages().into_keys().collect();
    let text = document.extract_text(&pages).expect("its text");
    text.split_whitespace().collect()
}

/// True if a click missed an element that is being moved or replaced.
fn is_moving(error: &CmdError) -> bool {
    let is_intercepted = matches!(error, CmdError::Standard(error) if error.error == ErrorStatus::ElementClickIntercepted);
    is_intercepted || error.is_stale_element_reference() || error.is_element_not_interactable()
}

impl Browser {
    /// A browser whose reader prefers English.
    pub(crate) async fn start() -> Self {
        Self::in_language("en").await
    }

    pub(crate) async fn in_language(language: &str) -> Self {
        Self::with(language, &[]).await
    }

    /// A browser for which this program, with a certificate of its own, is the computer's signing program.
    pub(crate) async fn with_signing_program(port: u16) -> Self {
        let rules = format!("MAP 127.0.0.1:13579 127.0.0.1:{port}");
        let rules = format!("--host-resolver-rules={rules}");
        Self::with("en", &[&rules, "--ignore-certificate-errors"]).await
    }

    async fn with(language: &str, more: &[&str]) -> Self {
        let driver = Driver::start();
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut arguments = vec![
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--no-first-run",
            "--no-proxy-server",
            "--disable-background-networking",
            "--disable-component-update",
            // The same pixels everywhere.
            "--force-color-profile=srgb",
            "--font-render-hinting=none",
            "--hide-scrollbars",
        ];
        let size = format!("--window-size={WIDE},{HEIGHT}");
        let folder = format!("--user-data-dir={}", profile.path().display());
        arguments.extend([&*size, &*folder]);
        arguments.extend(more);
        let preferences = json!({ "intl.accept_languages": language });
        let capabilities = json!({
            "browserName": "chrome",
            // In milliseconds: axe-core takes its time on a loaded machine.
            "timeouts": { "script": 90_000, "pageLoad": 60_000 },
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": arguments, "prefs": preferences },
        });
        let Value::Object(capabilities) = capabilities else {
            unreachable!("it is an object");
        };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&driver.url)
            .await
            .expect("the browser starts");
        let browser = Self {
            client,
            _driver: driver,
            profile,
            has_ended: false,
        };
        let downloads = json!({ "behavior": "allow", "downloadPath": browser.downloads() });
        browser
            .devtools("Browser.setDownloadBehavior", downloads)
            .await;
        browser.resize(WIDE).await;
        browser
    }

    /// The folder of downloaded files.
    fn downloads(&self) -> PathBuf {
        self.profile.path().join(DOWNLOADS)
    }

    /// A downloaded file with this ending, waited for.
    pub(crate) async fn downloaded(&self, ending: &str) -> PathBuf {
        eventually("the file is downloaded", || async {
            let files = std::fs::read_dir(self.downloads()).ok()?;
            let mut paths = files.filter_map(|file| Some(file.ok()?.path()));
            // Chromium holds the name by an empty file until the download is complete.
            let is_whole = |path: &PathBuf| path.metadata().is_ok_and(|file| file.len() > 0);
            paths.find(|path| path.extension().is_some_and(|end| end == ending) && is_whole(path))
        })
        .await
    }

    /// Ends the browser, after a look at the errors in its console. Each test ends with it.
    pub(crate) async fn end(mut self) {
        self.assert_no_errors().await;
        self.has_ended = true;
    }

    pub(crate) async fn open(&self, url: &str) {
        self.client.goto(url).await.expect("the page opens");
    }

    /// The path of the page, with its query.
    pub(crate) async fn path(&self) -> String {
        let url = self.client.current_url().await.expect("an address");
        url[url::Position::BeforePath..].to_owned()
    }

    /// Waits for a page whose path, with its query, passes.
    pub(crate) async fn wait_for_path(&self, what: &str, passes: impl Fn(&str) -> bool) {
        eventually(what, || async { passes(&self.path().await).then_some(()) }).await;
    }

    /// The first element that an XPath finds, waited for.
    pub(crate) async fn find(&self, path: &str) -> Element {
        let wait = self.client.wait().at_most(WAIT_TIMEOUT).every(POLL);
        match wait.for_element(Locator::XPath(path)).await {
            Ok(element) => element,
            Err(CmdError::WaitTimeout) => {
                let page = self.text().await;
                panic!("{} has no {path}:\n{page}", self.path().await)
            }
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// The same for what comes by itself: the server's clock goes on meanwhile.
    pub(crate) async fn find_live(&self, hub: &Hub, path: &str) -> Element {
        hub.advance_until(STEP, self.find(path)).await
    }

    /// The number of elements that an XPath finds now.
    pub(crate) async fn count(&self, path: &str) -> usize {
        let found = self.client.find_all(Locator::XPath(path)).await;
        found.expect("an XPath").len()
    }

    /// Waits until an XPath finds nothing.
    pub(crate) async fn wait_until_gone(&self, path: &str) {
        eventually(&format!("{path} is gone"), || async {
            (self.count(path).await == 0).then_some(())
        })
        .await;
    }

    /// Clicks what an XPath finds. An element that is replaced meanwhile is looked up again.
    pub(crate) async fn click(&self, path: &str) {
        let started = Instant::now();
        loop {
            match self.find(path).await.click().await {
                Ok(()) => return,
                Err(error) if is_moving(&error) && started.elapsed() < WAIT_TIMEOUT => {}
                Err(error) => panic!("{path} cannot be clicked: {error}"),
            }
        }
    }

    /// Writes into the field that an XPath finds, in the place of its value.
    pub(crate) async fn fill(&self, path: &str, value: &str) {
        let field = self.find(path).await;
        field.clear().await.expect("it can be cleared");
        field.send_keys(value).await.expect("it takes keys");
    }

    /// Chooses the files of a field, whatever field it looks like.
    pub(crate) async fn choose_file(&self, path: &str, file: &std::path::Path) {
        let file = file.to_str().expect("a path in UTF-8");
        let field = self.find(path).await;
        field.send_keys(file).await.expect("it takes a file");
    }

    /// The text of the page as a reader sees it.
    pub(crate) async fn text(&self) -> String {
        let text = self.run("return document.body.innerText", vec![]).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page shows a text.
    pub(crate) async fn wait_for_text(&self, text: &str) {
        let started = Instant::now();
        loop {
            let shown = self.text().await;
            if shown.contains(text) {
                return;
            }
            let path = self.path().await;
            assert!(
                started.elapsed() < WAIT_TIMEOUT,
                "{path} does not show {text:?}:\n{shown}"
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Runs the body of a function in the page, and returns its result.
    pub(crate) async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        let result = self.client.execute(script, arguments).await;
        result.unwrap_or_else(|error| panic!("{error}: {script}"))
    }

    /// Presses and releases the keys one after the other, wherever the focus is.
    pub(crate) async fn press(&self, keys: &str) {
        let mut actions = KeyActions::new("keyboard".to_owned());
        for value in keys.chars() {
            actions = actions.then(KeyAction::Down { value });
            actions = actions.then(KeyAction::Up { value });
        }
        let pressed = self.client.perform_actions(actions).await;
        pressed.expect("the keys are pressed");
    }

    pub(crate) async fn press_key(&self, key: Key) {
        self.press(&char::from(key).to_string()).await;
    }

    /// Opens a tab and enters it.
    pub(crate) async fn open_tab(&self, url: &str) -> WindowHandle {
        let tab = self.client.new_window(true).await.expect("a new tab");
        self.enter(&tab.handle).await;
        self.open(url).await;
        tab.handle
    }

    /// The tab that is entered.
    pub(crate) async fn tab(&self) -> WindowHandle {
        self.client.window().await.expect("a tab")
    }

    pub(crate) async fn enter(&self, tab: &WindowHandle) {
        let entered = self.client.switch_to_window(tab.clone()).await;
        entered.expect("the tab is there");
    }

    /// Sends a command of the Chrome DevTools Protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let command = DriverCommand {
            path: "goog/cdp/execute",
            body: json!({ "cmd": command, "params": parameters }),
        };
        self.client.issue_cmd(command).await.expect("it is done")
    }

    /// Gives the page this width.
    pub(crate) async fn resize(&self, width: u32) {
        let size =
            json!({ "width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size)
            .await;
    }

    /// Makes the system wish for `light` or `dark` colours.
    pub(crate) async fn set_colour_scheme(&self, scheme: &str) {
        let wish = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", wish).await;
    }

    /// The text of the page as it is printed, on paper or into a PDF.
    pub(crate) async fn printed(&self) -> String {
        let paper = PrintConfiguration::default();
        pdf_text(&self.client.print(paper).await.expect("it is printed"))
    }

    /// The console's entries since the last look: errors of scripts, violations of the CSP, answers with a failure.
    pub(crate) async fn take_log(&self) -> Vec<String> {
        let command = DriverCommand {
            path: "se/log",
            body: json!({ "type": "browser" }),
        };
        let entries = self.client.issue_cmd(command).await.expect("a log");
        let entries = entries.as_array().expect("a list").clone();
        let line = |entry: &Value| {
            format!(
                "{} {} {}",
                entry["level"], entry["source"], entry["message"]
            )
        };
        entries.iter().map(line).collect()
    }

    /// Takes entries that the test may have caused. Fails if there is one without this text.
    pub(crate) async fn allow_errors(&self, text: &str) {
        let faults = self.take_faults().await;
        let are_allowed = faults.iter().all(|line| line.contains(text));
        assert!(are_allowed, "{text} in {faults:#?}");
    }

    /// Takes entries that the test has caused, such as answers with a failure. Fails if there is none with this text, or
    /// another one.
    pub(crate) async fn expect_errors(&self, text: &str) {
        let faults = self.take_faults().await;
        let is_expected = !faults.is_empty() && faults.iter().all(|line| line.contains(text));
        assert!(is_expected, "{text} in {faults:#?}");
    }

    /// Fails if the console has had an error or a warning since the last look.
    pub(crate) async fn assert_no_errors(&self) {
        let faults = self.take_faults().await;
        assert!(faults.is_empty(), "the browser's console: {faults:#?}");
    }

    /// The errors and warnings of the console since the last look.
    async fn take_faults(&self) -> Vec<String> {
        let mut log = self.take_log().await;
        log.retain(|line| !line.starts_with("\"INFO\"") && !line.starts_with("\"DEBUG\""));
        log
    }
}
