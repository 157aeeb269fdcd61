//! Object identifiers in dotted form, and those that this crate knows.

use crate::der::{Reader, tag};
use crate::error::{Result, malformed};
use std::fmt::{self, Write};

/// An object identifier, such as `1.2.840.113549.1.7.2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(String);

impl Oid {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// id-data.
    pub(crate) fn data() -> Self {
        Self(DATA.to_owned())
    }

    /// Reads the value of an OBJECT IDENTIFIER (X.690 §8.19).
    pub(crate) fn from_content(content: &[u8]) -> Result<Self> {
        let bad = malformed("an object identifier");
        if content.is_empty() || content.len() > 64 {
            return Err(bad);
        }
        let mut text = String::with_capacity(content.len() * 3);
        // A UUID-based arc below 2.25 has 128 bits (X.667).
        let mut arc: u128 = 0;
        let mut within = false;
        for &byte in content {
            if (!within && byte == 0x80) || arc >> 121 != 0 {
                return Err(bad);
            }
            arc = arc << 7 | u128::from(byte & 0x7f);
            within = byte & 0x80 != 0;
            if within {
                continue;
            }
            // Writing to a String cannot fail.
            let _ = if text.is_empty() {
                let first = (arc / 40).min(2);
                write!(text, "{first}.{}", arc - first * 40)
            } else {
                write!(text, ".{arc}")
            };
            arc = 0;
        }
        if within { Err(bad) } else { Ok(Self(text)) }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let element = reader.expect(tag::OID, "an object identifier")?;
        Self::from_content(element.content)
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<&str> for Oid {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl PartialEq<str> for Oid {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

macro_rules! known {
    ($($name:ident = $dotted:literal;)*) => {
        $(pub(crate) const $name: &str = $dotted;)*
    };
}

// Content types and attributes of CMS: RFC 5652 §4 and §11, RFC 5035, RFC 6211, RFC 3161.
known! {
    DATA = "1.2.840.113549.1.7.1";
    SIGNED_DATA = "1.2.840.113549.1.7.2";
    TST_INFO = "1.2.840.113549.1.9.16.1.4";
    CONTENT_TYPE = "1.2.840.113549.1.9.3";
    MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
    SIGNING_TIME = "1.2.840.113549.1.9.5";
    COUNTER_SIGNATURE = "1.2.840.113549.1.9.6";
    ALGORITHM_PROTECTION = "1.2.840.113549.1.9.52";
    SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12";
    SIGNATURE_TIME_STAMP = "1.2.840.113549.1.9.16.2.14";
    CONTENT_TIME_STAMP = "1.2.840.113549.1.9.16.2.20";
    CERTIFICATE_VALUES = "1.2.840.113549.1.9.16.2.23";
    REVOCATION_VALUES = "1.2.840.113549.1.9.16.2.24";
    ESC_TIME_STAMP = "1.2.840.113549.1.9.16.2.25";
    CERT_CRL_TIME_STAMP = "1.2.840.113549.1.9.16.2.26";
    ARCHIVE_TIME_STAMP_V1 = "1.2.840.113549.1.9.16.2.27";
    SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47";
    ARCHIVE_TIME_STAMP_V2 = "1.2.840.113549.1.9.16.2.48";
    SIGNATURE_POLICY = "1.2.840.113549.1.9.16.2.15";
}

// EN 319 122-1 §5.5 and TS 101 733 §6.4: archive time-stamps.
known! {
    ARCHIVE_TIME_STAMP_V3 = "0.4.0.1733.2.4";
    ATS_HASH_INDEX = "0.4.0.1733.2.5";
    LONG_TERM_VALIDATION = "0.4.0.1733.2.2";
    ATS_HASH_INDEX_V3 = "0.4.0.19122.1.5";
}

// Certificates, revocation and names: RFC 5280, RFC 6960, X.520.
known! {
    OCSP_BASIC = "1.3.6.1.5.5.7.48.1.1";
    OCSP_NONCE = "1.3.6.1.5.5.7.48.1.2";
    OCSP_NO_CHECK = "1.3.6.1.5.5.7.48.1.5";
    OCSP_ARCHIVE_CUTOFF = "1.3.6.1.5.5.7.48.1.6";
    RI_OCSP_RESPONSE = "1.3.6.1.5.5.7.16.2";
    AD_OCSP = "1.3.6.1.5.5.7.48.1";
    AD_CA_ISSUERS = "1.3.6.1.5.5.7.48.2";
    KP_TIME_STAMPING = "1.3.6.1.5.5.7.3.8";
    KP_OCSP_SIGNING = "1.3.6.1.5.5.7.3.9";
    AUTHORITY_INFO_ACCESS = "1.3.6.1.5.5.7.1.1";
    QC_STATEMENTS = "1.3.6.1.5.5.7.1.3";
    SUBJECT_KEY_ID = "2.5.29.14";
    KEY_USAGE = "2.5.29.15";
    SUBJECT_ALT_NAME = "2.5.29.17";
    ISSUER_ALT_NAME = "2.5.29.18";
    BASIC_CONSTRAINTS = "2.5.29.19";
    CRL_NUMBER = "2.5.29.20";
    REASON_CODE = "2.5.29.21";
    DELTA_CRL = "2.5.29.27";
    ISSUING_DISTRIBUTION_POINT = "2.5.29.28";
    CERTIFICATE_ISSUER = "2.5.29.29";
    NAME_CONSTRAINTS = "2.5.29.30";
    CRL_DISTRIBUTION_POINTS = "2.5.29.31";
    CERTIFICATE_POLICIES = "2.5.29.32";
    ANY_POLICY = "2.5.29.32.0";
    POLICY_MAPPINGS = "2.5.29.33";
    AUTHORITY_KEY_ID = "2.5.29.35";
    POLICY_CONSTRAINTS = "2.5.29.36";
    EXTENDED_KEY_USAGE = "2.5.29.37";
    FRESHEST_CRL = "2.5.29.46";
    INHIBIT_ANY_POLICY = "2.5.29.54";
    EXPIRED_CERTS_ON_CRL = "2.5.29.60";
    COMMON_NAME = "2.5.4.3";
    SURNAME = "2.5.4.4";
    SERIAL_NUMBER = "2.5.4.5";
    ORGANIZATION = "2.5.4.10";
    ORGANIZATIONAL_UNIT = "2.5.4.11";
    GIVEN_NAME = "2.5.4.42";
    ORGANIZATION_IDENTIFIER = "2.5.4.97";
    EMAIL = "1.2.840.113549.1.9.1";
    RU_INN = "1.2.643.3.131.1.1";
    RU_INN_COMPANY = "1.2.643.100.4";
    RU_OGRN = "1.2.643.100.1";
    RU_SNILS = "1.2.643.100.3";
}

// Hashes: RFC 3279, RFC 5754, RFC 8702, RFC 4357, RFC 9215, and the Kazakh register.
known! {
    MD5 = "1.2.840.113549.2.5";
    SHA1 = "1.3.14.3.2.26";
    SHA224 = "2.16.840.1.101.3.4.2.4";
    SHA256 = "2.16.840.1.101.3.4.2.1";
    SHA384 = "2.16.840.1.101.3.4.2.2";
    SHA512 = "2.16.840.1.101.3.4.2.3";
    SHA3_224 = "2.16.840.1.101.3.4.2.7";
    SHA3_256 = "2.16.840.1.101.3.4.2.8";
    SHA3_384 = "2.16.840.1.101.3.4.2.9";
    SHA3_512 = "2.16.840.1.101.3.4.2.10";
    RU_STREEBOG_256 = "1.2.643.7.1.1.2.2";
    RU_STREEBOG_512 = "1.2.643.7.1.1.2.3";
    RU_GOST94 = "1.2.643.2.2.9";
    KZ_STREEBOG_256 = "1.2.398.3.10.1.3.2";
    KZ_STREEBOG_512 = "1.2.398.3.10.1.3.3";
    KZ_GOST95 = "1.2.398.3.10.1.3.1";
    KZ_GOST95_PARAMETERS = "1.2.398.3.10.1.3.1.1.0";
}

// Keys, curves and signatures: RFC 8017, RFC 5480, RFC 8410, RFC 9215, RFC 4491, the Kazakh register.
known! {
    RSA = "1.2.840.113549.1.1.1";
    MD5_RSA = "1.2.840.113549.1.1.4";
    SHA1_RSA = "1.2.840.113549.1.1.5";
    MGF1 = "1.2.840.113549.1.1.8";
    RSA_PSS = "1.2.840.113549.1.1.10";
    SHA256_RSA = "1.2.840.113549.1.1.11";
    SHA384_RSA = "1.2.840.113549.1.1.12";
    SHA512_RSA = "1.2.840.113549.1.1.13";
    SHA224_RSA = "1.2.840.113549.1.1.14";
    SHA3_256_RSA = "2.16.840.1.101.3.4.3.14";
    SHA3_384_RSA = "2.16.840.1.101.3.4.3.15";
    SHA3_512_RSA = "2.16.840.1.101.3.4.3.16";
    EC = "1.2.840.10045.2.1";
    P256 = "1.2.840.10045.3.1.7";
    P384 = "1.3.132.0.34";
    P521 = "1.3.132.0.35";
    SHA1_ECDSA = "1.2.840.10045.4.1";
    SHA224_ECDSA = "1.2.840.10045.4.3.1";
    SHA256_ECDSA = "1.2.840.10045.4.3.2";
    SHA384_ECDSA = "1.2.840.10045.4.3.3";
    SHA512_ECDSA = "1.2.840.10045.4.3.4";
    SHA3_256_ECDSA = "2.16.840.1.101.3.4.3.10";
    SHA3_384_ECDSA = "2.16.840.1.101.3.4.3.11";
    SHA3_512_ECDSA = "2.16.840.1.101.3.4.3.12";
    ED25519 = "1.3.101.112";
    RU_KEY_256 = "1.2.643.7.1.1.1.1";
    RU_KEY_512 = "1.2.643.7.1.1.1.2";
    RU_SIGNATURE_256 = "1.2.643.7.1.1.3.2";
    RU_SIGNATURE_512 = "1.2.643.7.1.1.3.3";
    RU_KEY_2001 = "1.2.643.2.2.19";
    RU_SIGNATURE_2001 = "1.2.643.2.2.3";
    KZ_KEY_256 = "1.2.398.3.10.1.1.2.1";
    KZ_KEY_512 = "1.2.398.3.10.1.1.2.2";
    KZ_SIGNATURE_256 = "1.2.398.3.10.1.1.2.3.1";
    KZ_SIGNATURE_512 = "1.2.398.3.10.1.1.2.3.2";
    KZ_KEY_2004 = "1.2.398.3.10.1.1.1.1";
    KZ_SIGNATURE_2004 = "1.2.398.3.10.1.1.1.2";
    KZ_GAMMA_2004 = "1.3.6.1.4.1.6801.1.2.2";
}

// Roles in the extended key usage of Kazakh certificates (root.gov.kz register).
known! {
    KZ_INDIVIDUAL = "1.2.398.3.3.4.1.1";
    KZ_ORGANISATION = "1.2.398.3.3.4.1.2";
    KZ_FIRST_HEAD = "1.2.398.3.3.4.1.2.1";
    KZ_SIGNER = "1.2.398.3.3.4.1.2.2";
    KZ_FINANCE = "1.2.398.3.3.4.1.2.3";
    KZ_HR = "1.2.398.3.3.4.1.2.4";
    KZ_EMPLOYEE = "1.2.398.3.3.4.1.2.5";
    KZ_SYSTEM = "1.2.398.3.3.4.1.2.6";
    KZ_OTHER_CA_PREFIX = "1.2.398.3.17.3.1.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::write;

    #[test]
    fn dotted_and_encoded_forms_agree() {
        for dotted in [
            SIGNED_DATA,
            KZ_SIGNATURE_512,
            "2.999.3",
            "0.4.0.1733.2.4",
            "2.5.29.54",
            "2.25.340282366920938463463374607431768211455",
        ] {
            let bytes = write::oid(dotted);
            let oid = Oid::read(&mut Reader::new(&bytes)).unwrap();
            assert_eq!(oid.as_str(), dotted);
        }
        assert_eq!(
            write::oid(RU_STREEBOG_256),
            [6, 8, 0x2a, 0x85, 0x03, 0x07, 0x01, 0x01, 0x02, 0x02]
        );
    }

    #[test]
    fn broken_identifiers_are_refused() {
        let above = [&[0x69, 0x84][..], &[0x80; 17], &[0]].concat();
        for content in [&[][..], &[0x80, 1], &[0x2a, 0x85], &[0xff; 12], &above] {
            assert!(Oid::from_content(content).is_err(), "{content:02x?}");
        }
    }
}
