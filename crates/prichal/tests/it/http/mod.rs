//! HTTP itself, in every dialect: bodies, headers, bounds.

mod bad_input;
mod conventions;
mod description;
mod errors;
mod idempotency;
mod memory;
mod messages;
mod numbers;
mod request_decoding;
