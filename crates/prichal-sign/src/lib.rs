//! Validates electronic signatures in CMS and its `CAdES` profiles: RSA, EC, Ed25519, Kazakh GOST and Russian GOST.
//!
//! The validation covers the signer, the content, the certificate and its path to a pinned anchor, time-stamps,
//! revocation, and the authority to sign. The result is a [`Report`] with all 21 steps of one checklist for every
//! signer and a verdict in the words of EN 319 102-1.
//!
//! The crate does no I/O and reads no clock. Missing evidence (a revocation list, an OCSP response, an issuer's
//! certificate) is listed in [`Report::needs`]. The caller fetches it, adds it to the [`Material`] and validates
//! again. A certificate is never trusted because it is embedded in a signature.
//!
//! ```
//! use prichal_sign::testing::{Authority, Cms, Key, NOW, Signer};
//! use prichal_sign::{Policy, Request, Verdict, validate};
//!
//! // A test authority and a detached signature with a Kazakh key of 512 bits.
//! let authority = Authority::new(Key::kz);
//! let document = b"the document";
//! let signature = Cms::detached(&[&Signer::new(&authority.signer, document, NOW)]).encode();
//!
//! let policy = Policy::kz();
//! let mut request = Request::new(&signature, &policy, NOW);
//! request.content = Some(document);
//! let report = validate(&request, &authority.material());
//! assert_eq!(report.verdict, Verdict::TotalPassed);
//! assert_eq!(report.signers[0].certificate.as_ref().unwrap().roles.len(), 2);
//!
//! // Without revocation data the signature is never valid, and the report lists the missing data.
//! let report = validate(&request, &authority.without_lists());
//! assert_eq!(report.verdict, Verdict::Indeterminate);
//! assert_eq!(report.needs.len(), 2);
//! ```
//!
//! # Layers
//!
//! `der` is a reader of BER and DER that keeps the exact bytes, with hard [`Limits`]. [`SignedData`],
//! [`Certificate`], [`Crl`], [`Ocsp`] and time-stamp tokens are read with it. [`enum@Hash`], [`PublicKey`] and the
//! signature schemes are the algorithms; GOST R 34.10 is implemented in this crate. [`validate()`] runs the steps, in
//! the order of [`STEPS`].
//!
//! # Sources
//!
//! CMS is RFC 5652, certificates and lists RFC 5280, OCSP RFC 6960, time-stamps RFC 3161 and 5816, signing
//! certificates RFC 5035, `CAdES` EN 319 122-1, the procedure EN 319 102-1. GOST is RFC 7091, 7836, 4357, 9215. The
//! Kazakh encodings were determined from certificates of the national authority: they have identifiers of their own,
//! and signature values in the reverse order of the Russian ones.
//!
//! # Known limits
//!
//! Not supported are indirect revocation lists, lists for some reasons only, distribution points named relative to
//! their issuer, archive time-stamps before version 3, and attribute certificates. The report names them where they
//! would matter.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")
)]

mod algorithm;
mod certificate;
mod cms;
mod crl;
mod der;
mod error;
mod gost;
mod hash;
mod identity;
mod key;
mod limits;
mod name;
mod ocsp;
mod oid;
mod policy;
mod reason;
mod report;
mod scheme;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
mod time;
mod tsp;
mod validate;

pub use algorithm::Algorithm;
pub use certificate::Certificate;
pub use cms::extend::{Additions, with_evidence};
pub use cms::{SignedData, SignerInfo};
pub use crl::Crl;
pub use error::ReadError;
pub use gost::ByteOrder;
pub use gost::curve::Parameters as GostCurve;
pub use hash::Hash;
pub use identity::{Bin, Facts, Iin, Inn, Role};
pub use key::{EcCurve, GostStandard, KeyError, PublicKey};
pub use limits::Limits;
pub use name::Name;
pub use ocsp::{Ocsp, request as ocsp_request};
pub use oid::Oid;
pub use policy::{Policy, Roles, Severity, WeakHash};
pub use report::{
    Cause, CounterSignature, Need, NeedKind, Report, STEPS, SignerReport, Status, Step,
    SubIndication, Unchecked, Verdict,
};
pub use text::one as unarmor;
pub use time::Time;
pub use tsp::request as time_stamp_request;
pub use validate::{Expected, Material, OcspAnswer, Request, Required, validate};
