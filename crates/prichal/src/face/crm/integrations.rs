//! Written by its owner.

use crate::error::{Error, Result};

#[utoipa::path(post, path = "/api/v1/{ws}/stub/integrations/create_private_integration", responses((status = 200)))]
pub(super) async fn create_private_integration() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(post, path = "/api/v1/{ws}/stub/integrations/create_public_integration", responses((status = 200)))]
pub(super) async fn create_public_integration() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(get, path = "/api/v1/{ws}/stub/integrations/create_public_integration", responses((status = 200)))]
pub(super) async fn list_integrations() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(put, path = "/api/v1/{ws}/stub/integrations/replace_manifest", responses((status = 200)))]
pub(super) async fn replace_manifest() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(post, path = "/api/v1/{ws}/stub/integrations/install_integration", responses((status = 200)))]
pub(super) async fn install_integration() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(post, path = "/api/v1/{ws}/stub/integrations/uninstall_integration", responses((status = 200)))]
pub(super) async fn uninstall_integration() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(post, path = "/api/v1/{ws}/stub/integrations/create_api_key", responses((status = 200)))]
pub(super) async fn create_api_key() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(post, path = "/api/v1/{ws}/stub/integrations/setup_integration", responses((status = 200)))]
pub(super) async fn setup_integration() -> Result<()> {
    Err(Error::NoRoute)
}
