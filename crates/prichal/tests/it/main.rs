//! Tests that speak HTTP to the real server, on the engine that `PRICHAL_TEST_ENGINE` names.
#![expect(clippy::too_many_lines, reason = "a case reads from top to bottom")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "JSON is written where it is passed"
)]

mod admin;
mod authorization;
mod bad_input;
mod bulk;
mod calls;
mod channels;
mod dialling;
mod dock;
mod document_history;
mod document_hooks;
mod document_retries;
mod documents;
mod entities;
mod exchange;
mod feed;
mod files;
mod hooks;
mod hub;
mod integrations;
mod line;
mod memory;
mod messages;
mod nodes;
mod operations;
mod partner;
mod process;
mod reading;
mod receiver;
mod scripts;
mod seeds;
mod sockets;
mod subscriber;
mod telephony;
mod verify;
mod webhooks;
