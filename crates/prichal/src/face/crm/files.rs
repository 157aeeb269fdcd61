//! Written by its owner.

use crate::error::{Error, Result};

#[utoipa::path(post, path = "/api/v1/{ws}/stub/files/upload_file", responses((status = 200)))]
pub(super) async fn upload_file() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(get, path = "/api/v1/{ws}/stub/files/download_file", responses((status = 200)))]
pub(super) async fn download_file() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(head, path = "/api/v1/{ws}/stub/files/download_file", responses((status = 200)))]
pub(super) async fn head_file() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(get, path = "/api/v1/{ws}/stub/files/get_file_meta", responses((status = 200)))]
pub(super) async fn get_file_meta() -> Result<()> {
    Err(Error::NoRoute)
}
