//! What a validation says, in the words of EN 319 102-1.

use crate::certificate::Certificate;
use crate::identity::Facts;
use crate::time::Time;
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    TotalPassed,
    Indeterminate,
    TotalFailed,
}

/// Why a verdict is not `TOTAL_PASSED` (EN 319 102-1 §5.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SubIndication {
    FormatFailure,
    HashFailure,
    SigCryptoFailure,
    Revoked,
    Expired,
    NotYetValid,
    SigConstraintsFailure,
    ChainConstraintsFailure,
    CertificateChainGeneralFailure,
    CryptoConstraintsFailure,
    CryptoConstraintsFailureNoPoe,
    PolicyProcessingError,
    TimestampOrderFailure,
    NoSigningCertificateFound,
    NoCertificateChainFound,
    RevokedCaNoPoe,
    OutOfBoundsNoPoe,
    TryLater,
    SignedDataNotFound,
}

impl SubIndication {
    /// The verdict that the sub-indication belongs to.
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::FormatFailure
            | Self::HashFailure
            | Self::SigCryptoFailure
            | Self::Revoked
            | Self::Expired
            | Self::NotYetValid => Verdict::TotalFailed,
            _ => Verdict::Indeterminate,
        }
    }

    /// How much it weighs beside others about the same signature. One that can be retried decides
    /// only where there is no other: it hides none that is final.
    pub(crate) const fn weight(self) -> u8 {
        match (self.verdict(), self) {
            (Verdict::TotalFailed, _) => 3,
            (_, Self::TryLater) => 1,
            _ => 2,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Skipped,
    Passed,
    Warned,
    Failed,
}

/// One of the 21 steps of the checklist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub step: u8,
    pub name: &'static str,
    pub status: Status,
    pub reason: String,
}

/// The names of the steps, first to last.
pub const STEPS: [&str; 21] = [
    "format",
    "signed-data",
    "content",
    "signer-certificate",
    "signed-attributes",
    "content-type",
    "message-digest",
    "signature-value",
    "attribute-confusion",
    "algorithms",
    "signing-certificate",
    "signature-time",
    "time-stamp",
    "certificate-path",
    "signer-authority",
    "revocation-evidence",
    "revocation-status",
    "evidence-order",
    "archive-time-stamp",
    "signers",
    "report",
];

/// The report on one signer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignerReport {
    pub verdict: Verdict,
    pub sub_indication: Option<SubIndication>,
    /// `None` when the signer's certificate was not found.
    pub certificate: Option<Facts>,
    /// All 21, in order.
    pub steps: Vec<Step>,
    /// The time the signature is judged at: of its earliest valid time-stamp, else of the check.
    pub best_time: Time,
    /// Such as `GOST 34.10 (KZ) with Streebog-512`.
    pub algorithm: Option<String>,
    /// The signer's own claim.
    pub signing_time: Option<Time>,
    /// The earliest time that a valid time-stamp proves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_stamped_at: Option<Time>,
    /// Subjects of the path, from the signer to the anchor; empty where none leads to one.
    pub path: Vec<String>,
    /// Duties that the policy does not insist on and that were not met.
    pub unchecked: Vec<Unchecked>,
    /// Which revocation lists, responses and time-stamps the verdict rests on.
    pub evidence: Vec<String>,
    pub counter_signatures: Vec<CounterSignature>,
}

/// Something that a verdict says nothing about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unchecked {
    /// Whose number the certificate has: nothing was expected, or another is tolerated.
    Identity,
    /// Revocation of a certificate on the path.
    Revocation,
}

/// A counter-signature. It changes no verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CounterSignature {
    pub verdict: Verdict,
    pub sub_indication: Option<SubIndication>,
    pub certificate: Option<Facts>,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NeedKind {
    /// A revocation list.
    Crl,
    /// An OCSP response: POST `request` as `application/ocsp-request`.
    Ocsp,
    /// The certificate of an issuer.
    Issuer,
    /// The certificate of the signer.
    Certificate,
}

/// What something is missing for, in the order in which it is worth to be fetched. Only the
/// addresses of the first come from certificates that a trusted authority has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Revocation of a signer's certificate or of one above it.
    Signer,
    /// A path for a signer's certificate.
    SignersPath,
    /// Time-stamps and counter-signatures, which anybody can append.
    Appended,
}

/// Something that was missing. Fetch it and validate again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Need {
    pub kind: NeedKind,
    #[serde(skip)]
    pub cause: Cause,
    /// `None` when nothing says where it is.
    pub url: Option<String>,
    /// Whether the policy's list of hosts allows to fetch it.
    pub allowed: bool,
    /// The name whose certificate or status is missing.
    pub subject: String,
    /// A base64 OCSP request.
    pub request: Option<String>,
    /// The certificate whose issuer is missing.
    #[serde(skip)]
    pub child: Option<Certificate>,
}

/// The report on a document. The same input at the same time gives the same report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub verdict: Verdict,
    pub sub_indication: Option<SubIndication>,
    pub policy: String,
    pub at: Time,
    pub signers: Vec<SignerReport>,
    pub needs: Vec<Need>,
    /// Revocation data beside that of the last hour which the signature brings: worth a look where it is at
    /// hand, and no fetch.
    #[serde(skip)]
    pub newer: Vec<Need>,
    /// Whether a signer needs more than stands among the needs: there were too many.
    #[serde(skip)]
    pub is_crowded: bool,
    /// Why there is a verdict without signers: unreadable bytes, no signer, no required signer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Set when the bytes are not one readable `SignedData`.
    #[serde(skip)]
    pub unreadable: Option<crate::ReadError>,
}
