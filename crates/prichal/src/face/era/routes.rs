//! What there is under `/rest/v1`.

use utoipa_axum::{router::OpenApiRouter, routes};

use super::{integration_points, integration_tokens};
use crate::app::App;

pub use super::caller::Tenant as Guard;
pub use super::words::words;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(integration_points::with_lookup(routes!(
            integration_points::create_integration_point,
            integration_points::list_integration_points
        )))
        .routes(routes!(
            integration_points::get_integration_point,
            integration_points::patch_integration_point,
            integration_points::delete_integration_point
        ))
        .routes(routes!(integration_tokens::check_token))
}
