//! Reading a schema: its keywords, with their bounds, and its references.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Number, Value};

use super::{
    Bound, Comparison, JsonSchema, JsonType, MAX_PATTERN, MAX_PATTERNS, MAX_SUBSCHEMAS, Measure,
    Node, NodeId, Rule, pattern::Pattern,
};
use crate::schema::{Fault, Object, check_free};

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
/// The greatest number of digits of `multipleOf`.
const MAX_DIVISOR_DIGITS: usize = 15;

/// The fault of a schema, and the pointer of the place.
type Refusal = (String, String);
type Result<T> = std::result::Result<T, Refusal>;

impl JsonSchema {
    /// Compiles a schema that is at `path` of a body.
    pub fn compile(path: &str, schema: &Value) -> std::result::Result<Self, Fault> {
        check_free(schema).map_err(|why| Fault::invalid(path, why))?;
        let mut compiler = Compiler::default();
        let read = compiler
            .subschema(schema, "")
            .and_then(|_| compiler.resolve());
        read.map_err(|(pointer, why)| {
            let place: String = pointer.chars().take(200).collect();
            Fault::rule(
                path,
                format!("The {path} field is invalid at #{place}: {why}."),
            )
        })?;
        Ok(Self {
            nodes: compiler.nodes,
            patterns: compiler.patterns,
            tracks_seen: compiler.tracks_seen,
        })
    }
}

#[derive(Default)]
struct Compiler {
    nodes: Vec<Node>,
    /// The subschemas by their pointers, such as `/$defs/line`.
    places: HashMap<String, NodeId>,
    /// References that are resolved at the end: their subschema, the number of the rule, the place and the pointer.
    references: Vec<(NodeId, usize, String, String)>,
    patterns: usize,
    tracks_seen: bool,
}

impl Compiler {
    fn subschema(&mut self, schema: &Value, at: &str) -> Result<NodeId> {
        let id = self.nodes.len();
        if id >= MAX_SUBSCHEMAS {
            return refuse(at, format!("it has more than {MAX_SUBSCHEMAS} subschemas"));
        }
        self.nodes.push(Node::Always(true));
        self.places.insert(at.to_owned(), id);
        self.nodes[id] = match schema {
            Value::Bool(always) => Node::Always(*always),
            Value::Object(members) => Node::Rules(self.rules(members, id, at)?),
            _ => return refuse(at, "a schema is an object, true or false"),
        };
        Ok(id)
    }

    /// Sets the targets of references.
    fn resolve(&mut self) -> Result<()> {
        for (node, rule, at, pointer) in std::mem::take(&mut self.references) {
            let Some(target) = self.places.get(&pointer) else {
                return refuse(&at, "it refers to a place without a schema");
            };
            if let Node::Rules(rules) = &mut self.nodes[node] {
                rules[rule] = Rule::Reference(*target);
            }
        }
        Ok(())
    }

    fn rules(&mut self, members: &Object, id: NodeId, at: &str) -> Result<Vec<Rule>> {
        let mut rules = Vec::new();
        for (name, value) in members {
            let place = below(at, name);
            if let Some(pointer) = self.keyword(&mut rules, name, value, &place)? {
                self.references.push((id, rules.len(), place, pointer));
                // Replaced when all places are known.
                rules.push(Rule::Reference(id));
            }
        }
        self.members(&mut rules, members, at)?;
        self.items(&mut rules, members, at)?;
        self.condition(&mut rules, members, at)?;
        // These look at what all other rules have left.
        for (name, rule) in [
            (
                "unevaluatedItems",
                Rule::UnevaluatedItems as fn(NodeId) -> Rule,
            ),
            ("unevaluatedProperties", Rule::UnevaluatedMembers),
        ] {
            if let Some(node) = self.optional(members, name, at)? {
                self.tracks_seen = true;
                rules.push(rule(node));
            }
        }
        Ok(rules)
    }

    /// Reads one keyword. A reference is returned, since its target may not be known yet.
    fn keyword(
        &mut self,
        rules: &mut Vec<Rule>,
        name: &str,
        value: &Value,
        at: &str,
    ) -> Result<Option<String>> {
        let rule = match name {
            "$schema" => {
                let known = value.as_str().map(|draft| draft.trim_end_matches('#'));
                if known != Some(DRAFT) {
                    return refuse(at, format!("the draft is {DRAFT}"));
                }
                return Ok(None);
            }
            "$id" if at == "/$id" && value.is_string() => return Ok(None),
            "$id" => return refuse(at, "only the whole schema has an `$id`"),
            "$ref" => return Ok(Some(pointer(value, at)?)),
            "$defs" => {
                self.named(value, at)?;
                return Ok(None);
            }
            "type" => Rule::Types(types(value, at)?),
            "enum" => Rule::Values(list(value, at)?.clone()),
            "const" => Rule::Values(vec![value.clone()]),
            "minimum" => Rule::Limit(Comparison::AtLeast, number(value, at)?),
            "exclusiveMinimum" => Rule::Limit(Comparison::MoreThan, number(value, at)?),
            "maximum" => Rule::Limit(Comparison::AtMost, number(value, at)?),
            "exclusiveMaximum" => Rule::Limit(Comparison::LessThan, number(value, at)?),
            "multipleOf" => Rule::MultipleOf(divisor(value, at)?),
            "minLength" => Rule::Size(Measure::Characters, Bound::Min, size(value, at)?),
            "maxLength" => Rule::Size(Measure::Characters, Bound::Max, size(value, at)?),
            "minItems" => Rule::Size(Measure::Items, Bound::Min, size(value, at)?),
            "maxItems" => Rule::Size(Measure::Items, Bound::Max, size(value, at)?),
            "minProperties" => Rule::Size(Measure::Members, Bound::Min, size(value, at)?),
            "maxProperties" => Rule::Size(Measure::Members, Bound::Max, size(value, at)?),
            "pattern" => Rule::Pattern(Box::new(self.pattern(text(value, at)?, at)?)),
            "uniqueItems" => match value {
                Value::Bool(true) => Rule::Unique,
                Value::Bool(false) => return Ok(None),
                _ => return refuse(at, "it must be true or false"),
            },
            "required" => Rule::Required(names(value, at)?),
            "dependentRequired" => {
                let all = object(value, at)?.iter();
                let all = all.map(|(name, value)| Ok((name.clone(), names(value, at)?)));
                Rule::DependentRequired(all.collect::<Result<_>>()?)
            }
            "dependentSchemas" => Rule::DependentSchemas(self.named(value, at)?),
            "propertyNames" => Rule::Names(self.subschema(value, at)?),
            "allOf" => Rule::All(self.several(value, at)?),
            "anyOf" => Rule::Any(self.several(value, at)?),
            "oneOf" => Rule::One(self.several(value, at)?),
            "not" => Rule::Not(self.subschema(value, at)?),
            // The first of these are read together with the keywords that they depend on, the others are notes.
            "properties"
            | "patternProperties"
            | "additionalProperties"
            | "prefixItems"
            | "items"
            | "contains"
            | "minContains"
            | "maxContains"
            | "if"
            | "then"
            | "else"
            | "unevaluatedItems"
            | "unevaluatedProperties"
            | "title"
            | "description"
            | "default"
            | "examples"
            | "deprecated"
            | "readOnly"
            | "writeOnly"
            | "format"
            | "contentEncoding"
            | "contentMediaType"
            | "contentSchema"
            | "$comment" => return Ok(None),
            name if name.starts_with("x-") => return Ok(None),
            "$anchor" | "$dynamicAnchor" | "$dynamicRef" | "$vocabulary" => {
                return refuse(at, "it is not supported; refer to `#/$defs/…`");
            }
            _ => {
                return refuse(
                    at,
                    "it is not a keyword of the draft; notes of your own begin with `x-`",
                );
            }
        };
        rules.push(rule);
        Ok(None)
    }

    fn members(&mut self, rules: &mut Vec<Rule>, members: &Object, at: &str) -> Result<()> {
        let mut properties = BTreeMap::new();
        if let Some(value) = members.get("properties") {
            properties.extend(self.named(value, &below(at, "properties"))?);
        }
        let mut patterns = Vec::new();
        if let Some(value) = members.get("patternProperties") {
            let place = below(at, "patternProperties");
            for (pattern, value) in object(value, &place)? {
                let place = below(&place, pattern);
                let regex = self.pattern(pattern, &place)?;
                patterns.push((regex, self.subschema(value, &place)?));
            }
        }
        let additional = self.optional(members, "additionalProperties", at)?;
        if !properties.is_empty() || !patterns.is_empty() || additional.is_some() {
            rules.push(Rule::Members {
                properties,
                patterns,
                additional,
            });
        }
        Ok(())
    }

    fn items(&mut self, rules: &mut Vec<Rule>, members: &Object, at: &str) -> Result<()> {
        let prefix = match members.get("prefixItems") {
            Some(value) => self.several(value, &below(at, "prefixItems"))?,
            None => Vec::new(),
        };
        let rest = self.optional(members, "items", at)?;
        if !prefix.is_empty() || rest.is_some() {
            rules.push(Rule::Items { prefix, rest });
        }
        let count = |name: &str, otherwise: u64| match members.get(name) {
            Some(value) => size(value, &below(at, name)),
            None => Ok(otherwise),
        };
        let (min, max) = (count("minContains", 1)?, count("maxContains", u64::MAX)?);
        if let Some(node) = self.optional(members, "contains", at)? {
            rules.push(Rule::Contains { node, min, max });
        }
        Ok(())
    }

    fn condition(&mut self, rules: &mut Vec<Rule>, members: &Object, at: &str) -> Result<()> {
        let test = self.optional(members, "if", at)?;
        let then = self.optional(members, "then", at)?;
        let otherwise = self.optional(members, "else", at)?;
        if let Some(test) = test {
            rules.push(Rule::Condition {
                test,
                then,
                otherwise,
            });
        }
        Ok(())
    }

    fn optional(&mut self, members: &Object, name: &str, at: &str) -> Result<Option<NodeId>> {
        let value = members.get(name);
        let read = value.map(|value| self.subschema(value, &below(at, name)));
        read.transpose()
    }

    fn several(&mut self, value: &Value, at: &str) -> Result<Vec<NodeId>> {
        let all = list(value, at)?;
        if all.is_empty() {
            return refuse(at, "it must have an element");
        }
        let all = all.iter().enumerate();
        all.map(|(n, value)| self.subschema(value, &format!("{at}/{n}")))
            .collect()
    }

    fn named(&mut self, value: &Value, at: &str) -> Result<Vec<(String, NodeId)>> {
        let all = object(value, at)?.iter();
        all.map(|(name, value)| Ok((name.clone(), self.subschema(value, &below(at, name))?)))
            .collect()
    }

    fn pattern(&mut self, pattern: &str, at: &str) -> Result<Pattern> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return refuse(at, format!("it has more than {MAX_PATTERNS} patterns"));
        }
        if pattern.len() > MAX_PATTERN {
            return refuse(
                at,
                format!("the pattern is longer than {MAX_PATTERN} bytes"),
            );
        }
        Pattern::compile(pattern).or_else(|why| refuse(at, why))
    }
}

fn refuse<T>(at: &str, why: impl Into<String>) -> Result<T> {
    Err((at.to_owned(), why.into()))
}

/// The pointer of a member.
fn below(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The pointer in a reference, which may be percent-encoded.
fn pointer(value: &Value, at: &str) -> Result<String> {
    let inside = text(value, at)?.strip_prefix('#');
    match inside.map(decoded) {
        Some(Some(pointer)) if pointer.is_empty() || pointer.starts_with('/') => Ok(pointer),
        _ => refuse(
            at,
            "it must refer to a place in this schema, such as `#/$defs/line`",
        ),
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(byte) = rest.next() {
        if *byte == b'%' {
            let pair = [*rest.next()?, *rest.next()?];
            let pair = std::str::from_utf8(&pair).ok()?;
            bytes.push(u8::from_str_radix(pair, 16).ok()?);
        } else {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn types(value: &Value, at: &str) -> Result<Vec<JsonType>> {
    let one = |value: &Value| match value.as_str() {
        Some("null") => Ok(JsonType::Null),
        Some("boolean") => Ok(JsonType::Boolean),
        Some("object") => Ok(JsonType::Object),
        Some("array") => Ok(JsonType::Array),
        Some("number") => Ok(JsonType::Number),
        Some("integer") => Ok(JsonType::Integer),
        Some("string") => Ok(JsonType::String),
        _ => refuse(
            at,
            "a type is null, boolean, object, array, number, integer or string",
        ),
    };
    match value {
        Value::Array(all) if !all.is_empty() => all.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}

fn text<'v>(value: &'v Value, at: &str) -> Result<&'v str> {
    value
        .as_str()
        .map_or_else(|| refuse(at, "it must be a text"), Ok)
}

fn list<'v>(value: &'v Value, at: &str) -> Result<&'v Vec<Value>> {
    value
        .as_array()
        .map_or_else(|| refuse(at, "it must be a list"), Ok)
}

fn object<'v>(value: &'v Value, at: &str) -> Result<&'v Map<String, Value>> {
    value
        .as_object()
        .map_or_else(|| refuse(at, "it must be an object"), Ok)
}

fn names(value: &Value, at: &str) -> Result<Vec<String>> {
    let all = list(value, at)?.iter();
    all.map(|name| text(name, at).map(str::to_owned)).collect()
}

fn number(value: &Value, at: &str) -> Result<Number> {
    match value {
        Value::Number(number) => Ok(number.clone()),
        _ => refuse(at, "it must be a number"),
    }
}

fn divisor(value: &Value, at: &str) -> Result<Number> {
    let number = number(value, at)?;
    let fits = number.as_str().len() <= MAX_DIVISOR_DIGITS;
    match number.as_f64() {
        Some(known) if known > 0.0 && fits => Ok(number),
        _ => refuse(
            at,
            format!("it must be more than 0 and have at most {MAX_DIVISOR_DIGITS} characters"),
        ),
    }
}

fn size(value: &Value, at: &str) -> Result<u64> {
    let whole = value.as_u64().or_else(|| {
        // 2.0 is a whole number as well.
        let whole = value.as_f64().filter(|n| n.fract() == 0.0);
        whole.and_then(|n| format!("{n}").parse().ok())
    });
    whole.map_or_else(|| refuse(at, "it must be a whole number from 0"), Ok)
}
