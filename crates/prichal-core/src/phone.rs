//! Telephone numbers: one key for each, however it was written (`reference/kontur.md` §10).
//!
//! The text that somebody typed or an exchange sent is kept as it is; the key is only for finding.

/// The most digits of a key. E.164 allows 15, and a carrier's prefix may come before them.
const MOST: usize = 20;
/// The fewest. Shorter numbers are extensions, which must never match a client.
const FEWEST: usize = 7;

/// The key of a number: its digits with the country code first. Nothing for extensions, hidden
/// callers and texts that are no number.
pub fn key(text: &str) -> Option<String> {
    let text = without_extension(text);
    let international = text.trim_start().starts_with('+');
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if digits.len() < FEWEST || digits.len() > MOST {
        return None;
    }
    if international {
        return Some(digits);
    }
    // The ways to dial abroad from Russia, and from most other countries.
    for prefix in ["810", "00"] {
        if let Some(rest) = digits.strip_prefix(prefix)
            && rest.len() > 10
        {
            return Some(rest.to_owned());
        }
    }
    Some(match (digits.len(), digits.strip_prefix('8')) {
        (11, Some(rest)) => format!("7{rest}"),
        (10, _) => format!("7{digits}"),
        _ => digits,
    })
}

/// Cuts an extension off: what follows `доб`, `ext`, `#`, `,` or `;`.
fn without_extension(text: &str) -> &str {
    const MARKS: [&str; 6] = ["доб", "ext", "вн", "#", ",", ";"];
    // Lower case keeps the length of these letters, and only their places are looked at.
    let lower = text.to_lowercase();
    let cut = MARKS.iter().filter_map(|mark| lower.find(mark)).min();
    cut.filter(|_| lower.len() == text.len())
        .and_then(|at| text.get(..at))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_in_its_many_forms() {
        for form in [
            "79997775533",
            "+79997775533",
            "89997775533",
            "9997775533",
            "8 (999) 777-55-33",
            "+7 999 777 55 33",
            "8-999-777-55-33 доб. 12",
            "+7(999)7775533,12",
            "+7 999 777-55-33 EXT 4",
            "79997775533#5",
        ] {
            assert_eq!(key(form).as_deref(), Some("79997775533"), "{form}");
        }
    }

    #[test]
    fn numbers_abroad() {
        for (form, expected) in [
            ("+49 30 901820", "4930901820"),
            ("00493012345678", "493012345678"),
            ("810493012345678", "493012345678"),
            ("8 10 49 301 234 5678", "493012345678"),
            ("+1 (202) 555-0123", "12025550123"),
            ("+998 90 123 45 67", "998901234567"),
            ("+8 999 777 55 33", "89997775533"),
        ] {
            assert_eq!(key(form).as_deref(), Some(expected), "{form}");
        }
    }

    #[test]
    fn odd_numbers_are_kept_as_they_are() {
        // One of the documents' samples has twelve digits.
        for (form, expected) in [
            ("791229929292", "791229929292"),
            ("2345678", "2345678"),
            ("234-56-78", "2345678"),
        ] {
            assert_eq!(key(form).as_deref(), Some(expected), "{form}");
        }
    }

    #[test]
    fn extensions_and_hidden_callers_have_no_key() {
        for form in [
            "",
            "101",
            "123456",
            "anonymous",
            "Скрыт",
            "доб. 79997775533",
            "123456789012345678901",
        ] {
            assert_eq!(key(form), None, "{form}");
        }
    }
}
