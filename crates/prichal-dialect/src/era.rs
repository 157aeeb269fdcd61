//! Era: the service collections of channels, channel types and scripts.

pub mod names;
pub mod query;
