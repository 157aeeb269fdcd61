//! The vendors' dialects: the JSON of each, both ways, and its wording of errors.
//!
//! A dialect is a folder. It knows the rules of `prichal-core` and no other dialect. Dialects are pure: no
//! I/O, no HTTP, no SQL, no clock. `fault.rs` has our own texts, for all of them.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")
)]

pub mod era;
pub mod fault;
pub mod idocs;
pub mod kontur;
