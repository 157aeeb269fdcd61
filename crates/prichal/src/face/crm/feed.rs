//! Written by its owner.

use crate::error::{Error, Result};

#[utoipa::path(get, path = "/api/v1/{ws}/stub/feed/read_feed", responses((status = 200)))]
pub(super) async fn read_feed() -> Result<()> {
    Err(Error::NoRoute)
}
