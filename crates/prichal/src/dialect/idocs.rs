//! iDocs: e-documents under `/api/v3`, their webhooks under `/api/1` (`docs/contracts/idocs.md`).

mod actions;
mod answer;
mod asyncapi;
mod blobs;
mod bulk;
mod caller;
mod document_routes;
mod documents;
mod downloads;
mod error_response;
mod events;
mod hooks;
mod language;
mod limit;
mod openapi;
mod operation;
mod prepared;
mod queries;
mod read;
mod references;
pub mod routes;
mod signatures;
mod signing;
mod sync_calls;

use super::Dialect;

pub const DIALECT: Dialect = Dialect {
    name: "edo",
    document: "idocs",
    title: "iDocs: exchange of signed documents",
    prefixes: &["/api/v3", "/api/1"],
    has_lenient_paths: true,
    credential_headers: &[],
    credential_paths: &[],
    is_open_to_pages: |_| false,
    router: routes::router,
    render_errors: routes::render_errors,
    render: |platform, headers, error| routes::words(platform, error, headers),
    guard: super::guard::<routes::Guard>,
    describe: openapi::describe,
    messages: &[&asyncapi::MESSAGES],
};
