//! What a reader of channels asks for: which, in what order, and which of their fields
//! (`reference/era.md` §4, §5, §13).

use std::cmp::Ordering;

use serde_json::{Map, Value};

use crate::schema::{Fault, Object};

/// Names under which fields can be asked for, besides those of the entity itself.
const ALIASES: [(&str, &str); 3] = [
    ("tokenlocal", "token_local"),
    ("tokenremote", "token_remote"),
    ("tokenremote2", "token_remote2"),
];

/// Every field, in the order of the entity.
const NAMES: [&str; 25] = [
    "id",
    "code",
    "type",
    "token_local",
    "token_remote",
    "token_remote2",
    "url",
    "recv_svcscriptcode",
    "recv_svcscriptcode_ws",
    "send_svcscriptcode",
    "send_svcscriptcode_ws",
    "opts",
    "opts.title",
    "opts.comment",
    "opts.allow_files_api",
    "opts.issync",
    "opts.recv_timeout",
    "opts.roles",
    "opts.userid",
    "opts.ip_mask",
    "opts.filter_capabilities",
    "ext",
    "ext.ct",
    "ext.lwt",
    "ext.*",
];

fn canonical(name: &str) -> Option<&'static str> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let name = alias.map_or(name, |(_, name)| name);
    NAMES
        .iter()
        .copied()
        .find(|known| *known == name && !known.ends_with('*'))
}

fn unknown(parameter: &str, name: &str) -> Vec<Fault> {
    let shown: String = name.chars().take(64).collect();
    vec![Fault::rule(
        parameter,
        format!("{parameter}: there is no field {shown}."),
    )]
}

/// How an entity is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// The fields that are shown; all when there are none.
    fields: Vec<&'static str>,
    /// Whether nested fields become dotted ones.
    flat: bool,
}

impl Shape {
    /// Reads `mask`, names with commas between, and `flat`.
    pub fn read(mask: Option<&str>, flat: bool) -> Result<Self, Vec<Fault>> {
        let names = mask.into_iter().flat_map(|mask| mask.split(','));
        let names = names.map(str::trim).filter(|name| !name.is_empty());
        let fields = names.map(|name| canonical(name).ok_or_else(|| unknown("mask", name)));
        Ok(Self {
            fields: fields.collect::<Result<_, _>>()?,
            flat,
        })
    }

    /// An entity as it is shown. Lists leave the comment out unless it is asked for.
    pub fn show(&self, entity: &Object, in_list: bool) -> Object {
        let mut shown = Map::new();
        for (name, value) in entity {
            let Value::Object(parts) = value else {
                if self.wants(name) {
                    shown.insert(name.clone(), value.clone());
                }
                continue;
            };
            let mut kept = Map::new();
            for (part, value) in parts {
                let dotted = format!("{name}.{part}");
                let is_left_out = in_list && self.fields.is_empty() && dotted == "opts.comment";
                if !is_left_out && (self.wants(name) || self.wants(&dotted)) {
                    kept.insert(part.clone(), value.clone());
                }
            }
            if self.flat {
                shown.extend(
                    kept.into_iter()
                        .map(|(part, value)| (format!("{name}.{part}"), value)),
                );
            } else if self.wants(name) || !kept.is_empty() {
                shown.insert(name.clone(), Value::Object(kept));
            }
        }
        shown
    }

    fn wants(&self, name: &str) -> bool {
        self.fields.is_empty() || self.fields.contains(&name)
    }
}

/// Which entities are shown, and in what order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Fields and the values they must have.
    filter: Vec<(&'static str, Value)>,
    /// Fields to sort by, and whether downwards.
    order: Vec<(&'static str, bool)>,
}

impl Selection {
    /// Reads `filter`, a JSON object, and `order`, a JSON array of names and of objects such as
    /// `{"code": "desc"}`.
    pub fn read(filter: Option<&str>, order: Option<&str>) -> Result<Self, Vec<Fault>> {
        let json = |parameter: &str, text: &str, what: &str| {
            serde_json::from_str::<Value>(text).map_err(|_| {
                vec![Fault::rule(
                    parameter,
                    format!("{parameter} must be {what}."),
                )]
            })
        };
        let mut selection = Self::default();
        if let Some(text) = filter {
            let what = "a JSON object of fields and values";
            let value = json("filter", text, what)?;
            let Value::Object(fields) = value else {
                return Err(vec![Fault::rule(
                    "filter",
                    format!("filter must be {what}."),
                )]);
            };
            for (name, value) in fields {
                let field = canonical(&name).ok_or_else(|| unknown("filter", &name))?;
                selection.filter.push((field, value));
            }
        }
        if let Some(text) = order {
            let what = "a JSON array of field names or objects such as {\"code\": \"desc\"}";
            let wrong = || vec![Fault::rule("order", format!("order must be {what}."))];
            let value = json("order", text, what)?;
            for item in value.as_array().ok_or_else(wrong)? {
                match item {
                    Value::String(name) => {
                        let field = canonical(name).ok_or_else(|| unknown("order", name))?;
                        selection.order.push((field, false));
                    }
                    Value::Object(fields) => {
                        for (name, way) in fields {
                            let field = canonical(name).ok_or_else(|| unknown("order", name))?;
                            let is_down = match way.as_str() {
                                Some("asc") => false,
                                Some("desc") => true,
                                _ => return Err(wrong()),
                            };
                            selection.order.push((field, is_down));
                        }
                    }
                    _ => return Err(wrong()),
                }
            }
        }
        Ok(selection)
    }

    pub fn wants(&self, entity: &Object) -> bool {
        self.filter
            .iter()
            .all(|(name, value)| at(entity, name).unwrap_or(&Value::Null) == value)
    }

    /// Sorts entities; equal ones keep their order.
    pub fn sort(&self, entities: &mut [Object]) {
        entities.sort_by(|a, b| {
            let ways = self.order.iter().map(|(name, is_down)| {
                let way = compare(at(a, name), at(b, name));
                if *is_down { way.reverse() } else { way }
            });
            ways.fold(Ordering::Equal, Ordering::then)
        });
    }
}

/// The value of a field, nested ones by their dotted name.
fn at<'a>(entity: &'a Object, name: &str) -> Option<&'a Value> {
    match name.split_once('.') {
        Some((outer, inner)) => entity.get(outer)?.get(inner),
        None => entity.get(name),
    }
}

/// Nothing comes first, then false, true, numbers, texts, and whatever else there is.
fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    let rank = |value: Option<&Value>| match value {
        None | Some(Value::Null) => 0,
        Some(Value::Bool(_)) => 1,
        Some(Value::Number(_)) => 2,
        Some(Value::String(_)) => 3,
        Some(_) => 4,
    };
    rank(a).cmp(&rank(b)).then_with(|| match (a, b) {
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a.cmp(b),
        (Some(Value::Number(a)), Some(Value::Number(b))) => a
            .as_f64()
            .partial_cmp(&b.as_f64())
            .unwrap_or(Ordering::Equal),
        (Some(Value::String(a)), Some(Value::String(b))) => a.cmp(b),
        _ => Ordering::Equal,
    })
}
