//! Time as Prichal keeps it: whole microseconds UTC, the finest unit both engines store.

use std::{fmt, ops, time::Duration};

use jiff::{
    fmt::{StdFmtWrite, temporal::DateTimePrinter},
    tz::Offset,
};

use crate::schema::Form;

/// A moment, in whole microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// From `earlier` to this moment; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// UTC with a `Z`, and two digits of a second's fraction
    /// (`docs/contracts/era.md §2`).
    pub fn to_centiseconds(self) -> String {
        self.with_fraction(2)
    }

    /// UTC with a `Z`, and three digits of a second's fraction (`docs/contracts/era.md §9`).
    pub fn to_millis(self) -> String {
        self.with_fraction(3)
    }

    fn with_fraction(self, digits: u32) -> String {
        let whole =
            jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let fraction = self.0.rem_euclid(1_000_000) / 10_i64.pow(6 - digits);
        let width = usize::try_from(digits).unwrap_or(0);
        format!(
            "{}.{fraction:0width$}Z",
            whole.strftime("%Y-%m-%dT%H:%M:%S")
        )
    }

    /// Reads RFC 3339 with any offset. Digits past the microsecond are cut.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>()
            .ok()
            .map(|t| Self(t.as_microsecond()))
    }
}

impl ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)),
        )
    }
}

impl ops::Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, wait: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)),
        )
    }
}

impl fmt::Display for Timestamp {
    /// UTC with an explicit `+00:00`, and the fraction of a second without its trailing zeros
    /// (`docs/contracts/kontur.md §1`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(at) = jiff::Timestamp::from_microsecond(self.0) else {
            return f.write_str("0001-01-01T00:00:00+00:00");
        };
        DateTimePrinter::new()
            .print_timestamp_with_offset(&at, Offset::UTC, StdFmtWrite(f))
            .map_err(|_| fmt::Error)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The longest duration of a setting: ten years.
const MAX_SETTING: Duration = Duration::from_hours(10 * 366 * 24);

/// A setting's duration: a whole number and `ms`, `s`, `m` or `h`, more than zero and at most ten years.
pub fn parse_setting(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..at].parse().ok()?;
    let millis = match &text[at..] {
        "ms" => number,
        "s" => number.checked_mul(1000)?,
        "m" => number.checked_mul(60_000)?,
        "h" => number.checked_mul(3_600_000)?,
        _ => return None,
    };
    let duration = Duration::from_millis(millis);
    (!duration.is_zero() && duration <= MAX_SETTING).then_some(duration)
}

/// The shortest text that [`parse_setting`] reads as this duration. Fractions of a millisecond are dropped.
pub fn setting_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
    let (size, unit) = units
        .into_iter()
        .find(|(size, _)| millis.is_multiple_of(*size))
        .unwrap_or((1, "ms"));
    format!("{}{unit}", millis / size)
}

/// The form of spans.
pub static SPAN: Form = Form::new(
    "a duration such as 00:01:00",
    r"^([0-9]{1,8}\.)?([01]?[0-9]|2[0-3]):[0-5]?[0-9]:[0-5]?[0-9](\.[0-9]{1,7})?$",
    |text| parse_time_span(text).is_some(),
);

/// Reads `hh:mm:ss` or `d.hh:mm:ss`, either with a fraction of up to seven digits
/// (`docs/contracts/kontur.md §1`). Negative spans are refused, because no field has one.
pub fn parse_time_span(text: &str) -> Option<Duration> {
    let (head, seconds) = text.rsplit_once(':')?;
    let (head, minutes) = head.rsplit_once(':')?;
    let (days, hours) = match head.split_once('.') {
        Some((days, hours)) => (number(days, 8)?, hours),
        None => (0, head),
    };
    let (seconds, fraction) = match seconds.split_once('.') {
        Some((seconds, digits)) => (
            seconds,
            (digits.len() <= 7).then(|| number(digits, 7)).flatten()?
                * 10u64.pow(9 - u32::try_from(digits.len()).ok()?),
        ),
        None => (seconds, 0),
    };
    let (hours, minutes, seconds) = (number(hours, 2)?, number(minutes, 2)?, number(seconds, 2)?);
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds;
    Some(Duration::new(total, u32::try_from(fraction).ok()?))
}

fn number(digits: &str, most: usize) -> Option<u64> {
    let plain =
        !digits.is_empty() && digits.len() <= most && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_with_an_offset_and_no_idle_zeros() {
        let at = |text: &str| Timestamp::parse(text).unwrap_or_default().to_string();
        assert_eq!(
            at("2021-03-12T15:07:34.312338+00:00"),
            "2021-03-12T15:07:34.312338+00:00"
        );
        assert_eq!(
            at("2021-03-12T15:07:34.31Z"),
            "2021-03-12T15:07:34.31+00:00"
        );
        assert_eq!(at("2021-03-12T18:07:34+03:00"), "2021-03-12T15:07:34+00:00");
        assert_eq!(
            at("2022-03-22T10:38:35.6152798+00:00"),
            "2022-03-22T10:38:35.615279+00:00"
        );
    }

    #[test]
    fn time_spans() {
        let check = |text: &str, seconds: Option<f64>| {
            assert_eq!(
                parse_time_span(text).map(|d| d.as_secs_f64()),
                seconds,
                "{text}"
            );
        };
        check("00:05:00", Some(300.0));
        check("1.02:03:04", Some(93_784.0));
        check("00:00:01.5", Some(1.5));
        check("00:00:00.0000001", Some(0.000_000_1));
        for bad in [
            "",
            "5",
            "05:00",
            "24:00:00",
            "00:60:00",
            "-00:05:00",
            "a.00:00:00",
            "00:00:00.",
            "00:00:00.12345678",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn settings_have_a_unit() {
        assert_eq!(parse_setting("30s"), Some(Duration::from_secs(30)));
        assert_eq!(parse_setting("5m"), Some(Duration::from_mins(5)));
        assert_eq!(parse_setting("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_setting("87840h"), Some(MAX_SETTING));
        for bad in [
            "",
            "30",
            "0s",
            "-1s",
            "1.5s",
            "1d",
            "s",
            "99999999999999999999h",
            "999999999h",
            "87841h",
        ] {
            assert_eq!(parse_setting(bad), None, "{bad}");
        }
        for text in ["30s", "5m", "250ms", "87840h", "90s", "1500ms"] {
            assert_eq!(parse_setting(text).map(setting_text).as_deref(), Some(text));
        }
        assert_eq!(
            parse_setting("120s").map(setting_text).as_deref(),
            Some("2m")
        );
    }
}
