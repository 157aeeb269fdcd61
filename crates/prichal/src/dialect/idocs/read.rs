//! Reading of bodies as the vendor's server does it: names in any case, enumerations by name or number, unknown
//! members ignored (`docs/contracts/idocs.md §1.1, §1.4`). Errors name the path of the member.

use axum::{extract::FromRequestParts, http::request::Parts};
use prichal_core::{
    document,
    hidden::is_hidden,
    id::parse_any,
    identifier::Check,
    json::is_whole,
    schema::{Fault, excerpt},
};
use prichal_dialect::idocs::words;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    language::{Language, Localized},
    member::Body,
};
use crate::error::{Error, Result};

/// The rules by which a body is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    pub(super) language: Language,
    pub(super) identifiers: Check,
}

impl Reading {
    /// The error for the member with this path.
    pub(super) fn fault(self, path: &str, wording: &Localized, args: &[&str]) -> Error {
        let mut all = vec![path];
        all.extend(args);
        Error::invalid(path, wording.text(self.language, &all))
    }

    /// Refuses a period that ends before it begins. Both members have a name and a value.
    pub(super) fn period(self, (from, begin): (&str, i64), (to, end): (&str, i64)) -> Result<()> {
        if end < begin {
            return Err(self.fault(to, &ENDS_EARLY, &[from]));
        }
        Ok(())
    }
}

/// The maximum number of faults that an answer names.
const MAX_FAULTS: usize = 50;

/// The faults of a body, collected while its members are read.
#[derive(Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    /// The value that was read. `None` for one with faults, which are added. Other errors end the reading.
    pub(super) fn keep<T>(&mut self, read: Result<T>) -> Result<Option<T>> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(Error::Invalid(faults)) => {
                self.0.extend(faults);
                self.0.truncate(MAX_FAULTS);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// True if the answer names no more of them.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX_FAULTS
    }

    /// The value of a body without faults.
    pub(super) fn end<T>(self, value: Option<T>) -> Result<T> {
        value
            .filter(|_| self.0.is_empty())
            .ok_or(Error::Invalid(self.0))
    }
}

/// An object of a body, with its path.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    members: &'a Map<String, Value>,
    path: String,
    pub(super) reading: Reading,
}

/// An enumeration of the vendor's.
pub(super) trait Enumeration: Copy + 'static {
    /// The schema of the words.
    type Words: ToSchema;
    const ALL: &'static [Self];
    const WORDS: &'static [&'static str];
    /// The number of the first value.
    const FIRST_NUMBER: usize = 0;
}

macro_rules! enumerations {
    ($($name:ident $words:ident $first:literal)*) => {$(
        impl Enumeration for document::$name {
            type Words = words::$words;
            const ALL: &'static [Self] = Self::ALL;
            const WORDS: &'static [&'static str] = Self::WORDS;
            const FIRST_NUMBER: usize = $first;
        }
    )*};
}

enumerations! {
    Group DocumentGroupType 1
    Status ExternalNodeStatus 0
    Ordering RouteOrderType 0
    Action RouteActionEnum 0
}

impl<'a> Fields<'a> {
    pub(super) fn of(body: &'a Value, reading: Reading) -> Result<Self> {
        Self::at(body, String::new(), reading)
    }

    pub(super) fn at(value: &'a Value, path: String, reading: Reading) -> Result<Self> {
        let Some(members) = value.as_object() else {
            let named = if path.is_empty() { "body" } else { &path };
            return Err(reading.fault(named, &WRONG_TYPE, &["object", &excerpt(value)]));
        };
        Ok(Self {
            members,
            path,
            reading,
        })
    }

    /// The path of a member.
    pub(super) fn path(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// The error for a member.
    pub(super) fn fault(&self, name: &str, wording: &Localized, args: &[&str]) -> Error {
        self.reading.fault(&self.path(name), wording, args)
    }

    fn wrong_type(&self, name: &str, wanted: &str) -> Error {
        self.fault(name, &WRONG_TYPE, &[wanted, &self.shown(name)])
    }

    /// The value of a member as JSON, cut to a length that an error may repeat.
    pub(super) fn shown(&self, name: &str) -> String {
        self.get(name).map(excerpt).unwrap_or_default()
    }

    /// The error for a number that is out of its bounds.
    pub(super) fn out_of_range(&self, name: &str, min: i64, max: i64) -> Error {
        let (min, max) = (min.to_string(), max.to_string());
        self.fault(name, &OUT_OF_RANGE, &[&min, &max, &self.shown(name)])
    }

    /// A member that is there and not null.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        let exact = self.members.get(name).or_else(|| {
            let mut all = self.members.iter();
            all.find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        });
        exact.filter(|value| !value.is_null())
    }

    /// The value of a member that must be there.
    pub(super) fn need<T>(&self, name: &str, found: Option<T>) -> Result<T> {
        found.ok_or_else(|| self.fault(name, &REQUIRED, &[]))
    }

    /// An object that may be absent.
    pub(super) fn object(&self, name: &str) -> Result<Option<Fields<'a>>> {
        let found = self.get(name);
        found
            .map(|value| Fields::at(value, self.path(name), self.reading))
            .transpose()
    }

    /// An element of a list, which must be an object.
    pub(super) fn element(&self, name: &str, value: &'a Value) -> Result<Fields<'a>> {
        Fields::at(value, self.path(name), self.reading)
    }

    /// The elements of a list that may be absent.
    pub(super) fn list(&self, name: &str) -> Result<Option<&'a [Value]>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(_) => Err(self.wrong_type(name, "array")),
        }
    }

    /// A text, which may be empty.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.contains('\0') => {
                Err(self.fault(name, &BAD_CHARACTER, &[]))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong_type(name, "string")),
        }
    }

    /// A text of at most `most` characters.
    pub(super) fn text_up_to(&self, name: &str, most: usize) -> Result<Option<&'a str>> {
        let text = self.text(name)?;
        if text.is_some_and(|text| text.chars().count() > most) {
            return Err(self.fault(name, &TOO_LONG, &[&most.to_string()]));
        }
        Ok(text)
    }

    /// A text of at most `most` characters, none of which is a control character. A text without a visible one counts
    /// as absent.
    pub(super) fn visible_text(&self, name: &str, most: usize) -> Result<Option<&'a str>> {
        let text = self.text_up_to(name, most)?;
        let unseen = |c: char| c.is_whitespace() || is_hidden(c);
        if text.is_some_and(|text| text.chars().any(char::is_control)) {
            return Err(self.fault(name, &BAD_CHARACTER, &[]));
        }
        Ok(text.filter(|text| !text.chars().all(unseen)))
    }

    /// An id. Zeros and the empty text stand for none.
    pub(super) fn id(&self, name: &str) -> Result<Option<Uuid>> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        if text.trim().is_empty() {
            return Ok(None);
        }
        let id = parse_any(text).ok_or_else(|| self.fault(name, &BAD_ID, &[&self.shown(name)]))?;
        Ok((!id.is_nil()).then_some(id))
    }

    pub(super) fn int(&self, name: &str) -> Result<Option<i64>> {
        let is_said = |value: &&Value| value.as_str().is_none_or(|text| !text.trim().is_empty());
        let Some(value) = self.get(name).filter(is_said) else {
            return Ok(None);
        };
        let number = value
            .as_i64()
            .or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
        number.map(Some).ok_or_else(|| {
            if is_whole(shown(value).trim()) {
                self.out_of_range(name, i64::MIN, i64::MAX)
            } else {
                self.wrong_type(name, "integer")
            }
        })
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::Number(number)) => Ok(number.as_f64().map(|number| number != 0.0)),
            Some(Value::String(text)) => match text.trim().to_ascii_lowercase().as_str() {
                "" => Ok(None),
                "true" => Ok(Some(true)),
                "false" => Ok(Some(false)),
                _ => Err(self.wrong_type(name, "boolean")),
            },
            Some(_) => Err(self.wrong_type(name, "boolean")),
        }
    }

    /// A value of an enumeration, by its name or its number.
    pub(super) fn word<W: Enumeration>(&self, name: &str) -> Result<Option<W>> {
        let found = self.get(name);
        found.map(|value| self.word_of(name, value)).transpose()
    }

    /// The value of an enumeration for which an element of a list stands.
    pub(super) fn word_of<W: Enumeration>(&self, name: &str, value: &Value) -> Result<W> {
        word(value)
            .ok_or_else(|| self.fault(name, &NOT_ALLOWED, &[&shown(value), &W::WORDS.join(", ")]))
    }
}

/// The query parameters, which are read like a body. An empty one counts as absent.
pub(super) struct Parameters(Value);

impl Parameters {
    pub(super) fn read<B: Body>(&self, reading: Reading) -> Result<B> {
        B::read(&Fields::of(&self.0, reading)?)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let query = parts.uri.query().unwrap_or_default();
        let given = form_urlencoded::parse(query.as_bytes())
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.into_owned(), value.into_owned().into()));
        Ok(Self(Value::Object(given.collect())))
    }
}

fn word<W: Enumeration>(value: &Value) -> Option<W> {
    let place = match value {
        Value::Number(_) => usize::try_from(value.as_u64()?)
            .ok()?
            .checked_sub(W::FIRST_NUMBER)?,
        Value::String(text) => W::WORDS
            .iter()
            .position(|word| word.eq_ignore_ascii_case(text))
            .or_else(|| text.parse::<usize>().ok()?.checked_sub(W::FIRST_NUMBER))?,
        _ => return None,
    };
    W::ALL.get(place).copied()
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) const REQUIRED: Localized = Localized::new(
    "Поле {} обязательно.",
    "{} өрісі міндетті.",
    "The field {} is required.",
);
const WRONG_TYPE: Localized = Localized::new(
    "Поле {} должно иметь тип {}, а не {}.",
    "{} өрісінің түрі {} болуы керек, берілгені: {}.",
    "The field {} must be of type {}, not {}.",
);
const TOO_LONG: Localized = Localized::new(
    "Поле {} не может быть длиннее {} символов.",
    "{} өрісі {} таңбадан ұзын болмауы керек.",
    "The field {} must be at most {} characters long.",
);
pub(super) const TOO_SMALL: Localized = Localized::new(
    "Поле {} не может быть меньше {}, дано {}.",
    "{} өрісі {} мәнінен кем болмауы керек, берілгені: {}.",
    "The field {} must be at least {}, not {}.",
);
const OUT_OF_RANGE: Localized = Localized::new(
    "Поле {} должно быть от {} до {}, а не {}.",
    "{} өрісі {} мен {} аралығында болуы керек, берілгені: {}.",
    "The field {} must be {} to {}, not {}.",
);
const ENDS_EARLY: Localized = Localized::new(
    "Поле {} не может быть раньше, чем {}.",
    "{} өрісі {} өрісінен ерте болмауы керек.",
    "The field {} must not be before {}.",
);
const BAD_ID: Localized = Localized::new(
    "Поле {} должно быть UUID, а не {}.",
    "{} өрісі UUID болуы керек, берілгені: {}.",
    "The field {} must be a UUID, not {}.",
);
pub(super) const NOT_ALLOWED: Localized = Localized::new(
    "Поле {}: значение {} недопустимо, допустимы {}.",
    "{} өрісі: {} мәніне жол берілмейді, рұқсат етілгендері: {}.",
    "The field {}: the value {} is not allowed, allowed are {}.",
);
const BAD_CHARACTER: Localized = Localized::new(
    "Поле {} содержит недопустимый символ.",
    "{} өрісінде жол берілмейтін таңба бар.",
    "The field {} contains a character that is not allowed.",
);
