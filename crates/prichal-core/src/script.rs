//! Scripts that run for channels and for their users (`docs/contracts/era.md §10`, `docs/contracts/prichal.md §7`).

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    channel::free_text,
    entity::rights::Authority,
    resource::{self, more_members, required_text, text},
    schema::{self, Fault, Field, Object, Preset, Type},
    time::Timestamp,
};

/// The longest source, in characters.
pub const MAX_SOURCE: usize = 256 << 10;
/// The only language.
pub const LANGUAGE: &str = "javascript";

/// The members that clients send and read.
pub const FIELDS: &[Field] = &[
    required_text(
        "code",
        "The name by which channels refer to it, unique in the workspace.",
    )
    .example("ws_hook"),
    required_text("name", "A name for people.").example("Hook"),
    Field::new("scriptdata", Type::Free)
        .required()
        .doc("The source. Lists show it only if it is asked for.")
        .example(r#"{"language": "javascript", "source": "respond(200)"}"#),
    text("projectid", "Stored for clients; without effect."),
    Field::new("opts", Type::Object(OPTS))
        .or(Preset::Object)
        .doc("Options."),
    more_members(),
];

const OPTS: &[Field] = &[
    free_text("title", "A name for people."),
    free_text("comment", "A note for people. Lists do not show it."),
    Field::new("loglevel", Type::Int)
        .or(Preset::Zero)
        .doc("Stored for clients; without effect."),
    Field::new("variables", Type::Free)
        .or(Preset::Object)
        .doc("The initial members of the global object `variables`."),
    Field::new("as_admin", Type::Bool).doc("True if its runs have an administrator's rights."),
];

/// A script. Stored as its members: the entity without its id and its times.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    pub id: Uuid,
    pub members: Object,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Script {
    /// Reads the entity of a POST. The script engine checks the source.
    pub fn read(body: &Object, id: Uuid, now: Timestamp) -> Result<Self, Vec<Fault>> {
        Ok(Self {
            id: resource::read_id(body, id)?,
            members: members(body)?,
            created_at: now,
            updated_at: now,
        })
    }

    /// The script after a PATCH.
    pub fn patched(&self, body: &Object) -> Result<Self, Vec<Fault>> {
        resource::refuse_changes(body, &[("id", &self.id.to_string())])?;
        let mut whole = self.members.clone();
        resource::merge(&mut whole, body);
        Ok(Self {
            members: members(&whole)?,
            ..self.clone()
        })
    }

    pub fn code(&self) -> &str {
        self.members
            .get("code")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub fn source(&self) -> &str {
        self.members["scriptdata"]["source"]
            .as_str()
            .unwrap_or_default()
    }

    /// The initial value of the global object `variables`.
    pub fn variables(&self) -> &Value {
        &self.members["opts"]["variables"]
    }

    /// The rights that its runs have.
    pub fn authority(&self) -> Authority {
        if self.members["opts"]["as_admin"] == true {
            Authority::Admin
        } else {
            Authority::Member
        }
    }

    pub fn entity(&self) -> Object {
        let mut out = Map::new();
        out.insert("id".into(), self.id.to_string().into());
        for field in FIELDS {
            if field.name == "opts" {
                out.insert("lwt".into(), self.updated_at.to_centiseconds().into());
            }
            let value = self.members.get(field.name).cloned().unwrap_or_default();
            out.insert(field.name.into(), value);
        }
        let ext = resource::ext(&self.members, self.created_at, self.updated_at);
        out.insert("ext".into(), ext);
        out
    }

    /// The snapshot for the feed. Sources are long and may hold secrets: it has their length only.
    pub fn snapshot(&self) -> String {
        let mut entity = self.entity();
        entity.shift_remove("lwt");
        resource::drop_times(&mut entity);
        if let Some(Value::Object(data)) = entity.get_mut("scriptdata") {
            let length = self.source().len();
            data.insert("source".into(), "***".into());
            data.insert("length".into(), length.into());
        }
        if let Some(Value::Object(opts)) = entity.get_mut("opts") {
            opts.insert("variables".into(), "***".into());
        }
        Value::Object(entity).to_string()
    }
}

fn members(body: &Object) -> Result<Object, Vec<Fault>> {
    resource::refuse_unknown(body, &["id", "lwt"], &[FIELDS], OPTS)?;
    let members = schema::read_strictly(FIELDS, body, &mut Uuid::nil)?;
    let mut members = schema::complete(FIELDS, members);
    resource::drop_times(&mut members);
    let fault = |path: &str, why: &str| Err(vec![Fault::rule(path, format!("The {path} {why}."))]);
    let data = &members["scriptdata"];
    if data["language"] != LANGUAGE {
        let given = schema::excerpt(&data["language"]);
        let why = format!("must be {LANGUAGE}, not {given}");
        return fault("scriptdata.language", &why);
    }
    let Some(source) = data["source"].as_str() else {
        return fault("scriptdata.source", "must be a text");
    };
    if source.chars().count() > MAX_SOURCE {
        let why = format!("is longer than {MAX_SOURCE} characters");
        return fault("scriptdata.source", &why);
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn made(body: &Value) -> Result<Script, Vec<Fault>> {
        let now = Timestamp::parse("2019-08-28T13:34:16.42Z").unwrap();
        Script::read(body.as_object().unwrap(), Uuid::nil(), now)
    }

    fn example() -> Value {
        let data = json!({ "language": "javascript", "source": "respond(200)" });
        json!({ "code": "ws_hook", "name": "Hook", "scriptdata": data })
    }

    #[test]
    fn an_entity_has_its_members_in_order() {
        let script = made(&example()).unwrap();
        let expected = concat!(
            r#"{"id":"00000000-0000-0000-0000-000000000000","code":"ws_hook","name":"Hook","#,
            r#""scriptdata":{"language":"javascript","source":"respond(200)"},"projectid":"","#,
            r#""lwt":"2019-08-28T13:34:16.42Z","opts":{"title":"","comment":"","loglevel":0,"variables":{}},"#,
            r#""ext":{"ct":"2019-08-28T13:34:16.42Z","lwt":"2019-08-28T13:34:16.42Z"}}"#,
        );
        assert_eq!(Value::Object(script.entity()).to_string(), expected);
        assert_eq!(made(&Value::Object(script.entity())).unwrap(), script);
        assert_eq!(script.patched(&script.entity()).unwrap(), script);
        assert!(!script.snapshot().contains("respond"));
    }

    #[test]
    fn a_script_has_an_administrators_rights_where_it_says_so() {
        for (opts, expected) in [
            (json!({}), Authority::Member),
            (json!({ "as_admin": null }), Authority::Member),
            (json!({ "as_admin": false }), Authority::Member),
            (json!({ "as_admin": true }), Authority::Admin),
        ] {
            let mut body = example();
            body["opts"] = opts.clone();
            assert_eq!(made(&body).unwrap().authority(), expected, "{opts}");
        }
        let mut body = example();
        body["opts"] = json!({ "as_admin": "admin" });
        assert_eq!(made(&body).unwrap_err()[0].path, "opts.as_admin");
    }

    #[test]
    fn bad_scripts_are_refused() {
        for (member, value, path) in [
            ("code", json!(""), "code"),
            ("name", Value::Null, "name"),
            ("scriptdata", json!("x"), "scriptdata"),
            (
                "scriptdata",
                json!({ "objects": [] }),
                "scriptdata.language",
            ),
            (
                "scriptdata",
                json!({ "language": "javascript", "source": 1 }),
                "scriptdata.source",
            ),
            (
                "scriptdata",
                json!({ "language": "javascript", "source": "x".repeat(MAX_SOURCE + 1) }),
                "scriptdata.source",
            ),
            ("colour", json!(1), "colour"),
            ("opts", json!({ "colour": 1 }), "opts.colour"),
        ] {
            let mut body = example();
            body[member] = value;
            let faults = made(&body).unwrap_err();
            assert_eq!(faults[0].path, path, "{body:.100}");
        }
    }
}
