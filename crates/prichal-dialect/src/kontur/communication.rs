//! The `Communication` as it is served (`docs/contracts/kontur.md §5`).

use prichal_core::{
    call::{Call, Head, Links, push_members},
    json,
    update_info::UpdateInfo,
};
/// The model. `facts` are included if the reader asks for them.
pub fn model(
    call: &Call,
    head: &Head,
    links: &Links,
    info: &UpdateInfo,
    facts: Option<&str>,
) -> String {
    let mut out = String::with_capacity(1024 + call.events.len() * 256);
    out.push_str("{\"updateInfo\":");
    info.push(&mut out);
    out.push_str(",\"links\":");
    // Lists of ids cannot fail to be written.
    out.push_str(&serde_json::to_string(links).unwrap_or_default());
    out.push(',');
    push_members(&mut out, call, head, &call.events);
    if let Some(facts) = facts {
        out.push_str(",\"facts\":");
        out.push_str(facts);
    }
    out.push_str(",\"id\":");
    json::push_guid(&mut out, head.id);
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use prichal_core::{
        call::{Direction, Message, Moment, Notice},
        event::Author,
        time::Timestamp,
    };
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_model_as_documented() {
        let at = || Moment::from(Timestamp::default());
        let started = Message::Started(Notice {
            timestamp: at(),
            direction: Some(Direction::Inbound),
            client_phone: "79997775533".to_owned(),
            external_vats_phone: "79229929292".to_owned(),
        });
        let call = Call::default().with(started).unwrap();
        let head = Head {
            id: Uuid::from_u128(5),
            integration: Uuid::from_u128(6),
            external_id: Some("Megafon/333".to_owned()),
            first_seen: at(),
            group: None,
        };
        let info = UpdateInfo {
            updated_at: Timestamp::default(),
            updated: Author::system(),
            created_at: Timestamp::default(),
            created: Author::system(),
        };
        let text = model(&call, &head, &Links::default(), &info, None);
        let members: Vec<String> = serde_json::from_str::<serde_json::Map<String, Value>>(&text)
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(
            members,
            [
                "updateInfo",
                "links",
                "externalId",
                "externalCreatedAt",
                "type",
                "direction",
                "status",
                "integrationId",
                "data",
                "assignedToGroupId",
                "id"
            ]
        );
    }
}
