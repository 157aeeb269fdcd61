//! The demonstration's requests to its own server. They are those of an integrator: over HTTP, each with credentials.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

use crate::cli::client::{http, text};

/// The boundary of uploads. Contents are the demonstration's own and never have it.
const BOUNDARY: &str = "a-part-of-the-demonstration";

/// The pauses before a request without an answer is sent again.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// A holder of credentials at a part of the API.
#[derive(Clone)]
pub(super) struct Caller {
    http: reqwest::Client,
    url: String,
    /// The beginning of all paths.
    prefix: String,
    /// The header with the credentials: its name and its value.
    credentials: (&'static str, String),
}

impl Caller {
    /// A caller with a token in `Authorization`.
    pub(super) fn new(url: &str, token: &str) -> Result<Self> {
        Ok(Self {
            // The server is in this process, which no proxy could reach. Each request has a connection of its own: a kept
            // one is closed while the machine sleeps.
            http: http().no_proxy().pool_max_idle_per_host(0).build()?,
            url: url.to_owned(),
            prefix: String::new(),
            credentials: bearer(token),
        })
    }

    /// The same credentials for paths below `prefix`.
    pub(super) fn below(&self, prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            ..self.clone()
        }
    }

    /// The same place with another token.
    pub(super) fn with_token(&self, token: &str) -> Self {
        Self {
            credentials: bearer(token),
            ..self.clone()
        }
    }

    /// The same place with other credentials than a token.
    pub(super) fn with_header(&self, name: &'static str, value: String) -> Self {
        Self {
            credentials: (name, value),
            ..self.clone()
        }
    }

    /// The bytes of a download. A link of the server's is taken for its path.
    pub(super) async fn download(&self, link: &str) -> Result<Vec<u8>> {
        let path = link.find("/api/").map_or(link, |at| &link[at..]);
        let (status, bytes) = answer(path, &self.request(Method::GET, path)).await?;
        ensure!(status.is_success(), "a download was answered {status}");
        Ok(bytes)
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Result<Value> {
        read(path, &self.with_body(Method::POST, path, &body)).await
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> Result<Value> {
        read(path, &self.with_body(Method::PUT, path, &body)).await
    }

    pub(super) async fn patch(&self, path: &str, body: Value) -> Result<Value> {
        read(path, &self.with_body(Method::PATCH, path, &body)).await
    }

    /// Posts what may be refused, and returns the status.
    pub(super) async fn try_post(&self, path: &str, body: &Value) -> Result<u16> {
        let (status, _) = answer(path, &self.with_body(Method::POST, path, body)).await?;
        Ok(status.as_u16())
    }

    /// Creates a record and returns its id.
    pub(super) async fn create(&self, path: &str, body: Value) -> Result<String> {
        member(&self.post(path, body).await?, "id")
    }

    /// Uploads a file as the part `part` of a form.
    pub(super) async fn upload(&self, path: &str, part: &str, file: &File<'_>) -> Result<Value> {
        let File {
            name,
            media_type,
            bytes,
        } = file;
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"{name}\"\r\n\
             Content-Type: {media_type}\r\n\r\n"
        );
        let tail = format!("\r\n--{BOUNDARY}--\r\n");
        let body = [head.as_bytes(), bytes, tail.as_bytes()].concat();
        let form = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = self.request(Method::POST, path);
        read(path, &request.header("content-type", form).body(body)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let (name, value) = &self.credentials;
        let url = format!("{}{}{path}", self.url, self.prefix);
        self.http.request(method, url).header(*name, value)
    }

    fn with_body(&self, method: Method, path: &str, body: &Value) -> RequestBuilder {
        self.request(method, path)
            .header("content-type", "application/json")
            .body(body.to_string())
    }
}

/// A file to upload.
pub(super) struct File<'a> {
    pub(super) name: &'a str,
    pub(super) media_type: &'a str,
    pub(super) bytes: &'a [u8],
}

fn bearer(token: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {token}"))
}

/// The answer to a request. One that got none, as after a sleep of the machine, is sent again.
async fn answer(path: &str, request: &RequestBuilder) -> Result<(StatusCode, Vec<u8>)> {
    for pause in PAUSES {
        match answer_once(request).await {
            Err(error) => tracing::warn!(
                path,
                error = format!("{error:#}"),
                "no answer; trying again"
            ),
            answered => return answered,
        }
        tokio::time::sleep(pause).await;
    }
    answer_once(request).await
}

async fn answer_once(request: &RequestBuilder) -> Result<(StatusCode, Vec<u8>)> {
    let request = request.try_clone().context("a stream")?;
    let answer = request.send().await.map_err(reqwest::Error::without_url)?;
    Ok((answer.status(), answer.bytes().await?.to_vec()))
}

/// Sends a request that must succeed. An empty answer is null.
async fn read(path: &str, request: &RequestBuilder) -> Result<Value> {
    let (status, bytes) = answer(path, request).await?;
    ensure!(
        status.is_success(),
        "{path} was answered {status}: {}",
        String::from_utf8_lossy(&bytes)
            .chars()
            .take(300)
            .collect::<String>()
    );
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes).with_context(|| format!("{path} was not answered with JSON"))
}

/// A member that has to be there, as text.
pub(super) fn member(answer: &Value, name: &str) -> Result<String> {
    let found = text(answer, name);
    ensure!(!found.is_empty(), "an answer has no `{name}`");
    Ok(found.to_owned())
}
