//! Forms as scripts see them: an object of fields. Names with brackets make objects and lists, as in PHP and from
//! most senders of webhooks.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use encoding_rs::{Encoding, UTF_8};
use futures_util::{FutureExt as _, stream};
use http::HeaderValue;
use prichal_core::{json, schema::Object};
use serde_json::{Value, json};

use crate::{
    http::multipart::{self, Part},
    platform::reading::{media_type, parameter},
};

/// The maximum number of fields that are parsed. The text of the request has the rest.
const MAX_FIELDS: usize = 1000;
/// The maximum number of brackets in a name.
const MAX_DEPTH: usize = 8;

/// The fields of a body; `None` if it is not a form.
pub fn read(content_type: &str, body: &[u8]) -> Option<Value> {
    match media_type(content_type).as_str() {
        "application/x-www-form-urlencoded" => Some(fields(urlencoded(content_type, body))),
        "multipart/form-data" => {
            let header = HeaderValue::from_str(content_type).ok()?;
            let body = stream::iter([Ok::<_, std::io::Error>(Bytes::copy_from_slice(body))]);
            let parts = multipart::parts(&header, body, MAX_FIELDS);
            // The whole body is in memory, so the future is ready at once.
            let parts = parts.now_or_never()?.ok()?;
            Some(fields(parts.into_iter().map(part).collect()))
        }
        _ => None,
    }
}

/// The parameters of a query: a text each, or a list of texts for a repeated name.
pub fn query(query: &str) -> Object {
    let mut all = Object::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if is_private(&name) {
            continue;
        }
        put(&mut all, name.into_owned(), value.into_owned().into());
    }
    all
}

fn urlencoded(content_type: &str, body: &[u8]) -> Vec<(String, Value)> {
    let named = parameter(content_type, "charset");
    let named = named.and_then(|name| Encoding::for_label(name.as_bytes()));
    let encoding = named.unwrap_or(UTF_8);
    let text = |bytes: &[u8]| {
        let plain: Vec<u8> = bytes
            .iter()
            .map(|b| if *b == b'+' { b' ' } else { *b })
            .collect();
        let bytes: Vec<u8> = percent_encoding::percent_decode(&plain).collect();
        encoding.decode_without_bom_handling(&bytes).0.into_owned()
    };
    let pairs = body
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty());
    let pairs = pairs.take(MAX_FIELDS).map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = pair.split_at(at.unwrap_or(pair.len()));
        (
            text(name),
            text(value.strip_prefix(b"=").unwrap_or(value)).into(),
        )
    });
    pairs.collect()
}

/// The name and value of a part: a text for a field, an object for a file.
fn part(part: Part) -> (String, Value) {
    let content_type = part.content_type.as_ref();
    let content_type = content_type.and_then(|kind| kind.to_str().ok());
    if part.file_name.is_none() {
        let charset = content_type.and_then(|kind| parameter(kind, "charset"));
        let encoding = charset.and_then(|name| Encoding::for_label(name.as_bytes()));
        let text = encoding.unwrap_or(UTF_8).decode(&part.data).0;
        return (part.name, text.into_owned().into());
    }
    let file = json!({
        "fileName": part.file_name,
        "contentType": content_type,
        "size": part.data.len(),
        "base64": STANDARD.encode(&part.data),
    });
    (part.name, file)
}

/// Combines fields into one object.
fn fields(all: Vec<(String, Value)>) -> Value {
    let mut root = Object::new();
    // The text of the body has all fields.
    let kept = |(name, _): &(String, Value)| !name.split('[').any(is_private);
    for (name, value) in all.into_iter().filter(kept) {
        let value = match steps(&name) {
            Some((first, rest)) => match nest(&mut root, first, &rest, value) {
                Ok(()) => continue,
                Err(value) => value,
            },
            None => value,
        };
        // A name that contradicts another one is used literally.
        put(&mut root, name, value);
    }
    Value::Object(
        root.into_iter()
            .map(|(name, value)| (name, listed(value)))
            .collect(),
    )
}

/// True for a name that JSON cannot store. Such a field is in no object.
fn is_private(name: &str) -> bool {
    json::is_private_name(name)
}

/// Splits `a[b][]` into `a` and the contents of its brackets; `None` for a name without brackets.
fn steps(name: &str) -> Option<(&str, Vec<&str>)> {
    let at = name.find('[').filter(|at| *at > 0)?;
    let (first, rest) = name.split_at(at);
    let inside = rest.strip_prefix('[')?.strip_suffix(']')?;
    let steps: Vec<&str> = inside.split("][").collect();
    (steps.len() <= MAX_DEPTH && !inside.replace("][", "").contains(['[', ']']))
        .then_some((first, steps))
}

/// Stores a value at a path of names, creating objects on the way. Returns the value if another one is in the way.
fn nest(into: &mut Object, first: &str, rest: &[&str], value: Value) -> Result<(), Value> {
    let key = if first.is_empty() {
        // The next index, as in a list.
        into.len().to_string()
    } else {
        first.to_owned()
    };
    let Some((next, after)) = rest.split_first() else {
        if matches!(into.get(&key), Some(Value::Object(_))) {
            return Err(value);
        }
        put(into, key, value);
        return Ok(());
    };
    let inner = into.entry(key).or_insert_with(|| json!({}));
    match inner {
        Value::Object(inner) => nest(inner, next, after, value),
        _ => Err(value),
    }
}

/// Sets a member. An existing member becomes a list.
fn put(into: &mut Object, name: String, value: Value) {
    match into.get_mut(&name) {
        None => drop(into.insert(name, value)),
        Some(Value::Array(all)) => all.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

/// Objects whose names are 0, 1, 2 … become lists.
fn listed(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut names = members.keys().enumerate();
            let is_list = !members.is_empty() && names.all(|(n, name)| *name == n.to_string());
            let members = members
                .into_iter()
                .map(|(name, value)| (name, listed(value)));
            if is_list {
                members.map(|(_, value)| value).collect()
            } else {
                Value::Object(members.collect())
            }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn names_with_brackets_make_objects_and_lists() {
        for (body, expected) in [
            (
                "event=ONCRMDEALADD&data[FIELDS][ID]=5&auth[domain]=x.example",
                json!({"event": "ONCRMDEALADD", "data": {"FIELDS": {"ID": "5"}}, "auth": {"domain": "x.example"}}),
            ),
            (
                "leads[add][0][id]=1&leads[add][1][id]=2",
                json!({"leads": {"add": [{"id": "1"}, {"id": "2"}]}}),
            ),
            ("a[]=1&a[]=2", json!({"a": ["1", "2"]})),
            ("a=1&a=2&a=3", json!({"a": ["1", "2", "3"]})),
            ("a%5Bb%5D=x+y%2B&c", json!({"a": {"b": "x y+"}, "c": ""})),
            ("a[5]=1", json!({"a": {"5": "1"}})),
            ("a=1&a[b]=2", json!({"a": "1", "a[b]": "2"})),
            ("a[b]=1&a[b][c]=2", json!({"a": {"b": "1"}, "a[b][c]": "2"})),
            (
                "[a]=1&b]=2&c[=3&d[x=4&e[x]y=5",
                json!({"[a]": "1", "b]": "2", "c[": "3", "d[x": "4", "e[x]y": "5"}),
            ),
            (
                "a=1&$serde_json::private::RawValue=[[]]&b[$serde_json::private::Number]=2",
                json!({"a": "1"}),
            ),
            ("", json!({})),
            ("&&", json!({})),
            ("=1", json!({"": "1"})),
        ] {
            assert_eq!(read(FORM, body.as_bytes()), Some(expected), "{body}");
        }
        let deep = format!("a{}=1", "[b]".repeat(MAX_DEPTH + 1));
        let seen = read(FORM, deep.as_bytes()).unwrap_or_default();
        assert_eq!(seen[&deep[..deep.len() - 2]], "1");
    }

    #[test]
    fn forms_may_have_any_character_set() {
        let old = format!("{FORM}; charset=windows-1251");
        assert_eq!(
            read(&old, b"a=%B8&b=\xb8"),
            Some(json!({"a": "ё", "b": "ё"}))
        );
        assert_eq!(read(FORM, b"a=%D1%91"), Some(json!({"a": "ё"})));
        assert_eq!(read("text/plain", b"a=1"), None);
    }

    #[test]
    fn parts_are_fields_and_files() {
        let body = "--x\r\nContent-Disposition: form-data; name=\"a[b]\"\r\n\r\n1\r\n\
            --x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"t.txt\"\r\nContent-Type: text/plain\r\n\r\nhi\r\n\
            --x--\r\n";
        let seen = read("multipart/form-data; boundary=x", body.as_bytes());
        let file =
            json!({"fileName": "t.txt", "contentType": "text/plain", "size": 2, "base64": "aGk="});
        assert_eq!(seen, Some(json!({"a": {"b": "1"}, "f": file})));
        assert_eq!(
            read("multipart/form-data; boundary=y", body.as_bytes()),
            None
        );
    }

    #[test]
    fn a_repeated_parameter_is_a_list() {
        let seen = Value::Object(query("tag=a&tag=b&one=1&x[]=2"));
        assert_eq!(seen, json!({"tag": ["a", "b"], "one": "1", "x[]": "2"}));
    }
}
