//! Written by its owner.

use crate::error::{Error, Result};

#[utoipa::path(get, path = "/api/v1/{ws}/stub/instances/list_instances", responses((status = 200)))]
pub(super) async fn list_instances() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(get, path = "/api/v1/{ws}/stub/instances/get_instance", responses((status = 200)))]
pub(super) async fn get_instance() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(patch, path = "/api/v1/{ws}/stub/instances/get_instance", responses((status = 200)))]
pub(super) async fn patch_instance() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(post, path = "/api/v1/{ws}/stub/instances/pause_instance", responses((status = 200)))]
pub(super) async fn pause_instance() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(post, path = "/api/v1/{ws}/stub/instances/resume_instance", responses((status = 200)))]
pub(super) async fn resume_instance() -> Result<()> {
    Err(Error::NoRoute)
}
