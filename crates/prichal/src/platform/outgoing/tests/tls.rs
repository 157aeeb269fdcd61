//! Calls over TLS, to servers of `rustls` and to ones written by hand.

use std::slice::from_ref;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::PrivateKeyDer;
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsAcceptor;

use super::super::own_tls::{ClientIdentity, IdentityFault, OwnTls};
use super::super::tls::CLIENT_CERTIFICATE;
use super::*;

/// A certificate for `name`, and an acceptor that shows it.
pub(super) fn certificate(name: &str) -> (CertificateDer<'static>, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let certificate = made.cert.der().clone();
    let key = made.signing_key.serialize_der();
    let key = PrivateKeyDer::try_from(key).expect("a key");
    let provider = Arc::new(ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a server");
    (certificate, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn tls_works_with_a_trusted_certificate() {
    let receiver = Receiver::start().await;
    let (root, acceptor) = certificate("localhost");
    let (connector, connections) = (connector(&[root]), connections(8));
    let target = receiver.named("https");
    let calls = async {
        for _ in 0..2 {
            let call = connector.call(&connections, &target, post(), pending());
            assert_eq!(call.await.expect("an answer").body, "OK");
        }
    };
    tokio::join!(calls, async {
        let tcp = receiver.accept().await;
        let mut stream = acceptor.accept(tcp).await.expect("a handshake");
        for _ in 0..2 {
            read_request(&mut stream).await;
            stream.write_all(OK).await.expect("open");
            stream.flush().await.expect("open");
        }
    });
}

/// A certificate of a test, with its key.
struct Made {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// A certificate for `name`, changed by `change`, and signed by `issuer` or by itself.
fn make(
    name: &str,
    issuer: Option<&Issuer<'_, KeyPair>>,
    change: impl FnOnce(&mut CertificateParams),
) -> Made {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    change(&mut params);
    let made = match issuer {
        Some(issuer) => params.signed_by(&key, issuer),
        None => params.self_signed(&key),
    };
    Made {
        chain: vec![made.expect("a certificate").der().clone()],
        key: PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
    }
}

/// A certification authority, and its certificate.
fn authority(name: &str) -> (Issuer<'static, KeyPair>, CertificateDer<'static>) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    let root = params.self_signed(&key).expect("a certificate");
    (Issuer::new(params, key), root.der().clone())
}

/// A server with a certificate and the provider of its algorithms.
fn server(made: Made, provider: CryptoProvider) -> TlsAcceptor {
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(made.chain, made.key)
        .expect("a server");
    TlsAcceptor::from(Arc::new(config))
}

/// The outcome of a call to a server.
async fn outcome_at(acceptor: &TlsAcceptor, roots: &[CertificateDer<'static>]) -> CallError {
    let receiver = Receiver::start().await;
    let (connector, connections) = (connector(roots), connections(8));
    let target = receiver.named("https");
    let call = connector.call(&connections, &target, post(), pending());
    let (outcome, ()) = tokio::join!(call, async {
        let tcp = receiver.accept().await;
        acceptor.accept(tcp).await.map(drop).expect_err("refused");
    });
    outcome.expect_err("no answer")
}

#[tokio::test]
async fn the_reason_why_a_certificate_is_refused_is_named() {
    let (issuer, root) = authority("one");
    let (other, _) = authority("another");
    let year = |year| rcgen::date_time_ymd(year, 1, 1);
    let cases = [
        (
            make("localhost", Some(&other), |_| ()),
            "the certificate is of an unknown issuer",
        ),
        (
            make("localhost", None, |_| ()),
            "the certificate is self-signed",
        ),
        (
            make("localhost", None, |params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }),
            "the certificate is self-signed",
        ),
        (
            make("localhost", Some(&issuer), |params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }),
            "the certificate is of an authority, not of a server",
        ),
        (
            make("elsewhere.example", Some(&issuer), |_| ()),
            "the certificate is for another host",
        ),
        (
            make("localhost", Some(&issuer), |params| {
                params.not_after = year(2001);
            }),
            "the certificate has expired",
        ),
        (
            make("localhost", Some(&issuer), |params| {
                params.not_before = year(4000);
            }),
            "the certificate is not valid yet",
        ),
        (
            make("localhost", Some(&issuer), |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
            "the certificate is not one for servers",
        ),
    ];
    for (made, reason) in cases {
        let acceptor = server(made, ring::default_provider());
        let error = outcome_at(&acceptor, from_ref(&root)).await;
        assert_eq!(error, CallError::Tls { reason });
    }
}

#[tokio::test]
async fn a_host_without_a_common_cipher_is_named() {
    let (issuer, root) = authority("one");
    let made = make("localhost", Some(&issuer), |_| ());
    // Its suite is for RSA, and its key is not.
    let rsa = rustls::CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256;
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() == rsa);
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("a version")
        .with_no_client_auth()
        .with_single_cert(made.chain, made.key)
        .expect("a server");
    let error = outcome_at(&TlsAcceptor::from(Arc::new(config)), &[root]).await;
    let reason = "the host and this server have no cipher in common";
    assert_eq!(error, CallError::Tls { reason });
}

#[tokio::test]
async fn an_alert_of_the_host_is_named() {
    for (code, reason) in [
        (40, "the host and this server have no cipher in common"),
        (
            42,
            "the host refused the handshake with the alert bad_certificate",
        ),
        (
            48,
            "the host refused the handshake with the alert unknown_ca",
        ),
        (
            70,
            "the host speaks no version of TLS that is spoken here (1.2 and 1.3)",
        ),
        (80, "the host has an internal error"),
        (112, "the host knows no site of this name"),
        (116, "the host wants a certificate of the client"),
        (120, "the host does not speak HTTP/1.1"),
        (200, "the host refused the handshake"),
    ] {
        let receiver = Receiver::start().await;
        let (connector, connections) = (connector(&[]), connections(8));
        let target = receiver.named("https");
        let call = connector.call(&connections, &target, post(), pending());
        let (outcome, _stream) = tokio::join!(call, async {
            let mut stream = receiver.accept().await;
            stream.read_u8().await.expect("a greeting");
            let alert = [21, 3, 1, 0, 2, 2, code];
            stream.write_all(&alert).await.expect("open");
            stream
        });
        assert_eq!(outcome.err(), Some(CallError::Tls { reason }), "{code}");
    }
}

/// A server that requires a client certificate, with one version of TLS.
fn strict(
    version: &'static rustls::SupportedProtocolVersion,
) -> (CertificateDer<'static>, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let provider = Arc::new(ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).expect("a root");
    let clients =
        rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_client_cert_verifier(clients.build().expect("a verifier"))
        .with_single_cert(vec![certificate.clone()], key.expect("a key"))
        .expect("a server");
    (certificate, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn a_host_that_wants_a_certificate_of_ours_is_named() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (root, acceptor) = strict(version);
        let receiver = Receiver::start().await;
        let (connector, connections) = (connector(&[root]), connections(8));
        let target = receiver.named("https");
        let call = connector.call(&connections, &target, post(), pending());
        let (outcome, ()) = tokio::join!(call, async {
            let tcp = receiver.accept().await;
            acceptor.accept(tcp).await.map(drop).expect_err("refused");
        });
        let reason = CLIENT_CERTIFICATE;
        assert_eq!(
            outcome.err(),
            Some(CallError::Tls { reason }),
            "{version:?}"
        );
    }
}

#[tokio::test]
async fn tls_with_a_receiver_that_has_none() {
    let receiver = Receiver::start().await;
    let (connector, connections) = (connector(&[]), connections(8));
    let target = receiver.named("https");
    for (greeting, reason) in [
        (
            &b"220 mail.example ESMTP\r\n"[..],
            "the host does not speak TLS",
        ),
        (b"", "closed by the host during the handshake"),
    ] {
        let call = connector.call(&connections, &target, post(), pending());
        let (outcome, _stream) = tokio::join!(call, async {
            let mut stream = receiver.accept().await;
            stream.write_all(greeting).await.expect("open");
            // A close before the greeting is read might discard it.
            (!greeting.is_empty()).then_some(stream)
        });
        assert_eq!(outcome.err(), Some(CallError::Tls { reason }));
    }
}

/// The outcome of a call with TLS of its own to a server that answers if the handshake succeeds.
async fn outcome_with(
    acceptor: &TlsAcceptor,
    connector: &Connector,
    own: &OwnTls,
) -> Result<Answer, CallError> {
    let receiver = Receiver::start().await;
    let (connections, target) = (connections(8), receiver.named("https"));
    let target = target.with_tls(own.clone());
    let call = connector.call(&connections, &target, post(), pending());
    let (outcome, ()) = tokio::join!(call, async {
        let tcp = receiver.accept().await;
        let Ok(mut stream) = acceptor.accept(tcp).await else {
            return;
        };
        // In TLS 1.3 the client is refused after its handshake, and may not have sent the whole request.
        let mut request = Vec::new();
        while !request.ends_with(BODY) {
            match stream.read_u8().await {
                Ok(byte) => request.push(byte),
                Err(_) => return,
            }
        }
        stream.write_all(OK).await.expect("open");
        stream.flush().await.expect("open");
    });
    outcome
}

#[tokio::test]
async fn a_pinned_certificate_is_accepted_and_no_other() {
    let connector = connector(&[]);
    let made = make("elsewhere.example", None, |params| {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    });
    let fingerprint = Sha256::digest(&made.chain[0]).into();
    let acceptor = server(made, ring::default_provider());
    let own = connector.own_tls(None, Some(fingerprint));
    let answer = outcome_with(&acceptor, &connector, &own).await;
    assert_eq!(answer.expect("an answer").status, 200);
    // Even one that others trust.
    let (root, trusted) = certificate("localhost");
    let connector = self::connector(&[root]);
    let own = connector.own_tls(None, Some(fingerprint));
    let reason = "the certificate has another fingerprint than the set one";
    let outcome = outcome_with(&trusted, &connector, &own).await;
    assert_eq!(outcome.err(), Some(CallError::Tls { reason }));
}

/// A certificate and a key for a client, in PEM.
fn client(issuer: &Issuer<'_, KeyPair>) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([]).expect("no names");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let made = params.signed_by(&key, issuer).expect("a certificate");
    (made.pem(), key.serialize_pem())
}

#[tokio::test]
async fn a_client_shows_the_certificate_of_its_own() {
    let (issuer, root) = authority("one");
    let (other, _) = authority("another");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let made = make("localhost", Some(&issuer), |_| ());
        let provider = Arc::new(ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root.clone()).expect("a root");
        let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
            roots.into(),
            provider.clone(),
        );
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_client_cert_verifier(clients.build().expect("a verifier"))
            .with_single_cert(made.chain, made.key)
            .expect("a server");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let connector = connector(from_ref(&root));
        let own = |issuer| {
            let (certificate, key) = client(issuer);
            let identity = ClientIdentity::read(&certificate, &key).expect("an identity");
            connector.own_tls(Some(identity), None)
        };
        let answer = outcome_with(&acceptor, &connector, &own(&issuer)).await;
        assert_eq!(answer.expect("an answer").body, "OK", "{version:?}");
        let outcome = outcome_with(&acceptor, &connector, &own(&other)).await;
        let reason = "the host does not know the issuer of the certificate of the client";
        assert_eq!(
            outcome.err(),
            Some(CallError::Tls { reason }),
            "{version:?}"
        );
    }
}

#[tokio::test]
async fn connections_with_other_settings_are_not_used() {
    let (root, acceptor) = certificate("localhost");
    let fingerprint = Sha256::digest(&root).into();
    let (connector, connections) = (connector(&[root]), connections(8));
    let receiver = Receiver::start().await;
    let shared = receiver.named("https");
    let [first, second] = [(); 2].map(|()| connector.own_tls(None, Some(fingerprint)));
    let targets = [
        shared.clone(),
        shared.clone().with_tls(first.clone()),
        shared.clone().with_tls(second),
        shared.clone().with_tls(first),
    ];
    for target in &targets {
        let call = connector.call(&connections, target, post(), pending());
        let (outcome, ()) = tokio::join!(call, async {
            let tcp = receiver.accept().await;
            let mut stream = acceptor.accept(tcp).await.expect("a handshake");
            read_request(&mut stream).await;
            stream.write_all(OK).await.expect("open");
            stream.flush().await.expect("open");
        });
        outcome.expect("an answer");
    }
}

#[test]
fn the_fault_of_a_client_certificate_is_named() {
    let (issuer, _) = authority("one");
    let (certificate, key) = client(&issuer);
    let (_, other_key) = client(&issuer);
    let broken = certificate.replace("MII", "MIJ");
    let eleven = certificate.repeat(11);
    let chain = certificate.clone() + &certificate;
    assert!(ClientIdentity::read(&chain, &key).is_ok());
    for (certificate, key, fault) in [
        (
            certificate.as_str(),
            other_key.as_str(),
            IdentityFault::Mismatch,
        ),
        (&certificate, "", IdentityFault::Key),
        (&certificate, &certificate, IdentityFault::Key),
        ("", &key, IdentityFault::Certificate),
        (&key, &key, IdentityFault::Certificate),
        (&broken, &key, IdentityFault::Certificate),
        (&eleven, &key, IdentityFault::Certificate),
    ] {
        assert_eq!(ClientIdentity::read(certificate, key).err(), Some(fault));
    }
}
