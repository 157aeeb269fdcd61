//! `/rest/v1`: channels, in Era's dialect (`reference/era.md`).

mod caller;
mod integration_points;
mod integration_tokens;
pub mod routes;
mod words;
