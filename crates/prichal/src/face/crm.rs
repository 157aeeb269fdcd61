//! `/api/v1`: the integration API of Kontur (`docs/contracts/kontur.md`).

mod authorization;
mod callbacks;
mod caller;
mod communications;
mod deliveries;
mod entities;
mod feed;
mod files;
mod instances;
mod integrations;
mod links;
mod live_tickets;
pub mod manifest;
pub mod routes;
mod settings;
mod system_calls;
mod ui_settings;
mod words;
