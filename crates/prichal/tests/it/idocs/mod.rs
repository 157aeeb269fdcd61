//! The dialect of iDocs v3: documents, signatures, status webhooks.

mod bulk_calls;
mod check_page;
mod console;
mod description;
mod documents;
mod examples;
mod operations;
mod search;
mod signatures;
mod webhooks;
