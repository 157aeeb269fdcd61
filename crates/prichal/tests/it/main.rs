//! Tests that speak HTTP to the real server, on the engine that `PRICHAL_TEST_ENGINE` names.
#![expect(clippy::too_many_lines, reason = "a case reads from top to bottom")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "JSON is written where it is passed"
)]

mod access;
mod admin;
mod delivery;
mod era;
mod harness;
mod http;
mod idocs;
mod kontur;
mod mail;
mod platform;
mod program;
