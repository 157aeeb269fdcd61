//! Everything a request may need, in one cheap-to-clone struct of concrete types.

use std::{ops::Deref, sync::Arc};

use anyhow::Context as _;
use prichal_core::time::Timestamp;
use prichal_store::{Db, OnBatch, OnCommit, Options};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use secrecy::ExposeSecret;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    access::{self, Access},
    admin_token::AdminToken,
    blobs::Blobs,
    bus::Bus,
    channel::Channels,
    clock::Clock,
    config::{Config, MasterKey},
    data_dir::DataDir,
    dispatch::Dispatch,
    guess::Guesses,
    journal::{Journal, slots::Legacy},
    limiter::Limiter,
    memory::Budget,
    outgoing::{Connector, guard::Guard, trusting},
    quota, rotation,
    script::Scripts,
    settings::Settings,
    share::FairShare,
    telemetry,
    telephony::{Telephony, live::is_call},
    vault::Vault,
    writes::Writes,
};

/// What is checked or drawn is in memory meanwhile, up to 70 MiB each.
const CHECKS: usize = 256;
/// How many calls to receivers of events and messages go on at once.
const CALLS: usize = 16_384;
/// How many zips are written at a time, and how many of one workspace.
const ZIPS: usize = 64;
const ZIPS_EACH: usize = 4;

#[derive(Clone)]
pub struct App(Arc<Inner>);

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
    pub dispatch: Arc<Dispatch>,
    pub telephony: Arc<Telephony>,
    pub channels: Arc<Channels>,
    pub scripts: Scripts,
    pub limiter: Limiter,
    pub guesses: Guesses,
    pub writes: Writes,
    /// The durable work that is under way.
    pub journal: Arc<Journal>,
    pub quotas: quota::Counts,
    /// The memory of bodies, answers and frames.
    pub memory: Budget,
    /// Room in memory for what signatures are checked against and print forms are drawn from, in MiB.
    pub checks: FairShare,
    /// Calls to receivers of events and messages.
    pub calls: FairShare,
    /// Threads that write zips of documents.
    pub zips: FairShare,
    /// Wakes whoever works at bulk calls.
    pub bulk: Notify,
    /// This process among those that share the store.
    pub node: Uuid,
    /// Work that a request has started and that may outlive it; stopping waits for it.
    pub background: TaskTracker,
    /// Cancelled when the server stops: what would never end by itself, such as a stream, ends then.
    pub stopping: CancellationToken,
    /// Cancelled when what is in flight has had its time to finish.
    pub hurry: CancellationToken,
    /// Holds the lock on the data directory.
    _data_dir: DataDir,
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    /// Opens the store, the blobs and the bus. Nothing runs yet: that is [`crate::lifecycle`]'s part.
    pub async fn open(config: Config, clock: Clock) -> anyhow::Result<Self> {
        // Before anything is counted.
        telemetry::recorder();
        let data_dir = DataDir::open(&config.data_dir)?;
        let admin_token = data_dir.admin_token(&config)?;
        let previous = data_dir.previous_master_key(&config)?;
        let vault = Vault::replacing(
            data_dir.master_key(&config)?.bytes(),
            previous.as_ref().map(MasterKey::bytes),
        );
        let node = data_dir.node_id()?;
        let journal = data_dir.journal();
        let legacy = Legacy::open(journal).context("cannot read what was under way")?;
        let bus = Bus::connect(config.bus_url.as_ref().map(ExposeSecret::expose_secret)).await?;
        let telephony = Arc::new(Telephony::default());
        let channels = Arc::new(Channels::default());
        let access = Arc::new(Access::default());
        let dispatch = Arc::new(Dispatch::new(bus.clone()));
        let on_commit: OnCommit = {
            let (dispatch, telephony) = (dispatch.clone(), telephony.clone());
            let (channels, access) = (channels.clone(), access.clone());
            Arc::new(move |events| {
                access.committed(&events);
                telephony.live.committed(&events, is_call);
                channels.sockets.committed(&events);
                dispatch.committed(events);
            })
        };
        let db = open_store(&config, on_commit).await?;
        let blobs = Blobs::open(config.blob_url.as_deref(), &config.data_dir)
            .context("cannot open the blob store")?;
        let outgoing = Connector::new(
            Guard {
                allow_private: config.allow_private_targets,
            },
            &[],
        )?;
        // This program, also when its file was replaced since.
        let program = config.script_worker.clone();
        let program = program.unwrap_or_else(|| "/proc/self/exe".into());
        let scripts = Scripts::new(program, clock.clone());
        let memory = Budget::new(config.memory_budget, clock.clone());
        let app = Self(Arc::new(Inner {
            clock,
            db,
            access,
            admin_token,
            vault,
            settings: Settings::default(),
            blobs,
            bus,
            outgoing,
            dispatch,
            telephony,
            channels,
            scripts,
            limiter: Limiter::default(),
            guesses: Guesses::default(),
            writes: Writes::default(),
            journal: Arc::new(Journal::new(legacy)),
            checks: FairShare::new(CHECKS, CHECKS / 4 * 3),
            calls: FairShare::new(CALLS, CALLS / 4),
            zips: FairShare::new(ZIPS, ZIPS_EACH),
            quotas: quota::Counts::default(),
            memory,
            bulk: Notify::new(),
            node,
            background: TaskTracker::new(),
            stopping: CancellationToken::new(),
            hurry: CancellationToken::new(),
            _data_dir: data_dir,
            config,
        }));
        rotation::check_master_key(&app).await?;
        access::learn_revocations(&app, Timestamp::default())
            .await
            .context("cannot read which access keys were revoked")?;
        Ok(app)
    }
}

/// The store that the settings name.
pub(crate) fn store_options(config: &Config) -> anyhow::Result<Options> {
    Ok(match &config.database_url {
        Some(url) => Options::Postgres {
            url: url.expose_secret().to_owned(),
            tls: Some(Arc::new(trust_of_database(config)?)),
        },
        None => Options::Sqlite {
            path: config.data_dir.join("prichal.sqlite"),
        },
    })
}

async fn open_store(config: &Config, on_commit: OnCommit) -> anyhow::Result<Db> {
    let options = store_options(config)?;
    let on_batch: OnBatch = Arc::new(|writes: usize| {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a batch is at most a few hundred writes"
        )]
        metrics::histogram!("prichal_commit_batch_size").record(writes as f64);
    });
    // Opening blocks: it connects and runs migrations.
    let opened =
        tokio::task::spawn_blocking(move || Db::open(&options, &on_commit, &on_batch)).await?;
    opened.with_context(|| match &config.database_url {
        Some(_) => "cannot open the PostgreSQL database".to_owned(),
        None => format!(
            "cannot open the SQLite database in `{}`",
            config.data_dir.display()
        ),
    })
}

/// Whom a connection to the database trusts, where its URL asks for TLS.
fn trust_of_database(config: &Config) -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = Vec::new();
    if let Some(file) = &config.database_ca {
        let read = || CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>();
        let why = || format!("cannot read the certificates in `{}`", file.display());
        roots = read().with_context(why)?;
        anyhow::ensure!(
            !roots.is_empty(),
            "there is no certificate in `{}`",
            file.display()
        );
    }
    Ok(trusting(&roots)?)
}
