//! The TLS of a webhook's calls. Certificates and keys are read where connections are made.

use std::{fmt, fmt::Write as _};

use serde_json::{Value, json};

use super::MASK;
use crate::schema::{Fault, Field, Object, Type};

const MAX_CERTIFICATE_LENGTH: usize = 32 << 10;
const MAX_KEY_LENGTH: usize = 16 << 10;

const MEMBERS: &[Field] = &[
    Field::new("certificate", Type::Text)
        .required()
        .chars(MAX_CERTIFICATE_LENGTH)
        .doc("The certificate in PEM, and behind it those that lead to its authority, if the receiver needs them.")
        .example("-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n"),
    Field::new("key", Type::Text)
        .required()
        .chars(MAX_KEY_LENGTH)
        .doc("The key in PEM, not encrypted. It is stored sealed and shown as `***`.")
        .example("-----BEGIN PRIVATE KEY-----\nMIGH…\n-----END PRIVATE KEY-----\n"),
];

pub(super) const CLIENT_CERTIFICATE: Field = Field::new("clientCertificate", Type::Object(MEMBERS))
    .doc(
        "The certificate that calls show to a receiver that asks for one. The URL must be `https`.",
    );
pub(super) const SERVER_FINGERPRINT: Field = Field::new("serverFingerprint", Type::Text)
    .doc("The SHA-256 of the only certificate that the receiver may show, in hexadecimal digits, with or without colons. Its issuer, names and dates do not count then. The URL must be `https`.")
    .example("7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069");

/// The certificate of a client.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// In PEM, with its chain.
    pub certificate: String,
    /// In PEM. Stored sealed, and never shown.
    pub key: String,
}

impl fmt::Debug for ClientCertificate {
    /// Shows no key, because debug output may be logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate")
    }
}

impl ClientCertificate {
    /// Reads a certificate. In the store it has no key.
    pub(super) fn read(object: &Object) -> Self {
        let text = |member: &str| object.get(member).and_then(Value::as_str);
        let text = |member: &str| text(member).unwrap_or_default().to_owned();
        Self {
            certificate: text("certificate"),
            key: text("key"),
        }
    }

    pub(super) fn masked(&self) -> Value {
        json!({"certificate": self.certificate, "key": MASK})
    }

    pub(super) fn kept(&self) -> Value {
        json!({ "certificate": self.certificate })
    }

    /// Puts the old key in the place of a masked one.
    pub(super) fn unmask(&mut self, old: Option<&Self>) -> Result<(), Fault> {
        if self.key != MASK {
            return Ok(());
        }
        let old = old.ok_or_else(|| {
            let why = "The clientCertificate has no key yet that `***` could stand for.";
            Fault::rule("clientCertificate.key", why)
        })?;
        self.key.clone_from(&old.key);
        Ok(())
    }
}

/// Reads the SHA-256 of a certificate, as `openssl x509 -fingerprint -sha256` prints it or without colons.
pub(super) fn fingerprint(text: &str) -> Result<[u8; 32], Fault> {
    let fault = || {
        let why = "The serverFingerprint must be a SHA-256: 64 hexadecimal digits, with or without colons.";
        Fault::rule("serverFingerprint", why)
    };
    let parts: Vec<&str> = text.trim().split(':').collect();
    let has_pairs = parts.len() == 1 || parts.iter().all(|part| part.len() == 2);
    let digits: Option<Vec<u32>> = parts.concat().chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|_| has_pairs).ok_or_else(fault)?;
    let (pairs, odd) = digits.as_chunks::<2>();
    let bytes: Result<Vec<u8>, _> = pairs
        .iter()
        .map(|[high, low]| u8::try_from(high << 4 | low))
        .collect();
    let bytes = bytes.ok().filter(|_| odd.is_empty()).ok_or_else(fault)?;
    bytes.try_into().map_err(|_| fault())
}

pub(super) fn fingerprint_text(bytes: &[u8; 32]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_others_print_it() {
        let plain = "00ff".repeat(16);
        let pairs = vec!["00:FF"; 16].join(":");
        for good in [
            plain.as_str(),
            &plain.to_uppercase(),
            &pairs,
            &format!(" {pairs}\n"),
        ] {
            assert_eq!(
                fingerprint_text(&fingerprint(good).unwrap()),
                plain,
                "{good}"
            );
        }
        for bad in [
            "",
            ":",
            &plain[1..],
            &plain[2..],
            &format!("{plain}00"),
            &plain.replace('f', "g"),
            &pairs.replacen("00:", "0:0", 1),
            &format!("{pairs}:"),
            &format!("SHA256 Fingerprint={pairs}"),
        ] {
            assert_eq!(
                fingerprint(bad).unwrap_err().path,
                "serverFingerprint",
                "{bad}"
            );
        }
    }
}
