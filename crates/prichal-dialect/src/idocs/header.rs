//! Names of HTTP headers (`docs/contracts/idocs.md §3.3`).

/// The beginning of all of them.
pub const PREFIX: &str = "x-idocs-";

pub const EVENT_ID: &str = "x-idocs-event-id";
pub const TIMESTAMP: &str = "x-idocs-timestamp";
pub const SIGNATURE: &str = "x-idocs-signature";
