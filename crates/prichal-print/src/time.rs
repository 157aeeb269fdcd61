//! Formatting of times.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// The offset from UTC of displayed times.
#[derive(Clone, Copy)]
pub(crate) struct Zone(Offset);

impl Zone {
    pub(crate) fn new(minutes: i16) -> Self {
        let seconds = i32::from(minutes) * 60;
        Self(Offset::from_seconds(seconds).unwrap_or(Offset::UTC))
    }

    /// Formats a date as `21.11.2026`. A time beyond the calendar is shown as its number.
    pub(crate) fn date(self, seconds: i64) -> String {
        match self.civil(seconds) {
            Some(at) => format!("{:02}.{:02}.{:04}", at.day(), at.month(), at.year()),
            None => seconds.to_string(),
        }
    }

    /// Formats a time as `21.11.2026 14:05:09 UTC+5`.
    pub(crate) fn moment(self, seconds: i64) -> String {
        let Some(at) = self.civil(seconds) else {
            return seconds.to_string();
        };
        let (hour, minute, second) = (at.hour(), at.minute(), at.second());
        format!(
            "{} {hour:02}:{minute:02}:{second:02} {}",
            self.date(seconds),
            self.name()
        )
    }

    /// The time in UTC, for PDF dates.
    pub(crate) fn utc(seconds: i64) -> Option<DateTime> {
        Self(Offset::UTC).civil(seconds)
    }

    fn civil(self, seconds: i64) -> Option<DateTime> {
        let at = Timestamp::from_second(seconds).ok()?;
        Some(self.0.to_datetime(at)).filter(|at| at.year() >= 0)
    }

    fn name(self) -> String {
        let minutes = self.0.seconds() / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        match (minutes.abs() / 60, minutes.abs() % 60) {
            (0, 0) => "UTC".to_owned(),
            (hours, 0) => format!("UTC{sign}{hours}"),
            (hours, rest) => format!("UTC{sign}{hours}:{rest:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_at_their_offset() {
        let at = 1_795_251_909;
        assert_eq!(Zone::new(300).moment(at), "21.11.2026 14:05:09 UTC+5");
        assert_eq!(Zone::new(0).moment(at), "21.11.2026 09:05:09 UTC");
        assert_eq!(Zone::new(-210).moment(at), "21.11.2026 05:35:09 UTC-3:30");
        assert_eq!(Zone::new(900).date(at), "22.11.2026");
    }

    #[test]
    fn impossible_times_are_shown_as_numbers() {
        assert_eq!(Zone::new(0).date(i64::MAX), i64::MAX.to_string());
        assert_eq!(Zone::new(i16::MIN).moment(i64::MIN), i64::MIN.to_string());
        assert!(Zone::utc(i64::MIN).is_none());
    }
}
