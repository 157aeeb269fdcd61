//! `/admin/v1`: Prichal's own administration. Errors are RFC 9457 problems.

mod admin_token;
mod error_response;
mod quarantine;
pub mod routes;
mod signature_policy;
mod tokens;
mod usage;
mod workspaces;

use super::{Dialect, openapi::refusals};

pub const DIALECT: Dialect = Dialect {
    name: "admin",
    prefixes: &["/admin"],
    has_lenient_paths: false,
    router: |_| routes::router(),
    worded: |router, _| super::worded::<routes::Administrator>(router, "admin", routes::words),
    refuse: |_, _, error| routes::words(error),
    guard: super::guard::<routes::Administrator>,
    describe: refusals::of_administration,
};
