//! The store through its public face, on the engine that `PRICHAL_TEST_ENGINE` names.

mod document;
mod evidence;
mod lab;
mod lease;
mod log;
mod open;
mod reading;
mod turns;
mod writer;
