//! One keep-alive HTTP/1.1 connection to an address on this machine, and single calls with JSON.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

/// How long a call of the set-up may take.
const CALL: Duration = Duration::from_mins(1);
/// A server may have closed a connection that was not used for longer.
const FRESH: Duration = Duration::from_secs(2);

/// An open connection. The task that drives it ends with it.
pub struct Line {
    sender: http1::SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

impl Line {
    /// Connects to `address`, a `host:port`.
    pub async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async {
            // What went wrong is told to the request that was under way.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            _driver: driver,
        })
    }

    /// Sends one request and reads the whole answer.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes)> {
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok((head.status, body.collect().await?.to_bytes()))
    }

    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// A base address and a bearer token, for calls one after another outside of any runtime.
pub struct Api {
    address: String,
    /// The header that says who calls.
    credentials: (&'static str, String),
    runtime: tokio::runtime::Runtime,
    /// The connection of the last call, and when that was.
    line: Option<(Line, Instant)>,
}

impl Api {
    pub fn new(address: impl Into<String>, token: impl Into<String>) -> Result<Self> {
        let token = format!("Bearer {}", token.into());
        Self::with(address, "authorization", token)
    }

    /// With credentials in another header.
    pub fn with(
        address: impl Into<String>,
        header: &'static str,
        value: impl Into<String>,
    ) -> Result<Self> {
        Ok(Self {
            address: address.into(),
            credentials: (header, value.into()),
            runtime: runtime()?,
            line: None,
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

    /// The body of an answer with a status of 200 to 299; another status is an error that quotes it.
    pub fn call(&mut self, method: &Method, path: &str, body: Bytes) -> Result<Bytes> {
        self.send(method, path, "application/json", body)
    }

    /// The same with a body of another kind.
    pub fn send(&mut self, method: &Method, path: &str, kind: &str, body: Bytes) -> Result<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.address)
            .header(self.credentials.0, &self.credentials.1)
            .header("content-type", kind)
            .body(Full::new(body))?;
        let line = self.line.take();
        let what = || format!("{method} {path}");
        let (line, (status, answer)) = self.runtime.block_on(async {
            let mut line = match line {
                Some((line, used)) if used.elapsed() < FRESH => line,
                _ => Line::open(&self.address).await?,
            };
            let answer = timeout(CALL, line.send(request))
                .await
                .with_context(|| format!("{} took longer than {CALL:?}", what()))?
                .with_context(what)?;
            anyhow::Ok((line, answer))
        })?;
        self.line = Some((line, Instant::now()));
        if !status.is_success() {
            let text = String::from_utf8_lossy(&answer);
            bail!("{} answered {status}: {text:.500}", what());
        }
        Ok(answer)
    }
}

/// A runtime on the calling thread: generator and receiver have one core each at most.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_all().build()?)
}

/// `host:port` and path of a URL on this machine. Others are refused: nothing here may load a
/// stranger's server.
pub fn split_url(url: &str) -> Result<(String, String)> {
    let rest = url
        .strip_prefix("http://")
        .with_context(|| format!("{url}: only http:// URLs"))?;
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let socket: std::net::SocketAddr = address.parse().with_context(|| {
        format!("{url}: an address and a port are wanted, such as 127.0.0.1:8080")
    })?;
    ensure!(socket.ip().is_loopback(), "{url}: only loopback addresses");
    Ok((address.into(), format!("/{path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_urls_are_taken() {
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
