//! A time as an exchange wrote it: compared as an instant, stored as its text.

use std::cmp::Ordering;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::time::Timestamp;

#[derive(Clone, Debug)]
pub struct Moment {
    text: String,
    /// Nanoseconds since 1970: exchanges write seven digits of a second, one more than the store keeps.
    nanos: i128,
}

impl Moment {
    /// Reads RFC 3339 with any offset.
    pub fn parse(text: &str) -> Option<Self> {
        let nanos = text.parse::<jiff::Timestamp>().ok()?.as_nanosecond();
        let text = text.to_owned();
        Some(Self { text, nanos })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// True for a time from 1970 to 2200.
    pub fn is_plausible(&self) -> bool {
        (0..7_258_118_400_000_000_000).contains(&self.nanos)
    }

    /// In whole microseconds, rounded down.
    pub fn timestamp(&self) -> Timestamp {
        let micros = self.nanos.div_euclid(1000);
        Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// Milliseconds from `earlier` to this moment; zero when `earlier` is later.
    pub fn millis_since(&self, earlier: &Self) -> i64 {
        let millis = (self.nanos - earlier.nanos) / 1_000_000;
        i64::try_from(millis.max(0)).unwrap_or(i64::MAX)
    }
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self {
            text: at.to_string(),
            nanos: i128::from(at.micros()) * 1000,
        }
    }
}

impl PartialEq for Moment {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Moment {}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a time"))
    }
}
