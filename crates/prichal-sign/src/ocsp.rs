//! OCSP responses (RFC 6960 §4.2) and the requests that ask for them (RFC 6960 §4.1).

use crate::algorithm::Algorithm;
use crate::certificate::extension;
use crate::certificate::{Certificate, range};
use crate::crl::Revocation;
use crate::der::{self, Element, Reader, tag, write};
use crate::error::{ReadError, Result, malformed};
use crate::hash::Hash;
use crate::limits::Limits;
use crate::name::Name;
use crate::oid::{self, Oid};
use crate::reason::reason;
use crate::text;
use crate::time::Time;
use std::ops::Range;

/// A basic OCSP response, with the bytes that its responder signed.
#[derive(Clone, Debug)]
pub struct Ocsp {
    raw: Vec<u8>,
    tbs: Range<usize>,
    pub(crate) responder: Responder,
    pub produced_at: Time,
    pub(crate) answers: Vec<Answer>,
    pub(crate) nonce: Option<Vec<u8>>,
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) signature_algorithm: Algorithm,
    pub(crate) signature: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) enum Responder {
    Name(Name),
    /// SHA-1 of the responder's public key bits.
    KeyHash(Vec<u8>),
}

/// The status of one certificate in a response.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub hash: Algorithm,
    pub issuer_name_hash: Vec<u8>,
    pub issuer_key_hash: Vec<u8>,
    pub serial: Vec<u8>,
    pub status: Status,
    pub this_update: Time,
    pub next_update: Option<Time>,
    pub archive_cutoff: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Good,
    Revoked(Revocation),
    Unknown,
}

impl Ocsp {
    /// The response's name in reports.
    pub fn label(&self) -> String {
        reason!("OCSP response of {}", self.produced_at).into_text()
    }

    /// Reads an `OCSPResponse`, or the `BasicOCSPResponse` inside one, from DER, PEM or base64.
    pub fn read(input: &[u8]) -> Result<Self> {
        let limits = Limits::SMALL;
        let bytes = text::one(input, limits.size)?;
        der::check(&bytes, &limits, "the OCSP response")?;
        let element = Reader::new(&bytes).expect(tag::SEQUENCE, "an OCSP response")?;
        Self::from_element(&element)
    }

    pub(crate) fn from_element(element: &Element<'_>) -> Result<Self> {
        let mut outer = element.inside();
        if outer.peek() == Some(tag::SEQUENCE) {
            return Self::basic(element);
        }
        let status = outer
            .expect(tag::ENUMERATED, "the status of a response")?
            .small()?;
        if status != 0 {
            return Err(malformed("an OCSP response that reports an error, which"));
        }
        let explicit = outer.expect(tag::context_constructed(0), "the bytes of a response")?;
        let mut bytes = explicit.inside().sequence("the bytes of a response")?;
        if Oid::read(&mut bytes)? != oid::OCSP_BASIC {
            return Err(ReadError::Unexpected {
                what: "a basic OCSP response",
            });
        }
        let body = bytes.octet_string("a basic OCSP response")?;
        der::check(&body, &Limits::SMALL, "the basic OCSP response")?;
        Self::basic(&Reader::new(&body).expect(tag::SEQUENCE, "a basic OCSP response")?)
    }

    fn basic(element: &Element<'_>) -> Result<Self> {
        let mut outer = element.inside();
        let tbs = outer.expect(tag::SEQUENCE, "the data of a response")?;
        let signature_algorithm = Algorithm::read(&mut outer, "the signature algorithm")?;
        let signature = outer
            .expect(tag::BIT_STRING, "the signature of a response")?
            .bits()?;
        let mut certificates = Vec::new();
        if let Some(explicit) = outer.optional(tag::context_constructed(0))? {
            let mut list = explicit
                .inside()
                .sequence("the certificates of a response")?;
            while !list.is_empty() {
                if certificates.len() >= 16 {
                    return Err(ReadError::TooMany {
                        what: "certificates in a response",
                        limit: 16,
                    });
                }
                certificates.push(Certificate::from_element(&list.any()?)?);
            }
        }
        outer.end("an OCSP response")?;

        let mut inside = tbs.inside();
        inside.optional(tag::context_constructed(0))?;
        let responder = inside.any()?;
        let responder = match responder.tag {
            0xa1 => Responder::Name(Name::read(&mut responder.inside(), "the responder")?),
            0xa2 => Responder::KeyHash(
                responder
                    .inside()
                    .octet_string("the responder's key hash")?
                    .into_owned(),
            ),
            _ => {
                return Err(ReadError::Unexpected {
                    what: "the responder",
                });
            }
        };
        let produced_at = Time::read(&mut inside, "the time of a response")?;
        let mut answers = Vec::new();
        let mut list = inside.sequence("the answers of a response")?;
        while !list.is_empty() {
            if answers.len() >= 256 {
                return Err(ReadError::TooMany {
                    what: "answers in a response",
                    limit: 256,
                });
            }
            answers.push(Answer::read(list.sequence("an answer")?)?);
        }
        let mut nonce = None;
        if let Some(explicit) = inside.optional(tag::context_constructed(1))? {
            for extension in extension::read_all(&mut explicit.inside())? {
                if extension.oid == oid::OCSP_NONCE {
                    nonce = Some(extension.value.into_owned());
                } else if extension.critical {
                    return Err(malformed(
                        "an unknown critical extension of a response, which",
                    ));
                }
            }
        }
        Ok(Self {
            tbs: range(element.raw, tbs.raw),
            raw: element.raw.to_vec(),
            responder,
            produced_at,
            answers,
            nonce,
            certificates,
            signature_algorithm,
            signature: signature.to_vec(),
        })
    }

    /// The `BasicOCSPResponse` as received.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    pub(crate) fn tbs(&self) -> &[u8] {
        &self.raw[self.tbs.clone()]
    }

    /// The answer for this certificate of this issuer: the hashes and the serial number match.
    pub(crate) fn answer(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
    ) -> Option<&Answer> {
        self.answers.iter().find(|a| {
            let Some(hash) = Hash::from_algorithm(&a.hash) else {
                return false;
            };
            a.serial == certificate.serial
                && a.issuer_name_hash == hash.digest(certificate.issuer.raw())
                && a.issuer_key_hash == hash.digest(&issuer.key_bits)
        })
    }
}

impl Answer {
    fn read(mut inside: Reader<'_>) -> Result<Self> {
        let mut id = inside.sequence("the certificate of an answer")?;
        let hash = Algorithm::read(&mut id, "the hash of an answer")?;
        let issuer_name_hash = id.octet_string("the issuer's name hash")?.into_owned();
        let issuer_key_hash = id.octet_string("the issuer's key hash")?.into_owned();
        let serial = id.serial("the serial number of an answer")?.to_vec();
        let status = inside.any()?;
        let status = match status.tag {
            0x80 => Status::Good,
            0x82 => Status::Unknown,
            0xa1 => {
                let mut revoked = status.inside();
                let at = Time::read(&mut revoked, "the time of revocation")?;
                let reason = match revoked.optional(tag::context_constructed(0))? {
                    Some(explicit) => Some(
                        explicit
                            .inside()
                            .expect(tag::ENUMERATED, "a reason")?
                            .small()?,
                    ),
                    None => None,
                };
                Status::Revoked(Revocation { at, reason })
            }
            _ => {
                return Err(ReadError::Unexpected {
                    what: "the status of a certificate",
                });
            }
        };
        let this_update = Time::read(&mut inside, "this update")?;
        let mut answer = Self {
            hash,
            issuer_name_hash,
            issuer_key_hash,
            serial,
            status,
            this_update,
            next_update: None,
            archive_cutoff: None,
        };
        if let Some(explicit) = inside.optional(tag::context_constructed(0))? {
            answer.next_update = Some(Time::read(&mut explicit.inside(), "next update")?);
        }
        if let Some(explicit) = inside.optional(tag::context_constructed(1))? {
            for extension in extension::read_all(&mut explicit.inside())? {
                if extension.oid == oid::OCSP_ARCHIVE_CUTOFF {
                    let mut value = Reader::new(&extension.value);
                    answer.archive_cutoff = Some(Time::read(&mut value, "the archive cutoff")?);
                } else if extension.critical {
                    return Err(malformed(
                        "an unknown critical extension of an answer, which",
                    ));
                }
            }
        }
        Ok(answer)
    }
}

/// Builds a request for the status of one certificate (RFC 6960 §4.1.1). The certificate id uses SHA-1, which every
/// responder supports; the security does not depend on its strength.
pub fn request(certificate: &Certificate, issuer: &Certificate, nonce: Option<&[u8]>) -> Vec<u8> {
    let hash = Hash::Sha1;
    let algorithm = write::sequence(&[&write::oid(oid::SHA1), &write::null()]);
    let id = write::sequence(&[
        &algorithm,
        &write::octets(&hash.digest(certificate.issuer.raw())),
        &write::octets(&hash.digest(&issuer.key_bits)),
        &write::element(tag::INTEGER, &certificate.serial),
    ]);
    let list = write::sequence(&[&write::sequence(&[&id])]);
    let extensions = nonce.map_or_else(Vec::new, |nonce| {
        let value = write::octets(&write::octets(nonce));
        let extension = write::sequence(&[&write::oid(oid::OCSP_NONCE), &value]);
        write::element(tag::context_constructed(2), &write::sequence(&[&extension]))
    });
    write::sequence(&[&write::sequence(&[&list, &extensions])])
}
