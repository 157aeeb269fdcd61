//! Written by its owner.

use crate::error::{Error, Result};

#[utoipa::path(get, path = "/api/v1/{ws}/stub/ui_settings/find_ui_setting", responses((status = 200)))]
pub(super) async fn find_ui_setting() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(put, path = "/api/v1/{ws}/stub/ui_settings/find_ui_setting", responses((status = 200)))]
pub(super) async fn put_ui_setting() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(get, path = "/api/v1/{ws}/stub/ui_settings/get_ui_setting", responses((status = 200)))]
pub(super) async fn get_ui_setting() -> Result<()> {
    Err(Error::NoRoute)
}
