//! The rules of Prichal: values, state machines and decisions.
//!
//! They are pure: no I/O, no HTTP, no SQL, no clock. Time and fresh ids are arguments. The foreign
//! APIs that the server speaks, their JSON and their errors, are in `prichal-dialect`.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")
)]

pub mod alert;
pub mod call;
pub mod channel;
pub mod channel_type;
pub mod custom_field;
pub mod delivery_settings;
pub mod delivery_stats;
pub mod document;
pub mod entity;
pub mod event;
pub mod event_type;
pub mod filter;
pub mod health;
pub mod hidden;
pub mod id;
pub mod identifier;
pub mod integration;
pub mod json;
pub mod json_schema;
pub mod locate;
pub mod mail;
pub mod network;
pub mod offset;
pub mod patch;
pub mod phone;
pub mod resource;
pub mod retry;
pub mod schema;
pub mod script;
pub mod time;
pub mod transformation;
pub mod update_info;
mod words;
pub mod workspace_name;
