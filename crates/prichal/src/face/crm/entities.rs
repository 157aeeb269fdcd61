//! Written by its owner.

use crate::error::{Error, Result};

#[utoipa::path(post, path = "/api/v1/{ws}/stub/entities/create_entity", responses((status = 200)))]
pub(super) async fn create_entity() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(get, path = "/api/v1/{ws}/stub/entities/create_entity", responses((status = 200)))]
pub(super) async fn list_entities() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(post, path = "/api/v1/{ws}/stub/entities/create_entities", responses((status = 200)))]
pub(super) async fn create_entities() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(get, path = "/api/v1/{ws}/stub/entities/get_entity", responses((status = 200)))]
pub(super) async fn get_entity() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(patch, path = "/api/v1/{ws}/stub/entities/get_entity", responses((status = 200)))]
pub(super) async fn patch_entity() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(delete, path = "/api/v1/{ws}/stub/entities/get_entity", responses((status = 200)))]
pub(super) async fn delete_entity() -> Result<()> {
    Err(Error::NoRoute)
}

#[utoipa::path(post, path = "/api/v1/{ws}/stub/entities/restore_entity", responses((status = 200)))]
pub(super) async fn restore_entity() -> Result<()> {
    Err(Error::NoRoute)
}
