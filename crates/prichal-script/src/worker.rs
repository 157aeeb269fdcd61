//! A worker: a process that runs scripts for the server, one at a time, over its standard input and output.
//!
//! It inherits nothing from the server (no environment, no open files, no memory) and sandboxes itself. It exits when
//! its input ends, even in the middle of a run, so that it never outlives the server.
//!
//! A frame is its length in four bytes, little-endian, followed by that many bytes of JSON: a [`Task`] in one
//! direction, a [`Report`] in the other.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    io, process,
    rc::Rc,
};

use rustix::{
    buffer::spare_capacity,
    event::{PollFd, PollFlags, Timespec, poll},
    stdio,
};
use serde::{Deserialize, Serialize};

use crate::{Failure, Host, Limits, Outcome, Presets, Program, SyntaxError, compile, run, sandbox};

/// A message from the server to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum Task {
    /// Check the syntax of a script.
    Check(String),
    /// Run the script with this key.
    Run { key: String, presets: Presets },
    /// The source of the script, after [`Report::NeedSource`].
    Source(String),
    /// The answer to [`Report::Ask`].
    Answer(Result<String, String>),
    /// A started operation has ended.
    Ended(u32, Result<String, String>),
    /// Stop the run.
    Stop,
}

/// A message from a worker to the server.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// The worker is ready. It reports restrictions of the sandbox that could not be applied.
    Ready {
        missing: Vec<String>,
    },
    /// The worker does not know this script.
    NeedSource,
    Ask {
        name: String,
        argument: String,
    },
    Begin {
        id: u32,
        name: String,
        argument: String,
    },
    Done(Box<Outcome>),
    Checked(Result<(), SyntaxError>),
}

/// The largest frame in bytes. The longest one contains a body, escaped.
pub const MAX_FRAME_BYTES: usize = 32 << 20;
/// The largest [`Report`] in bytes. The longest one contains an argument of a call to the host, escaped.
pub const MAX_REPORT_BYTES: usize = 12 << 20;
/// The size of results that wait for a script, in bytes. The server keeps further results until the script takes
/// some.
const MAX_HELD_BYTES: usize = 8 << 20;
/// The memory for compiled scripts, in bytes.
const MAX_PROGRAM_BYTES: usize = 32 << 20;

/// Encodes a message as a frame.
pub fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - 4).map_err(io::Error::other)?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// Runs scripts until the input ends.
pub fn serve() -> io::Result<()> {
    let missing = sandbox::enter();
    say(&Report::Ready { missing })?;
    let pipe = Rc::new(RefCell::new(Pipe::default()));
    let mut programs = Programs::default();
    loop {
        let task = pipe.borrow_mut().next()?;
        let (key, presets) = match task {
            Task::Run { key, presets } => (key, presets),
            Task::Check(source) => {
                say(&Report::Checked(compile(&source).map(drop)))?;
                continue;
            }
            // Other tasks belong to a run that has ended.
            _ => continue,
        };
        pipe.borrow_mut().begin();
        let outcome = match programs.find(&key, &pipe)? {
            Ok(program) => {
                let seen = pipe.clone();
                let is_over = move || match seen.try_borrow_mut() {
                    Ok(mut pipe) => pipe.is_stopped(),
                    Err(_) => false,
                };
                let host = Remote(pipe.clone());
                run(&program, &presets, Limits::default(), is_over, host)
            }
            Err(error) => Outcome {
                failure: Some(Failure::new(format!("SyntaxError: {error}"))),
                ..Outcome::default()
            },
        };
        say(&Report::Done(Box::new(outcome)))?;
    }
}

/// Sets up the sandbox and prints one line for each restriction that could not be applied and for each forbidden act
/// that worked. For tests. `file` is an existing file.
pub fn probe(file: &str) -> io::Result<()> {
    let missing = sandbox::enter();
    let worked = sandbox::probe(file)
        .into_iter()
        .filter(|(_, worked)| *worked);
    let worked: Vec<_> = worked.map(|(what, _)| what).collect();
    let told = serde_json::json!({ "missing": missing, "worked": worked });
    write(told.to_string().as_bytes())
}

fn say(report: &Report) -> io::Result<()> {
    write(&frame(report)?)
}

fn write(mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(stdio::stdout(), rest))?;
        rest = &rest[written..];
    }
    Ok(())
}

/// The cache of compiled scripts.
#[derive(Default)]
struct Programs {
    known: HashMap<String, Program>,
    size: usize,
}

impl Programs {
    fn find(
        &mut self,
        key: &str,
        pipe: &RefCell<Pipe>,
    ) -> io::Result<Result<Program, SyntaxError>> {
        if let Some(program) = self.known.get(key) {
            return Ok(Ok(program.clone()));
        }
        say(&Report::NeedSource)?;
        let source = loop {
            if let Task::Source(source) = pipe.borrow_mut().next()? {
                break source;
            }
        };
        let program = match compile(&source) {
            Ok(program) => program,
            Err(error) => return Ok(Err(error)),
        };
        if self.size + program.size() > MAX_PROGRAM_BYTES {
            self.known.clear();
            self.size = 0;
        }
        self.size += program.size();
        self.known.insert(key.to_owned(), program.clone());
        Ok(Ok(program))
    }
}

/// The incoming tasks.
#[derive(Default)]
struct Pipe {
    /// Bytes that were read, with the first incomplete frame at `at`.
    read: Vec<u8>,
    at: usize,
    /// Results that the script has not taken, and their size in bytes.
    ended: VecDeque<(u32, Result<String, String>)>,
    held: usize,
    stopped: bool,
}

impl Pipe {
    fn begin(&mut self) {
        self.ended.clear();
        self.held = 0;
        self.stopped = false;
    }

    fn hold(&mut self, id: u32, answer: Result<String, String>) {
        self.held += length(&answer);
        self.ended.push_back((id, answer));
    }

    fn take(&mut self) -> Option<(u32, Result<String, String>)> {
        let (id, answer) = self.ended.pop_front()?;
        self.held -= length(&answer);
        Some((id, answer))
    }

    /// Waits for the next task. The process exits when its input ends.
    fn next(&mut self) -> io::Result<Task> {
        loop {
            if let Some(task) = self.frame()? {
                return Ok(task);
            }
            self.fill()?;
        }
    }

    /// Tells if the run was stopped, from the tasks received so far, without waiting.
    fn is_stopped(&mut self) -> bool {
        if self.held > MAX_HELD_BYTES {
            return self.stopped;
        }
        let input = stdio::stdin();
        let mut inputs = [PollFd::new(&input, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if !matches!(poll(&mut inputs, Some(&now)), Ok(1..)) {
            return self.stopped;
        }
        let looked = self.fill().and_then(|()| {
            while let Some(task) = self.frame()? {
                match task {
                    Task::Stop => self.stopped = true,
                    Task::Ended(id, answer) => self.hold(id, answer),
                    _ => {}
                }
            }
            Ok::<_, io::Error>(())
        });
        self.stopped || looked.is_err()
    }

    /// Returns the next task if it was received completely.
    fn frame(&mut self) -> io::Result<Option<Task>> {
        let Some(length) = self.read[self.at..].first_chunk() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(io::Error::other)?;
        if length > MAX_FRAME_BYTES {
            return Err(io::Error::other("a frame exceeds its maximum size"));
        }
        let Some(frame) = self.read.get(self.at + 4..self.at + 4 + length) else {
            return Ok(None);
        };
        let task = serde_json::from_slice(frame)?;
        self.at += 4 + length;
        if self.at == self.read.len() {
            self.read.clear();
            self.read.shrink_to(1 << 16);
            self.at = 0;
        }
        Ok(Some(task))
    }

    fn fill(&mut self) -> io::Result<()> {
        self.read.drain(..self.at);
        self.at = 0;
        self.read.reserve(8192);
        let count = rustix::io::retry_on_intr(|| {
            rustix::io::read(stdio::stdin(), spare_capacity(&mut self.read))
        })?;
        if count == 0 {
            process::exit(0);
        }
        Ok(())
    }
}

fn length(answer: &Result<String, String>) -> usize {
    answer.as_ref().map_or_else(String::len, String::len)
}

/// The host on the server's side of the pipes.
struct Remote(Rc<RefCell<Pipe>>);

impl Host for Remote {
    fn ask(&mut self, name: &str, argument: &str) -> Result<String, String> {
        let (name, argument) = (name.to_owned(), argument.to_owned());
        say(&Report::Ask { name, argument }).map_err(|error| error.to_string())?;
        let mut pipe = self.0.borrow_mut();
        loop {
            match pipe.next().map_err(|error| error.to_string())? {
                Task::Answer(answer) => return answer,
                Task::Ended(id, answer) => pipe.hold(id, answer),
                Task::Stop => pipe.stopped = true,
                _ => {}
            }
        }
    }

    fn begin(&mut self, id: u32, name: &str, argument: &str) {
        let (name, argument) = (name.to_owned(), argument.to_owned());
        // A failed write means that the input has ended as well, so this process is about to exit.
        let _ = say(&Report::Begin { id, name, argument });
    }

    fn wait(&mut self) -> Option<(u32, Result<String, String>)> {
        let mut pipe = self.0.borrow_mut();
        if let Some(ended) = pipe.take() {
            return Some(ended);
        }
        loop {
            if pipe.stopped {
                return None;
            }
            match pipe.next().ok()? {
                Task::Ended(id, answer) => return Some((id, answer)),
                Task::Stop => pipe.stopped = true,
                _ => {}
            }
        }
    }
}
