//! Calls to the outside: the only code that opens connections to addresses chosen by others.
//!
//! The steps of one call:
//!
//! 1. An idle connection of the caller's own [`Connections`] is taken. Without one, the host is resolved
//!    within the share of the requester ([`names::Requester`]), *every* address is checked by the
//!    [`Guard`], and exactly those addresses are connected to. There is no second resolution, so a
//!    name cannot change in between.
//! 2. The request is sent, the head of the answer is read, then its body up to the wanted length.
//! 3. The connection is kept if the answer was read to its end and the peer keeps it open.
//!
//! Once the head of an answer is read, it is the answer, even if its body fails.
//!
//! With a [`proxy`], the second step asks it for a tunnel to those addresses. If it resolves the names itself, only the
//! hosts that the operator has listed are called.
//!
//! One deadline covers the whole call. It is a future of the caller's, so that the caller's clock decides. Redirects
//! are not followed. The environment is not read, except for the system's certificates (which honour
//! `SSL_CERT_FILE`).
//!
//! No task runs in the background: the call that uses a connection drives it, in the caller's task. A task per
//! connection would cost two wake-ups across threads per call. The price is that an idle connection notices no
//! events. Its closing by the peer is found at the next use, and a caller that falls silent should
//! [`Connections::sweep`].
//!
//! The module knows no webhooks: signatures, echoes and retries are the caller's business.

use std::fmt;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Method, Request, header};
use prichal_store::delivery::Timings;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use connection::{Live, Stream};
use connections::Connections;
use guard::{Guard, Kind};
use names::{Names, Requester};
use proxy::{Proxy, ProxyFault};
use route::Route;
use seen::SeenCertificates;
use target::{Host, Origin, Target};
use tls::Asked;

use crate::config::Config;

mod connection;
pub mod connections;
pub mod guard;
mod lenient;
pub mod names;
pub mod own_tls;
mod pem;
pub mod post;
pub mod proxy;
mod redirect;
mod route;
pub mod seen;
pub mod signature;
pub mod target;
#[cfg(test)]
mod tests;
mod tls;
pub mod trust;

/// The bytes of an answer's body that are worth keeping for a log.
pub const LOGGED_BYTES: usize = 1024;

/// The maximum size of an answer's head in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The maximum number of headers. A value above hyper's default costs an allocation per answer.
const MAX_HEADERS: usize = 256;

/// The shared state of all calls of a process: the guard, the way out and the trusted certificates.
pub struct Connector {
    guard: Guard,
    route: Route,
    names: Names,
    tls: TlsConnector,
    http: http1::Builder,
    /// The certificates that receivers have shown.
    pub seen: SeenCertificates,
    /// The authorities of the settings.
    pub authorities: Vec<CertificateDer<'static>>,
}

/// A request. `Host` and `Content-Length` are added to the headers.
#[derive(Debug)]
pub struct Outgoing {
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The maximum bytes of the answer's body to keep, such as [`LOGGED_BYTES`].
    pub keep: usize,
}

/// An answer with any status, redirects included.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// The headers share the memory of the whole head. Copy those that are kept for long.
    pub headers: HeaderMap,
    /// At most the first [`Outgoing::keep`] bytes.
    pub body: Bytes,
    /// True if there is more, or may be more, than `body` holds.
    pub truncated: bool,
    /// The reason why the body is incomplete. Status and headers are valid all the same.
    pub broken: Option<CallError>,
}

impl Answer {
    /// The fault that was found in an answer to a call of `target`, with a hint at a likely cause.
    pub fn explained(&self, fault: String, target: &Target) -> String {
        let redirect = self
            .redirect(target)
            .map(|place| format!("it is a redirect to {place}, and redirects are not followed"));
        let broken = self.broken.as_ref().map(ToString::to_string);
        let parts = [Some(fault), redirect, broken];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

/// The reason why there is no answer. The texts contain no secret and no URL, and may be shown to the tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("timed out while {phase}")]
    Timeout { phase: Phase },
    #[error("refused: {0}")]
    Refused(Refusal),
    #[error("the host name could not be resolved")]
    Dns,
    #[error("no connection: {reason}")]
    Connect { reason: &'static str },
    #[error("no connection through the proxy: {0}")]
    Proxy(ProxyFault),
    #[error("refused: the host is not one of those that the proxy may resolve")]
    Unlisted,
    #[error("no TLS connection: {reason}")]
    Tls { reason: &'static str },
    #[error("the connection was closed while {phase}")]
    Closed { phase: Phase },
    #[error("not valid HTTP/1.1, seen while {phase}")]
    BadAnswer { phase: Phase },
    #[error("the head of the answer has more than 64 KiB or 256 headers")]
    TooLargeHead,
}

impl CallError {
    /// The phase in which the call failed.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Timeout { phase } | Self::Closed { phase } | Self::BadAnswer { phase } => *phase,
            Self::Refused(_) | Self::Unlisted | Self::Dns => Phase::Resolve,
            Self::Proxy(_) => Phase::Proxy,
            Self::Connect { .. } => Phase::Connect,
            Self::Tls { .. } => Phase::Tls,
            Self::TooLargeHead => Phase::Answer,
        }
    }
}

/// The phases of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Resolve,
    Connect,
    Proxy,
    Tls,
    /// Includes sending: a peer may answer before it has read everything.
    Answer,
    Body,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolving the host name",
            Self::Connect => "connecting",
            Self::Proxy => "connecting through the proxy",
            Self::Tls => "setting up TLS",
            Self::Answer => "waiting for the answer",
            Self::Body => "reading the body of the answer",
        })
    }
}

/// An address that the guard refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub kind: Kind,
    /// The address in the URL. `None` if it stands behind a name: the meaning of a name inside the operator's network
    /// must not be revealed to a tenant.
    pub address: Option<IpAddr>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{} address {address}", self.kind),
            None => write!(f, "{} address behind the host name", self.kind),
        }
    }
}

impl Connector {
    /// The connector that the settings describe. Reads files.
    pub fn of(config: &Config) -> anyhow::Result<Self> {
        let guard = Guard {
            allow_private: config.allow_private_targets,
        };
        let roots = match &config.egress_ca {
            Some(file) => trust::certificates(file).context("`egress-ca`")?,
            None => Vec::new(),
        };
        Ok(Self::new(guard, Route::of(config)?, &roots)?)
    }

    /// A connector with the trust of [`trust::trusting`]. Reads files: build one when the process starts and share it.
    fn new(
        guard: Guard,
        route: Route,
        roots: &[CertificateDer<'static>],
    ) -> Result<Self, rustls::Error> {
        let mut tls = trust::trusting(roots)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        tls.client_auth_cert_resolver = Arc::new(tls::NoCertificate);
        let mut http = http1::Builder::new();
        http.max_buf_size(MAX_HEAD_BYTES)
            .max_header_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS)
            // Other clients are as lenient, so receivers that work with those work with this server.
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .ignore_invalid_headers_in_responses(true);
        Ok(Self {
            guard,
            route,
            names: Names::new(),
            tls: TlsConnector::from(Arc::new(tls)),
            http,
            seen: SeenCertificates::default(),
            authorities: roots.to_vec(),
        })
    }

    /// Sends `request` to `target` and returns its answer, unless `timeout` is over first.
    ///
    /// A drop of the call closes its connection and has no other effect.
    pub async fn call(
        &self,
        connections: &Connections,
        target: &Target,
        request: Outgoing,
        timeout: impl Future<Output = ()>,
    ) -> Result<Answer, CallError> {
        let mut timings = Timings::default();
        self.call_timed(connections, target, request, timeout, &mut timings)
            .await
    }

    /// Makes a call and notes how long its parts took, also those of a call that fails.
    pub async fn call_timed(
        &self,
        connections: &Connections,
        target: &Target,
        request: Outgoing,
        timeout: impl Future<Output = ()>,
        timings: &mut Timings,
    ) -> Result<Answer, CallError> {
        // A flooding peer would use up the task's budget every time, and a timer without budget never fires.
        let mut timeout = pin!(unconstrained(timeout));
        let keep = request.keep;
        let mut request = request.into_http(target);
        let began = Instant::now();
        if let Some(mut live) = connections.take(&target.origin, began) {
            let again = request.clone();
            let first_byte = (began, &mut timings.first_byte);
            match live
                .exchange(request, keep, timeout.as_mut(), first_byte)
                .await
            {
                // Most likely the peer closed an idle connection just as it was taken. HTTP cannot tell if the peer
                // has processed the request nevertheless. A repetition is harmless here: delivery is at least once,
                // and receivers know an event by its id. Without it a healthy receiver would see its event only after
                // the first retry delay.
                Err(CallError::Closed { .. }) if !live.has_received() => request = again,
                outcome => {
                    connections.put(live, &target.origin, Instant::now());
                    return outcome;
                }
            }
        }
        // Rare and large, so it is kept out of the future of the common case.
        let opening = self.open(connections, &target.origin, timeout.as_mut(), timings);
        let mut live = Box::pin(opening).await?;
        let first_byte = (Instant::now(), &mut timings.first_byte);
        let outcome = live
            .exchange(request, keep, timeout.as_mut(), first_byte)
            .await;
        connections.put(live, &target.origin, Instant::now());
        outcome
    }

    async fn open(
        &self,
        connections: &Connections,
        origin: &Origin,
        mut timeout: Pin<&mut impl Future<Output = ()>>,
        timings: &mut Timings,
    ) -> Result<Box<Live>, CallError> {
        let tcp = match &self.route.proxy {
            Some(proxy) if !proxy.is_bypassed(&origin.host) => {
                let opened = self.open_through(proxy, connections, origin, timeout.as_mut());
                timed(&mut timings.connect, opened).await?
            }
            _ => {
                let addresses = self.addresses(connections, origin);
                let addresses = within(timeout.as_mut(), Phase::Resolve, addresses);
                let addresses = timed(&mut timings.resolve, addresses).await?;
                let tcp = within(timeout.as_mut(), Phase::Connect, self.connect(&addresses));
                timed(&mut timings.connect, tcp).await?
            }
        };
        let Some(name) = &origin.tls else {
            return Live::new(&self.http, Stream::Plain(tcp), Asked::No).await;
        };
        let tls = origin.own_tls.as_ref().map_or(&self.tls, |own| &own.0);
        let handshake = handshake(tls, name.clone(), tcp);
        let shaken = within(timeout, Phase::Tls, handshake);
        let (tls, asked) = timed(&mut timings.tls, shaken).await?;
        self.seen.note(connections.requester(), origin, &tls);
        Live::new(&self.http, Stream::Tls(Box::new(tls)), asked).await
    }

    /// A connection by way of the proxy to the host, or past it to the host's addresses.
    async fn open_through(
        &self,
        proxy: &Proxy,
        connections: &Connections,
        origin: &Origin,
        mut timeout: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<TcpStream, CallError> {
        if !proxy.may_reach(&origin.host) {
            return Err(CallError::Unlisted);
        }
        if let (true, Host::Name(name)) = (proxy.resolves_names(), &origin.host) {
            let destination = [format!("{name}:{}", origin.port)];
            let tunnel = self.tunnel(proxy, &destination);
            return within(timeout, Phase::Proxy, tunnel).await;
        }
        let addresses = self.addresses(connections, origin);
        let addresses = within(timeout.as_mut(), Phase::Resolve, addresses).await?;
        let past = |address: &SocketAddr| proxy.is_bypassed(&Host::Address(address.ip()));
        if addresses.iter().all(past) {
            return within(timeout, Phase::Connect, self.connect(&addresses)).await;
        }
        let destinations: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        within(timeout, Phase::Proxy, self.tunnel(proxy, &destinations)).await
    }

    /// A tunnel to the first destination that the proxy reaches.
    async fn tunnel(&self, proxy: &Proxy, destinations: &[String]) -> Result<TcpStream, CallError> {
        let addresses = match &proxy.host {
            Host::Address(address) => vec![SocketAddr::new(*address, proxy.port)],
            Host::Name(name) => {
                let found = self.names.resolve(Requester::Server, name, proxy.port);
                found.await.map_err(|_| CallError::Proxy(ProxyFault::Dns))?
            }
        };
        let mut failure = CallError::Dns;
        for destination in destinations {
            let connected = self.route.connect(&addresses).await;
            let mut tcp = connected.map_err(|error| {
                CallError::Proxy(ProxyFault::Connect(connect_reason(&error, Peer::Proxy)))
            })?;
            match proxy.tunnel(&mut tcp, destination).await {
                Ok(()) => return Ok(tcp),
                Err(fault @ ProxyFault::Unreachable(_)) => failure = CallError::Proxy(fault),
                Err(fault) => return Err(CallError::Proxy(fault)),
            }
        }
        Err(failure)
    }

    async fn connect(&self, addresses: &[SocketAddr]) -> Result<TcpStream, CallError> {
        let connected = self.route.connect(addresses).await;
        connected.map_err(|error| CallError::Connect {
            reason: connect_reason(&error, Peer::Host),
        })
    }

    /// The addresses of the host, if the guard passes all of them. One forbidden address condemns the others: a name
    /// that mixes them is either a trick or a mistake.
    async fn addresses(
        &self,
        connections: &Connections,
        origin: &Origin,
    ) -> Result<Vec<SocketAddr>, CallError> {
        let (addresses, literal) = match &origin.host {
            Host::Address(address) => {
                let addresses = vec![SocketAddr::new(*address, origin.port)];
                (addresses, Some(*address))
            }
            Host::Name(name) => (
                connections.resolve(&self.names, name, origin.port).await?,
                None,
            ),
        };
        self.check(&addresses, literal)?;
        Ok(addresses)
    }

    fn check(&self, addresses: &[SocketAddr], literal: Option<IpAddr>) -> Result<(), CallError> {
        for address in addresses {
            self.guard.check(address.ip()).map_err(|kind| {
                CallError::Refused(Refusal {
                    kind,
                    address: literal,
                })
            })?;
        }
        Ok(())
    }
}

impl Outgoing {
    fn into_http(self, target: &Target) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = target.path.clone();
        *request.headers_mut() = self.headers;
        request
            .headers_mut()
            .insert(header::HOST, target.authority.clone());
        request
    }
}

/// Notes how long `work` takes.
async fn timed<T>(duration: &mut Option<Duration>, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let done = work.await;
    *duration = Some(began.elapsed());
    done
}

/// Sets TLS up on a connection to a server of the operator's.
pub(super) async fn secure(
    tls: &TlsConnector,
    name: ServerName<'static>,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, CallError> {
    Ok(handshake(tls, name, tcp).await?.0)
}

async fn handshake(
    tls: &TlsConnector,
    name: ServerName<'static>,
    tcp: TcpStream,
) -> Result<(TlsStream<TcpStream>, Asked), CallError> {
    let (shaken, asked) = tls::noticing(tls.connect(name, tcp)).await;
    let reason = |error| CallError::Tls {
        reason: tls::reason(&error, asked),
    };
    Ok((shaken.map_err(reason)?, asked))
}

/// Runs `work` unless `timeout` ends first. Completed work counts, even if it is late.
async fn within<T>(
    mut timeout: Pin<&mut impl Future<Output = ()>>,
    phase: Phase,
    work: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(outcome) = work.as_mut().poll(cx) {
            return Poll::Ready(outcome);
        }
        let timeout = timeout.as_mut().poll(cx);
        timeout.map(|()| Err(CallError::Timeout { phase }))
    })
    .await
}

/// The other end of a connection.
#[derive(Clone, Copy)]
pub(super) enum Peer {
    Host,
    Proxy,
}

/// The reason why a connection could not be opened.
pub(super) fn connect_reason(error: &std::io::Error, peer: Peer) -> &'static str {
    use std::io::ErrorKind;
    let [of_host, of_proxy] = match error.kind() {
        ErrorKind::ConnectionRefused => ["refused by the host", "refused by the proxy"],
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
            ["reset by the host", "reset by the proxy"]
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            ["the host is unreachable", "the proxy is unreachable"]
        }
        ErrorKind::TimedOut => ["the host does not react", "the proxy does not react"],
        ErrorKind::AddrNotAvailable => [
            "the host has no address that can be called from here",
            "the proxy has no address that can be called from here",
        ],
        _ => ["it could not be opened", "the proxy could not be reached"],
    };
    match peer {
        Peer::Host => of_host,
        Peer::Proxy => of_proxy,
    }
}
