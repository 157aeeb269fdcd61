//! Decoding of bodies: content codings, character sets, and lenient JSON.

use std::{borrow::Cow, io::Read};

use axum::http::{HeaderMap, header};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use flate2::{
    bufread::GzDecoder,
    read::{DeflateDecoder, ZlibDecoder},
};
use prichal_core::json;
use serde_json::Value;

use crate::error::{Error, Result};

/// The media type of a form without files.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// The maximum number of nested codings of a body.
const MAX_CODINGS: usize = 3;

/// A content coding (RFC 9110 §8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Deflate,
    Brotli,
}

impl Coding {
    /// The codings of a body, outermost first.
    pub fn all(headers: &HeaderMap) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for line in headers.get_all(header::CONTENT_ENCODING) {
            for name in String::from_utf8_lossy(line.as_bytes()).split(',') {
                found.extend(Self::named(name.trim())?);
            }
        }
        if found.len() > MAX_CODINGS {
            return Err(Error::invalid(
                "Content-Encoding",
                format!("The Content-Encoding has more than {MAX_CODINGS} codings."),
            ));
        }
        found.reverse();
        Ok(found)
    }

    fn named(name: &str) -> Result<Option<Self>> {
        match name.to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(None),
            "gzip" | "x-gzip" => Ok(Some(Self::Gzip)),
            "deflate" => Ok(Some(Self::Deflate)),
            "br" => Ok(Some(Self::Brotli)),
            _ => Err(Error::UnknownCoding(name.chars().take(64).collect())),
        }
    }

    /// The memory in bytes that a decoder needs in addition to its output.
    pub fn window(self) -> usize {
        match self {
            Self::Gzip | Self::Deflate => 64 << 10,
            Self::Brotli => 16 << 20,
        }
    }

    /// Decodes `coded`. Some clients send deflate without the zlib header.
    pub fn decoder(self, coded: &[u8]) -> Box<dyn Read + Send + '_> {
        let has_zlib_header = |first: u8, second: u8| {
            first & 0x0f == 8 && ((u16::from(first) << 8) | u16::from(second)) % 31 == 0
        };
        match (self, coded) {
            (Self::Gzip, _) => Box::new(Gzip(Some(GzDecoder::new(coded)))),
            (Self::Deflate, [first, second, ..]) if has_zlib_header(*first, *second) => {
                Box::new(ZlibDecoder::new(coded))
            }
            (Self::Deflate, _) => Box::new(DeflateDecoder::new(coded)),
            // The extension with windows of a gigabyte is not part of the coding (RFC 7932).
            (Self::Brotli, [first, ..]) if first & 0x7f == 0x11 => Box::new(Unreadable),
            (Self::Brotli, _) => Box::new(brotli_decompressor::Decompressor::new(coded, 4096)),
        }
    }
}

/// The members of a gzip file, one after the other. Zeros after the last one are padding, as in gzip(1).
struct Gzip<'a>(Option<GzDecoder<&'a [u8]>>);

impl Read for Gzip<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let length = member.read(into)?;
            if length > 0 || into.is_empty() {
                return Ok(length);
            }
            let rest = self.0.take().map_or(&[][..], GzDecoder::into_inner);
            let is_padding = rest.iter().all(|byte| *byte == 0);
            self.0 = (!is_padding).then(|| GzDecoder::new(rest));
        }
        Ok(0)
    }
}

/// A body that cannot be decoded.
struct Unreadable;

impl Read for Unreadable {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::InvalidData.into())
    }
}

/// The error for a body that cannot be decoded.
pub fn damaged() -> Error {
    Error::invalid(
        "Content-Encoding",
        "The body could not be decoded as the Content-Encoding says.",
    )
}

/// The value of a parameter of a content type, such as `charset`.
pub fn parameter<'a>(content_type: &'a str, wanted: &str) -> Option<&'a str> {
    let mut all = content_type.split(';').skip(1);
    all.find_map(|one| {
        let (name, value) = one.split_once('=')?;
        let is_it = name.trim().eq_ignore_ascii_case(wanted);
        is_it.then(|| value.trim().trim_matches(['"', '\'']))
    })
}

/// The character set of a text and the length of its byte order mark. The mark decides, then the position of zero
/// bytes, then the content type. The default is UTF-8.
fn encoding(content_type: &str, text: &[u8]) -> (&'static Encoding, usize) {
    if let Some(found) = Encoding::for_bom(text) {
        return found;
    }
    match text {
        // JSON begins with an ASCII character (RFC 4627 §3).
        [0, second, ..] if *second != 0 => return (UTF_16BE, 0),
        [first, 0, third, ..] if *first != 0 && *third != 0 => return (UTF_16LE, 0),
        _ => {}
    }
    let named = parameter(content_type, "charset");
    let named = named.and_then(|name| Encoding::for_label(name.as_bytes()));
    (named.unwrap_or(UTF_8), 0)
}

/// The text in UTF-8, without its byte order mark. Invalid UTF-8 of an undeclared character set stays as it is.
pub fn utf8<'a>(content_type: &str, text: &'a [u8]) -> Cow<'a, [u8]> {
    let (encoding, mark) = encoding(content_type, text);
    let text = &text[mark..];
    if encoding == UTF_8 {
        return Cow::Borrowed(text);
    }
    match encoding.decode_without_bom_handling(text).0 {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// The media type of a `Content-Type`, in lower case and without parameters.
pub fn media_type(content_type: &str) -> String {
    let kind = content_type.split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// The `Content-Type` of a message; empty if there is no readable one.
pub fn content_type(headers: &HeaderMap) -> &str {
    let line = headers.get(header::CONTENT_TYPE);
    line.and_then(|line| line.to_str().ok()).unwrap_or_default()
}

/// Reads JSON as leniently as Newtonsoft does: comments and a comma before a closing bracket are allowed, and half of
/// a surrogate pair becomes a replacement character. Errors name their line and column.
pub fn parse_json(bytes: &[u8]) -> Result<Value> {
    let bytes = utf8("", bytes);
    let value = parse(&bytes).or_else(|error| {
        let strict = to_strict(&bytes).and_then(|strict| json::parse(&strict).ok());
        strict.ok_or(error)
    })?;
    check_numbers(&value)?;
    Ok(value)
}

/// Reads strict JSON (RFC 8259).
pub fn parse_json_strictly(bytes: &[u8]) -> Result<Value> {
    let value = parse(&utf8("", bytes))?;
    check_numbers(&value)?;
    Ok(value)
}

/// Refuses numbers with more digits than are stored.
pub fn check_numbers(value: &Value) -> Result<()> {
    let Some(path) = json::long_number(value) else {
        return Ok(());
    };
    let path: String = path.trim_start_matches('.').chars().take(200).collect();
    let message = format!(
        "The {path} field is invalid: a number of more than {} characters.",
        json::MAX_NUMBER
    );
    Err(Error::invalid(path, message))
}

fn parse(bytes: &[u8]) -> Result<Value> {
    if bytes.is_empty() {
        return Err(Error::invalid("", "A non-empty request body is required."));
    }
    json::parse(bytes).map_err(|error| {
        Error::invalid("", format!("The request body is not valid JSON: {error}."))
    })
}

/// True if a JSON text has half of a surrogate pair. Some JSON parsers accept it and others refuse it.
pub fn has_lone_surrogate(json: &[u8]) -> bool {
    // Most texts have no escape at all.
    let has_escape = memchr::memchr(b'\\', json).is_some()
        && memchr::memmem::find_iter(json, br"\u")
            .any(|at| matches!(json.get(at + 2), Some(b'd' | b'D')));
    has_escape && to_strict(json).is_some()
}

/// Converts lenient JSON to strict JSON of the same length: comments and commas before closing brackets become blanks,
/// and each half of a surrogate pair becomes a replacement character. `None` if there are none of these.
fn to_strict(json: &[u8]) -> Option<Vec<u8>> {
    let mut converter = StrictConverter {
        text: json.to_vec(),
        at: 0,
        found: false,
    };
    converter.run();
    converter.found.then_some(converter.text)
}

struct StrictConverter {
    text: Vec<u8>,
    at: usize,
    /// True if anything was replaced.
    found: bool,
}

impl StrictConverter {
    fn run(&mut self) {
        // `comma` is the position of a comma that may be a trailing one. `value` is true if the last token ended a
        // value.
        let (mut comma, mut value) = (None, false);
        while let Some(byte) = self.text.get(self.at).copied() {
            let start = self.at;
            self.at += 1;
            match byte {
                b'/' if self.comment(start) => continue,
                byte if byte.is_ascii_whitespace() => continue,
                b',' => comma = value.then_some(start),
                b'}' | b']' => {
                    if let Some(at) = comma.take() {
                        self.blank(at, at + 1);
                    }
                }
                _ => {
                    comma = None;
                    if byte == b'"' {
                        self.string();
                    }
                }
            }
            // A comma can be a trailing one only after a value.
            value = !matches!(byte, b',' | b'{' | b'[' | b':');
        }
    }

    /// Blanks a comment that begins at `start`, if there is one.
    fn comment(&mut self, start: usize) -> bool {
        let rest = &self.text[self.at..];
        let length = match rest.first() {
            Some(b'/') => memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len()),
            Some(b'*') => match memchr::memmem::find(&rest[1..], b"*/") {
                Some(length) => length + 3,
                None => return false,
            },
            _ => return false,
        };
        self.at += length;
        self.blank(start, self.at);
        true
    }

    /// Skips the rest of a string.
    fn string(&mut self) {
        while let Some(byte) = self.text.get(self.at).copied() {
            match byte {
                b'"' => {
                    self.at += 1;
                    return;
                }
                b'\\' => self.escape(),
                _ => self.at += 1,
            }
        }
    }

    fn escape(&mut self) {
        let at = self.at;
        match self.unit(at) {
            Some(0xD800..=0xDBFF) if matches!(self.unit(at + 6), Some(0xDC00..=0xDFFF)) => {
                self.at += 12;
            }
            Some(0xD800..=0xDFFF) => {
                self.text[at + 2..at + 6].copy_from_slice(b"fffd");
                self.found = true;
                self.at += 6;
            }
            Some(_) => self.at += 6,
            None => self.at += 2,
        }
    }

    /// The UTF-16 code unit of an escape at `at`.
    fn unit(&self, at: usize) -> Option<u16> {
        let digits = self.text.get(at..at + 6)?.strip_prefix(br"\u")?;
        let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    fn blank(&mut self, from: usize, to: usize) {
        // Line breaks stay, for messages that name lines.
        for byte in &mut self.text[from..to] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        self.found = true;
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn lenient_json_is_read() {
        for (text, expected) in [
            (r#"{"a": 1,}"#, Some(json!({ "a": 1 }))),
            (
                "{\"a\": [1, {\"b\": \"x\",\n } , ], }",
                Some(json!({ "a": [1, { "b": "x" }] })),
            ),
            (
                r#"{"a": ",}", "b": "\",]",}"#,
                Some(json!({ "a": ",}", "b": "\",]" })),
            ),
            (
                "// one\n{ /* two ,} */ \"a\": \"/* no */ // no\", /**/ } // three",
                Some(json!({ "a": "/* no */ // no" })),
            ),
            (r#""a\ud83d""#, Some(json!("a\u{fffd}"))),
            (r#""\uDE00b\ud83d\ude00""#, Some(json!("\u{fffd}b😀"))),
            (r#""\ud83d\ud83d\ude00""#, Some(json!("\u{fffd}😀"))),
            (
                r#"{"\ud83d": "\\ud83d",}"#,
                Some(json!({ "\u{fffd}": "\\ud83d" })),
            ),
            ("\u{feff}{}", Some(json!({}))),
            ("{,}", None),
            ("[,]", None),
            ("[1,,]", None),
            (r#"{"a":,}"#, None),
            ("[1,", None),
            ("[1] /* open", None),
            ("[1] / 2", None),
            (r#""\ud83""#, None),
            ("", None),
            ("//", None),
        ] {
            assert_eq!(parse_json(text.as_bytes()).ok(), expected, "{text}");
        }
    }

    #[test]
    fn strict_json_allows_no_deviation() {
        assert!(parse_json_strictly("\u{feff}{\"a\": 1}".as_bytes()).is_ok());
        for text in ["[1,]", "[1] // one", r#""\ud83d""#, ""] {
            assert!(parse_json_strictly(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn lone_surrogates_are_distinguished_from_pairs() {
        for (text, has) in [
            (&br#""\ud83d\ude00""#[..], false),
            (br#""\ud83d""#, true),
            (br#""\\ud83d""#, false),
            (br#""\u0041""#, false),
        ] {
            assert_eq!(has_lone_surrogate(text), has, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn texts_of_any_character_set_are_read() {
        let utf16 = |text: &str, to: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(to).collect()
        };
        let text = r#"{"a":"ё😀"}"#;
        for (content_type, bytes) in [
            ("application/json", text.as_bytes().to_vec()),
            (
                "application/json; charset=nonsense",
                text.as_bytes().to_vec(),
            ),
            ("", format!("\u{feff}{text}").into_bytes()),
            ("", utf16(&format!("\u{feff}{text}"), u16::to_le_bytes)),
            ("", utf16(&format!("\u{feff}{text}"), u16::to_be_bytes)),
            ("", utf16(text, u16::to_le_bytes)),
            ("", utf16(text, u16::to_be_bytes)),
            (
                "text/json; charset=\"UTF-16LE\"",
                utf16(text, u16::to_le_bytes),
            ),
        ] {
            assert_eq!(
                utf8(content_type, &bytes),
                text.as_bytes(),
                "{content_type}"
            );
        }
        let old = encoding_rs::WINDOWS_1251.encode("\"ё\"").0;
        let read = utf8("text/json; charset=Windows-1251", &old);
        assert_eq!(read, "\"ё\"".as_bytes());
    }

    #[test]
    fn gzip_has_members_and_padding() {
        let member = |text: &str| {
            let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut coder, text.as_bytes()).unwrap();
            coder.finish().unwrap()
        };
        let (one, two) = (member("{\"a\":"), member("1}"));
        let read = |coded: &[&[u8]]| {
            let (coded, mut text) = (coded.concat(), String::new());
            let mut decoder = Coding::Gzip.decoder(&coded);
            decoder.read_to_string(&mut text).ok().map(|_| text)
        };
        let whole = Some("{\"a\":1}".to_owned());
        assert_eq!(read(&[&one, &two]), whole);
        assert_eq!(read(&[&one, &member(""), &two, &[0]]), whole);
        assert_eq!(read(&[&one, &two, &[0; 4096]]), whole);
        for damaged in [
            &[&one[..], &two, b"x"][..],
            &[&one, &[0; 8], &two],
            &[&one, &two[..two.len() - 1]],
            &[&one[..one.len() - 4], &[0; 3]],
            &[&[0; 20]],
        ] {
            assert_eq!(read(damaged), None, "{damaged:?}");
        }
    }

    #[test]
    fn codings_are_named() {
        let all = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::CONTENT_ENCODING, line.parse().unwrap());
            }
            Coding::all(&headers)
        };
        assert_eq!(all(&[]).unwrap(), []);
        assert_eq!(all(&["identity", ""]).unwrap(), []);
        assert_eq!(
            all(&["GZIP, br", "deflate"]).unwrap(),
            [Coding::Deflate, Coding::Brotli, Coding::Gzip]
        );
        let refused = all(&["gzip, zstd"]).unwrap_err().to_string();
        assert!(refused.contains("zstd"), "{refused}");
        assert!(all(&["gzip,gzip,gzip,gzip"]).is_err());
    }

    proptest! {
        #[test]
        fn conversion_keeps_the_length_and_strict_json(text in r#"[\[\]{},:"\\/*u d83e1\n]{0,60}"#) {
            if let Some(strict) = to_strict(text.as_bytes()) {
                prop_assert_eq!(strict.len(), text.len());
            }
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                prop_assert_eq!(parse_json(text.as_bytes()).ok(), Some(value));
            }
        }
    }
}
