//! A connection to PostgreSQL that saves round trips.
//!
//! A statement whose outcome nobody looks at is held back and goes out together with the next one that
//! somebody waits for, in its order: the server answers all of them in one round trip. When one that was
//! held back fails, the transaction fails with it, and whoever waits is told.

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

/// How many statements are held back at the most.
const HELD: usize = 32;
/// How long the server may take to answer. One that is silent for longer is given up, with its connection: it
/// may be another host's by now.
pub(crate) const ANSWER: Duration = Duration::from_secs(20);
/// After how long without use a connection is tried before it is used.
const IDLE: Duration = Duration::from_secs(5);

type Connection = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// An open connection. It makes progress while somebody waits for an answer, on that thread.
pub(crate) struct Session {
    runtime: Runtime,
    client: Client,
    connection: Option<Connection>,
    prepared: HashMap<String, Statement>,
    held: Vec<Held>,
    /// How long an answer may take.
    patience: Duration,
    used_at: Instant,
}

/// What goes out with the next statement.
enum Held {
    Text(String),
    Statement {
        statement: Statement,
        params: Vec<Value<'static>>,
        /// Whether it has to change one row.
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
                    return Err(Error::Collided("a row was not as expected".into()));
                }
                Ok(())
            }
        }
    }
}

impl Session {
    /// Connects, with TLS where a configuration for that is given.
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
            patience: ANSWER,
            used_at: Instant::now(),
        })
    }

    /// Changes how long an answer may take.
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Finds out whether a connection that was not used for a while is still one.
    pub(crate) fn look(&mut self) {
        if self.used_at.elapsed() > IDLE && !self.is_closed() {
            // Whether it is closed says what came of it.
            let _ = self.batch("");
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed() || self.connection.is_none()
    }

    /// Runs statements without parameters.
    pub(crate) fn batch(&mut self, sql: &str) -> Result<()> {
        self.ask(async |client| Ok(client.batch_execute(sql).await?))
    }

    /// The same with the next statement that somebody waits for.
    pub(crate) fn hold_batch(&mut self, sql: &str) -> Result<()> {
        self.hold(Held::Text(sql.to_owned()))
    }

    /// Runs a statement and says how many rows it has changed.
    pub(crate) fn execute(&mut self, sql: &str, params: &[Value<'_>]) -> Result<u64> {
        let statement = self.prepare(sql)?;
        self.ask(async |client| drain(client.query_raw(&statement, params).await?).await)
    }

    /// Runs a statement with the next one that somebody waits for. One that has to change one row and does not
    /// is a failure.
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

    /// Commits. What has to have changed one row is looked at before that.
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
            self.ask(async |_| Ok(()))?;
        }
        self.batch("COMMIT")
    }

    /// Runs a query and hands each row to `take`, until that returns false.
    pub(crate) fn scan(
        &mut self,
        sql: &str,
        params: &[Value<'_>],
        mut take: impl FnMut(&Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        let statement = self.prepare(sql)?;
        self.ask(async |client| {
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
        let statement = self.ask(async |client| Ok(client.prepare(&text).await?))?;
        self.prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn hold(&mut self, held: Held) -> Result<()> {
        self.held.push(held);
        if self.held.len() < HELD {
            return Ok(());
        }
        self.ask(async |_| Ok(()))
    }

    /// Sends what is held back and `last`, in this order, and waits for all answers. The first failure
    /// is the one that counts: later ones only follow from it.
    fn ask<T>(&mut self, last: impl AsyncFnOnce(&Client) -> Result<T>) -> Result<T> {
        let held = std::mem::take(&mut self.held);
        let client = &self.client;
        let before = held.iter().map(|held| held.send(client).boxed_local());
        let work = in_order(before.collect(), last(client));
        let mut work = pin!(work);
        let connection = &mut self.connection;
        let answer = poll_fn(|context| {
            drive(connection, context);
            let done = work.as_mut().poll(context);
            // What was just handed over goes out now.
            if done.is_pending() {
                drive(connection, context);
            }
            done
        });
        let patience = self.patience;
        let answered = async move { tokio::time::timeout(patience, answer).await };
        let done = self.runtime.block_on(answered);
        self.used_at = Instant::now();
        done.unwrap_or_else(|_| {
            self.connection = None;
            Err(Error::unavailable("the database does not answer"))
        })
    }
}

/// Lets a connection send and receive.
fn drive(connection: &mut Option<Connection>, context: &mut Context<'_>) {
    let ended = connection
        .as_mut()
        .is_some_and(|open| open.as_mut().poll(context).is_ready());
    if ended {
        *connection = None;
    }
}

/// Begins one future after the other, in this order, and waits for all of them.
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

/// Reads an answer to its end, and says how many rows the statement has changed.
async fn drain(rows: RowStream) -> Result<u64> {
    let mut rows = pin!(rows);
    while rows.try_next().await?.is_some() {}
    Ok(rows.rows_affected().unwrap_or(0))
}
