//! Validation policies: severities, algorithms and requirements, as data.

use crate::certificate::general_name::host;
use crate::hash::Hash;
use crate::time::Time;
use serde::{Deserialize, Serialize};

/// The consequence of a broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Fail,
    Warn,
    Ignore,
}

/// The meaning of the extended key usage for the authority to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Roles {
    /// Certificates name no roles.
    Open,
    /// The register of the Kazakh root authority: head, authorised signer, finance, individual.
    Kazakhstan,
}

/// A hash that signatures may use in the past only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WeakHash {
    pub hash: Hash,
    /// The time before which the signature must be proven to exist; `None` if the hash is never accepted.
    pub accepted_before: Option<Time>,
    /// True for a hash that was withdrawn without being broken: a time-stamp made with it before then proves its own
    /// time.
    #[serde(default)]
    pub withdrawn: bool,
}

/// A validation policy. Start from a preset and change the differences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// The id shown with every verdict.
    pub id: String,
    /// The anchors, as SHA-256 of the certificate in hex. Every available certificate with such a hash is an anchor,
    /// wherever it comes from. A name never makes an anchor.
    #[serde(default)]
    pub anchors: Vec<String>,
    /// A signature without signed attributes.
    pub no_signed_attributes: Severity,
    /// True if content other than id-data is allowed, with signed attributes.
    pub other_content: bool,
    /// A structural fault, such as signed attributes outside of DER order, an unsigned attribute that must be signed,
    /// or a version that does not match the members.
    pub structure: Severity,
    /// A signature without a signingCertificate attribute.
    pub no_signing_certificate: Severity,
    /// A signer's key usage without nonRepudiation.
    pub non_repudiation: Severity,
    pub roles: Roles,
    /// A certificate whose role does not allow signing.
    pub role: Severity,
    /// A BIN, IIN or INN other than the expected one.
    pub identity: Severity,
    /// Missing usable revocation data for the signer or an intermediate.
    pub no_revocation_data: Severity,
    /// Missing usable revocation data for a time-stamping authority or its issuers.
    pub no_time_stamp_revocation_data: Severity,
    /// A revocation list without nextUpdate.
    pub no_next_update: Severity,
    /// A name that violates the name constraints of an authority above it. In closed national trees that is an
    /// authority overstepping its bounds; elsewhere it is mostly an authority with wrong constraints.
    pub name_constraints: Severity,
    pub certificate_policies: Severity,
    /// The smallest RSA modulus, in bits.
    pub rsa_bits: usize,
    /// An RSA exponent below 65537 (FIPS 186-5 §5.4).
    pub small_rsa_exponent: Severity,
    pub weak_hashes: Vec<WeakHash>,
    /// The largest number of certificates between the signer's and the anchor.
    pub path_length: usize,
    /// The time around the reference time, in seconds, within which an OCSP answer without nextUpdate is fresh.
    pub ocsp_freshness: i64,
    /// The largest tolerated clock difference of an authority, in seconds.
    pub clock_skew: i64,
    /// The accepted time-stamp policies. Empty: every policy.
    pub time_stamp_policies: Vec<String>,
    /// The hosts from which missing data may be fetched, each with its subdomains. `*` is every host with a public
    /// name, as opposed to an address.
    pub fetch_hosts: Vec<String>,
}

/// 2014-01-01: the end of SHA-1 in signatures (NIST SP 800-131A §3).
const SHA1_END: Time = Time::from_unix(1_388_534_400);
/// 2025-07-27: the end of the last Kazakh authority for 34.310-2004.
const KZ_2004_END: Time = Time::from_unix(1_753_574_400);
/// 2020-01-01: the end of GOST R 34.10-2001 in signatures.
const RU_2001_END: Time = Time::from_unix(1_577_836_800);

/// The root and national authorities of Kazakhstan: `root_gost_2022`, `nca_gost_2022`, `root_rsa_2020`,
/// `nca_rsa_2022`, `root_gost_2020`, and those that ended in 2025 and are needed for older documents: `root_gost`,
/// `root_rsa`, `nca_gost`, `nca_rsa`.
const KZ_ANCHORS: [&str; 9] = [
    "af77725f8328bb24f89d81da3acdf7cee4324248538b7ba2cd2a860517fb9dca",
    "32c7d233a42703a327f3025543a05b930e3f39a786c68dfa196baa86d5618524",
    "9ba06354b626641715182e4d07c9dbaa1777720fa795d03174ffc68876535dcd",
    "84fb799a66140950818c056a5d9730acc2a7622cdd4ef0d47113b132fb892905",
    "c48164ab5ccaaee6b938299a1e3aeebd6f698bb2bd716a0f0d85befc46166aa2",
    "9ab210e54e6b0343321131202d9edcc2598f598cfdd9ee4ec1056021ab2e9759",
    "a7064abc5699827f370c67b09f1a1bfd7ad5e1514d471223df209c08300ea972",
    "908521d0531e5645e64b34d3588374a3a83582c860e5f7293a04c41217e8cc18",
    "34d1b311a9873191ae3382805df51e0a5da23315c512a8deeb885668ceeb5834",
];

impl Policy {
    /// The names of the presets.
    pub const PRESETS: [&str; 4] = ["kz", "ru", "eu-baseline", "test"];

    /// The preset with this name.
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "kz" => Some(Self::kz()),
            "ru" => Some(Self::ru()),
            "eu-baseline" => Some(Self::eu_baseline()),
            "test" => Some(Self::test()),
            _ => None,
        }
    }

    /// Kazakhstan: requires roles, identity, and keys made for signing.
    pub fn kz() -> Self {
        Self {
            id: "kz".to_owned(),
            anchors: KZ_ANCHORS.iter().map(|print| (*print).to_owned()).collect(),
            other_content: false,
            non_repudiation: Severity::Fail,
            roles: Roles::Kazakhstan,
            role: Severity::Fail,
            name_constraints: Severity::Fail,
            small_rsa_exponent: Severity::Fail,
            weak_hashes: vec![
                never(Hash::Md5),
                before(Hash::Sha1, SHA1_END),
                withdrawn(Hash::Gost94Test, KZ_2004_END),
                never(Hash::Gost94CryptoPro),
            ],
            fetch_hosts: vec!["pki.gov.kz".to_owned(), "root.gov.kz".to_owned()],
            ..Self::eu_baseline()
        }
    }

    /// Russia.
    pub fn ru() -> Self {
        Self {
            id: "ru".to_owned(),
            other_content: false,
            name_constraints: Severity::Fail,
            weak_hashes: vec![
                never(Hash::Md5),
                before(Hash::Sha1, SHA1_END),
                never(Hash::Gost94Test),
                withdrawn(Hash::Gost94CryptoPro, RU_2001_END),
            ],
            ..Self::eu_baseline()
        }
    }

    /// The baseline of EN 319 122-1, with the severities of the European reference validator.
    pub fn eu_baseline() -> Self {
        Self {
            id: "eu-baseline".to_owned(),
            anchors: Vec::new(),
            no_signed_attributes: Severity::Fail,
            other_content: true,
            structure: Severity::Warn,
            no_signing_certificate: Severity::Warn,
            non_repudiation: Severity::Warn,
            roles: Roles::Open,
            role: Severity::Ignore,
            identity: Severity::Fail,
            no_revocation_data: Severity::Fail,
            no_time_stamp_revocation_data: Severity::Fail,
            no_next_update: Severity::Warn,
            name_constraints: Severity::Warn,
            certificate_policies: Severity::Warn,
            rsa_bits: 2048,
            small_rsa_exponent: Severity::Warn,
            weak_hashes: vec![
                never(Hash::Md5),
                before(Hash::Sha1, SHA1_END),
                never(Hash::Gost94Test),
                never(Hash::Gost94CryptoPro),
            ],
            path_length: 8,
            ocsp_freshness: 300,
            clock_skew: 60,
            time_stamp_policies: Vec::new(),
            fetch_hosts: vec!["*".to_owned()],
        }
    }

    /// For tests: `eu-baseline` without requirements on revocation, role and identity.
    pub fn test() -> Self {
        Self {
            id: "test".to_owned(),
            no_signed_attributes: Severity::Warn,
            identity: Severity::Warn,
            no_revocation_data: Severity::Warn,
            no_time_stamp_revocation_data: Severity::Warn,
            weak_hashes: vec![never(Hash::Md5), before(Hash::Sha1, SHA1_END)],
            ..Self::eu_baseline()
        }
    }

    /// True if the hash is accepted for a message proven to exist at `proof`.
    pub(crate) fn accepts_hash(&self, hash: Hash, proof: Time) -> bool {
        let rule = self.weak_hashes.iter().find(|weak| weak.hash == hash);
        rule.is_none_or(|weak| weak.accepted_before.is_some_and(|end| proof < end))
    }

    /// True if the hash is accepted for a time-stamp with the time `own` that is proven to exist at `proof`.
    pub(crate) fn accepts_hash_of_time_stamp(&self, hash: Hash, proof: Time, own: Time) -> bool {
        let withdrawn = self
            .weak_hashes
            .iter()
            .any(|weak| weak.hash == hash && weak.withdrawn);
        self.accepts_hash(hash, if withdrawn { own } else { proof })
    }

    /// True if the hash would be accepted with an early enough proof.
    pub(crate) fn once_accepted(&self, hash: Hash) -> bool {
        let rule = self.weak_hashes.iter().find(|weak| weak.hash == hash);
        rule.is_none_or(|weak| weak.accepted_before.is_some())
    }

    /// True if the URL's host is on the list. Only HTTP and HTTPS URLs are fetched.
    pub(crate) fn may_fetch(&self, url: &str) -> bool {
        let lower = url.to_ascii_lowercase();
        if !lower.starts_with("http://") && !lower.starts_with("https://") {
            return false;
        }
        let Some(host) = host(&lower) else {
            return false;
        };
        // A numeric address, or a name without a dot such as localhost, is fetched only if it is listed itself.
        // Otherwise a certificate could direct requests into the caller's own network.
        let last = host.rsplit('.').next().unwrap_or(host);
        let public = host.contains('.') && !last.starts_with(|c: char| c.is_ascii_digit());
        self.fetch_hosts.iter().any(|listed| match listed.as_str() {
            "*" => public,
            name => {
                host == name
                    || host
                        .strip_suffix(name)
                        .is_some_and(|head| head.ends_with('.'))
            }
        })
    }
}

const fn never(hash: Hash) -> WeakHash {
    WeakHash {
        hash,
        accepted_before: None,
        withdrawn: false,
    }
}

const fn before(hash: Hash, end: Time) -> WeakHash {
    WeakHash {
        hash,
        accepted_before: Some(end),
        withdrawn: false,
    }
}

const fn withdrawn(hash: Hash, end: Time) -> WeakHash {
    WeakHash {
        withdrawn: true,
        ..before(hash, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_survive_json() {
        for name in Policy::PRESETS {
            let policy = Policy::preset(name).unwrap();
            assert_eq!(policy.id, name);
            let text = serde_json::to_string(&policy).unwrap();
            assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
        }
        assert_eq!(Policy::preset("none"), None);
    }

    #[test]
    fn a_weak_hash_needs_an_early_proof() {
        let kz = Policy::kz();
        let last_day = Time::parse("2025-07-26T23:59:59Z").unwrap();
        assert!(kz.accepts_hash(Hash::Gost94Test, last_day));
        assert!(!kz.accepts_hash(Hash::Gost94Test, last_day.plus(1)));
        assert!(!kz.accepts_hash(Hash::Md5, Time::from_unix(0)));
        assert!(kz.accepts_hash(Hash::Streebog512, last_day.plus(1)));
        assert!(Policy::test().accepts_hash(Hash::Gost94Test, last_day.plus(1)));
    }

    #[test]
    fn only_listed_hosts_are_fetched() {
        let kz = Policy::kz();
        for (url, expected) in [
            ("http://crl.pki.gov.kz/nca_gost_2022.crl", true),
            ("HTTP://PKI.GOV.KZ/x", true),
            ("http://pki.gov.kz.evil.example/x", false),
            ("http://evilpki.gov.kz/x", false),
            ("http://pki.gov.kz@evil.example/x", false),
            ("file:///etc/passwd", false),
            ("ldap://pki.gov.kz/x", false),
        ] {
            assert_eq!(kz.may_fetch(url), expected, "{url}");
        }
        let eu = Policy::eu_baseline();
        for (url, expected) in [
            ("http://crl.example.com/a.crl", true),
            ("http://127.0.0.1/a.crl", false),
            ("http://[::1]/a.crl", false),
            ("http://localhost:8080/a.crl", false),
            ("http://2130706433/a.crl", false),
        ] {
            assert_eq!(eu.may_fetch(url), expected, "{url}");
        }
    }
}
