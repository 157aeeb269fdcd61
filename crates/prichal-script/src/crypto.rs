//! Cryptography for scripts: hashes, HMAC, base64, random bytes. Everything works on bytes; texts arrive as UTF-8.

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use base64::{alphabet, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac};
use rand::Rng as _;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq as _;

use crate::web::Answer;

/// Base64 with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(crate) fn sha(algorithm: &str, data: &[u8]) -> Result<Vec<u8>, String> {
    Ok(match normalized(algorithm).as_str() {
        "sha1" => Sha1::digest(data).to_vec(),
        "sha256" => Sha256::digest(data).to_vec(),
        "sha384" => Sha384::digest(data).to_vec(),
        "sha512" => Sha512::digest(data).to_vec(),
        _ => return Err(unknown_algorithm(algorithm)),
    })
}

pub(crate) fn hmac(algorithm: &str, key: &[u8], data: &[u8]) -> Result<Vec<u8>, String> {
    macro_rules! with {
        ($hash:ty) => {{
            let mut mac = Hmac::<$hash>::new_from_slice(key).map_err(|e| e.to_string())?;
            mac.update(data);
            mac.finalize().into_bytes().to_vec()
        }};
    }
    Ok(match normalized(algorithm).as_str() {
        "sha1" => with!(Sha1),
        "sha256" => with!(Sha256),
        "sha384" => with!(Sha384),
        "sha512" => with!(Sha512),
        _ => return Err(unknown_algorithm(algorithm)),
    })
}

/// Returns random bytes. `count` is the requested number in digits, at most `max`.
pub(crate) fn random(count: &str, max: usize) -> Result<Vec<u8>, String> {
    let count = count.parse().ok().filter(|count| (1..=max).contains(count));
    let count = count.ok_or_else(|| format!("the count must be 1 to {max} bytes"))?;
    let mut random = vec![0; count];
    rand::rng().fill_bytes(&mut random);
    Ok(random)
}

/// Compares in constant time.
pub(crate) fn equal(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// Decodes base64 of either alphabet, with or without padding.
pub(crate) fn from_base64(text: &str) -> Result<Vec<u8>, String> {
    let usual = text.trim().replace('-', "+").replace('_', "/");
    let bytes = LENIENT.decode(usual);
    bytes.map_err(|_| "the text is not valid base64".to_owned())
}

/// Normalizes an algorithm name: `SHA-256` becomes `sha256`.
fn normalized(algorithm: &str) -> String {
    algorithm.to_ascii_lowercase().replacen('-', "", 1)
}

fn unknown_algorithm(name: &str) -> String {
    let shown: String = name.chars().take(32).collect();
    format!("the algorithm {shown} is not supported: use sha1, sha256, sha384 or sha512")
}

pub(crate) fn encode(bytes: Vec<u8>, encoding: &str) -> Result<Answer, String> {
    Ok(match encoding {
        "hex" => {
            let digit = |half: u8| char::from_digit(half.into(), 16);
            let digits = bytes
                .iter()
                .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
            Answer::Text(digits.flatten().collect())
        }
        "base64" => Answer::Text(STANDARD.encode(bytes)),
        "base64url" => Answer::Text(URL_SAFE_NO_PAD.encode(bytes)),
        "bytes" => Answer::Bytes(bytes),
        _ => return Err("the encoding must be hex, base64, base64url or bytes".to_owned()),
    })
}
