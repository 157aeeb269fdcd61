//! The validation report, in the terms of EN 319 102-1.

use crate::certificate::Certificate;
use crate::identity::Facts;
use crate::time::Time;
use serde::Serialize;

/// The verdict on a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SignatureVerdict))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    TotalPassed,
    Indeterminate,
    TotalFailed,
}

/// The reason for a verdict other than `TOTAL_PASSED` (EN 319 102-1 §5.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SignatureSubIndication))]
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
    pub const ALL: [Self; 19] = [
        Self::FormatFailure,
        Self::HashFailure,
        Self::SigCryptoFailure,
        Self::Revoked,
        Self::Expired,
        Self::NotYetValid,
        Self::SigConstraintsFailure,
        Self::ChainConstraintsFailure,
        Self::CertificateChainGeneralFailure,
        Self::CryptoConstraintsFailure,
        Self::CryptoConstraintsFailureNoPoe,
        Self::PolicyProcessingError,
        Self::TimestampOrderFailure,
        Self::NoSigningCertificateFound,
        Self::NoCertificateChainFound,
        Self::RevokedCaNoPoe,
        Self::OutOfBoundsNoPoe,
        Self::TryLater,
        Self::SignedDataNotFound,
    ];

    /// The verdict that the sub-indication implies.
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

    /// The rank among sub-indications of the same signature. `TRY_LATER` has the lowest rank, so that it never hides
    /// a final one.
    pub(crate) const fn weight(self) -> u8 {
        match (self.verdict(), self) {
            (Verdict::TotalFailed, _) => 3,
            (_, Self::TryLater) => 1,
            _ => 2,
        }
    }
}

/// The outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SignatureStepStatus))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Skipped,
    Passed,
    Warned,
    Failed,
}

/// One of the 21 steps of the checklist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SignatureStep))]
pub struct Step {
    /// The number of the step, from 1.
    pub step: u8,
    /// The name of the step.
    pub name: &'static str,
    /// The outcome.
    pub status: Status,
    /// The reason for the outcome.
    pub reason: String,
}

/// The names of the steps, in order.
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SignerReport))]
#[serde(rename_all = "camelCase")]
pub struct SignerReport {
    /// The verdict on the signature of this signer.
    pub verdict: Verdict,
    /// The reason for a verdict other than `TOTAL_PASSED`.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub sub_indication: Option<SubIndication>,
    /// `None` if the signer's certificate was not found.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub certificate: Option<Facts>,
    /// All 21 steps, in order.
    pub steps: Vec<Step>,
    /// The time at which the signature is judged: that of its earliest valid time-stamp, else that of the check.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub best_time: Time,
    /// The signature algorithm, such as `GOST 34.10 (KZ) with Streebog-512`.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub algorithm: Option<String>,
    /// The time claimed by the signer.
    #[cfg_attr(feature = "openapi", schema(required, value_type = Option<String>, format = DateTime))]
    pub signing_time: Option<Time>,
    /// The earliest time proven by a valid time-stamp.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, nullable = false))]
    pub time_stamped_at: Option<Time>,
    /// The subjects of the path, from the signer to the anchor. Empty without a path to an anchor.
    pub path: Vec<String>,
    /// Checks that the policy does not require and that did not succeed.
    pub unchecked: Vec<Unchecked>,
    /// The revocation lists, OCSP responses and time-stamps that support the verdict.
    pub evidence: Vec<String>,
    /// Signatures of signatures.
    pub counter_signatures: Vec<CounterSignature>,
}

/// An aspect that a verdict does not cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SignatureUnchecked))]
#[serde(rename_all = "lowercase")]
pub enum Unchecked {
    /// The identity of the holder: none was expected, or another one is tolerated.
    Identity,
    /// The revocation of a certificate on the path.
    Revocation,
}

/// A counter-signature. It never changes the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CounterSignature))]
#[serde(rename_all = "camelCase")]
pub struct CounterSignature {
    /// The verdict on the counter-signature.
    pub verdict: Verdict,
    /// The reason for a verdict other than `TOTAL_PASSED`.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub sub_indication: Option<SubIndication>,
    /// The certificate of its signer, if it was found.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub certificate: Option<Facts>,
    /// The reason for the verdict.
    pub reason: String,
}

/// The kind of missing evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SignatureNeedKind))]
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

impl NeedKind {
    pub const ALL: [Self; 4] = [Self::Crl, Self::Ocsp, Self::Issuer, Self::Certificate];
}

/// The purpose of a missing item, in the order of fetching. Only the addresses of the first kind come from
/// certificates signed by a trusted authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The revocation of a signer's certificate or of one above it.
    Signer,
    /// The path of a signer's certificate.
    SignersPath,
    /// Time-stamps and counter-signatures, which anybody can append.
    Appended,
}

/// Missing evidence. Fetch it and validate again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SignatureNeed))]
#[serde(rename_all = "camelCase")]
pub struct Need {
    /// The kind of evidence.
    pub kind: NeedKind,
    #[serde(skip)]
    pub cause: Cause,
    /// `None` if no address is known.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub url: Option<String>,
    /// True if the policy allows fetching from this host.
    pub allowed: bool,
    /// The name whose certificate or status is missing.
    pub subject: String,
    /// An OCSP request in base64.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub request: Option<String>,
    /// The certificate whose issuer is missing.
    #[serde(skip)]
    pub child: Option<Certificate>,
}

/// The report on a document. The same input at the same time gives the same report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SignatureReport))]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The verdict: the worst of all signers, or that of the required one.
    pub verdict: Verdict,
    /// The reason for a verdict other than `TOTAL_PASSED`.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub sub_indication: Option<SubIndication>,
    /// The name of the policy.
    pub policy: String,
    /// The time of the check.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Time,
    /// The signers.
    pub signers: Vec<SignerReport>,
    /// The evidence that is missing.
    pub needs: Vec<Need>,
    /// Needs for revocation data newer than the embedded data of the last hour. They are worth a look-up in stored
    /// evidence, and no fetch.
    #[serde(skip)]
    pub newer: Vec<Need>,
    /// True if the list of needs is full and a signer needs more.
    #[serde(skip)]
    pub has_more_needs: bool,
    /// The reason for a verdict without signers: unreadable bytes, no signer, or no required signer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub reason: Option<String>,
    /// Set if the bytes are not a readable `SignedData`.
    #[serde(skip)]
    pub unreadable: Option<crate::ReadError>,
    /// The public-key operations that were spent, or more if an operation was refused.
    #[serde(skip)]
    pub work: usize,
}
