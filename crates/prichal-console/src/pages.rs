//! The pages of the console and their addresses. A page is a file with its handlers, its view models and its template.

mod deliveries;
mod home;
pub(crate) mod live;
mod sign_in;

use std::sync::Arc;

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{get, post},
};

use crate::{
    answer::{self, Fault},
    assets,
    backend::Backend,
    state::Console,
};

/// The console, below `/console`.
pub fn router(backend: Arc<dyn Backend>) -> Router {
    let console = Console(backend);
    let router = Router::new()
        .route("/console", get(home::home))
        .route("/console/assets/{file}", get(assets::serve))
        .route("/console/language", post(sign_in::choose_language))
        .route("/console/sign-in", get(sign_in::form).post(sign_in::submit))
        .route("/console/sign-out", post(sign_in::sign_out))
        .route("/console/{ws}", get(home::workspace))
        .route("/console/{ws}/live", get(live::follow))
        .route("/console/{ws}/deliveries", get(deliveries::list))
        .route(
            "/console/{ws}/deliveries/resend",
            get(deliveries::confirm).post(deliveries::resend_matching),
        )
        .route("/console/{ws}/deliveries/{id}", get(deliveries::detail))
        .route(
            "/console/{ws}/deliveries/{id}/resend",
            post(deliveries::resend),
        )
        .route(
            "/console/{ws}/deliveries/{id}/verify",
            post(deliveries::verify),
        );
    router
        .fallback(async || Fault::NotFound)
        .method_not_allowed_fallback(async || Fault::NotFound)
        .layer(from_fn_with_state(console.clone(), answer::guard))
        .with_state(console)
}
