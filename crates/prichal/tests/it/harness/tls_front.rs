//! TLS in front of a receiver.

use std::sync::Arc;

use prichal::platform::vault::hex;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig, crypto::ring, pki_types::PrivateKeyDer,
    server::WebPkiClientVerifier,
};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::harness::receiver::Receiver;

/// An authority for clients.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: rustls::pki_types::CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a certificate");
        Self {
            root: root.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// The certificate and the key of a client, in PEM.
    pub(crate) fn client(&self) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([]).expect("no names");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let made = params.signed_by(&key, &self.issuer).expect("a certificate");
        (made.pem(), key.serialize_pem())
    }
}

/// A server with a self-signed certificate that passes everything on to a receiver.
pub(crate) struct TlsFront {
    pub(crate) url: String,
    /// The SHA-256 of its certificate.
    pub(crate) fingerprint: String,
    _serving: JoinSet<()>,
}

/// The contents of the server's certificate.
fn params() -> CertificateParams {
    CertificateParams::new(["bot.example".to_owned()]).expect("a name")
}

impl TlsFront {
    /// Lets clients in that have a certificate of `clients`, if that is given.
    pub(crate) async fn start(receiver: &Receiver, clients: Option<&Authority>) -> Self {
        Self::with(receiver, clients, params()).await
    }

    /// The server's certificate ends on this day.
    pub(crate) async fn until(receiver: &Receiver, (year, month, day): (i32, u8, u8)) -> Self {
        let mut params = params();
        params.not_after = rcgen::date_time_ymd(year, month, day);
        Self::with(receiver, None, params).await
    }

    async fn with(
        receiver: &Receiver,
        clients: Option<&Authority>,
        params: CertificateParams,
    ) -> Self {
        let key = KeyPair::generate().expect("a key");
        let made = params.self_signed(&key).expect("a certificate");
        let certificate = made.der().clone();
        let fingerprint = hex(&Sha256::digest(&certificate)[..]);
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("versions");
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.root.clone()).expect("a root");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
                config.with_client_cert_verifier(verifier.expect("a verifier"))
            }
        };
        let config = config.with_single_cert(vec![certificate], key);
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("a server")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("https://{}", listener.local_addr().expect("an address"));
        let to = receiver.url.trim_start_matches("http://").to_owned();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, to) = (acceptor.clone(), to.clone());
                connections.spawn(async move {
                    if let Ok(mut tls) = acceptor.accept(tcp).await
                        && let Ok(mut receiver) = TcpStream::connect(to).await
                    {
                        let _ = copy_bidirectional(&mut tls, &mut receiver).await;
                    }
                });
            }
        });
        Self {
            url,
            fingerprint,
            _serving: serving,
        }
    }
}
