//! Authors and times of the creation and of the last change (`docs/contracts/kontur.md §5`).

use crate::{
    event::{Author, Origin},
    json,
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
    /// The stamp of a new entity.
    pub fn created(origin: &Origin) -> Self {
        Self {
            updated_at: origin.at,
            updated: origin.author.clone(),
            created_at: origin.at,
            created: origin.author.clone(),
        }
    }

    /// The stamp after a change. Author and time of the creation stay (`docs/contracts/kontur.md §3`).
    #[must_use]
    pub fn changed(self, origin: &Origin) -> Self {
        Self {
            updated_at: origin.at,
            updated: origin.author.clone(),
            ..self
        }
    }

    /// Appends the object to a text.
    pub fn push(&self, out: &mut String) {
        out.push_str("{\"updatedAt\":");
        json::push_time(out, self.updated_at);
        if let Some(user) = self.updated.user {
            out.push_str(",\"updatedByUserId\":");
            json::push_guid(out, user.0);
        }
        out.push_str(",\"updatedWith\":");
        json::push_text(out, &self.updated.with);
        out.push_str(",\"createdAt\":");
        json::push_time(out, self.created_at);
        if let Some(user) = self.created.user {
            out.push_str(",\"createdByUserId\":");
            json::push_guid(out, user.0);
        }
        out.push_str(",\"createdWith\":");
        json::push_text(out, &self.created.with);
        out.push('}');
    }
}
