//! The holder's identity, from the certificate.

use crate::certificate::Certificate;
use crate::name::Name;
use crate::oid::{self, Oid};
use crate::time::Time;
use prichal_core::identifier::{Check, is_inn};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $lengths:pat, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Accepts text with the right number of digits. The check digit is tested separately by `is_consistent`,
            /// because certificates of test authorities have numbers with invalid check digits.
            pub fn parse(text: &str) -> Option<Self> {
                let digits = text.bytes().all(|b| b.is_ascii_digit());
                (digits && matches!(text.len(), $lengths)).then(|| Self(text.to_owned()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// True if the check digit is valid.
            pub fn is_consistent(&self) -> bool {
                $check(self.as_str())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

number!(
    /// The Kazakh business identification number.
    Bin, 12, is_kazakh
);
number!(
    /// The Kazakh individual identification number.
    Iin, 12, is_kazakh
);
number!(
    /// The Russian tax number: 10 digits for an organisation, 12 for a person.
    Inn, 10 | 12, is_inn
);

fn is_kazakh(text: &str) -> bool {
    Check::Strict.accepts(text)
}

/// A role of the holder, from the extended key usage of Kazakh certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CertificateRole))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Individual,
    Organisation,
    FirstHead,
    Signer,
    Finance,
    Hr,
    Employee,
    InformationSystem,
}

impl Role {
    pub(crate) fn from_oid(purpose: &Oid) -> Option<Self> {
        if let Some(number) = purpose.as_str().strip_prefix(oid::KZ_OTHER_CA_PREFIX) {
            return Some(match number {
                "1" => Self::Individual,
                "2" => Self::Organisation,
                "3" => Self::FirstHead,
                "4" => Self::Signer,
                "5" => Self::Finance,
                "6" => Self::Hr,
                "7" => Self::Employee,
                _ => return None,
            });
        }
        Some(match purpose.as_str() {
            oid::KZ_INDIVIDUAL => Self::Individual,
            oid::KZ_ORGANISATION => Self::Organisation,
            oid::KZ_FIRST_HEAD => Self::FirstHead,
            oid::KZ_SIGNER => Self::Signer,
            oid::KZ_FINANCE => Self::Finance,
            oid::KZ_HR => Self::Hr,
            oid::KZ_EMPLOYEE => Self::Employee,
            other => {
                let rest = other.strip_prefix(oid::KZ_SYSTEM)?;
                if !rest.is_empty() && !rest.starts_with('.') {
                    return None;
                }
                Self::InformationSystem
            }
        })
    }
}

/// The facts of a certificate that reports show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CertificateFacts))]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    pub subject: String,
    pub issuer: String,
    /// Hexadecimal.
    pub serial: String,
    /// The common name, else surname and given name, else the organisation.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub name: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required, value_type = Option<String>))]
    pub iin: Option<Iin>,
    #[cfg_attr(feature = "openapi", schema(required, value_type = Option<String>))]
    pub bin: Option<Bin>,
    #[cfg_attr(feature = "openapi", schema(required, value_type = Option<String>))]
    pub inn: Option<Inn>,
    pub roles: Vec<Role>,
    pub key_algorithm: String,
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub not_before: Time,
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub not_after: Time,
}

impl Facts {
    pub fn of(certificate: &Certificate) -> Self {
        let subject = &certificate.subject;
        let key_algorithm = match certificate.public_key() {
            Ok(key) => key.name(),
            Err(_) => certificate.key_algorithm.oid.to_string(),
        };
        let usage = certificate.extensions.extended_key_usage.iter();
        let purposes = usage.flat_map(|usage| &usage.purposes);
        Self {
            subject: subject.to_string(),
            issuer: certificate.issuer.to_string(),
            serial: certificate.serial_hex(),
            name: name(subject),
            iin: single(numbers(subject, "IIN")).and_then(Iin::parse),
            bin: single(numbers(subject, "BIN")).and_then(Bin::parse),
            inn: inn(subject),
            roles: purposes.filter_map(Role::from_oid).collect(),
            key_algorithm,
            not_before: certificate.not_before,
            not_after: certificate.not_after,
        }
    }
}

fn name(subject: &Name) -> Option<String> {
    let first = |kind| subject.values(kind).next().map(str::to_owned);
    first(oid::COMMON_NAME)
        .or_else(|| {
            let family = first(oid::SURNAME)?;
            Some(match first(oid::GIVEN_NAME) {
                Some(given) => format!("{family} {given}"),
                None => family,
            })
        })
        .or_else(|| first(oid::ORGANIZATION))
}

/// The distinct numbers after `prefix`: a BIN in the unit or the serial number, an IIN in the serial number only.
fn numbers<'a>(subject: &'a Name, prefix: &str) -> BTreeSet<&'a str> {
    let kinds = match prefix {
        "BIN" => &[oid::ORGANIZATIONAL_UNIT, oid::SERIAL_NUMBER][..],
        _ => &[oid::SERIAL_NUMBER],
    };
    let values = kinds.iter().flat_map(|kind| subject.values(kind));
    let found = values.filter_map(|value| value.trim().strip_prefix(prefix));
    found.map(str::trim).collect()
}

/// The only number. None if there are several different ones.
fn single(numbers: BTreeSet<&str>) -> Option<&str> {
    let mut numbers = numbers.into_iter();
    numbers.next().filter(|_| numbers.next().is_none())
}

/// True if the subject has two different numbers of this kind, `IIN` or `BIN`.
pub(crate) fn is_ambiguous(subject: &Name, kind: &str) -> bool {
    numbers(subject, kind).len() > 1
}

/// The number from the organisation's own attribute, or from the older attribute, where two zeros precede the 10
/// digits of an organisation.
fn inn(subject: &Name) -> Option<Inn> {
    let company = subject.values(oid::RU_INN_COMPANY).next();
    let value = company
        .or_else(|| subject.values(oid::RU_INN).next())?
        .trim();
    match value.strip_prefix("00") {
        Some(rest) if rest.len() == 10 => Inn::parse(rest),
        _ => Inn::parse(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_of_both_countries() {
        for (text, expected) in [
            ("971240001315", true),
            ("061211600012", true),
            ("200140000501", true),
            ("123456789011", false),
            ("123456789021", false),
            ("000000000000", false),
            ("200140001300", false),
        ] {
            assert_eq!(
                Bin::parse(text).unwrap().is_consistent(),
                expected,
                "{text}"
            );
        }
        for (text, expected) in [
            ("7707083893", true),
            ("7736050003", true),
            ("500100732259", true),
            ("7707083894", false),
            ("500100732258", false),
        ] {
            assert_eq!(
                Inn::parse(text).unwrap().is_consistent(),
                expected,
                "{text}"
            );
        }
        assert_eq!(Iin::parse("12345678901"), None);
        assert_eq!(Inn::parse("77070838930"), None);
        assert_eq!(Bin::parse("97124000131x"), None);
    }

    #[test]
    fn roles_have_their_names() {
        let role = |dotted: &str| {
            let bytes = crate::der::write::oid(dotted);
            let oid = Oid::read(&mut crate::der::Reader::new(&bytes)).unwrap();
            Role::from_oid(&oid)
        };
        assert_eq!(role("1.2.398.3.3.4.1.2.1"), Some(Role::FirstHead));
        assert_eq!(role("1.2.398.3.3.4.1.2.6.3"), Some(Role::InformationSystem));
        assert_eq!(role("1.2.398.3.17.3.1.4"), Some(Role::Signer));
        assert_eq!(role("1.2.398.3.3.4.1.2.61"), None);
        assert_eq!(role("1.3.6.1.5.5.7.3.4"), None);
    }
}
