//! The demonstration's requests to its own server. They are those of an integrator: over HTTP, each with credentials.

use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::cli::client::{http, text};

/// The boundary of uploads. Contents are the demonstration's own and never have it.
const BOUNDARY: &str = "a-part-of-the-demonstration";

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
            // The server is in this process, which no proxy could reach.
            http: http().no_proxy().build()?,
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
        let answer = self.request(Method::GET, path).send().await?;
        ensure!(
            answer.status().is_success(),
            "a download was answered {}",
            answer.status()
        );
        Ok(answer.bytes().await?.to_vec())
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Result<Value> {
        read(path, self.with_body(Method::POST, path, &body)).await
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> Result<Value> {
        read(path, self.with_body(Method::PUT, path, &body)).await
    }

    pub(super) async fn patch(&self, path: &str, body: Value) -> Result<Value> {
        read(path, self.with_body(Method::PATCH, path, &body)).await
    }

    /// Posts what may be refused, and returns the status.
    pub(super) async fn try_post(&self, path: &str, body: &Value) -> Result<u16> {
        let answer = self.with_body(Method::POST, path, body).send().await?;
        Ok(answer.status().as_u16())
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
        read(path, request.header("content-type", form).body(body)).await
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

/// Sends a request that must succeed. An empty answer is null.
async fn read(path: &str, request: RequestBuilder) -> Result<Value> {
    let answer = request.send().await.map_err(reqwest::Error::without_url)?;
    let (status, text) = (answer.status(), answer.text().await?);
    ensure!(
        status.is_success(),
        "{path} was answered {status}: {}",
        text.chars().take(300).collect::<String>()
    );
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).with_context(|| format!("{path} was not answered with JSON"))
}

/// A member that has to be there, as text.
pub(super) fn member(answer: &Value, name: &str) -> Result<String> {
    let found = text(answer, name);
    ensure!(!found.is_empty(), "an answer has no `{name}`");
    Ok(found.to_owned())
}
