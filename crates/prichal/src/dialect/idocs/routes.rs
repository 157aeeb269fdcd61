//! The routes under `/api/v3` and `/api/1`, in the order of the vendor's list, and our own.

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderValue, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::Response,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    blobs, bulk, check_page, documents, downloads, events, hooks, limit::limit, queries,
    references, search, signatures, sync_calls,
};
use crate::{app::App, dialect, error::Error, platform::Platform};

pub use super::{bulk::Elements, caller::Company as Guard};
use super::{error_response, language::Language};

pub fn router(app: &App) -> OpenApiRouter<App> {
    v3().layer(from_fn_with_state(app.clone(), limit))
        .merge(webhooks())
        .merge(own())
        .merge(check_pages())
}

/// The pages for everybody, which have no limit of a token.
fn check_pages() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(check_page::any, check_page::upload))
        .routes(routes!(check_page::of_document))
}

fn webhooks() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(
            hooks::put_subscription,
            hooks::get_subscription,
            hooks::delete_subscription
        ))
        .routes(routes!(hooks::rotate_secret))
        .routes(routes!(hooks::list_deliveries))
        .routes(routes!(hooks::replay_events))
        .routes(routes!(hooks::get_history))
        .routes(routes!(hooks::list_history))
}

fn own() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(search::search_documents))
        .routes(routes!(search::get_document))
        .routes(routes!(downloads::download_file))
}

fn v3() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(blobs::upload_content))
        .routes(routes!(blobs::upload_signature))
        .routes(routes!(sync_calls::create_outbox))
        .routes(routes!(documents::delete_draft))
        .routes(routes!(sync_calls::create_route))
        .routes(routes!(sync_calls::create_quick_route))
        .routes(routes!(sync_calls::outbox_content))
        .routes(routes!(sync_calls::outbox_sign))
        .routes(routes!(downloads::download))
        .routes(routes!(sync_calls::create_inbox_route))
        .routes(routes!(sync_calls::inbox_content))
        .routes(routes!(sync_calls::inbox_sign))
        .routes(routes!(sync_calls::recall_document))
        .routes(routes!(sync_calls::reject_document))
        .routes(routes!(sync_calls::decline_document))
        .routes(routes!(queries::get_outbox))
        .routes(routes!(queries::get_inbox))
        .routes(routes!(queries::list_outbox))
        .routes(routes!(queries::list_inbox))
        .routes(routes!(queries::get_status))
        .routes(routes!(downloads::get_print_form))
        .routes(routes!(downloads::get_archive))
        .routes(routes!(sync_calls::create_internal))
        .routes(routes!(sync_calls::create_internal_route))
        .routes(routes!(sync_calls::act_on_route))
        .routes(routes!(signatures::list_signatures))
        .routes(routes!(signatures::verify_signature))
        .routes(routes!(references::list_employees))
        .routes(routes!(references::get_permissions))
        .routes(routes!(references::get_token))
        .routes(routes!(references::check_counterparties))
        .routes(routes!(references::list_words))
        .routes(routes!(events::list_events))
        .routes(routes!(bulk::list_operations))
        .routes(routes!(bulk::start_create))
        .routes(routes!(bulk::create_status))
        .routes(routes!(bulk::start_route))
        .routes(routes!(bulk::route_status))
        .routes(routes!(bulk::start_quick_route))
        .routes(routes!(bulk::quick_route_status))
        .routes(routes!(bulk::start_outbox_content))
        .routes(routes!(bulk::outbox_content_status))
        .routes(routes!(bulk::start_outbox_sign))
        .routes(routes!(bulk::outbox_sign_status))
        .routes(routes!(bulk::start_inbox_route))
        .routes(routes!(bulk::inbox_route_status))
        .routes(routes!(bulk::start_inbox_content))
        .routes(routes!(bulk::inbox_content_status))
        .routes(routes!(bulk::start_inbox_sign))
        .routes(routes!(bulk::inbox_sign_status))
        .routes(routes!(bulk::start_download))
        .routes(routes!(bulk::download_status))
}

/// Renders the errors of the routes in the language of each client.
pub fn render_errors(router: Router<App>, name: &'static str, app: &App) -> Router<App> {
    let app = app.clone();
    dialect::render_errors_with(
        router.layer(from_fn(negotiate)),
        name,
        move |error, left| {
            let Negotiated { language, accept } = left.get().cloned().unwrap_or_default();
            let mut response = error_response::words(&app, error, language);
            answer_as(&mut response, accept.as_ref());
            response
        },
    )
}

/// Words an error for the client with these headers.
pub fn words(app: &Platform, error: &Error, headers: &HeaderMap) -> Response {
    let mut response = error_response::words(app, error, Language::of(headers));
    answer_as(&mut response, headers.get(header::ACCEPT));
    response
}

/// The language and the media type that a client prefers.
#[derive(Clone, Default)]
struct Negotiated {
    language: Language,
    accept: Option<HeaderValue>,
}

async fn negotiate(request: Request, next: Next) -> Response {
    let language = Language::of(request.headers());
    let accept = request.headers().get(header::ACCEPT).cloned();
    let mut response = next.run(request).await;
    answer_as(&mut response, accept.as_ref());
    response
        .extensions_mut()
        .insert(Negotiated { language, accept });
    response
}

/// Sets the media type that the client prefers, because the vendor answers JSON under three names (`docs/contracts/idocs.md §1.1`).
fn answer_as(response: &mut Response, accept: Option<&HeaderValue>) {
    let Some(accept) = accept.and_then(|accept| accept.to_str().ok()) else {
        return;
    };
    let json = response.headers().get(header::CONTENT_TYPE);
    if !json.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json")) {
        return;
    }
    let first = accept
        .split(',')
        .map(|one| one.split(';').next().unwrap_or_default().trim());
    let known = first.filter_map(|one| match one {
        "text/plain" => Some("text/plain; charset=utf-8"),
        "text/json" => Some("text/json; charset=utf-8"),
        "application/json" | "*/*" | "application/*" => Some("application/json; charset=utf-8"),
        _ => None,
    });
    if let Some(kind) = known.into_iter().next() {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
}
