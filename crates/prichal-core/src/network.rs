//! Addresses and networks in CIDR notation (RFC 4632 §3.1, RFC 4291 §2.3).

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::schema::Form;

/// The pattern of a group of an IPv6 address.
macro_rules! h {
    () => {
        "[0-9A-Fa-f]{1,4}"
    };
}

/// The pattern of an IPv4 address.
macro_rules! v4 {
    () => {
        "((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
    };
}

/// The form of addresses and networks. Zeros may be written before the length of the prefix.
#[rustfmt::skip]
pub static MASK: Form = Form::new(
    "an address or a network, such as 10.0.0.0/8",
    concat!(
        "^(", v4!(), "(/0*(3[0-2]|[12]?[0-9]))?",
        "|(", "(", h!(), ":){7}", h!(),
        "|(", h!(), ":){1,7}:",
        "|(", h!(), ":){1,6}:", h!(),
        "|(", h!(), ":){1,5}(:", h!(), "){2}",
        "|(", h!(), ":){1,4}(:", h!(), "){3}",
        "|(", h!(), ":){1,3}(:", h!(), "){4}",
        "|(", h!(), ":){1,2}(:", h!(), "){5}",
        "|", h!(), ":(:", h!(), "){6}",
        "|:((:", h!(), "){1,7}|:)",
        "|(", h!(), ":){6}", v4!(),
        "|:(:", h!(), "){0,5}:", v4!(),
        "|(", h!(), ":){1,5}:", v4!(),
        "|(", h!(), ":){1,4}:", h!(), ":", v4!(),
        "|(", h!(), ":){1,3}(:", h!(), "){2}:", v4!(),
        "|(", h!(), ":){1,2}(:", h!(), "){3}:", v4!(),
        "|", h!(), ":(:", h!(), "){4}:", v4!(),
        ")(/0*(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?)$",
    ),
    |text| Network::parse(text).is_some(),
);

/// A network, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or an address alone.
    pub fn parse(text: &str) -> Option<Self> {
        // The parser of `ipnet` takes octets with zeros in front, which others read as octal.
        let network = match text.split_once('/') {
            Some((address, bits)) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                IpNet::new(address.parse().ok()?, bits.parse().ok()?).ok()?
            }
            Some(_) => return None,
            None => IpNet::from(text.parse::<IpAddr>().ok()?),
        };
        Some(Self(canonical(network)))
    }

    /// True if the network contains an address. An IPv4 address written as an IPv6 one is that address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

/// An IPv4 network written as an IPv6 one is that network, since its addresses are.
fn canonical(network: IpNet) -> IpNet {
    let inner = match network {
        IpNet::V6(network) => network.addr().to_ipv4_mapped(),
        IpNet::V4(_) => None,
    };
    let bits = network.prefix_len().checked_sub(96);
    let inner = inner
        .zip(bits)
        .map(|(inner, bits)| Ipv4Net::new(inner, bits));
    inner.and_then(Result::ok).map_or(network, IpNet::V4)
}

/// The address that identifies a customer of a provider: of IPv6, the first of the customer's /64.
pub fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Net::new_assert(address, 64).network().into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_has_one_address() {
        for (address, customer_) in [
            ("203.0.113.7", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(customer(address).to_string(), customer_);
        }
    }

    #[test]
    fn networks_contain_their_addresses() {
        for (network, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "::1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("::ffff:10.0.0.0/104", "10.9.9.9", true),
            ("::ffff:127.0.0.1", "127.0.0.1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "::1", true),
            // Bits behind the prefix do not count, and it may be written with zeros.
            ("10.1.2.3/08", "10.255.0.1", true),
            ("2001:db8::1/32", "2001:db8:ffff::1", true),
            ("::ffff:10.0.0.0/95", "10.0.0.1", false),
        ] {
            let network = Network::parse(network).unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                inside,
                "{network:?} {address}"
            );
        }
        for bad in [
            "",
            "x",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0/8",
            "10.0.0.0/8/8",
            "10.0.0.0/256",
            "010.0.0.0/8",
            "10.0.0.01",
            " 10.0.0.0/8",
            "[::1]",
            "fe80::1%eth0",
        ] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }
}
