//! Authors and times of a thing's making and of its last change (`reference/kontur.md` §5).

use crate::{
    event::{Author, Origin},
    time::Timestamp,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateInfo {
    pub updated_at: Timestamp,
    pub updated: Author,
    pub created_at: Timestamp,
    pub created: Author,
}

impl UpdateInfo {
    /// Of something made just now.
    pub fn created(origin: &Origin) -> Self {
        Self {
            updated_at: origin.at,
            updated: origin.author.clone(),
            created_at: origin.at,
            created: origin.author.clone(),
        }
    }

    /// After a change. What is said of the making stays (`reference/kontur.md` §3).
    #[must_use]
    pub fn changed(self, origin: &Origin) -> Self {
        Self {
            updated_at: origin.at,
            updated: origin.author.clone(),
            ..self
        }
    }
}
