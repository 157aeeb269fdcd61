//! The store, opened as the configuration says.

use std::sync::Arc;

use anyhow::Context as _;
use prichal_store::{Db, OnBatch, OnCommit, Options};
use secrecy::ExposeSecret as _;

use crate::{
    config::Config,
    platform::{
        outgoing::trust::{certificates, trusting},
        security,
    },
};

/// The options of the store that the settings name.
pub fn options(config: &Config) -> anyhow::Result<Options> {
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

/// Opens SQLite in the data directory or the PostgreSQL database, and runs migrations.
pub async fn open(config: &Config, on_commit: OnCommit) -> anyhow::Result<Db> {
    let options = options(config)?;
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
    let opened = opened.map(|db| db.with_riders(security::rider));
    opened.with_context(|| match &config.database_url {
        Some(_) => "cannot open the PostgreSQL database".to_owned(),
        None => format!(
            "cannot open the SQLite database in `{}`",
            config.data_dir.display()
        ),
    })
}

/// The TLS trust of database connections, used if the database URL asks for TLS.
fn trust_of_database(config: &Config) -> anyhow::Result<rustls::ClientConfig> {
    let roots = match &config.database_ca {
        Some(file) => certificates(file)?,
        None => Vec::new(),
    };
    Ok(trusting(&roots)?)
}
