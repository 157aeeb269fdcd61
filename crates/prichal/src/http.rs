//! The one listener: connections in, requests to the faces, answers with their id.

use std::{
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::{MatchedPath, Request, State},
    http::{Extensions, HeaderMap, HeaderValue},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use hyper::server::conn::http1::{self, UpgradeableConnection};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use crate::{app::App, face, openapi, security};

/// How many connections are served at once. More wait in the system's queue.
const CONNECTIONS: usize = 8192;
/// How long a client may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(30);
/// The most bytes a request's head may have.
const HEAD_BYTES: usize = 64 * 1024;

/// Whose connection a request came over.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Every path of the server.
pub fn router(app: App) -> Router {
    let (admin, admin_api) = face::admin::routes::router().split_for_parts();
    let (crm, crm_api) = face::crm::routes::router().split_for_parts();
    let (era, era_api) = face::era::routes::router().split_for_parts();
    let (edo, edo_api) = face::edo::routes::router(&app).split_for_parts();
    let exact = Router::new()
        .merge(face::worded::<face::admin::routes::Administrator>(
            admin,
            "admin",
            face::admin::routes::words,
        ))
        .merge(face::worded::<face::crm::routes::Guard>(
            crm,
            "crm",
            face::crm::routes::words,
        ))
        .merge(face::worded::<face::era::routes::Guard>(
            era,
            "era",
            face::era::routes::words,
        ))
        .merge(face::edo::routes::worded(edo, &app))
        .merge(openapi::router([admin_api, crm_api, era_api, edo_api]))
        .fallback(face::no_route)
        .with_state(app.clone());
    // Some clients write paths in their own way: those get a second look.
    let loose = exact.clone();
    let again = async move |mut request: Request| {
        if let Some(uri) = face::edo::routes::canonical(request.uri()) {
            *request.uri_mut() = uri;
        }
        loose.oneshot(request).await
    };
    exact
        .fallback(again)
        .layer(from_fn_with_state(app, with_request_id))
}

/// Gives each request its id: in the answer, and on every log line in between.
async fn with_request_id(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = tokio::time::Instant::now();
    let id = prichal_core::id::generate(app.clock.now()).to_string();
    let face = face_of(request.uri().path());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    // The template, never the path itself: paths may carry tokens.
    let span = tracing::info_span!("request", request.id = id, http.method = %request.method(), http.route = route, workspace = tracing::field::Empty);
    let seen = security::Request::new(
        app.clone(),
        // Where a proxy names nobody, it is the proxy that is counted.
        sender(&app, request.headers(), request.extensions()).or_else(|| peer(&request)),
        shows_credential(&request),
    );
    let answered = next.run(request).instrument(span.clone());
    let mut response = security::REQUEST.scope(seen, answered).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", value);
    }
    let status = response.status().as_u16();
    span.in_scope(|| {
        tracing::debug!(
            http.status = status,
            duration_ms = started.elapsed().as_millis(),
            "request answered"
        );
    });
    metrics::histogram!("prichal_request_seconds", "face" => face).record(started.elapsed());
    response
}

fn peer(request: &Request) -> Option<IpAddr> {
    let Peer(address) = request.extensions().get()?;
    Some(address.ip().to_canonical())
}

/// The address that has sent a request: its peer's or, behind proxies that are trusted, the last that those do
/// not vouch for.
pub fn sender(app: &App, headers: &HeaderMap, extensions: &Extensions) -> Option<IpAddr> {
    let peer = extensions.get::<Peer>()?.0.ip().to_canonical();
    let trusts = |address: IpAddr| {
        let mut proxies = app.config.trusted_proxies.iter();
        proxies.any(|proxy| proxy.contains(address))
    };
    let mut sender = peer;
    let forwarded = headers.get_all("x-forwarded-for").iter();
    let forwarded: Vec<&str> = forwarded
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    for address in forwarded.iter().rev() {
        if !trusts(sender) {
            break;
        }
        // What is no address was vouched for by a proxy nevertheless: nobody.
        sender = address.parse::<IpAddr>().ok()?.to_canonical();
    }
    Some(sender)
}

/// Headers that carry credentials.
const CREDENTIALS: [&str; 3] = [
    "authorization",
    "x-xcom-accesskey",
    "x-xcom-integration-apikey",
];

/// True of a request that shows a credential, in a header, in its path or in its query.
fn shows_credential(request: &Request) -> bool {
    let (path, query) = (request.uri().path(), request.uri().query());
    let headers = request.headers();
    let in_path = ["/hook/", "/ws/token/v1/"];
    let named = |pair: &str| pair.starts_with("ticket=") || pair.starts_with("token=");
    CREDENTIALS.iter().any(|name| headers.contains_key(*name))
        || in_path.iter().any(|start| path.starts_with(start))
        || query.is_some_and(|query| query.split('&').any(named))
}

/// The face that a path belongs to, as metrics name it.
fn face_of(path: &str) -> &'static str {
    match path.split('/').nth(1) {
        Some("admin") => "admin",
        Some("api") => match path.split('/').nth(2) {
            Some("v3" | "1") => "edo",
            _ => "crm",
        },
        Some("rest" | "exec" | "hook" | "ws") => "era",
        _ => "other",
    }
}

/// Carries one connection to its end. After `stop` it ends with the request that is being answered.
async fn converse(
    connection: UpgradeableConnection<TokioIo<TcpStream>, TowerToHyperService<Router>>,
    stop: CancellationToken,
    place: OwnedSemaphorePermit,
) {
    let mut connection = pin!(connection);
    // A connection that breaks is the client's matter.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
    drop(place);
}

/// Serves until `stop`, then lets what is in flight finish.
pub async fn serve(listener: TcpListener, app: App, stop: CancellationToken) -> anyhow::Result<()> {
    let service = router(app);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let place = places.clone().acquire_owned().await?;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or a client that left at once. Neither ends the server.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not accept a connection"
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(
                TokioIo::new(stream),
                TowerToHyperService::new(service.clone().layer(Extension(Peer(peer)))),
            )
            .with_upgrades();
        connections.spawn(converse(connection, stop.clone(), place));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}
