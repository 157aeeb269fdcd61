//! `/admin/v1`: the administration of the server. Errors are RFC 9457 problems.

mod admin_token;
mod caller;
mod error_response;
mod openapi;
mod quarantine;
mod routes;
mod signature_policy;
mod tokens;
mod usage;
mod workspaces;

use super::Dialect;

pub(super) use openapi::add_problems;

pub(super) const DIALECT: Dialect = Dialect {
    name: "admin",
    document: "admin",
    title: "Administration",
    prefixes: &["/admin"],
    has_lenient_paths: false,
    credential_headers: &[],
    credential_paths: &[],
    is_open_to_pages: |_| false,
    router: |_| routes::router(),
    render_errors: |router, name, _| super::render_errors(router, name, error_response::render),
    render: |_, _, error| error_response::render(error),
    guard: super::guard::<caller::Administrator>,
    describe: openapi::describe,
    messages: &[],
};
