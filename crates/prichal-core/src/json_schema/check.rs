//! Checking a value against a compiled schema.

use std::{collections::HashSet, fmt::Write};

use serde_json::{Number, Value};

use super::{
    Bound, Comparison, JsonSchema, JsonType, Measure, Node, NodeId, Rule, pattern::Pattern,
};
use crate::{
    json::{canonical, compare, is_integral, is_multiple, same},
    schema::Fault,
};

/// The maximum number of faults that are told about one value.
const MAX_FAULTS: usize = 5;
/// The greatest depth of subschemas within each other at a check.
const MAX_DEPTH: usize = 150;
/// The maximum number of allowed values that a fault lists, and of characters of one.
const MAX_LISTED: usize = 10;
const MAX_SHOWN: usize = 40;

/// The steps that the checks of a request may take together. A step is a rule for a value, or a few bytes of a text
/// compared.
#[derive(Debug)]
pub struct Budget(u64);

impl Budget {
    pub const fn new(steps: u64) -> Self {
        Self(steps)
    }
}

impl JsonSchema {
    /// Checks a value that is at `path` of a body. Faults name the place and the rule, and repeat no value: it may be
    /// a secret.
    pub fn check(&self, path: &str, value: &Value, budget: &mut Budget) -> Result<(), Vec<Fault>> {
        let mut check = Check {
            schema: self,
            budget,
            path: path.to_owned(),
            faults: Vec::new(),
            is_quiet: false,
            depth: 0,
            stopped: None,
        };
        let is_valid = check.node(0, value, &mut Seen::default());
        match check.stopped {
            Some(why) => Err(vec![Fault::rule(path, format!("The {path} {why}."))]),
            None if is_valid => Ok(()),
            None => Err(check.faults),
        }
    }
}

/// The members and items of a value that rules have looked at.
#[derive(Default)]
struct Seen<'v> {
    members: HashSet<&'v str>,
    items: HashSet<usize>,
}

struct Check<'a> {
    schema: &'a JsonSchema,
    budget: &'a mut Budget,
    path: String,
    faults: Vec<Fault>,
    /// True inside of rules that may fail, such as `anyOf`. Their faults are not told.
    is_quiet: bool,
    depth: usize,
    /// The reason for which the check has ended early.
    stopped: Option<&'static str>,
}

impl<'a> Check<'a> {
    fn node<'v>(&mut self, id: NodeId, value: &'v Value, seen: &mut Seen<'v>) -> bool {
        if self.depth >= MAX_DEPTH {
            self.stopped = Some("is checked by schemas that refer to each other without end");
        }
        if !self.spend(1) {
            return false;
        }
        let schema: &'a JsonSchema = self.schema;
        let rules = match &schema.nodes[id] {
            Node::Always(true) => return true,
            Node::Always(false) => return self.fault("is not allowed"),
            Node::Rules(rules) => rules,
        };
        self.depth += 1;
        let mut is_valid = true;
        for rule in rules {
            is_valid &= self.spend(1) && self.rule(rule, value, seen);
            let enough = self.is_quiet || self.faults.len() >= MAX_FAULTS;
            if self.stopped.is_some() || (!is_valid && enough) {
                is_valid = false;
                break;
            }
        }
        self.depth -= 1;
        is_valid
    }

    /// Takes steps from the budget. Returns false if there are not enough, or the check has been stopped.
    fn spend(&mut self, steps: usize) -> bool {
        let left = self.budget.0.checked_sub(steps as u64);
        self.budget.0 = left.unwrap_or(0);
        if left.is_none() {
            self.stopped = Some("needs more checks than a request may have");
        }
        self.stopped.is_none()
    }

    fn fault(&mut self, why: impl AsRef<str>) -> bool {
        if !self.is_quiet && self.faults.len() < MAX_FAULTS {
            let (path, why) = (&self.path, why.as_ref());
            self.faults
                .push(Fault::rule(path.as_str(), format!("The {path} {why}.")));
        }
        false
    }

    fn expect(&mut self, holds: bool, why: impl FnOnce() -> String) -> bool {
        if holds || self.is_quiet {
            return holds;
        }
        self.fault(why())
    }

    /// Checks another schema for the same value. What it has looked at counts only if it is valid.
    fn in_place<'v>(&mut self, id: NodeId, value: &'v Value, seen: &mut Seen<'v>) -> bool {
        if !self.schema.tracks_seen {
            return self.node(id, value, seen);
        }
        let mut inner = Seen::default();
        let is_valid = self.node(id, value, &mut inner);
        let count = inner.members.len() + inner.items.len();
        if is_valid && self.spend(count) {
            seen.members.extend(inner.members);
            seen.items.extend(inner.items);
        }
        is_valid
    }

    /// The same, without telling its faults.
    fn quietly<'v>(&mut self, id: NodeId, value: &'v Value, seen: &mut Seen<'v>) -> bool {
        let before = std::mem::replace(&mut self.is_quiet, true);
        let is_valid = self.in_place(id, value, seen);
        self.is_quiet = before;
        is_valid
    }

    fn rule<'v>(&mut self, rule: &'a Rule, value: &'v Value, seen: &mut Seen<'v>) -> bool {
        match rule {
            Rule::Reference(id) => self.in_place(*id, value, seen),
            Rule::Types(types) => {
                let holds = types.iter().any(|ty| is_of(*ty, value));
                self.expect(holds, || format!("must be {}", either(types)))
            }
            Rule::Values(values) => self.values(values, value),
            Rule::Limit(comparison, limit) => match value {
                Value::Number(number) => self.limit(*comparison, number, limit),
                _ => true,
            },
            Rule::MultipleOf(divisor) => match value {
                Value::Number(number) => {
                    let holds =
                        self.spend(size_of_text(number.as_str())) && is_multiple(number, divisor);
                    self.expect(holds, || format!("must be a multiple of {divisor}"))
                }
                _ => true,
            },
            Rule::Size(measure, bound, limit) => self.size(*measure, *bound, *limit, value),
            Rule::Pattern(pattern) => match value {
                Value::String(text) => {
                    let holds = self.matches(pattern, text);
                    self.expect(holds, || {
                        format!("must match {}", shown(pattern.regex.as_str()))
                    })
                }
                _ => true,
            },
            Rule::Unique => self.unique(value),
            Rule::Required(names) => self.required(names, value),
            Rule::DependentRequired(all) => {
                let mut is_valid = true;
                for (name, needed) in all {
                    let is_given = self.has(value, name);
                    is_valid &= !is_given || self.required(needed, value);
                }
                is_valid
            }
            Rule::DependentSchemas(all) => {
                let mut is_valid = true;
                for (name, id) in all {
                    let is_given = self.has(value, name);
                    is_valid &= !is_given || self.in_place(*id, value, seen);
                }
                is_valid
            }
            Rule::Members { .. }
            | Rule::Names(_)
            | Rule::Items { .. }
            | Rule::Contains { .. }
            | Rule::UnevaluatedItems(_)
            | Rule::UnevaluatedMembers(_) => self.parts(rule, value, seen),
            Rule::All(all) => {
                let mut is_valid = true;
                for id in all {
                    is_valid &= self.in_place(*id, value, seen);
                }
                is_valid
            }
            Rule::Any(all) => {
                let mut holds = false;
                for id in all {
                    // All are asked if their outcome matters to `unevaluated…`.
                    holds |= (!holds || self.schema.tracks_seen) && self.quietly(*id, value, seen);
                }
                self.expect(holds, || "must match one of the schemas of `anyOf`".into())
            }
            Rule::One(all) => {
                let mut count = 0;
                for id in all {
                    count += usize::from(self.quietly(*id, value, seen));
                }
                self.expect(count == 1, || {
                    format!("must match one schema of `oneOf`, and matches {count}")
                })
            }
            Rule::Not(id) => {
                let holds = !self.quietly(*id, value, &mut Seen::default());
                self.expect(holds, || "must not match the schema of `not`".into())
            }
            Rule::Condition {
                test,
                then,
                otherwise,
            } => {
                let next = if self.quietly(*test, value, seen) {
                    then
                } else {
                    otherwise
                };
                next.is_none_or(|id| self.in_place(id, value, seen))
            }
        }
    }

    /// Checks the members of an object and the items of a list.
    fn parts<'v>(&mut self, rule: &'a Rule, value: &'v Value, seen: &mut Seen<'v>) -> bool {
        match (rule, value) {
            (
                Rule::Members {
                    properties,
                    patterns,
                    additional,
                },
                Value::Object(members),
            ) => {
                let mut is_valid = true;
                for (name, value) in members {
                    if !self.spend(size_of_text(name)) {
                        return false;
                    }
                    let named = properties.get(name).copied();
                    let mut is_known = named.is_some();
                    if let Some(id) = named {
                        is_valid &= self.member(id, name, value, seen);
                    }
                    for (pattern, id) in patterns {
                        if self.matches(pattern, name) {
                            is_known = true;
                            is_valid &= self.member(*id, name, value, seen);
                        }
                    }
                    if let (false, Some(id)) = (is_known, additional) {
                        is_valid &= self.member(*id, name, value, seen);
                    }
                }
                is_valid
            }
            (Rule::UnevaluatedMembers(id), Value::Object(members)) => {
                let mut is_valid = true;
                for (name, value) in members {
                    if !self.spend(size_of_text(name)) {
                        return false;
                    }
                    if !seen.members.contains(name.as_str()) {
                        is_valid &= self.member(*id, name, value, seen);
                    }
                }
                is_valid
            }
            (Rule::Names(id), Value::Object(members)) => {
                let mut is_valid = true;
                for name in members.keys() {
                    if !self.spend(size_of_text(name)) {
                        return false;
                    }
                    let name = Value::from(name.as_str());
                    is_valid &= self.node(*id, &name, &mut Seen::default());
                }
                is_valid
            }
            (Rule::Items { prefix, rest }, Value::Array(items)) => {
                let mut is_valid = true;
                let ids = prefix.iter().chain(rest.iter().cycle());
                for ((n, item), id) in items.iter().enumerate().zip(ids) {
                    is_valid &= self.item(*id, n, item, seen);
                }
                is_valid
            }
            (Rule::UnevaluatedItems(id), Value::Array(items)) => {
                let mut is_valid = true;
                for (n, item) in items.iter().enumerate() {
                    if !self.spend(1) {
                        return false;
                    }
                    if !seen.items.contains(&n) {
                        is_valid &= self.item(*id, n, item, seen);
                    }
                }
                is_valid
            }
            (Rule::Contains { node, min, max }, Value::Array(items)) => {
                let mut count = 0;
                for (n, item) in items.iter().enumerate() {
                    if self.quietly(*node, item, &mut Seen::default()) {
                        count += 1;
                        if self.schema.tracks_seen {
                            seen.items.insert(n);
                        }
                    }
                }
                let holds = (*min..=*max).contains(&count);
                self.expect(holds, || {
                    format!("has {count} elements that match `contains`, which is not allowed")
                })
            }
            _ => true,
        }
    }

    fn member<'v>(
        &mut self,
        id: NodeId,
        name: &'v str,
        value: &'v Value,
        seen: &mut Seen<'v>,
    ) -> bool {
        if self.schema.tracks_seen {
            seen.members.insert(name);
        }
        let length = self.path.len();
        self.path.push('.');
        self.path.extend(name.chars().take(100));
        let is_valid = self.node(id, value, &mut Seen::default());
        self.path.truncate(length);
        is_valid
    }

    fn item(&mut self, id: NodeId, n: usize, value: &Value, seen: &mut Seen<'_>) -> bool {
        if self.schema.tracks_seen {
            seen.items.insert(n);
        }
        let length = self.path.len();
        // Writing into a `String` cannot fail.
        let _ = write!(self.path, "[{n}]");
        let is_valid = self.node(id, value, &mut Seen::default());
        self.path.truncate(length);
        is_valid
    }

    fn values(&mut self, values: &[Value], value: &Value) -> bool {
        let mut holds = false;
        for allowed in values {
            holds = self.spend(size_of_value(allowed)) && same(allowed, value);
            if holds {
                break;
            }
        }
        self.expect(holds, || {
            let listed = values.iter().take(MAX_LISTED);
            let mut listed: Vec<String> = listed.map(|value| shown(&value.to_string())).collect();
            if values.len() > MAX_LISTED {
                listed.push("…".to_owned());
            }
            format!("must be one of {}", listed.join(", "))
        })
    }

    fn limit(&mut self, comparison: Comparison, number: &Number, limit: &Number) -> bool {
        if !self.spend(size_of_text(number.as_str())) {
            return false;
        }
        let order = compare(number, limit);
        let (holds, what) = match comparison {
            Comparison::AtLeast => (order.is_ge(), "at least"),
            Comparison::MoreThan => (order.is_gt(), "more than"),
            Comparison::AtMost => (order.is_le(), "at most"),
            Comparison::LessThan => (order.is_lt(), "less than"),
        };
        self.expect(holds, || {
            format!("must be {what} {}", shown(limit.as_str()))
        })
    }

    fn size(&mut self, measure: Measure, bound: Bound, limit: u64, value: &Value) -> bool {
        let (size, what) = match (measure, value) {
            (Measure::Characters, Value::String(text)) => {
                if !self.spend(text.len() / 64) {
                    return false;
                }
                (text.chars().count(), "characters")
            }
            (Measure::Items, Value::Array(items)) => (items.len(), "elements"),
            (Measure::Members, Value::Object(members)) => (members.len(), "members"),
            _ => return true,
        };
        let size = size as u64;
        match bound {
            Bound::Min => self.expect(size >= limit, || {
                format!("must have at least {limit} {what}")
            }),
            Bound::Max => self.expect(size <= limit, || {
                format!("must have at most {limit} {what}")
            }),
        }
    }

    fn unique(&mut self, value: &Value) -> bool {
        let Value::Array(items) = value else {
            return true;
        };
        if !self.spend(size_of_value(value)) {
            return false;
        }
        let mut known = HashSet::with_capacity(items.len());
        let holds = items.iter().all(|item| known.insert(canonical(item)));
        self.expect(holds, || "must not have equal elements".into())
    }

    /// True if the value has a member of this name.
    fn has(&mut self, value: &Value, name: &str) -> bool {
        let members = value.as_object();
        self.spend(size_of_text(name)) && members.is_some_and(|all| all.contains_key(name))
    }

    fn matches(&mut self, pattern: &Pattern, text: &str) -> bool {
        self.spend(pattern.cost(text)) && pattern.regex.is_match(text)
    }

    fn required(&mut self, names: &[String], value: &Value) -> bool {
        let Value::Object(members) = value else {
            return true;
        };
        let mut is_valid = true;
        for name in names {
            if !self.spend(size_of_text(name)) {
                return false;
            }
            if !members.contains_key(name) {
                is_valid = false;
                if self.is_quiet {
                    break;
                }
                let name: String = name.chars().take(100).collect();
                self.fault(format!("must have a member {name}"));
            }
        }
        is_valid
    }
}

fn is_of(ty: JsonType, value: &Value) -> bool {
    match ty {
        JsonType::Null => value.is_null(),
        JsonType::Boolean => value.is_boolean(),
        JsonType::Object => value.is_object(),
        JsonType::Array => value.is_array(),
        JsonType::String => value.is_string(),
        JsonType::Number => value.is_number(),
        JsonType::Integer => matches!(value, Value::Number(number) if is_integral(number)),
    }
}

fn either(types: &[JsonType]) -> String {
    let name = |ty: &JsonType| match ty {
        JsonType::Null => "null",
        JsonType::Boolean => "true or false",
        JsonType::Object => "an object",
        JsonType::Array => "a list",
        JsonType::Number => "a number",
        JsonType::Integer => "a whole number",
        JsonType::String => "a text",
    };
    types.iter().map(name).collect::<Vec<_>>().join(" or ")
}

/// The steps of a comparison with a value.
fn size_of_value(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size_of_value).sum::<usize>(),
        Value::Object(members) => {
            let sizes = members.iter();
            let sizes = sizes.map(|(name, value)| size_of_text(name) + size_of_value(value));
            1 + sizes.sum::<usize>()
        }
        Value::String(text) => size_of_text(text),
        Value::Number(number) => size_of_text(number.as_str()),
        Value::Null | Value::Bool(_) => 1,
    }
}

/// The steps of a look at a text.
fn size_of_text(text: &str) -> usize {
    1 + text.len() / 64
}

/// A text of the schema, cut to a length that a fault may repeat.
fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
