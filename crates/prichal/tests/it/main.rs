//! Tests that speak HTTP to the real server, on the engine that `PRICHAL_TEST_ENGINE` names.

mod hub;
mod partner;
mod receiver;
mod webhooks;
