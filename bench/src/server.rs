//! A Prichal server as a child process, and the set-up of a drill over HTTP.

mod console;
mod hooks;

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    cleanup::{Cleanup, CleanupGuard},
    client::Api,
    clock,
    database::Engine,
    lab::Lab,
    load::{self, Load},
    sink::Sink,
    stamp::Template,
};

pub use console::Browser;
pub use hooks::{LogPage, Receiver, Resend};

/// The body of one entity, and its whole length.
const ENTITY: &str = r#"{"name":"bench","customFields":{{payload}}}"#;
pub const ENTITY_BYTES: usize = 500;

/// The start of a call. Unknown members are ignored, so the stamp has a member of its own.
const CALL: &str = r#"{"timestamp":"2026-01-01T00:00:00Z","externalId":"{{name}}","externalVatsPhone":"79229929292","clientPhone":"79997775533","direction":"inbound","bench":{{payload}}}"#;

const START_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
const NO_ID: &str = "00000000-0000-0000-0000-000000000000";

/// The parts of a server that outlive its process: data and admin token.
pub struct Home {
    program: PathBuf,
    folder: PathBuf,
    database_url: Option<String>,
    token: String,
    postgres: Option<u32>,
    cleanup: Cleanup,
    // Dropped in this order: the database before the folder.
    _database: Option<CleanupGuard>,
    _folder: CleanupGuard,
}

impl Home {
    /// Creates an empty home that is removed with the result.
    pub fn new(lab: &Lab, engine: &Engine) -> Result<Self> {
        let folder = lab.folder.join(format!("data-{}", lab.next_run()));
        fs::create_dir_all(&folder)
            .with_context(|| format!("creating the folder {}", folder.display()))?;
        let removed = folder.clone();
        let guard = lab.cleanup.defer(move || {
            if let Err(error) = fs::remove_dir_all(&removed) {
                eprintln!("removing {}: {error}", removed.display());
            }
        });
        let (url, database, postgres) = match engine {
            Engine::Sqlite => (None, None, None),
            Engine::Postgres(server) => {
                let (name, guard) = server.create(&lab.cleanup)?;
                (Some(server.url(&name)), Some(guard), server.pid)
            }
        };
        Ok(Self {
            program: lab.program.clone(),
            folder,
            database_url: url,
            token: format!("bench-{:016x}{:016x}", clock::now_ns(), std::process::id()),
            postgres,
            cleanup: lab.cleanup.clone(),
            _database: database,
            _folder: guard,
        })
    }

    pub fn database_url(&self) -> Option<&str> {
        self.database_url.as_deref()
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a server on this data and waits until it is ready.
    pub fn start(&self) -> Result<Server> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let log = self.folder.join("server.log");
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(&self.program);
        command
            .args(["serve", "--listen", &address, "--admin-token", &self.token])
            .args([
                "--allow-private-targets",
                "true",
                "--rate-limit",
                "0",
                "--connections-per-address",
                "0",
                "--data-dir",
            ])
            .arg(self.folder.join("prichal-data"))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        if let Some(url) = &self.database_url {
            command.args(["--database-url", url]);
        }
        // The caller's settings for another server do not apply to this one.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PRICHAL_") {
                command.env_remove(name);
            }
        }
        let started_ns = clock::now_ns();
        let child = command
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        let pid = child.id();
        let child = Arc::new(Mutex::new(child));
        let killed = child.clone();
        let guard = self.cleanup.defer(move || {
            let mut child = killed.lock().expect("no thread panics while holding it");
            // Both fail only if the process has ended already.
            let _ = child.kill();
            let _ = child.wait();
        });
        let server = Server {
            child,
            pid,
            postgres: self.postgres,
            address,
            token: self.token.clone(),
            log,
            started_ns,
            _guard: guard,
        };
        server.wait_until_ready()?;
        Ok(server)
    }
}

/// A running server. It is killed on drop.
pub struct Server {
    child: Arc<Mutex<Child>>,
    pub pid: u32,
    postgres: Option<u32>,
    pub address: String,
    token: String,
    log: PathBuf,
    pub started_ns: u64,
    _guard: CleanupGuard,
}

impl Server {
    /// The process ids of the server and, if known, of the database server.
    pub fn processes(&self) -> Vec<u32> {
        let mut pids = vec![self.pid];
        pids.extend(self.postgres);
        pids
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(self) -> Result<()> {
        let mut child = self
            .child
            .lock()
            .expect("no thread panics while holding it");
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Sends SIGTERM and waits for the end, which must be successful.
    pub fn stop(self) -> Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        kill_process(pid.context("the server has no process id")?, Signal::TERM)?;
        let end = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < end {
            if let Some(status) = self.ended()? {
                ensure!(
                    status.success(),
                    "on SIGTERM the server ended with {status}\n{}",
                    self.log_tail()
                );
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!(
            "the server did not end within {STOP_TIMEOUT:?} after SIGTERM\n{}",
            self.log_tail()
        )
    }

    /// Adds the end of the server's log to an error.
    pub fn explain<T>(&self, result: Result<T>) -> Result<T> {
        result.with_context(|| format!("the end of the server's log:\n{}", self.log_tail()))
    }

    fn ended(&self) -> Result<Option<std::process::ExitStatus>> {
        let mut child = self
            .child
            .lock()
            .expect("no thread panics while holding it");
        Ok(child.try_wait()?)
    }

    fn wait_until_ready(&self) -> Result<()> {
        let mut api = Api::new(&self.address, &self.token)?;
        let end = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(status) = self.ended()? {
                bail!(
                    "the server ended at once with {status}:\n{}",
                    self.log_tail()
                );
            }
            match api.call(&Method::GET, "/readyz", Bytes::new()) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() >= end => {
                    let error =
                        error.context(format!("the server was not ready within {START_TIMEOUT:?}"));
                    return self.explain(Err(error));
                }
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Creates a workspace and a token for it.
    pub fn workspace(&self, name: &str) -> Result<Workspace> {
        self.explain(self.make_workspace(name, &json!({ "name": name })))
            .with_context(|| format!("creating the workspace {name}"))
    }

    /// Creates a workspace of a company that exchanges documents, with one employee.
    pub fn company(&self, name: &str) -> Result<Workspace> {
        let body = json!({ "name": name, "bin": "971240001315" });
        let mut workspace = self.explain(self.make_workspace(name, &body))?;
        let user = json!({ "login": "head", "isAdmin": true });
        let path = workspace.path("users");
        let user = workspace.api.post(&path, &user)?;
        workspace.employee = user["id"].as_str().map(str::to_owned);
        Ok(workspace)
    }

    fn make_workspace(&self, name: &str, body: &Value) -> Result<Workspace> {
        let mut admin = Api::new(&self.address, &self.token)?;
        admin.post("/admin/v1/workspaces", body)?;
        self.open(name, &self.make_token(name)?)
    }

    /// Makes a token of an administrator of a workspace.
    pub fn make_token(&self, workspace: &str) -> Result<String> {
        let mut admin = Api::new(&self.address, &self.token)?;
        let path = format!("/admin/v1/workspaces/{workspace}/tokens");
        let token = admin.post(&path, &json!({ "name": "bench", "role": "admin" }))?;
        let token = token["token"].as_str();
        Ok(token.context("the answer has no token")?.to_owned())
    }

    /// Opens a workspace that an earlier process created on the same data.
    pub fn open(&self, name: &str, token: &str) -> Result<Workspace> {
        Ok(Workspace {
            name: name.into(),
            token: token.into(),
            address: self.address.clone(),
            api: Api::new(&self.address, token)?,
            quiet: 0,
            employee: None,
        })
    }
}

/// A workspace of a running server, with an administrator's token.
pub struct Workspace {
    pub name: String,
    pub token: String,
    address: String,
    api: Api,
    /// The number of webhooks that do not match the posted events.
    quiet: usize,
    /// The employee that creates documents.
    employee: Option<String>,
}

/// A channel with a script.
pub struct Channel {
    pub token: String,
}

/// A page of the feed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    pub items: Vec<Box<RawValue>>,
    pub last_offset: String,
    pub has_more: bool,
}

impl Workspace {
    /// Installs the integration of an exchange and returns its access key.
    pub fn exchange(&mut self, sink: &Sink) -> Result<String> {
        let id = self.install("bench.exchange", sink)?;
        let path = self.path(&format!("integrations/{id}/api-key"));
        let key = self.api.post(&path, &json!({}))?;
        let key = key["apiKey"]
            .as_str()
            .context("the answer has no API key")?;
        let mut api = Api::with(&self.address, "x-xcom-integration-apikey", key)?;
        let path = "/api/v1/authorization/authorize-private-integration";
        let answer = api.post(path, &json!({}))?;
        let key = answer["accessKey"].as_str();
        Ok(key.context("the answer has no access key")?.to_owned())
    }

    /// A load of new calls.
    pub fn calls(&self, key: &str, run: u32, connections: usize, time: Duration) -> Result<Load> {
        let mut headers = load::headers(&self.address, None)?;
        headers.insert("x-xcom-accesskey", key.parse()?);
        Ok(Load {
            path: self.path("communications/callbacks/telephony/call-started"),
            headers,
            body: Template::new(CALL, ENTITY_BYTES)?,
            ..load_to(self.address.clone(), run, connections, time)?
        })
    }

    /// Creates contacts from number `first` on, each with a phone of its own: see [`phone`].
    pub fn create_contacts(&mut self, first: u64, count: u64) -> Result<()> {
        let item =
            |n| json!({ "name": "bench", "phones": [{ "type": "work", "value": phone(n) }] });
        let items: Vec<Value> = (first..first + count).map(item).collect();
        let body = json!({ "items": items });
        self.api.post(&self.path("contacts/create"), &body)?;
        Ok(())
    }

    /// Returns the nanoseconds until the responsible user of contact `n` is known from the phone.
    pub fn time_redirect(&self, api: &mut Api, n: u64) -> Result<u64> {
        let path = format!(
            "communications/callbacks/telephony/call-redirect?phoneNumber={}",
            phone(n)
        );
        let path = self.path(&path);
        let begun_ns = clock::now_ns();
        api.call(&Method::GET, &path, Bytes::new())?;
        Ok(clock::now_ns() - begun_ns)
    }

    /// Creates a channel whose script answers. With `waits`, its hooks wait for the answer.
    pub fn channel(&mut self, code: &str, waits: bool) -> Result<Channel> {
        let source = "respond(200, {}, {name: request.body.name})";
        self.script(code, source)?;
        let opts = json!({ "issync": waits });
        let channel =
            json!({ "code": code, "type": "public", "recv_svcscriptcode": code, "opts": opts });
        let made = self
            .api
            .post("/rest/v1/service/integration_points", &channel)?;
        let token = made["token_local"].as_str();
        Ok(Channel {
            token: token.context("the answer has no token")?.to_owned(),
        })
    }

    /// A load of hooks.
    pub fn hooks(
        &self,
        channel: &Channel,
        run: u32,
        connections: usize,
        time: Duration,
    ) -> Result<Load> {
        Ok(Load {
            path: "/exec".into(),
            headers: load::headers(&self.address, Some(&channel.token))?,
            ..load_to(self.address.clone(), run, connections, time)?
        })
    }

    /// Waits until no run is queued.
    pub fn drain(&mut self, timeout: Duration) -> Result<()> {
        let path =
            "/rest/v1/service/svcscript_runtimes?limit=1&filter=%7B%22status%22%3A%22queued%22%7D";
        let end = Instant::now() + timeout;
        while self.api.get::<Value>(path)? != json!([]) {
            ensure!(
                Instant::now() < end,
                "runs are still queued after {timeout:?}"
            );
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Uploads an original of documents.
    pub fn upload_document(&mut self, contents: &[u8]) -> Result<String> {
        let head = "--bench\r\nContent-Disposition: form-data; name=\"documentContent\"; filename=\"a.pdf\"\r\n\r\n";
        let body = [head.as_bytes(), contents, b"\r\n--bench--\r\n"].concat();
        let kind = "multipart/form-data; boundary=bench";
        let path = "/api/v3/sync/blobs/document-content";
        let answer = self.api.send(&Method::POST, path, kind, body.into())?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let id = answer["response"]["blobId"].as_str();
        Ok(id.context("the answer has no blob")?.to_owned())
    }

    /// A load of documents, each created by its own call.
    pub fn documents(
        &self,
        blob: &str,
        run: u32,
        connections: usize,
        time: Duration,
    ) -> Result<Load> {
        let document = self.document(blob, "{{name}}", 1_600_000_000);
        // Unknown members are ignored, so the stamp has a member of its own.
        let text = document.to_string();
        let text = format!("{},\"bench\":{{{{payload}}}}}}", &text[..text.len() - 1]);
        Ok(Load {
            path: "/api/v3/sync/external/outbox/document/create".into(),
            headers: load::headers(&self.address, Some(&self.token))?,
            body: Template::new(&text, ENTITY_BYTES)?,
            ..load_to(self.address.clone(), run, connections, time)?
        })
    }

    fn document(&self, blob: &str, number: &str, date: u64) -> Value {
        json!({
            "documentMetadata": {
                "documentName": "bench", "documentNumber": number, "documentDate": date,
                "documentGroup": "Legal", "documentAuthorEmployeeId": self.employee,
            },
            "documentBinaryContents": [{ "blobId": blob }],
        })
    }

    /// Creates documents by one bulk call and waits until all of them are completed.
    pub fn bulk_documents(
        &mut self,
        blob: &str,
        count: u64,
        date: impl Fn(u64) -> u64,
        timeout: Duration,
    ) -> Result<()> {
        const CALL: &str = "/api/v3/async/bulk/external/outbox/document/create";
        let elements: Vec<Value> = (0..count)
            .map(|n| json!({ "data": self.document(blob, &n.to_string(), date(n)) }))
            .collect();
        let started = self.api.post(CALL, &json!({ "operations": elements }))?;
        let status = format!("{CALL}/status");
        let mut waiting = started["operations"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        ensure!(
            waiting.len() as u64 == count,
            "the call has {} elements",
            waiting.len()
        );
        let end = Instant::now() + timeout;
        while !waiting.is_empty() {
            ensure!(
                Instant::now() < end,
                "{} elements still wait",
                waiting.len()
            );
            // The last element is usually completed last. While it waits, the others are not queried.
            let few = if waiting.len() as u64 == count {
                1
            } else {
                1_000
            };
            let asked: Vec<Value> = waiting
                .iter()
                .rev()
                .take(few)
                .map(|one| json!({ "operationId": one["operationId"] }))
                .collect();
            let told = self.api.post(&status, &json!({ "operations": asked }))?;
            for one in told["operations"].as_array().into_iter().flatten() {
                match one["operationStatus"].as_str() {
                    Some("CompletedWithOk") => {
                        waiting.retain(|other| other["operationId"] != one["operationId"]);
                    }
                    Some("Created" | "InProcessing") => {}
                    _ => bail!("an element ended with {one}"),
                }
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Sends a POST and returns the nanoseconds until the whole answer, and the answer.
    pub fn time_post(&mut self, path: &str, body: &Value) -> Result<(u64, Bytes)> {
        let body = Bytes::from(body.to_string());
        let begun_ns = clock::now_ns();
        let answer = self.api.call(&Method::POST, path, body)?;
        Ok((clock::now_ns() - begun_ns, answer))
    }

    /// Reads from the workspace's API and returns the nanoseconds until the whole answer.
    pub fn time_get(&mut self, below: &str) -> Result<u64> {
        let path = self.path(below);
        self.time_path(&path)
    }

    /// Reads a path outside of the workspace's own, and returns the nanoseconds until the whole answer.
    pub fn time_path(&mut self, path: &str) -> Result<u64> {
        let begun_ns = clock::now_ns();
        self.api.call(&Method::GET, path, Bytes::new())?;
        Ok(clock::now_ns() - begun_ns)
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// A load of entities without an own bound.
    pub fn load(&self, run: u32, connections: usize, time: Duration) -> Result<Load> {
        Ok(Load {
            path: self.path("companies"),
            headers: load::headers(&self.address, Some(&self.token))?,
            ..load_to(self.address.clone(), run, connections, time)?
        })
    }

    /// Creates `count` companies in one call.
    pub fn create_batch(&mut self, run: u32, first: u64, count: u64) -> Result<()> {
        self.create_entities("companies", run, first, count)
    }

    /// Creates `count` entities of a collection in one call.
    pub fn create_entities(
        &mut self,
        collection: &str,
        run: u32,
        first: u64,
        count: u64,
    ) -> Result<()> {
        let template = Template::new(ENTITY, ENTITY_BYTES)?;
        let items: Vec<_> = (first..first + count)
            .map(|id| template.fill(run, id))
            .collect();
        let body = format!(r#"{{"items":[{}]}}"#, items.join(","));
        let path = self.path(&format!("{collection}/create"));
        self.api.call(&Method::POST, &path, body.into())?;
        Ok(())
    }

    pub fn page(&mut self, offset: &str, limit: u32) -> Result<Page> {
        self.api.get(&self.page_path(offset, limit))
    }

    /// Reads a page and returns the nanoseconds until the whole answer, and the answer's length.
    pub fn time_page(&mut self, offset: &str, limit: u32) -> Result<(u64, usize)> {
        let path = self.page_path(offset, limit);
        let begun_ns = clock::now_ns();
        let body = self.api.call(&Method::GET, &path, Bytes::new())?;
        Ok((clock::now_ns() - begun_ns, body.len()))
    }

    /// Reads the whole feed from its beginning in pages of a thousand.
    pub fn read_feed(&mut self, mut each: impl FnMut(&Page)) -> Result<()> {
        let mut offset = String::from(NO_ID);
        loop {
            let page = self.page(&offset, 1000)?;
            each(&page);
            if !page.has_more {
                return Ok(());
            }
            ensure!(
                page.last_offset != offset,
                "the feed has more after {offset}, and does not get on"
            );
            offset = page.last_offset;
        }
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/{}/{rest}", self.name)
    }

    fn page_path(&self, offset: &str, limit: u32) -> String {
        self.path(&format!("events?offset={offset}&limit={limit}"))
    }
}

/// The phone of contact `n`, as people write it.
fn phone(n: u64) -> String {
    format!("8{:010}", 9_000_000_000 + n)
}

/// A load of the same entities to any address, such as the sink's.
pub fn load_to(address: String, run: u32, connections: usize, time: Duration) -> Result<Load> {
    Ok(Load {
        path: "/hook".into(),
        headers: load::headers(&address, None)?,
        address,
        body: Template::new(ENTITY, ENTITY_BYTES)?,
        run,
        connections,
        rate: None,
        count: u64::MAX,
        time,
    })
}
