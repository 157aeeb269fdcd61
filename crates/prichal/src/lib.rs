//! Prichal: everything with a socket. `ARCHITECTURE.md` is the map.

#![forbid(unsafe_code)]

pub mod access;
pub mod app;
pub mod attempt;
pub mod blobs;
pub mod bus;
pub mod cache;
pub mod channel;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connection;
pub mod data_dir;
pub mod dispatch;
pub mod disposition;
pub mod document;
pub mod document_hook;
pub mod entity;
pub mod error;
pub mod face;
pub mod form;
pub mod http;
pub mod instance;
pub mod lifecycle;
pub mod limiter;
pub mod listeners;
pub mod memory;
pub mod multipart;
pub mod openapi;
pub mod outgoing;
pub mod page;
pub mod pbx;
pub mod range;
pub mod reading;
pub mod retention;
pub mod script;
pub mod settings;
pub mod telemetry;
pub mod telephony;
pub mod upload;
pub mod vault;
