//! Who made a thing and who changed it last: the vendor's `updateInfo` (`docs/contracts/kontur.md §5`).

use serde::{Serialize, Serializer, ser::SerializeMap};

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
    /// Of something made just now.
    pub fn created(origin: &Origin) -> Self {
        Self {
            updated_at: origin.at,
            updated: origin.author.clone(),
            created_at: origin.at,
            created: origin.author.clone(),
        }
    }

    /// After a change. What is said of the making stays (`docs/contracts/kontur.md §3`).
    #[must_use]
    pub fn changed(self, origin: &Origin) -> Self {
        Self {
            updated_at: origin.at,
            updated: origin.author.clone(),
            ..self
        }
    }

    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(300);
        self.push_json(&mut out);
        out
    }

    pub(crate) fn push_json(&self, out: &mut String) {
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

impl Serialize for UpdateInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("updatedAt", &self.updated_at)?;
        if let Some(user) = self.updated.user {
            map.serialize_entry("updatedByUserId", &user)?;
        }
        map.serialize_entry("updatedWith", &self.updated.with)?;
        map.serialize_entry("createdAt", &self.created_at)?;
        if let Some(user) = self.created.user {
            map.serialize_entry("createdByUserId", &user)?;
        }
        map.serialize_entry("createdWith", &self.created.with)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::{UserId, WorkspaceId};

    fn origin(author: Author, at: &str) -> Origin {
        Origin {
            workspace: WorkspaceId(Uuid::nil()),
            author,
            at: Timestamp::parse(at).unwrap(),
        }
    }

    #[test]
    fn printed_as_documented() {
        let user = UserId(Uuid::from_u128(1));
        let made = origin(Author::web_app(Some(user)), "2020-10-06T13:01:57.678594Z");
        let changed = origin(
            Author::integration("PracticReports"),
            "2021-03-12T15:07:34.312338Z",
        );
        let info = UpdateInfo::created(&made).changed(&changed);
        let expected = concat!(
            r#"{"updatedAt":"2021-03-12T15:07:34.312338+00:00","#,
            r#""updatedWith":"Integration.PracticReports","#,
            r#""createdAt":"2020-10-06T13:01:57.678594+00:00","#,
            r#""createdByUserId":"00000000-0000-0000-0000-000000000001","createdWith":"WebApp"}"#,
        );
        assert_eq!(info.to_json(), expected);
        assert_eq!(serde_json::to_string(&info).unwrap(), expected);
    }
}
