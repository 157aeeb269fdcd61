//! The operator's SMTP server (RFC 5321), to which mails are handed over.
//!
//! `lettre` composes mails and speaks SMTP. TLS is set up here, with the trust of the other calls to the outside, and
//! so that nothing that was said before TLS counts afterwards. The guard of the other calls does not apply: the
//! operator has named the server.

mod letter;
mod starttls;

use std::{fs, path::Path, str::FromStr as _, sync::Arc};

use anyhow::{Context as _, bail, ensure};
use lettre::{
    message::Mailbox,
    transport::smtp::{
        self,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::AsyncSmtpConnection,
        extension::ClientId,
        response::Response,
    },
};
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::{
    config::{Config, SmtpAddress, smtp_address},
    platform::outgoing::{self, Peer, trust},
};
use starttls::Secured;

pub use letter::{Letter, address};

/// The maximum number of characters of an answer that are kept.
const MAX_ANSWER: usize = 500;

/// The SMTP server of the settings.
pub struct Smtp {
    address: SmtpAddress,
    /// `None` if nothing is to be encrypted.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    credentials: Option<Credentials>,
    from: Mailbox,
    /// The name of this server in EHLO.
    name: ClientId,
}

/// The reason why a mail was not handed over. The texts contain no credentials and no name of the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The mail can be tried again. Its own address or content is probably not the reason.
    #[error("{0}")]
    Temporary(String),
    /// The server has refused this mail for good.
    #[error("{0}")]
    Permanent(String),
}

impl Smtp {
    /// The server that the settings name. Reads files. The error names the setting.
    pub fn of(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(url) = &config.smtp_url else {
            let alone = [
                (
                    "smtp-credentials-file",
                    config.smtp_credentials_file.is_some(),
                ),
                ("smtp-plaintext", config.smtp_plaintext),
                ("mail-from", config.mail_from.is_some()),
            ];
            if let Some((setting, _)) = alone.iter().find(|(_, is_set)| *is_set) {
                bail!("`{setting}` is set, but `smtp-url` is not");
            }
            return Ok(None);
        };
        let address = smtp_address(url.expose_secret()).context("`smtp-url`")?;
        let from = config.mail_from.as_deref();
        let from = from.context("`smtp-url` is set, but `mail-from` is not")?;
        ensure!(
            !(address.is_tls && config.smtp_plaintext),
            "`smtp-plaintext` is for smtp://, and `smtp-url` is smtps://"
        );
        let credentials = config.smtp_credentials_file.as_deref().map(credentials);
        let tls = if config.smtp_plaintext {
            None
        } else {
            let roots = match &config.egress_ca {
                Some(file) => trust::certificates(file).context("`egress-ca`")?,
                None => Vec::new(),
            };
            let connector = TlsConnector::from(Arc::new(trust::trusting(&roots)?));
            Some((connector, server_name(&address.host)?))
        };
        Ok(Some(Self {
            address,
            tls,
            credentials: credentials.transpose().context("`smtp-credentials-file`")?,
            from: Mailbox::from_str(from).context("`mail-from`")?,
            name: own_name(&config.public_url()),
        }))
    }

    /// Connects and logs in.
    pub async fn connect(&self) -> Result<Session<'_>, Fault> {
        let port = self.address.port;
        let connected = match &self.address.host {
            Host::Domain(name) => TcpStream::connect((name.as_str(), port)).await,
            Host::Ipv4(address) => TcpStream::connect((*address, port)).await,
            Host::Ipv6(address) => TcpStream::connect((*address, port)).await,
        };
        let mut tcp = connected.map_err(|error| {
            let reason = outgoing::connect_reason(&error, Peer::Host);
            Fault::Temporary(format!("no connection to the SMTP server: {reason}"))
        })?;
        let stream: Box<dyn smtp::client::AsyncTokioStream> = match &self.tls {
            None => Box::new(tcp),
            Some((connector, name)) => {
                if !self.address.is_tls {
                    starttls::ask(&mut tcp, &self.name).await?;
                }
                let secured = outgoing::secure(connector, name.clone(), tcp).await;
                let secured = secured
                    .map_err(|error| Fault::Temporary(format!("the SMTP server: {error}")))?;
                Box::new(Secured::new(secured, !self.address.is_tls))
            }
        };
        let connected = AsyncSmtpConnection::connect_with_transport(stream, &self.name).await;
        let mut connection = connected.map_err(|error| temporary(&error))?;
        if let Some(credentials) = &self.credentials {
            let known = connection.auth(DEFAULT_MECHANISMS, credentials).await;
            known.map_err(|error| Fault::Temporary(refused_login(&error)))?;
        }
        Ok(Session {
            from: &self.from,
            connection,
        })
    }
}

/// An open connection to the server.
pub struct Session<'a> {
    from: &'a Mailbox,
    connection: AsyncSmtpConnection,
}

impl Session<'_> {
    /// Hands a mail over, and returns the server's answer. After a failure the connection is closed.
    pub async fn send(&mut self, letter: &Letter<'_>) -> Result<String, Fault> {
        let (envelope, text) = letter.compose(self.from).map_err(Fault::Permanent)?;
        let sent = self.connection.send(&envelope, &text).await;
        sent.map(|response| answer(&response))
            .map_err(|error| fault(&error))
    }

    /// Closes the connection with a good-bye.
    pub async fn quit(mut self) {
        self.connection.abort().await;
    }
}

fn server_name(host: &Host) -> anyhow::Result<ServerName<'static>> {
    Ok(match host {
        Host::Domain(name) => ServerName::try_from(name.clone()).context("`smtp-url`")?,
        Host::Ipv4(address) => ServerName::from(std::net::IpAddr::from(*address)),
        Host::Ipv6(address) => ServerName::from(std::net::IpAddr::from(*address)),
    })
}

/// The host of the public URL. A literal address stands for an unknown name (RFC 5321 §4.1.3).
fn own_name(public_url: &str) -> ClientId {
    match Url::parse(public_url).ok().as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => ClientId::Domain(name.to_owned()),
        Some(Host::Ipv4(address)) => ClientId::Ipv4(address),
        Some(Host::Ipv6(address)) => ClientId::Ipv6(address),
        None => ClientId::default(),
    }
}

/// Reads one line with a name, a colon and a password.
fn credentials(file: &Path) -> anyhow::Result<Credentials> {
    let read = fs::read_to_string(file);
    let text = read.with_context(|| format!("cannot read `{}`", file.display()))?;
    let text = text.trim_end_matches(['\r', '\n']);
    let parts = text
        .split_once(':')
        .filter(|_| !text.contains(char::is_control));
    let (name, password) = parts.with_context(|| {
        format!(
            "`{}` is not one line with a name, a colon and a password",
            file.display()
        )
    })?;
    Ok(Credentials::new(name.to_owned(), password.to_owned()))
}

/// An answer of the server as one line of bounded length.
fn answer(response: &Response) -> String {
    let lines: Vec<_> = response.message().collect();
    clean(&format!("{} {}", response.code(), lines.join(" ")))
}

fn clean(text: &str) -> String {
    let text = text.trim().chars().take(MAX_ANSWER);
    text.map(|one| if one.is_control() { ' ' } else { one })
        .collect()
}

/// The answer that an error is made of, if it is one.
fn refusal(error: &smtp::Error) -> Option<(u16, String)> {
    let code = error.status()?;
    let text = std::error::Error::source(error).map(ToString::to_string);
    let text = clean(&format!("{code} {}", text.unwrap_or_default()));
    Some((code.into(), text))
}

fn temporary(error: &smtp::Error) -> Fault {
    Fault::Temporary(match refusal(error) {
        Some((_, text)) => format!("the SMTP server answered {text}"),
        None if error.is_response() => "the answer of the SMTP server is not SMTP".to_owned(),
        None => "the connection to the SMTP server broke".to_owned(),
    })
}

/// Judges a refusal of a mail. Refusals that ask for a login or for TLS concern the settings, not the mail.
fn fault(error: &smtp::Error) -> Fault {
    match refusal(error) {
        Some((500..=529 | 531..=533 | 536 | 537 | 539..=599, text)) => {
            Fault::Permanent(format!("the SMTP server answered {text}"))
        }
        None if error.is_client() => Fault::Permanent(
            "the SMTP server takes no addresses with letters beyond ASCII".to_owned(),
        ),
        _ => temporary(error),
    }
}

/// The reason of a failed login. The server's words may repeat what was sent, so only its code is told.
fn refused_login(error: &smtp::Error) -> String {
    match refusal(error) {
        Some((code, _)) => format!("the SMTP server refuses the login ({code})"),
        None if error.is_client() => "the SMTP server offers no login by PLAIN or LOGIN".to_owned(),
        None => "the connection to the SMTP server broke during the login".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_ehlo_is_the_host_of_the_public_url() {
        for (url, name) in [
            ("https://hub.example/prichal", "hub.example"),
            ("http://127.0.0.1:8080", "[127.0.0.1]"),
            ("http://[::1]:8080", "[IPv6:::1]"),
            ("nonsense", "[127.0.0.1]"),
        ] {
            assert_eq!(own_name(url).to_string(), name, "{url}");
        }
    }

    #[test]
    fn credentials_are_one_line_with_a_colon() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let read = |text: &str| {
            fs::write(file.path(), text).expect("written");
            credentials(file.path())
        };
        let expected = Credentials::new("hub".to_owned(), "a:b".to_owned());
        assert_eq!(read("hub:a:b\n").expect("good"), expected);
        for bad in ["", "hub", "hub\n:a", "hub:a\nb", "hub:\0"] {
            let error = format!("{:#}", read(bad).expect_err("bad"));
            assert!(error.contains("is not one line"), "{bad}: {error}");
        }
    }
}
