//! The benchmark of Prichal: a load generator, a counting receiver, and drills that put a server between the two. The
//! server is reached over HTTP and signals only.

#![forbid(unsafe_code)]

pub mod cleanup;
pub mod client;
pub mod clock;
pub mod commit;
pub mod database;
pub mod drill;
pub mod lab;
pub mod load;
pub mod process;
pub mod report;
pub mod server;
pub mod sink;
pub mod stamp;
pub mod stats;
