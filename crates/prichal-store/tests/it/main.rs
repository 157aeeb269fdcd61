//! Tests of the public interface, on the engine that `PRICHAL_TEST_ENGINE` names.

mod delivery_log;
mod document;
mod evidence;
mod fairness;
mod lease;
mod log;
mod open;
mod reader;
mod removal;
mod sign_in_name;
mod test_store;
mod usage;
mod writer;
