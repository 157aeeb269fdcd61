//! The OpenAPI description as a judge of every answer that tests get.

use std::sync::OnceLock;

use prichal::{app::App, dialect};
use serde_json::{Map, Value, json};

/// The beginnings of the paths whose answers are judged.
const JUDGED: [&str; 3] = ["/api/1/", "/api/v1/", "/api/v3/"];

static DESCRIPTION: OnceLock<Value> = OnceLock::new();

/// Makes the description of a server known. All servers of a process have the same one.
pub(crate) fn learn(app: &App) {
    DESCRIPTION.get_or_init(|| json!(dialect::description(app)));
}

/// Fails if the answer is not as described. `path` has no query.
#[track_caller]
pub(crate) fn judge(method: &str, path: &str, status: u16, body: &Value) {
    if !JUDGED.iter().any(|prefix| path.starts_with(prefix)) {
        return;
    }
    let Some(api) = DESCRIPTION.get() else { return };
    let Some(operation) = operation(api, method, path) else {
        return;
    };
    let responses = &operation["responses"];
    let response = match &responses[status.to_string()] {
        Value::Null => &responses["default"],
        found => found,
    };
    assert!(!response.is_null(), "{method} {path} may answer {status}");
    let schema = &response["content"]["application/json"]["schema"];
    if body.is_null() || response["content"]["*/*"].is_object() {
        return;
    }
    assert!(!schema.is_null(), "{method} {path} {status} has no body");
    let faults = faults(api, schema, body);
    assert!(
        faults.is_empty(),
        "{method} {path} {status} is not as described: {faults:?} in {body}"
    );
}

/// The differences between a value and its schema.
pub(crate) fn faults(api: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(api, schema, value, "", &mut found);
    found
}

/// The operation of a path. Of two, the one with fewer parameters.
fn operation<'a>(api: &'a Value, method: &str, path: &str) -> Option<&'a Value> {
    let parts: Vec<&str> = path.split('/').collect();
    let is_parameter = |part: &str| part.starts_with('{');
    let fits = |template: &str| {
        let wanted: Vec<&str> = template.split('/').collect();
        let pairs = wanted.iter().zip(&parts);
        let alike = pairs.clone().all(|(wanted, part)| {
            is_parameter(wanted) && !part.is_empty() || wanted.eq_ignore_ascii_case(part)
        });
        (wanted.len() == parts.len() && alike)
            .then(|| pairs.filter(|(wanted, _)| is_parameter(wanted)).count())
    };
    let paths = api["paths"].as_object()?.iter();
    let found = paths.filter_map(|(template, item)| Some((fits(template)?, item)));
    let (_, item) = found.min_by_key(|(parameters, _)| *parameters)?;
    item.get(method.to_ascii_lowercase())
}

/// Collects what is wrong with a value.
fn check(api: &Value, schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let schema = resolved(api, schema);
    for one_of in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[one_of].as_array() {
            let fits = choices
                .iter()
                .any(|choice| faults(api, choice, value).is_empty());
            if !fits {
                found.push(format!("{path} is none of its schemas"));
            }
            return;
        }
    }
    let mut object = Members::default();
    object.add(api, schema);
    if !is_of_type(&object.kind, value) {
        found.push(format!("{path} is not a {}", object.kind));
        return;
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        found.push(format!("{path} is not one of {words:?}"));
    }
    let text = value.as_str().unwrap_or_default();
    let is_read = match schema["format"].as_str() {
        Some("uuid") => prichal_core::id::parse(text).is_some(),
        Some("date-time") => prichal_core::time::Timestamp::parse(text).is_some(),
        _ => true,
    };
    if !is_read && !value.is_null() {
        found.push(format!("{path} is not a {}", schema["format"]));
    }
    match value {
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                check(api, &schema["items"], item, &format!("{path}[{n}]"), found);
            }
        }
        Value::Object(members) if !object.is_free() => {
            object.check(api, members, path, found);
        }
        _ => {}
    }
}

fn resolved<'a>(api: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let found = api.pointer(reference.trim_start_matches('#'));
            found.unwrap_or_else(|| panic!("{reference} is there"))
        }
        None => schema,
    }
}

fn is_of_type(kind: &Value, value: &Value) -> bool {
    let fits = |kind: &Value| match kind.as_str() {
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some("null") => value.is_null(),
        _ => true,
    };
    match kind {
        Value::Array(kinds) => kinds.iter().any(fits),
        kind => fits(kind),
    }
}

/// The members of an object, from all parts of its schema.
#[derive(Default)]
struct Members<'a> {
    kind: Value,
    known: Map<String, Value>,
    required: Vec<&'a str>,
    others: Option<&'a Value>,
}

impl<'a> Members<'a> {
    fn add(&mut self, api: &'a Value, schema: &'a Value) {
        let schema = resolved(api, schema);
        if self.kind.is_null() {
            self.kind = schema["type"].clone();
        }
        let properties = schema["properties"].as_object();
        self.known.extend(
            properties
                .into_iter()
                .flatten()
                .map(|(k, v)| (k.clone(), v.clone())),
        );
        let required = schema["required"].as_array().into_iter().flatten();
        self.required.extend(required.filter_map(Value::as_str));
        self.others = self.others.or(schema.get("additionalProperties"));
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.add(api, part);
        }
    }

    /// True of an object whose members are not described.
    fn is_free(&self) -> bool {
        self.known.is_empty() && self.others.is_none_or(|others| *others == true)
    }

    fn check(
        &self,
        api: &Value,
        members: &Map<String, Value>,
        path: &str,
        faults: &mut Vec<String>,
    ) {
        for name in &self.required {
            if !members.contains_key(*name) {
                faults.push(format!("{path}.{name} is missing"));
            }
        }
        for (name, value) in members {
            let path = format!("{path}.{name}");
            match (self.known.get(name), self.others) {
                (Some(schema), _) => check(api, schema, value, &path, faults),
                (None, Some(schema)) if schema.is_object() => {
                    check(api, schema, value, &path, faults);
                }
                (None, Some(Value::Bool(true))) => {}
                (None, _) => faults.push(format!("{path} is not described")),
            }
        }
    }
}

#[test]
fn an_answer_that_is_not_as_described_is_noticed() {
    let api = json!({ "components": { "schemas": { "Toy": {
        "type": "object", "required": ["id", "parts"],
        "properties": {
            "id": { "type": "string", "format": "uuid" },
            "parts": { "type": "array", "items": { "type": "object", "properties": {
                "size": { "type": "string", "enum": ["small", "large"] },
            } } },
        },
    } } } });
    let schema = json!({ "$ref": "#/components/schemas/Toy" });
    let faults = |value: Value| faults(&api, &schema, &value);
    let id = "a5aad3c1-777b-4ae5-8ca1-60b94c0423e5";
    assert!(faults(json!({ "id": id, "parts": [{ "size": "small" }] })).is_empty());
    for wrong in [
        json!([]),
        json!({ "id": id }),
        json!({ "id": "x", "parts": [] }),
        json!({ "id": id, "parts": [{ "size": "huge" }] }),
        json!({ "id": id, "parts": [{ "size": "small", "colour": 1 }] }),
        json!({ "id": id, "parts": [], "name": "x" }),
    ] {
        assert_eq!(faults(wrong.clone()).len(), 1, "{wrong}");
    }
}
