//! Written by its owner.

use crate::error::{Error, Result};

#[utoipa::path(get, path = "/api/v1/{ws}/stub/deliveries/list_deliveries", responses((status = 200)))]
pub(super) async fn list_deliveries() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(post, path = "/api/v1/{ws}/stub/deliveries/replay_events", responses((status = 200)))]
pub(super) async fn replay_events() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(post, path = "/api/v1/{ws}/stub/deliveries/test_webhook", responses((status = 200)))]
pub(super) async fn test_webhook() -> Result<()> {
    Err(Error::NoRoute)
}
