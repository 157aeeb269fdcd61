//! A keep-alive HTTP/1.1 connection to an address on this machine, and single JSON calls.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

/// The time-out of a set-up call.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// The idle time after which the server may have closed a connection.
const MAX_IDLE_TIME: Duration = Duration::from_secs(2);

/// An open connection. Its task ends when it is dropped.
pub struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

impl Connection {
    /// Connects to `address`, a `host:port`.
    pub async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async {
            // The pending request gets the error.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            _driver: driver,
        })
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes)> {
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok((head.status, body.collect().await?.to_bytes()))
    }

    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// A base address with a bearer token, for sequential calls outside of a runtime.
pub struct Api {
    address: String,
    /// The authorization header.
    credentials: (&'static str, String),
    runtime: tokio::runtime::Runtime,
    /// The connection of the last call, and the time of that call.
    connection: Option<(Connection, Instant)>,
}

impl Api {
    pub fn new(address: impl Into<String>, token: impl Into<String>) -> Result<Self> {
        let token = format!("Bearer {}", token.into());
        Self::with(address, "authorization", token)
    }

    /// Creates a client with another authorization header.
    pub fn with(
        address: impl Into<String>,
        header: &'static str,
        value: impl Into<String>,
    ) -> Result<Self> {
        Ok(Self {
            address: address.into(),
            credentials: (header, value.into()),
            runtime: runtime()?,
            connection: None,
        })
    }

    pub fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T> {
        let body = self.call(&Method::GET, path, Bytes::new())?;
        serde_json::from_slice(&body).with_context(|| format!("reading the answer of GET {path}"))
    }

    pub fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        self.with_body(&Method::POST, path, body)
    }

    pub fn patch(&mut self, path: &str, body: &Value) -> Result<Value> {
        self.with_body(&Method::PATCH, path, body)
    }

    fn with_body(&mut self, method: &Method, path: &str, body: &Value) -> Result<Value> {
        let answer = self.call(method, path, Bytes::from(body.to_string()))?;
        serde_json::from_slice(&answer)
            .with_context(|| format!("reading the answer of {method} {path}"))
    }

    /// Sends a JSON request and returns the body of an answer with a status of 200 to 299. Any other status is an
    /// error with the answer's text.
    pub fn call(&mut self, method: &Method, path: &str, body: Bytes) -> Result<Bytes> {
        self.send(method, path, "application/json", body)
    }

    /// Sends a request with a body of another content type, like [`Self::call`].
    pub fn send(&mut self, method: &Method, path: &str, kind: &str, body: Bytes) -> Result<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.address)
            .header(self.credentials.0, &self.credentials.1)
            .header("content-type", kind)
            .body(Full::new(body))?;
        let connection = self.connection.take();
        let what = || format!("{method} {path}");
        let (connection, (status, answer)) = self.runtime.block_on(async {
            let mut connection = match connection {
                Some((connection, used)) if used.elapsed() < MAX_IDLE_TIME => connection,
                _ => Connection::open(&self.address).await?,
            };
            let answer = timeout(CALL_TIMEOUT, connection.send(request))
                .await
                .with_context(|| format!("{} took longer than {CALL_TIMEOUT:?}", what()))?
                .with_context(what)?;
            anyhow::Ok((connection, answer))
        })?;
        self.connection = Some((connection, Instant::now()));
        if !status.is_success() {
            let text = String::from_utf8_lossy(&answer);
            bail!("{} answered {status}: {text:.500}", what());
        }
        Ok(answer)
    }
}

/// A runtime on the calling thread, so that generator and receiver use at most one core each.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_all().build()?)
}

/// Splits a URL on this machine into `host:port` and path. Other URLs are refused, so that no foreign server is put
/// under load.
pub fn split_url(url: &str) -> Result<(String, String)> {
    let rest = url
        .strip_prefix("http://")
        .with_context(|| format!("{url}: use an http:// URL"))?;
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let socket: std::net::SocketAddr = address
        .parse()
        .with_context(|| format!("{url}: use an address and a port, such as 127.0.0.1:8080"))?;
    ensure!(socket.ip().is_loopback(), "{url}: only loopback addresses");
    Ok((address.into(), format!("/{path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_urls_are_accepted() {
        let (address, path) = split_url("http://127.0.0.1:9090/hook").expect("is loopback");
        assert_eq!(
            (address.as_str(), path.as_str()),
            ("127.0.0.1:9090", "/hook")
        );
        assert_eq!(split_url("http://[::1]:80").expect("is loopback").1, "/");
        for url in [
            "https://127.0.0.1:1/",
            "http://10.0.0.1:80/",
            "http://example.com/",
            "x",
        ] {
            assert!(split_url(url).is_err(), "{url}");
        }
    }
}
