//! Static headers of a webhook's calls.

use std::fmt;

use serde_json::{Value, json};

use crate::schema::{Fault, Object, Type};

/// The value in the place of a secret one.
pub const MASK: &str = "***";

pub(crate) const MAX_HEADERS: usize = 20;
/// The maximum bytes of all names and values together.
pub(crate) const MAX_BYTES: usize = 4096;

/// Headers that the server sets, or that belong to a connection and not to a message.
const RESERVED: [&str; 16] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const RESERVED_PREFIXES: [&str; 2] = ["webhook-", "x-prichal-"];

#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// As the client wrote it.
    pub name: String,
    pub value: String,
    /// True if the value is stored sealed and never shown.
    pub is_secret: bool,
}

impl fmt::Debug for Header {
    /// Shows no value, because debug output may be logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("name", &self.name)
            .field("is_secret", &self.is_secret)
            .finish_non_exhaustive()
    }
}

impl Header {
    pub(super) fn shown(&self) -> Value {
        if self.is_secret {
            json!({"value": self.value, "secret": true})
        } else {
            self.value.as_str().into()
        }
    }

    pub(super) fn masked(&self) -> Value {
        if self.is_secret {
            json!({"value": MASK, "secret": true})
        } else {
            self.value.as_str().into()
        }
    }

    pub(super) fn kept(&self) -> Value {
        if self.is_secret {
            json!({"secret": true})
        } else {
            self.value.as_str().into()
        }
    }
}

/// Reads headers. In the store, a secret one has no value.
pub(super) fn read(object: &Object, is_kept: bool) -> Result<Vec<Header>, Fault> {
    if object.len() > MAX_HEADERS {
        let why = format!("There are more than {MAX_HEADERS} headers.");
        return Err(Fault::rule("headers", why));
    }
    let mut headers: Vec<Header> = Vec::with_capacity(object.len());
    for (name, value) in object {
        let header = header(name, value, is_kept)?;
        if headers
            .iter()
            .any(|one| one.name.eq_ignore_ascii_case(name))
        {
            return Err(fault(name, "is there twice"));
        }
        headers.push(header);
    }
    check_size(&headers)?;
    Ok(headers)
}

fn check_size(headers: &[Header]) -> Result<(), Fault> {
    let sizes = headers.iter().map(|one| one.name.len() + one.value.len());
    if sizes.sum::<usize>() > MAX_BYTES {
        let why = format!("The headers have more than {MAX_BYTES} bytes together.");
        return Err(Fault::rule("headers", why));
    }
    Ok(())
}

fn header(name: &str, value: &Value, is_kept: bool) -> Result<Header, Fault> {
    check_name(name)?;
    let (value, is_secret) = match value {
        Value::String(text) => (Some(text.as_str()), false),
        Value::Object(members) => (
            members.get("value").and_then(Value::as_str),
            members.get("secret") == Some(&Value::Bool(true)),
        ),
        other => {
            let path = format!("headers.{name}");
            return Err(Fault::wrong_type(&path, other, Type::Text));
        }
    };
    let value = match value {
        Some(value) => value,
        None if is_kept && is_secret => "",
        None => return Err(fault(name, "needs a value that is a text")),
    };
    let is_empty = value.is_empty() && !is_kept;
    if is_empty || value.trim() != value {
        return Err(fault(name, "needs a value without blanks at its ends"));
    }
    if !value.bytes().all(is_printable) {
        return Err(fault(
            name,
            "has a value with characters that are not printable ASCII",
        ));
    }
    Ok(Header {
        name: name.to_owned(),
        value: value.to_owned(),
        is_secret,
    })
}

fn check_name(name: &str) -> Result<(), Fault> {
    if !is_name(name) {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        return Err(fault(
            &shown,
            "has a name with characters that a header cannot have",
        ));
    }
    if is_own(name) {
        return Err(reserved(name));
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~')
}

/// True if the server sets this header.
fn is_own(name: &str) -> bool {
    is_reserved(name, &RESERVED_PREFIXES) || RESERVED.contains(&comparable(name).as_str())
}

/// True if a header has one of these prefixes.
fn is_reserved(name: &str, prefixes: &[&str]) -> bool {
    let name = comparable(name);
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// The name as receivers may see it: many frameworks take `_` for `-`.
fn comparable(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

fn reserved(name: &str) -> Fault {
    fault(name, "is set by the server or belongs to the connection")
}

fn fault(name: &str, why: &str) -> Fault {
    Fault::rule(
        format!("headers.{name}"),
        format!("The header `{name}` {why}."),
    )
}

/// Refuses headers with these prefixes.
pub fn refuse_prefixes(headers: &[Header], prefixes: &[&str]) -> Result<(), Fault> {
    let mut names = headers.iter().map(|header| header.name.as_str());
    match names.find(|name| is_reserved(name, prefixes)) {
        Some(name) => Err(reserved(name)),
        None => Ok(()),
    }
}

/// The name and the value of a header that a script sets. Null removes one. `prefixes` are those of further headers that
/// the server sets. The error names the header.
pub(crate) fn of_script(
    name: &str,
    value: &Value,
    prefixes: &[&str],
) -> Result<(String, Option<String>), String> {
    let shown = || name.chars().filter(|c| !c.is_control()).take(64);
    let failed = |why: &str| format!("the header `{}` {why}", shown().collect::<String>());
    if !is_name(name) {
        return Err(failed("has a name that a header cannot have"));
    }
    let is_taken = is_own(name) || is_reserved(name, prefixes);
    if is_taken && !name.eq_ignore_ascii_case("content-type") {
        return Err(failed("is set by the server or belongs to the connection"));
    }
    let value = match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => return Err(failed("is no text")),
    };
    let is_bad = |text: &String| text.trim() != text || !text.bytes().all(is_printable);
    if value.as_ref().is_some_and(is_bad) {
        return Err(failed("has a value that a header cannot have"));
    }
    Ok((name.to_owned(), value))
}

/// Changes headers by name, which may be in another case. Null removes one.
pub(super) fn merge(known: &mut Object, given: &Object) {
    for (name, value) in given {
        known.retain(|known, _| !known.eq_ignore_ascii_case(name));
        if !value.is_null() {
            known.insert(name.clone(), value.clone());
        }
    }
}

/// Puts old values in the place of masked ones.
pub(super) fn unmask(headers: &mut [Header], old: &[Header]) -> Result<(), Fault> {
    for header in headers.iter_mut().filter(|header| header.value == MASK) {
        let mut old = old.iter().filter(|one| one.is_secret);
        let known = old.find(|one| one.name.eq_ignore_ascii_case(&header.name));
        match known {
            Some(known) if header.is_secret => header.value.clone_from(&known.value),
            Some(_) => {
                return Err(fault(
                    &header.name,
                    "is secret: it is shown only with a new value",
                ));
            }
            None if header.is_secret => {
                return Err(fault(
                    &header.name,
                    "has no secret value yet that `***` could stand for",
                ));
            }
            None => {}
        }
    }
    check_size(headers)
}
