//! Certificates with any content, valid or broken.

#![expect(
    clippy::expect_used,
    reason = "certificates of tests are readable, or the test is wrong"
)]

use super::{Key, explicit, extension, x509_time};
use crate::certificate::Certificate;
use crate::der::{tag, write};
use crate::hash::Hash;
use crate::oid;
use crate::testing::bits;
use crate::time::Time;

/// A certificate with its private key.
#[derive(Clone)]
pub struct Identity {
    pub key: Key,
    pub der: Vec<u8>,
}

impl Identity {
    pub fn certificate(&self) -> Certificate {
        Certificate::read(&self.der).expect("the certificate is readable")
    }

    /// The key identifier: SHA-1 of the public key bits (RFC 5280 §4.2.1.2).
    pub fn key_id(&self) -> Vec<u8> {
        Hash::Sha1.digest(&self.certificate().key_bits)
    }
}

/// A distinguished name from pairs such as `("CN", "…")`.
pub fn name(parts: &[(&str, &str)]) -> Vec<u8> {
    let relative = parts.iter().map(|(kind, value)| {
        let dotted = match *kind {
            "C" => "2.5.4.6",
            "O" => oid::ORGANIZATION,
            "OU" => oid::ORGANIZATIONAL_UNIT,
            "SN" => oid::SURNAME,
            "GN" => oid::GIVEN_NAME,
            "serialNumber" => oid::SERIAL_NUMBER,
            "INN" => oid::RU_INN,
            "INNLE" => oid::RU_INN_COMPANY,
            "OGRN" => oid::RU_OGRN,
            "emailAddress" => oid::EMAIL,
            _ => oid::COMMON_NAME,
        };
        let text = write::element(tag::UTF8_STRING, value.as_bytes());
        write::element(tag::SET, &write::sequence(&[&write::oid(dotted), &text]))
    });
    let relative: Vec<Vec<u8>> = relative.collect();
    write::element(tag::SEQUENCE, &relative.concat())
}

/// An unsigned certificate. Every field may be changed.
#[derive(Clone)]
pub struct Draft {
    pub key: Key,
    pub subject: Vec<u8>,
    pub serial: u64,
    /// The octets of the serial number, for values outside of `serial`.
    pub serial_octets: Option<Vec<u8>>,
    pub not_before: Time,
    pub not_after: Time,
    /// Version 1 has no extensions.
    pub version: u8,
    /// `Some(None)` for an authority without a path length limit.
    pub authority: Option<Option<u8>>,
    /// The first octet of `KeyUsage`, high bit first: 0xc0 for signing, 0x06 for authorities.
    pub key_usage: Option<u8>,
    pub purposes: Vec<&'static str>,
    pub purposes_critical: bool,
    pub key_ids: bool,
    pub crl_url: Option<String>,
    pub ocsp_url: Option<String>,
    pub issuer_url: Option<String>,
    pub extensions: Vec<Vec<u8>>,
    /// The hash of the issuer's signature. `None` for the usual hash of its key.
    pub hash: Option<Hash>,
    /// The algorithm beside the signature, if it differs from the signed one.
    pub outer_algorithm: Option<Vec<u8>>,
}

const START: Time = Time::from_unix(1_735_689_600);

impl Draft {
    /// A certificate valid from 2025-01-01 to 2028-01-01.
    pub fn new(common_name: &str, key: Key) -> Self {
        Self {
            key,
            subject: name(&[("CN", common_name)]),
            serial: u64::from(Hash::Sha1.digest(common_name.as_bytes())[0]) + 1000,
            serial_octets: None,
            not_before: START,
            not_after: START.plus(3 * 365 * 86_400),
            version: 3,
            authority: None,
            key_usage: Some(0xc0),
            purposes: Vec::new(),
            purposes_critical: false,
            key_ids: true,
            crl_url: None,
            ocsp_url: None,
            issuer_url: None,
            extensions: Vec::new(),
            hash: None,
            outer_algorithm: None,
        }
    }

    pub fn authority(common_name: &str, key: Key) -> Self {
        Self {
            authority: Some(None),
            key_usage: Some(0x06),
            not_after: START.plus(10 * 365 * 86_400),
            ..Self::new(common_name, key)
        }
    }

    /// The head of a Kazakh company.
    pub fn signer(common_name: &str, key: Key) -> Self {
        Self {
            subject: name(&[
                ("CN", common_name),
                ("SN", "ТЕСТОВ"),
                ("serialNumber", "IIN061211600012"),
                ("C", "KZ"),
                ("O", "ТОО \"Тест\""),
                ("OU", "BIN971240001315"),
            ]),
            purposes: vec![
                "1.3.6.1.5.5.7.3.4",
                oid::KZ_ORGANISATION,
                oid::KZ_FIRST_HEAD,
            ],
            ..Self::new(common_name, key)
        }
    }

    pub fn time_stamper(common_name: &str, key: Key) -> Self {
        Self {
            purposes: vec![oid::KP_TIME_STAMPING],
            purposes_critical: true,
            ..Self::new(common_name, key)
        }
    }

    pub fn responder(common_name: &str, key: Key) -> Self {
        Self {
            purposes: vec![oid::KP_OCSP_SIGNING],
            extensions: vec![extension(oid::OCSP_NO_CHECK, false, &write::null())],
            ..Self::new(common_name, key)
        }
    }

    pub fn self_signed(self) -> Identity {
        let (subject, key) = (self.subject.clone(), self.key.clone());
        self.signed(&subject, &key)
    }

    pub fn issued_by(self, issuer: &Identity) -> Identity {
        self.signed(issuer.certificate().subject.raw(), &issuer.key)
    }

    /// Signs with a key under any issuer name.
    pub fn signed(self, issuer: &[u8], by: &Key) -> Identity {
        let hash = self.hash.unwrap_or(by.hash());
        let algorithm = by.signature_algorithm(hash);
        let validity = write::sequence(&[&x509_time(self.not_before), &x509_time(self.not_after)]);
        let version = match self.version {
            1 => Vec::new(),
            other => explicit(0, &write::integer(&[other - 1])),
        };
        let extensions = if self.version < 3 {
            Vec::new()
        } else {
            explicit(3, &write::sequence(&[&self.all_extensions(by).concat()]))
        };
        let serial = match &self.serial_octets {
            Some(octets) => write::element(tag::INTEGER, octets),
            None => write::integer(&self.serial.to_be_bytes()),
        };
        let tbs = write::sequence(&[
            &version,
            &serial,
            &algorithm,
            issuer,
            &validity,
            &self.subject,
            &self.key.spki(),
            &extensions,
        ]);
        let signature = bits(&by.sign(hash, &tbs));
        Identity {
            der: write::sequence(&[
                &tbs,
                self.outer_algorithm.as_ref().unwrap_or(&algorithm),
                &signature,
            ]),
            key: self.key,
        }
    }

    fn all_extensions(&self, issuer: &Key) -> Vec<Vec<u8>> {
        let mut list = self.extensions.clone();
        if let Some(limit) = self.authority {
            let limit = limit.map_or_else(Vec::new, |limit| write::integer(&[limit]));
            let value = write::sequence(&[&write::element(tag::BOOLEAN, &[0xff]), &limit]);
            list.push(extension(oid::BASIC_CONSTRAINTS, true, &value));
        }
        if let Some(usage) = self.key_usage {
            let value = write::element(tag::BIT_STRING, &[1, usage]);
            list.push(extension(oid::KEY_USAGE, true, &value));
        }
        if !self.purposes.is_empty() {
            let purposes: Vec<Vec<u8>> = self.purposes.iter().map(|p| write::oid(p)).collect();
            let value = write::sequence(&[&purposes.concat()]);
            list.push(extension(
                oid::EXTENDED_KEY_USAGE,
                self.purposes_critical,
                &value,
            ));
        }
        if self.key_ids {
            let own = write::octets(&key_id(&self.key));
            list.push(extension(oid::SUBJECT_KEY_ID, false, &own));
            let wanted = write::element(tag::context(0), &key_id(issuer));
            let value = write::sequence(&[&wanted]);
            list.push(extension(oid::AUTHORITY_KEY_ID, false, &value));
        }
        if let Some(url) = &self.crl_url {
            let uri = write::element(0x86, url.as_bytes());
            let point = write::sequence(&[&explicit(0, &explicit(0, &uri))]);
            let value = write::sequence(&[&point]);
            list.push(extension(oid::CRL_DISTRIBUTION_POINTS, false, &value));
        }
        let access = [
            (oid::AD_OCSP, &self.ocsp_url),
            (oid::AD_CA_ISSUERS, &self.issuer_url),
        ];
        let access: Vec<Vec<u8>> = access
            .iter()
            .filter_map(|(method, url)| {
                let uri = write::element(0x86, url.as_ref()?.as_bytes());
                Some(write::sequence(&[&write::oid(method), &uri]))
            })
            .collect();
        if !access.is_empty() {
            let value = write::sequence(&[&access.concat()]);
            list.push(extension(oid::AUTHORITY_INFO_ACCESS, false, &value));
        }
        list
    }
}

fn key_id(key: &Key) -> Vec<u8> {
    let spki = key.spki();
    let mut reader = crate::der::Reader::new(&spki);
    let found = reader.sequence("a key").and_then(|mut inside| {
        inside.any()?;
        inside.any()?.bits()
    });
    Hash::Sha1.digest(found.expect("the key is readable"))
}
