//! A simulated connector of a telephone exchange. It reports made-up calls to a server as a partner's connector
//! would, for demonstrations and as a peer for tests.
//!
//! * [`plan`] makes up calls: their story, the messages about them, and the expected record of a
//!   server. It is pure: equal seeds make equal calls.
//! * [`play`] sends them, as disorderly as requested, and repeats messages that were refused for now.
//! * [`answer`] accepts a server's system calls.

pub mod answer;
pub mod plan;
pub mod play;
