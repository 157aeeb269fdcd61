//! The database engines of the measurements, and new databases on a `PostgreSQL` server.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use anyhow::{Context as _, Result, bail, ensure};
use postgres::{Client, Config, NoTls, config::Host};
use serde_json::{Value, json};

use crate::cleanup::{Cleanup, CleanupGuard};

/// The engine of a measured server's store.
#[derive(Clone)]
pub enum Engine {
    Sqlite,
    Postgres(Postgres),
}

impl Engine {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
        }
    }
}

/// A database server on this machine.
#[derive(Clone)]
pub struct Postgres {
    url: String,
    /// The id of its first process, if known, for its processor time.
    pub pid: Option<u32>,
}

static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Postgres {
    /// `url` names a database whose user may create databases.
    pub fn new(url: &str, pid: Option<u32>) -> Result<Self> {
        let config: Config = url.parse().context("reading --database-url")?;
        ensure!(
            !config.get_hosts().is_empty(),
            "--database-url names no host"
        );
        for host in config.get_hosts() {
            match host {
                Host::Tcp(name) if ["127.0.0.1", "::1", "localhost"].contains(&name.as_str()) => {}
                Host::Unix(_) => {}
                Host::Tcp(name) => {
                    bail!(
                        "--database-url: {name} is not this machine, but the figures need one machine"
                    )
                }
            }
        }
        ensure!(
            url.starts_with("postgres://") || url.starts_with("postgresql://"),
            "--database-url: use a postgres:// URL"
        );
        let url = url.into();
        Ok(Self { url, pid })
    }

    /// The URL of another database of the server.
    pub fn url(&self, database: &str) -> String {
        let (base, query) = match self.url.split_once('?') {
            Some((base, query)) => (base, format!("?{query}")),
            None => (self.url.as_str(), String::new()),
        };
        let (scheme, rest) = base.split_once("://").unwrap_or(("postgres", base));
        let authority = rest.split('/').next().unwrap_or(rest);
        format!("{scheme}://{authority}/{database}{query}")
    }

    pub fn connect(&self, database: Option<&str>) -> Result<Client> {
        let url = database.map_or_else(|| self.url.clone(), |name| self.url(name));
        Client::connect(&url, NoTls).context("connecting to PostgreSQL")
    }

    /// Creates a database that is dropped with the result.
    pub fn create(&self, cleanup: &Cleanup) -> Result<(String, CleanupGuard)> {
        let number = DATABASES.fetch_add(1, Relaxed);
        let name = format!("prichal_bench_{}_{number}", std::process::id());
        self.connect(None)?
            .batch_execute(&format!(
                "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
            ))
            .context("creating a database in PostgreSQL")?;
        let (server, dropped) = (self.clone(), name.clone());
        let guard = cleanup.defer(move || {
            let drop = format!("DROP DATABASE IF EXISTS {dropped} WITH (FORCE)");
            let done = server
                .connect(None)
                .and_then(|mut client| Ok(client.batch_execute(&drop)?));
            if let Err(error) = done {
                eprintln!("dropping the database {dropped}: {error:#}");
            }
        });
        Ok((name, guard))
    }

    /// The version, and the settings that affect durability.
    pub fn facts(&self) -> Result<Value> {
        let mut client = self.connect(None)?;
        let mut facts = json!({});
        for setting in [
            "server_version",
            "fsync",
            "synchronous_commit",
            "full_page_writes",
            "wal_sync_method",
            "shared_buffers",
            "max_connections",
        ] {
            let row = client.query_one(&format!("SHOW {setting}"), &[])?;
            facts[setting] = json!(row.get::<_, String>(0));
        }
        Ok(facts)
    }
}

/// True if files in `folder` are in memory only, so that they are not durable.
pub fn is_in_memory(folder: &Path) -> bool {
    const TMPFS: i128 = 0x0102_1994;
    rustix::fs::statfs(folder).is_ok_and(|stat| i128::from(stat.f_type) == TMPFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_the_same_server_has_its_own_url() {
        for (url, wanted) in [
            (
                "postgres://u:p@127.0.0.1:5432/postgres",
                "postgres://u:p@127.0.0.1:5432/x",
            ),
            ("postgres://u@localhost", "postgres://u@localhost/x"),
            (
                "postgresql://u@localhost/a?sslmode=disable",
                "postgresql://u@localhost/x?sslmode=disable",
            ),
        ] {
            let server = Postgres::new(url, None).expect("is on this machine");
            assert_eq!(server.url("x"), wanted);
        }
    }

    #[test]
    fn a_server_on_another_machine_is_refused() {
        for url in [
            "postgres://u@10.0.0.1/x",
            "postgres://u@db.example/x",
            "mysql://localhost/x",
        ] {
            assert!(Postgres::new(url, None).is_err(), "{url}");
        }
    }
}
