//! A signature taken apart before the validation: signers, their time-stamps, and the evidence of long-term
//! signatures.

use crate::certificate::Certificate;
use crate::cms::attribute::{self, Attribute};
use crate::cms::{Evidence, SignedData, SignerInfo};
use crate::der::{Reader, tag};
use crate::error::{ReadError, Result};
use crate::limits::Limits;
use crate::oid;
use crate::reason::{Reason, reason};
use crate::tsp::Token;

pub(super) struct Document {
    pub data: SignedData,
    /// The unsigned attributes of each signer, in their order.
    pub parts: Vec<Parts>,
}

/// The contents of the unsigned attributes of one signer.
#[derive(Default)]
pub(super) struct Parts {
    pub time_stamps: Vec<Result<Token>>,
    pub content_time_stamps: Vec<Result<Token>>,
    pub archive: Vec<Archive>,
    /// The names of time-stamps in unsupported forms.
    pub other_time_stamps: Vec<&'static str>,
    pub counter_signatures: Vec<Result<SignerInfo>>,
    certificates: Vec<Certificate>,
    evidence: Vec<Evidence>,
    /// The errors of unreadable evidence.
    pub unreadable: Vec<Reason>,
}

/// An archive time-stamp of version 3, with the index of its attribute.
pub(super) struct Archive {
    pub token: Result<Token>,
    pub value: Vec<u8>,
}

impl Document {
    pub(super) fn read(input: &[u8], limits: &Limits) -> Result<Self> {
        let data = SignedData::read(input, limits)?;
        let parts = data
            .signers
            .iter()
            .map(|signer| Parts::of(signer, limits))
            .collect();
        Ok(Self { data, parts })
    }

    fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.parts.iter().flat_map(|parts| {
            let archive = parts.archive.iter().map(|a| &a.token);
            let plain = parts.time_stamps.iter().chain(&parts.content_time_stamps);
            plain.chain(archive).filter_map(|token| token.as_ref().ok())
        })
    }

    /// Certificates in unsigned attributes and in time-stamps.
    pub(super) fn appended_certificates(&self) -> impl Iterator<Item = &Certificate> {
        let of_parts = self.parts.iter().flat_map(|p| &p.certificates);
        let of_tokens = self.tokens().flat_map(|token| token.data.certificates());
        of_parts.chain(of_tokens)
    }

    /// Revocation data of the `SignedData` itself.
    pub(super) fn own_evidence(&self) -> impl Iterator<Item = &Evidence> {
        readable(&self.data)
    }

    /// Revocation data in unsigned attributes and in time-stamps.
    pub(super) fn appended_evidence(&self) -> impl Iterator<Item = &Evidence> {
        let of_parts = self.parts.iter().flat_map(|p| &p.evidence);
        let of_tokens = self.tokens().flat_map(|token| readable(&token.data));
        of_parts.chain(of_tokens)
    }
}

fn readable(data: &SignedData) -> impl Iterator<Item = &Evidence> {
    data.revocation.iter().filter_map(|r| r.value.as_ref().ok())
}

impl Parts {
    fn of(signer: &SignerInfo, limits: &Limits) -> Self {
        let mut parts = Self {
            unreadable: signer.unreadable_attributes.clone(),
            ..Self::default()
        };
        for value in signer.signed_values(oid::CONTENT_TIME_STAMP) {
            parts.content_time_stamps.push(Token::read(value, limits));
        }
        for attribute in &signer.unsigned {
            parts.read_attribute(attribute, limits);
        }
        // Evidence embedded in the time-stamps themselves.
        let mut inner: Vec<Attribute> = Vec::new();
        let archive = parts.archive.iter().map(|a| &a.token);
        for token in parts.time_stamps.iter().chain(archive).flatten() {
            inner.extend(
                token
                    .data
                    .signers
                    .iter()
                    .flat_map(|s| s.unsigned.iter().cloned()),
            );
        }
        for attribute in inner {
            if attribute.oid == oid::CERTIFICATE_VALUES || attribute.oid == oid::REVOCATION_VALUES {
                parts.read_attribute(&attribute, limits);
            }
        }
        parts
    }

    fn read_attribute(&mut self, attribute: &Attribute, limits: &Limits) {
        let values = attribute.values();
        match attribute.oid.as_str() {
            oid::SIGNATURE_TIME_STAMP => {
                self.time_stamps
                    .extend(values.map(|v| Token::read(v, limits)));
            }
            oid::ARCHIVE_TIME_STAMP_V3 => self.archive.extend(values.map(|v| Archive {
                token: Token::read(v, limits),
                value: v.to_vec(),
            })),
            oid::COUNTER_SIGNATURE => {
                let read = |value: &[u8]| counter_signature(value, limits);
                self.counter_signatures.extend(values.map(read));
            }
            oid::CERTIFICATE_VALUES => {
                for value in values {
                    match attribute::certificate_values(value) {
                        Ok(found) => self.certificates.extend(found),
                        Err(error) => self.unreadable.push(reason!("certificate values: {error}")),
                    }
                }
            }
            oid::REVOCATION_VALUES => {
                for value in values {
                    match attribute::revocation_values(value) {
                        Ok(found) => self.evidence.extend(found),
                        Err(error) => self.unreadable.push(reason!("revocation values: {error}")),
                    }
                }
            }
            oid::ARCHIVE_TIME_STAMP_V1 => self.other_time_stamps.push("archive-time-stamp"),
            oid::ARCHIVE_TIME_STAMP_V2 => self.other_time_stamps.push("archive-time-stamp-v2"),
            oid::LONG_TERM_VALIDATION => self.other_time_stamps.push("long-term-validation"),
            oid::ESC_TIME_STAMP => self.other_time_stamps.push("CAdES-C-time-stamp"),
            oid::CERT_CRL_TIME_STAMP => {
                self.other_time_stamps
                    .push("time-stamped-certs-crls-references");
            }
            _ => {}
        }
    }
}

fn counter_signature(value: &[u8], limits: &Limits) -> Result<SignerInfo> {
    let mut reader = Reader::new(value);
    let element = reader.expect(tag::SEQUENCE, "a counter-signature")?;
    SignerInfo::from_element(&element, limits)
}

/// The error of an unreadable item as one line of the report.
pub(super) fn unreadable<T>(
    what: &str,
    result: &std::result::Result<T, ReadError>,
) -> Option<Reason> {
    result
        .as_ref()
        .err()
        .map(|error| reason!("{what}: {error}"))
}
