//! The destination of a call, parsed once, so that a busy webhook does not parse its URL per call.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::Uri;
use hyper::header::HeaderValue;
use rustls::pki_types::ServerName;

use super::guard::Guard;
use super::own_tls::OwnTls;

/// A parsed `http` or `https` URL. Cheap to clone.
#[derive(Clone)]
pub struct Target {
    pub(super) origin: Arc<Origin>,
    /// The value of the `Host` header.
    pub(super) authority: HeaderValue,
    /// Path and query only, as in the request line.
    pub(super) path: Uri,
}

/// The peer of a connection. Connections are shared between equal origins only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) host: Host,
    pub(super) port: u16,
    /// The name that the certificate must carry; only with `https`.
    pub(super) tls: Option<ServerName<'static>>,
    /// The settings of TLS in the place of the server's.
    pub(super) own_tls: Option<OwnTls>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
}

impl From<url::Host> for Host {
    fn from(host: url::Host) -> Self {
        match host {
            url::Host::Domain(name) => Self::Name(name),
            url::Host::Ipv4(address) => Self::Address(address.into()),
            url::Host::Ipv6(address) => Self::Address(address.into()),
        }
    }
}

/// The reason why a text is not a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("not a URL")]
    Malformed,
    #[error("only http and https URLs can be called")]
    Scheme,
    #[error("a URL with a user name or a password cannot be called")]
    Userinfo,
    #[error("the host of the URL is not valid")]
    Host,
}

impl Target {
    /// Parses an absolute URL. Every spelling of a literal address that the WHATWG URL standard knows (`0x7f.1`,
    /// `2130706433`, `017700000001`, full-width digits) becomes that address here, so that the guard sees it.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let url = url::Url::parse(url).map_err(|error| match error {
            url::ParseError::RelativeUrlWithoutBase | url::ParseError::InvalidPort => {
                TargetError::Malformed
            }
            _ => TargetError::Host,
        })?;
        let secure = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(TargetError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Userinfo);
        }
        let host = Host::from(url.host().ok_or(TargetError::Host)?.to_owned());
        let tls = if secure {
            Some(server_name(&host)?)
        } else {
            None
        };
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        Ok(Self {
            authority: HeaderValue::from_str(authority).map_err(|_| TargetError::Host)?,
            path: path.parse().map_err(|_| TargetError::Malformed)?,
            origin: Arc::new(Origin {
                host,
                port: url.port_or_known_default().ok_or(TargetError::Host)?,
                tls,
                own_tls: None,
            }),
        })
    }
}

impl Target {
    /// The same target with settings of TLS of its own.
    #[must_use]
    pub fn with_tls(mut self, own: OwnTls) -> Self {
        Arc::make_mut(&mut self.origin).own_tls = Some(own);
        self
    }

    /// True if the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.origin.tls.is_some()
    }

    /// True if the URL leads into the operator's own network: a private address, `localhost`, or a name without a
    /// dot, which does not exist in the public internet.
    pub fn is_local(&self) -> bool {
        match &self.origin.host {
            Host::Address(address) => STRICT.check(*address).is_err(),
            Host::Name(name) => {
                let name = name.trim_end_matches('.');
                !name.contains('.') || name.ends_with(".localhost")
            }
        }
    }

    /// Path and query.
    pub fn path(&self) -> &str {
        self.path.path_and_query().map_or("/", |path| path.as_str())
    }

    /// Another path and query on the same host. `None` if the text is no path from its root.
    pub fn at(&self, path: &str) -> Option<Self> {
        let root = url::Url::parse("http://root/").ok()?;
        let url = root.join(path).ok()?;
        let is_path = path.starts_with('/')
            && &url[..url::Position::BeforePath] == "http://root"
            && url.fragment().is_none();
        let path = url[url::Position::BeforePath..].parse().ok();
        Some(Self {
            origin: self.origin.clone(),
            authority: self.authority.clone(),
            path: path.filter(|_| is_path)?,
        })
    }

    /// The whole URL, secrets included.
    pub fn url(&self) -> String {
        let scheme = if self.origin.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let authority = self.authority.to_str().unwrap_or_default();
        format!("{scheme}://{authority}{}", self.path)
    }
}

/// Passes public addresses only.
const STRICT: Guard = Guard {
    allow_private: false,
};

/// Leaves path and query out, which often contain secrets.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.authority).finish()
    }
}

fn server_name(host: &Host) -> Result<ServerName<'static>, TargetError> {
    match host {
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| TargetError::Host),
        Host::Address(address) => Ok(ServerName::from(*address)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> (String, String, u16, bool) {
        let target = Target::parse(url).expect("a target");
        (
            target.authority.to_str().expect("text").to_owned(),
            target.path.to_string(),
            target.origin.port,
            target.origin.tls.is_some(),
        )
    }

    #[test]
    fn targets_in_the_operators_own_network_are_recognized() {
        for (url, local) in [
            ("http://127.0.0.1:81/x", true),
            ("http://[::1]", true),
            ("http://10.1.2.3", true),
            ("http://localhost", true),
            ("http://bot.localhost.", true),
            ("http://bot:8080", true),
            ("http://8.8.8.8", false),
            ("http://bot.example", false),
            ("http://localhost.example", false),
        ] {
            let target = Target::parse(url).expect("a target");
            assert_eq!(
                (target.is_local(), target.is_tls()),
                (local, false),
                "{url}"
            );
        }
        assert!(
            Target::parse("https://bot.example")
                .expect("a target")
                .is_tls()
        );
    }

    #[test]
    fn another_path_stays_on_the_host() {
        let target = Target::parse("https://a.example:8443/hooks?key=1").expect("a target");
        assert_eq!(target.path(), "/hooks?key=1");
        for (path, url) in [
            ("/", "https://a.example:8443/"),
            ("/x/../y?z= 1", "https://a.example:8443/y?z=%201"),
            ("/../../y", "https://a.example:8443/y"),
            ("/a@b:80/c", "https://a.example:8443/a@b:80/c"),
        ] {
            let found = target.at(path).expect("a path");
            assert_eq!((found.url(), found.is_tls()), (url.to_owned(), true));
        }
        for path in [
            "",
            "x",
            "//b.example/",
            "/\\b.example/",
            "/\t/b.example/",
            "https://b.example/",
            "http://root/x",
            "/x#y",
        ] {
            assert!(target.at(path).is_none(), "{path:?}");
        }
    }

    #[test]
    fn a_url_is_taken_apart() {
        let expect = |url, authority: &str, path: &str, port, tls| {
            assert_eq!(
                parts(url),
                (authority.into(), path.into(), port, tls),
                "{url}"
            );
        };
        expect("http://a.example", "a.example", "/", 80, false);
        expect(
            "https://a.example:8443/x/?y=1#z",
            "a.example:8443",
            "/x/?y=1",
            8443,
            true,
        );
        expect(
            "HTTPS://A.Example:443/%41 b",
            "a.example",
            "/%41%20b",
            443,
            true,
        );
        expect(
            "http://[2606:4700::1]:81/",
            "[2606:4700::1]:81",
            "/",
            81,
            false,
        );
        expect(
            "http://пример.рф/й?ц=у",
            "xn--e1afmkfd.xn--p1ai",
            "/%D0%B9?%D1%86=%D1%83",
            80,
            false,
        );
        expect(
            "http://a.example/{a}|b^`\"'<>?{c}|d^`'",
            "a.example",
            "/%7Ba%7D|b^%60%22'%3C%3E?{c}|d^`%27",
            80,
            false,
        );
        expect(
            "http://a.example\\@b.example/",
            "a.example",
            "/@b.example/",
            80,
            false,
        );
        expect("http://a.example/a/../../b?", "a.example", "/b?", 80, false);
        expect("https://a_b.example/", "a_b.example", "/", 443, true);
    }

    #[test]
    fn every_spelling_of_an_address_is_that_address() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://017700000001/",
            "http://0177.0.0.01/",
            "http://127.0.0.1./",
            "http://%31%32%37.0.0.1/",
            "http://127。0。0。1/",
            "http://①②⑦.0.0.1/",
            "https:127.0.0.1",
            "http:\\\\127.0.0.1\\",
            " http://127.0.\n0.1/ ",
        ] {
            let target = Target::parse(url).expect(url);
            assert_eq!(
                target.origin.host,
                Host::Address([127, 0, 0, 1].into()),
                "{url}"
            );
        }
        let target = Target::parse("http://[0:0:0:0:0:FFFF:7F00:1]/").expect("a target");
        let mapped = Host::Address("::ffff:127.0.0.1".parse().expect("an address"));
        assert_eq!(target.origin.host, mapped);
    }

    #[test]
    fn an_invalid_target_names_the_reason() {
        let expect = |url, error| assert_eq!(Target::parse(url).err(), Some(error), "{url}");
        expect("", TargetError::Malformed);
        expect("/hook", TargetError::Malformed);
        expect("a.example/hook", TargetError::Malformed);
        expect("http://a.example:70000/", TargetError::Malformed);
        expect("ftp://a.example/", TargetError::Scheme);
        expect("file:///etc/passwd", TargetError::Scheme);
        expect("gopher://127.0.0.1/", TargetError::Scheme);
        expect("javascript:alert(1)", TargetError::Scheme);
        expect("http://user@a.example/", TargetError::Userinfo);
        expect("http://:secret@a.example/", TargetError::Userinfo);
        expect("http://", TargetError::Host);
        expect("http://256.1.1.1/", TargetError::Host);
        expect("http://a b/", TargetError::Host);
        expect("http://[::1%25lo]/", TargetError::Host);
    }

    #[test]
    fn debug_shows_no_path() {
        let target = Target::parse("https://a.example/hook/secret?key=secret").expect("a target");
        assert_eq!(format!("{target:?}"), "Target(\"a.example\")");
    }
}
