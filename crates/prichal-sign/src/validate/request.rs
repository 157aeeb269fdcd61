//! What a caller asks, and what it brings.

use crate::certificate::Certificate;
use crate::crl::Crl;
use crate::identity::Facts;
use crate::limits::Limits;
use crate::ocsp::Ocsp;
use crate::policy::{Policy, Severity};
use crate::time::Time;

/// Trust and evidence that the caller has.
#[derive(Clone, Debug, Default)]
pub struct Material {
    /// Pinned certificates that paths may end at.
    pub anchors: Vec<Certificate>,
    /// Certificates that may stand between, or be the signer's. None of them is trusted.
    pub certificates: Vec<Certificate>,
    pub crls: Vec<Crl>,
    pub ocsp: Vec<OcspAnswer>,
    /// Addresses of issuers' certificates that were asked, and gave none for now.
    pub unreachable: Vec<String>,
}

/// An OCSP response, with the nonce of the request if there was one.
#[derive(Clone, Debug)]
pub struct OcspAnswer {
    pub response: Ocsp,
    pub nonce: Option<Vec<u8>>,
}

/// What the caller expects of the signer.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    pub bin: Option<String>,
    pub iin: Option<String>,
    pub inn: Option<String>,
    /// What another BIN means; `None`: as the policy says of identities.
    pub bin_rule: Option<Severity>,
    /// The same for the IIN.
    pub iin_rule: Option<Severity>,
    /// The document is a financial one, which holders of that right may sign.
    pub financial: bool,
    /// Which signer decides. `None`: all must pass.
    pub required: Option<Required>,
}

/// The signer that decides the verdict on a document with several.
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
    /// The signed bytes of a detached signature. Beside an attached one they must be equal to it.
    pub content: Option<&'a [u8]>,
    /// SHA-256 of what should have been signed, in place of `content` where an attached signature
    /// is large.
    pub content_sha256: Option<[u8; 32]>,
    pub policy: &'a Policy,
    /// The moment of checking.
    pub at: Time,
    /// When the caller had the signature already: a proof of existence that is his own to give.
    pub existed_at: Option<Time>,
    pub expected: Expected,
    pub limits: Limits,
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
        }
    }
}
