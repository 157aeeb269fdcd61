//! `/admin/v1`: the administration of the server. Errors are RFC 9457 problems.

mod admin_token;
mod audit;
mod backups;
mod caller;
mod error_response;
mod nodes;
mod openapi;
mod quarantine;
mod retention;
mod routes;
mod sessions;
mod signature_policy;
mod tokens;
mod usage;
mod workspaces;

use super::{Dialect, error_table::Errors};

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
    errors: Errors {
        title: "Administration: `/admin/v1/…`",
        about: "RFC 9457 problems, `application/problem+json`; the code is the `title`. `detail` says what is wrong, and \
                `errors` has an entry for each `field`. Paths outside of all APIs are refused in this form, too.",
        status: error_response::status,
        code: |error| error_response::title(error).to_owned(),
        refusals: error_response::REFUSALS,
        has_patches: false,
        more: String::new,
    },
    guard: super::guard::<caller::Administrator>,
    describe: openapi::describe,
    messages: &[],
};
