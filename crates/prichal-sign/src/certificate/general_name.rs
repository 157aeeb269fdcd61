//! `GeneralName` and its lists (RFC 5280 §4.2.1.6).

use crate::der::{Element, Reader, tag};
use crate::error::{ReadError, Result};
use crate::name::Name;

/// A general name of a form that name constraints apply to, or the tag of another form.
#[derive(Clone, Debug)]
pub(crate) enum GeneralName {
    Email(String),
    Dns(String),
    Directory(Name),
    Uri(String),
    /// An address; in name constraints an address and a mask.
    Ip(Vec<u8>),
    /// The context tag of another form.
    Other(u8),
}

impl GeneralName {
    pub(crate) fn from_element(element: &Element<'_>) -> Result<Self> {
        let text = || String::from_utf8_lossy(element.content).into_owned();
        Ok(match element.tag {
            0x81 => Self::Email(text()),
            0x82 => Self::Dns(text()),
            0xa4 => Self::Directory(Name::read(&mut element.inside(), "a directory name")?),
            0x86 => Self::Uri(text()),
            0x87 => Self::Ip(element.content.to_vec()),
            other => Self::Other(other & 0x1f),
        })
    }

    /// Reads the members of `GeneralNames`.
    pub(crate) fn read_all(mut inside: Reader<'_>) -> Result<Vec<Self>> {
        let mut names = Vec::new();
        while !inside.is_empty() {
            if names.len() >= 256 {
                return Err(ReadError::TooMany {
                    what: "general names",
                    limit: 256,
                });
            }
            names.push(Self::from_element(&inside.any()?)?);
        }
        Ok(names)
    }

    /// Tells if this name is within `base` (RFC 5280 §4.2.1.10). `None` if the two names have different forms.
    pub(crate) fn within(&self, base: &Self) -> Option<bool> {
        match (self, base) {
            (Self::Directory(name), Self::Directory(base)) => Some(name.starts_with(base)),
            (Self::Dns(name), Self::Dns(base)) => Some(in_domain(name, base)),
            (Self::Email(name), Self::Email(base)) => Some(email_within(name, base)),
            (Self::Uri(name), Self::Uri(base)) => {
                Some(host(name).is_some_and(|host| match base.strip_prefix('.') {
                    Some(domain) => in_domain(host, domain) && !host.eq_ignore_ascii_case(domain),
                    None => host.eq_ignore_ascii_case(base),
                }))
            }
            (Self::Ip(address), Self::Ip(base)) => Some(ip_within(address, base)),
            (Self::Other(kind), Self::Other(base)) if kind == base => {
                // The matching rules of this form are unknown, so the name counts as outside of a permitted subtree.
                // Callers treat excluded subtrees the other way round.
                Some(false)
            }
            _ => None,
        }
    }
}

fn in_domain(name: &str, base: &str) -> bool {
    let base = base.trim_start_matches('.').to_ascii_lowercase();
    let name = name.to_ascii_lowercase();
    base.is_empty()
        || name == base
        || name
            .strip_suffix(&base)
            .is_some_and(|head| head.ends_with('.'))
}

fn email_within(name: &str, base: &str) -> bool {
    let Some((local, domain)) = name.rsplit_once('@') else {
        return false;
    };
    if let Some((base_local, base_domain)) = base.rsplit_once('@') {
        return local == base_local && domain.eq_ignore_ascii_case(base_domain);
    }
    match base.strip_prefix('.') {
        Some(parent) => in_domain(domain, parent) && !domain.eq_ignore_ascii_case(parent),
        None => domain.eq_ignore_ascii_case(base),
    }
}

/// The host of a URI, without user and port.
pub(crate) fn host(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let after_user = authority.rsplit('@').next()?;
    if let Some(bracketed) = after_user.strip_prefix('[') {
        return bracketed.split(']').next();
    }
    after_user.split(':').next().filter(|host| !host.is_empty())
}

fn ip_within(address: &[u8], base: &[u8]) -> bool {
    let Some((network, mask)) = base.split_at_checked(base.len() / 2) else {
        return false;
    };
    address.len() == network.len()
        && network.len() == mask.len()
        && (address.iter().zip(network).zip(mask)).all(|((a, n), m)| a & m == n & m)
}

/// A distribution point (RFC 5280 §4.2.1.13): its URIs and its encoded names.
#[derive(Clone, Debug, Default)]
pub(crate) struct DistributionPoint {
    pub uris: Vec<String>,
    /// The encoding of every full name.
    pub names: Vec<Vec<u8>>,
    /// True if the point covers only some reasons, or belongs to another issuer.
    pub partial: bool,
}

impl DistributionPoint {
    pub(crate) fn read(mut inside: Reader<'_>) -> Result<Self> {
        let mut point = Self::default();
        if let Some(name) = inside.optional(tag::context_constructed(0))? {
            point.read_name(name.inside())?;
        }
        point.partial = inside.peek().is_some();
        Ok(point)
    }

    /// Reads `DistributionPointName`. A name relative to the issuer is ignored.
    pub(crate) fn read_name(&mut self, mut inside: Reader<'_>) -> Result<()> {
        let Some(full) = inside.optional(tag::context_constructed(0))? else {
            return Ok(());
        };
        let mut names = full.inside();
        while !names.is_empty() {
            let element = names.any()?;
            if self.names.len() >= 64 {
                return Err(ReadError::TooMany {
                    what: "distribution point names",
                    limit: 64,
                });
            }
            self.names.push(element.raw.to_vec());
            if let GeneralName::Uri(uri) = GeneralName::from_element(&element)? {
                self.uris.push(uri);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_within_their_bases() {
        let dns = |name: &str| GeneralName::Dns(name.to_owned());
        let email = |name: &str| GeneralName::Email(name.to_owned());
        let uri = |name: &str| GeneralName::Uri(name.to_owned());
        for (name, base, expected) in [
            (dns("a.example.kz"), dns("example.kz"), true),
            (dns("example.kz"), dns("example.kz"), true),
            (dns("badexample.kz"), dns("example.kz"), false),
            (email("a@example.kz"), email("example.kz"), true),
            (email("a@b.example.kz"), email("example.kz"), false),
            (email("a@b.example.kz"), email(".example.kz"), true),
            (email("a@example.kz"), email("b@example.kz"), false),
            (uri("https://u@a.kz:80/x"), uri("a.kz"), true),
            (uri("https://b.a.kz/x"), uri(".a.kz"), true),
            (uri("https://a.kz.evil/x"), uri("a.kz"), false),
        ] {
            assert_eq!(name.within(&base), Some(expected), "{name:?} {base:?}");
        }
        let ip = |bytes: &[u8]| GeneralName::Ip(bytes.to_vec());
        let base = ip(&[10, 1, 0, 0, 255, 255, 0, 0]);
        assert_eq!(ip(&[10, 1, 2, 3]).within(&base), Some(true));
        assert_eq!(ip(&[10, 2, 2, 3]).within(&base), Some(false));
        assert_eq!(ip(&[0; 16]).within(&base), Some(false));
        assert_eq!(dns("a.kz").within(&email("a.kz")), None);
    }
}
