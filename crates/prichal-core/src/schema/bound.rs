//! Bounds of single members: lengths of texts, sizes of numbers and of lists.

use serde_json::Value;

use super::{Fault, Problem};

/// A bound of a member's value.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    pub limit: Limit,
    pub wording: Wording,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The maximum number of characters of a text.
    Chars(usize),
    /// The smallest and the greatest number.
    Numbers(i64, i64),
    /// The maximum number of elements of a list.
    Items(usize),
}

/// The sentence about a value at this path that exceeds the limit. A number is named behind it.
pub type Wording = fn(&str, Limit) -> String;

impl Bound {
    pub(super) const fn new(limit: Limit) -> Self {
        Self {
            limit,
            wording: sentence,
        }
    }

    /// The fault of a value, which has its field's type.
    pub fn check(self, path: &str, value: &Value) -> Result<(), Fault> {
        if self.limit.admits(value) {
            return Ok(());
        }
        let mut message = (self.wording)(path, self.limit);
        if value.is_number() {
            message = format!("{}, not {value}.", message.trim_end_matches('.'));
        }
        let problem = Problem::Exceeds(self.limit, message);
        Err(Fault::new(path, problem))
    }
}

impl Limit {
    fn admits(self, value: &Value) -> bool {
        match self {
            Self::Chars(max) => value
                .as_str()
                .is_none_or(|text| text.chars().count() <= max),
            Self::Numbers(min, max) => value
                .as_i64()
                .is_none_or(|number| (min..=max).contains(&number)),
            Self::Items(max) => value.as_array().is_none_or(|items| items.len() <= max),
        }
    }
}

fn sentence(path: &str, limit: Limit) -> String {
    match limit {
        Limit::Chars(max) => format!("The {path} is longer than {max} characters."),
        Limit::Numbers(min, i64::MAX) => format!("The {path} must be at least {min}."),
        Limit::Numbers(min, max) => format!("The {path} must be {min} to {max}."),
        Limit::Items(max) => format!("The {path} has more than {max} elements."),
    }
}
