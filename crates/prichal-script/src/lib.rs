//! Runs scripts in JavaScript. Each run has its own context with limits of memory, time, stack and output, and can
//! reach nothing but its [`Host`].
//!
//! The engine interrupts an endless script in most places, but not in all: a search for one long text in another
//! never checks. A server therefore runs scripts in a separate process ([`worker`]), which it can always kill.
//!
//! This crate knows neither HTTP nor SQL nor files, and has no clock. The caller decides when a run is out of time.
//!
//! ```
//! use prichal_script::{Limits, NoHost, Presets, compile, run};
//! use serde_json::json;
//!
//! let program = compile("1 + startparam(1)").expect("valid JavaScript");
//! let presets = Presets::new(&json!({}), Some(&[41.into()]), &json!({}));
//! let outcome = run(&program, &presets, Limits::default(), || false, NoHost::default());
//! assert_eq!(outcome.value.as_deref(), Some("42"));
//! ```

mod bytecode;
mod crypto;
mod respond;
mod run;
mod sandbox;
mod web;
pub mod worker;

pub use bytecode::{Program, SyntaxError, compile};
pub use respond::{Response, is_reserved};
pub use run::{Failure, Limits, Outcome, Presets, run};

/// The functions that a run can reach outside of its context. Arguments and answers are JSON.
pub trait Host: 'static {
    /// Answers a call at once. An empty answer is `undefined`. An error is thrown in the script.
    fn ask(&mut self, name: &str, argument: &str) -> Result<String, String>;

    /// Starts an operation that takes time. Its result arrives with its id from [`Self::wait`].
    fn begin(&mut self, id: u32, name: &str, argument: &str);

    /// Waits for a started operation to end. None if the run is over before.
    fn wait(&mut self) -> Option<(u32, Result<String, String>)>;
}

/// A host without functions.
#[derive(Default)]
pub struct NoHost {
    begun: Vec<u32>,
}

impl Host for NoHost {
    fn ask(&mut self, name: &str, _: &str) -> Result<String, String> {
        Err(format!("{name} is not available here"))
    }

    fn begin(&mut self, id: u32, _: &str, _: &str) {
        self.begun.push(id);
    }

    fn wait(&mut self) -> Option<(u32, Result<String, String>)> {
        let id = self.begun.pop()?;
        Some((id, Err("this operation is not available here".to_owned())))
    }
}
