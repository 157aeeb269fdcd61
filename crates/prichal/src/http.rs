//! HTTP: the listener, its connections, and the layers around all requests. Bodies, uploads, ranges, paging and
//! idempotency for all dialects. It imports [`crate::error`], [`crate::config`] and [`crate::platform`] only: no domain
//! and no dialect. Dialects pass functions in ([`Dialects`]).

pub mod answer;
pub mod body;
pub mod conformance;
pub mod connection;
pub mod cors;
pub mod disposition;
pub mod extract;
pub mod form;
pub mod idempotency;
pub mod listing;
pub mod multipart;
pub mod page;
pub mod paths;
pub mod range;
pub mod upload;

use std::{
    borrow::Cow,
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prichal_store::tenant;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use crate::{
    error::Error,
    http::connection::{Answer, ConnectionSlots, CountedConnection, MeteredStream},
    platform::{
        Platform,
        audit::{self, Act, Operation},
        memory::{Budget, Payer},
        security,
    },
};

/// The timeout for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum bytes of a request's head. Also the size of the write buffer, and the memory that a connection keeps
/// after such a head.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// The target of the line about each request, by which a log filter can lower its level.
const REQUEST_LOG: &str = "prichal::request";

/// The peer of the connection that a request came over.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Gives each request its id, which is in the answer and on every log line in between.
pub async fn with_request_id(
    State((app, dialects)): State<(Platform, Dialects)>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = tokio::time::Instant::now();
    let request_id = prichal_core::id::generate(app.clock.now());
    let id = request_id.to_string();
    let dialect = (dialects.name)(request.uri().path());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    // The route's template is logged, never the path itself: paths may carry tokens.
    let span = tracing::info_span!(
        "request",
        request.id = %id,
        http.method = method_name(request.method()),
        http.route = route,
        workspace = tracing::field::Empty,
        trace.id = tracing::field::Empty
    );
    // A request whose proxy names no client counts for the proxy.
    let address = sender(&app, request.headers(), request.extensions()).or_else(|| peer(&request));
    let payer = Payer::new(app.memory.clone(), address);
    request.extensions_mut().insert(payer.clone());
    let act = (dialects.operation)(request.method(), route, request.uri().path());
    let act = act.map(|operation| {
        let agent = request.headers().get(header::USER_AGENT);
        Act::of_request(operation, request.uri(), agent, Some(request_id))
    });
    let seen = security::Request::new(app.clone(), address, shows_credential(dialects, &request));
    let mut seen = seen.performing(act);
    if request.uri().path().starts_with("/console/") {
        seen.page = Some(Box::new(security::Page {
            agent: request.headers().get(header::USER_AGENT).cloned(),
            request: request_id,
        }));
    }
    let seen = Arc::new(seen);
    let answered = {
        let (seen, span) = (seen.clone(), span.clone());
        async move {
            let response = next.run(request).instrument(span).await;
            audit::answered(&seen, response.status().as_u16(), tenant::current()).await;
            response
        }
    };
    // The workspace is set once the caller is known.
    let answered = tenant::scope(None, security::REQUEST.scope(seen, answered));
    let mut response = answered.await;
    payer.release().await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", value);
    }
    let status = response.status().as_u16();
    span.in_scope(|| {
        tracing::info!(
            target: REQUEST_LOG,
            duration_ms = started.elapsed().as_millis(),
            http.status = status,
            "request {id} was answered"
        );
    });
    metrics::histogram!("prichal_request_seconds", "face" => dialect).record(started.elapsed());
    response
}

fn peer(request: &Request) -> Option<IpAddr> {
    let Peer(address) = request.extensions().get()?;
    Some(address.ip().to_canonical())
}

/// The address of a request's sender: its peer or, behind trusted proxies, the last address that those do not vouch
/// for.
pub fn sender(app: &Platform, headers: &HeaderMap, extensions: &Extensions) -> Option<IpAddr> {
    let peer = extensions.get::<Peer>()?.0.ip().to_canonical();
    let trusts = |address: IpAddr| {
        let mut proxies = app.config.trusted_proxies.iter();
        proxies.any(|proxy| proxy.contains(address))
    };
    forwarded(peer, headers.get_all("x-forwarded-for"), trusts)
}

/// The last address of `X-Forwarded-For` lines that no trusted proxy vouches for; the peer's own if it is not
/// trusted. `None` if a trusted proxy vouches for an invalid address.
pub fn forwarded<'a>(
    peer: IpAddr,
    lines: impl IntoIterator<Item = &'a HeaderValue>,
    trusts: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let mut sender = peer;
    let forwarded: Vec<&str> = lines
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    for address in forwarded.iter().rev() {
        if !trusts(sender) {
            break;
        }
        sender = address.parse::<IpAddr>().ok()?.to_canonical();
    }
    Some(sender)
}

/// The name of a method in the log. An unknown method is text chosen by the client, which is not logged.
fn method_name(method: &Method) -> &str {
    const KNOWN: [&str; 11] = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "LOOKUP",
        "CLEAR",
    ];
    let known = KNOWN.into_iter().find(|known| *known == method.as_str());
    known.unwrap_or("other")
}

/// True if a request carries a credential in a header, in its path or in its query.
fn shows_credential(dialects: Dialects, request: &Request) -> bool {
    let (path, query) = (request.uri().path(), request.uri().query());
    let headers = request.headers();
    let named = |(name, _): (Cow<'_, str>, _)| {
        ["ticket", "token"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
    };
    headers.contains_key(header::AUTHORIZATION)
        || (dialects.has_credential_header)(headers)
        || (dialects.has_credential_path)(path)
        || query.is_some_and(|query| form_urlencoded::parse(query.as_bytes()).any(named))
}

/// The functions of the dialects for the layers around all requests. Paths tell the dialects apart.
#[derive(Clone, Copy)]
pub struct Dialects {
    /// The name of a path's dialect in metrics.
    pub name: fn(&str) -> &'static str,
    /// The operation of a method, a route and a path, if the audit log records it.
    pub operation: fn(&Method, &str, &str) -> Option<&'static Operation>,
    /// The answer to a refused request with this path and these headers, in the words of its dialect.
    pub refuse: fn(&Platform, &str, &HeaderMap, &Error) -> Response,
    /// True if headers carry a credential of a dialect, besides `Authorization`.
    pub has_credential_header: fn(&HeaderMap) -> bool,
    /// True if a path carries a token.
    pub has_credential_path: fn(&str) -> bool,
    /// True for a path whose answers may be read by pages of the origins in the settings.
    pub is_open_to_pages: fn(&str) -> bool,
}

/// Serves one connection to its end. After `stop` it ends with the current request.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    budget: Budget,
    counted: &CountedConnection,
    stop: CancellationToken,
) {
    let payer = Payer::new(budget, Some(peer.ip().to_canonical()));
    let activity = counted.activity();
    let metered = MeteredStream::new(stream, payer, activity.clone());
    // Boxed, so that an idle connection holds no memory for a request.
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let (reading, answering, activity) = (activity.begin(), activity.begin(), activity.clone());
        let request = request.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _ = &reading;
                frame
            }))
        });
        let answered = Box::pin(router.clone().oneshot(request));
        Box::pin(async move {
            let response = answered.await?;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                activity.upgrade();
            }
            let response = response.map(|body| Answer::new(body, &activity));
            drop(answering);
            Ok::<_, Infallible>(response)
        })
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(metered), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let lost = counted.lost();
    // A broken connection concerns the client only.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = lost.cancelled() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Serves until `stop`, then finishes requests in flight. `ready` is signalled at the beginning.
pub async fn serve(
    listener: TcpListener,
    app: Platform,
    router: Router,
    ready: oneshot::Sender<()>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    // The receiver is gone if the server is about to stop.
    let _ = ready.send(());
    let slots = ConnectionSlots::new(app.config.connections);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the client left at once. Neither ends the server.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot accept a connection"
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let Some(counted) = enter(&app, &slots, peer) else {
            metrics::counter!("prichal_connections_refused_total").increment(1);
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (router, memory, stop) = (router.clone(), app.memory.clone(), stop.clone());
        connections.spawn(async move {
            converse(stream, peer, router, memory, &counted, stop).await;
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Counts a connection for its address. A trusted proxy has no limit, since its connections are of many clients.
fn enter(app: &Platform, slots: &ConnectionSlots, peer: SocketAddr) -> Option<CountedConnection> {
    let address = peer.ip().to_canonical();
    let mut proxies = app.config.trusted_proxies.iter();
    let is_trusted = proxies.any(|proxy| proxy.contains(address));
    let most = match app.config.connections_per_address {
        0 => usize::MAX,
        _ if is_trusted => usize::MAX,
        most => most,
    };
    slots.enter(address, most, is_trusted)
}
