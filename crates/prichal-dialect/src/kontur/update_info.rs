//! The member `updateInfo` of models (`docs/contracts/kontur.md §5`).

use prichal_core::update_info::UpdateInfo;
use serde::{Serializer, ser::SerializeMap};

/// For `#[serde(serialize_with = …)]`.
pub fn serialize<S: Serializer>(info: &UpdateInfo, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("updatedAt", &info.updated_at)?;
    if let Some(user) = info.updated.user {
        map.serialize_entry("updatedByUserId", &user)?;
    }
    map.serialize_entry("updatedWith", &info.updated.with)?;
    map.serialize_entry("createdAt", &info.created_at)?;
    if let Some(user) = info.created.user {
        map.serialize_entry("createdByUserId", &user)?;
    }
    map.serialize_entry("createdWith", &info.created.with)?;
    map.end()
}

#[cfg(test)]
mod tests {
    use prichal_core::{
        event::{Author, Origin},
        id::{UserId, WorkspaceId},
        time::Timestamp,
    };
    use uuid::Uuid;

    use super::*;

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
        let mut pushed = String::new();
        info.push(&mut pushed);
        assert_eq!(pushed, expected);
        let mut serialized = Vec::new();
        serialize(&info, &mut serde_json::Serializer::new(&mut serialized)).unwrap();
        assert_eq!(String::from_utf8(serialized).unwrap(), expected);
    }
}
