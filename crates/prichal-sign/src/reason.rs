//! The reasons in a report.

use crate::error::ReadError;
use crate::key::KeyError;
use crate::scheme::SchemeError;
use std::fmt;

/// A reason. Those of this crate are made by [`reason!`] and of its errors only, whose texts are literals: so a program
/// can have words in other languages for each of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reason(String);

impl Reason {
    /// The reason with this text. Everything but [`reason!`] has a literal for it.
    pub(crate) const fn of(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! of_errors {
    ($($error:ty),*) => {
        $(impl From<&$error> for Reason {
            fn from(error: &$error) -> Self {
                Self(error.to_string())
            }
        })*
    };
}

of_errors!(ReadError, KeyError, SchemeError);

/// Makes a reason of a literal with its arguments.
macro_rules! reason {
    ($text:literal $(, $argument:expr)* $(,)?) => {
        $crate::reason::Reason::of(format!($text $(, $argument)*))
    };
}
pub(crate) use reason;

/// Makes a reason that tells a number of things: the literal for one of them, or the one for any other number.
macro_rules! plural {
    ($count:ident, $one:literal, $many:literal) => {
        if $count == 1 {
            $crate::reason::reason!($one)
        } else {
            $crate::reason::reason!($many)
        }
    };
}
pub(crate) use plural;

/// The word for a number of things.
pub(crate) const fn word<'a>(count: usize, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}
