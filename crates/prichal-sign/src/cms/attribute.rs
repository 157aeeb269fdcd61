//! Attributes of CMS and their values: RFC 5652 §11, RFC 5035, RFC 6211, EN 319 122-1.

use crate::algorithm::Algorithm;
use crate::certificate::general_name::GeneralName;
use crate::certificate::{Certificate, range};
use crate::cms::Evidence;
use crate::crl::Crl;
use crate::der::{Element, Reader, tag};
use crate::error::{ReadError, Result};
use crate::limits::Limits;
use crate::ocsp::Ocsp;
use crate::oid::{self, Oid};
use crate::reason::{Reason, reason};
use crate::time::Time;
use std::ops::Range;

/// An attribute. Its values are kept as encoded bytes, so that many small values need no memory of their own.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    pub oid: Oid,
    pub raw: Vec<u8>,
    /// The range of the encoded type, for the hash index of archive time-stamps.
    kind: Range<usize>,
    set: Range<usize>,
    /// The number of values.
    pub count: usize,
}

/// The largest number of unreadable attributes that are reported.
const MAX_REPORTED_UNREADABLE: usize = 16;

const fn too_many(what: &'static str, limits: &Limits) -> ReadError {
    ReadError::TooMany {
        what,
        limit: limits.members,
    }
}

impl Attribute {
    /// Reads the members of a set of attributes.
    pub(crate) fn read_all(mut set: Reader<'_>, limits: &Limits) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        while !set.is_empty() {
            let read = Self::read(&set.any()?, limits)?;
            if found.len() >= limits.members {
                return Err(too_many("attributes", limits));
            }
            found.push(read);
        }
        Ok(found)
    }

    /// Reads unsigned attributes, and returns the errors of unreadable ones. An appended attribute
    /// must not make the signature unreadable.
    pub(crate) fn read_appended(
        mut set: Reader<'_>,
        limits: &Limits,
    ) -> Result<(Vec<Self>, Vec<Reason>)> {
        let (mut found, mut unreadable_attributes) = (Vec::new(), Vec::new());
        while !set.is_empty() {
            match Self::read(&set.any()?, limits) {
                Ok(read) if found.len() < limits.members => found.push(read),
                other if unreadable_attributes.len() < MAX_REPORTED_UNREADABLE => {
                    let error = other
                        .err()
                        .unwrap_or_else(|| too_many("attributes", limits));
                    unreadable_attributes.push(reason!("an unsigned attribute: {error}"));
                }
                _ => {}
            }
        }
        Ok((found, unreadable_attributes))
    }

    fn read(element: &Element<'_>, limits: &Limits) -> Result<Self> {
        if element.tag != tag::SEQUENCE {
            return Err(ReadError::Unexpected {
                what: "an attribute",
            });
        }
        let mut inside = element.inside();
        let kind = inside.expect(tag::OID, "the type of an attribute")?;
        let set = inside.expect(tag::SET, "the values of an attribute")?;
        let mut members = set.inside();
        inside.end("an attribute")?;
        let mut count = 0;
        while !members.is_empty() {
            members.any()?;
            count += 1;
        }
        if count > limits.members {
            return Err(too_many("values of an attribute", limits));
        }
        Ok(Self {
            oid: Oid::from_content(kind.content)?,
            kind: range(element.raw, kind.raw),
            set: range(element.raw, set.content),
            raw: element.raw.to_vec(),
            count,
        })
    }

    pub(crate) fn kind(&self) -> &[u8] {
        &self.raw[self.kind.clone()]
    }

    /// The encoded values.
    pub(crate) fn values(&self) -> impl Iterator<Item = &[u8]> {
        let mut members = Reader::new(&self.raw[self.set.clone()]);
        // The values were checked when the attribute was read, so the reader finds no error.
        std::iter::from_fn(move || members.any().ok().map(|element| element.raw))
    }
}

/// `ESSCertID` or `ESSCertIDv2` (RFC 5035 §3 and §4): the certificate that the signer meant.
#[derive(Clone, Debug)]
pub(crate) struct CertificateId {
    /// `None` for the default: SHA-1 in version 1, SHA-256 in version 2.
    pub hash: Option<Algorithm>,
    pub digest: Vec<u8>,
    pub issuer_serial: Option<(Vec<GeneralName>, Vec<u8>)>,
}

/// Reads the ids in a value of signingCertificate (version 1) or signingCertificateV2.
pub(crate) fn certificate_ids(value: &[u8], version: u8) -> Result<Vec<CertificateId>> {
    let mut inside = Reader::new(value).sequence("the signing certificate")?;
    let mut list = inside.sequence("the signing certificate's ids")?;
    let mut ids = Vec::new();
    while !list.is_empty() {
        if ids.len() >= 64 {
            return Err(ReadError::TooMany {
                what: "signing certificate ids",
                limit: 64,
            });
        }
        let mut id = list.sequence("a signing certificate id")?;
        let hash = if version == 2 && id.peek() == Some(tag::SEQUENCE) {
            Some(Algorithm::read(
                &mut id,
                "the hash of a signing certificate id",
            )?)
        } else {
            None
        };
        let digest = id
            .octet_string("the hash of a signing certificate")?
            .into_owned();
        let issuer_serial = match id.optional(tag::SEQUENCE)? {
            Some(pair) => {
                let mut pair = pair.inside();
                let names = GeneralName::read_all(pair.sequence("the issuer's names")?)?;
                Some((names, pair.serial("the serial number")?.to_vec()))
            }
            None => None,
        };
        ids.push(CertificateId {
            hash,
            digest,
            issuer_serial,
        });
    }
    Ok(ids)
}

impl CertificateId {
    /// True if issuer and serial number, where given, match the certificate.
    pub(crate) fn issuer_serial_matches(&self, certificate: &Certificate) -> bool {
        let Some((names, serial)) = &self.issuer_serial else {
            return true;
        };
        let is_issuer = |name: &GeneralName| match name {
            GeneralName::Directory(name) => name.same(&certificate.issuer),
            _ => false,
        };
        *serial == certificate.serial && names.iter().any(is_issuer)
    }
}

/// Reads cmsAlgorithmProtection (RFC 6211 §2): the digest algorithm and the signature algorithm.
pub(crate) fn algorithm_protection(value: &[u8]) -> Result<(Algorithm, Option<Algorithm>)> {
    let mut inside = Reader::new(value).sequence("the algorithm protection")?;
    let digest = Algorithm::read(&mut inside, "the protected digest")?;
    let signature = match inside.optional(tag::context_constructed(1))? {
        Some(implicit) => Some(Algorithm::from_inside(
            implicit.inside(),
            "the protected signature",
        )?),
        None => None,
    };
    Ok((digest, signature))
}

pub(crate) fn signing_time(value: &[u8]) -> Result<Time> {
    Time::read(&mut Reader::new(value), "the signing time")
}

/// Reads certificate-values (EN 319 122-1 §A.1.1.2).
pub(crate) fn certificate_values(value: &[u8]) -> Result<Vec<Certificate>> {
    let mut list = Reader::new(value).sequence("the certificate values")?;
    let mut found = Vec::new();
    while !list.is_empty() && found.len() < 256 {
        found.push(Certificate::from_element(&list.any()?)?);
    }
    Ok(found)
}

/// Reads revocation-values (EN 319 122-1 §A.1.2.2).
pub(crate) fn revocation_values(value: &[u8]) -> Result<Vec<Evidence>> {
    let mut inside = Reader::new(value).sequence("the revocation values")?;
    let mut found = Vec::new();
    if let Some(explicit) = inside.optional(tag::context_constructed(0))? {
        let mut list = explicit.inside().sequence("revocation lists")?;
        while !list.is_empty() && found.len() < 256 {
            let crl = Crl::from_element(&list.any()?)?;
            found.push(Evidence::Crl(Box::new(crl)));
        }
    }
    if let Some(explicit) = inside.optional(tag::context_constructed(1))? {
        let mut list = explicit.inside().sequence("OCSP responses")?;
        while !list.is_empty() && found.len() < 512 {
            let ocsp = Ocsp::from_element(&list.any()?)?;
            found.push(Evidence::Ocsp(Box::new(ocsp)));
        }
    }
    Ok(found)
}

/// `ATSHashIndex` (TS 101 733 §6.4.2) or `ATSHashIndexV3` (EN 319 122-1 §5.5.2).
#[derive(Clone, Debug)]
pub(crate) struct HashIndex {
    pub raw: Vec<u8>,
    pub hash: Option<Algorithm>,
    pub certificates: Vec<Vec<u8>>,
    pub revocation: Vec<Vec<u8>>,
    pub unsigned: Vec<Vec<u8>>,
}

pub(crate) fn hash_index(value: &[u8]) -> Result<HashIndex> {
    let mut inside = Reader::new(value).sequence("the hash index")?;
    // An algorithm identifier begins with an object identifier. Without one, the hash is SHA-256.
    let hash = match inside.clone().sequence("the hash index")?.peek() {
        Some(tag::OID) => Some(Algorithm::read(&mut inside, "the hash of the index")?),
        _ => None,
    };
    let mut digests = || -> Result<Vec<Vec<u8>>> {
        let mut list = inside.sequence("a list of the hash index")?;
        let mut found = Vec::new();
        while !list.is_empty() {
            if found.len() >= 4096 {
                return Err(ReadError::TooMany {
                    what: "hashes in the hash index",
                    limit: 4096,
                });
            }
            found.push(list.octet_string("a hash of the index")?.into_owned());
        }
        Ok(found)
    };
    Ok(HashIndex {
        hash,
        certificates: digests()?,
        revocation: digests()?,
        unsigned: digests()?,
        raw: value.to_vec(),
    })
}

/// True if `content` is a set of attributes with a message digest. A signature over such content can be passed off as
/// one over signed attributes, and the reverse, because RFC 5652 §5.4 tells them apart only by the presence of the
/// attributes.
pub(crate) fn looks_like_attributes(content: &[u8]) -> bool {
    let limits = Limits::SMALL;
    let mut reader = Reader::new(content);
    let Ok(Some(set)) = reader.optional(tag::SET) else {
        return false;
    };
    Attribute::read_all(set.inside(), &limits)
        .is_ok_and(|list| list.iter().any(|a| a.oid == oid::MESSAGE_DIGEST))
}
