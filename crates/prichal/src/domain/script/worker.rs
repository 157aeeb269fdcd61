//! One process that runs scripts.

use std::{io, os::unix::process::ExitStatusExt as _, path::Path, process::Stdio, time::Duration};

use bytes::{Buf as _, BytesMut};
use prichal_core::id::WorkspaceId;
use prichal_script::worker::{MAX_REPORT_BYTES, Report, Task, frame};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// The `nice` value of a process, so that the server goes first.
const NICENESS: i32 = 10;
/// The `nice` value of a process with a long script, so that other scripts go first, too.
const LONG_SCRIPT_NICENESS: i32 = 19;

/// The time that a process has to exit after it has closed its pipes.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);
/// The most bytes of the read buffer that are kept between reports.
const MAX_KEPT_BYTES: usize = 64 << 10;

pub(super) struct Worker {
    child: Child,
    pub(super) tasks: TaskWriter,
    pub(super) reports: ReportReader,
    /// The workspace of the first script, and of all that follow: no workspace can see traces of another in a process.
    pub(super) workspace: Option<WorkspaceId>,
    pub(super) runs: u32,
    /// True if it yields to other scripts. A process cannot undo that.
    pub(super) is_behind: bool,
}

/// The pipe to a process, with the bytes that it has not read yet.
pub(super) struct TaskWriter {
    input: ChildStdin,
    waiting: BytesMut,
}

/// The pipe from a process.
pub(super) struct ReportReader {
    output: ChildStdout,
    /// The bytes of the next frame that were read already.
    read: BytesMut,
}

impl Worker {
    /// Starts a process, which is killed when this is dropped. The one setting in its environment keeps its allocator
    /// from reserving address space, which would count against the limit of it.
    pub(super) fn start(program: &Path) -> io::Result<Self> {
        let mut child = Command::new(program)
            .arg("script-worker")
            .env_clear()
            .env("MIMALLOC_ARENA_RESERVE", "0")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or_else(|| io::Error::other("no pipes"))?;
        let (read, waiting) = (BytesMut::new(), BytesMut::new());
        let worker = Self {
            child,
            tasks: TaskWriter { input, waiting },
            reports: ReportReader { output, read },
            workspace: None,
            runs: 0,
            is_behind: false,
        };
        worker.yield_by(NICENESS);
        Ok(worker)
    }

    /// Lets other scripts go first.
    pub(super) fn step_back(&mut self) {
        self.is_behind = true;
        self.yield_by(LONG_SCRIPT_NICENESS);
    }

    pub(super) async fn end(mut self) {
        // The process may have ended by itself.
        let _ = self.child.kill().await;
    }

    /// True if a lost process has aborted itself, as it does when it runs out of memory.
    pub(super) async fn has_aborted(&mut self) -> bool {
        let ended = tokio::time::timeout(EXIT_TIMEOUT, self.child.wait()).await;
        let signal = ended.ok().and_then(|ended| ended.ok()?.signal());
        signal == Some(rustix::process::Signal::ABORT.as_raw())
    }

    fn yield_by(&self, nice: i32) {
        #[cfg(target_os = "linux")]
        {
            let id = self.child.id().and_then(|id| i32::try_from(id).ok());
            let pid = id.and_then(rustix::process::Pid::from_raw);
            // A process whose priority cannot be changed still works.
            let _ = rustix::process::setpriority_process(pid, nice);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = nice;
    }
}

impl TaskWriter {
    /// Queues a task, which [`Self::flush`] writes.
    pub(super) fn queue(&mut self, task: &Task) -> io::Result<()> {
        self.waiting.extend_from_slice(&frame(task)?);
        Ok(())
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Writes the queued bytes. Cancel safe: no byte is lost or written twice.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            if self.input.write_buf(&mut self.waiting).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.waiting = BytesMut::new();
        Ok(())
    }
}

impl ReportReader {
    /// The next report of the process. Cancel safe: no byte is lost.
    pub(super) async fn receive(&mut self) -> io::Result<Report> {
        loop {
            if let Some(length) = self.read.first_chunk().copied().map(u32::from_le_bytes) {
                let length = usize::try_from(length).map_err(io::Error::other)?;
                if length > MAX_REPORT_BYTES {
                    return Err(io::Error::other("a frame exceeds its maximum size"));
                }
                if let Some(body) = self.read.get(4..4 + length) {
                    let report = serde_json::from_slice(body)?;
                    self.read.advance(4 + length);
                    if self.read.is_empty() && length > MAX_KEPT_BYTES {
                        self.read = BytesMut::new();
                    }
                    return Ok(report);
                }
            }
            self.read.reserve(8192);
            if self.output.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
