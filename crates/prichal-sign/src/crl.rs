//! Certificate revocation lists (RFC 5280 §5). Entries are looked up in the encoded list, so that a long list needs
//! no memory beside its bytes.

use crate::algorithm::Algorithm;
use crate::certificate::extension::{self, AuthorityKeyId, Extensions};
use crate::certificate::general_name::DistributionPoint;
use crate::certificate::range;
use crate::der::{self, Element, Reader, tag};
use crate::error::{Result, malformed};
use crate::limits::Limits;
use crate::name::Name;
use crate::oid::{self, Oid};
use crate::reason::reason;
use crate::text;
use crate::time::Time;
use std::ops::Range;

/// A revocation list, with the bytes that its issuer signed.
#[derive(Clone, Debug)]
pub struct Crl {
    raw: Vec<u8>,
    tbs: Range<usize>,
    entries: Range<usize>,
    pub issuer: Name,
    pub this_update: Time,
    pub next_update: Option<Time>,
    pub number: Option<Vec<u8>>,
    /// The number of the list that this delta extends.
    pub(crate) delta_base: Option<Vec<u8>>,
    pub(crate) point: Option<IssuingPoint>,
    pub(crate) authority_key_id: Option<AuthorityKeyId>,
    /// The time since which the list keeps expired certificates.
    pub(crate) expired_since: Option<Time>,
    pub(crate) unknown_critical: Vec<Oid>,
    pub(crate) signature_algorithm: Algorithm,
    pub(crate) signature: Vec<u8>,
}

/// The scope of the list (RFC 5280 §5.2.5).
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the fields of the RFC")]
pub(crate) struct IssuingPoint {
    pub point: DistributionPoint,
    pub named: bool,
    pub only_users: bool,
    pub only_cas: bool,
    pub only_attributes: bool,
    pub some_reasons: bool,
    pub indirect: bool,
    pub raw: Vec<u8>,
}

/// The time and the reason of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revocation {
    pub at: Time,
    /// `CRLReason` (RFC 5280 §5.3.1).
    pub reason: Option<u64>,
}

impl Revocation {
    pub(crate) const HOLD: u64 = 6;
    pub(crate) const REMOVED: u64 = 8;

    pub(crate) fn on_hold(self) -> bool {
        self.reason == Some(Self::HOLD)
    }

    pub(crate) fn word(self) -> &'static str {
        match self.reason {
            None | Some(0) => "unspecified",
            Some(1) => "keyCompromise",
            Some(2) => "cACompromise",
            Some(3) => "affiliationChanged",
            Some(4) => "superseded",
            Some(5) => "cessationOfOperation",
            Some(6) => "certificateHold",
            Some(8) => "removeFromCRL",
            Some(9) => "privilegeWithdrawn",
            Some(10) => "aACompromise",
            Some(_) => "an unknown reason",
        }
    }
}

impl Crl {
    /// The list's name in reports.
    pub fn label(&self) -> String {
        let (issuer, time) = (&self.issuer, self.this_update);
        let label = if self.delta_base.is_some() {
            reason!("delta CRL of {issuer} of {time}")
        } else {
            reason!("CRL of {issuer} of {time}")
        };
        label.into_text()
    }

    /// Reads a list from DER, PEM or base64.
    pub fn read(input: &[u8]) -> Result<Self> {
        let limits = Limits::CRL;
        let bytes = text::one(input, limits.size)?;
        der::check(&bytes, &limits, "the revocation list")?;
        Self::from_element(&Reader::new(&bytes).expect(tag::SEQUENCE, "a revocation list")?)
    }

    pub(crate) fn from_element(element: &Element<'_>) -> Result<Self> {
        let raw = element.raw;
        let mut outer = element.inside();
        let tbs = outer.expect(tag::SEQUENCE, "the body of a list")?;
        let signature_algorithm = Algorithm::read(&mut outer, "the signature algorithm")?;
        let signature = outer
            .expect(tag::BIT_STRING, "the signature of a list")?
            .bits()?;
        outer.end("a revocation list")?;

        let mut inside = tbs.inside();
        inside.optional(tag::INTEGER)?;
        let inner_algorithm = Algorithm::read(&mut inside, "the signature algorithm")?;
        if !inner_algorithm.same(&signature_algorithm) {
            return Err(malformed("the signature algorithm of a list"));
        }
        let issuer = Name::read(&mut inside, "the issuer of a list")?;
        let this_update = Time::read(&mut inside, "this update")?;
        let next_update = Time::read_optional(&mut inside)?;
        let entries = inside.optional(tag::SEQUENCE)?;
        let entries = entries.map_or(0..0, |e| range(raw, e.content));
        let mut crl = Self {
            tbs: range(raw, tbs.raw),
            raw: raw.to_vec(),
            entries,
            issuer,
            this_update,
            next_update,
            number: None,
            delta_base: None,
            point: None,
            authority_key_id: None,
            expired_since: None,
            unknown_critical: Vec::new(),
            signature_algorithm,
            signature: signature.to_vec(),
        };
        if let Some(explicit) = inside.optional(tag::context_constructed(0))? {
            crl.take_extensions(&mut explicit.inside())?;
        }
        inside.end("the body of a list")?;
        Ok(crl)
    }

    fn take_extensions(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        for extension in extension::read_all(&mut reader.clone())? {
            let mut value = Reader::new(&extension.value);
            match extension.oid.as_str() {
                oid::CRL_NUMBER => self.number = Some(value.integer("the list's number")?.to_vec()),
                oid::DELTA_CRL => {
                    self.delta_base = Some(value.integer("the base's number")?.to_vec());
                }
                oid::ISSUING_DISTRIBUTION_POINT => {
                    self.point = Some(IssuingPoint::read(&extension.value)?);
                }
                oid::EXPIRED_CERTS_ON_CRL => {
                    self.expired_since = Some(Time::read(&mut value, "expired certificates")?);
                }
                oid::AUTHORITY_KEY_ID | oid::FRESHEST_CRL | oid::ISSUER_ALT_NAME => {}
                _ if extension.critical => self.unknown_critical.push(extension.oid),
                _ => {}
            }
        }
        self.authority_key_id = Extensions::read(reader)?.authority_key_id;
        Ok(())
    }

    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    pub(crate) fn tbs(&self) -> &[u8] {
        &self.raw[self.tbs.clone()]
    }

    /// Finds the last entry with this serial number.
    pub(crate) fn find(&self, serial: &[u8]) -> Result<Option<Revocation>> {
        let mut entries = Reader::new(&self.raw[self.entries.clone()]);
        let mut found = None;
        while !entries.is_empty() {
            let mut entry = entries.sequence("an entry of a list")?;
            if entry.serial("a serial number")? != serial {
                continue;
            }
            let at = Time::read(&mut entry, "the time of revocation")?;
            let mut reason = None;
            if !entry.is_empty() {
                for extension in extension::read_all(&mut entry)? {
                    let mut value = Reader::new(&extension.value);
                    match extension.oid.as_str() {
                        oid::REASON_CODE => {
                            reason = Some(value.expect(tag::ENUMERATED, "a reason")?.small()?);
                        }
                        // The entry of another issuer in an indirect list. Indirect lists are not supported.
                        oid::CERTIFICATE_ISSUER => return Err(malformed("an indirect entry")),
                        _ if extension.critical => {
                            return Err(malformed(
                                "an unknown critical extension of an entry, which",
                            ));
                        }
                        _ => {}
                    }
                }
            }
            found = Some(Revocation { at, reason });
        }
        Ok(found)
    }
}

impl IssuingPoint {
    fn read(value: &[u8]) -> Result<Self> {
        let mut inside = Reader::new(value).sequence("the issuing distribution point")?;
        let mut found = Self {
            raw: value.to_vec(),
            ..Self::default()
        };
        if let Some(name) = inside.optional(tag::context_constructed(0))? {
            found.named = true;
            found.point.read_name(name.inside())?;
        }
        let mut flag = |number| -> Result<bool> {
            let element = inside.optional(tag::context(number))?;
            Ok(element.map(|e| e.boolean()).transpose()?.unwrap_or(false))
        };
        found.only_users = flag(1)?;
        found.only_cas = flag(2)?;
        // onlySomeReasons is a bit string. Its presence alone limits the list.
        if inside.optional(tag::context(3))?.is_some() {
            found.some_reasons = true;
        }
        let mut flag = |number| -> Result<bool> {
            let element = inside.optional(tag::context(number))?;
            Ok(element.map(|e| e.boolean()).transpose()?.unwrap_or(false))
        };
        found.indirect = flag(4)?;
        found.only_attributes = flag(5)?;
        inside.end("the issuing distribution point")?;
        Ok(found)
    }
}
