//! X.509 certificates (RFC 5280 §4).

pub(crate) mod extension;
pub(crate) mod general_name;

use crate::algorithm::Algorithm;
use crate::der::{self, Element, Reader, tag};
use crate::error::{ReadError, Result, malformed};
use crate::hash::Hash;
use crate::key::{KeyError, PublicKey};
use crate::limits::Limits;
use crate::name::Name;
use crate::scheme::Scheme;
use crate::text;
use crate::time::Time;
use extension::Extensions;
use std::fmt::Write;
use std::ops::Range;

/// A certificate, with the bytes that its issuer signed.
#[derive(Clone, Debug)]
pub struct Certificate {
    raw: Vec<u8>,
    tbs: Range<usize>,
    spki: Range<usize>,
    pub version: u64,
    /// A big-endian two's complement number without redundant leading octets.
    pub serial: Vec<u8>,
    pub issuer: Name,
    pub subject: Name,
    pub not_before: Time,
    pub not_after: Time,
    pub(crate) key_algorithm: Algorithm,
    /// The bits of the subject's public key.
    pub(crate) key_bits: Vec<u8>,
    pub(crate) extensions: Extensions,
    pub(crate) signature_algorithm: Algorithm,
    pub(crate) signature: Vec<u8>,
}

/// The largest size of a certificate in bytes. A certificate is hashed once per candidate issuer.
const MAX_BYTES: usize = 64 << 10;

impl Certificate {
    /// Reads a certificate from DER, PEM or base64.
    pub fn read(input: &[u8]) -> Result<Self> {
        let limits = Limits::SMALL;
        Self::from_der(&text::one(input, limits.size)?)
    }

    /// Reads all certificates of a file, which may hold several PEM blocks.
    pub fn read_all(input: &[u8]) -> Result<Vec<Self>> {
        let limits = Limits::SMALL;
        let blocks = text::all(input, limits.size, limits.members)?;
        blocks.iter().map(|block| Self::from_der(block)).collect()
    }

    pub(crate) fn from_der(bytes: &[u8]) -> Result<Self> {
        der::check(bytes, &Limits::SMALL, "the certificate")?;
        Self::from_element(&Reader::new(bytes).expect(tag::SEQUENCE, "a certificate")?)
    }

    pub(crate) fn from_element(element: &Element<'_>) -> Result<Self> {
        let raw = element.raw;
        if raw.len() > MAX_BYTES {
            return Err(ReadError::TooLarge { limit: MAX_BYTES });
        }
        let mut outer = element.inside();
        let tbs = outer.expect(tag::SEQUENCE, "the body of a certificate")?;
        let signature_algorithm = Algorithm::read(&mut outer, "the signature algorithm")?;
        let signature = outer
            .expect(tag::BIT_STRING, "the signature of a certificate")?
            .bits()?;
        outer.end("a certificate")?;

        let mut inside = tbs.inside();
        let version = match inside.optional(tag::context_constructed(0))? {
            Some(explicit) => explicit
                .inside()
                .expect(tag::INTEGER, "the version of a certificate")?
                .small()?,
            None => 0,
        };
        let serial = inside.serial("the serial number")?.to_vec();
        let inner_algorithm = Algorithm::read(&mut inside, "the signature algorithm")?;
        // RFC 5280 §4.1.1.2: both fields must name the same algorithm.
        if !inner_algorithm.same(&signature_algorithm) {
            return Err(malformed("the signature algorithm of a certificate"));
        }
        let issuer = Name::read(&mut inside, "the issuer")?;
        let mut validity = inside.sequence("the validity")?;
        let not_before = Time::read(&mut validity, "the start of validity")?;
        let not_after = Time::read(&mut validity, "the end of validity")?;
        let subject = Name::read(&mut inside, "the subject")?;
        let spki = inside.expect(tag::SEQUENCE, "the public key")?;
        let mut key = spki.inside();
        let key_algorithm = Algorithm::read(&mut key, "the key algorithm")?;
        let key_bits = key
            .expect(tag::BIT_STRING, "the public key")?
            .bits()?
            .to_vec();
        // The unique identifiers of version 2 are skipped.
        for number in [1, 2] {
            inside.optional(tag::context(number))?;
        }
        let extensions = match inside.optional(tag::context_constructed(3))? {
            Some(explicit) => Extensions::read(&mut explicit.inside())?,
            None => Extensions::default(),
        };
        inside.end("the body of a certificate")?;
        if version > 2 {
            return Err(malformed("the version of a certificate"));
        }
        Ok(Self {
            tbs: range(raw, tbs.raw),
            spki: range(raw, spki.raw),
            raw: raw.to_vec(),
            version: version + 1,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            key_algorithm,
            key_bits,
            extensions,
            signature_algorithm,
            signature: signature.to_vec(),
        })
    }

    /// The whole certificate as received.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The bytes that the issuer signed.
    pub(crate) fn tbs(&self) -> &[u8] {
        &self.raw[self.tbs.clone()]
    }

    /// The `SubjectPublicKeyInfo` as received.
    pub fn spki(&self) -> &[u8] {
        &self.raw[self.spki.clone()]
    }

    pub fn public_key(&self) -> std::result::Result<PublicKey, KeyError> {
        PublicKey::from_spki(&self.key_algorithm, &self.key_bits)
    }

    /// SHA-256 of the encoded certificate in hex. Anchors are pinned by it.
    pub fn fingerprint(&self) -> String {
        hex(&Hash::Sha256.digest(&self.raw))
    }

    pub fn serial_hex(&self) -> String {
        match der::strip_zeros(&self.serial) {
            [] => "00".to_owned(),
            digits => hex(digits),
        }
    }

    /// True if `issuer` has the name of this certificate's issuer, and its key verifies the signature.
    pub fn is_issued_by(&self, issuer: &Self) -> bool {
        let Ok(key) = issuer.public_key() else {
            return false;
        };
        let scheme = Scheme::resolve(&self.signature_algorithm, None, &key);
        self.issuer.same(&issuer.subject)
            && scheme.is_ok_and(|scheme| scheme.verify(&key, self.tbs(), &self.signature))
    }

    /// True if subject and issuer are the same name.
    pub fn self_issued(&self) -> bool {
        self.subject.same(&self.issuer)
    }

    pub fn is_ca(&self) -> bool {
        self.extensions.basic_constraints.is_some_and(|b| b.ca)
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl Eq for Certificate {}

/// The range of `part`, a slice of `whole`, within it.
pub(crate) fn range(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.len()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A certificate of a list, or the error in its place: an unreadable certificate is reported and skipped.
pub(crate) type Readable = std::result::Result<Certificate, ReadError>;
