//! Signatures: those of Standard Webhooks 1.0 with a shared secret (`v1`) and with a key pair (`v1a`), and those of
//! document hooks.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sha2::Sha256;

use crate::platform::vault::hex;

/// Secrets come from foreign tools, which do not agree about padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The length of one signature: `v1,`, 44 characters for 32 bytes, and the space between two.
const SIGNATURE_LENGTH: usize = 3 + 44 + 1;

/// A secret with a prepared key schedule, so that a signature costs only the hashing of the text.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

/// The reason why a text is not a signing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    #[error("a signing secret starts with `whsec_`")]
    Prefix,
    #[error("a signing secret is base64 after `whsec_`")]
    Base64,
    #[error("a signing secret has 24 to 64 bytes")]
    Length,
}

impl SigningKey {
    /// Parses `whsec_` and the base64 of 24 to 64 bytes.
    pub fn parse(text: &str) -> Result<Self, SigningKeyError> {
        let text = text.strip_prefix("whsec_").ok_or(SigningKeyError::Prefix)?;
        let secret = BASE64.decode(text).map_err(|_| SigningKeyError::Base64)?;
        if !(24..=64).contains(&secret.len()) {
            return Err(SigningKeyError::Length);
        }
        let hmac = Hmac::new_from_slice(&secret).map_err(|_| SigningKeyError::Length)?;
        Ok(Self(hmac))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// The value of `webhook-signature`: one signature per key, so that a receiver with either the old or the new secret
/// can verify it. `id` must not contain a full stop, `timestamp` is the attempt's in Unix seconds, `body` is sent
/// byte for byte.
pub fn sign(keys: &[SigningKey], id: &str, timestamp: i64, body: &[u8]) -> String {
    let timestamp = timestamp.to_string();
    let mut signatures = String::with_capacity(keys.len() * SIGNATURE_LENGTH);
    for SigningKey(key) in keys {
        let mut hmac = key.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            hmac.update(part);
        }
        if !signatures.is_empty() {
            signatures.push(' ');
        }
        signatures.push_str("v1,");
        BASE64.encode_string(hmac.finalize().into_bytes(), &mut signatures);
    }
    signatures
}

/// A key pair that signs in the version `v1a`, with Ed25519.
pub struct KeyPair(Ed25519KeyPair);

impl KeyPair {
    /// The key pair of a seed of 32 random bytes.
    pub fn from_seed(seed: &[u8]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self)
    }

    /// The public key in the form of Standard Webhooks: `whpk_` and base64.
    pub fn public_key(&self) -> String {
        format!("whpk_{}", BASE64.encode(self.0.public_key()))
    }

    /// One signature, as [`sign`] makes them with secrets.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let timestamp = timestamp.to_string();
        let text = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
        format!("v1a,{}", BASE64.encode(self.0.sign(&text)))
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair(…)")
    }
}

/// The value of `X-Idocs-Signature` (`docs/contracts/idocs.md §3.3`): one signature per secret, whose UTF-8 bytes
/// are the key.
pub fn sign_document_event<'a>(
    secrets: impl Iterator<Item = &'a str>,
    timestamp: i64,
    body: &[u8],
) -> String {
    let timestamp = timestamp.to_string();
    let signatures = secrets.filter_map(|secret| {
        let mut hmac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
        for part in [timestamp.as_bytes(), b".", body] {
            hmac.update(part);
        }
        Some(format!("v1={}", hex(&hmac.finalize().into_bytes())))
    });
    signatures.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    // The expected values are from openssl:
    //   printf '%s' 'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}' |
    //     openssl dgst -sha256 -mac HMAC -macopt hexkey:$(printf SECRET | base64 -d | xxd -p -c 99) -binary |
    //     base64
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNED_BY_PAIR: &str = "v1a,fldxM4gAKugP6nnt1hdz3sgGfZ6d99nzrMFnZOELIxbzEHoVmAb2ADpkJK7zgPePmPsle0zV9jSeGlHFG2NVAw==";
    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNED_OLD: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const NEW: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const SIGNED_NEW: &str = "v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI=";

    fn key(text: &str) -> SigningKey {
        SigningKey::parse(text).expect("a key")
    }

    #[test]
    fn a_signature_equals_that_of_openssl() {
        assert_eq!(sign(&[key(OLD)], ID, 1_614_265_330, BODY), SIGNED_OLD);
        assert_eq!(sign(&[key(NEW)], ID, 1_614_265_330, BODY), SIGNED_NEW);
    }

    #[test]
    fn every_key_signs() {
        let both = sign(&[key(NEW), key(OLD)], ID, 1_614_265_330, BODY);
        assert_eq!(both, format!("{SIGNED_NEW} {SIGNED_OLD}"));
        assert_eq!(sign(&[], ID, 1_614_265_330, BODY), "");
    }

    #[test]
    fn a_secret_is_checked() {
        let expect = |text: &str, error| {
            assert_eq!(SigningKey::parse(text).err(), Some(error), "{text}");
        };
        expect("", SigningKeyError::Prefix);
        expect("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", SigningKeyError::Prefix);
        expect("whsec_", SigningKeyError::Length);
        expect("whsec_c2hvcnQ=", SigningKeyError::Length);
        expect("whsec_%%%", SigningKeyError::Base64);
        expect(
            &format!("whsec_{}", "A".repeat(88)),
            SigningKeyError::Length,
        );
        assert!(SigningKey::parse(NEW.trim_end_matches('=')).is_ok());
    }

    /// The first test vector of RFC 8032 §7.1 has the same seed. OpenSSL made the signature:
    /// `openssl pkeyutl -sign -rawin -inkey key.pem -in text | base64`.
    #[test]
    fn a_key_pair_signs() {
        let seed = [
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec,
            0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03,
            0x1c, 0xae, 0x7f, 0x60,
        ];
        let pair = KeyPair::from_seed(&seed).expect("32 bytes");
        assert_eq!(
            pair.public_key(),
            "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
        );
        assert_eq!(pair.sign(ID, 1_614_265_330, BODY), SIGNED_BY_PAIR);
        assert!(KeyPair::from_seed(&seed[1..]).is_none());
        assert_eq!(format!("{pair:?}"), "KeyPair(…)");
    }

    // printf '%s' '1614265330.{"test": 2432232314}' | openssl dgst -sha256 -hmac secret
    #[test]
    fn a_documents_event_is_signed_as_openssl_does() {
        let signed = sign_document_event(["secret", "old"].into_iter(), 1_614_265_330, BODY);
        assert_eq!(
            signed,
            "v1=d0c5e92cbfd6a4ad865333d1e79ed52ba82849d84281eff5e3c3233e92439630,v1=3f3b655bf3f243d281b5523c13e9190e90ada7e4e3b82f0294cf1f8f98e79544"
        );
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", key(OLD)), "SigningKey(…)");
    }
}
