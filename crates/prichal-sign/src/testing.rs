//! Builders of keys, certificates, revocation data, time-stamps and signatures for tests and demonstrations, valid and
//! broken. Built only with the feature `testing`. A key is derived from a word and is as secret as the word; those of
//! tests are public.

mod authority;
mod certificate;
pub mod der;
mod key;
mod revocation;
mod signature;
mod time_stamp;

pub use authority::{Authority, NOW};
pub use certificate::{Draft, Identity, name};
pub use key::{Key, Verifier};
pub use revocation::{CrlDraft, OcspAnswerDraft, OcspDraft};
pub use signature::{Cms, Signer, attribute, indefinite};
pub use time_stamp::TimeStamp;

use crate::der::{tag, write};
use crate::time::Time;

/// `GeneralizedTime`, which every reader accepts in place of `UTCTime`.
pub(crate) fn generalized(time: Time) -> Vec<u8> {
    let digits: String = time
        .to_string()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    write::element(tag::GENERALIZED_TIME, format!("{digits}Z").as_bytes())
}

/// The form of time that RFC 5280 §4.1.2.5 requires.
pub(crate) fn x509_time(time: Time) -> Vec<u8> {
    let text = time.to_string();
    let year: i32 = text.get(..4).and_then(|y| y.parse().ok()).unwrap_or(2050);
    if year >= 2050 {
        return generalized(time);
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).skip(2).collect();
    write::element(tag::UTC_TIME, format!("{digits}Z").as_bytes())
}

/// A bit string of whole octets.
pub(crate) fn bits(bytes: &[u8]) -> Vec<u8> {
    write::element(tag::BIT_STRING, &[&[0], bytes].concat())
}

pub(crate) fn explicit(number: u8, content: &[u8]) -> Vec<u8> {
    write::element(tag::context_constructed(number), content)
}

/// One extension.
pub fn extension(oid: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag = if critical {
        write::element(tag::BOOLEAN, &[0xff])
    } else {
        Vec::new()
    };
    write::sequence(&[&write::oid(oid), &flag, &write::octets(value)])
}
