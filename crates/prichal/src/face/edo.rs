//! iDocs: e-documents under `/api/v3`, their webhooks under `/api/1` (`docs/contracts/idocs.md`).

mod acts;
mod blobs;
mod bulk;
mod caller;
mod documents;
mod downloads;
mod events;
mod hooks;
mod language;
mod limit;
mod operation;
mod queries;
mod read;
mod references;
pub mod routes;
mod signatures;
mod signing;
mod single;
mod ways;
mod words;
