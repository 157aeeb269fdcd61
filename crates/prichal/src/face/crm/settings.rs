//! Written by its owner.

use crate::error::{Error, Result};

#[utoipa::path(get, path = "/api/v1/{ws}/stub/settings/get_settings", responses((status = 200)))]
pub(super) async fn get_settings() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(patch, path = "/api/v1/{ws}/stub/settings/get_settings", responses((status = 200)))]
pub(super) async fn patch_settings() -> Result<()> {
    Err(Error::NoRoute)
}
