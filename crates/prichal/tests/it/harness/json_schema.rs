//! A validator of JSON by the schemas of the OpenAPI and AsyncAPI descriptions. It knows the keywords that they use, and
//! refuses others; formats are not checked.

use std::collections::BTreeSet;

use serde_json::Value;

/// Keywords that say nothing about validity.
const ANNOTATIONS: &[&str] = &[
    "title",
    "description",
    "example",
    "examples",
    "default",
    "format",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentEncoding",
    "contentMediaType",
];

/// The faults of a value, each with its path. A member that the schema does not describe is a fault as well, unless the
/// schema describes no member at all.
pub(crate) fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    closed(document, schema, value, "$")
}

/// The schema that a reference names, else the value itself.
pub(crate) fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
        return value;
    };
    let pointer = reference.trim_start_matches('#');
    let found = document.pointer(pointer);
    resolve(
        document,
        found.unwrap_or_else(|| panic!("{reference} is there")),
    )
}

/// The outcome of a schema for a value.
#[derive(Default)]
struct Outcome<'a> {
    faults: Vec<String>,
    /// The members that the schema describes.
    members: BTreeSet<&'a str>,
    /// True if the schema admits any other member.
    is_open: bool,
}

impl<'a> Outcome<'a> {
    fn add(&mut self, other: Outcome<'a>) {
        self.faults.extend(other.faults);
        self.members.extend(other.members);
        self.is_open |= other.is_open;
    }
}

fn closed(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut outcome = check(document, schema, value, at);
    if let Some(object) = value.as_object()
        && !outcome.is_open
    {
        let unknown = object
            .keys()
            .filter(|name| !outcome.members.contains(name.as_str()));
        let unknown = unknown.map(|name| format!("{at}.{name} is not described"));
        outcome.faults.extend(unknown);
    }
    outcome.faults
}

fn check<'a>(document: &'a Value, schema: &'a Value, value: &Value, at: &str) -> Outcome<'a> {
    let mut outcome = Outcome::default();
    let Some(keywords) = schema.as_object() else {
        outcome.is_open = true;
        if schema == &Value::Bool(false) {
            outcome.faults.push(format!("{at} must be absent"));
        }
        return outcome;
    };
    let describing = ["$ref", "allOf", "anyOf", "oneOf", "properties"];
    outcome.is_open = !describing
        .iter()
        .any(|keyword| keywords.contains_key(*keyword));
    for (keyword, rule) in keywords {
        let is_kept = match keyword.as_str() {
            "$ref" => {
                outcome.add(check(document, resolve(document, schema), value, at));
                true
            }
            "allOf" => {
                items(rule).for_each(|one| outcome.add(check(document, one, value, at)));
                true
            }
            "anyOf" | "oneOf" => {
                let all = items(rule).map(|one| check(document, one, value, at));
                let (good, bad): (Vec<_>, Vec<_>) = all.partition(|one| one.faults.is_empty());
                if good.is_empty() {
                    let why: Vec<_> = bad.into_iter().map(|one| one.faults.join(", ")).collect();
                    outcome.faults.push(format!("{at} ({})", why.join(" | ")));
                }
                let is_clear = keyword == "anyOf" || good.len() < 2;
                good.into_iter().for_each(|one| outcome.add(one));
                is_clear
            }
            "not" => !check(document, rule, value, at).faults.is_empty(),
            "properties" => {
                for (name, schema) in rule.as_object().into_iter().flatten() {
                    outcome.members.insert(name);
                    if let Some(member) = value.get(name) {
                        let faults = closed(document, schema, member, &format!("{at}.{name}"));
                        outcome.faults.extend(faults);
                    }
                }
                true
            }
            "additionalProperties" => {
                outcome.is_open |= rule != &Value::Bool(false);
                let known = |name: &str| keywords["properties"].get(name).is_some();
                let has_known = keywords.contains_key("properties");
                for (name, member) in value.as_object().into_iter().flatten() {
                    if !(has_known && known(name)) {
                        let faults = closed(document, rule, member, &format!("{at}.{name}"));
                        outcome.faults.extend(faults);
                    }
                }
                true
            }
            "propertyNames" => {
                for name in value
                    .as_object()
                    .into_iter()
                    .flat_map(|object| object.keys())
                {
                    let name = Value::from(name.as_str());
                    let faults = closed(document, rule, &name, &format!("{at} name"));
                    outcome.faults.extend(faults);
                }
                true
            }
            "items" => {
                for (n, item) in items(value).enumerate() {
                    // A list of schemas describes a tuple, as in draft 7.
                    let rule = rule.as_array().map_or(Some(rule), |rules| rules.get(n));
                    if let Some(rule) = rule {
                        let faults = closed(document, rule, item, &format!("{at}[{n}]"));
                        outcome.faults.extend(faults);
                    }
                }
                true
            }
            _ => holds(keyword, rule, value),
        };
        if !is_kept {
            let mut shown = value.to_string();
            shown.truncate(shown.floor_char_boundary(200));
            let fault = format!("{at} breaks {keyword} {rule}: {shown}");
            outcome.faults.push(fault);
        }
    }
    outcome
}

/// Judges a keyword that looks at the value alone.
fn holds(keyword: &str, rule: &Value, value: &Value) -> bool {
    let bound = || rule.as_f64().expect("a number");
    let number = value.as_f64();
    let length = value.as_str().map(|text| as_f64(text.chars().count()));
    let count = value.as_array().map(|items| as_f64(items.len()));
    let members = value.as_object().map(|object| as_f64(object.len()));
    match keyword {
        "type" => match rule {
            Value::Array(types) => types.iter().any(|one| is_of_type(one, value)),
            one => is_of_type(one, value),
        },
        "enum" => items(rule).any(|word| word == value),
        "const" => rule == value,
        "required" => value.as_object().is_none_or(|object| {
            items(rule).all(|name| object.contains_key(name.as_str().expect("a name")))
        }),
        "minimum" => number.is_none_or(|number| number >= bound()),
        "maximum" => number.is_none_or(|number| number <= bound()),
        "minLength" => length.is_none_or(|length| length >= bound()),
        "maxLength" => length.is_none_or(|length| length <= bound()),
        "minItems" => count.is_none_or(|count| count >= bound()),
        "maxItems" => count.is_none_or(|count| count <= bound()),
        "minProperties" => members.is_none_or(|members| members >= bound()),
        "maxProperties" => members.is_none_or(|members| members <= bound()),
        "pattern" => value.as_str().is_none_or(|text| {
            let pattern = regex::Regex::new(rule.as_str().expect("a pattern"));
            pattern.expect("a pattern").is_match(text)
        }),
        other => {
            assert!(
                ANNOTATIONS.contains(&other) || other.starts_with("x-"),
                "the validator does not know the keyword {other}"
            );
            true
        }
    }
}

fn is_of_type(name: &Value, value: &Value) -> bool {
    match name.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value
            .as_number()
            .is_some_and(|number| !number.to_string().contains(['.', 'e', 'E'])),
        other => panic!("there is no type {other}"),
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[expect(clippy::cast_precision_loss, reason = "lengths of tests' texts")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[test]
fn faults_are_found() {
    use serde_json::json;

    let document = json!({ "components": { "schemas": {
        "Base": { "type": "object", "required": ["id"], "properties": { "id": { "type": "string", "minLength": 1 } } },
        "Named": { "allOf": [
            { "$ref": "#/components/schemas/Base" },
            { "type": "object", "properties": { "name": { "type": ["string", "null"] } } },
        ] },
        "Either": { "oneOf": [{ "$ref": "#/components/schemas/Named" }, { "type": "array", "items": { "enum": [1, 2] } }] },
        "Map": { "type": "object", "additionalProperties": { "type": "integer", "maximum": 3 } },
        "Free": { "type": "object" },
        "Odd": { "not": { "enum": [2, 4] } },
        "Pair": { "type": "array", "items": [{ "const": "a" }, { "$ref": "#/components/schemas/Map" }], "maxItems": 2 },
    } } });
    for (name, value, wrong) in [
        ("Named", json!({ "id": "a", "name": null }), 0),
        ("Named", json!({ "id": "a", "other": 1 }), 1),
        ("Named", json!({ "id": "", "name": 1 }), 2),
        ("Named", json!({}), 1),
        ("Either", json!([1, 2]), 0),
        ("Either", json!([3]), 1),
        ("Either", json!({ "id": "a" }), 0),
        ("Map", json!({ "a": 3 }), 0),
        ("Map", json!({ "a": 4, "b": 1.5 }), 2),
        ("Free", json!({ "a": [{}] }), 0),
        ("Free", json!([]), 1),
        ("Odd", json!(3), 0),
        ("Odd", json!(4), 1),
        ("Pair", json!(["a", { "b": 1 }]), 0),
        ("Pair", json!(["b", { "b": 4 }, 1]), 3),
    ] {
        let schema = &document["components"]["schemas"][name];
        let found = faults(&document, schema, &value);
        assert_eq!(found.len(), wrong, "{name} {value}: {found:?}");
    }
}
