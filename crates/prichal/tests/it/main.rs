//! Tests that speak HTTP to the real server, on the engine that `PRICHAL_TEST_ENGINE` names.
#![expect(clippy::too_many_lines, reason = "a case reads from top to bottom")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "JSON is written where it is passed"
)]

mod admin;
mod answers;
mod authorization;
mod bad_input;
mod bulk;
mod calls;
mod channels;
mod courtesies;
mod dialling;
mod dock;
mod document_evidence;
mod document_history;
mod document_hooks;
mod document_retries;
mod document_signatures;
mod documents;
mod ended;
mod entities;
mod exchange;
mod feed;
mod files;
mod guessing;
mod hooks;
mod hub;
mod integrations;
mod line;
mod memory;
mod messages;
mod nodes;
mod numbers;
mod once;
mod operations;
mod partner;
mod phones;
mod process;
mod quarantine;
mod quotas;
mod reading;
mod receiver;
mod rechecks;
mod reused_ids;
mod rights;
mod rotation;
mod scripts;
mod security;
mod seeds;
mod sockets;
mod subscriber;
mod telephony;
mod turns;
mod verify;
mod walks;
mod webhooks;
mod writes;
