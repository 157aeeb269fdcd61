//! Checkpoints of SQLite: copying the pages of the write-ahead log into the database, on a thread of
//! their own. Done by the writer, each would hold up every write for as long as thousands of pages
//! take.
//!
//! A log begins again from its start only when all of it has been copied, which never happens while
//! the writer goes on. So the thread copies most of it, and the writer, when told, the little that
//! has come meanwhile.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use rusqlite::Connection;

use crate::Result;

/// A log of this many pages is worth a checkpoint: 16 MiB.
const WORTH_IT: i64 = 4_000;
/// From this many pages on the writer waits until the log is copied: it is faster than the thread.
const TOO_LONG: i64 = 16_000;
/// So few pages are left to the writer.
const FEW: i64 = 256;
/// How often the thread goes after what has come meanwhile.
const ROUNDS: usize = 4;

/// What the writer and the thread tell each other.
#[derive(Default)]
struct Shared {
    /// Pages in the log after the last commit.
    pages: AtomicI64,
    /// Whether the thread has been told to begin, and has not ended yet.
    running: AtomicBool,
    /// Whether the writer is to copy the rest.
    finish: AtomicBool,
    /// Held by the thread while it copies.
    copying: Mutex<()>,
}

impl Shared {
    fn turn(&self) -> MutexGuard<'_, ()> {
        self.copying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread for the database at `path`, and has `writer` tell it how long the log is. It
/// ends with `writer`.
pub(crate) fn start(writer: &mut Connection, path: &Path) -> Result<()> {
    let beside = Connection::open(path)?;
    beside.execute_batch("PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL;")?;
    let shared = Arc::new(Shared::default());
    let (begin, told) = sync_channel(1);
    let of_thread = shared.clone();
    thread::Builder::new()
        .name("prichal-checkpoint".into())
        .spawn(move || run(&beside, &of_thread, &told))
        .map_err(crate::Error::unavailable)?;
    writer.pragma_update(None, "wal_autocheckpoint", 0)?;
    writer.wal_hook(Some(
        move |wal: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            let _turn = match share_of_writer(&shared, pages.into(), &begin) {
                Share::Nothing => return Ok(()),
                Share::TheRest => None,
                Share::Everything => Some(shared.turn()),
            };
            // Busy only means that the thread is at it or a reader still looks: next time.
            let _ = wal.checkpoint();
            Ok(())
        },
    ))?;
    Ok(())
}

/// What the writer has to copy.
enum Share {
    Nothing,
    /// The little that the thread has left over.
    TheRest,
    /// All of it, after the thread if need be.
    Everything,
}

/// Notes the length of the log after a commit, and says what the writer has to copy.
fn share_of_writer(shared: &Shared, pages: i64, begin: &SyncSender<()>) -> Share {
    shared.pages.store(pages, Relaxed);
    if pages >= TOO_LONG {
        return Share::Everything;
    }
    if shared.finish.swap(false, Relaxed) {
        return Share::TheRest;
    }
    if pages >= WORTH_IT && !shared.running.swap(true, Relaxed) {
        // There is room for one word, and the thread has taken the last one.
        let _ = begin.try_send(());
    }
    Share::Nothing
}

fn run(conn: &Connection, shared: &Shared, told: &Receiver<()>) {
    while told.recv().is_ok() {
        for _ in 0..ROUNDS {
            let turn = shared.turn();
            let copied = copy(conn);
            drop(turn);
            match copied {
                Ok(copied) if shared.pages.load(Relaxed) - copied > FEW => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "could not make a checkpoint; the log grows until the next one"
                    );
                    break;
                }
            }
        }
        shared.finish.store(true, Relaxed);
        shared.running.store(false, Relaxed);
    }
}

/// Copies what is in the log now, without waiting for anybody. How many of its pages are copied.
fn copy(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_length(folder: &Path) -> u64 {
        std::fs::metadata(folder.join("test.sqlite-wal"))
            .expect("there is a log")
            .len()
    }

    #[test]
    fn a_log_that_is_written_to_all_the_time_begins_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("test.sqlite");
        let mut writer = Connection::open(&path).expect("opened");
        writer
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE t (x);",
            )
            .expect("a table");
        start(&mut writer, &path).expect("the thread starts");
        let page_bytes = 4096;
        for _ in 0..30_000 {
            writer
                .execute("INSERT INTO t VALUES (zeroblob(8192))", [])
                .expect("written");
        }
        let pages = i64::try_from(log_length(folder.path()) / page_bytes).expect("a small number");
        // Every insert writes three pages or more: without checkpoints there would be 90 000.
        assert!(pages < 2 * TOO_LONG, "{pages} pages");
        let rows = writer
            .query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))
            .expect("counted");
        assert_eq!(rows, 30_000);
    }
}
