//! iDocs: e-documents under `/api/v3`, their webhooks under `/api/1` (`docs/contracts/idocs.md`), and our own search under
//! `/documents/v1`.

mod actions;
mod answer;
mod asyncapi;
mod blobs;
mod bulk;
mod caller;
mod check_page;
mod document_routes;
mod documents;
mod downloads;
mod error_response;
mod events;
mod hooks;
mod language;
mod limit;
mod member;
mod openapi;
mod operation;
mod prepared;
mod queries;
mod read;
mod references;
pub mod routes;
mod search;
mod signatures;
mod signing;
mod sync_calls;

use super::{Dialect, error_table::Errors};

pub const DIALECT: Dialect = Dialect {
    name: "edo",
    document: "idocs",
    title: "iDocs: exchange of signed documents",
    prefixes: &["/api/v3", "/api/1", "/documents/v1"],
    has_lenient_paths: true,
    credential_headers: &[],
    credential_paths: &[],
    is_open_to_pages: |_| false,
    router: routes::router,
    render_errors: routes::render_errors,
    render: |platform, headers, error| routes::words(platform, error, headers),
    errors: Errors {
        title: "iDocs: `/api/v3/…`, `/api/1/webhooks/document-events/…`, `/documents/v1/…`",
        about: "`{\"response\":null,\"errors\":[{\"errorCode\":\"<code>\",\"errorDescription\":\"…\",\"errorDocumentationLink\":null}]}`, \
                the text in Russian, or in Kazakh or English by `Accept-Language`. Five calls of the vendor's answer 404 with \
                `{}`. With `--edo-strict-codes`, `PERMISSION_ERROR` of a known caller is 403 and `BILLING_ERROR` 402.",
        status: |error| error_response::status(error, false),
        code: |error| {
            let code = serde_json::json!(error_response::code(error));
            code.as_str().unwrap_or_default().to_owned()
        },
        refusals: error_response::REFUSALS,
        has_patches: false,
        more: String::new,
    },
    guard: super::guard::<routes::Guard>,
    describe: openapi::describe,
    messages: &[&asyncapi::MESSAGES],
};
