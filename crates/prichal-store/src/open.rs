//! Opening a store: its location and the set-up of its connections.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rustls::ClientConfig;
use tokio_postgres::config::SslMode;

use crate::{
    Conn, Db, Engine, Error, OnBatch, OnCommit, Result, checkpoint, migration,
    postgres::{ANSWER_TIMEOUT, Session},
    reader::Readers,
    writer::{Connect, Writer},
};

/// The location of the store.
#[derive(Clone, Debug)]
pub enum Options {
    /// A SQLite file, created if it does not exist. No other process may have it open.
    Sqlite { path: PathBuf },
    /// A PostgreSQL database, as a `postgres://` URL. Any number of nodes may share it.
    Postgres {
        url: String,
        /// The trusted certificates for a URL with `sslmode=require`. Other URLs connect without TLS.
        tls: Option<Arc<ClientConfig>>,
    },
}

const SQLITE_READERS: usize = 3;
const POSTGRES_READERS: usize = 6;
const POSTGRES_WRITERS: usize = 3;
/// The time a migration may take.
const MIGRATION_TIMEOUT: Duration = Duration::from_hours(24);
/// The time the engine may take to answer a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Db {
    /// Opens the store, creates or migrates its tables, and starts its threads.
    ///
    /// `on_commit` receives the events of each commit before the writers are answered. `on_batch` receives the number
    /// of writes of each commit.
    pub fn open(options: &Options, on_commit: &OnCommit, on_batch: &OnBatch) -> Result<Self> {
        let (engine, writers, readers) = match options {
            Options::Sqlite { .. } => (Engine::Sqlite, 1, SQLITE_READERS),
            Options::Postgres { .. } => (Engine::Postgres, POSTGRES_WRITERS, POSTGRES_READERS),
        };
        let mut upgrading = connect(options, false)?;
        upgrading.set_timeout(MIGRATION_TIMEOUT);
        migration::run(&mut upgrading)?;
        drop(upgrading);
        let written = Arc::default();
        let writers = (0..writers).map(|_| {
            let conn = connect(options, false)?;
            Writer::start(
                connector(options, false),
                conn,
                on_commit.clone(),
                on_batch.clone(),
                Arc::clone(&written),
            )
            .map_err(Error::corrupt)
        });
        let writers = writers.collect::<Result<Vec<_>>>()?.into();
        let readers = (0..readers).map(|_| Ok((connector(options, true), connect(options, true)?)));
        let readers =
            Readers::start(readers.collect::<Result<Vec<_>>>()?).map_err(Error::corrupt)?;
        Ok(Self {
            engine,
            readers,
            writers,
            written,
            rider: || None,
        })
    }

    /// Checks that [`Db::open`] would find a usable store, and changes nothing. A missing SQLite file is no error,
    /// because it would be created.
    pub fn check(options: &Options) -> Result<()> {
        let mut conn = match options {
            Options::Sqlite { path } if !path.exists() => return Ok(()),
            Options::Sqlite { path } => {
                let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
                Conn::sqlite(rusqlite::Connection::open_with_flags(path, flags)?)
            }
            Options::Postgres { url, tls } => postgres(url, tls.as_deref(), true)?,
        };
        migration::check(&mut conn)
    }
}

fn connector(options: &Options, reading: bool) -> Connect {
    let options = options.clone();
    Box::new(move || connect(&options, reading))
}

fn connect(options: &Options, reading: bool) -> Result<Conn> {
    match options {
        Options::Sqlite { path } => sqlite(path, reading),
        Options::Postgres { url, tls } => postgres(url, tls.as_deref(), reading),
    }
}

fn sqlite(path: &std::path::Path, reading: bool) -> Result<Conn> {
    let mut db = rusqlite::Connection::open(path)?;
    // FULL: a commit is on the disk before it is answered. The busy time-out is for a backup tool that locks the file
    // for a moment.
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
         PRAGMA busy_timeout = 5000; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    // Without this setting SQLite prepares a statement again whenever its parameters change, because their values
    // might help the planner.
    db.set_db_config(
        rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG,
        true,
    )?;
    if reading {
        db.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -2048;")?;
    } else {
        checkpoint::start(&mut db, path)?;
    }
    Ok(Conn::sqlite(db))
}

fn postgres(url: &str, tls: Option<&ClientConfig>, reading: bool) -> Result<Conn> {
    let mut config: tokio_postgres::Config = url.parse().map_err(Error::unavailable)?;
    config.connect_timeout(CONNECT_TIMEOUT);
    config.keepalives_idle(Duration::from_secs(10));
    config.tcp_user_timeout(ANSWER_TIMEOUT);
    if config.get_application_name().is_none() {
        config.application_name("prichal");
    }
    // With `sslmode=prefer` a failed TLS handshake would fall back to plain text with an unverified server.
    let tls = tls.filter(|_| config.get_ssl_mode() == SslMode::Require);
    let mut conn = Conn::postgres(Session::open(&config, tls)?);
    if reading {
        conn.batch("SET default_transaction_read_only = on")?;
    }
    Ok(conn)
}

#[cfg(test)]
mod tests {
    use prichal_core::id::WorkspaceId;
    use uuid::Uuid;

    use super::*;
    use crate::{OnBatch, OnCommit, setting};

    /// SQLite reports the same error when the disk itself is full.
    #[tokio::test]
    async fn a_full_disk_refuses_writes_until_space_is_free() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = Options::Sqlite {
            path: folder.path().join("test.sqlite"),
        };
        let on_commit: OnCommit = Arc::new(|_| ());
        let on_batch: OnBatch = Arc::new(|_| ());
        let db = Db::open(&options, &on_commit, &on_batch).expect("the store opens");
        let one = WorkspaceId(Uuid::from_u128(1));
        let limit = |pages: u32| {
            db.write(one, move |tx| {
                let sql = format!("PRAGMA max_page_count = {pages}");
                tx.conn()?.query_one(&sql, &[], |row| row.get::<i64>(0))
            })
        };
        let put = || {
            let body = "x".repeat(1 << 20);
            db.write(one, move |tx| {
                setting::set(tx, one, &body, prichal_core::time::Timestamp::default())
            })
        };
        limit(1).await.expect("limited");
        let error = put().await.expect_err("there is no room");
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        limit(1 << 20).await.expect("room again");
        put().await.expect("written");
    }
}
