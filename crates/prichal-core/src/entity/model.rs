//! The texts of an entity: its model in answers, its snapshot in the feed.
//!
//! Both are on the hot path of every write, so they splice the members' text instead of reading it.

use uuid::Uuid;

use super::inner_links;
use crate::{event::EntityKind, json, update_info::UpdateInfo};

/// The model as answers show it: `updateInfo`, `links` where the kind has them inside, the members,
/// `id` last. `members` is the text of their object.
pub fn model(
    kind: EntityKind,
    id: Uuid,
    members: &str,
    links: &[Uuid],
    update_info: &UpdateInfo,
) -> String {
    let members = json::inside(members);
    let mut out = String::with_capacity(members.len() + links.len() * 40 + 440);
    out.push_str("{\"updateInfo\":");
    update_info.push_json(&mut out);
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

/// The snapshot in events: `id` first, neither `updateInfo` nor links, which have their own events.
pub fn snapshot(id: Uuid, members: &str) -> String {
    let members = json::inside(members);
    let mut out = String::with_capacity(members.len() + 48);
    out.push_str("{\"id\":");
    json::push_guid(&mut out, id);
    if !members.is_empty() {
        out.push(',');
        out.push_str(members);
    }
    out.push('}');
    out
}
