//! CMS signatures, with every part open to change.

use super::{Identity, explicit, x509_time};
use crate::der::{self, Reader, tag, write};
use crate::hash::Hash;
use crate::oid;
use crate::time::Time;

/// An attribute with one value.
pub fn attribute(kind: &str, value: &[u8]) -> Vec<u8> {
    write::sequence(&[&write::oid(kind), &write::element(tag::SET, value)])
}

/// An unsigned `SignerInfo`.
#[derive(Clone)]
pub struct Signer {
    pub identity: Identity,
    /// `None` for the version that matches the signer's id.
    pub version: Option<u8>,
    /// True if the signer is named by key id, otherwise by issuer and serial number.
    pub by_key_id: bool,
    pub hash: Hash,
    pub digest_oid: &'static str,
    /// An `AlgorithmIdentifier`. `None` for the one of key and hash.
    pub signature_algorithm: Option<Vec<u8>>,
    /// `None` if the content itself is signed.
    pub attributes: Option<Vec<Vec<u8>>>,
    /// True if the attributes are signed as listed, otherwise in DER order.
    pub unsorted: bool,
    /// The bytes that are signed without attributes.
    pub content: Vec<u8>,
    pub unsigned: Vec<Vec<u8>>,
    /// A signature value in place of the computed one.
    pub value: Option<Vec<u8>>,
}

impl Signer {
    /// A CAdES-B signer: content type, message digest, signing time, signing certificate.
    pub fn new(identity: &Identity, content: &[u8], time: Time) -> Self {
        Self::of_type(identity, content, oid::DATA, Some(time))
    }

    pub fn of_type(identity: &Identity, content: &[u8], kind: &str, time: Option<Time>) -> Self {
        let hash = identity.key.hash();
        let mut attributes = vec![
            attribute(oid::CONTENT_TYPE, &write::oid(kind)),
            attribute(oid::MESSAGE_DIGEST, &write::octets(&hash.digest(content))),
            Self::signing_certificate(identity),
        ];
        attributes.extend(time.map(|time| attribute(oid::SIGNING_TIME, &x509_time(time))));
        Self {
            identity: identity.clone(),
            version: None,
            by_key_id: false,
            hash,
            digest_oid: identity.key.hash_oid(hash),
            signature_algorithm: None,
            attributes: Some(attributes),
            unsorted: false,
            content: content.to_vec(),
            unsigned: Vec::new(),
            value: None,
        }
    }

    /// A signer of a counter-signature over a signature value, without a content type.
    pub fn counter(identity: &Identity, value: &[u8]) -> Self {
        let mut signer = Self::new(identity, value, super::NOW);
        signer.remove(oid::CONTENT_TYPE);
        signer
    }

    /// The signingCertificateV2 attribute with SHA-256 and the hash only, as the Kazakh software writes it.
    pub fn signing_certificate(identity: &Identity) -> Vec<u8> {
        let digest = write::octets(&Hash::Sha256.digest(&identity.der));
        let ids = write::sequence(&[&write::sequence(&[&digest])]);
        attribute(oid::SIGNING_CERTIFICATE_V2, &write::sequence(&[&ids]))
    }

    /// Changes the hash and updates the message digest.
    #[must_use]
    pub fn with_hash(mut self, hash: Hash) -> Self {
        self.hash = hash;
        self.digest_oid = self.identity.key.hash_oid(hash);
        let digest = write::octets(&hash.digest(&self.content));
        self.replace(oid::MESSAGE_DIGEST, &digest);
        self
    }

    /// Removes the signed attributes of this type.
    pub fn remove(&mut self, kind: &str) {
        let kind = write::oid(kind);
        if let Some(list) = &mut self.attributes {
            list.retain(|raw| {
                let mut reader = Reader::new(raw);
                let first = reader
                    .sequence("an attribute")
                    .and_then(|mut inside| inside.any());
                first.is_ok_and(|first| first.raw != kind)
            });
        }
    }

    pub fn add(&mut self, raw: Vec<u8>) {
        self.attributes.get_or_insert_default().push(raw);
    }

    pub fn replace(&mut self, kind: &str, value: &[u8]) {
        self.remove(kind);
        self.add(attribute(kind, value));
    }

    pub fn digest_algorithm(&self) -> Vec<u8> {
        write::sequence(&[&write::oid(self.digest_oid), &write::null()])
    }

    pub fn algorithm(&self) -> Vec<u8> {
        let usual = || self.identity.key.signature_algorithm(self.hash);
        self.signature_algorithm.clone().unwrap_or_else(usual)
    }

    fn set(&self) -> Option<Vec<u8>> {
        let mut list = self.attributes.clone()?;
        if !self.unsorted {
            list.sort();
        }
        Some(write::element(tag::SET, &list.concat()))
    }

    /// The signature value.
    pub fn signature(&self) -> Vec<u8> {
        let message = self.set().unwrap_or_else(|| self.content.clone());
        let made = || self.identity.key.sign(self.hash, &message);
        self.value.clone().unwrap_or_else(made)
    }

    /// The fields from version to signature.
    pub fn signed_part(&self) -> Vec<u8> {
        let certificate = self.identity.certificate();
        let id = if self.by_key_id {
            write::element(tag::context(0), &self.identity.key_id())
        } else {
            let serial = write::element(tag::INTEGER, &certificate.serial);
            write::sequence(&[certificate.issuer.raw(), &serial])
        };
        let attributes = self.set().map_or_else(Vec::new, |mut set| {
            set[0] = tag::context_constructed(0);
            set
        });
        let usual = if self.by_key_id { 3 } else { 1 };
        [
            write::integer(&[self.version.unwrap_or(usual)]),
            id,
            self.digest_algorithm(),
            attributes,
            self.algorithm(),
            write::octets(&self.signature()),
        ]
        .concat()
    }

    /// The `SignerInfo`.
    pub fn encode(&self) -> Vec<u8> {
        let unsigned = if self.unsigned.is_empty() {
            Vec::new()
        } else {
            explicit(1, &self.unsigned.concat())
        };
        write::sequence(&[&self.signed_part(), &unsigned])
    }
}

/// A `SignedData` with signers.
#[derive(Clone)]
pub struct Cms {
    pub version: u8,
    pub content_type: &'static str,
    /// `None` in a detached signature.
    pub content: Option<Vec<u8>>,
    pub certificates: Vec<Vec<u8>>,
    /// Encoded `RevocationInfoChoice` values.
    pub revocation: Vec<Vec<u8>>,
    pub signers: Vec<Vec<u8>>,
}

impl Cms {
    /// An attached signature with the certificates of its signers.
    pub fn attached(content: &[u8], signers: &[&Signer]) -> Self {
        Self {
            version: if signers.iter().any(|s| s.by_key_id) {
                3
            } else {
                1
            },
            content_type: oid::DATA,
            content: Some(content.to_vec()),
            certificates: signers.iter().map(|s| s.identity.der.clone()).collect(),
            revocation: Vec::new(),
            signers: signers.iter().map(|s| s.encode()).collect(),
        }
    }

    pub fn detached(signers: &[&Signer]) -> Self {
        Self {
            content: None,
            ..Self::attached(&[], signers)
        }
    }

    /// Adds an OCSP response (RFC 5940).
    pub fn add_ocsp(&mut self, response: &[u8]) {
        let choice = [write::oid(oid::RI_OCSP_RESPONSE), response.to_vec()].concat();
        self.revocation.push(explicit(1, &choice));
        self.version = 5;
    }

    pub fn encode(&self) -> Vec<u8> {
        let digests = self.signers.iter().filter_map(|raw| {
            let mut inside = Reader::new(raw).sequence("a signer").ok()?;
            inside.any().ok()?;
            inside.any().ok()?;
            Some(inside.any().ok()?.raw.to_vec())
        });
        let mut digests: Vec<Vec<u8>> = digests.collect();
        digests.dedup();
        let content = self.content.as_ref();
        let content = content.map_or_else(Vec::new, |c| explicit(0, &write::octets(c)));
        let certificates = &self.certificates;
        let certificates = if certificates.is_empty() {
            Vec::new()
        } else {
            explicit(0, &certificates.concat())
        };
        let revocation = &self.revocation;
        let revocation = if revocation.is_empty() {
            Vec::new()
        } else {
            explicit(1, &revocation.concat())
        };
        let body = write::sequence(&[
            &write::integer(&[self.version]),
            &write::set_of(digests),
            &write::sequence(&[&write::oid(self.content_type), &content]),
            &certificates,
            &revocation,
            &write::element(tag::SET, &self.signers.concat()),
        ]);
        write::sequence(&[&write::oid(oid::SIGNED_DATA), &explicit(0, &body)])
    }
}

/// Encodes the value in BER: indefinite lengths down to this depth, and octet strings there in two segments.
pub fn indefinite(bytes: &[u8], depth: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Ok(element) = reader.any() {
        out.extend(indefinite_element(&element, depth));
    }
    out
}

fn indefinite_element(element: &der::Element<'_>, depth: usize) -> Vec<u8> {
    let loose = |tag: u8, content: &[u8]| [&[tag, 0x80], content, &[0, 0]].concat();
    if depth == 0 {
        return element.raw.to_vec();
    }
    if element.constructed() {
        return loose(element.tag, &indefinite(element.content, depth - 1));
    }
    if element.tag == tag::OCTET_STRING {
        let (a, b) = element.content.split_at(element.content.len() / 2);
        let pieces = [write::octets(a), write::octets(b)].concat();
        return loose(tag::OCTET_STRING | tag::CONSTRUCTED, &pieces);
    }
    element.raw.to_vec()
}
