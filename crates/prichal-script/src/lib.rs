//! Scripts in JavaScript, each run by itself: a context of its own with limits of memory, time, stack
//! and output, from which nothing can be reached but what a [`Host`] gives.
//!
//! The engine stops a script that runs for ever at most places, but not at all: a search for one long text
//! in another asks nobody. So a server runs scripts in a process of their own ([`worker`]), which it can
//! end whatever they do.
//!
//! This crate knows neither HTTP nor SQL nor files, and has no clock: when a run is over is the
//! caller's to say.
//!
//! ```
//! use prichal_script::{Alone, Limits, Presets, compile, run};
//! use serde_json::json;
//!
//! let program = compile("1 + startparam(1)").expect("valid JavaScript");
//! let presets = Presets::new(&json!({}), Some(&[41.into()]), &json!({}));
//! let outcome = run(&program, &presets, Limits::default(), || false, Alone::default());
//! assert_eq!(outcome.value.as_deref(), Some("42"));
//! ```

mod bytecode;
mod confine;
mod crypto;
mod respond;
mod run;
mod web;
pub mod worker;

pub use bytecode::{Program, SyntaxError, compile};
pub use respond::{Response, is_reserved};
pub use run::{Failure, Limits, Outcome, Presets, run};

/// What a run can reach beyond its own context. Arguments and answers are JSON.
pub trait Host: 'static {
    /// Answers a call at once; an empty answer is `undefined`. The error is thrown.
    fn ask(&mut self, name: &str, argument: &str) -> Result<String, String>;

    /// Begins what takes time. It ends with its id in [`Self::wait`].
    fn begin(&mut self, id: u32, name: &str, argument: &str);

    /// Waits for something that was begun. Nothing when the run is over before.
    fn wait(&mut self) -> Option<(u32, Result<String, String>)>;
}

/// A host that has nothing to give.
#[derive(Default)]
pub struct Alone {
    begun: Vec<u32>,
}

impl Host for Alone {
    fn ask(&mut self, name: &str, _: &str) -> Result<String, String> {
        Err(format!("{name} is not available here"))
    }

    fn begin(&mut self, id: u32, _: &str, _: &str) {
        self.begun.push(id);
    }

    fn wait(&mut self) -> Option<(u32, Result<String, String>)> {
        let id = self.begun.pop()?;
        Some((id, Err("this is not available here".to_owned())))
    }
}
