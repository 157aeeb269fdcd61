//! Written by its owner.

use crate::error::{Error, Result};

#[utoipa::path(post, path = "/api/v1/{ws}/stub/authorization/authorize_private_integration", responses((status = 200)))]
pub(super) async fn authorize_private_integration() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(post, path = "/api/v1/{ws}/stub/authorization/authorize_integration", responses((status = 200)))]
pub(super) async fn authorize_integration() -> Result<()> {
    Err(Error::NoRoute)
}
