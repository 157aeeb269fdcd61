//! A telephone exchange's connector, played: calls that never took place, told to a server as a
//! partner's connector would tell them. It serves newcomers as a demonstration and the tests as a peer.
//!
//! * [`plan`] makes calls up: their story, the messages about them, and what a server must know in the
//!   end. It is pure; the same seed makes the same calls.
//! * [`play`] tells them, as untidily as it is asked to, and tries again what was refused for now.
//! * [`answer`] takes a server's system calls.

pub mod answer;
pub mod plan;
pub mod play;
