//! One connection to either engine: one SQL text for both.
//!
//! Statements are written with `$1`, `$2`, … and use only what both engines understand. Where words
//! differ, a comment names the engine and holds the words: `/*postgres FOR UPDATE*/` is a comment to
//! SQLite and `FOR UPDATE` to PostgreSQL.

use std::borrow::Cow;

use foldhash::{HashMap, HashMapExt as _};

use crate::{Result, Row, postgres::Session, value::Value};

/// The database engine of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// An open connection. Every query function takes one.
pub struct Conn {
    link: Link,
    /// Set by a failed statement. PostgreSQL has then aborted the transaction.
    failed: bool,
}

enum Link {
    Sqlite {
        db: rusqlite::Connection,
        texts: HashMap<String, String>,
    },
    Postgres(Box<Session>),
}

impl Conn {
    pub(crate) fn sqlite(db: rusqlite::Connection) -> Self {
        db.set_prepared_statement_cache_capacity(256);
        Self {
            link: Link::Sqlite {
                db,
                texts: HashMap::new(),
            },
            failed: false,
        }
    }

    pub(crate) fn postgres(session: Session) -> Self {
        Self {
            link: Link::Postgres(Box::new(session)),
            failed: false,
        }
    }

    pub fn engine(&self) -> Engine {
        match self.link {
            Link::Sqlite { .. } => Engine::Sqlite,
            Link::Postgres(_) => Engine::Postgres,
        }
    }

    /// Tells if the connection can be used. A PostgreSQL connection that was idle is probed first.
    pub(crate) fn is_ready(&mut self) -> bool {
        if let Link::Postgres(session) = &mut self.link {
            session.probe();
        }
        !self.is_closed()
    }

    /// Sets the time the engine may take to answer a statement.
    pub(crate) fn set_timeout(&mut self, timeout: std::time::Duration) {
        if let Link::Postgres(session) = &mut self.link {
            session.set_timeout(timeout);
        }
    }

    /// Tells if the connection is lost for good. A SQLite connection never is.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(&self.link, Link::Postgres(session) if session.is_closed())
    }

    /// Tells if a statement has failed since the last [`Self::take_failed`].
    pub(crate) fn failed(&self) -> bool {
        self.failed
    }

    /// Tells if a statement has failed since the last call of this function.
    pub(crate) fn take_failed(&mut self) -> bool {
        std::mem::take(&mut self.failed)
    }

    /// Runs a statement and returns the number of rows it changed.
    pub(crate) fn execute(&mut self, sql: &str, params: &[Value<'_>]) -> Result<u64> {
        let done = match &mut self.link {
            Link::Sqlite { db, texts } => (|| {
                let mut statement = db.prepare_cached(sqlite_text(texts, sql))?;
                bind(&mut statement, params)?;
                // A statement with RETURNING yields rows. Only stepping through all of them completes it.
                let mut rows = statement.raw_query();
                while rows.next()?.is_some() {}
                drop(rows);
                drop(statement);
                Ok(db.changes())
            })(),
            Link::Postgres(session) => session.execute(sql, params),
        };
        self.failed |= done.is_err();
        done
    }

    /// Runs a query and passes each row to `take` until `take` returns false. Its code is not generic, so that it is
    /// compiled once instead of once per query.
    pub(crate) fn scan(
        &mut self,
        sql: &str,
        params: &[Value<'_>],
        take: &mut dyn FnMut(&Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        let done = match &mut self.link {
            Link::Sqlite { db, texts } => (|| {
                let mut statement = db.prepare_cached(sqlite_text(texts, sql))?;
                bind(&mut statement, params)?;
                let mut rows = statement.raw_query();
                while let Some(row) = rows.next()? {
                    if !take(&Row::Sqlite(row))? {
                        break;
                    }
                }
                Ok(())
            })(),
            Link::Postgres(session) => session.scan(sql, params, take),
        };
        self.failed |= done.is_err();
        done
    }

    /// Runs a query and converts each row with `read`. The statement itself must limit the number of rows.
    pub(crate) fn query<T>(
        &mut self,
        sql: &str,
        params: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        self.scan(sql, params, &mut |row| {
            found.push(read(row)?);
            Ok(true)
        })?;
        Ok(found)
    }

    /// Runs a query and converts rows until their size exceeds `bytes`. Returns at least one row if there is any.
    pub(crate) fn query_within<T>(
        &mut self,
        sql: &str,
        params: &[Value<'_>],
        bytes: usize,
        size: impl Fn(&T) -> usize,
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let (mut found, mut held) = (Vec::new(), 0);
        self.scan(sql, params, &mut |row| {
            let one = read(row)?;
            held += size(&one);
            found.push(one);
            Ok(held < bytes)
        })?;
        Ok(found)
    }

    /// Runs a query and converts its first row, if there is one.
    pub(crate) fn query_one<T>(
        &mut self,
        sql: &str,
        params: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.query(sql, params, read)?.into_iter().next())
    }

    /// Runs statements without parameters and without caching them, for transactions and migrations.
    pub(crate) fn batch(&mut self, sql: &str) -> Result<()> {
        let done = match &mut self.link {
            Link::Sqlite { db, .. } => db
                .execute_batch(&dialect(Engine::Sqlite, sql))
                .map_err(Into::into),
            Link::Postgres(session) => session.batch(&dialect(Engine::Postgres, sql)),
        };
        self.failed |= done.is_err();
        done
    }

    /// Opens a transaction. On PostgreSQL, BEGIN is sent with the first statement.
    pub(crate) fn begin(&mut self) -> Result<()> {
        match &mut self.link {
            Link::Sqlite { .. } => self.batch("BEGIN IMMEDIATE"),
            Link::Postgres(session) => {
                let done = session.hold_batch("BEGIN");
                self.failed |= done.is_err();
                done
            }
        }
    }

    /// Reads from one snapshot of the store, for what is put together from several statements: each alone would see what
    /// others have committed meanwhile. It is for reads outside of transactions.
    pub fn snapshot<T, E: From<crate::Error>>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        match &mut self.link {
            Link::Sqlite { .. } => self.batch("BEGIN")?,
            Link::Postgres(session) => {
                session.hold_batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
            }
        }
        let snapshot = Snapshot(self);
        read(snapshot.0)
    }

    /// Opens a savepoint. On PostgreSQL it is sent with the next statement.
    pub(crate) fn save(&mut self) -> Result<()> {
        match &mut self.link {
            Link::Sqlite { .. } => self.execute("SAVEPOINT write", &[]).map(drop),
            Link::Postgres(session) => {
                let done = session.hold_batch("SAVEPOINT write");
                self.failed |= done.is_err();
                done
            }
        }
    }

    /// Keeps what was done since the savepoint. Fails if one of the statements since then has failed.
    pub(crate) fn release(&mut self) -> Result<()> {
        match &mut self.link {
            Link::Sqlite { .. } => self.execute("RELEASE write", &[]).map(drop),
            Link::Postgres(session) => {
                let done = session.release();
                self.failed |= done.is_err();
                done
            }
        }
    }

    /// Undoes what was done since the savepoint.
    pub(crate) fn roll_back_to_savepoint(&mut self) -> Result<()> {
        if let Link::Postgres(session) = &mut self.link {
            // A statement that is still held may fail, and is undone, too.
            let _ = session.batch("");
        }
        self.batch("ROLLBACK TO write; RELEASE write")
    }

    /// Runs a statement without returning its row count. On PostgreSQL it is sent with the next statement, and its
    /// failure is reported by that one.
    pub(crate) fn run(&mut self, sql: &str, params: &[Value<'_>]) -> Result<()> {
        match self.engine() {
            Engine::Sqlite => self.execute(sql, params).map(drop),
            Engine::Postgres => {
                let params = params.iter().cloned().map(Value::into_owned);
                self.run_owned(sql, params.collect())
            }
        }
    }

    /// Runs a statement like [`Self::run`], without copying the values.
    pub(crate) fn run_owned(&mut self, sql: &str, params: Vec<Value<'static>>) -> Result<()> {
        let done = match &mut self.link {
            Link::Sqlite { .. } => return self.execute(sql, &params).map(drop),
            Link::Postgres(session) => session.hold_execute(sql, params, false),
        };
        self.failed |= done.is_err();
        done
    }

    /// Runs a statement that is expected to change one row. Returns false if it did not. On PostgreSQL it always
    /// returns true, and a statement that changed no row fails the transaction with [`Error::Collided`] before the
    /// commit.
    pub(crate) fn run_for_one(&mut self, sql: &str, params: &[Value<'_>]) -> Result<bool> {
        let done = match &mut self.link {
            Link::Sqlite { .. } => return Ok(self.execute(sql, params)? == 1),
            Link::Postgres(session) => {
                let params = params.iter().cloned().map(Value::into_owned);
                session.hold_execute(sql, params.collect(), true)
            }
        };
        self.failed |= done.is_err();
        done.map(|()| true)
    }

    pub(crate) fn commit(&mut self) -> Result<()> {
        let done = match &mut self.link {
            Link::Sqlite { .. } => return self.batch("COMMIT"),
            Link::Postgres(session) => session.commit(),
        };
        self.failed |= done.is_err();
        done
    }
}

/// A transaction that reads. It ends with this value, also if the read panics.
struct Snapshot<'a>(&'a mut Conn);

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // A lost connection has no transaction any more.
        let _ = self.0.batch("COMMIT");
    }
}

fn bind(
    statement: &mut rusqlite::CachedStatement<'_>,
    params: &[Value<'_>],
) -> rusqlite::Result<()> {
    for (index, value) in params.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, value)?;
    }
    Ok(())
}

fn sqlite_text<'a>(texts: &'a mut HashMap<String, String>, sql: &str) -> &'a str {
    if !texts.contains_key(sql) {
        // SQLite treats `$1` as a *named* parameter and numbers it by first appearance. `?1` is the first parameter.
        let text = dialect(Engine::Sqlite, sql).replace('$', "?");
        texts.insert(sql.to_owned(), text);
    }
    &texts[sql]
}

/// Uncomments the words for this engine.
pub(crate) fn dialect(engine: Engine, sql: &str) -> Cow<'_, str> {
    let mark = match engine {
        Engine::Sqlite => "/*sqlite ",
        Engine::Postgres => "/*postgres ",
    };
    if !sql.contains(mark) {
        return Cow::Borrowed(sql);
    }
    let mut text = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once(mark) {
        let (words, tail) = after.split_once("*/").unwrap_or((after, ""));
        text.push_str(before);
        text.push_str(words);
        rest = tail;
    }
    text.push_str(rest);
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_holds_the_words_of_one_engine() {
        let sql = "SELECT 1 /*postgres FOR UPDATE*/ /*sqlite LIMIT 1*/;";
        assert_eq!(
            dialect(Engine::Postgres, sql),
            "SELECT 1 FOR UPDATE /*sqlite LIMIT 1*/;"
        );
        assert_eq!(
            dialect(Engine::Sqlite, sql),
            "SELECT 1 /*postgres FOR UPDATE*/ LIMIT 1;"
        );
        assert_eq!(dialect(Engine::Sqlite, "SELECT 2"), "SELECT 2");
    }
}
