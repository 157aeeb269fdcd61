//! Revocation lists and OCSP responses.

use super::{Identity, bits, explicit, extension, generalized, x509_time};
use crate::der::{tag, write};
use crate::hash::Hash;
use crate::oid;
use crate::time::Time;

/// An unsigned revocation list.
#[derive(Clone)]
pub struct CrlDraft {
    pub this_update: Time,
    pub next_update: Option<Time>,
    pub number: u64,
    /// The number of the base list; makes the list a delta.
    pub delta_of: Option<u64>,
    /// Serial number, time, reason.
    pub entries: Vec<(u64, Time, Option<u8>)>,
    pub extensions: Vec<Vec<u8>>,
    /// Further extensions of every entry.
    pub entry_extensions: Vec<Vec<u8>>,
    pub hash: Option<Hash>,
}

impl CrlDraft {
    /// A list without entries that is valid for a day.
    pub fn new(this_update: Time) -> Self {
        Self {
            this_update,
            next_update: Some(this_update.plus(86_400)),
            number: 1,
            delta_of: None,
            entries: Vec::new(),
            extensions: Vec::new(),
            entry_extensions: Vec::new(),
            hash: None,
        }
    }

    pub fn signed_by(&self, issuer: &Identity) -> Vec<u8> {
        self.signed(issuer.certificate().subject.raw(), &issuer.key)
    }

    pub fn signed(&self, issuer: &[u8], key: &super::Key) -> Vec<u8> {
        let hash = self.hash.unwrap_or(key.hash());
        let algorithm = key.signature_algorithm(hash);
        let entries: Vec<Vec<u8>> = self
            .entries
            .iter()
            .map(|(serial, at, reason)| {
                let mut list = self.entry_extensions.clone();
                list.extend(reason.map(|reason| {
                    let value = write::element(tag::ENUMERATED, &[reason]);
                    extension(oid::REASON_CODE, false, &value)
                }));
                let reason = if list.is_empty() {
                    Vec::new()
                } else {
                    write::sequence(&[&list.concat()])
                };
                write::sequence(&[
                    &write::integer(&serial.to_be_bytes()),
                    &x509_time(*at),
                    &reason,
                ])
            })
            .collect();
        let entries = if entries.is_empty() {
            Vec::new()
        } else {
            write::sequence(&[&entries.concat()])
        };
        let number = write::integer(&self.number.to_be_bytes());
        let mut extensions = vec![extension(oid::CRL_NUMBER, false, &number)];
        if let Some(base) = self.delta_of {
            let value = write::integer(&base.to_be_bytes());
            extensions.push(extension(oid::DELTA_CRL, true, &value));
        }
        extensions.extend(self.extensions.iter().cloned());
        let next = self.next_update.map_or_else(Vec::new, x509_time);
        let tbs = write::sequence(&[
            &write::integer(&[1]),
            &algorithm,
            issuer,
            &x509_time(self.this_update),
            &next,
            &entries,
            &explicit(0, &write::sequence(&[&extensions.concat()])),
        ]);
        let signature = bits(&key.sign(hash, &tbs));
        write::sequence(&[&tbs, &algorithm, &signature])
    }
}

/// The status of one certificate in a response.
#[derive(Clone)]
pub struct OcspAnswerDraft {
    pub serial: Vec<u8>,
    /// Time and reason.
    pub revoked: Option<(Time, Option<u8>)>,
    pub unknown: bool,
    pub this_update: Time,
    pub next_update: Option<Time>,
}

/// An unsigned OCSP response.
#[derive(Clone)]
pub struct OcspDraft {
    pub produced_at: Time,
    pub answers: Vec<OcspAnswerDraft>,
    pub nonce: Option<Vec<u8>>,
    pub hash_of_ids: Hash,
    pub by_key_hash: bool,
    /// True if the responder's certificate is included.
    pub with_certificate: bool,
    /// Further included certificates.
    pub more_certificates: Vec<Vec<u8>>,
}

impl OcspDraft {
    /// Reports the certificate as good at this time.
    pub fn good(certificate: &Identity, at: Time) -> Self {
        Self {
            produced_at: at,
            answers: vec![OcspAnswerDraft {
                serial: certificate.certificate().serial,
                revoked: None,
                unknown: false,
                this_update: at,
                next_update: Some(at.plus(3600)),
            }],
            nonce: None,
            hash_of_ids: Hash::Sha1,
            by_key_hash: false,
            with_certificate: true,
            more_certificates: Vec::new(),
        }
    }

    /// An `OCSPResponse` about certificates of `issuer`, signed by `responder`.
    pub fn signed_by(&self, responder: &Identity, issuer: &Identity) -> Vec<u8> {
        let basic = self.basic(responder, issuer);
        let bytes = write::sequence(&[&write::oid(oid::OCSP_BASIC), &write::octets(&basic)]);
        write::sequence(&[&write::element(tag::ENUMERATED, &[0]), &explicit(0, &bytes)])
    }

    /// The `BasicOCSPResponse` alone.
    pub fn basic(&self, responder: &Identity, issuer: &Identity) -> Vec<u8> {
        let (own, above) = (responder.certificate(), issuer.certificate());
        let ids = self.hash_of_ids;
        let id_algorithm =
            write::sequence(&[&write::oid(responder.key.hash_oid(ids)), &write::null()]);
        let answers: Vec<Vec<u8>> = self
            .answers
            .iter()
            .map(|answer| {
                let id = write::sequence(&[
                    &id_algorithm,
                    &write::octets(&ids.digest(above.subject.raw())),
                    &write::octets(&ids.digest(&above.key_bits)),
                    &write::element(tag::INTEGER, &answer.serial),
                ]);
                let status = match answer.revoked {
                    _ if answer.unknown => write::element(0x82, &[]),
                    None => write::element(0x80, &[]),
                    Some((at, reason)) => {
                        let reason = reason.map_or_else(Vec::new, |reason| {
                            explicit(0, &write::element(tag::ENUMERATED, &[reason]))
                        });
                        write::element(0xa1, &[generalized(at), reason].concat())
                    }
                };
                let next = answer
                    .next_update
                    .map_or_else(Vec::new, |n| explicit(0, &generalized(n)));
                write::sequence(&[&id, &status, &generalized(answer.this_update), &next])
            })
            .collect();
        let responder_id = if self.by_key_hash {
            explicit(2, &write::octets(&Hash::Sha1.digest(&own.key_bits)))
        } else {
            explicit(1, own.subject.raw())
        };
        let extensions = self.nonce.as_ref().map_or_else(Vec::new, |nonce| {
            let value = extension(oid::OCSP_NONCE, false, &write::octets(nonce));
            explicit(1, &write::sequence(&[&value]))
        });
        let tbs = write::sequence(&[
            &responder_id,
            &generalized(self.produced_at),
            &write::sequence(&[&answers.concat()]),
            &extensions,
        ]);
        let hash = responder.key.hash();
        let own = if self.with_certificate {
            responder.der.as_slice()
        } else {
            &[]
        };
        let certificates = [own, &self.more_certificates.concat()].concat();
        let certificates = if certificates.is_empty() {
            Vec::new()
        } else {
            explicit(0, &write::sequence(&[&certificates]))
        };
        write::sequence(&[
            &tbs,
            &responder.key.signature_algorithm(hash),
            &bits(&responder.key.sign(hash, &tbs)),
            &certificates,
        ])
    }
}
