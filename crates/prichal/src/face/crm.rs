//! `/api/v1`: the integration API of Kontur (`reference/kontur.md`).

mod authorization;
mod caller;
mod deliveries;
mod entities;
mod feed;
mod files;
mod instances;
mod integrations;
mod links;
mod manifest;
mod once;
pub mod routes;
mod settings;
mod ui_settings;
mod words;

pub(crate) use once::REMEMBERED;
