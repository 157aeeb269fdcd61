//! Public keys, by the algorithm in their certificates.

use crate::algorithm::Algorithm;
use crate::der::{Reader, tag};
use crate::gost;
use crate::gost::curve::Parameters;
use crate::oid::{self, Oid};

/// A checked public key: its sizes are allowed and its point is on its curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    Rsa {
        /// Big-endian without leading zeros.
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    Ec {
        curve: EcCurve,
        /// A point, encoded as in SEC 1 §2.3.3.
        point: Vec<u8>,
    },
    Ed25519([u8; 32]),
    Gost {
        standard: GostStandard,
        curve: &'static Parameters,
        /// Little-endian coordinates.
        x: Vec<u8>,
        y: Vec<u8>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EcCurve {
    P256,
    P384,
    P521,
}

/// The standard of a GOST key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GostStandard {
    /// GOST R 34.10-2012 (RFC 9215).
    Russia2012,
    /// GOST R 34.10-2001 (RFC 4491).
    Russia2001,
    /// 34.10-2015.
    Kazakhstan2015,
    /// 34.310-2004.
    Kazakhstan2004,
}

/// The reason for which a public key is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the key algorithm {0} is unknown")]
    Unknown(Oid),
    #[error("the curve {0} is unknown")]
    UnknownCurve(String),
    #[error("the public key is malformed")]
    Malformed,
    #[error("the public key is not a point on its curve")]
    NotOnCurve,
    #[error("the RSA modulus is even or has {0} bits")]
    ModulusSize(usize),
    #[error("the RSA exponent is even, 1, or not smaller than the modulus")]
    Exponent,
    #[error("the RSA exponent has {0} bits, more than 256")]
    ExponentSize(usize),
}

impl PublicKey {
    pub(crate) fn from_spki(algorithm: &Algorithm, bits: &[u8]) -> Result<Self, KeyError> {
        match algorithm.oid.as_str() {
            oid::RSA | oid::RSA_PSS => rsa(bits),
            oid::EC => ec(algorithm, bits),
            oid::ED25519 => {
                let key: [u8; 32] = bits.try_into().map_err(|_| KeyError::Malformed)?;
                ed25519_dalek::VerifyingKey::from_bytes(&key).map_err(|_| KeyError::NotOnCurve)?;
                Ok(Self::Ed25519(key))
            }
            oid::RU_KEY_256 => gost(GostStandard::Russia2012, 32, algorithm, bits),
            oid::RU_KEY_512 => gost(GostStandard::Russia2012, 64, algorithm, bits),
            oid::RU_KEY_2001 => gost(GostStandard::Russia2001, 32, algorithm, bits),
            oid::KZ_KEY_256 => gost(GostStandard::Kazakhstan2015, 32, algorithm, bits),
            oid::KZ_KEY_512 => gost(GostStandard::Kazakhstan2015, 64, algorithm, bits),
            oid::KZ_KEY_2004 => gost(GostStandard::Kazakhstan2004, 32, algorithm, bits),
            _ => Err(KeyError::Unknown(algorithm.oid.clone())),
        }
    }

    /// The size of the key in bits: of the modulus, or of the curve's field.
    pub fn bits(&self) -> usize {
        match self {
            Self::Rsa { modulus, .. } => bits(modulus),
            Self::Ec { curve, .. } => match curve {
                EcCurve::P256 => 256,
                EcCurve::P384 => 384,
                EcCurve::P521 => 521,
            },
            Self::Ed25519(_) => 256,
            Self::Gost { curve, .. } => curve.size * 8,
        }
    }

    /// The cost of one verification with this key. A usual key costs 1.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::Rsa { modulus, exponent } => {
                let words = modulus.len().div_ceil(8);
                1 + words * words * bits(exponent) / 200_000
            }
            _ => 1,
        }
    }

    /// The exponent of an RSA key, if it is smaller than FIPS 186-5 §5.4(e) requires.
    pub(crate) fn small_exponent(&self) -> Option<u64> {
        let Self::Rsa { exponent, .. } = self else {
            return None;
        };
        let value = || exponent.iter().fold(0, |n, b| n << 8 | u64::from(*b));
        (exponent.len() < 3).then(value)
    }

    /// The name of the key, such as `RSA 2048`, `EC P-256`, `GOST 34.10-2015 512 (KZ)`.
    pub fn name(&self) -> String {
        match self {
            Self::Rsa { .. } => format!("RSA {}", self.bits()),
            Self::Ec { .. } => format!("EC P-{}", self.bits()),
            Self::Ed25519(_) => "Ed25519".to_owned(),
            Self::Gost { standard, .. } => match standard {
                GostStandard::Russia2012 => format!("GOST R 34.10-2012 {}", self.bits()),
                GostStandard::Russia2001 => "GOST R 34.10-2001".to_owned(),
                GostStandard::Kazakhstan2015 => format!("GOST 34.10-2015 {}", self.bits()),
                GostStandard::Kazakhstan2004 => "GOST 34.310-2004".to_owned(),
            },
        }
    }
}

/// The number of bits of a number without leading zeros.
fn bits(number: &[u8]) -> usize {
    let first = number.first().map_or(0, |b| b.leading_zeros() as usize);
    number.len() * 8 - first
}

/// The allowed sizes of an RSA modulus in bits.
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 1024..=16_384;
/// The largest exponent in bits (FIPS 186-5 §A.1.1). The cost of a verification grows with it.
const MAX_EXPONENT_BITS: usize = 256;

fn rsa(key: &[u8]) -> Result<PublicKey, KeyError> {
    let read = || {
        let mut reader = Reader::new(key);
        let mut inside = reader.sequence("an RSA key")?;
        let modulus = inside.integer("the RSA modulus")?.to_vec();
        let exponent = inside.integer("the RSA exponent")?.to_vec();
        inside.end("an RSA key")?;
        reader.end("an RSA key")?;
        Ok::<_, crate::error::ReadError>((modulus, exponent))
    };
    let (modulus, exponent) = read().map_err(|_| KeyError::Malformed)?;
    let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    let size = bits(&modulus);
    if !MODULUS_BITS.contains(&size) || !odd(&modulus) {
        return Err(KeyError::ModulusSize(size));
    }
    let less = (exponent.len(), &exponent) < (modulus.len(), &modulus);
    if !odd(&exponent) || exponent == [1] || !less {
        return Err(KeyError::Exponent);
    }
    if bits(&exponent) > MAX_EXPONENT_BITS {
        return Err(KeyError::ExponentSize(bits(&exponent)));
    }
    // The minimum length is a matter of the policy and is checked there.
    Ok(PublicKey::Rsa { modulus, exponent })
}

/// The identifier in the parameters, or the first one of a sequence there.
fn parameter_oid(algorithm: &Algorithm) -> Option<Oid> {
    let mut reader = Reader::new(algorithm.real_parameters()?);
    if reader.peek() == Some(tag::SEQUENCE) {
        reader = reader.sequence("parameters").ok()?;
    }
    Oid::read(&mut reader).ok()
}

fn ec(algorithm: &Algorithm, bits: &[u8]) -> Result<PublicKey, KeyError> {
    let named = parameter_oid(algorithm).ok_or(KeyError::Malformed)?;
    let (curve, valid) = match named.as_str() {
        oid::P256 => (
            EcCurve::P256,
            p256::PublicKey::from_sec1_bytes(bits).is_ok(),
        ),
        oid::P384 => (
            EcCurve::P384,
            p384::PublicKey::from_sec1_bytes(bits).is_ok(),
        ),
        oid::P521 => (
            EcCurve::P521,
            p521::PublicKey::from_sec1_bytes(bits).is_ok(),
        ),
        _ => return Err(KeyError::UnknownCurve(named.to_string())),
    };
    if !valid {
        return Err(KeyError::NotOnCurve);
    }
    Ok(PublicKey::Ec {
        curve,
        point: bits.to_vec(),
    })
}

/// Reads a GOST key: an OCTET STRING of x and y, little-endian (RFC 9215 §4.3). Kazakhstan uses the same encoding.
fn gost(
    standard: GostStandard,
    size: usize,
    algorithm: &Algorithm,
    bits: &[u8],
) -> Result<PublicKey, KeyError> {
    let named = match parameter_oid(algorithm) {
        Some(named) => named.to_string(),
        None => return Err(KeyError::UnknownCurve("(none)".to_owned())),
    };
    let curve = gost::curve::find(&named).filter(|curve| curve.size == size);
    let curve = curve.ok_or(KeyError::UnknownCurve(named))?;
    let mut reader = Reader::new(bits);
    let octets = reader
        .octet_string("a GOST key")
        .map_err(|_| KeyError::Malformed)?;
    if octets.len() != 2 * size || !reader.is_empty() {
        return Err(KeyError::Malformed);
    }
    let (x, y) = octets.split_at(size);
    if !gost::is_public_key(curve, x, y) {
        return Err(KeyError::NotOnCurve);
    }
    Ok(PublicKey::Gost {
        standard,
        curve,
        x: x.to_vec(),
        y: y.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::write;

    fn algorithm(parts: &[&[u8]]) -> Algorithm {
        Algorithm::read(&mut Reader::new(&write::sequence(parts)), "an algorithm").unwrap()
    }

    fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey, KeyError> {
        let bits = write::sequence(&[&write::integer(modulus), &write::integer(exponent)]);
        PublicKey::from_spki(&algorithm(&[&write::oid(oid::RSA), &write::null()]), &bits)
    }

    #[test]
    fn rsa_numbers_must_be_plausible() {
        let modulus = vec![0xff; 256];
        assert_eq!(rsa_key(&modulus, &[1, 0, 1]).unwrap().bits(), 2048);
        for exponent in [&[1][..], &[1, 0, 0], &[], &[1, 0, 0, 0, 0], &modulus] {
            assert_eq!(
                rsa_key(&modulus, exponent),
                Err(KeyError::Exponent),
                "{exponent:?}"
            );
        }
        let mut long = modulus.clone();
        long[0] = 0x7f;
        for (exponent, small) in [
            (&[3][..], Some(3)),
            (&[0xff, 0xff], Some(65_535)),
            (&[1, 0, 1], None),
            (&[2, 0, 0, 0, 1], None),
            (&[0xff; 32], None),
        ] {
            let key = rsa_key(&modulus, exponent).unwrap();
            assert_eq!(key.small_exponent(), small, "{exponent:?}");
            assert!(key.cost() < 100, "{}", key.cost());
        }
        let (longest, short) = (vec![0xff; 2048], vec![0xff; 32]);
        assert!(rsa_key(&longest, &short).unwrap().cost() < 100);
        for modulus in [&modulus, &longest] {
            let refused = rsa_key(modulus, &long);
            assert_eq!(refused, Err(KeyError::ExponentSize(2047)));
        }
        let even = [vec![0xff; 255], vec![0xfe]].concat();
        assert_eq!(rsa_key(&even, &[1, 0, 1]), Err(KeyError::ModulusSize(2048)));
        assert_eq!(
            rsa_key(&[0xff; 64], &[1, 0, 1]),
            Err(KeyError::ModulusSize(512))
        );
        assert_eq!(
            rsa_key(&[0xff; 2049], &[1, 0, 1]),
            Err(KeyError::ModulusSize(16_392))
        );
    }

    #[test]
    fn points_must_lie_on_named_curves() {
        let ec = |curve: &str, bits: &[u8]| {
            PublicKey::from_spki(
                &algorithm(&[&write::oid(oid::EC), &write::oid(curve)]),
                bits,
            )
        };
        let off = [vec![4], vec![1; 64]].concat();
        assert_eq!(ec(oid::P256, &off), Err(KeyError::NotOnCurve));
        assert_eq!(ec(oid::P256, &[0]), Err(KeyError::NotOnCurve));
        let secp256k1 = "1.3.132.0.10";
        assert_eq!(
            ec(secp256k1, &off),
            Err(KeyError::UnknownCurve(secp256k1.to_owned()))
        );
        let none = algorithm(&[&write::oid(oid::EC)]);
        assert_eq!(PublicKey::from_spki(&none, &off), Err(KeyError::Malformed));
        let short = algorithm(&[&write::oid(oid::ED25519)]);
        assert_eq!(
            PublicKey::from_spki(&short, &[1; 31]),
            Err(KeyError::Malformed)
        );
    }

    #[test]
    fn gost_keys_have_the_size_of_their_algorithm() {
        let gost = |kind: &str, curve: &str, size: usize| {
            let parameters = write::sequence(&[&write::oid(curve)]);
            let bits = write::octets(&vec![1; size]);
            PublicKey::from_spki(&algorithm(&[&write::oid(kind), &parameters]), &bits)
        };
        let (small, large) = ("1.2.643.2.2.35.1", "1.2.643.7.1.2.1.2.1");
        assert_eq!(gost(oid::RU_KEY_256, small, 64), Err(KeyError::NotOnCurve));
        assert_eq!(gost(oid::RU_KEY_256, small, 63), Err(KeyError::Malformed));
        assert_eq!(
            gost(oid::RU_KEY_256, large, 128),
            Err(KeyError::UnknownCurve(large.to_owned()))
        );
        assert_eq!(
            gost(oid::KZ_KEY_512, small, 64),
            Err(KeyError::UnknownCurve(small.to_owned()))
        );
    }
}
