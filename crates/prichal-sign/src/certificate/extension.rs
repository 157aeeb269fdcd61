//! The certificate extensions that the validation uses (RFC 5280 §4.2).

use super::general_name::{DistributionPoint, GeneralName};
use crate::der::{self, Element, Reader, tag};
use crate::error::{ReadError, Result, malformed};
use crate::oid::{self, Oid};

/// An extension of a certificate, a revocation list, an OCSP response or a request, as received.
pub(crate) struct Extension<'a> {
    pub oid: Oid,
    pub critical: bool,
    pub value: std::borrow::Cow<'a, [u8]>,
}

/// Reads `Extensions`. A repeated extension is an error (RFC 5280 §4.2).
pub(crate) fn read_all<'a>(reader: &mut Reader<'a>) -> Result<Vec<Extension<'a>>> {
    let mut inside = reader.sequence("the extensions")?;
    let mut extensions: Vec<Extension<'a>> = Vec::new();
    while !inside.is_empty() {
        let mut parts = inside.sequence("an extension")?;
        let oid = Oid::read(&mut parts)?;
        let critical = match parts.optional(tag::BOOLEAN)? {
            Some(flag) => flag.boolean()?,
            None => false,
        };
        let value = parts.octet_string("the value of an extension")?;
        parts.end("an extension")?;
        if extensions.len() >= 64 {
            return Err(ReadError::TooMany {
                what: "extensions",
                limit: 64,
            });
        }
        if extensions.iter().any(|e| e.oid == oid) {
            return Err(malformed("an extension that comes twice"));
        }
        extensions.push(Extension {
            oid,
            critical,
            value,
        });
    }
    Ok(extensions)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BasicConstraints {
    pub ca: bool,
    pub path_length: Option<u64>,
}

/// The bits of `KeyUsage`, as returned by [`Element::named_bits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyUsage(u16);

impl KeyUsage {
    pub(crate) const fn digital_signature(self) -> bool {
        self.0 & 0x8000 != 0
    }

    pub(crate) const fn non_repudiation(self) -> bool {
        self.0 & 0x4000 != 0
    }

    pub(crate) const fn cert_sign(self) -> bool {
        self.0 & 0x0400 != 0
    }

    pub(crate) const fn crl_sign(self) -> bool {
        self.0 & 0x0200 != 0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExtendedKeyUsage {
    pub critical: bool,
    pub purposes: Vec<Oid>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct NameConstraints {
    pub permitted: Vec<GeneralName>,
    pub excluded: Vec<GeneralName>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct AuthorityKeyId {
    pub key: Option<Vec<u8>>,
    pub issuer: Vec<GeneralName>,
    pub serial: Option<Vec<u8>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Extensions {
    pub basic_constraints: Option<BasicConstraints>,
    pub key_usage: Option<KeyUsage>,
    pub extended_key_usage: Option<ExtendedKeyUsage>,
    pub subject_key_id: Option<Vec<u8>>,
    pub authority_key_id: Option<AuthorityKeyId>,
    pub subject_alt_names: Vec<GeneralName>,
    pub name_constraints: Option<NameConstraints>,
    /// `None` without the extension. The extension cannot hold an empty list.
    pub policies: Option<Vec<Oid>>,
    /// Pairs of an issuer's policy and a subject's policy.
    pub policy_mappings: Vec<(Oid, Oid)>,
    pub require_explicit_policy: Option<u64>,
    pub inhibit_policy_mapping: Option<u64>,
    pub inhibit_any_policy: Option<u64>,
    pub crl_points: Vec<DistributionPoint>,
    pub freshest_crl: Vec<DistributionPoint>,
    pub ocsp_uris: Vec<String>,
    pub issuer_uris: Vec<String>,
    pub ocsp_no_check: bool,
    /// Critical extensions that this crate does not know.
    pub unknown_critical: Vec<Oid>,
}

impl Extensions {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut found = Self::default();
        for extension in read_all(reader)? {
            found.take(&extension)?;
        }
        Ok(found)
    }

    fn take(&mut self, extension: &Extension<'_>) -> Result<()> {
        let mut value = Reader::new(&extension.value);
        match extension.oid.as_str() {
            oid::BASIC_CONSTRAINTS => {
                let mut inside = value.sequence("basic constraints")?;
                let ca = match inside.optional(tag::BOOLEAN)? {
                    Some(flag) => flag.boolean()?,
                    None => false,
                };
                let length = inside.optional(tag::INTEGER)?;
                self.basic_constraints = Some(BasicConstraints {
                    ca,
                    path_length: length.map(|l| l.small()).transpose()?,
                });
            }
            oid::KEY_USAGE => {
                let bits = value.expect(tag::BIT_STRING, "the key usage")?;
                self.key_usage = Some(KeyUsage(bits.named_bits()?));
            }
            oid::EXTENDED_KEY_USAGE => {
                let inside = value.sequence("the extended key usage")?;
                self.extended_key_usage = Some(ExtendedKeyUsage {
                    critical: extension.critical,
                    purposes: members(inside, |inside| Oid::read(inside))?,
                });
            }
            oid::SUBJECT_KEY_ID => {
                self.subject_key_id = Some(value.octet_string("the subject key id")?.into_owned());
            }
            oid::AUTHORITY_KEY_ID => {
                self.authority_key_id = Some(authority_key_id(value)?);
            }
            oid::SUBJECT_ALT_NAME => {
                let names = value.sequence("the alternative names")?;
                self.subject_alt_names = GeneralName::read_all(names)?;
            }
            oid::NAME_CONSTRAINTS => self.name_constraints = Some(name_constraints(value)?),
            oid::CERTIFICATE_POLICIES => {
                let inside = value.sequence("the certificate policies")?;
                self.policies = Some(members(inside, |inside| {
                    Oid::read(&mut inside.sequence("a certificate policy")?)
                })?);
            }
            oid::POLICY_MAPPINGS => {
                let inside = value.sequence("the policy mappings")?;
                self.policy_mappings = members(inside, |inside| {
                    let mut pair = inside.sequence("a policy mapping")?;
                    Ok((Oid::read(&mut pair)?, Oid::read(&mut pair)?))
                })?;
            }
            oid::POLICY_CONSTRAINTS => {
                let mut inside = value.sequence("the policy constraints")?;
                let mut number = |n| -> Result<Option<u64>> {
                    inside
                        .optional(tag::context(n))?
                        .map(|e| e.small())
                        .transpose()
                };
                self.require_explicit_policy = number(0)?;
                self.inhibit_policy_mapping = number(1)?;
            }
            oid::INHIBIT_ANY_POLICY => {
                let skip = value.expect(tag::INTEGER, "inhibit any policy")?;
                self.inhibit_any_policy = Some(skip.small()?);
            }
            oid::CRL_DISTRIBUTION_POINTS => self.crl_points = points(value)?,
            oid::FRESHEST_CRL => self.freshest_crl = points(value)?,
            oid::AUTHORITY_INFO_ACCESS => self.take_access(value)?,
            oid::OCSP_NO_CHECK => self.ocsp_no_check = true,
            oid::ISSUER_ALT_NAME | oid::QC_STATEMENTS => {}
            _ if extension.critical => self.unknown_critical.push(extension.oid.clone()),
            _ => {}
        }
        Ok(())
    }

    fn take_access(&mut self, mut value: Reader<'_>) -> Result<()> {
        let mut inside = value.sequence("the authority access")?;
        while !inside.is_empty() {
            let mut description = inside.sequence("an access description")?;
            let method = Oid::read(&mut description)?;
            let GeneralName::Uri(uri) = GeneralName::from_element(&description.any()?)? else {
                continue;
            };
            if self.ocsp_uris.len() + self.issuer_uris.len() >= 64 {
                return Err(ReadError::TooMany {
                    what: "access descriptions",
                    limit: 64,
                });
            }
            match method.as_str() {
                oid::AD_OCSP => self.ocsp_uris.push(uri),
                oid::AD_CA_ISSUERS => self.issuer_uris.push(uri),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Reads the members of a list, at most 256.
fn members<'a, T>(
    mut inside: Reader<'a>,
    read: impl Fn(&mut Reader<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut found = Vec::new();
    while !inside.is_empty() {
        if found.len() >= 256 {
            return Err(ReadError::TooMany {
                what: "members of an extension",
                limit: 256,
            });
        }
        found.push(read(&mut inside)?);
    }
    Ok(found)
}

fn authority_key_id(mut value: Reader<'_>) -> Result<AuthorityKeyId> {
    let mut inside = value.sequence("the authority key id")?;
    let key = inside.optional(tag::context(0))?;
    let issuer = inside.optional(tag::context_constructed(1))?;
    let serial = inside.optional(tag::context(2))?;
    let plain = |element: Element<'_>| element.content.to_vec();
    Ok(AuthorityKeyId {
        key: key.map(plain),
        issuer: match issuer {
            Some(names) => GeneralName::read_all(names.inside())?,
            None => Vec::new(),
        },
        serial: serial.map(|s| der::serial(s.content).to_vec()),
    })
}

fn name_constraints(mut value: Reader<'_>) -> Result<NameConstraints> {
    let mut inside = value.sequence("the name constraints")?;
    let mut subtrees = |number| -> Result<Vec<GeneralName>> {
        match inside.optional(tag::context_constructed(number))? {
            Some(list) => members(list.inside(), |inside| {
                let mut subtree = inside.sequence("a subtree")?;
                GeneralName::from_element(&subtree.any()?)
            }),
            None => Ok(Vec::new()),
        }
    };
    Ok(NameConstraints {
        permitted: subtrees(0)?,
        excluded: subtrees(1)?,
    })
}

fn points(mut value: Reader<'_>) -> Result<Vec<DistributionPoint>> {
    let inside = value.sequence("the distribution points")?;
    members(inside, |inside| {
        DistributionPoint::read(inside.sequence("a distribution point")?)
    })
}
