//! Pieces of JSON text, for documents that are written without a tree in memory; and numbers, which keep the
//! digits they were written with.

use std::{borrow::Cow, cmp::Ordering, fmt::Write};

use memchr::{memchr, memchr2, memmem};
use serde::{Deserialize, de};
use serde_json::{Map, Number, Value};
use uuid::Uuid;

use crate::time::Timestamp;

/// Appends `text` as a JSON string. Most texts need no escape, so those are copied as they are.
pub fn push_text(out: &mut String, text: &str) {
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
pub fn push_guid(out: &mut String, id: Uuid) {
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
pub fn push_time(out: &mut String, at: Timestamp) {
    // Writing into a `String` cannot fail.
    let _ = write!(out, "\"{at}\"");
}

/// The text between the braces of an object's text.
pub fn inside(object: &str) -> &str {
    let trimmed = object.trim();
    trimmed
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .unwrap_or_default()
        .trim()
}

/// The beginning of the member names under which `serde_json` hands its own numbers and raw texts on.
const PRIVATE: &str = "$serde_json::private::";

/// Reads JSON from outside.
///
/// `serde_json` reads an object with a member of a private name as a number or a raw text of its own. A raw text is
/// parsed again with the full limit of depth, so such names are refused.
pub fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> serde_json::Result<T> {
    if has_private_name(text) {
        return Err(de::Error::custom(format!(
            "a member's name must not begin with {PRIVATE}"
        )));
    }
    serde_json::from_slice(text)
}

/// True for a name that [`parse`] refuses. A member with such a name must not be made in any other way either: it
/// would be read back as something else.
pub fn is_private_name(name: &str) -> bool {
    name.starts_with(PRIVATE)
}

/// True if a member's name may be a private one. Unusual texts, such as those with escaped letters, are checked
/// string by string.
fn has_private_name(text: &[u8]) -> bool {
    let is_escaped = |at: usize| matches!(text.get(at + 4), Some(b'2'..=b'7'));
    // Most texts have neither sign, which one pass over them shows.
    let is_suspect = memchr2(b'$', b'\\', text).is_some()
        && (memmem::find(text, b"$serde_json").is_some()
            || memmem::find_iter(text, br"\u00").any(is_escaped));
    is_suspect && strings(text).any(is_private)
}

/// The strings of a JSON text, with their quotes.
fn strings(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let from = memchr(b'"', rest)?;
        let (mut end, mut escaped) = (from + 1, false);
        while let Some(byte) = rest.get(end) {
            end += 1;
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => break,
                _ => {}
            }
        }
        let (string, after) = rest.split_at(end);
        rest = after;
        Some(&string[from..])
    })
}

/// True for a string that begins as private names do, whether it is a name or a value.
fn is_private(string: &[u8]) -> bool {
    matches!(string.get(1), Some(b'$' | b'\\'))
        && serde_json::from_slice::<Cow<'_, str>>(string).is_ok_and(|name| is_private_name(&name))
}

/// The maximum number of characters of a number.
pub const MAX_NUMBER: usize = 1000;

/// The path of a number that is longer than [`MAX_NUMBER`].
pub fn long_number(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => (number.as_str().len() > MAX_NUMBER).then(String::new),
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(n, item)| Some(format!("[{n}]{}", long_number(item)?)))
        }
        Value::Object(members) => members
            .iter()
            .find_map(|(name, member)| Some(format!(".{name}{}", long_number(member)?))),
        _ => None,
    }
}

/// Equality of values. Numbers are compared by value: `100`, `100.0` and `1e2` are one.
pub fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => compare(one, other).is_eq(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => same_members(one, other),
        _ => one == other,
    }
}

/// The same for objects.
pub fn same_members(one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    let alike =
        |(name, value): (&String, &Value)| other.get(name).is_some_and(|other| same(value, other));
    one.len() == other.len() && one.iter().all(alike)
}

/// The order of two numbers by value, however many digits they have.
pub fn compare(one: &Number, other: &Number) -> Ordering {
    if one == other {
        return Ordering::Equal;
    }
    match (Decimal::of(one.as_str()), Decimal::of(other.as_str())) {
        (Some(one), Some(other)) => one.compare(&other),
        // Numbers with exponents that do not fit are compared as texts.
        _ => one.as_str().cmp(other.as_str()),
    }
}

/// A number as `0.<digits> × 10^exponent`, without zeros at either end of its digits. Zero has none.
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn of(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let written = [whole, fraction].concat();
        let digits = written.trim_start_matches('0');
        let leading = i64::try_from(written.len() - digits.len()).ok()?;
        let point = i64::try_from(whole.len()).ok()?;
        let digits = digits.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self {
                is_negative: false,
                digits: String::new(),
                exponent: i64::MIN,
            });
        }
        Some(Self {
            is_negative: text.starts_with('-'),
            digits: digits.to_owned(),
            exponent: exponent.parse::<i64>().ok()?.checked_add(point - leading)?,
        })
    }

    fn is_whole(&self) -> bool {
        self.digits.is_empty()
            || usize::try_from(self.exponent).is_ok_and(|places| places >= self.digits.len())
    }

    /// The digits as a whole number without its sign, and the power of ten behind it. `None` if the digits do not fit.
    fn significand(&self) -> Option<(u128, i64)> {
        let digits = self.digits.parse().ok()?;
        // Room for one more digit.
        let fits = digits < u128::MAX / 10;
        let length = i64::try_from(self.digits.len()).ok()?;
        fits.then_some((digits, self.exponent.checked_sub(length)?))
    }

    fn push(&self, out: &mut String) {
        if self.digits.is_empty() {
            out.push('0');
            return;
        }
        let sign = if self.is_negative { "-" } else { "" };
        // Writing into a `String` cannot fail.
        let _ = write!(out, "{sign}{}e{}", self.digits, self.exponent);
    }

    fn compare(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.is_negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let size = |number: &Self| (number.exponent, number.digits.clone());
        sign(self).cmp(&sign(other)).then_with(|| {
            let by_size = size(self).cmp(&size(other));
            if self.is_negative {
                by_size.reverse()
            } else {
                by_size
            }
        })
    }
}

/// The whole numbers that are read: those of 64 bits.
pub const WHOLE_NUMBERS: &str = "a whole number from -9223372036854775808 to 9223372036854775807";

/// True for the digits of a whole number, of any length.
pub fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// True for a number without a fraction, such as `1.0`.
pub fn is_integral(number: &Number) -> bool {
    Decimal::of(number.as_str()).is_some_and(|number| number.is_whole())
}

/// True if a number is a multiple of another one. Numbers with so many digits that it cannot be told are not.
pub fn is_multiple(number: &Number, divisor: &Number) -> bool {
    let (Some(number), Some(divisor)) =
        (Decimal::of(number.as_str()), Decimal::of(divisor.as_str()))
    else {
        return false;
    };
    if number.digits.is_empty() {
        return true;
    }
    // The remainder is that of the digits, once both numbers have as many places.
    let (number, divisor) = (number.significand(), divisor.significand());
    let (Some((number, places)), Some((divisor, divisor_places))) = (number, divisor) else {
        return false;
    };
    // So that no product below overflows.
    if divisor == 0 || divisor > u128::from(u64::MAX) {
        return false;
    }
    let Ok(shift) = u32::try_from(places.abs_diff(divisor_places)) else {
        return false;
    };
    if places >= divisor_places {
        return (number % divisor * power_of_ten(shift, divisor)).is_multiple_of(divisor);
    }
    let scaled = 10_u128.checked_pow(shift);
    let scaled = scaled.and_then(|factor| divisor.checked_mul(factor));
    // A divisor that does not fit is greater than the number.
    scaled.is_some_and(|divisor| number.is_multiple_of(divisor))
}

/// The remainder of a power of ten, for a modulus of at most 64 bits.
fn power_of_ten(mut exponent: u32, modulus: u128) -> u128 {
    let (mut power, mut base) = (1 % modulus, 10 % modulus);
    while exponent > 0 {
        if exponent % 2 == 1 {
            power = power * base % modulus;
        }
        base = base * base % modulus;
        exponent /= 2;
    }
    power
}

/// A text that is the same for equal values: members in the order of their names, numbers in one spelling. It is no
/// JSON.
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    push_canonical(&mut out, value);
    out
}

fn push_canonical(out: &mut String, value: &Value) {
    match value {
        Value::Number(number) => match Decimal::of(number.as_str()) {
            Some(number) => number.push(out),
            None => out.push_str(number.as_str()),
        },
        Value::String(text) => push_text(out, text),
        Value::Array(items) => {
            out.push('[');
            for item in items {
                push_canonical(out, item);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (name, value) in members {
                push_text(out, name);
                out.push(':');
                push_canonical(out, value);
                out.push(',');
            }
            out.push('}');
        }
        Value::Null | Value::Bool(_) => out.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn number(text: &str) -> Number {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn numbers_keep_their_digits() {
        for text in [
            "40702810900000012345",
            "0.1234567890123456789",
            "1.10",
            "1e+400",
            "-0",
            "-0.0",
            "12345678901234567890123456789012345678901234567890",
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(value.to_string(), text);
            let inside: Value = serde_json::from_str(&format!("{{\"a\":[{text}]}}")).unwrap();
            assert_eq!(inside.to_string(), format!("{{\"a\":[{text}]}}"));
        }
    }

    #[test]
    fn numbers_of_equal_worth_are_the_same() {
        for (one, other, order) in [
            ("1", "1.0", Ordering::Equal),
            ("100", "1e2", Ordering::Equal),
            ("100", "0.1E+3", Ordering::Equal),
            ("0", "-0.0", Ordering::Equal),
            ("0", "0e99999999999999999999", Ordering::Equal),
            ("0.0012", "12e-4", Ordering::Equal),
            (
                "40702810900000012345",
                "40702810900000012346",
                Ordering::Less,
            ),
            (
                "-40702810900000012345",
                "-40702810900000012346",
                Ordering::Greater,
            ),
            ("9", "10", Ordering::Less),
            ("-1", "0", Ordering::Less),
            ("1e400", "1e399", Ordering::Greater),
            ("0.1", "0.10000000000000001", Ordering::Less),
        ] {
            let (a, b) = (number(one), number(other));
            assert_eq!(compare(&a, &b), order, "{one} {other}");
            assert_eq!(compare(&b, &a), order.reverse(), "{other} {one}");
            let (a, b) = (json!({"x": [a]}), json!({"x": [b]}));
            assert_eq!(same(&a, &b), order.is_eq(), "{one} {other}");
        }
        let huge = number("1e99999999999999999999");
        assert!(compare(&huge, &huge).is_eq());
        assert!(!compare(&huge, &number("1")).is_eq());
        assert!(!same(&json!({"a": 1}), &json!({"b": 1})));
        assert!(!same(&json!([1]), &json!([1, 2])));
    }

    #[test]
    fn a_number_has_a_longest_length() {
        let fits: Value = serde_json::from_str(&"1".repeat(MAX_NUMBER)).unwrap();
        assert_eq!(long_number(&json!({"a": [fits]})), None);
        let long: Value = serde_json::from_str(&"1".repeat(MAX_NUMBER + 1)).unwrap();
        let path = long_number(&json!({"a": [{"b": 1}, {"c": long}]}));
        assert_eq!(path.as_deref(), Some(".a[1].c"));
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_whole_numbers(a: i64, b: i64, zeros in 0_usize..30) {
            let spelled = |n: i64| number(&format!("{n}.{}", "0".repeat(zeros + 1)));
            prop_assert_eq!(compare(&Number::from(a), &spelled(b)), a.cmp(&b));
        }
    }

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
