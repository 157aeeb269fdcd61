//! Our own texts of faults: the value that is wrong, and what would be right. They are the texts of dialects whose
//! vendor has none, and stand beside the vendor's in others.

use prichal_core::{
    json::{WHOLE_NUMBERS, is_whole},
    schema::{Fault, Mismatch, MismatchKind, Problem, TypeName},
};

/// The maximum number of allowed words that one text lists.
const MAX_WORDS: usize = 50;

/// The text of a fault.
pub fn text(fault: &Fault) -> String {
    let path = &fault.path;
    match &fault.problem {
        Problem::Required => format!("The {path} field is required."),
        Problem::Invalid(why) => format!("The {path} field is invalid: {why}."),
        Problem::Exceeds(_, message) | Problem::Rule(message) => message.clone(),
        Problem::Mismatch(mismatch) => wrong_value(path, mismatch),
    }
}

/// The texts of all faults, with blanks between.
pub fn texts(faults: &[Fault]) -> String {
    faults.iter().map(text).collect::<Vec<_>>().join(" ")
}

/// The text of a value that cannot be read as its field's type.
pub fn wrong_value(path: &str, mismatch: &Mismatch) -> String {
    let Mismatch {
        given,
        expected,
        kind,
        ..
    } = mismatch;
    let shown = match (expected, kind) {
        (TypeName::Enum(words), MismatchKind::Format) => {
            let word = unquoted(given);
            return if words.name == path {
                format!("`{word}` is not a {path}: {}.", either(words.words))
            } else {
                format!("`{path}` `{word}` is unknown: {}.", list(words.words))
            };
        }
        _ => given,
    };
    let what = match expected {
        TypeName::Int if is_whole(unquoted(given).trim()) => WHOLE_NUMBERS.to_owned(),
        _ => expectation(*expected),
    };
    if is_secret(path) {
        return format!("`{path}` must be {what}.");
    }
    if path.is_empty() {
        format!("The request body must be {what}, not {shown}.")
    } else {
        format!("`{path}` must be {what}, not {shown}.")
    }
}

/// True for a member whose value may be a secret, which no text repeats.
fn is_secret(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    ["secret", "token", "password"]
        .iter()
        .any(|word| path.contains(word))
}

fn expectation(expected: TypeName) -> String {
    let what = match expected {
        TypeName::Text => "a text without U+0000",
        TypeName::Bool => "true or false",
        TypeName::Int => "a whole number",
        TypeName::Number => "a number",
        TypeName::Guid => "a GUID such as 5e8a1f04-7c1d-4c0e-9a35-0d2f6b1c7e42",
        TypeName::Moment => "a time such as 2026-03-01T12:00:00+00:00",
        TypeName::TimeSpan => "a duration such as 00:01:00",
        TypeName::Enum(words) => return either(words.words),
        TypeName::Object => "a JSON object",
        TypeName::List => "a JSON array",
    };
    what.to_owned()
}

/// A JSON text without its quotation marks. One that was cut ends with an ellipsis.
fn unquoted(json: &str) -> String {
    let inner = json.strip_prefix('"').unwrap_or(json);
    match inner.rsplit_once('"') {
        Some((text, rest)) => format!("{text}{rest}"),
        None => inner.to_owned(),
    }
}

/// The words with commas between.
pub fn list(words: &[&str]) -> String {
    let mut shown = words[..words.len().min(MAX_WORDS)].join(", ");
    if words.len() > MAX_WORDS {
        shown.push_str(", …");
    }
    shown
}

/// The words with commas and an «or» between.
pub fn either(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] if words.len() <= MAX_WORDS => format!("{} or {last}", list(first)),
        _ => list(words),
    }
}

#[cfg(test)]
mod tests {
    use prichal_core::schema::{self, Field, Type, Words};
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    static ROLE: Words = Words {
        name: "role",
        words: &["admin", "member"],
    };
    static TRIGGER: Words = Words {
        name: "webhookTrigger",
        words: &["entityEvent", "schedule"],
    };
    const FIELDS: &[Field] = &[
        Field::new("role", Type::Enum(&ROLE)).required(),
        Field::new("triggerType", Type::Enum(&TRIGGER)),
        Field::new("owner", Type::Guid),
        Field::new("count", Type::Int),
        Field::new("tags", Type::Texts),
        Field::new("at", Type::Moment),
        Field::new("kinds", Type::Enums(&TRIGGER)),
    ];

    fn texts_of(body: &Value) -> String {
        let object = schema::object(body).unwrap();
        texts(&schema::read_strictly(FIELDS, object, &mut Uuid::nil).unwrap_err())
    }

    #[test]
    fn a_text_names_the_value_and_what_would_be_right() {
        for (body, expected) in [
            (
                json!({"role": "boss"}),
                "`boss` is not a role: admin or member.",
            ),
            (json!({"role": 5}), "`role` must be admin or member, not 5."),
            (json!({}), "The role field is required."),
            (
                json!({"role": "admin", "triggerType": "entityEvents"}),
                "`triggerType` `entityEvents` is unknown: entityEvent, schedule.",
            ),
            (
                json!({"role": "admin", "kinds": ["x\"y"]}),
                "`kinds[0]` `x\\\"y` is unknown: entityEvent, schedule.",
            ),
            (
                json!({"role": "admin", "count": 1.5}),
                "`count` must be a whole number, not 1.5.",
            ),
            (
                json!({"role": "admin", "count": u64::MAX}),
                "`count` must be a whole number from -9223372036854775808 to 9223372036854775807, not 18446744073709551615.",
            ),
            (
                json!({"role": "admin", "tags": {"a": 1}}),
                "`tags` must be a JSON array, not {…}.",
            ),
            (
                json!({"role": "admin", "at": "soon"}),
                "`at` must be a time such as 2026-03-01T12:00:00+00:00, not \"soon\".",
            ),
        ] {
            assert_eq!(texts_of(&body), expected, "{body}");
        }
        let long = texts_of(&json!({"role": "x".repeat(500)}));
        assert!(
            long.starts_with("`xxx") && long.contains("…` is not a role"),
            "{long}"
        );
        let no_object = schema::object(&json!([])).unwrap_err();
        assert_eq!(
            texts(&no_object),
            "The request body must be a JSON object, not […]."
        );
    }
}
