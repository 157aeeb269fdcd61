//! Certificates and keys in PEM: of roots that the operator names, and of clients.

use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error, PemObject as _},
};

/// All certificates of a text, which may have other parts as well.
pub(super) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(text).collect()
}

/// The first private key of a text. An encrypted one is an error.
pub(super) fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(text)
}
