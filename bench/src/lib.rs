//! What Prichal is measured with: a load generator, a receiver that counts, and the drills that put
//! a server between the two. The server is only ever talked to over HTTP and signals.

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
