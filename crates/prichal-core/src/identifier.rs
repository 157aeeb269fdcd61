//! Numbers of companies and people, with their check digits (`docs/contracts/idocs.md §5`): Kazakh BIN and IIN,
//! 12 digits; Russian INN, 10 digits of a company or 12 of a person.

use crate::schema::Form;

/// The form of BIN and IIN. [`Check`] may demand more of the last digit.
pub static DIGITS: Form = Form::new(MEANING, "^[0-9]{12}$", |text| Check::Format.accepts(text));

/// The texts that are a BIN or an IIN.
pub const MEANING: &str = "12 digits with a valid check digit";

/// The strictness of the check of identifiers (`--identifier-check`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// The check digit must be valid.
    #[default]
    Strict,
    /// Any twelve digits are accepted. Examples and test data often have invented numbers.
    Format,
}

impl Check {
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "strict" => Some(Self::Strict),
            "format" => Some(Self::Format),
            _ => None,
        }
    }

    /// True if `text` may be a BIN or IIN. Date and sex are not checked: since 2013 they need not be in the
    /// number.
    pub fn accepts(self, text: &str) -> bool {
        let Some(digits) = digits::<12>(text) else {
            return false;
        };
        match self {
            Self::Format => true,
            // All zeros would pass the arithmetic, but such a number is never issued.
            Self::Strict => digits != [0; 12] && check_digit(&digits) == Some(digits[11]),
        }
    }
}

/// True if a text is an INN with valid check digits. A company's INN has one check digit, a person's has two.
pub fn is_inn(text: &str) -> bool {
    const WEIGHTS: [u32; 11] = [3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8];
    let fits = |digits: &[u32]| {
        let Some((last, others)) = digits.split_last() else {
            return false;
        };
        let weights = &WEIGHTS[WEIGHTS.len() - others.len()..];
        let sum: u32 = others.iter().zip(weights).map(|(d, w)| d * w).sum();
        sum % 11 % 10 == *last
    };
    match text.len() {
        10 => digits::<10>(text).is_some_and(|digits| digits != [0; 10] && fits(&digits)),
        12 => digits::<12>(text)
            .is_some_and(|digits| digits != [0; 12] && fits(&digits[..11]) && fits(&digits)),
        _ => false,
    }
}

fn digits<const N: usize>(text: &str) -> Option<[u32; N]> {
    let bytes: [u8; N] = text.as_bytes().try_into().ok()?;
    let plain = bytes.iter().all(u8::is_ascii_digit);
    plain.then(|| bytes.map(|b| u32::from(b - b'0')))
}

/// Computes the check digit of a BIN or IIN. `None` if both rounds give 10: such numbers are never issued.
fn check_digit(digits: &[u32; 12]) -> Option<u32> {
    const ROUNDS: [[u32; 11]; 2] = [
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        [3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2],
    ];
    let sum = |weights: &[u32; 11]| -> u32 { digits.iter().zip(weights).map(|(d, w)| d * w).sum() };
    ROUNDS
        .iter()
        .map(|weights| sum(weights) % 11)
        .find(|k| *k < 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_numbers() {
        for good in [
            "971240001315",
            "940140000385",
            "941240000193",
            "020240000555",
            "141040028436",
            "061211600012",
            "200140000501",
            "200140000513",
        ] {
            assert!(Check::Strict.accepts(good), "{good}");
        }
        for bad in [
            "123456789012",
            "123456789011",
            "123456789021",
            "000000000000",
        ] {
            assert!(!Check::Strict.accepts(bad), "{bad}");
            assert!(Check::Format.accepts(bad), "{bad}");
        }
    }

    #[test]
    fn some_prefixes_are_never_issued() {
        for prefix in ["20014000130", "20014000211", "20014000483"] {
            for last in 0..10 {
                assert!(!Check::Strict.accepts(&format!("{prefix}{last}")));
            }
        }
    }

    #[test]
    fn twelve_ascii_digits_and_nothing_else() {
        for bad in [
            "",
            "97124000131",
            "9712400013150",
            "97124000131x",
            " 971240001315",
            "٩٧١٢٤٠",
        ] {
            assert!(!Check::Format.accepts(bad), "{bad}");
            assert!(!Check::Strict.accepts(bad), "{bad}");
        }
    }

    #[test]
    fn tax_numbers_of_companies_and_people() {
        for good in ["7707083893", "7736050003", "500100732259"] {
            assert!(is_inn(good), "{good}");
        }
        for bad in [
            "7707083894",
            "500100732258",
            "500100732269",
            "0000000000",
            "000000000000",
            "77070838930",
            "770708389x",
            "",
        ] {
            assert!(!is_inn(bad), "{bad}");
        }
    }

    #[test]
    fn settings_are_parsed() {
        assert_eq!(Check::parse("strict"), Some(Check::Strict));
        assert_eq!(Check::parse("format"), Some(Check::Format));
        assert_eq!(Check::parse("Strict"), None);
    }
}
