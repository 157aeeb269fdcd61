//! The model of an entity: its JSON in answers and for scripts (`docs/contracts/kontur.md §5`).
//!
//! Every write renders a model, so the text of the members is copied instead of parsed.

use uuid::Uuid;

use super::inner_links;
use crate::{event::EntityKind, json, update_info::UpdateInfo};

/// Renders the model: `updateInfo`, `links` if the kind has inner links, the members, and `id` last. `members` is the
/// JSON object of the members.
pub fn model(
    kind: EntityKind,
    id: Uuid,
    members: &str,
    links: &[Uuid],
    info: &UpdateInfo,
) -> String {
    let members = json::inside(members);
    let mut out = String::with_capacity(members.len() + links.len() * 40 + 440);
    out.push_str("{\"updateInfo\":");
    info.push(&mut out);
    if let Some((member, _)) = inner_links(kind) {
        out.push_str(",\"links\":{\"");
        out.push_str(member);
        out.push_str("\":[");
        for (n, id) in links.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            json::push_guid(&mut out, *id);
        }
        out.push_str("]}");
    }
    if !members.is_empty() {
        out.push(',');
        out.push_str(members);
    }
    out.push_str(",\"id\":");
    json::push_guid(&mut out, id);
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        event::{Author, Origin},
        id::WorkspaceId,
        schema::Object,
        time::Timestamp,
    };

    #[test]
    fn models_are_valid_json_in_documented_order() {
        let origin = Origin {
            workspace: WorkspaceId(Uuid::nil()),
            author: Author::system(),
            at: Timestamp::parse("2022-03-22T10:38:35.615279+00:00").unwrap(),
        };
        let info = UpdateInfo::created(&origin);
        let (id, link) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let keys = |text: &str| -> Vec<String> {
            let value: Object = serde_json::from_str(text).unwrap();
            value.keys().cloned().collect()
        };
        let members = r#"{"name":"x","customFields":{}}"#;
        let deal = model(EntityKind::Deal, id, members, &[], &info);
        assert_eq!(keys(&deal), ["updateInfo", "name", "customFields", "id"]);
        let contact = model(EntityKind::Contact, id, members, &[link, id], &info);
        assert_eq!(
            keys(&contact),
            ["updateInfo", "links", "name", "customFields", "id"]
        );
        let contact: Value = serde_json::from_str(&contact).unwrap();
        assert_eq!(contact["links"], json!({"companyIds": [link, id]}));
        assert_eq!(
            keys(&model(EntityKind::Company, id, "{}", &[], &info)),
            ["updateInfo", "links", "id"]
        );
    }
}
