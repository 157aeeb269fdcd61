//! Reading of bodies as the vendor's server does it: names in any case, enumerations by name or number, unknown
//! members ignored (`docs/contracts/idocs.md §1.1, §1.4`). Errors name the path of the member.

use axum::{extract::FromRequestParts, http::request::Parts};
use prichal_core::{document, id::parse_any};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::language::{Language, Localized};
use crate::error::{Error, Result};

/// An object of a body, with its path.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    members: &'a Map<String, Value>,
    path: String,
    pub(super) language: Language,
}

/// An enumeration of the vendor's.
pub(super) trait Enumeration: Copy + 'static {
    const ALL: &'static [Self];
    const WORDS: &'static [&'static str];
    /// The number of the first value.
    const FIRST_NUMBER: usize = 0;
}

macro_rules! enumerations {
    ($($name:ident)*) => {$(
        impl Enumeration for document::$name {
            const ALL: &'static [Self] = Self::ALL;
            const WORDS: &'static [&'static str] = Self::WORDS;
        }
    )*};
}

enumerations!(Status Ordering Action);

impl Enumeration for document::Group {
    const ALL: &'static [Self] = Self::ALL;
    const WORDS: &'static [&'static str] = Self::WORDS;
    const FIRST_NUMBER: usize = 1;
}

impl<'a> Fields<'a> {
    pub(super) fn of(body: &'a Value, language: Language) -> Result<Self> {
        Self::at(body, String::new(), language)
    }

    fn at(value: &'a Value, path: String, language: Language) -> Result<Self> {
        let Some(members) = value.as_object() else {
            let named = if path.is_empty() { "body" } else { &path };
            return Err(fault(named, &WRONG_TYPE, &[named, "object"], language));
        };
        Ok(Self {
            members,
            path,
            language,
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
        let path = self.path(name);
        let mut all = vec![path.as_str()];
        all.extend(args);
        fault(&path, wording, &all, self.language)
    }

    fn wrong_type(&self, name: &str, wanted: &str) -> Error {
        self.fault(name, &WRONG_TYPE, &[wanted])
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

    fn need<T>(&self, name: &str, found: Option<T>) -> Result<T> {
        found.ok_or_else(|| self.fault(name, &REQUIRED, &[]))
    }

    /// An object that may be absent.
    pub(super) fn object(&self, name: &str) -> Result<Option<Fields<'a>>> {
        let path = self.path(name);
        let found = self.get(name);
        found
            .map(|value| Fields::at(value, path, self.language))
            .transpose()
    }

    pub(super) fn need_object(&self, name: &str) -> Result<Fields<'a>> {
        self.need(name, self.object(name)?)
    }

    /// The elements of a list. An absent list is empty.
    pub(super) fn list(&self, name: &str) -> Result<&'a [Value]> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(self.wrong_type(name, "array")),
        }
    }

    /// The objects of a list.
    pub(super) fn objects(&self, name: &str) -> Result<Vec<Fields<'a>>> {
        let elements = self.list(name)?.iter().enumerate();
        elements
            .map(|(n, value)| Fields::at(value, format!("{}[{n}]", self.path(name)), self.language))
            .collect()
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

    /// A text with visible characters, of at most `most` characters.
    pub(super) fn need_text(&self, name: &str, most: usize) -> Result<&'a str> {
        let text = self.text_up_to(name, most)?;
        let unseen =
            |c: char| c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}');
        if text.is_some_and(|text| text.chars().any(char::is_control)) {
            return Err(self.fault(name, &BAD_CHARACTER, &[]));
        }
        self.need(name, text.filter(|text| !text.chars().all(unseen)))
    }

    /// An id. Zeros and the empty text stand for none.
    pub(super) fn id(&self, name: &str) -> Result<Option<Uuid>> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        if text.trim().is_empty() {
            return Ok(None);
        }
        let id = parse_any(text).ok_or_else(|| self.fault(name, &BAD_ID, &[]))?;
        Ok((!id.is_nil()).then_some(id))
    }

    pub(super) fn need_id(&self, name: &str) -> Result<Uuid> {
        let id = self.id(name)?;
        self.need(name, id)
    }

    pub(super) fn int(&self, name: &str) -> Result<Option<i64>> {
        let is_said = |value: &&Value| value.as_str().is_none_or(|text| !text.trim().is_empty());
        let Some(value) = self.get(name).filter(is_said) else {
            return Ok(None);
        };
        let number = value
            .as_i64()
            .or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
        number
            .map(Some)
            .ok_or_else(|| self.wrong_type(name, "integer"))
    }

    pub(super) fn need_int(&self, name: &str) -> Result<i64> {
        let number = self.int(name)?;
        self.need(name, number)
    }

    /// Refuses a period that ends before it begins. `from` and `to` are the names of its members.
    pub(super) fn period(&self, from: &str, to: &str, begin: i64, end: i64) -> Result<()> {
        if end < begin {
            return Err(self.fault(to, &ENDS_EARLY, &[&self.path(from)]));
        }
        Ok(())
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
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let found = word(value);
        found
            .map(Some)
            .ok_or_else(|| self.fault(name, &NOT_ALLOWED, &[&shown(value), &W::WORDS.join(", ")]))
    }

    pub(super) fn need_word<W: Enumeration>(&self, name: &str) -> Result<W> {
        let found = self.word(name)?;
        self.need(name, found)
    }

    /// A list of values of an enumeration.
    pub(super) fn words<W: Enumeration>(&self, name: &str) -> Result<Vec<W>> {
        let elements = self.list(name)?.iter().enumerate();
        elements
            .map(|(n, value)| {
                word(value).ok_or_else(|| {
                    let name = format!("{name}[{n}]");
                    self.fault(&name, &NOT_ALLOWED, &[&shown(value), &W::WORDS.join(", ")])
                })
            })
            .collect()
    }

    /// Reads `limit`: at least 1, by default `default`, at most 1000.
    pub(super) fn limit(&self, default: i64) -> Result<i64> {
        let limit = self.int("limit")?.unwrap_or(default);
        if limit < 1 {
            return Err(self.fault("limit", &TOO_SMALL, &["1"]));
        }
        Ok(limit.min(1000))
    }

    /// Reads the page, `skip` and `top`: by default 0 and 10. A `top` over 100 counts as 100.
    pub(super) fn page(&self) -> Result<(i64, i64)> {
        let skip = self.int("skip")?.unwrap_or(0);
        let top = self.int("top")?.unwrap_or(10);
        if skip < 0 {
            return Err(self.fault("skip", &TOO_SMALL, &["0"]));
        }
        if top < 1 {
            return Err(self.fault("top", &TOO_SMALL, &["1"]));
        }
        Ok((skip, top.min(100)))
    }
}

/// The query parameters, which are read like a body. An empty one counts as absent.
pub(super) struct Parameters(Value);

impl Parameters {
    pub(super) fn fields(&self, language: Language) -> Result<Fields<'_>> {
        Fields::of(&self.0, language)
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

fn fault(path: &str, wording: &Localized, args: &[&str], language: Language) -> Error {
    Error::invalid(path, wording.text(language, args))
}

const REQUIRED: Localized = Localized::new(
    "Поле {} обязательно.",
    "{} өрісі міндетті.",
    "The field {} is required.",
);
const WRONG_TYPE: Localized = Localized::new(
    "Поле {} должно иметь тип {}.",
    "{} өрісінің түрі {} болуы керек.",
    "The field {} must be of type {}.",
);
const TOO_LONG: Localized = Localized::new(
    "Поле {} не может быть длиннее {} символов.",
    "{} өрісі {} таңбадан ұзын болмауы керек.",
    "The field {} must be at most {} characters long.",
);
const TOO_SMALL: Localized = Localized::new(
    "Поле {} не может быть меньше {}.",
    "{} өрісі {} мәнінен кем болмауы керек.",
    "The field {} must be at least {}.",
);
const ENDS_EARLY: Localized = Localized::new(
    "Поле {} не может быть раньше, чем {}.",
    "{} өрісі {} өрісінен ерте болмауы керек.",
    "The field {} must not be before {}.",
);
const BAD_ID: Localized = Localized::new(
    "Поле {} должно быть UUID.",
    "{} өрісі UUID болуы керек.",
    "The field {} must be a UUID.",
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use serde_json::json;

    use super::*;

    fn check<T: std::fmt::Debug>(result: Result<T>, expected: &str) {
        let error = result.expect_err(expected);
        let Error::Invalid(faults) = error else {
            panic!("{error:?}")
        };
        assert_eq!(prichal_dialect::kontur::fault::text(&faults[0]), expected);
    }

    #[test]
    fn bodies_are_read_as_the_vendor_reads_them() {
        let body = json!({
            "DocumentId": "A5AAD3C1-777b-4ae5-8ca1-60b94c0423e5", "none": "00000000-0000-0000-0000-000000000000",
            "group": 1, "other": "legal", "action": 0, "text": "5", "deep": { "x": 7, "list": [{}, 1] }, "long": "ааа",
            "statuses": ["DRAFT", 10, "17", 18], "on": "True", "off": 0, "nothing": "",
            "bare": "{a5aad3c1-777b-4ae5-8ca1-60b94c0423e5}",
        });
        let fields = Fields::of(&body, Language::En).unwrap();
        assert!(fields.need_id("documentId").is_ok());
        assert_eq!(fields.id("none").unwrap(), None);
        assert_eq!(fields.id("nothing").unwrap(), None);
        assert_eq!(fields.int("nothing").unwrap(), None);
        assert_eq!(fields.id("bare").unwrap(), fields.id("documentId").unwrap());
        assert_eq!(fields.flag("on").unwrap(), Some(true));
        assert_eq!(fields.flag("off").unwrap(), Some(false));
        assert_eq!(
            fields.word("group").unwrap(),
            Some(document::Group::Accounting)
        );
        assert_eq!(fields.word("other").unwrap(), Some(document::Group::Legal));
        assert_eq!(fields.word("action").unwrap(), Some(document::Action::Sign));
        assert_eq!(fields.int("text").unwrap(), Some(5));
        assert_eq!(fields.page().unwrap(), (0, 10));
        check(fields.need_id("none"), "The field none is required.");
        check(fields.need_id("text"), "The field text must be a UUID.");
        check(
            fields.flag("text"),
            "The field text must be of type boolean.",
        );
        check(
            fields.text_up_to("long", 2),
            "The field long must be at most 2 characters long.",
        );
        let deep = fields.need_object("deep").unwrap();
        check(deep.text("x"), "The field deep.x must be of type string.");
        check(
            deep.objects("list"),
            "The field deep.list[1] must be of type object.",
        );
        let statuses = fields.words::<document::Status>("statuses");
        let text = format!("{statuses:?}");
        assert!(
            text.contains("statuses[3]: the value 18 is not allowed"),
            "{text}"
        );
    }
}
