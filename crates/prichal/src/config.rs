//! The settings (`docs/contracts/prichal.md §2`). A setting is a field here: its comment is the help of its flag and
//! its entry in the annotated settings file, and its default is the server's.

mod annotated;
pub mod blob_url;
mod host_pattern;
mod oidc_right;
mod source;
pub mod value;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, builder::TypedValueParser as _};
use prichal_core::{identifier, network::Network, retry};
use prichal_store::usage::{KINDS, Kind};
use secrecy::SecretString;

pub use annotated::annotated;
pub use host_pattern::HostPattern;
pub use oidc_right::OidcRight;
pub use source::{BadSetting, Sources, unknown_variables, variable};
pub use value::{MasterKey, Rate, SmtpAddress, proxy_address, smtp_address};
pub(crate) use value::{TOKEN_FORM, is_token};

/// A list in one text, separated by commas. Under this name `clap` takes it for one value.
type Listed<T> = Vec<T>;

#[derive(Args, Clone, Debug)]
#[expect(
    clippy::doc_markdown,
    reason = "the comments are shown as help, which has no markup"
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting of its own"
)]
pub struct Config {
    /// The address to listen at
    ///
    /// Only this machine can reach the default: put a proxy with TLS before it. A name stands for its first
    /// address, IPv4 before IPv6.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = value::listener)]
    pub listen: String,

    /// The folder of SQLite, blobs, keys and the node's id
    ///
    /// Each server has one of its own, and locks it.
    #[arg(long, value_name = "FOLDER", default_value = "prichal-data", value_parser = value::path)]
    pub data_dir: PathBuf,

    /// A PostgreSQL database instead of SQLite, for several nodes
    ///
    /// Without it, SQLite in the data directory.
    #[arg(long, value_name = "postgres://USER:PASSWORD@HOST/DATABASE", value_parser = value::postgres)]
    pub database_url: Option<SecretString>,

    /// A PEM file with authorities to trust in addition to the usual ones if the database URL has sslmode=require
    ///
    /// Without sslmode=require there is no TLS; with it the server's name is checked, too.
    #[arg(long, value_name = "FILE", value_parser = value::path)]
    pub database_ca: Option<PathBuf>,

    /// A NATS server through which several nodes wake each other
    ///
    /// Without it a node learns of another's writes when it next looks, within a second.
    #[arg(long, value_name = "nats://HOST", value_parser = value::nats)]
    pub bus_url: Option<SecretString>,

    /// The store of file contents: file:/a/folder or s3://bucket/prefix
    ///
    /// Without it, a folder in the data directory. The keys of a bucket come from the environment:
    /// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL.
    #[arg(long, value_name = "s3://BUCKET/PREFIX", value_parser = value::blob_url)]
    pub blob_url: Option<String>,

    /// The administrator's token, of at least 32 characters
    ///
    /// Without it, the file admin-token in the data directory, created on the first start.
    #[arg(long, value_name = "TOKEN", value_parser = value::admin_token)]
    pub admin_token: Option<SecretString>,

    /// The key that secrets are sealed with and access keys signed: 32 bytes in base64
    ///
    /// Several nodes need the same one. Without it, the file master-key in the data directory, created on the first
    /// start.
    #[arg(long, value_name = "BASE64", value_parser = value::master_key)]
    pub master_key: Option<MasterKey>,

    /// The previous master key, while another replaces it
    ///
    /// Both are valid, and values sealed with the old key are sealed again in the background. The log says when it is
    /// no longer needed. Without it, the file previous-master-key in the data directory, if it exists.
    #[arg(long, value_name = "BASE64", value_parser = value::master_key)]
    pub previous_master_key: Option<MasterKey>,

    /// The time for which a replaced token stays valid
    ///
    /// It applies to tokens of channels and of the administrator, unless the request that replaces one says
    /// otherwise.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = value::duration)]
    pub token_overlap: Duration,

    /// The public URL of this server, used in links
    ///
    /// Without it, http:// and the listening address.
    #[arg(long, value_name = "https://HOST", value_parser = value::public_url)]
    pub public_url: Option<String>,

    /// The waits after the first, second, … failed call of a webhook
    ///
    /// After the last one the delivery of an event is abandoned. The defaults are the vendor's.
    #[arg(long, value_name = "WAITS", default_value = "30s,1m,5m,15m,1h,1h,1h", value_parser = value::schedule)]
    pub retry_schedule: retry::Schedule,

    /// The timeout of a whole call: resolving, connecting, sending and reading the answer
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = value::duration)]
    pub delivery_timeout: Duration,

    /// The time for which the delivery log keeps a call
    #[arg(long, value_name = "DURATION", default_value = "720h", value_parser = value::duration)]
    pub delivery_log_ttl: Duration,

    /// The maximum bytes of the delivery log of a workspace, whose oldest calls go first; 0 is no limit
    #[arg(long, value_name = "SIZE", default_value = "8GiB", value_parser = value::quota)]
    pub delivery_log_bytes: i64,

    /// The time for which the runs of scripts are kept
    #[arg(long, value_name = "DURATION", default_value = "720h", value_parser = value::duration)]
    pub run_ttl: Duration,

    /// The time for which the audit log keeps a record
    ///
    /// PUT /admin/v1/workspaces/{ws}/retention sets another time for a workspace, here and for runs and deliveries.
    #[arg(long, value_name = "DURATION", default_value = "8760h", value_parser = value::duration)]
    pub audit_log_ttl: Duration,

    /// The time for which events are kept; without it, for ever
    ///
    /// Older ones are removed, except for those that a webhook, a deferred delivery, a dead letter, a resend or the history
    /// of a document still needs. A workspace may have another time, as above.
    #[arg(long, value_name = "DURATION", value_parser = value::duration)]
    pub event_ttl: Option<Duration>,

    /// The lifetime of an access key
    ///
    /// The vendor's is twenty minutes.
    #[arg(long, value_name = "DURATION", default_value = "20m", value_parser = value::duration)]
    pub access_key_ttl: Duration,

    /// The time for which an uploaded file waits to be bound
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = value::duration)]
    pub temporary_file_ttl: Duration,

    /// Allows receivers at loopback, private, link-local and metadata addresses
    ///
    /// Anybody who may register a webhook could reach into your network. Leave it off unless you trust them all.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true",
        action = clap::ArgAction::Set)]
    pub allow_private_targets: bool,

    /// A PEM file with authorities of receivers to trust in addition to the usual ones
    ///
    /// For receivers, and an SMTP server, whose certificates are of a company's own authority. The usual ones are
    /// Mozilla's and the system's.
    #[arg(long, value_name = "FILE", value_parser = value::path)]
    pub egress_ca: Option<PathBuf>,

    /// The proxy for all calls to receivers and other outside addresses
    ///
    /// It gets CONNECT, also for http:// URLs, with an address that this server has resolved and checked. There is no
    /// TLS to the proxy itself. The database, the bus, a bucket and the SMTP server are reached without it.
    #[arg(long, value_name = "http://HOST:PORT", value_parser = value::proxy)]
    pub egress_proxy: Option<SecretString>,

    /// A file with a user's name and password for the proxy, with a colon between them
    #[arg(long, value_name = "FILE", value_parser = value::path)]
    pub egress_proxy_credentials_file: Option<PathBuf>,

    /// The hosts that are called without the proxy: names, *.domains, addresses and networks, separated by commas
    ///
    /// They are resolved and checked as without a proxy: private addresses need allow-private-targets.
    #[arg(long, value_name = "HOSTS", default_value = "", value_parser = value::host_patterns)]
    pub egress_proxy_bypass: Listed<HostPattern>,

    /// The hosts whose names the proxy resolves: names, *.domains, addresses and networks, separated by commas
    ///
    /// For a network in which this server cannot resolve outside names. Then other hosts are not called at all,
    /// because nobody here sees the addresses. Without it, this server resolves the names.
    #[arg(long, value_name = "HOSTS", default_value = "", value_parser = value::host_patterns)]
    pub egress_proxy_resolves: Listed<HostPattern>,

    /// The addresses of this machine that calls to the outside come from: at most one of IPv4 and one of IPv6
    ///
    /// If only one is given, only receivers and proxies of its kind are called. Without it, the system decides.
    #[arg(long, value_name = "ADDRESSES", default_value = "", value_parser = value::addresses)]
    pub egress_source_address: Listed<IpAddr>,

    /// The SMTP server for mails about alerts: smtp://HOST:PORT with STARTTLS, or smtps://HOST:PORT with TLS
    ///
    /// The usual ports are 587 and 465. Without it no mails are sent.
    #[arg(long, value_name = "smtp://HOST:587", value_parser = value::smtp)]
    pub smtp_url: Option<SecretString>,

    /// A file with a user's name and password for the SMTP server, with a colon between them
    #[arg(long, value_name = "FILE", value_parser = value::path)]
    pub smtp_credentials_file: Option<PathBuf>,

    /// Sends mails and the password to an smtp:// server without TLS
    ///
    /// For a server on this machine or in a network of your own. With false, STARTTLS is required.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true",
        action = clap::ArgAction::Set)]
    pub smtp_plaintext: bool,

    /// The sender of mails: an address, or a name and an address
    #[arg(long, value_name = "Prichal <hub@example.com>", value_parser = value::mailbox)]
    pub mail_from: Option<String>,

    /// The maximum number of mails of a workspace in an hour
    ///
    /// One more mail to each recipient tells how many were left out.
    #[arg(long, value_name = "NUMBER", default_value = "100", value_parser = value::some)]
    pub mails_per_hour: usize,

    /// Sends access keys (X-XCOM-AccessKey) to receivers at http:// URLs, too
    ///
    /// An eavesdropper could act as the integration while the key is valid, so false leaves the key out and sends the
    /// rest. With allow-private-targets, private addresses, localhost and names without a dot get it anyway.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true",
        action = clap::ArgAction::Set)]
    pub access_key_over_http: bool,

    /// The wrong tokens, keys and secrets that one address (of IPv6, one /64) may send in a period; 0 is no limit
    ///
    /// More are answered 429 for increasing times, up to 15 minutes. A valid token is accepted nevertheless. Set
    /// trusted-proxies if there are proxies, or all clients count as one address.
    #[arg(long, value_name = "RATE", default_value = "30/m", value_parser = value::rate)]
    pub guess_limit: Rate,

    /// The hosts that requests may name in their Host header, separated by commas and without ports; empty for all
    ///
    /// Set it unless a proxy checks the header. It protects /docs, /check and /metrics from foreign pages that pose
    /// as this server's (DNS rebinding). /healthz and /readyz accept any.
    #[arg(long, value_name = "HOSTS", default_value = "", value_parser = value::hosts)]
    pub allowed_hosts: Listed<String>,

    /// The origins whose pages may read streams of server-sent events, separated by commas; empty for none, * for all
    ///
    /// The streams are /api/v1/{ws}/communications/live and /api/v1/{ws}/stream, an origin is written as
    /// https://crm.example. Even * is safe, since no cookie counts there: a page can read nothing without a token or a
    /// ticket of its own.
    #[arg(long, value_name = "ORIGINS", default_value = "*", value_parser = value::origins)]
    pub allowed_origins: Listed<String>,

    /// Addresses and networks of the proxies in front of this server, separated by commas
    ///
    /// The sender's address is taken from their X-Forwarded-For; that of other peers is ignored.
    #[arg(long, value_name = "NETWORKS", default_value = "", value_parser = value::networks)]
    pub trusted_proxies: Listed<Network>,

    /// The maximum body that a channel accepts at /exec and /hook, at most 4MiB
    ///
    /// Its parsed form has to fit into the 16 MB of a script.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = value::hook_body)]
    pub hook_body_limit: usize,

    #[command(flatten)]
    pub quotas: Quotas,

    /// The memory for all request bodies, answers and websocket frames together
    ///
    /// A workspace may use half of it, a token a quarter, an address without credentials an eighth. Beyond that a
    /// request waits a little and gets 503 with Retry-After.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = value::memory)]
    pub memory_budget: usize,

    /// The maximum number of concurrent connections of one address; 0 is no limit
    ///
    /// More are closed at once. The proxies in trusted-proxies have no limit.
    #[arg(long, value_name = "NUMBER", default_value = "1024", value_parser = value::count)]
    pub connections_per_address: usize,

    /// The maximum number of concurrent connections
    ///
    /// Beyond it, the idlest connection of the address with the most is closed for a newcomer whose address has
    /// fewer; otherwise the newcomer is closed.
    #[arg(long, value_name = "NUMBER", default_value = "8192", value_parser = value::some)]
    pub connections: usize,

    /// The maximum number of concurrent streams /api/v1/{ws}/stream
    ///
    /// More are refused (tooMany).
    #[arg(long, value_name = "NUMBER", default_value = "2000", value_parser = value::some)]
    pub stream_listeners: usize,

    /// The maximum number of these streams of one workspace
    #[arg(long, value_name = "NUMBER", default_value = "1000", value_parser = value::some)]
    pub stream_listeners_per_workspace: usize,

    /// The rule for a BIN or IIN
    ///
    /// strict: the check digit must be valid. format: twelve digits are enough, for test data.
    #[arg(long, value_name = "HOW", default_value = "strict",
        value_parser = clap::builder::PossibleValuesParser::new(["strict", "format"]).try_map(value::check))]
    pub identifier_check: identifier::Check,

    /// Answers 403 to a refused permission and 402 to a missing payment under /api/v3
    ///
    /// With false, both are 400, as the vendor's clients expect.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true",
        action = clap::ArgAction::Set)]
    pub edo_strict_codes: bool,

    /// The lifetime of content to be signed and of its ticket
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = value::duration)]
    pub sign_ticket_ttl: Duration,

    /// The waits after the first, second, … failed attempt to notify a company of a document's status
    #[arg(long, value_name = "WAITS", default_value = "10s,1m,5m,30m,2h,6h,12h,24h,24h,24h",
        value_parser = value::schedule)]
    pub document_retry_schedule: retry::Schedule,

    /// The requests that one token may send to /api/v3 on one node in a period; 0 is no limit
    #[arg(long, value_name = "RATE", default_value = "1000/m", value_parser = value::rate)]
    pub rate_limit: Rate,

    /// The bytes of rows and events that one workspace may write to the store of one node in a minute; 0 is no limit
    ///
    /// Beyond that, requests that may write are answered with 429.
    #[arg(long, value_name = "SIZE", default_value = "4096MiB", value_parser = value::bytes)]
    pub write_bytes_per_minute: u64,

    /// The form of the logs on standard error: text for people, json for machines
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// The lines to log: error, warn, info, debug or trace, or a filter such as info,prichal::request=warn
    #[arg(long, value_name = "FILTER", default_value = "info", value_parser = value::log_filter)]
    pub log_level: String,

    /// A file for the lines of the security log, as JSON, independent of log-level
    ///
    /// The other logs contain them, too, with the target prichal::security.
    #[arg(long, value_name = "FILE", value_parser = value::path)]
    pub security_log: Option<PathBuf>,

    /// The workspace of the server's operator, which gets the alerts about the server itself: disks and egress-ca
    ///
    /// It is made as any other. Without it, these are in the log and in the metrics only.
    #[arg(long, value_name = "NAME", value_parser = value::workspace)]
    pub operator_workspace: Option<String>,

    /// The issuer of the company's OpenID provider, with which people sign in at the console
    ///
    /// Its description is at /.well-known/openid-configuration below it. Without it, there are links and tokens only.
    #[arg(long, value_name = "https://SSO", value_parser = value::issuer)]
    pub oidc_issuer: Option<String>,

    /// The id of this server among the provider's clients
    ///
    /// The client's redirect URI is /console/oidc/callback below the public URL.
    #[arg(long, value_name = "ID", value_parser = value::word)]
    pub oidc_client_id: Option<String>,

    /// A file with the secret of that client
    ///
    /// Without it, the client is a public one.
    #[arg(long, value_name = "FILE", value_parser = value::path)]
    pub oidc_client_secret_file: Option<PathBuf>,

    /// The id of the command line among the provider's clients: a public one with the device flow
    ///
    /// Without it, `prichal login` cannot sign in with the provider.
    #[arg(long, value_name = "ID", value_parser = value::word)]
    pub oidc_cli_client_id: Option<String>,

    /// The scopes to ask for besides openid, separated by commas
    #[arg(long, value_name = "SCOPES", default_value = "email,profile", value_parser = value::words)]
    pub oidc_scopes: Listed<String>,

    /// The claim of the ID token with the groups of a person
    #[arg(long, value_name = "CLAIM", default_value = "groups", value_parser = value::word)]
    pub oidc_groups_claim: String,

    /// The rights of groups, separated by commas: GROUP=WORKSPACE:ROLE, or GROUP=operator for the server's operator
    ///
    /// The roles are admin, member and viewer. The first right of a person's groups counts. Nobody else signs in.
    #[arg(long, value_name = "RIGHTS", default_value = "", value_parser = value::oidc_rights)]
    pub oidc_rights: Listed<OidcRight>,

    /// Allows a provider at a private address
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true",
        action = clap::ArgAction::Set)]
    pub oidc_private: bool,

    /// The program that runs scripts if it is not this one: for tests, which are another program.
    #[arg(skip)]
    pub script_worker: Option<PathBuf>,
}

/// The maximum bytes of a workspace; zero is no limit.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// The maximum bytes of the models of a workspace's entities; 0 is no limit
    ///
    /// More is refused (quotaExceeded), here and for the following quotas. PUT /admin/v1/workspaces/{ws}/quota sets a
    /// workspace's own quotas.
    #[arg(id = "quota_entities", long = "quota-entities", value_name = "SIZE", default_value = "8GiB",
        value_parser = value::quota)]
    pub entities: i64,

    /// The maximum bytes of the contents of a workspace's files; 0 is no limit
    #[arg(id = "quota_files", long = "quota-files", value_name = "SIZE", default_value = "256GiB",
        value_parser = value::quota)]
    pub files: i64,

    /// The maximum bytes of the events of a workspace; 0 is no limit
    ///
    /// Events are kept for ever, so this limits the size of a store.
    #[arg(id = "quota_events", long = "quota-events", value_name = "SIZE", default_value = "64GiB",
        value_parser = value::quota)]
    pub events: i64,

    /// The maximum bytes of the runs of a workspace's scripts; 0 is no limit
    #[arg(id = "quota_runs", long = "quota-runs", value_name = "SIZE", default_value = "16GiB",
        value_parser = value::quota)]
    pub runs: i64,

    /// The maximum bytes of the other records of a workspace; 0 is no limit
    ///
    /// These are its calls, links, documents, channels, scripts and the like.
    #[arg(id = "quota_records", long = "quota-records", value_name = "SIZE", default_value = "32GiB",
        value_parser = value::quota)]
    pub records: i64,

    /// The maximum requests of a workspace in a second; 0 is no limit
    ///
    /// Each node counts for itself. More are refused (tooManyRequests) with Retry-After.
    #[arg(id = "quota_requests", long = "quota-requests", value_name = "NUMBER", default_value = "0",
        value_parser = value::count)]
    pub requests: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

impl Config {
    /// The default settings with this data directory, for tests and the demo.
    pub fn for_data_dir(data_dir: PathBuf) -> Self {
        let nothing = Sources {
            flags: &|_| None,
            variables: &|_| None,
            file: None,
        };
        Self {
            data_dir,
            ..Self::load(&nothing).expect("the defaults are good")
        }
    }

    /// The public URL of this server, without a slash at its end. A server that listens at all addresses is assumed to
    /// be on the reader's machine.
    pub fn public_url(&self) -> String {
        self.public_url.clone().unwrap_or_else(|| {
            let port = self.listen.rsplit_once(':').and_then(|(host, port)| {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let address = host.parse::<IpAddr>().ok()?;
                address.is_unspecified().then_some(port)
            });
            match port {
                Some(port) => format!("http://localhost:{port}"),
                None => format!("http://{}", self.listen),
            }
        })
    }
}

impl Quotas {
    /// All quotas, in the order of [`Kind::ALL`].
    pub fn all(&self) -> [i64; KINDS] {
        [
            self.entities,
            self.files,
            self.events,
            self.runs,
            self.records,
        ]
    }

    pub fn get(&self, kind: Kind) -> i64 {
        self.all()[kind as usize]
    }
}

#[cfg(test)]
mod tests;
