//! Common traits of the entities of the service collections (`docs/contracts/era.md §2, §5, §13`): an id
//! that may be chosen, PATCH that merges, `ext` with the times of creation and change.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    id,
    schema::{Fault, Field, Object, Preset, Type, member},
    time::Timestamp,
};

/// The longest name or code, in characters.
pub(crate) const MAX_TEXT: usize = 128;
/// The longest `url`, in characters.
const MAX_URL: usize = 2048;

/// A text of a name or a code, by default empty.
pub(crate) const fn text(name: &'static str, doc: &'static str) -> Field {
    let field = Field::new(name, Type::Text).or(Preset::Text(""));
    field.chars(MAX_TEXT).doc(doc)
}

/// A text of a name or a code that the client must send.
pub(crate) const fn required_text(name: &'static str, doc: &'static str) -> Field {
    let field = Field::new(name, Type::Text).required();
    field.chars(MAX_TEXT).doc(doc)
}

/// The member `url`.
pub(crate) const fn url(doc: &'static str) -> Field {
    let field = Field::new("url", Type::Text).or(Preset::Text(""));
    field.chars(MAX_URL).doc(doc)
}

/// The member `ext`, as clients send it.
pub(crate) const fn more_members() -> Field {
    let field = Field::new("ext", Type::Free).or(Preset::Object);
    field.doc("Members that clients add. `ct` and `lwt` are the server's.")
}

/// The id in a body, or else `made`.
pub(crate) fn read_id(body: &Object, made: Uuid) -> Result<Uuid, Vec<Fault>> {
    match member(body, "id").filter(|value| !value.is_null()) {
        None => Ok(made),
        Some(value) => value
            .as_str()
            .and_then(id::parse)
            .ok_or_else(|| vec![Fault::wrong_type("id", value, Type::Guid)]),
    }
}

/// Refuses changes of fixed members. Equal values pass, so that an entity that was read can be sent.
pub(crate) fn refuse_changes(body: &Object, fixed: &[(&str, &str)]) -> Result<(), Vec<Fault>> {
    for (name, kept) in fixed {
        let given = member(body, name).filter(|given| !given.is_null());
        let is_same = |given: &Value| {
            given
                .as_str()
                .is_some_and(|given| given.eq_ignore_ascii_case(kept))
        };
        if given.is_some_and(|given| !is_same(given)) {
            let why = format!("The {name} cannot be changed.");
            return Err(vec![Fault::rule(*name, why)]);
        }
    }
    Ok(())
}

/// Merges a patch into an entity: objects are merged key by key, other values are replaced.
pub(crate) fn merge(whole: &mut Object, patch: &Object) {
    for (name, value) in patch {
        match (whole.get_mut(name.as_str()), value) {
            (Some(Value::Object(known)), Value::Object(given)) => {
                for (key, value) in given {
                    known.insert(key.clone(), value.clone());
                }
            }
            _ => {
                whole.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Refuses unknown members, at the top and in `opts`.
pub(crate) fn refuse_unknown(
    body: &Object,
    more: &[&str],
    fields: &[&[Field]],
    opts: &[Field],
) -> Result<(), Vec<Fault>> {
    let known: Vec<&str> = fields
        .iter()
        .flat_map(|fields| fields.iter())
        .map(|field| field.name)
        .chain(more.iter().copied())
        .collect();
    let inner: Vec<&str> = opts.iter().map(|field| field.name).collect();
    let outer = body.keys().filter(|name| !known.contains(&name.as_str()));
    let outer = outer.map(|name| (String::new(), name, &known));
    let given = member(body, "opts").and_then(Value::as_object);
    let given = given.into_iter().flat_map(Map::keys);
    let given = given.filter(|name| !inner.contains(&name.as_str()));
    let given = given.map(|name| ("opts.".to_owned(), name, &inner));
    let faults: Vec<Fault> = outer
        .chain(given)
        .take(20)
        .map(|(prefix, name, known)| {
            let shown: String = name.chars().take(64).collect();
            let path = format!("{prefix}{shown}");
            let why = format!("There is no field `{path}`: {}.", known.join(", "));
            Fault::rule(path.as_str(), why)
        })
        .collect();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

/// Drops the times, which belong to the server.
pub(crate) fn drop_times(entity: &mut Object) {
    if let Some(Value::Object(ext)) = entity.get_mut("ext") {
        ext.retain(|name, _| name != "ct" && name != "lwt");
    }
}

/// The member `ext` as it is shown.
pub(crate) fn ext(members: &Object, created_at: Timestamp, updated_at: Timestamp) -> Value {
    let mut ext = Map::new();
    ext.insert("ct".into(), created_at.to_centiseconds().into());
    ext.insert("lwt".into(), updated_at.to_centiseconds().into());
    if let Some(Value::Object(more)) = members.get("ext") {
        ext.extend(more.clone());
    }
    Value::Object(ext)
}
