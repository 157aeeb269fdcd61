//! The caller's question and evidence.

use crate::certificate::Certificate;
use crate::crl::Crl;
use crate::identity::Facts;
use crate::limits::Limits;
use crate::ocsp::Ocsp;
use crate::policy::{Policy, Severity};
use crate::time::Time;

/// The caller's trust anchors and evidence.
#[derive(Clone, Debug, Default)]
pub struct Material {
    /// Pinned certificates at which paths may end.
    pub anchors: Vec<Certificate>,
    /// Untrusted certificates, for intermediates and signers.
    pub certificates: Vec<Certificate>,
    pub crls: Vec<Crl>,
    pub ocsp: Vec<OcspAnswer>,
    /// Addresses of issuers' certificates that could not be fetched for now.
    pub unreachable: Vec<String>,
}

/// An OCSP response, with the nonce of its request, if any.
#[derive(Clone, Debug)]
pub struct OcspAnswer {
    pub response: Ocsp,
    pub nonce: Option<Vec<u8>>,
}

/// The caller's expectations about the signer.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    pub bin: Option<String>,
    pub iin: Option<String>,
    pub inn: Option<String>,
    /// The severity of another BIN; `None` for the policy's severity of identity.
    pub bin_rule: Option<Severity>,
    /// The severity of another IIN; `None` for the policy's severity of identity.
    pub iin_rule: Option<Severity>,
    /// True for a financial document, which holders of the finance role may sign.
    pub financial: bool,
    /// The deciding signer. `None` if all signers must pass.
    pub required: Option<Required>,
}

/// The signer that decides the verdict on a document with several signers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Required {
    Bin(String),
    Iin(String),
    Inn(String),
    /// SHA-256 of the certificate, hexadecimal.
    Certificate(String),
}

impl Required {
    pub(super) fn is(&self, certificate: &Certificate, facts: &Facts) -> bool {
        match self {
            Self::Bin(bin) => facts.bin.as_ref().is_some_and(|n| n.as_str() == bin),
            Self::Iin(iin) => facts.iin.as_ref().is_some_and(|n| n.as_str() == iin),
            Self::Inn(inn) => facts.inn.as_ref().is_some_and(|n| n.as_str() == inn),
            Self::Certificate(print) => certificate.fingerprint().eq_ignore_ascii_case(print),
        }
    }
}

/// One question: is this a valid signature of this content, now or at another time?
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// DER, BER, PEM or base64.
    pub signature: &'a [u8],
    /// The signed bytes of a detached signature. For an attached signature they must equal its content.
    pub content: Option<&'a [u8]>,
    /// SHA-256 of the expected content, which replaces `content` for a large attached signature.
    pub content_sha256: Option<[u8; 32]>,
    pub policy: &'a Policy,
    /// The time of the check.
    pub at: Time,
    /// The time at which the caller already had the signature, as the caller's own proof of existence.
    pub existed_at: Option<Time>,
    pub expected: Expected,
    pub limits: Limits,
    /// The largest number of public-key operations of all kinds together, within the validator's own limits. Several
    /// validations can share a budget (`Report::work`).
    pub work: usize,
}

impl<'a> Request<'a> {
    pub fn new(signature: &'a [u8], policy: &'a Policy, at: Time) -> Self {
        Self {
            signature,
            content: None,
            content_sha256: None,
            policy,
            at,
            existed_at: None,
            expected: Expected::default(),
            limits: Limits::SIGNATURE,
            work: usize::MAX,
        }
    }
}
