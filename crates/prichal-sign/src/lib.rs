//! Validates electronic signatures in CMS and its `CAdES` profiles: RSA, EC, Ed25519, Kazakh GOST
//! and Russian GOST.
//!
//! Everything is checked: the signer, the content, the certificate and its path to a pinned
//! anchor, time-stamps, revocation, and who may sign. The result is a [`Report`] with all 21 steps
//! of one checklist for every signer and a verdict in the words of EN 319 102-1.
//!
//! The crate does no I/O and reads no clock. What it lacks (a revocation list, an OCSP response, an
//! issuer's certificate) comes back as [`Report::needs`]; the caller fetches it, adds it to the
//! [`Material`] and validates again. No certificate in a signature is trusted for being there.
//!
//! ```
//! use prichal_sign::testing::{Authority, Cms, Key, NOW, Signer};
//! use prichal_sign::{Policy, Request, Verdict, validate};
//!
//! // A trial authority and a detached signature with a Kazakh key of 512 bits.
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
//! // Without revocation data it is never valid, and the report says what is missing.
//! let report = validate(&request, &authority.without_lists());
//! assert_eq!(report.verdict, Verdict::Indeterminate);
//! assert_eq!(report.needs.len(), 2);
//! ```
//!
//! # Layers
//!
//! 1. `der`: a reader of BER and DER that keeps the exact bytes, with hard [`Limits`].
//! 2. [`SignedData`], [`Certificate`], [`Crl`], [`Ocsp`] and time-stamp tokens over it.
//! 3. [`enum@Hash`], [`PublicKey`], signature schemes; GOST R 34.10 is written here.
//! 4. [`validate()`]: the steps, in the order of [`STEPS`].
//!
//! # Sources
//!
//! CMS is RFC 5652, certificates and lists RFC 5280, OCSP RFC 6960, time-stamps RFC 3161 and 5816,
//! signing certificates RFC 5035, `CAdES` EN 319 122-1, the procedure EN 319 102-1. GOST is
//! RFC 7091, 7836, 4357, 9215. The Kazakh encodings are measured on certificates of the national
//! authority: identifiers of their own, and signature values that are the reverse of the Russian
//! ones.
//!
//! # Known limits
//!
//! Indirect revocation lists, several lists of some reasons each, distribution points named relative
//! to their issuer, archive time-stamps before version 3 and attribute certificates are not verified;
//! they are named in the report where they would matter.

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
