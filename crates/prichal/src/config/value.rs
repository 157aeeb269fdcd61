//! Parsers of settings' values. An error describes the allowed values.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr as _,
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::uri::Authority;
use lettre::message::Mailbox;
use prichal_core::{
    identifier, integration::is_http_url, network::Network, retry, time::parse_setting,
    workspace_name::is_workspace_name,
};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use tracing_subscriber::EnvFilter;

use url::{Host, Url};

use crate::config::{HostPattern, OidcRight, blob_url::BlobUrl};

/// A value, or the description of the allowed values.
type Read<T> = Result<T, &'static str>;

/// The maximum of `hook-body-limit`: four times that, as text and parsed, fits into a script's memory.
const MAX_HOOK_BODY: usize = 4 << 20;
/// The minimum of `memory-budget`: a few of the largest bodies.
const MIN_MEMORY: usize = 32 << 20;

/// Reads the name of a workspace.
pub fn workspace(text: &str) -> Read<String> {
    let is_name = is_workspace_name(text);
    is_name
        .then(|| text.to_owned())
        .ok_or("allowed: the name of a workspace, such as acme")
}

/// A number per period; zero is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub most: u32,
    pub period: Duration,
}

/// The key from which all other keys are derived.
#[derive(Clone)]
pub struct MasterKey(Arc<SecretBox<[u8; 32]>>);

impl MasterKey {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Arc::new(SecretBox::new(Box::new(bytes))))
    }

    /// Reads 32 bytes in base64.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.trim()).ok()?;
        bytes.try_into().ok().map(Self::new)
    }

    pub fn bytes(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

/// The form of the administrator's token. A valid token is accepted however many failures its address has, so short
/// ones, which might be guessed, are not allowed.
pub(crate) const TOKEN_FORM: &str = "32 to 256 visible ASCII characters";

/// True if a text has the form [`TOKEN_FORM`].
pub(crate) fn is_token(text: &str) -> bool {
    (32..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(super) fn admin_token(text: &str) -> Read<SecretString> {
    is_token(text).then(|| text.into()).ok_or(TOKEN_FORM)
}

pub(super) fn master_key(text: &str) -> Read<MasterKey> {
    MasterKey::parse(text).ok_or("32 bytes in base64")
}

pub(super) fn listener(text: &str) -> Read<String> {
    let is_name = |text: &str| {
        let authority = Authority::from_str(text).ok()?;
        (authority.port_u16().is_some() && !text.starts_with(':') && !text.contains('@'))
            .then_some(())
    };
    let is_good = SocketAddr::from_str(text).is_ok() || is_name(text).is_some();
    let takes = "an address or a name, and a port, such as 127.0.0.1:8080 or localhost:8080";
    is_good.then(|| text.to_owned()).ok_or(takes)
}

pub(super) fn path(text: &str) -> Read<PathBuf> {
    (!text.is_empty()).then(|| text.into()).ok_or("a path")
}

fn has_scheme(text: &str, schemes: &[&str]) -> bool {
    text.split_once("://")
        .is_some_and(|(scheme, rest)| schemes.contains(&scheme) && !rest.is_empty())
}

pub(super) fn postgres(text: &str) -> Read<SecretString> {
    let takes = "a URL such as postgres://user:password@host/database";
    let is_good = has_scheme(text, &["postgres", "postgresql"]);
    is_good.then(|| text.into()).ok_or(takes)
}

pub(super) fn nats(text: &str) -> Read<SecretString> {
    let is_good = has_scheme(text, &["nats", "tls"]);
    let takes = "a URL such as nats://host:4222";
    is_good.then(|| text.into()).ok_or(takes)
}

pub(super) fn proxy(text: &str) -> Read<SecretString> {
    let takes = "a URL such as http://proxy.example:3128; a user's name and password go into egress-proxy-credentials-file";
    proxy_address(text).map(|_| text.into()).ok_or(takes)
}

/// The host and the port of a proxy. The port has to be there, since proxies have no usual one.
pub fn proxy_address(text: &str) -> Option<(Host, u16)> {
    let url = Url::parse(text).ok()?;
    let is_bare = url.username().is_empty() && url.password().is_none() && url.path() == "/";
    let is_bare = is_bare && url.query().is_none() && url.fragment().is_none();
    let (host, port) = (url.host()?.to_owned(), url.port_or_known_default()?);
    let named = text.trim_end_matches('/').rsplit_once(':')?.1;
    (url.scheme() == "http" && is_bare && named.parse() == Ok(port)).then_some((host, port))
}

pub(super) fn smtp(text: &str) -> Read<SecretString> {
    let takes = "a URL such as smtp://mail.example:587 or smtps://mail.example:465; a user's name and password go into smtp-credentials-file";
    smtp_address(text).map(|_| text.into()).ok_or(takes)
}

/// The address of an SMTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpAddress {
    pub host: Host,
    pub port: u16,
    /// True if the connection begins with TLS.
    pub is_tls: bool,
}

/// Parses `smtp://HOST:PORT` or `smtps://HOST:PORT`. The usual ports need not be there.
pub fn smtp_address(text: &str) -> Option<SmtpAddress> {
    let (is_tls, rest) = match text.split_once("://")? {
        ("smtp", rest) => (false, rest),
        ("smtps", rest) => (true, rest),
        _ => return None,
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let authority = Authority::from_str(rest).ok()?;
    let port = match rest.strip_prefix(authority.host())? {
        "" if is_tls => 465,
        "" => 587,
        port => port.strip_prefix(':')?.parse().ok()?,
    };
    Some(SmtpAddress {
        host: Host::parse(authority.host()).ok()?,
        port,
        is_tls,
    })
}

pub(super) fn mailbox(text: &str) -> Read<String> {
    let takes = "an address such as hub@example.com, or a name and an address such as Prichal <hub@example.com>";
    let is_good = Mailbox::from_str(text).is_ok() && !text.contains(char::is_control);
    is_good.then(|| text.to_owned()).ok_or(takes)
}

pub(super) fn blob_url(text: &str) -> Read<String> {
    let is_good = BlobUrl::from_str(text).is_ok();
    let takes = "file:/a/folder or s3://bucket/prefix";
    is_good.then(|| text.to_owned()).ok_or(takes)
}

pub(super) fn public_url(text: &str) -> Read<String> {
    let url = || text.trim_end_matches('/').to_owned();
    is_http_url(text).then(url).ok_or("an http or https URL")
}

pub(super) fn issuer(text: &str) -> Read<String> {
    let is_good = is_http_url(text) && !text.contains(['?', '#']);
    is_good.then(|| text.to_owned()).ok_or("an https URL")
}

/// A text without blanks.
pub(super) fn word(text: &str) -> Read<String> {
    let is_good = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    is_good
        .then(|| text.to_owned())
        .ok_or("a text without blanks")
}

pub(super) fn words(text: &str) -> Read<Vec<String>> {
    listed(
        text,
        |one| word(one).ok(),
        "texts with commas, such as email,profile",
    )
}

pub(super) fn oidc_rights(text: &str) -> Read<Vec<OidcRight>> {
    let takes = "rights with commas, such as ops=operator,crm=acme:admin, of the roles admin, member and viewer";
    listed(text, OidcRight::parse, takes)
}

pub(super) fn duration(text: &str) -> Read<Duration> {
    let takes = "a whole number above zero and ms, s, m or h, such as 10s, up to ten years";
    parse_setting(text).ok_or(takes)
}

pub(super) fn schedule(text: &str) -> Read<retry::Schedule> {
    retry::Schedule::parse(text).ok_or("durations with commas, such as 30s,1m,5m")
}

pub(super) fn rate(text: &str) -> Read<Rate> {
    let takes = "a whole number and /s, /m or /h, such as 30/m, or 0 for no limit";
    let read = || {
        let (most, unit) = text.split_once('/')?;
        let period = parse_setting(&format!("1{unit}")).filter(|_| unit != "ms")?;
        let most = most.parse().ok().filter(|most| *most > 0)?;
        Some(Rate { most, period })
    };
    let unlimited = Rate {
        most: 0,
        period: Duration::ZERO,
    };
    let rate = if text == "0" { Some(unlimited) } else { read() };
    rate.ok_or(takes)
}

/// Parses a number of bytes, KiB, MiB or GiB.
fn size(text: &str) -> Option<u64> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let (number, unit) = units
        .into_iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))
        .unwrap_or((text, 1));
    number.parse::<u64>().ok()?.checked_mul(unit)
}

pub(super) fn bytes(text: &str) -> Read<u64> {
    size(text).ok_or("bytes, such as 1073741824, 512MiB or 4096MiB, or 0 for no limit")
}

pub(super) fn quota(text: &str) -> Read<i64> {
    let quota = size(text).and_then(|size| i64::try_from(size).ok());
    quota.ok_or("bytes, such as 1048576, 512MiB or 32GiB, or 0 for no limit")
}

pub(super) fn hook_body(text: &str) -> Read<usize> {
    let size = size(text).and_then(|size| usize::try_from(size).ok());
    size.filter(|size| (1..=MAX_HOOK_BODY).contains(size))
        .ok_or("1 to 4194304 bytes, such as 65536, 512KiB or 4MiB")
}

pub(super) fn memory(text: &str) -> Read<usize> {
    let size = size(text).and_then(|size| usize::try_from(size).ok());
    size.filter(|size| *size >= MIN_MEMORY)
        .ok_or("32MiB or more, such as 256MiB or 1GiB")
}

pub(super) fn count(text: &str) -> Read<usize> {
    text.parse()
        .map_err(|_| "a whole number, or 0 for no limit")
}

pub(super) fn some(text: &str) -> Read<usize> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or("a whole number above zero")
}

/// Parses a comma-separated list.
fn listed<T>(text: &str, read: impl Fn(&str) -> Option<T>, takes: &'static str) -> Read<Vec<T>> {
    let items = text.split(',').map(str::trim);
    let items = items.filter(|item| !item.is_empty()).map(read);
    items.collect::<Option<_>>().ok_or(takes)
}

pub(super) fn hosts(text: &str) -> Read<Vec<String>> {
    let takes =
        "host names and addresses with commas, such as hub.example,10.0.0.7, or nothing for all";
    listed(text, host, takes)
}

/// A host as in `Host` headers, without a port.
fn host(text: &str) -> Option<String> {
    let authority = Authority::from_str(text).ok()?;
    (authority.host() == text).then(|| text.to_owned())
}

pub(super) fn origins(text: &str) -> Read<Vec<String>> {
    let takes =
        "origins with commas, such as https://crm.example,http://localhost:3000, or * for all";
    listed(text, origin, takes)
}

pub(super) fn host_patterns(text: &str) -> Read<Vec<HostPattern>> {
    let takes = "names, domains, addresses and networks with commas, such as crm.example,*.crm.example,10.0.0.0/8";
    listed(text, HostPattern::parse, takes)
}

pub(super) fn addresses(text: &str) -> Read<Vec<IpAddr>> {
    let takes =
        "an address, or one of IPv4 and one of IPv6 with a comma, such as 10.0.0.7,2001:db8::7";
    let addresses = listed(text, |item| item.parse::<IpAddr>().ok(), takes)?;
    let of_v4 = addresses.iter().filter(|address| address.is_ipv4()).count();
    let is_good = of_v4 <= 1 && addresses.len() - of_v4 <= 1;
    is_good.then_some(addresses).ok_or(takes)
}

pub(super) fn networks(text: &str) -> Read<Vec<Network>> {
    let takes = "addresses and networks with commas, such as 10.0.0.0/8,::1";
    listed(text, Network::parse, takes)
}

#[expect(clippy::needless_pass_by_value, reason = "as `clap` hands it over")]
pub(super) fn check(word: String) -> Read<identifier::Check> {
    identifier::Check::parse(&word).ok_or("strict or format")
}

pub(super) fn log_filter(text: &str) -> Read<String> {
    let takes = "error, warn, info, debug, trace or a filter such as info,prichal=debug";
    let is_good = EnvFilter::from_str(text).is_ok();
    is_good.then(|| text.to_owned()).ok_or(takes)
}

/// The value that stands for all origins.
pub const ANY_ORIGIN: &str = "*";

/// Parses an origin as browsers send it: scheme, host, and a port other than the scheme's default; or [`ANY_ORIGIN`].
pub fn origin(text: &str) -> Option<String> {
    if text == ANY_ORIGIN {
        return Some(ANY_ORIGIN.to_owned());
    }
    let url = Url::parse(text).ok()?;
    let origin = url.origin().ascii_serialization();
    let is_web = matches!(url.scheme(), "http" | "https");
    (is_web && text.trim_end_matches('/').eq_ignore_ascii_case(&origin)).then_some(origin)
}
