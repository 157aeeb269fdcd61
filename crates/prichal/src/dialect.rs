//! Faces: each owns one foreign contract, its wire types, its routes and the wording of its errors.
//! It owns no rule and no SQL, and knows no other face.
//!
//! A handler answers with [`Error`], which only rides on an empty response; the layer of the face it
//! leaves through gives it status and body ([`worded`]). Refusals by extractors and unknown routes
//! travel the same way.

pub mod admin;
pub mod era;
pub mod idocs;
pub mod kontur;
pub mod openapi;

use std::{error::Error as StdError, sync::Arc};

use axum::{
    Router,
    extract::{FromRequestParts, Request, State},
    http::{Extensions, HeaderMap, StatusCode, request::Parts},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use futures_util::future::BoxFuture;
use tower::util::MapRequest;
use utoipa::openapi::path::Operation;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    app::App,
    error::{Error, Result},
    http::{Dialects, answer::hold, courtesy, paths::Paths, with_request_id},
    platform::{Platform, guess, memory::Payer},
};

#[derive(Clone)]
struct Unworded(Arc<Error>);

impl IntoResponse for Error {
    /// Only carries the error out. The face gives it a status and a body.
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Unworded(Arc::new(self)));
        response
    }
}

/// Words every error that leaves this router, and logs those that are our own fault. `Guard` lets in
/// who may know what there is.
pub fn worded<Guard>(
    router: Router<App>,
    face: &'static str,
    words: fn(&Error) -> Response,
) -> Router<App>
where
    Guard: FromRequestParts<App, Rejection = Error> + Send + 'static,
{
    worded_for::<Guard>(router, face, move |error, _| words(error))
}

/// The same for words that depend on who hears them: the layers below have left that with the response.
pub fn worded_for<Guard>(
    router: Router<App>,
    face: &'static str,
    words: impl Fn(&Error, &Extensions) -> Response + Clone + Send + Sync + 'static,
) -> Router<App>
where
    Guard: FromRequestParts<App, Rejection = Error> + Send + 'static,
{
    let router = router.method_not_allowed_fallback(wrong_method::<Guard>);
    router.layer(from_fn(move |request: Request, next: Next| {
        let (words, payer) = (words.clone(), Payer::of(request.extensions()));
        let is_safe = request.method().is_safe();
        async move {
            let answered = next.run(request).await;
            let worded = say(answered, face, &words, payer.as_ref());
            match hold(payer.clone(), worded, is_safe).await {
                Ok(held) => held,
                Err(busy) => say(busy.into_response(), face, &words, payer.as_ref()),
            }
        }
    }))
}

/// Words the error that rides on a response, if one does.
fn say(
    mut response: Response,
    face: &'static str,
    words: &impl Fn(&Error, &Extensions) -> Response,
    payer: Option<&Payer>,
) -> Response {
    let Some(Unworded(error)) = response.extensions_mut().remove::<Unworded>() else {
        return response;
    };
    let error = guess::count_refusal(error);
    match *error {
        Error::Busy => {
            if let Some(requests) = payer.map_or(Some(1), Payer::turned_away) {
                tracing::warn!(
                    face,
                    requests,
                    "the server is busy and has turned requests away"
                );
            }
            metrics::counter!("prichal_request_faults_total", "face" => face).increment(1);
        }
        Error::Unavailable(_) | Error::Internal(_) => {
            tracing::error!(face, error = &*error as &dyn StdError, "request failed");
            metrics::counter!("prichal_request_faults_total", "face" => face).increment(1);
        }
        _ => {
            metrics::counter!("prichal_request_refusals_total", "face" => face).increment(1);
        }
    }
    let mut worded = words(&error, response.extensions());
    // What the layers below have said of the request holds for its error as well.
    let mut lines = std::mem::take(response.headers_mut());
    lines.extend(std::mem::take(worded.headers_mut()));
    *worded.headers_mut() = lines;
    worded
}

async fn wrong_method<Guard>(_: Guard) -> Error {
    Error::WrongMethod
}

/// A foreign contract as the server knows it. Everything else about it is in its folder.
pub struct Dialect {
    /// The dialect in metrics and log lines.
    pub name: &'static str,
    /// The beginnings of its paths, in whole segments.
    pub prefixes: &'static [&'static str],
    /// Paths are taken in any case and with doubled slashes, as the vendor's server takes them.
    pub has_lenient_paths: bool,
    pub router: fn(&App) -> OpenApiRouter<App>,
    /// Words the errors of a router.
    pub worded: fn(Router<App>, &App) -> Router<App>,
    /// Words one error for a request with these headers.
    pub refuse: fn(&Platform, &HeaderMap, &Error) -> Response,
    /// Refuses strangers who ask for a path that does not exist.
    pub guard: for<'a> fn(&'a mut Parts, &'a App) -> BoxFuture<'a, Result<()>>,
    /// Describes the refusals of an operation for OpenAPI, by its path and whether it is a PATCH.
    pub describe: fn(&str, &mut Operation, bool),
}

/// Every dialect of the server. Paths of none belong to the last one.
pub static DIALECTS: [&Dialect; 4] = [
    &kontur::DIALECT,
    &idocs::DIALECT,
    &era::DIALECT,
    &admin::DIALECT,
];

impl Dialect {
    fn owns(&self, path: &str) -> bool {
        self.prefixes.iter().any(|prefix| {
            let rest = path.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// The dialect of a path.
    fn find(path: &str) -> Option<&'static Self> {
        DIALECTS.into_iter().find(|dialect| dialect.owns(path))
    }

    fn of(path: &str) -> &'static Self {
        Self::find(path).unwrap_or(DIALECTS[DIALECTS.len() - 1])
    }
}

/// Lets in the requests that a [`Dialect::guard`] asks `Guard` for.
pub fn guard<'a, Guard>(parts: &'a mut Parts, app: &'a App) -> BoxFuture<'a, Result<()>>
where
    Guard: FromRequestParts<App, Rejection = Error> + 'static,
{
    Box::pin(async { Guard::from_request_parts(parts, app).await.map(drop) })
}

/// Every path of the server.
pub fn router(app: App) -> Router {
    let dialects = Dialects {
        name: |path| Dialect::find(path).map_or("other", |dialect| dialect.name),
        refuse: |platform, path, headers, error| {
            (Dialect::of(path).refuse)(platform, headers, error)
        },
    };
    let mut router = Router::new();
    let (mut apis, mut lenient) = (Vec::new(), Vec::new());
    for dialect in DIALECTS {
        let (routes, api) = (dialect.router)(&app).split_for_parts();
        router = router.merge((dialect.worded)(routes, &app));
        if dialect.has_lenient_paths {
            lenient.extend(api.paths.paths.keys().cloned());
        }
        apis.push(api);
    }
    let paths = Arc::new(Paths::new(lenient.iter().map(String::as_str)));
    let state = (app.platform.clone(), dialects);
    let router = router
        .merge(openapi::router(apis))
        .fallback(no_route)
        .with_state(app)
        .layer(from_fn_with_state(state.clone(), courtesy::keep))
        .layer(from_fn_with_state(state, with_request_id));
    // Paths are brought into their canonical form before routes are matched.
    Router::new().fallback_service(MapRequest::new(router, move |mut request: Request| {
        if let Some(uri) = paths.canonical(request.uri()) {
            *request.uri_mut() = uri;
        }
        request
    }))
}

/// Answers requests for paths that do not exist, in the words of the dialect that their prefix belongs to.
async fn no_route(State(app): State<App>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let refused = match Dialect::find(&path) {
        Some(dialect) => (dialect.guard)(&mut parts, &app).await.err(),
        None => None,
    };
    let refused = guess::count_refusal(Arc::new(refused.unwrap_or(Error::NoRoute)));
    (Dialect::of(&path).refuse)(&app, &parts.headers, &refused)
}
