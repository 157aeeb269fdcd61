//! A process that runs scripts for another, one at a time, over its standard input and output.
//!
//! It has nothing of the other's: no environment, no open files, no memory. It ends with its input, also
//! in the middle of a run, so that none outlives the server that began it.
//!
//! A frame is its length in four bytes, the least first, and that many bytes of JSON: a [`Task`] one way, a
//! [`Report`] the other.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    io::{self, Read, Write},
    process,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Failure, Host, Limits, Outcome, Presets, Program, SyntaxError, compile, run};

/// What a worker is told.
#[derive(Debug, Serialize, Deserialize)]
pub enum Task {
    /// Say whether this is a script.
    Check(String),
    /// Run the script with this key.
    Run { key: String, presets: Presets },
    /// The source of that script, once it was asked for.
    Source(String),
    /// The answer to [`Report::Ask`].
    Answer(Result<String, String>),
    /// Something that was begun has ended.
    Ended(u32, Result<String, String>),
    /// End the run.
    Stop,
}

/// What a worker says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// It does not know this script.
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

/// The most bytes of a frame. The longest holds a body, escaped.
pub const LONGEST: usize = 32 << 20;
/// How much memory the compiled scripts may take that a worker keeps.
const KEPT: usize = 32 << 20;

/// The bytes of a frame.
pub fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - 4).map_err(io::Error::other)?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

fn read<T: DeserializeOwned>(input: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?;
    if length > LONGEST {
        return Err(io::Error::other("a frame is too long"));
    }
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Runs scripts until the input ends.
pub fn serve() -> io::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, tasks) = mpsc::channel();
    let stopping = stop.clone();
    // Whatever a script does, this thread still reads.
    thread::spawn(move || {
        let mut input = io::BufReader::new(io::stdin().lock());
        while let Ok(task) = read::<Task>(&mut input) {
            match task {
                Task::Run { .. } => stopping.store(false, Ordering::Release),
                Task::Stop => stopping.store(true, Ordering::Release),
                _ => {}
            }
            if sender.send(task).is_err() {
                break;
            }
        }
        process::exit(0);
    });
    let pipe = Rc::new(RefCell::new(Pipe {
        tasks,
        ended: VecDeque::new(),
    }));
    let mut programs = Programs::default();
    loop {
        let Some(task) = pipe.borrow().next() else {
            return Ok(());
        };
        let (key, presets) = match task {
            Task::Run { key, presets } => (key, presets),
            Task::Check(source) => {
                say(&Report::Checked(compile(&source).map(drop)))?;
                continue;
            }
            // Anything else belongs to a run that has ended.
            _ => continue,
        };
        pipe.borrow_mut().ended.clear();
        let outcome = match programs.find(&key, &pipe)? {
            Ok(program) => {
                let stop = stop.clone();
                let is_over = move || stop.load(Ordering::Acquire);
                run(
                    &program,
                    &presets,
                    Limits::default(),
                    is_over,
                    Remote(pipe.clone()),
                )
            }
            Err(error) => Outcome {
                failure: Some(Failure::new(format!("SyntaxError: {error}"))),
                ..Outcome::default()
            },
        };
        say(&Report::Done(Box::new(outcome)))?;
    }
}

fn say(report: &Report) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(&frame(report)?)?;
    output.flush()
}

/// The scripts that were compiled here.
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
            match pipe.borrow().next() {
                Some(Task::Source(source)) => break source,
                Some(_) => {}
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        };
        let program = match compile(&source) {
            Ok(program) => program,
            Err(error) => return Ok(Err(error)),
        };
        if self.size + program.size() > KEPT {
            self.known.clear();
            self.size = 0;
        }
        self.size += program.size();
        self.known.insert(key.to_owned(), program.clone());
        Ok(Ok(program))
    }
}

/// What comes in.
struct Pipe {
    tasks: mpsc::Receiver<Task>,
    /// What has ended while an answer was waited for.
    ended: VecDeque<(u32, Result<String, String>)>,
}

impl Pipe {
    fn next(&self) -> Option<Task> {
        self.tasks.recv().ok()
    }
}

/// The host at the other end.
struct Remote(Rc<RefCell<Pipe>>);

impl Host for Remote {
    fn ask(&mut self, name: &str, argument: &str) -> Result<String, String> {
        let (name, argument) = (name.to_owned(), argument.to_owned());
        say(&Report::Ask { name, argument }).map_err(|error| error.to_string())?;
        let mut pipe = self.0.borrow_mut();
        loop {
            match pipe.next() {
                Some(Task::Answer(answer)) => return answer,
                Some(Task::Ended(id, answer)) => pipe.ended.push_back((id, answer)),
                Some(_) => {}
                None => return Err("the server has gone".to_owned()),
            }
        }
    }

    fn begin(&mut self, id: u32, name: &str, argument: &str) {
        let (name, argument) = (name.to_owned(), argument.to_owned());
        // When this fails the input has ended, too, and with it this process.
        let _ = say(&Report::Begin { id, name, argument });
    }

    fn wait(&mut self) -> Option<(u32, Result<String, String>)> {
        let mut pipe = self.0.borrow_mut();
        if let Some(ended) = pipe.ended.pop_front() {
            return Some(ended);
        }
        loop {
            match pipe.next()? {
                Task::Ended(id, answer) => return Some((id, answer)),
                Task::Stop => return None,
                _ => {}
            }
        }
    }
}
