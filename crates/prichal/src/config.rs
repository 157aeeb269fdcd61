//! Settings (`docs/contracts/prichal.md §2`). Each is a field here: its comment is the help of its flag and its entry in the annotated settings
//! file, its default is the server's.

mod annotated;
pub mod blob_url;
mod source;
pub mod value;

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, builder::TypedValueParser as _};
use prichal_core::{identifier, network::Network, retry};
use prichal_store::usage::{KINDS, Kind};
use secrecy::SecretString;

pub use annotated::annotated;
pub use source::{BadSetting, Sources, unknown_variables, variable};
pub use value::{MasterKey, Rate};
pub(crate) use value::{TOKEN_FORM, is_token};

/// A list in one text, with commas between. Under this name `clap` takes it for one value.
type Listed<T> = Vec<T>;

#[derive(Args, Clone, Debug)]
#[expect(
    clippy::doc_markdown,
    reason = "the comments are shown as help, which has no markup"
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

    /// A PEM file with authorities to trust beside the usual ones where the database URL says sslmode=require
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

    /// The administrator's token, of 32 characters at least
    ///
    /// Without it, the file admin-token in the data directory, which is made on the first start.
    #[arg(long, value_name = "TOKEN", value_parser = value::admin_token)]
    pub admin_token: Option<SecretString>,

    /// The key that secrets are sealed with and access keys signed: 32 bytes in base64
    ///
    /// Several nodes need the same one. Without it, the file master-key in the data directory, which is made on
    /// the first start.
    #[arg(long, value_name = "BASE64", value_parser = value::master_key)]
    pub master_key: Option<MasterKey>,

    /// The master key before, while another takes its place
    ///
    /// Both are good, and values that the old one has sealed are sealed anew in the background. The log says when
    /// it is not needed any more. Without it, the file previous-master-key in the data directory, if there is
    /// one.
    #[arg(long, value_name = "BASE64", value_parser = value::master_key)]
    pub previous_master_key: Option<MasterKey>,

    /// The time that a token stays good beside the one that takes its place
    ///
    /// It counts for tokens of channels and of the administrator, unless the request that exchanges one says
    /// otherwise.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = value::duration)]
    pub token_overlap: Duration,

    /// The URL of this server as the world knows it; used in links
    ///
    /// Without it, http:// and the listening address.
    #[arg(long, value_name = "https://HOST", value_parser = value::public_url)]
    pub public_url: Option<String>,

    /// The waits after the first, second, … failed call of a webhook
    ///
    /// After the last one an event is given up. The defaults are the vendor's.
    #[arg(long, value_name = "WAITS", default_value = "30s,1m,5m,15m,1h,1h,1h", value_parser = value::schedule)]
    pub retry_schedule: retry::Schedule,

    /// The time for a whole call: resolving, connecting, sending and reading the answer
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = value::duration)]
    pub delivery_timeout: Duration,

    /// The time that an access key is good for
    ///
    /// The vendor's are good for twenty minutes.
    #[arg(long, value_name = "DURATION", default_value = "20m", value_parser = value::duration)]
    pub access_key_ttl: Duration,

    /// The time that an uploaded file waits for something to bind it
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = value::duration)]
    pub temporary_file_ttl: Duration,

    /// Allows receivers at loopback, private, link-local and metadata addresses
    ///
    /// Anybody who may register a webhook could reach into your network: leave it off unless you trust them all.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true",
        action = clap::ArgAction::Set)]
    pub allow_private_targets: bool,

    /// Sends access keys (X-XCOM-AccessKey) to receivers at http:// URLs, too
    ///
    /// An eavesdropper could act as the integration for as long as the key is good, so false leaves the key out
    /// and sends the rest. With allow-private-targets, private addresses, localhost and names without a dot get
    /// it anyway.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true",
        action = clap::ArgAction::Set)]
    pub access_key_over_http: bool,

    /// The wrong tokens, keys and secrets that one address (of IPv6, one /64) may show in a time; 0 is no limit
    ///
    /// More are answered 429 for longer and longer, up to 15 minutes; a right token is let in nevertheless. Name
    /// your proxies in trusted-proxies, or all the world is one address.
    #[arg(long, value_name = "RATE", default_value = "30/m", value_parser = value::rate)]
    pub guess_limit: Rate,

    /// The hosts that requests may name in their Host header, with commas between and without ports; empty for all
    ///
    /// Name yours unless a proxy checks it: that keeps a page which a browser believes to be of this server (DNS
    /// rebinding) out of /docs, /check and /metrics. /healthz and /readyz answer to any.
    #[arg(long, value_name = "HOSTS", default_value = "", value_parser = value::hosts)]
    pub allowed_hosts: Listed<String>,

    /// The origins whose pages may read the stream of live cards, with commas between; empty for none, * for all
    ///
    /// The stream is /api/v1/{ws}/communications/live, an origin such as https://crm.example. All is safe, since
    /// there are no cookies: a page can read nothing without a token or a ticket of its own.
    #[arg(long, value_name = "ORIGINS", default_value = "*", value_parser = value::origins)]
    pub allowed_origins: Listed<String>,

    /// Addresses and networks of the proxies in front of this server, with commas between
    ///
    /// The sender's address is taken from their X-Forwarded-For; nobody else's is believed.
    #[arg(long, value_name = "NETWORKS", default_value = "", value_parser = value::networks)]
    pub trusted_proxies: Listed<Network>,

    /// The longest body that a channel takes at /exec and /hook, at most 4MiB
    ///
    /// It has to fit into a script's 16 MB, parsed.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = value::hook_body)]
    pub hook_body_limit: usize,

    #[command(flatten)]
    pub quotas: Quotas,

    /// The memory of all bodies that come in, answers that go out and frames of websockets together
    ///
    /// A workspace has at most half of it, a token a quarter, an address without credentials an eighth; beyond
    /// that a request waits a little and gets 503 with Retry-After.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = value::memory)]
    pub memory_budget: usize,

    /// The connections that one address may have at once; 0 is no limit
    ///
    /// More are closed at once. The proxies in trusted-proxies have no limit.
    #[arg(long, value_name = "NUMBER", default_value = "1024", value_parser = value::count)]
    pub connections_per_address: usize,

    /// The connections that are served at once
    ///
    /// When all are taken, the idlest one of the address that has most is closed for a newcomer whose address
    /// has fewer; else the newcomer is.
    #[arg(long, value_name = "NUMBER", default_value = "8192", value_parser = value::some)]
    pub connections: usize,

    /// The rule for a BIN or IIN
    ///
    /// strict: the check digit has to be right. format: twelve digits will do, for test data.
    #[arg(long, value_name = "HOW", default_value = "strict",
        value_parser = clap::builder::PossibleValuesParser::new(["strict", "format"]).try_map(value::check))]
    pub identifier_check: identifier::Check,

    /// Answers 403 to a refused permission and 402 to a missing payment under /api/v3
    ///
    /// false is 400, as the vendor's clients know it.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true",
        action = clap::ArgAction::Set)]
    pub edo_strict_codes: bool,

    /// The time that content to be signed, and the ticket for it, are good for
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = value::duration)]
    pub sign_ticket_ttl: Duration,

    /// The waits after the first, second, … failed attempt to tell a company of a document's status
    #[arg(long, value_name = "WAITS", default_value = "10s,1m,5m,30m,2h,6h,12h,24h,24h,24h",
        value_parser = value::schedule)]
    pub document_retry_schedule: retry::Schedule,

    /// The requests that one token may send to /api/v3 on one node in a time; 0 is no limit
    #[arg(long, value_name = "RATE", default_value = "1000/m", value_parser = value::rate)]
    pub rate_limit: Rate,

    /// The bytes of rows and events that one workspace may write to the store of one node in a minute; 0 is no limit
    ///
    /// Past that, requests that may write are answered with 429.
    #[arg(long, value_name = "SIZE", default_value = "4096MiB", value_parser = value::bytes)]
    pub write_bytes_per_minute: u64,

    /// The form of the logs on standard error: text for people, json for machines
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// The lines to log: error, warn, info, debug or trace, or a filter such as info,prichal::delivery=debug
    #[arg(long, value_name = "FILTER", default_value = "info", value_parser = value::log_filter)]
    pub log_level: String,

    /// A file that gets the lines of the security log, as JSON, whatever log-level is
    ///
    /// They are among the other logs as well, with the target prichal::security.
    #[arg(long, value_name = "FILE", value_parser = value::path)]
    pub security_log: Option<PathBuf>,

    /// The program that runs scripts where it is not this one: for tests, which are another program.
    #[arg(skip)]
    pub script_worker: Option<PathBuf>,
}

/// The bytes that a workspace may take up; zero is no limit.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// The bytes that the models of a workspace's entities may take up; 0 is no limit
    ///
    /// More is refused (quotaExceeded), here and for the quotas that follow. PUT /admin/v1/workspaces/{ws}/quota
    /// gives a workspace quotas of its own.
    #[arg(id = "quota_entities", long = "quota-entities", value_name = "SIZE", default_value = "8GiB",
        value_parser = value::quota)]
    pub entities: i64,

    /// The bytes that the contents of a workspace's files may take up; 0 is no limit
    #[arg(id = "quota_files", long = "quota-files", value_name = "SIZE", default_value = "256GiB",
        value_parser = value::quota)]
    pub files: i64,

    /// The bytes that the events of a workspace may take up; 0 is no limit
    ///
    /// Events are kept for ever, so this decides how large a store becomes.
    #[arg(id = "quota_events", long = "quota-events", value_name = "SIZE", default_value = "64GiB",
        value_parser = value::quota)]
    pub events: i64,

    /// The bytes that the runs of a workspace's scripts may take up; 0 is no limit
    #[arg(id = "quota_runs", long = "quota-runs", value_name = "SIZE", default_value = "16GiB",
        value_parser = value::quota)]
    pub runs: i64,

    /// The bytes that the other records of a workspace may take up; 0 is no limit
    ///
    /// They are its calls, links, documents, channels, scripts and the like.
    #[arg(id = "quota_records", long = "quota-records", value_name = "SIZE", default_value = "32GiB",
        value_parser = value::quota)]
    pub records: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

impl Config {
    /// The defaults on this data directory, for tests and the demo.
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

    /// The URL of this server as the world knows it, without a slash at its end.
    pub fn public_url(&self) -> String {
        self.public_url
            .clone()
            .unwrap_or_else(|| format!("http://{}", self.listen))
    }
}

impl Quotas {
    /// All of them, in the order of [`Kind::ALL`].
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
