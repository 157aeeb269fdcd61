//! A reader of BER and DER (X.690) that borrows its input, so that every element is available in the exact bytes that
//! were signed.
//!
//! [`check`] scans the whole input once and enforces the limits of size, depth and count. Then a [`Reader`] walks the
//! structure that the caller expects.

pub(crate) mod tag;
pub(crate) mod write;

use crate::error::{ReadError, Result, malformed};
use crate::limits::Limits;
use std::borrow::Cow;

/// One element: tag, length and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    /// The first identifier octet. For tag numbers above 30 its low bits are `0x1f`.
    pub tag: u8,
    /// The whole element as received.
    pub raw: &'a [u8],
    /// The value, without the two end-of-contents octets of an indefinite length.
    pub content: &'a [u8],
    /// True if the length has the indefinite form (X.690 §8.1.3.6).
    pub indefinite: bool,
}

struct Header {
    tag: u8,
    size: usize,
    /// `None` for the indefinite form.
    length: Option<usize>,
}

impl<'a> Element<'a> {
    pub(crate) const fn constructed(&self) -> bool {
        self.tag & tag::CONSTRUCTED != 0
    }

    /// A reader of the value.
    pub(crate) const fn inside(&self) -> Reader<'a> {
        Reader { rest: self.content }
    }

    /// The value of an octet string. BER segments are joined (X.690 §8.7).
    pub(crate) fn octets(&self) -> Result<Cow<'a, [u8]>> {
        if !self.constructed() {
            return Ok(Cow::Borrowed(self.content));
        }
        let mut joined = Vec::with_capacity(self.content.len());
        join(self.content, &mut joined, 0)?;
        Ok(Cow::Owned(joined))
    }

    /// The bits of a bit string whose length is a multiple of eight.
    pub(crate) fn bits(&self) -> Result<&'a [u8]> {
        match self.content.split_first() {
            Some((0, bits)) if !self.constructed() => Ok(bits),
            _ => Err(malformed("a bit string")),
        }
    }

    /// The first two octets of a named bit string, high bit first.
    pub(crate) fn named_bits(&self) -> Result<u16> {
        let Some((&unused, bits)) = self.content.split_first() else {
            return Err(malformed("a bit string"));
        };
        if self.constructed() || unused > 7 || (bits.is_empty() && unused != 0) {
            return Err(malformed("a bit string"));
        }
        let octet = |at: usize| u16::from(bits.get(at).copied().unwrap_or(0));
        Ok(octet(0) << 8 | octet(1))
    }

    /// A small non-negative number.
    pub(crate) fn small(&self) -> Result<u64> {
        let bytes = self.content;
        if bytes.is_empty() || bytes[0] & 0x80 != 0 {
            return Err(malformed("a number"));
        }
        let digits = strip_zeros(bytes);
        if digits.len() > 8 {
            return Err(malformed("a number"));
        }
        Ok(digits.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    pub(crate) fn boolean(&self) -> Result<bool> {
        match self.content {
            [byte] => Ok(*byte != 0),
            _ => Err(malformed("a boolean")),
        }
    }
}

/// The bytes of a non-negative number without leading zeros, which is the form for comparisons.
pub(crate) fn strip_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    &bytes[zeros..]
}

/// The octets of a serial number without redundant leading octets, as in DER. The sign stays: some old authorities
/// issued negative serial numbers, and -1 is not 255.
pub(crate) fn serial(octets: &[u8]) -> &[u8] {
    let needless = |pair: &&[u8]| matches!(pair, [0, next] if next & 0x80 == 0);
    let zeros = octets.windows(2).take_while(needless).count();
    &octets[zeros..]
}

fn join(content: &[u8], joined: &mut Vec<u8>, depth: usize) -> Result<()> {
    if depth > Limits::SIGNATURE.depth {
        return Err(ReadError::TooDeep {
            limit: Limits::SIGNATURE.depth,
        });
    }
    let mut reader = Reader::new(content);
    while !reader.is_empty() {
        let segment = reader.any()?;
        if segment.tag & !tag::CONSTRUCTED != tag::OCTET_STRING {
            return Err(malformed("an octet string in segments"));
        }
        if segment.constructed() {
            join(segment.content, joined, depth + 1)?;
        } else {
            joined.extend_from_slice(segment.content);
        }
    }
    Ok(())
}

/// Reads consecutive elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The tag of the next element.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Reads the next element, which may have any tag.
    pub(crate) fn any(&mut self) -> Result<Element<'a>> {
        let header = header(self.rest)?;
        let (length, marks) = match header.length {
            Some(length) => (length, 0),
            None => (indefinite_length(&self.rest[header.size..])?, 2),
        };
        let end = header.size + length;
        let content = self
            .rest
            .get(header.size..end)
            .ok_or(ReadError::Truncated)?;
        let total = end + marks;
        let (raw, rest) = self.rest.split_at(total);
        self.rest = rest;
        Ok(Element {
            tag: header.tag,
            raw,
            content,
            indefinite: header.length.is_none(),
        })
    }

    /// Reads the next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8, what: &'static str) -> Result<Element<'a>> {
        if self.peek() != Some(tag) {
            return Err(ReadError::Unexpected { what });
        }
        self.any()
    }

    /// Reads the next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>> {
        if self.peek() == Some(tag) {
            self.any().map(Some)
        } else {
            Ok(None)
        }
    }

    pub(crate) fn sequence(&mut self, what: &'static str) -> Result<Reader<'a>> {
        Ok(self.expect(tag::SEQUENCE, what)?.inside())
    }

    /// Reads a serial number in the form of [`serial`].
    pub(crate) fn serial(&mut self, what: &'static str) -> Result<&'a [u8]> {
        let element = self.expect(tag::INTEGER, what)?;
        if element.content.is_empty() {
            return Err(malformed(what));
        }
        Ok(serial(element.content))
    }

    /// Reads a non-negative number in the form of [`strip_zeros`]. Zero has no bytes.
    pub(crate) fn integer(&mut self, what: &'static str) -> Result<&'a [u8]> {
        let element = self.expect(tag::INTEGER, what)?;
        if element.content.is_empty() {
            return Err(malformed(what));
        }
        Ok(strip_zeros(element.content))
    }

    /// Reads an octet string, in one piece or in segments.
    pub(crate) fn octet_string(&mut self, what: &'static str) -> Result<Cow<'a, [u8]>> {
        let element = self.any()?;
        if element.tag & !tag::CONSTRUCTED != tag::OCTET_STRING {
            return Err(ReadError::Unexpected { what });
        }
        element.octets()
    }

    /// Checks that nothing is left.
    pub(crate) fn end(&self, what: &'static str) -> Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(ReadError::Trailing {
            what,
            count: self.rest.len(),
        })
    }
}

fn header(bytes: &[u8]) -> Result<Header> {
    let mut octets = bytes.iter().copied();
    let mut next = || octets.next().ok_or(ReadError::Truncated);
    let tag = next()?;
    let mut size = 2;
    if tag & 0x1f == 0x1f {
        // A tag number above 30 continues in base 128. No structure read here has a tag number of more than 4 octets.
        let mut more = true;
        while more {
            if size > 5 {
                return Err(malformed("a tag"));
            }
            more = next()? & 0x80 != 0;
            size += 1;
        }
    }
    let first = next()?;
    let length = match first {
        0..0x80 => Some(usize::from(first)),
        0x80 if tag & tag::CONSTRUCTED == 0 => return Err(malformed("a length")),
        0x80 => None,
        _ => {
            let count = first & 0x7f;
            let mut length = 0_usize;
            for _ in 0..count {
                if length >> 40 != 0 {
                    return Err(malformed("a length"));
                }
                length = length << 8 | usize::from(next()?);
            }
            size += usize::from(count);
            Some(length)
        }
    };
    Ok(Header { tag, size, length })
}

/// The number of bytes before the end-of-contents octets that close this level.
fn indefinite_length(bytes: &[u8]) -> Result<usize> {
    let mut open = 1_usize;
    let mut at = 0_usize;
    loop {
        let rest = bytes.get(at..).ok_or(ReadError::Truncated)?;
        let header = header(rest)?;
        if header.tag == 0 {
            if header.length != Some(0) {
                return Err(malformed("an end-of-contents mark"));
            }
            open -= 1;
            if open == 0 {
                return Ok(at);
            }
        }
        at += header.size + header.length.unwrap_or(0);
        if header.length.is_none() {
            open += 1;
            if open > Limits::SIGNATURE.depth {
                return Err(ReadError::TooDeep {
                    limit: Limits::SIGNATURE.depth,
                });
            }
        }
    }
}

/// Checks that `bytes` is one well-formed element within the limits, with nothing after it.
pub(crate) fn check(bytes: &[u8], limits: &Limits, what: &'static str) -> Result<()> {
    let length = check_first(bytes, limits)?;
    Reader::new(&bytes[length..]).end(what)
}

/// The largest number of zero bytes after an element.
const MAX_PADDING_BYTES: usize = 1 << 20;

/// Checks an element that may be followed by zero bytes, like a signature in the space that a PDF reserves for it.
/// Returns the length of the element.
pub(crate) fn check_padded(bytes: &[u8], limits: &Limits, what: &'static str) -> Result<usize> {
    let length = check_first(bytes, limits)?;
    let rest = &bytes[length..];
    if rest.len() > MAX_PADDING_BYTES || rest.iter().any(|byte| *byte != 0) {
        Reader::new(rest).end(what)?;
    }
    Ok(length)
}

/// Checks the first element of `bytes` and returns its length.
fn check_first(bytes: &[u8], limits: &Limits) -> Result<usize> {
    if bytes.is_empty() {
        return Err(ReadError::Empty);
    }
    if bytes.len() > limits.size {
        return Err(ReadError::TooLarge { limit: limits.size });
    }
    // The end of each open element, and true if an end-of-contents mark must close it.
    let mut open: Vec<(usize, bool)> = Vec::new();
    let mut at = 0;
    let mut elements = 0;
    loop {
        while let Some(&(end, marked)) = open.last()
            && at == end
        {
            if marked {
                return Err(ReadError::Truncated);
            }
            open.pop();
        }
        if open.is_empty() && at > 0 {
            break;
        }
        let bound = open.last().map_or(bytes.len(), |(end, _)| *end);
        let header = header(&bytes[at..bound])?;
        if header.tag == 0 {
            match (open.last(), header.length) {
                (Some((_, true)), Some(0)) => {
                    open.pop();
                    at += header.size;
                    if open.is_empty() {
                        break;
                    }
                    continue;
                }
                _ => return Err(malformed("an end-of-contents mark")),
            }
        }
        elements += 1;
        if elements > limits.elements {
            return Err(ReadError::TooMany {
                what: "elements",
                limit: limits.elements,
            });
        }
        at += header.size;
        let end = header.length.map_or(bound, |length| at + length);
        if end > bound {
            return Err(ReadError::Truncated);
        }
        if header.tag & tag::CONSTRUCTED == 0 {
            at = end;
            if open.is_empty() {
                break;
            }
            continue;
        }
        if open.len() >= limits.depth {
            return Err(ReadError::TooDeep {
                limit: limits.depth,
            });
        }
        open.push((end, header.length.is_none()));
    }
    Ok(at)
}

/// Encodes an element with shortest definite lengths and unsegmented octet strings, as in DER. Sets are not sorted.
pub(crate) fn definite(element: &Element<'_>) -> Result<Vec<u8>> {
    definite_at(element, 0)
}

fn definite_at(element: &Element<'_>, depth: usize) -> Result<Vec<u8>> {
    if depth > Limits::SIGNATURE.depth {
        return Err(ReadError::TooDeep {
            limit: Limits::SIGNATURE.depth,
        });
    }
    if !element.constructed() {
        return Ok(write::element(element.tag, element.content));
    }
    if element.tag == tag::OCTET_STRING | tag::CONSTRUCTED {
        return Ok(write::element(tag::OCTET_STRING, &element.octets()?));
    }
    let mut content = Vec::with_capacity(element.content.len());
    let mut reader = element.inside();
    while !reader.is_empty() {
        content.extend(definite_at(&reader.any()?, depth + 1)?);
    }
    Ok(write::element(element.tag, &content))
}

#[cfg(test)]
mod tests;
