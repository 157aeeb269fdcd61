//! Authors and times of the creation and of the last change (`docs/contracts/kontur.md §5`).

use crate::{
    event::{Author, Origin},
    json,
    schema::{Field, Type},
    time::Timestamp,
};

/// The members, as [`UpdateInfo::push`] writes them.
pub const UPDATE_INFO: &[Field] = &[
    Field::new("updatedAt", Type::Moment)
        .shown()
        .doc("The time of the last change."),
    Field::new("updatedByUserId", Type::Guid).doc("The user who made the last change."),
    Field::new("updatedWith", Type::Text)
        .shown()
        .doc("The application that made the last change."),
    Field::new("createdAt", Type::Moment)
        .shown()
        .doc("The time of the creation."),
    Field::new("createdByUserId", Type::Guid).doc("The user who created the record."),
    Field::new("createdWith", Type::Text)
        .shown()
        .doc("The application that created the record."),
];

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
