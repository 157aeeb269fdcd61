//! `/rest/v1`, hooks and the websocket: channels, in Era's dialect (`docs/contracts/era.md`).

mod asyncapi;
mod caller;
mod channel_sockets;
mod collection;
mod error_response;
mod hooks;
mod integration_point_types;
mod integration_points;
mod integration_tokens;
mod openapi;
pub mod routes;
mod run_requests;
mod schemas;
mod script_trials;
mod service;
mod svcscript_runtimes;
mod svcscripts;
pub mod websocket;

use super::{Dialect, error_table::Errors};

pub const DIALECT: Dialect = Dialect {
    name: "era",
    document: "era",
    title: "Era: channels and scripts",
    prefixes: &["/rest/v1", "/exec", "/hook", "/ws"],
    has_lenient_paths: false,
    credential_headers: &[],
    credential_paths: &["/hook/", "/ws/token/v1/"],
    is_open_to_pages: |_| false,
    router: |_| routes::router(),
    render_errors: |router, name, _| super::render_errors(router, name, routes::words),
    render: |_, _, error| routes::words(error),
    errors: Errors {
        title: "Era: `/rest/v1/…`, `/exec`, `/hook/…`, `/ws/…`",
        about: "`{\"error_code\":<code>,\"error_message\":\"…\"}`. Over the websocket the same codes come as `errorcode`, \
                the texts as `errormsg`; there 1403 is also a request that no route of the channel's roles opens, \
                1404 a method without a script. The texts `Lookup failed` and `Token not found` are the vendor's.",
        status: error_response::status,
        code: |error| error_response::code(error_response::status(error)).to_string(),
        refusals: error_response::REFUSALS,
        has_patches: false,
        more: websocket::close::table,
    },
    guard: routes::guard,
    describe: openapi::describe,
    messages: &[&websocket::WEBSOCKET, &asyncapi::MESSAGES],
};
