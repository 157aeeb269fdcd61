//! Reading an object by its schema, and filling in presets.

use std::{borrow::Cow, collections::HashSet, fmt::Write};

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    Access, Elements, Fault, Field, Key, MAX_ITEMS, MismatchKind, NewId, Object, Type, Words,
    member,
    value::{check_free, coerced, drop_nulls, guid, scalar, word},
};

/// The maximum number of faults of one body, which can hold thousands.
const MAX_FAULTS: usize = 50;

/// Reads an object leniently: values are converted to their field's type, then checked. The outcome has
/// canonical names in the schema's order. All faults are reported at once.
pub fn read(fields: &[Field], object: &Object, new_id: NewId<'_>) -> Result<Object, Vec<Fault>> {
    run("", new_id, |reader| {
        reader.is_strict = false;
        reader.object(fields, object)
    })
}

/// Reads an object strictly: each value must have its field's own type.
pub fn read_strictly(
    fields: &[Field],
    object: &Object,
    new_id: NewId<'_>,
) -> Result<Object, Vec<Fault>> {
    run("", new_id, |reader| reader.object(fields, object))
}

/// Reads one value of a patch. Values of another JSON type are refused there, so none is converted. `None`
/// means null.
pub(crate) fn read_value(
    field: &Field,
    value: &Value,
    new_id: NewId<'_>,
) -> Result<Option<Value>, Vec<Fault>> {
    run(field.name, new_id, |reader| {
        reader.bounded_value(field, value)
    })
}

/// Reads one element of the list `name`, with its presets.
pub(crate) fn read_element(
    name: &str,
    spec: &Elements,
    value: &Value,
    new_id: NewId<'_>,
) -> Result<Object, Vec<Fault>> {
    let read = run(name, new_id, |reader| reader.element(spec, value))?;
    Ok(complete_element(spec, read.unwrap_or_default()))
}

fn run<T>(
    path: &str,
    new_id: NewId<'_>,
    work: impl FnOnce(&mut Reader<'_>) -> T,
) -> Result<T, Vec<Fault>> {
    let mut reader = Reader {
        new_id,
        path: path.to_owned(),
        faults: Vec::new(),
        is_strict: true,
    };
    let read = work(&mut reader);
    if reader.faults.is_empty() {
        Ok(read)
    } else {
        Err(reader.faults)
    }
}

struct Reader<'a> {
    new_id: NewId<'a>,
    path: String,
    faults: Vec<Fault>,
    /// True if values must have their field's own type.
    is_strict: bool,
}

impl Reader<'_> {
    fn object(&mut self, fields: &[Field], object: &Object) -> Object {
        let mut out = Map::new();
        for field in fields.iter().filter(|field| field.access != Access::Server) {
            let given = member(object, field.name).map(|value| self.converted(field.ty, value));
            let given = given.as_deref().filter(|value| !value.is_null());
            let read = self.at_member(field.name, |reader| {
                let read = given.and_then(|value| reader.bounded_value(field, value));
                if field.required && given.is_none_or(is_empty) {
                    reader.fault(Fault::required(reader.path.as_str()));
                }
                read
            });
            if let Some(value) = read {
                out.insert(field.name.to_owned(), value);
            }
        }
        out
    }

    fn bounded_value(&mut self, field: &Field, value: &Value) -> Option<Value> {
        let known = self.faults.len();
        let read = self.value(field.ty, value)?;
        if let Some(bound) = field.bound
            && let Err(fault) = bound.check(&self.path, &read)
        {
            self.fault(fault);
            return None;
        }
        // A blank text of a required member is a fault of its own, and a list with unreadable elements has lost them.
        let is_whole = self.faults.len() == known && !(field.required && is_empty(&read));
        if let Some(form) = field.form.filter(|_| is_whole)
            && let Err(fault) = form.check(&self.path, &read)
        {
            self.fault(fault);
            return None;
        }
        Some(read)
    }

    fn value(&mut self, ty: Type, value: &Value) -> Option<Value> {
        match ty {
            Type::Object(fields) => {
                let object = self.as_object(value)?;
                Some(Value::Object(self.object(fields, object)))
            }
            Type::Free => {
                self.as_object(value)?;
                self.bounded(value)
            }
            Type::Any => self.bounded(value),
            Type::Texts => self.list(value, |reader, item| reader.scalar(Type::Text, item)),
            Type::Guids => self.list(value, Self::guid),
            Type::Enums(words) => self.list(value, |reader, item| reader.word(words, item)),
            Type::Objects(fields) => self.list(value, |reader, item| {
                let object = reader.as_object(item)?;
                let read = reader.object(fields, object);
                Some(Value::Object(complete(fields, read)))
            }),
            Type::Values => self.list(value, Self::bounded),
            Type::Elements(spec) => self.elements(spec, value),
            _ => self.scalar(ty, value),
        }
    }

    fn converted<'v>(&self, ty: Type, value: &'v Value) -> Cow<'v, Value> {
        if self.is_strict {
            Cow::Borrowed(value)
        } else {
            coerced(ty, value)
        }
    }

    fn scalar(&mut self, ty: Type, value: &Value) -> Option<Value> {
        let converted = self.converted(ty, value);
        if converted.is_null() && !value.is_null() {
            return None;
        }
        scalar(ty, &converted).unwrap_or_else(|kind| self.wrong(ty, value, kind))
    }

    fn guid(&mut self, value: &Value) -> Option<Value> {
        match guid(&self.converted(Type::GuidOrNone, value)) {
            Ok(id) => Some(Value::String(id.to_string())),
            Err(kind) => self.wrong(Type::Guid, value, kind),
        }
    }

    fn word(&mut self, words: &'static Words, value: &Value) -> Option<Value> {
        match word(words, value) {
            Ok(word) => Some(Value::from(word)),
            Err(kind) => self.wrong(Type::Enum(words), value, kind),
        }
    }

    fn as_object<'v>(&mut self, value: &'v Value) -> Option<&'v Object> {
        let object = value.as_object();
        if object.is_none() {
            self.wrong::<Value>(Type::Free, value, MismatchKind::Type);
        }
        object
    }

    fn bounded(&mut self, value: &Value) -> Option<Value> {
        match check_free(value) {
            Ok(()) => {
                let mut kept = value.clone();
                drop_nulls(&mut kept);
                Some(kept)
            }
            Err(why) => {
                self.break_rule(why);
                None
            }
        }
    }

    fn list(
        &mut self,
        value: &Value,
        mut item: impl FnMut(&mut Self, &Value) -> Option<Value>,
    ) -> Option<Value> {
        let items = self.items(value)?;
        let mut out = Vec::with_capacity(items.len());
        for (index, value) in items.iter().enumerate() {
            out.extend(self.at_index(index, |reader| item(reader, value)));
        }
        Some(Value::Array(out))
    }

    fn items<'v>(&mut self, value: &'v Value) -> Option<&'v [Value]> {
        let Some(items) = value.as_array() else {
            return self.wrong(Type::Texts, value, MismatchKind::Type);
        };
        if items.len() > MAX_ITEMS {
            self.break_rule(format!("more than {MAX_ITEMS} elements"));
            return None;
        }
        Some(items)
    }

    fn elements(&mut self, spec: &Elements, value: &Value) -> Option<Value> {
        let mut seen = HashSet::new();
        self.list(value, |reader, item| {
            let element = reader.element(spec, item)?;
            let id = element
                .get("id")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if !seen.insert(id.to_owned()) {
                reader.break_rule(format!("the id {id} is there twice"));
            }
            Some(Value::Object(complete_element(spec, element)))
        })
    }

    fn element(&mut self, spec: &Elements, value: &Value) -> Option<Object> {
        let object = self.as_object(value)?;
        let id = self.at_member("id", |reader| reader.key(spec.key, object))?;
        let mut out = Map::new();
        out.insert("id".to_owned(), id);
        out.extend(self.object(spec.fields, object));
        Some(out)
    }

    fn key(&mut self, key: Key, object: &Object) -> Option<Value> {
        let given = member(object, "id").filter(|value| !value.is_null());
        match (key, given) {
            (Key::Guid, Some(value)) => match guid(&self.converted(Type::GuidOrNone, value)) {
                Ok(id) if id.is_nil() => Some(self.fresh()),
                Ok(id) => Some(Value::String(id.to_string())),
                Err(kind) => self.wrong(Type::Guid, value, kind),
            },
            (Key::Guid | Key::TextOrFresh, None) => Some(self.fresh()),
            (Key::Text | Key::TextOrFresh, Some(value)) if !is_empty(value) => {
                self.scalar(Type::Text, value)
            }
            (Key::Text | Key::TextOrFresh, _) => {
                self.fault(Fault::required(self.path.as_str()));
                None
            }
        }
    }

    fn fresh(&mut self) -> Value {
        Value::String((self.new_id)().to_string())
    }

    fn at_member<T>(&mut self, name: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        let done = work(self);
        self.path.truncate(length);
        done
    }

    fn at_index<T>(&mut self, index: usize, work: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        // Writing into a `String` cannot fail.
        let _ = write!(self.path, "[{index}]");
        let done = work(self);
        self.path.truncate(length);
        done
    }

    fn wrong<T>(&mut self, ty: Type, value: &Value, kind: MismatchKind) -> Option<T> {
        self.fault(Fault::mismatch(&self.path, value, ty.name(), kind));
        None
    }

    fn break_rule(&mut self, why: String) {
        self.fault(Fault::invalid(self.path.as_str(), why));
    }

    fn fault(&mut self, fault: Fault) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }
}

/// True for a blank text, which a required member must not have.
fn is_empty(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// Puts the members in the schema's order and fills in presets, also in nested objects and elements.
pub fn complete(fields: &[Field], mut object: Object) -> Object {
    let mut out = Map::new();
    for field in fields {
        let value = object.remove(field.name).or_else(|| field.preset.value());
        if let Some(value) = value {
            out.insert(field.name.to_owned(), complete_value(field.ty, value));
        }
    }
    out
}

fn complete_value(ty: Type, value: Value) -> Value {
    match (ty, value) {
        (Type::Object(fields), Value::Object(object)) => Value::Object(complete(fields, object)),
        (Type::Elements(spec), Value::Array(items)) => items
            .into_iter()
            .map(|item| match item {
                Value::Object(element) => Value::Object(complete_element(spec, element)),
                other => other,
            })
            .collect(),
        (_, value) => value,
    }
}

fn complete_element(spec: &Elements, mut element: Object) -> Object {
    let id = element
        .remove("id")
        .unwrap_or_else(|| Value::String(Uuid::nil().to_string()));
    let mut out = Map::new();
    out.insert("id".to_owned(), id);
    out.extend(complete(spec.fields, element));
    out
}
