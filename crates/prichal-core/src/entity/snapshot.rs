//! The text of an entity in the log.

use uuid::Uuid;

use crate::json;

/// The snapshot in events: `id` first, then the members. Links have their own events.
///
/// Every write renders a snapshot, so the text of the members is copied instead of parsed.
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
