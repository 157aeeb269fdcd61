//! The decision if an address may be called. The guard sees addresses only, never names: the address that it passes
//! is the one that is connected to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The rule for the addresses of receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// Passes all addresses, for receivers in the operator's own network and for tests.
    pub allow_private: bool,
}

impl Guard {
    /// Refuses an address outside the public internet.
    pub fn check(self, address: IpAddr) -> Result<(), Kind> {
        match kind(address) {
            Some(kind) if !self.allow_private => Err(kind),
            _ => Ok(()),
        }
    }
}

/// The reason why an address is outside the public internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Unspecified,
    Loopback,
    /// RFC 1918, unique local and the former site-local addresses.
    Private,
    /// 100.64.0.0/10, between a provider and its customers.
    Shared,
    LinkLocal,
    /// The metadata services of clouds, which hand credentials to their machines.
    Metadata,
    Multicast,
    Broadcast,
    Benchmarking,
    Documentation,
    Reserved,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::Shared => "shared",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Benchmarking => "benchmarking",
            Self::Documentation => "documentation",
            Self::Reserved => "reserved",
        })
    }
}

/// The kind of an address outside the public internet; `None` for a public one.
///
/// The std methods for this are partly unstable, so the tables of RFC 6890 and its successors are spelled out.
fn kind(address: IpAddr) -> Option<Kind> {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

fn kind_v4(address: Ipv4Addr) -> Option<Kind> {
    Some(match address.octets() {
        // 168.63.129.16 is a public address, yet always the cloud's own host.
        [169, 254, 169, 254] | [168, 63, 129, 16] => Kind::Metadata,
        [0, ..] => Kind::Unspecified,
        [127, ..] => Kind::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Kind::Private,
        [100, 64..=127, ..] => Kind::Shared,
        [169, 254, ..] => Kind::LinkLocal,
        [198, 18..=19, ..] => Kind::Benchmarking,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Kind::Documentation,
        [224..=239, ..] => Kind::Multicast,
        [255, 255, 255, 255] => Kind::Broadcast,
        // Protocol assignments, the former 6to4 relays, class E.
        [192, 0, 0, _] | [192, 88, 99, _] | [240..=255, ..] => Kind::Reserved,
        _ => return None,
    })
}

fn kind_v6(address: Ipv6Addr) -> Option<Kind> {
    if let Some(inner) = embedded(address) {
        return kind_v4(inner);
    }
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Kind::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Loopback,
        [0xfe80..=0xfebf, ..] => Kind::LinkLocal,
        // Unique local, with the clouds' fd00:ec2::254 in it, and site-local.
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Kind::Private,
        [0xff00..=0xffff, ..] => Kind::Multicast,
        [0x2001, 2, 0, ..] => Kind::Benchmarking,
        [0x2001, 0xdb8, ..] | [0x3fff, ..=0x0fff, ..] => Kind::Documentation,
        // 2001::/23 are protocols, among them Teredo, which hides an IPv4 address.
        [0x2001, ..=0x01ff, ..] => Kind::Reserved,
        // Global unicast. Everything else is unassigned.
        [0x2000..=0x3fff, ..] => return None,
        _ => Kind::Reserved,
    })
}

/// The IPv4 address that a mapped, compatible, translated, 6to4 or NAT64 address leads to.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0..=1] => return None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Guard = Guard {
        allow_private: false,
    };

    fn check(addresses: &str, expected: Result<(), Kind>) {
        for text in addresses.split_whitespace() {
            let address = text.parse().expect("an address");
            assert_eq!(STRICT.check(address), expected, "{text}");
            let lenient = Guard {
                allow_private: true,
            };
            assert_eq!(lenient.check(address), Ok(()), "{text}");
        }
    }

    #[test]
    fn public_addresses_pass() {
        check(
            "1.1.1.1 8.8.8.8 93.184.216.34 100.63.255.255 100.128.0.0",
            Ok(()),
        );
        check("9.255.255.255 11.0.0.0 172.15.255.255 172.32.0.0", Ok(()));
        check(
            "192.167.255.255 192.169.0.0 169.253.255.255 169.255.0.0",
            Ok(()),
        );
        check(
            "198.17.255.255 198.20.0.0 223.255.255.255 126.255.255.255",
            Ok(()),
        );
        check(
            "2606:4700:4700::1111 2a00:1450:4010::64 2001:200:: 2001:4860::8888",
            Ok(()),
        );
        check("3ffe::1 3fff:1000::1", Ok(()));
    }

    #[test]
    fn addresses_outside_the_public_internet_are_refused() {
        check("0.0.0.0 0.1.2.3 ::", Err(Kind::Unspecified));
        check("127.0.0.1 127.255.255.255 ::1", Err(Kind::Loopback));
        check(
            "10.0.0.0 10.255.255.255 172.16.0.1 172.31.255.255",
            Err(Kind::Private),
        );
        check("192.168.0.1 192.168.255.255", Err(Kind::Private));
        check(
            "fc00::1 fd00:ec2::254 fdff:ffff::1 fec0::1 feff::1",
            Err(Kind::Private),
        );
        check(
            "100.64.0.0 100.100.100.200 100.127.255.255",
            Err(Kind::Shared),
        );
        check(
            "169.254.0.1 169.254.255.255 fe80::1 febf::1",
            Err(Kind::LinkLocal),
        );
        check("169.254.169.254 168.63.129.16", Err(Kind::Metadata));
        check(
            "224.0.0.1 239.255.255.255 ff02::1 ff0e::1",
            Err(Kind::Multicast),
        );
        check("255.255.255.255", Err(Kind::Broadcast));
        check(
            "198.18.0.0 198.19.255.255 2001:2::1",
            Err(Kind::Benchmarking),
        );
        check(
            "192.0.2.1 198.51.100.1 203.0.113.1",
            Err(Kind::Documentation),
        );
        check("2001:db8::1 3fff::1 3fff:fff::1", Err(Kind::Documentation));
        check(
            "192.0.0.1 192.0.0.192 192.88.99.1 240.0.0.1 255.0.0.1",
            Err(Kind::Reserved),
        );
        check(
            "100::1 2001::1 2001:10::1 4000::1 5f00::1 64:ff9b:1::1",
            Err(Kind::Reserved),
        );
    }

    #[test]
    fn an_ipv4_address_inside_an_ipv6_address_counts() {
        check(
            "::ffff:127.0.0.1 ::127.0.0.1 ::ffff:0:127.0.0.1",
            Err(Kind::Loopback),
        );
        check("64:ff9b::7f00:1 2002:7f00:1::1", Err(Kind::Loopback));
        check(
            "::ffff:10.1.2.3 ::10.1.2.3 64:ff9b::10.1.2.3 2002:a01:203::",
            Err(Kind::Private),
        );
        check(
            "::ffff:169.254.169.254 64:ff9b::a9fe:a9fe",
            Err(Kind::Metadata),
        );
        check("::ffff:100.64.0.1", Err(Kind::Shared));
        check("::ffff:0.0.0.0 ::2", Err(Kind::Unspecified));
        check("::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1", Ok(()));
    }
}
