//! Distinguished names: display, comparison, and look-up of values.

use crate::der::{Element, Reader, tag};
use crate::error::{ReadError, Result, malformed};
use crate::oid::{self, Oid};
use std::fmt::{self, Write};

/// A distinguished name (RFC 5280 §4.1.2.4).
#[derive(Clone, Debug)]
pub struct Name {
    raw: Vec<u8>,
    /// The relative distinguished names, in the order of the encoding.
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    values: Vec<(Oid, String)>,
    /// The values in the form for comparison.
    folded: String,
}

/// The largest size of an encoded name in octets. It is far above that of any authority's name.
const MAX_BYTES: usize = 16 << 10;

impl Name {
    pub(crate) fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self> {
        Self::from_element(&reader.expect(tag::SEQUENCE, what)?)
    }

    pub(crate) fn from_element(element: &Element<'_>) -> Result<Self> {
        if element.raw.len() > MAX_BYTES {
            return Err(ReadError::TooLarge { limit: MAX_BYTES });
        }
        let mut parts = Vec::new();
        let mut relative_names = element.inside();
        let mut count = 0;
        while !relative_names.is_empty() {
            let mut set = relative_names.expect(tag::SET, "a relative name")?.inside();
            let mut part = Vec::with_capacity(1);
            while !set.is_empty() {
                count += 1;
                if count > 64 {
                    return Err(ReadError::TooMany {
                        what: "parts of a name",
                        limit: 64,
                    });
                }
                let mut pair = set.sequence("a part of a name")?;
                let kind = Oid::read(&mut pair)?;
                part.push((kind, text(&pair.any()?)));
                pair.end("a part of a name")?;
            }
            if part.is_empty() {
                return Err(malformed("a relative name"));
            }
            let folded = folded(&part);
            parts.push(Part {
                values: part,
                folded,
            });
        }
        Ok(Self {
            raw: element.raw.to_vec(),
            parts,
        })
    }

    /// The name as received.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Every value of this attribute type, in order.
    pub fn values<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.parts.iter().flat_map(|part| &part.values);
        pairs.filter_map(move |(oid, text)| (oid == kind).then_some(text.as_str()))
    }

    /// True if both names are equal: the same bytes, or the same values apart from letter case and spaces (RFC 5280
    /// §7.1).
    pub fn same(&self, other: &Self) -> bool {
        self.raw == other.raw || (self.parts.len() == other.parts.len() && self.starts_with(other))
    }

    /// A text that two names share if and only if they are equal.
    pub(crate) fn key(&self) -> String {
        let folded: Vec<&str> = self.parts.iter().map(|part| part.folded.as_str()).collect();
        folded.join("/")
    }

    /// True if this name begins with `base`, as name constraints require.
    pub(crate) fn starts_with(&self, base: &Self) -> bool {
        base.parts.len() <= self.parts.len()
            && (base.parts.iter().zip(&self.parts)).all(|(a, b)| a.folded == b.folded)
    }
}

/// Each value is preceded by its length, so that one value cannot be mistaken for two.
fn folded(values: &[(Oid, String)]) -> String {
    let fold = |(kind, text): &(Oid, String)| {
        let words: Vec<&str> = text.split_whitespace().collect();
        let text = words.join(" ").to_lowercase();
        format!("{kind}={}:{text};", text.len())
    };
    let mut values: Vec<String> = values.iter().map(fold).collect();
    values.sort();
    values.concat()
}

/// The text of an element of any string type. Other elements are shown in hex.
fn text(element: &Element<'_>) -> String {
    let bytes = element.content;
    let wide = |size: usize| -> Option<String> {
        let units = bytes
            .chunks(size)
            .map(|c| c.iter().fold(0, |n, b| n << 8 | u32::from(*b)));
        bytes.len().is_multiple_of(size).then(|| {
            units
                .map(|u| char::from_u32(u).unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect()
        })
    };
    let decoded = match element.tag {
        tag::BMP_STRING => wide(2),
        tag::UNIVERSAL_STRING => wide(4),
        tag::T61_STRING => std::str::from_utf8(bytes)
            .map(str::to_owned)
            .ok()
            .or_else(|| wide(1)),
        // Numeric, printable, IA5, visible, UTF-8.
        tag::UTF8_STRING | 0x12 | tag::PRINTABLE_STRING | tag::IA5_STRING | 0x1a => {
            std::str::from_utf8(bytes).map(str::to_owned).ok()
        }
        _ => None,
    };
    decoded.unwrap_or_else(|| {
        let mut hex = String::from("#");
        for byte in element.raw {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    })
}

fn short(kind: &Oid) -> &str {
    match kind.as_str() {
        oid::COMMON_NAME => "CN",
        oid::SURNAME => "SN",
        oid::SERIAL_NUMBER => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        oid::ORGANIZATION => "O",
        oid::ORGANIZATIONAL_UNIT => "OU",
        "2.5.4.12" => "title",
        oid::GIVEN_NAME => "GN",
        oid::ORGANIZATION_IDENTIFIER => "organizationIdentifier",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        oid::EMAIL => "emailAddress",
        oid::RU_INN => "INN",
        oid::RU_INN_COMPANY => "INNLE",
        oid::RU_OGRN => "OGRN",
        oid::RU_SNILS => "SNILS",
        other => other,
    }
}

/// `CN=…,O=…`, in the order of the encoding, escaped as in RFC 4514 §2.4.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.parts.iter().enumerate() {
            if at > 0 {
                f.write_char(',')?;
            }
            for (index, (kind, value)) in part.values.iter().enumerate() {
                if index > 0 {
                    f.write_char('+')?;
                }
                write!(f, "{}=", short(kind))?;
                for c in value.chars() {
                    if matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=') {
                        f.write_char('\\')?;
                    }
                    f.write_char(if c.is_control() { ' ' } else { c })?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::write;

    fn read(relative: &[&[(&str, u8, &str)]]) -> Result<Name> {
        let sets: Vec<Vec<u8>> = relative
            .iter()
            .map(|pairs| {
                let pair = |(kind, tag, text): &(&str, u8, &str)| {
                    let value = write::element(*tag, text.as_bytes());
                    write::sequence(&[&write::oid(kind), &value])
                };
                write::set_of(pairs.iter().map(pair).collect())
            })
            .collect();
        let bytes = write::sequence(&[&sets.concat()]);
        Name::read(&mut Reader::new(&bytes), "a name")
    }

    const CN: &str = oid::COMMON_NAME;
    const O: &str = oid::ORGANIZATION;

    #[test]
    fn names_are_compared_without_case_spaces_and_string_type() {
        let name = read(&[
            &[(O, tag::UTF8_STRING, "Test")],
            &[(CN, tag::UTF8_STRING, "A b")],
        ]);
        let name = name.unwrap();
        for (other, same) in [
            (
                read(&[
                    &[(O, tag::PRINTABLE_STRING, "TEST")],
                    &[(CN, tag::UTF8_STRING, " a  B ")],
                ]),
                true,
            ),
            (
                read(&[
                    &[(O, tag::UTF8_STRING, "Test")],
                    &[(CN, tag::UTF8_STRING, "Ab")],
                ]),
                false,
            ),
            (read(&[&[(O, tag::UTF8_STRING, "Test")]]), false),
            (
                read(&[
                    &[(CN, tag::UTF8_STRING, "A b")],
                    &[(O, tag::UTF8_STRING, "Test")],
                ]),
                false,
            ),
            (
                read(&[&[(O, tag::UTF8_STRING, "Test"), (CN, tag::UTF8_STRING, "A b")]]),
                false,
            ),
        ] {
            assert_eq!(name.same(&other.unwrap()), same);
        }
        let base = read(&[&[(O, tag::UTF8_STRING, "test")]]).unwrap();
        assert!(name.starts_with(&base) && !base.starts_with(&name));
    }

    #[test]
    fn names_are_shown_with_their_signs_escaped() {
        let name = read(&[
            &[(O, tag::UTF8_STRING, "A, \"B\"")],
            &[("1.2.3", tag::IA5_STRING, "x=\n")],
        ]);
        assert_eq!(name.unwrap().to_string(), "O=A\\, \\\"B\\\",1.2.3=x\\= ");
        let wide = read(&[&[(CN, tag::BMP_STRING, "\0A\0b")]]).unwrap();
        assert_eq!(wide.to_string(), "CN=Ab");
        let odd = read(&[&[(CN, tag::INTEGER, "1")]]).unwrap();
        assert_eq!(odd.to_string(), "CN=#020131");
    }

    #[test]
    fn names_have_a_maximum_size() {
        let long = "x".repeat(20_000);
        assert!(read(&[&[(CN, tag::UTF8_STRING, &long)]]).is_err());
    }
}
