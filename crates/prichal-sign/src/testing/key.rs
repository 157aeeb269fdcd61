//! Private keys derived from a word, and their signatures.

#![expect(
    clippy::expect_used,
    reason = "keys of tests are right, or the test is wrong"
)]

use crate::algorithm::Algorithm;
use crate::der::{Reader, write};
use crate::gost;
use crate::gost::curve::{self, Parameters};
use crate::hash::Hash;
use crate::key::{EcCurve, GostStandard, PublicKey};
use crate::oid;
use crate::scheme::{self, Scheme};
use crate::testing::{bits, explicit};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, Pkcs1v15Sign, Pss, rand_core};
use std::convert::Infallible;

/// A private key.
#[derive(Clone)]
pub enum Key {
    Rsa {
        key: Box<rsa::PrivateKey>,
        pss: bool,
    },
    Ec {
        curve: EcCurve,
        secret: Vec<u8>,
    },
    Ed25519([u8; 32]),
    Gost {
        standard: GostStandard,
        curve: &'static Parameters,
        /// The identifier of the curve in certificates.
        curve_oid: &'static str,
        secret: Vec<u8>,
    },
}

/// The public half of a key, as read from a certificate, with its signature scheme.
pub struct Verifier {
    key: PublicKey,
    scheme: Scheme,
}

impl Verifier {
    pub fn of(key: &Key) -> Self {
        let read = |spki: &[u8], algorithm: &[u8]| {
            let mut inside = Reader::new(spki).sequence("a key")?;
            let named = Algorithm::read(&mut inside, "the algorithm of a key")?;
            let bits = inside.any()?.bits()?;
            let signature = Algorithm::read(&mut Reader::new(algorithm), "an algorithm")?;
            Ok::<_, crate::ReadError>((named, bits.to_vec(), signature))
        };
        let (spki, algorithm) = (key.spki(), key.signature_algorithm(key.hash()));
        let (named, bits, signature) = read(&spki, &algorithm).expect("the key is readable");
        let key = PublicKey::from_spki(&named, &bits).expect("the key is right");
        let scheme = Scheme::resolve(&signature, None, &key).expect("the key has a scheme");
        Self { key, scheme }
    }

    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.scheme.verify(&self.key, message, signature)
    }
}

/// The primes of three RSA keys. Generating keys would take longer than all tests together.
const RSA_2048_A: [&str; 2] = [
    "c00344d2ea8595f8da86d25dce51e48a6015c20e061ae5c6ba50b44467da1297\
     3f218ea73b948e7163e5b325ea0458f72f569a11a8ac66c11db75b2cad7b9e58\
     1c20941f3b754c5f3139e576738e5cf63e3404b61acadd83143284f991942857\
     36544b1cfcadee62dbecc8bbf9b07cf63ccd5ba4ed2bab0da07fb92d8028d8d5",
    "bdd9a877e8aa6a1c8017cc836e322ca18e99bca2bbf4a7e371d185c04fd087fd\
     7461d05d466e06424a57463d75c4c71eeb18711a2eddda4ddc9c8d72f7f4adf1\
     8e0858a49c8fd91027123f5fac7637e2f2f9fa3484ab2c1eeb1b89f1ca3db938\
     4f1d836bb7832faec7c0a4ab194d0a140d40caa0ace198b7af94ad3bb00afac1",
];
const RSA_2048_B: [&str; 2] = [
    "dee7190c39fbe2a95b49ab750807e1da8a0a083f39ecaa1602496e96c02a1ebc\
     8d0a758cd28c2dd1f9428d1dbb13bb65c3e5c5af53b08a84232dfd4574b67bb8\
     34c899a0fbedba3ec8aa8009fb0c8479918120a9ece3cb464c587a3350842c53\
     e1a0c264eb80941b7501ea97dca235a6815bbf7ace8933b620b738d041680247",
    "ca9c35939baab180207d7801e8fa970a4c5b8ec22cecfd9126490c4c1da5c83d\
     740ecf70adcdf102fdc6df0cab3f08a2ec11daf1bba1c857556061622cce88c8\
     efdee27b827088302f080bbfc9ce3ea0e3aa551c03e4d5349fd13cc5b735819c\
     40585f35e4ab1c0f8d81c628fc3b688cbdcc3fdbf56df20b1a697b0d430736b1",
];
const RSA_1024: [&str; 2] = [
    "f6074f4c4c4ba54a911faba4a7d2366c3699e9da99d60efb15d0fa6f23421bec\
     982f4ccd0270408934d11616b4ffa715187d342a5ece551c585f533dcf06f371",
    "dbddb54aa42fe81783cae6a047e2b08e9bb4f0fe7b17c84c1ae7971894ebcedc\
     be74ea71531a102a90474673a29b0202bdcae02a1c082d16462a8189e6cc5e99",
];

impl Key {
    /// One of two RSA keys of 2048 bits.
    pub fn rsa(first: bool) -> Self {
        Self::from_primes(if first { RSA_2048_A } else { RSA_2048_B }, false)
    }

    /// An RSA key with another big-endian exponent. None if the exponent has no inverse.
    pub fn rsa_with_exponent(exponent: &[u8]) -> Option<Self> {
        let exponent = BoxedUint::from_be_slice_vartime(exponent);
        let [p, q] = RSA_2048_A.map(prime);
        let key = rsa::PrivateKey::from_p_q(p, q, exponent).ok()?;
        let key = Box::new(key);
        Some(Self::Rsa { key, pss: false })
    }

    pub fn rsa_pss() -> Self {
        Self::from_primes(RSA_2048_B, true)
    }

    /// A key that is too short for every policy.
    pub fn rsa_1024() -> Self {
        Self::from_primes(RSA_1024, false)
    }

    fn from_primes(primes: [&str; 2], pss: bool) -> Self {
        let [p, q] = primes.map(prime);
        let exponent = BoxedUint::from(65_537_u64);
        let key = rsa::PrivateKey::from_p_q(p, q, exponent).expect("the numbers are primes");
        Self::Rsa {
            key: Box::new(key),
            pss,
        }
    }

    pub fn p256(word: &str) -> Self {
        Self::ec(EcCurve::P256, word)
    }

    pub fn ec(curve: EcCurve, word: &str) -> Self {
        let mut secret = Hash::Sha512.digest(word.as_bytes());
        secret.resize(curve.size(), 1);
        // Smaller than the order of every curve.
        secret[0] = 0;
        Self::Ec { curve, secret }
    }

    pub fn ed25519(word: &str) -> Self {
        let mut secret = [0; 32];
        secret.copy_from_slice(&Hash::Sha256.digest(word.as_bytes()));
        Self::Ed25519(secret)
    }

    /// A Kazakh key of 34.10-2015, 512 bits.
    pub fn kz(word: &str) -> Self {
        Self::gost(GostStandard::Kazakhstan2015, "1.2.398.3.10.1.1.2.2.1", word)
    }

    /// A Kazakh key of 34.10-2015, 256 bits.
    pub fn kz_256(word: &str) -> Self {
        Self::gost(GostStandard::Kazakhstan2015, "1.2.398.3.10.1.1.2.1.1", word)
    }

    /// A Kazakh key of 34.310-2004.
    pub fn kz_2004(word: &str) -> Self {
        Self::gost(GostStandard::Kazakhstan2004, "1.2.398.3.10.1.1.1.1.1", word)
    }

    /// A Russian key of GOST R 34.10-2012, 256 bits.
    pub fn ru(word: &str) -> Self {
        Self::gost(GostStandard::Russia2012, "1.2.643.2.2.35.1", word)
    }

    /// A GOST key on the curve of this identifier.
    pub fn gost(standard: GostStandard, curve_oid: &'static str, word: &str) -> Self {
        Self::Gost {
            standard,
            curve: curve::find(curve_oid).expect("the curve is known"),
            curve_oid,
            secret: Hash::Sha256.digest(word.as_bytes()),
        }
    }

    /// The usual hash of the key.
    pub fn hash(&self) -> Hash {
        match self {
            Self::Rsa { .. } => Hash::Sha256,
            Self::Ec { curve, .. } => match curve {
                EcCurve::P256 => Hash::Sha256,
                EcCurve::P384 => Hash::Sha384,
                EcCurve::P521 => Hash::Sha512,
            },
            Self::Ed25519(_) => Hash::Sha512,
            Self::Gost {
                standard, curve, ..
            } => match standard {
                GostStandard::Russia2001 => Hash::Gost94CryptoPro,
                GostStandard::Kazakhstan2004 => Hash::Gost94Test,
                _ if curve.size == 32 => Hash::Streebog256,
                _ => Hash::Streebog512,
            },
        }
    }

    /// The identifier of a hash in the key's country.
    pub fn hash_oid(&self, hash: Hash) -> &'static str {
        let kazakh = matches!(
            self,
            Self::Gost {
                standard: GostStandard::Kazakhstan2015 | GostStandard::Kazakhstan2004,
                ..
            }
        );
        match hash {
            Hash::Streebog256 if kazakh => oid::KZ_STREEBOG_256,
            Hash::Streebog512 if kazakh => oid::KZ_STREEBOG_512,
            Hash::Streebog256 => oid::RU_STREEBOG_256,
            Hash::Streebog512 => oid::RU_STREEBOG_512,
            Hash::Gost94Test => oid::KZ_GOST95,
            Hash::Gost94CryptoPro => oid::RU_GOST94,
            other => other.pkcs1_oid().expect("every other hash has one"),
        }
    }

    /// `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> Vec<u8> {
        match self {
            Self::Rsa { key, .. } => {
                let number = |n: &[u8]| write::integer(n);
                let (n, e) = (key.n().as_ref().to_be_bytes(), key.e().to_be_bytes());
                let public = write::sequence(&[&number(&n), &number(&e)]);
                let algorithm = write::sequence(&[&write::oid(oid::RSA), &write::null()]);
                write::sequence(&[&algorithm, &bits(&public)])
            }
            Self::Ec { curve, secret } => {
                let (named, point) = ec_public(*curve, secret);
                let algorithm = write::sequence(&[&write::oid(oid::EC), &write::oid(named)]);
                write::sequence(&[&algorithm, &bits(&point)])
            }
            Self::Ed25519(secret) => {
                let key = ed25519_dalek::SigningKey::from_bytes(secret).verifying_key();
                let algorithm = write::sequence(&[&write::oid(oid::ED25519)]);
                write::sequence(&[&algorithm, &bits(key.as_bytes())])
            }
            Self::Gost {
                standard,
                curve,
                curve_oid,
                secret,
            } => {
                let kind = match (standard, curve.size) {
                    (GostStandard::Russia2012, 32) => oid::RU_KEY_256,
                    (GostStandard::Russia2012, _) => oid::RU_KEY_512,
                    (GostStandard::Russia2001, _) => oid::RU_KEY_2001,
                    (GostStandard::Kazakhstan2015, 32) => oid::KZ_KEY_256,
                    (GostStandard::Kazakhstan2015, _) => oid::KZ_KEY_512,
                    (GostStandard::Kazakhstan2004, _) => oid::KZ_KEY_2004,
                };
                let (x, y) = gost::public_key(curve, secret).expect("the secret is not zero");
                let hash = write::oid(self.hash_oid(self.hash()));
                let parameters = write::sequence(&[&write::oid(curve_oid), &hash]);
                let algorithm = write::sequence(&[&write::oid(kind), &parameters]);
                write::sequence(&[&algorithm, &bits(&write::octets(&[x, y].concat()))])
            }
        }
    }

    /// `AlgorithmIdentifier` of a signature with this hash.
    pub fn signature_algorithm(&self, hash: Hash) -> Vec<u8> {
        let named = |dotted| write::sequence(&[&write::oid(dotted), &write::null()]);
        match self {
            Self::Rsa { pss: true, .. } => pss_algorithm(hash),
            Self::Rsa { .. } => named(match hash {
                Hash::Md5 => oid::MD5_RSA,
                Hash::Sha1 => oid::SHA1_RSA,
                Hash::Sha224 => oid::SHA224_RSA,
                Hash::Sha384 => oid::SHA384_RSA,
                Hash::Sha512 => oid::SHA512_RSA,
                _ => oid::SHA256_RSA,
            }),
            Self::Ec { .. } => write::sequence(&[&write::oid(match hash {
                Hash::Sha1 => oid::SHA1_ECDSA,
                Hash::Sha224 => oid::SHA224_ECDSA,
                Hash::Sha384 => oid::SHA384_ECDSA,
                Hash::Sha512 => oid::SHA512_ECDSA,
                _ => oid::SHA256_ECDSA,
            })]),
            Self::Ed25519(_) => write::sequence(&[&write::oid(oid::ED25519)]),
            Self::Gost {
                standard, curve, ..
            } => named(match (standard, curve.size) {
                (GostStandard::Russia2012, 32) => oid::RU_SIGNATURE_256,
                (GostStandard::Russia2012, _) => oid::RU_SIGNATURE_512,
                (GostStandard::Russia2001, _) => oid::RU_SIGNATURE_2001,
                (GostStandard::Kazakhstan2015, 32) => oid::KZ_SIGNATURE_256,
                (GostStandard::Kazakhstan2015, _) => oid::KZ_SIGNATURE_512,
                (GostStandard::Kazakhstan2004, _) => oid::KZ_SIGNATURE_2004,
            }),
        }
    }

    /// Signs the message. The result is deterministic.
    pub fn sign(&self, hash: Hash, message: &[u8]) -> Vec<u8> {
        let digest = hash.digest(message);
        match self {
            Self::Rsa { key, pss } => rsa_sign(key, *pss, hash, &digest),
            Self::Ec { curve, secret } => ec_sign(*curve, secret, &digest),
            Self::Ed25519(secret) => {
                use ed25519_dalek::Signer;
                let key = ed25519_dalek::SigningKey::from_bytes(secret);
                key.sign(message).to_bytes().to_vec()
            }
            Self::Gost {
                standard,
                curve,
                secret,
                ..
            } => {
                let order = scheme::byte_order(*standard);
                let k = Hash::Sha256.digest(&[secret.as_slice(), &digest].concat());
                gost::sign(curve, secret, &k, &digest, order).expect("the hash fits the curve")
            }
        }
    }
}

fn pss_algorithm(hash: Hash) -> Vec<u8> {
    let named = hash.pkcs1_oid().expect("PSS goes with such hashes only");
    let hash_algorithm = write::sequence(&[&write::oid(named), &write::null()]);
    let mask = write::sequence(&[&write::oid(oid::MGF1), &hash_algorithm]);
    let salt = write::integer(&[u8::try_from(hash.size()).expect("hashes are short")]);
    let parameters = write::sequence(&[
        &explicit(0, &hash_algorithm),
        &explicit(1, &mask),
        &explicit(2, &salt),
    ]);
    write::sequence(&[&write::oid(oid::RSA_PSS), &parameters])
}

/// A number from hexadecimal digits.
fn prime(hex: &str) -> BoxedUint {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(&String::from_utf8_lossy(pair), 16);
    let bytes: Result<Vec<u8>, _> = digits.chunks(2).map(pair).collect();
    BoxedUint::from_be_slice_vartime(&bytes.expect("the digits are hexadecimal"))
}

fn rsa_sign(key: &rsa::PrivateKey, pss: bool, hash: Hash, digest: &[u8]) -> Vec<u8> {
    let signed = if pss {
        match hash {
            Hash::Sha384 => key.sign_with_rng(&mut NotRandom, Pss::<sha2::Sha384>::new(), digest),
            Hash::Sha512 => key.sign_with_rng(&mut NotRandom, Pss::<sha2::Sha512>::new(), digest),
            _ => key.sign_with_rng(&mut NotRandom, Pss::<sha2::Sha256>::new(), digest),
        }
    } else {
        let prefix = scheme::pkcs1_prefix(hash).expect("PKCS#1 goes with such hashes only");
        let scheme = Pkcs1v15Sign {
            hash_len: Some(hash.size()),
            prefix: prefix.into(),
        };
        key.sign(scheme, digest)
    };
    signed.expect("the key is long enough")
}

fn ec_public(curve: EcCurve, secret: &[u8]) -> (&'static str, Vec<u8>) {
    macro_rules! point {
        ($module:ident) => {
            $module::ecdsa::SigningKey::from_slice(secret)
                .expect("the secret is below the order")
                .verifying_key()
                .to_sec1_point(false)
                .as_bytes()
                .to_vec()
        };
    }
    match curve {
        EcCurve::P256 => (oid::P256, point!(p256)),
        EcCurve::P384 => (oid::P384, point!(p384)),
        EcCurve::P521 => (oid::P521, point!(p521)),
    }
}

fn ec_sign(curve: EcCurve, secret: &[u8], digest: &[u8]) -> Vec<u8> {
    macro_rules! sign {
        ($module:ident) => {{
            let key = $module::ecdsa::SigningKey::from_slice(secret)
                .expect("the secret is below the order");
            let value: $module::ecdsa::Signature =
                key.sign_prehash(digest).expect("the digest is long enough");
            value.to_bytes().to_vec()
        }};
    }
    let value = match curve {
        EcCurve::P256 => sign!(p256),
        EcCurve::P384 => sign!(p384),
        EcCurve::P521 => sign!(p521),
    };
    let (r, s) = value.split_at(value.len() / 2);
    write::sequence(&[&write::integer(r), &write::integer(s)])
}

/// A deterministic generator, so that the tests are repeatable.
struct NotRandom;

impl rand_core::TryRng for NotRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0x5eed_5eed)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0x5eed_5eed_5eed_5eed)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(0x5e);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for NotRandom {}
