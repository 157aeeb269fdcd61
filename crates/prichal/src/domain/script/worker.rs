//! A worker process, which runs scripts.

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
/// The maximum number of bytes of the read buffer that are kept between reports.
const MAX_KEPT_BYTES: usize = 64 << 10;

pub(super) struct Worker {
    child: Child,
    pub(super) tasks: TaskWriter,
    pub(super) reports: ReportReader,
    /// The workspace of the first script. The process runs only scripts of this workspace, so that no script finds data
    /// of another workspace in its memory.
    pub(super) workspace: Option<WorkspaceId>,
    pub(super) runs: u32,
    /// True if the process yields to other scripts. It cannot get its priority back.
    pub(super) has_low_priority: bool,
}

/// The pipe to a process, with the bytes that are not written yet.
pub(super) struct TaskWriter {
    input: ChildStdin,
    unwritten: BytesMut,
}

/// The pipe from a process.
pub(super) struct ReportReader {
    output: ChildStdout,
    /// The bytes of the next frame that were read already.
    read: BytesMut,
}

impl Worker {
    /// Starts a process. It is killed when the worker is dropped. The variable in its environment keeps the allocator
    /// from reserving address space, which would count against the limit of address space.
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
        let (read, unwritten) = (BytesMut::new(), BytesMut::new());
        let worker = Self {
            child,
            tasks: TaskWriter { input, unwritten },
            reports: ReportReader { output, read },
            workspace: None,
            runs: 0,
            has_low_priority: false,
        };
        worker.set_niceness(NICENESS);
        Ok(worker)
    }

    /// Lowers the priority of the process, so that other scripts go first.
    pub(super) fn lower_priority(&mut self) {
        self.has_low_priority = true;
        self.set_niceness(LONG_SCRIPT_NICENESS);
    }

    pub(super) async fn end(mut self) {
        // The process may have ended by itself.
        let _ = self.child.kill().await;
    }

    /// True if a lost process has aborted, as it does when it runs out of memory.
    pub(super) async fn has_aborted(&mut self) -> bool {
        let ended = tokio::time::timeout(EXIT_TIMEOUT, self.child.wait()).await;
        let signal = ended.ok().and_then(|ended| ended.ok()?.signal());
        signal == Some(rustix::process::Signal::ABORT.as_raw())
    }

    fn set_niceness(&self, nice: i32) {
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
    /// Queues a task. [`Self::flush`] writes it.
    pub(super) fn queue(&mut self, task: &Task) -> io::Result<()> {
        self.unwritten.extend_from_slice(&frame(task)?);
        Ok(())
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.unwritten.is_empty()
    }

    /// Writes the queued bytes. Cancel safe: no byte is lost or written twice.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        while !self.unwritten.is_empty() {
            if self.input.write_buf(&mut self.unwritten).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.unwritten = BytesMut::new();
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
