//! A DER writer, for OCSP and time-stamp requests and for test material.

use super::tag;

/// An element with the shortest length.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    out.push(tag);
    let length = content.len();
    if let Ok(short) = u8::try_from(length)
        && short < 0x80
    {
        out.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let digits = super::strip_zeros(&bytes);
        #[expect(clippy::cast_possible_truncation, reason = "a usize has 8 bytes")]
        out.push(0x80 | digits.len() as u8);
        out.extend_from_slice(digits);
    }
    out.extend_from_slice(content);
    out
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(tag::SEQUENCE, &parts.concat())
}

/// A non-negative number from big-endian bytes.
pub(crate) fn integer(bytes: &[u8]) -> Vec<u8> {
    let digits = super::strip_zeros(bytes);
    let padded = digits.first().is_none_or(|first| first & 0x80 != 0);
    let mut content = if padded { vec![0] } else { Vec::new() };
    content.extend_from_slice(digits);
    element(tag::INTEGER, &content)
}

pub(crate) fn octets(bytes: &[u8]) -> Vec<u8> {
    element(tag::OCTET_STRING, bytes)
}

pub(crate) fn null() -> Vec<u8> {
    vec![tag::NULL, 0]
}

/// An object identifier from its dotted form. Panics if the text is not one; callers pass constants or identifiers
/// read from DER.
pub(crate) fn oid(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u128> = dotted.split('.').filter_map(|a| a.parse().ok()).collect();
    let mut content = Vec::new();
    if let [first, second, rest @ ..] = arcs.as_slice() {
        base128(first * 40 + second, &mut content);
        for arc in rest {
            base128(*arc, &mut content);
        }
    }
    element(tag::OID, &content)
}

fn base128(arc: u128, out: &mut Vec<u8>) {
    let groups = (128 - arc.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let more = if group > 0 { 0x80 } else { 0 };
        out.push(more | u8::try_from(arc >> (7 * group) & 0x7f).unwrap_or(0));
    }
}

/// A set with its members sorted by their bytes (X.690 §11.6).
pub(crate) fn set_of(mut members: Vec<Vec<u8>>) -> Vec<u8> {
    members.sort();
    element(tag::SET, &members.concat())
}
