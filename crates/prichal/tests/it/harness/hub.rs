//! A real server to speak HTTP with: its own store, its own clock, a port of its own.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use prichal::{
    app::{self, App},
    config::Config,
    lifecycle,
    platform::clock::Clock,
};
use prichal_core::time::Timestamp;
use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::harness::description;

/// The longest wait for something that happens by itself.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(20);
/// The start of the tests' clocks: 2026-01-01.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

pub(crate) const ADMIN_TOKEN: &str = "an-admin-token-for-tests-of-the-hub";

/// Returns true if the tests run on PostgreSQL.
pub(crate) fn on_postgres() -> bool {
    std::env::var("PRICHAL_TEST_ENGINE").as_deref() == Ok("postgres")
}

/// Numbers the schemas of this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A database of its own for one test: a schema on the PostgreSQL server, or none for SQLite.
#[derive(Clone)]
pub(crate) struct Database(Option<String>);

impl Database {
    pub(crate) fn new() -> Self {
        if !on_postgres() {
            return Self(None);
        }
        let url =
            std::env::var("PRICHAL_TEST_POSTGRES").expect("PRICHAL_TEST_POSTGRES names a server");
        let schema = format!(
            "it_{}_{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let sql = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
        execute(&url, &sql);
        Self(Some(format!(
            "{url}?options=-csearch_path%3D{schema}&application_name={schema}"
        )))
    }

    pub(crate) fn url(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// Runs SQL beside the server. The client blocks, so it gets a thread of its own.
pub(crate) fn execute(url: &str, sql: &str) {
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let mut client =
                postgres::Client::connect(url, postgres::NoTls).expect("PostgreSQL answers");
            client.batch_execute(sql).expect("the statement runs");
        });
        run.join().expect("no panic");
    });
}

/// The clock, data directory, database and settings of a server. They survive it.
#[derive(Clone)]
pub(crate) struct Installation {
    pub(crate) clock: Clock,
    folder: Arc<tempfile::TempDir>,
    database: Database,
    change: Arc<dyn Fn(&mut Config) + Send + Sync>,
}

impl Installation {
    pub(crate) fn new(change: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        Self {
            clock: Clock::manual(START),
            folder: Arc::new(tempfile::tempdir().expect("a temporary folder")),
            database: Database::new(),
            change: Arc::new(change),
        }
    }

    /// The same store and clock for another node, in a data directory of its own.
    pub(crate) fn second_node(&self) -> Self {
        Self {
            folder: Arc::new(tempfile::tempdir().expect("a temporary folder")),
            ..self.clone()
        }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Runs SQL in the store of a server that is running.
    pub(crate) fn execute(&self, sql: &str) {
        if let Some(url) = self.database.url() {
            return execute(url, sql);
        }
        let file = self.data_dir().join("prichal.sqlite");
        let store = rusqlite::Connection::open(file).expect("the store opens");
        store.execute_batch(sql).expect("the statement runs");
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Config::for_data_dir(self.data_dir());
        config.database_url = self.database.url().map(Into::into);
        config.admin_token = Some(ADMIN_TOKEN.into());
        config.master_key = Some(prichal::config::MasterKey::new([42; 32]));
        config.allow_private_targets = true;
        config.script_worker = Some(env!("CARGO_BIN_EXE_prichal").into());
        (self.change)(&mut config);
        config
    }

    pub(crate) async fn start(&self) -> Hub {
        self.start_at("127.0.0.1:0").await
    }

    pub(crate) async fn start_at(&self, address: &str) -> Hub {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        // A killed server may still hold the data directory for a moment.
        let app = eventually("the server opens", || async {
            match app::open(self.config(), self.clock.clone()).await {
                Ok(app) => Some(app),
                Err(error) if format!("{error:#}").contains("in use") => None,
                Err(error) => panic!("the server opens: {error:#}"),
            }
        })
        .await;
        let stop = CancellationToken::new();
        let run = lifecycle::run(app.clone(), listener, stop.clone().cancelled_owned());
        Hub {
            installation: self.clone(),
            url,
            app,
            stop,
            running: Some(spawn(run)),
            client: client(),
        }
    }
}

/// The log lines of all servers of a test, from the creation of this value on.
pub(crate) struct CapturedLog {
    file: tempfile::NamedTempFile,
    _listening: tracing::subscriber::DefaultGuard,
}

impl CapturedLog {
    pub(crate) fn new() -> Self {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let lines = Mutex::new(file.reopen().expect("it opens again"));
        let log = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(lines)
            .finish();
        Self {
            file,
            _listening: tracing::subscriber::set_default(log),
        }
    }

    pub(crate) fn has(&self, words: &str) -> bool {
        self.count(&[words]) > 0
    }

    /// The number of lines that have all of these words.
    pub(crate) fn count(&self, words: &[&str]) -> usize {
        let text = std::fs::read_to_string(self.file.path()).expect("it can be read");
        let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
        text.lines().filter(has_all).count()
    }
}

/// A test that fails shows them.
impl Drop for CapturedLog {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = std::fs::read_to_string(self.file.path()).unwrap_or_default();
            eprintln!("the servers' log:\n{lines}");
        }
    }
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    client.timeout(WAIT_TIMEOUT).build().expect("a client")
}

pub(crate) struct Hub {
    pub(crate) installation: Installation,
    pub(crate) url: String,
    pub(crate) app: App,
    stop: CancellationToken,
    running: Option<JoinHandle<anyhow::Result<()>>>,
    client: reqwest::Client,
}

impl Hub {
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        Installation::new(change).start().await
    }

    /// Ends at once, as at SIGKILL.
    pub(crate) fn kill(mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }

    /// Stops as at SIGTERM.
    pub(crate) async fn stop(mut self) -> Installation {
        self.stop.cancel();
        let running = self.running.take().expect("it runs");
        running.await.expect("no panic").expect("a clean stop");
        self.installation.clone()
    }

    pub(crate) async fn restart(self) -> Self {
        self.stop().await.start().await
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.installation.clock.advance(by);
    }

    /// Moves the clock on, one step with each poll, until the work ends. For work that waits for the clock at a moment
    /// that the test cannot see.
    pub(crate) async fn advance_until<T>(
        &self,
        step: Duration,
        work: impl Future<Output = T>,
    ) -> T {
        let (started, mut work) = (Instant::now(), pin!(work));
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = next_poll() => self.advance(step),
            }
            assert!(started.elapsed() < WAIT_TIMEOUT, "the work does not end");
        }
    }

    pub(crate) fn anonymous(&self) -> Caller {
        Caller {
            client: self.client.clone(),
            base: self.url.clone(),
            headers: Vec::new(),
        }
    }

    pub(crate) fn admin(&self) -> Caller {
        self.anonymous().bearer(ADMIN_TOKEN)
    }

    /// A new workspace and an administrator of it, whose paths start behind `/api/v1/{name}`.
    pub(crate) async fn workspace(&self, name: &str) -> Caller {
        let made = self
            .admin()
            .post("/admin/v1/workspaces", json!({ "name": name }))
            .await;
        assert_eq!(made.status, 201, "{}", made.text);
        self.token(name, "admin").await
    }

    /// A caller with a new token of a workspace.
    pub(crate) async fn token(&self, workspace: &str, role: &str) -> Caller {
        self.token_with(workspace, json!({ "name": "test", "role": role }))
            .await
    }

    /// A caller with the new token of a user.
    pub(crate) async fn user_token(&self, workspace: &str, user: &str) -> Caller {
        let body = json!({ "name": "test", "role": "member", "userId": user });
        self.token_with(workspace, body).await
    }

    /// The operations that the description of the API names, as `GET /path`, of paths that begin like this.
    pub(crate) async fn operations(&self, prefixes: &[&str]) -> BTreeSet<String> {
        let api = self.anonymous().get("/docs/openapi.json").await.ok();
        let paths = api["paths"].as_object().expect("paths").iter();
        let ours = paths.filter(|(path, _)| prefixes.iter().any(|one| path.starts_with(one)));
        let verbs = ["get", "put", "post", "delete", "patch", "head"];
        ours.flat_map(|(path, item)| {
            let known = verbs.iter().filter(|verb| item.get(**verb).is_some());
            known.map(move |verb| format!("{} {path}", verb.to_uppercase()))
        })
        .collect()
    }

    pub(crate) async fn token_with(&self, workspace: &str, body: Value) -> Caller {
        let path = format!("/admin/v1/workspaces/{workspace}/tokens");
        let made = self.admin().post(&path, body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let mut caller = self
            .anonymous()
            .bearer(made["token"].as_str().expect("a token"));
        caller.base = format!("{}/api/v1/{workspace}", self.url);
        caller
    }

    /// The same caller at this server: after a restart, or at another node.
    pub(crate) fn adopt(&self, caller: &Caller) -> Caller {
        let path = caller
            .base
            .splitn(4, '/')
            .nth(3)
            .map(|path| format!("/{path}"))
            .unwrap_or_default();
        Caller {
            base: format!("{}{path}", self.url),
            ..caller.clone()
        }
    }
}

/// A client with a base address and headers, which include its credentials.
#[derive(Clone)]
pub(crate) struct Caller {
    client: reqwest::Client,
    pub(crate) base: String,
    headers: Vec<(String, String)>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Null if the body is not JSON.
    pub(crate) json: Value,
    pub(crate) text: String,
    pub(crate) bytes: Vec<u8>,
}

impl std::ops::Deref for Answer {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.json
    }
}

impl Answer {
    /// Returns the answer; fails unless its status is 200.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", self.text);
        self
    }

    #[track_caller]
    pub(crate) fn str(&self, member: &str) -> String {
        self.json[member]
            .as_str()
            .unwrap_or_else(|| panic!("`{member}` is no text in {}", self.text))
            .to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Caller {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn bearer(mut self, token: &str) -> Self {
        self.headers.retain(|(name, _)| name != "authorization");
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// The caller without a header.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// The token that the caller sends.
    pub(crate) fn bearer_token(&self) -> String {
        let sent = self
            .headers
            .iter()
            .find(|(name, _)| name == "authorization");
        let token = sent.and_then(|(_, value)| value.strip_prefix("Bearer "));
        token.expect("a token").to_owned()
    }

    /// The same place with an access key instead of a token.
    pub(crate) fn access_key(&self, key: &str) -> Self {
        Self {
            headers: Vec::new(),
            ..self.clone()
        }
        .header("x-xcom-accesskey", key)
    }

    /// The same caller with another base path.
    pub(crate) fn at(&self, path: &str) -> Self {
        let host: Vec<&str> = self.base.splitn(4, '/').take(3).collect();
        Self {
            base: format!("{}{path}", host.join("/")),
            ..self.clone()
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body.to_string().into_bytes()))
            .await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(body.to_string().into_bytes()))
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// A PATCH with these operations.
    pub(crate) async fn patch(&self, path: &str, operations: Value) -> Answer {
        let body = json!({ "operations": operations }).to_string();
        self.send(Method::PATCH, path, Some(body.into_bytes()))
            .await
    }

    /// A POST to a server that may die meanwhile: then there is no answer.
    pub(crate) async fn try_post(&self, path: &str, body: Value) -> Option<Answer> {
        self.try_send(Method::POST, path, Some(body.to_string().into_bytes()))
            .await
            .ok()
    }

    /// Sends a body as it is, as `application/json` unless the caller has another content type.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Answer {
        self.try_send(method, path, body)
            .await
            .expect("the server answers")
    }

    /// An answer that is read as it comes.
    pub(crate) async fn stream(&self, path: &str) -> reqwest::Response {
        let mut request = self.client.get(format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.send().await.expect("the server answers")
    }

    /// The same for a server that may die meanwhile.
    pub(crate) async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> reqwest::Result<Answer> {
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method.clone(), &url);
        let typed = self.headers.iter().any(|(name, _)| name == "content-type");
        if body.is_some() && !typed {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?.to_vec();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        let answer = Answer {
            status,
            headers,
            json,
            text,
            bytes,
        };
        description::check(&method, &url, &answer);
        Ok(answer)
    }
}

/// A caller without credentials at the server of another process.
pub(crate) fn anonymous_at(url: &str) -> Caller {
    Caller {
        client: client(),
        base: url.to_owned(),
        headers: Vec::new(),
    }
}

/// Runs a future beside the test, which awaits its end.
#[expect(
    clippy::disallowed_methods,
    reason = "tests end what they start by themselves"
)]
pub(crate) fn spawn<F>(work: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::task::spawn(work)
}

/// Polls until `ask` has an answer; fails with `what` after [`WAIT_TIMEOUT`].
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(
            started.elapsed() < WAIT_TIMEOUT,
            "this did not happen: {what}"
        );
        next_poll().await;
    }
}

/// The pause between two polls: the only real sleep of the tests.
async fn next_poll() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}
