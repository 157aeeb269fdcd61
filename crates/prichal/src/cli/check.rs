//! `prichal serve --check`: tests everything that a start needs, without creating or changing anything. A server may
//! be running on the same settings.

use std::{
    fs::OpenOptions,
    io::{self, ErrorKind},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};
use prichal_store::Db;
use secrecy::ExposeSecret as _;
use tokio::time::timeout;

use super::serve::bind;
use crate::{
    config::{Config, blob_url::BlobUrl},
    platform::{
        blobs::Blobs,
        bus::Bus,
        data_dir::{DataDir, check_creatable},
        oidc::Oidc,
        outgoing::Connector,
        smtp::Smtp,
        store::options,
    },
};

/// The timeout for an answer of a server in the settings.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Tests the settings one after the other. The error names the first unusable one.
pub(super) async fn run(config: &Config) -> Result<()> {
    DataDir::check(config).context("`data-dir`")?;
    listener(&config.listen).await.context("`listen`")?;
    if let Some(file) = &config.security_log {
        security_log(file).context("`security-log`")?;
    }
    Connector::of(config)?;
    Oidc::of(config)?;
    smtp(config).await?;
    database(config).await.context(match config.database_url {
        Some(_) => "`database-url`",
        None => "`data-dir`",
    })?;
    blobs(config).await.context("`blob-url`")?;
    if let Some(url) = &config.bus_url {
        let answered = timeout(ANSWER_TIMEOUT, Bus::check(url.expose_secret())).await;
        answered
            .context("no answer in time")
            .flatten()
            .context("`bus-url`")?;
    }
    Ok(())
}

async fn smtp(config: &Config) -> Result<()> {
    let Some(server) = Smtp::of(config)? else {
        return Ok(());
    };
    let logged_in = async {
        server.connect().await?.quit().await;
        Ok(())
    };
    let logged_in = timeout(ANSWER_TIMEOUT, logged_in).await;
    logged_in
        .context("no answer in time")
        .flatten()
        .context("`smtp-url`")
}

async fn listener(listen: &str) -> Result<()> {
    match bind(listen).await {
        // Probably by the running server.
        Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(()),
        bound => bound
            .map(drop)
            .with_context(|| format!("cannot listen on {listen}")),
    }
}

fn security_log(file: &Path) -> Result<()> {
    let written = match OpenOptions::new().append(true).open(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => check_creatable(file),
        opened => opened.map(drop),
    };
    written.with_context(|| format!("cannot write `{}`", file.display()))
}

async fn database(config: &Config) -> Result<()> {
    let options = options(config).context("`database-ca`")?;
    let checked = tokio::task::spawn_blocking(move || Db::check(&options));
    let checked = timeout(ANSWER_TIMEOUT, checked)
        .await
        .context("no answer in time")?;
    checked?.context("cannot open the database")
}

async fn blobs(config: &Config) -> Result<()> {
    let url = config.blob_url.as_deref().map(str::parse).transpose()?;
    let folder = match url.unwrap_or(BlobUrl::DataDir) {
        BlobUrl::DataDir => Some(config.data_dir.join("blobs")),
        BlobUrl::Folder(path) => Some(path),
        BlobUrl::Bucket { .. } => None,
    };
    // The server creates a missing folder.
    if let Some(folder) = folder.filter(|folder| !folder.exists()) {
        let made: io::Result<()> = check_creatable(&folder);
        return made.with_context(|| format!("cannot make the folder `{}`", folder.display()));
    }
    let blobs = Blobs::open(config.blob_url.as_deref(), &config.data_dir)?;
    let checked = timeout(ANSWER_TIMEOUT, blobs.check()).await;
    Ok(checked.context("no answer in time")??)
}
