//! Hash functions and their identifiers.

use crate::algorithm::Algorithm;
use crate::der::{Reader, tag};
use crate::oid::{self, Oid};
use serde::{Deserialize, Serialize};
use sha1::Digest;

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hash {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha3_224,
    Sha3_256,
    Sha3_384,
    Sha3_512,
    /// GOST R 34.11-2012 (RFC 6986).
    Streebog256,
    Streebog512,
    /// GOST R 34.11-94 with the `CryptoPro` parameters (RFC 4357 §11.2). Used in Russia.
    Gost94CryptoPro,
    /// GOST R 34.11-94 with the test parameters: the Kazakh 34.311-95.
    Gost94Test,
}

impl Hash {
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => md5::Md5::digest(bytes).to_vec(),
            Self::Sha1 => sha1::Sha1::digest(bytes).to_vec(),
            Self::Sha224 => sha2::Sha224::digest(bytes).to_vec(),
            Self::Sha256 => sha2::Sha256::digest(bytes).to_vec(),
            Self::Sha384 => sha2::Sha384::digest(bytes).to_vec(),
            Self::Sha512 => sha2::Sha512::digest(bytes).to_vec(),
            Self::Sha3_224 => sha3::Sha3_224::digest(bytes).to_vec(),
            Self::Sha3_256 => sha3::Sha3_256::digest(bytes).to_vec(),
            Self::Sha3_384 => sha3::Sha3_384::digest(bytes).to_vec(),
            Self::Sha3_512 => sha3::Sha3_512::digest(bytes).to_vec(),
            Self::Streebog256 => streebog::Streebog256::digest(bytes).to_vec(),
            Self::Streebog512 => streebog::Streebog512::digest(bytes).to_vec(),
            Self::Gost94CryptoPro => gost94::Gost94CryptoPro::digest(bytes).to_vec(),
            Self::Gost94Test => gost94::Gost94Test::digest(bytes).to_vec(),
        }
    }

    /// The size of a digest in octets.
    pub const fn size(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha224 | Self::Sha3_224 => 28,
            Self::Sha384 | Self::Sha3_384 => 48,
            Self::Sha512 | Self::Sha3_512 | Self::Streebog512 => 64,
            Self::Sha256
            | Self::Sha3_256
            | Self::Streebog256
            | Self::Gost94CryptoPro
            | Self::Gost94Test => 32,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA-1",
            Self::Sha224 => "SHA-224",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
            Self::Sha3_224 => "SHA3-224",
            Self::Sha3_256 => "SHA3-256",
            Self::Sha3_384 => "SHA3-384",
            Self::Sha3_512 => "SHA3-512",
            Self::Streebog256 => "Streebog-256",
            Self::Streebog512 => "Streebog-512",
            Self::Gost94CryptoPro => "GOST R 34.11-94",
            Self::Gost94Test => "GOST 34.311-95",
        }
    }

    /// The hash with this identifier. `None` if it is not supported.
    pub(crate) fn from_algorithm(algorithm: &Algorithm) -> Option<Self> {
        if algorithm.oid == oid::KZ_GOST95
            && let Some(parameters) = algorithm.real_parameters()
        {
            let named = Reader::new(parameters)
                .expect(tag::OID, "parameters")
                .and_then(|e| Oid::from_content(e.content));
            return named
                .is_ok_and(|o| o == oid::KZ_GOST95_PARAMETERS)
                .then_some(Self::Gost94Test);
        }
        Self::from_oid(algorithm.oid.as_str())
    }

    pub(crate) fn from_oid(dotted: &str) -> Option<Self> {
        Some(match dotted {
            oid::MD5 => Self::Md5,
            oid::SHA1 => Self::Sha1,
            oid::SHA224 => Self::Sha224,
            oid::SHA256 => Self::Sha256,
            oid::SHA384 => Self::Sha384,
            oid::SHA512 => Self::Sha512,
            oid::SHA3_224 => Self::Sha3_224,
            oid::SHA3_256 => Self::Sha3_256,
            oid::SHA3_384 => Self::Sha3_384,
            oid::SHA3_512 => Self::Sha3_512,
            oid::RU_STREEBOG_256 | oid::KZ_STREEBOG_256 => Self::Streebog256,
            oid::RU_STREEBOG_512 | oid::KZ_STREEBOG_512 => Self::Streebog512,
            oid::RU_GOST94 => Self::Gost94CryptoPro,
            oid::KZ_GOST95 | oid::KZ_GOST95_PARAMETERS => Self::Gost94Test,
            _ => return None,
        })
    }

    /// The identifier in the `DigestInfo` of PKCS#1 signatures (RFC 8017 §9.2, RFC 8702).
    pub(crate) const fn pkcs1_oid(self) -> Option<&'static str> {
        Some(match self {
            Self::Md5 => oid::MD5,
            Self::Sha1 => oid::SHA1,
            Self::Sha224 => oid::SHA224,
            Self::Sha256 => oid::SHA256,
            Self::Sha384 => oid::SHA384,
            Self::Sha512 => oid::SHA512,
            Self::Sha3_224 => oid::SHA3_224,
            Self::Sha3_256 => oid::SHA3_256,
            Self::Sha3_384 => oid::SHA3_384,
            Self::Sha3_512 => oid::SHA3_512,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::hex;

    #[test]
    fn published_digests_come_out() {
        let m1 = b"012345678901234567890123456789012345678901234567890123456789012";
        for (hash, message, expected) in [
            (Hash::Md5, &b"abc"[..], "900150983cd24fb0d6963f7d28e17f72"),
            (
                Hash::Sha1,
                b"abc",
                "a9993e364706816aba3e25717850c26c9cd0d89d",
            ),
            (
                Hash::Sha256,
                b"abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                Hash::Sha3_256,
                b"abc",
                "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
            ),
            // RFC 6986 §10.1 prints the digest as a number, that is, in reverse.
            (
                Hash::Streebog512,
                m1,
                "1b54d01a4af5b9d5cc3d86d68d285462b19abc2475222f35c085122be4ba1ffa\
                 00ad30f8767b3a82384c6574f024c311e2a481332b08ef7f41797891c1646f48",
            ),
            (
                Hash::Streebog256,
                m1,
                "9d151eefd8590b89daa6ba6cb74af9275dd051026bb149a452fd84e5e57b5500",
            ),
            // RFC 5831 §7.3.1.
            (
                Hash::Gost94Test,
                b"This is message, length=32 bytes",
                "b1c466d37519b82e8319819ff32595e047a28cb6f83eff1c6916a815a637fffa",
            ),
        ] {
            assert_eq!(
                hex(&hash.digest(message)),
                expected.replace(' ', ""),
                "{hash:?}"
            );
            assert_eq!(hash.digest(message).len(), hash.size());
        }
    }
}
