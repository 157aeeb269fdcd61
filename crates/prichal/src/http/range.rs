//! The `Range` header of a request for bytes (RFC 9110 §14).

use std::ops::Range;

use http::HeaderValue;

/// The requested part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The whole file, answered 200. Also for invalid headers and several ranges, which a server may ignore.
    Whole,
    /// This range, never empty and within the file, answered 206 with [`content_range`].
    Part(Range<u64>),
    /// A range outside the file, answered 416 with [`unsatisfied`].
    Nothing,
}

/// Reads the header for a file of `size` bytes.
pub fn wanted(header: Option<&HeaderValue>, size: u64) -> Wanted {
    header
        .and_then(|value| value.to_str().ok())
        .and_then(|text| read(text, size))
        .unwrap_or(Wanted::Whole)
}

/// `Content-Range` of a 206.
pub fn content_range(part: &Range<u64>, size: u64) -> HeaderValue {
    let last = part.end.saturating_sub(1);
    header(format!("bytes {}-{last}/{size}", part.start))
}

/// `Content-Range` of a 416.
pub fn unsatisfied(size: u64) -> HeaderValue {
    header(format!("bytes */{size}"))
}

/// Parses the header; `None` if it is to be ignored.
fn read(text: &str, size: u64) -> Option<Wanted> {
    let (unit, ranges) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut ranges = ranges
        .split(',')
        .map(str::trim)
        .filter(|range| !range.is_empty());
    let (Some(range), None) = (ranges.next(), ranges.next()) else {
        return None;
    };
    let part = match range.split_once('-')? {
        ("", "") => return None,
        ("", length) => size.saturating_sub(number(length)?)..size,
        (first, "") => number(first)?..size,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            first..size.min(last.saturating_add(1))
        }
    };
    Some(if part.is_empty() {
        Wanted::Nothing
    } else {
        Wanted::Part(part)
    })
}

/// Parses a number. One too large for any file counts as the largest.
fn number(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().unwrap_or(u64::MAX))
}

fn header(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("is made of digits and signs")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn check(header: &str, size: u64, expected: &Wanted) {
        let value = HeaderValue::from_bytes(header.as_bytes()).unwrap();
        assert_eq!(&wanted(Some(&value), size), expected, "{header} of {size}");
    }

    #[test]
    fn one_range_is_a_part() {
        check("bytes=0-0", 100, &Wanted::Part(0..1));
        check("bytes=0-99", 100, &Wanted::Part(0..100));
        check("bytes=10-19", 100, &Wanted::Part(10..20));
        check("bytes=99-99", 100, &Wanted::Part(99..100));
        check("bytes=10-", 100, &Wanted::Part(10..100));
        check("bytes=0-", 100, &Wanted::Part(0..100));
        check("bytes=-10", 100, &Wanted::Part(90..100));
        check("Bytes= 10-19 ", 100, &Wanted::Part(10..20));
        check("bytes=,10-19,", 100, &Wanted::Part(10..20));
        check("bytes=0010-19", 100, &Wanted::Part(10..20));
    }

    #[test]
    fn a_range_past_the_end_is_cut() {
        check("bytes=90-100", 100, &Wanted::Part(90..100));
        check("bytes=90-18446744073709551615", 100, &Wanted::Part(90..100));
        check(
            "bytes=90-99999999999999999999999",
            100,
            &Wanted::Part(90..100),
        );
        check("bytes=-101", 100, &Wanted::Part(0..100));
        check("bytes=-99999999999999999999999", 100, &Wanted::Part(0..100));
    }

    #[test]
    fn a_range_that_begins_past_the_end_is_unsatisfiable() {
        check("bytes=100-", 100, &Wanted::Nothing);
        check("bytes=100-200", 100, &Wanted::Nothing);
        check("bytes=18446744073709551615-", 100, &Wanted::Nothing);
        check("bytes=99999999999999999999999-", 100, &Wanted::Nothing);
        check("bytes=-0", 100, &Wanted::Nothing);
        check("bytes=0-", 0, &Wanted::Nothing);
        check("bytes=0-0", 0, &Wanted::Nothing);
        check("bytes=-5", 0, &Wanted::Nothing);
    }

    #[test]
    fn nonsense_and_several_ranges_mean_the_whole() {
        assert_eq!(wanted(None, 100), Wanted::Whole);
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=2-1",
            "bytes=--1",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=1 - 2",
            "bytes=0x1-2",
            "items=0-1",
            "bytes 0-1",
            "bytes=0-1,5-6",
            "bytes=0-1, 100-",
            "bytes=\u{661}-2",
        ] {
            check(header, 100, &Wanted::Whole);
        }
    }

    #[test]
    fn answers_name_the_last_byte_and_the_size() {
        assert_eq!(content_range(&(0..100), 100), "bytes 0-99/100");
        assert_eq!(content_range(&(5..6), 100), "bytes 5-5/100");
        assert_eq!(unsatisfied(100), "bytes */100");
    }
}
