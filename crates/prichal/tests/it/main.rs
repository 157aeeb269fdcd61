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
mod channels;
mod dock;
mod document_hooks;
mod documents;
mod entities;
mod exchange;
mod feed;
mod files;
mod hooks;
mod hub;
mod integrations;
mod messages;
mod nodes;
mod operations;
mod partner;
mod process;
mod receiver;
mod scripts;
mod seeds;
mod sockets;
mod telephony;
mod verify;
mod webhooks;
