//! The query of a reader of a collection: its filter, its order and its mask of fields
//! (`docs/contracts/era.md §4, §5, §13`).

use std::cmp::Ordering;

use prichal_core::{
    json,
    schema::{Fault, Object},
};
use serde_json::{Map, Value};

/// The fields of a collection's entities.
#[derive(Debug)]
pub struct FieldNames {
    /// Every field, nested ones by their dotted names, too.
    pub known: &'static [&'static str],
    /// Other spellings, and the field of each.
    pub aliases: &'static [(&'static str, &'static str)],
    /// Fields that lists show only when they are asked for.
    pub seldom: &'static [&'static str],
    /// The kinds of the fields that are not texts.
    pub kinds: &'static [(&'static str, Kind)],
}

/// The kind of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Bool,
    Int,
    List,
    Object,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }

    fn holds(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Bool => value.is_boolean(),
            Self::Int => value.is_i64(),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
        }
    }

    /// The value of a field that was never set.
    fn unset(self) -> Value {
        match self {
            Self::Text => "".into(),
            Self::Bool => false.into(),
            Self::Int => 0.into(),
            Self::List => Value::Array(Vec::new()),
            Self::Object => Value::Object(Map::new()),
        }
    }
}

impl FieldNames {
    fn kind(&self, name: &str) -> Kind {
        let kind = self.kinds.iter().find(|(known, _)| *known == name);
        kind.map_or(Kind::Text, |(_, kind)| *kind)
    }

    fn find(&self, parameter: &str, name: &str) -> Result<&'static str, Vec<Fault>> {
        let alias = self.aliases.iter().find(|(alias, _)| *alias == name);
        let meant = alias.map_or(name, |(_, name)| name);
        let known = self.known.iter().find(|known| **known == meant);
        known.copied().ok_or_else(|| {
            let shown: String = name.chars().take(64).collect();
            vec![Fault::rule(
                parameter,
                format!(
                    "{parameter}: there is no field `{shown}`: {}.",
                    self.known.join(", ")
                ),
            )]
        })
    }
}

/// The shape in which an entity is shown.
#[derive(Clone, Debug)]
pub struct Projection {
    names: &'static FieldNames,
    /// The fields that are shown; all if empty.
    fields: Vec<&'static str>,
    /// True if nested fields become dotted ones.
    flat: bool,
}

impl Projection {
    /// Reads `mask`, names with commas between, and `flat`.
    pub fn read(
        names: &'static FieldNames,
        mask: Option<&str>,
        flat: bool,
    ) -> Result<Self, Vec<Fault>> {
        let asked = mask.into_iter().flat_map(|mask| mask.split(','));
        let asked = asked.map(str::trim).filter(|name| !name.is_empty());
        let mut fields = Vec::new();
        for name in asked {
            let field = names.find("mask", name)?;
            // Each once: a mask may name a field as often as a request is long.
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
        Ok(Self {
            names,
            fields,
            flat,
        })
    }

    /// An entity as it is shown.
    pub fn show(&self, entity: &Object, in_list: bool) -> Object {
        let mut shown = Map::new();
        let is_seldom =
            |name: &str| in_list && self.fields.is_empty() && self.names.seldom.contains(&name);
        for (name, value) in entity {
            if is_seldom(name) {
                continue;
            }
            let Value::Object(parts) = value else {
                if self.wants(name) {
                    shown.insert(name.clone(), value.clone());
                }
                continue;
            };
            let mut kept = Map::new();
            for (part, value) in parts {
                let dotted = format!("{name}.{part}");
                if !is_seldom(&dotted) && (self.wants(name) || self.wants(&dotted)) {
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

    /// True if a field without parts is shown.
    pub fn wants(&self, name: &str) -> bool {
        self.fields.is_empty() || self.fields.contains(&name)
    }
}

/// The filter and the order of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Fields, the values that they must have, and their values if unset.
    filter: Vec<(&'static str, Value, Value)>,
    /// Fields to sort by; true for descending.
    order: Vec<(&'static str, bool)>,
}

impl Selection {
    /// Reads `filter`, a JSON object, and `order`, a JSON array of names and of objects such as
    /// `{"code": "desc"}`.
    pub fn read(
        names: &FieldNames,
        filter: Option<&str>,
        order: Option<&str>,
    ) -> Result<Self, Vec<Fault>> {
        let parsed = |parameter: &str, text: &str, what: &str| {
            json::parse::<Value>(text.as_bytes()).map_err(|_| {
                vec![Fault::rule(
                    parameter,
                    format!("{parameter} must be {what}."),
                )]
            })
        };
        let mut selection = Self::default();
        if let Some(text) = filter {
            let what = "a JSON object of fields and values";
            let value = parsed("filter", text, what)?;
            let Value::Object(fields) = value else {
                return Err(vec![Fault::rule(
                    "filter",
                    format!("filter must be {what}."),
                )]);
            };
            for (name, value) in fields {
                let field = names.find("filter", &name)?;
                let kind = names.kind(field);
                if !kind.holds(&value) {
                    let given: String = value.to_string().chars().take(64).collect();
                    let why = format!("filter: the {field} must be {}, not {given}.", kind.name());
                    return Err(vec![Fault::rule("filter", why)]);
                }
                selection.filter.push((field, value, kind.unset()));
            }
        }
        if let Some(text) = order {
            let what = "a JSON array of field names or objects such as {\"code\": \"desc\"}";
            let wrong = || vec![Fault::rule("order", format!("order must be {what}."))];
            let value = parsed("order", text, what)?;
            for item in value.as_array().ok_or_else(wrong)? {
                match item {
                    Value::String(name) => {
                        let field = names.find("order", name)?;
                        selection.sort_by(field, false);
                    }
                    Value::Object(fields) => {
                        for (name, way) in fields {
                            let field = names.find("order", name)?;
                            let is_down = match way.as_str() {
                                Some("asc") => false,
                                Some("desc") => true,
                                _ => return Err(wrong()),
                            };
                            selection.sort_by(field, is_down);
                        }
                    }
                    _ => return Err(wrong()),
                }
            }
        }
        Ok(selection)
    }

    /// Sorts by one more field. A repeated field is ignored.
    fn sort_by(&mut self, field: &'static str, is_down: bool) {
        if self.order.iter().all(|(known, _)| *known != field) {
            self.order.push((field, is_down));
        }
    }

    /// True if all entities are shown in their stored order.
    pub fn is_empty(&self) -> bool {
        self.filter.is_empty() && self.order.is_empty()
    }

    /// True if the filter or the order uses one of these fields.
    pub fn looks_at(&self, fields: &[&str]) -> bool {
        let filter = self.filter.iter().map(|(name, ..)| name);
        let order = self.order.iter().map(|(name, _)| name);
        filter.chain(order).any(|name| fields.contains(name))
    }

    pub fn wants(&self, entity: &Object) -> bool {
        self.filter
            .iter()
            .all(|(name, value, unset)| json::same(at(entity, name).unwrap_or(unset), value))
    }

    /// Sorts entities; equal ones keep their order.
    pub fn sort(&self, entities: &mut [Object]) {
        entities.sort_by(|a, b| self.compare(a, b));
    }

    /// The order of two entities.
    pub fn compare(&self, a: &Object, b: &Object) -> Ordering {
        let ways = self.order.iter().map(|(name, is_down)| {
            let way = compare(at(a, name), at(b, name));
            if *is_down { way.reverse() } else { way }
        });
        ways.fold(Ordering::Equal, Ordering::then)
    }
}

/// The value of a field, nested ones by their dotted name.
fn at<'a>(entity: &'a Object, name: &str) -> Option<&'a Value> {
    match name.split_once('.') {
        Some((outer, inner)) => entity.get(outer)?.get(inner),
        None => entity.get(name),
    }
}

/// Null comes first, then false, true, numbers, texts, and the rest.
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
        (Some(Value::Number(a)), Some(Value::Number(b))) => json::compare(a, b),
        (Some(Value::String(a)), Some(Value::String(b))) => a.cmp(b),
        _ => Ordering::Equal,
    })
}

#[cfg(test)]
mod tests {
    use prichal_core::{channel::Channel, time::Timestamp};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::era::names::CHANNEL;

    fn made(body: &Value) -> Result<Channel, Vec<Fault>> {
        let now = Timestamp::parse("2019-08-28T13:34:16.42999Z").unwrap();
        let id = Uuid::parse_str("b4680fbe-016c-d86f-1d6b-50e54938780c").unwrap();
        Channel::read(body.as_object().unwrap(), id, "82dd".to_owned(), now)
    }

    fn example() -> Channel {
        made(&json!({
            "code": "ABCDE", "type": "public", "url": "http://trapper.com",
            "recv_svcscriptcode": "ws_hook", "send_svcscriptcode": "send_to_web",
        }))
        .unwrap()
    }

    #[test]
    fn masks_and_flat_forms() {
        let entity = example().entity();
        let show = |mask: Option<&str>, flat, in_list| {
            let shape = Projection::read(&CHANNEL, mask, flat).unwrap();
            Value::Object(shape.show(&entity, in_list))
        };
        assert_eq!(show(None, false, false), Value::Object(entity.clone()));
        assert_eq!(show(None, false, true)["opts"].get("comment"), None);
        assert_eq!(
            show(Some("ext.ct,code, tokenlocal,opts.title"), false, true).to_string(),
            r#"{"code":"ABCDE","token_local":"82dd","opts":{"title":""},"ext":{"ct":"2019-08-28T13:34:16.42Z"}}"#
        );
        assert_eq!(
            show(Some("id,opts"), true, true),
            json!({
                "id": "b4680fbe-016c-d86f-1d6b-50e54938780c", "opts.title": "", "opts.comment": "",
                "opts.allow_files_api": false, "opts.issync": false,
            })
        );
        assert_eq!(
            Projection::read(&CHANNEL, Some("colour"), false).unwrap_err()[0].path,
            "mask"
        );
    }

    #[test]
    fn filters_and_orders() {
        let channel = |code: &str, timeout: i64| {
            let body = json!({ "code": code, "type": "t", "opts": { "recv_timeout": timeout } });
            made(&body).unwrap().entity()
        };
        let mut all = vec![channel("b", 2), channel("a", 1), channel("c", 1)];
        let order = Selection::read(
            &CHANNEL,
            None,
            Some(r#"["opts.recv_timeout", {"code": "desc"}]"#),
        )
        .unwrap();
        order.sort(&mut all);
        let codes: Vec<&Value> = all.iter().map(|entity| &entity["code"]).collect();
        assert_eq!(codes, ["c", "a", "b"]);
        let filter = Selection::read(
            &CHANNEL,
            Some(r#"{"opts.recv_timeout": 1, "type": "t"}"#),
            None,
        )
        .unwrap();
        assert_eq!(all.iter().filter(|entity| filter.wants(entity)).count(), 2);
        for (filter, order) in [
            (Some("{"), None),
            (Some("[]"), None),
            (Some(r#"{"colour": 1}"#), None),
            (None, Some("{}")),
            (None, Some("[1]")),
            (None, Some(r#"["colour"]"#)),
            (None, Some(r#"[{"code": "up"}]"#)),
        ] {
            assert!(
                Selection::read(&CHANNEL, filter, order).is_err(),
                "{filter:?} {order:?}"
            );
        }
    }
}
