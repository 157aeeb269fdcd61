//! Paths in a typed object: finds the target of an operation and changes it.

use serde_json::{Map, Value};

use super::{Refusal, free};
use crate::{
    json,
    schema::{
        Access, Bound, Elements, Fault, Field, Key, Limit, MAX_ITEMS, NewId, Object, Repeat, Type,
        check_free, drop_nulls, read_element, read_value,
    },
};

/// An operation without its path.
#[derive(Clone, Copy)]
pub(super) enum Verb<'a> {
    Add(&'a Value),
    Replace(&'a Value),
    Remove,
}

pub(super) struct Change<'a> {
    pub verb: Verb<'a>,
    pub new_id: NewId<'a>,
}

impl Change<'_> {
    pub(super) fn in_object(
        mut self,
        fields: &[Field],
        object: &mut Object,
        path: &[String],
    ) -> Result<(), Refusal> {
        let (name, rest) = path.split_first().ok_or_else(|| no_such(""))?;
        let known = fields;
        let mut fields = fields.iter();
        let field = fields.find(|field| field.name.eq_ignore_ascii_case(name));
        let field = field.ok_or_else(|| no_field(name, known))?;
        if field.access != Access::Open {
            let why = format!("The {} field cannot be changed.", field.name);
            return Err(Refusal::Path(why.into()));
        }
        if rest.is_empty() {
            return self.on_field(field, object);
        }
        match field.ty {
            Type::Object(inner) => self.in_object(inner, object_at(object, field.name)?, rest),
            Type::Free => {
                free::change(self.verb, object_at(object, field.name)?, rest)?;
                object
                    .get_mut(field.name)
                    .map_or(Ok(()), |value| finish_free(field, value))
            }
            Type::Any => {
                let inside = object.get_mut(field.name).and_then(Value::as_object_mut);
                free::change(self.verb, inside.ok_or_else(|| no_such(&rest[0]))?, rest)?;
                object
                    .get_mut(field.name)
                    .map_or(Ok(()), |value| finish_free(field, value))
            }
            Type::Elements(spec) => self.in_elements(field, spec, object, rest),
            Type::Guids => self.in_ids(list_at(object, field.name)?, rest),
            _ => Err(no_such(&rest[0])),
        }
    }

    fn on_field(&mut self, field: &Field, object: &mut Object) -> Result<(), Refusal> {
        match (self.verb, field.ty) {
            (Verb::Add(value), Type::Elements(spec)) => {
                let list = list_at(object, field.name)?;
                self.add_element(field, spec, list, value)
            }
            (Verb::Add(value), ty) if ty.is_list() => {
                self.push(field, list_at(object, field.name)?, value)
            }
            (Verb::Add(Value::Null) | Verb::Replace(Value::Null) | Verb::Remove, _) => {
                clear(field, object, matches!(self.verb, Verb::Remove))
            }
            (Verb::Add(value) | Verb::Replace(value), _) => {
                match read_value(field, value, self.new_id)? {
                    None => clear(field, object, false),
                    Some(_) if field.required && is_blank(value) => {
                        Err(Refusal::Data(Fault::required(field.name).into()))
                    }
                    Some(read) => {
                        set(field, object, read);
                        Ok(())
                    }
                }
            }
        }
    }

    /// Appends to a list whose elements have no id. Lists of ids and of words are sets.
    fn push(&mut self, field: &Field, list: &mut Vec<Value>, value: &Value) -> Result<(), Refusal> {
        let one = Value::Array(vec![value.clone()]);
        let Some(Value::Array(read)) = read_value(field, &one, self.new_id)? else {
            return Err(no_object(field.name, value));
        };
        let set = matches!(field.ty, Type::Guids | Type::Enums(_));
        for value in read {
            if set && list.contains(&value) {
                continue;
            }
            room(list)?;
            list.push(value);
        }
        check_size(field, list)
    }

    fn add_element(
        &mut self,
        field: &Field,
        spec: &Elements,
        list: &mut Vec<Value>,
        value: &Value,
    ) -> Result<(), Refusal> {
        let mut element = read_element(field.name, spec, value, self.new_id)?;
        let id = element
            .get("id")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let at = position(spec.key, list, &id);
        if let Some(known) = at.and_then(|at| list[at].as_object()) {
            keep(spec, &mut element, known);
        }
        let element = Value::Object(element);
        match at {
            None => {
                room(list)?;
                list.push(element);
                return check_size(field, list);
            }
            Some(at) if json::same(&list[at], &element) => {}
            Some(at) if spec.repeat == Repeat::Replace => list[at] = element,
            Some(_) => {
                let detail = format!("An element with the id {id} already exists.");
                return Err(Refusal::Constraint(field.name.to_owned(), detail.into()));
            }
        }
        Ok(())
    }

    fn in_elements(
        mut self,
        field: &Field,
        spec: &Elements,
        object: &mut Object,
        path: &[String],
    ) -> Result<(), Refusal> {
        let list = list_at(object, field.name)?;
        let (id, rest) = path.split_first().ok_or_else(|| no_such(""))?;
        let at = position(spec.key, list, id).ok_or_else(|| no_such(id))?;
        if !rest.is_empty() {
            let element = list[at].as_object_mut();
            let element = element.ok_or_else(|| no_such(&rest[0]))?;
            // The id is not among the fields, so a path to it does not exist.
            return self.in_object(spec.fields, element, rest);
        }
        match self.verb {
            Verb::Remove => {
                list.remove(at);
            }
            Verb::Replace(value) => {
                let id = list[at]["id"].clone();
                list[at] = self.replacement(field.name, spec, id, value)?;
            }
            Verb::Add(_) => {
                let why = "An element is added to its list, not to itself.";
                return Err(Refusal::Path(why.into()));
            }
        }
        Ok(())
    }

    /// The new contents of an element. It keeps its id, which the value need not repeat.
    fn replacement(
        &mut self,
        name: &str,
        spec: &Elements,
        id: Value,
        value: &Value,
    ) -> Result<Value, Refusal> {
        let mut object = value
            .as_object()
            .ok_or_else(|| no_object(name, value))?
            .clone();
        let given = object
            .keys()
            .find(|key| key.eq_ignore_ascii_case("id"))
            .cloned();
        if let Some(given) = given.and_then(|key| object.shift_remove(&key)) {
            let same =
                given.is_null() || same_id(spec.key, &given, id.as_str().unwrap_or_default());
            if !same {
                return Err(Refusal::Data("An element keeps its id.".into()));
            }
        }
        object.insert("id".to_owned(), id);
        Ok(Value::Object(read_element(
            name,
            spec,
            &Value::Object(object),
            self.new_id,
        )?))
    }

    /// In a list of ids each value is its own id.
    fn in_ids(&self, list: &mut Vec<Value>, path: &[String]) -> Result<(), Refusal> {
        let ([id], Verb::Remove) = (path, self.verb) else {
            let why = "An id in a list can only be removed, or added to the list.";
            return Err(Refusal::Path(why.into()));
        };
        let mut ids = list.iter();
        let at = ids.position(|value| same_text(value, id));
        let at = at.ok_or_else(|| no_such(id))?;
        list.remove(at);
        Ok(())
    }
}

/// Leaves the members of a known element that its repetition keeps and does not mention.
fn keep(spec: &Elements, element: &mut Object, known: &Object) {
    for name in spec.kept {
        if let (None, Some(value)) = (element.get(*name), known.get(*name)) {
            element.insert((*name).to_owned(), value.clone());
        }
    }
}

/// Removes a member. Null is the same as absent, as on creation; the preset then takes its place.
fn clear(field: &Field, object: &mut Object, removing: bool) -> Result<(), Refusal> {
    if field.required {
        let fault = Fault::required(field.name);
        return Err(Refusal::Constraint(field.name.to_owned(), fault.into()));
    }
    if removing && !field.nullable() {
        let why = format!("The {} field is always there.", field.name);
        return Err(Refusal::Path(why.into()));
    }
    object.shift_remove(field.name);
    Ok(())
}

/// Sets a member. Members absent from a new object with a schema keep their values: `{"call": true}` leaves
/// the others alone.
fn set(field: &Field, object: &mut Object, read: Value) {
    match (field.ty, object.get_mut(field.name), read) {
        (Type::Object(fields), Some(Value::Object(existing)), Value::Object(read)) => {
            for inner in fields {
                if let Some(value) = read.get(inner.name) {
                    set(inner, existing, value.clone());
                }
            }
        }
        (_, _, read) => {
            object.insert(field.name.to_owned(), read);
        }
    }
}

fn object_at<'a>(object: &'a mut Object, name: &str) -> Result<&'a mut Object, Refusal> {
    let value = object
        .entry(name)
        .or_insert_with(|| Value::Object(Map::new()));
    value.as_object_mut().ok_or_else(|| no_such(name))
}

fn list_at<'a>(object: &'a mut Object, name: &str) -> Result<&'a mut Vec<Value>, Refusal> {
    let value = object
        .entry(name)
        .or_insert_with(|| Value::Array(Vec::new()));
    value.as_array_mut().ok_or_else(|| no_such(name))
}

pub(super) fn room(list: &[Value]) -> Result<(), Refusal> {
    if list.len() < MAX_ITEMS {
        return Ok(());
    }
    let why = format!("A list has at most {MAX_ITEMS} elements.");
    Err(Refusal::Data(why.into()))
}

/// Checks a list that has grown by its field's bound.
fn check_size(field: &Field, list: &[Value]) -> Result<(), Refusal> {
    match field.bound {
        Some(Bound {
            limit: limit @ Limit::Items(max),
            wording,
        }) if list.len() > max => Err(Refusal::Data(wording(field.name, limit).into())),
        _ => Ok(()),
    }
}

/// The refusal of a path without a target.
pub(super) fn no_such(part: &str) -> Refusal {
    let shown: String = part.chars().take(MAX_SHOWN_NAME).collect();
    Refusal::Path(format!("There is no {shown} here that could be changed.").into())
}

/// The refusal of a misspelt field lists those that can be changed.
fn no_field(name: &str, fields: &[Field]) -> Refusal {
    let shown: String = name.chars().take(MAX_SHOWN_NAME).collect();
    let open = fields.iter().filter(|field| field.access == Access::Open);
    let known = open.map(|field| field.name).collect::<Vec<_>>().join(", ");
    Refusal::Path(format!("There is no field `{shown}` that could be changed: {known}.").into())
}

/// The maximum number of characters of a name that a reason repeats.
const MAX_SHOWN_NAME: usize = 64;

fn no_object(name: &str, value: &Value) -> Refusal {
    Refusal::Type(Fault::wrong_type(name, value, Type::Free).into())
}

/// Checks a changed free value, and drops the nulls that came with the change.
fn finish_free(field: &Field, value: &mut Value) -> Result<(), Refusal> {
    if let Err(why) = check_free(value) {
        return Err(Refusal::Data(Fault::invalid(field.name, why).into()));
    }
    drop_nulls(value);
    Ok(())
}

fn is_blank(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// Finds an element. The exact id wins over one in another case.
fn position(key: Key, list: &[Value], id: &str) -> Option<usize> {
    let exact = |item: &Value| item["id"].as_str() == Some(id);
    let loose = |item: &Value| same_id(key, &item["id"], id);
    list.iter()
        .position(exact)
        .or_else(|| list.iter().position(loose))
}

fn same_id(key: Key, value: &Value, id: &str) -> bool {
    match key {
        Key::Guid => same_text(value, id),
        // Paths are matched in either case, so ids in them are too (`docs/contracts/kontur.md §3`).
        Key::Text | Key::TextOrFresh => value
            .as_str()
            .is_some_and(|text| text.to_lowercase() == id.to_lowercase()),
    }
}

fn same_text(value: &Value, id: &str) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.eq_ignore_ascii_case(id))
}
