//! The Prichal server: all code with a socket. `ARCHITECTURE.md` is the map of its rooms.

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
