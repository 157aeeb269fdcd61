//! Names of HTTP headers (`docs/contracts/kontur.md §9`).

/// The beginning of all of them.
pub const PREFIX: &str = "x-xcom-";

/// The key by which an integration recognizes the server's calls, and calls back.
pub const ACCESS_KEY: &str = "x-xcom-accesskey";
/// The value that the receiver of a webhook returns to acknowledge an event.
pub const ECHO: &str = "x-xcom-integration-echo";
