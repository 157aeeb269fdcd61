//! Times as people read them: in the workspace's zone, with UTC at hand.

use jiff::tz::TimeZone;
use prichal_core::time::Timestamp;

use crate::{
    language::Language,
    words::{Facts, fill},
};

/// A time on a page. `templates/parts.html` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// RFC 3339, for programs.
    pub(crate) machine: String,
    /// UTC, for people.
    pub(crate) utc: String,
    /// Day and time in the zone, such as `27.11.2026 15:04:05`.
    pub(crate) local: String,
    /// The time of the day in the zone, such as `15:04:05`.
    pub(crate) time: String,
    /// The day in the zone, such as `27.11.2026`.
    pub(crate) day: String,
}

impl Moment {
    pub(crate) fn new(at: Timestamp, zone: &TimeZone) -> Self {
        let at = jiff::Timestamp::from_microsecond(at.micros()).unwrap_or_default();
        let local = at.to_zoned_datetime(zone.clone());
        let utc = at.to_zoned_datetime(TimeZone::UTC);
        Self {
            machine: at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
            utc: utc.strftime("%d.%m.%Y %H:%M:%S%.3f UTC").to_string(),
            local: local.strftime("%d.%m.%Y %H:%M:%S").to_string(),
            time: local.strftime("%H:%M:%S").to_string(),
            day: local.strftime("%d.%m.%Y").to_string(),
        }
    }

    /// The time of an answer of the API; `None` if it is not RFC 3339.
    pub(crate) fn parse(text: &str, zone: &TimeZone) -> Option<Self> {
        Timestamp::parse(text).map(|at| Self::new(at, zone))
    }
}

/// The value of an `<input type="datetime-local">` in the zone, as RFC 3339. A time with its offset stays as it is. Of a
/// time that the zone has twice, the first is meant (RFC 5545 §3.3.5).
pub(crate) fn from_input(text: &str, zone: &TimeZone) -> Option<String> {
    if let Some(at) = Timestamp::parse(text) {
        return Some(at.to_millis());
    }
    let local: jiff::civil::DateTime = text.parse().ok()?;
    let at = zone.to_ambiguous_timestamp(local).compatible().ok()?;
    Some(Timestamp::from_micros(at.as_microsecond()).to_millis())
}

/// The value of an `<input type="datetime-local">` for a parameter: a time with its offset is turned into the zone's. Another
/// text stays as it is.
pub(crate) fn to_input(text: &str, zone: &TimeZone) -> String {
    let at = Timestamp::parse(text);
    let at = at.and_then(|at| jiff::Timestamp::from_microsecond(at.micros()).ok());
    at.map_or_else(
        || text.to_owned(),
        |at| {
            let local = at.to_zoned_datetime(zone.clone());
            local.strftime("%Y-%m-%dT%H:%M:%S").to_string()
        },
    )
}

/// The difference between a zone and UTC at a time, such as `UTC+5` or `UTC-3:30`.
pub(crate) fn offset(at: Timestamp, zone: &TimeZone) -> String {
    let at = jiff::Timestamp::from_microsecond(at.micros()).unwrap_or_default();
    let seconds = zone.to_offset(at).seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
    match (hours, minutes) {
        (0, 0) => "UTC".to_owned(),
        (_, 0) => format!("UTC{sign}{hours}"),
        _ => format!("UTC{sign}{hours}:{minutes:02}"),
    }
}

/// A span of time in short, such as `350 ms`, `12.5 s`, `3:07`, `2:05:09`.
pub(crate) fn span(ms: i64, language: Language) -> String {
    let w = Facts::of(language);
    let ms = ms.max(0);
    let seconds = ms / 1000;
    match seconds {
        0 => fill(w.milliseconds, &[&ms]),
        1..60 => fill(w.seconds, &[&format!("{seconds}.{}", ms % 1000 / 100)]),
        60..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!(
            "{}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        ),
    }
}

/// A size in short, such as `3.2 GB`.
pub(crate) fn bytes(size: f64, language: Language) -> String {
    let w = Facts::of(language);
    let (mut size, mut unit) = (size, 0);
    let units = [w.bytes, w.kilobytes, w.megabytes, w.gigabytes, w.terabytes];
    while size >= 1000.0 && unit + 1 < units.len() {
        size /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0);
    format!("{size:.digits$} {}", units[unit])
}

/// A span of time as a clock shows it, such as `0:07` or `2:05:09`.
pub(crate) fn clock(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_the_zone() {
        let zone = TimeZone::get("Asia/Almaty").expect("a zone");
        let at = Timestamp::parse("2026-11-27T20:04:05.678Z").expect("a time");
        let moment = Moment::new(at, &zone);
        assert_eq!(moment.machine, "2026-11-27T20:04:05.678Z");
        assert_eq!(moment.utc, "27.11.2026 20:04:05.678 UTC");
        assert_eq!(moment.local, "28.11.2026 01:04:05");
        assert_eq!((&*moment.time, &*moment.day), ("01:04:05", "28.11.2026"));
    }

    #[test]
    fn times_of_inputs_are_read() {
        let zone = TimeZone::get("Asia/Almaty").expect("a zone");
        for (text, read) in [
            ("2026-11-27T20:04", Some("2026-11-27T15:04:00.000Z")),
            ("2026-11-27T20:04:05", Some("2026-11-27T15:04:05.000Z")),
            ("2026-11-27T20:04:05Z", Some("2026-11-27T20:04:05.000Z")),
            ("tomorrow", None),
            ("", None),
        ] {
            assert_eq!(from_input(text, &zone).as_deref(), read, "{text}");
        }
    }

    #[test]
    fn inputs_get_times_of_the_zone() {
        let zone = TimeZone::get("Asia/Almaty").expect("a zone");
        for (text, shown) in [
            ("2026-11-27T15:04:05.678Z", "2026-11-27T20:04:05"),
            ("2026-11-27T20:04", "2026-11-27T20:04"),
            ("tomorrow", "tomorrow"),
            ("", ""),
        ] {
            assert_eq!(to_input(text, &zone), shown, "{text}");
        }
    }

    #[test]
    fn zones_are_shown_by_their_offset() {
        for (zone, shown) in [
            ("UTC", "UTC"),
            ("Asia/Almaty", "UTC+5"),
            ("Asia/Kolkata", "UTC+5:30"),
            ("America/St_Johns", "UTC-3:30"),
        ] {
            let zone = TimeZone::get(zone).expect("a zone");
            let at = Timestamp::parse("2026-11-27T20:04:05Z").expect("a time");
            assert_eq!(offset(at, &zone), shown);
        }
    }

    #[test]
    fn sizes_are_short() {
        for (size, text) in [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (1500.0, "1.5 KB"),
            (50_197_323_776.0, "50.2 GB"),
        ] {
            assert_eq!(bytes(size, Language::En), text);
        }
    }

    #[test]
    fn clocks_have_two_digits() {
        for (ms, text) in [(-1, "0:00"), (7_900, "0:07"), (7_509_000, "2:05:09")] {
            assert_eq!(clock(ms), text);
        }
    }

    #[test]
    fn units_are_the_readers() {
        assert_eq!(span(350, Language::Ru), "350 мс");
        assert_eq!(span(12_540, Language::Kk), "12.5 с");
        assert_eq!(bytes(1500.0, Language::Ru), "1.5 КБ");
    }

    #[test]
    fn spans_are_short() {
        for (ms, text) in [
            (-5, "0 ms"),
            (350, "350 ms"),
            (12_540, "12.5 s"),
            (187_000, "3:07"),
            (7_509_000, "2:05:09"),
        ] {
            assert_eq!(span(ms, Language::En), text);
        }
    }
}
