//! Written by its owner.

use crate::error::{Error, Result};

#[utoipa::path(post, path = "/api/v1/{ws}/stub/links/create_link", responses((status = 200)))]
pub(super) async fn create_link() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(delete, path = "/api/v1/{ws}/stub/links/create_link", responses((status = 200)))]
pub(super) async fn delete_link() -> Result<()> {
    Err(Error::NoRoute)
}
