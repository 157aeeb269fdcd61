//! The platform, the lowest of the server's rooms: clock, store, vault, credentials, blobs, bus, calls to
//! the outside, memory and limits. It imports [`crate::error`] and [`crate::config`] only: no HTTP of this server, no
//! domain, no dialect.

pub mod access;
pub mod admin_token;
pub mod audit;
pub mod blobs;
pub mod bus;
pub mod cache;
pub mod clock;
pub mod data_dir;
pub mod guess;
pub mod limiter;
pub mod log_writer;
pub mod memory;
pub mod oidc;
pub mod outgoing;
pub mod quota;
pub mod reading;
pub mod request_rate;
pub mod security;
pub mod session;
pub mod settings;
pub mod share;
pub mod smtp;
pub mod store;
pub mod telemetry;
pub mod token_use;
pub mod vault;
pub mod writes;

use std::{ops::Deref, sync::Arc};

use anyhow::Context as _;
use prichal_core::time::Timestamp;
use prichal_store::{Db, OnCommit};
use secrecy::ExposeSecret;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::config::{Config, MasterKey};
use access::Access;
use admin_token::AdminToken;
use blobs::Blobs;
use bus::Bus;
use clock::Clock;
use data_dir::DataDir;
use guess::Guesses;
use limiter::Limiter;
use memory::Budget;
use oidc::Oidc;
use outgoing::Connector;
use settings::Settings;
use share::FairShare;
use smtp::Smtp;
use vault::Vault;
use writes::Writes;

/// The maximum number of concurrent calls to receivers of events and messages.
const MAX_CONCURRENT_CALLS: usize = 16_384;

/// The parts of the server below its domain, shared by requests and background tasks. Cheap to clone.
#[derive(Clone)]
pub struct Platform(Arc<Inner>);

pub struct Inner {
    pub config: Config,
    pub clock: Clock,
    pub db: Db,
    pub access: Arc<Access>,
    pub admin_token: AdminToken,
    pub vault: Vault,
    pub settings: Settings,
    pub blobs: Blobs,
    pub bus: Bus,
    pub outgoing: Connector,
    /// The company's OpenID provider; `None` if there is none.
    pub oidc: Option<Oidc>,
    /// `None` if no mails are sent.
    pub smtp: Option<Smtp>,
    pub limiter: Limiter,
    /// The uploads of visitors without credentials, by their network.
    pub visitors: Limiter<guess::Source>,
    pub guesses: Guesses,
    pub writes: Writes,
    /// Records of the audit log that are not written yet.
    pub audit: audit::Queue,
    pub quotas: quota::Counts,
    /// The memory of bodies, answers and frames.
    pub memory: Budget,
    /// Calls to receivers of events and messages.
    pub calls: FairShare,
    /// The id of this process among the nodes that share the store.
    pub node: Uuid,
    pub started_at: Timestamp,
    /// True if the data directory is new.
    pub is_first_start: bool,
    /// Work started by a request that may outlive it. Stopping waits for it.
    pub background: TaskTracker,
    /// Cancelled when the server stops. Endless answers, such as streams, end then.
    pub stopping: CancellationToken,
    /// Cancelled when the grace period of a stop is over.
    pub abort: CancellationToken,
    /// Locked as long as the server runs.
    pub data_dir: DataDir,
}

impl Deref for Platform {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Platform {
    /// Opens the store, the blobs and the bus. `on_commit` makes the listener of the store's commits.
    pub async fn open(
        config: Config,
        clock: Clock,
        on_commit: impl FnOnce(&Bus, &Arc<Access>) -> OnCommit,
    ) -> anyhow::Result<Self> {
        // The recorder is installed before the first metric is counted.
        telemetry::recorder();
        let data_dir = DataDir::open(&config.data_dir)?;
        let is_first_start = data_dir.is_fresh();
        let (admin_token, admin_token_file) = data_dir.admin_token(&config)?;
        let previous = data_dir.previous_master_key(&config)?;
        let vault = Vault::replacing(
            data_dir.master_key(&config)?.bytes(),
            previous.as_ref().map(MasterKey::bytes),
        );
        let node = data_dir.node_id()?;
        let bus_url = config.bus_url.as_ref().map(ExposeSecret::expose_secret);
        let bus = Bus::connect(bus_url).await?;
        let access = Arc::new(Access::default());
        let db = store::open(&config, on_commit(&bus, &access)).await?;
        let blobs = Blobs::open(config.blob_url.as_deref(), &config.data_dir)
            .context("cannot open the blob store")?;
        let outgoing = Connector::of(&config)?;
        let oidc = Oidc::of(&config)?;
        let smtp = Smtp::of(&config)?;
        let memory = Budget::new(config.memory_budget, clock.clone());
        let platform = Self(Arc::new(Inner {
            started_at: clock.now(),
            clock,
            db,
            access,
            admin_token: AdminToken::new(admin_token, admin_token_file),
            vault,
            settings: Settings::default(),
            blobs,
            bus,
            outgoing,
            oidc,
            smtp,
            limiter: Limiter::default(),
            visitors: Limiter::default(),
            guesses: Guesses::default(),
            writes: Writes::default(),
            audit: audit::Queue::default(),
            calls: FairShare::new(MAX_CONCURRENT_CALLS, MAX_CONCURRENT_CALLS / 4),
            quotas: quota::Counts::default(),
            memory,
            node,
            is_first_start,
            background: TaskTracker::new(),
            stopping: CancellationToken::new(),
            abort: CancellationToken::new(),
            data_dir,
            config,
        }));
        access::learn_revocations(&platform, Timestamp::default())
            .await
            .context("cannot read which access keys were revoked")?;
        Ok(platform)
    }
}
