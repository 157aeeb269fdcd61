//! `/rest/v1`: channels, in Era's dialect (`reference/era.md`).

mod caller;
mod integration_points;
pub mod routes;
mod words;
