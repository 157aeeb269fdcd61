//! One process that runs scripts.

use std::{io, os::unix::process::ExitStatusExt as _, path::Path, process::Stdio, time::Duration};

use bytes::{Buf as _, BytesMut};
use prichal_core::id::WorkspaceId;
use prichal_script::worker::{MAX_REPORT_BYTES, Report, Task, frame};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// How much a process yields to the server, as `nice` counts.
const NICE: i32 = 10;
/// How much one with a long script yields, to other scripts too.
const NICEST: i32 = 19;

/// The time that a process which has closed its pipes has until it is gone.
const DYING: Duration = Duration::from_secs(1);
/// The room for reading that is kept from one report to the next.
const KEPT: usize = 64 << 10;

pub(super) struct Worker {
    child: Child,
    pub(super) mouth: Mouth,
    pub(super) ears: Ears,
    /// The workspace whose scripts it runs, from the first of them on: of what one workspace leaves behind in
    /// a process, no other can see anything.
    pub(super) workspace: Option<WorkspaceId>,
    pub(super) runs: u32,
    /// It yields to other scripts. There is no way back from that.
    pub(super) is_behind: bool,
}

/// The way to a process, with what it has not read yet.
pub(super) struct Mouth {
    input: ChildStdin,
    waiting: BytesMut,
}

/// The way from a process.
pub(super) struct Ears {
    output: ChildStdout,
    /// What was read of the next frame.
    read: BytesMut,
}

impl Worker {
    /// Starts a process with an environment that has one setting, for its allocator: to keep no address space
    /// in store, so that the limit of it means something. It is killed when it is dropped.
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
            mouth: Mouth { input, waiting },
            ears: Ears { output, read },
            workspace: None,
            runs: 0,
            is_behind: false,
        };
        worker.yield_by(NICE);
        Ok(worker)
    }

    /// Lets other scripts go first.
    pub(super) fn step_back(&mut self) {
        self.is_behind = true;
        self.yield_by(NICEST);
    }

    pub(super) async fn end(mut self) {
        // It may have ended by itself.
        let _ = self.child.kill().await;
    }

    /// True when a process that was lost has ended itself, as it does when it gets no memory.
    pub(super) async fn has_aborted(&mut self) -> bool {
        let ended = tokio::time::timeout(DYING, self.child.wait()).await;
        let signal = ended.ok().and_then(|ended| ended.ok()?.signal());
        signal == Some(rustix::process::Signal::ABORT.as_raw())
    }

    fn yield_by(&self, nice: i32) {
        #[cfg(target_os = "linux")]
        {
            let id = self.child.id().and_then(|id| i32::try_from(id).ok());
            let pid = id.and_then(rustix::process::Pid::from_raw);
            // A process that is not slower than others still does its work.
            let _ = rustix::process::setpriority_process(pid, nice);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = nice;
    }
}

impl Mouth {
    /// Puts a task behind those that wait: see [`Self::flush`].
    pub(super) fn say(&mut self, task: &Task) -> io::Result<()> {
        self.waiting.extend_from_slice(&frame(task)?);
        Ok(())
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Writes what waits. Nothing is lost or said twice when this is dropped before its end.
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

impl Ears {
    /// The next thing the process says. Nothing is lost when this is dropped before its end.
    pub(super) async fn hear(&mut self) -> io::Result<Report> {
        loop {
            if let Some(length) = self.read.first_chunk().copied().map(u32::from_le_bytes) {
                let length = usize::try_from(length).map_err(io::Error::other)?;
                if length > MAX_REPORT_BYTES {
                    return Err(io::Error::other("a frame exceeds its maximum size"));
                }
                if let Some(body) = self.read.get(4..4 + length) {
                    let report = serde_json::from_slice(body)?;
                    self.read.advance(4 + length);
                    if self.read.is_empty() && length > KEPT {
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
