//! `/rest/v1`, hooks and the websocket: channels, in Era's dialect (`docs/contracts/era.md`).

mod caller;
mod collection;
mod hooks;
mod integration_point_types;
mod integration_points;
mod integration_tokens;
pub mod routes;
mod svcscript_runtimes;
mod svcscripts;
pub mod websocket;
mod words;
