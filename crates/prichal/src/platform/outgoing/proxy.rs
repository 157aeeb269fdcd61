//! The way through a forward proxy: a tunnel by CONNECT (RFC 9110 §9.3.6), for `http` and for `https` alike.
//!
//! In a tunnel the proxy changes nothing, and the address in CONNECT is the address that the guard has checked. A
//! request in absolute form would name the host instead, and the proxy would resolve it again.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::target::Host;
use crate::config::HostPattern;

/// The maximum bytes of the head of a proxy's answer.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// A forward proxy.
pub(super) struct Proxy {
    pub(super) host: Host,
    pub(super) port: u16,
    /// The value of `Proxy-Authorization`.
    credentials: Option<SecretString>,
    /// The hosts that are called without the proxy.
    bypass: Vec<HostPattern>,
    /// The hosts that the proxy may resolve. If there are any, it resolves all names, and no other hosts are called.
    resolves: Vec<HostPattern>,
}

/// The reason why the proxy opens no tunnel. The texts do not name the proxy, since tenants see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyFault {
    #[error("the name of the proxy could not be resolved")]
    Dns,
    #[error("{0}")]
    Connect(&'static str),
    #[error("the proxy wants credentials (407)")]
    CredentialsWanted,
    #[error("the proxy refuses the credentials ({0})")]
    CredentialsRefused(u16),
    #[error("the proxy denies this destination (403)")]
    Denied,
    #[error("the proxy cannot reach the host ({0})")]
    Unreachable(u16),
    #[error("the proxy answered {0}")]
    Answered(u16),
    #[error("the proxy closed the connection")]
    Closed,
    #[error("the answer of the proxy is not one to CONNECT")]
    BadAnswer,
}

impl Proxy {
    /// `credentials` are a user's name and password with a colon between them.
    pub(super) fn new(
        (host, port): (Host, u16),
        credentials: Option<&SecretString>,
        bypass: Vec<HostPattern>,
        resolves: Vec<HostPattern>,
    ) -> Self {
        let basic = |credentials: &SecretString| {
            SecretString::from(format!(
                "Basic {}",
                STANDARD.encode(credentials.expose_secret())
            ))
        };
        Self {
            host,
            port,
            credentials: credentials.map(basic),
            bypass,
            resolves,
        }
    }

    /// True if the proxy resolves names, so that no guard sees their addresses.
    pub(super) fn resolves_names(&self) -> bool {
        !self.resolves.is_empty()
    }

    /// True if the proxy may be asked for a host.
    pub(super) fn may_reach(&self, host: &Host) -> bool {
        !self.resolves_names() || matches(&self.resolves, host)
    }

    /// True if a host is called without the proxy.
    pub(super) fn is_bypassed(&self, host: &Host) -> bool {
        matches(&self.bypass, host)
    }

    /// Makes a connection to the proxy one to `destination`, a host and a port.
    pub(super) async fn tunnel(
        &self,
        tcp: &mut TcpStream,
        destination: &str,
    ) -> Result<(), ProxyFault> {
        let mut request = format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n");
        if let Some(credentials) = &self.credentials {
            request += "Proxy-Authorization: ";
            request += credentials.expose_secret();
            request += "\r\n";
        }
        request += "\r\n";
        let sent = tcp.write_all(request.as_bytes()).await;
        sent.map_err(|_| ProxyFault::Closed)?;
        match status(tcp).await? {
            200..=299 => Ok(()),
            403 => Err(ProxyFault::Denied),
            // Some proxies confuse their own credentials with those of the host, and answer 401.
            status @ (401 | 407) if self.credentials.is_some() => {
                Err(ProxyFault::CredentialsRefused(status))
            }
            407 => Err(ProxyFault::CredentialsWanted),
            status @ 500..=599 => Err(ProxyFault::Unreachable(status)),
            status => Err(ProxyFault::Answered(status)),
        }
    }
}

fn matches(patterns: &[HostPattern], host: &Host) -> bool {
    patterns.iter().any(|pattern| match host {
        Host::Name(name) => pattern.has_name(name),
        Host::Address(address) => pattern.has_address(*address),
    })
}

/// Reads the head of an answer. Nothing may follow the head of a success: the host speaks only after this server.
async fn status(tcp: &mut TcpStream) -> Result<u16, ProxyFault> {
    let mut head = Vec::with_capacity(256);
    let end = loop {
        let read = tcp.read_buf(&mut head).await;
        if read.map_err(|_| ProxyFault::Closed)? == 0 {
            return Err(ProxyFault::Closed);
        }
        if let Some(at) = memchr::memmem::find(&head, b"\r\n\r\n") {
            break at + 4;
        }
        if head.len() > MAX_HEAD_BYTES {
            return Err(ProxyFault::BadAnswer);
        }
    };
    let status = status_line(&head).ok_or(ProxyFault::BadAnswer)?;
    if (200..300).contains(&status) && head.len() > end {
        return Err(ProxyFault::BadAnswer);
    }
    Ok(status)
}

/// The status in `HTTP/1.1 200 Connection established`.
fn status_line(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    let [b'0' | b'1', b' ', status @ ..] = rest else {
        return None;
    };
    let (status, after) = status.split_at_checked(3)?;
    let status: u16 = str::from_utf8(status).ok()?.parse().ok()?;
    (matches!(after.first(), Some(b' ' | b'\r')) && status >= 200).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_an_answer_to_connect() {
        for (head, expected) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Some(200)),
            ("HTTP/1.0 200\r\n\r\n", Some(200)),
            (
                "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
                Some(407),
            ),
            ("HTTP/1.1 100 Continue\r\n\r\n", None),
            ("HTTP/1.1 2000 OK\r\n\r\n", None),
            ("HTTP/2 200\r\n\r\n", None),
            ("HTTP/1.1 +20 OK\r\n\r\n", None),
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", None),
            ("HTTP/1.1 2", None),
            ("", None),
        ] {
            assert_eq!(status_line(head.as_bytes()), expected, "{head:?}");
        }
    }
}
