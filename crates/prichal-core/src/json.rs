//! Small pieces of JSON text, for the places that put a document together without building a tree.

use std::fmt::Write;

use serde_json::Value;
use uuid::Uuid;

use crate::time::Timestamp;

/// Appends `text` as a JSON string. Most texts need no escape, so those are copied as they are.
pub(crate) fn push_text(out: &mut String, text: &str) {
    let plain = text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\');
    if plain {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&Value::from(text).to_string());
    }
}

/// Appends a quoted GUID, lower-case and hyphenated.
pub(crate) fn push_guid(out: &mut String, id: Uuid) {
    out.push('"');
    push_bare_guid(out, id);
    out.push('"');
}

/// Appends a GUID without quotes.
pub(crate) fn push_bare_guid(out: &mut String, id: Uuid) {
    let mut buffer = Uuid::encode_buffer();
    out.push_str(id.hyphenated().encode_lower(&mut buffer));
}

/// Appends a quoted server time.
pub(crate) fn push_time(out: &mut String, at: Timestamp) {
    // Writing into a `String` cannot fail.
    let _ = write!(out, "\"{at}\"");
}

/// What stands between the braces of an object's text.
pub(crate) fn inside(object: &str) -> &str {
    let trimmed = object.trim();
    trimmed
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .unwrap_or_default()
        .trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_like_any_other_json() {
        for text in [
            "",
            "WebApp",
            "a\"b",
            "a\\b",
            "line\nbreak",
            "\u{0}",
            "привет",
            "\u{7f}",
        ] {
            let mut out = String::new();
            push_text(&mut out, text);
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn the_inside_of_an_object() {
        assert_eq!(inside("{}"), "");
        assert_eq!(inside(" { } "), "");
        assert_eq!(inside(r#"{"a":{}}"#), r#""a":{}"#);
        assert_eq!(inside("[]"), "", "not an object: nothing to splice");
    }
}
