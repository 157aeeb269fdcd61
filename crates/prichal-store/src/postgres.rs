//! A connection to PostgreSQL that saves round trips.
//!
//! A statement without a result is held back and sent, in order, together with the next statement whose result is
//! needed. The server answers all of them in one round trip. If a held statement fails, the transaction fails with
//! it, and the caller of the statement that was waited for gets the error.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt as _, TryStreamExt as _,
    future::{LocalBoxFuture, maybe_done},
};
use rustls::ClientConfig;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Config, NoTls, RowStream, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{Error, Result, Row, conn::dialect, value::Value};

/// The largest number of statements held back.
const MAX_HELD: usize = 32;
/// The time the server may take to answer. After it the connection is closed, because its address may have moved to
/// another host.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// The idle time after which a connection is probed before it is used.
const PROBE_AFTER: Duration = Duration::from_secs(5);
/// The idle time after which a connection is used only if its end has not arrived yet. That costs no round trip.
const CHECK_AFTER: Duration = Duration::from_millis(50);

type Connection = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// An open connection. Its I/O runs on the calling thread while a caller waits for an answer.
pub(crate) struct Session {
    runtime: Runtime,
    client: Client,
    connection: Option<Connection>,
    prepared: HashMap<String, Statement>,
    held: Vec<Held>,
    /// The time an answer may take.
    timeout: Duration,
    used_at: Instant,
}

/// A statement that is sent with the next one.
enum Held {
    Text(String),
    Statement {
        statement: Statement,
        params: Vec<Value<'static>>,
        /// True if the statement must change exactly one row.
        changes_one: bool,
    },
}

impl Held {
    async fn send(&self, client: &Client) -> Result<()> {
        match self {
            Self::Text(text) => Ok(client.batch_execute(text).await?),
            Self::Statement {
                statement,
                params,
                changes_one,
            } => {
                let changed = drain(client.query_raw(statement, params).await?).await?;
                if *changes_one && changed != 1 {
                    return Err(Error::Collided(
                        "a statement did not change exactly one row".into(),
                    ));
                }
                Ok(())
            }
        }
    }
}

impl Session {
    /// Connects, with TLS if a configuration is given.
    pub(crate) fn open(config: &Config, tls: Option<&ClientConfig>) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::unavailable)?;
        let (client, connection): (_, Connection) = match tls {
            None => {
                let (client, connection) = runtime.block_on(config.connect(NoTls))?;
                (client, Box::pin(connection))
            }
            Some(tls) => {
                let tls = MakeRustlsConnect::new(tls.clone());
                let (client, connection) = runtime.block_on(config.connect(tls))?;
                (client, Box::pin(connection))
            }
        };
        Ok(Self {
            runtime,
            client,
            connection: Some(connection),
            prepared: HashMap::new(),
            held: Vec::new(),
            timeout: ANSWER_TIMEOUT,
            used_at: Instant::now(),
        })
    }

    /// Sets the time an answer may take.
    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Finds out after an idle time if the connection still works. The outcome is read from [`Self::is_closed`].
    ///
    /// Without this, each connection that the server has ended meanwhile would fail the next read or write.
    pub(crate) fn probe(&mut self) {
        let idle = self.used_at.elapsed();
        if idle <= CHECK_AFTER || self.is_closed() {
            return;
        }
        if idle > PROBE_AFTER {
            let _ = self.batch("");
        } else {
            self.receive();
        }
    }

    /// Receives what has arrived, without waiting.
    fn receive(&mut self) {
        let connection = &mut self.connection;
        self.runtime.block_on(async {
            // The runtime looks at its sockets before it resumes.
            tokio::task::yield_now().await;
            poll_fn(|context| {
                drive(connection, context);
                Poll::Ready(())
            })
            .await;
        });
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed() || self.connection.is_none()
    }

    /// Runs statements without parameters.
    pub(crate) fn batch(&mut self, sql: &str) -> Result<()> {
        self.round_trip(async |client| Ok(client.batch_execute(sql).await?))
    }

    /// Holds statements without parameters until the next round trip.
    pub(crate) fn hold_batch(&mut self, sql: &str) -> Result<()> {
        self.hold(Held::Text(sql.to_owned()))
    }

    /// Runs a statement and returns the number of rows it changed.
    pub(crate) fn execute(&mut self, sql: &str, params: &[Value<'_>]) -> Result<u64> {
        let statement = self.prepare(sql)?;
        self.round_trip(async |client| drain(client.query_raw(&statement, params).await?).await)
    }

    /// Holds a statement until the next round trip. With `changes_one`, it fails unless it changes exactly one row.
    pub(crate) fn hold_execute(
        &mut self,
        sql: &str,
        params: Vec<Value<'static>>,
        changes_one: bool,
    ) -> Result<()> {
        let statement = self.prepare(sql)?;
        self.hold(Held::Statement {
            statement,
            params,
            changes_one,
        })
    }

    /// Releases the savepoint `write`. Statements that are still held are sent now, so that a failure is that of the
    /// write they belong to. A write that is waited for already costs no further round trip.
    pub(crate) fn release(&mut self) -> Result<()> {
        if self.held.is_empty() {
            return self.hold_batch("RELEASE write");
        }
        self.batch("RELEASE write")
    }

    /// Commits. Statements that must change exactly one row are sent and checked before the COMMIT.
    pub(crate) fn commit(&mut self) -> Result<()> {
        let is_doubtful = |held: &Held| {
            matches!(
                held,
                Held::Statement {
                    changes_one: true,
                    ..
                }
            )
        };
        if self.held.iter().any(is_doubtful) {
            self.round_trip(async |_| Ok(()))?;
        }
        self.batch("COMMIT")
    }

    /// Runs a query and passes each row to `take` until `take` returns false.
    pub(crate) fn scan(
        &mut self,
        sql: &str,
        params: &[Value<'_>],
        take: &mut dyn FnMut(&Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        let statement = self.prepare(sql)?;
        self.round_trip(async |client| {
            let mut rows = pin!(client.query_raw(&statement, params).await?);
            while let Some(row) = rows.try_next().await? {
                match take(&Row::Postgres(&row)) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    }

    fn prepare(&mut self, sql: &str) -> Result<Statement> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let text = dialect(crate::Engine::Postgres, sql).into_owned();
        let statement = self.round_trip(async |client| Ok(client.prepare(&text).await?))?;
        self.prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn hold(&mut self, held: Held) -> Result<()> {
        self.held.push(held);
        if self.held.len() < MAX_HELD {
            return Ok(());
        }
        self.round_trip(async |_| Ok(()))
    }

    /// Sends the held statements and then `last`, and waits for all answers. Returns the first failure, because the
    /// later ones only follow from it.
    fn round_trip<T>(&mut self, last: impl AsyncFnOnce(&Client) -> Result<T>) -> Result<T> {
        let held = std::mem::take(&mut self.held);
        let client = &self.client;
        let before = held.iter().map(|held| held.send(client).boxed_local());
        let work = in_order(before.collect(), last(client));
        let mut work = pin!(work);
        let connection = &mut self.connection;
        let answer = poll_fn(|context| {
            drive(connection, context);
            let done = work.as_mut().poll(context);
            // Sends the requests that this poll has queued.
            if done.is_pending() {
                drive(connection, context);
            }
            done
        });
        let timeout = self.timeout;
        let answered = async move { tokio::time::timeout(timeout, answer).await };
        let done = self.runtime.block_on(answered);
        self.used_at = Instant::now();
        done.unwrap_or_else(|_| {
            self.connection = None;
            Err(Error::unavailable("the database did not answer in time"))
        })
    }
}

/// Polls the connection, so that it sends and receives.
fn drive(connection: &mut Option<Connection>, context: &mut Context<'_>) {
    let ended = connection
        .as_mut()
        .is_some_and(|open| open.as_mut().poll(context).is_ready());
    if ended {
        *connection = None;
    }
}

/// Starts the futures in this order and waits for all of them.
async fn in_order<T>(
    before: Vec<LocalBoxFuture<'_, Result<()>>>,
    last: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut before: Vec<_> = before.into_iter().map(maybe_done).collect();
    let mut last = pin!(maybe_done(last));
    poll_fn(|context| {
        let mut ready = true;
        for one in &mut before {
            ready &= Pin::new(one).poll(context).is_ready();
        }
        ready &= last.as_mut().poll(context).is_ready();
        if ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    let outcomes = before.iter_mut().map(|one| Pin::new(one).take_output());
    outcomes.flatten().collect::<Result<()>>()?;
    last.as_mut().take_output().expect("it was waited for")
}

/// Reads an answer to its end and returns the number of rows that the statement changed.
async fn drain(rows: RowStream) -> Result<u64> {
    let mut rows = pin!(rows);
    while rows.try_next().await?.is_some() {}
    Ok(rows.rows_affected().unwrap_or(0))
}
