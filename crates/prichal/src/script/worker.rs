//! One process that runs scripts.

use std::{io, path::Path, process::Stdio};

use bytes::{Buf as _, BytesMut};
use prichal_script::worker::{LONGEST, Report, Task, frame};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// How much a process yields to the server, as `nice` counts.
const NICE: i32 = 10;
/// How much one with a long script yields, to other scripts too.
const NICEST: i32 = 19;

pub(super) struct Worker {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    /// What was read of the next frame.
    read: BytesMut,
    pub(super) runs: u32,
    /// Whether it yields to other scripts. There is no way back from that.
    pub(super) is_behind: bool,
}

impl Worker {
    /// Starts a process with an empty environment. It is killed when it is dropped.
    pub(super) fn start(program: &Path) -> io::Result<Self> {
        let mut child = Command::new(program)
            .arg("script-worker")
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or_else(|| io::Error::other("no pipes"))?;
        let worker = Self {
            child,
            input,
            output,
            read: BytesMut::new(),
            runs: 0,
            is_behind: false,
        };
        worker.yield_by(NICE);
        Ok(worker)
    }

    pub(super) async fn tell(&mut self, task: &Task) -> io::Result<()> {
        self.input.write_all(&frame(task)?).await
    }

    /// The next thing it says. Nothing is lost when this is dropped before its end.
    pub(super) async fn hear(&mut self) -> io::Result<Report> {
        loop {
            if let Some(length) = self.read.first_chunk().copied().map(u32::from_le_bytes) {
                let length = usize::try_from(length).map_err(io::Error::other)?;
                if length > LONGEST {
                    return Err(io::Error::other("a frame is too long"));
                }
                if let Some(body) = self.read.get(4..4 + length) {
                    let report = serde_json::from_slice(body)?;
                    self.read.advance(4 + length);
                    return Ok(report);
                }
            }
            self.read.reserve(8192);
            if self.output.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
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
