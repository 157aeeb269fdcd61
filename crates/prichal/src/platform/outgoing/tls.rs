//! Failures of TLS, in words that tell an integrator what to correct.

use std::cell::Cell;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription as Alert, CertificateError, OtherError, PeerIncompatible, SignatureScheme,
};

use super::trust::Mistake;

/// The text for an alert that says nothing more exact.
macro_rules! refused {
    ($alert:literal) => {
        concat!("the host refused the handshake with the alert ", $alert)
    };
}

pub(super) const CLIENT_CERTIFICATE: &str = "the host wants a certificate of the client";
const CLIENT_CERTIFICATE_REFUSED: &str = "the host refuses the certificate of the client";
const VERSION: &str = "the host speaks no version of TLS that is spoken here (1.2 and 1.3)";
const CIPHER: &str = "the host and this server have no cipher in common";

/// The answer to the host's request for a client certificate, if it made one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Asked {
    #[default]
    No,
    /// There is no certificate to show.
    Unanswered,
    Shown,
}

impl Asked {
    /// The likely reason of a close without an alert: some hosts do so if the client shows no certificate.
    pub(super) fn reason_of_close(self) -> Option<&'static str> {
        (self == Self::Unanswered).then_some(CLIENT_CERTIFICATE)
    }
}

thread_local! {
    /// The request for a client certificate in the handshake that this thread drives.
    static ASKED: Cell<Asked> = const { Cell::new(Asked::No) };
}

/// A client without a certificate that records requests for one.
#[derive(Debug)]
pub(super) struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        ASKED.set(Asked::Unanswered);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Records that a client with a certificate was asked for it. False if the host takes none of its kind.
pub(super) fn note_shown(is_usable: bool) {
    ASKED.set(if is_usable {
        Asked::Shown
    } else {
        Asked::Unanswered
    });
}

/// Runs a handshake and tells if it asked for a client certificate.
pub(super) async fn noticing<T>(handshake: impl Future<Output = T>) -> (T, Asked) {
    let mut handshake = pin!(handshake);
    let mut asked = Asked::No;
    poll_fn(|cx| {
        ASKED.set(asked);
        let done = handshake.as_mut().poll(cx);
        asked = ASKED.get();
        done.map(|done| (done, asked))
    })
    .await
}

/// The reason why a handshake failed.
pub(super) fn reason(error: &io::Error, asked: Asked) -> &'static str {
    match failure(error) {
        Some(failure) => explain(failure, asked),
        None => asked
            .reason_of_close()
            .unwrap_or("closed by the host during the handshake"),
    }
}

/// The TLS failure behind an error, if there is one.
pub(super) fn failure<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An `io::Error` does not return its inner error as its source.
        next = match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

pub(super) fn explain(error: &rustls::Error, asked: Asked) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(certificate) => explain_certificate(certificate),
        rustls::Error::NoCertificatesPresented => "the host shows no certificate",
        rustls::Error::AlertReceived(alert) => explain_alert(*alert, asked),
        rustls::Error::InvalidMessage(_) => "the host does not speak TLS",
        rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => VERSION,
        rustls::Error::PeerIncompatible(_) => CIPHER,
        rustls::Error::PeerMisbehaved(_) => "the host breaks the rules of TLS",
        _ => "the handshake failed",
    }
}

fn explain_certificate(error: &CertificateError) -> &'static str {
    use CertificateError as Certificate;
    match error {
        Certificate::Expired | Certificate::ExpiredContext { .. } => "the certificate has expired",
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            "the certificate is not valid yet"
        }
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            "the certificate is for another host"
        }
        Certificate::UnknownIssuer => "the certificate is of an unknown issuer",
        Certificate::Revoked => "the certificate has been revoked",
        Certificate::BadSignature => "the signature of the certificate is wrong",
        Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. } => {
            "the certificate is not one for servers"
        }
        Certificate::Other(OtherError(mistake)) => match mistake.downcast_ref() {
            Some(Mistake::SelfSigned) => "the certificate is self-signed",
            Some(Mistake::Authority) => "the certificate is of an authority, not of a server",
            Some(Mistake::NotPinned) => "the certificate has another fingerprint than the set one",
            None => "the certificate is not valid",
        },
        _ => "the certificate is not valid",
    }
}

/// The meaning of an alert of the host. One that means nothing more exact is named as in RFC 8446 §6.
fn explain_alert(alert: Alert, asked: Asked) -> &'static str {
    match (alert, asked) {
        // Before TLS 1.3 there was no specific alert for it.
        (Alert::CertificateRequired | Alert::NoCertificate, _)
        | (
            Alert::HandshakeFailure
            | Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::AccessDenied,
            Asked::Unanswered,
        ) => CLIENT_CERTIFICATE,
        (Alert::CertificateExpired, Asked::Shown) => {
            "the host says that the certificate of the client has expired"
        }
        (Alert::UnknownCA, Asked::Shown) => {
            "the host does not know the issuer of the certificate of the client"
        }
        (
            Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::CertificateRevoked
            | Alert::UnsupportedCertificate
            | Alert::AccessDenied
            | Alert::DecryptError,
            Asked::Shown,
        ) => CLIENT_CERTIFICATE_REFUSED,
        (Alert::ProtocolVersion, _) => VERSION,
        (Alert::HandshakeFailure | Alert::InsufficientSecurity, _) => CIPHER,
        (Alert::UnrecognisedName, _) => "the host knows no site of this name",
        (Alert::NoApplicationProtocol, _) => "the host does not speak HTTP/1.1",
        (Alert::AccessDenied, _) => "the host denies access",
        (Alert::InternalError, _) => "the host has an internal error",
        (Alert::UnexpectedMessage, _) => refused!("unexpected_message"),
        (Alert::BadRecordMac, _) => refused!("bad_record_mac"),
        (Alert::RecordOverflow, _) => refused!("record_overflow"),
        (Alert::BadCertificate, _) => refused!("bad_certificate"),
        (Alert::UnsupportedCertificate, _) => refused!("unsupported_certificate"),
        (Alert::CertificateRevoked, _) => refused!("certificate_revoked"),
        (Alert::CertificateExpired, _) => refused!("certificate_expired"),
        (Alert::CertificateUnknown, _) => refused!("certificate_unknown"),
        (Alert::IllegalParameter, _) => refused!("illegal_parameter"),
        (Alert::UnknownCA, _) => refused!("unknown_ca"),
        (Alert::DecodeError, _) => refused!("decode_error"),
        (Alert::DecryptError, _) => refused!("decrypt_error"),
        (Alert::InappropriateFallback, _) => refused!("inappropriate_fallback"),
        (Alert::UserCanceled, _) => refused!("user_canceled"),
        (Alert::MissingExtension, _) => refused!("missing_extension"),
        (Alert::UnsupportedExtension, _) => refused!("unsupported_extension"),
        (Alert::UnknownPSKIdentity, _) => refused!("unknown_psk_identity"),
        _ => "the host refused the handshake",
    }
}
