//! The description of the API.

use axum::Router;
use utoipa::openapi::OpenApi;

use crate::app::App;

pub fn router<const N: usize>(_apis: [OpenApi; N]) -> Router<App> {
    Router::new()
}
