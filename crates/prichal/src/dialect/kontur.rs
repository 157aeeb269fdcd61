//! `/api/v1`: the integration API of Kontur (`docs/contracts/kontur.md`).

mod authorization;
mod callbacks;
mod caller;
mod communications;
mod deliveries;
mod entities;
mod error_response;
mod feed;
mod files;
mod instances;
mod integrations;
mod links;
mod live_tickets;
pub mod manifest;
pub mod routes;
mod settings;
mod system_calls;
mod ui_settings;

use super::{Dialect, openapi::refusals};

pub const DIALECT: Dialect = Dialect {
    name: "crm",
    prefixes: &["/api/v1"],
    has_lenient_paths: true,
    router: |_| routes::router(),
    worded: |router, _| super::worded::<routes::Guard>(router, "crm", routes::words),
    refuse: |_, _, error| routes::words(error),
    guard: super::guard::<routes::Guard>,
    describe: refusals::of_crm,
};
