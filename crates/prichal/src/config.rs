//! Settings.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use prichal_core::{identifier, retry};
use secrecy::SecretString;

#[derive(Clone)]
pub struct Config {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub database_url: Option<SecretString>,
    pub bus_url: Option<String>,
    pub blob_url: Option<String>,
    pub admin_token: Option<SecretString>,
    pub master_key: Option<SecretString>,
    pub public_url: Option<String>,
    pub retry_schedule: retry::Schedule,
    pub delivery_timeout: Duration,
    pub access_key_ttl: Duration,
    pub temporary_file_ttl: Duration,
    pub allow_private_targets: bool,
    pub identifier_check: identifier::Check,
}

impl Config {
    pub fn for_data_dir(data_dir: PathBuf) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir,
            database_url: None,
            bus_url: None,
            blob_url: None,
            admin_token: None,
            master_key: None,
            public_url: None,
            retry_schedule: retry::Schedule::default(),
            delivery_timeout: Duration::from_secs(10),
            access_key_ttl: Duration::from_secs(1200),
            temporary_file_ttl: Duration::from_secs(86400),
            allow_private_targets: false,
            identifier_check: identifier::Check::Strict,
        }
    }
    pub fn public_url(&self) -> String {
        self.public_url
            .clone()
            .unwrap_or_else(|| format!("http://{}", self.listen))
    }
}
