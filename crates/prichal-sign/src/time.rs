//! Points in time, in whole seconds. This crate reads no clock.

use crate::der::{Element, Reader, tag};
use crate::error::{ReadError, Result, malformed};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Seconds since 1970-01-01T00:00:00Z. Displayed as RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

impl Time {
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    pub const fn unix(self) -> i64 {
        self.0
    }

    /// Parses RFC 3339, or a number of Unix seconds.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(seconds) = text.parse() {
            return Some(Self(seconds));
        }
        let stamp: jiff::Timestamp = text.parse().ok()?;
        Some(Self(stamp.as_second()))
    }

    #[must_use]
    pub const fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Reads `Time` of X.509: `UTCTime` up to 2049, `GeneralizedTime` later (RFC 5280 §4.1.2.5).
    pub(crate) fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self> {
        match reader.peek() {
            Some(tag::UTC_TIME | tag::GENERALIZED_TIME) => Self::from_element(&reader.any()?),
            _ => Err(ReadError::Unexpected { what }),
        }
    }

    pub(crate) fn read_optional(reader: &mut Reader<'_>) -> Result<Option<Self>> {
        match reader.peek() {
            Some(tag::UTC_TIME | tag::GENERALIZED_TIME) => {
                Self::from_element(&reader.any()?).map(Some)
            }
            _ => Ok(None),
        }
    }

    pub(crate) fn from_element(element: &Element<'_>) -> Result<Self> {
        let bad = || malformed("a time");
        let text = element.content.strip_suffix(b"Z").ok_or_else(bad)?;
        let (year, rest) = if element.tag == tag::UTC_TIME {
            let (year, rest) = two_digits(text).ok_or_else(bad)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        } else {
            let (century, rest) = two_digits(text).ok_or_else(bad)?;
            let (year, rest) = two_digits(rest).ok_or_else(bad)?;
            (century * 100 + year, rest)
        };
        let (month, rest) = two_digits(rest).ok_or_else(bad)?;
        let (day, rest) = two_digits(rest).ok_or_else(bad)?;
        let (hour, rest) = two_digits(rest).ok_or_else(bad)?;
        let (minute, rest) = two_digits(rest).ok_or_else(bad)?;
        // BER allows the seconds to be absent. The fraction of a time-stamp's seconds is dropped.
        let (second, rest) = if rest.is_empty() {
            (0, rest)
        } else {
            two_digits(rest).ok_or_else(bad)?
        };
        let fraction = rest.is_empty()
            || (element.tag == tag::GENERALIZED_TIME
                && rest.len() > 1
                && rest[0] == b'.'
                && rest[1..].iter().all(u8::is_ascii_digit));
        let length = days_of_month(year, month).ok_or_else(bad)?;
        if !fraction || day < 1 || day > length || hour > 23 || minute > 59 || second > 60 {
            return Err(bad());
        }
        let days = days_before(year, month) + day - 1;
        Ok(Self(((days * 24 + hour) * 60 + minute) * 60 + second))
    }
}

fn two_digits(text: &[u8]) -> Option<(i64, &[u8])> {
    match text {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', rest @ ..] => {
            Some((i64::from(a - b'0') * 10 + i64::from(b - b'0'), rest))
        }
        _ => None,
    }
}

fn leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_of_month(year: i64, month: i64) -> Option<i64> {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap(year) { 29 } else { 28 }),
        _ => None,
    }
}

/// The number of days from 1970-01-01 to the first of the month.
fn days_before(year: i64, month: i64) -> i64 {
    let past = year - 1;
    let years = past * 365 + past / 4 - past / 100 + past / 400;
    let months: i64 = (1..month).filter_map(|m| days_of_month(year, m)).sum();
    years + months - 719_162
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(stamp) => write!(f, "{stamp}"),
            // The time is out of the range of the calendar.
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an RFC 3339 time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::write;

    fn read(tag: u8, text: &str) -> Option<String> {
        let bytes = write::element(tag, text.as_bytes());
        let time = Time::read(&mut Reader::new(&bytes), "a time").ok()?;
        Some(time.to_string())
    }

    #[test]
    fn both_forms_of_time_are_read() {
        for (tag, text, expected) in [
            (tag::UTC_TIME, "700101000000Z", "1970-01-01T00:00:00Z"),
            (tag::UTC_TIME, "491231235959Z", "2049-12-31T23:59:59Z"),
            (tag::UTC_TIME, "500101000000Z", "1950-01-01T00:00:00Z"),
            (tag::UTC_TIME, "2402291200Z", "2024-02-29T12:00:00Z"),
            (
                tag::GENERALIZED_TIME,
                "20250727112233Z",
                "2025-07-27T11:22:33Z",
            ),
            (
                tag::GENERALIZED_TIME,
                "20250727112233.75Z",
                "2025-07-27T11:22:33Z",
            ),
            (tag::GENERALIZED_TIME, "99991231235959Z", "253402300799"),
        ] {
            let shown = read(tag, text).unwrap();
            let same = shown == expected || text.starts_with("9999");
            assert!(same, "{text}: {shown}");
        }
    }

    #[test]
    fn impossible_times_are_refused() {
        for text in [
            "20230229000000Z",
            "20231301000000Z",
            "20230100000000Z",
            "20230101240000Z",
            "20230101000000",
            "20230101000000+0000",
            "20230101000000.Z",
            "2023010100000xZ",
            "Z",
        ] {
            assert_eq!(read(tag::GENERALIZED_TIME, text), None, "{text}");
        }
    }

    #[test]
    fn text_is_rfc_3339_or_seconds() {
        let expected = Some(Time::from_unix(1_750_000_000));
        assert_eq!(Time::parse("1750000000"), expected);
        assert_eq!(Time::parse("2025-06-15T15:06:40Z"), expected);
        assert_eq!(Time::parse("2025-06-15T20:06:40+05:00"), expected);
        assert_eq!(Time::parse("yesterday"), None);
    }
}
