//! Patterns of hosts in settings.

use std::{fmt, net::IpAddr};

use prichal_core::network::Network;
use url::Host;

/// A rule for hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `crm.example`: this name only.
    Name(String),
    /// `*.crm.example`: all names below this one.
    Below(String),
    /// `10.0.0.0/8` or an address.
    Network(Network),
}

impl HostPattern {
    /// Reads a pattern. `*` alone is not one: it would allow everything.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(network) = Network::parse(text) {
            return Some(Self::Network(network));
        }
        let (name, make): (_, fn(String) -> Self) = match text.strip_prefix("*.") {
            Some(name) => (name, Self::Below),
            None => (text, Self::Name),
        };
        match Host::parse(name).ok()? {
            Host::Domain(name) if !name.contains('*') => Some(make(without_root(&name).to_owned())),
            _ => None,
        }
    }

    /// True if a name in lower case is meant.
    pub fn has_name(&self, name: &str) -> bool {
        let name = without_root(name);
        match self {
            Self::Name(only) => name == only,
            Self::Below(domain) => name
                .strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.ends_with('.')),
            Self::Network(_) => false,
        }
    }

    pub fn has_address(&self, address: IpAddr) -> bool {
        match self {
            Self::Network(network) => network.contains(address),
            Self::Name(_) | Self::Below(_) => false,
        }
    }
}

/// A name without the dot of the root at its end.
fn without_root(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Network(network) => write!(f, "{network:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_its_hosts_and_no_others() {
        for (pattern, host, expected) in [
            ("crm.example", "crm.example", true),
            ("CRM.Example", "crm.example", true),
            ("crm.example.", "crm.example", true),
            ("crm.example", "crm.example.", true),
            ("crm.example", "a.crm.example", false),
            ("crm.example", "notcrm.example", false),
            ("*.crm.example", "a.crm.example", true),
            ("*.crm.example", "b.a.crm.example.", true),
            ("*.crm.example", "crm.example", false),
            ("*.crm.example", "notcrm.example", false),
            ("*.crm.example", ".crm.example", true),
            ("пример.рф", "xn--e1afmkfd.xn--p1ai", true),
            ("localhost", "localhost", true),
        ] {
            let pattern = HostPattern::parse(pattern).expect(pattern);
            assert_eq!(pattern.has_name(host), expected, "{pattern} {host}");
        }
        for (pattern, address, expected) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("::1", "::1", true),
            ("crm.example", "10.1.2.3", false),
        ] {
            let pattern = HostPattern::parse(pattern).expect(pattern);
            let address = address.parse().expect("an address");
            assert_eq!(
                pattern.has_address(address),
                expected,
                "{pattern} {address}"
            );
        }
        let network = HostPattern::parse("10.0.0.0/8").expect("a network");
        assert!(!network.has_name("10.1.2.3"));
    }

    #[test]
    fn what_would_allow_everything_or_nothing_is_no_pattern() {
        for bad in [
            "",
            "*",
            "*.",
            "*.*",
            "a.*.example",
            "*a.example",
            "http://a.example",
            "a.example:80",
            "a b",
            "0x7f.1",
            "10.0.0.0/33",
            "user@a.example",
            "[::1]",
        ] {
            assert_eq!(HostPattern::parse(bad), None, "{bad}");
        }
    }
}
