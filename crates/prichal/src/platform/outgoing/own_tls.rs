//! The TLS of a receiver with settings of its own: the certificate that this server shows, and the one certificate that
//! the receiver may show. Other receivers share the settings of the server.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InconsistentKeys, OtherError,
    SignatureScheme,
};
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsConnector;

use super::Connector;
use super::pem;
use super::tls::note_shown;
use super::trust::Mistake;

/// The maximum number of certificates of a client.
const MAX_CHAIN: usize = 10;
/// The number of TLS sessions that are kept for resumption.
const MAX_SESSIONS: usize = 4;

/// The settings of the TLS connections to one receiver. Connections with different ones are not exchanged.
#[derive(Clone)]
pub struct OwnTls(pub(super) TlsConnector);

impl PartialEq for OwnTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.0.config(), other.0.config())
    }
}

impl Eq for OwnTls {}

impl fmt::Debug for OwnTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnTls")
    }
}

/// A certificate with its chain and its key.
#[derive(Clone)]
pub struct ClientIdentity(Arc<CertifiedKey>);

/// The fault of a client certificate. The texts contain nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFault {
    #[error("the certificate is not one to ten certificates in PEM, the client's first")]
    Certificate,
    #[error(
        "the key is not an unencrypted private key in PEM: RSA of 2048 bits or more, ECDSA with P-256, P-384 or P-521, or Ed25519"
    )]
    Key,
    #[error("the key is not that of the first certificate")]
    Mismatch,
}

impl ClientIdentity {
    pub fn read(certificate: &str, key: &str) -> Result<Self, IdentityFault> {
        let chain =
            pem::certificates(certificate.as_bytes()).map_err(|_| IdentityFault::Certificate)?;
        if chain.is_empty() || chain.len() > MAX_CHAIN {
            return Err(IdentityFault::Certificate);
        }
        // A certificate that is none is found by the check against the key only if the key is good.
        for one in &chain {
            prichal_sign::Certificate::read(one).map_err(|_| IdentityFault::Certificate)?;
        }
        let key = pem::private_key(key.as_bytes()).map_err(|_| IdentityFault::Key)?;
        let provider = rustls::crypto::ring::default_provider();
        CertifiedKey::from_der(chain, key, &provider)
            .map(|pair| Self(Arc::new(pair)))
            .map_err(|error| match error {
                Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => IdentityFault::Mismatch,
                Error::InvalidCertificate(_) => IdentityFault::Certificate,
                _ => IdentityFault::Key,
            })
    }
}

impl Connector {
    /// The settings for a receiver that gets a certificate of the client, shows the certificate with this SHA-256
    /// fingerprint, or both.
    pub fn own_tls(&self, client: Option<ClientIdentity>, pinned: Option<[u8; 32]>) -> OwnTls {
        let mut tls = ClientConfig::clone(self.tls.config());
        // Sessions are bound to the certificates with which they began.
        tls.resumption = Resumption::in_memory_sessions(MAX_SESSIONS);
        if let Some(ClientIdentity(pair)) = client {
            tls.client_auth_cert_resolver = Arc::new(Shown(pair));
        }
        if let Some(fingerprint) = pinned {
            let provider = Arc::clone(tls.crypto_provider());
            tls.dangerous().set_certificate_verifier(Arc::new(Pinned {
                fingerprint,
                provider,
            }));
        }
        OwnTls(TlsConnector::from(Arc::new(tls)))
    }
}

/// A client with a certificate.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let is_usable = self.0.key.choose_scheme(schemes).is_some();
        note_shown(is_usable);
        is_usable.then(|| Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Trust in one certificate, whatever its issuer, names and dates are. The handshake proves that the host has its key.
#[derive(Debug)]
struct Pinned {
    fingerprint: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if Sha256::digest(end_entity)[..] == self.fingerprint {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::Other(OtherError(Arc::new(Mistake::NotPinned))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
