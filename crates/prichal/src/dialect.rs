//! Dialects: each is a vendor's contract, with its routes, its wire types and the wording of its errors. A dialect has
//! no rule and no SQL, and imports no other dialect. [`DIALECTS`] is the only place that lists them.
//!
//! A handler returns [`Error`], which becomes an empty response that carries it. The layer around the dialect's routes
//! gives the response its status and body ([`render_errors`]). Refusals by extractors and unknown routes take the same
//! way.

mod admin;
pub mod asyncapi;
pub mod audit;
mod console;
pub mod era;
pub mod error_table;
pub mod idocs;
pub mod kontur;
pub mod openapi;
mod path_tree;
pub mod retention;
mod sign_in;

use std::{
    error::Error as StdError,
    sync::{Arc, OnceLock},
};

use axum::{
    Router,
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{Extensions, HeaderMap, StatusCode, request::Parts},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use futures_util::future::BoxFuture;
use prichal_core::id::WorkspaceId;
use prichal_store::usage;
use tower::util::MapRequest;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use self::{error_table::Errors, path_tree::PathTree};
use crate::{
    app::App,
    error::{Error, Result},
    http::{Dialects, answer::hold, conformance, paths::Paths, with_request_id},
    platform::{Platform, access::Caller, guess, memory::Payer, quota, writes},
};

/// The error that a response carries until its dialect renders it.
#[derive(Clone)]
struct PendingError(Arc<Error>);

impl IntoResponse for Error {
    /// Attaches the error to an empty response. Status and body are the dialect's.
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response
            .extensions_mut()
            .insert(PendingError(Arc::new(self)));
        response
    }
}

/// Renders every error that leaves this router, counts it under the dialect's name, and logs it if it is the server's
/// fault.
pub fn render_errors(
    router: Router<App>,
    dialect: &'static str,
    render: fn(&Error) -> Response,
) -> Router<App> {
    render_errors_with(router, dialect, move |error, _| render(error))
}

/// The same for a rendering that depends on the client: layers below have left that in the response's extensions.
pub fn render_errors_with(
    router: Router<App>,
    dialect: &'static str,
    render: impl Fn(&Error, &Extensions) -> Response + Clone + Send + Sync + 'static,
) -> Router<App> {
    router.layer(from_fn(move |request: Request, next: Next| {
        let (render, payer) = (render.clone(), Payer::of(request.extensions()));
        let is_safe = request.method().is_safe();
        async move {
            let response = next.run(request).await;
            let rendered = render_pending(response, dialect, &render, payer.as_ref());
            match hold(payer.clone(), rendered, is_safe).await {
                Ok(held) => held,
                Err(busy) => render_pending(busy.into_response(), dialect, &render, payer.as_ref()),
            }
        }
    }))
}

/// Renders the error that a response carries, if any.
fn render_pending(
    mut response: Response,
    dialect: &'static str,
    render: &impl Fn(&Error, &Extensions) -> Response,
    payer: Option<&Payer>,
) -> Response {
    let Some(PendingError(error)) = response.extensions_mut().remove::<PendingError>() else {
        return response;
    };
    let error = guess::count_refusal(error);
    match *error {
        Error::Busy => {
            if let Some(requests) = payer.map_or(Some(1), Payer::turned_away) {
                tracing::warn!(
                    face = dialect,
                    requests,
                    "the server is busy and has turned requests away"
                );
            }
            metrics::counter!("prichal_request_faults_total", "face" => dialect).increment(1);
        }
        Error::Unavailable(_) | Error::Internal(_) => {
            tracing::error!(
                face = dialect,
                error = &*error as &dyn StdError,
                "request failed"
            );
            metrics::counter!("prichal_request_faults_total", "face" => dialect).increment(1);
        }
        _ => {
            metrics::counter!("prichal_request_refusals_total", "face" => dialect).increment(1);
        }
    }
    let mut rendered = render(&error, response.extensions());
    // Headers that the layers below have set, such as `Retry-After`, hold for the error as well.
    let mut headers = std::mem::take(response.headers_mut());
    headers.extend(std::mem::take(rendered.headers_mut()));
    *rendered.headers_mut() = headers;
    rendered
}

/// Authorizes a request.
pub type Guard = for<'a> fn(&'a mut Parts, &'a App) -> BoxFuture<'a, Result<()>>;

/// A vendor's contract as the server knows it. The rest is in the dialect's folder.
pub struct Dialect {
    /// The name in metrics and log lines.
    pub name: &'static str,
    /// The name of its description in paths and files, such as `docs/openapi/{document}.json`.
    pub document: &'static str,
    /// The title of its description.
    pub title: &'static str,
    /// The beginnings of its paths, in whole segments.
    pub prefixes: &'static [&'static str],
    /// True if paths are accepted in any case and with doubled slashes, as the vendor's server accepts them.
    pub has_lenient_paths: bool,
    /// The headers that carry its credentials besides `Authorization`, in lower case.
    pub credential_headers: &'static [&'static str],
    /// The beginnings of its paths that a token follows.
    pub credential_paths: &'static [&'static str],
    /// True for a path whose answers may be read by pages of the origins in the settings.
    pub is_open_to_pages: fn(&str) -> bool,
    pub router: fn(&App) -> OpenApiRouter<App>,
    /// Adds the layer that renders the errors of its routes; the text is [`Self::name`].
    pub render_errors: fn(Router<App>, &'static str, &App) -> Router<App>,
    /// Renders an error outside of its routes, for a request with these headers.
    pub render: fn(&Platform, &HeaderMap, &Error) -> Response,
    /// Its part of `docs/errors.md`.
    pub errors: Errors,
    /// Authorizes a request for a path or a method that does not exist, so that strangers cannot explore.
    pub guard: Guard,
    /// Completes its part of the OpenAPI description: tags, security, and the refusals of every call.
    pub describe: fn(&mut OpenApi),
    /// Its part of the AsyncAPI description: what it sends, and what it speaks over sockets.
    pub messages: &'static [&'static asyncapi::Part],
}

/// Every dialect of the server, in the order in which the OpenAPI description shows them.
pub static DIALECTS: &[&Dialect] = &[
    &admin::DIALECT,
    &kontur::DIALECT,
    &era::DIALECT,
    &idocs::DIALECT,
];

/// The dialect that answers for paths without a dialect.
const FALLBACK: &Dialect = &admin::DIALECT;

impl Dialect {
    fn owns(&self, path: &str) -> bool {
        self.prefixes.iter().any(|prefix| {
            let rest = path.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// The dialect of a path.
    fn find(path: &str) -> Option<&'static Self> {
        DIALECTS.iter().copied().find(|dialect| dialect.owns(path))
    }

    /// The routes, with their errors rendered, and their part of the OpenAPI description, not completed.
    fn routes(&self, app: &App) -> (Router<App>, OpenApi) {
        let (router, api) = (self.router)(app).split_for_parts();
        let router = guard_methods(router, self.guard);
        ((self.render_errors)(router, self.name, app), api)
    }

    fn part(&self, mut api: OpenApi) -> openapi::Part {
        (self.describe)(&mut api);
        openapi::Part {
            name: self.document,
            title: self.title,
            api,
            messages: self.messages,
        }
    }
}

/// The descriptions of all dialects.
fn parts(app: &App) -> Vec<openapi::Part> {
    let part = |dialect: &&Dialect| dialect.part(dialect.routes(app).1);
    DIALECTS.iter().map(part).collect()
}

/// Admits an authorized caller to a workspace: from here on the workspace accounts for the memory of the request and is
/// on its log lines. Refuses a request whose method may write if the workspace has written too much, and any request
/// that adds `kinds` of bytes beyond a quota.
pub async fn admit(
    parts: &Parts,
    app: &App,
    workspace: WorkspaceId,
    caller: &Caller,
    kinds: &[usage::Kind],
) -> Result<()> {
    Payer::name(&parts.extensions, Some(workspace), caller.credential());
    quota::admit_request(app, workspace, caller, kinds).await?;
    tracing::Span::current().record("workspace", tracing::field::display(workspace));
    if !parts.method.is_safe() {
        writes::admit(app, workspace)?;
    }
    Ok(())
}

/// The [`Guard`] that asks an extractor.
pub fn guard<'a, Extractor>(parts: &'a mut Parts, app: &'a App) -> BoxFuture<'a, Result<()>>
where
    Extractor: FromRequestParts<App, Rejection = Error> + 'static,
{
    Box::pin(async { Extractor::from_request_parts(parts, app).await.map(drop) })
}

/// Refuses methods that a path does not have, strangers first.
pub fn guard_methods(router: Router<App>, guard: Guard) -> Router<App> {
    router.method_not_allowed_fallback(async move |State(app): State<App>, request: Request| {
        let (mut parts, _) = request.into_parts();
        let refused = guard(&mut parts, &app).await.err();
        refused.unwrap_or_else(|| {
            let route = parts.extensions.get::<MatchedPath>();
            let allowed = route.map(|route| paths().methods(route.as_str()));
            Error::WrongMethod {
                allowed: allowed.unwrap_or_default(),
            }
        })
    })
}

static PATHS: OnceLock<PathTree> = OnceLock::new();

/// The paths of the server, for refusals. Empty before the first [`router`].
fn paths() -> &'static PathTree {
    static EMPTY: PathTree = PathTree::empty();
    PATHS.get().unwrap_or(&EMPTY)
}

/// Every path of the server.
pub fn router(app: App) -> Router {
    let dialects = Dialects {
        name: |path| match Dialect::find(path) {
            Some(dialect) => dialect.name,
            None if path.starts_with("/console") => "console",
            None => "other",
        },
        operation: audit::operation,
        refuse: |platform, path, headers, error| {
            (Dialect::find(path).unwrap_or(FALLBACK).render)(platform, headers, error)
        },
        has_credential_header: |headers| {
            let mut names = DIALECTS
                .iter()
                .flat_map(|dialect| dialect.credential_headers);
            names.any(|name| headers.contains_key(*name))
        },
        has_credential_path: |path| {
            let mut starts = DIALECTS.iter().flat_map(|dialect| dialect.credential_paths);
            starts.any(|start| path.starts_with(start))
        },
        is_open_to_pages: |path| {
            Dialect::find(path).is_some_and(|dialect| (dialect.is_open_to_pages)(path))
        },
    };
    let mut router = Router::new();
    let (mut tree, mut lenient) = (PathTree::empty(), Vec::new());
    let mut operations = audit::Table::default();
    let mut documents = Vec::new();
    for dialect in DIALECTS {
        let (part, api) = dialect.routes(&app);
        router = router.merge(part);
        if dialect.has_lenient_paths {
            lenient.extend(api.paths.paths.keys().cloned());
        }
        tree.add_routes(&api.paths);
        operations.add(&api.paths);
        // Routes that the router does not describe.
        dialect.prefixes.iter().for_each(|path| tree.insert(path));
        for path in dialect.credential_paths {
            tree.insert(&format!("{path}{{token}}"));
        }
        documents.extend(openapi::paths_of(dialect.document, dialect.messages));
    }
    operations.add_console();
    documents.extend(openapi::own_paths());
    openapi::OWN_PATHS.iter().for_each(|path| tree.insert(path));
    for (path, _) in &documents {
        tree.insert(path);
    }
    // Servers of one process, as in tests, have the same paths.
    PATHS.get_or_init(|| tree);
    audit::set_operations(operations);
    let describe = {
        let app = app.clone();
        move || parts(&app)
    };
    let paths = Arc::new(Paths::new(lenient.iter().map(String::as_str)));
    let state = (app.platform.clone(), dialects);
    let router = router
        .merge(openapi::router(documents, describe, &app))
        .fallback(no_route);
    let (own, api) = (app.clone(), router.with_state(app));
    // The console calls the API without the layers below, through which its own requests have come.
    let router = api
        .clone()
        .merge(console::router(own, api))
        .route("/", get(async || Redirect::to("/console")))
        .layer(from_fn_with_state(state.clone(), conformance::apply))
        .layer(from_fn_with_state(state, with_request_id));
    // Paths are brought into their canonical form before routes are matched.
    Router::new().fallback_service(MapRequest::new(router, move |mut request: Request| {
        if let Some(uri) = paths.canonical(request.uri()) {
            *request.uri_mut() = uri;
        }
        request
    }))
}

/// Refuses a path that does not exist, in the words of the dialect that its prefix belongs to, or by a page of the console.
async fn no_route(State(app): State<App>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    if parts.uri.path().starts_with("/console/") {
        return prichal_console::missing(&parts);
    }
    let dialect = Dialect::find(parts.uri.path());
    let refused = match dialect {
        Some(dialect) => (dialect.guard)(&mut parts, &app).await.err(),
        None => None,
    };
    match refused {
        Some(refused) => refuse(&app, parts.uri.path(), &parts.headers, refused),
        None => no_path(&app, parts.uri.path(), &parts.headers),
    }
}

/// Refuses a path that does not exist, and names those there are.
fn no_path(app: &App, path: &str, headers: &HeaderMap) -> Response {
    refuse(app, path, headers, Error::NoRoute(paths().missing(path)))
}

fn refuse(app: &App, path: &str, headers: &HeaderMap, error: Error) -> Response {
    let error = guess::count_refusal(Arc::new(error));
    let dialect = Dialect::find(path).unwrap_or(FALLBACK);
    (dialect.render)(app, headers, &error)
}
