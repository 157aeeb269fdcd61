//! Trust in the certificates of servers.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use prichal_sign::Certificate;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::pem;

/// Trust in Mozilla's certificates, those of the system and `roots`. Reads files.
pub fn trusting(roots: &[CertificateDer<'static>]) -> Result<ClientConfig, Error> {
    let mut trusted = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    // A system without certificates, or with an invalid one among them, is no reason to fail.
    trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for root in roots {
        trusted.add(root.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let inner =
        WebPkiServerVerifier::builder_with_provider(Arc::new(trusted), Arc::clone(&provider))
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Explaining(inner)))
        .with_no_client_auth();
    Ok(tls)
}

/// The certificates of a PEM file, at least one. The error names the file.
pub fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let why = || format!("cannot read the certificates in `{}`", file.display());
    let text = std::fs::read(file).with_context(why)?;
    let found = pem::certificates(&text).with_context(why)?;
    anyhow::ensure!(
        !found.is_empty(),
        "there is no certificate in `{}`",
        file.display()
    );
    // A certificate that cannot be a root would otherwise be refused later, without the file's name.
    let mut roots = RootCertStore::empty();
    for one in &found {
        roots.add(one.clone()).with_context(why)?;
    }
    Ok(found)
}

/// A frequent mistake in a certificate, which the standard check reports in the same way as others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mistake {
    #[error("the certificate is self-signed")]
    SelfSigned,
    #[error("the certificate is of an authority, not of a server")]
    Authority,
    #[error("the certificate has another fingerprint than the set one")]
    NotPinned,
}

/// The standard check of a server's certificate, with a more exact reason of a refusal.
#[derive(Debug)]
struct Explaining(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Explaining {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0
            .verify_server_cert(end_entity, intermediates, name, ocsp, now)
            .map_err(|error| match mistake(&error, end_entity) {
                Some(mistake) => CertificateError::Other(OtherError(Arc::new(mistake))).into(),
                None => error,
            })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

fn mistake(error: &Error, end_entity: &CertificateDer<'_>) -> Option<Mistake> {
    let Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_)) =
        error
    else {
        return None;
    };
    let shown = Certificate::read(end_entity).ok()?;
    if shown.self_issued() {
        Some(Mistake::SelfSigned)
    } else {
        shown.is_ca().then_some(Mistake::Authority)
    }
}
