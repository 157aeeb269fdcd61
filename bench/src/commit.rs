//! The time of one durable commit at a steady rate, which is the lower bound of every acknowledged write.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{clock::now_ns, database::Postgres, stats::float};

/// A database with one table, on the same disk or server as the measured one.
pub enum Probe {
    Sqlite(rusqlite::Connection),
    Postgres(Box<postgres::Client>),
}

const TABLE: &str = "CREATE TABLE message (id BIGINT PRIMARY KEY, body TEXT NOT NULL)";
const INSERT: &str = "INSERT INTO message (id, body) VALUES ($1, $2)";

impl Probe {
    pub fn sqlite(folder: &Path) -> Result<Self> {
        let db = rusqlite::Connection::open(folder.join("commit-probe.sqlite"))?;
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
        db.execute_batch(TABLE)?;
        Ok(Self::Sqlite(db))
    }

    /// `database` is a new database of the server.
    pub fn postgres(server: &Postgres, database: &str) -> Result<Self> {
        let mut client = server.connect(Some(database))?;
        client.batch_execute(TABLE)?;
        Ok(Self::Postgres(Box::new(client)))
    }

    /// Commits rows of `bytes` bytes at `rate` per second for `time`, with ids from `first` on. Returns the
    /// nanoseconds of each commit.
    pub fn run(&mut self, first: i64, bytes: usize, rate: f64, time: Duration) -> Result<Vec<u64>> {
        let body = "x".repeat(bytes);
        let start = Instant::now();
        let mut times_ns = Vec::new();
        for n in 0_u32.. {
            let due = Duration::from_secs_f64(float(n.into()) / rate);
            if due >= time {
                break;
            }
            thread::sleep(due.saturating_sub(start.elapsed()));
            let begun_ns = now_ns();
            self.commit(first + i64::from(n), &body)?;
            times_ns.push(now_ns() - begun_ns);
        }
        Ok(times_ns)
    }

    fn commit(&mut self, id: i64, body: &str) -> Result<()> {
        match self {
            Self::Sqlite(db) => {
                db.prepare_cached(INSERT)?.execute((id, body))?;
            }
            Self::Postgres(client) => {
                client.execute(INSERT, &[&id, &body])?;
            }
        }
        Ok(())
    }
}
