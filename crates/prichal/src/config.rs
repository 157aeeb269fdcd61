//! Settings (`docs/contracts/prichal.md §2`). `prichal.default.toml` says what each is for and holds the defaults; the
//! table below, from which flags, variables and keys come, says what may be given.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr as _, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prichal_core::{
    identifier, integration::is_http_url, network::Network, retry, time::parse_setting,
};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use tracing_subscriber::EnvFilter;

use prichal_store::usage::Kind;

use crate::{blobs::BlobUrl, cors};

/// Every setting with its default and its reason.
pub const DEFAULTS: &str = include_str!("../prichal.default.toml");

/// One setting, by whatever way it is given.
#[derive(Debug)]
pub struct Setting {
    /// The flag's name and the key in the file.
    pub name: &'static str,
    /// What stands for the value in the help.
    pub value: &'static str,
    pub help: &'static str,
    /// What may be given.
    pub allowed: &'static str,
    /// Never shown.
    pub secret: bool,
}

const fn setting(
    name: &'static str,
    value: &'static str,
    help: &'static str,
    allowed: &'static str,
) -> Setting {
    Setting {
        name,
        value,
        help,
        allowed,
        secret: false,
    }
}

const fn secret(
    name: &'static str,
    value: &'static str,
    help: &'static str,
    allowed: &'static str,
) -> Setting {
    Setting {
        name,
        value,
        help,
        allowed,
        secret: true,
    }
}

/// The most that `hook-body-limit` allows: four times that, as text and parsed, fits into a script's memory.
const MOST_HOOK_BODY: usize = 4 << 20;

const A_QUOTA: &str = "bytes, such as 1048576, 512MiB or 32GiB, or 0 for no limit";
/// The least that `memory-budget` allows: a few of the largest bodies.
const LEAST_MEMORY: usize = 32 << 20;

const A_DURATION: &str =
    "a whole number above zero and ms, s, m or h, such as 10s, up to ten years";

pub const SETTINGS: &[Setting] = &[
    setting(
        "listen",
        "ADDRESS",
        "Where to listen",
        "an address and a port, such as 127.0.0.1:8080",
    ),
    setting(
        "data-dir",
        "FOLDER",
        "Where state and keys are kept",
        "a folder",
    ),
    secret(
        "database-url",
        "URL",
        "PostgreSQL instead of SQLite",
        "a URL such as postgres://user:password@host/database",
    ),
    setting(
        "database-ca",
        "FILE",
        "Whom to trust beside the usual authorities where the database URL says sslmode=require",
        "a PEM file with certificates",
    ),
    secret(
        "bus-url",
        "URL",
        "NATS, for several nodes",
        "a URL such as nats://host:4222",
    ),
    setting(
        "blob-url",
        "URL",
        "Where files are kept",
        "file:/a/folder or s3://bucket/prefix",
    ),
    secret(
        "admin-token",
        "TOKEN",
        "The administrator's token",
        TOKEN_FORM,
    ),
    secret(
        "master-key",
        "BASE64",
        "The key that secrets are sealed with",
        "32 bytes in base64",
    ),
    secret(
        "previous-master-key",
        "BASE64",
        "The master key before, while what it has sealed is sealed anew",
        "32 bytes in base64",
    ),
    setting(
        "token-overlap",
        "DURATION",
        "How long a token is good beside the one that takes its place",
        A_DURATION,
    ),
    setting(
        "public-url",
        "URL",
        "How the world reaches this server",
        "an http or https URL",
    ),
    setting(
        "retry-schedule",
        "WAITS",
        "The waits between attempts at a webhook",
        "durations with commas, such as 30s,1m,5m",
    ),
    setting(
        "delivery-timeout",
        "DURATION",
        "The time for a whole call",
        A_DURATION,
    ),
    setting(
        "access-key-ttl",
        "DURATION",
        "How long an access key is good for",
        A_DURATION,
    ),
    setting(
        "temporary-file-ttl",
        "DURATION",
        "How long an upload waits to be bound",
        A_DURATION,
    ),
    setting(
        "allow-private-targets",
        "BOOL",
        "Whether receivers may have private addresses",
        "true or false",
    ),
    setting(
        "access-key-over-http",
        "BOOL",
        "Whether receivers at public addresses get access keys without TLS",
        "true or false",
    ),
    setting(
        "guess-limit",
        "RATE",
        "How many wrong credentials an address may show",
        "a whole number and /s, /m or /h, such as 30/m, or 0 for no limit",
    ),
    setting(
        "allowed-hosts",
        "HOSTS",
        "Whose requests are answered, by their Host header",
        "host names and addresses with commas, such as hub.example,10.0.0.7, or nothing for all",
    ),
    setting(
        "allowed-origins",
        "ORIGINS",
        "Whose pages may read live cards",
        "origins with commas, such as https://crm.example,http://localhost:3000, or * for all",
    ),
    setting(
        "trusted-proxies",
        "NETWORKS",
        "Whose X-Forwarded-For is believed",
        "addresses and networks with commas, such as 10.0.0.0/8,::1",
    ),
    setting(
        "hook-body-limit",
        "SIZE",
        "The longest body that a channel takes",
        "1 to 4194304 bytes, such as 65536, 512KiB or 4MiB",
    ),
    setting(
        "quota-entities",
        "SIZE",
        "How much the models of a workspace's entities may take up",
        A_QUOTA,
    ),
    setting(
        "quota-files",
        "SIZE",
        "How much the contents of a workspace's files may take up",
        A_QUOTA,
    ),
    setting(
        "quota-events",
        "SIZE",
        "How much the events of a workspace may take up",
        A_QUOTA,
    ),
    setting(
        "quota-runs",
        "SIZE",
        "How much the runs of a workspace's scripts may take up",
        A_QUOTA,
    ),
    setting(
        "memory-budget",
        "SIZE",
        "The memory of all bodies, answers and frames together",
        "32MiB or more, such as 256MiB or 1GiB",
    ),
    setting(
        "connections-per-address",
        "NUMBER",
        "How many connections one address may have",
        "a whole number, or 0 for no limit",
    ),
    setting(
        "identifier-check",
        "HOW",
        "How strictly BIN and IIN are checked",
        "strict or format",
    ),
    setting(
        "edo-strict-codes",
        "BOOL",
        "Whether /api/v3 answers 402 and 403 instead of 400",
        "true or false",
    ),
    setting(
        "sign-ticket-ttl",
        "DURATION",
        "How long content waits to be signed",
        A_DURATION,
    ),
    setting(
        "document-retry-schedule",
        "WAITS",
        "The waits between attempts to tell a document's status",
        "durations with commas, such as 10s,1m,5m",
    ),
    setting(
        "rate-limit",
        "RATE",
        "How many requests a token may send to /api/v3",
        "a whole number and /s, /m or /h, such as 1000/m, or 0 for no limit",
    ),
    setting(
        "write-bytes-per-minute",
        "SIZE",
        "How many bytes a workspace may write to the store in a minute",
        "a number of bytes, such as 1073741824, 512MiB or 4096MiB, or 0 for no limit",
    ),
    setting(
        "log-format",
        "FORMAT",
        "How logs are written",
        "text or json",
    ),
    setting(
        "log-level",
        "FILTER",
        "What is logged",
        "error, warn, info, debug, trace or a filter such as info,prichal=debug",
    ),
    setting(
        "security-log",
        "FILE",
        "A file for the lines of the security log, beside standard error",
        "a file",
    ),
];

impl Setting {
    /// Its environment variable.
    pub fn variable(&self) -> String {
        format!(
            "PRICHAL_{}",
            self.name.to_ascii_uppercase().replace('-', "_")
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// The bytes that a workspace may take up; zero is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    pub entities: i64,
    pub files: i64,
    pub events: i64,
    pub runs: i64,
}

impl Quotas {
    /// All of them, in the order of [`Kind::ALL`].
    pub fn all(&self) -> [i64; 4] {
        [self.entities, self.files, self.events, self.runs]
    }

    pub fn get(&self, kind: Kind) -> i64 {
        self.all()[kind as usize]
    }
}

/// So many in so much time; none at all is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub most: u32,
    pub period: Duration,
}

impl Rate {
    /// Reads `1000/m` and the like; `0` is no limit.
    fn parse(text: &str) -> Option<Self> {
        if text == "0" {
            return Some(Self {
                most: 0,
                period: Duration::ZERO,
            });
        }
        let (most, unit) = text.split_once('/')?;
        let period = parse_setting(&format!("1{unit}")).filter(|_| unit != "ms")?;
        let most = most.parse().ok().filter(|most| *most > 0)?;
        Some(Self { most, period })
    }
}

/// The key of all keys.
#[derive(Clone)]
pub struct MasterKey(Arc<SecretBox<[u8; 32]>>);

impl MasterKey {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Arc::new(SecretBox::new(Box::new(bytes))))
    }

    /// Reads 32 bytes in base64.
    pub fn parse(text: &str) -> Option<Self> {
        STANDARD
            .decode(text.trim())
            .ok()?
            .try_into()
            .ok()
            .map(Self::new)
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

#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub database_url: Option<SecretString>,
    /// A PEM file.
    pub database_ca: Option<PathBuf>,
    pub bus_url: Option<String>,
    pub blob_url: Option<String>,
    pub admin_token: Option<SecretString>,
    pub master_key: Option<MasterKey>,
    /// The one that the master key takes the place of.
    pub previous_master_key: Option<MasterKey>,
    pub token_overlap: Duration,
    pub public_url: Option<String>,
    pub retry_schedule: retry::Schedule,
    pub delivery_timeout: Duration,
    pub access_key_ttl: Duration,
    pub temporary_file_ttl: Duration,
    pub allow_private_targets: bool,
    pub access_key_over_http: bool,
    pub quotas: Quotas,
    /// The number of wrong credentials that an address may show.
    pub guess_limit: Rate,
    /// The hosts that requests may name; when there are none, all.
    pub allowed_hosts: Vec<String>,
    /// The origins whose pages may read the stream of live cards.
    pub allowed_origins: Vec<String>,
    /// Who may say for whom a request is.
    pub trusted_proxies: Vec<Network>,
    /// How many bytes a hook's body may have.
    pub hook_body_limit: usize,
    /// The most bytes that all bodies, answers and frames may have together.
    pub memory_budget: usize,
    /// The most connections of one address; 0 is no limit.
    pub connections_per_address: usize,
    pub identifier_check: identifier::Check,
    /// Whether refused permissions and missing payment have status codes of their own on `/api/v3`.
    pub edo_strict_codes: bool,
    pub sign_ticket_ttl: Duration,
    pub document_retry_schedule: retry::Schedule,
    pub rate_limit: Rate,
    /// None when it is zero.
    pub write_bytes_per_minute: u64,
    pub log_format: LogFormat,
    pub log_level: String,
    pub security_log: Option<PathBuf>,
    /// The program that runs scripts, when it is not this one: for tests, which are another program.
    pub script_worker: Option<PathBuf>,
}

/// A setting that cannot be used: one line, without the value when that is a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadSetting {
    #[error("{origin}: {given} is not allowed; `{name}` takes {allowed}")]
    Value {
        origin: String,
        given: String,
        name: &'static str,
        allowed: &'static str,
    },
    #[error("{file}: `{key}` is not a setting")]
    Unknown { file: String, key: String },
    #[error("{file} is not TOML: {why} in line {line}")]
    NotToml {
        file: String,
        line: usize,
        why: String,
    },
    #[error("cannot read {file}: {why}")]
    Unreadable { file: String, why: String },
}

/// Where values come from, the first first.
pub struct Sources<'a> {
    pub flags: &'a dyn Fn(&str) -> Option<String>,
    pub variables: &'a dyn Fn(&str) -> Option<String>,
    /// The name of the file, for messages, and its text.
    pub file: Option<(String, String)>,
}

impl Config {
    /// The defaults on this data directory, for tests and the demo.
    pub fn for_data_dir(data_dir: PathBuf) -> Self {
        let nothing = |_: &str| None;
        let config = Self::load(&Sources {
            flags: &nothing,
            variables: &nothing,
            file: None,
        });
        Self {
            data_dir,
            ..config.expect("the defaults are good")
        }
    }

    pub fn load(sources: &Sources<'_>) -> Result<Self, BadSetting> {
        let given = Given::collect(sources)?;
        let duration = |name| given.need(name, parse_setting);
        let quota = |name| given.need(name, |text| i64::try_from(parse_size(text)?).ok());
        Ok(Self {
            listen: given.need("listen", |text| text.parse().ok())?,
            data_dir: given.need("data-dir", |text| (!text.is_empty()).then(|| text.into()))?,
            database_url: given.read("database-url", |text| {
                is_postgres(text).then(|| text.into())
            })?,
            database_ca: given.read("database-ca", |text| {
                (!text.is_empty()).then(|| text.into())
            })?,
            bus_url: given.read("bus-url", |text| {
                has_scheme(text, &["nats", "tls"]).then(|| text.to_owned())
            })?,
            blob_url: given.read("blob-url", |text| {
                text.parse::<BlobUrl>().ok().map(|_| text.to_owned())
            })?,
            admin_token: given.read("admin-token", |text| is_token(text).then(|| text.into()))?,
            master_key: given.read("master-key", MasterKey::parse)?,
            previous_master_key: given.read("previous-master-key", MasterKey::parse)?,
            token_overlap: duration("token-overlap")?,
            public_url: given.read("public-url", |text| {
                is_http_url(text).then(|| text.trim_end_matches('/').to_owned())
            })?,
            retry_schedule: given.need("retry-schedule", retry::Schedule::parse)?,
            delivery_timeout: duration("delivery-timeout")?,
            access_key_ttl: duration("access-key-ttl")?,
            temporary_file_ttl: duration("temporary-file-ttl")?,
            allow_private_targets: given.need("allow-private-targets", |text| text.parse().ok())?,
            access_key_over_http: given.need("access-key-over-http", |text| text.parse().ok())?,
            quotas: Quotas {
                entities: quota("quota-entities")?,
                files: quota("quota-files")?,
                events: quota("quota-events")?,
                runs: quota("quota-runs")?,
            },
            guess_limit: given.need("guess-limit", Rate::parse)?,
            allowed_hosts: given.need("allowed-hosts", |text| listed(text).map(host).collect())?,
            allowed_origins: given.need("allowed-origins", |text| {
                listed(text).map(cors::origin).collect()
            })?,
            trusted_proxies: given.need("trusted-proxies", |text| {
                listed(text).map(Network::parse).collect()
            })?,
            hook_body_limit: given.need("hook-body-limit", |text| {
                parse_size(text).filter(|size| (1..=MOST_HOOK_BODY).contains(size))
            })?,
            memory_budget: given.need("memory-budget", |text| {
                parse_size(text).filter(|size| *size >= LEAST_MEMORY)
            })?,
            connections_per_address: given
                .need("connections-per-address", |text| text.parse().ok())?,
            identifier_check: given.need("identifier-check", identifier::Check::parse)?,
            edo_strict_codes: given.need("edo-strict-codes", |text| text.parse().ok())?,
            sign_ticket_ttl: duration("sign-ticket-ttl")?,
            document_retry_schedule: given
                .need("document-retry-schedule", retry::Schedule::parse)?,
            rate_limit: given.need("rate-limit", Rate::parse)?,
            write_bytes_per_minute: given.need("write-bytes-per-minute", |text| {
                u64::try_from(parse_size(text)?).ok()
            })?,
            log_format: given.need("log-format", |text| match text {
                "text" => Some(LogFormat::Text),
                "json" => Some(LogFormat::Json),
                _ => None,
            })?,
            log_level: given.need("log-level", |text| {
                EnvFilter::from_str(text).ok().map(|_| text.to_owned())
            })?,
            security_log: given.read("security-log", |text| {
                (!text.is_empty()).then(|| text.into())
            })?,
            script_worker: None,
        })
    }

    /// How the world reaches this server, without a slash at its end.
    pub fn public_url(&self) -> String {
        self.public_url
            .clone()
            .unwrap_or_else(|| format!("http://{}", self.listen))
    }
}

fn has_scheme(text: &str, schemes: &[&str]) -> bool {
    text.split_once("://")
        .is_some_and(|(scheme, rest)| schemes.contains(&scheme) && !rest.is_empty())
}

/// What stands between commas.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|one| !one.is_empty())
}

/// A host as `Host` headers name it, without a port.
fn host(text: &str) -> Option<String> {
    let authority: http::uri::Authority = text.parse().ok()?;
    (authority.host() == text).then(|| text.to_owned())
}

/// A number of bytes, of KiB, of MiB or of GiB.
fn parse_size(text: &str) -> Option<usize> {
    let (number, unit) = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)]
        .into_iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))
        .unwrap_or((text, 1));
    number.parse::<usize>().ok()?.checked_mul(unit)
}

fn is_postgres(text: &str) -> bool {
    has_scheme(text, &["postgres", "postgresql"])
}

/// The form of the administrator's token. Right tokens are let in whatever their address has shown before, so
/// short ones, which might be guessed, are none.
pub(crate) const TOKEN_FORM: &str = "32 to 256 visible ASCII characters";

/// True of a text of [`TOKEN_FORM`].
pub(crate) fn is_token(text: &str) -> bool {
    (32..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What was given for each setting, and where.
struct Given(Vec<(&'static Setting, String, String)>);

impl Given {
    fn collect(sources: &Sources<'_>) -> Result<Self, BadSetting> {
        let defaults = Table::parse("the defaults", DEFAULTS)?;
        let file = match &sources.file {
            Some((name, text)) => Some(Table::parse(name, text)?),
            None => None,
        };
        let given = SETTINGS.iter().filter_map(|setting| {
            let flag =
                (sources.flags)(setting.name).map(|value| (value, format!("--{}", setting.name)));
            let variable = || {
                let name = setting.variable();
                let value = (sources.variables)(&name).filter(|value| !value.is_empty())?;
                Some((value, name))
            };
            let found = flag
                .or_else(variable)
                .or_else(|| file.as_ref()?.find(setting))
                .or_else(|| defaults.find(setting));
            found.map(|(value, origin)| (setting, value, origin))
        });
        Ok(Self(given.collect()))
    }

    fn read<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, BadSetting> {
        let Some((setting, value, origin)) =
            self.0.iter().find(|(setting, _, _)| setting.name == name)
        else {
            return Ok(None);
        };
        let given = if setting.secret {
            "the given value".to_owned()
        } else {
            format!("`{}`", one_line(value))
        };
        let bad = || BadSetting::Value {
            origin: origin.clone(),
            given,
            name: setting.name,
            allowed: setting.allowed,
        };
        // What was no Unicode has this character by now, and is not what somebody meant.
        let readable = !value.contains(char::REPLACEMENT_CHARACTER);
        let parsed = readable.then(|| parse(value)).flatten();
        parsed.map(Some).ok_or_else(bad)
    }

    /// A setting that has a default.
    fn need<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, BadSetting> {
        let found = self.read(name, parse)?;
        found.ok_or_else(|| BadSetting::Unknown {
            file: "the defaults".to_owned(),
            key: name.to_owned(),
        })
    }
}

/// The line that the byte `at` is in, counted from one.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.bytes().take(at);
    before.filter(|byte| *byte == b'\n').count() + 1
}

fn one_line(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(80)
        .collect();
    if text.chars().count() > 80 {
        format!("{line}…")
    } else {
        line
    }
}

/// A file of settings.
struct Table {
    file: String,
    values: toml::Table,
}

impl Table {
    fn parse(file: &str, text: &str) -> Result<Self, BadSetting> {
        let values: toml::Table =
            text.parse()
                .map_err(|error: toml::de::Error| BadSetting::NotToml {
                    file: file.to_owned(),
                    line: line_of(text, error.span().map_or(0, |span| span.start)),
                    // Only what was expected: the text itself may be a secret.
                    why: one_line(error.message()),
                })?;
        let unknown = values
            .keys()
            .find(|key| SETTINGS.iter().all(|setting| setting.name != *key));
        match unknown {
            Some(key) => Err(BadSetting::Unknown {
                file: file.to_owned(),
                key: one_line(key),
            }),
            None => Ok(Self {
                file: file.to_owned(),
                values,
            }),
        }
    }

    fn find(&self, setting: &Setting) -> Option<(String, String)> {
        let value = match self.values.get(setting.name)? {
            toml::Value::String(text) => text.clone(),
            toml::Value::Boolean(value) => value.to_string(),
            toml::Value::Integer(value) => value.to_string(),
            toml::Value::Float(value) => value.to_string(),
            toml::Value::Datetime(value) => value.to_string(),
            // Never right; the message says what was there.
            toml::Value::Array(_) => "[…]".to_owned(),
            toml::Value::Table(_) => "{…}".to_owned(),
        };
        Some((value, format!("`{}` in {}", setting.name, self.file)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(
        flags: &[(&str, &str)],
        variables: &[(&str, &str)],
        file: &str,
    ) -> Result<Config, BadSetting> {
        let find = |list: &[(&str, &str)], name: &str| {
            list.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Config::load(&Sources {
            flags: &|name| find(flags, name),
            variables: &|name| find(variables, name),
            file: Some(("prichal.toml".to_owned(), file.to_owned())),
        })
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let config = Config::for_data_dir("x".into());
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.retry_schedule, retry::Schedule::default());
        assert_eq!(config.delivery_timeout, Duration::from_secs(10));
        assert_eq!(config.access_key_ttl, Duration::from_mins(20));
        assert_eq!(config.temporary_file_ttl, Duration::from_hours(24));
        assert!(!config.allow_private_targets);
        assert_eq!(config.public_url(), "http://127.0.0.1:8080");
        for setting in SETTINGS {
            assert!(
                DEFAULTS.contains(&format!("{} = ", setting.name)),
                "{} is explained",
                setting.name
            );
        }
    }

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        for (text, size) in [
            ("1", 1),
            ("64KiB", 65_536),
            ("4MiB", 4 << 20),
            ("4194304", 4 << 20),
        ] {
            let config = load(&[("hook-body-limit", text)], &[], "").expect(text);
            assert_eq!(config.hook_body_limit, size);
        }
    }

    #[test]
    fn flags_go_before_variables_and_those_before_the_file() {
        let file = "listen = \"1.1.1.1:1\"\nallow-private-targets = true\n";
        let (flags, variables) = ([("listen", "3.3.3.3:3")], [("PRICHAL_LISTEN", "2.2.2.2:2")]);
        let listen = |config: Result<Config, BadSetting>| config.expect("good").listen.to_string();
        assert_eq!(listen(load(&flags, &variables, file)), "3.3.3.3:3");
        assert_eq!(listen(load(&[], &variables, file)), "2.2.2.2:2");
        assert_eq!(
            listen(load(&[], &[("PRICHAL_LISTEN", "")], file)),
            "1.1.1.1:1",
            "an empty variable is none"
        );
        assert!(load(&[], &[], file).expect("good").allow_private_targets);
    }

    #[test]
    fn what_is_wrong_is_one_line_that_names_the_setting() {
        for (name, value) in [
            ("listen", "nowhere"),
            ("database-url", "mysql://u:hunter2@h/d"),
            ("bus-url", "http://x"),
            ("blob-url", "gopher://x"),
            ("blob-url", "s3://"),
            ("admin-token", "short"),
            ("admin-token", "one-character-too-short-a-token"),
            ("master-key", "c2hvcnQ="),
            ("public-url", "example.com"),
            ("retry-schedule", "30s,"),
            ("retry-schedule", "30s,999999999h"),
            ("delivery-timeout", "0s"),
            ("delivery-timeout", "18446744073709551615ms"),
            ("access-key-ttl", "20"),
            ("access-key-ttl", "87841h"),
            ("temporary-file-ttl", "-1h"),
            ("temporary-file-ttl", "999999999h"),
            ("allow-private-targets", "yes"),
            ("hook-body-limit", "0"),
            ("hook-body-limit", "5MiB"),
            ("hook-body-limit", "1MB"),
            ("hook-body-limit", "99999999999999999MiB"),
            ("memory-budget", "31MiB"),
            ("memory-budget", "256"),
            ("memory-budget", "99999999999999999GiB"),
            ("connections-per-address", "-1"),
            ("identifier-check", "lenient"),
            ("edo-strict-codes", "maybe"),
            ("sign-ticket-ttl", "1d"),
            ("sign-ticket-ttl", "999999999h"),
            ("document-retry-schedule", "soon"),
            ("document-retry-schedule", "1s,9999999m"),
            ("rate-limit", "1000"),
            ("rate-limit", "0/m"),
            ("rate-limit", "5/ms"),
            ("write-bytes-per-minute", "much"),
            ("write-bytes-per-minute", "-1"),
            ("data-dir", "not\u{FFFD}unicode"),
            ("log-format", "xml"),
            ("log-level", "a=b=c\nd"),
        ] {
            let text = load(&[(name, value)], &[], "")
                .expect_err(value)
                .to_string();
            assert!(
                text.starts_with(&format!("--{name}: ")) && !text.contains('\n'),
                "{text}"
            );
            let secret = SETTINGS
                .iter()
                .any(|setting| setting.name == name && setting.secret);
            assert_eq!(text.contains(&one_line(value)), !secret, "{text}");
        }
        assert_eq!(
            load(&[], &[], "lisen = 7")
                .expect_err("unknown")
                .to_string(),
            "prichal.toml: `lisen` is not a setting"
        );
        let text = load(&[], &[], "\"a\\nb\" = 1")
            .expect_err("unknown")
            .to_string();
        assert_eq!(text, "prichal.toml: `a b` is not a setting");
    }

    #[test]
    fn a_bad_file_is_one_line_that_says_where() {
        for file in [
            "# one\nadmin-token = \"hunter2hunter2",
            "# one\nadmin-token = hunter2hunter2",
            "# one\nadmin-token = ",
        ] {
            let text = load(&[], &[], file).expect_err("no TOML").to_string();
            assert!(
                text.starts_with("prichal.toml is not TOML: ")
                    && text.ends_with(" in line 2")
                    && !text.contains('\n')
                    && !text.contains("hunter2"),
                "{text}"
            );
        }
        for (file, given) in [
            ("retry-schedule = [\"30s\"]", "`[…]`"),
            ("delivery-timeout = 1.5", "`1.5`"),
            ("[listen]\nport = 1", "`{…}`"),
            ("admin-token = [\"hunter2\"]", "the given value"),
        ] {
            let text = load(&[], &[], file).expect_err(file).to_string();
            assert!(
                text.contains(&format!(": {given} is not allowed")),
                "{text}"
            );
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let key = STANDARD.encode([7; 32]);
        let flags = [
            ("database-url", "postgres://u:hunter2@h/d"),
            ("admin-token", "hunter2hunter2hunter2hunter2hunter2"),
            ("master-key", key.as_str()),
        ];
        let shown = format!("{:?}", load(&flags, &[], "").expect("good"));
        assert!(
            !shown.contains("hunter2") && !shown.contains(&key),
            "{shown}"
        );
    }
}
