//! The forms of input files: DER or BER, PEM (RFC 7468), bare base64.

use crate::error::{ReadError, Result};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::borrow::Cow;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";

/// Decodes the single value of the input, at most `size` bytes. The value itself is not parsed.
pub fn one(input: &[u8], size: usize) -> Result<Cow<'_, [u8]>> {
    bound(input, size)?;
    if !is_text(input) {
        return Ok(Cow::Borrowed(input));
    }
    let text = trim(input);
    if find(text, BEGIN).is_none() {
        return base64(text).map(Cow::Owned);
    }
    let (block, rest) = block(text)?;
    if !trim(rest).is_empty() {
        return Err(ReadError::Trailing {
            what: "the PEM block",
            count: trim(rest).len(),
        });
    }
    Ok(Cow::Owned(block))
}

/// Decodes all PEM blocks of the input, or its single value. At most `max` values.
pub(crate) fn all(input: &[u8], size: usize, max: usize) -> Result<Vec<Cow<'_, [u8]>>> {
    bound(input, size)?;
    if !is_text(input) || find(input, BEGIN).is_none() {
        return Ok(vec![one(input, size)?]);
    }
    let mut blocks = Vec::new();
    let mut rest = input;
    while find(rest, BEGIN).is_some() {
        if blocks.len() >= max {
            return Err(ReadError::TooMany {
                what: "PEM blocks",
                limit: max,
            });
        }
        let (decoded, after) = block(rest)?;
        blocks.push(Cow::Owned(decoded));
        rest = after;
    }
    Ok(blocks)
}

fn bound(input: &[u8], size: usize) -> Result<()> {
    // Base64 takes four characters and line breaks for three bytes.
    let max = if is_text(input) { size / 2 * 3 } else { size };
    if input.len() > max {
        return Err(ReadError::TooLarge { limit: size });
    }
    if trim(input).is_empty() {
        return Err(ReadError::Empty);
    }
    Ok(())
}

/// True for text. DER and BER values here begin with a SEQUENCE, whose tag is the digit 0 in ASCII, followed by a
/// byte that base64 of such a value never has there.
fn is_text(input: &[u8]) -> bool {
    let head = trim(input);
    let head = &head[..head.len().min(64)];
    head.iter()
        .all(|b| matches!(b, b' '..=b'~' | b'\n' | b'\r' | b'\t'))
}

fn trim(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(text)
        .trim_ascii()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// The first PEM block and the rest of the text. Text before the block is commentary (RFC 7468 §2).
fn block(text: &[u8]) -> Result<(Vec<u8>, &[u8])> {
    let begin = find(text, BEGIN).ok_or(ReadError::NoKnownForm)?;
    let after_begin = &text[begin + BEGIN.len()..];
    let label_length = find(after_begin, DASHES).ok_or(ReadError::NoKnownForm)?;
    let label = &after_begin[..label_length];
    if label.len() > 64 || label.contains(&b'\n') {
        return Err(ReadError::NoKnownForm);
    }
    let body = &after_begin[label_length + DASHES.len()..];
    let end = find(body, DASHES).ok_or(ReadError::Truncated)?;
    let closing = [b"-----END ", label, DASHES].concat();
    let rest = body[end..].strip_prefix(closing.as_slice());
    Ok((base64(&body[..end])?, rest.ok_or(ReadError::NoKnownForm)?))
}

fn base64(text: &[u8]) -> Result<Vec<u8>> {
    let dense: Vec<u8> = text
        .iter()
        .copied()
        .filter(|b| !b.is_ascii_whitespace())
        .collect();
    BASE64.decode(dense).map_err(|_| ReadError::NoKnownForm)
}

/// Standard base64, for requests and reports.
pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DER: [u8; 5] = [0x30, 0x03, 0x02, 0x01, 0xf5];

    #[test]
    fn the_three_forms_give_the_same_bytes() {
        for input in [
            DER.to_vec(),
            b"MAMCAfU=".to_vec(),
            b" MAMC\r\nAfU \n".to_vec(),
            b"-----BEGIN CMS-----\nMAMCAfU=\n-----END CMS-----\n".to_vec(),
            b"\xef\xbb\xbfsubject=x\n-----BEGIN PKCS7-----\r\nMAMC\r\nAfU=\r\n-----END PKCS7-----"
                .to_vec(),
        ] {
            assert_eq!(&*one(&input, 100).unwrap(), DER);
        }
    }

    #[test]
    fn broken_text_is_refused() {
        for input in [
            "",
            " \n",
            "hello, world",
            "-----BEGIN CMS-----\nMAMCAfU=\n",
            "-----BEGIN CMS-----\nMAMCAfU=\n-----END PKCS7-----",
            "-----BEGIN CMS-----\nMAMCAfU=\n-----END CMS-----\nmore",
            "-----BEGIN CMS-----\nMAM!\n-----END CMS-----",
        ] {
            assert!(one(input.as_bytes(), 100).is_err(), "{input}");
        }
    }

    #[test]
    fn a_file_may_hold_several_blocks() {
        let block = "-----BEGIN X-----\nMAMCAfU=\n-----END X-----\n";
        assert_eq!(all(block.repeat(3).as_bytes(), 1000, 3).unwrap().len(), 3);
        assert!(all(block.repeat(4).as_bytes(), 1000, 3).is_err());
    }
}
