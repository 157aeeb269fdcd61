//! Single values: the texts and numbers that each type accepts, and their stored form.

use std::borrow::Cow;

use serde_json::Value;
use uuid::Uuid;

use super::{MAX_DEPTH, MAX_ITEMS, MAX_NODES, MismatchKind, Type, Words};
use crate::{
    id,
    json::{self, MAX_NUMBER},
    time::{Timestamp, parse_time_span},
};

/// The maximum number of characters of a wrong value that an error repeats.
const MAX_SHOWN: usize = 100;

/// Reads a value that is neither a list nor an object with a schema. `None` means absent.
pub(super) fn scalar(ty: Type, value: &Value) -> Result<Option<Value>, MismatchKind> {
    let kept = match ty {
        Type::Text => Value::from(text(value)?),
        Type::Bool => Value::Bool(value.as_bool().ok_or(MismatchKind::Type)?),
        Type::Int => Value::from(value.as_i64().ok_or(MismatchKind::Type)?),
        Type::Size => Value::from(whole(value)?),
        Type::Number if value.is_number() && check_free(value).is_ok() => value.clone(),
        Type::Guid => {
            let id = guid(value)?;
            return Ok((!id.is_nil()).then(|| Value::String(id.to_string())));
        }
        Type::GuidOrNone => Value::String(guid(value)?.to_string()),
        Type::Moment => Value::from(checked(value, is_moment)?),
        Type::TimeSpan => Value::from(checked(value, |text| parse_time_span(text).is_some())?),
        Type::Enum(words) => Value::from(word(words, value)?),
        _ => return Err(MismatchKind::Type),
    };
    Ok(Some(kept))
}

/// Reads a text. U+0000 is refused, because not every database can store it.
fn text(value: &Value) -> Result<&str, MismatchKind> {
    checked(value, |text| !text.contains('\0'))
}

fn checked(value: &Value, fits: impl Fn(&str) -> bool) -> Result<&str, MismatchKind> {
    let text = value.as_str().ok_or(MismatchKind::Type)?;
    fits(text).then_some(text).ok_or(MismatchKind::Format)
}

pub(super) fn guid(value: &Value) -> Result<Uuid, MismatchKind> {
    let text = value.as_str().ok_or(MismatchKind::Type)?;
    id::parse(text).ok_or(MismatchKind::Format)
}

pub(super) fn word(words: &Words, value: &Value) -> Result<&'static str, MismatchKind> {
    let text = value.as_str().ok_or(MismatchKind::Type)?;
    let known = words
        .words
        .iter()
        .find(|word| word.eq_ignore_ascii_case(text));
    known.copied().ok_or(MismatchKind::Format)
}

fn whole(value: &Value) -> Result<i64, MismatchKind> {
    match value {
        Value::String(text) => text.trim().parse().map_err(|_| MismatchKind::Format),
        other => other.as_i64().ok_or(MismatchKind::Type),
    }
}

/// Converts a value to its field's type, for lenient reading: numbers and texts stand for each other, `True`
/// and `1` are true, an empty text is none. Borrowed where it fits as it is.
pub(super) fn coerced(ty: Type, value: &Value) -> Cow<'_, Value> {
    let made = match (ty, value) {
        (Type::Text, Value::Number(number)) => Some(Value::from(number.to_string())),
        (Type::Text, Value::Bool(known)) => Some(Value::from(known.to_string())),
        (Type::Text, _) => None,
        (Type::Bool, Value::Number(number)) => number.as_f64().map(|n| Value::Bool(n != 0.0)),
        (_, Value::String(text)) => from_text(ty, text.trim()),
        _ => None,
    };
    made.map_or(Cow::Borrowed(value), Cow::Owned)
}

fn from_text(ty: Type, text: &str) -> Option<Value> {
    match ty {
        Type::Bool | Type::Int | Type::Size | Type::Number if text.is_empty() => Some(Value::Null),
        Type::Guid | Type::Moment | Type::TimeSpan | Type::Enum(_) if text.is_empty() => {
            Some(Value::Null)
        }
        Type::GuidOrNone if text.is_empty() => Some(Value::from(Uuid::nil().to_string())),
        Type::Bool => {
            let known = [("true", true), ("false", false)];
            let mut known = known.into_iter();
            let found = known.find(|(word, _)| word.eq_ignore_ascii_case(text));
            found.map(|(_, value)| Value::Bool(value))
        }
        Type::Int => text.parse::<i64>().ok().map(Value::from),
        // The numbers of JSON alone.
        Type::Number => serde_json::from_str(text).ok().filter(Value::is_number),
        Type::Guid | Type::GuidOrNone => id::parse_any(text).map(|id| Value::from(id.to_string())),
        _ => None,
    }
}

/// The time parser also reads forms that are not ISO-8601 alone, such as a zone in brackets.
fn is_moment(text: &str) -> bool {
    let plain =
        text.len() <= 40 && text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains('[');
    plain && Timestamp::parse(text).is_some()
}

/// Checks that a free value is small enough to be stored.
pub(crate) fn check_free(value: &Value) -> Result<(), String> {
    let mut nodes = 0;
    measure(value, 0, &mut nodes)
}

fn measure(value: &Value, depth: usize, nodes: &mut usize) -> Result<(), String> {
    *nodes += 1;
    if *nodes > MAX_NODES {
        return Err(format!("more than {MAX_NODES} values"));
    }
    if depth > MAX_DEPTH {
        return Err(format!("nested deeper than {MAX_DEPTH}"));
    }
    match value {
        Value::Array(items) if items.len() > MAX_ITEMS => {
            Err(format!("more than {MAX_ITEMS} elements"))
        }
        Value::Object(members) if members.len() > MAX_ITEMS => {
            Err(format!("more than {MAX_ITEMS} members"))
        }
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| measure(item, depth + 1, nodes)),
        Value::Object(members) => members.iter().try_for_each(|(name, item)| {
            if json::is_private_name(name) {
                return Err("a member with a name that cannot be kept".to_owned());
            }
            measure(item, depth + 1, nodes)
        }),
        Value::Number(number) if number.as_str().len() > MAX_NUMBER => {
            Err(format!("a number of more than {MAX_NUMBER} characters"))
        }
        _ => Ok(()),
    }
}

/// Drops the members that are null, at any depth: null is the same as absent. Nulls in lists stay, because
/// positions count. The value must have passed [`check_free`], which bounds the depth.
pub(crate) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        _ => {}
    }
}

/// The value as JSON, cut to a length that an error may repeat.
pub fn excerpt(value: &Value) -> String {
    // Lists and objects are not printed: they may be as long as the body.
    match value {
        Value::Array(_) => "[…]".to_owned(),
        Value::Object(_) => "{…}".to_owned(),
        Value::String(text) if text.len() > MAX_SHOWN => {
            let start: String = text.chars().take(MAX_SHOWN).collect();
            format!("{}…", Value::from(start))
        }
        Value::Number(number) if number.as_str().len() > MAX_SHOWN => {
            // Digits only, a point and an exponent: each is one byte.
            format!("{}…", &number.as_str()[..MAX_SHOWN])
        }
        other => other.to_string(),
    }
}
