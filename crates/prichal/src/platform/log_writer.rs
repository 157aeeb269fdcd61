//! The writer of the logs: lines go into a buffer, and a thread writes them to standard error.
//!
//! A request therefore waits for no system call, and a reader of the logs that has stopped reading does not stop the
//! server. Lines beyond the buffer are dropped and counted. Warnings and errors are written at once, with the lines
//! before them, so that they outlive a crash.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// The most bytes that wait to be written.
const MAX_WAITING_BYTES: usize = 4 << 20;
/// The time in which the lines for one write are collected.
const COLLECT_TIME: Duration = Duration::from_millis(5);
/// The longest wait for the last lines to be written.
const MAX_END_WAIT: Duration = Duration::from_secs(1);

/// The writer for the lines of all threads.
#[derive(Clone)]
pub struct LogWriter(Arc<Shared>);

struct Shared {
    /// Locked before [`Self::waiting`] is emptied, so that lines stay in order.
    out: Mutex<Box<dyn Write + Send>>,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    dropped: u64,
    is_over: bool,
    /// True once the last lines are written.
    is_done: bool,
}

/// The guard that waits for the last lines to be written when it is dropped.
pub struct LogGuard(LogWriter);

impl LogWriter {
    /// Starts the thread that writes to `out`.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<(Self, LogGuard)> {
        let writer = Self(Arc::new(Shared {
            out: Mutex::new(Box::new(out)),
            waiting: Mutex::default(),
            changed: Condvar::new(),
        }));
        let own = writer.clone();
        let run = move || {
            while own.0.wait() {
                own.0.write(&[]);
            }
            own.0.lock().is_done = true;
            own.0.changed.notify_all();
        };
        thread::Builder::new()
            .name("prichal-logs".into())
            .spawn(run)?;
        Ok((writer.clone(), LogGuard(writer)))
    }

    /// The lines that were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.0.lock().dropped
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines. False after the last ones.
    fn wait(&self) -> bool {
        let is_idle = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.is_over;
        let waited = self.changed.wait_while(self.lock(), is_idle);
        let waiting = waited.unwrap_or_else(PoisonError::into_inner);
        let is_open = |waiting: &mut Waiting| !waiting.is_over;
        let collected = self
            .changed
            .wait_timeout_while(waiting, COLLECT_TIME, is_open);
        let (waiting, _) = collected.unwrap_or_else(PoisonError::into_inner);
        !(waiting.is_over && waiting.lines.is_empty())
    }

    /// Writes the waiting lines and one more.
    fn write(&self, line: &[u8]) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = std::mem::take(&mut self.lock().lines);
        lines.extend_from_slice(line);
        // A closed standard error leaves nobody to tell.
        let _ = out.write_all(&lines).and_then(|()| out.flush());
    }
}

/// The place of one line.
pub struct Line<'a> {
    shared: &'a Shared,
    is_urgent: bool,
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            shared: &self.0,
            is_urgent: false,
        }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Line<'a> {
        Line {
            shared: &self.0,
            is_urgent: *about.level() <= Level::WARN,
        }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.is_urgent {
            self.shared.write(line);
            return Ok(line.len());
        }
        let mut waiting = self.shared.lock();
        if waiting.lines.len() + line.len() > MAX_WAITING_BYTES {
            waiting.dropped += 1;
            return Ok(line.len());
        }
        let was_empty = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        drop(waiting);
        if was_empty {
            self.shared.changed.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let LogGuard(LogWriter(shared)) = self;
        let mut waiting = shared.lock();
        waiting.is_over = true;
        shared.changed.notify_all();
        let is_open = |waiting: &mut Waiting| !waiting.is_done;
        let _done = shared
            .changed
            .wait_timeout_while(waiting, MAX_END_WAIT, is_open);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A reader that reads only when the test says so.
    struct Slow {
        go_on: Receiver<()>,
        read: Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.go_on.recv();
            let _ = self.read.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_does_not_read_stops_nobody() {
        let (go_on, allowed) = channel();
        let (read, seen) = channel();
        let slow = Slow {
            go_on: allowed,
            read,
        };
        let (writer, guard) = LogWriter::start(slow).expect("a thread");
        let line = vec![b'x'; 1 << 16];
        for _ in 0..200 {
            writer.make_writer().write_all(&line).expect("it is taken");
        }
        let dropped = writer.dropped();
        assert!((72..=136).contains(&dropped), "{dropped} lines");
        drop(go_on);
        drop(guard);
        let all: usize = seen.try_iter().map(|bytes| bytes.len()).sum();
        let kept = usize::try_from(200 - dropped).expect("a count");
        assert_eq!(all, kept * line.len());
    }

    #[test]
    fn the_guard_writes_the_last_lines() {
        let (go_on, allowed) = channel();
        let (read, seen) = channel();
        drop(go_on);
        let slow = Slow {
            go_on: allowed,
            read,
        };
        let (writer, guard) = LogWriter::start(slow).expect("a thread");
        writer
            .make_writer()
            .write_all(b"one\n")
            .expect("it is taken");
        writer
            .make_writer()
            .write_all(b"two\n")
            .expect("it is taken");
        drop(guard);
        assert_eq!(seen.try_iter().flatten().collect::<Vec<_>>(), b"one\ntwo\n");
    }
}
