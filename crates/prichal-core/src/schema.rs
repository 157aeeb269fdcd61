//! Schemas: the members that a JSON object may have, read and checked in one place.
//!
//! Reading is lenient (`docs/contracts/kontur.md §1`): property names in either case, unknown members
//! ignored, null the same as absent. The outcome has the canonical names in the schema's order, so two equal
//! models have equal texts.
//!
//! The same tables describe the bodies in OpenAPI (`prichal::dialect::openapi::schema`), so a description cannot
//! differ from its parser.

mod bound;
mod form;
mod read;
mod value;

use serde_json::{Map, Value};
use uuid::Uuid;

pub use bound::{Bound, Limit, Wording};
pub use form::Form;
pub use read::{complete, read, read_strictly};
pub(crate) use read::{read_element, read_value};
pub use value::excerpt;
pub(crate) use value::{check_free, drop_nulls};

/// A JSON object.
pub type Object = Map<String, Value>;

/// The source of ids that the client leaves to the server.
pub type NewId<'a> = &'a mut dyn FnMut() -> Uuid;

/// The maximum number of elements of a list, and of members of an object in a free value.
pub const MAX_ITEMS: usize = 1000;
/// The maximum number of values in one free object, so that many small patches cannot grow it without end.
pub const MAX_NODES: usize = 10_000;
/// The greatest depth of a free value. Far below the depth at which JSON readers give up.
pub const MAX_DEPTH: usize = 32;

/// One member of a model.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    pub ty: Type,
    pub access: Access,
    pub preset: Preset,
    pub required: bool,
    /// True if every answer has the member, for descriptions. Members with a preset are always there.
    pub shown: bool,
    pub bound: Option<Bound>,
    /// The form of the text, or of each text of the list.
    pub form: Option<&'static Form>,
    /// The meaning in one line, for descriptions.
    pub doc: &'static str,
    /// An example for descriptions: the text itself, or JSON for the types that are not texts.
    pub example: Option<&'static str>,
}

impl Field {
    pub const fn new(name: &'static str, ty: Type) -> Self {
        Self {
            name,
            ty,
            access: Access::Open,
            preset: Preset::Absent,
            required: false,
            shown: false,
            bound: None,
            form: None,
            doc: "",
            example: None,
        }
    }

    /// Marks a member that every answer has.
    #[must_use]
    pub const fn shown(self) -> Self {
        Self {
            shown: true,
            ..self
        }
    }

    /// Sets the meaning.
    #[must_use]
    pub const fn doc(self, doc: &'static str) -> Self {
        Self { doc, ..self }
    }

    /// Sets the example.
    #[must_use]
    pub const fn example(self, example: &'static str) -> Self {
        Self {
            example: Some(example),
            ..self
        }
    }

    /// Sets the form of a text, or of each text of a list.
    #[must_use]
    pub const fn form(self, form: &'static Form) -> Self {
        Self {
            form: Some(form),
            ..self
        }
    }

    /// Bounds the characters of a text.
    #[must_use]
    pub const fn chars(self, max: usize) -> Self {
        self.limit(Limit::Chars(max))
    }

    /// Bounds a number from below.
    #[must_use]
    pub const fn at_least(self, min: i64) -> Self {
        self.within(min, i64::MAX)
    }

    /// Bounds a number. Both ends are allowed.
    #[must_use]
    pub const fn within(self, min: i64, max: i64) -> Self {
        self.limit(Limit::Numbers(min, max))
    }

    /// Bounds the elements of a list, below [`MAX_ITEMS`].
    #[must_use]
    pub const fn items(self, max: usize) -> Self {
        self.limit(Limit::Items(max))
    }

    const fn limit(self, limit: Limit) -> Self {
        Self {
            bound: Some(Bound::new(limit)),
            ..self
        }
    }

    /// Replaces the text of the error of the field's bound.
    #[must_use]
    pub const fn worded(self, wording: Wording) -> Self {
        let bound = match self.bound {
            Some(bound) => Some(Bound { wording, ..bound }),
            None => None,
        };
        Self { bound, ..self }
    }

    /// Sets the value of an absent member.
    #[must_use]
    pub const fn or(self, preset: Preset) -> Self {
        Self { preset, ..self }
    }

    #[must_use]
    pub const fn required(self) -> Self {
        Self {
            required: true,
            ..self
        }
    }

    /// Marks a member that is set at creation and not changed afterwards.
    #[must_use]
    pub const fn fixed(self) -> Self {
        Self {
            access: Access::Fixed,
            ..self
        }
    }

    /// Marks a member that only the server sets. It is ignored at creation.
    #[must_use]
    pub const fn server(self) -> Self {
        Self {
            access: Access::Server,
            ..self
        }
    }

    /// True if null clears the member. A member whose "none" is the zero GUID becomes the zero GUID.
    pub(crate) const fn nullable(&self) -> bool {
        matches!(self.preset, Preset::Absent) || matches!(self.ty, Type::GuidOrNone)
    }
}

/// The write access to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Open,
    Fixed,
    Server,
}

/// The value of a member that was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Left out: null members are not written (`docs/contracts/kontur.md §1`).
    Absent,
    False,
    Zero,
    Text(&'static str),
    /// The zero GUID, which means "none".
    NoGuid,
    List,
    Object,
}

impl Preset {
    fn value(self) -> Option<Value> {
        match self {
            Self::Absent => None,
            Self::False => Some(Value::Bool(false)),
            Self::Zero => Some(Value::from(0)),
            Self::Text(text) => Some(Value::from(text)),
            Self::NoGuid => Some(Value::String(Uuid::nil().to_string())),
            Self::List => Some(Value::Array(Vec::new())),
            Self::Object => Some(Value::Object(Map::new())),
        }
    }
}

/// The type of a member.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    Text,
    Bool,
    Int,
    /// A whole number that some clients send as text; kept as a number (`docs/contracts/kontur.md §14`).
    Size,
    Number,
    /// An id. The zero GUID is the same as none.
    Guid,
    /// An id, shown as the zero GUID if absent.
    GuidOrNone,
    /// A time with an offset, stored as the text that was sent.
    Moment,
    /// A duration such as `1.02:03:04.5`: days, hours, minutes and seconds.
    TimeSpan,
    Enum(&'static Words),
    Object(&'static [Field]),
    /// Any JSON object, stored unchanged.
    Free,
    Any,
    /// A list of any values, stored unchanged.
    Values,
    Texts,
    Guids,
    Enums(&'static Words),
    /// A list of objects that have no id.
    Objects(&'static [Field]),
    Elements(&'static Elements),
}

impl Type {
    const fn name(self) -> TypeName {
        match self {
            Self::Text => TypeName::Text,
            Self::Bool => TypeName::Bool,
            Self::Int | Self::Size => TypeName::Int,
            Self::Number => TypeName::Number,
            Self::Guid | Self::GuidOrNone => TypeName::Guid,
            Self::Moment => TypeName::Moment,
            Self::TimeSpan => TypeName::TimeSpan,
            Self::Enum(words) => TypeName::Enum(words),
            Self::Object(_) | Self::Free | Self::Any => TypeName::Object,
            Self::Values
            | Self::Texts
            | Self::Guids
            | Self::Enums(_)
            | Self::Objects(_)
            | Self::Elements(_) => TypeName::List,
        }
    }

    pub(crate) const fn is_list(&self) -> bool {
        matches!(
            self,
            Self::Texts | Self::Guids | Self::Enums(_) | Self::Objects(_) | Self::Elements(_)
        )
    }
}

/// The values of an enumeration, and its name in errors.
#[derive(Debug, PartialEq, Eq)]
pub struct Words {
    pub name: &'static str,
    pub words: &'static [&'static str],
}

/// The names of all values of an enum, from its `ALL` and its `name`: so words that are parsed, shown and described have
/// one list.
#[macro_export]
macro_rules! names {
    ($name:ty) => {{
        let mut names = [""; <$name>::ALL.len()];
        let mut n = 0;
        while n < names.len() {
            names[n] = <$name>::ALL[n].name();
            n += 1;
        }
        names
    }};
}

/// A rule for an element as a whole; the error names what is broken.
pub type Rule = fn(&Object) -> Result<(), String>;

/// A list of objects with an `id`, which always comes first.
#[derive(Debug)]
pub struct Elements {
    pub key: Key,
    /// The members besides `id`.
    pub fields: &'static [Field],
    pub repeat: Repeat,
    /// Members that [`Repeat::Replace`] leaves as they are if the new element does not have them.
    pub kept: &'static [&'static str],
    /// Checked after the whole patch, because single operations may break it in between.
    pub rule: Option<Rule>,
}

impl Elements {
    pub const fn new(key: Key, fields: &'static [Field]) -> Self {
        Self {
            key,
            fields,
            repeat: Repeat::Conflict,
            kept: &[],
            rule: None,
        }
    }
}

/// The form of an element's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A GUID; absent or zero means "make one" (`docs/contracts/kontur.md §3`).
    Guid,
    /// A text that the client must send.
    Text,
    /// A text; absent means "make a GUID".
    TextOrFresh,
}

/// The effect of adding an element whose id is present with other contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    Conflict,
    Replace,
}

/// A fault of one value. A dialect words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The JSON path, such as `phones[0].type`.
    pub path: String,
    pub problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A required member is absent or blank.
    Required,
    /// The value cannot be read as its field's type.
    Mismatch(Mismatch),
    /// The value exceeds a bound or breaks its field's rule. The text has no full stop.
    Invalid(String),
    /// The value exceeds its field's bound. The text is a sentence.
    Exceeds(Limit, String),
    /// Any other rule, as a sentence.
    Rule(String),
}

/// A value that cannot be read as its field's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The value as JSON, cut to a length that an error may repeat.
    pub given: String,
    pub expected: TypeName,
    pub kind: MismatchKind,
    /// Line and position in the text that was read, both from 1, at which the value ends.
    pub end: Option<(usize, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MismatchKind {
    /// The wrong JSON type.
    Type,
    /// The right JSON type with unreadable contents: a bad GUID, an unknown word.
    Format,
}

/// The kinds of types that errors distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeName {
    Text,
    Bool,
    Int,
    Number,
    Guid,
    Moment,
    TimeSpan,
    Enum(&'static Words),
    Object,
    List,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The wrong JSON type.
    Type,
    /// The right JSON type with unreadable contents.
    Format,
    /// Readable, but against a rule.
    Rule,
}

impl Fault {
    fn new(path: impl Into<String>, problem: Problem) -> Self {
        let path = path.into();
        Self { path, problem }
    }

    /// A broken rule, as a sentence.
    pub fn rule(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(path, Problem::Rule(message.into()))
    }

    /// A broken bound or rule of the field; `why` has no full stop.
    pub fn invalid(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(path, Problem::Invalid(why.into()))
    }

    /// A required member that is absent or blank.
    pub fn required(path: impl Into<String>) -> Self {
        Self::new(path, Problem::Required)
    }

    /// The fault of a member of an object that is at `path`.
    #[must_use]
    pub fn below(mut self, path: &str) -> Self {
        if self.path.is_empty() {
            path.clone_into(&mut self.path);
        } else if !path.is_empty() {
            self.path = format!("{path}.{}", self.path);
        }
        self
    }

    /// A value of the wrong JSON type.
    pub fn wrong_type(path: &str, value: &Value, ty: Type) -> Self {
        Self::mismatch(path, value, ty.name(), MismatchKind::Type)
    }

    /// A text that is not among an enumeration's words.
    pub fn unknown_word(path: &str, word: &str, words: &'static Words) -> Self {
        let expected = TypeName::Enum(words);
        Self::mismatch(path, &Value::from(word), expected, MismatchKind::Format)
    }

    pub(crate) fn mismatch(
        path: &str,
        value: &Value,
        expected: TypeName,
        kind: MismatchKind,
    ) -> Self {
        let mismatch = Mismatch {
            given: excerpt(value),
            expected,
            kind,
            end: None,
        };
        Self::new(path, Problem::Mismatch(mismatch))
    }

    /// The reason without a full stop, for a rule of the element that the value is in.
    pub(crate) fn reason(&self) -> String {
        match &self.problem {
            Problem::Rule(text) | Problem::Exceeds(_, text) => {
                text.strip_suffix('.').unwrap_or(text).to_owned()
            }
            Problem::Required => format!("{} is required", self.path),
            Problem::Invalid(why) => format!("{}: {why}", self.path),
            Problem::Mismatch(_) => format!("{} has the wrong type", self.path),
        }
    }

    pub const fn kind(&self) -> FaultKind {
        match &self.problem {
            Problem::Mismatch(mismatch) => match mismatch.kind {
                MismatchKind::Type => FaultKind::Type,
                MismatchKind::Format => FaultKind::Format,
            },
            Problem::Required | Problem::Invalid(_) | Problem::Exceeds(..) | Problem::Rule(_) => {
                FaultKind::Rule
            }
        }
    }
}

/// Finds a member in either case; the exact name wins.
pub fn member<'a>(object: &'a Object, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| {
        object
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    })
}

/// Reads the body of a request as an object.
pub fn object(body: &Value) -> Result<&Object, Vec<Fault>> {
    let object = body.as_object();
    object.ok_or_else(|| vec![Fault::wrong_type("", body, Type::Free)])
}

#[cfg(test)]
pub(crate) mod tests;
