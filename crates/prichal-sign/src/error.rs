//! Errors of reading.

use crate::reason::word;

/// The reason for which a signature, certificate, list, response or token is unreadable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("the input is empty")]
    Empty,
    #[error("the input is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the nesting is deeper than {limit} levels")]
    TooDeep { limit: usize },
    #[error("there are more than {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
    #[error("the input ends inside an element")]
    Truncated,
    #[error("{count} {} after the end of {what}", word(*count, "byte", "bytes"))]
    Trailing { what: &'static str, count: usize },
    #[error("{what} is missing or has another type")]
    Unexpected { what: &'static str },
    #[error("{what} is malformed")]
    Malformed { what: &'static str },
    #[error("the input is neither DER, BER, PEM nor base64")]
    NoKnownForm,
    #[error("the content type is {found}, not {expected}")]
    ContentType {
        expected: &'static str,
        found: String,
    },
}

pub(crate) type Result<T> = std::result::Result<T, ReadError>;

pub(crate) const fn malformed(what: &'static str) -> ReadError {
    ReadError::Malformed { what }
}
