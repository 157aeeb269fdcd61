//! The six columns of `UpdateInfo`, which several tables share: creation and last change, with user and integration.

use prichal_core::{event::Author, id::UserId, update_info::UpdateInfo};

use crate::{Result, Row, value::Value};

pub(crate) const COLUMNS: &str =
    "created_at, created_by, created_with, updated_at, updated_by, updated_with";

/// The values, in the order of [`COLUMNS`].
pub(crate) fn values(info: &UpdateInfo) -> [Value<'static>; 6] {
    [
        info.created_at.into(),
        info.created.user.into(),
        info.created.with.clone().into(),
        info.updated_at.into(),
        info.updated.user.into(),
        info.updated.with.clone().into(),
    ]
}

/// Reads the columns from number `first` on.
pub(crate) fn read(row: &Row<'_>, first: usize) -> Result<UpdateInfo> {
    let author = |at: usize| -> Result<Author> {
        Ok(Author {
            user: row.maybe_uuid(at)?.map(UserId),
            with: row.get(at + 1)?,
        })
    };
    Ok(UpdateInfo {
        created_at: row.time(first)?,
        created: author(first + 1)?,
        updated_at: row.time(first + 3)?,
        updated: author(first + 4)?,
    })
}
