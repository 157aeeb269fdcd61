//! The console as a browser uses it: a session with its cookie, pages, and the stream of announcements.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use hyper::Method;

use super::Workspace;
use crate::{client::Api, clock};

/// The time-out of a sign-in, and of the beginning of a stream.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A signed-in browser.
pub struct Browser {
    api: Api,
    address: String,
    cookie: String,
}

impl Workspace {
    /// Signs in at the console with a token of the workspace.
    pub fn sign_in(&self, token: &str) -> Result<Browser> {
        let address = self.address();
        let body = format!("credential={token}");
        let length = body.len();
        let request = format!(
            "POST /console/sign-in HTTP/1.1\r\nHost: {address}\r\nSec-Fetch-Site: same-origin\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let mut stream = connect(address)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let lines = answer.lines().take_while(|line| !line.is_empty());
        let mut headers = lines.filter_map(|line| line.split_once(": "));
        let cookie = headers.find(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        let cookie = cookie.and_then(|(_, value)| value.split(';').next());
        let cookie = cookie.with_context(|| format!("no session in the answer: {answer:.300}"))?;
        Ok(Browser {
            api: Api::with(address, "cookie", cookie)?,
            address: address.to_owned(),
            cookie: cookie.to_owned(),
        })
    }
}

impl Browser {
    /// Reads a page and returns the nanoseconds until the whole answer, and its size.
    pub fn time_page(&mut self, path: &str) -> Result<(u64, usize)> {
        let begun_ns = clock::now_ns();
        let page = self.api.call(&Method::GET, path, Bytes::new())?;
        Ok((clock::now_ns() - begun_ns, page.len()))
    }

    /// Opens the stream of announcements and waits for the beginning of the answer.
    pub fn listen(&self, path: &str) -> Result<TcpStream> {
        let mut stream = connect(&self.address)?;
        let (address, cookie) = (&self.address, &self.cookie);
        let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let mut answer = [0; 1024];
        let read = stream.read(&mut answer)?;
        let answer = &answer[..read];
        if !answer.starts_with(b"HTTP/1.1 200") {
            let text = String::from_utf8_lossy(answer);
            bail!("the server refused a stream: {text:.300}");
        }
        Ok(stream)
    }
}

fn connect(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(stream)
}
