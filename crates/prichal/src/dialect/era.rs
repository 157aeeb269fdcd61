//! `/rest/v1`, hooks and the websocket: channels, in Era's dialect (`docs/contracts/era.md`).

mod caller;
mod collection;
mod error_response;
mod hooks;
mod integration_point_types;
mod integration_points;
mod integration_tokens;
pub mod routes;
mod service;
mod svcscript_runtimes;
mod svcscripts;
pub mod websocket;

use super::{Dialect, openapi::refusals};

pub const DIALECT: Dialect = Dialect {
    name: "era",
    prefixes: &["/rest/v1", "/exec", "/hook", "/ws"],
    has_lenient_paths: false,
    router: |_| routes::router(),
    worded: |router, _| super::worded::<routes::Guard>(router, "era", routes::words),
    refuse: |_, _, error| routes::words(error),
    guard: routes::guard,
    describe: refusals::of_channels,
};
