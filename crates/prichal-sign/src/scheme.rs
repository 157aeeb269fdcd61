//! Signature schemes: the scheme of an algorithm identifier and a key, and the verification.

use crate::algorithm::Algorithm;
use crate::der::{Reader, tag, write};
use crate::gost::{self, ByteOrder};
use crate::hash::Hash;
use crate::key::{EcCurve, GostStandard, PublicKey};
use crate::oid::{self, Oid};
use rsa::traits::SignatureScheme;
use rsa::{BoxedUint, Pkcs1v15Sign, Pss};

/// The way in which a signature value is computed from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Pkcs1(Hash),
    Pss { hash: Hash, salt: usize },
    Ecdsa(Hash),
    Ed25519,
    Gost(Hash, ByteOrder),
}

/// The reason for which identifiers, digest and key do not form a scheme.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SchemeError {
    #[error("the signature algorithm {0} is unknown")]
    Unknown(Oid),
    #[error("the signature algorithm {algorithm} does not match a key of type {key}")]
    Key { algorithm: Oid, key: String },
    #[error("the signature algorithm uses {signature}, but the digest algorithm is {digest}")]
    Digest {
        signature: &'static str,
        digest: &'static str,
    },
    #[error("the signature algorithm {0} needs a separate digest algorithm")]
    NoDigest(Oid),
    #[error("the parameters of RSA-PSS are not supported: {0}")]
    Pss(&'static str),
}

enum Family {
    Pkcs1,
    Pss,
    Ecdsa,
    Ed25519,
    Gost(GostStandard),
}

impl Scheme {
    /// Resolves the scheme of `algorithm` for a key. `digest` is the separate digest algorithm, which CMS has and
    /// certificates do not. It must agree with `algorithm`, and supplies the hash if `algorithm` names only the type
    /// of key.
    pub(crate) fn resolve(
        algorithm: &Algorithm,
        digest: Option<Hash>,
        key: &PublicKey,
    ) -> Result<Self, SchemeError> {
        let (family, named) = family(algorithm)?;
        let misfit = || SchemeError::Key {
            algorithm: algorithm.oid.clone(),
            key: key.name(),
        };
        if let (Some(named), Some(digest)) = (named, digest)
            && named != digest
        {
            return Err(SchemeError::Digest {
                signature: named.name(),
                digest: digest.name(),
            });
        }
        let hash = named.or(digest);
        let no_digest = || SchemeError::NoDigest(algorithm.oid.clone());
        match (family, key) {
            (Family::Pkcs1, PublicKey::Rsa { .. }) => {
                let hash = hash.ok_or_else(no_digest)?;
                hash.pkcs1_oid().ok_or_else(misfit)?;
                Ok(Self::Pkcs1(hash))
            }
            (Family::Pss, PublicKey::Rsa { .. }) => {
                let (hash, salt) = pss_parameters(algorithm)?;
                if let Some(digest) = digest
                    && digest != hash
                {
                    return Err(SchemeError::Digest {
                        signature: hash.name(),
                        digest: digest.name(),
                    });
                }
                Ok(Self::Pss { hash, salt })
            }
            (Family::Ecdsa, PublicKey::Ec { .. }) => {
                let hash = hash.ok_or_else(no_digest)?;
                hash.pkcs1_oid().ok_or_else(misfit)?;
                Ok(Self::Ecdsa(hash))
            }
            (Family::Ed25519, PublicKey::Ed25519(_)) => Ok(Self::Ed25519),
            (
                Family::Gost(asked),
                PublicKey::Gost {
                    standard, curve, ..
                },
            ) => {
                let hash = hash.unwrap_or_else(|| gost_hash(asked, curve.size));
                // A key is bound to the hash of its own size and country (RFC 9215 §2).
                if asked != *standard || hash != gost_hash(asked, curve.size) {
                    return Err(misfit());
                }
                Ok(Self::Gost(hash, byte_order(asked)))
            }
            _ => Err(misfit()),
        }
    }

    /// The hash of the message. None if the scheme hashes internally.
    pub(crate) const fn hash(self) -> Option<Hash> {
        match self {
            Self::Pkcs1(hash)
            | Self::Ecdsa(hash)
            | Self::Gost(hash, _)
            | Self::Pss { hash, .. } => Some(hash),
            Self::Ed25519 => None,
        }
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Pkcs1(hash) => format!("RSA PKCS#1 v1.5 with {}", hash.name()),
            Self::Pss { hash, .. } => format!("RSA-PSS with {}", hash.name()),
            Self::Ecdsa(hash) => format!("ECDSA with {}", hash.name()),
            Self::Ed25519 => "Ed25519".to_owned(),
            Self::Gost(hash, ByteOrder::BigEndianSr) => {
                format!("GOST R 34.10 with {}", hash.name())
            }
            Self::Gost(hash, ByteOrder::LittleEndianRs) => {
                format!("GOST 34.10 (KZ) with {}", hash.name())
            }
        }
    }

    /// True if `signature` is a valid signature of `message`.
    pub(crate) fn verify(self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        let Some(hash) = self.hash() else {
            return ed25519(key, message, signature);
        };
        self.verify_digest(key, &hash.digest(message), signature)
    }

    /// Verifies a signature of a message with a known digest. Ed25519 has no such form.
    pub(crate) fn verify_digest(self, key: &PublicKey, digest: &[u8], signature: &[u8]) -> bool {
        match (self, key) {
            (Self::Pkcs1(hash), PublicKey::Rsa { modulus, exponent }) => {
                let Some(prefix) = pkcs1_prefix(hash) else {
                    return false;
                };
                let scheme = Pkcs1v15Sign {
                    hash_len: Some(hash.size()),
                    prefix: prefix.into(),
                };
                rsa(scheme, modulus, exponent, digest, signature)
            }
            (Self::Pss { hash, salt }, PublicKey::Rsa { modulus, exponent }) => {
                pss(hash, salt, (modulus, exponent), digest, signature)
            }
            (Self::Ecdsa(_), PublicKey::Ec { curve, point }) => {
                ecdsa(*curve, point, digest, signature)
            }
            (Self::Gost(_, order), PublicKey::Gost { curve, x, y, .. }) => {
                gost::verify(curve, (x, y), digest, order, signature)
            }
            _ => false,
        }
    }
}

fn family(algorithm: &Algorithm) -> Result<(Family, Option<Hash>), SchemeError> {
    use GostStandard::{Kazakhstan2004, Kazakhstan2015, Russia2001, Russia2012};
    Ok(match algorithm.oid.as_str() {
        oid::RSA => (Family::Pkcs1, None),
        oid::MD5_RSA => (Family::Pkcs1, Some(Hash::Md5)),
        oid::SHA1_RSA => (Family::Pkcs1, Some(Hash::Sha1)),
        oid::SHA224_RSA => (Family::Pkcs1, Some(Hash::Sha224)),
        oid::SHA256_RSA => (Family::Pkcs1, Some(Hash::Sha256)),
        oid::SHA384_RSA => (Family::Pkcs1, Some(Hash::Sha384)),
        oid::SHA512_RSA => (Family::Pkcs1, Some(Hash::Sha512)),
        oid::SHA3_256_RSA => (Family::Pkcs1, Some(Hash::Sha3_256)),
        oid::SHA3_384_RSA => (Family::Pkcs1, Some(Hash::Sha3_384)),
        oid::SHA3_512_RSA => (Family::Pkcs1, Some(Hash::Sha3_512)),
        oid::RSA_PSS => (Family::Pss, None),
        oid::EC => (Family::Ecdsa, None),
        oid::SHA1_ECDSA => (Family::Ecdsa, Some(Hash::Sha1)),
        oid::SHA224_ECDSA => (Family::Ecdsa, Some(Hash::Sha224)),
        oid::SHA256_ECDSA => (Family::Ecdsa, Some(Hash::Sha256)),
        oid::SHA384_ECDSA => (Family::Ecdsa, Some(Hash::Sha384)),
        oid::SHA512_ECDSA => (Family::Ecdsa, Some(Hash::Sha512)),
        oid::SHA3_256_ECDSA => (Family::Ecdsa, Some(Hash::Sha3_256)),
        oid::SHA3_384_ECDSA => (Family::Ecdsa, Some(Hash::Sha3_384)),
        oid::SHA3_512_ECDSA => (Family::Ecdsa, Some(Hash::Sha3_512)),
        oid::ED25519 => (Family::Ed25519, None),
        oid::RU_KEY_256 | oid::RU_KEY_512 => (Family::Gost(Russia2012), None),
        oid::RU_SIGNATURE_256 => (Family::Gost(Russia2012), Some(Hash::Streebog256)),
        oid::RU_SIGNATURE_512 => (Family::Gost(Russia2012), Some(Hash::Streebog512)),
        oid::RU_KEY_2001 => (Family::Gost(Russia2001), None),
        oid::RU_SIGNATURE_2001 => (Family::Gost(Russia2001), Some(Hash::Gost94CryptoPro)),
        oid::KZ_KEY_256 | oid::KZ_KEY_512 => (Family::Gost(Kazakhstan2015), None),
        oid::KZ_SIGNATURE_256 => (Family::Gost(Kazakhstan2015), Some(Hash::Streebog256)),
        oid::KZ_SIGNATURE_512 => (Family::Gost(Kazakhstan2015), Some(Hash::Streebog512)),
        oid::KZ_KEY_2004 => (Family::Gost(Kazakhstan2004), None),
        oid::KZ_SIGNATURE_2004 | oid::KZ_GAMMA_2004 => {
            (Family::Gost(Kazakhstan2004), Some(Hash::Gost94Test))
        }
        _ => return Err(SchemeError::Unknown(algorithm.oid.clone())),
    })
}

const fn gost_hash(standard: GostStandard, size: usize) -> Hash {
    match (standard, size) {
        (GostStandard::Russia2001, _) => Hash::Gost94CryptoPro,
        (GostStandard::Kazakhstan2004, _) => Hash::Gost94Test,
        (_, 32) => Hash::Streebog256,
        _ => Hash::Streebog512,
    }
}

pub(crate) const fn byte_order(standard: GostStandard) -> ByteOrder {
    match standard {
        GostStandard::Russia2001 | GostStandard::Russia2012 => ByteOrder::BigEndianSr,
        GostStandard::Kazakhstan2004 | GostStandard::Kazakhstan2015 => ByteOrder::LittleEndianRs,
    }
}

/// Reads the hash and the salt length of `RSASSA-PSS-params` (RFC 4055 §3.1).
fn pss_parameters(algorithm: &Algorithm) -> Result<(Hash, usize), SchemeError> {
    let bad = SchemeError::Pss;
    let unreadable = |_| bad("they are malformed");
    let Some(parameters) = algorithm.real_parameters() else {
        return Err(bad("they are absent"));
    };
    let mut inside = Reader::new(parameters)
        .sequence("parameters")
        .map_err(unreadable)?;
    let mut field = |number| {
        inside
            .optional(tag::context_constructed(number))
            .map_err(unreadable)
    };
    let (hash, mask, salt, trailer) = (field(0)?, field(1)?, field(2)?, field(3)?);
    let read_hash = |mut reader: Reader<'_>| -> Result<Hash, SchemeError> {
        let named = Algorithm::read(&mut reader, "a hash").map_err(unreadable)?;
        Hash::from_algorithm(&named).ok_or(bad("the hash is unknown"))
    };
    let hash = hash.map_or(Ok(Hash::Sha1), |element| read_hash(element.inside()))?;
    let mask_hash = match mask {
        Some(element) => {
            let mut reader = element.inside();
            let mask = Algorithm::read(&mut reader, "a mask").map_err(unreadable)?;
            if mask.oid != oid::MGF1 {
                return Err(bad("the mask is not MGF1"));
            }
            let parameters = mask.real_parameters().ok_or(bad("MGF1 names no hash"))?;
            read_hash(Reader::new(parameters))?
        }
        None => Hash::Sha1,
    };
    if mask_hash != hash {
        return Err(bad("MGF1 has another hash"));
    }
    let number = |element: Option<crate::der::Element<'_>>, default| match element {
        Some(element) => {
            let inner = element
                .inside()
                .expect(tag::INTEGER, "a number")
                .map_err(unreadable)?;
            inner.small().map_err(unreadable)
        }
        None => Ok(default),
    };
    if number(trailer, 1)? != 1 {
        return Err(bad("the trailer is unknown"));
    }
    let salt = usize::try_from(number(salt, 20)?).map_err(|_| bad("the salt is too long"))?;
    if salt > 512 {
        return Err(bad("the salt is too long"));
    }
    Ok((hash, salt))
}

/// `DigestInfo` up to the digest (RFC 8017 §9.2). The RSA crate encodes the expected block and compares it, so
/// nothing in a signature is parsed.
pub(crate) fn pkcs1_prefix(hash: Hash) -> Option<Vec<u8>> {
    let algorithm = write::sequence(&[&write::oid(hash.pkcs1_oid()?), &write::null()]);
    let digest = write::octets(&vec![0; hash.size()]);
    let mut info = write::sequence(&[&algorithm, &digest]);
    info.truncate(info.len() - hash.size());
    Some(info)
}

fn rsa(
    scheme: impl SignatureScheme,
    modulus: &[u8],
    exponent: &[u8],
    digest: &[u8],
    signature: &[u8],
) -> bool {
    let number = BoxedUint::from_be_slice_vartime;
    // The key was checked when it was read. The RSA crate's own bounds are narrower, and an exponent beyond them does
    // not make a signature invalid.
    let key = rsa::PublicKey::new_unchecked(number(modulus), number(exponent));
    key.verify(scheme, digest, signature).is_ok()
}

fn pss(hash: Hash, salt: usize, key: (&[u8], &[u8]), digest: &[u8], signature: &[u8]) -> bool {
    macro_rules! with {
        ($digest:ty) => {
            rsa(
                Pss::<$digest>::new_with_salt(salt),
                key.0,
                key.1,
                digest,
                signature,
            )
        };
    }
    match hash {
        Hash::Sha1 => with!(sha1::Sha1),
        Hash::Sha224 => with!(sha2::Sha224),
        Hash::Sha256 => with!(sha2::Sha256),
        Hash::Sha384 => with!(sha2::Sha384),
        Hash::Sha512 => with!(sha2::Sha512),
        Hash::Sha3_256 => with!(sha3::Sha3_256),
        Hash::Sha3_384 => with!(sha3::Sha3_384),
        Hash::Sha3_512 => with!(sha3::Sha3_512),
        _ => false,
    }
}

fn ecdsa(curve: EcCurve, point: &[u8], digest: &[u8], signature: &[u8]) -> bool {
    use p256::ecdsa::signature::hazmat::PrehashVerifier;
    macro_rules! with {
        ($module:ident) => {{
            let Ok(key) = $module::ecdsa::VerifyingKey::from_sec1_bytes(point) else {
                return false;
            };
            let Some((r, s)) = ecdsa_values(signature, curve.size()) else {
                return false;
            };
            $module::ecdsa::Signature::from_slice(&[r, s].concat())
                .is_ok_and(|value| key.verify_prehash(digest, &value).is_ok())
        }};
    }
    match curve {
        EcCurve::P256 => with!(p256),
        EcCurve::P384 => with!(p384),
        EcCurve::P521 => with!(p521),
    }
}

impl EcCurve {
    /// The number of octets of a coordinate.
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// r and s of `ECDSA-Sig-Value` (RFC 3279 §2.2.3), each padded to the size of the curve.
fn ecdsa_values(signature: &[u8], size: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut reader = Reader::new(signature);
    let mut inside = reader.sequence("an ECDSA signature").ok()?;
    reader.end("an ECDSA signature").ok()?;
    let mut value = || -> Option<Vec<u8>> {
        let digits = inside.integer("a value").ok()?;
        let zeros = size.checked_sub(digits.len())?;
        Some([vec![0; zeros].as_slice(), digits].concat())
    };
    let pair = (value()?, value()?);
    // Only the DER encoding is accepted, so that a signature has exactly one form.
    let der = write::sequence(&[&write::integer(&pair.0), &write::integer(&pair.1)]);
    (inside.is_empty() && der == signature).then_some(pair)
}

fn ed25519(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let PublicKey::Ed25519(bytes) = key else {
        return false;
    };
    let Ok(signature) = ed25519_dalek::Signature::from_slice(signature) else {
        return false;
    };
    ed25519_dalek::VerifyingKey::from_bytes(bytes)
        .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecdsa_values_are_two_numbers_and_nothing_else() {
        let pair = |r: &[u8], s: &[u8]| write::sequence(&[&write::integer(r), &write::integer(s)]);
        let (r, s) = ecdsa_values(&pair(&[1], &[0x80; 32]), 32).unwrap();
        assert_eq!((r.len(), s.len()), (32, 32));
        assert_eq!(ecdsa_values(&pair(&[1; 33], &[1]), 32), None);
        let trailing = [pair(&[1], &[1]), vec![0]].concat();
        assert_eq!(ecdsa_values(&trailing, 32), None);
        let three = write::sequence(&[&write::integer(&[1]).repeat(3)]);
        assert_eq!(ecdsa_values(&three, 32), None);
        assert_eq!(ecdsa_values(&[0x30, 0], 32), None);
        let loose = write::sequence(&[&[2, 2, 0, 1], &[2, 1, 1]]);
        assert_eq!(ecdsa_values(&loose, 32), None, "not the shortest form");
        let long = [&[0x30, 0x81, 6][..], &[2, 1, 1, 2, 1, 1]].concat();
        assert_eq!(ecdsa_values(&long, 32), None);
    }

    #[test]
    fn the_prefix_of_pkcs1_is_the_published_one() {
        // RFC 8017 §9.2, note 1.
        assert_eq!(
            pkcs1_prefix(Hash::Sha256).unwrap(),
            [
                0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                0x01, 0x05, 0x00, 0x04, 0x20
            ]
        );
        assert_eq!(pkcs1_prefix(Hash::Streebog256), None);
    }

    #[test]
    fn parameters_of_pss_are_read_and_checked() {
        let hash = |dotted: &str| write::sequence(&[&write::oid(dotted), &write::null()]);
        let field =
            |number: u8, content: &[u8]| write::element(tag::context_constructed(number), content);
        let mask = |dotted: &str| write::sequence(&[&write::oid(oid::MGF1), &hash(dotted)]);
        let read = |fields: &[Vec<u8>]| {
            let parameters = write::sequence(&[&fields.concat()]);
            let bytes = write::sequence(&[&write::oid(oid::RSA_PSS), &parameters]);
            let algorithm = Algorithm::read(&mut Reader::new(&bytes), "an algorithm").unwrap();
            pss_parameters(&algorithm).ok()
        };
        let right = [field(0, &hash(oid::SHA256)), field(1, &mask(oid::SHA256))];
        assert_eq!(read(&right), Some((Hash::Sha256, 20)));
        let salt = field(2, &write::integer(&[32]));
        assert_eq!(read(&[right.concat(), salt]), Some((Hash::Sha256, 32)));
        assert_eq!(read(&[]), Some((Hash::Sha1, 20)));
        let other_mask = [field(0, &hash(oid::SHA256)), field(1, &mask(oid::SHA512))];
        assert_eq!(read(&other_mask), None);
        assert_eq!(
            read(&[right.concat(), field(3, &write::integer(&[2]))]),
            None
        );
        assert_eq!(
            read(&[right.concat(), field(2, &write::integer(&[9; 4]))]),
            None
        );
    }
}
