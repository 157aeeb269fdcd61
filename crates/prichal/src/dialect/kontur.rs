//! `/api/v1`: the integration API of Kontur (`docs/contracts/kontur.md`).

mod alerts;
mod asyncapi;
mod audit;
mod authorization;
mod callbacks;
mod caller;
mod communications;
mod criteria;
mod dead_letters;
mod deliveries;
mod delivery_log;
mod entities;
mod error_response;
mod event_log;
mod event_types;
mod feed;
mod files;
mod instances;
mod integrations;
mod links;
mod mails;
pub mod manifest;
mod matches;
mod oidc;
mod openapi;
mod preview;
mod publish;
mod replays;
mod resends;
mod retention;
mod routes;
mod sessions;
mod settings;
mod stream;
mod stream_tickets;
mod system_calls;
mod ui_settings;
mod webhook_state;
mod webhooks;

use super::{Dialect, error_table::Errors};

pub const DIALECT: Dialect = Dialect {
    name: "crm",
    document: "kontur",
    title: "Kontur: integrations, entities and telephony",
    prefixes: &["/api/v1"],
    has_lenient_paths: true,
    credential_headers: &["x-xcom-accesskey", "x-xcom-integration-apikey"],
    credential_paths: &[],
    is_open_to_pages: stream::is_open_to_pages,
    router: |_| routes::router(),
    render_errors: |router, name, _| super::render_errors(router, name, error_response::render),
    render: |_, _, error| error_response::render(error),
    errors: Errors {
        title: "Kontur: `/api/v1/…`",
        about: "`ErrorInfo`: `{\"status\":\"<code>\",\"message\":\"…\"}`. Three have another form: 401 is the JSON string \
                `\"Unauthorized\"`; 400 is a problem with `errors` by field, in the vendor's texts, and a `detail` with the \
                allowed values; a refused patch has the `ErrorInfo` in `errorInfo`, and each operation a `reason`. \
                A `Range` that a file does not have is 416.",
        status: error_response::status,
        code: |error| error_response::word(error).to_owned(),
        refusals: error_response::REFUSALS,
        has_patches: true,
        more: String::new,
    },
    guard: super::guard::<caller::Member>,
    describe: openapi::describe,
    messages: &[&asyncapi::MESSAGES],
};
