//! iDocs: e-documents under `/api/v3`, their webhooks under `/api/1` (`reference/edo.md`).

mod caller;
mod events;
mod hooks;
mod language;
mod limit;
mod read;
mod references;
pub mod routes;
mod words;
