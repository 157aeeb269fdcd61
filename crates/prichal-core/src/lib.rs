//! The rules of Prichal: values, state machines and decisions.
//!
//! Nothing here does I/O, knows HTTP or SQL, or reads the clock: time and fresh ids are arguments.

pub mod id;
pub mod offset;
pub mod time;
