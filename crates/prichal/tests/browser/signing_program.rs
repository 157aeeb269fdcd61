//! A stand-in for NCALayer, the signing program of the National Certification Authority: a websocket over TLS with a
//! certificate of its own, which greets, and answers a request with a signature that OpenSSL makes.

use std::{path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};

/// The program, until it is dropped.
pub(crate) struct SigningProgram {
    pub(crate) port: u16,
    requests: mpsc::UnboundedReceiver<Value>,
    _serving: JoinSet<()>,
}

impl SigningProgram {
    /// Answers each request by `answer`, which gets it.
    pub(crate) async fn start(answer: impl Fn(&Value) -> Value + Send + Sync + 'static) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let certificate = certificate.der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key);
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("a server")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (seen, requests) = mpsc::unbounded_channel();
        let answer = Arc::new(answer);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, seen, answer) = (acceptor.clone(), seen.clone(), answer.clone());
                connections.spawn(async move {
                    if let Some(socket) = open(&acceptor, tcp).await {
                        serve(socket, &seen, &*answer).await;
                    }
                });
            }
        });
        Self {
            port,
            requests,
            _serving: serving,
        }
    }

    /// The next request that has come.
    pub(crate) async fn request(&mut self) -> Value {
        self.requests.recv().await.expect("a request")
    }
}

async fn open(
    acceptor: &TlsAcceptor,
    tcp: TcpStream,
) -> Option<WebSocketStream<TlsStream<TcpStream>>> {
    let tls = acceptor.accept(tcp).await.ok()?;
    accept_async(tls).await.ok()
}

async fn serve(
    mut socket: WebSocketStream<TlsStream<TcpStream>>,
    seen: &mpsc::UnboundedSender<Value>,
    answer: &(impl Fn(&Value) -> Value + Sync),
) {
    let greeting = json!({ "result": { "version": "1.4" } }).to_string();
    let _ = socket.send(Message::text(greeting)).await;
    while let Some(Ok(message)) = socket.next().await {
        let Ok(text) = message.to_text() else {
            continue;
        };
        let Ok(request) = serde_json::from_str::<Value>(text) else {
            continue;
        };
        let answer = answer(&request).to_string();
        let _ = seen.send(request);
        let _ = socket.send(Message::text(answer)).await;
    }
}

/// The answer of the program whose user confirms: a signature in base64 by the key and the certificate `name` of a
/// folder.
pub(crate) fn signed(folder: &Path, name: &str, request: &Value) -> Value {
    let content = request["args"][2].as_str().expect("the content");
    let content = STANDARD.decode(content).expect("base64");
    std::fs::write(folder.join("asked.zip"), content).expect("a file");
    let output = std::process::Command::new("openssl")
        .args([
            "cms",
            "-sign",
            "-binary",
            "-cades",
            "-md",
            "sha256",
            "-in",
            "asked.zip",
        ])
        .args([
            "-signer",
            &format!("{name}.crt"),
            "-inkey",
            &format!("{name}.key"),
        ])
        .args(["-outform", "DER"])
        .current_dir(folder)
        .output()
        .expect("openssl runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    json!({ "code": "200", "responseObject": STANDARD.encode(output.stdout) })
}
