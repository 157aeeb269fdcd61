//! Prichal: everything with a socket. `ARCHITECTURE.md` is the map.

#![forbid(unsafe_code)]

pub mod app;
pub mod cli;
pub mod config;
pub mod delivery;
pub mod dialect;
pub mod domain;
pub mod error;
pub mod http;
pub mod lifecycle;
pub mod platform;
pub mod retention;
