//! Patching inside a free object, such as `customFields`: without a schema, the path and the present value
//! decide.

use serde_json::{Map, Value};

use super::{
    Refusal,
    target::{Verb, no_such, room},
};
use crate::json;

/// Applies the verb at `path` below `object`. The recursion is bounded by the length of the path.
pub(super) fn change(
    verb: Verb<'_>,
    object: &mut Map<String, Value>,
    path: &[String],
) -> Result<(), Refusal> {
    let (name, rest) = path.split_first().ok_or_else(|| no_such(""))?;
    let key = key(object, name);
    if rest.is_empty() {
        return on_member(verb, object, key);
    }
    match (object.get_mut(&key), verb) {
        (Some(Value::Object(inner)), _) => change(verb, inner, rest),
        (Some(Value::Array(items)), _) => in_array(verb, items, rest),
        (Some(_), _) | (None, Verb::Remove) => Err(no_such(&rest[0])),
        (None, _) => {
            let mut inner = Map::new();
            change(verb, &mut inner, rest)?;
            object.insert(key, Value::Object(inner));
            Ok(())
        }
    }
}

/// The member a path means: the exact one, else the only one that differs in case, else a new one.
fn key(object: &Map<String, Value>, name: &str) -> String {
    if object.contains_key(name) {
        return name.to_owned();
    }
    let mut alike = object.keys().filter(|key| key.eq_ignore_ascii_case(name));
    match (alike.next(), alike.next()) {
        (Some(key), None) => key.clone(),
        _ => name.to_owned(),
    }
}

fn on_member(verb: Verb<'_>, object: &mut Map<String, Value>, key: String) -> Result<(), Refusal> {
    match verb {
        Verb::Remove => {
            object.shift_remove(&key).ok_or_else(|| no_such(&key))?;
        }
        Verb::Add(value) => match object.get_mut(&key) {
            Some(Value::Array(items)) if !value.is_array() => {
                if !items.iter().any(|item| json::same(item, value)) {
                    room(items)?;
                    items.push(value.clone());
                }
            }
            _ => set(object, key, value),
        },
        Verb::Replace(value) => set(object, key, value),
    }
    Ok(())
}

/// Sets a member; null is the same as none.
fn set(object: &mut Map<String, Value>, key: String, value: &Value) {
    if value.is_null() {
        object.shift_remove(&key);
    } else {
        object.insert(key, value.clone());
    }
}

/// Elements are found by their `id`, plain texts by themselves, never by index.
fn in_array(verb: Verb<'_>, items: &mut Vec<Value>, path: &[String]) -> Result<(), Refusal> {
    let (id, rest) = path.split_first().ok_or_else(|| no_such(""))?;
    let found = items.iter().position(|item| {
        let own = item.as_str().or_else(|| item.get("id")?.as_str());
        own.is_some_and(|own| own.eq_ignore_ascii_case(id))
    });
    let at = found.ok_or_else(|| no_such(id))?;
    if !rest.is_empty() {
        // As in typed lists, an element keeps its id.
        if rest[0].eq_ignore_ascii_case("id") {
            return Err(Refusal::Path("An element keeps its id.".into()));
        }
        let element = items[at].as_object_mut();
        return change(verb, element.ok_or_else(|| no_such(&rest[0]))?, rest);
    }
    match verb {
        Verb::Remove => {
            items.remove(at);
        }
        Verb::Replace(value) => items[at] = value.clone(),
        Verb::Add(_) => {
            let why = "An element is added to its list, not to itself.";
            return Err(Refusal::Path(why.into()));
        }
    }
    Ok(())
}
