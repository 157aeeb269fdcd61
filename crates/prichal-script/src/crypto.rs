//! What scripts get of cryptography: hashes, keyed hashes, base64, random bytes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac};
use rand::Rng as _;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq as _;

/// The most random bytes that a script gets at once.
const MOST_RANDOM: u16 = 1024;

pub(crate) fn sha(algorithm: &str, data: &str, encoding: &str) -> Result<String, String> {
    let data = data.as_bytes();
    let hash = match algorithm {
        "sha1" => Sha1::digest(data).to_vec(),
        "sha256" => Sha256::digest(data).to_vec(),
        "sha384" => Sha384::digest(data).to_vec(),
        "sha512" => Sha512::digest(data).to_vec(),
        _ => return Err(unknown_algorithm(algorithm)),
    };
    encode(&hash, encoding)
}

pub(crate) fn hmac(
    algorithm: &str,
    key: &str,
    data: &str,
    encoding: &str,
) -> Result<String, String> {
    macro_rules! with {
        ($hash:ty) => {{
            let mut mac =
                Hmac::<$hash>::new_from_slice(key.as_bytes()).map_err(|e| e.to_string())?;
            mac.update(data.as_bytes());
            mac.finalize().into_bytes().to_vec()
        }};
    }
    let mac = match algorithm {
        "sha1" => with!(Sha1),
        "sha256" => with!(Sha256),
        "sha384" => with!(Sha384),
        "sha512" => with!(Sha512),
        _ => return Err(unknown_algorithm(algorithm)),
    };
    encode(&mac, encoding)
}

pub(crate) fn random(bytes: f64, encoding: &str) -> Result<String, String> {
    let Some(count) = (1..=MOST_RANDOM).find(|count| f64::from(*count).total_cmp(&bytes).is_eq())
    else {
        return Err(format!("crypto.random gives 1 to {MOST_RANDOM} bytes"));
    };
    let mut random = vec![0; usize::from(count)];
    rand::rng().fill_bytes(&mut random);
    encode(&random, encoding)
}

/// Compares in a time that does not show where the texts differ.
pub(crate) fn equal(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

pub(crate) fn to_base64(text: &str) -> String {
    STANDARD.encode(text)
}

pub(crate) fn from_base64(text: &str) -> Result<String, String> {
    let bytes = STANDARD.decode(text.trim());
    let bytes = bytes.map_err(|_| "this is not base64".to_owned())?;
    String::from_utf8(bytes).map_err(|_| "what is in this base64 is not UTF-8".to_owned())
}

fn unknown_algorithm(name: &str) -> String {
    let shown: String = name.chars().take(32).collect();
    format!("there is no algorithm {shown}: sha1, sha256, sha384 and sha512 are known")
}

fn encode(bytes: &[u8], encoding: &str) -> Result<String, String> {
    match encoding {
        "hex" => {
            let digit = |half: u8| char::from_digit(half.into(), 16);
            let digits = bytes
                .iter()
                .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
            Ok(digits.flatten().collect())
        }
        "base64" => Ok(STANDARD.encode(bytes)),
        _ => Err("the encoding must be hex or base64".to_owned()),
    }
}
