//! The pages of the console and their addresses. A page is a file with its handlers, its view models and its template.

mod audit;
mod calls;
mod channels;
mod deliveries;
mod documents;
mod events;
mod home;
mod integrations;
pub(crate) mod live;
mod now;
mod server;
mod settings;
mod sign_in;

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    middleware::from_fn_with_state,
    routing::{any, get, post},
};

use crate::{
    answer::{self, Fault, missing},
    assets,
    backend::Backend,
    state::Console,
};

/// The types of entities that lists can be filtered by.
const ENTITY_TYPES: [&str; 16] = [
    "company",
    "contact",
    "deal",
    "task",
    "communication",
    "catalogItem",
    "notification",
    "user",
    "group",
    "role",
    "integration",
    "document",
    "route",
    "workflow",
    "integrationPoint",
    "svcscript",
];

/// The console, below `/console`.
#[expect(clippy::too_many_lines, reason = "a table of routes")]
pub fn router(backend: Arc<dyn Backend>) -> Router {
    let console = Console(backend);
    let router = Router::new()
        .route("/console", get(home::home))
        .route("/console/assets/{file}", get(assets::serve))
        .route("/console/language", post(sign_in::choose_language))
        .route("/console/sign-in", get(sign_in::form).post(sign_in::submit))
        .route("/console/oidc/start", get(sign_in::begin_at_provider))
        .route("/console/oidc/callback", get(sign_in::return_from_provider))
        .route("/console/sign-out", post(sign_in::sign_out))
        .route("/console/server", get(server::server))
        .route("/console/server/audit", get(server::audit))
        .route("/console/server/audit/export", get(server::export))
        .route("/console/server/figures", get(server::figures))
        .route("/console/server/quarantine/{id}", post(server::quarantine))
        .route("/console/{ws}", get(home::workspace))
        .route("/console/{ws}/calls", get(calls::list).post(calls::dial))
        .route("/console/{ws}/calls/statistics", get(calls::statistics))
        .route(
            "/console/{ws}/calls/{id}",
            get(calls::detail).post(calls::hang_up),
        )
        .route(
            "/console/{ws}/calls/{id}/recording/{file}",
            get(calls::recording),
        )
        .merge(channels())
        .route("/console/{ws}/live", get(live::follow))
        .route("/console/{ws}/deliveries", get(deliveries::list))
        .route(
            "/console/{ws}/deliveries/resend",
            get(deliveries::confirm).post(deliveries::resend_matching),
        )
        .route(
            "/console/{ws}/deliveries/resends/{id}",
            get(deliveries::progress).post(deliveries::cancel),
        )
        .route("/console/{ws}/deliveries/{id}", get(deliveries::detail))
        .route(
            "/console/{ws}/deliveries/{id}/resend",
            get(deliveries::confirm_one).post(deliveries::resend),
        )
        .route(
            "/console/{ws}/deliveries/{id}/verify",
            post(deliveries::verify),
        )
        .route(
            "/console/{ws}/integrations",
            get(integrations::list).post(integrations::add),
        )
        .route(
            "/console/{ws}/integrations/{id}",
            get(integrations::detail).post(integrations::act),
        )
        .route(
            "/console/{ws}/integrations/{id}/setup",
            post(integrations::setup),
        )
        .route(
            "/console/{ws}/integrations/{id}/api-key",
            post(integrations::api_key),
        )
        .route(
            "/console/{ws}/integrations/{id}/secrets",
            post(integrations::reveal),
        )
        .route(
            "/console/{ws}/integrations/{id}/webhooks",
            post(integrations::add_webhook),
        )
        .route(
            "/console/{ws}/integrations/{id}/webhooks/{hook}",
            post(integrations::change_webhook),
        )
        .route(
            "/console/{ws}/integrations/{id}/webhooks/{hook}/test",
            post(integrations::test_webhook),
        )
        .route(
            "/console/{ws}/integrations/{id}/webhooks/{hook}/replay",
            get(integrations::replay).post(integrations::begin_replay),
        )
        .route("/console/{ws}/settings", get(settings::settings))
        .route("/console/{ws}/settings/people", get(settings::people))
        .route(
            "/console/{ws}/settings/people/{id}",
            get(settings::person).post(settings::save_person),
        )
        .route(
            "/console/{ws}/settings/tokens",
            get(settings::tokens).post(settings::create_token),
        )
        .route(
            "/console/{ws}/settings/tokens/{id}/revoke",
            post(settings::revoke_token),
        )
        .route(
            "/console/{ws}/settings/signatures",
            get(settings::signatures),
        )
        .route(
            "/console/{ws}/settings/alerts",
            get(settings::alerts).post(settings::save_alerts),
        )
        .route(
            "/console/{ws}/settings/alerts/{id}/acknowledge",
            post(settings::acknowledge),
        )
        .route(
            "/console/{ws}/settings/limits",
            get(settings::limits).post(settings::save_limits),
        )
        .route("/console/{ws}/settings/audit", get(settings::audit));
    router
        .merge(documents::router())
        .merge(events::router())
        .merge(now::router())
        // Not a fallback: a router with one could not be merged with that of the API, whose fallback answers the rest.
        .route(
            "/console/{ws}/{*rest}",
            any(async |request: Request| missing(&request.into_parts().0)),
        )
        .method_not_allowed_fallback(async || Fault::NotFound)
        .layer(from_fn_with_state(console.clone(), answer::guard))
        .with_state(console)
}

/// Channels with their types, scripts and runs.
fn channels() -> Router<Console> {
    Router::new()
        .route("/console/{ws}/channels", get(channels::points))
        .route(
            "/console/{ws}/channels/new",
            get(channels::new_point).post(channels::create_point),
        )
        .route(
            "/console/{ws}/channels/points/{id}",
            get(channels::point).post(channels::save_point),
        )
        .route(
            "/console/{ws}/channels/points/{id}/rotate",
            post(channels::rotate_point),
        )
        .route(
            "/console/{ws}/channels/points/{id}/delete",
            post(channels::delete_point),
        )
        .route("/console/{ws}/channels/types", get(channels::types))
        .route(
            "/console/{ws}/channels/types/new",
            get(channels::new_type).post(channels::create_type),
        )
        .route(
            "/console/{ws}/channels/types/{id}",
            get(channels::a_type).post(channels::save_type),
        )
        .route(
            "/console/{ws}/channels/types/{id}/delete",
            post(channels::delete_type),
        )
        .route("/console/{ws}/channels/scripts", get(channels::scripts))
        .route(
            "/console/{ws}/channels/scripts/new",
            get(channels::new_script).post(channels::create_script),
        )
        .route(
            "/console/{ws}/channels/scripts/{id}",
            get(channels::script).post(channels::save_script),
        )
        .route(
            "/console/{ws}/channels/scripts/{id}/try",
            post(channels::try_script),
        )
        .route(
            "/console/{ws}/channels/scripts/{id}/delete",
            post(channels::delete_script),
        )
        .route("/console/{ws}/channels/runs", get(channels::runs))
        .route(
            "/console/{ws}/channels/runs/{id}",
            get(channels::run).post(channels::retry_run),
        )
}
