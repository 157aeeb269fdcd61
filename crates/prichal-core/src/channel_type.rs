//! Types of channels: the values fixed for every channel of a type, and the quota of channels
//! (`docs/contracts/era.md §3`).

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    channel::timeout,
    resource::{self, more_members, required_text, text, url},
    schema::{self, Fault, Field, Object, Type},
    time::Timestamp,
};

/// The members that clients send and read.
pub const FIELDS: &[Field] = &[
    required_text(
        "type",
        "The name that channels give as their `type`. It cannot be changed.",
    )
    .fixed()
    .example("chat"),
    text("recv_svcscriptcode", FIXES).example("ws_hook"),
    text("recv_svcscriptcode_ws", FIXES),
    timeout("recv_timeout"),
    text("send_svcscriptcode", FIXES),
    text("send_svcscriptcode_ws", FIXES),
    url(FIXES),
    Field::new("issync", Type::Bool).doc("If set, the `opts.issync` of its channels."),
    Field::new("quota", Type::Int)
        .at_least(0)
        .doc("The maximum number of channels of this type.")
        .example("10"),
    more_members(),
];

/// The meaning of a text of a type.
const FIXES: &str = "If not empty, the member of this name of its channels.";

/// A type of channels. Stored as its members: the entity without its id and its times.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelType {
    pub id: Uuid,
    pub members: Object,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl ChannelType {
    /// Reads the entity of a POST.
    pub fn read(body: &Object, id: Uuid, now: Timestamp) -> Result<Self, Vec<Fault>> {
        Ok(Self {
            id: resource::read_id(body, id)?,
            members: members(body)?,
            created_at: now,
            updated_at: now,
        })
    }

    /// The type after a PATCH. Its name stays: channels are of it.
    pub fn patched(&self, body: &Object) -> Result<Self, Vec<Fault>> {
        let fixed = [("id", &*self.id.to_string()), ("type", self.name())];
        resource::refuse_changes(body, &fixed)?;
        let mut whole = self.members.clone();
        resource::merge(&mut whole, body);
        Ok(Self {
            members: members(&whole)?,
            ..self.clone()
        })
    }

    pub fn name(&self) -> &str {
        self.members
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The maximum number of channels of this type.
    pub fn quota(&self) -> Option<i64> {
        self.members.get("quota").and_then(Value::as_i64)
    }

    /// The fixed fields of its channels, and their values.
    pub fn fixed(&self) -> Vec<(&'static str, Value)> {
        let places = [
            ("url", "url"),
            ("recv_svcscriptcode", "recv_svcscriptcode"),
            ("recv_svcscriptcode_ws", "recv_svcscriptcode_ws"),
            ("send_svcscriptcode", "send_svcscriptcode"),
            ("send_svcscriptcode_ws", "send_svcscriptcode_ws"),
            ("issync", "opts.issync"),
            ("recv_timeout", "opts.recv_timeout"),
        ];
        let fixed = places.into_iter().filter_map(|(name, place)| {
            let value = self.members.get(name)?;
            (*value != "").then(|| (place, value.clone()))
        });
        fixed.collect()
    }

    pub fn entity(&self) -> Object {
        let mut out = Map::new();
        out.insert("id".into(), self.id.to_string().into());
        for field in FIELDS {
            if let Some(value) = self.members.get(field.name) {
                out.insert(field.name.into(), value.clone());
            }
        }
        let ext = resource::ext(&self.members, self.created_at, self.updated_at);
        out.insert("ext".into(), ext);
        out
    }
}

fn members(body: &Object) -> Result<Object, Vec<Fault>> {
    resource::refuse_unknown(body, &["id"], &[FIELDS], &[])?;
    let members = schema::read_strictly(FIELDS, body, &mut Uuid::nil)?;
    let mut members = schema::complete(FIELDS, members);
    resource::drop_times(&mut members);
    Ok(members)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::channel::Channel;

    fn kind(body: &Value) -> ChannelType {
        let body = body.as_object().unwrap();
        ChannelType::read(body, Uuid::nil(), Timestamp::default()).unwrap()
    }

    fn bound(kind: &ChannelType, body: &Value) -> Result<Value, Vec<Fault>> {
        let body = body.as_object().unwrap();
        let token = String::new();
        let mut channel = Channel::read(body, Uuid::nil(), token, Timestamp::default())?;
        channel.bind(kind, body)?;
        Ok(Value::Object(channel.entity()))
    }

    #[test]
    fn fixed_members_of_a_type_cannot_be_overridden() {
        let kind = kind(&json!({
            "type": "bot", "url": "https://bot.example", "recv_svcscriptcode": "hear", "issync": true,
        }));
        let channel = json!({ "code": "a", "type": "bot", "url": "", "send_svcscriptcode": "own" });
        let entity = bound(&kind, &channel).unwrap();
        assert_eq!(entity["url"], "https://bot.example");
        assert_eq!(entity["recv_svcscriptcode"], "hear");
        assert_eq!(entity["send_svcscriptcode"], "own");
        assert_eq!(entity["opts"]["issync"], true);
        assert!(bound(&kind, &entity).is_ok(), "what was read can be sent");
        for (body, name) in [
            (json!({ "code": "a", "type": "bot", "url": "x" }), "url"),
            (
                json!({ "code": "a", "type": "bot", "recv_svcscriptcode": "x" }),
                "recv_svcscriptcode",
            ),
            (
                json!({ "code": "a", "type": "bot", "opts": { "issync": false } }),
                "opts.issync",
            ),
        ] {
            let faults = bound(&kind, &body).unwrap_err();
            assert_eq!(faults[0].path, name);
        }
    }

    #[test]
    fn absent_members_of_a_type_are_not_fixed() {
        let kind = kind(&json!({ "type": "open", "quota": 2 }));
        assert_eq!((kind.fixed(), kind.quota()), (Vec::new(), Some(2)));
        let entity = Value::Object(kind.entity()).to_string();
        assert!(!entity.contains("issync") && entity.contains("\"quota\":2"));
    }

    #[test]
    fn bad_types_are_refused() {
        let read = |body: Value| {
            ChannelType::read(body.as_object().unwrap(), Uuid::nil(), Timestamp::default())
        };
        for (body, name) in [
            (json!({}), "type"),
            (json!({ "type": "a", "recv_timeout": 61 }), "recv_timeout"),
            (json!({ "type": "a", "quota": -1 }), "quota"),
            (json!({ "type": "a", "colour": 1 }), "colour"),
        ] {
            assert_eq!(read(body).unwrap_err()[0].path, name);
        }
        let one = kind(&json!({ "type": "a" }));
        let other = json!({ "type": "b" });
        assert!(one.patched(other.as_object().unwrap()).is_err());
    }
}
