//! Tests that speak HTTP to the real server, on the engine that `PRICHAL_TEST_ENGINE` names.

mod admin;
mod authorization;
mod bad_input;
mod entities;
mod feed;
mod files;
mod hub;
mod integrations;
mod nodes;
mod partner;
mod process;
mod receiver;
mod seeds;
mod webhooks;
