//! Checkpoints of SQLite: copying the pages of the write-ahead log into the database, on a thread of their own. A
//! checkpoint on the writer's thread would delay every write for as long as it takes to copy thousands of pages.
//!
//! SQLite restarts a log from its beginning only after all of it was copied, which never happens while the writer
//! goes on. The thread therefore copies most of the log, and then asks the writer to copy the few pages written
//! meanwhile.

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

/// The length of the log, in pages, at which the thread starts a checkpoint: 16 MiB.
const CHECKPOINT_PAGES: i64 = 4_000;
/// The length of the log, in pages, at which the writer waits until the log is copied, because it writes faster than
/// the thread copies.
const MAX_LOG_PAGES: i64 = 16_000;
/// The largest number of pages that the thread leaves to the writer.
const MAX_LEFT_PAGES: i64 = 256;
/// The largest number of times the thread goes after pages written meanwhile.
const MAX_ROUNDS: usize = 4;

/// State shared by the writer and the thread.
#[derive(Default)]
struct Shared {
    /// The number of pages in the log after the last commit.
    pages: AtomicI64,
    /// True from the moment the thread is started to start until it has finished.
    running: AtomicBool,
    /// Set by the thread when the writer is to copy the remaining pages.
    finish: AtomicBool,
    /// Locked by the thread while it copies.
    copying: Mutex<()>,
}

impl Shared {
    fn lock_copying(&self) -> MutexGuard<'_, ()> {
        self.copying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the checkpoint thread for the database at `path`, and makes `writer` report the length of the log to it.
/// The thread ends with `writer`.
pub(crate) fn start(writer: &mut Connection, path: &Path) -> Result<()> {
    let beside = Connection::open(path)?;
    beside.execute_batch("PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL;")?;
    let shared = Arc::new(Shared::default());
    let (begin, started) = sync_channel(1);
    let of_thread = shared.clone();
    thread::Builder::new()
        .name("prichal-checkpoint".into())
        .spawn(move || run(&beside, &of_thread, &started))
        .map_err(crate::Error::unavailable)?;
    writer.pragma_update(None, "wal_autocheckpoint", 0)?;
    writer.wal_hook(Some(
        move |wal: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            let _copying = match writer_share(&shared, pages.into(), &begin) {
                Share::Nothing => return Ok(()),
                Share::TheRest => None,
                Share::Everything => Some(shared.lock_copying()),
            };
            // "Busy" means that the thread is copying or a reader still uses the log. The next commit tries again.
            let _ = wal.checkpoint();
            Ok(())
        },
    ))?;
    Ok(())
}

/// The part of the log that the writer has to copy.
enum Share {
    Nothing,
    /// The few pages that the thread has left over.
    TheRest,
    /// All pages, after waiting for the thread.
    Everything,
}

/// Stores the length of the log after a commit, and returns the part that the writer has to copy.
fn writer_share(shared: &Shared, pages: i64, begin: &SyncSender<()>) -> Share {
    shared.pages.store(pages, Relaxed);
    if pages >= MAX_LOG_PAGES {
        return Share::Everything;
    }
    if shared.finish.swap(false, Relaxed) {
        return Share::TheRest;
    }
    if pages >= CHECKPOINT_PAGES && !shared.running.swap(true, Relaxed) {
        // The channel holds one message, and the thread has received the previous one.
        let _ = begin.try_send(());
    }
    Share::Nothing
}

fn run(conn: &Connection, shared: &Shared, started: &Receiver<()>) {
    while started.recv().is_ok() {
        for _ in 0..MAX_ROUNDS {
            let copying = shared.lock_copying();
            let copied = copy(conn);
            drop(copying);
            match copied {
                Ok(copied) if shared.pages.load(Relaxed) - copied > MAX_LEFT_PAGES => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "could not checkpoint the SQLite log, which grows until the next checkpoint"
                    );
                    break;
                }
            }
        }
        shared.finish.store(true, Relaxed);
        shared.running.store(false, Relaxed);
    }
}

/// Copies the log as it is now without waiting for readers or the writer. Returns the number of pages copied.
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
    fn a_log_under_constant_writes_is_restarted() {
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
        // Every insert writes three pages or more. Without checkpoints there would be 90 000.
        assert!(pages < 2 * MAX_LOG_PAGES, "{pages} pages");
        let rows = writer
            .query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))
            .expect("counted");
        assert_eq!(rows, 30_000);
    }
}
