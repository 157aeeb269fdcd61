//! The routes of the dialect: the service collections, hooks and the websocket.

use axum::{Router, http::request::Parts, routing::any};
use futures_util::future::BoxFuture;
use utoipa_axum::router::OpenApiRouter;

use super::{hooks, service::service, websocket};
use crate::{app::App, error::Result};

pub use super::caller::Tenant as Guard;
pub use super::error_response::words;

pub fn router() -> OpenApiRouter<App> {
    let channels = Router::new()
        .route("/exec", any(hooks::hook))
        .route("/hook/{token}", any(hooks::hook))
        .route("/hook/{token}/", any(hooks::hook))
        .route("/hook/{token}/{*rest}", any(hooks::hook))
        .route("/ws/token/v1", any(websocket::connect))
        .route("/ws/token/v1/{token}", any(websocket::connect));
    service().merge(OpenApiRouter::from(channels))
}

/// Guards `/rest` only: hooks and websockets authenticate by the tokens of channels.
pub(super) fn guard<'a>(parts: &'a mut Parts, app: &'a App) -> BoxFuture<'a, Result<()>> {
    if parts.uri.path().starts_with("/rest/") {
        return crate::dialect::guard::<Guard>(parts, app);
    }
    Box::pin(async { Ok(()) })
}
