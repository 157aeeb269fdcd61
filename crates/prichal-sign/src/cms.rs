//! CMS `SignedData` (RFC 5652 §5): BER or DER, with the exact bytes that are hashed.

pub(crate) mod attribute;
pub(crate) mod extend;

use crate::algorithm::Algorithm;
use crate::certificate::{Certificate, Readable};
use crate::crl::Crl;
use crate::der::{self, Element, Reader, tag, write};
use crate::error::{ReadError, Result, malformed};
use crate::limits::Limits;
use crate::name::Name;
use crate::ocsp::Ocsp;
use crate::oid::{self, Oid};
use crate::reason::Reason;
use crate::text;
use attribute::Attribute;

/// A parsed `SignedData`. Nothing in it is verified.
#[derive(Clone, Debug)]
pub struct SignedData {
    pub version: u64,
    pub content_type: Oid,
    /// The octets of eContent, which are hashed. `None` in a detached signature.
    pub content: Option<Vec<u8>>,
    pub(crate) certificates: Vec<Embedded<Readable>>,
    /// Attribute certificates and certificates of other forms. They are not used.
    pub(crate) other_certificates: Vec<Vec<u8>>,
    pub(crate) revocation: Vec<Embedded<Result<Evidence>>>,
    pub signers: Vec<SignerInfo>,
    /// The number of zero bytes after the signature.
    pub padding: usize,
}

/// A member of a set with its encoding, for the hash index of archive time-stamps.
#[derive(Clone, Debug)]
pub(crate) struct Embedded<T> {
    pub raw: Vec<u8>,
    pub value: T,
}

/// A revocation list or an OCSP response, embedded in CMS or in an attribute.
#[derive(Clone, Debug)]
pub(crate) enum Evidence {
    Crl(Box<Crl>),
    Ocsp(Box<Ocsp>),
}

/// The signer's certificate as the `SignerInfo` names it.
#[derive(Clone, Debug)]
pub(crate) enum SignerId {
    IssuerAndSerial { issuer: Name, serial: Vec<u8> },
    KeyId(Vec<u8>),
}

/// The largest size of signed attributes in bytes. They are hashed once per candidate certificate.
const MAX_ATTRIBUTE_BYTES: usize = 256 << 10;
/// The largest size of a signature value in bytes. It exceeds that of the longest RSA key.
const MAX_SIGNATURE_BYTES: usize = 4 << 10;

/// One signature over the content.
#[derive(Clone, Debug)]
pub struct SignerInfo {
    pub version: u64,
    pub(crate) id: SignerId,
    pub digest_algorithm: Algorithm,
    pub(crate) signed: Option<SignedAttributes>,
    pub signature_algorithm: Algorithm,
    pub signature: Vec<u8>,
    pub(crate) unsigned: Vec<Attribute>,
    /// The errors of unreadable unsigned attributes. Anybody can append such attributes.
    pub(crate) unreadable_attributes: Vec<Reason>,
    /// The encoding of the fields from version to signature, which an archive time-stamp covers.
    pub(crate) signed_part: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct SignedAttributes {
    /// The encoding as received, with the tag `[0]`.
    pub raw: Vec<u8>,
    pub list: Vec<Attribute>,
}

impl SignedAttributes {
    /// The bytes to hash: as received, but with the tag of a SET (RFC 5652 §5.4).
    pub(crate) fn as_received(&self) -> Vec<u8> {
        let mut bytes = self.raw.clone();
        if let Some(first) = bytes.first_mut() {
            *first = tag::SET;
        }
        bytes
    }

    /// The attributes in DER, with definite lengths and sorted members, tagged as a SET.
    pub(crate) fn as_der(&self) -> Result<Vec<u8>> {
        let mut reader = Reader::new(&self.raw).any()?.inside();
        let mut members = Vec::with_capacity(self.list.len());
        while !reader.is_empty() {
            members.push(der::definite(&reader.any()?)?);
        }
        Ok(write::set_of(members))
    }
}

impl SignedData {
    /// Reads a `ContentInfo` with `SignedData` from DER, BER, PEM or base64.
    pub fn read(input: &[u8], limits: &Limits) -> Result<Self> {
        let bytes = text::one(input, limits.size)?;
        let length = der::check_padded(&bytes, limits, "the signature")?;
        let mut reader = Reader::new(&bytes[..length]);
        let mut info = reader.sequence("a CMS ContentInfo")?;
        let kind = Oid::read(&mut info)?;
        if kind != oid::SIGNED_DATA {
            return Err(ReadError::ContentType {
                expected: "signedData",
                found: kind.to_string(),
            });
        }
        let explicit = info.expect(tag::context_constructed(0), "the content of ContentInfo")?;
        info.end("the ContentInfo")?;
        let mut body = explicit.inside();
        let inside = body.sequence("a SignedData")?;
        body.end("the SignedData")?;
        Ok(Self {
            padding: bytes.len() - length,
            ..Self::from_inside(inside, limits)?
        })
    }

    fn from_inside(mut inside: Reader<'_>, limits: &Limits) -> Result<Self> {
        let version = inside
            .expect(tag::INTEGER, "the version of SignedData")?
            .small()?;
        // The set is only a hint: each signer names its own digest algorithm.
        inside.expect(tag::SET, "the digest algorithms")?;
        let mut info = inside.sequence("the content of SignedData")?;
        let content_type = Oid::read(&mut info)?;
        let content = match info.optional(tag::context_constructed(0))? {
            Some(explicit) => Some(content_octets(&explicit)?),
            None => None,
        };
        info.end("the content of SignedData")?;
        let mut data = Self {
            version,
            content_type,
            content,
            certificates: Vec::new(),
            other_certificates: Vec::new(),
            revocation: Vec::new(),
            signers: Vec::new(),
            padding: 0,
        };
        if let Some(set) = inside.optional(tag::context_constructed(0))? {
            data.read_certificates(set.inside(), limits)?;
        }
        if let Some(set) = inside.optional(tag::context_constructed(1))? {
            let mut members = set.inside();
            while !members.is_empty() {
                bounded(data.revocation.len(), limits, "revocation values")?;
                let element = members.any()?;
                data.revocation.push(Embedded {
                    raw: element.raw.to_vec(),
                    value: revocation_choice(&element),
                });
            }
        }
        let mut signers = inside.expect(tag::SET, "the signers")?.inside();
        while !signers.is_empty() {
            bounded(data.signers.len(), limits, "signers")?;
            let element = signers.expect(tag::SEQUENCE, "a signer")?;
            data.signers
                .push(SignerInfo::from_element(&element, limits)?);
        }
        inside.end("the SignedData")?;
        Ok(data)
    }

    fn read_certificates(&mut self, mut members: Reader<'_>, limits: &Limits) -> Result<()> {
        while !members.is_empty() {
            let count = self.certificates.len() + self.other_certificates.len();
            bounded(count, limits, "certificates")?;
            let element = members.any()?;
            if element.tag == tag::SEQUENCE {
                self.certificates.push(Embedded {
                    raw: element.raw.to_vec(),
                    value: Certificate::from_element(&element),
                });
            } else {
                self.other_certificates.push(element.raw.to_vec());
            }
        }
        Ok(())
    }

    /// The embedded certificates that are readable.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.certificates
            .iter()
            .filter_map(|c| c.value.as_ref().ok())
    }

    /// The version that RFC 5652 §5.1 requires.
    pub(crate) fn expected_version(&self) -> u64 {
        let tags = |members: &[Vec<u8>], tag| members.iter().any(|m| m.first() == Some(&tag));
        let other_revocation = self.revocation.iter().any(|r| r.raw.first() == Some(&0xa1));
        if tags(&self.other_certificates, 0xa3) || other_revocation {
            5
        } else if tags(&self.other_certificates, 0xa2) {
            4
        } else if tags(&self.other_certificates, 0xa1)
            || self.signers.iter().any(|s| s.version == 3)
            || self.content_type != oid::DATA
        {
            3
        } else {
            1
        }
    }
}

/// Returns the octets of eContent, which is an OCTET STRING. PKCS#7 (RFC 2315 §7) allowed any type and signed its
/// value octets; those are returned then.
fn content_octets(explicit: &Element<'_>) -> Result<Vec<u8>> {
    let mut inside = explicit.inside();
    let element = inside.any()?;
    inside.end("the content of SignedData")?;
    if element.tag & !tag::CONSTRUCTED == tag::OCTET_STRING {
        return Ok(element.octets()?.into_owned());
    }
    Ok(element.content.to_vec())
}

/// Fails if a set has reached the maximum number of members.
fn bounded(count: usize, limits: &Limits, what: &'static str) -> Result<()> {
    if count < limits.members {
        return Ok(());
    }
    Err(ReadError::TooMany {
        what,
        limit: limits.members,
    })
}

/// Reads a `RevocationInfoChoice` (RFC 5652 §10.2.1), with OCSP as in RFC 5940 §2.1.
fn revocation_choice(element: &Element<'_>) -> Result<Evidence> {
    match element.tag {
        tag::SEQUENCE => Ok(Evidence::Crl(Box::new(Crl::from_element(element)?))),
        0xa1 => {
            let mut other = element.inside();
            let format = Oid::read(&mut other)?;
            if format != oid::RI_OCSP_RESPONSE && format != oid::OCSP_BASIC {
                return Err(ReadError::Unexpected {
                    what: "a known form of revocation data",
                });
            }
            let response = other.expect(tag::SEQUENCE, "an OCSP response")?;
            Ok(Evidence::Ocsp(Box::new(Ocsp::from_element(&response)?)))
        }
        _ => Err(malformed("revocation data")),
    }
}

impl SignerInfo {
    pub(crate) fn from_element(element: &Element<'_>, limits: &Limits) -> Result<Self> {
        let mut inside = element.inside();
        let before = inside.rest();
        let version = inside
            .expect(tag::INTEGER, "the version of a signer")?
            .small()?;
        let id = inside.any()?;
        let id = match id.tag {
            tag::SEQUENCE => {
                let mut pair = id.inside();
                SignerId::IssuerAndSerial {
                    issuer: Name::read(&mut pair, "the issuer of a signer")?,
                    serial: pair.serial("the serial number of a signer")?.to_vec(),
                }
            }
            // The tag is primitive, or constructed from segments in BER.
            0x80 | 0xa0 => SignerId::KeyId(id.octets()?.into_owned()),
            _ => {
                return Err(ReadError::Unexpected {
                    what: "the signer's id",
                });
            }
        };
        let digest_algorithm = Algorithm::read(&mut inside, "the digest algorithm")?;
        let signed = match inside.optional(tag::context_constructed(0))? {
            Some(set) if set.raw.len() > MAX_ATTRIBUTE_BYTES => {
                return Err(ReadError::TooLarge {
                    limit: MAX_ATTRIBUTE_BYTES,
                });
            }
            Some(set) => Some(SignedAttributes {
                raw: set.raw.to_vec(),
                list: Attribute::read_all(set.inside(), limits)?,
            }),
            None => None,
        };
        let signature_algorithm = Algorithm::read(&mut inside, "the signature algorithm")?;
        let signature = inside.octet_string("the signature value")?.into_owned();
        if signature.len() > MAX_SIGNATURE_BYTES {
            return Err(ReadError::TooLarge {
                limit: MAX_SIGNATURE_BYTES,
            });
        }
        let signed_part = &before[..before.len() - inside.rest().len()];
        let (unsigned, unreadable_attributes) =
            match inside.optional(tag::context_constructed(1))? {
                Some(set) => Attribute::read_appended(set.inside(), limits)?,
                None => Default::default(),
            };
        inside.end("a signer")?;
        Ok(Self {
            version,
            id,
            digest_algorithm,
            signed,
            signature_algorithm,
            signature,
            unsigned,
            unreadable_attributes,
            signed_part: signed_part.to_vec(),
        })
    }

    /// The values of the signed attributes of a type.
    pub(crate) fn signed_values<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let list = self.signed.iter().flat_map(|s| &s.list);
        list.filter(move |a| a.oid == kind)
            .flat_map(Attribute::values)
    }

    pub(crate) fn unsigned_values<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let list = self.unsigned.iter().filter(move |a| a.oid == kind);
        list.flat_map(Attribute::values)
    }
}

impl SignerId {
    /// True if this id names the certificate.
    pub(crate) fn matches(&self, certificate: &Certificate) -> bool {
        match self {
            Self::IssuerAndSerial { issuer, serial } => {
                *serial == certificate.serial && issuer.same(&certificate.issuer)
            }
            Self::KeyId(id) => certificate.extensions.subject_key_id.as_ref() == Some(id),
        }
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::IssuerAndSerial {
                    issuer: a,
                    serial: x,
                },
                Self::IssuerAndSerial {
                    issuer: b,
                    serial: y,
                },
            ) => x == y && a.same(b),
            (Self::KeyId(a), Self::KeyId(b)) => a == b,
            _ => false,
        }
    }
}
