//! The paths of the server itself: the OpenAPI and AsyncAPI descriptions, liveness and readiness, metrics.

mod params;
pub mod parts;
pub mod refusals;
pub mod schema;

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{
        ContactBuilder, Content, InfoBuilder, LicenseBuilder, Object, OpenApi, OpenApiBuilder,
        ResponseBuilder, ServerBuilder,
        path::{HttpMethod, OperationBuilder},
        schema::Type,
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{admin, asyncapi, no_path};
use crate::{
    app::App,
    platform::telemetry::{self, gauge},
};

/// The description of a dialect's routes.
pub struct Part {
    /// The name in paths and files.
    pub name: &'static str,
    pub title: &'static str,
    pub api: OpenApi,
    /// Its messages.
    pub messages: &'static [&'static asyncapi::Part],
}

/// A document of the description: the standard, and the name of a part or an empty name for the whole.
pub type Document = (Standard, &'static str);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standard {
    OpenApi,
    AsyncApi,
}

impl Standard {
    const fn name(self) -> &'static str {
        match self {
            Self::OpenApi => "OpenAPI",
            Self::AsyncApi => "AsyncAPI",
        }
    }
}

/// The paths of the whole description.
const WHOLE: &str = "/docs/openapi.json";
const SWAGGER: &str = "/swagger/v3/swagger.json";

/// The paths that belong to no dialect.
pub const OWN_PATHS: [&str; 4] = ["/docs", "/healthz", "/metrics", "/readyz"];

/// The router of [`OWN_PATHS`]. `paths` are those of the documents ([`paths_of`]), and `parts` describes the dialects.
pub fn router(
    mut paths: Vec<(String, Document)>,
    parts: impl FnOnce() -> Vec<Part> + Send + 'static,
    app: &App,
) -> Router<App> {
    let (server, _) = own_routes().split_for_parts();
    paths.push((SWAGGER.to_owned(), (Standard::OpenApi, "")));
    let described = paths.clone();
    // Made for the first request, again from the routes: most servers never get one, and a description takes much more
    // memory than its text.
    let documents = Arc::new(LazyLock::new(move || {
        let mut parts = parts();
        parts.push(own_part(&described));
        documents(parts)
    }));
    let mut docs = Router::new()
        .merge(page("/docs", WHOLE))
        .merge(page("/swagger", SWAGGER));
    for (path, document) in paths {
        let documents = documents.clone();
        let handler = async move || {
            let json = documents.get(&document).cloned().unwrap_or_default();
            ([(header::CONTENT_TYPE, "application/json")], json)
        };
        docs = docs.route(&path, get(handler));
    }
    server.merge(docs.layer(from_fn_with_state(app.clone(), tagged)))
}

fn own_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_health))
        .routes(routes!(get_readiness))
        .routes(routes!(get_metrics))
}

/// The part that belongs to no dialect.
fn own_part(paths: &[(String, Document)]) -> Part {
    let (_, mut api) = own_routes().split_for_parts();
    describe(&mut api, paths);
    Part {
        name: SERVER,
        title: "The server itself",
        api,
        messages: &[],
    }
}

/// The name of the part that belongs to no dialect, and of its tag.
const SERVER: &str = "server";

fn path_of((standard, part): Document) -> String {
    let file = standard.name().to_lowercase();
    match part {
        "" => format!("/docs/{file}.json"),
        part => format!("/docs/{part}/{file}.json"),
    }
}

/// The paths of the documents about a part.
pub fn paths_of(
    name: &'static str,
    messages: &[&'static asyncapi::Part],
) -> Vec<(String, Document)> {
    let mut standards = vec![Standard::OpenApi];
    if !messages.is_empty() {
        standards.push(Standard::AsyncApi);
    }
    let path = |standard| (path_of((standard, name)), (standard, name));
    standards.into_iter().map(path).collect()
}

/// The paths of the documents about the whole, and about the server itself.
pub fn own_paths() -> [(String, Document); 3] {
    let (open, events) = (Standard::OpenApi, Standard::AsyncApi);
    [
        (WHOLE.to_owned(), (open, "")),
        (path_of((open, SERVER)), (open, SERVER)),
        (path_of((events, "")), (events, "")),
    ]
}

/// A page that shows a document of the description.
fn page(path: &'static str, document: &'static str) -> Router<App> {
    // The validator is another company's service, which would learn the address of this server.
    let config = Config::new([document]).validator_url("none");
    Router::from(SwaggerUi::new(path).config(config))
}

/// Completes the part that belongs to no dialect.
fn describe(api: &mut OpenApi, served: &[(String, Document)]) {
    let text = "The state of the server, its figures, and this description.";
    refusals::add_tags(api, &[(SERVER, text)]);
    for (path, (standard, name)) in served {
        let standard = standard.name();
        let what = match *name {
            "" => "whole API".to_owned(),
            name => format!("part `{name}`"),
        };
        let id = path.trim_matches('/').replace(['/', '.'], "_");
        let json = Content::new(Some(Object::with_type(Type::Object)));
        let described = ResponseBuilder::new().content("application/json", json);
        let operation = OperationBuilder::new()
            .tag(SERVER)
            .operation_id(Some(format!("get_{id}")))
            .summary(Some(format!(
                "Read the {standard} description of the {what}."
            )))
            .response("200", described.build());
        let get = vec![HttpMethod::Get];
        api.paths.add_path_operation(path, get, operation);
    }
    admin::add_problems(api);
    for (_, _, operation) in refusals::operations(api) {
        operation.security = Some(Vec::new());
    }
}

/// The text of each document.
fn documents(parts: Vec<Part>) -> BTreeMap<Document, Bytes> {
    let mut documents = BTreeMap::new();
    let mut add = |name: &'static str, title: &str, apis: Vec<OpenApi>, messages: &[_]| {
        let text = document(title, apis).to_pretty_json();
        let text = Bytes::from(text.unwrap_or_default());
        documents.insert((Standard::OpenApi, name), text);
        let text = format!("{:#}", asyncapi::document(title, messages));
        documents.insert((Standard::AsyncApi, name), text.into());
    };
    let all = parts.iter().map(|part| part.api.clone()).collect();
    let messages: Vec<_> = parts
        .iter()
        .flat_map(|part| part.messages)
        .copied()
        .collect();
    add("", "Prichal", all, &messages);
    for part in parts {
        let title = format!("Prichal. {}", part.title);
        add(part.name, &title, vec![part.api], part.messages);
    }
    documents
}

/// Gives pages and the files that they load an `ETag` of their contents, which change only with the version. A file that
/// does not exist is refused like any other path.
async fn tagged(State(app): State<App>, mut request: Request, next: Next) -> Response {
    // The tag is made of the contents, so HEAD is answered like GET. The listener leaves the contents out.
    if request.method() == Method::HEAD {
        *request.method_mut() = Method::GET;
    }
    let (uri, headers) = (request.uri().clone(), request.headers().clone());
    let response = next.run(request).await;
    if response.status() == StatusCode::NOT_FOUND {
        return no_path(&app, uri.path(), &headers);
    }
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(contents) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut digest = DefaultHasher::new();
    contents.hash(&mut digest);
    if let Ok(tag) = HeaderValue::try_from(format!("\"{:016x}\"", digest.finish())) {
        parts.headers.insert(header::ETAG, tag);
    }
    let always_asked = HeaderValue::from_static("no-cache");
    parts.headers.insert(header::CACHE_CONTROL, always_asked);
    Response::from_parts(parts, contents.into())
}

/// One document of the description. Parts that have a schema of the same name have the same schema.
fn document(title: &str, apis: Vec<OpenApi>) -> OpenApi {
    let license = LicenseBuilder::new()
        .name("Apache License 2.0")
        .identifier(Some("Apache-2.0"));
    let contact = ContactBuilder::new().name(Some("The maintainers of Prichal"));
    let info = InfoBuilder::new()
        .title(title)
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "The server side of integration APIs that your partners already know.",
        ))
        .license(Some(license.build()))
        .contact(Some(contact.build()));
    let server = ServerBuilder::new()
        .url("/")
        .description(Some("The server that this description comes from"));
    let mut api = OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([server.build()]))
        .build();
    apis.into_iter().for_each(|part| api.merge(part));
    for (_, _, operation) in refusals::operations(&mut api) {
        refusals::complete(operation);
    }
    drop_unused(&mut api);
    api
}

/// Drops schemas to which nothing refers: those of types that are described in the place where they are used.
fn drop_unused(api: &mut OpenApi) {
    loop {
        let text = api.to_json().unwrap_or_default();
        let is_used = |name: &str| text.contains(&format!("\"#/components/schemas/{name}\""));
        let components = api.components.get_or_insert_default();
        let count = components.schemas.len();
        components.schemas.retain(|name, _| is_used(name));
        if components.schemas.len() == count {
            return;
        }
    }
}

/// The time that each part has to answer [`ready`].
const READINESS_TIMEOUT: Duration = Duration::from_secs(2);

/// Check that the server's process answers.
///
/// The answer says nothing about the store.
#[utoipa::path(get, path = "/healthz", tag = "server",
    responses((status = 200, body = String, content_type = "text/plain", example = "ok")))]
async fn get_health() -> &'static str {
    "ok"
}

/// The state of the parts that requests need.
#[derive(Serialize, ToSchema)]
struct Readiness {
    store: PartState,
    bus: PartState,
    blobs: PartState,
}

/// The state of one part.
#[derive(Serialize, ToSchema)]
enum PartState {
    #[serde(rename = "ok")]
    Ready,
    #[serde(rename = "no answer")]
    Silent,
}

impl From<bool> for PartState {
    fn from(is_ready: bool) -> Self {
        if is_ready { Self::Ready } else { Self::Silent }
    }
}

/// Check that the store, the bus and the blobs answer.
///
/// A balancer sends requests only to a server whose answer is 200.
#[utoipa::path(get, path = "/readyz", tag = "server",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness, description = "A part does not answer")))]
async fn get_readiness(State(app): State<App>) -> (StatusCode, Json<Readiness>) {
    let store = app
        .db
        .read(|conn| prichal_store::workspace::list(conn, 0, 1));
    let (store, blobs) = tokio::join!(
        tokio::time::timeout(READINESS_TIMEOUT, store),
        tokio::time::timeout(READINESS_TIMEOUT, app.blobs.check()),
    );
    let store = store.is_ok_and(|found| found.is_ok());
    let blobs = blobs.is_ok_and(|checked| checked.is_ok());
    let bus = app.bus.is_ready();
    let status = if store && blobs && bus {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let readiness = Readiness {
        store: store.into(),
        bus: bus.into(),
        blobs: blobs.into(),
    };
    (status, Json(readiness))
}

/// Sets the gauges of the domain and of deliveries.
fn gauges(app: &App) {
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    gauge("prichal_websockets", count(app.channels.sockets.count()));
    gauge("prichal_scripts_running", count(app.scripts.running()));
    let (idle, lags) = app.dispatch.lags();
    for (state, webhooks, lag) in [
        ("idle", count(idle), 0),
        (
            "working",
            count(lags.len()),
            lags.iter().copied().max().unwrap_or(0),
        ),
    ] {
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        let set = |name: &'static str, value: i64| {
            metrics::gauge!(name, "state" => state).set(value as f64);
        };
        set("prichal_webhooks", webhooks);
        set("prichal_feed_lag_events", lag);
    }
}

/// Read the figures of the server, in the text format of Prometheus.
///
/// `docs/operating.md` explains them.
#[utoipa::path(get, path = "/metrics", tag = "server", responses(
    (status = 200, body = String, content_type = "text/plain"),
    (status = 503, description = "The figures cannot be collected")))]
async fn get_metrics(State(app): State<App>) -> Response {
    gauges(&app);
    match telemetry::render(&app).await {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot render the metrics"
            );
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}
