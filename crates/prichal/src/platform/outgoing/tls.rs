//! Failures of TLS, in words that tell an integrator what to correct.

use std::cell::Cell;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription as Alert, CertificateError, PeerIncompatible, SignatureScheme};

pub(super) const CLIENT_CERTIFICATE: &str = "the host wants a certificate of the client";
const VERSION: &str = "the host speaks no version of TLS that is spoken here (1.2 and 1.3)";
const CIPHER: &str = "the host and this server have no cipher in common";

thread_local! {
    /// True if the handshake that this thread drives has asked for a client certificate.
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

/// A client without a certificate that records requests for one.
#[derive(Debug)]
pub(super) struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        ASKED.set(true);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Runs a handshake. The flag is true if it asked for a client certificate.
pub(super) async fn noticing<T>(handshake: impl Future<Output = T>) -> (T, bool) {
    let mut handshake = pin!(handshake);
    let mut asked = false;
    poll_fn(|cx| {
        ASKED.set(false);
        let done = handshake.as_mut().poll(cx);
        asked |= ASKED.get();
        done.map(|done| (done, asked))
    })
    .await
}

/// The reason why a handshake failed.
pub(super) fn reason(error: &io::Error, asked: bool) -> &'static str {
    match failure(error) {
        Some(failure) => explain(failure, asked),
        None if asked => CLIENT_CERTIFICATE,
        None => "closed by the host during the handshake",
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

pub(super) fn explain(error: &rustls::Error, asked: bool) -> &'static str {
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
        _ => "the certificate is not valid",
    }
}

fn explain_alert(alert: Alert, asked: bool) -> &'static str {
    match alert {
        Alert::CertificateRequired | Alert::NoCertificate => CLIENT_CERTIFICATE,
        // Before TLS 1.3 there was no specific alert for it.
        Alert::HandshakeFailure
        | Alert::BadCertificate
        | Alert::CertificateUnknown
        | Alert::AccessDenied
            if asked =>
        {
            CLIENT_CERTIFICATE
        }
        Alert::ProtocolVersion => VERSION,
        Alert::HandshakeFailure | Alert::InsufficientSecurity => CIPHER,
        Alert::UnrecognisedName => "the host knows no site of this name",
        Alert::NoApplicationProtocol => "the host does not speak HTTP/1.1",
        Alert::AccessDenied => "the host denies access",
        Alert::InternalError => "the host has an internal error",
        _ => "the host refused the handshake",
    }
}
