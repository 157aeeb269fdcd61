//! DER elements for tests that build structures themselves.

use crate::der::write;

/// An element with the shortest length.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    write::element(tag, content)
}

pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    write::sequence(parts)
}

pub fn set_of(members: Vec<Vec<u8>>) -> Vec<u8> {
    write::set_of(members)
}

/// A non-negative number from big-endian bytes.
pub fn integer(bytes: &[u8]) -> Vec<u8> {
    write::integer(bytes)
}

pub fn octets(bytes: &[u8]) -> Vec<u8> {
    write::octets(bytes)
}

/// An object identifier from its dotted form.
pub fn oid(dotted: &str) -> Vec<u8> {
    write::oid(dotted)
}

pub fn null() -> Vec<u8> {
    write::null()
}
