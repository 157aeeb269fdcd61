//! An SMTP server that takes mails, and answers each command as the test prescribes.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::harness::hub::eventually;

/// A mail that the server has taken.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    /// The mail as it was sent, with its dots, and the lines ended by a line feed.
    pub(crate) text: String,
    pub(crate) is_encrypted: bool,
}

impl Received {
    /// The value of a header, decoded.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = self.text.split("\n\n").next()?.replace("\n ", " ");
        let begin = format!("{name}: ");
        let value = head.lines().find_map(|line| line.strip_prefix(&begin))?;
        Some(value.split(' ').map(decoded).collect::<Vec<_>>().join(" "))
    }

    pub(crate) fn subject(&self) -> String {
        self.header("Subject").expect("a subject")
    }

    /// The body, decoded.
    pub(crate) fn body(&self) -> String {
        let (head, body) = self.text.split_once("\n\n").expect("a head");
        assert!(
            head.contains("Content-Transfer-Encoding: quoted-printable"),
            "{head}"
        );
        assert!(
            head.contains("Content-Type: text/plain; charset=utf-8"),
            "{head}"
        );
        let body = body.replace("=\n", "");
        let mut out = Vec::new();
        let mut rest = body.as_bytes();
        while let Some((byte, after)) = rest.split_first() {
            if *byte == b'=' {
                let digits = str::from_utf8(&after[..2]).expect("two digits");
                out.push(u8::from_str_radix(digits, 16).expect("digits"));
                rest = &after[2..];
            } else {
                out.push(*byte);
                rest = after;
            }
        }
        String::from_utf8(out).expect("UTF-8")
    }
}

/// Decodes a word of a header in base64.
fn decoded(word: &str) -> String {
    let inner = word
        .strip_prefix("=?utf-8?b?")
        .and_then(|rest| rest.strip_suffix("?="));
    inner.map_or_else(
        || word.to_owned(),
        |inner| {
            let bytes = STANDARD.decode(inner).expect("base64");
            String::from_utf8(bytes).expect("UTF-8")
        },
    )
}

/// The answer to a command.
pub(crate) enum Say {
    /// The usual one.
    Usual,
    /// These words instead.
    This(&'static str),
    /// Silence, until the client goes away.
    Nothing,
}

/// The kind of the server's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    Plain,
    StartTls,
    Tls,
}

type Script = dyn Fn(&str, usize) -> Say + Send + Sync;

struct Shared {
    received: Mutex<Vec<Received>>,
    commands: Mutex<Vec<String>>,
    connections: AtomicUsize,
    script: Mutex<Box<Script>>,
    security: Security,
    acceptor: TlsAcceptor,
}

pub(crate) struct SmtpReceiver {
    pub(crate) url: String,
    /// The certificate of the server, in PEM.
    pub(crate) certificate: String,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

impl SmtpReceiver {
    pub(crate) async fn plain() -> Self {
        Self::start(Security::Plain).await
    }

    pub(crate) async fn start(security: Security) -> Self {
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a server");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let scheme = if security == Security::Tls {
            "smtps"
        } else {
            "smtp"
        };
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            commands: Mutex::default(),
            connections: AtomicUsize::new(0),
            script: Mutex::new(Box::new(|_, _| Say::Usual)),
            security,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        });
        let (mut serving, serves) = (JoinSet::new(), shared.clone());
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                serves.connections.fetch_add(1, Ordering::Relaxed);
                connections.spawn(connection(stream, serves.clone()));
            }
        });
        Self {
            url: format!("{scheme}://localhost:{port}"),
            certificate: made.cert.pem(),
            shared,
            _serving: serving,
        }
    }

    /// Answers each command as `script` says, which also learns the number of mails that were taken so far.
    pub(crate) fn answer(&self, script: impl Fn(&str, usize) -> Say + Send + Sync + 'static) {
        *self.shared.script.lock().expect("no panic") = Box::new(script);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("no panic").clone()
    }

    /// The commands of all connections so far, and the mails' texts are none.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.shared.commands.lock().expect("no panic").clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// The first `count` mails, once there are that many.
    pub(crate) async fn mails(&self, count: usize) -> Vec<Received> {
        eventually("mails", || async {
            let found = self.received();
            (found.len() >= count).then_some(found)
        })
        .await
    }

    /// Waits for a command that begins like this.
    pub(crate) async fn hears(&self, beginning: &str) {
        eventually("a command", || async {
            let all = self.commands();
            all.iter().any(|it| it.starts_with(beginning)).then_some(())
        })
        .await;
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    if shared.security == Security::Tls {
        if let Ok(tls) = shared.acceptor.accept(stream).await {
            talk(BufReader::new(tls), &shared, true, true).await;
        }
        return;
    }
    let Some(plain) = talk(BufReader::new(stream), &shared, false, true).await else {
        return;
    };
    if let Ok(tls) = shared.acceptor.accept(plain.into_inner()).await {
        talk(BufReader::new(tls), &shared, true, false).await;
    }
}

/// Talks until the end of the connection. Returns it for a change to TLS.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
    shared: &Shared,
    is_encrypted: bool,
    greets: bool,
) -> Option<BufReader<S>> {
    let mut mail = (String::new(), Vec::new());
    let mut command = "CONNECT".to_owned();
    let mut is_first = greets;
    loop {
        if !is_first {
            command.clear();
            if stream.read_line(&mut command).await.unwrap_or(0) == 0 {
                return None;
            }
            command.truncate(command.trim_end().len());
        }
        is_first = false;
        let taken = {
            shared
                .commands
                .lock()
                .expect("no panic")
                .push(command.clone());
            shared.received.lock().expect("no panic").len()
        };
        let word = command.split([' ', ':']).next().unwrap_or_default();
        let script = |line: &str| (shared.script.lock().expect("no panic"))(line, taken);
        let mut said = script(&command);
        let is_usual = !matches!(said, Say::This(_));
        let usual = match word.to_uppercase().as_str() {
            "CONNECT" => "220 localhost ESMTP",
            "EHLO" if shared.security == Security::StartTls && !is_encrypted => {
                "250-localhost\r\n250-8BITMIME\r\n250 STARTTLS"
            }
            "EHLO" => "250-localhost\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN",
            "STARTTLS" => "220 go ahead",
            "AUTH" => "235 2.7.0 welcome",
            "MAIL" => {
                mail = (command.clone(), Vec::new());
                "250 2.1.0 OK"
            }
            "RCPT" => {
                mail.1.push(command.clone());
                "250 2.1.5 OK"
            }
            "DATA" if is_usual => {
                if stream.write_all(b"354 end with a dot\r\n").await.is_err() {
                    return None;
                }
                let mut text = String::new();
                while !text.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut text).await.unwrap_or(0) == 0 {
                        return None;
                    }
                }
                said = script("TEXT");
                if !matches!(said, Say::This(_)) {
                    let text = text.trim_end_matches(".\r\n").replace("\r\n", "\n");
                    shared.received.lock().expect("no panic").push(Received {
                        from: mail.0.clone(),
                        to: mail.1.clone(),
                        text,
                        is_encrypted,
                    });
                }
                "250 2.0.0 queued"
            }
            "QUIT" => "221 bye",
            _ => "502 unknown",
        };
        let words = match said {
            Say::Usual => usual,
            Say::This(words) => words,
            Say::Nothing => {
                // Until the client gives up.
                let mut rest = String::new();
                let _ = stream.read_line(&mut rest).await;
                return None;
            }
        };
        let sent = stream.write_all(format!("{words}\r\n").as_bytes()).await;
        if sent.is_err() || stream.flush().await.is_err() || word == "QUIT" {
            return None;
        }
        if word == "STARTTLS" && is_usual {
            return Some(stream);
        }
    }
}
